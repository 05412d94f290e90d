"""httpx's transports over httpcore's connections, which an attempt takes, keeps or closes.

httpcore's pools only make connections here. Their own way to keep connections has a lock, which a fork or an interrupt
may leave taken.
"""

import contextlib
import os
import ssl
from collections import deque
from collections.abc import AsyncIterable, Iterable
from typing import Any, Generic, TypeVar, cast

import httpcore
import httpx

from listenkey._http.attempt import Abortable, Attempt, Body, attempt_under_way
from listenkey._http.network import Backend
from listenkey._http.route import Route

KEPT_SECONDS = 5.0  # a connection is kept for a burst of calls; the next renewal comes half an hour later
KEPT_CONNECTIONS = 8
# A kept connection with one of these errors has died. Before an answer began, the call is sent anew. A timeout is none.
DEAD = (httpcore.RemoteProtocolError, httpcore.ReadError, httpcore.WriteError, ssl.SSLError)


M = TypeVar("M", httpcore.ConnectionPool, httpcore.AsyncConnectionPool)


def maker(kind: type[M], route: Route, ssl_context: ssl.SSLContext | None, backend: Any) -> M:  # noqa: ANN401
    """Make a pool of httpcore's, which makes the connections of a route. `backend` is of the same twin."""
    proxy = None
    if route.proxy is not None:
        url = route.proxy.url
        where = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=b"/")
        proxy_tls = ssl_context if url.scheme == "https" else None
        proxy = httpcore.Proxy(where, auth=httpx.Proxy(url).raw_auth, ssl_context=proxy_tls)
    return kind(ssl_context=ssl_context, proxy=proxy, keepalive_expiry=KEPT_SECONDS, network_backend=backend)


def is_all_read(response: httpcore.Response) -> bool:
    """Whether httpcore holds no bytes behind the answer. Such bytes would pass for the answer to the next call.

    httpcore has no public way to tell. If a version of httpcore has another private way, no connection is kept.
    """
    parser = getattr(getattr(response.stream, "_connection", None), "_h11_state", None)
    return parser is not None and parser.trailing_data == (b"", False)


C = TypeVar("C", httpcore.ConnectionInterface, httpcore.AsyncConnectionInterface)


class IdleConnections(Generic[C]):
    """Connections that no call uses. A connection belongs to one call at a time, so threads need no lock."""

    def __init__(self) -> None:
        self._idle: deque[tuple[C, Abortable]] = deque()  # httpcore's connection, and the wire below
        self._pid = os.getpid()
        self.users: list[None] = []  # a mark for each client

    def take(self, attempt: Attempt) -> C | None:
        """Take a connection that still works. None: there is none."""
        if self._pid != os.getpid():  # a fork: the connections are the parent's
            self._pid = os.getpid()
            self.discard()
        with contextlib.suppress(IndexError):  # none is left
            while True:
                connection, wire = self._idle.pop()
                if not connection.has_expired():
                    attempt.note_connection(wire)
                    return connection
                wire.abort()
        return None

    def put_back(self, attempt: Attempt, connection: C, response: httpcore.Response) -> None:
        """Keep a connection for the next call, unless enough are kept or anything is left to read."""
        keeps = is_all_read(response) and connection.is_available() and not connection.has_expired()
        if keeps and len(self._idle) < KEPT_CONNECTIONS:
            self._idle.append((connection, attempt.connections[-1]))
        else:
            attempt.give_up()
        if not self.users:  # the last client was closed while this call was under way
            self.discard()

    def discard(self) -> None:
        """Close all connections, without waiting. A connection under way is closed when its call ends."""
        with contextlib.suppress(IndexError):  # none is left
            while True:
                self._idle.pop()[1].abort()


