"""What keepers, streams and the check may see of a client: their only door. Users see the client's calls alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from listenkey._http.exchange import Operation
    from listenkey._http.route import Account, Route, Wishes
    from listenkey._limits.shared import Address
    from listenkey.client import AsyncListenKeyClient, ListenKeyClient


@dataclass(frozen=True, repr=False, eq=False)
class Inside:
    """A client from inside.

    Attributes:
        route: the way to the exchange.
        wishes: how the caller wants to get to the exchange, and to the stream.
        address: the waits, turns and weight of the address by which the calls leave.
        timeout: seconds that an attempt may take.
        attempts: how often a call is tried.
        key_life: seconds that a listen key is taken to live.
        is_usual_key: whether the API key has the form of Binance's: 64 letters and digits.
        start_once: makes one attempt at `start()`, and gives a `Started`. For the async client: await the call.
        call: makes a call for any `Account`, by the rules of the client's own calls. For the async client: await it.
    """

    route: Route
    wishes: Wishes
    address: Address
    timeout: float
    attempts: int
    key_life: float
    is_usual_key: bool
    start_once: Callable[[], Any]
    call: Callable[[Operation, Account], Any]


def inside(client: ListenKeyClient | AsyncListenKeyClient) -> Inside:
    """Open the door."""
    return Inside(
        client._route,
        client._wishes,
        client._address,
        client._account.timeout,
        client._attempts,
        client._key_life,
        re.fullmatch("[0-9A-Za-z]{64}", client._account.api_key) is not None,
        client._start_once,
        client._repeat,
    )
