"""An event loop in a thread, for the drivers of all sync streams of the process.

A blocking socket would cost three threads a stream.
"""

import asyncio
import contextlib
import os
import queue
import sys
import threading
import time
from collections import deque
from typing import ClassVar, cast

from listenkey._http.threads import threads
from listenkey._lock import is_held_here, lock
from listenkey.errors import TransportError
from listenkey.stream._driver import Driver

NO_THREAD = (
    "No thread or descriptor is left for the stream: too many are in use, or the program ends. The key lives on."
)
LEAVING = 5.0  # seconds to wait for the thread of the event loop; longer, and something else holds up that thread


class LoopThread:
    """An event loop in a thread, for the sync streams of the process. The last stream to leave ends the loop.

    Streams that begin in the same moment, while there is no thread, may make a thread each.

    Ctrl-C may come at each line, and a signal handler may begin and end streams in the middle of this. So a driver
    knows its thread before the thread starts, and other streams use the thread only once it surely runs.
    """

    current: "ClassVar[LoopThread | None]" = None  # that a further stream uses

    def __init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name="listenkey-stream", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None  # made in the thread, where no Ctrl-C comes in between
        self._made: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()  # why there is no loop; None: it runs
        self._drivers: dict[Driver, threading.Lock] = {}  # each with a lock until the driver has ended
        self._to_end: deque[Driver] = deque()
        self._endings: dict[Driver, asyncio.Task[None]] = {}

    @classmethod
    def begin(cls, driver: Driver) -> None:
        """Let a driver run. Raises TransportError: there is no thread or descriptor left."""
        with lock:
            running = cls.current
            driver.home = home = running or cls()
            home._drivers[driver] = ended = threading.Lock()
            ended.acquire()
        try:
            if running is None:
                home._start()  # without the lock, or a finalizer in the new thread would wait for the lock for ever
                with lock:
                    if cls.current is None and home._drivers:
                        cls.current = home
        except (RuntimeError, OSError) as error:
            raise TransportError(NO_THREAD) from error
        with contextlib.suppress(RuntimeError):  # the block was left meanwhile, and the loop has ended
            cast(asyncio.AbstractEventLoop, home._loop).call_soon_threadsafe(driver.start)

    def _start(self) -> None:
        if sys.is_finalizing():
            raise RuntimeError("Python ends, and runs no thread any more")
        threads.have_spare()  # for the look-up of names, also when the main thread has ended
        self._thread.start()
        if (error := self._made.get()) is not None:
            raise error

    def _run(self) -> None:
        try:
            loop = asyncio.new_event_loop()
        except BaseException as error:  # noqa: BLE001  for the thread that waits
            self._made.put(error)
            return
        asyncio.set_event_loop(loop)
        self._loop = loop
        self._made.put(None)
        try:
            loop.call_soon(self._end_all)  # who was asked to end before there was a loop
            loop.run_forever()
            if cancelled := asyncio.all_tasks(loop):  # attempts to connect, which have not seen it yet
                loop.run_until_complete(asyncio.wait(cancelled, timeout=1.0))
            for _ in range(3):  # turns in which transports that were aborted close their sockets
                loop.run_until_complete(asyncio.sleep(0))
        finally:
            loop.close()

    def end(self, driver: Driver) -> None:
        """Let a driver end, without waiting. May be repeated."""
        self._to_end.append(driver)
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._end_all)

    def wait(self, driver: Driver) -> None:
        """Wait until a driver has ended. In the loop's thread, and in the middle of other work of ours: do not wait."""
        if threading.current_thread() is self._thread or is_held_here():
            return
        ended, waits_until = self._drivers.get(driver), time.monotonic() + LEAVING
        while ended is not None and not ended.acquire(timeout=0.1):
            if not self._thread.is_alive() or time.monotonic() > waits_until:
                return
        if ended is not None:
            ended.release()  # for another thread that waits
        if not self._drivers and self._thread.is_alive():  # it was the last
            self._thread.join(LEAVING)

    def _end_all(self) -> None:
        """End the drivers that were asked to end."""
        while self._to_end:
            driver = self._to_end.popleft()
            driver.leave()
            if driver in self._drivers and driver not in self._endings:
                self._endings[driver] = asyncio.create_task(self._end(driver))

    async def _end(self, driver: Driver) -> None:
        try:
            await driver.stop()
        finally:
            with lock:
                ended = self._drivers.pop(driver)
                is_last = not self._drivers
                if is_last and LoopThread.current is self:
                    LoopThread.current = None
            self._endings.pop(driver)
            ended.release()
            if is_last:
                asyncio.get_running_loop().stop()


def after_fork() -> None:
    """Begin with no thread in a child process."""
    LoopThread.current = None


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=after_fork)
