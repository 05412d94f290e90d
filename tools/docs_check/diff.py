"""The one diff: two readings in, rows out."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

from docs_check.facts import Line, Reading
from docs_check.page import normal

Edit = tuple[str, str, int, int, tuple[str, ...]]  # language, section, from, to, and the digests to put there


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
    edits: tuple[Edit, ...] = ()  # of the accepted lines of text, once the row is accepted
    other: str = ""  # the language of the page's other half, where that half says what the document says

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


def agree(key: str, theirs: str, ours: str, *, shown: bool) -> bool:
    """Tell whether two values say the same. What an example shows of a field need only be allowed by the document."""
    if not shown or not key.startswith(("field ", "answer")):
        return normal(theirs) == normal(ours)
    allowed = set(ours.split("|"))
    allowed |= {"integer", "integer int64"} if allowed & {"number", "integer"} else set()
    allowed |= {"integer"} if {kind.split()[0] for kind in allowed} & {"integer"} else set()
    return "any" in allowed or allowed.issuperset(theirs.split("|"))


def facts(source: Reading, document: Reading, quiet: tuple[str, ...]) -> Iterator[Row]:
    """Compare facts. Of some, the source need not speak."""
    for key in dict.fromkeys([*source.facts, *document.facts]):
        theirs, line = source.facts.get(key, ("nothing", 0))
        ours, _ = document.facts.get(key, ("nothing", 0))
        silent = key not in source.facts and key.startswith((*quiet, *source.quiet))
        if not silent and not agree(key, theirs, ours, shown=bool(source.language)):  # a schema has no language
            yield fact(key, replace(source, name=document.name), theirs, ours, line)


def own(line: Line) -> str:
    """Return the digest of a line of text."""
    return digest(line.section, normal(line.text))


def texts(language: str, lines: list[Line], known: dict[str, list[str]] | None, words: dict[str, str]) -> Iterator[Row]:
    """Compare lines with the digests that were accepted of this language, section by section.

    `words` has accepted lines by their digests, as far as their words were kept.
    """
    now: dict[str, list[Line]] = {}
    for line in lines:
        now.setdefault(line.section, []).append(line)
    if known is None:
        edits = tuple((language, name, 0, 0, tuple(map(own, each))) for name, each in now.items())
        count = ", ".join(f"{len(each)} in {name!r}" for name, each in now.items())
        for first in lines[:1]:
            yield text("text", f"nothing was accepted of it yet: {count}", language, first.line, edits)
        return
    for name in dict.fromkeys([*now, *known]):
        yield from changes(name, language, now.get(name, []), known.get(name, []), lines, words)


def changes(
    name: str, language: str, here: list[Line], before: list[str], lines: list[Line], words: dict[str, str]
) -> Iterator[Row]:
    """Compare the lines of a section with the digests that were accepted of it."""
    marks = tuple(map(own, here))
    for kind, i, j, k, end in SequenceMatcher(None, before, marks, autojunk=False).get_opcodes():
        if kind in {"delete", "replace"}:
            at = [*here[:k][-1:], *here, *lines, Line("", "", 1)][0]
            place = f"after {at.text[:60]!r}" if k else "at its start"
            kept = " / ".join(filter(None, map(words.get, before[i:j])))
            gone = kept or f"{j - i} of its {len(before)} lines, {place}"
            yield text(f"gone from {name!r}", gone, language, at.line, ((language, name, i, j, ()),), before[i:j])
        if kind in {"insert", "replace"}:
            new = " / ".join(line.text for line in here[k:end])
            edit = (language, name, j, j, marks[k:end])
            yield text(f"new in {name!r}", new, language, here[k].line, (edit,))


def text(what: str, page: str, language: str, line: int, edits: tuple[Edit, ...], gone: Iterable[str] = ()) -> Row:
    """Return the row of lines of text that differ."""
    excerpt = page if len(page) <= 400 else f"{page[:399]}…"
    marks = [*gone, *(mark for edit in edits for mark in edit[4])]
    return Row("text", what, language, line, excerpt, digests=(digest(what, language, *marks),), edits=edits)


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
