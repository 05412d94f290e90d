"""Keep the account's listen key alive: a thread for the sync client, a task for the async one.

The two are dumb loops around `_lease`: ask what to do, wait or send, note what came of it.
"""

import asyncio
import contextlib
import copy
import logging
import os
import threading
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Literal, NoReturn, Self, TypeVar, cast

from listenkey._lease import LONGEST_WAIT, Lease, is_refusal
from listenkey.client import AsyncListenKeyClient, ListenKey, ListenKeyClient, Started
from listenkey.errors import (
    ApiError,
    ConfigurationError,
    LeaseLost,
    ListenKeyError,
    ServerError,
    TransportError,
    UnexpectedResponse,
)

LIFE = 3600.0  # seconds (Start User Data Stream page)
LONGEST_TIMEOUT = 15.0  # seconds; with a longer one an outage of 29 minutes could cost the key
_OUTCOMES = (ApiError, TransportError, UnexpectedResponse)  # of a request; any other error is a bug or misuse
T = TypeVar("T")


@dataclass(frozen=True)
class KeeperStatus:
    """How a keeper is doing, at one moment.

    Attributes:
        state: "running"; "lost" once the key could not be renewed; "closed" after the block.
        key_age: seconds since the request was sent that last renewed the key.
        next_renewal: seconds until the next request, 0.0 while one is under way; None when not running.
        time_left: seconds until the key is called lost unless it is renewed; None when not running.
        at_risk: True when renewal is overdue (3/4 of the life are over), was refused (see the keeper), or has to wait
            past the end of `time_left`.
        last_error: why the last request failed; None when it succeeded.
        renewals: requests that succeeded, the first one included.
        failures: requests that failed.
        replacements: how often the key became another one.
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
        self._lock = threading.Lock()

    def __call__(self) -> float:
        """Seconds since some fixed moment."""
        with self._lock:
            now = self._monotonic()
            slept = self._wall() - now - self._ahead
            if slept >= 1.0:
                self._slept += slept
            if slept >= 1.0 or slept < 0:
                self._ahead += slept
            return now + self._slept


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


_clock = WitnessedClock(_boottime) if hasattr(time, "CLOCK_BOOTTIME") else WitnessedClock()


class _Keeper:
    """What the twins share: everything but how to wait and how to send."""

    _client_type: type[ListenKeyClient | AsyncListenKeyClient]
    _with = "with"

    def __init__(
        self, client: ListenKeyClient | AsyncListenKeyClient, delete_on_exit: bool, assumed_life: float
    ) -> None:
        if not isinstance(client, self._client_type):
            raise ConfigurationError(f"{type(self).__name__} needs a client of type {self._client_type.__name__}.")
        timeout = client._timeout
        if timeout > LONGEST_TIMEOUT:
            raise ConfigurationError(f"A keeper needs a client with a timeout of at most {LONGEST_TIMEOUT:g} seconds.")
        self._delete_on_exit = delete_on_exit
        self._attempts = client._attempts
        self._quiet = client._quiet
        self._lease = Lease(assumed_life, timeout, self._quiet, Random())  # noqa: S311  jitter, no secret
        self._account = repr(client)
        self._pid = os.getpid()
        self._lock = threading.RLock()  # a signal handler may ask for the status while its thread holds it
        # Under the lock:
        self._state: Literal["new", "starting", "running", "lost", "closed"] = "new"
        self._key: ListenKey | None = None
        self._lost: tuple[str, BaseException | None] = ("", None)  # why, and its cause
        self._last_error: ListenKeyError | None = None
        self._renewals = self._failures = self._keys = 0
        self._at_risk = self._disbelieved = False
        self._records: list[tuple[int, str, dict[str, object]]] = []  # of the log

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._account}, state={self._state!r})"

    def __reduce__(self) -> NoReturn:
        raise ConfigurationError("A keeper cannot be copied or pickled: make a new one where it is needed.")

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        """Hold the lock, and log when it is released: a log handler may take its time, or ask this keeper."""
        records = []
        try:
            with self._lock:
                try:
                    yield
                finally:
                    records, self._records = self._records, records
        finally:
            for level, text, fields in records:
                logging.getLogger("listenkey").log(level, text, extra=fields)

    def _tell(self, level: int, event: str, text: str, **fields: object) -> None:
        self._records.append((level, text % fields, {"event": event, **fields}))

    @abstractmethod
    def _wake(self) -> None:
        """Let everyone who waits look again. Called under the lock."""

    @property
    def key(self) -> ListenKey:
        """The key to use now.

        When the machine has slept past the key's life, this is the old key until the renewal is answered: its
        `expires_at` is past then, and the status is at_risk. `renew_now()` waits for the answer.

        Raises:
            LeaseLost: it could not be renewed; `__cause__` says why.
            ConfigurationError: the block is not entered, or is left, or belongs to another process.
        """
        self._refuse_misuse()
        with self._guard():
            return self._live_key()

    def status(self) -> KeeperStatus:
        """Say how the keeper is doing.

        Raises:
            ConfigurationError: the block is not entered, or belongs to another process.
        """
        self._refuse_misuse()
        with self._guard():
            now, lease = self._look(), self._lease
            running = self._state == "running"
            next_send = now if lease.under_way else lease.next_send
            return KeeperStatus(
                state=cast(Literal["running", "lost", "closed"], self._state),
                key_age=now - lease.sent,
                next_renewal=max(0.0, next_send - now) if running else None,
                time_left=max(0.0, lease.deadline - now) if running else None,
                at_risk=running and self._at_risk,
                last_error=self._last_error,
                renewals=self._renewals,
                failures=self._failures,
                replacements=self._keys - 1,
            )

    def _refuse_fork(self) -> None:
        if os.getpid() != self._pid:  # to be asked before its lock, which may be held for ever here
            raise ConfigurationError("This keeper is another process's: after a fork, make a new client and keeper.")

    def _refuse_misuse(self) -> None:
        self._refuse_fork()
        if self._state in ("new", "starting"):
            raise ConfigurationError(
                f"This keeper is not running: enter it, as in `{self._with} {type(self).__name__}(...)`."
            )

    # Entering and leaving.

    def _enter(self) -> None:
        self._refuse_fork()
        with self._guard():
            if self._state != "new":
                raise ConfigurationError("A keeper is entered once: make a new one.")
            self._refuse_noise()
            self._state = "starting"

    def _refuse_noise(self) -> None:
        """Raise the 429 or 418 whose wait is not over."""
        left, error = self._quiet.until - _clock(), self._quiet.error
        if left > 0 and error is not None:
            raise type(error)(error.status, error.code, error.reason, left)

    def _close(self) -> None:
        with self._guard():
            if self._state != "lost":
                self._state = "closed"
            self._quiet.ended(self._lease)
            self._wake()

    @contextlib.contextmanager
    def _deleting(self) -> Iterator[None]:
        """Turn the outcome of a DELETE into a line of the log: leaving the block raises nothing of its own."""
        error: ListenKeyError | None = None
        try:
            yield
        except ListenKeyError as failure:
            error = failure
        with self._guard():
            if error is None:
                self._tell(logging.INFO, "deleted", "deleted the listen key, for every program on the account")
                return
            if _clock() >= self._quiet.until:  # else it is the wait itself that refused the DELETE
                self._lease.failed(_clock(), error)  # a ban counts for the client's other keepers
            self._tell(logging.WARNING, "not_deleted", "listen key not deleted: %(error)s", error=error)

    # The loop's turns. All of these are called under the lock.

    def _turn(self) -> float | None:
        """Say what the loop does next: wait so many seconds and ask again, send now (0.0), or end (None)."""
        now, lease = self._look(), self._lease
        lease.graced = False  # here is the loop, alive: the next sleep is one
        if self._state not in ("starting", "running"):
            return None
        wait = self._slice(min(lease.next_send, lease.deadline) - now)
        if not wait:
            lease.send(now)
        return wait

    def _slice(self, wait: float) -> float:
        return max(0.0, min(wait, self._lease.slice))

    def _look(self) -> float:
        """Note what the time has brought, whoever asks: a keeper that hangs must not look alive. Returns the time."""
        now, lease = _clock(), self._lease
        if self._state != "running":
            return now
        if gap := lease.look(now):
            self._tell(logging.INFO, "woke", "asleep or paused for %(seconds).0f s: renewing", seconds=gap)
            self._wake()
        # Another keeper of the client may have met the 429 or 418 that this one waits out.
        error = self._last_error or (self._quiet.error if now < self._quiet.until else None)
        if lease.lost(now):
            why = "cannot be renewed" if error and is_refusal(error) else "was not renewed in time"
            self._lose(f"The listen key {why}: {error or 'no request was answered.'}", error)
        elif not self._at_risk and lease.at_risk(now):
            self._at_risk = True
            text = "listen key at risk: lost in %(left).0f s, next renewal in %(wait).0f s; last error: %(error)s"
            left, wait = lease.deadline - now, max(0.0, lease.next_send - now)
            self._tell(logging.WARNING, "at_risk", text, left=left, wait=wait, error=error)
        return now

    def _note(self, outcome: Started | ListenKeyError) -> None:
        """Note what came of a request. The last attempt to start raises what went wrong."""
        now, lease = self._look(), self._lease
        failures = lease.failures
        if isinstance(outcome, ListenKeyError):
            lease.failed(now, outcome)  # even when the block is left: a ban counts for the client's other keepers
        if self._state not in ("starting", "running"):
            return
        if isinstance(outcome, ListenKeyError):
            self._last_error = outcome
            self._failures += 1
            wait = max(0.0, lease.next_send - now)
            if self._state == "starting":
                again = isinstance(outcome, TransportError | ServerError) and wait <= LONGEST_WAIT
                if not again or self._failures >= self._attempts:
                    raise outcome
            text = "no listen key; next try in %(wait).0f s: %(error)s"
            level = logging.DEBUG if failures else logging.INFO
            self._tell(level, "failed", text, wait=wait, error=outcome, failures=failures + 1)
        else:
            if not lease.renewed(now, outcome.life) and not self._disbelieved:
                self._disbelieved = True
                text = "a life of %(told).0f s is not believed: going on with %(life).0f s"
                self._tell(logging.WARNING, "disbelieved", text, told=outcome.life, life=lease.life)
            changed = self._key is None or self._key.value != outcome.key.value
            event = "started" if self._key is None else "replaced" if changed else "renewed"
            self._state, self._key, self._last_error, self._at_risk = "running", outcome.key, None, False
            self._renewals += 1
            self._keys += changed
            self._tell(logging.INFO, event, f"{event} the listen key; failures before: %(failures)d", failures=failures)
        self._look()
        self._wake()

    def _lose(self, why: str, cause: BaseException | None) -> None:
        self._state, self._lost = "lost", (why, cause)
        self._quiet.ended(self._lease)
        self._wake()
        self._tell(logging.ERROR, "lost", "%(why)s", why=why)

    def _halt(self, cause: BaseException) -> None:
        """Note that the loop has ended, and why. Unless the block was left, the key is lost."""
        with contextlib.suppress(Exception), self._guard():  # the log itself may be what broke
            if self._state == "running":
                why = f": {cause}" if isinstance(cause, ListenKeyError) else ""
                self._lose(f"The keeper broke down ({type(cause).__name__}{why}).", cause)

    # What callers wait for: None means not yet. All of these are called under the lock.

    def _raise_lost(self) -> None:
        now = self._look()
        if self._state == "lost":
            why, cause = self._lost
            quiet = self._quiet.until - now
            raise LeaseLost(f"{why} Start anew, with a new keeper.", quiet if quiet > 0 else None) from cause

    def _live_key(self) -> ListenKey:
        self._raise_lost()
        if self._state == "closed" or self._key is None:
            raise ConfigurationError("This keeper is closed: nobody renews its key any more.")
        return self._key

    def _ended(self) -> bool | None:
        self._raise_lost()
        return self._state == "closed" or None

    def _change(self, seen: int) -> tuple[int, ListenKey | None] | None:
        if self._ended():
            return seen, None
        return (self._keys, self._key) if self._keys > seen else None

    def _ask(self) -> int:
        """Ask for a renewal; a request under way will do. Returns how many outcomes there are once it is there."""
        self._live_key()
        self._lease.ask(_clock())
        self._wake()
        return self._renewals + self._failures + 1

    def _outcome(self, number: int) -> ListenKey | None:
        key = self._live_key()
        if self._renewals + self._failures < number:
            return None
        if (error := self._last_error) is not None:
            raise copy.copy(error) from error  # each who asked gets one of his own, with a traceback of his own
        return key


class ListenKeyKeeper(_Keeper):
    """Keeps the account's listen key alive, in a daemon thread, until its `with` block is left.

    It renews at 27 to 30 of the key's 60 minutes. Binance's User Data Streams page advises to renew "every 60
    minutes"; that is the key's whole life, so such a renewal races the expiry, and one lost packet costs the stream.
    Here half of the life is left to sit out an outage: none costs the key that is shorter than half an hour, less 30
    seconds and twice the client's timeout.

    It renews with POST, not PUT. Both extend the live key, but only POST shows it when it is another one, makes a new
    one when it has gone, and says when it ends.

    Leaving the block takes no time and leaves the key alone, for other programs on the account may use it. A request
    under way cannot be cut short: its thread sends nothing more, and is gone within the client's timeout.

    Args:
        client: the account's client, with a timeout of at most 15 seconds. Close it after the keeper.
        delete_on_exit: end the key when the block is left. This ends it for every program on the account, and makes
            leaving take as long as a request under way and `client.delete()` do. An error of it is logged, not raised.

    Raises:
        ConfigurationError: the client's timeout is too long or its kind is wrong; the keeper is entered twice.
        Others: entering raises what `client.start()` does, RateLimited or Banned also while another keeper of the
            client waits out a 429 or 418.
    """

    _client_type = ListenKeyClient

    def __init__(self, client: ListenKeyClient, *, delete_on_exit: bool = False, _assumed_life: float = LIFE) -> None:
        super().__init__(client, delete_on_exit, _assumed_life)
        self._client = client
        self._changed = threading.Condition(self._lock)

    def wait(self) -> None:
        """Block until the keeper is closed.

        Raises:
            LeaseLost: the key could not be renewed.
            ConfigurationError: the block is not entered, or belongs to another process.
        """
        self._until(self._ended)

    def changes(self) -> Iterator[ListenKey]:
        """Iterate over the key to use: the one of now, then each replacement. A slow reader gets the newest.

        Ends when the keeper is closed. Any number of iterators may run at once.

        Raises:
            LeaseLost: the key could not be renewed.
            ConfigurationError: the block is not entered, or belongs to another process.
        """
        seen, key = self._until(partial(self._change, 0))
        while key is not None:
            yield key
            seen, key = self._until(partial(self._change, seen))

    def renew_now(self) -> ListenKey:
        """Renew, and return the key: for callers who learn by other means that the one they have is gone.

        One request serves all who ask before it is answered. It is sent as soon as the keeper's pace allows: 20
        seconds after the last success, later after failures, and never before a 429 or 418 is waited out.

        Raises:
            ApiError, TransportError, UnexpectedResponse: the request failed. The keeper goes on trying.
            LeaseLost: the key could not be renewed.
            ConfigurationError: the block is not entered, or is left, or belongs to another process.
        """
        self._refuse_misuse()
        with self._guard():
            number = self._ask()
        return self._until(partial(self._outcome, number))

    def __enter__(self) -> Self:
        self._enter()
        try:
            while self._state == "starting":
                self._step()
            self._start_thread()
        except BaseException:
            self._close()
            raise
        return self

    def _start_thread(self) -> None:
        for attempt in range(1, self._attempts + 1):
            self._thread = threading.Thread(target=self._run, name="listenkey-keeper", daemon=True)
            try:
                self._thread.start()
            except RuntimeError as error:
                cause = error
            else:
                return
            if attempt < self._attempts:
                time.sleep(min(2.0**attempt / 4, 8.0))
        raise TransportError(
            "No thread could be started to keep the listen key alive: the process has too many, or it is ending. The "
            "key itself lives on for now."
        ) from cause

    def __exit__(self, *_: object) -> None:
        if os.getpid() != self._pid:  # a forked child leaves the block: the keeper is its parent's
            return
        self._close()
        if self._delete_on_exit:
            self._thread.join(LONGEST_TIMEOUT)  # or the request under way might make a key after the DELETE
        if self._delete_on_exit and self._state != "lost":
            with self._deleting():
                self._refuse_noise()
                self._client.delete()

    def _wake(self) -> None:
        self._changed.notify_all()

    def _until(self, ready: Callable[[], T | None]) -> T:
        self._refuse_misuse()
        while True:
            with self._guard():
                if (found := ready()) is not None:
                    return found
                if not self._records:
                    self._changed.wait(self._slice(self._lease.deadline - _clock()))

    def _step(self) -> bool:
        """Take one turn. False: there are no more."""
        with self._guard():
            wait = self._turn()
            if wait and not self._records:
                self._changed.wait(wait)
        if wait == 0:
            outcome: Started | ListenKeyError
            try:
                outcome = self._client._start_once()
            except _OUTCOMES as error:
                outcome = error
            with self._guard():
                self._note(outcome)
        return wait is not None

    def _run(self) -> None:
        try:
            while self._step():
                pass
        except BaseException as bug:  # noqa: BLE001  whatever it is, a dead keeper says so
            self._halt(bug)


class AsyncListenKeyKeeper(_Keeper):
    """Keeps the account's listen key alive, in a task, until its `async with` block is left. As `ListenKeyKeeper`.

    Leaving the block cancels what is under way and leaves no task.
    """

    _client_type = AsyncListenKeyClient
    _with = "async with"
    _loop: asyncio.AbstractEventLoop | None = None  # the one that entered

    def __init__(
        self, client: AsyncListenKeyClient, *, delete_on_exit: bool = False, _assumed_life: float = LIFE
    ) -> None:
        super().__init__(client, delete_on_exit, _assumed_life)
        self._client = client
        self._changed = asyncio.Event()

    async def wait(self) -> None:
        """As `ListenKeyKeeper.wait`."""
        await self._until(self._ended)

    def changes(self) -> AsyncIterator[ListenKey]:
        """As `ListenKeyKeeper.changes`."""
        return _Changes(self)

    async def renew_now(self) -> ListenKey:
        """As `ListenKeyKeeper.renew_now`."""
        self._refuse_misuse()
        with self._guard():
            number = self._ask()
        return await self._until(partial(self._outcome, number))

    def _refuse_other_loops(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise ConfigurationError("AsyncListenKeyKeeper needs asyncio: use it inside `asyncio.run(...)`.") from None
        if self._loop not in (None, loop):
            raise ConfigurationError(
                "This keeper belongs to another event loop: use and leave it in the loop that entered it."
            )
        self._loop = loop

    async def __aenter__(self) -> Self:
        self._refuse_other_loops()
        self._enter()
        try:
            while self._state == "starting":
                await self._step()
        except BaseException:
            self._close()
            raise
        self._task = asyncio.create_task(self._run(), name="listenkey-keeper")
        self._task.add_done_callback(self._task_done)  # a task that is cancelled before it starts runs no `except`
        return self

    async def __aexit__(self, *_: object) -> None:
        if os.getpid() != self._pid:  # a forked child leaves the block: the keeper is its parent's
            return
        self._refuse_other_loops()
        self._close()
        self._task.cancel()
        await asyncio.wait([self._task])
        if self._delete_on_exit and self._state != "lost":
            with self._deleting():
                self._refuse_noise()
                await self._client.delete()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    async def _until(self, ready: Callable[[], T | None]) -> T:
        self._refuse_misuse()
        self._refuse_other_loops()
        while True:
            with self._guard():
                if (found := ready()) is not None:
                    return found
            await self._pause(self._slice(self._lease.deadline - _clock()))

    async def _step(self) -> bool:
        with self._guard():
            wait = self._turn()
        if wait:
            await self._pause(wait)
        elif wait == 0:
            outcome: Started | ListenKeyError
            try:
                outcome = await self._client._start_once()
            except _OUTCOMES as error:
                outcome = error
            with self._guard():
                self._note(outcome)
        return wait is not None

    async def _run(self) -> None:
        while await self._step():
            pass

    def _task_done(self, task: asyncio.Task[None]) -> None:
        if cause := asyncio.CancelledError() if task.cancelled() else task.exception():
            self._halt(cause)


class _Changes(AsyncIterator[ListenKey]):
    """No generator: one that is left early would be closed by a task of its own."""

    def __init__(self, keeper: AsyncListenKeyKeeper) -> None:
        self._keeper, self._seen = keeper, 0

    async def __anext__(self) -> ListenKey:
        self._seen, key = await self._keeper._until(partial(self._keeper._change, self._seen))
        if key is None:
            raise StopAsyncIteration
        return key
