"""Read JSON as people write it, and reduce values to their shapes: which fields, of which types."""
# ruff: noqa: RUF001  Chinese punctuation

import json
import re
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import json_repair

# A comment, or dots in place of what is left out; a string is stepped over.
COMMENT = re.compile(r"""(?s)"(?:\\.|[^"\\\n])*"|(//[^\n]*|#[^\n]*|/\*.*?\*/|\.{3,}|…+)""")
# A string is stepped over, too. JSON in documentation is not deep, and walks over its values recurse.
BRACKET = re.compile(r"""(?s)"(?:\\.|[^"\\\n])*"|([\[{])|([\]}])""")
DEEPEST = 100
OR = re.compile(r"(?i)(?<=[}\]])\s*(?:or|或者?)\s*(?=[{\[])")  # between two examples


def values(text: str) -> list[Any]:
    """Read JSON values, one after the other."""
    found = []
    while text := text.lstrip():
        value, end = json.JSONDecoder(strict=False).raw_decode(text)
        found.append(value)
        text = text[end:]
    return found


def words(text: str) -> list[str]:
    """Return the words and numbers of a text; of a number, only that there is one."""
    return sorted(re.findall(r"[^\W\d][\w.]*|0", re.sub(r"\d+(?:\.\d*)?(?:[eE][+-]?\d+)?", "0", text.casefold())))


def repaired(text: str) -> list[Any]:
    """Read what is meant for JSON. json-repair would read what is no JSON at all as well, such as a list of bullets."""
    text = re.sub(r",(?:\s*,)+", ",", text.translate({ord("，"): ",", ord("："): ":"})).replace("\\n", " ").strip()
    begins = text[:1] in {"{", "["} and "{" in text
    value = json_repair.loads(text, skip_json_loads=True) if begins and ":" in text else None
    if words(json.dumps(value, ensure_ascii=False).replace("\\n", " ")) != words(text):
        raise ValueError("a part of the text would be lost")
    return value if isinstance(value, list) and text[0] == "{" else [value]  # several, one after the other


def read(text: str) -> tuple[list[Any], list[tuple[int, str]], bool]:
    """Read the values of a block of code, and its comments with their lines from 0; say whether it was repaired.

    Raises:
        ValueError: it holds no JSON, or something else too, or the JSON is deeper than 100 levels.

    """
    comments = [comment(text, match) for match in COMMENT.finditer(text) if match[1]]
    bare = COMMENT.sub(lambda match: "\n" * match[0].count("\n") if match[1] else match[0], text)
    bare = OR.sub("\n", bare)
    levels = accumulate(bool(match[1]) - bool(match[2]) for match in BRACKET.finditer(bare))
    if max(levels, default=0) > DEEPEST:
        raise ValueError("too deep")
    try:
        found, odd = values(bare), False
    except ValueError:
        found, odd = repaired(bare), True
    if not any(isinstance(value, dict | list) for value in found):
        raise ValueError("no JSON")
    return found, comments, odd


def comment(text: str, match: re.Match[str]) -> tuple[int, str]:
    """Return a comment with its line, and with the name of the field that it stands behind."""
    begin = text.rfind("\n", 0, match.start()) + 1
    names = re.findall(r"""["“']([^"“”']+)["”'] *[:：]""", text[begin : match.start()])
    return text.count("\n", 0, begin), f"{' '.join(names)} {match[1]}".strip()


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
