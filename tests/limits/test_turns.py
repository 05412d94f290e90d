"""Whose turn it is: the rules as tables, and ten thousand accounts on one address, event by event on a given clock."""

import heapq
import itertools
import math
import os
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import pytest

from listenkey._limits.shared import Address
from listenkey._limits.turns import AT_ONCE, WEIGHT, Turns
from listenkey.errors import Banned, ListenKeyError, RateLimited, ServerError, TransportError, Unauthorized
from listenkey.keeper._lease import Lease
from tests.inside import given_in, under_way_in

MINUTE = 60.0


def lease(deadline: float = math.inf) -> Lease:
    made = Lease(3600.0, 10.0, Address().rate_limit_wait, random.Random(1))
    made.deadline = deadline
    return made


def nothing() -> None:
    pass


def drain(turns: Turns, now: float, at_once: int = AT_ONCE) -> int:
    """Take every turn there is, each over at once. Returns how many."""
    given = 0
    while True:
        turns.grant(now, at_once)
        holders = under_way_in(turns)
        if not holders:
            return given
        given += len(holders)
        for holder in holders:
            turns.count(now)
            turns.done(holder)


# The rules.


def test_whoever_is_nearest_to_losing_its_key_goes_first_and_first_starts_go_last() -> None:
    turns = Turns()
    order: list[int] = []
    leases = [lease(), lease(9000), lease(8000), lease(), lease(7000)]
    for one in leases:
        turns.ask(one, nothing, 0.0)
        assert turns.pause(one) == math.inf
    while len(order) < 5:
        turns.grant(0.0, at_once=1)
        (number,) = [number for number, one in enumerate(leases) if turns.pause(one) == 0.0]
        order.append(number)
        turns.done(leases[number])
    assert order == [4, 2, 1, 0, 3]


def test_half_of_the_weight_in_a_minute_and_a_sixth_of_that_in_ten_seconds() -> None:
    turns = Turns()
    for _ in range(3000):
        turns.ask(lease(), nothing, 0.0)
    given = [drain(turns, now / 4) for now in range(4 * 121)]
    assert given[0] == 200
    assert all(sum(given[i : i + 40]) <= 200 for i in range(len(given) - 40))
    assert all(sum(given[i : i + 240]) <= 1200 for i in range(len(given) - 240))
    assert sum(given[:240]) == 1200
    assert sum(given[:480]) == 2400


def test_a_key_in_danger_may_use_the_other_half_but_for_a_reserve() -> None:
    turns = Turns()
    for _ in range(3000):
        turns.ask(lease(10.0), nothing, 0.0)
    given = [drain(turns, now / 4) for now in range(4 * 60)]
    assert sum(given) == 2160


@pytest.mark.parametrize(
    ("used_by_others", "normal", "in_danger"),
    [(0, 200, 360), (800, 200, 360), (2200, 100, 0), (2390, 5, 0), (2400, 0, 0)],
)
def test_others_who_use_the_address_leave_less(used_by_others: int, normal: int, in_danger: int) -> None:
    for deadline, most in ((math.inf, normal), (10.0, in_danger)):
        turns = Turns()
        number = turns.count(0.0)
        turns.learn(number, used_by_others, 0.0)
        for _ in range(500):
            turns.ask(lease(deadline), nothing, 0.0)
        assert drain(turns, 0.0, at_once=1) == most
        assert drain(turns, 61.0) > 0, "a minute later the weight is unknown again"


def test_an_older_answer_does_not_count_and_calls_after_an_answer_do() -> None:
    turns = Turns()
    first, second = turns.count(0.0), turns.count(0.0)
    turns.learn(second, 1000, 1.0)
    turns.learn(first, 2000, 2.0)
    assert turns.used(2.0) == 1000
    for _ in range(5):
        turns.count(3.0)
    assert turns.used(3.0) == 1005
    assert turns.used(61.5) == 5
    assert turns.used(63.5) == 0


def test_calls_without_a_turn_are_counted() -> None:
    turns = Turns()
    for _ in range(1900):
        turns.count(0.0)
    for _ in range(500):
        turns.ask(lease(), nothing, 0.0)
    assert drain(turns, 0.0, at_once=1) == 200
    for _ in range(25):
        turns.count(0.0)
    assert drain(turns, 10.0, at_once=1) == 38, (
        "2125 calls, 200 of them keepers': half of what is left, and 2400 less 2 * 38"
    )


def test_at_most_64_are_under_way_and_a_holder_that_hangs_holds_up_nobody() -> None:
    turns = Turns()
    for _ in range(130):
        turns.ask(lease(), nothing, 0.0)
    turns.grant(0.0)
    turns.grant(1.0)
    assert len(under_way_in(turns)) == 64
    turns.ask(lease(), nothing, 29.9)
    turns.grant(29.9)
    assert given_in(turns) == 64
    turns.ask(lease(), nothing, 30.0)
    turns.grant(30.0)
    assert given_in(turns) == 128


