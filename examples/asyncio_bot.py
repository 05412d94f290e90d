"""An asyncio bot: one task listens with the key of now, and starts anew when the key becomes another one.

BINANCE_API_KEY=… python asyncio_bot.py
"""

import asyncio
import contextlib
import os
import signal

from listenkey import AsyncListenKeyClient, AsyncListenKeyKeeper, ListenKey, ListenKeyError

API_KEY = os.environ.get("BINANCE_API_KEY", "")
BASE_URL = os.environ.get("LISTENKEY_BASE_URL", "https://eapi.binance.com")


async def listen(key: ListenKey) -> None:
    """Your part: connect to wss://fstream.binance.com/private/ws/ and key.value, read events, handle errors."""
    print(f"listening with {key.value[:6]}…, valid until {key.expires_at:%H:%M} UTC", flush=True)
    await asyncio.Event().wait()


async def listen_with_each_key(keeper: AsyncListenKeyKeeper) -> None:
    """Listen until the keeper is closed; raises LeaseLost when the key is lost."""
    listening: asyncio.Task[None] | None = None
    try:
        async for key in keeper.changes():
            if listening is not None:
                listening.cancel()
            listening = asyncio.create_task(listen(key))
    finally:
        if listening is not None:
            listening.cancel()


async def main() -> None:
    """Run until SIGTERM or Ctrl-C."""
    bot = asyncio.current_task()
    if bot is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, bot.cancel)
    async with (
        AsyncListenKeyClient(API_KEY, base_url=BASE_URL) as client,
        AsyncListenKeyKeeper(client) as keeper,
    ):
        await listen_with_each_key(keeper)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        try:
            asyncio.run(main())
        except ListenKeyError as error:
            raise SystemExit(f"no listen key: {error}") from None
    print("stopped")
