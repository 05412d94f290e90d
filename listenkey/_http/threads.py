"""Blocking work beside an event loop: the look-up of a name, the loading of certificates.

asyncio's own threads belong to the program. While the program keeps all of them busy, a look-up would wait, and a key
would be lost. While a look-up hangs, asyncio's threads would hold up the end of the program. The threads here are
daemons. A spare thread waits at all times, because Python starts no thread after the main thread has ended.
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Hashable
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar, cast

MOST = 32  # threads; work that hangs is shared by all who wait for the same, so threads are for different hosts
T = TypeVar("T")


class Job:
    """A piece of work, and who waits for the result."""

    def __init__(self, work: Callable[[], Any], loop: asyncio.AbstractEventLoop) -> None:
        self.result: asyncio.Future[Any] = loop.create_future()
        self._work, self._loop = work, loop

    def do(self, finished: Callable[[], object]) -> None:
        """Do the work, in a thread, and tell the event loop."""
        result, error = None, None
        try:
            result = self._work()
        except BaseException as failure:  # noqa: BLE001  for the caller who waits
            error = failure
        finished()
        with contextlib.suppress(RuntimeError):  # the event loop is closed: nobody waits
            self._loop.call_soon_threadsafe(self._tell, result, error)

    def _tell(self, result: object, error: BaseException | None) -> None:
        if not self.result.done():
            self.result.set_exception(error) if error is not None else self.result.set_result(result)


class Threads:
    """The threads of the process for blocking work. Any event loop may use them."""

    def __init__(self) -> None:
        # A finalizer may run in the same thread, at any allocation. So the lock can be taken twice, and the counts are
        # right after each statement under the lock.
        self._lock = threading.RLock()
        self._jobs: SimpleQueue[tuple[Job, Hashable]] = SimpleQueue()
        self._under_way: dict[Hashable, Job] = {}
        self._running = 0  # threads
        self._unfinished = 0  # jobs

    async def run(self, name: Hashable, work: Callable[[], T]) -> T:
        """Do the work in a thread: once for all who ask in an event loop for the same name meanwhile.

        Raises:
            RuntimeError: there is no thread, and Python starts none.
            Others: as `work` does.
        """
        loop = asyncio.get_running_loop()
        key = loop, name
        job = self._under_way.get(key)
        if job is None:
            self.have_spare()
            job = self._under_way[key] = Job(work, loop)
            with self._lock:
                self._unfinished += 1
            self._jobs.put((job, key))
            with contextlib.suppress(RuntimeError):  # the threads that run already do the work
                self.have_spare()
        return cast(T, await asyncio.shield(job.result))  # another caller may wait for the same

    def have_spare(self) -> None:
        """See that a thread waits for work. Raises RuntimeError when there is no thread, and Python starts none."""
        while True:
            with self._lock:
                if self._running >= min(self._unfinished + 1, MOST):
                    return
                self._running += 1
            thread = threading.Thread(target=self._work, args=[self._jobs], name="listenkey-blocking", daemon=True)
            try:
                thread.start()  # without the lock: a finalizer in the new thread may ask for a thread, too
            except BaseException as error:
                with self._lock:
                    self._running -= 1
                    has_others = self._running > 0
                if isinstance(error, RuntimeError) and has_others:
                    return
                raise

    def _work(self, jobs: "SimpleQueue[tuple[Job, Hashable]]") -> None:
        while True:
            job, key = jobs.get()
            job.do(partial(self._under_way.pop, key, None))
            del job, key  # a thread that waits must not keep an event loop
            with self._lock:
                self._unfinished -= 1
                if self._running > self._unfinished + 2:
                    self._running -= 1
                    return


threads = Threads()
if hasattr(os, "register_at_fork"):  # the threads do not exist in a forked child, and another may have held the lock
    os.register_at_fork(after_in_child=threads.__init__)  # type: ignore[misc]
