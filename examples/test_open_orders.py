"""How to test a bot that knows its account, without a network: pytest -q test_open_orders.py

The fixture `listenkey_sandbox` is a stand-in for the exchange, new for each test. The sandbox's orders, fills and
positions make the events of the stream and the answers of the three calls, and both agree.
"""

import time
from collections.abc import Callable, Iterator

import open_orders
import pytest

from listenkey import ListenKeyClient
from listenkey.sandbox import Sandbox
from listenkey.stream import AccountState, UserDataStream

KEY, CALL = "SandboxTakesAnyKey0123456789", "BTC-260626-90000-C"


@pytest.fixture
def states(listenkey_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Iterator[AccountState]]:
    """The bot, at work."""
    monkeypatch.setattr(open_orders, "BASE_URL", listenkey_sandbox.url)
    monkeypatch.setattr(open_orders, "API_KEY", KEY)
    monkeypatch.setattr(open_orders, "WAIT", 0.05)  # the next try after a snapshot that failed
    with (
        ListenKeyClient(KEY, base_url=listenkey_sandbox.url) as client,
        UserDataStream(client) as stream,
    ):
        yield open_orders.follow(stream)


def until(states: Iterator[AccountState], fits: Callable[[AccountState], bool]) -> AccountState:
    """Let the bot work until its account is as the test expects."""
    return next(state for state in states if fits(state))


def test_an_order_is_filled(states: Iterator[AccountState], listenkey_sandbox: Sandbox) -> None:
    number = listenkey_sandbox.order(CALL, "BUY", quantity="2", price="100")
    until(states, lambda account: number in account.orders)
    listenkey_sandbox.fill(number, quantity="0.5", price="99")
    account = until(states, lambda account: CALL in account.positions)
    assert str(account.orders[number].average_price) == "99"
    assert str(account.positions[CALL].quantity) == "0.5"


def test_what_happened_in_a_gap_is_seen(states: Iterator[AccountState], listenkey_sandbox: Sandbox) -> None:
    number = listenkey_sandbox.order(CALL, "BUY", 2, 100)
    until(states, lambda account: number in account.orders)
    listenkey_sandbox.faults.add("stream-mute")  # the connection lives, and brings nothing
    listenkey_sandbox.cancel(number)
    listenkey_sandbox.faults.add("stream-drop")  # the connection is cut
    until(states, lambda account: number not in account.orders)


def test_a_lost_fill_is_found(states: Iterator[AccountState], listenkey_sandbox: Sandbox) -> None:
    number = listenkey_sandbox.order(CALL, "BUY", 3, 100)
    until(states, lambda account: number in account.orders)
    time.sleep(0.01)  # times have milliseconds: the fills have to be newer than the snapshot
    listenkey_sandbox.faults.add("stream-lose", times=3)  # the events of one fill
    listenkey_sandbox.fill(number, 1)
    listenkey_sandbox.fill(number, 1)
    account = until(states, lambda account: CALL in account.positions and account.positions[CALL].quantity == 2)
    assert account.epoch == 2  # the start, and the loss


@pytest.mark.parametrize("path", ["openOrders", "position", "marginAccount"])
def test_a_snapshot_that_fails_is_taken_again(
    states: Iterator[AccountState], listenkey_sandbox: Sandbox, path: str
) -> None:
    listenkey_sandbox.faults.add("status", path=f"/eapi/v1/{path}", status=503, times=2)
    listenkey_sandbox.faults.add("status", path=f"/eapi/v1/{path}", status=200, body="<html>")
    number = listenkey_sandbox.order(CALL, "BUY", 2, 100)
    until(states, lambda account: number in account.orders)
    failed = [request for request in listenkey_sandbox.requests if request.status == 503]
    assert len(failed) == 2
