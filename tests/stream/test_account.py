"""The account's state, as tables: histories whose end is known, cut into snapshots and events in every way."""

import copy
import dataclasses
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from listenkey import SnapshotError
from listenkey.stream import (
    FINAL_ORDERS,
    AccountState,
    AccountUpdate,
    Balance,
    BalancePositionUpdate,
    Blind,
    Gap,
    Greeks,
    GreekUpdate,
    Item,
    Order,
    OrderTradeUpdate,
    Position,
    RiskLevelChange,
    UnknownEvent,
)

BASE = datetime(2026, 11, 29, tzinfo=UTC)
GAP = Gap("reconnected", BASE, BASE)
EMPTY: dict[str, Any] = {"asset": [], "greek": [], "time": 0}
DOCUMENT = YAML(typ="safe").load(Path(__file__).parents[2] / "account.yaml")
SCHEMAS = DOCUMENT["components"]["schemas"]


def at(ms: int) -> datetime:
    return BASE + timedelta(milliseconds=ms)


def number(ms: int) -> int:
    return round(at(ms).timestamp() * 1000)


def order(
    number: int, ms: int, status: str = "NEW", filled: object = 0, last: object = 0, quantity: object = 10
) -> OrderTradeUpdate:
    happened = {"PARTIALLY_FILLED": "TRADE", "FILLED": "TRADE"}.get(status, status)
    part = Order(
        symbol=f"BTC-260626-{number}-C",
        client_order_id=f"mine-{number}",
        side="BUY",
        order_type="LIMIT",
        time_in_force="GTC",
        quantity=Decimal(str(quantity)),
        price=Decimal(100),
        average_price=Decimal(100) if filled else Decimal(0),
        execution_type=happened,
        status=status,
        order_id=number,
        last_filled_quantity=Decimal(str(last)),
        filled_quantity=Decimal(str(filled)),
        last_filled_price=Decimal(100),
        commission_asset=None,
        commission=Decimal(0),
        trade_time=at(ms),
        trade_id=0,
        bids_quantity=Decimal(0),
        asks_quantity=Decimal(0),
        is_maker=True,
        reduce_only=False,
        original_order_type="LIMIT",
        realized_profit=Decimal(0),
        self_trade_prevention=None,
    )
    return OrderTradeUpdate(event_time=at(ms), transaction_time=at(ms), order=part)


def row(event: OrderTradeUpdate) -> dict[str, Any]:
    """The order as GET /eapi/v1/openOrders shows it after an event."""
    part = event.order
    return {
        "orderId": part.order_id,
        "symbol": part.symbol,
        "price": str(part.price),
        "quantity": str(part.quantity),
        "executedQty": str(part.filled_quantity),
        "side": part.side,
        "type": "LIMIT",
        "timeInForce": "GTC",
        "reduceOnly": False,
        "updateTime": round(event.transaction_time.timestamp() * 1000),
        "status": part.status,
        "avgPrice": str(part.average_price),
        "clientOrderId": part.client_order_id,
    }


def position(symbol: str, ms: int, quantity: int) -> BalancePositionUpdate:
    held = Position(symbol=symbol, quantity=Decimal(quantity), value=Decimal(quantity), average_price=Decimal(1))
    return BalancePositionUpdate(
        event_time=at(ms), transaction_time=at(ms), reason="ORDER", balances=(), positions=(held,)
    )


def balance(asset: str, ms: int, amount: int) -> BalancePositionUpdate:
    held = Balance(asset=asset, balance=Decimal(amount), balance_change=Decimal(0))
    return BalancePositionUpdate(
        event_time=at(ms), transaction_time=at(ms), reason="DEPOSIT", balances=(held,), positions=()
    )


def greeks(underlying: str, ms: int, delta: int) -> GreekUpdate:
    part = Greeks(underlying=underlying, delta=Decimal(delta), gamma=Decimal(0), theta=Decimal(0), vega=Decimal(0))
    return GreekUpdate(event_time=at(ms), transaction_time=at(ms), greeks=(part,))


def totals(ms: int, equity: int) -> AccountUpdate:
    rest: dict[str, Any] = dict.fromkeys(
        ["adjusted_equity", "position_value", "unrealized_profit", "initial_margin", "maintenance_margin"], Decimal(0)
    )
    return AccountUpdate(
        event_time=at(ms), transaction_time=at(ms), equity=Decimal(equity), wallet_balance=Decimal(equity), **rest
    )


