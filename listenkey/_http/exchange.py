"""One attempt at one call, bounded in time: an operation in, an answer or an error out.

The steps of a request:

1. `Exchange.send` begins an `Attempt` with the API key and a deadline. A context variable carries the attempt.
2. The generated function asks httpx, httpx asks its own transport, and the transport asks our pool.
3. The pool takes a kept connection, or lets httpcore make one, and adds the API key to the headers.
4. Each step of the connection's stream ends at the deadline of the attempt.
5. The pool reads the body, at most 64 KiB, and notes status, headers and body in the attempt.
6. A response hook of httpx stops every status but 200. The generated parser reads the rest.
7. `outcome.result` names the answer, or the error that the attempt is.
8. `Outcome.success` raises the error: the frames of a traceback then hold no secret.

Only this module calls the generated client. `transport` has the connections.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, cast
from weakref import WeakValueDictionary

import httpcore
import httpx
from binance_options_client import AuthenticatedClient
from binance_options_client.api.user_data_stream import (
    close_user_data_stream,
    keepalive_user_data_stream,
    start_user_data_stream,
)

from listenkey._http.attempt import Attempt, attempt_under_way
from listenkey._http.outcome import Outcome, no_websocket, result
from listenkey._http.tracing import extensions
from listenkey._http.transport import AsyncTransport, Transport
from listenkey._version import __version__
from listenkey.errors import ListenKeyError

if TYPE_CHECKING:
    import asyncio  # programs without an event loop need not load it
    from collections.abc import Callable, Iterable

    from binance_options_client.types import Response

    from listenkey._http.async_network import AsyncConnection
    from listenkey._http.masking import Secret
    from listenkey._http.route import Account, Route

USER_AGENT = (
    f"binance-options-listenkey/{__version__} "
    f"(Python/{'.'.join(map(str, sys.version_info[:3]))}; httpx/{httpx.__version__})"
)
Operation = Literal["start", "keepalive", "delete"]


class GeneratedOperation(Protocol):
    """A generated module: a function of an operation for either twin."""

    def sync_detailed(self, *, client: AuthenticatedClient) -> Response[Any]: ...
    async def asyncio_detailed(self, *, client: AuthenticatedClient) -> Response[Any]: ...


OPERATIONS: dict[Operation, GeneratedOperation] = {
    "start": start_user_data_stream,
    "keepalive": keepalive_user_data_stream,
    "delete": close_user_data_stream,
}


@dataclass(frozen=True)
class Upgraded:
    """A connection that speaks another protocol now: the head of the 101, the stream to read, and the connection."""

    head: bytes = field(repr=False)
    stream: httpcore.AsyncNetworkStream
    connection: AsyncConnection


class NotForTheParserError(Exception):
    """The status is not 200."""


# The exchanges. Clients with the same route share an exchange.


class AnyExchange:
    """An exchange over HTTP, without any API key."""

    def __init__(
        self,
        route: Route,
        loop: asyncio.AbstractEventLoop | None,
        transport: Transport | AsyncTransport,
        hook: Callable[[httpx.Response], object],
    ) -> None:
        self.route, self.loop, self.idle = route, loop, transport.pool.idle
        self._generated = AuthenticatedClient(
            base_url=route.url,
            token="",  # the transport adds the API key of the attempt
            prefix="",
            auth_header_name="X-MBX-APIKEY",
            headers={"Accept-Encoding": "identity", "User-Agent": USER_AGENT},
            httpx_args={"trust_env": False, "transport": transport, "event_hooks": {"response": [hook]}},
        )

    def release(self) -> None:
        """Give a client's share back. The last client closes the connections: the next client gets a new exchange."""
        self.idle.users.pop()
        if not self.idle.users:
            key = type(self), self.route, id(self.loop)
            if exchanges.get(key) is self:
                exchanges.pop(key, None)
            self.idle.discard()

    def _outcome(self, attempt: Attempt, operation: Operation) -> Outcome:
        judged = result(attempt, self.route, brings_key=operation == "start")
        return Outcome(judged, attempt.requests, attempt.used_weight)


