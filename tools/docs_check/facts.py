"""What every reader makes of its source: facts, which can be compared, and lines of text. And the reader of pages.

A page's facts know no OpenAPI: `endpoint`, `security type`, `weight`, `parameter x`, `field a[].b`, `lifetime`. What is
not wholly read as a fact is a line, so that nothing of a page can change unseen.
"""
# ruff: noqa: RUF001  Chinese punctuation

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from operator import attrgetter

from docs_check import examples
from docs_check.page import SECURITY, WORDS, Block, Section, is_chinese, name_of, normal, sentences

METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")
TYPES, REQUIRED = ({w: fact for fact, words in WORDS[name].items() for w in words} for name in ("types", "required"))
REQUEST = re.compile(rf"(?i)[\s,]*(?:or\b|或)?\s*({'|'.join(METHODS)})[\s:]*(https?://[^/\s]+)?(/[^\s?]*)(\?\S*)?")
WEIGHT = re.compile(r"(?i)(?:(ip|uid|order)? ?weight:? ?)?([0-9]+)(?:[ /]?\(?(?:per )?(ip|uid|order)\)?)?[.。]?")
PRESENT = ("endpoint", "answer", "field ", "parameter ")  # need not be facts in the site's present form: they are text
# How long something lives, in the words of one clause; advice such as "every 30 minutes" is none.
TIME = r"(an?|one|\d+)\s?(minute|hour|分钟|个?小时)"
LIFETIME = re.compile(
    rf"(?i)\b(?:close|expire|end|valid|extend|live)\w*\b.*?{TIME}|{TIME}s? later"
    rf"|(?:有效|延长|关闭|过期|失效).*?{TIME}|{TIME}(?:后|内)?(?:有效|关闭|过期|失效)"
)
ADVICE = re.compile(r"(?i)\b(every|each|per|recommend\w*|suggest\w*)\b|每|建议")


@dataclass(frozen=True)
class Line:
    """A line of text: the section it stands in, and where."""

    section: str
    text: str
    line: int


@dataclass
class Reading:
    """What a source says of one operation or event in one language. Without a `name`, it does not say of which."""

    name: str = ""
    language: str = ""
    line: int = 1
    facts: dict[str, tuple[str, int]] = field(default_factory=dict)  # each value, with its line
    lines: list[Line] = field(default_factory=list)
    notes: list[tuple[int, str]] = field(default_factory=list)
    shapes: list[tuple[int, str]] = field(default_factory=list)  # of the examples of an answer
    quiet: tuple[str, ...] = ()  # the facts that the source need not state, by their first words

    def add(self, key: str, value: str, line: int = 0) -> None:
        """Add a fact; two values of one fact stand side by side."""
        known, at = self.facts.get(key, ("", line))
        words = {*known.split("|"), *value.split("|")} - {""}
        words -= {"integer"} if "integer int64" in words else set()  # the same, with room for more
        self.facts |= {key: ("|".join(sorted(words)), at)} if words else {}

    def says(self, key: str, value: str) -> bool:
        """Tell whether a fact has a value. What an answer shows may differ by language, and is never the same fact."""
        same = normal(self.facts.get(key, ("", 0))[0]) == normal(value)
        return same and not key.startswith(("field", "answer"))

    def say(self, section: str, *blocks: Block, before: str = "") -> None:
        """Keep blocks as lines of text."""
        for block in blocks:
            found = [(line, " | ".join(cells)) for line, cells in block.rows]
            found += enumerate(block.text.split("\n"), block.line)
            self.lines += [Line(section, before + text.strip(), line) for line, text in found if text.strip()]


def request(reading: Reading, kind: str, block: Block) -> None:
    """Read `POST /path`, once or more often. A line that says more is a line of text, too."""
    rest = text = block.text.replace("`", " ")
    while match := REQUEST.match(rest):
        method, host, path, query = match.groups()
        reading.add("endpoint", f"{method.upper()} {path.rstrip(',;.:')}", block.line)
        rest = rest[match.end() :] + (host or "") + (query or "")
    if rest.strip() or not text.strip():
        reading.say(kind, block)


def figures(cells: Iterable[object]) -> str:
    """Return a row of a table of weights. Words, which each language has its own of, are left out."""
    return ": ".join("…" if re.search(r"[^\W\d_]", str(cell)) else normal(str(cell)) for cell in cells)


def weight(reading: Reading, section: Section, block: Block) -> None:
    """Read a number, with the budget it is counted against, or a table. Words of a table are lines."""
    if block.rows:
        if not parameters(reading, "weight", block, {"name", "required"}):
            reading.add("weight", "; ".join(figures(cells) for _, cells in block.rows[1:]), block.line)
            reading.say("weight", replace(block, rows=tuple(row for row in block.rows if "…" in figures(row[1]))))
    elif match := WEIGHT.fullmatch(normal(block.text)):
        reading.add("weight", match[2], block.line)
        counted = (match[1] or match[3] or normal(section.suffix).strip("()")).casefold()
        if counted in {"ip", "uid", "order"}:
            reading.add("weight counted per", counted, block.line)
            reading.say("weight", *[block] * bool(match[3]))
    else:
        reading.say("weight", block)


def parameters(reading: Reading, kind: str, table: Block, needed: set[str]) -> bool:
    """Read a table of parameters, or return False if it is none. Descriptions, and what a cell says more, are lines."""
    (line, header), *rows = table.rows or ((0, []),)
    at = columns(header)
    if not needed <= at.keys():
        return False
    read = {at.get(fact) for fact in ("name", "type", "required")}
    others = [i for i in range(len(header)) if i not in read]
    reading.say(kind, *(Block(line, header[i]) for i in others if i != at.get("description")))
    for row in rows:
        parameter(reading, kind, row, at, others)
    return True


