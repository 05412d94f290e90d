"""Read JSON as people write it, as shapes: what has which fields, and of which types. Values are not kept, but two.

Comments, commas that are missing, doubled or of full width, curly quotes and brackets that are never closed are read,
and told.
"""
# ruff: noqa: RUF001  Chinese punctuation

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

TOKEN = re.compile(
    r"""(?xs) \s* (?: (?P<comment> //[^\n]* | /\*.*?\*/ | \#[^\n]* )
    | (?P<more> \.{2,} | …+ )
    | (?P<string> '[^'\n]*' | "(?:\\.|[^"\\\n“”])*["“”](?=\s*(?:[\]}:,，：]|$|\n|//|/\*))
      | "(?:\\.|[^"\\\n])*" | [“”][^"“”\n]*["“”] )
    | (?P<mark> [{}\[\]:,，：] ) | (?P<word> (?: (?!//|/\*) [^\s{}\[\]:,，："“”] )+ ) )"""
)
KINDS = {"true": "boolean", "false": "boolean", "null": "null"}


class NotJSONError(Exception):
    """The text is no JSON, however tolerantly it is read."""


class Leaf(NamedTuple):
    """A value without fields: its type, and its own text."""

    kind: str
    text: str = ""


# A value's shape: an object has for each name the shapes that were seen below it, a list those of its items.
Shape = Leaf | list[Any] | dict[str, list[Any]]


@dataclass
class Examples:
    """What a block of code holds: each value with its line, the comments, and what was read in spite of its form."""

    values: list[tuple[int, Shape]] = field(default_factory=list)
    comments: list[tuple[int, str]] = field(default_factory=list)
    repairs: list[str] = field(default_factory=list)


def number(digits: str) -> str:
    """Return the type of a number: integers by the bits they need."""
    if not re.fullmatch(r"[-+]?\d{1,40}", digits):
        return "number"
    value = int(digits)
    fits = next((bits for bits in (32, 64) if -(2 ** (bits - 1)) <= value < 2 ** (bits - 1)), None)
    return {32: "integer", 64: "integer int64", None: "integer beyond int64"}[fits]


