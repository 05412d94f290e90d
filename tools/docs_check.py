"""Compare documentation pages, as crawled, with openapi.yaml. Without a page: list the pages it was taken from.

Exit 0: the same (notes may be printed); 1: something differs; 2: a page cannot be read. Of several pages, the worst.

A page's facts are compared as values. Its prose is compared by digest: for each language, `x-source.text` holds one
digest for each sentence, of its letters and numbers alone, with the lifetime taken out. So no word of a page is copied,
another formatting is no difference, and a sentence that is new, altered or gone is seen. Every row says what to write.

--format json prints {"exit", "pages": [{"page", "operation", "error", "exit", "rows": [{"kind": "difference" or "note",
"fact", "language", "line", "page", "document", "todo"}]}]}; without a page, {"sources": [{"operation", "page",
"updated"}]}. A value that does not apply is null.
"""
# ruff: noqa: RUF001  Chinese punctuation

import argparse
import contextlib
import datetime
import hashlib
import io
import itertools
import json
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import json5
from jsonschema import Draft4Validator, FormatChecker
from page import SITE, Code, Page, PageError, Part, Section, Sentence, Table, letters, read
from ruamel.yaml import YAML

DOCUMENT = Path(__file__).resolve().parent.parent / "openapi.yaml"
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")
# Binance's parameter types, and the type and format (or "enum") of the schemas that carry them. No schema carries two.
TYPES: dict[str, list[tuple[str, str | None]]] = {
    "STRING": [("string", None)],
    "ENUM": [("string", "enum")],
    "LONG": [("integer", "int64")],
    "INT": [("integer", "int32"), ("integer", None)],
    "INTEGER": [("integer", "int32"), ("integer", None)],
    "DECIMAL": [("string", "decimal"), ("number", None)],
    "DOUBLE": [("number", "double")],
    "FLOAT": [("number", "float")],
    "BOOLEAN": [("boolean", None)],
    "ARRAY": [("array", None)],
    "LIST": [("array", None)],
}
MANDATORY = {"YES": True, "TRUE": True, "Y": True, "是": True, "NO": False, "FALSE": False, "N": False, "否": False}
COLUMNS = {
    "name": {"name", "param", "parameter", "parametername", "field", "名称", "参数", "参数名", "参数名称"},
    "type": {"type", "datatype", "类型", "参数类型", "数据类型"},
    "mandatory": {"mandatory", "required", "是否必需", "是否必须", "是否必填", "是否必传", "必需", "必须", "必填"},
    "description": {"description", "desc", "remark", "remarks", "描述", "参数描述", "说明", "备注"},
}
SECTIONS = {
    "description": "API Description",
    "request": "HTTP Request",
    "weight": "Request Weight",
    "parameters": "Request Parameters",
    "response": "Response Example",
}
NOTHING = {"none", "null", "无", "没有", "noparameters"}
DECORATION = {
    "response",
    "responses",
    "or",
    "响应",
    "返回",
    "或",
}  # words between examples; each example speaks for itself
# Units of time as pages write them, in seconds. A bare "an hour" is the only number in words that is read.
SECONDS = {
    "milliseconds?|ms|毫秒": 0.001,
    "seconds?|secs?|s|秒": 1,
    "minutes?|mins?|m|分钟|分": 60,
    "hours?|hrs?|h|个?小时": 3600,
    "days?|d|天": 86400,
}
UNIT = re.compile(r"(?i)\b(?:second|minute|min|hour|day)s?\b|分钟|小时|毫秒|[一二三四五六七八九十百半]+[秒天]")
WEIGHT = re.compile(r"(?a)(?:weight[\s:]*)?(\d+)[\s(/]*(?:per|每)?\s*(ip|uid|order)?[\s).]*")
TELLTALES = {
    "deprecation notice": re.compile(
        r"(?i)deprecat|sunset|discontinu|retire|decommission|no longer|obsolete|弃用|废弃|下线|停用|不再"
    ),
    "error code": re.compile(r"(?a)(?<![\w.])([-−–]\d{4,5})\b"),
    "HTTP status": re.compile(r"(?ai)\b(?:HTTP|status)\D{0,12}\b([345]\d\d)\b"),
}
# A comment in JSON; a string is stepped over.
COMMENT = re.compile(r"""(?s)"(?:\\.|[^"\\])*"|(//[^\n]*|/\*.*?\*/)""")


@dataclass(frozen=True)
class Row:
    """One fact: where on the page, what the page says, what the document says, what to do."""

    kind: str  # "difference" or "note"
    fact: str
    language: str | None
    line: int
    page: str
    document: str
    todo: str


@dataclass
class Report:
    """What became of one page. `error` says why it could not be read; `operation` is what it was compared with."""

    page: str
    operation: str | None = None
    error: str | None = None
    rows: list[Row] = field(default_factory=list)

    @property
    def exit(self) -> int:
        """Return the exit status for this page alone."""
        return 2 if self.error else int(any(row.kind == "difference" for row in self.rows))


