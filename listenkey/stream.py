"""The account's events, typed, with a Gap wherever some may be missing: the twins of a user data stream.

Both move bytes and time; `_link` decides. The sync twin has the same asyncio driver, in one thread for all streams of
the process: a blocking socket would cost three threads a stream.
"""

import asyncio
import contextlib
import copy
import json
import logging
import os
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any, Literal, Self
from urllib.parse import quote, urlsplit

try:
    from websockets.asyncio.client import ClientConnection, connect  # noqa: TID251  this is the module that may
    from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: TID251  this is the module that may
except ImportError as _missing:
    raise ImportError(
        "listenkey.stream needs the package websockets: pip install 'binance-options-listenkey[stream]'",
        name=_missing.name,
    ) from None

from listenkey._answer import Secret
from listenkey._clock import clock
from listenkey._events import (
    AccountUpdate,
    Balance,
    BalancePositionUpdate,
    Event,
    Gap,
    Greeks,
    GreekUpdate,
    Item,
    Order,
    OrderTradeUpdate,
    Position,
    RiskLevelChange,
    UnknownEvent,
)
from listenkey._link import Action, Buffer, Do, Link, Pace
from listenkey._settings import Route, hidden, is_loopback, route_to
from listenkey.client import AsyncListenKeyClient, ListenKeyClient
from listenkey.errors import Banned, ConfigurationError, ListenKeyError, RateLimited, TransportError
from listenkey.keeper import AsyncListenKeyKeeper, ListenKeyKeeper

