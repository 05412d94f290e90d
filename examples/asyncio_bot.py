"""An asyncio bot that reads the account's events, and takes a snapshot wherever events may be missing.

pip install '.[stream]'
BINANCE_API_KEY=… python asyncio_bot.py
"""

import asyncio
import contextlib
import os
import signal

from listenkey import AsyncListenKeyClient, ListenKeyError
from listenkey.stream import AsyncUserDataStream, Gap, Item, OrderTradeUpdate

API_KEY = os.environ.get("BINANCE_API_KEY", "")
BASE_URL = os.environ.get("LISTENKEY_BASE_URL", "https://eapi.binance.com")


async def take_snapshot(gap: Gap) -> None:
    """Your part: ask Binance's REST API for orders, positions and balances."""
    print(f"snapshot, because {gap.reason}", flush=True)


async def handle(item: Item) -> None:
    """Your part: what an event does."""
    match item:
        case Gap():
            await take_snapshot(item)  # the events after a Gap follow the snapshot
        case OrderTradeUpdate(order=order):
            print(f"order {order.client_order_id} is {order.status}", flush=True)
        case _:
            pass  # balances, positions, greeks, risk: docs/stream.md


async def main() -> None:
    """Run until SIGTERM or Ctrl-C. Without a handler, a container's first process would ignore SIGTERM."""
    loop, bot = asyncio.get_running_loop(), asyncio.current_task()

    def stop(*_: object) -> None:
        if bot is not None:
            loop.call_soon_threadsafe(bot.cancel)

    signal.signal(signal.SIGTERM, stop)  # not loop.add_signal_handler, which Windows does not have
    async with (
        AsyncListenKeyClient(API_KEY, base_url=BASE_URL) as client,
        AsyncUserDataStream(client, forever=True) as stream,  # the log tells of a lost key, an outage and a ban
    ):
        async for item in stream:
            await handle(item)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        try:
            asyncio.run(main())
        except ListenKeyError as error:
            raise SystemExit(f"no events: {error}") from None
    print("stopped")
