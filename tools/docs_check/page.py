"""Read a documentation page, as crawled, into parts, sections and blocks. Knows no OpenAPI; drops nothing but markup.

The form: front matter; then one part for each language, each a title such as `Start … (USER_STREAM)` and five sections.
What does not fit stays in the result: a section of another name has the kind None, a block of another sort is prose.
"""
# ruff: noqa: RUF001  Chinese punctuation

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.rules_block.table import escapedSplit
from markdown_it.tree import SyntaxTreeNode
from mdit_py_plugins.front_matter import front_matter_plugin
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

SITE = "developers.binance.com"
# What the sections of an endpoint's page are called: letters alone, small. In the page's own order.
HEADINGS = {
    "en": {
        "description": "apidescription description endpointdescription",
        "request": "httprequest request httpmethod method endpoint apiendpoint",
        "weight": "requestweight weight ratelimit requestratelimit ipratelimit uidratelimit",
        "parameters": "requestparameters requestparameter parameters parameter",
        "response": "responseexample responseexamples response responses exampleresponse",
    },
    "zh-CN": {
        "description": "接口描述 接口说明 描述",
        "request": "http请求 请求方式 请求方法 请求",
        "weight": "请求权重 权重 接口权重 请求限制",
        "parameters": "请求参数 参数",
        "response": "响应示例 返回示例 响应样例 响应 返回",
    },
}
KNOWN = {
    name: (kind, language)
    for language, kinds in HEADINGS.items()
    for kind, names in kinds.items()
    for name in names.split()
}
# A page that is no documentation at all, but what a firewall or a proxy sent in its place.
REFUSED = re.compile(
    r"(?i)access denied|request blocked|could not be satisfied|captcha|just a moment|verify you are human"
)
RULER = re.compile(r"\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)+\|?\s*")  # the line below a table's header
WORD = r"[^\W\u3040-\u30ff\u3400-\u9fff]"  # a letter or digit of a script that puts spaces between words
PLAIN = str.maketrans("“”„‘’‐‑−–—\u3000", '"""\'\'----- ')


class PageError(Exception):
    """The file is no documentation page; the text says why."""


@dataclass(frozen=True)
class Sentence:
    """Some prose."""

    line: int
    text: str


@dataclass(frozen=True)
class Code:
    """A block of code, indented or fenced."""

    line: int
    text: str


@dataclass(frozen=True)
class Table:
    """A table: its header, and each row with its line."""

    line: int
    header: list[str]
    rows: list[tuple[int, list[str]]]


@dataclass
class Section:
    """A heading and what stands below it. `kind` is one of HEADINGS, "title", or None: a section of another name."""

    line: int
    heading: str
    level: int
    after_rule: bool
    kind: str | None = None
    language: str | None = None
    suffix: str = ""  # what the heading says beyond its known name
    links: list[str] = field(default_factory=list)
    blocks: list[Sentence | Code | Table] = field(default_factory=list)


@dataclass
class Part:
    """What the page says of one endpoint in one language."""

    language: str
    title: str
    security: str | None
    line: int
    sections: list[Section]

    def of(self, kind: str) -> list[Section]:
        """Return the sections of this kind."""
        return [section for section in self.sections if section.kind == kind]


@dataclass
class Page:
    """A page as it was read. Without a section that is known, `parts` is empty; `sections` has all of them."""

    front: dict[str, object]
    lines: dict[str, int]
    parts: list[Part]
    sections: list[Section]


def normal(text: str) -> str:
    """Return text in the one form that is compared. Every mark counts; its width and its slant do not.

    A space counts between two words, and nowhere else: `1 5` is not `15`, `60 分钟` is `60分钟`.
    """
    kept = (unicodedata.normalize("NFKC", c) if unicodedata.east_asian_width(c) in "FH" else c for c in text)
    text = " ".join(unicodedata.normalize("NFC", "".join(kept)).translate(PLAIN).split())
    return re.sub(rf"(?<!{WORD}) | (?!{WORD})", "", text)


def name_of(heading: str) -> str:
    """Return a heading's letters alone, without a number or a picture before it."""
    return re.sub(r"[\W_]+", "", re.sub(r"^[\W\d_]+", "", heading)).casefold()


class _Words(HTMLParser):
    """The text of a piece of HTML. Tags are markup, but for those that change what a number says."""

    def __init__(self) -> None:
        super().__init__()
        self.words = ""

    def handle_data(self, data: str) -> None:
        self.words += data

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        image = f"[image: {dict(attrs).get('src')}]" if tag == "img" else " "
        self.words += f"<{tag}>" if tag in {"sup", "sub", "del", "s"} else image

    def handle_endtag(self, tag: str) -> None:
        self.words += f"</{tag}>" if tag in {"sup", "sub", "del", "s"} else " "


def _html(text: str) -> str:
    parser = _Words()
    parser.feed(text)
    parser.close()
    return parser.words