@dataclass(frozen=True)
class Operation:
    """One operation of the document, with its references resolved."""

    method: str
    path: str
    spec: dict[str, Any]

    @property
    def name(self) -> str:
        """Return it as a page names it."""
        return f"{self.method} {self.path}"

    @property
    def source(self) -> dict[str, Any]:
        """Return what the document records of the page."""
        return dict(self.spec.get("x-source", {}))


def resolve(node: Any, root: dict[str, Any], seen: tuple[str, ...] = ()) -> Any:
    """Put what a `$ref` names in its place, and keep a schema's name as x-name. A reference within itself stays."""
    if isinstance(node, list):
        return [resolve(item, root, seen) for item in node]
    if not isinstance(node, dict):
        return node
    target = node.get("$ref")
    if not isinstance(target, str):
        return {key: resolve(value, root, seen) for key, value in node.items()}
    if target in seen:
        return {}
    found: Any = root
    for step in target.removeprefix("#/").split("/"):
        found = found[step.replace("~1", "/").replace("~0", "~")]
    found = resolve(found, root, (*seen, target))
    return {**found, "x-name": target.rsplit("/", 1)[1]}


def operations(document: dict[str, Any]) -> list[Operation]:
    """Return the document's operations, in its own order."""
    found = []
    for path, item in document["paths"].items():
        shared = item.get("parameters", [])
        for method, spec in item.items():
            if method.upper() in METHODS:
                merged = {**spec, "parameters": [*shared, *spec.get("parameters", [])]}
                found.append(Operation(method.upper(), path, resolve(merged, document)))
    return found


def excerpt(text: str, length: int = 160) -> str:
    """Shorten what is quoted."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"


def durations(text: str) -> list[tuple[re.Match[str], float]]:
    """Return every duration that can be read, in minutes, in the text's order."""
    found = []
    for unit, seconds in SECONDS.items():
        for match in re.finditer(rf"(?i)(?<![a-z0-9_.])(\d+(?:[.,]\d+)*)[\s-]*(?:{unit})(?![a-z])", text):
            found.append((match, float(match[1].replace(",", "")) * seconds / 60))
    found += [(match, 60.0) for match in re.finditer(r"(?i)(?<!half )\b(?:an|one)[\s-]hour\b|一个?小时", text)]
    return sorted(found, key=lambda item: item[0].start())


def digest(kind: str, text: str, masked: Iterable[re.Match[str]] = ()) -> str:
    """Return the fingerprint of a sentence within its section, without its formatting and the masked durations."""
    for match in sorted(masked, key=re.Match.start, reverse=True):
        text = f"{text[: match.start()]} $ {text[match.end() :]}"
    return hashlib.sha256(f"{kind}\n{letters(text)}".encode()).hexdigest()[:12]


def kind_of(value: object) -> str:
    """Return the JSON type of a value."""
    for kind, classes in {"null": type(None), "boolean": bool, "integer": int, "number": float, "string": str}.items():
        if isinstance(value, classes):
            return kind
    return "array" if isinstance(value, list) else "object"


