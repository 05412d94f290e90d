"""What a keeper decides: the pure machine, told the time and the outcomes."""

import logging
from datetime import UTC, datetime

import pytest

from listenkey import (
    ConfigurationError,
    LeaseLost,
    ListenKey,
    ListenKeyError,
    RateLimited,
    ServerError,
    TransportError,
    Unauthorized,
)
from listenkey._limits.shared import Address
from listenkey.client import Started
from listenkey.keeper._lease import Lease
from listenkey.keeper._machine import Keeping


def started(value: str = "key", life: float | None = None) -> Started:
    return Started(ListenKey(value, datetime(2026, 1, 1, tzinfo=UTC), estimated=False), life)


class Machine:
    """A Keeping behind a door: look before every call."""

    def __init__(self, attempts: int = 3, *, is_endless: bool = False) -> None:
        self.address = Address()
        lease = Lease(3600.0, 10.0, self.address.rate_limit_wait)
        self.keeping = Keeping(lease, self.address, lambda: None, attempts, "with Keeper(...)", is_endless=is_endless)
        self.keeping.enter(0.0)
        assert self.keeping.next_step(0.0) == 0.0

    def events(self) -> list[object]:
        log, self.keeping.log = self.keeping.log, []
        return [fields["listenkey_event"] for _, _, fields in log]


def test_a_request_answered_is_a_key_and_a_wait() -> None:
    machine = Machine()
    keeping = machine.keeping
    keeping.renewed(0.1, started())
    assert (keeping.state, keeping.has_changed, machine.events()) == ("running", True, ["started"])
    assert keeping.key(0.1).value == "key"
    assert 15 <= (keeping.next_step(0.1) or 0) <= 30, "a slice of the wait, to notice a sleep"
    assert keeping.change(0.1, 0) == (1, keeping.key(0.1))
    assert keeping.change(0.1, 1) is None
    assert keeping.ended(0.1) is None


@pytest.mark.parametrize("outcome", ["renewed", "failed"])
def test_an_answer_that_comes_after_the_block_was_left_changes_nothing(outcome: str) -> None:
    machine = Machine()
    keeping = machine.keeping
    keeping.renewed(0.0, started("first"))
    keeping.ask(20.0)
    assert keeping.next_step(20.0) == 0.0
    keeping.leave(21.0)
    machine.events()
    if outcome == "renewed":
        keeping.renewed(22.0, started("second"))
    else:
        keeping.failed(22.0, RateLimited(429, retry_after=60.0))
        assert machine.address.rate_limit_wait.until >= 82.0, "but a 429 counts for the other keepers"
    assert (keeping.state, machine.events(), keeping.ended(22.0)) == ("closed", [], True)
    assert keeping.change(22.0, 1) == (1, None)
    assert keeping.next_step(22.0) is None
    with pytest.raises(ConfigurationError):
        keeping.key(22.0)


def test_the_last_attempt_to_start_raises() -> None:
    machine = Machine(attempts=2)
    machine.keeping.failed(0.1, TransportError("one"))
    assert machine.events() == ["failed"]
    assert machine.keeping.next_step(2.0) == 0.0
    with pytest.raises(TransportError, match="two"):
        machine.keeping.failed(2.1, TransportError("two"))


def test_a_refusal_is_told_at_once_and_lost_at_minute_60() -> None:
    machine = Machine()
    keeping = machine.keeping
    keeping.renewed(0.0, started())
    now, refused = 0.0, 0
    while keeping.state == "running":
        now += 1
        keeping.look(now)
        if keeping.next_step(now) == 0.0:
            refused += 1
            keeping.failed(now, Unauthorized(401))
            assert keeping.status(now).at_risk
    assert (now, refused <= 6) == (3600, True)
    assert machine.events() == ["started", "failed", "at_risk", *["failed"] * (refused - 1), "lost"]
    with pytest.raises(LeaseLost, match="cannot be renewed") as raised:
        keeping.key(now)
    assert isinstance(raised.value.__cause__, Unauthorized)


def test_levels_of_the_log() -> None:
    machine = Machine()
    keeping = machine.keeping
    keeping.renewed(0.0, started(life=-5.0))
    for now in (30.0, 60.0):
        keeping.ask(now)
        assert keeping.next_step(now) == 0.0
        keeping.failed(now, TransportError("no answer"))
    assert [(fields["listenkey_event"], level) for level, _, fields in keeping.log] == [
        ("disbelieved", logging.WARNING),
        ("started", logging.INFO),
        ("failed", logging.INFO),
        ("failed", logging.DEBUG),
    ]


class TestAnEndlessKeeper:
    @pytest.mark.parametrize("error", [ServerError(503), TransportError("none"), RateLimited(429, retry_after=60.0)])
    def test_at_the_start_trouble_that_passes_is_waited_out(self, error: ListenKeyError) -> None:
        machine, now = Machine(attempts=1, is_endless=True), 0.0
        keeping, levels = machine.keeping, []
        for _ in range(9):
            keeping.failed(now, error)
            levels += [level for level, _, fields in keeping.log if fields["listenkey_event"] == "failed"]
            keeping.log = []
            while wait := keeping.next_step(now):
                now += wait
        assert [number for number, level in enumerate(levels, 1) if level == logging.WARNING] == [1, 2, 4, 8]
        keeping.renewed(now, started())
        assert keeping.key(now).value == "key"

    def test_at_the_start_a_refusal_is_raised(self) -> None:
        with pytest.raises(Unauthorized):
            Machine(is_endless=True).keeping.failed(0.0, Unauthorized(401))

    def test_after_a_loss_a_refusal_is_waited_out_for_16_minutes_at_most(self) -> None:
        machine, now, waits = Machine(is_endless=True), 7200.0, []
        machine.keeping.renewed(0.0, started())
        for moment in range(0, 7200, 10):
            machine.keeping.look(moment)
        while wait := machine.keeping.next_step(now):
            now += wait
        for _ in range(6):
            machine.keeping.failed(now, Unauthorized(401))
            begun = now
            while wait := machine.keeping.next_step(now):
                now += wait
            waits.append(now - begun)
        for wait, least in zip(waits, [120, 240, 480, 960, 960, 960], strict=True):
            assert least <= wait <= least + 15

    def test_after_a_loss_it_goes_on_and_says_so(self) -> None:
        machine = Machine(is_endless=True)
        keeping = machine.keeping
        keeping.renewed(0.0, started("first"))
        for now in range(0, 7200, 10):  # nobody sends
            keeping.look(now)
        told = [(level, fields["listenkey_event"]) for level, _, fields in keeping.log if level > logging.INFO]
        assert told == [(logging.WARNING, "at_risk"), (logging.WARNING, "lost")]
        assert keeping.is_key_lost
        assert keeping.key(7200.0).value == "first"  # nobody has another
        assert keeping.next_step(7200.0) == 0.0
        keeping.failed(7201.0, TransportError("no answer"))
        assert 0 < (keeping.next_step(7201.0) or 0) <= 1
        assert keeping.next_step(7202.0) == 0.0
        keeping.renewed(7202.0, started("second"))
        assert (keeping.is_key_lost, keeping.key(7202.0).value) == (False, "second")

    def test_a_bug_is_no_failure(self) -> None:
        machine = Machine(is_endless=True)
        machine.keeping.renewed(0.0, started())
        machine.keeping.broke_down(1.0, OSError())
        with pytest.raises(LeaseLost, match="broke down"):
            machine.keeping.key(1.0)