def _link(node: SyntaxTreeNode) -> str:
    """Return a link's words, and its target if it leaves the site. A heading's anchor, without words, is debris."""
    words = "".join(map(_inline, node.children))
    if not any(map(str.isalnum, words)) or words.startswith("Direct link to") or words.endswith("的直接链接"):
        return ""
    target = str(node.attrs.get("href", ""))
    leaves = urlsplit(target).netloc not in {"", SITE} and target.rstrip("/") != words.rstrip("/")
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
    return " ".join("".join(map(_inline, node.children)).split())


def sentences(text: str, line: int) -> Iterator[Sentence]:
    """Split prose after full stops, and remember where each sentence starts."""
    for match in re.finditer(r"(?s)\S.*?(?:[.!?](?=\s)|[。！？；]|\s*\Z)", text):
        if normal(match[0]):
            yield Sentence(line + text[: match.start()].count("\n"), " ".join(match[0].split()))


def _bars(line: str) -> int:
    return len(re.findall(r"(?<!\\)\|", line))


def _mended(lines: list[str]) -> list[tuple[int, str]]:
    """Join the rows of tables that a line break inside a cell has cut, and keep each line's number."""
    kept: list[tuple[int, str]] = []
    need = 0  # the bars of a whole row, in a table
    for i, line in enumerate(lines):
        if RULER.fullmatch(line) and kept and _bars(kept[-1][1]) == _bars(line):
            need = _bars(line)
        elif need and not line.strip():
            rest = next(((j, text) for j, text in enumerate(lines[i:], i) if text.strip()), (i, ""))
            after = lines[rest[0] + 1] if rest[0] + 1 < len(lines) else ""
            if _bars(rest[1]) == need and not RULER.fullmatch(after) and not rest[1].startswith(("#", ">", "    ")):
                continue
            need = 0
        elif need and not re.match(r"\s*(#|>|```|~~~|[*+-] )", line):
            bars = _bars(kept[-1][1])
            if bars + _bars(line) == need and not RULER.fullmatch(kept[-1][1]):
                kept[-1] = (kept[-1][0], f"{kept[-1][1].rstrip()}<br>{line.strip()}")
                continue
        kept.append((i, line))
    return kept


class _Outline:
    """Sorts a page's blocks below its headings. Heading levels are not trusted: pages vary."""

    def __init__(self, lines: list[tuple[int, str]], skipped: int) -> None:
        self.lines, self.skipped = lines, skipped
        self.sections = [Section(1, "", 9, False)]
        self.rule = False  # a horizontal rule was the last thing seen

    def line(self, node: SyntaxTreeNode, more: int = 0) -> int:
        """Return the line of the file where a node starts."""
        at = min((node.map[0] if node.map else 0) + more, len(self.lines) - 1)
        return self.lines[at][0] + 1 + self.skipped

    def read(self, nodes: list[SyntaxTreeNode]) -> None:
        """Sort some blocks, and what they hold."""
        for node in nodes:
            match node.type:
                case "front_matter":
                    continue
                case "hr":
                    self.rule = True
                    continue
                case "heading":
                    self.heading(node, int(node.tag[1]))
                case "paragraph" if self.label(node):
                    self.heading(node, 6)
                case "paragraph":
                    self.add(sentences("".join(map(_inline, node.children)), self.line(node)))
                case "html_block":
                    self.add(sentences(_html(node.content), self.line(node)))
                case "code_block" | "fence":
                    self.add([Code(self.line(node, node.type == "fence"), node.content)])
                case "table":
                    self.table(node)
                case _:
                    self.read(node.children)

    def add(self, blocks: Iterator[Sentence] | list[Code] | list[Table]) -> None:
        """Put blocks below the last heading."""
        before = len(self.sections[-1].blocks)
        self.sections[-1].blocks += blocks
        self.rule = self.rule and before == len(self.sections[-1].blocks)

    def label(self, node: SyntaxTreeNode) -> bool:
        """Tell whether a paragraph is a heading in all but its form: bold, and a known name."""
        inline = node.children[0].children if node.children else []
        return bool(inline) and inline[0].type == "strong" and name_of(_text(node)) in KNOWN

    def heading(self, node: SyntaxTreeNode, level: int) -> None:
        """Start a section."""
        words = _text(node)
        section = Section(self.line(node), words, level, self.rule)
        name, section.suffix = [*re.split(r"(?=[(（])", words, maxsplit=1), ""][:2]
        name = name_of(name)
        section.kind, section.language = KNOWN.get(name, (None, None))
        known = [key for key in KNOWN if name.startswith(key) and KNOWN[key][0] == "response"]
        if section.kind is None and known:
            (section.kind, section.language), section.suffix = KNOWN[known[0]], words
        section.links = [str(n.attrs["href"]) for n in node.walk() if n.type == "link" and "#" in str(n.attrs["href"])]
        self.sections.append(section)
        self.rule = False

    def table(self, node: SyntaxTreeNode) -> None:
        """Add a table, and as prose the cells beyond its header's width: Markdown drops them, we may not."""
        head, *body = [row for group in node.children for row in group.children]
        cells = {id(row): [_text(cell) for cell in row.children] for row in (head, *body)}
        self.add([Table(self.line(node), cells[id(head)], [(self.line(row), cells[id(row)]) for row in body])])
        for row in body:
            found = escapedSplit(self.lines[row.map[0] if row.map else 0][1].strip())
            for cell in found[found[0] == "" :][len(cells[id(row)]) :]:
                self.add(sentences(cell, self.line(row)))


