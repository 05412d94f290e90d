"""How those who wait for a keeper are woken: in threads, and in an event loop."""

import asyncio
import contextlib
import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import cast

from listenkey.client import running_loop
from listenkey.errors import ConfigurationError

RELEASE = type(threading.Lock()).release


class Waker:
    """Wakes all who wait. Read `wakes` before you look, then wait: a wake in between is not missed.

    There is no lock: a signal handler or a finalizer may wake, and may wait, in the middle of a wait or a wake.
    """

    def __init__(self) -> None:
        self.wakes: int = 0
        self.listeners: list[Callable[[], None]] = []  # called at each wake, in any thread; take no lock and no time
        self._count: Iterator[int] = itertools.count(1)
        self._sleepers: deque[threading.Lock] = deque()

    def wake(self) -> None:
        """Wake all who wait, from any thread."""
        self.wakes = next(self._count)
        with contextlib.suppress(IndexError):  # in a single step for Python: Ctrl-C leaves nobody asleep
            any(map(RELEASE, iter(self._sleepers.popleft, None)))
        for listener in list(self.listeners):
            listener()

    def wait(self, seen: int, seconds: float) -> None:
        """Wait for the next wake after the first `seen` wakes, or so many seconds."""
        sleeper = threading.Lock()
        sleeper.acquire()
        self._sleepers.append(sleeper)
        try:
            if self.wakes == seen:
                sleeper.acquire(timeout=seconds)
        finally:
            with contextlib.suppress(ValueError, IndexError):  # woken already, or another thread changes the row
                self._sleepers.remove(sleeper)


class AsyncWaker:
    """The async twin of `Waker`."""

    def __init__(self) -> None:
        self.wakes: int = 0
        self.listeners: list[Callable[[], None]] = []
        self.loop: asyncio.AbstractEventLoop | None = None  # the loop that may wait
        self._waiting: set[asyncio.Future[None]] = set()

    def this_loop(self) -> asyncio.AbstractEventLoop:
        """Give the running event loop. Raises ConfigurationError: there is none, or the waker belongs to another."""
        loop = running_loop()
        if loop is None:
            raise ConfigurationError("AsyncListenKeyKeeper needs asyncio: use it inside `asyncio.run(...)`.")
        if self.loop not in (None, loop):
            raise ConfigurationError("This keeper belongs to another event loop: use and leave it in its own.")
        return loop

    def wake(self) -> None:
        """Wake all who wait, from any thread."""
        self.wakes += 1
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            cast(asyncio.AbstractEventLoop, self.loop).call_soon_threadsafe(self._release, self._waiting)
        for listener in list(self.listeners):
            listener()

    async def wait(self, seen: int, seconds: float) -> None:
        """Wait for the next wake after the first `seen` wakes, or so many seconds."""
        if self.wakes != seen:
            return
        loop = self.this_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.add(future)
        timer = loop.call_later(seconds, self._release, [future])
        try:
            await future
        finally:
            timer.cancel()
            self._waiting.discard(future)

    def _release(self, waiting: Iterable[asyncio.Future[None]]) -> None:
        for future in waiting:
            if not future.done():
                future.set_result(None)
