"""TCP connections in an event loop, for the async client's calls and for the stream: look-up, addresses in turn, TLS.

httpcore would take anyio's connections. These can also be given up at once, without an await: a block that is left
inside a cancelled scope leaves no socket behind.
"""

import asyncio
import contextlib
import ipaddress
import os
import select
import socket
import ssl
import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, cast

import httpcore

from listenkey._http.attempt import attempt_under_way
from listenkey._http.network import NO_ADDRESS, NO_HANDSHAKE, SocketAddress
from listenkey._http.route import LONGEST_TIMEOUT
from listenkey._http.threads import threads
from listenkey._http.tracing import note_addresses

HEAD_START = 0.25  # seconds until the next address of a host is tried beside the last (RFC 8305)
MOST_UNREAD = 2**20  # bytes; no more is read from the system until somebody takes them
MOST_UNSENT = 2**20  # bytes that wait for the other side; with more, the connection is of no use


class AsyncConnection(asyncio.Protocol, httpcore.AsyncNetworkStream):
    """A TCP connection, with or without TLS. asyncio tells what happens, one task reads."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._unread = bytearray()
        self._is_over = False  # nothing more will come
        self._error: Exception | None = None
        self._waiting: asyncio.Future[None] | None = None

    # News from asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._unread += data
        if len(self._unread) > MOST_UNREAD:
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        self._is_over = True
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        self._is_over = True
        self._error = self._error or error
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    # For httpcore, and for the stream.

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109  as in the base class
        while not self._unread and not self._is_over:
            self._waiting = self._loop.create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        if self._unread:
            data = bytes(self._unread[:max_bytes])
            del self._unread[:max_bytes]
            if not self._is_over and len(self._unread) <= MOST_UNREAD:
                self._transport.resume_reading()
            return data
        if self._error is not None:
            raise httpcore.ReadError(str(self._error)) from self._error
        return b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        if not self.try_to_send(buffer):
            raise httpcore.WriteError("the connection is closed") from self._error

    def try_to_send(self, data: bytes) -> bool:
        """Write without waiting: we send a kilobyte at most. False: the connection is closed."""
        if self._is_over or self._transport.is_closing():
            return False
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > MOST_UNSENT:  # the other side pings on and on, and reads no answer
            self._error = ConnectionError("the other side takes nothing any more")
            self._transport.abort()
        return True

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, *_: object, **__: object
    ) -> httpcore.AsyncNetworkStream:
        if self._unread:  # a proxy's own bytes would pass for bytes of the exchange
            raise httpcore.ConnectError("bytes came before the TLS handshake")
        if self._is_over:  # asyncio would wait for an end that has come already
            raise httpcore.ConnectError(str(self._error or NO_HANDSHAKE)) from self._error
        try:
            secured = await self._loop.start_tls(
                self._transport,
                self,
                ssl_context,
                server_hostname=server_hostname,
                ssl_handshake_timeout=LONGEST_TIMEOUT,  # the attempt has a time limit
            )
        except OSError as error:
            raise httpcore.ConnectError(str(error) or NO_HANDSHAKE) from error
        if secured is None:
            raise httpcore.ConnectError(NO_HANDSHAKE)
        self._transport = secured
        return self

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401  as in the base class
        if info != "is_readable":
            return self._transport.get_extra_info(info)
        # When the other side has closed a kept connection, or has sent bytes unasked, the connection is of no use.
        return bool(self._unread) or self._is_over or has_news(self._transport.get_extra_info("socket").fileno())

    def abort(self) -> None:
        """Close at once. May be repeated."""
        with contextlib.suppress(RuntimeError):  # the event loop is closed, and the connection with it
            self._transport.abort()

    async def aclose(self) -> None:
        self.abort()


def has_news(descriptor: int) -> bool:
    """Whether the system holds something of a socket that the event loop has not read yet."""
    if descriptor < 0:
        return True
    if sys.platform == "win32":
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


class AsyncBackend(httpcore.AsyncNetworkBackend):
    """Makes the connections."""

    async def connect_tcp(self, host: str, port: int, *_: object, **__: object) -> httpcore.AsyncNetworkStream:
        """Try each address of the host, the next one beside a silent one. The first that answers is taken."""
        try:
            found = await look_up(host, port)
            note_addresses(found)
            connection = await first_that_answers(found)
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        attempt_under_way.get().note_connection(connection)
        return connection


async def look_up(host: str, port: int) -> Sequence[SocketAddress]:
    ask: Callable[[], Sequence[SocketAddress]] = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        ipaddress.ip_address(host)
    except ValueError:  # it is a name
        return await threads.run((host, port), ask)
    return ask()


async def first_that_answers(addresses: Iterable[SocketAddress]) -> AsyncConnection:
    attempt, untried, trying = attempt_under_way.get(), deque(addresses), set[asyncio.Task[AsyncConnection]]()
    last: BaseException = OSError(NO_ADDRESS)
    try:
        while untried or trying:
            if untried:
                trying.add(asyncio.create_task(connect(untried.popleft()), name="listenkey-connect"))
            head_start = HEAD_START if untried else None
            done, _ = await asyncio.wait(trying, timeout=head_start, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                trying.remove(task)
                error = task.exception()
                if error is None:
                    return task.result()
                last = error
                if isinstance(error, OSError):
                    attempt.note_refusal(error)
    finally:
        for task in trying:
            task.cancel()
            task.add_done_callback(give_up)
    raise last


async def connect(address: SocketAddress) -> AsyncConnection:
    family, kind, protocol, _, (host, *rest) = address
    where = (host.partition("%")[0], *rest)  # asyncio would look a zone's name up, in threads of the program
    loop, connecting = asyncio.get_running_loop(), socket.socket(family, kind, protocol)
    try:
        connecting.setblocking(False)
        await loop.sock_connect(connecting, where)
        return (await loop.create_connection(AsyncConnection, sock=connecting))[1]
    except BaseException as error:
        connecting.close()
        if isinstance(error, OSError) and error.errno:  # asyncio's text has the address in place of the system's words
            raise OSError(error.errno, os.strerror(error.errno)) from None
        raise


def give_up(task: "asyncio.Task[AsyncConnection]") -> None:
    """Close a connection that came too late."""
    if not task.cancelled() and task.exception() is None:
        task.result().abort()
