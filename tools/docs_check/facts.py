"""What every reader makes of its source: facts, which can be compared, and lines of text. And the reader of pages.

A page's facts know no OpenAPI: `endpoint`, `security type`, `weight`, `parameter x`, `field a[].b`, `lifetime`. What is
not wholly read as a fact is a line, so that nothing of a page can change unseen.
"""
# ruff: noqa: RUF001  Chinese punctuation

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from docs_check import examples
from docs_check.page import Code, Page, Part, Section, Sentence, Table, name_of, normal, sentences

METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")
# Binance's words for types, and the type and format of a schema that says the same.
TYPES = {
    "STRING": "string",
    "ENUM": "enum",
    "LONG": "integer int64",
    "INT": "integer int32",
    "INTEGER": "integer int32",
    "DECIMAL": "decimal",
    "BIGDECIMAL": "decimal",
    "DOUBLE": "double",
    "FLOAT": "float",
    "BOOLEAN": "boolean",
    "BOOL": "boolean",
    "ARRAY": "array",
    "LIST": "array",
}
REQUIRED = dict.fromkeys(("YES", "TRUE", "Y", "是"), "required")
REQUIRED |= dict.fromkeys(("NO", "FALSE", "N", "否"), "optional")
COLUMNS = {
    "name": "name param parameter parametername field 名称 参数 参数名 参数名称 字段",
    "type": "type datatype 类型 参数类型 数据类型",
    "mandatory": "mandatory required 是否必需 是否必须 是否必填 是否必传 必需 必须 必填",
    "description": "description desc remark remarks 描述 参数描述 说明 备注",
}
NOTHING = {"none", "null", "无", "没有", "noparameters", "na"}
WEIGHT = re.compile(r"(?i)(?:weight:?)?([0-9]+)(?:[ /]?\(?(?:per )?(ip|uid|order)\)?)?[.。]?")
# How long something lives, in the words of one clause; advice such as "every 30 minutes" is none.
TIME = r"(an?|one|\d+)\s?(minute|hour|分钟|个?小时)"
LIFETIME = re.compile(
    rf"(?i)\b(?:close|expire|end|valid|extend|live)\w*\b.*?{TIME}|{TIME}s? later"
    rf"|(?:有效|延长|关闭|过期|失效).*?{TIME}|{TIME}(?:后|内)?(?:有效|关闭|过期|失效)"
)
ADVICE = re.compile(r"(?i)\b(every|each|per|recommend\w*|suggest\w*)\b|每|建议")


@dataclass(frozen=True)
class Fact:
    """A value, and the line where the source states it."""

    value: str
    line: int = 0


@dataclass(frozen=True)
class Line:
    """A line of text: the section it stands in, and where."""

    section: str
    text: str
    line: int


@dataclass
class Reading:
    """What a source says of one operation or event in one language. `name` is None if it says of which none."""

    name: str | None
    language: str | None = None
    line: int = 1
    facts: dict[str, Fact] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    notes: list[tuple[int, str]] = field(default_factory=list)
    shapes: list[tuple[int, str]] = field(default_factory=list)  # of the examples of an answer
    silent: tuple[str, ...] = ()  # what such a source never states

    def add(self, key: str, value: str, line: int = 0) -> None:
        """Add a fact; two values of one fact stand side by side."""
        known = self.facts.get(key)
        words = {*(known.value.split("|") if known else ()), *value.split("|")}
        words -= {"integer"} if "integer int64" in words else set()  # the same, with room for more
        self.facts[key] = Fact("|".join(sorted(words)), known.line if known else line)

    def say(self, section: str, *blocks: Sentence | Code | Table, before: str = "") -> None:
        """Keep blocks as lines of text."""
        for block in blocks:
            match block:
                case Table():
                    cells = [(block.line, block.header), *block.rows]
                    found = [Sentence(line, " | ".join(row)) for line, row in cells]
                case Code():
                    texts = enumerate(block.text.split("\n"), block.line)
                    found = [Sentence(line, text.strip()) for line, text in texts if text.strip()]
                case _:
                    found = [block]
            self.lines += [Line(section, before + sentence.text, sentence.line) for sentence in found]


