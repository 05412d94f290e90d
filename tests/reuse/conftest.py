"""How `make reuse` chooses its rows, and the table that it ends with."""

import functools
from pathlib import Path

import pytest

from .rows import COLUMNS, HERE, ROOT, SCENARIOS, Row

MARKS = {"passed": "ok", "xfailed": "known", "failed": "FAILED", "error": "FAILED", "skipped": "-"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--document", type=Path, default=ROOT / "openapi.yaml", help="another OpenAPI document")
    parser.addoption("--only", default="", help="language/generator, a space between; all unless given")


@functools.cache
def rows(document: Path) -> dict[str, Row]:
    """Every row by its name; made once, because a row remembers what became of its commands."""
    return {row.name: row for row in (Row(path.parent, document) for path in sorted(HERE.glob("*/*/reuse.yaml")))}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test the rows that have the command which the test is about, and every scenario if it asks for one."""
    document, only = metafunc.config.getoption("document"), metafunc.config.getoption("only").split()
    known = rows(document)
    if not document.is_file() or not set(only) <= known.keys():
        raise pytest.UsageError(f"no such document or row: {document} {' '.join(only)}; there are {', '.join(known)}")
    chosen = [known[name] for name in only or known]
    for mark in metafunc.definition.iter_markers("command"):
        chosen = [row for row in chosen if mark.args[0] in row.manifest]
    metafunc.parametrize("row", chosen, ids=[row.name for row in chosen])
    if "scenario" in metafunc.fixturenames:
        metafunc.parametrize(("column", "scenario"), SCENARIOS.items(), ids=SCENARIOS)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print a line for each scenario and a column for each row."""
    cells = {}
    for outcome, mark in MARKS.items():
        for report in terminalreporter.stats.get(outcome, []):
            cells.update(dict.fromkeys(getattr(report, "user_properties", ()), mark))
    if not cells:
        return  # `make test` has come by here, on its way to collect nothing
    names = sorted({name for name, _ in cells})
    terminalreporter.section("openapi.yaml in other languages")
    for number, name in enumerate(names, 1):
        terminalreporter.write_line(f"{number:2} {name}")
    width = max(map(len, COLUMNS))
    terminalreporter.write_line(" " * width + "".join(f"{number:7}" for number in range(1, len(names) + 1)))
    for column in COLUMNS:
        marks = (cells.get((name, column), "") for name in names)
        terminalreporter.write_line(column.ljust(width) + "".join(f"{mark:>7}" for mark in marks))
    terminalreporter.write_line("What the commands printed: .cache/reuse/*/*/reuse.log")
