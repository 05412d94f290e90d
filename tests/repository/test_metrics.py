"""The examples for Prometheus and OpenTelemetry: each figure of docs/monitoring.md tells what happened."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from listenkey.sandbox import Sandbox
from tests.conftest import API_KEY

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/monitoring.md").read_text(encoding="utf-8")
EVENT = {"e": "RISK_LEVEL_CHANGE", "E": 1, "mb": "1", "mm": "1"}
Figures = dict[str, float]


@contextmanager
def bot(sandbox: Sandbox, program: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "BINANCE_API_KEY": API_KEY, "LISTENKEY_BASE_URL": sandbox.url, **settings}
    command = [sys.executable, "-W", "error", str(ROOT / "examples" / program)]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()
        out, errors = process.communicate()
        assert errors == ""
        assert API_KEY not in out
        assert not re.search("[0-9A-Za-z]{64}", out)


def until(read: Callable[[], Figures], fits: Callable[[Figures], object]) -> Figures:
    ends_at = time.monotonic() + 50
    while not fits(found := read()) and time.monotonic() < ends_at:
        time.sleep(0.05)
    assert fits(found)
    return found


def told(sandbox: Sandbox, read: Callable[[], Figures]) -> None:
    """Tell a story to a bot, and look for it in the figures."""
    figures = until(read, lambda found: found.get("connected") == 1 and found.get("gaps started") == 1)
    assert figures["kept"] == 1
    assert 3500 < figures["seconds_left"] <= 3600
    assert figures["renewals_failed"] == figures["blind"] == 0
    assert figures["used_weight"] == 1
    assert "last_event" not in figures  # nobody knows
    sandbox.emit(EVENT)
    until(read, lambda found: 0 <= found.get("last_event", -1) < 50)
    sandbox.faults.add("status", status=503, times=1)  # the renewal that proves the key
    sandbox.faults.add("stream-drop")
    until(read, lambda found: found["renewals_failed"] == 1)
    while not sandbox.emit(EVENT):  # which proves the key, too
        time.sleep(0.02)
    figures = until(read, lambda found: found.get("gaps reconnected") == 1)
    sandbox.faults.add("stream-refuse", times=None)
    sandbox.faults.add("stream-drop")
    until(read, lambda found: found["connected"] == 0 and found["blind"] > 0)


def test_prometheus(listenkey_sandbox: Sandbox, free_port: int) -> None:
    def read() -> Figures:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{free_port}/metrics", timeout=10) as answer:
                text = answer.read().decode()
        except (urllib.error.URLError, ConnectionError):  # it does not listen yet
            return {}
        families = [each for each in text_string_to_metric_families(text) if each.name.startswith("listenkey_")]
        samples = [sample for family in families for sample in family.samples if not sample.name.endswith("_created")]
        assert {sample.labels["account"] for sample in samples} <= {"main"}
        assert {sample.name for sample in samples} <= set(re.findall(r"`(listenkey_\w+)", PAGE))
        short = {
            "last_event_seconds": "last_event",
            "blind_seconds": "blind",
            "renewals_failed_total": "renewals_failed",
        }
        found = {}
        for sample in samples:
            name = sample.name.removeprefix("listenkey_")
            found[short.get(name, name.replace("_total", ""))] = sample.value
            if "reason" in sample.labels:
                found[f"gaps {sample.labels['reason']}"] = sample.value
        return found

    with bot(listenkey_sandbox, "prometheus_metrics.py", METRICS_PORT=str(free_port)):
        told(listenkey_sandbox, read)


def test_opentelemetry(listenkey_sandbox: Sandbox) -> None:
    with bot(listenkey_sandbox, "opentelemetry_metrics.py", OTEL_METRIC_EXPORT_INTERVAL="100") as process:
        assert process.stdout is not None
        lines = iter(process.stdout)

        def read() -> Figures:
            """Read the next export."""
            text = ""
            for line in lines:
                text += line
                if line == "}\n":
                    break
            found: dict[str, Any] = {}
            for scope in json.loads(text)["resource_metrics"][0]["scope_metrics"]:
                for metric in scope["metrics"]:
                    assert metric["name"] in re.findall(r"`(listenkey\.\w+)", PAGE)
                    for point in metric["data"]["data_points"]:
                        name = metric["name"].removeprefix("listenkey.")
                        assert point["attributes"]["account"] == "main"
                        found[f"{name} {point['attributes'].get('reason', '')}".strip()] = point["value"]
            return found

        told(listenkey_sandbox, read)