class _Reader:
    def __init__(self, text: str) -> None:
        self.found = Examples()
        self.tokens: list[tuple[str, str, int]] = []
        position = 0
        while match := TOKEN.match(text, position):
            kind, word, line = str(match.lastgroup), str(match[str(match.lastgroup)]), text.count("\n", 0, match.end())
            if kind in {"comment", "more"}:
                self.found.comments.append((text.count("\n", 0, match.start(kind)), word))
            else:
                self.tokens.append((kind, word.replace("，", ",").replace("：", ":"), line))
                self.tell(
                    word in "，：" or word[0] in "“”" or (kind == "string" and word[-1] in "“”"), line, f"{word[0]}"
                )
            position = match.end()
        if text[position:].strip():
            raise NotJSONError
        self.at = 0

    def tell(self, wrong: bool, line: int, what: str) -> None:
        """Note that something was read in spite of its form."""
        if wrong and (text := f"{what} in its line {line + 1}") not in self.found.repairs:
            self.found.repairs.append(text)

    def next(self) -> tuple[str, str, int]:
        """Return the next token, and stay before it."""
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "", self.tokens[-1][2])

    def take(self, word: str) -> bool:
        """Step over a mark if it is the next token."""
        self.at += (found := self.next()[:2] == ("mark", word))
        return found

    def run(self) -> Examples:
        """Read values until the end. Between two of them a word such as OR may stand."""
        while self.next()[0] != "end":
            kind, word, line = self.next()
            if kind == "mark" and word in "{[":
                self.found.values.append((line, self.value()))
            elif kind == "word" and number(word) == "number" and word not in KINDS:
                self.found.comments.append((line, word))
                self.at += 1
            elif kind == "string":
                self.tell(True, line, "no {")
                self.found.values.append((line, self.fields()))
            else:
                self.tell(word != ",", line, f"a {word} too many")
                self.at += 1
        if not self.found.values:
            raise NotJSONError
        return self.found

    def value(self) -> Shape:
        """Read one value."""
        kind, word, _ = self.next()
        if kind == "mark" and word in "{[":
            self.at += 1
            return self.fields() if word == "{" else self.items()
        if kind not in {"string", "word"}:
            raise NotJSONError
        self.at += 1
        if kind == "string":
            return Leaf("string", word[1:-1])
        numeric = re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", word)
        return Leaf(number(word) if numeric else KINDS.get(word, "unquoted text"), word)

    def fields(self) -> Shape:
        """Read an object after its `{`. A name that stands twice has the shapes of both."""
        found: dict[str, list[Shape]] = {}
        while not self.closed("}"):
            kind, name, line = self.next()
            if kind not in {"string", "word"}:
                raise NotJSONError
            self.tell(kind == "word", line, "a name without quotes")
            self.at += 1
            if not self.take(":"):
                raise NotJSONError
            name = name[1:-1] if kind == "string" else name
            self.tell(name in found, line, f"{name} twice")
            found.setdefault(name, []).append(self.value())
            self.commas("}")
        return found

    def items(self) -> Shape:
        """Read a list after its `[`."""
        found: list[Shape] = []
        while not self.closed("]"):
            found.append(self.value())
            self.commas("]")
        return found

    def closed(self, end: str) -> bool:
        """Step over the end of an object or list, or tell that it is missing."""
        kind, word, line = self.next()
        missing = kind == "end" or (kind == "mark" and word in "}]" and word != end)
        self.tell(missing, line, f"no {end}")
        return missing or self.take(end)

    def commas(self, end: str) -> None:
        """Step over the commas after a value: one, if another follows."""
        line, count = self.tokens[self.at - 1][2], 0
        while self.take(","):
            count += 1
        last = self.next()[1] in {"}", "]", ""}
        self.tell(count > 1, line, "a comma too many")
        self.tell(count == 1 and last, line, "a comma at the end")
        self.tell(count == 0 and not last, line, "no comma")


def read(text: str) -> Examples:
    """Read a block of code.

    Raises:
        NotJSONError: it holds no JSON, or something else too.

    """
    reader = _Reader(text)
    if not reader.tokens:
        raise NotJSONError
    try:
        return reader.run()
    except RecursionError as error:
        raise NotJSONError from error


def shape_of(value: Any) -> Shape:
    """Return the shape of a value of YAML's."""
    if isinstance(value, dict):
        return {str(name): [shape_of(below)] for name, below in value.items()}
    if isinstance(value, list):
        return [shape_of(item) for item in value]
    kinds = {bool: "boolean", int: number(str(value)), float: "number", type(None): "null"}
    return Leaf(kinds.get(type(value), "string"), str(value))


def fields(shape: Shape, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield every field with its type; the empty path is the whole. Lists are the union of their items."""
    if isinstance(shape, dict):
        yield path, "object"
        for name, shapes in shape.items():
            for below in shapes:
                yield from fields(below, f"{path}.{name}".removeprefix("."))
    elif isinstance(shape, Leaf):
        yield path, shape.kind
    else:
        yield path, "array"
        for item in shape:
            yield from fields(item, f"{path}[]")


def written(shape: Shape) -> str:
    """Return a shape as text; what differs from item to item stands side by side."""
    if isinstance(shape, dict):
        rows = sorted((name, "|".join(sorted(set(map(written, below))))) for name, below in shape.items())
        return "{" + ", ".join(": ".join(row) for row in rows) + "}"
    if isinstance(shape, Leaf):
        return shape.kind.removesuffix(" int64") if shape.kind == "integer int64" else shape.kind
    return f"[{'|'.join(sorted(set(map(written, shape))))}]"
