"""The wait that a 429 or 418 asks of an address. Pure: callers pass the time. Here is also the source of all jitter.

Times are seconds on a clock that counts sleep.
"""

import math
from collections.abc import Callable, Iterable
from random import Random, SystemRandom
from typing import Protocol
from weakref import WeakSet

from listenkey.errors import Banned, RateLimited

LONGEST_JITTER = 15.0  # seconds that a wait is longer, so that not all clients come when the wait ends
RATE_LIMIT_WAIT = 60.0  # after a 429 that does not say how long
BAN_WAIT = 120.0  # after a 418 that does not say: the shortest ban (options general-info page), then twice as long
LONGEST_BAN = 3 * 24 * 3600.0  # options general-info page; not scaled, because the server's figures are not
# The source of every jitter of this package. The system's source needs no seed, so processes that were forked after the
# import do not draw the same numbers and send in step.
JITTER: Random = SystemRandom()


def growing_wait(first: float, times: int, last_tries: Iterable[float], now: float) -> float:
    """Choose a wait when the server does not say how long: each wait is twice as long, but leaves a last try.

    Args:
        first: seconds of the first wait, and of the shortest.
        times: how often in a row the server asked for a wait, this time included.
        last_tries: when each lease must have sent its last request.
        now: seconds on the clock of `last_tries`.
    """
    longest = min(first * 2.0 ** min(max(times - 1, 0), 32), LONGEST_BAN)
    return min([longest, *(max(first, last - now) for last in last_tries if last > now)])


class KeyHolder(Protocol):
    """The schedule of a keeper, as far as the limits of an address look at it."""

    @property
    def sent_at(self) -> float:
        """When the request was sent that last renewed the key."""

    @property
    def last_try_at(self) -> float:
        """When the last request must be sent, to be answered and once repeated before the deadline."""

    @property
    def deadline(self) -> float:
        """When the key is lost."""

    @property
    def in_danger_at(self) -> float:
        """From when on the renewal is late."""


class RateLimitWait:
    """The wait that a 429 or 418 asks of an address, whose clients and keepers share it.

    Args:
        give: carries out our orders, one order at a time: `Orders.give` of the address.
        until: when the wait is over.
        error: the 429 or 418.
    """

    def __init__(self, give: Callable[[Callable[[], object]], None], until: float, error: RateLimited | None) -> None:
        self.until, self.error = until, error
        self.is_untested = until > -math.inf  # whether no request has succeeded since the wait
        self._leases: WeakSet[KeyHolder] = WeakSet()  # each has a key to lose
        self._bans = 0  # in a row, without a stated end
        self._give = give

    def refused(
        self, error: RateLimited, sent: float, now: float, *, scale: float = 1.0, random: Random = JITTER
    ) -> None:
        """Note the 429 or 418 that answered a request.

        If Binance does not say how long, the wait that we choose ends early enough for every lease to try once more.
        """
        self._give(lambda: self._refused(error, sent, now, scale, random))

    def _refused(self, error: RateLimited, sent: float, now: float, scale: float, random: Random) -> None:
        self.is_untested = True
        stated = error.retry_after
        if isinstance(error, Banned):
            stated = stated or None  # a ban whose stated end is past is not over: the server still refuses
        if stated is not None:
            wait = min(max(stated, 0.0), LONGEST_BAN)
        elif isinstance(error, Banned):
            self._bans += sent >= self.until  # a request from before is about the same ban
            wait = growing_wait(BAN_WAIT * scale, self._bans, (lease.last_try_at for lease in self._leases), now)
        else:
            wait = RATE_LIMIT_WAIT * scale
        wait += random.uniform(0, min(wait / 2, LONGEST_JITTER * scale))
        if now + wait > self.until:
            self.error, self.until = error, now + wait  # in this order: a thread that reads in between needs the error

    def answered(self, lease: KeyHolder) -> None:
        """Note a success: this lease has a key to lose. After a success, the next ban counts as the first again."""
        self._give(lambda: self._answered(lease, lease.sent_at))

    def _answered(self, lease: KeyHolder, sent: float) -> None:
        if sent >= self.until:
            self._bans, self.is_untested = 0, False
        self._leases.add(lease)

    def ended(self, lease: KeyHolder) -> None:
        """Note that nobody keeps this lease any more."""
        self._give(lambda: self._leases.discard(lease))

    def raise_if_rate_limited(self, now: float) -> None:
        """Raise the 429 or 418 again, with the seconds that are left, unless the wait is over."""
        left, error = self.until - now, self.error
        if left > 0 and error is not None:
            raise type(error)(error.status, error.code, error.reason, left)
