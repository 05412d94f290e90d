"""The account's events, typed, with a Gap wherever some may be missing: the twins of a user data stream.

Both have the same driver: the async twin in the event loop of the program, the sync twin in a thread that all sync
streams of the process share.
"""

import asyncio
import contextlib
import copy
import os
import queue
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NoReturn, Self
from urllib.parse import urlsplit

from listenkey._http.addresses import STREAM_URL, is_loopback
from listenkey._http.route import KEY_LIFE, Route, hidden, route_to
from listenkey._inside import Inside
from listenkey.client import AsyncListenKeyClient, ListenKeyClient, running_loop
from listenkey.errors import ConfigurationError, ListenKeyError
from listenkey.keeper import AsyncListenKeyKeeper, ListenKeyKeeper
from listenkey.keeper._inside import InsideKeeper
from listenkey.stream._buffer import Buffer
from listenkey.stream._driver import Driver, Keeper
from listenkey.stream._events import Item
from listenkey.stream._forms import FORMS, Form
from listenkey.stream._loop_thread import LoopThread
from listenkey.stream._pace import Pace

# Items that wait for the program; more are dropped, and counted in a Gap. If more than half wait, the connection waits
# for a fast program. Events that a change of connections held back come at once, and may wait beside them.
BUFFER = 10_000
# Where the stream of a REST address is: general-info and User Data Streams pages (asyncapi.yaml, servers).
STREAMS = {
    "https://eapi.binance.com": "wss://fstream.binance.com/private",
    "https://demo-fapi.binance.com": "wss://demo-fstream.binance.com/private",
}
Choice = Form | Literal["auto"]
TAKEN = 64  # items that an async program takes, before the event loop gets a turn


@dataclass(frozen=True)
class StreamStatus:
    """How a stream is doing, at a moment. An open connection is no proof that events come: see `last_event`.

    Attributes:
        state: "connecting"; "connected"; "ended" after the block, or once the iterator has raised an error.
        connected_since: since when the connection in use is open, in UTC. None without a connection.
        last_event: when the connection in use brought the last event, in UTC. None before the first event.
        waiting: items that the program has not taken yet.
        last_error: why no event can come now, or why the last attempt to connect failed. None when all is well.
        blind_since: since when events may be missing, and no Gap has told of it yet, in UTC: there is no connection, or
            the listen key is not proven. None when all is well, and after the block.
        key_proven: whether the listen key is known to have lived since the connection in use is open. A connection on
            a dead key looks like any other, and brings nothing.
        form: how the connections name the key. None with ``form="auto"``, until a connection has brought an event.
    """

    state: Literal["connecting", "connected", "ended"]
    connected_since: datetime | None
    last_event: datetime | None
    waiting: int
    last_error: ListenKeyError | None
    blind_since: datetime | None
    key_proven: bool
    form: Form | None = "path"


