"""A thousand days of the schedule, in seconds, against an exchange and a machine that have bad days.

Adversities come every few hours and never overlap; two are at least a minute apart. Between them, and within any that
the project promises to survive, no key may be lost. Run a day again with LISTENKEY_SEED=<the printed seed>.
"""

import math
import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from listenkey._clock import WitnessedClock
from listenkey._limits.shared import Orders
from listenkey._limits.wait import RateLimitWait
from listenkey.errors import ApiError, Banned, ListenKeyError, ServerError, TransportError, Unauthorized
from listenkey.keeper._lease import Lease

DAY = 24 * 3600.0
DAYS = int(os.environ.get("SIMULATED_DAYS", "50"))  # for each of the four cases; `make simulations`: 250
LONGEST_REFUSAL = 29 * 60.0
TROUBLES = ("outage", "told ban", "untold ban", "refusal")
KINDS = ["outage"] * 4 + ["refusal"] * 2 + ["told ban", "untold ban", "sleep", "pause", "replaced", "wall clock jump"]


@dataclass
class Adversity:
    kind: str
    start: float
    end: float
    jump: float = 0.0


def adversities(chance: random.Random, longest_outage: float) -> Iterator[Adversity]:
    free = 0.0
    while True:
        start = free + 60 + chance.expovariate(1 / 7200) * chance.choice([0, 0.01, 1])
        kind = chance.choice(KINDS)
        length = jump = 0.0
        if kind == "refusal":
            length = chance.choice([6, chance.uniform(6, LONGEST_REFUSAL), LONGEST_REFUSAL])
        elif kind in TROUBLES:
            length = longest_outage * chance.choice([chance.random(), 1])
        elif kind in ("sleep", "pause"):
            length = chance.choice([chance.uniform(76, 3600), chance.uniform(3600, 50_000)])
        elif kind == "wall clock jump":
            jump = chance.uniform(-1, 1) * chance.choice([1, 60, 3600, DAY, 400 * DAY])
        # A wait that nobody told lasts, for us, until our doubling wait is over: at most twice as long and two minutes.
        free = start + (2 * length + 135 if kind in ("untold ban", "refusal") else length)
        yield Adversity(kind, start, start + length, jump)


class World:
    """True time, the clocks that a machine has, and one account at the exchange."""

    def __init__(self, chance: random.Random, timeout: float) -> None:
        self.chance, self.timeout = chance, timeout
        self.longest_outage = 1800 - 2 * timeout - 30
        self.to_come = adversities(chance, self.longest_outage)
        self.adversity = next(self.to_come)
        self.now = self.slept = self.paused = self.jumped = 0.0
        self.key, self.key_ends = 1, 0.0
        self.died_awake = 0  # keys that ended while the machine was awake and nobody had replaced them
        self.away = False  # slept, or replaced, since the last success
        self.outages: list[float] = []  # lengths of those that a renewal met
        self.refused: Counter[float] = Counter()  # requests, by the refusal's start

    def monotonic(self) -> float:
        return self.now - self.slept - self.paused

    def wall(self) -> float:
        return self.now + self.jumped

    def boottime(self) -> float:
        return self.now - self.paused

    def run(self, seconds: float) -> bool:
        """Let the machine be awake for so long. Returns whether it slept meanwhile."""
        slept, left = False, seconds
        while (event := self.adversity).start <= self.now + left or event.end <= self.now:
            if event.kind in ("sleep", "pause") and event.start >= self.now:
                left -= event.start - self.now
                if event.kind == "sleep":
                    self.slept += event.end - event.start
                else:  # of the virtual machine: when it goes on, its wall clock is put right
                    self.paused += event.end - event.start
                self.now = event.end
                slept = self.away = True
            elif event.kind == "replaced":
                self.key_ends, self.away = 0.0, True
            elif event.kind == "wall clock jump":
                self.jumped += event.jump
            elif event.end > self.now:
                break
            self.adversity = next(self.to_come)
        self.now += left
        while self.adversity.end <= self.now and self.adversity.kind in TROUBLES:
            self.adversity = next(self.to_come)
        return slept

    def trouble(self) -> Adversity | None:
        event = self.adversity
        return event if event.kind in TROUBLES and event.start <= self.now else None

    def post(self) -> tuple[int, float] | ListenKeyError:
        """One request, as the client makes it: a key and its life, or an error."""
        error = self._refused()
        if error is None:
            took = self.chance.choice([0.05, self.chance.uniform(0, self.timeout)])
            self.run(took / 2)
            error = self._refused()
            if error is None:
                if self.now >= self.key_ends:
                    self.died_awake += self.key_ends > 0 and not self.away
                    self.key += 1
                self.key_ends = self.now + 3600
                answer = self.key, self.key_ends - self.now
                slept = self.run(took / 2)
                if slept and self.chance.random() < 0.5:
                    return TransportError("the connection did not survive the sleep")
                if self.trouble() is None:
                    self.away = slept
                    return answer
                error = TransportError("the answer was lost")
        if isinstance(error, TransportError):
            self.run(self.chance.choice([0.01, self.timeout]))
        return error

    def _refused(self) -> ListenKeyError | None:
        event = self.trouble()
        if event is None:
            return None
        if event.kind == "refusal":
            self.refused[event.start] += 1
            return self.chance.choice([Unauthorized(401, -2015), ApiError(403), ApiError(407)])
        self.outages.append(event.end - event.start)
        if event.kind == "outage":
            return self.chance.choice([TransportError("no answer"), ServerError(503), ApiError(404)])
        return Banned(418, retry_after=event.end - self.now if event.kind == "told ban" else None)


