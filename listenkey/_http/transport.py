"""The way of one attempt over the wire: httpx's transports on httpcore's connections, each step bounded in time.

httpx and httpcore bound each read, and not the sum of all reads. Here an `Attempt` has one deadline. A context variable
carries the attempt to the streams and transports below, and to the log records of httpx and httpcore.
"""

import contextlib
import logging
import os
import socket
import ssl
import time
from collections import deque
from collections.abc import AsyncIterable, Callable, Iterable, Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

import httpcore
import httpx

from listenkey._http import answer as _answer
from listenkey._http.answer import MAX_BODY, RawAnswer
from listenkey._http.route import Account, Proxy, Route
from listenkey._http.way import extensions, note_addresses

if TYPE_CHECKING:
    from listenkey._http.async_network import Connection  # programs without an event loop need not load asyncio

KEPT_SECONDS = 5.0  # a connection is kept for a burst of calls; the next renewal comes half an hour later
KEPT_CONNECTIONS = 8
NO_ADDRESS = "the host has no address"
NO_HANDSHAKE = "the other side ended the TLS handshake"
Address = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]  # as socket.getaddrinfo gives it
# The class that makes connections, by the scheme of the proxy. The async twin's class begins with Async.
_POOLS = {
    "": "ConnectionPool",
    "http": "HTTPProxy",
    "https": "HTTPProxy",
    "socks5": "SOCKSProxy",
    "socks5h": "SOCKSProxy",
}
T = TypeVar("T")


class Attempt:
    """An attempt: the needs of the way, and all that is known of the answer."""

    def __init__(self, account: Account, proxy: Proxy | None = None) -> None:
        self.account, self._proxy = account, proxy
        self.sent = datetime.now(UTC)
        self.requests = 1  # that are sent: one more when a kept connection was dead
        self.used_weight: int | None = None  # of the address, as the answer says
        self.answer: RawAnswer | None = None
        self.is_complete = False  # whether the whole answer came
        self.parsed: object = None
        self.failure: Exception | None = None  # the error that left the generated function
        # Connections that were made: httpcore leaves them open when a SOCKS proxy or a cancelled TLS ends the attempt.
        self.streams: list[_Stream] = []
        self.connections: list[Connection] = []  # the async twin's
        self.refusal: Exception | None = None  # what an address of the host said, until another one is connected
        self._deadline = time.monotonic() + account.timeout

    def left(self) -> float:
        """Seconds until the deadline. Raises httpcore.ReadTimeout when there are none."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout
        return left

    def masked(self, text: str) -> str:
        """Take the secrets of this attempt out of a text."""
        for secret in (self.account.api_key, *(self._proxy.secrets() if self._proxy else ())):
            text = _answer.masked(text, secret)
        return text

    def note_refusal(self, error: OSError) -> None:
        """Note what an address of the host said. Silence says nothing."""
        if not isinstance(error, TimeoutError):
            self.refusal = httpcore.ConnectError(str(error))
            self.refusal.__cause__ = error

    def give_up(self) -> None:
        """Close the connections that were made, without waiting."""
        for stream in self.streams:
            stream.close()
        for connection in self.connections:
            connection.abort()

    def request(self, request: httpcore.Request, *, is_async: bool = False) -> httpcore.Request:
        """Copy a request, with the API key and without a cookie."""
        headers = [item for item in request.headers if item[0].lower() not in (b"cookie", b"x-mbx-apikey")]
        key = b"X-MBX-APIKEY", self.account.api_key.encode("ascii")
        told = extensions(is_async=is_async)
        return httpcore.Request(request.method, request.url, headers=[*headers, key], extensions=told)

    def note_head(self, response: httpcore.Response) -> "_Body":
        """Note the head of the answer: the status counts, even if the body breaks off."""
        headers = httpx.Headers(response.headers)
        self.answer = RawAnswer(response.status, headers, None)
        self.used_weight = _answer.used_weight(headers)
        return _Body(plain=headers.get("content-encoding", "identity").strip().lower() in ("", "identity"))

    def note_body(self, body: "_Body") -> httpcore.Response:
        """Note the body, and make an answer for httpx. Without headers there is no cookie and no redirect."""
        head = cast(RawAnswer, self.answer)
        self.answer = RawAnswer(head.status, head.headers, body.whole)
        self.is_complete = True
        return httpcore.Response(head.status, content=body.whole or b"")

    def note_mocked(self, response: httpx.Response) -> None:
        """Note an answer that did not come through our pool: a program's mock of httpx made it, and it is read."""
        if self.answer is None:
            self.used_weight = _answer.used_weight(response.headers)
            self.answer = RawAnswer(response.status_code, response.headers, response.content[: MAX_BODY + 1])
            self.is_complete = True


