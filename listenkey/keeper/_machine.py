"""The decisions of a keeper: when to send, whether the key still holds, the log's text. Pure: callers pass the time.

The drivers call a Keeping in a single place, `AnyKeeper._call`: one caller at a time, a `now` that never goes back,
`look(now)` before every other call. After each call the driver writes `log`. If `has_changed` is set, the driver
wakes all who wait.
"""

import copy
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast

from listenkey._http.faults import is_refusal
from listenkey._limits.shared import Address
from listenkey._limits.wait import JITTER
from listenkey.client import ListenKey, Started
from listenkey.errors import ConfigurationError, LeaseLost, ListenKeyError, RateLimited, ServerError, TransportError
from listenkey.keeper._lease import LONGEST_WAIT, Lease


@dataclass(frozen=True, slots=True)
class KeeperStatus:
    """How a keeper is doing, at one moment.

    Attributes:
        state: "running"; "lost" once the key could not be renewed; "closed" after the block.
        key_age: seconds since the request was sent that last renewed the key.
        next_renewal: seconds until the next request, 0.0 while a request is under way. None when not running.
        time_left: seconds until the key is called lost unless a renewal succeeds. None when not running.
        at_risk: True when renewal is overdue (3/4 of the life are over), was refused (see the keeper), or has to wait
            past the end of `time_left`.
        last_error: why the last request failed. None when the request succeeded.
        renewals: requests that succeeded, the first included.
        failures: requests that failed.
        replacements: how often another key came.
    """

    state: Literal["running", "lost", "closed"]
    key_age: float
    next_renewal: float | None
    time_left: float | None
    at_risk: bool
    last_error: ListenKeyError | None
    renewals: int
    failures: int
    replacements: int


