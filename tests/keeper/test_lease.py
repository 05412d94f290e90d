"""The schedule's bounds, whatever happens to it. Times here are those of a life of an hour."""

import math
import sys
import threading
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from listenkey._http.faults import is_refusal
from listenkey._limits.shared import Orders
from listenkey._limits.wait import RateLimitWait
from listenkey.errors import (
    ApiError,
    Banned,
    KeyNotFound,
    ListenKeyError,
    RateLimited,
    ServerError,
    TransportError,
    Unauthorized,
    UnexpectedResponse,
)
from listenkey.keeper._lease import Lease
from tests.inside import give_chance, give_wait

TIMEOUT = 15.0

Step = tuple[float | ListenKeyError | None, float, bool, float | None]

retry_after = st.none() | st.floats(0, 5000) | st.sampled_from([0.0, 1e18])
refusals = st.builds(ServerError, st.just(503), retry_after=retry_after) | st.sampled_from(
    [TransportError("no answer"), UnexpectedResponse(200, "cut"), ApiError(403), KeyNotFound(400, -1125)]
)
bans = st.builds(RateLimited, st.just(429), retry_after=retry_after) | st.builds(
    Banned, st.just(418), retry_after=retry_after
)
lives = st.none() | st.floats(-10, 4000) | st.sampled_from([0.0, 0.001, 59.0, 60.0, 61.0, math.inf])


class Run:
    """The keeper's loop, on a clock that costs nothing."""

    def __init__(self, seed: int, *, assumed: float = 3600.0, timeout: float = TIMEOUT) -> None:
        self.now = 1_000_000.0
        self.rate_limit_wait = RateLimitWait(Orders().give, -math.inf, None)
        self.lease = Lease(assumed, timeout, self.rate_limit_wait, Random(seed))
        self.sends: list[float] = []

    def send(self, took: float) -> None:
        self.sends.append(self.now)
        self.lease.send(self.now)
        self.now += took
        self.lease.look(self.now)

    def succeed(self, life: float | None = None, took: float = 0.1) -> bool:
        self.send(took)
        return self.lease.renewed(self.now, life)

    def fail(self, error: ListenKeyError, took: float = 0.1) -> None:
        self.send(took)
        self.lease.failed(self.now, error)

    def wait(self) -> bool:
        """Wait as the loop does; False when the lease is lost first."""
        while self.now < (target := min(self.lease.next_send_at, self.lease.deadline)):
            self.now = min(target, self.now + self.lease.slice)
            self.lease.look(self.now)
        return not self.lease.lost(self.now)


@given(
    seed=st.integers(0, 2**32),
    steps=st.lists(
        st.tuples(
            st.one_of(lives, refusals, bans),
            st.floats(0, TIMEOUT),  # seconds the request takes
            st.booleans(),  # renew_now() is called before it
            st.none() | st.floats(76, 10_000),  # sleep after it
        ),
        max_size=60,
    ),
)
def test_bounds_hold_whatever_happens(seed: int, steps: list[Step]) -> None:
    run = Run(seed)
    run.succeed(3600.0)
    answered = run.now
    for outcome, took, asked, sleep in steps:
        silent_until, deadline = run.rate_limit_wait.until, run.lease.deadline
        if asked:
            run.lease.ask(run.now)
        if not run.wait():
            assert run.lease.failures or silent_until >= deadline, "lost without a try"
            return
        assert run.now > answered, "no pause after an answer or a failure"
        assert run.now >= silent_until, "sent before the wait was over that 429 or 418 asked for"
        if isinstance(outcome, ListenKeyError):
            run.fail(outcome, took)
            assert run.lease.next_send_at >= run.now + 0.5
        else:
            run.succeed(outcome, took)
            assert run.lease.next_send_at >= run.now + 20
            assert run.lease.next_send_at < run.lease.deadline <= run.sends[-1] + 3600
        answered = run.now
        for first, eleventh in zip(run.sends, run.sends[10:], strict=False):
            # As the server sees it: the first may arrive a whole timeout late.
            assert eleventh - (first + TIMEOUT) > 60 - 1e-6, "more than 10 in a minute"
        if sleep and not run.lease.lost(run.now):
            run.now += sleep
            deadline = run.lease.deadline
            assert run.lease.look(run.now) == pytest.approx(sleep)
            assert not run.lease.lost(run.now)
            assert run.lease.deadline == max(deadline, run.now + 60)
            waits_on = isinstance(outcome, ServerError) or (isinstance(outcome, ListenKeyError) and is_refusal(outcome))
            if not waits_on:  # a Retry-After and the wait after a refusal still stand
                assert run.lease.next_send_at <= max(run.now, run.rate_limit_wait.until)