class Comparison:
    """One language's part of a page against one operation. The rows collect what differs."""

    def __init__(self, part: Part, operation: Operation) -> None:
        self.part, self.operation, self.spec = part, operation, operation.spec
        self.language = part.language
        self.rows: list[Row] = []
        self.prose: list[tuple[Section, str, Sentence]] = []
        self.recorded: list[str] = list(operation.source.get("text", {}).get(part.language, []))
        self.there = f"x-source.text.{part.language}"
        self.life: float | None = operation.spec.get("x-lifetime-minutes")
        self.lived = False  # some sentence states the lifetime

    def differs(self, fact: str, line: int, page: str, document: str, todo: str) -> None:
        """Add a row."""
        self.rows.append(Row("difference", fact, self.language, line, page, document, todo))

    def run(self) -> list[Row]:
        """Compare everything."""
        self.title()
        for kind, name in SECTIONS.items():
            found = self.part.of(kind)
            if kind != "weight":  # there, it is the scope
                self.prose += [(s, kind, Sentence(s.line, s.suffix)) for s in found if letters(s.suffix)]
            if any(section.blocks for section in found):
                getattr(self, kind)(found)
            else:
                page = "the section is empty" if found else "no such section"
                line = found[0].line if found else self.part.line
                todo = "look at the page; if the section has another heading now, add that to HEADINGS in tools/page.py"
                self.differs(f"section {name}", line, page, "expects it", todo)
        for section in self.part.sections:
            if section.kind in {None, "title"}:
                self.unread(section, section.blocks)
        self.text()
        return sorted(self.rows, key=lambda row: row.line)

    def unread(self, section: Section, blocks: Iterable[Sentence | Code | Table], about: str = "") -> None:
        """Keep what no other rule reads, and the heading of an unknown section, to hold it against the digests."""
        kind = f"{section.kind or letters(section.heading).casefold()}{about}"
        if section.kind is None and section.heading and not about:
            self.prose.append((section, kind, Sentence(section.line, section.heading)))
        for block in blocks:
            match block:
                case Sentence():
                    self.prose.append((section, kind, block))
                case Code():
                    self.prose.append((section, kind, Sentence(block.line, block.text.strip())))
                case Table():
                    for line, cells in [(block.line, block.header), *block.rows]:
                        self.prose.append((section, kind, Sentence(line, " | ".join(cells))))

    def title(self) -> None:
        """Compare title and security type, both in the part's first heading."""
        recorded = self.operation.source.get("title", {}).get(self.language)
        if letters(self.part.title or "") != letters(recorded or ""):
            self.differs(
                "title", self.part.line, self.part.title or "no title", recorded or "none recorded",
                f"write it to x-source.title.{self.language}; if the operation changed, its summary too",
            )  # fmt: skip
        security = self.spec.get("x-security-type")
        if (self.part.security or "NONE") != (security or "NONE"):
            self.differs(
                "security type", self.part.line, self.part.security or "none", str(security),
                "change x-security-type, and security if the call must now carry something else",
            )  # fmt: skip

    def description(self, sections: list[Section]) -> None:
        """Keep it: prose alone, which text() compares."""
        for section in sections:
            self.unread(section, section.blocks)

    def request(self, sections: list[Section]) -> None:
        """Compare method and path."""
        found = []
        for section, block in contents(sections):
            if isinstance(block, Table):
                self.unread(section, [block])
                continue
            pairs, rest = endpoints(block.text)
            found += [(block.line, pair) for pair in pairs]
            if rest:
                self.unread(section, [Sentence(block.line, rest)])
        if not found:
            ours = self.operation.name
            self.differs("method and path", sections[0].line, "none that can be read", ours, "look at the page")
            return
        line, (method, path) = found[0]
        if method != self.operation.method:
            self.differs("method", line, method, self.operation.method, f"move the operation below `{method.lower()}:`")
        if path != self.operation.path:
            self.differs("path", line, path, self.operation.path, "change the path's key")
        for line, pair in found[1:]:
            if pair != found[0][1]:
                self.second(line, " ".join(pair))

    def second(self, line: int, name: str) -> None:
        """Report a further endpoint on the page."""
        self.differs(
            "second endpoint",
            line,
            name,
            f"the page describes {self.operation.name} alone",
            f"unless the document has it, add an operation for {name}, with an x-source",
        )

    def weight(self, sections: list[Section]) -> None:
        """Compare the weight: a number, per IP or UID, or a table."""
        ours = self.spec.get("x-request-weight", {})
        says = f"{ours.get('weight', ours.get('table', 'none'))} per {ours.get('scope', 'none')}"
        for section, block in contents(sections):
            if isinstance(block, Table):
                rows = [cells for _, cells in block.rows]
                if "table" in ours:
                    self.unread(section, [replace(block, rows=[])])
                if plain(rows) != plain(ours.get("table", [])):
                    page = "; ".join(": ".join(cells) for cells in rows)
                    head = digest("weight", " | ".join(block.header))
                    table = json.dumps(rows, ensure_ascii=False)
                    todo = f"write it to x-request-weight.table: {table}, and put {head} in {self.there}"
                    self.differs("request weight", block.line, excerpt(page), says, todo)
                continue
            match = WEIGHT.fullmatch(unicodedata.normalize("NFKC", block.text).casefold())
            if match:
                scope = match[2] or letters(section.suffix).casefold() or None
                if int(match[1]) != ours.get("weight") or scope not in {None, ours.get("scope")}:
                    page = match[1] + (f" per {scope}" if scope else "")
                    self.differs("request weight", block.line, page, says, "change x-request-weight")
            elif (own := self.own("weight", block.text)) in self.recorded:
                self.unread(section, [block])
            else:
                todo = f"change x-request-weight; if that cannot say it, put {own} in {self.there}"
                fact = "request weight" + topics([Sentence(block.line, block.text)], self.life)
                self.differs(fact, block.line, excerpt(block.text), says, todo)

    def parameters(self, sections: list[Section]) -> None:
        """Compare name, type, mandatory and description of each."""
        documented = {p["name"]: p for p in self.spec["parameters"]}
        seen: set[str] | None = None
        before = len(self.prose)
        for section, block in contents(sections):
            names = [letters(cell).casefold() for cell in block.header] if isinstance(block, Table) else []
            columns = {fact: i for fact, known in COLUMNS.items() for i, name in enumerate(names) if name in known}
            if isinstance(block, Table) and "name" in columns:
                seen = seen or set()
                for fact in ("type", "mandatory"):
                    if fact not in columns:
                        self.differs(
                            f"parameters: {fact}", block.line, "no such column", "expects one", "look at the page"
                        )
                for i in set(range(len(names))) - set(columns.values()):
                    column = [block.header[i], *(cells[i] for _, cells in block.rows)]
                    self.unread(section, [Sentence(block.line, " | ".join(column))], ":column")
                for line, cells in block.rows:
                    known = {fact: cells[i] for fact, i in columns.items()}
                    seen.add(known["name"])
                    self.parameter(section, line, known, documented.get(known["name"]))
            elif isinstance(block, Sentence) and letters(block.text).casefold() in NOTHING:
                seen = seen or set()
            else:
                self.unread(section, [block])
        if seen is None:
            if any(self.own(kind, sentence.text) not in self.recorded for _, kind, sentence in self.prose[before:]):
                todo = "read it yourself; once the document is right, put the digests of its text where they belong"
                says = ", ".join(documented) or "none"
                self.differs("parameters", sections[0].line, "neither a table nor None", says, todo)
            return
        for name in documented.keys() - seen:
            todo = "take the parameter out"
            self.differs(f"parameter {name}", sections[0].line, "no such parameter", describe(documented[name]), todo)

    def parameter(self, section: Section, line: int, row: dict[str, str], ours: dict[str, Any] | None) -> None:
        """Compare one row of the table."""
        name = row.pop("name")
        prose = [fact for fact, cell in row.items() if fact not in {"type", "mandatory"} and letters(cell)]
        if ours is None:
            page = ", ".join(f"{fact} {cell or '(empty)'}" for fact, cell in row.items())
            cells = [digest(f"parameters:{name}:{fact}", row[fact]) for fact in prose]
            todo = f"add {name} to parameters" + (f", and {', '.join(cells)} to {self.there}" if cells else "")
            self.differs(f"parameter {name}", line, excerpt(page), "no such parameter", todo)
            return
        schema, says = ours.get("schema", {}), describe(ours)
        form = "enum" if "enum" in schema else schema.get("format")
        word, rest = re.findall(r"(?s)^(\w*)(.*)", row.get("type", ""))[0]
        known = TYPES.get(word.upper(), [])
        if "type" in row and (schema.get("type"), form) not in known:
            self.differs(
                f"parameter {name}: type", line, row["type"] or "(empty)", says, "change the parameter's schema"
            )
        if "enum" in schema and letters(rest):
            if set(re.findall(r"[\w.-]+", rest)) != set(map(str, schema["enum"])):
                enum = ", ".join(map(str, schema["enum"]))
                self.differs(f"parameter {name}: values", line, row["type"], enum, "change the enum of its schema")
        elif letters(rest):
            self.unread(section, [Sentence(line, rest)], f":{name}:type")
        if "mandatory" in row and MANDATORY.get(row["mandatory"].upper()) is not ours.get("required", False):
            todo = "change the parameter's required"
            self.differs(f"parameter {name}: mandatory", line, row["mandatory"] or "(empty)", says, todo)
        for fact in prose:
            self.unread(section, [Sentence(line, row[fact])], f":{name}:{fact}")

    def response(self, sections: list[Section]) -> None:
        """Compare each example: its shape with the document's of this language, its values with the schema."""
        answers = [body for status, body in self.spec["responses"].items() if status.startswith("2")]
        media = answers[0].get("content", {}).get("application/json", {}) if answers else {}
        schema = media.get("schema", {})
        ours = [("example", media["example"])] if "example" in media else []
        for name, example in media.get("examples", {}).items():
            if example.get("x-language", self.language) == self.language:
                ours.append((name, example["value"]))
        theirs: list[tuple[Code, Any]] = []
        unread = 0
        for section, block in contents(sections):
            if isinstance(block, Code):
                try:
                    theirs += [(block, value) for value in values(block.text)]
                    self.comments(section, block)
                except (ValueError, RecursionError) as error:
                    unread += 1
                    own = self.own("response", block.text)
                    if own in self.recorded:
                        self.unread(section, [block])
                        continue
                    says = f"unread: {excerpt(str(error))}"
                    todo = f"read it yourself; once the document is right, put {own} in {self.there}"
                    self.differs("response example", block.line, says, "expects JSON", todo)
            elif not isinstance(block, Sentence) or letters(block.text).casefold() not in DECORATION:
                self.unread(section, [block])
        named = shapes(schema)
        if not media:  # an object without fields says what no content says
            theirs = [item for item in theirs if item[1] != {}]
        errors = [item for item in theirs if error_code(item[1]) and not item[1].keys() & named.keys()]
        for code, value in errors:
            self.refusal(code, value)
        pairs, more, fewer = match_up([item for item in theirs if item not in errors], ours)
        for (code, value), (name, example) in pairs:
            self.example(code, value, example, name, schema)
        for code, value in more:
            says, todo = f"{len(ours)} in this language", f"add it to examples, with x-language {self.language}"
            page = f"one more: {excerpt(json.dumps(value, ensure_ascii=False))}"
            self.differs("response example", code.line, page, says, todo)
            self.example(code, value, value, "", schema)
        for name, example in fewer[unread:]:
            says, todo = f"{name}: {excerpt(json.dumps(example))}", f"take {name} out, or its x-language"
            self.differs("response example", sections[0].line, "one less", says, todo)

    def comments(self, section: Section, code: Code) -> None:
        """Keep the comments of an example that carry news: a deprecation, an error code, a status or a duration."""
        for match in COMMENT.finditer(code.text):
            text = unicodedata.normalize("NFKC", match[1] or "")
            times = [minutes for _, minutes in durations(text) if minutes != self.life]
            if times or any(pattern.search(text) for pattern in TELLTALES.values()):
                line = code.line + code.text[: match.start()].count("\n")
                self.unread(section, [Sentence(line, text.strip())], ":comment")

    def refusal(self, code: Code, value: dict[str, Any]) -> None:
        """Compare an error answer with the document's example of the same code."""
        number = error_code(value)
        for status, body in self.spec["responses"].items():
            media = body.get("content", {}).get("application/json", {})
            examples = {"example": media.get("example")} | {
                name: example["value"] for name, example in media.get("examples", {}).items()
            }
            for name, example in examples.items():
                if not status.startswith("2") and error_code(example) == number:
                    self.example(code, value, example, name, media.get("schema", {}))
                    return
        page = excerpt(json.dumps(value, ensure_ascii=False))
        todo = "see which response it belongs to; add it to that one's examples"
        self.differs(f"error answer {number}", code.line, page, f"no example with code {number}", todo)

    def example(self, code: Code, value: Any, example: Any, name: str, schema: dict[str, Any]) -> None:
        """Name each field that differs once: by the example, else by the schema."""
        model, named = schema.get("x-name", "the schema"), shapes(schema)
        shown_as = "the example" if name == "example" else f"example {name}"
        found: dict[str, tuple[str, str, str]] = {}
        shown = {path: excerpt(json.dumps(item, ensure_ascii=False), 80) for path, item in reversed(walk(value))}
        for path, theirs, ours in compare(value, example):
            if theirs is None:
                todo = f"take it out of {shown_as}; if no language shows it any more, out of {model}"
                found[path] = ("is gone", f"{ours} in {shown_as}", todo)
            elif ours is None:
                says = f"none in {shown_as}; {named[path]} in {model}" if path in named else f"none in {model}"
                todo = f"add it to {shown_as}" if path in named else f"add it to {model} and to {shown_as}"
                found[path] = (f"new, {theirs}: {shown[path]}", says, todo)
            else:
                says = f"{ours} in {shown_as}; {named.get(path, 'nothing')} in {model}"
                found[path] = (f"now {theirs}: {shown[path]}", says, f"change it in {model} and in {shown_as}")
        for path, item in walk(value):
            if path not in named and not any(path == p or path.startswith((f"{p}.", f"{p}[")) for p in found):
                found[path] = (f"{kind_of(item)}: {shown[path]}", f"none in {model}", f"add it to {model}")
        gone = {path.rpartition(".")[2] for path, (page, *_) in found.items() if page == "is gone"}
        for error in Draft4Validator(nullable(schema), format_checker=FORMATS).iter_errors(value):
            path = "".join("[]" if isinstance(step, int) else f".{step}" for step in error.absolute_path).removeprefix(
                "."
            )
            told = error.validator == "required" and any(repr(leaf) in error.message for leaf in gone)
            if path not in found and not told:
                found[path] = (excerpt(error.message), f"{model} does not allow it", f"change {model}")
        for path, (page, says, todo) in found.items():
            leaf = re.sub(r"(\[\])+$", "", path).rpartition(".")[2]
            spots = [
                i
                for i, text in enumerate(code.text.splitlines())
                if leaf and re.search(rf"\b{re.escape(leaf)}\b", text)
            ]
            fact = f"response field {path}" if path else "response"
            self.differs(fact, code.line + (spots or [0])[0], page, says, todo)

    def own(self, kind: str, text: str) -> str:
        """Return a sentence's digest, with the lifetime taken out."""
        return digest(kind, text, [match for match, minutes in durations(text) if minutes == self.life])

    def fingerprint(self, kind: str, sentence: Sentence) -> str:
        """Return a sentence's digest. If only its lifetime changed, say so, and return the recorded digest."""
        spans = durations(sentence.text)
        own = self.own(kind, sentence.text)
        self.lived |= any(minutes == self.life for _, minutes in spans)
        if own in self.recorded:
            return own
        others = list(dict.fromkeys(minutes for _, minutes in spans if minutes != self.life))
        for some in [*({other} for other in others[:20]), set(others)]:
            masked = [match for match, minutes in spans if minutes in {self.life, *some}]
            guess = digest(kind, sentence.text, masked)
            if guess in self.recorded:
                self.lived = True
                says = f"{', '.join(f'{minutes:g}' for minutes in sorted(some))}: {excerpt(sentence.text)}"
                todo = "change x-lifetime-minutes, and the descriptions that name it"
                self.differs("lifetime in minutes", sentence.line, says, f"{self.life}", todo)
                return guess
        return own

    def text(self) -> None:
        """Hold every sentence against the digests, and name what the new ones speak of."""
        page = [(self.fingerprint(kind, sentence), section, sentence) for section, kind, sentence in self.prose]
        if self.life and not self.lived:
            line = next((section.line for section in self.part.of("description")), self.part.line)
            says, todo = (
                "not stated in a form that can be read",
                "write what holds to x-lifetime-minutes, or take it out",
            )
            self.differs("lifetime in minutes", line, says, str(self.life), todo)
        spare, left = Counter(self.recorded), []
        for item in page:
            spare[item[0]] -= 1
            left += [item] if spare[item[0]] < 0 else []
        gone = list(+spare)
        new = [item for item in left if item[1].kind is not None]
        changed = len(new) == len(gone)
        for i, (own, _, sentence) in enumerate(new):
            says = f"another sentence (digest {gone[i]})" if changed else "no such sentence"
            todo = (
                f"put {own} for {gone[i]} in {self.there}"
                if changed
                else f"put {own} in {self.there}, in the page's order"
            )
            fact = ("changed text", "unread text")[not changed] + topics([sentence], self.life)
            self.differs(fact, sentence.line, excerpt(sentence.text, 400), says, f"once the document is right, {todo}")
        for old in [] if changed else gone:
            todo = f"look it up in an older copy; once the document is right, take {old} out of {self.there}"
            self.differs("text is gone", self.part.line, "a sentence less", f"digest {old}", todo)
        for section in self.part.sections:
            items = [item for item in left if item[1] is section and section.kind is None]
            if items:
                sentences = [sentence for _, _, sentence in items]
                fact = f"unread section {section.heading!r}" if section.heading else "unread text"
                todo = f"once the document is right, put {', '.join(own for own, _, _ in items)} in {self.there}"
                body = " / ".join(s.text for s in sentences if s.text != section.heading) or section.heading
                self.differs(
                    fact + topics(sentences, self.life), sentences[0].line, excerpt(body, 400), "no such section", todo
                )
        both = Counter(self.recorded) & Counter(own for own, _, _ in page)
        orders = [[own for own in owns if own in both] for owns in (self.recorded, [own for own, _, _ in page])]
        if not left and orders[0] != orders[1] and not gone:
            todo = f"if the sense is the same, reorder {self.there}: {', '.join(orders[1])}"
            self.differs("text in another order", self.part.line, "the same sentences", "another order", todo)