class EventStream:
    """The twins' common part: settings, and the items that wait for the program."""

    def __init__(
        self,
        keeper: Keeper,
        stream_url: str | None,
        form: Choice,
        tell_blind: bool,
        forever: bool,
        pace: Pace | None,
    ) -> None:
        if form != "auto" and form not in FORMS:
            raise ConfigurationError(f"form must be one of: {', '.join(FORMS)}, auto.")
        if forever and not InsideKeeper(keeper).is_endless:
            raise ConfigurationError(
                "forever=True needs a client: a keeper that was made elsewhere ends when its key is lost."
            )
        self._keeper, self._form, self._tell_blind, self._forever = keeper, form, tell_blind, forever
        self._pace = pace or Pace().scaled(InsideKeeper(keeper).client.key_life / KEY_LIFE)
        self._route = route_of(InsideKeeper(keeper).client, stream_url)
        self._buffer = Buffer(BUFFER)
        self._driver: Driver | None = None
        self._error: ListenKeyError | None = None
        self._left = False
        self._pid = os.getpid()

    def status(self) -> StreamStatus:
        """Say how the stream is doing.

        Raises:
            ConfigurationError: the block is not entered, or belongs to another process.
        """
        link = self._entered().link
        since = link.connected_since
        ended = self._left or self._error is not None
        state: Literal["connecting", "connected", "ended"] = (
            "ended" if ended else "connected" if since else "connecting"
        )
        return StreamStatus(
            state,
            since,
            link.last_event,
            len(self._buffer),
            self._error or link.trouble,
            None if self._left else link.blind_since,
            link.is_key_proven and not ended,
            self._entered().form,
        )

    def _entered(self) -> Driver:
        if os.getpid() != self._pid:
            raise ConfigurationError("This stream is another process's: after a fork, make a new client and stream.")
        if self._driver is None:
            raise ConfigurationError(f"This stream is not running: enter its block, as in `{self._with} stream`.")
        return self._driver

    _with: str  # how a block begins

    def _check_new(self) -> None:
        if self._driver is not None:
            raise ConfigurationError("A stream is entered once: make a new one.")

    def _enter(self, arrived: Callable[[], None]) -> Driver:
        """Make the driver. `arrived` wakes the program that waits."""

        def fail(error: ListenKeyError) -> None:
            self._error = error
            arrived()

        self._driver = Driver(
            self._keeper,
            self._route,
            None if self._form == "auto" else self._form,
            self._pace,
            self._buffer,
            arrived,
            fail,
            tell_blind=self._tell_blind,
            is_endless=self._forever,
        )
        return self._driver

    def _is_out_of_reach(self) -> bool:
        """Whether there is nothing to leave: in a forked child, or when Python ends and no thread runs any more."""
        return os.getpid() != self._pid or sys.is_finalizing()

    def _moved_to(self, hand: list[Item]) -> bool:
        """Move the next item to `hand`. False: the program has to wait. Raises the error that has ended the stream."""
        if self._buffer.move_to(hand):
            return True
        if self._error is not None and not len(self._buffer):
            raise copy.copy(self._error) from self._error.__cause__  # each caller gets a separate traceback
        return False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._keeper!r}, form={self._form!r})"

    def __reduce__(self) -> NoReturn:
        raise ConfigurationError("A stream cannot be copied or pickled: make a new one where it is needed.")


