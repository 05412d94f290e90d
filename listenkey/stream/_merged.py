"""The streams of many accounts as one flow, for both twins: each item with the name of its account.

Each stream has a thread (or a task), which enters, reads and leaves the stream. A few items of an account wait here.
Further items wait in the account's own stream. So accounts take turns, and a busy account delays no other.
"""

import asyncio
import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Self, overload

from listenkey._lock import is_held_here, move_first
from listenkey.errors import ConfigurationError, ListenKeyError, TransportError
from listenkey.stream._events import Item
from listenkey.stream._streams import AsyncUserDataStream, UserDataStream

Told = tuple[str, Item | ListenKeyError]
WAITING = 32  # items of an account that wait here; with one alone, each item would take a change of threads
LEAVING = 5.0  # seconds that leaving waits for the threads. A thread ends after the call that it is making


@overload
def merged(streams: Mapping[str, UserDataStream]) -> "MergedStreams": ...
@overload
def merged(streams: Mapping[str, AsyncUserDataStream]) -> "AsyncMergedStreams": ...
def merged(
    streams: Mapping[str, UserDataStream] | Mapping[str, AsyncUserDataStream],
) -> "MergedStreams | AsyncMergedStreams":
    """Make one flow of the streams of many accounts: ``(name, item)``, for as long as a ``with`` block.

        with merged({"alice": UserDataStream(alice), "bob": UserDataStream(bob)}) as items:
            for name, item in items:
                …

    The block enters and leaves the streams. The accounts take turns. So an account that is slow to start, busy or
    broken delays no other account. The last item of an account that cannot go on is its error, a `ListenKeyError`. The
    flow ends when no account goes on.

    Args:
        streams: New streams, of one kind, by the names of their accounts.

    Raises:
        ConfigurationError: there is no stream, or the streams are of two kinds.
    """
    sync = {name: each for name, each in streams.items() if isinstance(each, UserDataStream)}
    apart = {name: each for name, each in streams.items() if isinstance(each, AsyncUserDataStream)}
    if not streams or len(streams) not in (len(sync), len(apart)):
        raise ConfigurationError("merged() needs one stream or more: all UserDataStream, or all AsyncUserDataStream.")
    return MergedStreams(sync) if sync else AsyncMergedStreams(apart)


class MergedStreams:
    """The items of many `UserDataStream`, with the names of their accounts. `merged` makes it.

    An iterator, for as long as a ``with`` block. Any thread may iterate and leave the block.

    Raises:
        ConfigurationError: entering: the block was entered before.
        TransportError: entering: no thread is left.
    """

    def __init__(self, streams: Mapping[str, UserDataStream]) -> None:
        self._streams = dict(streams)
        self._threads: list[threading.Thread] = []
        self._room = {name: threading.Semaphore(WAITING) for name in self._streams}  # for items that wait here
        self._row: deque[Told] = deque()
        self._arrived: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._bug: BaseException | None = None
        self._left = False

    def __repr__(self) -> str:
        return f"<MergedStreams of {len(self._streams)} accounts>"

    def __enter__(self) -> Self:
        if self._threads or self._left:
            raise ConfigurationError("These streams were merged before: make new ones.")
        try:
            for name, stream in self._streams.items():
                thread = threading.Thread(
                    target=self._follow, args=(name, stream), name="listenkey-merged", daemon=True
                )
                self._threads.append(thread)
                thread.start()
        except BaseException as error:  # no thread is left, or Ctrl-C
            self.__exit__()
            if isinstance(error, RuntimeError):
                raise TransportError("No thread is left for another account.") from error
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._left = True
        self._arrived.put(None)
        for name, stream in self._streams.items():
            stream._leave()  # without waiting: each thread waits for its own
            self._room[name].release()
        if is_held_here():  # the threads need the lock to leave
            return
        until = time.monotonic() + LEAVING
        for thread in self._threads:
            if thread.ident is not None and thread is not threading.current_thread():
                thread.join(max(0.0, until - time.monotonic()))

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Told:
        while True:
            hand: list[Told] = []
            try:
                if self._moved_to(hand):
                    return hand[0]  # no call in between: no interrupt can take the item away
            except BaseException:
                self._row.extendleft(hand)
                raise

    def _moved_to(self, hand: list[Told]) -> bool:
        """Move the next item to the empty list `hand`, or wait for one. An interrupt loses no item."""
        if self._left:
            self._arrived.put(None)  # for another thread that waits
            raise StopIteration
        if not move_first(self._row, hand):
            if self._bug is not None:
                raise self._bug
            if not any(thread.is_alive() for thread in self._threads) and not self._row:
                raise StopIteration
            with contextlib.suppress(queue.Empty):
                self._arrived.get(timeout=1.0)
            return False
        self._room[hand[0][0]].release()
        if self._row:
            self._tell_arrived()  # another thread that waits
        return True

    def _follow(self, name: str, stream: UserDataStream) -> None:
        try:
            with stream:
                while not self._left:
                    if (item := stream.next_within(1.0)) is not None:
                        while not self._room[name].acquire(timeout=1.0):  # Ctrl-C may have cut `__exit__` short
                            if self._left:
                                return
                        self._give(name, item)
        except StopIteration:
            pass  # the block was left
        except ListenKeyError as error:
            self._give(name, error)
        except BaseException as bug:  # noqa: BLE001  for whoever iterates
            self._bug = bug
        finally:
            self._arrived.put(None)

    def _give(self, name: str, item: Item | ListenKeyError) -> None:
        self._row.append((name, item))
        self._tell_arrived()

    def _tell_arrived(self) -> None:
        if self._arrived.empty():  # a single mark is enough; a mark for each item would pile up while a program is busy
            self._arrived.put(None)


class AsyncMergedStreams:
    """The items of many `AsyncUserDataStream`, with the names of their accounts. `merged` makes it.

    As `MergedStreams`, with ``async with`` and ``async for``, in one event loop.

    Raises:
        ConfigurationError: entering: the block was entered before.
    """

    def __init__(self, streams: Mapping[str, AsyncUserDataStream]) -> None:
        self._streams = dict(streams)
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = {name: asyncio.Semaphore(WAITING) for name in self._streams}  # for items that wait here
        self._row: asyncio.Queue[Told | None] = asyncio.Queue()  # None: look again
        self._left = False

    def __repr__(self) -> str:
        return f"<AsyncMergedStreams of {len(self._streams)} accounts>"

    async def __aenter__(self) -> Self:
        if self._tasks or self._left:
            raise ConfigurationError("These streams were merged before: make new ones.")
        self._tasks = {asyncio.create_task(self._follow(name, stream)) for name, stream in self._streams.items()}
        return self

    async def __aexit__(self, *_: object) -> None:
        self._left = True
        self._row.put_nowait(None)
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Told:
        while not self._left:
            if self._row.empty() and all(task.done() for task in self._tasks):
                break
            if (told := await self._row.get()) is not None:
                self._room[told[0]].release()
                return told
            for task in self._tasks:
                if task.done() and not task.cancelled() and (bug := task.exception()) is not None:
                    raise bug
        self._row.put_nowait(None)  # for another task that waits
        raise StopAsyncIteration

    async def _follow(self, name: str, stream: AsyncUserDataStream) -> None:
        try:
            async with stream:
                async for item in stream:
                    await self._room[name].acquire()
                    self._row.put_nowait((name, item))
        except ListenKeyError as error:
            self._row.put_nowait((name, error))
        finally:
            asyncio.get_running_loop().call_soon(self._row.put_nowait, None)  # when this task is done