@given(seed=st.integers(), life=st.floats(120, 5000), took=st.floats(0, TIMEOUT))
def test_due_in_good_time(seed: int, life: float, took: float) -> None:
    run = Run(seed)
    run.succeed(life, took)
    life = min(life, 3600)
    assert run.lease.deadline == run.sends[0] + life
    # An answer that took long pushes a short life's renewal back to the floor, and not past half of it.
    assert run.sends[0] + 0.45 * life <= run.lease.next_send_at <= run.sends[0] + 0.5 * life


@pytest.mark.parametrize(
    ("told", "life", "believed"),
    [
        (None, 3600, True),
        (3600, 3600, True),
        (1800, 1800, True),
        (7200, 3600, True),  # never longer than assumed
        (0, 3600, False),
        (-5, 3600, False),
        (41, 41, True),
        (20, 40, False),  # the floor leaves no time to keep it
    ],
)
def test_the_server_may_shorten_the_life(told: float | None, life: float, believed: bool) -> None:
    run = Run(1)
    assert run.succeed(told) is believed
    assert run.lease.deadline == run.sends[0] + life


class Hasty(Random):
    """No jitter: every wait is as short as it can be."""

    def uniform(self, a: float, b: float) -> float:
        return a


def test_ten_requests_in_any_minute_at_the_fastest_pace() -> None:
    run = Run(1)
    give_chance(run.lease, Hasty())
    for _ in range(20):
        for _ in range(4):
            run.fail(TransportError("no answer"), took=0)
            run.now = run.lease.next_send_at
        run.succeed(took=0)
        run.lease.ask(run.now)
        run.now = run.lease.next_send_at
    # One may reach the server a timeout late, so it is 75 s as we send them.
    assert all(last - first >= 75 for first, last in zip(run.sends, run.sends[10:], strict=False))
    assert any(last - first < 75 for first, last in zip(run.sends, run.sends[9:], strict=False))


@pytest.mark.parametrize("pause", [1.0, 70.0, 120.0, 1000.0])
def test_a_keeper_that_hangs_is_lost_however_seldom_someone_looks(pause: float) -> None:
    run = Run(1)
    run.succeed()
    run.now = run.lease.next_send_at
    run.lease.send(run.now)  # and never comes back
    end = run.lease.deadline
    while not run.lease.lost(run.now):
        run.now += pause
        run.lease.look(run.now)
        assert run.now < end + pause + 60 + pause


def test_a_second_sleep_is_granted_its_minute_once_the_loop_was_seen_alive() -> None:
    run = Run(1)
    run.succeed()
    for _ in range(3):
        run.now += 4000
        assert run.lease.look(run.now) > 0
        assert not run.lease.lost(run.now)
        run.lease.is_grace_used = False  # as the loop does


