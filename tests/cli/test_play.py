"""listenkey sandbox --play: a recorded day, for any program."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from listenkey import ListenKeyClient
from listenkey.sandbox import Sandbox
from listenkey.stream import OrderTradeUpdate, UnknownEvent, UserDataStream
from tests.conftest import API_KEY
from tests.sandbox.test_play import DAY, told, written

COMMAND = [sys.executable, "-m", "listenkey", "sandbox", "--play"]


def test_a_recording_is_played_to_a_stream(tmp_path: Path) -> None:
    path = written(tmp_path, *DAY)
    command = [*COMMAND, str(path), "--speed", "100"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = re.sub(r"export LISTENKEY_BASE_URL=(\S+)\n", r"\1", process.stdout.readline())
        with ListenKeyClient(API_KEY, base_url=url) as client, UserDataStream(client) as stream:
            assert [told(stream.next_within(45)) for _ in range(5)] == ["started", 1, 2, "reconnected", 3]
            assert process.stderr.readline().startswith("sandbox on ")
            assert process.stderr.readline() == f"{path} has ended: 3 events were sent\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.jsonl"], "listenkey: nowhere.jsonl: No such file or directory.\n"),
        (["{odd}"], "line 1 is none that `listenkey events --raw` writes."),
        (["{odd}", "--speed", "0"], "argument --speed: '0' is no number above 0"),
    ],
)
def test_what_cannot_be_played_is_told(tmp_path: Path, arguments: list[str], said: str) -> None:
    odd = tmp_path / "odd.jsonl"
    odd.write_text("odd\n", encoding="utf-8")
    command = [*COMMAND, *(each.format(odd=odd) for each in arguments)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=45)
    assert run.returncode == 2
    assert said in run.stderr
    assert "Traceback" not in run.stderr
    assert bool(run.stdout) is ("line 1" in said)  # nobody is told where a sandbox is that will not be


def test_what_events_raw_writes_can_be_played(listenkey_sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "day.jsonl"
    environment = {**os.environ, "BINANCE_API_KEY": API_KEY, "LISTENKEY_BASE_URL": listenkey_sandbox.url}
    command = [sys.executable, "-m", "listenkey", "events", "--raw", "--limit", "3"]
    with (
        path.open("w", encoding="utf-8") as file,
        subprocess.Popen(command, stdout=file, stderr=subprocess.PIPE, env=environment, text=True) as recorder,
    ):
        while "started" not in path.read_text(encoding="utf-8"):
            time.sleep(0.05)
            assert recorder.poll() is None
        number = listenkey_sandbox.order("BTC-260626-90000-C", "BUY", 1, 100)
        listenkey_sandbox.emit({"e": "NEW_KIND", "id": 2**63 - 1})
        listenkey_sandbox.cancel(number)
        assert recorder.wait(45) == 0
    with (
        Sandbox() as sandbox,
        ListenKeyClient(API_KEY, base_url=sandbox.url) as client,
        UserDataStream(client) as stream,
    ):
        assert told(stream.next_within(45)) == "started"
        assert sandbox.play(path) == 3
        placed, unknown, ended = (stream.next_within(45) for _ in range(3))
    assert isinstance(placed, OrderTradeUpdate)
    assert isinstance(unknown, UnknownEvent)
    assert isinstance(ended, OrderTradeUpdate)
    assert (placed.order.order_id, placed.order.status, ended.order.status) == (number, "NEW", "CANCELED")
    assert unknown.raw == {"e": "NEW_KIND", "id": 2**63 - 1}
