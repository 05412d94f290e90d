"""Compare a source with what the documents say: a page, and a schema file of the vendor's."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from docs_check import diff, document, further
from docs_check.diff import Row
from docs_check.document import Operation
from docs_check.facts import Line, Reading, facts_of_part
from docs_check.page import Page, Unclear, split

PAGE_QUIET = ("lifetime", "weight counted per", "api key")  # a page need not speak of these
SCHEMA_QUIET = ("lifetime", "weight counted per", "title")
ALIKE = 0.5  # two lists of values are the same list, changed, if they share this much


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
    entry: dict[str, Any] = field(default_factory=dict)  # what was accepted of it
    extract: dict[str, Any] = field(default_factory=dict)  # of a schema file: what is kept of it

    @property
    def differs(self) -> int:
        """Return how many rows are more than notes."""
        return sum(row.kind != "note" for row in self.rows)

    @property
    def exit(self) -> int:
        """Return the exit status for this source alone."""
        unclear = not (self.names or self.differs) or any(row.kind == "unclear" for row in self.rows)
        return 2 if unclear else int(self.differs > 0)

    @property
    def lines(self) -> dict[str, list[Line]]:
        """Return the lines of text by their language."""
        found: dict[str, list[Line]] = {}
        for reading in self.readings:
            found.setdefault(reading.language, []).extend(reading.lines)
        return found


def address(url: str) -> str:
    """Return what names a page: its path, without the site's own folders and its language."""
    return re.sub(r"\A(/(docs|legacy-docs|en|zh-CN|cn)(?=/|\Z))*/?|/+\Z", "", split(url)[1])


def addresses(source: dict[str, Any]) -> list[str]:
    """Return the addresses of a page that a document records, the crawled one first."""
    return [address(source[key]) for key in ("url", "present") if key in source]


def compare_page(found: Page, operations: list[Operation], cited: list[str], report: Report) -> Iterator[Row]:
    """Compare each part of a page with the operation or event that it describes.

    Raises:
        Unclear: the page is not the one that it says, or nothing of it can be compared.

    """
    here = {each.name: each for each in operations if report.key in addresses(each.source)}
    hold(found, report.key, here.values())
    readings = read(found, here, cited)
    matched = [(reading, described(reading, here, operations, readings)) for reading in readings]
    report.names |= {} if here else dict.fromkeys(cited)
    for reading, operation in matched:
        if operation:
            yield from beside(reading, operation, matched, report)
            if not here:
                yield diff.fact("address", reading, found.front["source_url"], operation.source.get("url", "nothing"))
        elif reading.facts:
            yield unknown(reading)
            report.names.setdefault(reading.name)
        else:
            report.readings.append(reading)
    yield from missing(here, report.names)
    yield from listed(readings, here.values())


def hold(found: Page, key: str, here: Iterable[Operation]) -> None:
    """Hold a page's headings against its address: a crawler may have filed another page's body there."""
    known = {key, *(other for operation in here for other in addresses(operation.source))}
    for part in found.parts or [found.sections]:
        links = [address(link) for section in part for link in section.links if split(link)[1]]
        if links and known.isdisjoint(links):
            says = f"another page's body: its headings link to {links[0]}, its source_url names {key}"
            raise Unclear(f"{says}. Get the page again; if it has moved, write its address to x-source.present")


def read(found: Page, here: dict[str, Operation], cited: list[str]) -> list[Reading]:
    """Read a page: as one of endpoints, or as one of events or a general one, which a document must cite."""
    readings = list(map(facts_of_part, found.parts))
    if not any(reading.name for reading in readings) and all(map(is_event, here)):
        readings = further.readings(found)
        if not cited:
            raise Unclear("it names no endpoint, such as `GET /path`, and no document cites its address")
    elif not any(reading.facts for reading in readings):
        names = ", ".join(repr(section.heading) for section in found.sections)
        text = [block.text for section in found.sections for block in section.blocks]
        why = f"no heading is one of an endpoint's page: {names}. It says: {' '.join(text)[:200]!r}"
        raise Unclear(f"{why}. Read it: the endpoint may be gone, or words.yaml wants new headings")
    return readings


def described(
    reading: Reading, here: dict[str, Operation], operations: list[Operation], readings: list[Reading]
) -> Operation | None:
    """Return what a reading describes, by its name or its title; else what the page is for, and nothing else names.

    Raises:
        Unclear: the title is another page's.

    """
    named = [each for each in operations if each.name == reading.name]
    if reading.name in here or not here:
        return [*named, None][0]
    titled = [each for each in operations if reading.says("title", each.title(reading.language) or "no title")]
    for each in titled[:1]:
        if each.name not in here:
            raise Unclear(f"another page's body: the title is that of {each.name}. Get the page again")
    return [*titled, *alone(reading, here, readings), *named, None][0]