# httpx, httpcore and log records of both find here the attempt that they work for.
attempt_under_way: ContextVar[Attempt] = ContextVar("attempt_under_way")


class _Body:
    """The bytes of a body, piece by piece. `whole` is None once the body is too long, or if the body is compressed."""

    def __init__(self, *, plain: bool) -> None:
        # The first piece of a compressed body can inflate to 67 MB before any limit sees it.
        self.whole: bytes | None = b"" if plain else None

    def take(self, chunk: bytes) -> bool:
        """Add a piece. False: no more is wanted."""
        if self.whole is not None:
            self.whole = self.whole + chunk if len(self.whole) + len(chunk) <= MAX_BODY else None
        return self.whole is not None


def _mask_log(record: logging.LogRecord) -> bool:
    """Take secrets out of the logs of httpx and httpcore, which quote malformed answers, echoed keys, and logins."""
    attempt = attempt_under_way.get(None)
    if attempt is not None:
        text = record.getMessage()
        if (hidden := attempt.masked(text)) != text:
            record.msg, record.args = hidden, ()
    return True


for _two in ("", "2"):  # httpx2 takes the place of httpx in a process that calls alias_httpx()
    for _name in (f"httpx{_two}", *(f"httpcore{_two}.{part}" for part in ("connection", "http11", "proxy", "socks"))):
        logging.getLogger(_name).addFilter(_mask_log)


# The sync twin's connections. httpcore bounds each read. The classes below bound the whole attempt.


@contextlib.contextmanager
def _named(timed_out: type[Exception], broken: type[Exception]) -> Iterator[None]:
    """Give the system's errors the names that httpcore expects."""
    try:
        yield
    except TimeoutError as error:
        raise timed_out(str(error)) from error
    except OSError as error:
        raise broken(str(error)) from error