def _title(pending: list[Section]) -> int | None:
    """Which of some headings without a known name is the title: after a rule, with a security type, highest, first."""
    start = max((i for i, s in enumerate(pending) if s.after_rule), default=0)
    keys = [(_security(s.heading)[1] is None, s.level, i) for i, s in enumerate(pending) if i >= start and s.heading]
    return min(keys)[2] if keys else None


def _security(heading: str) -> tuple[str, str | None]:
    """Take the security type off a title."""
    match = re.fullmatch(r"(.*?)\s*[(（]\s*([A-Z][A-Z_, ]*?)\s*[)）]", heading)
    return (match[1], match[2]) if match else (heading, None)


def _starts(section: Section, part: Part, pending: list[Section], at: int | None) -> bool:
    """Tell whether a section of a known name starts another part."""
    again = bool(part.of(str(section.kind)))
    if section.language == part.language:
        return again and at is not None and section.kind in {"description", "request"}
    return again or any(s.after_rule or s.level < section.level for s in pending)


def _parts(sections: list[Section]) -> list[Part]:
    """Put sections together that speak of one endpoint in one language."""
    parts: list[Part] = []
    pending: list[Section] = []
    for section in sections:
        if section.kind is None:
            pending.append(section)
            continue
        at = _title(pending)
        if not parts or _starts(section, parts[-1], pending, at):
            if at is not None and parts:
                parts[-1].sections += pending[:at]
                pending = pending[at:]
            elif at is not None:
                pending = [pending[at], *pending[:at], *pending[at + 1 :]]
            head = pending[0] if at is not None else section
            chinese = re.search("[\u3400-\u9fff]", head.heading)
            title = _security(head.heading) if at is not None else ("", None)
            head.kind = "title" if at is not None else head.kind
            parts.append(Part("zh-CN" if chinese else str(section.language), *title, head.line, []))
        parts[-1].sections += [*pending, section]
        pending = []
    if parts:
        parts[-1].sections += pending
    return parts


def _front(text: str) -> dict[str, object]:
    try:
        front = YAML(typ="base").load(text)
    except YAMLError as error:
        raise PageError(f"the front matter is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(front, dict):
        raise PageError("the front matter holds no `name: value` lines")
    return front


def read(path: Path) -> Page:
    """Read a page.

    Raises:
        PageError: there is no such file, or it is no page: not UTF-8 text, HTML, without front matter or text.

    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise PageError(f"{error.strerror}: {path}") from error
    except UnicodeDecodeError as error:
        raise PageError(f"not UTF-8 text (byte {error.start}): give the page as Markdown") from error
    if "\0" in text:
        raise PageError("a binary file: give the page as Markdown")
    text = "".join(c for c in text if unicodedata.category(c) != "Cf").replace("\r\n", "\n").replace("\r", "\n")
    if re.search(r"(?im)\A\s*<(!doctype|html)|^\s*<(!doctype html|html|body)\b", text):
        raise PageError("HTML, not Markdown: convert the page, or get it again")
    lines = _mended(text.lstrip().split("\n"))
    tokens = MarkdownIt("commonmark").enable("table").use(front_matter_plugin)
    root = SyntaxTreeNode(tokens.parse("\n".join(line for _, line in lines)))
    first = root.children[0] if root.children else None
    if first is None or first.type != "front_matter":
        raise PageError("no front matter: the page must start with `---`, then source_url and updated_at")
    front = _front(first.content)
    skipped = text[: len(text) - len(text.lstrip())].count("\n")  # front matter must start the text
    outline = _Outline(lines, skipped)
    outline.read(root.children)
    found = outline.sections if outline.sections[0].blocks else outline.sections[1:]
    if not any(section.blocks for section in found):
        raise PageError("the page is empty below its front matter: get it again")
    parts = _parts(found)
    if not parts and REFUSED.search(text) and len(text) < 3000:
        raise PageError("no documentation, but a firewall's answer: get the page again")
    return Page(
        front, {line.split(":")[0]: i for i, line in enumerate(first.content.split("\n"), 2 + skipped)}, parts, found
    )
