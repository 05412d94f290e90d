"""The account's events, typed, with a Gap wherever some may be missing: the twins of a user data stream.

Both move bytes and time; `_link` decides. The sync twin has the same asyncio driver, in one thread for all streams of
the process: a blocking socket would cost three threads a stream. Connections are made as REST's are: see `_websocket`.
"""

import asyncio
import contextlib
import copy
import json
import logging
import os
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar, Literal, NoReturn, Self, cast
from urllib.parse import quote, urlsplit

from listenkey._clock import clock
from listenkey._http.addresses import STREAM_URL, is_loopback
from listenkey._http.exchange import AsyncExchange, share
from listenkey._http.masking import Secret, described
from listenkey._http.route import KEY_LIFE, Account, Route, hidden, route_to
from listenkey._http.threads import threads
from listenkey._inside import Inside
from listenkey._limits.wait import JITTER
from listenkey._lock import is_held_here, lock
from listenkey.client import AsyncListenKeyClient, ListenKeyClient
from listenkey.errors import ConfigurationError, ListenKeyError, RateLimited, TransportError
from listenkey.keeper import AsyncListenKeyKeeper, ListenKeyKeeper
from listenkey.keeper._inside import InsideKeeper
from listenkey.stream import _websocket
from listenkey.stream._buffer import Buffer
from listenkey.stream._events import Item
from listenkey.stream._machine import Action, Do, Link, Pace

