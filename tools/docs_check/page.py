"""Read a documentation page, as crawled, into parts, sections and blocks. Knows no OpenAPI; drops nothing but markup.

The form: front matter; then one part for each language, each a title such as `Start … (USER_STREAM)` and five sections.
What does not fit stays in the result: a section of another name has the kind None, a block of another sort is prose.
"""
# ruff: noqa: RUF001  Chinese punctuation

import html
import itertools
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode
from ruamel.yaml import YAML

SITE = "developers.binance.com"
WORDS: dict[str, Any] = YAML(typ="safe").load(Path(__file__).with_name("words.yaml"))
KNOWN = {name: kind for kind, names in WORDS["headings"].items() for name in names}
SECURITY = re.compile(r"\s*[(（]\s*([A-Z][A-Z_, ]*?)\s*[)）]\s*\Z")  # at a title's end
RULER = re.compile(r"\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)+\|?\s*")  # the line below a table's header
BLOCK = re.compile(r"\s*(#|>|```|~~~|[*+-] )")  # a line that ends a table
WORD = r"[^\W\u3040-\u30ff\u3400-\u9fff]"  # a letter or digit of a script that puts spaces between words
PLAIN = str.maketrans("“”„‘’‐‑−–—", '"""\'\'-----')


class Unclear(Exception):
    """It cannot be told what a source or a document says; the text says why, in one line."""


@dataclass(frozen=True)
class Block:
    """A sentence; or a block of code; or a table: its rows with their lines, the header first."""

    line: int
    text: str = ""
    code: bool = False
    rows: tuple[tuple[int, list[str]], ...] = ()

    def as_code(self, *, present: bool) -> "Block":
        """Return a sentence that is JSON as a block of code: so the site's present form writes its examples."""
        return replace(self, code=self.code or (present and self.text.startswith("{")))


@dataclass
class Section:
    """A heading and what stands below it. `kind` is one of words.yaml, "title", or None: a section of another name.

    In the site's present form, a name stands behind the title and an angle quotation mark.
    """

    line: int
    heading: str
    kind: str | None = None
    suffix: str = ""  # what the heading says beyond its known name
    of: str = ""  # the title that the heading names, in the site's present form
    links: list[str] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)


@dataclass
class Page:
    """A page as it was read: its front matter, its sections, and the sections of each endpoint in each language."""

    front: dict[str, str]
    sections: list[Section]
    parts: list[list[Section]]


def normal(text: str) -> str:
    """Return text in the one form that is compared. Every mark counts; its width and its slant do not.

    A space counts between two words, and nowhere else: `1 5` is not `15`, `10 分钟` is `10分钟`.
    """
    kept = (unicodedata.normalize("NFKC", c) if unicodedata.east_asian_width(c) in "FH" else c for c in text)
    text = " ".join(unicodedata.normalize("NFC", "".join(kept)).translate(PLAIN).split())
    return re.sub(rf"(?<!{WORD}) | (?!{WORD})", "", text)


def split(url: str) -> tuple[str, str]:
    """Return the host and the path of a URL, or of what stands where one should."""
    host, path = re.findall(r"\A(?:\w+:)?(?://([^/?#]*))?([^?#]*)", url)[0]
    return host, path


def is_chinese(text: str) -> bool:
    """Tell whether there is a Chinese letter in a text."""
    return re.search("[\u3400-\u9fff]", text) is not None


def name_of(heading: str) -> str:
    """Return a heading's letters alone, without a number or a picture before it."""
    return re.sub(r"[\W_]+", "", re.sub(r"^[\W\d_]+", "", heading)).casefold()


def _html(text: str) -> str:
    """Return the text of HTML. Tags are markup, but for those that change what a number says."""
    text = re.sub(r"(?s)<!--.*?-->", "", text)
    text = re.sub(r"""<img\b[^>]*?src=["']?([^"'\s>]*)[^>]*>""", r"[image: \1]", text)
    return html.unescape(re.sub(r"<(?!/?(?:sup|sub|del|s)>)/?[a-zA-Z][^>]*>", " ", text))


def _link(node: SyntaxTreeNode) -> str:
    """Return a link's words, and its target if it leaves the site. A heading's anchor, without words, is debris."""
    words = "".join(map(_inline, node.children))
    if not any(map(str.isalnum, words)) or words.startswith("Direct link to") or words.endswith("的直接链接"):
        return ""
    target = str(node.attrs.get("href", ""))
    leaves = split(target)[0] not in {"", SITE} and target.rstrip("/") != words.rstrip("/")
    return f"{words} <{target}>" if leaves else words


