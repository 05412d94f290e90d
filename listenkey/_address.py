"""The things of an address: the wait after a 429 or 418, used weight, and turns to send.

Binance limits addresses, not accounts. So all clients and keepers of a process that talk to an exchange by the same way
share an Address, sync and async alike. For a client:

    address = address_of(base_url, proxy)        # the same Address for the same origin and proxy
    number = address.count(clock())              # before each attempt is sent
    address.learn(number, weight, clock())       # the X-MBX-USED-WEIGHT-1M of its answer
    address.rate_limit_wait.refused(error, sent, clock())  # a 429 or 418 that answered a user's own call
    address.used_weight                          # the weight by the last answer. None until an answer had a weight

A user's own call takes no turn. It is counted, and it is sent even during a wait: the user decides.

Closing a client changes nothing here. An Address lives while someone holds it, and until its wait is over and its
minute of weight has passed. A forked child keeps the waits, and begins with no turns and with locks of its own.
"""

import math
import os
import threading
from collections.abc import Callable, Hashable
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from listenkey._clock import clock
from listenkey._lease import Lease, RateLimitWait
from listenkey._openings import Openings
from listenkey._turns import AT_ONCE, MINUTE, Turns
from listenkey.errors import RateLimited


class Address:
    """One address, as the exchange counts it, for the whole process. Any thread may call its methods.

    Args:
        minute: seconds that the limit of weight is about; less in a test at a scaled life.
    """

    def __init__(self, minute: float = MINUTE) -> None:
        self.minute = minute
        self.used_weight: int | None = None
        self.begin_anew(-math.inf, None)

    def begin_anew(self, until: float, error: RateLimited | None) -> None:
        """Know nothing but a wait: in a forked child, where another thread may have held the lock."""
        self._lock = threading.RLock()  # a signal handler may ask while its thread holds the lock
        self._turns = Turns(self.minute)
        self.rate_limit_wait = RateLimitWait(self._lock, until, error)
        self.openings = Openings()  # of streams

    def count(self, now: float) -> int:
        """Count an attempt at any call. Returns the number of the attempt, for `learn`."""
        with self._lock:
            _busy.add(self)
            return self._turns.count(now)

    def learn(self, number: int, used_weight: int, now: float) -> None:
        """Note the used weight in the answer to that attempt."""
        with self._lock:
            self.used_weight = used_weight
            self._turns.learn(number, used_weight, now)

    def turn(self, lease: Lease, wake: Callable[[], None], now: float) -> float:
        """Take a turn to send. Returns 0.0; else the seconds after which to ask again, infinite: when `wake` is called.

        `wake` may be called in any thread, under any lock of ours: it must take none that is held elsewhere.
        """
        with self._lock:
            self._turns.ask(lease, wake, now)
            self._grant(now)
            return self._turns.pause(lease)

    def waiting(self, now: float) -> int | None:
        """How many wait for their turn, if the log has to say so now."""
        with self._lock:
            return self._turns.report(now)

    def done(self, lease: Lease, now: float) -> None:
        """End the lease's turn, or the wait for a turn."""
        with self._lock:
            self._turns.done(lease)
            self._grant(now)

    def ended(self, lease: Lease, now: float) -> None:
        """Note that nobody keeps this lease any more."""
        self.rate_limit_wait.ended(lease)
        self.done(lease, now)

    def is_idle(self, now: float) -> bool:
        """Whether there is nothing left to remember."""
        with self._lock:
            return now >= self.rate_limit_wait.until and not self._turns.used(now)

    def _grant(self, now: float) -> None:
        if now >= self.rate_limit_wait.until:
            # After a 429 or 418 one request asks whether the wait was long enough.
            for wake in self._turns.grant(now, 1 if self.rate_limit_wait.untested else AT_ONCE):
                wake()


_addresses: WeakValueDictionary[Hashable, Address] = WeakValueDictionary()
_busy: set[Address] = set()  # kept, though nobody may hold them
_lock = threading.Lock()


def address_of(base_url: str, proxy: Hashable = None) -> Address:
    """Get the Address of a base URL and the proxy on the way, the same for every client of this process."""
    now, url = clock(), urlsplit(base_url)
    with _lock:
        for address in [address for address in list(_busy) if address.is_idle(now)]:
            _busy.discard(address)
        key = url.scheme, url.netloc, proxy
        return _addresses.get(key) or _addresses.setdefault(key, Address())


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    for address in list(_addresses.values()):
        address.begin_anew(address.rate_limit_wait.until, address.rate_limit_wait.error)


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)
