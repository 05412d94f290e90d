"""Read a documentation page of the exchange, as crawled, into its parts, sections and sentences. Knows no OpenAPI.

The form: front matter; then one part a language, each a title such as `Start … (USER_STREAM)` and five sections.
Anything that does not fit stays in the result (a section of kind None, a sentence, a block of code): nothing is dropped
but markup.
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

# What the sections of one endpoint are called, as letters() leaves a heading. In the page's own order.
HEADINGS = {
    "en": {
        "description": ["apidescription", "description"],
        "request": ["httprequest"],
        "weight": ["requestweight", "weight"],
        "parameters": ["requestparameters", "parameters"],
        "response": ["responseexample", "responseexamples", "response"],
    },
    "zh-CN": {
        "description": ["接口描述"],
        "request": ["http请求"],
        "weight": ["请求权重", "权重"],
        "parameters": ["请求参数"],
        "response": ["响应示例", "返回示例"],
    },
}
KINDS = tuple(HEADINGS["en"])
KNOWN = {
    name: (kind, language) for language, kinds in HEADINGS.items() for kind, names in kinds.items() for name in names
}
SITE = "developers.binance.com"


class PageError(Exception):
    """The file is no documentation page; the text says why."""


@dataclass(frozen=True)
class Sentence:
    """Some prose. A block that is neither prose nor understood as data is one, too."""

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
    """A heading and what stands below it. `kind` is one of KINDS, "title", or None: a section of another name."""

    line: int
    heading: str
    level: int
    after_rule: bool
    kind: str | None = None
    language: str | None = None
    suffix: str = ""  # what stands in brackets at the end of the heading
    blocks: list[Sentence | Code | Table] = field(default_factory=list)


@dataclass
class Part:
    """What the page says of one endpoint in one language."""

    language: str
    title: str | None
    security: str | None
    line: int
    sections: list[Section]

    def of(self, kind: str) -> list[Section]:
        """Return the sections of this kind."""
        return [s for s in self.sections if s.kind == kind]


@dataclass
class Page:
    """A page as it was read; `front` is its front matter, `lines` the line of each of its names."""

    front: dict[str, object]
    lines: dict[str, int]
    parts: list[Part]


def letters(text: str) -> str:
    """Reduce text to what carries its meaning: no spaces, marks or quotes; the sign and the point of a number stay."""
    text = unicodedata.normalize("NFKC", text).translate(str.maketrans("−–—", "---"))
    kept = ""
    for i, c in enumerate(text):
        before, after = text[i - 1 : i], text[i + 1 : i + 2]
        if c == "-":
            keep = after.isdigit() and not before.isalnum()
        elif c == ".":
            keep = before.isdigit() and after.isdigit()
        elif c == "_":
            keep = before.isalnum() and after.isalnum()
        else:
            keep = c in "/%#&@" or unicodedata.category(c) in {"Sm", "Sc", "So"} or unicodedata.category(c)[0] in "LMN"
        kept += c if keep else ""
    return kept


def _visible(text: str) -> str:
    """Drop what nobody sees: the characters of Unicode's category Cf, such as a space of no width."""
    return "".join(c for c in text if unicodedata.category(c) != "Cf")


class _Words(HTMLParser):
    """The text of a piece of HTML; comments and tags are markup."""

    def __init__(self) -> None:
        super().__init__()
        self.words = ""

    def handle_data(self, data: str) -> None:
        self.words += data

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.words += " ".join(
            ["", *(f"[image: {value}]" for name, value in attrs if tag == "img" and name == "src"), ""]
        )

    def handle_endtag(self, tag: str) -> None:
        self.words += " "


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


def _sentences(text: str, line: int) -> Iterator[Sentence]:
    """Split prose after full stops, and remember where each sentence starts."""
    for match in re.finditer(r"(?s)\S.*?(?:[.!?](?=\s)|[。！？；]|\s*\Z)", text):
        words = " ".join(_visible(match[0]).split())
        if letters(words):
            yield Sentence(line + text[: match.start()].count("\n"), words)


def _cells(row: SyntaxTreeNode) -> list[str]:
    return [" ".join(_visible("".join(map(_inline, cell.children))).split()) for cell in row.children]


def _line(node: SyntaxTreeNode) -> int:
    return node.map[0] + 1 if node.map else 0


def _excess(line: int, source: list[str], width: int) -> Iterator[Sentence]:
    """Cells beyond the header's: Markdown drops them, we may not."""
    cells = escapedSplit(source[line - 1].strip())
    cells = cells[cells[0] == "" :]
    yield from (Sentence(line, cell.strip()) for cell in cells[width:] if letters(cell))


