"""`listenkey events`, as a process of its own against the sandbox."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
from binance_options_events import EVENTS  # noqa: TID251  the table of all events

from listenkey import ListenKeyClient
from listenkey.cli import _lines, _options
from listenkey.cli._events import _Flow
from listenkey.cli._exits import Stop
from listenkey.cli._screen import Screen
from listenkey.sandbox import Sandbox
from listenkey.stream import Event, Gap
from listenkey.stream._events import Decoder
from tests.cli.test_commands import environment, on_terminal, run
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
    assert started.keys() == {"at", "type", "reason", "since", "until", "dropped"}
    assert (started["type"], started["reason"], started["since"]) == ("Gap", "started", None)
    listenkey_sandbox.emit(EVENT)
    event = line(command)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event.pop("at"))
    assert event == {
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


# A night: what is printed, where, and for how long

ORDER = json.loads(
    '{"s":"BTC-260626-90000-C","c":"mm7-000418","S":"SELL","q":"0.40","p":"1755","ap":"1756.2","x":"TRADE","X":"FILLED",'
    '"i":4612088731905527811,"l":"0.15","z":"0.40","L":"1757","n":"-1.26450000","T":1774602003114,"b":"0","a":"0",'
    '"rp":"0.00000000","new":1.50}'
)
BALANCES = {"e": "BALANCE_POSITION_UPDATE", "E": 1, "T": 1, "P": [], "B": []}
BALANCE = {"a": "USDT", "b": "24897.35250000", "bc": "0.00000000"}
GREEKS = {"e": "GREEK_UPDATE", "E": 1, "T": 1, "G": [{"u": "BTCUSDT", "d": "-0.170", "g": "0", "t": "41.8", "v": "0"}]}
TOTALS = {"e": "ACCOUNT_UPDATE", "E": 1, "T": 1, **dict.fromkeys(("aeq", "b", "m", "u", "i", "M"), "0"), "eq": "10"}
FILL = {"e": "ORDER_TRADE_UPDATE", "E": 1774602003118, "T": 1774602003114, "o": ORDER, "undocumented": {"x": [1, None]}}
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def start(sandbox: Sandbox, *options: str) -> subprocess.Popen[str]:
    program = [sys.executable, "-m", "listenkey", "events", *options]
    pipe = subprocess.PIPE
    return subprocess.Popen(program, env=environment(sandbox.url), stdout=pipe, stderr=pipe, stdin=pipe, text=True)


def wait_until(what: Any) -> None:
    until = time.monotonic() + 50
    while not what() and time.monotonic() < until:
        time.sleep(0.02)
    assert what()


def test_raw_brings_all_that_came(listenkey_sandbox: Sandbox) -> None:
    with start(listenkey_sandbox, "--raw", "--limit", "2") as process:
        started = line(process)
        assert re.fullmatch(STAMP, started.pop("at"))
        assert re.fullmatch(STAMP, started["gap"].pop("until"))
        assert started == {"gap": {"reason": "started", "since": None, "dropped": 0}}
        listenkey_sandbox.emit(FILL)
        fill = line(process)
        assert re.fullmatch(STAMP, fill.pop("at"))
        whole = {**FILL, "o": {**ORDER, "new": "1.5"}}  # a fraction is text: no reader rounds it
        assert fill == {"kind": "ORDER_TRADE_UPDATE", "raw": whole}
        listenkey_sandbox.emit({"e": "NEWS", "i": 2**70})
        news = line(process)
        assert (news["kind"], news["raw"]) == ("NEWS", {"e": "NEWS", "i": 2**70})
        assert process.wait(50) == 0  # two events: the gap does not count


def test_types_and_gaps_alone(listenkey_sandbox: Sandbox) -> None:
    with start(listenkey_sandbox, "--type", "ORDER_TRADE_UPDATE", "--type", "UnknownEvent", "--limit", "2") as process:
        assert line(process)["type"] == "Gap"
        for event in (EVENT, FILL, EVENT, {"e": "NEWS"}):
            listenkey_sandbox.emit(event)
        assert [line(process)["type"] for _ in range(2)] == ["OrderTradeUpdate", "UnknownEvent"]
        assert process.wait(50) == 0


def test_it_ends_after_a_duration(listenkey_sandbox: Sandbox) -> None:
    began = time.monotonic()
    done = run(environment(listenkey_sandbox.url), "events", "--duration", "3")
    assert time.monotonic() - began >= 3
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["reason"] == "started"


def test_it_ends_after_a_duration_without_a_way_to_the_exchange(closed_port: str) -> None:
    began = time.monotonic()
    done = run(environment(closed_port), "events", "--duration", "3")
    assert time.monotonic() - began >= 3
    assert (done.returncode, done.stdout) == (0, "")
    assert f"no listen key; next try in 1 s: No answer from {closed_port} " in done.stderr


def test_the_alarm_of_entering_does_not_change_the_exit_status_of_a_refusal() -> None:
    program = """