def alone(reading: Reading, here: dict[str, Operation], readings: list[Reading]) -> list[Operation]:
    """Return what the page was taken for and no reading of this language names, if that is one alone."""
    free = here.keys() - {each.name for each in readings if each.language == reading.language}
    return [here[name] for name in free if reading.facts and len(free) == 1]


def beside(
    reading: Reading, operation: Operation, matched: list[tuple[Reading, Operation | None]], report: Report
) -> Iterator[Row]:
    """Compare the facts of a reading with those of its operation. What stands twice on a page is accepted twice."""
    ours, same = operation.reading(reading.language), [each for each, of in matched if of is operation]
    count = sum(each.language == reading.language for each in same[: same.index(reading)])
    ours.name += f" ({count + 1})" if count else ""
    for row in diff.facts(reading, ours, PAGE_QUIET):
        halves = [each.language for each in same if each.says(row.fact, row.document)]
        yield replace(row, other="".join(set(halves) - {reading.language}))
    if next(iter(report.names), operation.name) != operation.name:
        reading.lines = [replace(line, section=f"{operation.name}: {line.section}") for line in reading.lines]
    report.names[operation.name] = None
    report.readings.append(reading)


def unknown(reading: Reading) -> Row:
    """Return the row of an endpoint or event that no document has. Whatever it says belongs to the row's digest."""
    what = "event of no document" if is_event(reading.name) else "endpoint of no operation"
    row = diff.fact(what, reading, reading.name.removeprefix("event ") or "none that can be read", "nothing")
    facts = sorted(f"{key} {value}" for key, (value, _) in reading.facts.items())
    return replace(row, digests=(diff.digest(*row.digests, *facts, *map(diff.own, reading.lines)),))


def missing(ours: Iterable[str], theirs: Iterable[str]) -> Iterator[Row]:
    """Tell of operations and events that a source does not name any more."""
    for name in ours:
        if name not in theirs:
            what = "event" if is_event(name) else "endpoint"
            yield diff.fact(what, Reading(name), "nothing", name.removeprefix("event "))


def is_event(name: str) -> bool:
    """Tell a name of an event from a name of an operation."""
    return name.startswith("event ")


def listed(readings: list[Reading], here: Iterable[Operation]) -> Iterator[Row]:
    """Compare a page's lists of values with those of its events. A list is known by what it shares with ours."""
    ours = [(each.name, path, values) for each in here for path, values in each.values.items()]
    for reading in readings:
        found = list(further.lists(reading))
        for name, path, known in ours:
            line, values = max(found, key=lambda one: share(one[1], known), default=(0, known))
            best = max(ours, key=lambda one: share(one[2], values))
            if share(values, known) >= ALIKE and values != known and best[2] == known:
                said, told = ("|".join(sorted(each)) for each in (values, known))
                yield diff.fact(f"values {path}", Reading(name, reading.language), said, told, line)


def share(some: set[str], others: set[str]) -> float:
    """Return how much of two lists of values they share."""
    return len(some & others) / len(some | others)


def compare_schema(root: dict[str, Any], operations: list[Operation], report: Report) -> Iterator[Row]:
    """Compare a schema file of the vendor's with our operations or events, whichever it has any of.

    Raises:
        Unclear: it has neither.

    """
    theirs = {each.name: each for each in document.operations(root)}
    if not theirs:
        raise Unclear("it names no operation and no event")
    ours = alike(theirs, operations)
    report.key = f"schema of {'events' if all(map(is_event, ours)) else 'operations'}"
    report.names = dict.fromkeys(filter(theirs.__contains__, ours))
    for name in report.names:
        report.readings.append(theirs[name].vendor())
        yield from diff.facts(report.readings[-1], ours[name].reading(), SCHEMA_QUIET)
    # If a schema of theirs lists our events, an event that it does not list is not sent any more.
    yield from missing(ours, {name for name in report.names if theirs[name].united} or theirs)
    yield from others([each.vendor() for name, each in theirs.items() if name not in ours], ours)
    report.extract = document.extract(root, map(theirs.__getitem__, report.names))
    report.readings.append(document.whole(root))


def alike(theirs: Iterable[str], operations: list[Operation]) -> dict[str, Operation]:
    """Return our operations, or events, or both: of whichever kind a file names any of ours, or else any."""
    kinds = {is_event(each.name) for each in operations if each.name in theirs} or {any(map(is_event, theirs))}
    return {each.name: each for each in operations if is_event(each.name) in kinds}


def others(readings: list[Reading], ours: Iterable[str]) -> Iterator[Row]:
    """Tell of what is not ours: each event, and each endpoint whose path ends as one of ours; the rest in one note."""
    ends = {name.rsplit("/", 1)[-1] for name in ours}
    akin = [each for each in readings if is_event(each.name) or each.name.rsplit("/", 1)[-1] in ends]
    yield from map(unknown, akin)
    if rest := [each.name for each in readings if each not in akin]:
        yield Row("note", "not ours", "", 1, f"{len(rest)} operations: {', '.join(rest)}"[:400])