# Items that wait for the program; more are dropped, and counted in a Gap. Events that a change of connections held back
# come at once, and may wait beside them.
BUFFER = 10_000
Form = Literal["path", "query", "subscribe"]
# Where the stream of a REST address is: general-info and User Data Streams pages (asyncapi.yaml, servers).
_STREAMS = {
    "https://eapi.binance.com": "wss://fstream.binance.com/private",
    "https://demo-fapi.binance.com": "wss://demo-fstream.binance.com/private",
}
_FORMS: dict[Form, str] = {"path": "/ws/{}", "query": "/ws?listenKey={}", "subscribe": "/stream"}  # asyncapi.yaml
_TAKEN = 64  # items that an async program takes, before the event loop gets a turn
_BROUGHT = 32  # frames that are read, before the event loop gets a turn: a program that only reads is never too slow
_LEAVING = 5.0  # seconds to wait for the thread of the event loop; longer, and something else holds up that thread
NO_THREAD = (
    "No thread or descriptor is left for the stream: too many are in use, or the program ends. The key lives on."
)
_log = logging.getLogger("listenkey.stream")
Client = ListenKeyClient | AsyncListenKeyClient
Keeper = ListenKeyKeeper | AsyncListenKeyKeeper


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
    """

    state: Literal["connecting", "connected", "ended"]
    connected_since: datetime | None
    last_event: datetime | None
    waiting: int
    last_error: ListenKeyError | None
    blind_since: datetime | None
    key_proven: bool


class _Driver:
    """Carries out the orders of a Link, in an event loop."""

    home: "_LoopThread | None" = None  # of a sync stream

    def __init__(
        self,
        keeper: Keeper,
        route: Route,
        form: Form,
        pace: Pace,
        put: Callable[[Item | ListenKeyError], None],
        expect: Callable[[int], None],
        *,
        tell_blind: bool,
    ) -> None:
        self._keeper, self._inside = keeper, InsideKeeper(keeper)
        self._address = self._inside.client.address
        self._route, self._form, self._pace, self._put, self._expect = route, form, pace, put, expect
        self._serving: dict[int, asyncio.Task[None]] = {}
        self._sockets: dict[int, _websocket.WebSocket] = {}
        self._pings: dict[tuple[int, int], float] = {}  # by connection and ping: when it was asked
        self._timers: set[asyncio.TimerHandle] = set()  # that end connections which do not close
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._ended = False
        self._exchange: AsyncExchange | None = None
        key = keeper.key.value
        self.link = Link(
            clock(),
            datetime.now(UTC),
            key,
            pace,
            JITTER,
            subscribe=form == "subscribe",
            tell_blind=tell_blind,
            where=str(route),
        )

    def start(self) -> None:
        """Begin, in the running event loop."""
        if self._ended:  # a signal handler or another thread has left the block meanwhile
            return
        self._loop = asyncio.get_running_loop()
        self._exchange = share(AsyncExchange, self._route, self._loop)
        self._inside.listen(self._wake)
        self._tick()

    def leave(self) -> None:
        """End all, without waiting. Close frames are sent, and no answer is awaited. May be repeated."""
        self._ended = True
        self._inside.stop_listening(self._wake)
        for timer in (self._timer, *self._timers):
            if timer is not None:
                timer.cancel()
        for socket in self._sockets.values():
            socket.close()
            socket.abort()
        for task in self._serving.values():
            task.cancel()

    async def stop(self) -> None:
        """End all, and wait until no task is left. May be repeated."""
        self.leave()
        try:
            if self._serving:
                await asyncio.wait(self._serving.values())
        finally:
            exchange, self._exchange = self._exchange, None
            if exchange is not None:
                await exchange.release()  # keeps no connection: this waits for nothing

    def _fail(self, error: ListenKeyError) -> None:
        self.leave()
        self._put(error)

    def _wake(self) -> None:
        """Look at the keeper soon. Called from any thread."""
        with contextlib.suppress(RuntimeError):  # the event loop is closed
            self._loop.call_soon_threadsafe(self._tick)

    def _tick(self) -> None:
        self._tell(self._look_at_keeper)

    def _look_at_keeper(self, link: Link) -> Sequence[Action]:
        link.set_wall(clock(), datetime.now(UTC))
        key, proof = self._inside.proof()
        if not link.is_key_proven:
            link.key_error = self._keeper.status().last_error
        return link.key(clock(), key.value, proof)

    def _tell(self, what: Callable[[Link], Sequence[Action]]) -> None:
        """Tell the Link, and carry out the orders."""
        if self._ended:
            return
        try:
            self.link.not_before = self._address.rate_limit_wait.until
            actions = what(self.link)
            self._expect(len(actions))
            for action in actions:
                self._obey(action)
        except ListenKeyError as error:  # the keeper's end
            self._fail(error)
        except Exception as bug:  # noqa: BLE001  whatever it is, a dead stream says so; its frames hold the listen key
            name = type(bug).__name__
            _log.error("the stream broke down: %s", name, extra={"listenkey_event": "broke_down"})
            self._fail(ListenKeyError(f"The stream broke down ({name}). Make a new one."))
        if not self._ended:
            self._set_timer()

    def _set_timer(self) -> None:
        due = min(self.link.wake, clock() + self._pace.poll)
        if self._timer is None or due < self._due or self._timer.when() <= self._loop.time():
            if self._timer is not None:
                self._timer.cancel()
            self._due = due
            self._timer = self._loop.call_later(max(0.0, due - clock()), self._tick)

    def _obey(self, action: Action) -> None:
        if isinstance(action, ListenKeyError):
            self._fail(action)
        elif not isinstance(action, Do):
            self._put(action)
        elif action.what == "open":
            serve = self._serve(action.number, Secret(action.key))
            self._serving[action.number] = self._loop.create_task(serve, name="listenkey-stream")
        elif action.what in ("renew", "prove"):
            with contextlib.suppress(ListenKeyError):  # the next tick shows the keeper's end
                self._keeper.renew_soon()
        elif (socket := self._sockets.get(action.number)) is not None:
            self._order(socket, action)
        elif (task := self._serving.get(action.number)) is not None:  # the socket is still being opened
            task.cancel()

    def _order(self, socket: _websocket.WebSocket, order: Do) -> None:
        if order.what == "ping":
            self._pings[order.number, socket.ping()] = clock()
        elif order.what == "subscribe":
            socket.send(json.dumps({"method": "SUBSCRIBE", "params": [order.key], "id": 1}))
        else:
            socket.close()
            self._timers.add(self._loop.call_later(self._pace.drain, socket.abort))
            self._timers = {timer for timer in self._timers if timer.when() > self._loop.time()}

    async def _serve(self, number: int, key: Secret) -> None:
        """Open a socket, and read until its end."""
        clean, error = False, cast(ListenKeyError | None, None)
        try:
            await self._turn(number)
            asked = clock()
            socket = self._sockets[number] = await self._open(key, asked)
            self._tell(lambda link: link.opened(clock(), number, asked))
            clean, why = await self._read(number, socket)
            error = None if clean else TransportError(f"The connection to {self._route} was lost: {why}.")
        except ListenKeyError as failure:
            error = failure
        except Exception as bug:  # noqa: BLE001  its text and its frames may hold the listen key
            why = described(bug, key)
            error = TransportError(f"The connection to {self._route} was lost: {type(bug).__name__} ({why}).")
        finally:
            self._serving.pop(number, None)
            if (opened := self._sockets.pop(number, None)) is not None:
                opened.abort()
            self._pings = {ping: asked for ping, asked in self._pings.items() if ping[0] != number}
        ending = "closed" if error is None else str(error)
        extra = {"listenkey_event": "disconnected", "listenkey_reason": ending}
        _log.info("connection %d of the stream: %s", number, ending, extra=extra)
        self._tell(lambda link: link.closed(clock(), number, clean=clean, error=error))

    async def _read(self, number: int, socket: _websocket.WebSocket) -> tuple[bool, str]:
        """Read to the end. Returns whether both have closed, we first, and why nothing more came."""
        taken = 0
        while data := await socket.read():
            for frame in socket.received(data):
                if frame.kind == "message":
                    self._tell(lambda link: link.frame(clock(), number, frame.message))  # noqa: B023  called at once
                elif (asked := self._pings.pop((number, frame.ping), None)) is not None:
                    self._tell(lambda link: link.pong(clock(), number, asked))
                taken += 1
                if taken % _BROUGHT == 0:
                    await asyncio.sleep(0)
            clean, why = socket.ending()
            if why is not None:
                return clean, why
        return False, "the server ended it without a close frame"

    async def _turn(self, number: int) -> None:
        """Wait until this connection may be opened: the streams of an address take turns."""
        openings = self._address.openings
        who, scale = (self, number), self._pace.first  # a second, less in a test
        try:
            while True:
                now = clock()
                until = self._address.rate_limit_wait.until
                wait = until - now if until > now else openings.ask(who, self.link.lost_at(), now, scale)
                if not wait:
                    return
                await asyncio.sleep(min(wait, 1.0))
        finally:
            openings.leave(who)

    async def _open(self, key: Secret, asked: float) -> _websocket.WebSocket:
        path = urlsplit(self._route.url).path.rstrip("/")
        target = Secret(path + _FORMS[self._form].format(quote(key, safe="")))
        account = Account(key, self._pace.opening)
        try:
            return await _websocket.open_websocket(cast(AsyncExchange, self._exchange), target, account)
        except RateLimited as error:  # counts for everyone on this address
            self._address.rate_limit_wait.refused(error, asked, clock())
            raise


class _Stream:
    """The twins' common part: settings, and the items that wait for the program."""

    def __init__(self, keeper: Keeper, stream_url: str | None, form: Form, tell_blind: bool, pace: Pace | None) -> None:
        if form not in _FORMS:
            raise ConfigurationError(f"form must be one of: {', '.join(_FORMS)}.")
        self._keeper, self._form, self._tell_blind = keeper, form, tell_blind
        self._pace = pace or Pace().scaled(InsideKeeper(keeper).client.key_life / KEY_LIFE)
        self._route = _route_of(InsideKeeper(keeper).client, stream_url)
        self._buffer = Buffer(BUFFER)
        self._driver: _Driver | None = None
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
        blind_since = None if self._left else link.blind_since
        error = self._error or link.trouble
        return StreamStatus(
            state, since, link.last_event, len(self._buffer), error, blind_since, link.is_key_proven and not ended
        )

    def _entered(self) -> _Driver:
        if os.getpid() != self._pid:
            raise ConfigurationError("This stream is another process's: after a fork, make a new client and stream.")
        if self._driver is None:
            raise ConfigurationError(f"This stream is not running: enter its block, as in `{self._with} stream`.")
        return self._driver

    _with: str  # how a block begins

    def _check_new(self) -> None:
        if self._driver is not None:
            raise ConfigurationError("A stream is entered once: make a new one.")

    def _enter(self, put: Callable[[Item | ListenKeyError], None]) -> _Driver:
        self._driver = _Driver(
            self._keeper, self._route, self._form, self._pace, put, self._buffer.expect, tell_blind=self._tell_blind
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
            raise copy.copy(self._error) from self._error.__cause__  # with a traceback of its own
        return False

    def _keep(self, item: Item | ListenKeyError) -> None:
        if isinstance(item, ListenKeyError):
            self._error = item
        else:
            link, now = self._entered().link, clock()
            self._buffer.put(item, link.last_proof(now), link.at(now))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._keeper!r}, form={self._form!r})"

    def __reduce__(self) -> NoReturn:
        raise ConfigurationError("A stream cannot be copied or pickled: make a new one where it is needed.")