@pytest.mark.parametrize("clock", ["boottime", "monotonic"])
@pytest.mark.parametrize("timeout", [10.0, 15.0])
def test_a_thousand_days(clock: str, timeout: float) -> None:
    seed = int(os.environ.get("LISTENKEY_SEED") or random.randrange(2**32))
    print(f"LISTENKEY_SEED={seed}")
    chance = random.Random(f"{seed} {clock} {timeout}")
    world = World(chance, timeout)
    now = WitnessedClock(world.boottime if clock == "boottime" else world.monotonic, world.wall)
    lease = Lease(3600.0, timeout, RateLimitWait(Orders().give, -math.inf, None), random.Random(seed))
    sends: list[float] = []
    renewals = replaced = 0
    least_left = 3600.0
    key = world.key
    steady, steady_sends = 0.0, 0
    lease.send(now())
    lease.renewed(now(), 3600.0)
    world.key_ends = 3600.0
    while world.now < DAYS * DAY:
        # The loop of the keeper.
        moment = now()
        lease.look(moment)
        assert not lease.lost(moment), f"lost on day {world.now / DAY:.2f}, {seed=}"
        wait = lease.next_send_at - moment
        if wait > 0:
            world.run(min(wait, lease.slice))
            continue
        sends.append(world.now)
        lease.send(now())
        quiet_day = world.adversity.start > world.now + 3600
        answer = world.post()
        lease.look(now())
        if isinstance(answer, ListenKeyError):
            lease.failed(now(), answer)
            continue
        assert not lease.lost(now()), f"renewed too late on day {world.now / DAY:.2f}, {seed=}"
        least_left = min(least_left, lease.deadline - now())
        lease.renewed(now(), answer[1])
        renewals += 1
        replaced += answer[0] != key
        key = answer[0]
        if quiet_day and lease.next_send_at - now() > 20:
            steady, steady_sends = steady + lease.next_send_at - now(), steady_sends + 1
    busiest = max(sum(first <= sent < first + 60 for sent in sends[i : i + 20]) for i, first in enumerate(sends))
    per_hour = steady_sends / (steady / 3600)
    print(
        f"{clock}, timeout {timeout:g} s: {DAYS} days, {len(sends)} requests, {renewals} renewals, {replaced} keys "
        f"replaced, {len(world.outages)} requests met an outage or ban of up to {max(world.outages) / 60:.1f} min, "
        f"{world.refused.total()} were refused, at most {max(world.refused.values())} in one time of refusals; "
        f"{per_hour:.2f} requests an hour in the steady state, at most {busiest} in a minute; "
        f"at the tightest renewal {least_left:.0f} s were left"
    )
    assert world.died_awake == 0
    assert max(world.outages) == pytest.approx(world.longest_outage)
    assert max(world.refused.values()) <= 4
    assert per_hour <= 2.2
    assert busiest <= 10


@pytest.mark.parametrize("timeout", [10.0, 15.0])
def test_refused_for_ever_the_key_is_lost_at_minute_60_after_at_most_six_requests(timeout: float) -> None:
    for seed in range(400):
        lease = Lease(3600.0, timeout, RateLimitWait(Orders().give, -math.inf, None), random.Random(seed))
        lease.send(0.0)
        lease.renewed(0.1, 3600.0)
        now, refused = 0.1, 0
        while not lease.lost(now := min(now + lease.slice, max(now, lease.next_send_at), lease.deadline)):
            lease.look(now)
            if now >= lease.next_send_at:
                refused += 1
                lease.send(now)
                lease.failed(now + 0.1, Unauthorized(401, -2015))
        assert now == 3600, seed
        assert refused <= 6, seed