FORMATS = FormatChecker(())
for _bits in (32, 64):
    FORMATS.checks(f"int{_bits}")(
        lambda value, bits=_bits: not isinstance(value, int) or -(2 ** (bits - 1)) <= value < 2 ** (bits - 1)
    )


def topics(sentences: list[Sentence], life: float | None) -> str:
    """Name what some sentences speak of, as far as a program can tell."""
    text = unicodedata.normalize("NFKC", " ".join(sentence.text for sentence in sentences))
    found = []
    for name, pattern in TELLTALES.items():
        if matches := list(pattern.finditer(text)):
            found.append(" ".join([name, *dict.fromkeys(match[1] for match in matches if pattern.groups)]))
    times = durations(text)
    if others := [match[0] for match, minutes in times if minutes != life]:
        found.append(f"duration {', '.join(others)}")
    elif UNIT.search(text) and not times:
        found.append("a duration that cannot be read")
    return f": {', '.join(found)}" if found else ""


def describe(parameter: dict[str, Any]) -> str:
    """Say what the document says of a parameter."""
    schema = parameter.get("schema", {})
    kind = " ".join(str(schema[key]) for key in ("type", "format") if key in schema)
    return f"{parameter['name']}: {kind}, required {str(parameter.get('required', False)).lower()}"