def endpoints(text: str) -> tuple[list[str], str]:
    """Read `POST /path`, once or more often, and return what is left."""
    words = [word for word in text.replace("`", " ").split() if word.strip("|,;").casefold() not in {"", "or", "或"}]
    found, hosts = [], ""
    while len(words) > 1 and words[0].upper() in METHODS and urlsplit(words[1]).path.startswith("/"):
        method, url = words.pop(0).upper(), urlsplit(words.pop(0).rstrip(",;.:"))
        found.append(f"{method} {url.path}")
        hosts += f"{url.netloc}?{url.query} " if url.netloc or url.query else ""
    return found, hosts + " ".join(words)


def request(reading: Reading, section: Section) -> None:
    """Read method and path."""
    for block in section.blocks:
        found, rest = ([], "") if isinstance(block, Table) else endpoints(block.text)
        for name in found:
            reading.add("endpoint", name, block.line)
        if rest or not found:
            reading.say("request", block)


def figures(cells: Iterable[object]) -> str:
    """Return a row of a table of weights. Words, which each language has its own of, are left out."""
    return ": ".join("…" if re.search(r"[^\W\d_]", str(cell)) else normal(str(cell)) for cell in cells)


def weight(reading: Reading, section: Section) -> None:
    """Read numbers, each with the budget it is counted against, or a table. Words of a table are lines."""
    scope = normal(section.suffix).strip("()").casefold()
    for block in section.blocks:
        if isinstance(block, Table):
            if not parameters(reading, "weight", block, "mandatory"):
                rows = [figures(cells) for _, cells in block.rows]
                reading.add("weight", "; ".join(rows), block.line)
                worded = [row for row in block.rows if "…" in figures(row[1])]
                reading.say("weight", replace(block, rows=worded))
        elif match := WEIGHT.fullmatch(normal(block.text)):
            reading.add("weight", match[1], block.line)
            if match[2] or scope in {"ip", "uid", "order"}:
                reading.add("weight counted per", (match[2] or scope).casefold(), block.line)
                reading.say("weight", Sentence(block.line, f"per {(match[2] or scope).casefold()}"))
        else:
            reading.say("weight", block)
    if scope not in {"", "ip", "uid", "order"}:
        reading.say("weight", Sentence(section.line, section.suffix))


def parameters(reading: Reading, kind: str, table: Table, needed: str = "name") -> bool:
    """Read a table of parameters, or return False if it is none. Descriptions, and what a cell says more, are lines."""
    names = [name_of(cell) for cell in table.header]
    columns = {fact: i for fact, known in COLUMNS.items() for i, name in enumerate(names) if name in known.split()}
    if not {"name", needed} <= columns.keys():
        return False
    others = set(range(len(names))) - {columns.get(fact) for fact in ("name", "type", "mandatory")}
    strange = others - {columns.get("description")}
    reading.say(kind, *(Sentence(table.line, table.header[i]) for i in sorted(strange) if table.header[i]))
    for line, cells in table.rows:
        name = cells[columns["name"]]
        word, rest = re.findall(r"(?s)^(\w*)(.*)", cells[columns["type"]] if "type" in columns else "")[0]
        must = cells[columns["mandatory"]] if "mandatory" in columns else ""
        often = "EITHER" in must.upper() or "CONDITION" in must.upper()
        required = "optional" if often else REQUIRED.get(must.upper(), must or "not said whether required")
        reading.add(f"parameter {name}", f"{TYPES.get(word.upper(), word or 'no type')}, {required}", line)
        values = re.findall(r"[\w.-]+", rest)
        if word.upper() == "ENUM" and values and "".join(values).isupper():
            reading.add(f"values of {name}", ", ".join(sorted(values)), line)
        if normal(rest):
            reading.say(kind, Sentence(line, word + rest), before=f"{name}: ")
        reading.say(kind, *[Sentence(line, must)] * often, before=f"{name}: ")
        for i in sorted(others):
            reading.say(kind, *sentences(cells[i], line), before=f"{name}: ")
    return True


