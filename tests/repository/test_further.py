"""CONTRIBUTING's "A further event" and "A further error code": document, code, exports and pages say the same."""

import re
from pathlib import Path
from typing import get_args

import binance_options_events  # noqa: TID251  the document itself
import pytest
from docs_check import document

from listenkey import errors, stream
from listenkey._http.answer import BY_CODE

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "docs", ROOT / "docs" / "zh-CN")
OWN = {"listenKeyExpired"}  # the stream itself answers this event: it asks for another key, and hands out a Gap


def test_every_event_of_the_document_is_an_item_of_the_stream() -> None:
    operations = document.operations(document.load(ROOT / "asyncapi.yaml"))
    named = {each.name.removeprefix("event ") for each in operations}
    classes = {
        event_type: each for event_type, each in binance_options_events.EVENTS.items() if event_type in named - OWN
    }
    assert classes.keys() == named - OWN
    assert set(get_args(stream.Event)) == {*classes.values(), stream.UnknownEvent}
    for each in classes.values():
        assert each.__name__ in stream.__all__
        assert getattr(stream, each.__name__) is each


@pytest.mark.parametrize("folder", PAGES, ids=["en", "zh-CN"])
def test_the_page_of_the_stream_has_a_row_for_each_event(folder: Path) -> None:
    rows = re.findall(r"(?m)^\| `(\w+)` \|", (folder / "stream.md").read_text(encoding="utf-8"))
    events = [each.__name__ for each in get_args(stream.Event)]
    assert [row for row in rows if row in events] == events


@pytest.mark.parametrize("folder", PAGES, ids=["en", "zh-CN"])
def test_the_page_of_the_errors_has_each_code_with_its_error(folder: Path) -> None:
    text = (folder / "errors.md").read_text(encoding="utf-8")
    rows = [line.rsplit("|", 2)[:2] for line in text.splitlines() if re.match(r"\|[^|]*4xx[^|]*-\d", line)]
    told = {int(code): re.findall(r"`(\w+)`", error) for answer, error in rows for code in re.findall(r"-\d+", answer)}
    assert told == {code: [error.__name__] for code, error in BY_CODE.items()}
    assert all(issubclass(error, errors.ApiError) for error in BY_CODE.values())


@pytest.mark.parametrize(
    "page", ["README.md", "README.zh-CN.md", "docs/errors.md", "docs/zh-CN/errors.md", "listenkey/errors.py"]
)
def test_each_error_is_in_the_lists_of_errors(page: str) -> None:
    listed = re.findall(r"(?m)^(?:\W*)(\w+)\W", (ROOT / page).read_text(encoding="utf-8"))
    classes = {
        name
        for name, each in vars(errors).items()
        if isinstance(each, type) and issubclass(each, errors.ListenKeyError) and each is not errors.ListenKeyError
    }
    assert "SnapshotError" in classes
    assert classes - set(listed) == set()
