"""What frames become: each documented example, and each way in which a frame can be odd."""

import json
import logging
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from listenkey.stream._events import (
    AccountUpdate,
    Decoder,
    Expired,
    OrderTradeUpdate,
    Read,
    Reply,
    RiskLevelChange,
    Shutdown,
    UnknownEvent,
)

KEY = "k" * 64
DOCUMENT = YAML(typ="safe").load(Path(__file__).parents[2] / "asyncapi.yaml")
EXAMPLES: dict[str, dict[str, Any]] = {
    example["name"]: example["payload"]
    for message in DOCUMENT["components"]["messages"].values()
    for example in message["examples"]
}


def read(content: object, **changes: object) -> Read:
    if changes:
        content = {**EXAMPLES["orderFilled"], "o": {**EXAMPLES["orderFilled"]["o"], **changes}}
    return Decoder().read(json.dumps(content), {KEY})


@pytest.mark.parametrize("name", [name for name in EXAMPLES if EXAMPLES[name]["e"] != "listenKeyExpired"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_each_example_of_the_document_is_read(name: str, wrapped: bool) -> None:
    example = EXAMPLES[name]
    event = read({"stream": KEY, "data": example} if wrapped else example)
    assert not isinstance(event, UnknownEvent | Reply | Shutdown | Expired)
    assert event.event_type == example["e"]
    assert event.raw == example
    assert event.event_time == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(example["E"]))
    assert KEY not in repr(event)


def test_names_are_words_and_amounts_are_exact() -> None:
    event = read(EXAMPLES["orderFilled"])
    assert isinstance(event, OrderTradeUpdate)
    order = event.order
    assert (order.client_order_id, order.status, order.side) == ("mm7-000418", "FILLED", "SELL")
    assert str(order.average_price) == "1756.2"
    assert order.commission == Decimal("-1.26450000")
    assert order.order_id == 4612088731905527811
    assert order.trade_time == datetime(2026, 3, 27, 9, 0, 3, 114000, tzinfo=UTC)
    with pytest.raises(FrozenInstanceError):
        order.status = "NEW"  # type: ignore[misc]
    assert hash(event) == hash(read(EXAMPLES["orderFilled"]))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0.1", "0.1"),
        ("-1E-8", "-1E-8"),
        ("0E-8", "0E-8"),
        (7, "7"),
        ("123456789012345678901234567890.123456789", "123456789012345678901234567890.123456789"),
    ],
)
def test_decimals(value: object, expected: str) -> None:
    event = read(None, ap=value)
    assert isinstance(event, OrderTradeUpdate)
    assert str(event.order.average_price) == expected


def test_a_decimal_sent_as_a_number_loses_nothing() -> None:
    frame = json.dumps(EXAMPLES["orderFilled"]).replace('"1756.2"', "1756.20000000000000000001")
    event = Decoder().read(frame, ())
    assert isinstance(event, OrderTradeUpdate)
    assert str(event.order.average_price) == "1756.20000000000000000001"


@pytest.mark.parametrize(
    "value", ["", " 1", "1_000", "NaN", "Infinity", "sNaN", "\u0661", "1e9999", "0x10", None, True, [], {}, "1,5"]
)
def test_a_required_field_that_cannot_be_read_makes_the_event_unknown(value: object) -> None:
    event = read(None, ap=value)
    assert isinstance(event, UnknownEvent)
    assert event.kind == "ORDER_TRADE_UPDATE"
    assert event.why == "ORDER_TRADE_UPDATE.o.ap is required, and missing or of the wrong type"
    assert event.raw["o"]["ap"] == value


