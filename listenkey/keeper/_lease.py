"""When a listen key is renewed, how long to wait after a failure, when the key is lost. Pure: callers pass the time.

Times are seconds on a clock that counts sleep. The figures are for a life of an hour. A shorter life shrinks them.
"""

import math
from random import Random

from listenkey._http.faults import is_refusal
from listenkey._limits.wait import BAN_WAIT, JITTER, RateLimitWait, growing_wait
from listenkey.errors import ApiError, ListenKeyError, RateLimited, ServerError, TransportError

HOUR = 3600.0
DUE = (0.45, 0.5)  # of the life: 2.1 requests an hour, and half of the life left to sit out an outage
AT_RISK = 0.75  # of the life: from here on the keeper warns
LONGEST_WAIT = 30.0  # after a failure
FLOOR = 20.0  # after a success
LONGEST_REFUSED = 960.0  # after a refusal, while there is no key to lose
BURST = 10  # requests in any minute; in 75 s as we send them, for a request may arrive a timeout (at most 15 s) late
BURST_WINDOW = 75.0


class Lease:
    """The schedule of a keeper. One caller at a time, with a `now` that never goes back.

    Args:
        assumed: seconds that a key is taken to live. The server may say less, never more.
        timeout: seconds that one request may take.
        rate_limit_wait: of the address.
        random: the source of jitter.
    """

    def __init__(self, assumed: float, timeout: float, rate_limit_wait: RateLimitWait, random: Random = JITTER) -> None:
        self._assumed = assumed
        self._timeout = timeout
        self._rate_limit_wait = rate_limit_wait
        self._random = random
        self._scale = assumed / HOUR
        # A second is never a sleep: tests at a scaled life would mistake a busy machine for a sleeping one.
        self._minute = max(60 * self._scale, 1.0)
        self._sends: tuple[float, ...] = ()  # a deque would take 600 bytes more, and there may be 10,000 of us
        self._due_at = self._paused_until = self._looked_at = -math.inf
        self._refusals = 0  # since the last success
        self.sent_at = -math.inf  # when the request was sent that last renewed the key
        self.life = assumed
        self.deadline = math.inf
        self.failures = 0  # since the last success
        self.is_under_way = False
        self.is_grace_used = False  # whether a minute was granted after a sleep; the loop's next step takes this back

    @property
    def last_try_at(self) -> float:
        """When the last request must be sent, to be answered and once repeated before the deadline."""
        return self.deadline - 2 * self._timeout - LONGEST_WAIT * self._scale

    @property
    def in_danger_at(self) -> float:
        """From when on the renewal is late. Infinite for a lease without a key."""
        return self.deadline - (1 - AT_RISK) * self.life

    @property
    def slice(self) -> float:
        """Seconds that a loop may wait before the next look: waits stand still while a machine sleeps."""
        return self._minute / 2

    @property
    def next_send_at(self) -> float:
        """When the next request is sent."""
        burst = self._sends[0] + BURST_WINDOW * self._scale if len(self._sends) == BURST else -math.inf
        return max(self._due_at, self._paused_until, burst, self._rate_limit_wait.until)

    def at_risk(self, now: float) -> bool:
        """Whether the renewal is late or was refused, or the next try is too late."""
        return self._refusals > 0 or now >= self.in_danger_at or self.next_send_at >= self.deadline

    def lost(self, now: float) -> bool:
        """Whether the key has to be taken for dead."""
        return now >= self.deadline

    def start_anew(self) -> None:
        """Go on without a key: the key is lost."""
        self.deadline = math.inf

    def send(self, now: float) -> None:
        """Note that a request is sent now."""
        self._sends = (*self._sends[1 - BURST :], now)
        self._looked_at = now
        self.is_under_way = True

    def renewed(self, now: float, life: float | None) -> bool:
        """Note the answer to the request under way: a key that lives `life` seconds, None when the server does not say.

        Returns:
            False when that life is not believed: zero or less, or too short to be kept at our pace.
        """
        shortest = 2 * FLOOR * self._scale
        believed = life is None or life >= shortest
        self.life = self._assumed if life is None or life <= 0 else min(self._assumed, max(life, shortest))
        self.sent_at = self._sends[-1]
        self.deadline = self.sent_at + self.life
        self._due_at = self.sent_at + self.life * self._random.uniform(*DUE)
        self._paused_until = now + FLOOR * self._scale
        self.failures = self._refusals = 0
        self.is_grace_used = False
        self._rate_limit_wait.answered(self)
        self._looked_at = self.sent_at
        self.look(now)  # the machine may have slept between request and answer
        self.is_under_way = False
        return believed

    def failed(self, now: float, error: ListenKeyError) -> None:
        """Note that the request under way failed."""
        self.is_under_way = self.is_grace_used = False
        self.failures += 1
        self._due_at = now
        if isinstance(error, RateLimited):
            self._rate_limit_wait.refused(error, self._sends[-1], now, scale=self._scale, random=self._random)
        self._paused_until = now + self._wait_after(error, now)

    def _wait_after(self, error: ListenKeyError, now: float) -> float:
        asked = (error.retry_after if isinstance(error, ApiError) else None) or 0.0
        if is_refusal(error):
            # Users report ten minutes to an hour of -2015 on keys that work, while an address is blocked. So this is
            # waited out like a ban without a stated end, but by this lease alone.
            self._refusals += 1
            wait = growing_wait(BAN_WAIT * self._scale, self._refusals, [self.last_try_at], now)
            if self.deadline == math.inf:
                wait = min(wait, LONGEST_REFUSED * self._scale)
            wait = max(wait, min(asked, self.last_try_at - now))
            return wait + self._random.uniform(0, LONGEST_WAIT * self._scale / 2)
        wait = LONGEST_WAIT  # after an answer that will hardly change soon
        if isinstance(error, TransportError | ServerError | RateLimited):
            wait = min(LONGEST_WAIT, 2.0 ** min(self.failures - 1, 9))
        wait *= self._scale * self._random.uniform(0.5, 1)
        if isinstance(error, RateLimited):
            return wait  # the address waits anyway
        # A server's own fault is no ban: the keeper follows the wish as far as tries are left before the deadline.
        return max(wait, min(asked, (self.deadline - now) / 2))

    def ask(self, now: float, *, pauses: bool = True) -> None:
        """Note that a renewal is wanted now. Waits after a failure stand; `pauses`: the pause after a success, too."""
        self._due_at = min(self._due_at, now)
        if not pauses and not self.failures:
            self._paused_until = min(self._paused_until, now)

    def look(self, now: float) -> float:
        """Note the time. A long gap means that the machine slept or the process was paused: renew at once.

        Returns:
            The gap in seconds; 0.0 when there was none.
        """
        before, self._looked_at = self._looked_at, max(self._looked_at, now)
        gap = now - before
        if gap <= self._minute + self._timeout * self.is_under_way:
            return 0.0
        self._due_at = min(self._due_at, now)
        if before < self.deadline < now + self._minute and not self.is_grace_used:
            # Time to ask: the server may still know the key. This is granted once, or a keeper that hangs would look
            # asleep for ever.
            self.deadline, self.is_grace_used = now + self._minute, True
        return gap