def test_the_next_in_the_row_is_woken_to_look_at_the_clock_and_who_leaves_is_forgotten() -> None:
    turns, woken = Turns(), []
    leases = [lease(100.0 + number) for number in range(4)]
    for number, one in enumerate(leases):
        turns.ask(one, lambda number=number: woken.append(number), 0.0)  # type: ignore[misc]
    for wake in turns.grant(0.0, at_once=1):
        wake()
    assert woken == [0, 1], "one has its turn, and one is the next"
    assert [turns.pause(one) for one in leases] == [0.0, 0.25, math.inf, math.inf]
    turns.ask(leases[0], nothing, 0.0)  # it has its turn: to ask again changes nothing
    turns.done(leases[1])
    for wake in turns.grant(0.0, at_once=1):
        wake()
    assert woken == [0, 1, 2]
    turns.ask(leases[1], nothing, 0.0)  # and comes back, with a later deadline
    turns.done(leases[0])
    turns.done(leases[2])
    turns.grant(0.0, at_once=1)
    assert [turns.pause(one) for one in leases] == [math.inf, 0.0, math.inf, 0.25]


def test_a_row_is_told_after_three_seconds_then_once_a_minute() -> None:
    turns = Turns()
    assert turns.report(1000.0) is None
    one, other = lease(), lease()
    turns.ask(one, nothing, 0.0)
    turns.ask(other, nothing, 2.0)
    assert turns.report(2.9) is None
    assert turns.report(3.0) == 2
    assert turns.report(62.9) is None
    assert turns.report(63.0) == 2
    turns.done(one)
    turns.done(other)
    assert turns.report(1000.0) is None


# Ten thousand accounts, on one address, on a given clock.

Outcome = float | ListenKeyError


@dataclass
class Account:
    lease: Lease
    waits: Lease  # in the row: the lease, unless the order is to be random
    bad: bool
    key_ends: float = -math.inf
    gone: bool = False
    wakes_at: float = -math.inf


