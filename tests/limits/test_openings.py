"""When the streams of an address may open connections: the pace, the order, and streams that are gone. No clock."""

import heapq
import itertools
import math
import random

import pytest

from listenkey._limits.openings import MOST, PAUSE, STALE, WINDOW, Openings


def opened(
    openings: Openings, lost_at: dict[object, float], until: float, scale: float = 1.0
) -> list[tuple[float, object]]:
    """Let each stream ask as often as it is told to, from second 0 on. Gives when each stream opened."""
    asking: list[tuple[float, int, object]] = [(0.0, number, who) for number, who in enumerate(lost_at)]
    found: list[tuple[float, object]] = []
    while asking and asking[0][0] <= until:
        now, number, who = heapq.heappop(asking)
        if wait := openings.ask(who, lost_at[who], now, scale):
            heapq.heappush(asking, (now + wait, number, who))
        else:
            found.append((now, who))
    return found


@pytest.fixture
def openings() -> Openings:
    return Openings(random.Random(1))


def test_the_first_opens_at_once(openings: Openings) -> None:
    assert opened(openings, {"a": 0.0}, 0.0) == [(0.0, "a")]


@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_an_outage_ends_for_one_stream_after_the_other(openings: Openings, scale: float) -> None:
    times = [at for at, _ in opened(openings, dict.fromkeys(range(20), 0.0), 60 * scale, scale)]
    assert len(times) == 20
    assert min(later - earlier for earlier, later in itertools.pairwise(times)) >= PAUSE * scale / 2
    assert times[-1] <= 20 * max(2 * PAUSE * scale, 0.02)  # at a small scale, nobody asks more often than each 10 ms


def test_the_stream_that_lost_events_first_goes_first(openings: Openings) -> None:
    assert opened(openings, {"busy": -1.0}, 0.0) == [(0.0, "busy")]  # or the first to ask would open at once
    lost_at: dict[object, float] = {"started": math.inf, "last": -1.0, "first": -9.0, "second": -5.0}
    assert [who for _, who in opened(openings, lost_at, 60.0)] == ["first", "second", "last", "started"]


def test_a_window_holds_so_many_and_the_next_waits_for_its_end(openings: Openings) -> None:
    times = [at for at, _ in opened(openings, dict.fromkeys(range(2 * MOST + 1), 0.0), 3 * WINDOW)]
    assert len(times) == 2 * MOST + 1
    assert all(later - earlier >= WINDOW for earlier, later in zip(times, times[MOST:], strict=False))
    assert times[MOST] <= WINDOW + STALE  # nobody sleeps past the end for long


def test_who_waits_asks_again_before_long(openings: Openings) -> None:
    opened(openings, dict.fromkeys(range(MOST), 0.0), WINDOW / 2)
    assert openings.ask("late", 0.0, WINDOW / 2) <= STALE / 3


def test_a_stream_that_is_gone_holds_up_nobody(openings: Openings) -> None:
    assert openings.ask("busy", 0.0, 0.0) == 0.0
    wait = openings.ask("gone", -9.0, 0.0)  # its event loop ends: it asks no more
    assert openings.ask("other", 0.0, 1.0) > 0.0
    assert openings.ask("other", 0.0, wait + STALE + 1.0) == 0.0


def test_a_stream_that_leaves_holds_up_nobody(openings: Openings) -> None:
    assert openings.ask("busy", 0.0, 0.0) == 0.0
    assert openings.ask("leaver", -9.0, 0.0) > 0.0
    assert openings.ask("other", 0.0, 1.0) > 0.0
    openings.leave("leaver")
    openings.leave("leaver")
    assert openings.ask("other", 0.0, 2.0) == 0.0