class AsyncUserDataStream(_Stream):
    """The account's events, for asyncio: an async iterator, for as long as an `async with` block.

    For example:

        async with AsyncListenKeyClient(api_key) as client, AsyncUserDataStream(client) as stream:
            async for event in stream:
                match event:
                    case Gap(): resync()
                    case OrderTradeUpdate(order=order): print(order.client_order_id, order.status)

    The first item is `Gap("started")`; a further Gap stands wherever events may be missing. The stream keeps the listen
    key alive, connects anew after every loss, and leaves the key alone when the block is left. Up to 10,000 items wait
    for a program that is slow.

    While the stream cannot work, `status()` says since when and why, and the log warns: after 10 seconds, then after
    ever longer times. The block belongs to the event loop that entered it.

    Args:
        source: the account's client, or a keeper whose block is entered. The stream does not close that keeper.
        stream_url: where the stream is, for example ``wss://fstream.binance.com/private``. None: where the source's
            base URL says: production, demo and the sandbox are known.
        form: how a connection names the key: ``path`` (the options pages), ``query`` (the USDⓈ-M pages) or
            ``subscribe`` (Binance's own SDK).
        tell_blind: whether the iterator brings a `Blind` at once when the connection or the key is lost, and after 10
            seconds without a first connection. The Gap follows when events come again.

    Raises:
        ConfigurationError: a setting cannot work, nobody said where the stream of this base URL is, or the stream is
            used in another event loop, copied or pickled.
        LeaseLost: from the iterator: the listen key could not be kept alive. A new stream on the client starts anew.
        ApiError, UnexpectedResponse, TransportError: from the iterator: the address or a proxy has refused every
            connection since the start, and will go on to. A stream that has worked once never ends so: it goes on, as
            its keeper does.
        Others: entering raises what `client.start()` does.
    """

    _with = "async with"

    def __init__(
        self,
        source: AsyncListenKeyClient | AsyncListenKeyKeeper,
        *,
        stream_url: str | None = None,
        form: Form = "path",
        tell_blind: bool = False,
        _pace: Pace | None = None,
    ) -> None:
        keeper = source if isinstance(source, AsyncListenKeyKeeper) else AsyncListenKeyKeeper(source)
        self._own = None if keeper is source else keeper
        super().__init__(keeper, stream_url, form, tell_blind, _pace)
        self._arrived = asyncio.Event()
        self._taken = 0

    async def __aenter__(self) -> Self:
        self._check_new()
        async with contextlib.AsyncExitStack() as stack:
            if self._own:
                await stack.enter_async_context(self._own)
            self._loop = asyncio.get_running_loop()
            driver = self._enter(self._put)
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
        await self._turn()
        return await self._first()

    async def next_within(self, seconds: float) -> Item | None:
        """Return the next item. None: none came in so many seconds.

        Raises:
            StopAsyncIteration: the block was left.
            Others: as the iterator.
        """
        await self._turn()  # takes none of the seconds
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self._first()
        return None

    async def _turn(self) -> None:
        """Give the event loop a turn now and then: a program that never waits would keep its loop from reading."""
        self._entered()
        self._check_loop()
        self._taken += 1
        if self._taken % _TAKEN == 0:
            await asyncio.sleep(0)

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

    def _put(self, item: Item | ListenKeyError) -> None:
        self._keep(item)
        self._arrived.set()

    def _check_loop(self) -> None:
        if self._loop is not _running_loop():
            raise ConfigurationError("This stream belongs to another event loop: use and leave it in its own.")