class _Stream(httpcore.NetworkStream):
    """A TCP connection. Each operation ends at the deadline of the attempt under way."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _named(httpcore.ReadTimeout, httpcore.ReadError):
            self._socket.settimeout(attempt_under_way.get().left())
            return self._socket.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not buffer:  # sending nothing would report, and so hide, that the connection was reset
            return
        with _named(httpcore.WriteTimeout, httpcore.WriteError):
            self._socket.settimeout(attempt_under_way.get().left())
            self._socket.sendall(buffer)

    def close(self) -> None:
        self._socket.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, *_: object, **__: object
    ) -> httpcore.NetworkStream:
        return _TlsStream(self, ssl_context, server_hostname)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401  as in the base class
        return self._has_something_to_read() if info == "is_readable" else None

    def _has_something_to_read(self) -> bool:
        """Whether a kept connection is of no more use: the other side closed the connection, or sends bytes unasked."""
        self._socket.settimeout(0)
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            pass
        return True


class _TlsStream(httpcore.NetworkStream):
    """TLS over any stream, over another TLS too, as to a proxy by https."""

    def __init__(
        self, stream: "_Stream | _TlsStream", ssl_context: ssl.SSLContext, server_hostname: str | None
    ) -> None:
        self._stream = stream
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = ssl_context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_hostname)
        try:
            with _named(httpcore.ConnectTimeout, httpcore.ConnectError):
                self._shake_hands()
        except BaseException:
            stream.close()
            raise

    def _shake_hands(self) -> None:
        try:
            with contextlib.suppress(ssl.SSLEOFError):
                self._do(self._tls.do_handshake)
                return
        except (httpcore.ReadError, httpcore.WriteError) as error:
            raise httpcore.ConnectError(str(error)) from error.__cause__
        raise httpcore.ConnectError(NO_HANDSHAKE)

    def _do(self, step: Callable[[], T]) -> T:
        """Take a step of TLS, and move the bytes that the step needs."""
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                self._flush()
                received = self._stream.read(MAX_BODY)
                if received:
                    self._incoming.write(received)
                else:
                    self._incoming.write_eof()
            else:
                self._flush()
                return result

    def _flush(self) -> None:
        if outgoing := self._outgoing.read():
            self._stream.write(outgoing)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _named(httpcore.ReadTimeout, httpcore.ReadError):
            try:
                return self._do(lambda: self._tls.read(max_bytes))
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with _named(httpcore.WriteTimeout, httpcore.WriteError):
            self._do(lambda: self._tls.write(buffer))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, *_: object, **__: object
    ) -> httpcore.NetworkStream:
        return _TlsStream(self, ssl_context, server_hostname)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401  as in the base class
        if info == "is_readable" and (self._tls.pending() or self._incoming.pending):
            return True  # the socket may be empty, and this layer is not
        return self._tls if info == "ssl_object" else self._stream.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    """Makes the connections of the sync twin."""

    def connect_tcp(self, host: str, port: int, *_: object, **__: object) -> httpcore.NetworkStream:
        """Try each address of the host. The time left is split, so that a deaf address leaves time for the next."""
        attempt, last = attempt_under_way.get(), OSError(NO_ADDRESS)
        with _named(httpcore.ConnectTimeout, httpcore.ConnectError):
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            note_addresses(found)
            for tried, address in enumerate(found):
                try:
                    connected = _connected(address, attempt.left() / (len(found) - tried))
                except OSError as error:
                    attempt.note_refusal(last := error)
                else:
                    attempt.refusal = None
                    attempt.streams.append(stream := _Stream(connected))
                    return stream
            raise last


def _connected(address: Address, seconds: float) -> socket.socket:
    family, kind, protocol, _, where = address
    connecting = socket.socket(family, kind, protocol)
    try:
        connecting.settimeout(seconds)
        connecting.connect(where)
        connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        connecting.close()
        raise
    return connecting


def _options(route: Route, ssl_context: ssl.SSLContext | None) -> dict[str, Any]:
    """Say to httpcore how connections are made."""
    options: dict[str, Any] = {"ssl_context": ssl_context, "keepalive_expiry": KEPT_SECONDS}
    if route.proxy is not None:
        url = route.proxy.url
        # The proxy looks names up, by either name of SOCKS. httpcore 1.0.5 knows one name.
        scheme = b"socks5" if url.scheme == "socks5h" else url.raw_scheme
        options["proxy_url"] = httpcore.URL(scheme=scheme, host=url.raw_host, port=url.port, target=b"/")
        options["proxy_auth"] = httpx.Proxy(url).raw_auth
        if url.scheme == "https":
            options["proxy_ssl_context"] = ssl_context
    return options


# Transports: httpx's requests over httpcore's connections. httpcore's pools only make connections here. Their own way
# to keep connections has a lock, which a fork or an interrupt may leave taken.


# A kept connection with one of these errors has died. Before an answer began, the call is sent anew. A timeout is none.
_DEAD = (httpcore.RemoteProtocolError, httpcore.ReadError, httpcore.WriteError, ssl.SSLError)


def _is_all_read(response: httpcore.Response) -> bool:
    """Whether httpcore holds no bytes behind the answer. Such bytes would pass for the answer to the next call.

    httpcore has no public way to tell. Where its private way is another, no connection is kept.
    """
    parser = getattr(getattr(response.stream, "_connection", None), "_h11_state", None)
    return parser is not None and parser.trailing_data == (b"", False)


class _Connection(Protocol):
    def is_available(self) -> bool: ...
    def has_expired(self) -> bool: ...


C = TypeVar("C", bound=_Connection)


class _Kept(Generic[C]):
    """Connections that no call uses. A connection belongs to one call at a time, so threads need no lock."""

    def __init__(self) -> None:
        self._idle: deque[C] = deque()
        self._pid = os.getpid()
        self.users: list[None] = []  # a mark for each client
        self.useless: deque[C] = deque()  # for the transport to close

    def take(self) -> C | None:
        """Take a connection that still works. None: there is none."""
        if self._pid != os.getpid():  # a fork: the connections are the parent's
            self._pid = os.getpid()
            self.discard()
        with contextlib.suppress(IndexError):  # none is left
            while (connection := self._idle.pop()).has_expired():
                self.useless.append(connection)
            return connection
        return None

    def put_back(self, connection: C, *, is_drained: bool) -> None:
        """Keep a connection for the next call, unless enough are kept or anything is left to read."""
        keep = is_drained and connection.is_available() and not connection.has_expired()
        keep = keep and len(self._idle) < KEPT_CONNECTIONS
        (self._idle if keep else self.useless).append(connection)
        if not self.users:  # the last client was closed while this call was under way
            self.discard()

    def discard(self) -> None:
        """Give up all connections."""
        with contextlib.suppress(IndexError):  # none is left
            while True:
                self.useless.append(self._idle.pop())


class Pool:
    """The sync twin's connections to an exchange, in the place where httpx has a pool of httpcore's."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self._maker: httpcore.ConnectionPool | None = None
        self._kept: _Kept[httpcore.ConnectionInterface] = _Kept()
        self.users = self._kept.users

    def handle_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send the request, with the API key of the attempt under way, and note the answer in the attempt."""
        attempt = attempt_under_way.get()
        outgoing = attempt.request(request)
        kept = self._kept.take()
        self._close_useless()
        if kept:
            try:
                return self._over(kept, outgoing)
            except _DEAD:
                if attempt.answer is not None:
                    raise
            # The other side closed or reset the kept connection as the request was on its way: connect anew.
            attempt.requests += 1
        if self._maker is None:
            kind = httpcore.__dict__[_POOLS[self._route.proxy_scheme]]
            self._maker = kind(**_options(self._route, self._route.ssl_context()), network_backend=_Backend())
        return self._over(self._maker.create_connection(outgoing.url.origin), outgoing)

    def _over(self, connection: httpcore.ConnectionInterface, request: httpcore.Request) -> httpcore.Response:
        attempt = attempt_under_way.get()
        try:
            response = connection.handle_request(request)
            with contextlib.closing(response):
                body = attempt.note_head(response)
                for chunk in cast(Iterable[bytes], response.stream):
                    if not body.take(chunk):
                        break
        except BaseException:
            connection.close()  # an interrupt may leave the connection in any state, its locks taken
            raise
        self._kept.put_back(connection, is_drained=_is_all_read(response))
        self._close_useless()
        return attempt.note_body(body)

    def close(self) -> None:
        """Close the connections. A connection under way is closed when its call ends."""
        self._kept.discard()
        self._close_useless()

    def _close_useless(self) -> None:
        with contextlib.suppress(IndexError):  # none is left; another thread may have closed the last
            while True:
                self._kept.useless.pop().close()


class AsyncPool:
    """The async twin's."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self._maker: httpcore.AsyncConnectionPool | None = None
        self._kept: _Kept[httpcore.AsyncConnectionInterface] = _Kept()
        self.users = self._kept.users

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """As `Pool.handle_request`."""
        attempt = attempt_under_way.get()
        outgoing = attempt.request(request, is_async=True)
        kept = self._kept.take()
        await self._close_useless()
        if kept:
            try:
                return await self._over(kept, outgoing)
            except _DEAD:
                if attempt.answer is not None:
                    raise
            # The other side closed or reset the kept connection as the request was on its way: connect anew.
            attempt.requests += 1
        return await self._over(await self._new(outgoing), outgoing)

    async def upgrade(self, request: httpcore.Request) -> httpcore.Response:
        """Ask for another protocol, over a new connection. Any answer but 101 is noted in the attempt."""
        response = await (await self._new(request)).handle_async_request(request)
        if response.status != 101:
            attempt = attempt_under_way.get()
            body = attempt.note_head(response)
            async for chunk in cast(AsyncIterable[bytes], response.stream):
                if not body.take(chunk):
                    break
            attempt.note_body(body)
        return response

    async def _new(self, request: httpcore.Request) -> httpcore.AsyncConnectionInterface:
        """Have a new connection for the request, which makes its way when it is used."""
        if self._maker is None:
            from listenkey._http.async_network import Backend
            from listenkey._http.threads import threads

            # To load certificates takes some 30 ms: not in the loop.
            route = self._route
            context = await threads.run(route.certificates, route.ssl_context) if route.is_https else None
            kind = httpcore.__dict__["Async" + _POOLS[route.proxy_scheme]]
            self._maker = kind(**_options(route, context), network_backend=Backend())
        return self._maker.create_connection(request.url.origin)

    async def _over(
        self, connection: httpcore.AsyncConnectionInterface, request: httpcore.Request
    ) -> httpcore.Response:
        attempt = attempt_under_way.get()
        try:
            response = await connection.handle_async_request(request)
            async with contextlib.aclosing(response):
                body = attempt.note_head(response)
                async for chunk in cast(AsyncIterable[bytes], response.stream):
                    if not body.take(chunk):
                        break
        except BaseException:
            await connection.aclose()  # an interrupt may leave the connection in any state, its locks taken
            raise
        self._kept.put_back(connection, is_drained=_is_all_read(response))
        await self._close_useless()
        return attempt.note_body(body)

    async def aclose(self) -> None:
        """As `Pool.close`."""
        self._kept.discard()
        await self._close_useless()

    async def _close_useless(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                await self._kept.useless.pop().aclose()


# httpx's own transports, with a pool of ours in the place of theirs: tools that replace or wrap the transports' methods
# (mocks, recorders, telemetry) see each attempt of ours. Their constructors would load certificates a second time.


class Transport(httpx.HTTPTransport):
    """The sync twin's way to an exchange."""

    def __init__(self, route: Route) -> None:
        self.pool = Pool(route)
        self._pool = cast(httpcore.ConnectionPool, self.pool)


class AsyncTransport(httpx.AsyncHTTPTransport):
    """The async twin's."""

    def __init__(self, route: Route) -> None:
        self.pool = AsyncPool(route)
        self._pool = cast(httpcore.AsyncConnectionPool, self.pool)