def contents(sections: list[Section]) -> Iterator[tuple[Section, Sentence | Code | Table]]:
    """Yield the blocks of some sections."""
    yield from ((section, block) for section in sections for block in section.blocks)


def plain(rows: list[list[Any]]) -> list[list[str]]:
    """Reduce a table's cells to their letters."""
    return [[letters(str(cell)) for cell in row] for row in rows]


def endpoints(text: str) -> tuple[list[tuple[str, str]], str]:
    """Read `POST /path`, once or more often, and return what is left."""
    words = [word for word in text.replace("`", " ").split() if letters(word).casefold() not in {"", "or"}]
    found, hosts = [], ""
    while len(words) > 1 and words[0].upper() in METHODS and urlsplit(words[1]).path.startswith("/"):
        method, url = words.pop(0).upper(), urlsplit(words.pop(0).rstrip(",;.:"))
        found.append((method, url.path))
        hosts += f"{url.scheme}://{url.netloc} " if url.netloc else ""
        hosts += f"?{url.query} " if url.query else ""
    return found, hosts + " ".join(words)


def compare(theirs: Any, ours: Any, path: str = "") -> Iterator[tuple[str, str | None, str | None]]:
    """Yield path, their type and our type wherever two values have not the same shape."""
    if kind_of(theirs) != kind_of(ours):
        yield path, kind_of(theirs), kind_of(ours)
        if isinstance(theirs, list):  # what was one is many now: each may still differ
            items = [item for item in theirs if kind_of(item) == kind_of(ours)]
            yield from dict.fromkeys(row for item in items for row in compare(item, ours, f"{path}[]"))
    elif isinstance(theirs, dict):
        for key in [*theirs, *(key for key in ours if key not in theirs)]:
            below = f"{path}.{key}".removeprefix(".")
            if key not in ours:
                yield below, kind_of(theirs[key]), None
            elif key not in theirs:
                yield below, None, kind_of(ours[key])
            else:
                yield from compare(theirs[key], ours[key], below)
    elif isinstance(theirs, list):
        yield from dict.fromkeys(item for value in theirs for item in compare(value, ours[0], f"{path}[]") if ours)


