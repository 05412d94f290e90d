"""Clients of openapi.yaml in many languages, generated, built and run through scenarios.yaml: `make reuse`.

README.md beside this file says how a row is described and how to add one. `make test` does not collect this file: its
name does not begin with "test_", and its rows are other people's compilers.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from .rows import PASSED, Row

Record = Callable[[str, object], None]


@pytest.fixture(autouse=True)
def _chosen(row: Row, record_property: Record) -> None:
    left_out = os.environ.get("REUSE_SKIP", "").replace(",", " ").split()
    if needed := set(left_out).intersection(row.manifest.get("needs", ())):
        record_property(row.name, "ready")
        pytest.skip(f"{row.name}: REUSE_SKIP names {', '.join(sorted(needed))}")


@pytest.fixture
def ready(row: Row) -> Row:
    if row.broken:
        pytest.skip(f"{row.name} is not ready")
    return row


def settle(row: Row, record: Record, column: str, outcome: str) -> None:
    """Note a cell for the table, and hold its outcome against what the row is known to fall short of."""
    record(row.name, column)
    known = row.shortfalls.get(column, {"how": PASSED})
    if outcome != known["how"]:
        pytest.fail(f"{row.name}: {column}: {outcome}; expected: {known['how']}", pytrace=False)
    if outcome != PASSED:
        pytest.xfail(f"{outcome} ({known['note']} {known['bug']})")


def test_ready(row: Row, record_property: Record) -> None:
    settle(row, record_property, "ready", row.broken or PASSED)


@pytest.mark.command("generate")
def test_no_warning(ready: Row, record_property: Record) -> None:
    settle(ready, record_property, "no warning", ready.warning or PASSED)


@pytest.mark.command("check")
def test_check(ready: Row, record_property: Record) -> None:
    settle(ready, record_property, "check", ready.check())


@pytest.mark.command("run")
def test_scenario(ready: Row, record_property: Record, column: str, scenario: Mapping[str, Any]) -> None:
    settle(ready, record_property, column, ready.act(scenario))
