"""Keep the listen keys of one shard's accounts: python shard.py INDEX COUNT FILE. A line of the file: NAME API-KEY."""

import asyncio
import hashlib
import os
import sys
from pathlib import Path

from listenkey import AsyncListenKeyClient, AsyncListenKeyKeeper, ListenKeyError

BASE_URL = os.environ.get("LISTENKEY_BASE_URL", "https://eapi.binance.com")


def shard_of(account: str, count: int) -> int:
    """Choose by rendezvous hashing: when a shard is added or taken away, only that shard's accounts move."""
    return max(range(count), key=lambda index: hashlib.sha256(f"{index} {account}".encode()).digest())


async def keep(account: str, api_key: str) -> None:
    """Keep one account's key. What goes wrong here stays with this account."""
    try:
        async with AsyncListenKeyClient(api_key, base_url=BASE_URL) as client, AsyncListenKeyKeeper(client) as keeper:
            async for key in keeper.changes():
                print(f"{account}: listen to {key.value[:6]}…", flush=True)  # your part: the account's stream
    except ListenKeyError as error:
        print(f"{account}: {error}", file=sys.stderr, flush=True)


async def main(index: int, count: int, accounts: list[list[str]]) -> None:
    """Keep the keys of this shard until the process ends. The keys live on for half an hour or more."""
    await asyncio.gather(*(keep(name, api_key) for name, api_key in accounts if shard_of(name, count) == index))


if __name__ == "__main__":
    lines = Path(sys.argv[3]).read_text(encoding="utf-8").splitlines()
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), [line.split() for line in lines]))