def response(reading: Reading, kind: str, code: Code) -> None:
    """Read an example, of an answer or of something else. Its values may change, its shape and its comments may not."""
    try:
        found = examples.read(code.text)
    except examples.NotJSONError:
        reading.say(kind, code)
        return
    reading.notes += [(code.line, f"an example that is no JSON was read in spite of {what}") for what in found.repairs]
    reading.say(kind, *(Sentence(code.line + line, text) for line, text in found.comments))
    shapes = []
    for line, shape in found.values:
        error = refusal(shape)
        if error or kind != "response":
            text = f"example {error or ''}: {examples.written(shape)}"
            reading.say(kind, Sentence(code.line + line, text))
            continue
        shapes.append(examples.written(shape))
        for path, name in examples.fields(shape):
            leaf = re.sub(r"[^.]*\.|[\[\]]", "", path)
            at = next(
                (
                    i
                    for i, row in enumerate(code.text.split("\n"))
                    if leaf and re.search(rf"\b{re.escape(leaf)}\b", row)
                ),
                line,
            )
            reading.add(f"field {path}" if path else "answer", name, code.line + at)
    reading.shapes += [(code.line, shape) for shape in shapes]


def refusal(shape: examples.Shape) -> str | None:
    """Return the error code of an answer that is an error. They are below zero."""
    code = shape.get("code", [None])[0] if isinstance(shape, dict) and "msg" in shape else None
    return code.text if isinstance(code, examples.Leaf) and code.text.startswith("-") else None


def lifetimes(reading: Reading, sentence: Sentence) -> None:
    """Read how long the thing lives, in minutes."""
    for clause in re.split("[.,;，。；]", normal(sentence.text)):
        match = LIFETIME.search(clause)
        if match and not ADVICE.search(clause):
            count, unit = [word for word in match.groups() if word]
            minutes = int(count if count.isdigit() else 1) * (60 if "hour" in unit.lower() or "小时" in unit else 1)
            reading.add("lifetime", f"{minutes}", sentence.line)


def other(reading: Reading, kind: str, section: Section) -> None:
    """Read a section without facts of its own, or with none but a table of parameters, a lifetime or an answer."""
    for block in section.blocks:
        if isinstance(block, Code):
            response(reading, kind, block)
        elif isinstance(block, Sentence) and kind == "description":
            lifetimes(reading, block)
            reading.say(kind, block)
        elif isinstance(block, Sentence) and name_of(block.text) in NOTHING:
            reading.say(kind, Sentence(block.line, "none"))
        elif not (isinstance(block, Table) and kind == "parameters" and parameters(reading, kind, block)):
            reading.say(kind, block)


def facts_of_part(part: Part) -> Reading:
    """Read one language's part of an endpoint's page."""
    reading = Reading(None, part.language, part.line)
    reading.add("title", part.title or "none", part.line)
    reading.add("security type", part.security or "NONE", part.line)
    for section in part.sections:
        kind = section.kind or section.heading or "above the title"
        if section.kind is None and section.heading:
            reading.say(kind, Sentence(section.line, section.heading))
        elif section.kind not in {"title", "weight"} and normal(section.suffix):
            reading.say(kind, Sentence(section.line, section.suffix))
        {"request": request, "weight": weight}.get(kind, lambda r, s, k=kind: other(r, k, s))(reading, section)
    if len({shape for _, shape in reading.shapes}) > 1 or any("|" in shape for _, shape in reading.shapes):
        text = " and ".join(sorted(shape for _, shape in reading.shapes))
        reading.say("response", Sentence(reading.shapes[0][0], f"examples of several shapes: {text}"))
    text = "".join(line.text for line in reading.lines)
    if len(re.findall("[\u3400-\u9fff]", text)) > len(text) / 4:
        reading.language = "zh-CN"
    named = reading.facts.get("endpoint")
    reading.name = named.value.split("|")[0] if named else None
    return reading


def facts_of_page(page: Page) -> list[Reading]:
    """Read an endpoint's page: a reading for each endpoint and language, in the page's order."""
    found: dict[tuple[str | None, str | None], Reading] = {}
    for reading in map(facts_of_part, page.parts):
        known = found.setdefault((reading.name, reading.language), reading)
        if known is not reading:
            for key, fact in reading.facts.items():
                known.add(key, fact.value, fact.line)
            known.lines += reading.lines
            known.notes += reading.notes
    return list(found.values())