def loaded(*items: Item, **answers: Any) -> AccountState:
    """A state that is right: nothing is open but what `answers` have; then the items."""
    state = AccountState()
    state.load(**{"open_orders": [], "positions": [], "margin_account": EMPTY, **answers})
    for item in items:
        state.apply(item)
    return state


def opened(state: AccountState) -> list[int]:
    return [number for number, each in state.orders.items() if each.is_open]


# Staleness.


def test_a_new_state_is_stale_until_all_three_answers_are_loaded() -> None:
    state = AccountState()
    assert state.stale is not None
    assert state.stale.reason == "started"
    assert state.stale.since is None
    state.apply(Gap("started", None, BASE))
    steps: list[tuple[str, Any, tuple[str, ...]]] = [
        ("open_orders", [], ("positions", "margin_account")),
        ("margin_account", EMPTY, ("positions",)),
    ]
    for part, answer, missing in steps:
        state.load(**{part: answer})
        assert state.stale is not None
        assert state.stale.missing == missing
    state.load(positions=[])
    assert state.stale is None


REASONS: tuple[Literal["reconnected", "key_replaced", "key_expired", "mute", "overflow"], ...] = (
    *("reconnected", "key_replaced", "key_expired", "mute", "overflow"),
)
LOSSES: dict[str, tuple[Item, str]] = {
    **{reason: (Gap(reason, at(5), at(6)), reason) for reason in REASONS},
    "unreadable": (UnknownEvent("ORDER_TRADE_UPDATE", "o.i is missing", {}), "unreadable"),
    "blind": (Blind(at(5), None), "blind"),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_makes_the_state_stale_with_reason_and_since(name: str) -> None:
    item, reason = LOSSES[name]
    state = loaded(order(1, 5))
    assert (state.stale, state.epoch) == (None, 0)
    state.apply(item)
    assert state.stale is not None
    assert (state.stale.reason, state.stale.since, state.epoch) == (reason, at(5), 1)
    assert state.stale.missing == ("open_orders", "positions", "margin_account")


def test_two_losses_tell_the_time_of_the_first_and_the_reason_of_the_second() -> None:
    state = loaded(Gap("reconnected", at(1), at(2)), Gap("mute", at(3), at(4)))
    assert state.stale is not None
    assert (state.stale.reason, state.stale.since, state.epoch) == ("mute", at(1), 2)


def test_nothing_is_right_while_the_stream_is_blind() -> None:
    state = loaded(Blind(at(1), None))
    state.load(open_orders=[row(order(1, 2))], positions=[], margin_account=EMPTY)
    assert opened(state) == [1]
    assert state.stale is not None
    state.apply(GAP)
    state.load(open_orders=[row(order(1, 2))], positions=[], margin_account=EMPTY)
    assert state.stale is None


@pytest.mark.parametrize(
    "item",
    [
        order(1, 1),
        position("A", 1, 1),
        balance("USDT", 1, 1),
        greeks("BTCUSDT", 1, 1),
        totals(1, 1),
        RiskLevelChange(event_time=BASE, risk_level=None, margin_balance=Decimal(1), maintenance_margin=Decimal(1)),
    ],
)
def test_an_event_makes_nothing_stale(item: Item) -> None:
    assert loaded(item).stale is None


# Histories with a known end.


def test_orders_move_only_forward() -> None:
    state = loaded(order(1, 1), order(1, 2, "PARTIALLY_FILLED", 3, 3), order(1, 3, "FILLED", 10, 7))
    assert (state.orders[1].status, state.orders[1].is_final) == ("FILLED", True)
    for late in (order(1, 9), order(1, 9, "PARTIALLY_FILLED", 3, 3), order(1, 1)):
        state.apply(late)
        assert state.orders[1].status == "FILLED"
    state = loaded(order(1, 1), order(1, 2, "CANCELED"), order(1, 9, "PARTIALLY_FILLED", 3, 3))
    assert state.orders[1].status == "CANCELED", "final wins over more filled, and over later"
    state = loaded(order(1, 2, "PARTIALLY_FILLED", 3, 3), order(1, 1))
    assert state.orders[1].filled_quantity == 3
    state.load(open_orders=[row(order(1, 1))])
    assert state.orders[1].filled_quantity == 3, "an older answer changes nothing"


def test_the_documented_statuses() -> None:
    statuses = ["ACCEPTED", "NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "EXPIRED", "EXPIRED_IN_MATCH", "REJECTED"]
    state = loaded(*(order(number, number, status) for number, status in enumerate(statuses)))
    assert [status for each, status in enumerate(statuses) if state.orders[each].is_open] == statuses[:3]
    assert [status for each, status in enumerate(statuses) if state.orders[each].is_final] == statuses[3:7]


def test_positions_and_balances_are_absolute_and_the_later_time_wins() -> None:
    state = loaded(position("A", 2, 5), position("A", 1, 3), balance("USDT", 2, 50), balance("USDT", 1, 30))
    assert state.positions["A"].quantity == 5
    assert state.balances == {"USDT": 50}
    state.apply(position("A", 3, 0))
    assert state.positions == {}
    state.apply(position("A", 2, 5))
    assert state.positions == {}, "the event is older than the end of the position"
    state.apply(position("A", 4, 7))
    assert state.positions["A"].quantity == 7


def test_a_position_of_0_in_a_snapshot_is_none_and_stays_none() -> None:
    held = {"symbol": "A", "quantity": "0.00", "entryPrice": "0", "markValue": "0", "time": number(9)}
    state = loaded(positions=[held])
    assert state.positions == {}
    state.apply(position("A", 7, 5))
    assert state.positions == {}, "the event is older than the end of the position"
    state.apply(position("A", 10, 5))
    assert state.positions["A"].quantity == 5
    state.load(positions=[{**held, "time": number(11)}])
    assert state.positions == {}


def test_greeks_and_totals() -> None:
    state = loaded(greeks("BTCUSDT", 2, 5), greeks("BTCUSDT", 1, 3), totals(2, 50), totals(1, 30))
    assert state.greeks["BTCUSDT"].delta == 5
    assert state.totals is not None
    assert state.totals.equity == 50
    assert state.totals.updated_at == at(2)


def test_what_a_snapshot_does_not_have_has_ended() -> None:
    state = loaded(order(1, 1), order(2, 2), position("A", 2, 5), balance("BNB", 2, 5), greeks("X", 2, 5), totals(2, 5))
    state.apply(GAP)
    gone = state.load(open_orders=[row(order(2, 2))], positions=[], margin_account={**EMPTY, "time": number(3)})
    assert [each.order_id for each in gone] == [1]
    assert (list(state.orders), state.positions, state.balances, state.greeks) == ([2], {}, {}, {})
    assert (state.totals, state.stale) == (None, None)
    for doubled in (order(1, 1), position("A", 2, 5), balance("BNB", 2, 5), greeks("X", 2, 5)):
        state.apply(doubled)
    assert (list(state.orders), state.positions, state.balances, state.greeks) == ([2], {}, {}, {})


def test_an_event_that_comes_again_after_the_loss_proves_nothing_newer() -> None:
    state = loaded(order(1, 3), position("A", 3, 5), GAP, order(1, 3), position("A", 3, 5))
    assert [each.order_id for each in state.load(open_orders=[], positions=[])] == [1]
    assert (state.orders, state.positions) == ({}, {})


def test_an_order_that_came_while_the_snapshot_was_under_way_stays() -> None:
    state = loaded(order(1, 1), GAP, order(3, 5))
    assert [each.order_id for each in state.load(open_orders=[row(order(2, 4))])] == [1]
    assert list(state.orders) == [3, 2]
    state = loaded(order(1, 1), GAP, order(3, 1))  # one millisecond for all: what came last stays
    state.load(open_orders=[])
    assert list(state.orders) == [3]


def test_an_event_older_than_those_before_the_loss_does_not_bring_an_ended_order_back() -> None:
    state = loaded(order(1, 5), position("A", 5, 1), GAP)
    state.load(open_orders=[], positions=[], margin_account=EMPTY)
    for late in (order(9, 4), position("B", 4, 1)):
        state.apply(late)
    assert (opened(state), state.positions) == ([], {})


def test_an_event_older_than_the_snapshot_does_not_bring_an_ended_order_back() -> None:
    state = loaded(GAP)
    state.load(open_orders=[row(order(2, 9))], positions=[], margin_account=EMPTY)
    state.apply(order(1, 8))
    assert list(state.orders) == [2]
    state.apply(order(1, 8, "CANCELED"))
    assert state.orders[1].status == "CANCELED", "how it ended is news at any time"


def test_a_snapshot_counts_more_than_what_was_known_before_the_loss() -> None:
    # Whatever `time` of a position means: the answer is newer than the events before the request.
    state = loaded(position("A", 50, 5), GAP)
    held = {"symbol": "A", "quantity": "7", "entryPrice": "1", "markValue": "7"}
    for time in ({}, {"time": number(10)}, {"time": number(50)}):
        state.load(positions=[{**held, **time}])
        assert state.positions["A"].quantity == 7
    state.apply(position("A", 50, 5))
    assert state.positions["A"].quantity == 7, "doubled, and older"
    state.apply(position("A", 51, 4))
    assert state.positions["A"].quantity == 4


def test_answers_of_an_older_epoch_are_left_out() -> None:
    state = loaded(GAP)
    began = state.epoch
    state.apply(Gap("mute", at(1), at(2)))
    assert state.load(open_orders=[row(order(1, 1))], positions=[], margin_account=EMPTY, epoch=began) == ()
    assert (state.orders, state.stale is None) == ({}, False)
    state.load(open_orders=[row(order(1, 1))], positions=[], margin_account=EMPTY, epoch=state.epoch)
    assert (opened(state), state.stale) == ([1], None)
    assert repr(state) == "<AccountState epoch 2: 1 orders, 0 positions>"


@pytest.mark.parametrize("came_first", [False, True])
def test_of_two_snapshots_under_way_the_one_that_may_be_older_takes_nothing_away(*, came_first: bool) -> None:
    events = order(2, 16), order(3, 17), position("A", 17, 5), balance("USDT", 17, 50)
    held = {"symbol": "A", "quantity": "5", "entryPrice": "1", "markValue": "5", "time": number(17)}
    asset = dict.fromkeys(["marginBalance", "equity", "unrealizedPNL", "initialMargin", "maintMargin"], "50")
    newer: dict[str, Any] = {
        "open_orders": [row(order(1, 5)), *(row(each) for each in events[:2])],
        "positions": [held],
        "margin_account": {"asset": [{"asset": "USDT", **asset}], "greek": [], "time": number(17)},
    }
    older = {"open_orders": [row(order(1, 5))], "positions": [], "margin_account": {**EMPTY, "time": number(14)}}
    state = loaded(order(1, 5), GAP, *(events if came_first else ()))
    assert state.load(**newer, epoch=1) == ()
    assert state.load(**older, epoch=1) == ()
    for item in () if came_first else events:
        state.apply(item)
    assert opened(state) == [1, 2, 3]
    assert (int(state.positions["A"].quantity), int(state.balances["USDT"])) == (5, 50)
    state.apply(GAP)  # any answer from now on is newer
    gone = state.load(**older, epoch=2)
    assert ([each.order_id for each in gone], opened(state), state.positions) == ([2, 3], [1], {})


def test_a_snapshot_without_a_loss_heals_what_was_lost_in_silence() -> None:
    state = loaded(order(1, 1), order(2, 2))  # the end of order 1 was lost on a healthy link
    state.load(open_orders=[row(order(2, 2)), row(order(3, 3))])
    assert list(state.orders) == [2, 3]
    state.load(open_orders=[row(order(2, 2))])  # and that of order 3, which no event has told
    assert list(state.orders) == [2]


# Lost fills.


def test_a_lost_fill_is_found() -> None:
    state = loaded(order(7, 1), order(7, 2, "PARTIALLY_FILLED", 1, 1))
    state.apply(order(7, 4, "PARTIALLY_FILLED", 3, 1))
    assert state.stale is not None
    assert (state.stale.reason, state.stale.order_id, state.stale.since) == ("fills_missing", 7, at(2))
    assert state.orders[7].filled_quantity == 3
    state.load(open_orders=[row(order(7, 4, "PARTIALLY_FILLED", 3, 1))], positions=[], margin_account=EMPTY)
    state.apply(order(7, 5, "PARTIALLY_FILLED", 4, 1))
    assert state.stale is None


LOST: dict[str, list[Item]] = {
    "before the end": [order(7, 1), order(7, 2, "CANCELED", 1, 0)],
    "the first of a new order": [order(7, 1, "PARTIALLY_FILLED", 2, 1)],
    "after the loss, before the snapshot": [
        order(7, 1),
        GAP,
        order(7, 2, "PARTIALLY_FILLED", 1, 1),
        order(7, 4, "FILLED", 10, 1),
    ],
}


@pytest.mark.parametrize("name", LOST)
def test_a_lost_fill_is_found_wherever_it_is(name: str) -> None:
    state = loaded(*LOST[name])
    assert state.stale is not None
    assert (state.stale.reason, state.stale.order_id) == ("fills_missing", 7)


WHOLE: dict[str, list[Item]] = {
    "fills": [order(7, 1), order(7, 2, "PARTIALLY_FILLED", 1, 1), order(7, 3, "FILLED", 10, 9)],
    "filled at once": [order(7, 1, "FILLED", 10, 10)],
    "doubled": [order(7, 1), order(7, 2, "PARTIALLY_FILLED", 1, 1), order(7, 2, "PARTIALLY_FILLED", 1, 1)],
    "the last fill named again at the end": [order(7, 1, "PARTIALLY_FILLED", 1, 1), order(7, 2, "CANCELED", 1, 1)],
    "lost in the gap": [order(7, 1), GAP, order(7, 4, "PARTIALLY_FILLED", 3, 1)],
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_order_misses_no_fill(name: str) -> None:
    state = loaded(*WHOLE[name])
    assert state.stale is None or state.stale.reason == "reconnected"


def test_events_that_the_snapshot_contains_miss_no_fill() -> None:
    # The order was made, partly filled and filled before the answer; the events wait behind it.
    state = loaded(GAP)
    state.load(open_orders=[row(order(1, 110))], positions=[], margin_account={**EMPTY, "time": number(115)})
    for item in (order(7, 106), order(7, 108, "PARTIALLY_FILLED", 1, 1), order(7, 111, "PARTIALLY_FILLED", 2, 1)):
        state.apply(item)
    state.apply(order(7, 112, "FILLED", 10, 8))
    assert (state.stale, opened(state)) == (None, [1])


def test_a_late_end_of_an_order_that_the_snapshot_did_not_have_misses_no_fill() -> None:
    state = loaded(order(7, 1), GAP)
    state.load(open_orders=[], positions=[], margin_account=EMPTY)  # the fills were lost in the gap
    state.apply(order(7, 9, "FILLED", 10, 1))
    assert (state.stale, state.orders[7].status) == (None, "FILLED")


def test_the_check_can_be_switched_off() -> None:
    state = AccountState(check_fills=False)
    state.load(open_orders=[], positions=[], margin_account=EMPTY)
    state.apply(order(7, 1, "PARTIALLY_FILLED", 5, 1))
    assert state.stale is None
    assert state.orders[7].filled_quantity == 5


# What may be loaded.


def answers() -> dict[str, Any]:
    """The examples of the document."""
    found = {}
    for part, path in (("open_orders", "openOrders"), ("positions", "position"), ("margin_account", "marginAccount")):
        content = DOCUMENT["paths"][f"/eapi/v1/{path}"]["get"]["responses"]["200"]["content"]["application/json"]
        (example,) = content["examples"].values()
        jsonschema.Draft7Validator({**content["schema"], "components": DOCUMENT["components"]}).validate(
            example["value"]
        )
        found[part] = copy.deepcopy(example["value"])
    return found


def test_the_examples_of_the_document_are_read_by_its_names() -> None:
    state, example = AccountState(), answers()
    state.load(**example)
    assert state.stale is None
    shown: Any
    for schema, shown, sent in (
        ("OpenOrder", state.orders[4612088731905527811], example["open_orders"][0]),
        ("HeldPosition", state.positions["BTC-260626-90000-C"], example["positions"][0]),
        ("Asset", state.totals, example["margin_account"]["asset"][0]),
        ("Greek", state.greeks["BTCUSDT"], example["margin_account"]["greek"][0]),
    ):
        for key, prop in SCHEMAS[schema]["properties"].items():
            value = getattr(shown, prop.get("x-name", ""), None)
            if prop.get("x-unit") == "ms" and value is not None:
                assert value.timestamp() * 1000 == sent[key]
            elif value is not None:
                assert str(value) == str(sent[key]), key
        named = {prop["x-name"] for prop in SCHEMAS[schema]["properties"].values() if "x-name" in prop}
        without = {"position_value", "updated_at"} if schema == "Asset" else set()
        read = {field.name for field in dataclasses.fields(shown)} - without
        assert read == named - (
            {"asset"} if schema == "Asset" else {"updated_at"} if schema == "HeldPosition" else set()
        )
    assert state.balances == {"USDT": Decimal("24897.35250000")}


OBJECTS: dict[str, tuple[str, list[Any], str]] = {
    "OpenOrder": ("open_orders", [0], "open_orders[0]"),
    "HeldPosition": ("positions", [0], "positions[0]"),
    "MarginAccount": ("margin_account", [], "margin_account"),
    "Asset": ("margin_account", ["asset", 0], "margin_account.asset[0]"),
    "Greek": ("margin_account", ["greek", 0], "margin_account.greek[0]"),
}
READ = [(schema, key) for schema in OBJECTS for key, prop in SCHEMAS[schema]["properties"].items() if "x-name" in prop]


def changed(schema: str, change: Any) -> tuple[dict[str, Any], str]:
    part, steps, where = OBJECTS[schema]
    example = answers()
    content = example[part]
    for step in steps:
        content = content[step]
    change(content)
    return example, where


@pytest.mark.parametrize(("schema", "key"), READ)
def test_a_field_that_is_missing_is_named(schema: str, key: str) -> None:
    example, where = changed(schema, lambda content: content.pop(key))
    state = loaded(order(1, 1))
    if key not in SCHEMAS[schema]["required"]:
        state.load(**example)
        return
    with pytest.raises(SnapshotError) as caught:
        state.load(**example)
    assert caught.value.field == f"{where}.{key}"
    assert str(caught.value) == (
        f"Not a snapshot that Binance documents: {where}.{key} is missing. Pass Binance's answer as parsed JSON."
    )
    assert (list(state.orders), state.positions, state.balances, state.stale) == ([1], {}, {}, None)


@pytest.mark.parametrize("wrong", [[1], {}, "x y", 1.5, True])
@pytest.mark.parametrize(("schema", "key"), READ)
def test_a_field_of_the_wrong_type_is_named(schema: str, key: str, wrong: object) -> None:
    prop = SCHEMAS[schema]["properties"][key]
    fits = {"string": wrong == "x y" and "format" not in prop, "boolean": wrong is True, "array": False}
    example, where = changed(schema, lambda content: content.__setitem__(key, wrong))
    state = AccountState()
    if fits.get(prop["type"]):
        state.load(**example)
        return
    with pytest.raises(SnapshotError) as caught:
        state.load(**example)
    assert caught.value.field.startswith(f"{where}.{key}")
    assert (state.orders, state.positions, state.balances, state.totals) == ({}, {}, {}, None)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no list": ({"open_orders": "[]"}, "open_orders must be a list, not such a text"),
    "no object": ({"margin_account": []}, "margin_account must be an object, not a list"),
    "no object within": ({"positions": [None]}, "positions[0] must be an object, not null"),
    "a refusal": (
        {"open_orders": {"code": -1022, "msg": "Signature for this request is not valid."}},
        "open_orders is Binance's refusal of the call, code -1022",
    ),
    "a refusal of the account": (
        {"margin_account": {"code": -2015, "msg": "Invalid API-key."}},
        "margin_account is Binance's refusal of the call, code -2015",
    ),
    "a float": ({"positions": [{"symbol": "A", "quantity": 0.1}]}, "positions[0].quantity must be a decimal as a text"),
    "not a number": ({"positions": [{"symbol": "A", "quantity": "NaN"}]}, "positions[0].quantity must be a decimal"),
    "endless": ({"positions": [{"symbol": "A", "quantity": "1e9999"}]}, "positions[0].quantity must be a decimal"),
    "no such year": ({"margin_account": {**EMPTY, "time": 10**18}}, "margin_account.time must be milliseconds"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_answer_is_refused_in_words(name: str) -> None:
    given, said = REFUSED[name]
    with pytest.raises(SnapshotError) as caught:
        AccountState().load(**given)
    assert said in str(caught.value)


def test_ids_of_64_bits_and_integers_as_texts_are_exact() -> None:
    state = AccountState()
    state.load(open_orders=[{**row(order(1, 1)), "orderId": "4612088731905527811", "price": 5}])
    assert state.orders[4612088731905527811].price == 5


# Memory.


def test_orders_that_have_ended_leave_after_a_documented_count(monkeypatch: pytest.MonkeyPatch) -> None:
    assert FINAL_ORDERS == 10_000  # as docs/account.md says
    monkeypatch.setattr("listenkey.stream._account.FINAL_ORDERS", 500)
    state = loaded(order(0, 0))
    size = 0
    for ms in range(1, 1500):
        state.apply(order(ms, ms))
        state.apply(order(ms, ms, "CANCELED"))
        if ms == 501:
            size = sys.getsizeof(state._orders.rows)
    assert len(state.orders) == 501
    assert opened(state) == [0]
    assert sys.getsizeof(state._orders.rows) <= 2 * size
    state.apply(order(1, 1))
    assert opened(state) == [0], "an event of an order that was forgotten"


def test_orders_of_an_unknown_status_are_as_many_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("listenkey.stream._account.FINAL_ORDERS", 5)
    state = loaded(order(0, 0), *(order(number, number, "REJECTED") for number in range(1, 10)))
    assert (len(state.orders), opened(state)) == (6, [0])
    state.apply(order(1, 10, "NEW"))
    assert opened(state) == [0, 1], "that order had not ended"


def test_orders_that_are_forgotten_while_the_snapshot_is_under_way_end_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("listenkey.stream._account.FINAL_ORDERS", 5)
    state = loaded(GAP, order(0, 1), *(order(ms, ms, "CANCELED") for ms in range(2, 10)))
    assert state.load(open_orders=[], epoch=1) == ()
    assert opened(state) == [0], "the answer is older than the order"


# Any history. The exchange makes one event a millisecond, and answers with what was true after any of them.


class Exchange:
    """A history, and the account after each of its events."""

    def __init__(self, choices: list[tuple[int, int]]) -> None:
        self.events: list[Item] = []
        self.accounts: list[dict[str, Any]] = []
        self._orders: dict[int, OrderTradeUpdate] = {}
        self._others: dict[tuple[str, str], Any] = {}
        self._note(0)
        for kind, choice in choices:
            self._happen(kind, choice, len(self.events) + 1)

    def answers_after(self, made: int, chance: random.Random) -> int:
        """Choose after how many events the exchange answers: this many, or some more."""
        return min(len(self.events), made + chance.choice((0, 0, 1, 2, 5)))

    def _happen(self, kind: int, choice: int, ms: int) -> None:
        name = "ABC"[choice % 3]
        event: Item
        if kind < 3 or not self._orders:
            event = self._orders[ms] = order(ms, ms)
        elif kind < 7:
            number = sorted(self._orders)[choice % len(self._orders)]
            part = self._orders[number].order
            filled = part.filled_quantity + 1 + choice % 4
            status = "FILLED" if filled >= part.quantity else "PARTIALLY_FILLED"
            filled = min(filled, part.quantity)
            event = order(number, ms, status, filled, filled - part.filled_quantity)
            if kind == 6:
                event = order(number, ms, "CANCELED", part.filled_quantity)
            self._orders[number] = event
            if kind == 6 or status == "FILLED":
                del self._orders[number]
        else:
            makers: dict[int, Callable[[], Item]] = {
                7: lambda: position(name, ms, choice % 4),
                8: lambda: balance(name, ms, choice),
                9: lambda: greeks(name, ms, choice),
                10: lambda: totals(ms, choice),
            }
            event = makers[kind]()
            self._others[str(kind), "" if kind == 10 else name] = event
        self.events.append(event)
        self._note(ms)

    def _note(self, ms: int) -> None:
        account: dict[str, Any] = {"asset": [], "greek": [], "time": number(ms)}
        held = []
        for (kind, name), event in self._others.items():
            if kind == "7" and event.positions[0].quantity:
                part = event.positions[0]
                held.append(
                    {
                        "symbol": name,
                        "quantity": str(part.quantity),
                        "entryPrice": "1",
                        "markValue": str(part.value),
                        "time": round(event.transaction_time.timestamp() * 1000),
                    }
                )
            elif kind == "8":
                account["asset"].append(asset(name, event.balances[0].balance))
            elif kind == "9":
                part = event.greeks[0]
                rest = dict.fromkeys(("gamma", "theta", "vega"), "0")
                account["greek"].append({"underlying": name, "delta": str(part.delta), **rest})
            elif kind == "10":
                account["asset"].append(asset("USDT", event.wallet_balance))
        orders = [row(each) for each in self._orders.values()]
        self.accounts.append({"open_orders": orders, "positions": held, "margin_account": account})


def asset(name: str, amount: Decimal) -> dict[str, str]:
    rest = dict.fromkeys(("initialMargin", "maintMargin", "unrealizedPNL", "adjustedEquity"), "0")
    return {"asset": name, "marginBalance": str(amount), "equity": str(amount), **rest}


def end_of(state: AccountState) -> dict[str, Any]:
    return {
        "open": {each.order_id: each for each in state.orders.values() if each.is_open},
        "positions": dict(state.positions),
        "balances": {name: amount for name, amount in state.balances.items() if name != "USDT"},  # the totals have it
        "greeks": dict(state.greeks),
        "equity": state.totals and state.totals.equity,
    }


def deliveries(exchange: Exchange, chance: random.Random) -> Iterator[tuple[Item, int]]:
    """What a stream brings that loses its connection, and each time how many events the exchange has made at least.

    Events come twice at any later time. Events from before a loss come after its Gap, if something newer of their kind
    came before the Gap: an event that is newer than all that was seen cannot be told from one that follows the answers.
    """
    sent: list[Item] = []
    late: list[Item] = []
    index = 0
    while True:
        until = min(len(exchange.events), index + chance.randrange(1, 12))
        part = exchange.events[index:until]
        newest = {type(item): number for number, item in enumerate(part)}
        is_last = until == len(exchange.events)
        for number, item in enumerate(part):
            if number < newest[type(item)] and chance.random() < 0.2 and not is_last:
                late.append(item)
            else:
                sent.append(item)
                yield item, index + number + 1
            while late and chance.random() < 0.3:
                yield late.pop(chance.randrange(len(late))), index + number + 1
            while sent and chance.random() < 0.2:
                yield chance.choice(sent), index + number + 1
        if is_last:
            return
        index = min(len(exchange.events) - 1, until + chance.choice((0, 0, 1, 3)))  # lost
        yield GAP, index


def check(exchange: Exchange, state: AccountState) -> None:
    whole = loaded(*exchange.events)
    assert state.stale is None
    assert end_of(state) == end_of(whole)


histories = st.lists(st.tuples(st.integers(0, 10), st.integers(0, 11)), min_size=1, max_size=40)


@settings(deadline=None, max_examples=150)
@given(histories, st.integers(0, 2**32))
def test_any_history_in_the_naive_loop_ends_as_the_whole_history(choices: list[tuple[int, int]], seed: int) -> None:
    exchange, chance, state, answered = Exchange(choices), random.Random(seed), AccountState(), 0
    for item, made in deliveries(exchange, chance):
        state.apply(item)
        if state.stale and chance.random() < 0.8:  # else the snapshot failed, and is taken later
            answered = exchange.answers_after(max(made, answered), chance)
            state.load(**exchange.accounts[answered])
    if state.stale:
        state.load(**exchange.accounts[-1])
    check(exchange, state)


@settings(deadline=None, max_examples=150)
@given(histories, st.integers(0, 2**32))
def test_any_history_with_the_snapshot_beside_the_events_ends_as_the_whole_history(
    choices: list[tuple[int, int]], seed: int
) -> None:
    exchange, chance, state, answered = Exchange(choices), random.Random(seed), AccountState(), 0
    snapshots: list[tuple[int, Mapping[str, Any]]] = []  # under way: the epoch of the request, and the answer
    for item, made in deliveries(exchange, chance):
        state.apply(item)
        if snapshots and chance.random() < 0.3:
            epoch, answer = snapshots.pop(chance.randrange(len(snapshots)))
            state.load(**answer, epoch=epoch)
        if len(snapshots) < 2 and (state.stale or chance.random() < 0.1):
            answered = exchange.answers_after(max(made, answered), chance)
            snapshots.append((state.epoch, exchange.accounts[answered]))
    for epoch, answer in reversed(snapshots):
        state.load(**answer, epoch=epoch)
    if state.stale:
        state.load(**exchange.accounts[-1], epoch=state.epoch)
    check(exchange, state)


@settings(deadline=None, max_examples=100)
@given(histories, st.integers(0, 2**32))
def test_no_fill_is_missing_in_a_history_that_is_whole(choices: list[tuple[int, int]], seed: int) -> None:
    exchange, chance = Exchange(choices), random.Random(seed)
    cut = chance.randrange(len(exchange.accounts))
    state = AccountState()
    state.apply(Gap("started", None, BASE))
    state.load(**exchange.accounts[chance.randrange(cut, len(exchange.accounts))])
    for item in exchange.events[cut:]:
        state.apply(item)
        assert state.stale is None
    check(exchange, state)
