"""The one place where tests look into clients, keepers and addresses. tests/repository/test_rooms.py holds it.

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
from listenkey.keeper._lease import Lease

Client = ListenKeyClient | AsyncListenKeyClient


def exchange_of(client: Client) -> AnyExchange | None:
    """The exchange that a client shares. None: it is closed, or has made no call."""
    return client._exchange


async def close_connections(client: AsyncListenKeyClient) -> None:
    """Close what the end of an event loop leaves to the garbage collector."""
    exchange = exchange_of(client)
    assert isinstance(exchange, AsyncExchange)
    await exchange._transport.aclose()


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


def give_request(keeper: ListenKeyKeeper | AsyncListenKeyKeeper, start_once: Callable[[], Any]) -> None:
    """Let a keeper call this, in place of its client's request."""
    keeper._inside = dataclasses.replace(keeper._inside, start_once=start_once)


@contextlib.contextmanager
def as_in_a_child(keeper: ListenKeyKeeper | AsyncListenKeyKeeper) -> Iterator[None]:
    """See a keeper as a forked child would."""
    mine, keeper._pid = keeper._pid, -1
    yield
    keeper._pid = mine