@pytest.mark.parametrize(
    ("key", "attribute", "value"),
    [
        ("t", "trade_id", "x"),
        ("t", "trade_id", 1.5),
        ("t", "trade_id", True),
        ("m", "is_maker", 1),
        ("N", "commission_asset", 7),
        ("V", "self_trade_prevention", []),
    ],
)
def test_an_optional_field_that_cannot_be_read_is_none_and_logged_once(
    key: str, attribute: str, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    decoder, content = Decoder(), {**EXAMPLES["orderFilled"], "o": {**EXAMPLES["orderFilled"]["o"], key: value}}
    for _ in range(3):
        event = decoder.read(json.dumps(content), ())
        assert isinstance(event, OrderTradeUpdate)
        assert getattr(event.order, attribute) is None
        assert event.raw["o"][key] == value
    assert caplog.messages == [f"ORDER_TRADE_UPDATE.o.{key} cannot be read: its attribute is None"]


def test_an_optional_field_that_is_missing_is_none_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    order = {key: value for key, value in EXAMPLES["orderFilled"]["o"].items() if key not in ("N", "m", "V", "t")}
    event = read({**EXAMPLES["orderFilled"], "o": order})
    assert isinstance(event, OrderTradeUpdate)
    assert (event.order.commission_asset, event.order.is_maker, event.order.self_trade_prevention) == (None, None, None)
    assert caplog.messages == []


def test_a_time_beyond_the_calendar_cannot_be_read() -> None:
    assert isinstance(read({**EXAMPLES["orderFilled"], "E": 10**18}), UnknownEvent)


def test_enums_are_open_and_extra_fields_are_kept() -> None:
    event = read(None, X="PAUSED", new={"deep": [1]})
    assert isinstance(event, OrderTradeUpdate)
    assert event.order.status == "PAUSED"
    assert event.raw["o"]["new"] == {"deep": [1]}


@pytest.mark.parametrize("moment", ["1774605660004", 1774605660004, 1774605660004.0, None, True, [], "soon"])
def test_the_end_of_a_key_is_news_whatever_its_time_is(moment: object) -> None:
    example = EXAMPLES["keyEnded"]
    event = read({**example, "E": moment})
    assert isinstance(event, Expired)
    assert event.listen_key == example["listenKey"]
    assert example["listenKey"] not in repr(event)
    without = {name: value for name, value in example.items() if name not in ("E", "listenKey")}
    assert read(without) == Expired(None, None)
    assert read({**without, "listenKey": 7}) == Expired(None, None)


def test_a_listen_key_in_a_documented_event_is_masked() -> None:
    example = {**EXAMPLES["orderFilled"], "note": f"for {KEY}", "inner": {"listenKey": "another"}}
    for content in (example, {"stream": KEY, "data": example}):
        event = read(content)
        assert isinstance(event, OrderTradeUpdate)
        assert (event.raw["note"], event.raw["inner"]) == ("for ***", {"listenKey": "***"})
    escaped = json.dumps(example).replace(KEY, "".join(f"\\u{ord(letter):04x}" for letter in KEY))
    event = Decoder().read(escaped, {KEY})
    assert isinstance(event, OrderTradeUpdate)
    assert event.raw["note"] == "for ***"


def test_whatever_is_given_out_can_be_in_a_set() -> None:
    for content in (EXAMPLES["orderFilled"], {"e": "NEWS", "x": [1]}, [1]):
        assert len({read(content), read(content)}) <= 2


@pytest.mark.parametrize("number", ["1e999999999", "-1E+99999", "1e-1000000"])
def test_a_number_that_would_fill_the_memory_is_no_amount(number: str) -> None:
    text = '{"e":"RISK_LEVEL_CHANGE","E":1,"mb":"1","mm":%s}'
    event = Decoder().read(text % number, ())
    assert isinstance(event, UnknownEvent)
    assert event.raw["mm"] == number
    event = Decoder().read(text % f'"1","new":{number}', ())
    assert isinstance(event, RiskLevelChange)
    assert event.raw["new"] == number


OLD_ACCOUNT = {"e": "ACCOUNT_UPDATE", "E": 1757930400221, "B": [{"a": "USDT", "U": -14}], "uid": 100200300}


@pytest.mark.parametrize(
    ("content", "kind", "why"),
    [
        ({"e": "NEWS", "E": 1}, "NEWS", "a kind of event that is not documented"),
        (OLD_ACCOUNT, "ACCOUNT_UPDATE", "ACCOUNT_UPDATE.T is required"),
        (
            {"e": "ORDER_TRADE_UPDATE", "E": 1, "T": 1, "o": []},
            "ORDER_TRADE_UPDATE",
            "ORDER_TRADE_UPDATE.o is required",
        ),
        ({"e": "GREEK_UPDATE", "E": 1, "T": 1, "G": {}}, "GREEK_UPDATE", "GREEK_UPDATE.G is required"),
        ({"e": "GREEK_UPDATE", "E": 1, "T": 1, "G": [1]}, "GREEK_UPDATE", "GREEK_UPDATE.G is required"),
        ({"e": "GREEK_UPDATE", "E": 1, "T": 1, "G": [{}]}, "GREEK_UPDATE", "GREEK_UPDATE.G.u is required"),
        ({"e": ["x"]}, None, "no event's name"),
        ({"e": None}, None, "no event's name"),
        ({}, None, "no event's name"),
        ({"data": [1]}, None, "no event's name"),
        ({"id": 1}, None, "no event's name"),
        ([1], None, "not a JSON object"),
        ("text", None, "not a JSON object"),
        (None, None, "not a JSON object"),
    ],
)
def test_what_cannot_be_read_whole_arrives_as_unknown(content: object, kind: str | None, why: str) -> None:
    event = read(content)
    assert isinstance(event, UnknownEvent)
    assert event.kind == kind
    assert event.why.startswith(why)


@pytest.mark.parametrize(
    "frame", ["", "{", '{"e":"GREEK', "{NaN}", '{"e": NaN}', b"\xff\xfe", b"\x00", "[" * 100_000, "9" * 5000]
)
def test_what_is_no_json_arrives_as_unknown(frame: str | bytes) -> None:
    event = Decoder().read(frame, {KEY})
    assert isinstance(event, UnknownEvent)
    assert (event.kind, event.raw) == (None, {})


def test_a_binary_frame_is_read_as_text() -> None:
    assert isinstance(Decoder().read(json.dumps(EXAMPLES["reduceOnly"]).encode(), ()), RiskLevelChange)


@pytest.mark.parametrize(
    "content",
    [
        {"e": "serverShutdown", "E": 1},
        {"event": {"e": "serverShutdown", "E": 1}},
        {"stream": KEY, "data": {"e": "serverShutdown", "E": 1}},
    ],
)
def test_a_shutdown_is_a_word_of_the_connection(content: object) -> None:
    assert read(content) == Shutdown()


@pytest.mark.parametrize(
    ("content", "accepted"),
    [
        ({"result": None, "id": 1}, True),
        ({"error": {"code": 2, "msg": "x"}, "id": 1}, False),
        ({"code": 2, "msg": "x", "id": 1}, False),
    ],
)
def test_the_answer_to_subscribe(content: object, accepted: bool) -> None:
    assert read(content) == Reply(accepted)


@pytest.mark.parametrize(
    "content",
    [
        {"e": "KEYS", "listenKey": "another" * 9, "deep": [{"ListenKey": ["another" * 9]}]},
        {"e": "KEYS", "text": f"key {KEY} ended", KEY: 1},
        {"e": f"KEY {KEY}"},
        {"stream": KEY, "data": {"e": "KEYS"}},
        {"stream": KEY, "data": [1]},
        {"stream": KEY, "other": 1},
    ],
)
def test_no_listen_key_leaves_the_decoder(content: object, caplog: pytest.LogCaptureFixture) -> None:
    event = read(content)
    assert isinstance(event, UnknownEvent)
    for text in (repr(event), str(event.raw), str(event.kind), event.why, caplog.text):
        assert KEY not in text
        assert "another" not in text


@pytest.mark.parametrize(("start", "end"), [("[", "]"), ('{"a":', "}")])
def test_of_something_unknown_what_lies_too_deep_is_left_out(start: str, end: str) -> None:
    event = Decoder().read('{"e":"DEEP","x":' + start * 200 + f'"{KEY}"' + end * 200 + "}", {KEY})
    assert isinstance(event, UnknownEvent)
    assert KEY not in str(event.raw)
    assert 48 <= str(event.raw).count(start[0]) <= 51


def test_each_kind_of_trouble_is_logged_once_and_not_without_end(caplog: pytest.LogCaptureFixture) -> None:
    decoder = Decoder()
    for _ in range(2):
        for i in range(1000):
            decoder.read(json.dumps({"e": f"KIND{i}"}), ())
    assert len(caplog.records) == 100
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_events_can_be_made_by_a_program() -> None:
    event = read(EXAMPLES["holdingAPosition"])
    assert isinstance(event, AccountUpdate)
    assert replace(event, equity=Decimal(1), raw={}).raw == {}
