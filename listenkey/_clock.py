"""Seconds that count sleep. The only place that asks the system for the time of keepers."""

import os
import sys
import threading
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
        self._ahead = wall() - monotonic()
        self._slept = -monotonic()
        self._renew_lock()

    def __call__(self) -> float:
        """Seconds since the clock was made."""
        with self._lock:
            now = self._monotonic()
            slept = self._wall() - now - self._ahead
            if slept >= 1.0:
                self._slept += slept
            if slept >= 1.0 or slept < 0:
                self._ahead += slept
            return now + self._slept

    def _renew_lock(self) -> None:
        self._lock = threading.RLock()  # a signal handler may ask while its thread holds the lock


if sys.platform == "linux" and hasattr(time, "CLOCK_BOOTTIME"):
    clock = WitnessedClock(lambda: time.clock_gettime(time.CLOCK_BOOTTIME))
else:
    clock = WitnessedClock()
if hasattr(os, "register_at_fork"):  # another thread may have held the lock, and does not exist in the child
    os.register_at_fork(after_in_child=clock._renew_lock)