def test_keepers_come_and_go_while_another_meets_a_ban() -> None:
    wait, over = RateLimitWait(Orders().give, -math.inf, None), threading.Event()
    leases = [Lease(3600.0, 10.0, wait, Random(1)) for _ in range(200)]
    for lease in leases:
        lease.send(0.0)
        lease.renewed(1.0, None)

    def come_and_go() -> None:
        while not over.is_set():
            for lease in leases:
                wait.ended(lease)
                wait.answered(lease)

    thread = threading.Thread(target=come_and_go)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads take turns as often as can be
    thread.start()
    try:
        for _ in range(1500):
            wait.refused(Banned(418), 0.0, 2.0, scale=1.0, random=Random(1))
    finally:
        over.set()
        sys.setswitchinterval(interval)
        thread.join()


@pytest.mark.parametrize("minutes", [2, 10, 25])
@pytest.mark.parametrize("keepers", [1, 2, 3, 5])
@pytest.mark.parametrize("seed", range(5))
def test_a_ban_that_tells_no_end_loses_no_key_of_many_keepers(seed: int, keepers: int, minutes: int) -> None:
    random, wait = Random(seed), RateLimitWait(Orders().give, -math.inf, None)
    leases = [Lease(3600.0, 10.0, wait, random) for _ in range(keepers)]
    for number, lease in enumerate(leases):
        lease.send(60.0 * number)
        lease.renewed(60.0 * number + 1, None)
    now, ban = 0.0, range(1600, 1600 + 60 * minutes)
    while now < 10_000:
        lease = min(leases, key=lambda lease: lease.next_send_at)
        now = max(now, lease.next_send_at)
        for other in leases:
            other.look(now)
            assert not other.lost(now)
        lease.send(now)
        if int(now) in ban:
            lease.failed(now + 0.5, Banned(418))
        else:
            lease.renewed(now + 0.5, None)


def waits(run: Run, error: ListenKeyError, times: int) -> list[float]:
    found = []
    for _ in range(times):
        run.fail(error)
        found.append(run.lease.next_send_at - run.now)
        run.now = run.lease.next_send_at
    return found


@given(seed=st.integers())
def test_waits_double_from_1_to_30_seconds(seed: int) -> None:
    run = Run(seed)
    run.succeed()
    run.wait()
    for wait, longest in zip(waits(run, TransportError(), 9), [1, 2, 4, 8, 16, 30, 30, 30, 30], strict=True):
        assert longest / 2 <= wait <= longest + 1e-6
    run.succeed()
    run.wait()
    assert waits(run, ServerError(503), 1)[0] <= 1 + 1e-6, "a success starts the count anew"


@given(seed=st.integers())
@pytest.mark.parametrize("error", [ApiError(404), KeyNotFound(400, -1125), UnexpectedResponse(200, "cut")])
def test_an_answer_that_will_not_change_soon_waits_longest(error: ListenKeyError, seed: int) -> None:
    run = Run(seed)
    run.succeed()
    run.wait()
    assert all(15 <= wait <= 30 + 1e-6 for wait in waits(run, error, 3))


def test_a_server_fault_is_given_the_time_it_asks_for_but_not_the_key() -> None:
    run = Run(1)
    run.succeed()
    run.wait()
    assert waits(run, ServerError(503, retry_after=45.0), 1) == [pytest.approx(45)]
    left = run.lease.deadline - run.now
    assert waits(run, ServerError(503, retry_after=86_400.0), 1) == [pytest.approx(left / 2, abs=1)]


REFUSALS = [Unauthorized(401, -2015), Unauthorized(400, -2014), ApiError(403), ApiError(407), ApiError(401)]


@pytest.mark.parametrize("error", REFUSALS)
def test_a_refusal_is_waited_out_like_a_ban_that_tells_no_end(error: ApiError) -> None:
    run = Run(1)
    run.succeed()
    run.wait()
    assert not run.lease.at_risk(run.now)
    for wait, least in zip(waits(run, error, 3), [120, 240, 480], strict=True):
        assert least - 1e-6 <= wait <= least + 15
        assert run.lease.at_risk(run.now)
    run.succeed()
    run.wait()
    assert not run.lease.at_risk(run.now)
    assert waits(run, error, 1)[0] <= 120 + 15, "a success starts the count anew"


