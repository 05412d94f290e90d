"""Follow the accounts of one shard: python shard.py INDEX COUNT FILE. A line of the file: NAME API-KEY.

With HEALTH_PORT the shard answers two questions over HTTP. /live: does the shard run? /ready: do each account's events
come, or is the account refused?
"""

import asyncio
import contextlib
import hashlib
import os
import signal
import sys
from pathlib import Path

from listenkey import (
    AsyncListenKeyClient,
    LeaseLost,
    ListenKeyError,
    RateLimited,
    ServerError,
    TransportError,
)
from listenkey.stream import AsyncUserDataStream, Gap, Item, merged

BASE_URL = os.environ.get("LISTENKEY_BASE_URL", "https://eapi.binance.com")
HEALTH_PORT = int(os.environ.get("HEALTH_PORT", "0"))
FIRST_WAIT, LONGEST_WAIT = 30.0, 960.0  # seconds until an account is tried again: doubled until its events come
PASSING = (TransportError, RateLimited, ServerError, LeaseLost)  # trouble that ends by itself; all else is a refusal


def shard_of(account: str, count: int) -> int:
    """Choose by rendezvous hashing: when a shard is added or taken away, only that shard's accounts move."""
    return max(range(count), key=lambda index: hashlib.sha256(f"{index} {account}".encode()).digest())


class Shard:
    """Follows each account. What goes wrong with an account delays no other account."""

    def __init__(self, accounts: dict[str, str]) -> None:
        self.accounts = accounts
        self.states = dict.fromkeys(accounts, "waiting")  # then "followed" or "refused"
        self.waits = dict.fromkeys(accounts, FIRST_WAIT)
        self.has_worked = False
        self.all_refused = asyncio.Event()

    async def run(self) -> None:
        """Follow the accounts until the task is cancelled. The keys live on for half an hour or more."""
        async with asyncio.TaskGroup() as tasks:
            if self.accounts:
                tasks.create_task(self.follow(tasks, self.accounts))
            await self.all_refused.wait()
            raise SystemExit(
                "Binance refuses every account: check the API keys, and the addresses that they are bound to."
            )

    async def follow(self, tasks: asyncio.TaskGroup, accounts: dict[str, str]) -> None:
        """Follow accounts in one flow. An account that cannot go on gets a flow of its own, after a wait."""
        async with contextlib.AsyncExitStack() as stack:
            clients = {name: AsyncListenKeyClient(api_key, base_url=BASE_URL) for name, api_key in accounts.items()}
            for client in clients.values():
                await stack.enter_async_context(client)
            streams = {name: AsyncUserDataStream(client) for name, client in clients.items()}
            async for name, item in await stack.enter_async_context(merged(streams)):
                if isinstance(item, ListenKeyError):
                    tasks.create_task(self.again(tasks, name, item))
                else:
                    self.handle(name, item)

    def handle(self, name: str, item: Item) -> None:
        """Your part: what an account's event does."""
        if isinstance(item, Gap):  # here the account needs a snapshot: see open_orders_async.py
            self.states[name], self.waits[name], self.has_worked = "followed", FIRST_WAIT, True
            print(f"{name}: snapshot, because {item.reason}", flush=True)
        else:
            print(f"{name}: {type(item).__name__}", flush=True)

    async def again(self, tasks: asyncio.TaskGroup, name: str, error: ListenKeyError) -> None:
        """Try an account again: sooner if Binance says when, slower each time if not."""
        self.states[name] = "waiting" if isinstance(error, PASSING) else "refused"
        pause = error.retry_after or self.waits[name]
        print(f"{name}: {error} The next try is in {pause:.0f} s.", file=sys.stderr, flush=True)
        if not self.has_worked and set(self.states.values()) == {"refused"}:
            self.all_refused.set()
        await asyncio.sleep(pause)
        self.waits[name] = min(2 * self.waits[name], LONGEST_WAIT)
        await self.follow(tasks, {name: self.accounts[name]})

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer a probe. Binance away: alive, and not ready."""
        with contextlib.suppress(OSError, EOFError, asyncio.LimitOverrunError, asyncio.CancelledError):
            async with asyncio.timeout(10):
                request = await reader.readuntil(b"\r\n\r\n")
                ready = "waiting" not in self.states.values()
                status = b"200 OK" if ready or request.startswith(b"GET /live ") else b"503 Service Unavailable"
                writer.write(b"HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)
                await writer.drain()
        writer.close()


async def main(index: int, count: int, accounts: list[list[str]]) -> None:
    """Run until SIGTERM or Ctrl-C. Without a handler, a container's first process would ignore SIGTERM."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def stop(*_: object) -> None:
        if task is not None:
            loop.call_soon_threadsafe(task.cancel)

    signal.signal(signal.SIGTERM, stop)  # not loop.add_signal_handler, which Windows does not have
    shard = Shard({name: api_key for name, api_key in accounts if shard_of(name, count) == index})
    with contextlib.ExitStack() as stack:
        if HEALTH_PORT:
            stack.enter_context(contextlib.closing(await asyncio.start_server(shard.answer, port=HEALTH_PORT)))
        await shard.run()


if __name__ == "__main__":
    lines = Path(sys.argv[3]).read_text(encoding="utf-8").splitlines()
    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), [line.split() for line in lines if line.strip()]))
    print("stopped")
