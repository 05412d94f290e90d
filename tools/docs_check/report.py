"""Write reports: for people, and for programs."""

import json
import re
from dataclasses import asdict

from docs_check.compare import Report
from docs_check.diff import Row
from docs_check.page import WORDS

HEAD = ("| | fact | language | line | the source says | the document says | to do | digest |", f"|{'---|' * 8}")


def todo(row: Row) -> str:
    """Say how a document that says the same is written."""
    if row.kind == "fact" and row.other:
        return f"the other half ({row.other}) says what the document says: accept this one with a REASON"
    return str(WORDS["todo"].get(re.split(r"\W", row.fact)[0], "")) if row.kind == "fact" else ""


def as_text(reports: list[Report]) -> str:
    """For people: at most two lines a row."""
    lines = []
    for report in reports:
        notes = sum(row.kind == "note" for row in report.rows)
        names = ", ".join(report.names) or "nothing compared"
        lines.append(f"{report.source}: {names}: {len(report.rows) - notes} to clear, {notes} noted")
        for before, row in zip([None, *report.rows], report.rows, strict=False):
            lines.append(as_line(row, several=len(report.names) > 1))
            if todo(row) not in {"", before and todo(before)}:
                lines.append(f"{'':>17}{todo(row)}")
    if any(report.exit == 1 for report in reports):
        lines.append('Mend the document, or accept the rest: make docs-accept PAGE=… (facts want REASON="…", too)')
    return "\n".join(lines)


def as_line(row: Row, *, several: bool) -> str:
    """Write a row. Where a source speaks of several operations, the row names its own."""
    ours = f"; the document: {row.document}" if row.document else ""
    about = f"{row.name}: " if several and row.name else ""
    about = "note: " if row.kind == "note" else about
    own = "".join(f"  [{mark}]" for mark in row.digests[:1])
    return f"  {row.line:>4} {row.language:<9} {about}{row.fact}: {row.page}{ours}{own}"


def as_markdown(reports: list[Report]) -> str:
    """For an issue."""
    lines = []
    for report in reports:
        lines += [f"### {report.source}", "", f"Compared with {', '.join(report.names) or 'nothing'}.", ""]
        lines += [*HEAD, *map(as_cells, report.rows), ""] if report.rows else ["Nothing differs.", ""]
    return "\n".join(lines).rstrip()


def as_cells(row: Row) -> str:
    """Write a row of a table."""
    cells = [row.kind, row.fact, row.language, str(row.line), row.page, row.document, todo(row), *row.digests[:1]]
    escaped = (re.sub(r"([\\|])", r"\\\1", cell).replace("<", "&lt;") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def as_json(reports: list[Report]) -> str:
    """For a program."""
    found = []
    for report in reports:
        rows = [{**asdict(row), "todo": todo(row)} for row in report.rows]
        found.append({"source": report.source, "exit": report.exit, "compared_with": [*report.names], "rows": rows})
    return json.dumps({"exit": max(each.exit for each in reports), "sources": found}, indent=2, ensure_ascii=False)
