"""Read JSON as people write it, and reduce values to their shapes: which fields, of which types."""
# ruff: noqa: RUF001  Chinese punctuation

import json
import re
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

# A comment, or dots in place of what is left out; a string is stepped over.
COMMENT = re.compile(r"""(?s)"(?:\\.|[^"\\\n])*"|(//[^\n]*|/\*.*?\*/|\.{3,}|…+)""")
# A string is stepped over, too. JSON in documentation is not deep, and walks over its values recurse.
BRACKET = re.compile(r"""(?s)"(?:\\.|[^"\\\n])*"|([\[{])|([\]}])""")
DEEPEST = 100
# What is mended if a text is no JSON. What else this changes stands in strings, whose values nobody compares.
MENDS = {
    "commas of full width": (r"，", ","),
    "colons of full width": (r"：", ":"),
    "curly quotes": (r"([:,{\[]\s*|\n\s*)[“”]|[“”](?=\s*(?:[:,}\]]|\n))", r'\1"'),
    "single quotes": (r"'([^'\"\n]*)'", r'"\1"'),
    "names without quotes": (r"([{,]\s*)([A-Za-z_]\w*)(?=\s*:)", r'\1"\2"'),
    "words without quotes": (r"([:,\[]\s*)(?!true\b|false\b|null\b)([A-Za-z_][\w.]*)(?=\s*[,}\]\n])", r'\1"\2"'),
    "commas that are missing": (r"""(["\d\]}el])(\s+)(?=["{\[])""", r"\1,\2"),
    "commas that are doubled": (r",(?:\s*,)+", ","),
    "commas at an end": (r",(?=\s*(?:[}\]]|\Z))", ""),
}


def values(text: str) -> list[Any]:
    """Read JSON values, one after the other.

    Raises:
        ValueError: something else stands there, or the JSON is deeper than 100 levels.

    """
    levels = accumulate(bool(match[1]) - bool(match[2]) for match in BRACKET.finditer(text))
    if max(levels, default=0) > DEEPEST:
        raise ValueError
    found = []
    while text := text.lstrip():
        value, end = json.JSONDecoder(strict=False).raw_decode(text)
        found.append(value)
        text = re.sub(r"(?i)\A\s*(?:or\b|或)", "", text[end:])
    return found


def read(text: str) -> tuple[list[Any], list[tuple[int, str]], list[str]]:
    """Read the values of a block of code, and its comments with their lines from 0; say what was mended.

    Raises:
        ValueError: it holds no JSON, or something else too.

    """
    comments = [(text.count("\n", 0, match.start()), match[1]) for match in COMMENT.finditer(text) if match[1]]
    bare, odd = COMMENT.sub(lambda match: "\n" * match[0].count("\n") if match[1] else match[0], text), []
    try:
        found = values(bare)
    except ValueError:
        for name, (pattern, put) in MENDS.items():
            before, bare = bare, re.sub(pattern, put, bare)
            odd += [name] if bare != before else []
        found = values(bare)
    if not any(isinstance(value, dict | list) for value in found):
        raise ValueError
    return found, comments, odd


def kind_of(value: Any) -> str:
    """Return the type of a value; of an integer, by the bits that it needs."""
    if isinstance(value, int) and not isinstance(value, bool):
        bits = value.bit_length() + 1
        return "integer" if bits <= 32 else "integer int64" if bits <= 64 else "integer beyond int64"
    kinds = {dict: "object", list: "array", bool: "boolean", float: "number", type(None): "null"}
    return kinds.get(type(value), "string")


def fields(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield every field with its type; the empty path is the whole. Lists are the union of their items."""
    yield path, kind_of(value)
    for name, below in value.items() if isinstance(value, dict) else ():
        yield from fields(below, f"{path}.{name}".removeprefix("."))
    for item in value if isinstance(value, list) else ():
        yield from fields(item, f"{path}[]")


def shape(value: Any) -> str:
    """Return a value's shape as text; what differs from item to item stands side by side."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {shape(below)}" for name, below in sorted(value.items())) + "}"
    if isinstance(value, list):
        return f"[{'|'.join(sorted({shape(item) for item in value}))}]"
    return kind_of(value).replace("integer int64", "integer")
