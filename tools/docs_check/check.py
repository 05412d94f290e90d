"""Choose what a source is compared with, compare, and accept."""

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from docs_check import diff, openapi
from docs_check import page as pages
from docs_check.diff import Lock, Row
from docs_check.facts import Reading, facts_of_page
from docs_check.openapi import DocumentError, Operation
from docs_check.page import Page, PageError


@dataclass
class Report:
    """What became of one source. `names` are the operations that it was compared with."""

    source: str
    names: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    key: str = ""  # in the lock file
    updated: str = ""
    readings: list[Reading] = field(default_factory=list)
    digests: set[str] = field(default_factory=set)  # of all facts that differ, accepted or not

    @property
    def exit(self) -> int:
        """Return the exit status for this source alone."""
        kinds = {row.kind for row in self.rows}
        return 2 if "unclear" in kinds else int(bool(kinds - {"note"}))


def address(url: object) -> str:
    """Return what names a page: its path, without the site's own folders and its language."""
    steps = [step for step in urlsplit(str(url)).path.split("/") if step]
    while steps and steps[0] in {"docs", "legacy-docs", "en", "zh-CN", "cn"}:
        steps = steps[1:]
    return "/".join(steps)


class Project:
    """The documents and the lock file of a folder.

    Raises:
        DocumentError: one of them is in no state to be compared with.

    """

    def __init__(self, folder: Path) -> None:
        self.document = openapi.load(folder / "openapi.yaml")
        self.operations = openapi.operations(self.document, "openapi.yaml")
        try:
            self.lock = Lock(folder / "pages.lock.json")
        except ValueError as error:
            raise DocumentError(f"pages.lock.json: {error}; restore it from git") from error

    def addresses(self, operation: Operation) -> list[str]:
        """Return the addresses of an operation's page, the crawled one first."""
        return [address(operation.source[key]) for key in ("url", "present") if key in operation.source]

    def accepted(self, rows: list[Row]) -> list[Row]:
        """Leave out the facts that were accepted."""
        known = {digest for source in self.lock.sources.values() for digest in source["facts"]}
        return [row for row in rows if not (row.kind == "fact" and known.issuperset(row.digests))]

    def check(self, path: Path) -> Report:
        """Compare a page."""
        report = Report(str(path))
        try:
            page = pages.read(path)
            report.key = address(page.front.get("source_url"))
            unclear = (
                ""
                if page.parts
                else "none of its headings is one of an endpoint's page (HTTP Request, Request Weight, …)"
            )
            if unclear := unclear or self.misfiled(page, report.key):
                raise PageError(unclear)
        except PageError as error:
            report.rows = [Row("unclear", "page", None, 1, str(error))]
            return report
        rows, notes = self.compare(page, report), list(self.notes(page, report))
        report.digests = {mark for row in rows for mark in row.digests}
        report.rows = diff.merged([*notes, *self.accepted(rows)])
        return report

    def misfiled(self, page: Page, here: str) -> str:
        """Say whose body the page is, if it is another page's: by its headings' links."""
        moved = {
            own
            for operation in self.operations
            for own in self.addresses(operation)
            if here in self.addresses(operation)
        }
        for part in page.parts:
            links = [
                address(link)
                for s in part.sections
                if s.kind and s.kind != "title"
                for link in s.links
                if urlsplit(link).path
            ]
            if links and not any(link in {here, *moved} or link.startswith(f"{here}/") for link in links):
                return (
                    f"another page's body: its headings link to {links[0]}, its source_url names {here}. "
                    "Get the page again; if it has moved, write its new address to x-source.present"
                )
        return ""

    def compare(self, page: Page, report: Report) -> list[Row]:
        """Compare each of a page's readings with the operation that it describes."""
        here = [operation for operation in self.operations if report.key in self.addresses(operation)]
        readings = facts_of_page(page)
        rows: list[Row] = []
        taken: set[tuple[str | None, str | None]] = {(reading.name, reading.language) for reading in readings}
        for reading in readings:
            operation = next((op for op in self.operations if op.name == reading.name), None)
            if operation not in here:
                free = next((op for op in here if (op.name, reading.language) not in taken), None)
                operation = free or (None if here else operation)
            if operation is None:
                rows.append(self.unknown(reading))
                continue
            taken.add((operation.name, reading.language))
            if not here:
                rows += self.moved(reading, page, operation)
            if operation.name not in report.names:
                report.names.append(operation.name)
            if operation.name != report.names[0]:
                reading.lines = [replace(line, section=f"{operation.name}: {line.section}") for line in reading.lines]
            report.readings.append(reading)
            rows += diff.facts(reading, operation.reading(reading.language))
        entry = self.lock.source(report.key, *(own for op in here for own in self.addresses(op)))
        rows += self.withdrawn(report, entry["facts"], {mark for row in rows for mark in row.digests})
        known = entry["lines"]
        for language in dict.fromkeys(reading.language for reading in report.readings):
            every = [line for reading in report.readings if reading.language == language for line in reading.lines]
            rows += diff.texts(Reading(None, language, 1, {}, every), known.get(language))
        return rows

    def withdrawn(self, report: Report, known: dict[str, dict[str, str]], now: set[str]) -> Iterator[Row]:
        """Tell of facts that were accepted and that the page states no more."""
        for mark, told in known.items():
            readings = [reading for reading in report.readings if reading.language == told["language"]]
            stated = any(told["fact"] in reading.facts for reading in readings)
            if readings and mark not in now and not stated and told["page"] != "nothing" and told["fact"] != "address":
                own = (diff.digest(mark),)
                yield Row(
                    "text",
                    f"{told['fact']} is gone",
                    told["language"],
                    readings[0].line,
                    f"was {told['page']}",
                    "",
                    "",
                    own,
                )

    def unknown(self, reading: Reading) -> Row:
        """Tell of an endpoint that the document has not."""
        name = reading.name or "none that can be read"
        todo = "add an operation with an x-source, if it is ours"
        own = (diff.digest("endpoint", name, reading.language),)
        return Row("fact", f"endpoint {name}", reading.language, reading.line, name, "no such operation", todo, own)

    def moved(self, reading: Reading, page: Page, operation: Operation) -> Iterator[Row]:
        """Tell of an address that the document does not know."""
        url, known = str(page.front.get("source_url", "none")), str(operation.source.get("url", "none"))
        own = (diff.digest("address", operation.name, url),)
        yield Row(
            "fact", "address", reading.language, page.lines.get("source_url", 1), url, known, diff.TODO["address"], own
        )

    def notes(self, page: Page, report: Report) -> Iterator[Row]:
        """Tell what needs no change: a date, unknown front matter, a missing language, an example read tolerantly."""
        sources = [op.source for op in self.operations if op.name in report.names]
        days = [str(source.get("updated", "")) for source in sources]
        known = max([*days, self.lock.source(report.key)["updated"]], default="")
        try:
            report.updated = datetime.date.fromisoformat(str(page.front.get("updated_at"))[:10]).isoformat()
        except ValueError:
            report.updated = ""
        if report.updated != known:
            older = "an older copy" if report.updated < known else "newer than what was compared last"
            yield Row(
                "note",
                "date",
                None,
                page.lines.get("updated_at", 1),
                report.updated or "none that can be read",
                known,
                older,
            )
        usual = {"exchange": "binance", "source_url": None, "api_type": "REST", "updated_at": None}
        for name, value in page.front.items():
            if usual.get(name, "") not in {value, None}:
                yield Row(
                    "note",
                    name,
                    None,
                    page.lines.get(name, 1),
                    diff.excerpt(str(value)),
                    usual.get(name) or "nothing of that name",
                )
        for reading in report.readings:
            for line, text in reading.notes:
                yield Row("note", "example", reading.language, line, text)
        there = {reading.language for reading in report.readings}
        lost = {name for source in sources for name in source.get("title", {})} - there
        for name in sorted(lost if there else ()):
            yield Row("note", "language", name, 1, "no part in this language", "recorded")

    def accept(self, report: Report, reason: str, only: list[str]) -> None:
        """Write what differs to the lock file: sentences, titles and addresses; other facts with a reason."""
        entry: dict[str, Any] = self.lock.source(report.key)
        there = {reading.language for reading in report.readings}
        for language in there:
            every = [line for reading in report.readings if reading.language == language for line in reading.lines]
            entry["lines"] = {
                **entry["lines"],
                language: {name: list(map(diff.own, lines)) for name, lines in diff.sections(every).items()},
            }
        entry["updated"] = max(entry["updated"], report.updated)
        entry["facts"] = {
            mark: told
            for mark, told in entry["facts"].items()
            if mark in report.digests or told["language"] not in there
        }
        for row in report.rows:
            if row.kind == "fact" and (row.plain or reason) and (not only or set(only) & set(row.digests)):
                told = {"fact": row.fact, "page": row.page, "document": row.document, "reason": reason}
                for mark, language in zip(row.digests, (row.language or "").split(", "), strict=True):
                    entry["facts"][mark] = {**told, "language": language}
        self.lock.sources[report.key] = entry
        self.lock.write()
