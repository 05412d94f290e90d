"""Compare one page with the operations and events that it describes: facts, addresses, texts, notes."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from docs_check import diff, further
from docs_check.diff import Row
from docs_check.document import Operation
from docs_check.facts import Line, Reading, facts_of_part
from docs_check.page import Page, PageError, Section

USUAL = {"exchange": "binance", "api_type": "REST"}  # of the front matter; `source_url` and `updated_at` are read


@dataclass
class Report:
    """What became of one source. `key` names it in the lock file."""

    source: str
    key: str = ""
    updated: str = ""
    names: dict[str, None] = field(default_factory=dict)  # of what it was compared with
    readings: list[Reading] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    digests: set[str] = field(default_factory=set)  # of all facts that differ, accepted or not

    @property
    def exit(self) -> int:
        """Return the exit status for this source alone."""
        kinds = {row.kind for row in self.rows}
        return 2 if "unclear" in kinds else int(bool(kinds - {"note"}))

    @property
    def lines(self) -> dict[str, list[Line]]:
        """Return the lines of text by their language."""
        found: dict[str, list[Line]] = {}
        for reading in self.readings:
            found.setdefault(reading.language, []).extend(reading.lines)
        return found


def address(url: object) -> str:
    """Return what names a page: its path, without the site's own folders and its language."""
    return re.sub(r"\A(/(docs|legacy-docs|en|zh-CN|cn)(?=/|\Z))*/?|/+\Z", "", urlsplit(str(url)).path)


def addresses(operation: Operation) -> list[str]:
    """Return the addresses of an operation's page, the crawled one first."""
    return [address(operation.source[key]) for key in ("url", "present") if key in operation.source]


class Comparison:
    """A page beside the operations of the documents.

    Raises:
        PageError: the page is not the one that it says.

    """

    def __init__(self, found: Page, operations: list[Operation], cited: set[str], report: Report) -> None:
        self.found, self.report = found, report
        self.every = {each.name: each for each in operations}
        self.here = {each.name: each for each in operations if report.key in addresses(each)}
        self.seen: Counter[tuple[str, str]] = Counter()
        self.hold()
        self.readings = self.read(cited)
        self.taken = {(reading.name, reading.language) for reading in self.readings}

    def hold(self) -> None:
        """Hold a page's headings against its address: a crawler may have filed another page's body there."""
        here = self.report.key
        known = {here, *(other for operation in self.here.values() for other in addresses(operation))}
        for part in self.found.parts or [self.found.sections]:
            links = addresses_of(part)
            if links and not any(link in known or link.startswith(f"{here}/") for link in links):
                says = f"another page's body: its headings link to {links[0]}, its source_url names {here}"
                raise PageError(f"{says}. Get the page again; if it has moved, write its address to x-source.present")

    def read(self, cited: set[str]) -> list[Reading]:
        """Read the page: as one of endpoints, or as one of events or a general one, which a document must cite."""
        readings = list(map(facts_of_part, self.found.parts))
        if any(reading.name for reading in readings) or any(" /" in name for name in self.here):
            return readings
        readings = further.readings(self.found)
        if self.report.key not in cited:
            raise PageError("it names no endpoint, such as `GET /path`, and no document cites its address")
        return readings

    def rows(self) -> Iterator[Row]:
        """Compare each of the page's readings with the operation or event that it describes."""
        for reading in self.readings:
            operation = self.operation_of(reading)
            if operation:
                yield from self.described(reading, operation)
            elif reading.facts:
                yield diff.fact("endpoint of no operation", reading, reading.name or "none that can be read", "nothing")
                continue
            self.report.readings.append(reading)

    def operation_of(self, reading: Reading) -> Operation | None:
        """Return what a reading describes: by its name, else one that was taken from this page and is still free."""
        if reading.name in self.here:
            return self.here[reading.name]
        if self.here and reading.facts:
            free = (each for name, each in self.here.items() if (name, reading.language) not in self.taken)
            return next(free, None)
        return self.every.get(reading.name)

    def described(self, reading: Reading, operation: Operation) -> Iterator[Row]:
        """Compare the facts of a reading with those of its operation, and the page's address with the recorded one."""
        self.hold_title(reading, operation)
        self.taken.add((operation.name, reading.language))
        yield from diff.facts(reading, self.ours(operation, reading.language))
        if not self.here:
            yield diff.fact("address", reading, self.found.front["source_url"], operation.source.get("url", "nothing"))
        if self.report.names and operation.name not in list(self.report.names)[:1]:
            reading.lines = [replace(line, section=f"{operation.name}: {line.section}") for line in reading.lines]
        self.report.names[operation.name] = None

    def hold_title(self, reading: Reading, operation: Operation) -> None:
        """Hold a body without links against the titles that are recorded: it may be another page's, too."""
        other = self.every.get(reading.name, operation)
        title = other.source.get("title", {}).get(reading.language)
        if other is not operation and title and reading.facts.get("title", ("", 0))[0] == title:
            raise PageError(f"another page's body: {title!r} is the page of {other.name}. Get the page again")

    def ours(self, operation: Operation, language: str) -> Reading:
        """Return what the document says of an operation. What stands twice on a page is accepted twice."""
        reading = operation.reading(language)
        self.seen[reading.name, language] += 1
        count = self.seen[reading.name, language]
        reading.name += f" ({count})" if count > 1 else ""
        return reading

    def texts(self, accepted: dict[str, dict[str, list[str]]]) -> Iterator[Row]:
        """Compare the lines of text with those that were accepted, by language."""
        for language, lines in self.report.lines.items():
            yield from diff.texts(language, lines, accepted.get(language))

    def notes(self, entry: dict[str, Any]) -> Iterator[Row]:
        """Tell what needs no change: another date, unknown front matter, odd JSON, a language that is missing."""
        recorded = [each.source for each in self.every.values() if each.name in self.report.names]
        yield from self.date(max([entry["updated"], *(source.get("updated", "") for source in recorded)]))
        yield from self.unknown()
        for reading in self.report.readings:
            yield from (Row("note", "example", reading.language, line, text) for line, text in reading.notes)
        titles = {language for source in recorded for language in source.get("title", {})}
        for language in {*titles, *entry["lines"]} - self.report.lines.keys():
            yield Row("note", "language", language, 1, "no part in this language", "one was read before")

    def unknown(self) -> Iterator[Row]:
        """Tell of front matter that nobody knows."""
        for name in self.found.front.keys() - {"source_url", "updated_at"}:
            if self.found.front[name] != USUAL.get(name):
                yield Row("note", name, "", 1, self.found.front[name])

    def date(self, known: str) -> Iterator[Row]:
        """Tell of another date than the one that is known."""
        self.report.updated = "".join(re.findall(r"\A\d{4}-\d\d-\d\d", self.found.front.get("updated_at", "")))
        if self.report.updated != known:
            what = "an older date" if self.report.updated < known else "a newer date"
            yield Row("note", what, "", 1, self.report.updated or "none that can be read", known)


def addresses_of(part: list[Section]) -> list[str]:
    """Return the addresses that the headings of a part link to."""
    return [address(link) for section in part for link in section.links if urlsplit(link).path]
