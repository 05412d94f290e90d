"""`make bench-accounts`: keep the keys of many accounts on a single address, and print a Markdown table.

Each account has a client and a keeper, over TLS. An hour is shrunk: the life of a key, the waits of the keepers, the
minute of the turns and the minute of the sandbox's limit all shrink by the same factor. In a life, each request and
each look at the clock comes as often as in a real hour. So the share of CPU at the real life is the measured share
divided by the factor. For example, with a life of 240 s the factor is 15.
"""

import argparse
import asyncio
import contextlib
import gc
import json
import os
import platform
import resource
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from bench.server import trusted_by_peers
from listenkey import AsyncListenKeyClient, AsyncListenKeyKeeper, ListenKeyClient, ListenKeyError, ListenKeyKeeper
from listenkey import sandbox as exchange
from listenkey.sandbox import _accounts

HOUR = 3600.0


# The server runs in another process.


class Tally:
    """Counts the sandbox's requests: by status, and in the busiest minute."""

    def __init__(self, sandbox: exchange.Sandbox, minute: float) -> None:
        self._sandbox, self._minute = sandbox, minute
        self._last = 0.0
        self._window: deque[float] = deque()
        self.statuses: Counter[str] = Counter()
        self.peak = 0

    def look(self) -> None:
        """Count the new requests. The sandbox keeps the last 10,000 requests, so look often."""
        new = [request for request in self._sandbox.requests if request.time > self._last]
        for request in new:
            self.statuses[str(request.status)] += 1
            self._window.append(request.time)
            while self._window[0] <= request.time - self._minute:
                self._window.popleft()
            self.peak = max(self.peak, len(self._window))
        self._last = new[-1].time if new else self._last