__all__ = [
    "BUFFER",
    "AccountUpdate",
    "AsyncUserDataStream",
    "Balance",
    "BalancePositionUpdate",
    "Event",
    "Gap",
    "GreekUpdate",
    "Greeks",
    "Item",
    "Order",
    "OrderTradeUpdate",
    "Position",
    "RiskLevelChange",
    "StreamStatus",
    "UnknownEvent",
    "UserDataStream",
]
BUFFER = 10_000  # items that wait for the program; more are dropped, and counted in a Gap
Form = Literal["path", "query", "subscribe"]
# Where the stream of a REST address is: general-info and User Data Streams pages (asyncapi.yaml, servers).
_STREAMS = {
    "https://eapi.binance.com": "wss://fstream.binance.com/private",
    "https://demo-fapi.binance.com": "wss://demo-fstream.binance.com/private",
}
_FORMS: dict[Form, str] = {"path": "/ws/{}", "query": "/ws?listenKey={}", "subscribe": "/stream"}  # asyncapi.yaml
_YIELD = 64  # items that an async program takes, before the event loop gets a turn
_log = logging.getLogger("listenkey.stream")
# The library logs addresses and frames, which hold the listen key. No setting of a program wakes this logger.
_silent = logging.Logger("listenkey.stream.websockets", logging.CRITICAL + 1)  # noqa: LOG001
_random = Random()  # noqa: S311  jitter, no secret
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
        last_error: why the last attempt to connect failed. None when the attempt succeeded.
    """

    state: Literal["connecting", "connected", "ended"]
    connected_since: datetime | None
    last_event: datetime | None
    waiting: int
    last_error: ListenKeyError | None


class _Refused(Exception):
    """The handshake was answered, and not with a WebSocket. Redirects arrive here too, and are not followed."""

    def __init__(self, status: int, retry_after: str | None) -> None:
        super().__init__(status)
        self.status = status
        self.retry_after = (
            float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdigit() else None
        )


class _Connection(ClientConnection):
    async def handshake(self, *args: Any, **settings: Any) -> None:  # noqa: ANN401  as in the base class
        try:
            await super().handshake(*args, **settings)
        except InvalidStatus as error:  # else the library would follow a redirect, and take the listen key along
            raise _Refused(error.response.status_code, error.response.headers.get("Retry-After")) from None


class _Driver:
    """Carries out the orders of a Link, in an event loop."""

    def __init__(
        self, keeper: Keeper, route: Route, form: Form, pace: Pace, put: Callable[[Item | ListenKeyError], None]
    ) -> None:
        self._keeper, self._address = keeper, keeper._client._address
        self._route, self._form, self._pace, self._put = route, form, pace, put
        self.last_error: ListenKeyError | None = None
        self._serving: dict[int, asyncio.Task[None]] = {}
        self._connections: dict[int, ClientConnection] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._ended = False
        subscribe, now = form == "subscribe", clock()
        self.link = Link(now, datetime.now(UTC), keeper.key.value, pace, _random, subscribe=subscribe)

    async def start(self) -> None:
        self._tick()

    async def stop(self) -> None:
        """Send a close frame on every socket, wait for no answer, and leave no task."""
        self._finish()
        connections = list(self._connections.values())
        for connection in connections:
            connection.close_timeout = 0
            if connection.close_deadline is not None:  # the socket is being drained
                connection.close_deadline = 0
        await asyncio.gather(*(each.close() for each in connections), return_exceptions=True)
        tasks = [*self._serving.values(), *self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _finish(self) -> None:
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()

    def _fail(self, error: ListenKeyError) -> None:
        self._finish()
        self._put(error)

    def _tick(self) -> None:
        self._timer = None
        try:
            # In this order: when the keeper renews in between, the key seems older than it is, never younger.
            now, age, key = clock(), self._keeper.status().key_age, self._keeper.key.value
        except ListenKeyError as error:
            self._fail(error)
        else:
            self._tell(lambda link: link.key(now, key, now - age))

    def _tell(self, what: Callable[[Link], Sequence[Action]]) -> None:
        """Tell the Link, and carry out the orders."""
        if self._ended:
            return
        try:
            self.link.not_before = self._address.rate_limit_wait.until
            for action in what(self.link):
                self._do(action) if isinstance(action, Do) else self._pass(action)
        except Exception as bug:  # noqa: BLE001  whatever it is, a dead stream says so; its frames hold the listen key
            name = type(bug).__name__
            _log.error("the stream broke down: %s", name, extra={"event": "broke_down"})
            self._fail(ListenKeyError(f"The stream broke down ({name}). Make a new one."))
        due = min(self.link.wake, clock() + self._pace.poll)
        if not self._ended and (self._timer is None or due < self._due):
            if self._timer is not None:
                self._timer.cancel()
            self._due = due
            self._timer = asyncio.get_running_loop().call_later(max(0.0, due - clock()), self._tick)

    def _pass(self, action: Item | ListenKeyError) -> None:
        if isinstance(action, ListenKeyError):
            self._fail(action)
        else:
            self._put(action)

    def _do(self, action: Do) -> None:
        number, connection = action.number, self._connections.get(action.number)
        if action.what == "open":
            serve = self._serve(number, Secret(action.key))
            self._serving[number] = asyncio.create_task(serve, name="listenkey-stream")
        elif action.what == "renew":
            with contextlib.suppress(ListenKeyError):  # the next tick shows the keeper's end
                self._keeper._call(self._keeper._keeping.ask)
        elif connection is None:  # the socket is still being opened
            for task in filter(None, [self._serving.get(number)]):
                task.cancel()
        elif action.what == "ping":
            self._spawn(self._ping(number, connection))
        elif action.what == "subscribe":
            self._spawn(connection.send(json.dumps({"method": "SUBSCRIBE", "params": [action.key], "id": 1})))
        else:
            self._spawn(connection.close())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        async def quietly() -> None:
            with contextlib.suppress(ConnectionClosed, OSError):  # `_serve` notices
                await work

        task = asyncio.create_task(quietly(), name="listenkey-stream")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ping(self, number: int, connection: ClientConnection) -> None:
        asked = clock()
        await (await connection.ping())
        self._tell(lambda link: link.pong(clock(), number, asked))

    async def _serve(self, number: int, key: Secret) -> None:
        """Read a socket until the end."""
        clean, status, why, opened = False, None, "cancelled", False
        try:
            connection = self._connections[number] = await self._connect(key)
            opened = True
            self._tell(lambda link: link.opened(clock(), number))
            while True:
                frame = await connection.recv()
                self._tell(lambda link: link.frame(clock(), number, frame))  # noqa: B023  called at once
        except ConnectionClosed as end:
            clean, why = (
                end.rcvd is not None and end.rcvd_then_sent is False,
                f"close code {end.rcvd and end.rcvd.code}",
            )
        except _Refused as refusal:
            status, why = refusal.status, f"HTTP {refusal.status}"
            self._note(refusal)
        except ImportError:
            text = f"{self._route.proxy} is a SOCKS proxy: pip install 'python-socks[asyncio]'."
            self._fail(ConfigurationError(text))
        except Exception as error:  # noqa: BLE001  its text and its frames may hold the listen key
            why = type(error).__name__
        finally:
            self._serving.pop(number, None)
            self._connections.pop(number, None)
        self.last_error = None if opened else TransportError(f"The stream could not be opened: {why}.")
        _log.info("connection %d of the stream ended: %s", number, why, extra={"event": "disconnected"})
        self._tell(lambda link: link.closed(clock(), number, clean=clean, status=status))

    def _note(self, refusal: _Refused) -> None:
        """Let a 429 or 418 of the handshake count for everyone on this address."""
        if refusal.status in (418, 429):
            kind, now = Banned if refusal.status == 418 else RateLimited, clock()
            error = kind(refusal.status, None, None, refusal.retry_after)
            self._address.rate_limit_wait.refused(error, now, now)

    async def _connect(self, key: Secret) -> ClientConnection:
        base, proxy, context = self._route.base_url, self._route.proxy, self._route.ssl_context()
        return await connect(
            base.replace("http", "ws", 1).rstrip("/") + _FORMS[self._form].format(quote(key, safe="")),
            create_connection=_Connection,
            logger=_silent,
            proxy=str(proxy.url) if proxy else None,
            compression=None,  # saves 50 KiB
            open_timeout=self._pace.opening,
            close_timeout=self._pace.drain,
            ping_interval=None,  # the Link pings
            max_size=2**20,
            ssl=context,
        )


class _Stream:
    """The twins' common part: settings, and the items that wait for the program."""

    def __init__(self, keeper: Keeper, stream_url: str | None, form: Form, pace: Pace) -> None:
        if form not in _FORMS:
            raise ConfigurationError(f"form must be one of: {', '.join(_FORMS)}.")
        self._keeper, self._form, self._pace = keeper, form, pace
        self._route = _route_of(keeper._client._route, stream_url)
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
        driver = self._entered()
        since = driver.link.connected_since
        ended = self._left or self._error is not None
        state: Literal["connecting", "connected", "ended"] = (
            "ended" if ended else "connected" if since else "connecting"
        )
        return StreamStatus(state, since, driver.link.last_event, len(self._buffer), driver.last_error)

    def _entered(self) -> _Driver:
        if os.getpid() != self._pid:
            raise ConfigurationError("This stream is another process's: after a fork, make a new client and stream.")
        if self._driver is None:
            raise ConfigurationError(f"This stream is not running: enter its block, as in `{self._with} stream`.")
        return self._driver

    _with: str  # how a block begins

    def _enter(self, put: Callable[[Item | ListenKeyError], None]) -> _Driver:
        if self._driver is not None:
            raise ConfigurationError("A stream is entered once: make a new one.")
        self._driver = _Driver(self._keeper, self._route, self._form, self._pace, put)
        return self._driver

    def _take(self) -> Item | None:
        """Return the next item, None when the program has to wait. Raises the error that has ended the stream."""
        if (item := self._buffer.take()) is None and self._error is not None:
            raise copy.copy(self._error) from self._error.__cause__  # with a traceback of its own
        return item

    def _keep(self, item: Item | ListenKeyError) -> None:
        if isinstance(item, ListenKeyError):
            self._error = item
        else:
            link, now = self._entered().link, clock()
            self._buffer.put(item, link.last_proof(now), link.at(now))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._keeper!r}, form={self._form!r})"


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

    Args:
        source: the account's client, or a keeper whose block is entered. The stream does not close that keeper.
        stream_url: where the stream is, for example ``wss://fstream.binance.com/private``. None: where the source's
            base URL says: production, demo and the sandbox are known.
        form: how a connection names the key: ``path`` (the options pages), ``query`` (the USDⓈ-M pages) or
            ``subscribe`` (Binance's own SDK).

    Raises:
        ConfigurationError: a setting cannot work, or nobody said where the stream of this base URL is.
        LeaseLost: from the iterator: the listen key could not be kept alive. A new stream on the client starts anew.
        ApiError, UnexpectedResponse: from the iterator: the address refused every connection, and will go on to.
        Others: entering raises what `client.start()` does.
    """

    _with = "async with"

    def __init__(
        self,
        source: AsyncListenKeyClient | AsyncListenKeyKeeper,
        *,
        stream_url: str | None = None,
        form: Form = "path",
        _pace: Pace = Pace(),  # noqa: B008  frozen
    ) -> None:
        keeper = source if isinstance(source, AsyncListenKeyKeeper) else AsyncListenKeyKeeper(source)
        self._own = None if keeper is source else keeper
        super().__init__(keeper, stream_url, form, _pace)
        self._arrived = asyncio.Event()
        self._taken = 0

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            if self._own:
                await stack.enter_async_context(self._own)
            await self._enter(self._put).start()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        if os.getpid() != self._pid or self._driver is None:
            return
        self._left = True
        self._arrived.set()
        await self._driver.stop()
        await self._stack.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        self._entered()
        self._taken += 1
        if self._taken % _YIELD == 0:
            await asyncio.sleep(0)  # a program that never waits would keep its loop from reading the socket
        while not self._left:
            if (item := self._take()) is not None:
                return item
            self._arrived.clear()
            await self._arrived.wait()
        raise StopAsyncIteration

    def _put(self, item: Item | ListenKeyError) -> None:
        self._keep(item)
        self._arrived.set()


class UserDataStream(_Stream):
    """The account's events: an iterator, for as long as a `with` block. As `AsyncUserDataStream`, without await.

    A single thread of the process moves the bytes of all streams. The keeper of each stream has a thread, too. The
    iterator may be used from any thread.
    """

    _with = "with"

    def __init__(
        self,
        source: ListenKeyClient | ListenKeyKeeper,
        *,
        stream_url: str | None = None,
        form: Form = "path",
        _pace: Pace = Pace(),  # noqa: B008  frozen
    ) -> None:
        keeper = source if isinstance(source, ListenKeyKeeper) else ListenKeyKeeper(source)
        self._own = None if keeper is source else keeper
        super().__init__(keeper, stream_url, form, _pace)
        self._arrived = threading.Condition()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            if self._own:
                stack.enter_context(self._own)
            loop = stack.enter_context(_thread)
            driver = self._enter(self._put)
            asyncio.run_coroutine_threadsafe(driver.start(), loop).result()
            stack.callback(lambda: asyncio.run_coroutine_threadsafe(driver.stop(), loop).result())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        if os.getpid() != self._pid or self._driver is None:  # a forked child leaves the block
            return
        with self._arrived:
            self._left = True
            self._arrived.notify_all()
        self._stack.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Item:
        while (item := self._next_within(1.0)) is None:
            pass
        return item

    def _next_within(self, seconds: float) -> Item | None:
        """Return the next item, None when none came."""
        self._entered()
        with self._arrived:
            self._arrived.wait_for(lambda: self._left or self._error or len(self._buffer), seconds)
            if self._left:
                raise StopIteration
            return self._take()

    def _put(self, item: Item | ListenKeyError) -> None:
        with self._arrived:
            self._keep(item)
            self._arrived.notify()


class _LoopThread:
    """An event loop in a thread, for all who are in the block. The last to leave ends the loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0

    def __enter__(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._users == 0:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="listenkey-stream", daemon=True)
                self._thread.start()
            self._users += 1
            return self._loop

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join()
                self._loop.close()


_thread = _LoopThread()
if hasattr(os, "register_at_fork"):  # the thread does not exist in a forked child
    os.register_at_fork(after_in_child=_thread.__init__)  # type: ignore[misc]


def _route_of(client: Route, stream_url: str | None) -> Route:
    """Say where the stream is, and how to get there."""
    origin, local = client.base_url.rstrip("/"), urlsplit(client.base_url)
    if stream_url is None and local.hostname is not None and is_loopback(local.hostname):
        stream_url = f"{local.scheme.replace('http', 'ws')}://{local.netloc}/private"
    url = hidden(_STREAMS.get(origin) if stream_url is None else stream_url)
    del stream_url
    if not isinstance(url, str):
        raise ConfigurationError(
            "Nobody said where the stream of this base URL is: pass stream_url, like wss://fstream.binance.com/private."
        )
    if not url.startswith(("wss://", "ws://")):
        raise ConfigurationError("stream_url must start with wss://, like wss://fstream.binance.com/private.")
    try:
        return route_to(
            Secret(url.replace("ws", "http", 1)),
            client.certificates.context,
            None if client.is_https else local.hostname,
        )
    except ConfigurationError as error:
        text = str(error).replace("base_url", "stream_url").replace("https:", "wss:").replace("http is", "ws is")
    raise ConfigurationError(text)
