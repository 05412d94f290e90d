"""Keep the account's listen key alive: a thread for the sync client, a task for the async client.

A keeper is a `Keeping`, which decides, and a loop around it, which waits and sends. Every method of a keeper goes
through one door, `AnyKeeper._call`. The twins differ by `await` alone.
"""

import asyncio
import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Concatenate, NoReturn, ParamSpec, Self, TypeVar

from listenkey._clock import clock
from listenkey._inside import Inside, inside
from listenkey._lock import is_held_here, lock
from listenkey.client import AsyncListenKeyClient, ListenKey, ListenKeyClient
from listenkey.errors import ApiError, ConfigurationError, ListenKeyError, TransportError, UnexpectedResponse
from listenkey.keeper._lease import Lease
from listenkey.keeper._machine import KeeperStatus, Keeping
from listenkey.keeper._waking import AsyncWaker, Waker

LONGEST_TIMEOUT = 15.0  # seconds; with a longer timeout an outage of 29 minutes could cost the key
OUTCOMES = (ApiError, TransportError, UnexpectedResponse)  # of a request; any other error is a bug or misuse
NO_THREAD = "No thread could be started to keep the key alive: too many run, or the program ends. The key lives on."
P = ParamSpec("P")
T = TypeVar("T")


class AnyKeeper:
    """The twins' common part: everything but waiting and sending."""

    _waker: Waker | AsyncWaker
    _client_type: type[ListenKeyClient | AsyncListenKeyClient]
    _inside: Inside
    _with: str  # how a block begins

    def __init__(
        self,
        client: ListenKeyClient | AsyncListenKeyClient,
        delete_on_exit: bool,
        assumed_life: float | None,
        is_endless: bool,
    ) -> None:
        name = type(self).__name__
        if not isinstance(client, self._client_type):
            raise ConfigurationError(f"{name} needs a client of type {self._client_type.__name__}.")
        self._inside = door = inside(client)
        if door.timeout > LONGEST_TIMEOUT:
            raise ConfigurationError(f"A keeper needs a client with a timeout of at most {LONGEST_TIMEOUT:g} seconds.")
        lease = Lease(assumed_life or door.key_life, door.timeout, door.address.rate_limit_wait)
        block = f"{self._with} {name}(...)"
        self._keeping = Keeping(lease, door.address, self._waker.wake, door.attempts, block, is_endless=is_endless)
        self._delete_on_exit = delete_on_exit
        self._client_repr = repr(client)
        self._pid = os.getpid()

    def _call(self, decide: Callable[Concatenate[float, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Let the Keeping decide: the one door. `decide` is a method of the Keeping and gets the time."""
        if os.getpid() != self._pid:
            raise ConfigurationError("This keeper is another process's: after a fork, make a new client and keeper.")
        if sys.is_finalizing():  # a thread that runs no more may hold the lock
            raise ConfigurationError("The program ends: leave the keeper's block before.")
        keeping, log = self._keeping, []
        try:
            with lock:
                try:
                    now = clock()
                    keeping.look(now)
                    return decide(now, *args, **kwargs)
                finally:
                    has_changed, keeping.has_changed = keeping.has_changed, False
                    log, keeping.log = keeping.log, []
                    if has_changed:
                        self._waker.wake()
        finally:  # without the lock: a log handler may take its time, or ask this keeper
            for level, text, fields in log:
                logging.getLogger("listenkey").log(level, text, extra=fields)

    @property
    def key(self) -> ListenKey:
        """The key to use now.

        When the machine has slept past the key's life, `key` is the old key until the renewal is answered: the
        `expires_at` is past then, and the status is at_risk. `renew_now()` waits for the answer.

        Raises:
            LeaseLost: the key could not be renewed; `__cause__` says why.
            ConfigurationError: the block is not entered, or is left, or belongs to another process.
        """
        return self._call(self._keeping.key)

    def status(self) -> KeeperStatus:
        """Say how the keeper is doing.

        Raises:
            ConfigurationError: the block is not entered, or belongs to another process.
        """
        return self._call(self._keeping.status)

    def renew_soon(self) -> None:
        """Ask for a renewal as soon as it is the keeper's turn, and return at once. From any thread.

        Unlike `renew_now`, this does not wait 20 seconds after a success: the caller has lost a connection, or was told
        that the key has ended, and has to know whether the key lives. Ten requests a minute are sent at most.

        Raises:
            LeaseLost: the key could not be renewed.
            ConfigurationError: the block is not entered, or is left, or belongs to another process.
        """
        self._call(self._keeping.ask_soon)

    @contextlib.contextmanager
    def _deleting(self) -> Iterator[None]:
        error: BaseException | None = None
        try:
            yield
        except ListenKeyError as failure:
            error = failure
        except BaseException as interruption:  # cancelled again, or Ctrl-C
            self._call(self._keeping.deleted, interruption)
            raise
        self._call(self._keeping.deleted, error)

    def _is_out_of_reach(self) -> bool:
        """Whether there is nothing to leave: in a forked child, or when Python ends and no thread runs any more."""
        return os.getpid() != self._pid or sys.is_finalizing()

    def _leave(self) -> None:
        """End, without waiting. May be repeated."""
        if not self._is_out_of_reach():
            self._call(self._keeping.leave)

    def _deletes(self) -> bool:
        """Whether leaving ends the key: the first time alone. Later the key may be another program's new key."""
        deletes, self._delete_on_exit = self._delete_on_exit, False
        return deletes

    def _halt(self, cause: BaseException) -> None:
        with contextlib.suppress(Exception):  # perhaps the log itself broke
            self._call(self._keeping.broke_down, cause)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._client_repr}, state={self._keeping.state!r})"

    def __reduce__(self) -> NoReturn:
        raise ConfigurationError("A keeper cannot be copied or pickled: make a new one where it is needed.")


class ListenKeyKeeper(AnyKeeper):
    """Keeps the account's listen key alive, in a daemon thread, until its `with` block is left.

    The keeper renews at minute 27 to 30 of the key's 60. Binance's User Data Streams page advises to renew "every 60
    minutes". The key lives no longer: a renewal at minute 60 races the expiry, and a lost packet costs the stream. Here
    half of the life is left for an outage. An outage that is shorter than half an hour, less 30 seconds and twice the
    client's timeout, costs no key.

    The keeper renews with POST, not PUT. Both extend the live key. But only POST shows when the key is another key,
    makes a new key when the old key has gone, and says when the key ends.

    A refusal (Unauthorized, or status 403 or 407) of the first request is raised. If the key has worked, the keeper
    warns, asks again after 2, 4, 8 … minutes, and loses the key only at minute 60.

    Keepers that talk to one address take turns: together they use at most half of its weight, and the keeper that is
    nearest to losing its key goes first. So entering may take minutes with thousands of keepers. The log says so, and
    entering can be cancelled.

    Leaving the block takes no time and leaves the key alone, because other programs on the account may use the key. A
    request under way cannot be cut short. The keeper's thread sends nothing more, and ends within the client's
    timeout.

    Args:
        client: the account's client, with a timeout of at most 15 seconds. Close the client after the keeper.
        delete_on_exit: end the key when the block is left. This ends the key for every program on the account, and
            makes leaving take as long as a request under way and `client.delete()` do. An error of the DELETE is
            logged, not raised.

    Raises:
        ConfigurationError: the timeout is too long or the client of the wrong kind; the keeper is entered twice; the
            keeper is copied or pickled.
        Others: entering raises what `client.start()` does. RateLimited or Banned also while the address waits out a
            429 or 418 that another client met. TransportError also when no thread can be started.
    """

    _client_type = ListenKeyClient
    _client: ListenKeyClient
    _waker: Waker
    _thread: threading.Thread | None = None
    _with = "with"

    def __init__(
        self,
        client: ListenKeyClient,
        *,
        delete_on_exit: bool = False,
        _assumed_life: float | None = None,
        _is_endless: bool = False,
    ) -> None:
        self._client, self._waker = client, Waker()
        super().__init__(client, delete_on_exit, _assumed_life, _is_endless)

    def wait(self) -> None:
        """Block until the keeper is closed.

        Raises:
            LeaseLost: the key could not be renewed.
            ConfigurationError: the block is not entered, or belongs to another process.
        """
        self._until(self._keeping.ended)

    def changes(self) -> Iterator[ListenKey]:
        """Iterate over the key to use: the key of now, then each replacement. A slow reader gets the newest.

        Ends when the keeper is closed. Any number of iterators may run at once.

        Raises:
            LeaseLost: the key could not be renewed.
            ConfigurationError: the block is not entered, or belongs to another process.
        """
        seen, key = self._until(partial(self._keeping.change, seen=0))
        while key is not None:
            yield key
            seen, key = self._until(partial(self._keeping.change, seen=seen))

    def renew_now(self) -> ListenKey:
        """Renew, and return the key: for callers who learn by other means that their key is gone.

        One request serves all who ask before it is answered. The request is sent as soon as the keeper's pace allows:
        20 seconds after the last success, later after failures, and never before a 429 or 418 is waited out.

        Raises:
            ApiError, TransportError, UnexpectedResponse: the request failed. The keeper goes on trying.
            LeaseLost: the key could not be renewed.
            ConfigurationError: the block is not entered, or is left, or belongs to another process.
        """
        return self._until(partial(self._keeping.outcome, number=self._call(self._keeping.ask)))

    def __enter__(self) -> Self:
        self._call(self._keeping.enter)
        try:
            while self._keeping.state == "starting":
                self._step()
            self._start_thread()
            return self  # in the `try`: Ctrl-C may come until Python has begun the block
        except BaseException:
            self._leave()
            raise

    def _start_thread(self) -> None:
        for left in reversed(range(self._inside.attempts)):
            thread = threading.Thread(target=self._run, name="listenkey-keeper", daemon=True)
            try:
                thread.start()
                self._thread = thread
                break
            except RuntimeError as error:
                if not left:
                    raise TransportError(NO_THREAD) from error
            time.sleep(0.5)

    def __exit__(self, *_: object) -> None:
        try:
            self._leave()
        except BaseException:  # Ctrl-C came while leaving: leave again, from the beginning
            self._leave()
            raise
        if not self._is_out_of_reach() and (thread := self._thread) and self._deletes():
            with self._deleting():
                self._call(self._keeping.check_delete)
                # A handler or a finalizer amid our code must not wait: the thread is this thread, or needs the lock.
                if not is_held_here() and thread is not threading.current_thread():
                    thread.join(LONGEST_TIMEOUT)  # or the request under way might make a key after the DELETE
                    self._call(self._keeping.check_delete)  # the request under way may have met a 429
                self._client.delete()

    def _until(self, ready: Callable[[float], T | None]) -> T:
        while True:
            seen = self._waker.wakes
            if (found := self._call(ready)) is not None:
                return found
            self._waker.wait(seen, self._call(self._keeping.pause))

    def _step(self) -> bool:
        """Take one step. False: there are no more."""
        seen = self._waker.wakes
        if wait := self._call(self._keeping.next_step):
            self._waker.wait(seen, wait)
        elif wait is not None:
            try:
                started = self._inside.start_once()
            except OUTCOMES as error:
                self._call(self._keeping.failed, error)
            else:
                self._call(self._keeping.renewed, started)
        return wait is not None

    def _run(self) -> None:
        try:
            while self._step():
                pass
        except BaseException as bug:  # noqa: BLE001  a keeper that is dead must not look alive
            self._halt(bug)


class AsyncListenKeyKeeper(AnyKeeper):
    """Keeps the account's listen key alive, in a task, until its `async with` block is left. As `ListenKeyKeeper`.

    Belongs to the asyncio event loop that entered it. Any other loop, or none, is a ConfigurationError. Leaving the
    block cancels a request under way and leaves no task.
    """

    _client_type = AsyncListenKeyClient
    _client: AsyncListenKeyClient
    _waker: AsyncWaker
    _task: asyncio.Task[None] | None = None
    _with = "async with"

    def __init__(
        self,
        client: AsyncListenKeyClient,
        *,
        delete_on_exit: bool = False,
        _assumed_life: float | None = None,
        _is_endless: bool = False,
    ) -> None:
        self._client, self._waker = client, AsyncWaker()
        super().__init__(client, delete_on_exit, _assumed_life, _is_endless)

    async def wait(self) -> None:
        """As `ListenKeyKeeper.wait`."""
        await self._until(self._keeping.ended)

    def changes(self) -> AsyncIterator[ListenKey]:
        """As `ListenKeyKeeper.changes`."""
        return Changes(self)

    async def renew_now(self) -> ListenKey:
        """As `ListenKeyKeeper.renew_now`."""
        return await self._until(partial(self._keeping.outcome, number=self._call(self._keeping.ask)))

    async def __aenter__(self) -> Self:
        self._waker.loop = self._waker.this_loop()
        self._call(self._keeping.enter)
        try:
            while self._keeping.state == "starting":
                await self._step()
        except BaseException:
            self._call(self._keeping.leave)
            raise
        self._task = task = asyncio.create_task(self._run(), name="listenkey-keeper")
        task.add_done_callback(self._task_done)  # a task that is cancelled before it starts runs no `except`
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._is_out_of_reach():
            return
        self._waker.this_loop()
        self._leave()
        if (task := self._task) is None:  # entering has failed, or goes on in another task
            return
        task.cancel()  # all that must happen has happened: each await below may be cancelled
        deletes = self._deletes()
        with self._deleting() if deletes else contextlib.nullcontext():
            await asyncio.wait([task])
            if deletes:
                self._call(self._keeping.check_delete)
                await self._client.delete()

    async def _until(self, ready: Callable[[float], T | None]) -> T:
        self._waker.this_loop()
        while True:
            seen = self._waker.wakes
            if (found := self._call(ready)) is not None:
                return found
            await self._waker.wait(seen, self._call(self._keeping.pause))

    async def _step(self) -> bool:
        """Take one step. False: there are no more."""
        seen = self._waker.wakes
        if wait := self._call(self._keeping.next_step):
            await self._waker.wait(seen, wait)
        elif wait is not None:
            try:
                started = await self._inside.start_once()
            except OUTCOMES as error:
                self._call(self._keeping.failed, error)
            else:
                self._call(self._keeping.renewed, started)
        return wait is not None

    async def _run(self) -> None:
        while await self._step():
            pass

    def _task_done(self, task: asyncio.Task[None]) -> None:
        if cause := asyncio.CancelledError() if task.cancelled() else task.exception():
            self._halt(cause)


class Changes(AsyncIterator[ListenKey]):
    """No generator: a generator that is left early would be closed by a separate task."""

    def __init__(self, keeper: AsyncListenKeyKeeper) -> None:
        self._keeper, self._seen = keeper, 0

    async def __anext__(self) -> ListenKey:
        self._seen, key = await self._keeper._until(partial(self._keeper._keeping.change, seen=self._seen))
        if key is None:
            raise StopAsyncIteration
        return key
