"""Choose what a source is compared with, compare, and accept."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from docs_check import diff, document, further, page
from docs_check.diff import Row
from docs_check.document import DocumentError, Operation
from docs_check.facts import Line, Reading, facts_of_part
from docs_check.page import Page, PageError

LOCK = Path("tools/docs_check/pages.lock.json")
ABOUT = "What was accepted of Binance's pages and schemas, as digests. Written by `make docs-accept`, never by hand."


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
        languages = {reading.language: None for reading in self.readings}
        return {each: [line for r in self.readings if r.language == each for line in r.lines] for each in languages}


def address(url: object) -> str:
    """Return what names a page: its path, without the site's own folders and its language."""
    return re.sub(r"\A(/(docs|legacy-docs|en|zh-CN|cn)(?=/|\Z))*/?|/+\Z", "", urlsplit(str(url)).path)


def sources(node: Any, name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what a document records of its sources, and which of its parts does."""
    for key, below in node.items() if isinstance(node, dict) else ():
        if key == "x-source" and isinstance(below, dict):
            yield name, below
        yield from sources(below, key)


class Project:
    """The documents and the lock file of a folder.

    Raises:
        DocumentError: one of them is in no state to be compared with.

    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK
        paths = [folder / "openapi.yaml", *folder.glob("asyncapi.yaml")]
        documents = list(map(document.load, paths))
        self.operations = [operation for each in documents for operation in document.operations(each)]
        self.sources = [each for root in documents for each in sources(root)]
        try:
            self.lock: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))["sources"]
        except FileNotFoundError:
            self.lock = {}
        except (ValueError, KeyError, TypeError) as error:
            raise DocumentError(f"pages.lock.json: it cannot be read; restore it from git ({error})") from error

    def of(self, key: str) -> dict[str, Operation]:
        """Return the operations that were taken from a page, by name."""
        return {each.name: each for each in self.operations if key in self.addresses(each)}

    def addresses(self, operation: Operation) -> list[str]:
        """Return the addresses of an operation's page, the crawled one first."""
        return [address(operation.source[key]) for key in ("url", "present") if key in operation.source]

    def entry(self, report: Report) -> dict[str, Any]:
        """Return what was accepted of a source; of a page that has moved, by the other addresses of its operations."""
        taken = [each for each in self.operations if each.name in report.names]
        names = [report.key, *(other for operation in taken for other in self.addresses(operation))]
        return next((self.lock[name] for name in names if name in self.lock), {"updated": "", "lines": {}, "facts": {}})

    def finish(self, report: Report, rows: list[Row]) -> Report:
        """Leave out what was accepted."""
        accepted = {mark for source in self.lock.values() for mark in source["facts"]}
        report.digests = {mark for row in rows for mark in row.digests}
        report.rows = diff.merged(row for row in rows if row.kind != "fact" or not accepted.issuperset(row.digests))
        return report

    def page(self, path: Path) -> Report:
        """Compare a page."""
        report = Report(str(path))
        try:
            found = page.read(path)
            report.key = address(found.front["source_url"])
            self.hold(found, report.key)
            rows = [*self.compare(found, report), *self.notes(found, report)]
            rows += diff.withdrawn(report.readings, self.entry(report)["facts"], rows)
        except PageError as error:
            return replace(report, rows=[Row("unclear", "page", "", 1, str(error))])
        return self.finish(report, rows)

    def hold(self, found: Page, here: str) -> None:
        """Hold a page's headings against its address: a crawler may have filed another page's body there."""
        known = {here, *(other for operation in self.of(here).values() for other in self.addresses(operation))}
        for part in found.parts or [found.sections]:
            links = [address(link) for each in part for link in each.links if urlsplit(link).path]
            if links and not any(link in known or link.startswith(f"{here}/") for link in links):
                says = f"another page's body: its headings link to {links[0]}, its source_url names {here}"
                raise PageError(f"{says}. Get the page again; if it has moved, write its address to x-source.present")

    def compare(self, found: Page, report: Report) -> Iterator[Row]:
        """Compare each of a page's readings with the operation or event that it describes."""
        here, every = self.of(report.key), {each.name: each for each in self.operations}
        readings = list(map(facts_of_part, found.parts))
        if not any(reading.name for reading in readings) and not any(" /" in name for name in here):
            readings = further.readings(found)
            if report.key not in {address(source.get("url")) for _, source in self.sources}:
                raise PageError("it names no endpoint, such as `GET /path`, and no document cites its address")
        taken = {(reading.name, reading.language) for reading in readings}
        seen: Counter[tuple[str, str]] = Counter()
        for reading in readings:
            free = next((each for each in here.values() if (each.name, reading.language) not in taken), None)
            operation = here.get(reading.name) or (free if here and reading.facts else every.get(reading.name))
            if operation:
                self.same(reading, operation, every)
                taken.add((operation.name, reading.language))
                ours = operation.reading(reading.language)
                seen[ours.name, ours.language] += 1  # what stands twice on a page is accepted twice
                ours.name += f" ({seen[ours.name, ours.language]})" if seen[ours.name, ours.language] > 1 else ""
                yield from diff.facts(reading, ours)
                if not here:
                    yield diff.fact(
                        "address", reading, found.front["source_url"], operation.source.get("url", "nothing")
                    )
                if report.names and operation.name not in list(report.names)[:1]:
                    name = operation.name
                    reading.lines = [replace(line, section=f"{name}: {line.section}") for line in reading.lines]
                report.names[operation.name] = None
            elif reading.facts:
                yield diff.fact("endpoint of no operation", reading, reading.name or "none that can be read", "nothing")
                continue
            report.readings.append(reading)
        entry = self.entry(report)
        for language, lines in report.lines.items():
            yield from diff.texts(language, lines, entry["lines"].get(language))

    def same(self, reading: Reading, operation: Operation, every: dict[str, Operation]) -> None:
        """Hold a body without links against the titles that are recorded: it may be another page's, too."""
        other = every.get(reading.name, operation)
        title = other.source.get("title", {}).get(reading.language)
        if other is not operation and title and reading.facts.get("title", ("", 0))[0] == title:
            raise PageError(f"another page's body: {title!r} is the page of {other.name}. Get the page again")

    def notes(self, found: Page, report: Report) -> Iterator[Row]:
        """Tell what needs no change: another date, unknown front matter, a language that is missing, odd JSON."""
        recorded = [each.source for each in self.operations if each.name in report.names]
        known = max([self.entry(report)["updated"], *(source.get("updated", "") for source in recorded)])
        report.updated = "".join(re.findall(r"\A\d{4}-\d\d-\d\d", found.front.get("updated_at", "")))
        if report.updated != known:
            what = "an older date" if report.updated < known else "a newer date"
            yield Row("note", what, "", 1, report.updated or "none that can be read", known)
        usual = {"exchange": "binance", "api_type": "REST"}
        for name in found.front.keys() - {"source_url", "updated_at"}:
            if found.front[name] != usual.get(name):
                yield Row("note", name, "", 1, found.front[name])
        for reading in report.readings:
            yield from (Row("note", "example", reading.language, line, text) for line, text in reading.notes)
        titles = {each for source in recorded for each in source.get("title", {})}
        for language in {*titles, *self.entry(report)["lines"]} - report.lines.keys():
            yield Row("note", "language", language, 1, "no part in this language", "one was read before")

    def schema(self, path: Path, pages: list[Report]) -> Report:
        """Compare a schema file of the vendor's with the documents, and with pages that were read."""
        root = document.load(path)
        theirs = {each.name: each.reading() for each in document.operations(root)}
        report = Report(str(path), f"schema {root.get('info', {}).get('title')}")
        rows: list[Row] = []
        for operation in self.operations:
            if reading := theirs.get(operation.name):
                report.names[operation.name] = None
                rows += diff.facts(reading, operation.reading(), ("title",))
                shown = [each for page in pages for each in page.readings if each.name == operation.name]
                rows += [row for each in shown for row in diff.contradictions(each, reading)]
            elif {name.startswith("event ") for name in theirs} >= {operation.name.startswith("event ")}:
                rows.append(diff.fact("endpoint", operation.reading(), "nothing", operation.name))
        for name in sorted(theirs.keys() - report.names.keys()):
            rows.append(Row("note", "not ours", "", 1, name))
        return self.finish(report, rows)

    def accept(self, report: Report, reason: str, only: list[str]) -> None:
        """Write what differs to the lock file: sentences, titles and addresses; other facts with a reason."""
        entry, lines = self.entry(report), {}
        for language, found in report.lines.items():
            lines[language] = {name: list(map(diff.own, each)) for name, each in diff.by_section(found).items()}
        facts: dict[str, Any] = {}
        for mark, told in entry["facts"].items():
            facts |= {mark: told} if mark in report.digests or told["language"] not in lines else {}
        for row in report.rows:
            if row.kind == "fact" and (row.plain or reason) and (not only or set(only) & set(row.digests)):
                told = {"fact": row.fact, "page": row.page, "document": row.document, "reason": reason}
                languages = zip(row.digests, row.language.split(", "), strict=True)
                facts |= {mark: {**told, "language": language} for mark, language in languages}
        updated = max(entry["updated"], report.updated)
        self.lock[report.key] = {"updated": updated, "lines": {**entry["lines"], **lines}, "facts": facts}
        text = json.dumps({"about": ABOUT, "sources": self.lock}, indent=1, ensure_ascii=False, sort_keys=True)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(f"{text}\n", encoding="utf-8")