def columns(header: list[str]) -> dict[str, int]:
    """Return where a table of parameters says what."""
    names = [name_of(cell) for cell in header]
    return {fact: i for fact, known in WORDS["columns"].items() for i, name in enumerate(names) if name in known}


def parameter(reading: Reading, kind: str, row: tuple[int, list[str]], at: dict[str, int], others: list[int]) -> None:
    """Read a row of a table of parameters. `at` names the columns that are read; what `others` say is text."""
    line, cells = row
    name, must = cells[at["name"]], cells[at["required"]] if "required" in at else "not said if required"
    word, more = re.findall(r"(?s)^(\w*)(.*)", cells[at["type"]] if "type" in at else "no type")[0]
    required, _, but = REQUIRED.get(must.upper().split(" ")[0], must).partition(", ")
    reading.add(f"parameter {name}", f"{TYPES.get(word.upper(), word)}, {required}", line)
    said = [word + more] * bool(normal(more)) + [must] * bool(but or " " in must)
    said += [block.text for i in others for block in sentences(cells[i], line)]
    reading.say(kind, *(Block(line, text) for text in said), before=f"{name}: ")


def example(reading: Reading, kind: str, block: Block) -> None:
    """Read JSON, of an answer or of something else. Its values may change; its shape and its comments may not."""
    try:
        values, comments, odd = examples.read(block.text)
    except ValueError:
        reading.say(kind, block)
        return
    if odd:
        reading.notes.append((block.line, "not quite JSON, but read"))
    reading.say(kind, *(Block(block.line + line, text) for line, text in comments))
    for value in values:
        code = error_code(value)
        is_answer = kind == "response" and not code
        if reading.quiet or not is_answer:
            reading.say(kind, Block(block.line, f"example {code or ''}: {examples.shape(value)}"))
        if is_answer:
            reading.shapes.append((block.line, examples.shape(value)))
            answer(reading, value, block)


def error_code(value: object) -> int:
    """Return the code of an example of an error; 0 of another example."""
    code = value.get("code") if isinstance(value, dict) and "msg" in value else None
    return code if isinstance(code, int) and code < 0 else 0


def answer(reading: Reading, value: object, block: Block) -> None:
    """Add the fields of an answer or event, each with the line where its name first stands."""
    for path, kind in examples.fields(value):
        leaf = re.sub(r"[^.]*\.|[\[\]]", "", path) or "{"
        rows = [i for i, row in enumerate(block.text.split("\n")) if leaf in re.split(r"[^\w{]+", row)]
        reading.add(f"field {path}" if path else "answer", kind, block.line + (rows or [0])[0])


def other(reading: Reading, kind: str, block: Block) -> None:
    """Read an example, a table of parameters, a lifetime, or just text."""
    if block.code:
        example(reading, kind, block)
    elif kind != "parameters" or not parameters(reading, kind, block, {"name"}):
        reading.say(kind, replace(block, text="none") if name_of(block.text) in WORDS["nothing"] else block)
    if kind in {"description", "title"}:
        lifetime(reading, block)


def lifetime(reading: Reading, block: Block) -> None:
    """Read how long something lives, in minutes."""
    for clause in re.split("[.,;，。；]", normal(block.text)):
        if (match := LIFETIME.search(clause)) and not ADVICE.search(clause):
            count, unit = [word for word in match.groups() if word]
            hours = "hour" in unit.casefold() or "小时" in unit
            reading.add("lifetime", f"{(int(count) if count.isdigit() else 1) * (60 if hours else 1)}", block.line)


def language_of(sections: list[Section]) -> str:
    """Tell the language of sections by the letters of their headings; else by those of their text."""
    named = "".join(section.heading for section in sections)
    text = named + "".join(block.text for section in sections for block in section.blocks if not block.code)
    return "zh-CN" if is_chinese(named) or 4 * sum(map(is_chinese, text)) > len(text) else "en"


def facts_of_part(part: list[Section]) -> Reading:
    """Read what a page says of one endpoint in one language."""
    present = max(section.of for section in part)
    known = list(filter(attrgetter("kind"), part))
    head = min(known, key=lambda section: section.kind != "title")
    reading = Reading("", language_of(known), head.line, quiet=PRESENT if present else ())
    if title := head.heading if head.kind == "title" else present:
        reading.add("title", SECURITY.sub("", title), head.line)
        reading.add("security type", "".join(SECURITY.findall(title)), head.line)
    for section in part:
        read(reading, section)
    shapes = " and ".join(sorted(shape for _, shape in reading.shapes))
    if "|" in shapes or reading.shapes[1:]:
        reading.say("response", Block(reading.shapes[0][0], f"examples of several shapes: {shapes}"))
    reading.name = reading.facts.get("endpoint", ("", 0))[0].split("|")[0]
    return reading


def read(reading: Reading, section: Section) -> None:
    """Read a section: what its heading says beyond its name, and its blocks."""
    kind = section.kind or section.heading or "above the title"
    if kind != "title":
        reading.say(kind, Block(section.line, section.suffix if section.kind else section.heading))
    for block, after in zip_longest(section.blocks, section.blocks[1:], fillvalue=Block(0)):
        if kind == "weight":
            weight(reading, section, block)
        elif kind == "request" and not block.rows:
            request(reading, kind, block)
        else:
            if block.text in METHODS:  # the present form: the method, and below it the path
                request(reading, kind, replace(block, text=f"{block.text} {after.text}"))
            other(reading, kind, block.as_code(present=bool(section.of)))
