"""`make bench`: measure our client beside three peers, and print a Markdown table.

The peers: the generated client driven by hand (bare), Binance's official SDK, ccxt. Each sample is a new process, and
the peers take turns. A figure is the median of the samples. The ratio divides our figure by the figure of bare.
"""

import argparse
import contextlib
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO, cast

HERE = Path(__file__).parent
PEERS = ("ours", "bare", "official", "ccxt")
TWINS = ("ours", "bare")  # the peers with an async client
PACKAGES = (
    "httpx",
    "httpcore",
    "binance-sdk-derivatives-trading-options",
    "requests",
    "ccxt",
    "websockets",
)


@dataclass(frozen=True)
class Measure:
    """A request to `sample.py`.

    Attributes:
        titles: the titles of the figures of a sample. Each figure is a row of the table.
        samples: the number of samples of each peer.
        arguments: the arguments of `sample.py`, without the peer.
        peers: the peers to be measured.
        whole: True: the figures are CPU and wall time of the whole process. False: `sample.py` prints the figures.
    """

    titles: tuple[str, ...]
    samples: int
    arguments: tuple[str, ...]
    peers: tuple[str, ...] = PEERS
    whole: bool = False


def measures(plain: str, tls: str, clients: int) -> list[Measure]:
    """Give all measures, the quick measures first."""
    cold = "new process → key, {}, ms of {}"
    made = "memory of a client, {}, KiB"
    return [
        Measure(("import, ms of CPU",), 15, ("importing",)),
        *(
            Measure((cold.format(way, "CPU"), cold.format(way, "wall time")), 9, ("cold", url), whole=True)
            for way, url in (("plain", plain), ("TLS", tls))
        ),
        *(
            Measure((f"warm call, {way}, µs of CPU",), 7, ("warm", url, "400"))
            for way, url in (("plain", plain), ("TLS", tls))
        ),
        *(
            Measure((f"warm async call, {way}, µs of CPU",), 7, ("warm_async", url, "400"), TWINS)
            for way, url in (("plain", plain), ("TLS", tls))
        ),
        Measure(("first async client: event loop held up, TLS, ms of CPU",), 7, ("blocking", tls), TWINS),
        Measure(("event of an order, frame → object (bare: JSON alone), µs of CPU",), 9, ("decode", "5000")),
        Measure(("event of an order, socket → program, µs of CPU",), 9, ("flow", plain, "20000"), TWINS),
        Measure(("event of an order, socket → async program, µs of CPU",), 9, ("flow_async", plain, "20000"), TWINS),
        *(
            Measure((made.format(f"{way}, made"), made.format(f"{way}, used once")), 1, ("memory", url, str(clients)))
            for way, url in (("plain", plain), ("TLS", tls))
        ),
    ]


def take(measure: Measure, peer: str, environment: dict[str, str]) -> list[float]:
    """Take a sample, in a new process."""
    what, *arguments = measure.arguments
    command = [sys.executable, str(HERE / "sample.py"), what, peer, *arguments]
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    printed = subprocess.run(command, stdout=subprocess.PIPE, env=environment, text=True, check=True).stdout
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    if measure.whole:
        return [(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3, wall * 1e3]
    return [float(number) for number in printed.split()]


def rows(measure: Measure, environment: dict[str, str], samples: int) -> Iterator[str]:
    """Measure, and write the rows of the table. The peers take turns, so a busy moment meets all peers."""
    taken: dict[str, list[list[float]]] = {peer: [] for peer in measure.peers}
    if measure.whole:
        for peer in measure.peers:
            take(measure, peer, environment)  # from now on the files are in the page cache
    for turn in range(samples):
        print(f"{measure.titles[0]}: {turn + 1} of {samples}", file=sys.stderr)
        for peer in measure.peers:
            taken[peer].append(take(measure, peer, environment))
    for number, title in enumerate(measure.titles):
        yield row(title, {peer: [sample[number] for sample in each] for peer, each in taken.items()})


def row(title: str, taken: dict[str, list[float]]) -> str:
    """Write a row of the table."""
    medians = {peer: statistics.median(samples) for peer, samples in taken.items()}
    cells = [f"{medians[peer]:,.4g}" if peer in medians else "" for peer in PEERS]
    return f"| {title} | {medians['ours'] / medians['bare']:.2f} | {' | '.join(cells)} |"


@contextlib.contextmanager
def server(folder: str) -> Iterator[list[str]]:
    """Run the server, and give both URLs of the server."""
    command = [sys.executable, str(HERE / "server.py"), folder]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield cast(IO[str], process.stdout).readline().split()
        cast(IO[str], process.stdin).close()


def about() -> str:
    """Name the date, the commit, the machine and the versions."""
    date = time.strftime("%Y-%m-%d", time.gmtime())
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], check=True, stdout=subprocess.PIPE, text=True)
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    return (
        f"{date}, commit {commit.stdout.strip()}; {platform.platform()}, {os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f}; Python {platform.python_version()}, {versions}."
    )


def main() -> None:
    """Measure, show progress on standard error, print the table."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--clients", type=int, default=1000, help="clients in memory, of each peer (%(default)s)")
    parser.add_argument("--only", default="", help="measure only what has this word in its title")
    parser.add_argument("--samples", type=int, help="samples of each figure, instead of its own number")
    options = parser.parse_args()
    print(about())
    print(f"\n| | ours ÷ bare | {' | '.join(PEERS)} |\n|---|{'---:|' * (len(PEERS) + 1)}")
    with tempfile.TemporaryDirectory() as folder, server(folder) as (plain, tls):
        ca = str(Path(folder, "ca.pem"))
        environment = {**os.environ, "SSL_CERT_FILE": ca, "REQUESTS_CA_BUNDLE": ca}
        environment.pop(
            "PYTHONDONTWRITEBYTECODE", None
        )  # Python compiles an installed package once, not in each process
        for measure in measures(plain, tls, options.clients):
            if options.only in measure.titles[0]:
                for row in rows(measure, environment, min(measure.samples, options.samples or measure.samples)):
                    print(row, flush=True)


if __name__ == "__main__":
    main()
