"""The one diff: two readings in, rows out."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

from docs_check.facts import Line, Reading
from docs_check.page import normal

QUIET = ("lifetime", "weight counted per", "api key")  # a source need not speak of these


@dataclass(frozen=True)
class Row:
    """One difference or note: where, what the source says, what the document says."""

    kind: str  # "fact", "text", "note", or "unclear": it cannot be told what to compare
    fact: str
    language: str
    line: int
    page: str
    document: str = ""
    digests: tuple[str, ...] = ()  # one for each language
    name: str = ""  # of the operation or event

    @property
    def plain(self) -> bool:
        """Tell whether the row is accepted without a reason."""
        return self.kind == "text" or self.fact in {"title", "address"}


def digest(*words: str) -> str:
    """Return a fingerprint."""
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:12]


def fact(key: str, reading: Reading, theirs: str, ours: str, line: int = 0) -> Row:
    """Return the row of a fact that differs."""
    own = digest(key, reading.name, reading.language, theirs.replace("integer int64", "integer"), ours)
    return Row("fact", key, reading.language, line or reading.line, theirs, ours, (own,), reading.name)


def agree(key: str, theirs: str, ours: str) -> bool:
    """Tell whether two values say the same. What a source shows of a field need only be allowed by the document."""
    if not key.startswith(("field ", "answer")):
        return normal(theirs) == normal(ours)
    allowed = set(ours.split("|"))
    allowed |= {"integer", "integer int64"} if allowed & {"number", "integer"} else set()
    allowed |= {"integer"} if {kind.split()[0] for kind in allowed} & {"integer"} else set()
    return "any" in allowed or allowed.issuperset(theirs.split("|"))


def facts(page: Reading, document: Reading, quiet: tuple[str, ...] = ()) -> Iterator[Row]:
    """Compare facts. Of some, the source need not speak."""
    for key in dict.fromkeys([*page.facts, *document.facts]):
        theirs, line = page.facts.get(key, ("nothing", 0))
        ours, _ = document.facts.get(key, ("nothing", 0))
        silent = key not in page.facts and key.startswith((*QUIET, *quiet))
        if not silent and not agree(key, theirs, ours):
            yield fact(key, replace(page, name=document.name), theirs, ours, line)


def contradictions(page: Reading, schema: Reading) -> Iterator[Row]:
    """Compare a page's facts with those of the vendor's own schema."""
    for key in page.facts.keys() & schema.facts.keys():
        (shown, line), (named, _) = page.facts[key], schema.facts[key]
        if not agree(key, shown, named) and not agree(key, named, shown):
            yield fact(f"{key}, page and schema", page, f"the page says {shown}, the schema {named}", "", line)


def withdrawn(readings: list[Reading], known: dict[str, dict[str, str]], rows: list[Row]) -> Iterator[Row]:
    """Tell of facts that were accepted of a page, and that it states no more."""
    differ = {mark for row in rows for mark in row.digests}
    for mark, told in known.items():
        same = [reading for reading in readings if reading.language == told["language"]]
        if mark not in differ and same and may_be_withdrawn(told, same):
            what, was = f"gone: {told['fact']}", f"was {told['page']}"
            yield Row("text", what, told["language"], same[0].line, was, digests=(digest(mark),))


def may_be_withdrawn(told: dict[str, str], readings: list[Reading]) -> bool:
    """Tell whether a page stated a fact once, and does no more."""
    if told["page"] == "nothing" or told["fact"] == "address":
        return False
    return not any(told["fact"] in reading.facts for reading in readings)


def own(line: Line) -> str:
    """Return the digest of a line of text."""
    return digest(line.section, normal(line.text))


def by_section(lines: Iterable[Line]) -> dict[str, list[Line]]:
    """Sort lines by their sections, in the page's order."""
    found: dict[str, list[Line]] = {}
    for line in lines:
        found.setdefault(line.section, []).append(line)
    return found


def texts(language: str, lines: list[Line], known: dict[str, list[str]] | None) -> Iterator[Row]:
    """Compare lines with the digests that were accepted of this language, section by section."""
    now = by_section(lines)
    if known is None:
        count = ", ".join(f"{len(each)} in {name!r}" for name, each in now.items())
        for first in lines[:1]:
            yield text("text", f"nothing was accepted of it yet: {count}", language, first.line, map(own, lines))
        return
    for name in dict.fromkeys([*now, *known]):
        yield from changes(name, language, now.get(name, []), known.get(name, []), lines)


def changes(name: str, language: str, here: list[Line], before: list[str], lines: list[Line]) -> Iterator[Row]:
    """Compare the lines of a section with the digests that were accepted of it."""
    marks = list(map(own, here))
    for kind, i, j, k, end in SequenceMatcher(None, before, marks, autojunk=False).get_opcodes():
        if kind in {"delete", "replace"}:
            start = here[k - 1] if k else None
            place = f"after {start.text[:60]!r}" if start else "at its start"
            line = start.line if start else (here or lines or [Line("", "", 1)])[0].line
            gone = f"{j - i} of its {len(before)} lines, {place}"
            yield text(f"gone from {name!r}", gone, language, line, before[i:j])
        if kind in {"insert", "replace"}:
            new = " / ".join(line.text for line in here[k:end])
            yield text(f"new in {name!r}", new, language, here[k].line, marks[k:end])


def text(what: str, page: str, language: str, line: int, marks: Iterable[str]) -> Row:
    """Return the row of lines of text that differ."""
    excerpt = page if len(page) <= 400 else f"{page[:399]}…"
    return Row("text", what, language, line, excerpt, digests=(digest(what, language, *marks),))


def merged(rows: Iterable[Row]) -> list[Row]:
    """Put together what several languages say alike, and sort rows by their lines."""
    found: dict[object, Row] = {}
    for row in rows:
        key = (row.name, row.fact, row.page, row.document) if row.kind == "fact" else row
        known = found.setdefault(key, row)
        if known is not row and row.digests[0] not in known.digests:
            language = f"{known.language}, {row.language}"
            found[key] = replace(known, language=language, digests=known.digests + row.digests)
    return sorted(found.values(), key=lambda row: (row.line, row.name, row.fact, row.page))
