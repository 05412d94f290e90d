"""The same event from two connections, as a table."""

import json

import pytest

from listenkey.stream._copies import Copies, content_of
from listenkey.stream._events import Decoder, Event

MAIN, OTHER = 1, 2


def event(number: int) -> tuple[Event, str]:
    frame = json.dumps({"e": "RISK_LEVEL_CHANGE", "E": number, "mb": "1", "mm": "1"})
    read = Decoder().read(frame, ())
    assert isinstance(read, Event)
    return read, frame


def counting(*before: int) -> Copies:
    copies = Copies()
    for number in before:
        copies.note(*event(number))
    copies.begin()
    return copies


def test_nothing_is_counted_while_a_single_connection_brings_events() -> None:
    copies = Copies()
    assert copies.content(*event(1)) is None
    assert copies.passes(None, MAIN, remember=True)
    assert len(copies) == 0


def test_the_content_is_the_same_however_the_frame_is_written() -> None:
    read, frame = event(1)
    other = json.dumps(dict(reversed(json.loads(frame).items())), indent=2)
    assert content_of(read, frame) == content_of(Decoder().read(other, ()), other)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("brought", "passed"),
    [
        ([MAIN, OTHER], [True, False]),
        ([OTHER, MAIN], [True, False]),
        ([MAIN, MAIN], [True, True]),  # two events of the same content
        ([MAIN, MAIN, OTHER, OTHER], [True, True, False, False]),
        ([MAIN, OTHER, OTHER], [True, False, True]),
        ([MAIN, OTHER, MAIN, OTHER], [True, False, True, False]),
    ],
)
def test_a_content_passes_as_often_as_one_connection_brought_it(brought: list[int], passed: list[bool]) -> None:
    copies = counting()
    content = copies.content(*event(1))
    assert [copies.passes(content, number, remember=True) for number in brought] == passed


def test_what_nobody_else_can_bring_is_not_remembered() -> None:
    copies = counting()
    content = copies.content(*event(1))
    assert copies.passes(content, MAIN, remember=False)
    assert len(copies) == 0
    assert not copies.is_known(content, MAIN)


def test_it_is_known_who_brought_a_content() -> None:
    copies = counting()
    content = copies.content(*event(1))
    copies.passes(content, MAIN, remember=True)
    assert copies.is_known(content, MAIN)
    assert not copies.is_known(content, OTHER)
    assert not copies.is_known(None, MAIN)


def test_what_repeats_itself_is_an_event_each_time() -> None:
    copies = counting(7)
    once, twice, before = (copies.content(*event(number)) for number in (1, 2, 7))
    for content in (once, twice, twice, before):
        copies.passes(content, MAIN, remember=True)
    copies.forget_repeated()  # the new connection is open
    assert [copies.passes(each, OTHER, remember=True) for each in (once, twice, before)] == [False, True, True]


def test_room_is_made_and_all_is_forgotten() -> None:
    copies = counting()
    for number in (1, 2):
        copies.passes(copies.content(*event(number)), MAIN, remember=True)
    copies.forget_oldest()
    assert (copies.is_known(copies.content(*event(1)), MAIN), len(copies)) == (False, 1)
    content = copies.content(*event(2))
    copies.stop()
    assert (len(copies), copies.is_counting) == (0, False)
    assert copies.passes(content, OTHER, remember=True)  # one that was held, and is released late