class Keeping:
    """The decisions of a keeper.

    Args:
        lease: the keeper's schedule.
        address: where the turns come from, and the wait that the lease has, too.
        wake: wakes the keeper's loop, from any thread.
        attempts: how many requests the first key may take.
        block: how the keeper is entered, for an error's text.
        is_endless: whether the keeper goes on after a loss, and waits at the start for trouble to pass. A refusal at
            the start is raised all the same: settings that have never worked may be wrong.
    """

    def __init__(
        self,
        lease: Lease,
        address: Address,
        wake: Callable[[], None],
        attempts: int,
        block: str,
        *,
        is_endless: bool = False,
    ) -> None:
        self._lease, self._address, self._wake, self._attempts, self._block = lease, address, wake, attempts, block
        self.is_endless = is_endless
        self.is_key_lost = False  # of an endless keeper, until there is a key again
        self._rate_limit_wait = address.rate_limit_wait
        self.state: Literal["new", "starting", "running", "lost", "closed"] = "new"
        self.has_changed = False
        self.log: list[tuple[int, str, dict[str, object]]] = []  # level, text, attributes of the record
        self._key: ListenKey | None = None
        self._keys = 0  # how many different keys there were
        self._renewals = self._failures = 0
        self._last_error: ListenKeyError | None = None
        self._warned_of_risk = self._warned_of_life = False
        self._why_lost = ""
        self._cause: BaseException | None = None  # of the loss

    def look(self, now: float) -> None:
        """Note the effects of the time, at every call: a keeper that hangs must not look alive."""
        lease = self._lease
        if self.state != "running":
            return
        if gap := lease.look(now):
            self._record(logging.INFO, "woke", "asleep or paused for %(seconds).0f s: renewing", seconds=gap)
            self.has_changed = True
        # Another keeper may have met the 429 or 418 that this keeper waits out.
        error = self._last_error or (self._rate_limit_wait.error if now < self._rate_limit_wait.until else None)
        if lease.lost(now):
            why = "cannot be renewed" if error and is_refusal(error) else "was not renewed in time"
            why = f"The listen key {why}: {error or 'no request was answered.'}"
            self._start_anew(why) if self.is_endless else self._lose(now, why, error)
        elif not self._warned_of_risk and lease.at_risk(now):
            self._warned_of_risk = True
            text = "listen key at risk: lost in %(left).0f s, next renewal in %(wait).0f s; last error: %(error)s"
            left, wait = lease.deadline - now, max(0.0, lease.next_send_at - now)
            self._record(logging.WARNING, "at_risk", text, left=left, wait=wait, error=error)

    # The life of a keeper: enter; next_step, then renewed or failed, again and again; leave or broke_down.

    def enter(self, now: float) -> None:
        """Begin. Raises the 429 or 418 whose wait is not over."""
        if self.state != "new":
            raise ConfigurationError("A keeper is entered once: make a new one.")
        if not self.is_endless:
            self._rate_limit_wait.raise_if_rate_limited(now)
        self.state = "starting"

    def next_step(self, now: float) -> float | None:
        """Tell the loop the next step: wait so many seconds and ask again, send now (0.0), or end (None)."""
        lease = self._lease
        lease.is_grace_used = False  # here is the loop, alive: the next long gap is a sleep
        if self.state not in ("starting", "running"):
            return None
        if self.state == "starting" and not self.is_endless:
            self._rate_limit_wait.raise_if_rate_limited(now)
        wait = max(0.0, min(lease.next_send_at, lease.deadline) - now)
        if not wait:
            wait = self._address.turn(lease, self._wake, now)
            if waiting := self._address.waiting(now):
                text = "%(waiting)d keepers of this address wait for their turn to send"
                self._record(logging.INFO, "waiting", text, waiting=waiting)
        if not wait:
            lease.send(now)
        return min(wait, self.pause(now))

    def renewed(self, now: float, started: Started) -> None:
        """Note the answer to a request."""
        failures = self._lease.failures
        believed = self._lease.renewed(now, started.life)
        self._address.done(self._lease, now)
        self.has_changed = True
        if not believed and not self._warned_of_life:
            self._warned_of_life = True
            text = "a life of %(told).0f s is not believed: going on with %(life).0f s"
            self._record(logging.WARNING, "disbelieved", text, told=started.life, life=self._lease.life)
        if self.state not in ("starting", "running"):
            return
        changed = self._key is None or self._key.value != started.key.value
        event = "started" if self._key is None else "replaced" if changed else "renewed"
        self.state, self._key, self._last_error, self._warned_of_risk = "running", started.key, None, False
        self.is_key_lost = False
        self._renewals += 1
        self._keys += changed
        self._record(logging.INFO, event, f"{event} the listen key; failures before: %(failures)d", failures=failures)
        self.look(now)

    def failed(self, now: float, error: ListenKeyError) -> None:
        """Note that a request failed. The last attempt to start raises why."""
        failures = self._lease.failures
        self._lease.failed(now, error)  # even when the block is left: a ban counts for the other keepers
        self._address.done(self._lease, now)
        self.has_changed = True
        if self.state not in ("starting", "running"):
            return
        self._failures += 1
        wait = max(0.0, self._lease.next_send_at - now)
        if self.state == "starting":
            if self.is_endless:
                again = isinstance(error, TransportError | ServerError | RateLimited)
            else:
                again = isinstance(error, TransportError | ServerError) and wait <= LONGEST_WAIT
                again = again and self._failures < self._attempts
            if not again:
                raise error
        self._last_error = error.with_traceback(None)  # the error is kept for half an hour, and would keep its frames
        text = "no listen key; next try in %(wait).0f s: %(error)s"
        level = logging.DEBUG if failures else logging.INFO
        if (self.state == "starting" or self.is_key_lost) and failures & (failures + 1) == 0:
            level = logging.WARNING  # no error is raised. Warns of failure 1, 2, 4, 8 …
        self._record(level, "failed", text, wait=wait, error=error, failures=failures + 1)
        self.look(now)

    def leave(self, now: float) -> None:
        """End, because the block is left."""
        if self.state == "new":
            self._raise_unless_entered()
        if self.state != "lost":
            self.state = "closed"
        self._address.ended(self._lease, now)
        self.has_changed = True

    def broke_down(self, now: float, cause: BaseException) -> None:
        """End, because the loop has ended. Unless the block was left, the key is lost."""
        if self.state == "running":
            why = f": {cause}" if isinstance(cause, ListenKeyError) else ""
            self._lose(now, f"The keeper broke down ({type(cause).__name__}{why}).", cause)

    def check_delete(self, now: float) -> None:
        """Raise the error that forbids to end the key: LeaseLost, or the 429 or 418 whose wait is not over."""
        self.ended(now)
        self._rate_limit_wait.raise_if_rate_limited(now)

    def deleted(self, now: float, error: BaseException | None) -> None:
        """Note the outcome of the DELETE: leaving the block raises nothing."""
        if error is None:
            self._record(logging.INFO, "deleted", "deleted the listen key, for every program on the account")
        elif not isinstance(error, ListenKeyError):
            text = "listen key not deleted: leaving the block was interrupted (%(error)s)"
            self._record(logging.WARNING, "not_deleted", text, error=type(error).__name__)
        elif not isinstance(error, LeaseLost):
            self._record(logging.WARNING, "not_deleted", "listen key not deleted: %(error)s", error=error)

    def _lose(self, now: float, why: str, cause: BaseException | None) -> None:
        self.state, self._cause, self.has_changed = "lost", cause, True
        self._why_lost = f"{why} Start anew, with a new keeper."
        self._address.ended(self._lease, now)
        self._record(logging.ERROR, "lost", "%(why)s", why=why)

    def _start_anew(self, why: str) -> None:
        """Go on without a key, as an endless keeper does."""
        self.is_key_lost = self.has_changed = True
        self._lease.start_anew()
        self._record(logging.WARNING, "lost", "%(why)s Starting anew.", why=why)

    def _record(self, level: int, event: str, text: str, **fields: object) -> None:
        # With a prefix, or a name would take the place of a name of the log's own: structlog's text is called `event`.
        named = {f"listenkey_{name}": value for name, value in {"event": event, **fields}.items()}
        self.log.append((level, text % fields, named))

    # What users ask. None means: not yet, ask again after at most `pause(now)` seconds.

    def pause(self, now: float) -> float:
        """Seconds until someone who waits has to look again. At random: ten thousand must not wake together."""
        slice_ = self._lease.slice * JITTER.uniform(0.5, 1)
        return max(0.0, min(self._lease.deadline - now, slice_))

    def status(self, now: float) -> KeeperStatus:
        """Say how the keeper is doing."""
        self._raise_unless_entered()
        lease, running = self._lease, self.state == "running"
        next_send_at = now if lease.is_under_way else lease.next_send_at
        return KeeperStatus(
            state=cast(Literal["running", "lost", "closed"], self.state),
            key_age=now - lease.sent_at,
            next_renewal=max(0.0, next_send_at - now) if running else None,
            time_left=max(0.0, lease.deadline - now) if running else None,
            at_risk=running and self._warned_of_risk,
            last_error=self._last_error,
            renewals=self._renewals,
            failures=self._failures,
            replacements=self._keys - 1,
        )

    def key(self, now: float) -> ListenKey:
        """Give the key to use now."""
        if self.ended(now) or self._key is None:
            raise ConfigurationError("This keeper is closed: nobody renews its key any more.")
        return self._key

    def ended(self, now: float) -> bool | None:
        """Whether the block was left. Raises LeaseLost when the key is lost."""
        self._raise_unless_entered()
        if self.state == "lost":
            left = self._rate_limit_wait.until - now
            raise LeaseLost(self._why_lost, left if left > 0 else None) from self._cause
        return self.state == "closed" or None

    def change(self, now: float, seen: int) -> tuple[int, ListenKey | None] | None:
        """Give the key after the first `seen` keys, and how many there were; no key when the block was left."""
        if self.ended(now):
            return seen, None
        return (self._keys, self._key) if self._keys > seen else None

    def ask(self, now: float) -> int:
        """Ask for a renewal. A request under way will do. Returns the number of the outcome to wait for."""
        self.key(now)
        self._lease.ask(now)
        self.has_changed = True
        return self._renewals + self._failures + 1

    def ask_soon(self, now: float) -> None:
        """Ask for a renewal, without the pause after a success."""
        self.key(now)
        self._lease.ask(now, pauses=False)
        self.has_changed = True

    def proof(self, now: float) -> tuple[ListenKey, float]:
        """Give the key, and when the request was sent that last proved the key."""
        return self.key(now), self._lease.sent_at

    def outcome(self, now: float, number: int) -> ListenKey | None:
        """Give the key after the outcome of that number. Raises the error that the outcome was."""
        key = self.key(now)
        if self._renewals + self._failures < number:
            return None
        if (error := self._last_error) is not None:
            raise copy.copy(error) from error  # each caller gets a copy, with a separate traceback
        return key

    def _raise_unless_entered(self) -> None:
        if self.state in ("new", "starting"):
            raise ConfigurationError(f"This keeper is not running: enter it, as in `{self._block}`.")