def _inline(node: SyntaxTreeNode) -> str:
    """Return the text of an inline node; a line break of the source is a line break here."""
    match node.type:
        case "softbreak" | "hardbreak":
            return "\n"
        case "link":
            return _link(node)
        case "image":
            return f"[image: {node.attrs.get('src', '')}]"
        case "html_inline":
            return _html(node.content)
        case "text" | "code_inline" | "text_special":
            return node.content
    return "".join(map(_inline, node.children))


def _text(node: SyntaxTreeNode) -> str:
    return " ".join(_inline(node).split())


def sentences(text: str, line: int) -> Iterator[Block]:
    """Split prose after full stops, and remember where each sentence starts."""
    for match in re.finditer(r"(?s)\S.*?(?:[.!?](?=\s)|[。！？；]|\s*\Z)", text):
        if normal(match[0]) and name_of(match[0]) not in WORDS["furniture"]:
            yield Block(line + text[: match.start()].count("\n"), " ".join(match[0].split()))


def _bars(line: str) -> int:
    return len(re.findall(r"(?<!\\)\|", line))


def _mended(lines: list[str]) -> list[tuple[int, str]]:
    """Join the rows of tables that a line break inside a cell has cut; keep the number of each line."""
    kept: list[tuple[int, str]] = []
    need = 0  # the bars of a whole row, in a table
    for number, line in enumerate(lines, 1):
        last = kept[-1][1] if kept else ""
        if RULER.fullmatch(line) and _bars(last) == _bars(line):
            need = _bars(line)
        elif not line.strip():
            need *= _goes_on(lines[number:], need)
            if need:
                continue
        elif need and _is_rest(line, last, need):
            end = "|" * (last.rstrip().endswith("|") and _bars(last) == need)  # the row's own last bar stays last
            kept[-1] = (kept[-1][0], f"{last.rstrip().removesuffix(end)}<br>{line.strip()}{end}")
            continue
        kept.append((number, line))
    return kept


def _goes_on(lines: list[str], need: int) -> bool:
    """Tell whether a table goes on behind an empty line: a whole row is in the next paragraph, and no other table."""
    ahead = list(itertools.takewhile(str.strip, itertools.dropwhile(lambda text: not text.strip(), lines)))
    whole = any(_bars(text) == need for text in ahead)
    return whole and not re.match("#|>|    ", ahead[0]) and not any(map(RULER.fullmatch, ahead))


def _is_rest(line: str, last: str, need: int) -> bool:
    """Tell whether a line is the rest of a row that the line before began."""
    return not RULER.fullmatch(last) and _bars(last) + _bars(line) == need and not BLOCK.match(line)


def _heading(node: SyntaxTreeNode, line: int) -> Section:
    """Read a heading: of which kind it is, what it says more, and where its anchor links to."""
    whole = _text(node)
    of, text = map(str.strip, whole.rpartition("›")[::2])
    name, bracket, more = re.findall(r"(?s)(.*?)([(（]|\Z)(.*)", text)[0]
    kind = KNOWN.get(name_of(name))
    more = bracket + more if kind else text
    if not kind and any(name_of(name).startswith(key) for key in KNOWN if KNOWN[key] == "response"):
        kind = "response"  # such as "Response Example FULL"
    links = [str(n.attrs["href"]) for n in node.walk() if n.type == "link" and "#" in str(n.attrs["href"])]
    return Section(line, whole, kind, more, of, links)


def _table(node: SyntaxTreeNode, lines: list[tuple[int, str]]) -> Iterator[Block]:
    """Read a table. A row with more cells than the header, which Markdown cuts, is kept as a whole, too."""
    rows = [row for group in node.children for row in group.children]
    at = [lines[row.map[0] if row.map else 0] for row in rows]
    cells = [[_text(cell) for cell in row.children] for row in rows]
    yield Block(at[0][0], rows=tuple((line, row) for (line, _), row in zip(at, cells, strict=True)))
    yield from (Block(line, text) for line, text in at if _bars(text.strip().strip("|")) >= len(cells[0]))


def _is_heading(node: SyntaxTreeNode) -> bool:
    """Tell whether a node is a heading, or a paragraph of a heading's known name in bold letters."""
    bold = node.type == "paragraph" and node.children[0].children
    return node.type == "heading" or bool(bold and bold[0].type == "strong" and name_of(_text(node)) in KNOWN)