async def serve(folder: Path, life: float) -> None:
    """Run a sandbox behind TLS until standard input ends. Then print the counts."""
    minute = _accounts._MINUTE = 60 * life / HOUR
    with exchange.Sandbox(life=life) as sandbox:
        host, _, port = sandbox.url.removeprefix("http://").partition(":")

        async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while data := await source.read(65536):
                    target.write(data)
                    await target.drain()
            target.close()

        async def front(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            back_reader, back_writer = await asyncio.open_connection(host, int(port))
            await asyncio.gather(pump(reader, back_writer), pump(back_reader, writer))

        server = await asyncio.start_server(front, "127.0.0.1", 0, ssl=trusted_by_peers(folder), backlog=1000)
        print(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        tally = Tally(sandbox, minute)
        ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        while not ended.done():
            await asyncio.wait([ended], timeout=0.5)
            tally.look()
        print(json.dumps({"peak": tally.peak, **tally.statuses}), flush=True)


@contextlib.contextmanager
def server(folder: str, life: float) -> Iterator["subprocess.Popen[str]"]:
    """Run the server."""
    command = [sys.executable, "-m", "bench.accounts", "--serve", folder, "--life", str(life)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process


# The keepers run in the process of the command.


class Figures:
    """The figures of the process with the keepers."""

    def __init__(self, accounts: int) -> None:
        self.accounts = accounts
        self.lost = 0
        self.began = time.monotonic()
        gc.collect()
        self._before = _resident()

    def started(self) -> None:
        """Note that all keepers have a key."""
        self.start = time.monotonic() - self.began
        gc.collect()
        self.kib = (_resident() - self._before) / self.accounts
        self.threads = threading.active_count()
        self._cpu, self._wall = time.process_time(), time.monotonic()

    def ended(self) -> None:
        """Note the end of the steady state."""
        self.cpu = (time.process_time() - self._cpu) / (time.monotonic() - self._wall)


def shrink(client: AsyncListenKeyClient | ListenKeyClient, life: float) -> None:
    """Let the minute of the turns shrink with the life."""
    client._address.minute = 60 * life / HOUR
    client._address.begin_anew(client._address.rate_limit_wait.until, None)


async def keep_async(figures: Figures, url: str, life: float, lives: float) -> None:
    """Keep all keys in one event loop."""
    over, waiting = asyncio.Event(), [figures.accounts]
    all_started = asyncio.Event()

    async def keep(client: AsyncListenKeyClient) -> None:
        try:
            async with AsyncListenKeyKeeper(client) as keeper:
                waiting[0] -= 1
                if not waiting[0]:
                    all_started.set()
                await over.wait()
                keeper.key  # noqa: B018  raises if the key is lost
        except ListenKeyError as error:
            figures.lost += 1
            print(error, file=sys.stderr)
            if not all_started.is_set():
                raise

    clients = [
        AsyncListenKeyClient(f"account-{number}", base_url=url, key_life=life) for number in range(figures.accounts)
    ]
    shrink(clients[0], life)
    keeping = [asyncio.create_task(keep(client)) for client in clients]
    await all_started.wait()
    figures.started()
    await asyncio.sleep(lives * life)
    figures.ended()
    over.set()
    await asyncio.gather(*keeping)
    for client in clients:
        await client.aclose()


def keep_sync(figures: Figures, url: str, life: float, lives: float) -> None:
    """Keep all keys in threads. Enter the keepers in turn."""
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(ListenKeyClient(f"account-{number}", base_url=url, key_life=life))
            for number in range(figures.accounts)
        ]
        shrink(clients[0], life)
        keepers = [stack.enter_context(ListenKeyKeeper(client)) for client in clients]
        figures.started()
        time.sleep(lives * life)
        figures.ended()
        figures.lost = sum(keeper.status().state != "running" for keeper in keepers)


def _resident() -> float:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("Rss:"))


def _warm(url: str) -> None:
    """Make a first call of each twin. The first call loads modules, and no account should pay for the modules."""

    async def first() -> None:
        async with AsyncListenKeyClient("warm", base_url=url) as client:
            await client.start()

    asyncio.run(first())
    with ListenKeyClient("warm", base_url=url) as client:
        client.start()


def main() -> int:
    """Measure, and print the table. Returns 1 when a key was lost."""
    parser = argparse.ArgumentParser(prog="make bench-accounts", description=__doc__)
    parser.add_argument("--accounts", type=int, default=10_000, help="how many (%(default)s)")
    parser.add_argument("--life", type=float, default=240.0, help="seconds that a key lives (%(default)s)")
    parser.add_argument("--lives", type=float, default=1.0, help="how long the steady state lasts (%(default)s)")
    parser.add_argument("--sync", action="store_true", help="keepers with a thread each")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options.serve, options.life))
        return 0
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    with tempfile.TemporaryDirectory() as folder, server(folder, options.life) as process:
        url = cast(IO[str], process.stdout).readline().strip()
        os.environ["SSL_CERT_FILE"] = str(Path(folder, "ca.pem"))
        _warm(url)
        figures = Figures(options.accounts)
        if options.sync:
            keep_sync(figures, url, options.life, options.lives)
        else:
            asyncio.run(keep_async(figures, url, options.life, options.lives))
        seen = json.loads(process.communicate()[0])
    factor = HOUR / options.life
    peak = seen.pop("peak")
    print(
        f"{time.strftime('%Y-%m-%d', time.gmtime())}, {platform.platform()}, Python {platform.python_version()}, "
        f"{ssl.OPENSSL_VERSION}, load {os.getloadavg()[0]:.1f}; {options.lives:g} lives of {options.life:g} s.\n\n"
        f"| accounts | keys lost | all started after, minutes | KiB an account | threads | CPU, % of a core "
        f"| at the real life, % | answers by status | busiest minute |\n|{'---:|' * 9}\n"
        f"| {options.accounts} {'sync' if options.sync else 'async'} | {figures.lost} "
        f"| {figures.start * factor / 60:.1f} | {figures.kib:.1f} | {figures.threads} "
        f"| {figures.cpu * 100:.0f} | {figures.cpu * 100 / factor:.1f} | {seen} | {peak} |"
    )
    return figures.lost > 0


if __name__ == "__main__":
    sys.exit(main())