class Pool:
    """The sync twin's connections to an exchange, in the place where httpx has a pool of httpcore's."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self._maker: httpcore.ConnectionPool | None = None
        self.idle: IdleConnections[httpcore.ConnectionInterface] = IdleConnections()

    def handle_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send the request, with the API key of the attempt under way, and note the answer in the attempt."""
        attempt = attempt_under_way.get()
        outgoing = attempt.request(request)
        if kept := self.idle.take(attempt):
            try:
                return self._over(kept, outgoing, attempt)
            except DEAD:
                if attempt.answer is not None:
                    raise
            # The other side closed or reset the kept connection as the request was on its way: connect anew.
            attempt.note_dead_connection()
        if self._maker is None:
            self._maker = maker(httpcore.ConnectionPool, self._route, self._route.ssl_context(), Backend())
        return self._over(self._maker.create_connection(outgoing.url.origin), outgoing, attempt)

    def _over(
        self, connection: httpcore.ConnectionInterface, request: httpcore.Request, attempt: Attempt
    ) -> httpcore.Response:
        try:
            response = connection.handle_request(request)
            with contextlib.closing(response):
                body = attempt.note_head(response)
                for chunk in cast(Iterable[bytes], response.stream):
                    if not body.take(chunk):
                        break
        except BaseException:
            attempt.give_up()  # an interrupt may leave the connection in any state, its locks taken
            raise
        self.idle.put_back(attempt, connection, response)
        return attempt.note_body(body)


class AsyncPool:
    """The async twin of `Pool`."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self._maker: httpcore.AsyncConnectionPool | None = None
        self.idle: IdleConnections[httpcore.AsyncConnectionInterface] = IdleConnections()

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """As `Pool.handle_request`."""
        attempt = attempt_under_way.get()
        outgoing = attempt.request(request, is_async=True)
        if kept := self.idle.take(attempt):
            try:
                return await self._over(kept, outgoing, attempt)
            except DEAD:
                if attempt.answer is not None:
                    raise
            # The other side closed or reset the kept connection as the request was on its way: connect anew.
            attempt.note_dead_connection()
        return await self._over(await self._new(outgoing), outgoing, attempt)

    async def upgrade(self, request: httpcore.Request) -> httpcore.Response:
        """Ask for another protocol, over a new connection. Any answer but a 101 is noted in the attempt."""
        attempt = attempt_under_way.get()
        response = await (await self._new(request)).handle_async_request(request)
        if response.status == 101:
            attempt.note_upgrade()
            return response
        try:
            return attempt.note_body(await self._body(response, attempt))
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
            self._maker = maker(httpcore.AsyncConnectionPool, route, context, AsyncBackend())
        return self._maker.create_connection(request.url.origin)

    async def _over(
        self, connection: httpcore.AsyncConnectionInterface, request: httpcore.Request, attempt: Attempt
    ) -> httpcore.Response:
        try:
            response = await connection.handle_async_request(request)
            async with contextlib.aclosing(response):
                body = await self._body(response, attempt)
        except BaseException:
            attempt.give_up()  # an interrupt may leave the connection in any state, its locks taken
            raise
        self.idle.put_back(attempt, connection, response)
        return attempt.note_body(body)

    async def _body(self, response: httpcore.Response, attempt: Attempt) -> Body:
        body = attempt.note_head(response)
        async for chunk in cast(AsyncIterable[bytes], response.stream):
            if not body.take(chunk):
                break
        return body


# httpx's own transports, with a pool of ours in the place of theirs: tools that replace or wrap the transports' methods
# (mocks, recorders, telemetry) see each attempt of ours. Their constructors would load certificates a second time.


class Transport(httpx.HTTPTransport):
    """The sync twin's way to an exchange."""

    def __init__(self, route: Route) -> None:
        self.pool = Pool(route)
        self._pool = cast(httpcore.ConnectionPool, self.pool)


class AsyncTransport(httpx.AsyncHTTPTransport):
    """The async twin of `Transport`."""

    def __init__(self, route: Route) -> None:
        self.pool = AsyncPool(route)
        self._pool = cast(httpcore.AsyncConnectionPool, self.pool)