class UserDataStream(_Stream):
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
        form: Form = "path",
        tell_blind: bool = False,
        _pace: Pace | None = None,
    ) -> None:
        keeper = source if isinstance(source, ListenKeyKeeper) else ListenKeyKeeper(source)
        self._own = None if keeper is source else keeper
        super().__init__(keeper, stream_url, form, tell_blind, _pace)
        self._arrived: queue.SimpleQueue[None] = queue.SimpleQueue()  # a handler may put in the middle of a get

    def __enter__(self) -> Self:
        self._check_new()
        try:
            if self._own:
                self._own.__enter__()
            _LoopThread.begin(self._enter(self._put))
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

    def _put(self, item: Item | ListenKeyError) -> None:
        self._keep(item)
        if self._arrived.empty():  # else the program looks anyway
            self._arrived.put(None)


class _LoopThread:
    """An event loop in a thread, for the sync streams of the process. The last stream to leave ends the loop.

    Streams that begin in the same moment, while there is no thread, may make a thread each.

    Ctrl-C may come at each line, and a signal handler may begin and end streams in the middle of this. So a driver
    knows its thread before the thread starts, and other streams use the thread only once it surely runs.
    """

    current: "ClassVar[_LoopThread | None]" = None  # that a further stream uses

    def __init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name="listenkey-stream", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None  # made in the thread, where no Ctrl-C comes in between
        self._made: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()  # why there is no loop; None: it runs
        self._drivers: dict[_Driver, threading.Lock] = {}  # each with a lock until the driver has ended
        self._to_end: deque[_Driver] = deque()
        self._endings: dict[_Driver, asyncio.Task[None]] = {}

    @classmethod
    def begin(cls, driver: _Driver) -> None:
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

    def end(self, driver: _Driver) -> None:
        """Let a driver end, without waiting. May be repeated."""
        self._to_end.append(driver)
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._end_all)

    def wait(self, driver: _Driver) -> None:
        """Wait until a driver has ended. In the loop's thread, and in the middle of other work of ours: do not wait."""
        if threading.current_thread() is self._thread or is_held_here():
            return
        ended, waits_until = self._drivers.get(driver), time.monotonic() + _LEAVING
        while ended is not None and not ended.acquire(timeout=0.1):
            if not self._thread.is_alive() or time.monotonic() > waits_until:
                return
        if ended is not None:
            ended.release()  # for another thread that waits
        if not self._drivers and self._thread.is_alive():  # it was the last
            self._thread.join(_LEAVING)

    def _end_all(self) -> None:
        """End the drivers that were asked to end."""
        while self._to_end:
            driver = self._to_end.popleft()
            driver.leave()
            if driver in self._drivers and driver not in self._endings:
                self._endings[driver] = asyncio.create_task(self._end(driver))

    async def _end(self, driver: _Driver) -> None:
        try:
            await driver.stop()
        finally:
            with lock:
                ended = self._drivers.pop(driver)
                is_last = not self._drivers
                if is_last and _LoopThread.current is self:
                    _LoopThread.current = None
            self._endings.pop(driver)
            ended.release()
            if is_last:
                asyncio.get_running_loop().stop()


def _after_fork() -> None:
    """Begin with no thread in a child process."""
    _LoopThread.current = None


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    with contextlib.suppress(RuntimeError):
        return asyncio.get_running_loop()
    return None


def _route_of(client: Inside, stream_url: str | None) -> Route:
    """Say where the stream is, and how to get there."""
    origin, local = client.route.url.rstrip("/"), urlsplit(client.route.url)
    if stream_url is None and local.hostname is not None and is_loopback(local.hostname):
        scheme = STREAM_URL.encrypted if client.route.is_encrypted else STREAM_URL.plain
        stream_url = f"{scheme}://{local.netloc}/private"
    url = hidden(_STREAMS.get(origin) if stream_url is None else stream_url)
    del stream_url
    if not isinstance(url, str):
        raise ConfigurationError(
            "Nobody said where the stream of this base URL is: pass stream_url, like wss://fstream.binance.com/private."
        )
    if not url.startswith(("wss://", "ws://")):
        raise ConfigurationError("stream_url must start with wss://, like wss://fstream.binance.com/private.")
    return route_to(STREAM_URL, url, client.wishes)
