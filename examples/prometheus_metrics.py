"""A bot that Prometheus watches: how its listen key and its stream are doing, and how many gaps there were.

Prometheus reads the figures at http://HOST:9464/metrics. Needs `pip install prometheus-client`. What each figure means,
and when a person should be woken: docs/monitoring.md.
"""

import os
import time
from collections.abc import Callable, Iterator
from datetime import datetime

from prometheus_client import Counter, start_http_server
from prometheus_client.core import REGISTRY, CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from listenkey import ConfigurationError, KeeperStatus, ListenKeyClient, ListenKeyError, ListenKeyKeeper
from listenkey.client import BASE_URL
from listenkey.stream import Gap, StreamStatus, UserDataStream

ACCOUNT = os.environ.get("ACCOUNT", "main")  # a name for people: an API key is a secret
GAPS = Counter("listenkey_gaps", "Where events may be missing, by reason.", ["account", "reason"])
# Each figure: its meaning, and where it comes from. None: nobody knows now.
FIGURES: dict[str, tuple[str, Callable[[KeeperStatus, StreamStatus], float | None]]] = {
    "kept": ("1 while the listen key is kept alive.", lambda keeper, _: keeper.state == "running"),
    "seconds_left": ("Seconds until the key is lost without a renewal.", lambda keeper, _: keeper.time_left),
    "connected": ("1 while the stream is connected.", lambda _, stream: stream.state == "connected"),
    "last_event_seconds": ("Seconds since the last event.", lambda _, stream: age(stream.last_event)),
    "blind_seconds": ("Seconds for which no event could come.", lambda _, stream: age(stream.blind_since) or 0.0),
}


def age(when: datetime | None) -> float | None:
    """Seconds since then."""
    return None if when is None else time.time() - when.timestamp()


class Figures(Collector):
    """Asks client, keeper and stream whenever Prometheus asks."""

    def __init__(self, client: ListenKeyClient) -> None:
        self.client = client
        self.running: tuple[ListenKeyKeeper, UserDataStream] | None = None  # None: between two starts

    def collect(self) -> Iterator[Metric]:
        """Give the figures of this moment."""
        yield gauge("used_weight", "Weight that this address used in the minute.", self.client.used_weight)
        if (running := self.running) is None:
            yield gauge("kept", FIGURES["kept"][0], 0)
            return
        keeper, stream = running[0].status(), running[1].status()
        for name, (meaning, read) in FIGURES.items():
            yield gauge(name, meaning, read(keeper, stream))
        failed = CounterMetricFamily("listenkey_renewals_failed", "Renewals that failed.", labels=["account"])
        failed.add_metric([ACCOUNT], keeper.failures)
        yield failed


def gauge(name: str, meaning: str, value: float | None) -> Metric:
    """Make a figure. None: the figure is left out."""
    family = GaugeMetricFamily(f"listenkey_{name}", meaning, labels=["account"])
    if value is not None:
        family.add_metric([ACCOUNT], value)
    return family


def follow(figures: Figures) -> None:
    """Take events until the key is lost. The bot's own work belongs here."""
    keeper = ListenKeyKeeper(figures.client)
    with keeper, UserDataStream(keeper) as stream:
        figures.running = keeper, stream
        try:
            for item in stream:
                if isinstance(item, Gap):  # the bot takes a snapshot over REST here, too
                    GAPS.labels(ACCOUNT, item.reason).inc()
        finally:
            figures.running = None


def main() -> None:
    """Serve the figures, and start anew whenever the key is lost."""
    start_http_server(int(os.environ.get("METRICS_PORT", "9464")))
    base_url = os.environ.get("LISTENKEY_BASE_URL", BASE_URL)
    with ListenKeyClient(os.environ["BINANCE_API_KEY"], base_url=base_url) as client:
        figures = Figures(client)
        REGISTRY.register(figures)
        while True:
            try:
                follow(figures)
            except ConfigurationError:  # only a person can mend that
                raise
            except ListenKeyError as error:
                print(error, flush=True)
                time.sleep(error.retry_after or 60)


if __name__ == "__main__":
    main()
