"""Attempts to open a socket: when the next may be made, after waits that grow. Pure."""

import math
from random import Random

from listenkey._http.faults import is_certificate_fault, system_error, worth_repeating
from listenkey.errors import ApiError, ConfigurationError, ListenKeyError, RateLimited, ServerError, TransportError
from listenkey.stream._pace import Pace

REFUSALS = 5  # in a row, before a stream ends that has never worked


class Attempts:
    """Attempts to open a socket.

    Args:
        now: when the first attempt may be made.
        pace: every duration.
        random: where jitter comes from.
        is_endless: whether no refusal ends the stream.

    Waits grow with each attempt, until a socket has lived for a minute. A refusal that only a person can end makes
    the waits longer.
    """

    not_before = -math.inf  # end of the address's wait; the driver sets it

    def __init__(self, now: float, pace: Pace, random: Random, *, is_endless: bool = False) -> None:
        self._pace, self._random, self._is_endless = pace, random, is_endless
        self._next_at = now
        self._paced_until = -math.inf  # no new socket before, whatever news comes
        self._tries = self._refusals = 0
        self.stable_at = math.inf  # when the main socket has lived long enough for waits to be short again
        self.has_worked = False  # whether any socket was ever ready

    @property
    def next_at(self) -> float:
        """When the next attempt may be made."""
        return max(self._next_at, self.not_before)

    def begin(self) -> None:
        """Note an attempt."""
        self._tries += 1

    def handshake_done(self) -> None:
        """Note that nobody refused."""
        self._refusals = 0

    def worked(self) -> None:
        """Note that events can come."""
        self.has_worked = True

    def replaced(self, now: float) -> None:
        """Note that a new socket took the place of a socket that lived. A server may send away each new socket."""
        if self._tries > 1:
            self._paced_until = self._next_at = max(self._next_at, now + self._wait())

    def hurry(self, now: float) -> None:
        """Let the next attempt be made at once: there is another key."""
        self._next_at = max(now, self._paced_until)

    def wait(self, now: float) -> None:
        """Let the next attempt wait: a socket has ended."""
        if self._tries:
            self._next_at = max(self._next_at, now + self._wait())

    def calm(self) -> None:
        """Note that a socket has lived: the next attempt need not wait."""
        self._tries = 0

    def stable(self) -> None:
        """Note that the main socket has lived long enough."""
        self._tries, self.stable_at = 0, math.inf

    def _wait(self) -> float:
        wait = min(self._pace.longest, self._pace.first * 2.0 ** min(self._tries - 1, 16))
        return wait * self._random.uniform(1, 1.25)

    def ended(self, now: float, error: ListenKeyError | None) -> bool:
        """Note why a socket has ended, or was never opened. True: the stream has to end with the error."""
        pace = self._pace
        if error is None or not needs_a_person(error):
            self._refusals = 0
            wish = error.retry_after if isinstance(error, ServerError) else None
            self._next_at = max(self._next_at, now + min(wish or 0.0, pace.longest))
            return False
        # A stream that has worked goes on, slower: a block may pass.
        self._refusals += 1
        goes_on = self.has_worked or self._is_endless
        first, longest = (pace.refused, pace.longest_refused) if goes_on else (pace.slow, pace.longest)
        self._next_at = now + min(longest, first * 2.0 ** min(self._refusals - 1, 16))
        return not goes_on and (self._refusals >= REFUSALS or not may_pass(error))


def needs_a_person(error: ListenKeyError) -> bool:
    """Whether the same attempt will hardly go well soon."""
    return not worth_repeating(error) and not isinstance(error, RateLimited)


def may_pass(error: ListenKeyError) -> bool:
    """Whether somebody else may end the refusal: a firewall, a deployment. No settings and no login are wrong."""
    is_login = isinstance(error, ApiError) and error.status == 407
    return not (is_login or is_certificate_fault(error) or isinstance(error, ConfigurationError))


def may_be_the_key(error: ListenKeyError | None) -> bool:
    """Whether a handshake may have been refused because the listen key has ended."""
    return isinstance(error, ApiError) and not isinstance(error, RateLimited | ServerError) and error.status != 407


def may_be_open(error: ListenKeyError | None) -> bool:
    """Whether the server may have opened a connection of which we heard nothing: nobody has refused the connection."""
    return isinstance(error, TransportError) and not isinstance(system_error(error), ConnectionRefusedError)
