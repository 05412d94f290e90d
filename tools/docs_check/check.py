"""The documents and the lock file of a project: compare sources with them, and accept what differs."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from docs_check import diff, document, page
from docs_check.compare import Comparison, Report, address, addresses
from docs_check.diff import Row
from docs_check.document import DocumentError, Operation
from docs_check.facts import Line, Reading
from docs_check.page import PageError

LOCK = Path("tools/docs_check/pages.lock.json")
ABOUT = "What was accepted of Binance's pages and schemas, as digests. Written by `make docs-accept`, never by hand."


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

    def entry(self, report: Report) -> dict[str, Any]:
        """Return what was accepted of a source; of a page that has moved, by the other addresses of its operations."""
        taken = [each for each in self.operations if each.name in report.names]
        names = [report.key, *(other for operation in taken for other in addresses(operation))]
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
            cited = {address(source.get("url")) for _, source in self.sources}
            comparison = Comparison(found, self.operations, cited, report)
            rows = list(comparison.rows())
            entry = self.entry(report)  # known by the operations that were found on the page
            rows += [*comparison.texts(entry["lines"]), *comparison.notes(entry)]
            rows += diff.withdrawn(report.readings, entry["facts"], rows)
        except PageError as error:
            return replace(report, rows=[Row("unclear", "page", "", 1, str(error))])
        return self.finish(report, rows)

    def schema(self, path: Path, pages: list[Report]) -> Report:
        """Compare a schema file of the vendor's with the documents, and with pages that were read."""
        root = document.load(path)
        theirs = {each.name: each.reading() for each in document.operations(root)}
        report = Report(str(path), f"schema {root.get('info', {}).get('title')}")
        shown = [reading for each in pages for reading in each.readings]
        rows = [row for operation in self.operations for row in self.beside(operation, theirs, shown)]
        report.names = {each.name: None for each in self.operations if each.name in theirs}
        rows += [Row("note", "not ours", "", 1, name) for name in sorted(theirs.keys() - report.names.keys())]
        return self.finish(report, rows)

    def beside(self, operation: Operation, theirs: dict[str, Reading], shown: list[Reading]) -> Iterator[Row]:
        """Compare what a schema file says of an operation with the document, and with what the pages show of it."""
        if reading := theirs.get(operation.name):
            yield from diff.facts(reading, operation.reading(), ("title",))
            for each in shown:
                if each.name == operation.name:
                    yield from diff.contradictions(each, reading)
        elif any(is_event(name) == is_event(operation.name) for name in theirs):
            yield diff.fact("endpoint", operation.reading(), "nothing", operation.name)

    def accept(self, report: Report, reason: str, only: list[str]) -> None:
        """Write what differs to the lock file: sentences, titles and addresses; other facts with a reason."""
        entry, lines = self.entry(report), {language: digests(found) for language, found in report.lines.items()}
        facts = still_told(entry["facts"], report)
        for row in report.rows:
            if row.kind == "fact" and (row.plain or reason) and not (only and set(only).isdisjoint(row.digests)):
                facts |= accepted(row, reason)
        updated = max(entry["updated"], report.updated)
        self.lock[report.key] = {"updated": updated, "lines": {**entry["lines"], **lines}, "facts": facts}
        text = json.dumps({"about": ABOUT, "sources": self.lock}, indent=1, ensure_ascii=False, sort_keys=True)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(f"{text}\n", encoding="utf-8")


def is_event(name: str) -> bool:
    """Tell a name of an event from a name of an operation."""
    return name.startswith("event ")


def digests(lines: list[Line]) -> dict[str, list[str]]:
    """Return the digests of lines of text, by section."""
    return {name: list(map(diff.own, each)) for name, each in diff.by_section(lines).items()}


def still_told(facts: dict[str, dict[str, str]], report: Report) -> dict[str, dict[str, str]]:
    """Return the accepted facts that still differ, or that are of a language which the source has no part in."""
    read = report.lines.keys()
    return {mark: told for mark, told in facts.items() if mark in report.digests or told["language"] not in read}


def accepted(row: Row, reason: str) -> dict[str, dict[str, str]]:
    """Return what the lock file keeps of a fact, by its digest in each language."""
    told = {"fact": row.fact, "page": row.page, "document": row.document, "reason": reason}
    return {
        mark: {**told, "language": language}
        for mark, language in zip(row.digests, row.language.split(", "), strict=True)
    }
