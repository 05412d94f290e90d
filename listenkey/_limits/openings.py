"""When the streams of an address may open connections. Pure: callers pass the time.

Binance's pages for spot and futures allow 300 connections in 5 minutes and address; the options pages give no figure.
The streams of a process that share an address take turns: the stream that lost events first goes first.
"""

import bisect
import math
from collections import deque
from random import Random

from listenkey._limits.wait import JITTER
from listenkey._lock import lock

WINDOW = 300.0  # seconds
MOST = 240  # openings in a window; the rest is left to other programs of the address
PAUSE = 0.05  # seconds from one opening to the next: an outage ends for all streams at once
STALE = 30.0  # seconds; a waiting stream that does not ask for so long has gone


class Openings:
    """The openings of an address. Any thread may ask.

    Args:
        random: the source of jitter.
    """

    def __init__(self, random: Random = JITTER) -> None:
        self._random = random
        self._opened: deque[float] = deque()  # in the last window
        self._next_at = -math.inf
        self._waiting: list[tuple[float, int, object]] = []  # since when events are lost, who came first, who
        self._entries: dict[object, tuple[tuple[float, int, object], float]] = {}  # and when it has to ask again
        self._asked = 0

    def ask(self, who: object, lost_at: float, now: float, scale: float = 1.0) -> float:
        """Ask for an opening. Returns 0.0: open now; else the seconds after which to ask again.

        Args:
            who: the connection to open.
            lost_at: since when events are lost; infinite when none are.
            now: seconds, on a clock that never goes back.
            scale: of all durations, less in a test.
        """
        with lock:
            self._forget_stale(now, scale)
            entry = self._entries[who][0] if who in self._entries else self._enter(who, lost_at)
            while self._opened and self._opened[0] <= now - WINDOW * scale:
                self._opened.popleft()
            full_until = self._opened[0] + WINDOW * scale if len(self._opened) >= MOST else -math.inf
            free_at = max(self._next_at, full_until)
            position = bisect.bisect_left(self._waiting, entry)
            if position == 0 and now >= free_at:
                self.leave(who)
                self._opened.append(now)
                self._next_at = now + PAUSE * scale * self._random.uniform(0.5, 1.5)
                return 0.0
            wait = max(free_at - now, 0.0) + position * PAUSE * scale
            wait = min(max(wait, 0.01), STALE * scale / 3)  # another one may give up the place before
            self._entries[who] = entry, now + wait
            return wait

    def leave(self, who: object) -> None:
        """Give up the place."""
        with lock:
            entry, _ = self._entries.pop(who, (None, None))
            if entry is not None:
                self._waiting.remove(entry)

    def _enter(self, who: object, lost_at: float) -> tuple[float, int, object]:
        self._asked += 1
        entry = lost_at, self._asked, who
        bisect.insort(self._waiting, entry)
        self._entries[who] = entry, math.inf
        return entry

    def _forget_stale(self, now: float, scale: float) -> None:
        """Forget streams whose event loop has ended: no other stream must wait behind them."""
        while self._waiting and now > self._entries[self._waiting[0][2]][1] + STALE * scale:
            self.leave(self._waiting[0][2])