@dataclass
class Fleet:
    """An exchange with a limit of weight, and accounts that keep their keys as the keepers do."""

    accounts: int = 10_000
    seed: int = 1
    timeout: float = 10.0
    latency: tuple[float, float] = (0.02, 0.2)
    outages: tuple[tuple[float, float], ...] = ()
    fails: Callable[[random.Random], ListenKeyError] | None = None  # None: no answer comes, which takes the timeout
    others: float = 0.0  # weight a minute that another program uses
    bad: int = 0  # one account in so many is refused for ever, once it has worked
    in_order: bool = True
    restart_at: float = math.inf

    lost: int = 0
    limited: int = 0
    sends: list[float] = field(default_factory=list)
    most_under_way: int = 0
    minutes: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.serial = itertools.count()
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.now = 0.0
        self.under_way = 0
        self.others_used: deque[float] = deque()
        self.start()

    def start(self) -> None:
        """Start a process: all its keepers at once."""
        self.address = Address()
        self.fleet = []
        for number in range(self.accounts):
            lease = Lease(3600.0, self.timeout, self.address.rate_limit_wait, self.chance)
            waits = lease if self.in_order else cast(Lease, _Ranked(lease, self.chance.random()))
            self.fleet.append(Account(lease, waits, bad=bool(self.bad) and number % self.bad == 0))
        for account in self.fleet:
            self.wake(account)

    def at(self, moment: float, what: Callable[[], None]) -> None:
        heapq.heappush(self.events, (moment, next(self.serial), what))

    def wake(self, account: Account, moment: float | None = None) -> None:
        """Let the account's loop look, then or now; a later look that was planned is dropped."""
        moment = self.now if moment is None else moment
        account.wakes_at = moment

        def look() -> None:
            if account.wakes_at == moment and not account.gone:
                self.step(account)

        self.at(moment, look)

    def step(self, account: Account) -> None:
        """One step of a keeper's loop."""
        lease, now = account.lease, self.now
        if lease.lost(now):
            self.lost += 1
            account.gone = True
            self.address.ended(account.waits, now)
            return
        if (due := min(lease.next_send_at, lease.deadline)) > now:
            self.wake(account, due)
            return
        pause = self.address.turn(account.waits, lambda: self.wake(account), now)
        if pause:
            self.wake(account, min(now + pause, lease.deadline))
            return
        self.send(account)

    def send(self, account: Account) -> None:
        now, address = self.now, self.address
        number = address.count(now)
        account.lease.send(now)
        account.wakes_at = math.inf
        self.sends.append(now)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        took, outcome, weight = self.exchange(account)

        def answer() -> None:
            self.under_way -= 1
            if weight is not None:
                address.learn(number, weight, self.now)
            if isinstance(outcome, ListenKeyError):
                account.lease.failed(self.now, outcome)
            else:
                account.lease.renewed(self.now, outcome)
            address.done(account.waits, self.now)
            self.wake(account)

        self.at(now + took, answer)

    def exchange(self, account: Account) -> tuple[float, Outcome, int | None]:
        """Answer as the exchange: how long it takes, what the outcome is, and the weight it tells."""
        now = self.now
        took = self.chance.uniform(*self.latency)
        in_trouble = any(start <= now < end for start, end in self.outages)
        if in_trouble and self.fails is None:
            return self.timeout, TransportError("no answer"), None
        minute = int(now // MINUTE)
        self.minutes[minute] += 1
        weight = self.minutes[minute] + round(self.others * (now % MINUTE) / MINUTE)
        if weight > WEIGHT:
            self.limited += 1
            return took, RateLimited(429, retry_after=MINUTE - now % MINUTE), weight
        if in_trouble and self.fails is not None:
            return took, self.fails(self.chance), weight
        if account.bad and account.key_ends > 0:
            return took, Unauthorized(401, -2015), weight
        account.key_ends = now + 3600
        return took, 3600.0, weight

    def run(self, hours: float) -> "Fleet":
        while self.events and self.events[0][0] < hours * 3600:
            self.now, _, what = heapq.heappop(self.events)
            if self.now >= self.restart_at:
                self.restart_at = math.inf
                ends = [account.key_ends for account in self.fleet]
                self.events.clear()
                self.under_way = 0
                self.start()
                for account, end in zip(self.fleet, ends, strict=True):
                    account.key_ends = end
                continue
            what()
        return self

    @property
    def most_in_a_minute(self) -> int:
        """Of our requests, in any minute."""
        most, window = 0, deque[float]()
        for sent in self.sends:
            window.append(sent)
            while window[0] <= sent - MINUTE:
                window.popleft()
            most = max(most, len(window))
        return most

    def figures(self) -> str:
        return (
            f"{self.accounts} accounts, {len(self.sends)} requests: {self.lost} keys lost, at most "
            f"{self.most_in_a_minute} in a minute and {self.most_under_way} under way, {self.limited} times 429"
        )


class _Ranked:
    """A lease that waits in a random order."""

    def __init__(self, lease: Lease, rank: float) -> None:
        self._lease, self.deadline = lease, rank

    @property
    def in_danger_at(self) -> float:
        return self._lease.in_danger_at


OUTAGE = 29 * MINUTE + 10  # what one keeper survives with a timeout of 10 s


def fault(chance: random.Random) -> ListenKeyError:
    return ServerError(503)


def ban(chance: random.Random) -> ListenKeyError:
    return Banned(418)


FIRST = (27 * MINUTE, 27 * MINUTE + OUTAGE)  # begins as the first renewals do, after a cold start
LATER = (9000.0, 9000.0 + OUTAGE)
SCENARIOS: dict[str, tuple[float, Callable[[], Fleet]]] = {  # with the hours to simulate
    "cold start": (1.0, Fleet),
    "outage without an answer, from minute 27": (1.5, lambda: Fleet(outages=(FIRST,))),
    "outage without an answer, in the third hour": (3.2, lambda: Fleet(outages=(LATER,))),
    "outage answered with 503": (3.2, lambda: Fleet(outages=(LATER,), fails=fault)),
    "ban of 25 minutes": (3.2, lambda: Fleet(outages=((9000, 9000 + 25 * MINUTE),), fails=ban)),
    "one bad account in a hundred": (1.3, lambda: Fleet(bad=100)),
    "answers that take up to 8 s": (1.5, lambda: Fleet(latency=(0.1, 8.0))),
    "a restart": (3.2, lambda: Fleet(restart_at=9000.0)),
    "another program uses 40 %": (2.0, lambda: Fleet(others=0.4 * WEIGHT)),
}


WHOLE = "SIMULATED_DAYS" in os.environ  # `make simulations` runs each of them, `make test` a sample
SAMPLE = ["cold start", "one bad account in a hundred", "another program uses 40 %"]


@pytest.mark.simulation
@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", SCENARIOS if WHOLE else SAMPLE)
def test_ten_thousand_accounts(name: str) -> None:
    hours, fleet = SCENARIOS[name]
    run = fleet().run(hours)
    print(f"{name}: {run.figures()}")
    assert run.lost == (100 if run.bad else 0)
    assert run.most_under_way <= AT_ONCE
    assert run.most_in_a_minute <= WEIGHT - 240
    assert run.limited == 0


@pytest.mark.simulation
@pytest.mark.skipif(not WHOLE, reason="make simulations")
@pytest.mark.timeout(240)
def test_in_random_order_the_same_outage_costs_keys() -> None:
    run = Fleet(outages=(LATER,), in_order=False).run(3.2)
    print(f"random order: {run.figures()}")
    assert run.lost > 1000
