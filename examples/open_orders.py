"""The open orders, right again after each gap: events, and a snapshot over REST wherever events may be missing.

BINANCE_API_KEY=… BINANCE_SECRET_KEY=… python open_orders.py
"""

import hmac
import os
import time
from collections.abc import Iterator
from typing import Any

import httpx

from listenkey import ListenKeyClient, SnapshotError
from listenkey.stream import AccountState, UserDataStream

API_KEY, SECRET_KEY = os.environ.get("BINANCE_API_KEY", ""), os.environ.get("BINANCE_SECRET_KEY", "")
BASE_URL = os.environ.get("LISTENKEY_BASE_URL", "https://eapi.binance.com")
PATHS = {"open_orders": "openOrders", "positions": "position", "margin_account": "marginAccount"}
WAIT = 10.0  # seconds between snapshots: one has a weight of 48, and an address may use 2400 a minute


def snapshot() -> dict[str, Any]:
    """Ask Binance for all that the account holds: three signed calls."""
    answers: dict[str, Any] = {}
    with httpx.Client(base_url=BASE_URL, headers={"X-MBX-APIKEY": API_KEY}) as rest:
        for part, path in PATHS.items():
            query = f"timestamp={int(time.time() * 1000)}"
            signature = hmac.new(SECRET_KEY.encode(), query.encode(), "sha256").hexdigest()
            answer = rest.get(f"/eapi/v1/{path}?{query}&signature={signature}")
            answers[part] = answer.raise_for_status().json()
    return answers


def follow(stream: UserDataStream) -> Iterator[AccountState]:
    """Give the account each time that something may have happened, and the account is right."""
    account, next_at = AccountState(), 0.0
    while True:
        if (item := stream.next_within(WAIT)) is not None:
            account.apply(item)
        if account.stale and time.monotonic() >= next_at:
            next_at = time.monotonic() + WAIT
            try:
                account.load(**snapshot())
            except (httpx.HTTPError, ValueError, SnapshotError) as error:  # ValueError: no JSON
                if isinstance(error, httpx.HTTPStatusError):  # 429, 418: send nothing for so long
                    next_at += float(error.response.headers.get("Retry-After", 0))
                print(f"no snapshot: {type(error).__name__}", flush=True)
        if not account.stale:
            yield account


if __name__ == "__main__":
    with ListenKeyClient(API_KEY, base_url=BASE_URL) as client, UserDataStream(client, forever=True) as stream:
        for state in follow(stream):
            opened = (order for order in state.orders.values() if order.is_open)
            print([f"{order.symbol} {order.filled_quantity}/{order.quantity}" for order in opened], flush=True)