@given(seed=st.integers(), timeout=st.floats(0.1, TIMEOUT), asked=st.booleans())
@example(seed=165965, timeout=1.0, asked=False)  # the sixth request is sent less than a second before the deadline
@pytest.mark.parametrize("error", REFUSALS)
def test_refused_for_ever_it_is_lost_at_the_deadline_after_six_requests(
    error: ApiError, seed: int, timeout: float, asked: bool
) -> None:
    run = Run(seed, timeout=timeout)
    run.succeed()
    while run.wait():
        run.fail(error)
        if asked:
            run.lease.ask(run.now)  # renew_now() does not hasten it
    assert run.lease.deadline == run.sends[0] + 3600
    assert run.lease.deadline <= run.now <= run.lease.deadline + timeout, "a last request may end after the deadline"
    assert 5 <= len(run.sends) - 1 <= 6
    assert run.sends[-1] >= run.lease.last_try_at - 120, "a last try before the end"


@given(seed=st.integers(), length=st.floats(6, 29 * 60), lead=st.floats(0, 1))
@pytest.mark.parametrize("error", REFUSALS)
def test_a_refusal_of_up_to_29_minutes_costs_no_key(error: ApiError, seed: int, length: float, lead: float) -> None:
    run = Run(seed)
    run.succeed()
    run.wait()
    over = run.now + length * lead
    while run.now < over:
        run.fail(error)
        assert run.wait()
    assert len(run.sends) - 1 <= 4
    run.succeed()
    assert not run.lease.lost(run.now)


def test_a_refusal_holds_for_this_lease_alone() -> None:
    run = Run(1)
    run.succeed()
    run.fail(Unauthorized(401))
    assert run.rate_limit_wait.until == -math.inf


def test_a_refusal_is_given_the_time_it_asks_for_but_not_the_last_try() -> None:
    run = Run(1)
    run.succeed()
    run.wait()
    assert 600 <= waits(run, ApiError(403, retry_after=600.0), 1)[0] <= 615
    run.fail(ApiError(403, retry_after=86_400.0))
    assert run.lease.last_try_at <= run.lease.next_send_at <= run.lease.last_try_at + 15


@given(seed=st.integers())
def test_refusals_between_failures_of_another_kind_count_on(seed: int) -> None:
    run = Run(seed)
    run.succeed()
    run.wait()
    run.fail(Unauthorized(401))
    run.fail(TransportError())
    assert run.lease.at_risk(run.now)
    run.fail(Unauthorized(401))
    assert run.lease.next_send_at - run.now >= 240


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RateLimited(429), [60, 60, 60]),
        (Banned(418), [120, 240, 480, 960]),
        (RateLimited(429, retry_after=7.0), [7, 7]),
        (Banned(418, retry_after=600.0), [600, 600]),
        (Banned(418, retry_after=1e18), [3 * 24 * 3600]),
    ],
)
def test_429_and_418_are_waited_out(error: RateLimited, expected: list[float]) -> None:
    run = Run(1)
    run.succeed()
    run.now += 1
    for wait, least in zip(waits(run, error, len(expected)), expected, strict=True):
        assert least - 1e-6 <= wait <= least + min(least, 30) / 2, "jitter on top only"


def test_a_retry_after_of_zero_is_no_licence_to_hurry() -> None:
    run = Run(1)
    run.succeed()
    run.wait()
    for wait, least in zip(waits(run, RateLimited(429, retry_after=0.0), 4), [15, 15, 15, 15], strict=True):
        assert wait >= least / 30


@given(seed=st.integers(), took=st.floats(0, TIMEOUT))
@pytest.mark.parametrize("error", [TransportError(), ApiError(404), Banned(418), Banned(418, retry_after=1740.0)])
def test_the_longest_outage_costs_no_key(error: ListenKeyError, seed: int, took: float) -> None:
    run = Run(seed)
    run.succeed()
    run.wait()
    over = run.now + 1800 - 2 * TIMEOUT - 30
    while run.now < over:
        run.fail(error, took)
        assert run.wait()
    assert run.now + TIMEOUT <= run.lease.deadline + 1e-6