class AsyncUserDataStream(EventStream):
    """The account's events, for asyncio: an async iterator, for as long as an `async with` block.

    For example:

        async with AsyncListenKeyClient(api_key) as client, AsyncUserDataStream(client) as stream:
            async for event in stream:
                match event:
                    case Gap(): resync()
                    case OrderTradeUpdate(order=order): print(order.client_order_id, order.status)

    The first item is `Gap("started")`; a further Gap stands wherever events may be missing. The stream keeps the listen
    key alive, connects anew after every loss, and leaves the key alone when the block is left. Up to 10,000 items wait
    for the program. From 5,000 on the connection waits for a program that takes 500 items a second or more. But a
    connection that is being replaced does not wait, because its last events have a few seconds to come.

    While the stream cannot work, `status()` says since when and why, and the log warns: after 10 seconds, then after
    ever longer times. The block belongs to the event loop that entered it.

    Args:
        source: the account's client, or a keeper whose block is entered. The stream does not close that keeper.
        stream_url: where the stream is, for example ``wss://fstream.binance.com/private``. None: where the source's
            base URL says: production, demo and the sandbox are known.
        form: how a connection names the key: ``path`` (the options pages), ``query`` (the USDⓈ-M pages) or
            ``subscribe`` (Binance's own SDK). ``auto``: a connection by each is open until one brings an event. That
            one is kept, and further connections have its form.
        tell_blind: whether the iterator brings a `Blind` at once when the connection or the key is lost, and after 10
            seconds without a first connection. The Gap follows when events come again.
        forever: whether the stream starts anew by itself where it would end otherwise: when the listen key was lost,
            and when every connection since the start was refused. Entering then waits for trouble to pass: no answer, a
            fault of the server, a 429 or 418. Each time the stream waits as long as the error asks for, else longer
            after each failure, up to 16 minutes. A Gap tells when events come again. Needs a client as the source.

    Raises:
        ConfigurationError: a setting cannot work, nobody said where the stream of this base URL is, or the stream is
            used in another event loop, copied or pickled.
        LeaseLost: from the iterator: the listen key could not be kept alive. A new stream on the client starts anew.
            With `forever`: never.
        ApiError, UnexpectedResponse, TransportError: from the iterator: the address or a proxy has refused every
            connection since the start, and will go on to. A stream that has worked once never ends so: it goes on, as
            its keeper does. With `forever`: never.
        Others: entering raises what `client.start()` does. With `forever`: a refusal alone, for example of the API key.
    """

    _with = "async with"

    def __init__(
        self,
        source: AsyncListenKeyClient | AsyncListenKeyKeeper,
        *,
        stream_url: str | None = None,
        form: Choice = "path",
        tell_blind: bool = False,
        forever: bool = False,
        _pace: Pace | None = None,
    ) -> None:
        keeper = (
            source if isinstance(source, AsyncListenKeyKeeper) else AsyncListenKeyKeeper(source, _is_endless=forever)
        )
        self._own = None if keeper is source else keeper
        super().__init__(keeper, stream_url, form, tell_blind, forever, _pace)
        self._arrived = asyncio.Event()
        self._taken = 0

    async def __aenter__(self) -> Self:
        self._check_new()
        async with contextlib.AsyncExitStack() as stack:
            if self._own:
                await stack.enter_async_context(self._own)
            self._loop = asyncio.get_running_loop()
            driver = self._enter(self._arrived.set)
            stack.callback(driver.leave)
            driver.start()
            stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._is_out_of_reach() or self._driver is None:
            return
        self._check_loop()
        self._left = True
        self._driver.leave()
        self._arrived.set()
        try:  # here all is over that has to be: each await below may be cancelled
            if self._own:
                await self._own.__aexit__(None, None, None)
        finally:
            await self._driver.stop()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        if self._owes_turn():
            await asyncio.sleep(0)
        hand: list[Item] = []
        try:
            if not self._left and self._moved_to(hand):  # as `_first` does, without another coroutine
                return hand[0]
        except BaseException:
            self._buffer.put_back(hand)
            raise
        return await self._first()

    async def next_within(self, seconds: float) -> Item | None:
        """Return the next item. None: none came in so many seconds.

        Raises:
            StopAsyncIteration: the block was left.
            Others: as the iterator.
        """
        if self._owes_turn():
            await asyncio.sleep(0)  # takes none of the seconds
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self._first()
        return None

    def _owes_turn(self) -> bool:
        """Whether the event loop has to get a turn: a program that never waits would keep its loop from reading."""
        self._entered()
        self._check_loop()
        self._taken += 1
        return self._taken % TAKEN == 0

    async def _first(self) -> Item:
        """Wait for the first item that waits."""
        hand: list[Item] = []
        try:
            while not self._left:
                if self._moved_to(hand):
                    return hand[0]  # no call in between: no interrupt can take the item away
                self._arrived.clear()
                await self._arrived.wait()
        except BaseException:
            self._buffer.put_back(hand)
            raise
        raise StopAsyncIteration

    def _check_loop(self) -> None:
        if self._loop is not running_loop():
            raise ConfigurationError("This stream belongs to another event loop: use and leave it in its own.")


