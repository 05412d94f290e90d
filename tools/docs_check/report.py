"""Write reports: for a terminal, for an issue, for a program."""

import json
from dataclasses import asdict

from docs_check.check import Report


def as_text(reports: list[Report]) -> str:
    """For a terminal: at most two lines a row."""
    lines = []
    for report in reports:
        notes = sum(row.kind == "note" for row in report.rows)
        count = len(report.rows) - notes
        lines.append(
            f"{report.source}: {', '.join(report.names) or 'nothing compared'}: {count} to clear, {notes} noted"
        )
        for row in report.rows:
            where = f"  {row.line:>4} {row.language or '':<9} "
            own = f"  [{row.digests[0]}]" if row.digests else ""
            document = f"; the document: {row.document}" if row.document and row.kind != "text" else ""
            lines.append(f"{where}{'note: ' * (row.kind == 'note')}{row.fact}: {row.page}{document}{own}")
            lines += [f"{'':>17}{row.todo}"] if row.todo and row.kind == "fact" else []
    if any(report.exit == 1 for report in reports):
        lines.append('Mend the document; or accept the rest: make docs-accept PAGE=… (facts want REASON="…" too)')
    return "\n".join(lines)


def as_markdown(reports: list[Report]) -> str:
    """For an issue."""

    def cell(text: object) -> str:
        return str(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")

    lines = []
    for report in reports:
        lines += [f"### {report.source}", "", f"Compared with {', '.join(report.names) or 'nothing'}.", ""]
        if report.rows:
            lines += [
                "| | line | language | fact | the source says | the document says | to do | digest |",
                "|---" * 8 + "|",
            ]
        for row in report.rows:
            cells = [
                row.kind,
                row.line,
                row.language or "",
                row.fact,
                row.page,
                row.document,
                row.todo,
                " ".join(row.digests),
            ]
            lines.append(f"| {' | '.join(map(cell, cells))} |")
        lines += [""] if report.rows else ["Nothing differs.", ""]
    return "\n".join(lines).rstrip()


def as_json(reports: list[Report]) -> str:
    """For a program."""
    found = [
        {"source": r.source, "exit": r.exit, "compared_with": r.names, "rows": [asdict(row) for row in r.rows]}
        for r in reports
    ]
    status = max(report.exit for report in reports)
    return json.dumps({"exit": status, "sources": found}, indent=2, ensure_ascii=False)
