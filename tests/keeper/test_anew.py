"""The loop of docs/keeper.md that starts anew: how long it waits, and when it gives up."""

import time
from types import SimpleNamespace
from typing import Any

import pytest

from listenkey import ApiError, LeaseLost, ListenKeyClient, ListenKeyKeeper, Unauthorized
from listenkey.sandbox import Sandbox
from tests.conftest import API_KEY
from tests.repository.test_programs import programs

(LOOP,) = [program.text for program in programs("python anew")]


def run(sandbox: Sandbox, trade: Any, rounds: int, minute: float = 60.0) -> list[float]:
    """Run the loop in a small life until it has waited so often; give its waits."""
    waits: list[float] = []

    def monotonic() -> float:
        return time.monotonic() * 60 / minute

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == rounds:
            raise StopIteration

    names: dict[str, Any] = {}
    exec(compile(LOOP, "docs/keeper.md", "exec"), names)
    names.update(time=SimpleNamespace(sleep=sleep, monotonic=monotonic), trade=trade)
    with (
        ListenKeyClient(API_KEY, base_url=sandbox.url, timeout=0.5, attempts=1, key_life=1.0) as client,
        pytest.raises(StopIteration),
    ):
        names["trade_all_night"](client)
    return waits


def test_waits_grow_from_1_to_60_seconds() -> None:
    with Sandbox() as sandbox:
        sandbox.faults.add("reset", times=None)
        assert run(sandbox, None, 8) == [1, 2, 4, 8, 16, 32, 60, 60]
    assert len(sandbox.requests) == 8


def test_a_key_that_was_had_starts_the_count_anew() -> None:
    with Sandbox() as sandbox:

        def trade(keeper: ListenKeyKeeper) -> None:
            sandbox.faults.add("reset", times=None)
            keeper.wait()

        sandbox.faults.add("reset", times=2)
        assert run(sandbox, trade, 5, minute=0.5) == [1, 2, 1, 2, 4]


def test_a_trade_that_fails_at_once_is_no_success() -> None:
    def trade(keeper: ListenKeyKeeper) -> None:
        raise LeaseLost("at once")

    with Sandbox() as sandbox:
        assert run(sandbox, trade, 4) == [1, 2, 4, 8]


def test_a_ban_is_waited_out() -> None:
    with Sandbox() as sandbox:

        def trade(keeper: ListenKeyKeeper) -> None:
            sandbox.faults.add("status", status=418, headers={"Retry-After": "600"}, times=None)
            keeper.wait()

        lost, refused = run(sandbox, trade, 2)
        assert 500 < refused < lost < 601
    assert len(sandbox.requests) == 2, "the second keeper asks nothing"


@pytest.mark.parametrize(
    ("fault", "error"), [({"status": 401}, Unauthorized), ({"status": 403}, ApiError), ({"status": 407}, ApiError)]
)
def test_a_key_that_never_worked_ends_it_after_one_request(fault: dict[str, Any], error: type[ApiError]) -> None:
    names: dict[str, Any] = {}
    exec(compile(LOOP, "docs/keeper.md", "exec"), names)  # its own trade() waits
    with Sandbox() as sandbox, ListenKeyClient(API_KEY, base_url=sandbox.url) as client:
        sandbox.faults.add("status", times=None, **fault)
        with pytest.raises(error):
            names["trade_all_night"](client)
    assert len(sandbox.requests) == 1


@pytest.mark.parametrize("status", [401, 403, 407])
def test_a_key_that_has_worked_is_tried_every_ten_minutes(status: int) -> None:
    with Sandbox() as sandbox:

        def trade(keeper: ListenKeyKeeper) -> None:
            sandbox.faults.add("status", status=status, times=None)
            keeper.wait()

        assert run(sandbox, trade, 4) == [600, 600, 600, 600]
    refused = [request.status for request in sandbox.requests].count(status)
    assert refused <= 6 + 3, "the keeper's own six, then one for each new keeper"


def test_it_returns_what_the_trade_returns() -> None:
    names: dict[str, Any] = {}
    exec(compile(LOOP, "docs/keeper.md", "exec"), names)
    names["trade"] = lambda keeper: keeper.key.value
    with Sandbox() as sandbox, ListenKeyClient(API_KEY, base_url=sandbox.url) as client:
        assert len(names["trade_all_night"](client)) == 64
