"""Seconds that count sleep. The only place that asks the system for the time of keepers."""

import sys
import time
from collections.abc import Callable


class WitnessedClock:
    """Seconds that count sleep: where the monotonic clock stood still, the wall clock bears witness.

    CLOCK_BOOTTIME counts a machine's sleep, but not the pause of a virtual machine. When the wall clock goes a second
    or more ahead at once, the machine slept or was paused. If someone sets the wall clock forward, the keeper renews
    once too early. If someone sets the wall clock back, nothing happens.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        self._monotonic, self._wall = monotonic, wall
        # How far the wall clock is ahead, and what to add for sleep. No lock: a finalizer may ask at any place here. A
        # result depends on this pair alone, so it does not matter which of two callers writes the pair last.
        self._known = wall() - monotonic(), -monotonic()

    def __call__(self) -> float:
        """Seconds since the clock was made."""
        ahead, added = self._known
        now = self._monotonic()
        slept = self._wall() - now - ahead
        if slept >= 1.0:
            added += slept
        if slept >= 1.0 or slept < 0:
            self._known = ahead + slept, added
        return now + added


if sys.platform == "linux" and hasattr(time, "CLOCK_BOOTTIME"):
    clock = WitnessedClock(lambda: time.clock_gettime(time.CLOCK_BOOTTIME))
else:
    clock = WitnessedClock()
