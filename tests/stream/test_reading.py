"""Both ways to read an object give the same: at once, and field by field."""

import copy
from decimal import Context, Decimal, InvalidOperation, localcontext
from pathlib import Path
from typing import Any

import pytest
from binance_options_events import EVENTS, FIELDS  # noqa: TID251  the table of all events
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from listenkey.stream._reading import UNDOCUMENTED, Reader, Unreadable

DOCUMENT = YAML(typ="safe").load(Path(__file__).parents[2] / "asyncapi.yaml")
EXAMPLES = [
    example["payload"]
    for message in DOCUMENT["components"]["messages"].values()
    for example in message["examples"]
    if example["payload"]["e"] != "listenKeyExpired"  # the stream reads its name alone
]
ODD: list[Any] = [
    *(None, True, False, 0, -1, 1, 1774602003118, 2**42, -(2**70), 2**70, Decimal("1.5"), [], {}, [{}]),
    *("", "0", "-0.10", "1e3", "+1", " 1", "1_0", "NaN", "Infinity", "--1", "1-", "1.2.3", "1;2", ".5", "5.", "-", "."),
    *("\u0661", "word"),
]


def reader(kind: str) -> Reader:
    return Reader(EVENTS[kind], lambda *_: None)


def both(raw: dict[str, Any]) -> tuple[object, object]:
    """Read an event in both ways."""
    kind = raw["e"]
    try:
        at_once = reader(kind).read_at_once(raw)
    except UNDOCUMENTED:
        at_once = None
    try:
        by_field = reader(kind).read_by_field(raw, kind)
    except Unreadable:
        by_field = None
    return at_once, by_field


@pytest.mark.parametrize("raw", EXAMPLES, ids=lambda raw: raw["e"])
def test_each_example_is_read_at_once(raw: dict[str, Any]) -> None:
    at_once, by_field = both(raw)
    assert at_once == by_field is not None
    assert repr(at_once) == repr(by_field)
    assert hash(at_once) == hash(by_field)
    assert at_once.raw is raw  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="cannot assign"):
        at_once.event_time = None  # type: ignore[attr-defined]


@pytest.mark.parametrize("raw", EXAMPLES, ids=lambda raw: raw["e"])
def test_what_is_optional_may_be_missing_at_once(raw: dict[str, Any]) -> None:
    cut = {each.key: raw[each.key] for each in FIELDS[EVENTS[raw["e"]]] if each.required} | {"e": raw["e"]}
    if "o" in cut:
        order = FIELDS[type(both(raw)[0].order)]  # type: ignore[attr-defined]
        cut["o"] = {each.key: cut["o"][each.key] for each in order if each.required}
    at_once, by_field = both(cut)
    assert at_once == by_field is not None


@given(
    raw=st.sampled_from(EXAMPLES),
    path=st.lists(st.integers(0, 40), min_size=1, max_size=3),
    value=st.sampled_from(ODD) | st.text(max_size=4),
)
def test_what_is_read_at_once_is_what_is_read_field_by_field(raw: dict[str, Any], path: list[int], value: Any) -> None:
    """One value somewhere in the event is another one."""
    raw = copy.deepcopy(raw)
    place: Any = raw
    for step in path[:-1]:
        keys = list(place) if isinstance(place, dict) else range(len(place))
        inner = place[keys[step % len(keys)]]
        place = inner if isinstance(inner, dict | list) and inner else place
    keys = list(place) if isinstance(place, dict) else range(len(place))
    if (key := keys[path[-1] % len(keys)]) != "e":
        place[key] = value
    at_once, by_field = both(raw)
    if at_once is not None:
        assert repr(at_once) == repr(by_field)


def test_a_program_that_lets_decimals_be_no_numbers_gets_none() -> None:
    raw = copy.deepcopy(next(each for each in EXAMPLES if each["e"] == "ORDER_TRADE_UPDATE"))
    raw["o"]["q"] = "1-2"
    with localcontext(Context(traps=[])) as context:
        assert both(raw) == (None, None)
        assert not context.flags[InvalidOperation]