def test_a_success_ends_the_doubling_of_bans() -> None:
    run = Run(1)
    run.succeed()
    run.now += 1
    waits(run, Banned(418), 3)
    run.succeed()
    run.now += 1
    assert waits(run, Banned(418), 1)[0] <= 120 + 15 + 1e-6


def test_a_ban_is_shared_and_a_shorter_wait_does_not_end_it() -> None:
    one, other = Run(1), Run(2)
    give_wait(other.lease, one.rate_limit_wait)
    for run in (one, other):
        run.succeed()
        run.now += 1700
    one.fail(Banned(418, retry_after=600.0))
    until = one.rate_limit_wait.until
    assert other.lease.next_send_at >= until
    other.fail(RateLimited(429, retry_after=1.0))
    assert one.lease.next_send_at >= until
    assert other.lease.next_send_at >= until
    assert isinstance(one.rate_limit_wait.error, Banned)


def test_at_risk_past_three_quarters_of_the_life_or_when_the_wait_is_too_long() -> None:
    run = Run(1)
    run.succeed()
    assert not run.lease.at_risk(run.sends[0] + 2699)
    assert run.lease.at_risk(run.sends[0] + 2700)
    run.fail(Banned(418, retry_after=7200.0))
    assert run.lease.at_risk(run.now)
    assert not run.lease.lost(run.now)


def test_a_machine_that_slept_renews_at_once() -> None:
    run = Run(1)
    run.succeed()
    run.now += 90
    assert run.lease.look(run.now) == pytest.approx(90)
    assert run.lease.next_send_at <= run.now
    assert run.lease.deadline == run.sends[0] + 3600, "the deadline stands"


def test_a_sleep_past_the_deadline_leaves_a_minute_of_tries() -> None:
    run = Run(1)
    run.succeed()
    run.now += 10 * 3600
    run.lease.look(run.now)
    woke = run.now
    while run.wait():
        run.fail(TransportError())
    assert woke + 60 <= run.now < woke + 61
    assert sum(sent >= woke for sent in run.sends) >= 6


def test_a_sleep_does_not_bring_a_lost_key_back() -> None:
    run = Run(1)
    run.succeed()
    while run.wait():
        run.fail(TransportError())
    run.lease.look(run.now + 7200)
    assert run.lease.lost(run.now + 7200)


def test_a_sleep_between_request_and_answer_is_noticed() -> None:
    run = Run(1)
    run.succeed(took=7200.0)
    assert not run.lease.lost(run.now)
    assert run.lease.deadline == run.now + 60
    assert run.lease.next_send_at == run.now + 20


def test_a_slow_request_is_not_a_sleep() -> None:
    run = Run(1)
    run.succeed(took=60.0)  # sync, while a name resolves
    assert run.lease.next_send_at >= run.sends[0] + 0.45 * 3600


@given(seed=st.integers(), divisor=st.sampled_from([100.0, 1000.0]))
def test_a_scaled_life_is_the_same_schedule_in_small(seed: int, divisor: float) -> None:
    big, small = Run(seed), Run(seed, assumed=3600.0 / divisor, timeout=TIMEOUT / divisor)
    big.now = small.now = 0.0  # or the small one would drown in the rounding
    scale = 1.0
    for run in (big, small):
        run.succeed(took=0.1 * scale)
        run.wait()
        for error in (TransportError(), ServerError(500), ApiError(403), RateLimited(429), Banned(418), Banned(418)):
            run.fail(error, took=0.1 * scale)
            run.wait()
        scale /= divisor
    assert [sent * divisor for sent in small.sends] == pytest.approx(big.sends)
    assert small.lease.deadline * divisor == pytest.approx(big.lease.deadline)