class Exchange(AnyExchange):
    """The sync twin. Shared by threads."""

    def __init__(self, route: Route, loop: asyncio.AbstractEventLoop | None) -> None:
        super().__init__(route, loop, Transport(route), check_answer)
        self._generated.get_httpx_client()  # made now, or each thread would make an httpx client

    def send(self, operation: Operation, account: Account) -> Outcome:
        """Make one attempt."""
        with Attempt(account, self.route.proxy) as attempt:
            attempt.note_parsed(OPERATIONS[operation].sync_detailed(client=self._generated).parsed)
        return self._outcome(attempt, operation)


class AsyncExchange(AnyExchange):
    """The async twin. Belongs to an event loop."""

    def __init__(self, route: Route, loop: asyncio.AbstractEventLoop | None) -> None:
        transport = AsyncTransport(route)
        super().__init__(route, loop, transport, async_check_answer)
        self._pool = transport.pool

    async def send(self, operation: Operation, account: Account) -> Outcome:
        """Make one attempt."""
        import asyncio

        with Attempt(account, self.route.proxy) as attempt:
            async with asyncio.timeout(account.timeout):
                attempt.note_parsed((await OPERATIONS[operation].asyncio_detailed(client=self._generated)).parsed)
        return self._outcome(attempt, operation)

    async def upgrade(self, target: Secret, headers: Iterable[tuple[str, str]], account: Account) -> Upgraded:
        """Ask for a WebSocket at `target`: path and query, with the listen key. Raises the error that the outcome is.

        The account's `api_key` is hidden in every text, and not sent. For a stream, `api_key` is the listen key.
        """
        outcome = await self._upgrade(target, headers, account)
        if isinstance(outcome, ListenKeyError):
            raise outcome
        return outcome

    async def _upgrade(
        self, target: Secret, headers: Iterable[tuple[str, str]], account: Account
    ) -> Upgraded | ListenKeyError:
        import asyncio

        response = None
        with Attempt(account, self.route.proxy) as attempt:
            url = httpx.URL(self.route.url)
            scheme = b"https" if self.route.is_encrypted else b"http"  # httpcore's SOCKS speaks no TLS for wss
            where = httpcore.URL(scheme=scheme, host=url.raw_host, port=url.port, target=target.encode("ascii"))
            lines = [("Host", url.netloc.decode("ascii")), ("User-Agent", USER_AGENT), *headers]
            async with asyncio.timeout(account.timeout):
                told = extensions(is_async=True)
                request = httpcore.Request("GET", where, headers=lines, extensions=told)
                response = await self._pool.upgrade(request)
        if response is None or response.status != 101:
            return no_websocket(attempt, self.route)
        head = b"".join(b"%s: %s\r\n" % line for line in response.headers)
        stream = response.extensions["network_stream"]
        connection = cast("AsyncConnection", attempt.connections[-1])
        return Upgraded(b"HTTP/1.1 101 Switching Protocols\r\n" + head + b"\r\n", stream, connection)


# Without a lock: a garbage collection may run a user's finalizer at any place here, and the finalizer may make or close
# clients. If two clients make an exchange at once, each goes on with its own exchange. If a client closes an exchange
# that another client has just got, the other client goes on with that exchange.
exchanges: WeakValueDictionary[object, AnyExchange] = WeakValueDictionary()
E = TypeVar("E", Exchange, AsyncExchange)


def after_fork() -> None:
    """Begin with no exchange in a child process: the connections are the parent's."""
    exchanges.clear()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=after_fork)


def share(kind: type[E], route: Route, loop: asyncio.AbstractEventLoop | None = None) -> E:
    """Get the exchange of a route, for async in the running event loop. Each client must call `release`."""
    key = kind, route, id(loop)
    exchange = exchanges.get(key)
    if exchange is None or exchange.loop is not loop:  # an ended loop's id may come again
        exchange = kind(route, loop)
    exchange.idle.users.append(None)
    exchanges[key] = exchange
    return cast(E, exchange)


# The response hooks of httpx.


def check_answer(response: httpx.Response) -> None:
    response.read()
    note_answer(response)


async def async_check_answer(response: httpx.Response) -> None:
    await response.aread()
    note_answer(response)


def note_answer(response: httpx.Response) -> None:
    """Note an answer that a mock made, and let the generated parser read an answer with the status 200 alone."""
    attempt_under_way.get().note_mocked(response)
    if response.status_code != 200:
        raise NotForTheParserError
