"""The things of an address: the wait after a 429 or 418, used weight, and turns to send.

Binance limits addresses, not accounts. So all clients and keepers of a process that talk to an exchange by the same way
share an Address, sync and async alike. For a client:

    address = address_of(base_url, proxy)        # the same Address for the same origin and proxy
    number = address.count(clock())              # before each attempt is sent
    address.learn(number, weight, clock())       # the X-MBX-USED-WEIGHT-1M of its answer
    address.rate_limit_wait.refused(error, sent, clock())  # a 429 or 418 that answered a user's own call
    address.used_weight                          # the weight by the last answer. None until an answer had a weight

A user's own call takes no turn. The call is counted, and is sent even during a wait: the user decides.

Closing a client changes nothing here. An Address lives while a client or keeper holds the Address, and until the wait
is over and a minute has passed since the last call. A forked child keeps the waits, and begins with no turns.

Nobody waits for an Address: no thread, signal handler or finalizer. See Locks in CONTRIBUTING.md.
"""

import math
import os
from collections import deque
from collections.abc import Callable, Hashable
from functools import partial
from itertools import count
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from listenkey._clock import clock
from listenkey._limits.openings import Openings
from listenkey._limits.turns import AT_ONCE, MINUTE, Turns
from listenkey._limits.wait import KeyHolder, RateLimitWait
from listenkey._lock import move_first
from listenkey.errors import RateLimited


class Orders:
    """Carries out orders one at a time. Unlike at a lock, nobody waits here.

    If a thread is at work here, others leave their orders to that thread and go on. So does a finalizer or a signal
    handler whose own thread is at work here: a collection may run a user's finalizer at any place in our code.
    """

    def __init__(self) -> None:
        self._orders: deque[Callable[[], object]] = deque()
        self._token: deque[None] = deque([None])  # a thread that holds the token is at work

    def give(self, order: Callable[[], object]) -> None:
        """Carry out the order, now or as soon as the orders before are carried out."""
        self._orders.append(order)
        while self._orders:  # a thread that found no token may have left an order after our last look
            hand: list[None] = []
            try:
                if not move_first(self._token, hand):
                    return
                while self._orders:
                    self._orders.popleft()()
            finally:
                self._token.extend(hand)


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
        """Start with a wait, and without turns and counts.

        A forked child starts again: a thread that was at work in the parent holds the token for ever.
        """
        self._give = Orders().give
        self._numbers = count(1)
        self._turns = Turns(self.minute)
        self.rate_limit_wait = RateLimitWait(self._give, until, error)
        self.openings = Openings()  # of streams

    def count(self, now: float) -> int:
        """Count an attempt at any call. Returns the number of the attempt, for `learn`."""
        busy.add(self)
        self._give(partial(self._turns.count, now))
        return next(self._numbers)

    def learn(self, number: int, used_weight: int, now: float) -> None:
        """Note the used weight in the answer to that attempt."""
        self.used_weight = used_weight
        self._give(partial(self._turns.learn, number, used_weight, now))

    def turn(self, lease: KeyHolder, wake: Callable[[], None], now: float) -> float:
        """Take a turn to send. Returns 0.0; else the seconds after which to ask again, infinite: when `wake` is called.

        `wake` may be called in any thread, under a keeper's lock.
        """
        self._give(partial(self._turns.ask, lease, wake, now))
        self._give(partial(self._grant, now))
        return self._turns.pause(lease)

    def waiting(self, now: float) -> int | None:
        """How many wait for their turn, if the log has to say so now."""
        told: list[int | None] = []
        self._give(lambda: told.append(self._turns.report(now)))
        return told[0] if told else None

    def done(self, lease: KeyHolder, now: float) -> None:
        """End the lease's turn, or the wait for a turn."""
        self._give(partial(self._turns.done, lease))
        self._give(partial(self._grant, now))

    def ended(self, lease: KeyHolder, now: float) -> None:
        """Note that nobody keeps this lease any more."""
        self.rate_limit_wait.ended(lease)
        self.done(lease, now)

    def is_idle(self, now: float) -> bool:
        """Whether there is nothing left to remember."""
        return now >= self.rate_limit_wait.until and self._turns.is_idle(now)

    def _grant(self, now: float) -> None:
        if now >= self.rate_limit_wait.until:
            # After a 429 or 418 one request asks whether the wait was long enough.
            for wake in self._turns.grant(now, 1 if self.rate_limit_wait.is_untested else AT_ONCE):
                wake()


addresses: WeakValueDictionary[Hashable, Address] = WeakValueDictionary()
making: dict[Hashable, Address] = {}
busy: set[Address] = set()  # kept here, because perhaps nobody else holds them


def address_of(base_url: str, proxy: Hashable = None) -> Address:
    """Get the Address of a base URL and the proxy on the way, the same for every client of this process."""
    now, url = clock(), urlsplit(base_url)
    for address in list(busy):
        if address.is_idle(now):
            busy.discard(address)
            if not address.is_idle(now):  # the address was used meanwhile
                busy.add(address)
    key = url.scheme, url.netloc, proxy
    # Two threads may ask for the same key at once. Both take the Address that came into `making` first.
    new = Address()
    made = making.setdefault(key, new)
    try:
        if (found := addresses.get(key)) is None:
            addresses[key] = found = made
        return found
    finally:
        if made is new:
            making.pop(key, None)


def after_fork() -> None:
    making.clear()
    for address in list(addresses.values()):
        address.begin_anew(address.rate_limit_wait.until, address.rate_limit_wait.error)


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=after_fork)