def _items(nodes: list[SyntaxTreeNode], lines: list[tuple[int, str]]) -> Iterator[Section | Block]:
    """Yield headings and blocks, in the page's order."""
    for node in nodes:
        line = lines[node.map[0] if node.map else 0][0]
        if _is_heading(node):
            yield _heading(node, line)
        elif node.type == "paragraph":
            yield from sentences(_inline(node), line)
        elif node.type == "html_block":
            yield from sentences(_html(node.content), line)
        elif node.type in {"code_block", "fence"}:
            yield Block(line + (node.type == "fence"), node.content, code=True)
        elif node.type == "table":
            yield from _table(node, lines)
        elif node.type != "hr":
            yield from _items(node.children, lines)


def _parts(sections: list[Section]) -> list[list[Section]]:
    """Divide sections by what they speak of: an endpoint in a language. Levels and rules vary, and are not trusted."""
    begins: list[int] = []  # where each part has its title
    part: list[Section] = []  # the sections of a known name, of the part so far
    after = 0  # the last of them
    for i, section in enumerate(sections):
        if section.kind:
            if not part or _opens(section, part, titled=after < i):
                begins.append(_title(section.of, sections[after:i], first=not part) + after)
                part = []
            part.append(section)
            after = i + 1
    titled = [replace(each, kind=each.kind or ("title" if i in begins else None)) for i, each in enumerate(sections)]
    # What stands above a title belongs to the part before, if there is one.
    return [titled[start:end] for start, end in itertools.pairwise([0, *begins[1:], len(sections)]) if begins]


def _opens(section: Section, part: list[Section], *, titled: bool) -> bool:
    """Tell whether a section begins a part of its own: of another language, or behind a title."""
    if section.of:
        return section.of not in {each.of for each in part}
    again = section.kind in {each.kind for each in part}
    other = is_chinese(section.heading) is not is_chinese(part[-1].heading)
    return (again and other) or (titled and (again or other) and section.kind in {"description", "request"})


def _title(of: str, heads: list[Section], *, first: bool) -> int:
    """Return which heading is the title: one with a security type; else the page's first, or a further part's last."""
    ranks = [
        (bool(each.heading), each.heading == of, bool(SECURITY.search(each.heading)), -i if first else i)
        for i, each in enumerate(heads)
    ]
    return abs(max(ranks)[-1]) if ranks else 0


def _decoded(path: Path) -> str:
    """Return a file's text, without invisible characters."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise Unclear(f"{getattr(error, 'strerror', '') or 'not UTF-8 text'}: give a page as Markdown") from error
    text = "".join(c for c in text if unicodedata.category(c) != "Cf").replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text or re.search(r"(?im)^\s*<(!doctype html|html|body)\b", text):
        raise Unclear("HTML or a binary file, not Markdown: convert the page, or get it again")
    return text


def _divided(text: str) -> tuple[dict[str, str], list[str]]:
    """Return the front matter, and the lines of the page. The lines of the front matter are empty there."""
    match = re.match(r"\s*---[ \t]*\n((?:.*\n)*?)---[ \t]*(?:\n|\Z)", text)
    front = dict(re.findall(r"(?m)^(\w+): *['\"]?(.*?)['\"]? *$", match[1])) if match else {}
    if not match or "source_url" not in front:
        raise Unclear("no front matter: the page must start with `---`, then source_url and updated_at")
    return front, ("\n" * text.count("\n", 0, match.end()) + text[match.end() :]).split("\n")


def _sections(text: list[str]) -> list[Section]:
    """Read headings, each with the blocks below it. What stands above the first is a section without a heading."""
    lines = _mended(text)
    root = SyntaxTreeNode(MarkdownIt("commonmark").enable("table").parse("\n".join(line for _, line in lines)))
    sections = [Section(1, "")]
    for item in _items(root.children, lines):
        if isinstance(item, Section):
            sections.append(item)
        else:
            sections[-1].blocks.append(item)
    return sections if sections[0].blocks else sections[1:]


def _is_refusal(sections: list[Section]) -> bool:
    """Tell whether a text is what a firewall answers."""
    words = [each.text for section in sections for each in section.blocks]
    return len(words) < 30 and any(word in " ".join(words).casefold() for word in WORDS["refused"])


def read(path: Path) -> Page:
    """Read a page.

    Raises:
        Unclear: there is no such file, or it is no page: not UTF-8 text, HTML, without front matter or text.

    """
    front, lines = _divided(_decoded(path))
    sections = _sections(lines)
    if not any(section.blocks for section in sections):
        raise Unclear("the page is empty below its front matter: get it again")
    parts = _parts(sections)
    if not parts and _is_refusal(sections):
        raise Unclear("no documentation, but a firewall's answer: get the page again")
    return Page(front, sections, parts)