def shapes(schema: dict[str, Any], path: str = "") -> dict[str, str]:
    """Return every field that a schema names, with its type; the empty path is the whole answer."""
    found = {path: str(schema.get("type", "any type"))}
    for part in itertools.chain.from_iterable(schema.get(key, []) for key in ("allOf", "oneOf", "anyOf")):
        found |= shapes(part, path)
    for key, below in schema.get("properties", {}).items():
        found |= shapes(below, f"{path}.{key}".removeprefix("."))
    return found | (shapes(schema["items"], f"{path}[]") if "items" in schema else {})


def walk(value: Any, path: str = "") -> list[tuple[str, Any]]:
    """Return every field of a value with its path, outer ones first."""
    below: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        below = [item for key, inner in value.items() for item in walk(inner, f"{path}.{key}".removeprefix("."))]
    elif isinstance(value, list):
        below = [item for inner in value for item in walk(inner, f"{path}[]")]
    return [(path, value), *below]


def error_code(value: Any) -> int | None:
    """Return the error code of an answer, None if it has none. They are below zero."""
    code = value.get("code") if isinstance(value, dict) else None
    return code if isinstance(code, int) and code < 0 else None


def values(text: str) -> Iterator[Any]:
    """Read JSON values, one after the other, with comments and commas as people write them.

    Raises:
        ValueError: something else stands there, or a field twice.

    """
    with contextlib.suppress(ValueError):
        yield json5.loads(text, allow_duplicate_keys=False)
        return
    start = 0
    while text[start:].strip():
        value, error, start = json5.parse(text, start=start, allow_duplicate_keys=False, consume_trailing=False)
        if error:
            raise ValueError(error)
        yield value