import signal
from listenkey.cli._events import ending_in
try:
    with ending_in(60.0):
        raise ValueError
except ValueError:
    print(signal.getitimer(signal.ITIMER_REAL))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "(0.0, 0.0)\n"


def test_a_file_is_opened_anew_after_sighup(listenkey_sandbox: Sandbox, tmp_path: Path) -> None:
    """As logrotate does: move the file away, send SIGHUP. Each event is in one of the files, whole."""
    path, moved = tmp_path / "events.jsonl", tmp_path / "events.jsonl.1"
    path.write_text('{"earlier": true}\n{"cut": ')  # the machine went down
    with start(listenkey_sandbox, "--raw", "--output", str(path)) as process:
        wait_until(lambda: '"started"' in path.read_text())
        for number in range(200):
            listenkey_sandbox.emit({**EVENT, "E": number})
            if number == 100:
                path.rename(moved)
                process.send_signal(signal.SIGHUP)
        wait_until(lambda: path.exists() and '"E": 199' in path.read_text())
        process.send_signal(signal.SIGTERM)
        assert process.wait(50) == 128 + signal.SIGTERM
        assert process.stdout is not None
        assert process.stdout.read() == ""
    earlier, cut, *lines = (moved.read_text() + path.read_text()).splitlines()
    assert (earlier, cut) == ('{"earlier": true}', '{"cut": ')
    started, *events = map(json.loads, lines)
    assert started["gap"]["reason"] == "started"
    assert [event["raw"]["E"] for event in events] == list(range(200))


def test_a_quiet_account_reopens_its_file_too(listenkey_sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with start(listenkey_sandbox, "--output", str(path)) as process:
        wait_until(lambda: path.exists() and '"started"' in path.read_text())
        path.unlink()
        process.send_signal(signal.SIGHUP)
        wait_until(path.exists)
        process.kill()


def test_a_place_that_is_gone_costs_no_event(listenkey_sandbox: Sandbox, tmp_path: Path) -> None:
    path, moved = tmp_path / "logs" / "events.jsonl", tmp_path / "old" / "events.jsonl"
    path.parent.mkdir()
    with start(listenkey_sandbox, "--raw", "--output", str(path)) as process:
        wait_until(lambda: path.exists() and '"started"' in path.read_text())
        path.parent.rename(moved.parent)
        process.send_signal(signal.SIGHUP)
        assert process.stderr is not None
        said = f" listenkey: cannot open {path} anew (No such file or directory): going on with the old file\n"
        assert process.stderr.readline().endswith(said)
        listenkey_sandbox.emit({**EVENT, "E": 1})
        wait_until(lambda: '"E": 1' in moved.read_text())
        path.parent.mkdir()
        wait_until(path.exists)
        listenkey_sandbox.emit({**EVENT, "E": 2})
        wait_until(lambda: '"E": 2' in path.read_text())
        assert '"E": 2' not in moved.read_text()
        process.kill()


def test_a_file_that_cannot_be_written_is_named(listenkey_sandbox: Sandbox, tmp_path: Path) -> None:
    done = run(environment(listenkey_sandbox.url), "events", "--output", str(tmp_path / "a" / "b"))
    assert done.stderr == f"listenkey: input or output failed: No such file or directory: {tmp_path}/a/b.\n"
    assert done.returncode == 6
    assert listenkey_sandbox.requests == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--type", "Gap"], "argument --type: 'Gap' is none of: AccountUpdate, BalancePositionUpdate, GreekUpdate, "),
        *(([name, ""], f"argument {name}: the text is empty") for name in ("--output", "--base-url", "--stream-url")),
        (["--limit", "0"], "argument --limit: '0' is no whole number above 0"),
        (["--duration", "nan"], "argument --duration: 'nan' is no number of seconds above 0"),
        (["--demo", "--base-url", "https://a.test"], "argument --base-url: not allowed with argument --demo"),
    ],
)
def test_options_that_cannot_be(options: list[str], said: str) -> None:
    with pytest.raises(Stop) as caught:
        _options.parsed(["events", *options])
    assert f"listenkey events: error: {said}" in str(caught.value)
    assert caught.value.status == 2


