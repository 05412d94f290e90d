"""As open_orders.py, for asyncio: the open orders, right again after each gap."""

import asyncio
import hmac
import os
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx

from listenkey import AsyncListenKeyClient, SnapshotError
from listenkey.stream import AccountState, AsyncUserDataStream

API_KEY, SECRET_KEY = os.environ.get("BINANCE_API_KEY", ""), os.environ.get("BINANCE_SECRET_KEY", "")
BASE_URL = os.environ.get("LISTENKEY_BASE_URL", "https://eapi.binance.com")
PATHS = {"open_orders": "openOrders", "positions": "position", "margin_account": "marginAccount"}
WAIT = 10.0  # seconds between snapshots


async def snapshot() -> dict[str, Any]:
    answers: dict[str, Any] = {}
    async with httpx.AsyncClient(base_url=BASE_URL, headers={"X-MBX-APIKEY": API_KEY}) as rest:
        for part, path in PATHS.items():
            query = f"timestamp={int(time.time() * 1000)}"
            signature = hmac.new(SECRET_KEY.encode(), query.encode(), "sha256").hexdigest()
            answers[part] = (await rest.get(f"/eapi/v1/{path}?{query}&signature={signature}")).raise_for_status().json()
    return answers


async def follow(stream: AsyncUserDataStream) -> AsyncIterator[AccountState]:
    account, next_at = AccountState(), 0.0
    while True:
        if (item := await stream.next_within(WAIT)) is not None:
            account.apply(item)
        if account.stale and time.monotonic() >= next_at:
            next_at = time.monotonic() + WAIT
            try:
                account.load(**await snapshot())
            except (httpx.HTTPError, ValueError, SnapshotError) as error:  # ValueError: no JSON
                if isinstance(error, httpx.HTTPStatusError):  # 429, 418: send nothing for so long
                    next_at += float(error.response.headers.get("Retry-After", 0))
                print(f"no snapshot: {type(error).__name__}", flush=True)
        if not account.stale:
            yield account


async def main() -> None:
    async with (
        AsyncListenKeyClient(API_KEY, base_url=BASE_URL) as client,
        AsyncUserDataStream(client, forever=True) as stream,
    ):
        async for state in follow(stream):
            opened = (order for order in state.orders.values() if order.is_open)
            print([f"{order.symbol} {order.filled_quantity}/{order.quantity}" for order in opened], flush=True)


if __name__ == "__main__":
    asyncio.run(main())