def _blocks(nodes: list[SyntaxTreeNode], sections: list[Section], source: list[str], rule: bool = False) -> bool:
    """Sort the blocks below their headings. `rule`: a horizontal rule was the last thing seen."""
    for node in nodes:
        found: list[Sentence | Code | Table] = []
        match node.type:
            case "front_matter":
                continue
            case "hr":
                rule = True
                continue
            case "heading":
                words = " ".join(_visible("".join(map(_inline, node.children))).split())
                section = Section(_line(node), words, int(node.tag[1]), rule)
                name, section.suffix = [*re.split(r"(?=[(（])", words, maxsplit=1), ""][:2]
                name = re.sub(r"^[\W\d_]+", "", name)  # a number or a picture before it
                section.kind, section.language = KNOWN.get(letters(name).casefold(), (None, None))
                sections.append(section)
            case "paragraph":
                found = list(_sentences("".join(map(_inline, node.children)), _line(node)))
            case "html_block":
                found = list(_sentences(_html(node.content), _line(node)))
            case "code_block" | "fence":
                found = [Code(_line(node) + (node.type == "fence"), _visible(node.content))]
            case "table":
                head, *body = [row for group in node.children for row in group.children]
                rows = [(_line(row), _cells(row)) for row in body]
                found = [Table(_line(node), _cells(head), rows)]
                found += [extra for line, cells in rows for extra in _excess(line, source, len(cells))]
            case _:
                rule = _blocks(node.children, sections, source, rule)
                continue
        sections[-1].blocks += found
        rule = rule and not found and node.type != "heading"
    return rule


def _title(pending: list[Section]) -> int | None:
    """Which of some headings without a known name is the title: after a rule, with a security type, highest, first."""
    start = max((i for i, s in enumerate(pending) if s.after_rule), default=0)
    keys = [(_security(s.heading)[1] is None, s.level, i) for i, s in enumerate(pending) if i >= start and s.heading]
    return min(keys)[2] if keys else None


def _security(heading: str) -> tuple[str, str | None]:
    """Take the security type off a title."""
    match = re.fullmatch(r"(.*?)\s*[(（]\s*([A-Z][A-Z_, ]*?)\s*[)）]", heading)
    return (match[1], match[2]) if match else (heading, None)


def _parts(sections: list[Section]) -> list[Part]:
    """Put sections together that speak of one endpoint in one language. Heading levels are not trusted: pages vary."""
    parts: list[Part] = []
    pending: list[Section] = []
    for section in sections:
        if section.kind is None:
            pending.append(section)
            continue
        at = _title(pending)
        if not parts:
            starts = True
        else:
            again = bool(parts[-1].of(section.kind))
            if section.language != parts[-1].language:
                apart = any(s.after_rule or s.level < section.level for s in pending)
                starts = again or apart
            else:
                starts = again and at is not None and section.kind in {"description", "request"}
        if starts:
            if at is None:
                part = Part(str(section.language), None, None, section.line, pending)
            else:
                if parts:
                    parts[-1].sections += pending[:at]
                head = pending[at]
                head.kind = "title"
                chinese = any("CJK" in unicodedata.name(c, "") for c in head.heading)
                rest = pending[at:] if parts else [head, *pending[:at], *pending[at + 1 :]]
                part = Part("zh-CN" if chinese else str(section.language), *_security(head.heading), head.line, rest)
            parts.append(part)
        else:
            parts[-1].sections += pending
        parts[-1].sections.append(section)
        pending = []
    if parts:
        parts[-1].sections += pending
    return parts


def read(path: Path) -> Page:
    """Read a page.

    Raises:
        PageError: there is no such file, it is not UTF-8 text, has no front matter or no section that is known.

    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise PageError(f"{error.strerror}: {path}") from error
    except UnicodeDecodeError as error:
        raise PageError(f"not UTF-8 text (byte {error.start}): give the page as Markdown") from error
    if "\0" in text:
        raise PageError("a binary file: give the page as Markdown")
    tokens = MarkdownIt("commonmark").enable("table").use(front_matter_plugin).parse(text.lstrip())
    skipped = len(text[: len(text) - len(text.lstrip())].splitlines())  # front matter must start the text
    for token in tokens:
        token.map = token.map and [line + skipped for line in token.map]
    root = SyntaxTreeNode(tokens)
    first = root.children[0] if root.children else None
    if first is None or first.type != "front_matter":
        raise PageError("no front matter: the page must start with `---`, then source_url and updated_at")
    try:
        front = YAML(typ="base").load(first.content)
    except YAMLError as error:
        raise PageError(f"the front matter is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(front, dict):
        raise PageError("the front matter holds no `name: value` lines")
    sections = [Section(1, "", 9, False)]
    _blocks(root.children, sections, text.splitlines())
    parts = _parts(sections if sections[0].blocks else sections[1:])
    if not parts:
        raise PageError("none of its headings is one of an endpoint's page (HTTP Request, Request Weight, …)")
    lines = {line.split(":")[0]: i for i, line in enumerate(first.content.splitlines(), 2 + skipped)}
    return Page(front, lines, parts)
