"""The sandbox holds an account: the events and the three answers of a snapshot agree."""

import json
import math
import os
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import jsonschema
import pytest
from ruamel.yaml import YAML

from listenkey import ListenKeyClient
from listenkey.sandbox import Sandbox
from listenkey.stream import (
    AccountState,
    AccountUpdate,
    BalancePositionUpdate,
    Gap,
    Item,
    OrderTradeUpdate,
    UserDataStream,
)
from tests.conftest import API_KEY

ROOT = Path(__file__).parents[2]
CALL, PUT = "BTC-260626-90000-C", "ETH-260626-4000-P"
PARTS = {"open_orders": "openOrders", "positions": "position", "margin_account": "marginAccount"}


def request(url: str, body: object = None, api_key: str = API_KEY, method: str | None = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(url, data, {"X-MBX-APIKEY": api_key}, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=45) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def snapshot(sandbox: Sandbox, api_key: str = API_KEY) -> dict[str, Any]:
    found = {}
    for part, name in PARTS.items():
        status, found[part] = request(f"{sandbox.url}/eapi/v1/{name}?timestamp=1&signature=any", api_key=api_key)
        assert status == 200
    return found


@contextmanager
def following(sandbox: Sandbox, api_key: str = API_KEY) -> Iterator[UserDataStream]:
    with ListenKeyClient(api_key, base_url=sandbox.url) as client, UserDataStream(client) as stream:
        assert isinstance(next(stream), Gap)
        yield stream


def events(stream: UserDataStream, count: int) -> list[Item]:
    found = [stream.next_within(45) for _ in range(count)]
    assert None not in found
    return [item for item in found if item is not None]


def state_of(answers: dict[str, Any], *items: Item) -> AccountState:
    state = AccountState()
    state.load(**answers)
    for item in items:
        state.apply(item)
    return state


def contents(state: AccountState) -> dict[str, Any]:
    orders = {number: each for number, each in state.orders.items() if each.is_open}
    totals = state.totals
    assert totals is not None
    sums = (totals.equity, totals.wallet_balance, totals.unrealized_profit, totals.initial_margin)
    return {"orders": orders, "positions": dict(state.positions), "balances": dict(state.balances), "totals": sums}


def test_an_order_is_placed_filled_and_cancelled(listenkey_sandbox: Sandbox) -> None:
    with following(listenkey_sandbox) as stream:
        number = listenkey_sandbox.order(CALL, "BUY", "2", "100", client_order_id="mine")
        other = listenkey_sandbox.order(PUT, "SELL", 1, 50)
        listenkey_sandbox.fill(number, "0.5", 99)
        listenkey_sandbox.fill(number)
        listenkey_sandbox.cancel(other)
        placed, _, partly, moved, totals, whole, again, _, ended = events(stream, 9)
    assert isinstance(placed, OrderTradeUpdate)
    assert isinstance(partly, OrderTradeUpdate)
    assert isinstance(moved, BalancePositionUpdate)
    assert isinstance(totals, AccountUpdate)
    assert isinstance(whole, OrderTradeUpdate)
    assert isinstance(again, BalancePositionUpdate)
    assert isinstance(ended, OrderTradeUpdate)
    assert (placed.order.order_id, placed.order.client_order_id, placed.order.status) == (number, "mine", "NEW")
    assert number > 2**53
    assert (partly.order.status, partly.order.filled_quantity, partly.order.average_price) == (
        "PARTIALLY_FILLED",
        Decimal("0.5"),
        Decimal(99),
    )
    assert (moved.positions[0].quantity, moved.positions[0].average_price) == (Decimal("0.5"), Decimal(99))
    assert (moved.balances[0].balance, moved.balances[0].balance_change) == (Decimal("950.5"), Decimal("-49.5"))
    assert (totals.wallet_balance, totals.position_value, totals.equity) == (
        Decimal("950.5"),
        Decimal("49.5"),
        Decimal(1000),
    )
    assert (whole.order.status, whole.order.filled_quantity, whole.order.last_filled_quantity) == (
        "FILLED",
        Decimal(2),
        Decimal("1.5"),
    )
    assert whole.order.average_price == Decimal("99.75")
    assert (again.positions[0].average_price, again.balances[0].balance) == (Decimal("99.75"), Decimal("800.5"))
    assert (ended.order.order_id, ended.order.status, ended.order.execution_type) == (other, "CANCELED", "CANCELED")


def test_a_position_is_reduced_closed_and_turned(listenkey_sandbox: Sandbox) -> None:
    sandbox = listenkey_sandbox
    sandbox.position(CALL, 2, 100)
    for side, quantity, price, held, average, profit in [
        ("SELL", 1, 130, 1, 100, 30),
        ("SELL", 3, 120, -2, 120, 20),
        ("BUY", 1, 110, -1, 120, 10),
        ("SELL", 1, 100, -2, 110, 0),
    ]:
        number = sandbox.order(CALL, side, quantity, price)
        with following(sandbox) as stream:
            sandbox.fill(number)
            (event,) = events(stream, 1)
        assert isinstance(event, OrderTradeUpdate)
        assert event.order.realized_profit == profit
        (row,) = snapshot(sandbox)["positions"]
        assert (row["quantity"], row["entryPrice"], row["side"]) == (
            str(held),
            str(average),
            "LONG" if held > 0 else "SHORT",
        )
    sandbox.position(CALL, 0)
    assert snapshot(sandbox)["positions"] == []


def test_any_changes_make_events_and_answers_that_agree(listenkey_sandbox: Sandbox) -> None:
    sandbox, chance = listenkey_sandbox, random.Random(7)
    before, opened = snapshot(sandbox), list[int]()
    with following(sandbox) as stream:
        for _ in range(150):
            match chance.randrange(6):
                case 0 | 1:
                    side = chance.choice(("BUY", "SELL"))
                    opened.append(sandbox.order(chance.choice((CALL, PUT)), side, chance.randrange(1, 9), 10))
                case 2 | 3 if opened:
                    number = chance.choice(opened)
                    part = chance.choice((None, "0.3"))
                    sandbox.fill(number, part, chance.randrange(1, 20))
                    if part is None or not any(row["orderId"] == number for row in snapshot(sandbox)["open_orders"]):
                        opened.remove(number)
                case 4 if opened:
                    sandbox.cancel(opened.pop(), chance.choice(("CANCELED", "EXPIRED", "EXPIRED_IN_MATCH")))
                case 5:
                    chance.choice(
                        (lambda: sandbox.position(PUT, chance.randrange(-3, 3), 5), lambda: sandbox.balance("BNB", 5))
                    )()
        state = state_of(before)
        while (item := stream.next_within(2.0)) is not None:
            state.apply(item)
    assert state.stale is None, "no fill is missing"
    assert contents(state) == contents(state_of(snapshot(sandbox)))
    assert state.orders != {}
    assert state.positions != {}


def test_the_answers_are_what_the_document_says(listenkey_sandbox: Sandbox) -> None:
    sandbox = listenkey_sandbox
    sandbox.fill(sandbox.order(CALL, "SELL", 1, 100))
    sandbox.order(PUT, "BUY", "0.4", "1755.5")
    sandbox.emit({"e": "GREEK_UPDATE", "E": 1, "T": 1, "G": [{"u": "BTCUSDT", "d": "1", "g": "2", "t": "3", "v": "4"}]})
    document = YAML(typ="safe").load(ROOT / "account.yaml")
    answers = snapshot(sandbox)
    for part, name in PARTS.items():
        content = document["paths"][f"/eapi/v1/{name}"]["get"]["responses"]["200"]["content"]["application/json"]
        schema = {**content["schema"], "components": document["components"]}
        jsonschema.Draft7Validator(schema).validate(answers[part])
    named = {"open_orders": "OpenOrder", "positions": "HeldPosition"}
    for part, schema_name in named.items():
        assert answers[part][0].keys() <= document["components"]["schemas"][schema_name]["properties"].keys()
    (held,) = answers["positions"]
    assert (held["strikePrice"], held["expiryDate"], held["optionSide"]) == ("90000", 1782460800000, "CALL")
    assert (held["bidQuantity"], held["side"], held["markValue"]) == ("0", "SHORT", "-100")
    assert answers["margin_account"]["greek"] == [
        {"underlying": "BTCUSDT", "delta": "1", "theta": "3", "gamma": "2", "vega": "4"}
    ]


def test_what_happens_while_nobody_listens_is_in_the_next_snapshot(listenkey_sandbox: Sandbox) -> None:
    with following(listenkey_sandbox) as stream:
        number = listenkey_sandbox.order(CALL, "BUY", 1, 100)
        state = state_of(snapshot(listenkey_sandbox), *events(stream, 1))
        listenkey_sandbox.stream.fault("stream-mute")
        listenkey_sandbox.fill(number)
        listenkey_sandbox.faults.add("stream-drop")
        (gap,) = events(stream, 1)
        state.apply(gap)
    assert [order.order_id for order in state.load(**snapshot(listenkey_sandbox))] == [number]
    assert state.positions[CALL].quantity == 1


def test_a_lost_event_is_found_by_the_next_fill(listenkey_sandbox: Sandbox) -> None:
    with following(listenkey_sandbox) as stream:
        number = listenkey_sandbox.order(CALL, "BUY", 3, 100)
        state = state_of(snapshot(listenkey_sandbox), *events(stream, 1))
        listenkey_sandbox.faults.add("stream-lose", event="ORDER_TRADE_UPDATE")
        assert listenkey_sandbox.faults.waiting == ["stream-lose"]
        listenkey_sandbox.fill(number, 1)
        assert listenkey_sandbox.faults.waiting == []
        for item in events(stream, 2):
            state.apply(item)
        assert state.stale is None
        listenkey_sandbox.fill(number, 1)
        state.apply(events(stream, 1)[0])
        assert state.stale is not None
        assert (state.stale.reason, state.stale.order_id) == ("fills_missing", number)
        listenkey_sandbox.faults.add("stream-lose", times=None)
        listenkey_sandbox.faults.clear()
        listenkey_sandbox.cancel(number)
        assert len(events(stream, 3)) == 3


def test_each_account_has_its_own() -> None:
    with Sandbox(accounts={"key-of-a": "a", "key-of-a-too": "a", "key-of-b": "b"}) as sandbox:
        sandbox.order(CALL, "BUY", 1, 100)
        sandbox.order(PUT, "BUY", 1, 100, account="a")
        sandbox.balance("BNB", 3, account="b")
        orders = {key: len(snapshot(sandbox, key)["open_orders"]) for key in ("key-of-a", "key-of-a-too", "key-of-b")}
        assert orders == {"key-of-a": 2, "key-of-a-too": 2, "key-of-b": 1}
        assert [row["asset"] for row in snapshot(sandbox, "key-of-b")["margin_account"]["asset"]] == ["USDT", "BNB"]
        assert [row["asset"] for row in snapshot(sandbox, "key-of-a")["margin_account"]["asset"]] == ["USDT"]
        with following(sandbox, "key-of-b") as stream:
            sandbox.order(PUT, "BUY", 1, 100, account="a")
            sandbox.balance("BNB", 2, account="b")
            (event,) = events(stream, 1)
            assert isinstance(event, BalancePositionUpdate)
            assert (event.reason, event.balances[0].balance) == ("WITHDRAW", Decimal(2))


def test_calls_of_a_snapshot_are_as_strict_as_the_pages(listenkey_sandbox: Sandbox) -> None:
    url = f"{listenkey_sandbox.url}/eapi/v1/openOrders"
    assert request(f"{url}?timestamp=1") == (
        400,
        {"code": -1102, "msg": "Mandatory parameter 'signature' was not sent, was empty/null, or malformed."},
    )
    assert request(f"{url}?signature=1")[1]["code"] == -1102
    assert request(f"{url}?timestamp=1&signature=1", method="POST")[0] == 405
    assert request(f"{url}?timestamp=1&signature=1", api_key="two words") == (
        401,
        {"code": -2014, "msg": "API-key format invalid."},
    )
    for symbol, path, weight in (
        (CALL, "openOrders", 1),
        ("", "openOrders", 40),
        ("", "position", 5),
        ("", "marginAccount", 3),
    ):
        with Sandbox() as sandbox:
            sandbox.order(CALL, "BUY", 1, 1)
            sandbox.order(PUT, "BUY", 1, 1)
            query = f"timestamp=1&signature=1{symbol and f'&symbol={symbol}'}"
            asked = urllib.request.Request(f"{sandbox.url}/eapi/v1/{path}?{query}", headers={"X-MBX-APIKEY": API_KEY})
            with urllib.request.urlopen(asked, timeout=45) as answer:
                assert answer.headers["X-MBX-USED-WEIGHT-1M"] == str(weight)
                if symbol:
                    assert [row["symbol"] for row in json.load(answer)] == [CALL]


def test_a_snapshot_can_fail(listenkey_sandbox: Sandbox) -> None:
    path = "/eapi/v1/position"
    listenkey_sandbox.faults.add("status", path=path, status=503, body={"code": -1001, "msg": "Internal error."})
    listenkey_sandbox.faults.add("status", status=418)
    url = f"{listenkey_sandbox.url}{path}?timestamp=1&signature=1"
    assert [request(url)[0] for _ in range(2)] == [503, 200]
    assert listenkey_sandbox.faults.waiting == ["status"], "that of the listen key"


@pytest.mark.parametrize(
    ("verb", "arguments", "text"),
    [
        ("order", (CALL, "buy", 1, 1), "side must be BUY or SELL, not 'buy'."),
        ("order", ("", "BUY", 1, 1), "symbol must be the name of an option, such as BTC-260626-90000-C, not ''."),
        ("order", (CALL, "BUY", 0, 1), "quantity must be above 0, not 0."),
        ("order", (CALL, "BUY", "x", 1), "quantity must be an amount, such as 0.4 or '0.4', not 'x'."),
        ("order", (CALL, "BUY", 1, float("inf")), "price must be an amount, such as 0.4 or '0.4', not inf."),
        ("order", (CALL, "BUY", 1, True), "price must be an amount, such as 0.4 or '0.4', not True."),
        ("order", (CALL, "BUY", 1, 10**12), "price must be an amount, such as 0.4 or '0.4', not 1000000000000."),
        ("order", (CALL, "BUY", "0.000000004", 1), "quantity must be above 0, not '0.000000004'."),
        ("fill", (5,), "There is no open order 5."),
        ("fill", ([],), "There is no open order []."),
        ("cancel", (5,), "There is no open order 5."),
        ("cancel", (5, "FILLED"), "status must be CANCELED, EXPIRED or EXPIRED_IN_MATCH, not 'FILLED'."),
        ("position", (CALL, None), "quantity must be an amount, such as 0.4 or '0.4', not None."),
        ("position", (1, 1), "symbol must be the name of an option, such as BTC-260626-90000-C, not 1."),
        ("balance", ("", 1), "asset must be the name of an asset, such as USDT, not ''."),
    ],
)
def test_a_change_that_cannot_be_is_refused(verb: str, arguments: tuple[Any, ...], text: str) -> None:
    with pytest.raises(ValueError, match=r"^") as caught:
        getattr(Sandbox(), verb)(*arguments)
    assert str(caught.value) == text


def test_names_are_texts(tmp_path: Path) -> None:
    sandbox, account = Sandbox(), cast(Any, 5)
    (tmp_path / "day").write_text('{"at": "2026-01-01T00:00:00Z", "kind": "NEWS", "raw": {"e": "NEWS"}}\n')
    uses: list[Callable[[], object]] = [
        lambda: sandbox.order(CALL, "BUY", 1, 1, account=account),
        lambda: sandbox.position(CALL, 1, account=account),
        lambda: sandbox.balance("USDT", 1, account=account),
        lambda: sandbox.play(tmp_path / "day", account=account),
    ]
    for use in uses:
        with pytest.raises(ValueError, match=r"^account must be the name of an account, or None, not 5\.$"):
            use()
    with pytest.raises(
        ValueError, match=r"^client_order_id must be the name of an order, such as mm7-000418, not 7\.$"
    ):
        sandbox.order(CALL, "BUY", 1, 1, client_order_id=cast(Any, 7))


def test_an_account_that_the_sandbox_was_not_given_is_refused() -> None:
    sandbox = Sandbox(accounts={API_KEY: "bob", "another": "alice", "third": "bob"})
    for name in (API_KEY, "Bob"):
        with pytest.raises(ValueError, match=r"^There is no account of this name; there are: alice, bob\.$"):
            sandbox.balance("USDT", 1, account=name)
    assert sandbox.emit({"e": "NEWS"}, "bob") == 0


def test_more_than_an_order_asks_is_not_filled(listenkey_sandbox: Sandbox) -> None:
    number = listenkey_sandbox.order(CALL, "BUY", 2, 1)
    listenkey_sandbox.fill(number, "0.5")
    with pytest.raises(ValueError, match=r"^quantity must be at most 1\.5: so much of the order is open\.$"):
        listenkey_sandbox.fill(number, 2)
    assert snapshot(listenkey_sandbox)["open_orders"][0]["executedQty"] == "0.5"


def test_the_account_is_steered_over_http_too(listenkey_sandbox: Sandbox) -> None:
    url = listenkey_sandbox.url
    status, answer = request(f"{url}/order", {"symbol": CALL, "side": "BUY", "quantity": 0.4, "price": "10"})
    number = answer["order_id"]
    assert (status, type(number)) == (200, str)
    assert request(f"{url}/fill", {"order_id": number, "quantity": "0.1"}) == (204, None)
    assert request(f"{url}/fill", {"order_id": int(number), "quantity": "0.1"}) == (204, None)
    assert snapshot(listenkey_sandbox)["open_orders"][0]["executedQty"] == "0.2"
    assert request(f"{url}/cancel", {"order_id": number, "status": "EXPIRED"}) == (204, None)
    assert request(f"{url}/position", {"symbol": PUT, "quantity": "-1", "average_price": 7}) == (204, None)
    assert request(f"{url}/balance", {"asset": "BNB", "balance": 2}) == (204, None)
    assert snapshot(listenkey_sandbox)["open_orders"] == []
    assert request(f"{url}/cancel", {"order_id": number}) == (400, {"error": f"There is no open order {number}."})
    assert request(f"{url}/order", {"side": "BUY"}) == (
        400,
        {"error": 'The body must be a JSON object with "symbol" in it.'},
    )
    assert request(f"{url}/order", {"symbol": CALL, "oops": 1})[0] == 400
    assert len(listenkey_sandbox.requests) == 6, "requests that steer are not among them"


def test_an_event_that_binance_would_not_send_breaks_nothing(listenkey_sandbox: Sandbox) -> None:
    sandbox = listenkey_sandbox
    for event in (
        {"e": "ORDER_TRADE_UPDATE"},
        {"e": "ORDER_TRADE_UPDATE", "o": [1]},
        {"e": "ORDER_TRADE_UPDATE", "o": {"i": 7, "X": "NEW"}},
        {
            "e": "BALANCE_POSITION_UPDATE",
            "B": [{"a": "X", "b": "x"}],
            "P": [{"s": "S", "c": "1e99"}, {"s": "S", "c": "2"}, 3],
        },
        {"e": "BALANCE_POSITION_UPDATE", "P": 3},
        {"e": "GREEK_UPDATE", "G": {}},
    ):
        sandbox.emit(event)
    answers = snapshot(sandbox)
    assert [row["orderId"] for row in answers["open_orders"]] == [7]
    assert [row["symbol"] for row in answers["positions"]] == ["S"]
    sandbox.cancel(7)
    assert snapshot(sandbox)["open_orders"] == []


def test_threads_may_change_the_account_together(listenkey_sandbox: Sandbox) -> None:
    def trade() -> None:
        for _ in range(50):
            listenkey_sandbox.fill(listenkey_sandbox.order(CALL, "BUY", 1, 1))

    threads = [threading.Thread(target=trade) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert snapshot(listenkey_sandbox)["positions"][0]["quantity"] == "200"


def trade(sandbox: Sandbox, chance: random.Random) -> None:
    """Change the account a while, and let the stream meet losses."""
    opened: list[int] = []
    for _ in range(300):
        kind = chance.randrange(36)
        if kind < 12:
            side = chance.choice(("BUY", "SELL"))
            opened.append(sandbox.order(chance.choice((CALL, PUT)), side, chance.randrange(1, 9), 10))
        elif kind < 32 and opened:
            number = opened.pop(chance.randrange(len(opened)))
            if kind < 20:
                sandbox.fill(number, chance.choice((None, "0.3", 1)), chance.randrange(1, 20))
            else:
                sandbox.cancel(number)
        elif kind == 32:
            sandbox.position(PUT, chance.randrange(-3, 3), 5)
        elif kind == 33:
            sandbox.faults.add("stream-drop")
        elif kind == 34 and chance.random() < 0.3:
            sandbox.expire()
        elif kind == 35:
            sandbox.faults.add("stream-frame", text='{"e":"NEW_KIND"}')
        time.sleep(0.01 * chance.random())


@pytest.mark.simulation
@pytest.mark.parametrize("seed", range(int(os.environ.get("TRADING_SEEDS", "2"))))  # more by hand
def test_a_state_is_right_through_losses_and_snapshots_that_fail(seed: int) -> None:
    chance = random.Random(seed)
    with (
        Sandbox(life=36.0, limit=None) as sandbox,
        ListenKeyClient(API_KEY, base_url=sandbox.url, key_life=36.0) as client,
        UserDataStream(client, forever=True) as stream,
    ):
        trading = threading.Thread(target=trade, args=(sandbox, chance))
        trading.start()
        account, until = AccountState(), math.inf
        while time.monotonic() < until or account.stale or stream.status().blind_since or stream.status().waiting:
            if (item := stream.next_within(0.1)) is not None:
                account.apply(item)
            if account.stale and chance.random() < 0.7:  # else the snapshot fails
                account.load(**snapshot(sandbox))
            if until == math.inf and not trading.is_alive():
                until = time.monotonic() + 1
        assert account.epoch > 1
        assert contents(account) == contents(state_of(snapshot(sandbox)))
