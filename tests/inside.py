"""The one place where tests look into the package. tests/repository/test_rooms.py holds it.

A door of the package is no such place: `listenkey._inside.inside(client)` shows the route and the address of a client.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from listenkey import AsyncListenKeyClient, AsyncListenKeyKeeper, ListenKeyClient, ListenKeyKeeper
from listenkey._http.async_network import AsyncConnection
from listenkey._http.exchange import AnyExchange, AsyncExchange
from listenkey._limits.shared import Address
from listenkey._limits.turns import Turns
from listenkey._limits.wait import KeyHolder, RateLimitWait
from listenkey.cli._screen import Screen
from listenkey.keeper._lease import Lease
from listenkey.sandbox import Sandbox
from listenkey.stream import AsyncUserDataStream, UserDataStream
from listenkey.stream._driver import Driver
from listenkey.stream._machine import Link
from listenkey.stream._websocket import WebSocket

Client = ListenKeyClient | AsyncListenKeyClient
Keeper = ListenKeyKeeper | AsyncListenKeyKeeper
Stream = UserDataStream | AsyncUserDataStream


def exchange_of(client: Client) -> AnyExchange | None:
    """The exchange that a client shares. None: it is closed, or has made no call."""
    return client._exchange


async def close_connections(client: AsyncListenKeyClient) -> None:
    """Close what the end of an event loop leaves to the garbage collector."""
    exchange = exchange_of(client)
    assert isinstance(exchange, AsyncExchange)
    exchange.idle.discard()


def unsent(connection: AsyncConnection) -> int:
    """Bytes that wait for the other side."""
    return connection._transport.get_write_buffer_size()


def unread(connection: AsyncConnection) -> int:
    """Bytes that wait for the program."""
    return len(connection._unread)


def give_address(client: Client, address: Address) -> None:
    """Let a client count for another address."""
    client._address = address


def turns_of(address: Address) -> Turns:
    """The turns of an address."""
    return address._turns


def calls_in(turns: Turns) -> int:
    """How many calls of the last minute are remembered."""
    return len(turns._calls)


def given_in(turns: Turns) -> int:
    """How many turns of the last minute are remembered."""
    return len(turns._turns)


def waiting_in(turns: Turns) -> int:
    """How many wait for a turn."""
    return len(turns._waiting)


def under_way_in(turns: Turns) -> list[KeyHolder]:
    """Who has a turn."""
    return list(turns._under_way)


def give_wait(lease: Lease, wait: RateLimitWait) -> None:
    """Let a lease wait as another one does."""
    lease._rate_limit_wait = wait


def give_chance(lease: Lease, chance: Random) -> None:
    """Give a lease another source of jitter."""
    lease._random = chance


def give_request(keeper: Keeper, start_once: Callable[[], Any]) -> None:
    """Let a keeper call this, in place of its client's request."""
    keeper._inside = dataclasses.replace(keeper._inside, start_once=start_once)


@contextlib.contextmanager
def as_in_a_child(keeper: Keeper) -> Iterator[None]:
    """See a keeper as a forked child would."""
    mine, keeper._pid = keeper._pid, -1
    yield
    keeper._pid = mine


def break_down(keeper: Keeper, cause: BaseException) -> None:
    """End a keeper as an error in its loop would."""
    keeper._call(keeper._keeping.broke_down, cause)


def log_of(keeper: Keeper) -> list[Any]:
    """What a keeper will log at the next look."""
    return keeper._keeping.log


def keeper_of(stream: Stream) -> Keeper:
    """The keeper of a stream."""
    return stream._keeper


def url_of(stream: Stream) -> str:
    """Where a stream connects to."""
    return stream._route.url


def driver_of(stream: Stream) -> Driver:
    """What moves the bytes of a stream."""
    assert stream._driver is not None
    return stream._driver


def link_of(stream: Stream) -> Link:
    """What decides for a stream."""
    return driver_of(stream).link


def sockets_of(link: Link) -> Any:
    """The connections that a link knows."""
    return link._sockets


def served_by(stream: Stream) -> dict[int, Any]:
    """The connections of a stream that have a task, by their number."""
    return driver_of(stream)._serving


def tries_of(stream: Stream) -> int:
    """How often a stream has tried to connect since it last worked."""
    return link_of(stream)._attempts._tries


def copies_of(link: Link) -> Any:
    """The events that another connection may bring once more. None: there is one connection."""
    return link._copies


def parts_in(socket: WebSocket) -> int:
    """How many frames of an unfinished message are held."""
    return len(socket._parts)


def keys_in(sandbox: Sandbox) -> Any:
    """The listen keys of a sandbox, each with its account."""
    return sandbox._accounts._keys.values()


def connections_at(sandbox: Sandbox) -> int:
    """How many connections a sandbox has, of the stream and of REST."""
    server: Any = sandbox._server
    return len(server._open)


def hurry(sandbox: Sandbox, scale: float) -> None:
    """Let the pace of a sandbox's stream be another one."""
    sandbox.stream._scale = scale


def end_thread(screen: Screen) -> None:
    """End the thread of a screen before the screen is left."""
    screen._queue.put(None)
    screen._thread.join()
