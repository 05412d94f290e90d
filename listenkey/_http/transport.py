"""httpx's transports over httpcore's connections, which an attempt takes, keeps or closes."""

import contextlib
import os
import ssl
from collections import deque
from collections.abc import AsyncIterable, Iterable
from typing import Any, Generic, Protocol, TypeVar, cast

import httpcore
import httpx

from listenkey._http.attempt import attempt_under_way
from listenkey._http.network import Backend
from listenkey._http.route import Route

KEPT_SECONDS = 5.0  # a connection is kept for a burst of calls; the next renewal comes half an hour later
KEPT_CONNECTIONS = 8
# The class that makes connections, by the scheme of the proxy. The async twin's class begins with Async.
MAKERS = {
    "": "ConnectionPool",
    "http": "HTTPProxy",
    "https": "HTTPProxy",
    "socks5": "SOCKSProxy",
    "socks5h": "SOCKSProxy",
}
# A kept connection with one of these errors has died. Before an answer began, the call is sent anew. A timeout is none.
DEAD = (httpcore.RemoteProtocolError, httpcore.ReadError, httpcore.WriteError, ssl.SSLError)


def options_of(route: Route, ssl_context: ssl.SSLContext | None) -> dict[str, Any]:
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


def is_all_read(response: httpcore.Response) -> bool:
    """Whether httpcore holds no bytes behind the answer. Such bytes would pass for the answer to the next call.

    httpcore has no public way to tell. Where its private way is another, no connection is kept.
    """
    parser = getattr(getattr(response.stream, "_connection", None), "_h11_state", None)
    return parser is not None and parser.trailing_data == (b"", False)


class ReusableConnection(Protocol):
    """What httpcore's connections of both twins have."""

    def is_available(self) -> bool: ...
    def has_expired(self) -> bool: ...


C = TypeVar("C", bound=ReusableConnection)


class IdleConnections(Generic[C]):
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
        self._idle_connections: IdleConnections[httpcore.ConnectionInterface] = IdleConnections()
        self.users = self._idle_connections.users

    def handle_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send the request, with the API key of the attempt under way, and note the answer in the attempt."""
        attempt = attempt_under_way.get()
        outgoing = attempt.request(request)
        kept = self._idle_connections.take()
        self._close_useless()
        if kept:
            try:
                return self._over(kept, outgoing)
            except DEAD:
                if attempt.answer is not None:
                    raise
            # The other side closed or reset the kept connection as the request was on its way: connect anew.
            attempt.note_dead_connection()
        if self._maker is None:
            kind = httpcore.__dict__[MAKERS[self._route.proxy_scheme]]
            self._maker = kind(**options_of(self._route, self._route.ssl_context()), network_backend=Backend())
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
        self._idle_connections.put_back(connection, is_drained=is_all_read(response))
        self._close_useless()
        return attempt.note_body(body)

    def close(self) -> None:
        """Close the connections. A connection under way is closed when its call ends."""
        self._idle_connections.discard()
        self._close_useless()

    def _close_useless(self) -> None:
        with contextlib.suppress(IndexError):  # none is left; another thread may have closed the last
            while True:
                self._idle_connections.useless.pop().close()


class AsyncPool:
    """The async twin's."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self._maker: httpcore.AsyncConnectionPool | None = None
        self._idle_connections: IdleConnections[httpcore.AsyncConnectionInterface] = IdleConnections()
        self.users = self._idle_connections.users

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """As `Pool.handle_request`."""
        attempt = attempt_under_way.get()
        outgoing = attempt.request(request)
        kept = self._idle_connections.take()
        await self._close_useless()
        if kept:
            try:
                return await self._over(kept, outgoing)
            except DEAD:
                if attempt.answer is not None:
                    raise
            # The other side closed or reset the kept connection as the request was on its way: connect anew.
            attempt.note_dead_connection()
        return await self._over(await self._new(outgoing), outgoing)

    async def upgrade(self, request: httpcore.Request) -> httpcore.Response:
        """Ask for another protocol, over a new connection. Any answer but a 101 is noted in the attempt."""
        attempt = attempt_under_way.get()
        response = await (await self._new(request)).handle_async_request(request)
        if response.status == 101:
            attempt.note_upgrade()
            return response
        try:
            body = attempt.note_head(response)
            async for chunk in cast(AsyncIterable[bytes], response.stream):
                if not body.take(chunk):
                    break
            return attempt.note_body(body)
        finally:
            attempt.give_up()

    async def _new(self, request: httpcore.Request) -> httpcore.AsyncConnectionInterface:
        """Have a new connection for the request, which makes its way when it is used."""
        if self._maker is None:
            from listenkey._http.async_network import AsyncBackend
            from listenkey._http.threads import threads

            # To load certificates takes some 30 ms: not in the loop.
            route = self._route
            context = await threads.run(route.certificates, route.ssl_context) if route.is_encrypted else None
            kind = httpcore.__dict__["Async" + MAKERS[route.proxy_scheme]]
            self._maker = kind(**options_of(route, context), network_backend=AsyncBackend())
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
        self._idle_connections.put_back(connection, is_drained=is_all_read(response))
        await self._close_useless()
        return attempt.note_body(body)

    async def aclose(self) -> None:
        """As `Pool.close`."""
        self._idle_connections.discard()
        await self._close_useless()

    async def _close_useless(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                await self._idle_connections.useless.pop().aclose()


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
