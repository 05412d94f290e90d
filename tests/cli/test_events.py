"""`listenkey events`, as a process of its own against the sandbox."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from listenkey.sandbox import Sandbox
from tests.conftest import API_KEY
from tests.inside import keys_in

EVENT = {"e": "RISK_LEVEL_CHANGE", "E": 1774602000412, "s": "NORMAL", "mb": "1.50", "mm": "0.10"}
POSITION = {"s": "BTC-260626-90000-C", "c": "-0.40", "p": "-702.48", "a": "1756.20"}
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes and signals")


@pytest.fixture
def command(listenkey_sandbox: Sandbox) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "BINANCE_API_KEY": API_KEY, "LISTENKEY_BASE_URL": listenkey_sandbox.url}
    program = [sys.executable, "-m", "listenkey", "events"]
    pipe = subprocess.PIPE
    with subprocess.Popen(program, env=environment, stdout=pipe, stderr=pipe, stdin=pipe, text=True) as process:
        yield process
        process.kill()


def line(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    found: dict[str, Any] = json.loads(process.stdout.readline())
    return found


def test_each_item_is_one_line_of_json(command: subprocess.Popen[str], listenkey_sandbox: Sandbox) -> None:
    started = line(command)
    assert started.keys() == {"type", "reason", "since", "until", "dropped"}
    assert (started["type"], started["reason"], started["since"]) == ("Gap", "started", None)
    listenkey_sandbox.emit(EVENT)
    assert line(command) == {
        "type": "RiskLevelChange",
        "event_time": "2026-03-27T09:00:00.412000+00:00",
        "risk_level": "NORMAL",
        "margin_balance": "1.50",
        "maintenance_margin": "0.10",
    }
    listenkey_sandbox.emit({"e": "BALANCE_POSITION_UPDATE", "E": 1, "T": 1, "B": [], "P": [POSITION]})
    (position,) = line(command)["positions"]
    assert position["average_price"] == "1756.20"
    listenkey_sandbox.emit({"e": "NEWS", "x": 1})
    unknown = line(command)
    while unknown["type"] == "AccountUpdate":
        unknown = line(command)
    assert (unknown["type"], unknown["raw"]) == ("UnknownEvent", {"e": "NEWS", "x": 1})
    command.send_signal(signal.SIGINT)
    assert command.wait(50) == 130


def test_sigterm_ends_it(command: subprocess.Popen[str]) -> None:
    line(command)
    command.terminate()
    assert command.wait(50) == 128 + signal.SIGTERM


def test_a_reader_that_leaves_ends_it_though_nothing_comes(command: subprocess.Popen[str]) -> None:
    line(command)
    assert command.stdout is not None
    command.stdout.close()
    assert command.wait(50) == 128 + signal.SIGPIPE
    assert command.stderr is not None
    assert command.stderr.read() == ""


def test_warnings_are_shown_in_a_pipe_too(command: subprocess.Popen[str], listenkey_sandbox: Sandbox) -> None:
    line(command)
    listenkey_sandbox.emit({"e": "NEWS", "x": 1})
    while line(command)["type"] != "UnknownEvent":
        pass
    assert command.stderr is not None
    assert "listenkey: an event arrived that could not be read whole: 'NEWS'" in command.stderr.readline()


def test_the_key_is_not_shown(command: subprocess.Popen[str], listenkey_sandbox: Sandbox) -> None:
    line(command)
    command.send_signal(signal.SIGINT)
    _, errors = command.communicate(timeout=50)
    (key,) = keys_in(listenkey_sandbox)
    assert key[0] not in errors


def test_without_the_extra_it_says_which_package_is_missing() -> None:
    code = "import sys; sys.modules['websockets'] = None; from listenkey.cli import main; main(['events'])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr == (
        "listenkey: `listenkey events` needs the extra `stream`: "
        "in a clone of the repository, pip install '.[stream]'.\n"
    )


def test_an_address_that_nobody_named_is_refused() -> None:
    environment = {**os.environ, "BINANCE_API_KEY": API_KEY, "LISTENKEY_BASE_URL": "https://exchange.test"}
    program = [sys.executable, "-m", "listenkey", "events"]
    run = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "give --stream-url or LISTENKEY_STREAM_URL, like wss://" in run.stderr
