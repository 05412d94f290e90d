"""A bot that OpenTelemetry watches: how its listen key and its stream are doing, and how many gaps there were.

Needs `pip install opentelemetry-sdk`. The program prints the figures once a minute; an exporter sends them elsewhere.
Spans of single calls come from opentelemetry-instrumentation-httpx. What each figure means: docs/monitoring.md.
"""

import os
import time
from collections.abc import Callable, Iterable
from datetime import datetime

from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader

from listenkey import ConfigurationError, KeeperStatus, ListenKeyClient, ListenKeyError, ListenKeyKeeper
from listenkey.client import BASE_URL
from listenkey.stream import Gap, StreamStatus, UserDataStream

ACCOUNT = {"account": os.environ.get("ACCOUNT", "main")}  # a name for people: an API key is a secret
Read = Callable[[KeeperStatus, StreamStatus], float | None]
# Each figure: its unit, and where it comes from. None: nobody knows now.
FIGURES: dict[str, tuple[str, Read]] = {
    "listenkey.kept": ("1", lambda keeper, _: int(keeper.state == "running")),
    "listenkey.seconds_left": ("s", lambda keeper, _: keeper.time_left),
    "listenkey.renewals_failed": ("1", lambda keeper, _: keeper.failures),
    "listenkey.connected": ("1", lambda _, stream: int(stream.state == "connected")),
    "listenkey.last_event": ("s", lambda _, stream: age(stream.last_event)),
    "listenkey.blind": ("s", lambda _, stream: age(stream.blind_since) or 0.0),
}


def age(when: datetime | None) -> float | None:
    """Seconds since then."""
    return None if when is None else time.time() - when.timestamp()


class Figures:
    """Asks client, keeper and stream whenever figures are exported."""

    def __init__(self, client: ListenKeyClient, meter: Meter) -> None:
        self.client = client
        self.running: tuple[ListenKeyKeeper, UserDataStream] | None = None  # None: between two starts
        self.gaps = meter.create_counter("listenkey.gaps", "1", "Where events may be missing, by reason.")
        meter.create_observable_gauge("listenkey.used_weight", [self.used_weight], "1")
        for name, (unit, read) in FIGURES.items():
            meter.create_observable_gauge(name, [self.callback(read)], unit)

    def callback(self, read: Read) -> Callable[[CallbackOptions], Iterable[Observation]]:
        """Make the function that OpenTelemetry calls for a figure."""

        def observe(_: CallbackOptions) -> Iterable[Observation]:
            running = self.running
            value = None if running is None else read(running[0].status(), running[1].status())
            return [] if value is None else [Observation(value, ACCOUNT)]

        return observe

    def used_weight(self, _: CallbackOptions) -> Iterable[Observation]:
        """Tell the weight that this address used in the minute."""
        weight = self.client.used_weight
        return [] if weight is None else [Observation(weight, ACCOUNT)]


def follow(figures: Figures) -> None:
    """Take events until the key is lost. The bot's own work belongs here."""
    keeper = ListenKeyKeeper(figures.client)
    with keeper, UserDataStream(keeper) as stream:
        figures.running = keeper, stream
        try:
            for item in stream:
                if isinstance(item, Gap):  # the bot takes a snapshot over REST here, too
                    figures.gaps.add(1, {**ACCOUNT, "reason": item.reason})
        finally:
            figures.running = None


def main() -> None:
    """Export the figures, and start anew whenever the key is lost."""
    every = float(os.environ.get("OTEL_METRIC_EXPORT_INTERVAL", "60000"))  # milliseconds
    reader = PeriodicExportingMetricReader(ConsoleMetricExporter(), export_interval_millis=every)
    meter = MeterProvider([reader]).get_meter("bot")
    base_url = os.environ.get("LISTENKEY_BASE_URL", BASE_URL)
    with ListenKeyClient(os.environ["BINANCE_API_KEY"], base_url=base_url) as client:
        figures = Figures(client, meter)
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
