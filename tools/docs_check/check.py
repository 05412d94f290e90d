"""The documents of a project, and what sources say beside them."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from docs_check import diff, document, page
from docs_check.compare import Report, address, addresses, compare_page, compare_schema
from docs_check.diff import Row
from docs_check.lock import Lock
from docs_check.page import WORDS, Page, Unclear


def sources(node: Any, name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what a document records of its sources, and which of its parts does."""
    for key, below in node.items() if isinstance(node, dict) else ():
        if key == "x-source":
            document.check(below, f"the x-source of {name}", "source")
            yield name, below
        yield from sources(below, key)
    for below in node if isinstance(node, list) else ():  # such as a server
        yield from sources(below, name)


class Project:
    """The documents and the lock file of a folder.

    Raises:
        Unclear: one of them is in no state to be compared with.

    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.lock = folder, Lock(folder)
        documents = list(map(document.load, [folder / "openapi.yaml", *folder.glob("asyncapi.yaml")]))
        self.operations = [operation for each in documents for operation in document.operations(each)]
        self.sources = [(each.name, each.source) for each in self.operations]
        taken = [source for _, source in self.sources]
        self.sources += [each for root in documents for each in sources(root) if each[1] not in taken]

    def page(self, path: Path) -> Report:
        """Compare a page."""
        report = Report(str(path))
        try:
            found = page.read(path)
            report.key = address(found.front["source_url"])
            cited = {name: source for name, source in self.sources if report.key in addresses(source)}
            rows = list(compare_page(found, self.operations, [*cited], report))
        except Unclear as error:
            return replace(report, rows=[Row("unclear", "page", "", 1, str(error))])
        taken = [each.source for each in self.operations if each.name in report.names]
        pages = {tuple(addresses(source)) for source in (*taken, *cited.values())}
        # The page may have moved; but a page of several calls is none of the pages that each had before.
        former = pages.pop() if len(pages) == 1 else ()
        report.entry = self.lock.entry([report.key, *former])
        rows += notes(found, report, taken)
        return self.finish(report, rows, {})

    def schema(self, path: Path) -> Report:
        """Compare a schema file of the vendor's with the documents."""
        report = Report(str(path))
        try:
            rows = list(compare_schema(document.load(path), self.operations, report))
            words = self.words(report)
        except Unclear as error:
            return replace(report, rows=[Row("unclear", "file", "", 1, str(error))])
        report.entry = self.lock.entry([report.key])
        # That an operation or event is gone is a row of its own.
        told, lines = {"the file", *report.names}, report.entry["lines"].get("", {})
        report.entry["lines"] = {"": {name: marks for name, marks in lines.items() if name.split(": ")[0] in told}}
        return self.finish(report, rows, words)

    def words(self, report: Report) -> dict[str, str]:
        """Return the lines that were accepted of a schema file, by their digests."""
        path, before = self.lock.kept(report.key), Report("")
        list(compare_schema(document.load(path), self.operations, before) if path.exists() else ())
        return {diff.own(line): line.text for reading in before.readings for line in reading.lines}

    def finish(self, report: Report, rows: list[Row], words: dict[str, str]) -> Report:
        """Compare the lines of text with those that were accepted, and leave out the facts that were."""
        for language, lines in report.lines.items():
            rows += diff.texts(language, lines, report.entry["lines"].get(language), words)
        rows += list(withdrawn(report, {(row.fact, row.language) for row in rows}))
        report.digests = {mark for row in rows for mark in row.digests}
        accepted = report.entry["facts"].keys()
        report.rows = diff.merged(row for row in rows if row.kind != "fact" or not accepted >= {*row.digests})
        return report

    def stale(self) -> Report:
        """Name each place that states a fact in words of its own, and states what the document said before."""
        report = Report("the repository", names={"openapi.yaml": None})
        for key, place in WORDS["places"].items():
            now = {each.reading().facts.get(key, ("", 0))[0] for each in self.operations} - {""}
            if now - {str(place["value"])}:
                report.rows += stated(self.folder, key, place, "|".join(sorted(now)))
        return report


def stated(folder: Path, key: str, place: dict[str, Any], now: str) -> Iterator[Row]:
    """Yield a row for each file that states a fact as it was."""
    minutes, words = place["value"], "|".join(place["words"])
    was = re.compile(words.replace("{minutes}", f"{minutes}").replace("{seconds}", f"{minutes * 60}"))
    files = {path for pattern in place["files"] for path in folder.glob(pattern) if path.is_file()}
    for path in sorted(path for path in files if path.suffix != ".pyc"):
        lines = path.read_text(encoding="utf-8").split("\n")
        if found := [str(i) for i, line in enumerate(lines, 1) if was.search(line)]:
            where = f"{path.relative_to(folder)}, line {', '.join(found)}"
            yield Row("fact", key, "", int(found[0]), f"{where}: still {minutes}", now)


def notes(found: Page, report: Report, taken: list[dict[str, Any]]) -> Iterator[Row]:
    """Tell what needs no change: another date, unknown front matter, odd JSON, a language that is missing."""
    known = max([report.entry["updated"], *(source.get("updated", "") for source in taken)])
    report.updated = "".join(re.findall(r"\A\d{4}-\d\d-\d\d", found.front.get("updated_at", "")))
    if known and report.updated != known:
        what = "an older date" if report.updated < known else "a newer date"
        yield Row("note", what, "", 1, report.updated or "none that can be read", known)
    for name in found.front.keys() - {"source_url", "updated_at", "exchange", "api_type"}:
        yield Row("note", name, "", 1, found.front[name])
    for reading in report.readings:
        yield from (Row("note", "example", reading.language, line, text) for line, text in reading.notes)
    for language in {*report.entry["lines"]} - report.lines.keys():
        yield Row("note", "language", language, 1, "no part in this language", "one was read before")


def withdrawn(report: Report, told_of: set[tuple[str, str]]) -> Iterator[Row]:
    """Tell of facts that were accepted of a source, and that it states no more."""
    for mark, told in report.entry["facts"].items():
        key, language, was = told["fact"], told["language"], told["page"]
        here = [each for each in report.readings if each.language == language]
        stands = (key, language) in told_of or any(key in each.facts for each in here)
        if here and not stands and was != "nothing" and key != "address":
            yield Row("text", f"gone: {key}", language, here[0].line, was, digests=(mark,))
