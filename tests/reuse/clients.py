"""Clients of openapi.yaml in many languages, generated, built and run through scenarios.yaml: `make reuse`.

README.md beside this file says how a row is described and how to add one. `make test` does not collect this file: its
name does not begin with "test_", and its rows are other people's compilers.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from .rows import PASSED, Row, verdict

Settle = Callable[[str, str], None]


@pytest.fixture
def settle(row: Row, record_property: Callable[[str, object], None]) -> Settle:
    """Compare what a cell shows with what the row is known to fall short of, and note the cell for the table."""

    def settle(column: str, outcome: str) -> None:
        record_property(row.name, column)
        mark, note = verdict(outcome, row.shortfalls.get(column))
        if mark == "known":
            pytest.xfail(note)
        if mark != "ok":
            pytest.fail(f"{row.name}: {column}: {note}", pytrace=False)

    return settle


@pytest.fixture
def ready(row: Row) -> Row:
    if row.broken:
        pytest.skip(f"{row.name} is not ready")
    return row


@pytest.fixture(autouse=True)
def _chosen(row: Row) -> None:
    left_out = os.environ.get("REUSE_SKIP", "").replace(",", " ").split()
    if needed := set(left_out).intersection(row.manifest.get("needs", ())):
        pytest.skip(f"{row.name}: REUSE_SKIP names {', '.join(needed)}")


def test_ready(row: Row, settle: Settle) -> None:
    settle("ready", row.broken or PASSED)


@pytest.mark.command("generate")
def test_no_warning(ready: Row, settle: Settle) -> None:
    settle("no warning", ready.warning or PASSED)


@pytest.mark.command("check")
def test_check(ready: Row, settle: Settle) -> None:
    settle("check", ready.check())


@pytest.mark.command("run")
def test_scenario(ready: Row, settle: Settle, column: str, scenario: Mapping[str, Any]) -> None:
    settle(column, ready.act(scenario))
