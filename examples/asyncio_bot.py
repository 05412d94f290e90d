"""An asyncio bot that reads the account's events, and takes a snapshot wherever events may be missing.

pip install '.[stream]'
BINANCE_API_KEY=… python asyncio_bot.py
"""

import asyncio
import contextlib
import os
import signal

from listenkey import AsyncListenKeyClient, ListenKeyError
from listenkey.stream import AsyncUserDataStream, Gap, OrderTradeUpdate

API_KEY = os.environ.get("BINANCE_API_KEY", "")
BASE_URL = os.environ.get("LISTENKEY_BASE_URL", "https://eapi.binance.com")


async def take_snapshot(gap: Gap) -> None:
    """Your part: ask Binance's REST API for orders, positions and balances."""
    print(f"snapshot, because {gap.reason}", flush=True)


async def main() -> None:
    """Run until SIGTERM or Ctrl-C."""
    bot = asyncio.current_task()
    if bot is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, bot.cancel)
    async with (
        AsyncListenKeyClient(API_KEY, base_url=BASE_URL) as client,
        AsyncUserDataStream(client) as stream,
    ):
        async for item in stream:
            match item:
                case Gap():
                    await take_snapshot(item)  # the events after a Gap follow the snapshot
                case OrderTradeUpdate(order=order):
                    print(f"order {order.client_order_id} is {order.status}", flush=True)
                case _:
                    pass  # balances, positions, greeks, risk: docs/stream.md


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        try:
            asyncio.run(main())
        except ListenKeyError as error:
            raise SystemExit(f"no events: {error}") from None
    print("stopped")