class UserDataStream(EventStream):
    """The account's events: an iterator, for as long as a `with` block. As `AsyncUserDataStream`, without await.

    A thread of the process moves the bytes of all streams. The keeper of each stream has a thread, too. The
    iterator may be used from any thread. The block may be left from any thread, a signal handler or a finalizer.

    Raises:
        TransportError: entering: no thread or descriptor is left.
        Others: as `AsyncUserDataStream`.
    """

    _with = "with"

    def __init__(
        self,
        source: ListenKeyClient | ListenKeyKeeper,
        *,
        stream_url: str | None = None,
        form: Choice = "path",
        tell_blind: bool = False,
        forever: bool = False,
        _pace: Pace | None = None,
    ) -> None:
        keeper = source if isinstance(source, ListenKeyKeeper) else ListenKeyKeeper(source, _is_endless=forever)
        self._own = None if keeper is source else keeper
        super().__init__(keeper, stream_url, form, tell_blind, forever, _pace)
        self._arrived: queue.SimpleQueue[None] = queue.SimpleQueue()  # a handler may put in the middle of a get

    def __enter__(self) -> Self:
        self._check_new()
        try:
            if self._own:
                self._own.__enter__()
            LoopThread.begin(self._enter(self._wake))
            if self._left:  # a signal handler has left the block in the middle of this
                self._leave()
            return self  # in the `try`: Ctrl-C may come until Python has begun the block
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        try:
            self._leave()
        except BaseException:  # Ctrl-C in the middle of it: again, from the beginning
            self._leave()
            raise
        if not self._is_out_of_reach() and self._driver is not None and self._driver.home is not None:
            self._driver.home.wait(self._driver)

    def _leave(self) -> None:
        """End all, without waiting. May be repeated."""
        if self._is_out_of_reach():
            return
        self._left = True
        self._arrived.put(None)
        if self._driver is not None and self._driver.home is not None:
            self._driver.home.end(self._driver)
        if self._own and not InsideKeeper(self._own).is_new:
            self._own.__exit__()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Item:
        while True:
            hand: list[Item] = []
            try:
                if self._taken_within(1.0, hand):
                    return hand[0]  # no call in between: no interrupt can take the item away
            except BaseException:
                self._buffer.put_back(hand)
                raise

    def next_within(self, seconds: float) -> Item | None:
        """Return the next item. None: none came in so many seconds.

        Raises:
            StopIteration: the block was left.
            Others: as the iterator.
        """
        hand: list[Item] = []
        try:
            return hand[0] if self._taken_within(seconds, hand) else None
        except BaseException:
            self._buffer.put_back(hand)
            raise

    def _taken_within(self, seconds: float, hand: list[Item]) -> bool:
        self._entered()
        ends_at = time.monotonic() + seconds
        while True:
            if self._left:
                self._arrived.put(None)  # for another thread that waits
                raise StopIteration
            if self._moved_to(hand):
                if len(self._buffer) and self._arrived.empty():
                    self._arrived.put(None)
                return True
            left = ends_at - time.monotonic()
            if left <= 0:
                return False
            with contextlib.suppress(queue.Empty):
                self._arrived.get(timeout=left)

    def _wake(self) -> None:
        if self._arrived.empty():  # else the program looks anyway
            self._arrived.put(None)


def route_of(client: Inside, stream_url: str | None) -> Route:
    """Say where the stream is, and how to get there."""
    origin, local = client.route.url.rstrip("/"), urlsplit(client.route.url)
    if stream_url is None and local.hostname is not None and is_loopback(local.hostname):
        scheme = STREAM_URL.encrypted if client.route.is_encrypted else STREAM_URL.plain
        stream_url = f"{scheme}://{local.netloc}/private"
    url = hidden(STREAMS.get(origin) if stream_url is None else stream_url)
    del stream_url
    if not isinstance(url, str):
        raise ConfigurationError(
            "Nobody said where the stream of this base URL is: pass stream_url, like wss://fstream.binance.com/private."
        )
    if not url.startswith(("wss://", "ws://")):
        raise ConfigurationError("stream_url must start with wss://, like wss://fstream.binance.com/private.")
    return route_to(STREAM_URL, url, client.wishes)
