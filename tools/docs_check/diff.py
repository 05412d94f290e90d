"""The one diff: two readings in, rows out; and the lock file, which knows what was accepted."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from docs_check.facts import Line, Reading
from docs_check.page import normal

ABOUT = "What was accepted of Binance's pages and schemas, as digests. Written by `make docs-accept`, never by hand."
TODO = {
    "endpoint": "move the operation to this method and path",
    "title": "write it to x-source.title; if the operation changed, its summary too",
    "address": "write it to x-source.url, or as x-source.present beside it",
    "security": "change x-security-type, and security if the call must carry something else",
    "weight": "change x-request-weight",
    "lifetime": "change x-lifetime-minutes, and the texts that name it",
    "parameter": "change parameters",
    "values": "change the enum of the parameter's schema",
    "field": "change the schema, and the example of this language if there is one",
    "answer": "change the schema of the answer, and the example of this language if there is one",
    "api": "change security",
}
PLAIN = ("title", "address")  # facts that are accepted without a reason, as sentences are


@dataclass(frozen=True)
class Row:
    """One difference or note: where, what the source says, what the document says, what to do."""

    kind: str  # "fact", "text", "note", or "unclear": it cannot be told what to compare
    fact: str
    language: str | None
    line: int
    page: str
    document: str = ""
    todo: str = ""
    digests: tuple[str, ...] = ()

    @property
    def plain(self) -> bool:
        """Tell whether the row is accepted without a reason."""
        return self.kind == "text" or self.fact in PLAIN


def digest(*words: str | None) -> str:
    """Return a fingerprint."""
    return hashlib.sha256("\n".join(word or "" for word in words).encode()).hexdigest()[:12]


def excerpt(text: str, length: int = 200) -> str:
    """Shorten what is quoted."""
    return text if len(text) <= length else text[: length - 1] + "…"


def _fits(theirs: str, ours: str) -> bool:
    """Tell whether a value of a type that a source shows is one of a type that the document allows."""
    if ours == "any" or theirs == ours:
        return True
    return (theirs.startswith("integer") and ours in {"number", "integer"}) or (
        theirs == "integer" and ours[:7] == theirs
    )


def _agree(key: str, theirs: str, ours: str) -> bool:
    if key == "answer" or key.startswith("field "):
        return all(any(_fits(one, other) for other in ours.split("|")) for one in theirs.split("|"))
    return normal(theirs) == normal(ours)


def facts(page: Reading, document: Reading) -> list[Row]:
    """Compare facts. Of some, a page need not speak; of some, a source of this kind never does."""
    rows = []
    quiet = ("lifetime", "weight counted per", "values of ", "api key", *page.silent)
    for key in [*page.facts, *(key for key in document.facts if key not in page.facts)]:
        theirs, ours = page.facts.get(key), document.facts.get(key)
        if (theirs and ours and _agree(key, theirs.value, ours.value)) or (not theirs and key.startswith(quiet)):
            continue
        says, known = theirs.value if theirs else "nothing", ours.value if ours else "nothing"
        own = digest(document.name, page.language, key, says.replace("integer int64", "integer"), known)
        todo = TODO.get(key.split()[0], "change the document")
        line = theirs.line if theirs else page.line
        rows.append(Row("fact", key, page.language, line, excerpt(says), excerpt(known), todo, (own,)))
    return rows


def merged(rows: Iterable[Row]) -> list[Row]:
    """Put together what several languages say alike."""
    found: dict[tuple[str, ...], Row] = {}
    for row in rows:
        key = (row.fact, row.page, row.document) if row.kind == "fact" else (str(len(found)), row.fact)
        known = found.get(key)
        if known:
            language = ", ".join(filter(None, (known.language, row.language)))
            row = replace(known, language=language, digests=known.digests + row.digests)
        found[key] = row
    return sorted(found.values(), key=lambda row: (row.line, row.fact, row.page))


def own(line: Line) -> str:
    """Return the digest of a line of text."""
    return digest(line.section, normal(line.text))


def sections(lines: Iterable[Line]) -> dict[str, list[Line]]:
    """Sort lines by their sections, in the page's order."""
    found: dict[str, list[Line]] = {}
    for line in lines:
        found.setdefault(line.section, []).append(line)
    return found


def texts(reading: Reading, known: dict[str, list[str]] | None) -> list[Row]:
    """Compare lines with the digests that were accepted of this language, by section."""
    now = sections(reading.lines)

    def row(fact: str, lines: list[Line], page: str, document: str = "", at: int = 0) -> Row:
        own_ = digest(fact, reading.language, page, *map(own, lines))
        return Row("text", fact, reading.language, lines[0].line if lines else at, page, document, "", (own_,))

    if known is None:
        count = ", ".join(f"{name} {len(lines)}" for name, lines in now.items())
        return (
            [row("text", reading.lines, f"{len(reading.lines)} lines that nobody accepted yet: {count}")] if now else []
        )
    rows = []
    for name in [*now, *(name for name in known if name not in now)]:
        lines, before = now.get(name, []), known.get(name, [])
        owns = [own(line) for line in lines]
        spare = Counter(before)
        new = []
        for line, mark in zip(lines, owns, strict=True):
            spare[mark] -= 1
            new += [line] if spare[mark] < 0 else []
        gone = []
        for i, mark in reversed(list(enumerate(before))):
            gone += [(i, mark)] if spare[mark] > 0 else []
            spare[mark] -= 1
        if new and not before:
            rows.append(row(f"new section {name!r}", new, " / ".join(line.text for line in new)))
        elif gone and not lines:
            rows.append(row(f"section {name!r} is gone", [], f"{len(before)} lines", at=reading.line))
        else:
            rows += [row(f"new in {name!r}", [line], line.text) for line in new]
            for i, mark in sorted(gone):
                after = next((lines[owns.index(other)] for other in reversed(before[:i]) if other in owns), None)
                place = f"line {i + 1} of {len(before)}, " + (
                    f"after {excerpt(after.text, 60)!r}" if after else "at its start"
                )
                rows.append(row(f"gone from {name!r}", [], place, mark, at=after.line if after else lines[0].line))
        if not new and not gone and owns != before:
            rows.append(row(f"another order in {name!r}", lines, " / ".join(line.text for line in lines)))
    return [replace(row, page=excerpt(row.page, 400)) for row in rows]


class Lock:
    """The lock file. For each source: its date, the digests of its lines by language and section, accepted facts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        text = path.read_text(encoding="utf-8") if path.exists() else "{}"
        self.sources: dict[str, Any] = json.loads(text).get("sources", {})

    def source(self, *names: str) -> dict[str, Any]:
        """Return what was accepted of a source, by the first of its names that is known."""
        empty: dict[str, Any] = {"updated": "", "lines": {}, "facts": {}}
        return {**empty, **next((self.sources[name] for name in names if name in self.sources), {})}

    def write(self) -> None:
        """Write the file."""
        text = json.dumps({"about": ABOUT, "sources": self.sources}, indent=2, ensure_ascii=False, sort_keys=True)
        self.path.write_text(text + "\n", encoding="utf-8")
