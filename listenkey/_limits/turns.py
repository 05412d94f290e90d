"""Turns to send, when many keepers share an address. Pure: callers pass the time.

The keeper that is nearest to losing its key goes first. Keepers together use at most half of the weight of the
address, and less when the exchange says that other programs use the address. A key in danger may use the other half.
"""

import heapq
import math
from collections import deque
from collections.abc import Callable

from listenkey._limits.wait import KeyHolder

MINUTE = 60.0  # seconds
WEIGHT = 2400  # an address may use in a minute (options general-info page); each of our calls has weight 1
RESERVE = 240  # of WEIGHT are left alone even by keys in danger: the use of other programs shows late
AT_ONCE = 64  # requests under way
LONGEST_TURN = 30.0  # seconds; a keeper that takes longer hangs, and must not hold up the others
PACE = 6  # parts of a minute that each have their share: a burst would be the next 429


class Turns:
    """The turns of an address.

    Args:
        minute: seconds that the limit of weight is about; less in a test at a scaled life.
    """

    def __init__(self, minute: float = MINUTE) -> None:
        self._minute = minute
        self._order: list[tuple[float, int, KeyHolder]] = []  # a heap by deadline, then by who came first
        self._waiting: dict[KeyHolder, tuple[int, Callable[[], None]]] = {}  # the number in that heap, and how to wake
        self._under_way: dict[KeyHolder, float] = {}  # since when
        self._turns: deque[float] = deque()  # in the last minute
        self._calls: deque[float] = deque(maxlen=WEIGHT)  # in the last minute, with a turn or without
        self._counted = self._asked = 0
        self._known = (0, 0, -math.inf)  # the last weight that the exchange told: after which call, how much, when
        self._noted_at = -math.inf  # when something was last noted that counts for a minute
        self._report_at = math.inf
        self._first: KeyHolder | None = None

    def count(self, now: float) -> int:
        """Count a call of any client of this address. Returns the number of the call."""
        self._forget(now)
        self._calls.append(now)
        self._counted += 1
        self._noted_at = now
        return self._counted

    def learn(self, number: int, used_weight: int, now: float) -> None:
        """Note the used weight in the answer to that call: other programs may use the address, too."""
        if number >= self._known[0]:
            self._known = number, used_weight, now
            self._noted_at = now

    def is_idle(self, now: float) -> bool:
        """Whether the last minute has nothing that counts. Changes nothing: any thread may ask at any time."""
        return now >= self._noted_at + self._minute

    def _forget(self, now: float) -> None:
        for times in (self._turns, self._calls):
            while times and times[0] <= now - self._minute:
                times.popleft()

    def used(self, now: float) -> int:
        """Weight that the address has used in this minute, as far as we know."""
        self._forget(now)
        number, used_weight, then = self._known
        by_answer = used_weight + self._counted - number if now < then + self._minute else 0
        return max(by_answer, len(self._calls), len(self._turns))

    def ask(self, lease: KeyHolder, wake: Callable[[], None], now: float) -> None:
        """Wait for a turn, unless the lease has a turn. `grant` returns `wake` when the lease has to look again."""
        while self._under_way and now - next(iter(self._under_way.values())) >= LONGEST_TURN:
            del self._under_way[next(iter(self._under_way))]
        if lease not in self._waiting and lease not in self._under_way:
            if not self._waiting:
                self._report_at = now + self._minute / 20
            self._asked += 1
            heapq.heappush(self._order, (lease.deadline, self._asked, lease))
            self._waiting[lease] = self._asked, wake

    def pause(self, lease: KeyHolder) -> float:
        """Seconds until this lease has to ask again: 0.0 with a turn, else infinite: `wake` will be called.

        The first in the row asks every quarter of a second: nobody else looks at the clock.
        """
        if lease in self._under_way:
            return 0.0
        return self._minute / 240 if lease is self._first else math.inf

    def done(self, lease: KeyHolder) -> None:
        """End a turn, or the wait for a turn."""
        self._under_way.pop(lease, None)
        self._waiting.pop(lease, None)

    def grant(self, now: float, at_once: int = AT_ONCE) -> list[Callable[[], None]]:
        """Give the turns that can be given now. Returns how to wake the keepers with a turn, and the next."""
        wakes: list[Callable[[], None]] = []
        while (lease := self._next()) and len(self._under_way) < at_once and self._has_room(lease, now):
            self._under_way[lease] = now
            self._turns.append(now)
            self._noted_at = now
            wakes.append(self._waiting.pop(lease)[1])
        if lease is not self._first:
            self._first = lease
            if lease:
                wakes.append(self._waiting[lease][1])
        return wakes

    def report(self, now: float) -> int | None:
        """How many wait, if the log has to say so: after three seconds, then once a minute."""
        if not self._waiting or now < self._report_at:
            return None
        self._report_at = now + self._minute
        return len(self._waiting)

    def _next(self) -> KeyHolder | None:
        while self._order:
            _, number, lease = self._order[0]
            if self._waiting.get(lease, (0,))[0] == number:
                return lease
            heapq.heappop(self._order)  # the lease has left, or has had a turn
        return None

    def _has_room(self, lease: KeyHolder, now: float) -> bool:
        used, ours = self.used(now), len(self._turns)
        if now >= lease.in_danger_at:
            most = WEIGHT - RESERVE
        else:
            most = WEIGHT // 2
            used = (used + ours) // 2  # half of the weight that other programs leave
        share = most // PACE
        return used < most and (ours < share or self._turns[-share] <= now - self._minute / PACE)