def test_each_type_can_be_named() -> None:
    assert {cls.__name__ for cls in get_args(Event)} == set(_options.TYPES)
    for cls in {*get_args(Event)} & {*EVENTS.values()}:
        assert _options.parsed(["events", "--type", cls.event_type]).type == [cls.__name__]


def test_it_waits_for_an_exchange_that_is_away(listenkey_sandbox: Sandbox) -> None:
    listenkey_sandbox.faults.add("status", status=503, times=2)
    with start(listenkey_sandbox, "--attempts", "1", "--limit", "1") as process:
        assert line(process)["reason"] == "started"
        listenkey_sandbox.emit(EVENT)
        assert line(process)["type"] == "RiskLevelChange"
        assert process.wait(50) == 0
        assert process.stderr is not None
        assert "listenkey: no listen key; next try in 1 s: Binance had a fault." in process.stderr.read()


def test_a_refusal_that_a_person_has_to_mend_ends_it(listenkey_sandbox: Sandbox) -> None:
    listenkey_sandbox.faults.add("status", status=401, body={"code": -2015, "msg": "Invalid API-key."})
    assert run(environment(listenkey_sandbox.url), "events").returncode == 3


@pytest.mark.listenkey_sandbox(life=1.5)
def test_a_key_that_is_lost_is_not_the_end(listenkey_sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    with ListenKeyClient(API_KEY, base_url=listenkey_sandbox.url, attempts=1, key_life=1.5) as client:
        flow = _Flow(_options.parsed(["events"]), Screen(), client)
        with contextlib.closing(flow.items()) as items:
            first = next(item for item in items if item is not None)
            assert isinstance(first, Gap)
            listenkey_sandbox.faults.add("status", status=503, times=None)
            while not any(vars(record).get("listenkey_event") == "lost" for record in caplog.records):
                next(items)
            listenkey_sandbox.faults.clear()
            again = next(item for item in items if isinstance(item, Gap))
    assert again.until > first.until


# For people

AT = datetime(2026, 3, 27, 9, 0, 0, 412000, UTC)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (EVENT, "risk level NORMAL: margin balance 1.5, maintenance margin 0.1"),
        (
            FILL,
            "order mm7-000418: SELL 0.4 BTC-260626-90000-C at 1755, FILLED, 0.15 filled at 1757",
        ),
        (
            {**FILL, "o": {**ORDER, "x": "NEW", "X": "NEW"}},
            "order mm7-000418: SELL 0.4 BTC-260626-90000-C at 1755, NEW",
        ),
        (
            {**BALANCES, "m": "ORDER", "P": [POSITION], "B": [BALANCE]},
            "balance 24897.3525 USDT, position -0.4 BTC-260626-90000-C (ORDER)",
        ),
        (BALANCES, "no balance or position (no reason)"),
        (GREEKS, "greeks: BTCUSDT delta -0.17, theta 41.8"),
        (TOTALS, "account: equity 10 USDT, maintenance margin 0 USDT"),
        ({"e": "NE\x1b[31mWS"}, "unknown event NE[31mWS: a kind of event that is not documented"),
    ],
)
def test_a_line_for_people(event: dict[str, Any], said: str) -> None:
    item = Decoder().read(json.dumps(event), [])
    assert _lines.for_people(item, AT) == f"09:00:00  {said}"


def test_a_gap_for_people() -> None:
    assert _lines.for_people(Gap("started", None, AT), AT) == "09:00:00  gap: started, events may be missing"
    gap = Gap("reconnected", AT, AT)
    said = "gap: reconnected, events may be missing since 2026-03-27 09:00:00 UTC"
    assert _lines.for_people(gap, AT) == f"09:00:00  {said}"


def test_each_item_has_a_line_for_people() -> None:
    assert set(_lines.SAID) == {*_options.TYPES, "Gap"}


def test_on_a_terminal_events_are_for_people_unless_json_is_asked_for(listenkey_sandbox: Sandbox) -> None:
    env = environment(listenkey_sandbox.url)
    _, shown = on_terminal(env, "events", "--duration", "3", typed={})
    assert re.search(r"\d\d:\d\d:\d\d  gap: started, events may be missing\r\n", shown)
    _, shown = on_terminal(env, "events", "--duration", "3", "--json", typed={})
    assert '"reason": "started"' in shown