def nullable(schema: Any) -> Any:
    """Turn OpenAPI 3.0's `nullable` into JSON Schema."""
    if isinstance(schema, list):
        return [nullable(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: nullable(value) for key, value in schema.items()}
    return {"anyOf": [plain, {"type": "null"}]} if schema.get("nullable") is True else plain


def match_up(theirs: list[tuple[Code, Any]], ours: list[tuple[str, Any]]) -> tuple[list[Any], list[Any], list[Any]]:
    """Pair the examples of page and document: those of the same shape first, the rest in order."""
    pairs, left = [], list(ours)
    rest = []
    for item in theirs:
        same = next((other for other in left if not list(compare(item[1], other[1]))), None)
        if same:
            left.remove(same)
            pairs.append((item, same))
        else:
            rest.append(item)
    pairs += list(zip(rest, left, strict=False))
    return pairs, rest[len(left) :], left[len(rest) :]


def address(url: object) -> str:
    """Reduce a page's address to what names the page."""
    return str(url).split("#")[0].split("?")[0].rstrip("/").replace(f"{SITE}/docs/zh-CN/", f"{SITE}/docs/")


def front_matter(page: Page, operation: Operation) -> Iterator[Row]:
    """Compare the page's address and date, and report what else stands there."""

    def row(name: str, fact: str, says: str, ours: str, todo: str, kind: str = "difference") -> Row:
        return Row(kind, fact, None, page.lines.get(name, 1), says, ours, todo)

    source = operation.source
    url, ours = page.front.get("source_url"), str(source.get("url"))
    if address(url) != address(ours):
        todo = "if the page has moved, change x-source.url and externalDocs.url"
        yield row("source_url", "source URL", str(url or "none"), ours, todo)
    known, updated = str(source.get("updated")), str(page.front.get("updated_at"))
    try:
        day = datetime.date.fromisoformat(updated[:10]).isoformat()
    except ValueError:
        yield row("updated_at", "date", f"cannot be read: {updated}", known, "look at the page's updated_at")
    else:
        if day > known:
            todo = "once nothing else differs, write it to x-source.updated and externalDocs.description"
            yield row("updated_at", "date", day, known, todo, "note")
        elif day < known:
            yield row("updated_at", "date", f"{day}, which is older", known, "get a newer copy of the page")
    for name, value in {"exchange": "binance", "api_type": "REST"}.items():
        if page.front.get(name) != value:
            yield row(name, name, str(page.front.get(name, "none")), value, "is this a page of the same API?")
    for name in page.front.keys() - {"exchange", "source_url", "api_type", "updated_at"}:
        says = excerpt(str(page.front[name]))
        kind = "difference" if TELLTALES["deprecation notice"].search(f"{name} {says}") else "note"
        yield row(str(name), f"unread front matter {name!r}", says, "nothing of that name", "look at the page", kind)


def endpoint(part: Part) -> str | None:
    """Return the first method and path that a part names."""
    blocks = [block for section in part.of("request") for block in section.blocks if not isinstance(block, Table)]
    return next((" ".join(pair) for block in blocks for pair in endpoints(block.text)[0]), None)


def choose(page: Page, known: list[Operation]) -> Operation | None:
    """Find the operation a page describes: by its address; if several or none have that, by method and path."""
    names = [endpoint(part) for part in page.parts]
    here = [op for op in known if address(op.source.get("url")) == address(page.front.get("source_url"))]
    return next((op for op in here or known if op.name in names), here[0] if here else None)


def check(path: Path, known: list[Operation]) -> Report:
    """Compare one page with the operation it describes."""
    report = Report(str(path))
    try:
        page = read(path)
    except PageError as error:
        report.error = str(error)
        return report
    operation = choose(page, known)
    if operation is None:
        part = page.parts[0]
        names = ", ".join(op.name for op in known)
        todo = "is it a page of this document? If so, add the operation, with an x-source"
        report.rows = [
            Row(
                "difference",
                "endpoint",
                part.language,
                part.line,
                endpoint(part) or "none that can be read",
                names,
                todo,
            )
        ]
        return report
    report.operation = operation.name
    report.rows = list(front_matter(page, operation))
    others = {op.name: op for op in known if op != operation}
    languages = list(dict.fromkeys(part.language for part in page.parts))
    for language in languages:
        parts = [part for part in page.parts if part.language == language]
        own = next((part for part in parts if endpoint(part) == operation.name), parts[0])
        for part in parts:
            name = endpoint(part)
            if part is own or name == operation.name:
                report.rows += Comparison(part, operation).run()
            elif name in others:
                rows = Comparison(part, others[name]).run()
                rows += [row for row in front_matter(page, others[name]) if row.fact == "source URL"]
                report.rows += [replace(row, document=f"{name}: {row.document}") for row in rows]
            else:
                comparison = Comparison(part, operation)
                comparison.second(part.line, name or part.title or "unnamed")
                report.rows += comparison.rows
    report.rows = list(dict.fromkeys(report.rows))
    for language in operation.source.get("title", {}).keys() - set(languages):
        report.rows.append(
            Row("note", "language", language, 1, "no such part", "recorded", "nothing, if it was left out of this copy")
        )
    return report


def as_text(reports: list[Report]) -> str:
    """For a terminal."""
    lines = []
    for report in reports:
        kinds = Counter(row.kind for row in report.rows)
        counts = [f"{kinds[kind]} {kind}{'s' * (kinds[kind] != 1)}" for kind in ("difference", "note")]
        lines.append(
            f"{report.page}: "
            + (
                f"cannot be read: {report.error}"
                if report.error
                else f"{report.operation or 'unknown'}: {', '.join(counts)}"
            )
        )
        for row in report.rows:
            where = f"{report.page}:{row.line}" + (f" ({row.language})" if row.language else "")
            lines += [f"  {row.kind}: {row.fact}", f"    at        {where}", f"    page      {row.page}"]
            lines += [f"    document  {row.document}", f"    to do     {row.todo}"]
    return "\n".join(lines)


def as_markdown(reports: list[Report]) -> str:
    """For an issue."""

    def cell(text: str) -> str:
        return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")

    lines = []
    for report in reports:
        lines += [f"### {report.page}", ""]
        if report.error:
            lines += [f"Cannot be read: {cell(report.error)}", ""]
            continue
        lines += [
            f"Compared with `{report.operation}`." if report.operation else "Describes no operation of the document.",
            "",
        ]
        if not report.rows:
            lines += ["Nothing differs.", ""]
            continue
        lines += ["| | fact | line | the page says | the document says | to do |", "|---|---|---|---|---|---|"]
        for row in report.rows:
            fact = f"{row.fact} ({row.language})" if row.language else row.fact
            lines.append(
                "| " + " | ".join(map(cell, (row.kind, fact, str(row.line), row.page, row.document, row.todo))) + " |"
            )
        lines.append("")
    return "\n".join(lines).rstrip()


def sources(known: list[Operation], form: str) -> str:
    """List the page and date of each operation."""
    rows = [{"operation": op.name, "page": op.source.get("url"), "updated": op.source.get("updated")} for op in known]
    if form == "json":
        return json.dumps({"sources": rows}, indent=2)
    if form == "markdown":
        lines = [
            "| operation | page | updated |",
            "|---|---|---|",
            *(f"| {' | '.join(map(str, row.values()))} |" for row in rows),
        ]
        return "\n".join(lines)
    return "\n".join(f"{row['operation']:28}{row['updated']}  {row['page']}" for row in rows)


def main(arguments: list[str] | None = None) -> int:
    """Check the pages that were named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "pages", nargs="*", type=Path, metavar="PAGE", help="a page as crawled: Markdown with front matter"
    )
    parser.add_argument("--format", choices=("text", "json", "markdown"), default="text")
    options = parser.parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # half of a page is Chinese, whatever the terminal's locale
    known = operations(YAML(typ="safe").load(DOCUMENT))
    if not options.pages:
        print(sources(known, options.format))
        return 0
    reports = [check(path, known) for path in options.pages]
    status = max(report.exit for report in reports)
    if options.format == "json":
        print(
            json.dumps(
                {"exit": status, "pages": [{**asdict(report), "exit": report.exit} for report in reports]},
                indent=2,
                ensure_ascii=False,
            )
        )
    else:
        print((as_text if options.format == "text" else as_markdown)(reports))
    return status


if __name__ == "__main__":
    sys.exit(main())
