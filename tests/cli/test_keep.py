"""`listenkey keep`, run as a person runs it. A life is 4 seconds, so that renewals come soon."""

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from listenkey import KeeperStatus, ServerError, TransportError
from listenkey.cli import _supervisor
from listenkey.cli._lines import live
from listenkey.cli._screen import fit
from listenkey.sandbox import Sandbox
from tests.cli.test_commands import environment, on_terminal
from tests.conftest import API_KEY

LIFE = 4.0
# The command itself, with the one thing changed that a person cannot change: how long a key is taken to live.
COMMAND = f"""
import functools, sys
from listenkey import ListenKeyClient, cli
from listenkey.cli import _commands
_commands.ListenKeyClient = functools.partial(ListenKeyClient, key_life={LIFE})
cli.main(sys.argv[1:])
"""
KEEP = [sys.executable, "-c", COMMAND, "keep"]
# A program that writes down its key, and why it ends.
PROGRAM = """
import os, signal, sys, time
def say(text):
    with open(sys.argv[1], "a") as log:
        log.write(text + "\\n")
def stop(number, _):
    say(signal.Signals(number).name)
    if "--stubborn" not in sys.argv:
        sys.exit(0)
signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, stop)
say("BINANCE_API_KEY" in os.environ and "it has the API key" or os.environ["LISTENKEY"])
end = time.monotonic() + 30
while time.monotonic() < end:
    time.sleep(0.05)
"""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(life=LIFE, limit=None) as running:
        yield running


def start(sandbox: Sandbox, *args: str, shell: str = "", before: str = "", **options: Any) -> subprocess.Popen[str]:
    """The command, without a terminal. `shell`, `before`: what a shell, and Python, does first."""
    return subprocess.Popen(
        ["sh", "-c", f'{shell}\nexec "$@"', "sh", sys.executable, "-c", before + COMMAND, "keep", *args],
        env=environment(sandbox.url, **options),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        stdin=subprocess.PIPE,
        start_new_session=True,  # or the terminal of whoever runs the tests would be the command's too
    )


def until(condition: Callable[[], object], seconds: float = 50.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_help_has_an_example_and_speaks_of_wrappers() -> None:
    help_ = " ".join(subprocess.run([*KEEP, "--help"], capture_output=True, text=True, check=True).stdout.split())
    assert "listenkey keep -- python bot.py" in help_.split("example:")[1]
    assert "a shell wrapper should `exec` its last command" in help_


def test_keeps_and_prints_each_key_until_ctrl_c(sandbox: Sandbox) -> None:
    with start(sandbox) as keeping:
        assert keeping.stdout
        first = keeping.stdout.readline().strip()
        until(lambda: len(sandbox.requests) >= 2)
        sandbox.expire()
        second = keeping.stdout.readline().strip()
        keeping.send_signal(signal.SIGINT)
        out, err = keeping.communicate(timeout=30)
    assert keeping.returncode == 130
    assert len({first, second}) == 2
    assert len(first) == len(second) == 64
    assert out == ""
    assert [line.split("listenkey: ")[1] for line in err.splitlines()] == [
        "started the listen key; failures before: 0",
        "renewed the listen key; failures before: 0",
        "replaced the listen key; failures before: 0",
    ]
    assert first not in err
    assert {request.method for request in sandbox.requests} == {"POST"}


def test_lease_lost_is_status_7(sandbox: Sandbox) -> None:
    with start(sandbox) as keeping:
        until(lambda: sandbox.requests)
        sandbox.faults.add("status", status=401, times=None)
        _, err = keeping.communicate(timeout=30)
    assert keeping.returncode == 7
    last = err.splitlines()[-1]
    assert last.startswith("listenkey: The listen key cannot be renewed: Binance does not accept the API key.")
    assert err.count("cannot be renewed") == 1


def test_a_key_that_never_was_is_its_own_status(sandbox: Sandbox) -> None:
    sandbox.faults.add("status", status=401)
    with start(sandbox) as keeping:
        assert keeping.wait(30) == 3


def screen(shown: str, columns: int) -> list[str]:
    """What a terminal would show: its lines, wrapped where the text is too long for them."""
    rows = [""]
    column = 0
    for part in re.findall(r"\x1b\[\d*[A-Za-z]|.", shown, re.DOTALL):
        if part == "\n":
            rows.append("")
        elif part == "\r":
            column = 0
        elif part == "\x1b[K":
            rows[-1] = rows[-1][:column]
        elif not part.startswith("\x1b"):
            if column == columns:
                rows.append("")
                column = 0
            rows[-1] = rows[-1][:column] + part + rows[-1][column + 1 :]
            column += 1
    return rows


ALIVE = r"● alive · renews \d\d:\d\d:\d\d, in 0:0\d · valid until \d\d:\d\d:\d\d"


@pytest.mark.parametrize("columns", [30, 80, 200])
def test_a_live_line_on_a_terminal(sandbox: Sandbox, columns: int) -> None:
    told: list[str] = []

    def meanwhile(shown: str) -> None:
        if "alive" in shown and not told:
            sandbox.faults.add("reset", times=None)
            told.append("")

    env = {**environment(sandbox.url), "COLUMNS": "300"}  # of the shell that started it: not this terminal's
    typed = {"▲ No answer from": "\x03"}
    status, shown = on_terminal(env, command=KEEP, typed=typed, columns=columns, meanwhile=meanwhile)
    assert status == 130
    lines = re.findall(r"\r\x1b\[K(\x1b\[3[23]m[^\r]*?)\x1b\[0m", shown)
    assert {line[:5] for line in lines} == {"\x1b[32m", "\x1b[33m"}  # green, yellow
    assert max(len(line) - 5 for line in lines) < columns
    alive, trouble = lines[0][5:], next(line for line in lines if "▲" in line)[5:]
    assert re.fullmatch(ALIVE if columns > 60 else "● alive · renews .{10}…", alive)
    if columns > 80:
        assert re.fullmatch(r"▲ No answer from http://127\S+ ?…? · tries \S+, in 0:0\d · valid until \S+", trouble)
    rows = [row for row in screen(shown, columns) if row.strip()]
    assert len(rows[0]) == 64 if columns > 64 else rows[0] + rows[1] + rows[2]
    assert not any("●" in row or "▲" in row for row in rows), "the live line is gone, and left nothing behind"
    for warning in re.findall(r"[^\r\n]*listenkey: [^\r\n]*", shown.replace("\x1b[K", "\n")):
        assert re.match(r"\d{4}-\d\d-\d\d ", warning), "log lines are lines of their own"


def test_no_colour_when_it_is_not_wanted(sandbox: Sandbox) -> None:
    env = {**environment(sandbox.url), "NO_COLOR": "1", "PYTHONIOENCODING": "ascii"}
    status, shown = on_terminal(env, command=KEEP, typed={"* alive | renews": "\x03"})
    assert status == 130
    assert "\x1b[3" not in shown


def test_keep_is_not_silent_while_it_waits_for_its_first_key(sandbox: Sandbox) -> None:
    sandbox.faults.add("silent", times=None)
    status, shown = on_terminal(environment(sandbox.url), command=KEEP, typed={" · 2 s": "\x03"})
    assert status == 130
    assert f"○ waiting for {sandbox.url} · 1 s\r\x1b[K○ waiting" in shown


def test_a_terminal_is_told_that_the_program_takes_its_time(sandbox: Sandbox) -> None:
    code = (
        "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('running', flush=True); time.sleep(5)"
    )
    args = ("--", sys.executable, "-c", code)
    status, shown = on_terminal(environment(sandbox.url), *args, command=KEEP, typed={"running": "\x03"})
    assert status == 130
    assert re.findall("to end, (.) s left", shown) == ["8", "6"]
    assert "alive" not in shown, "the terminal is the program's"


def test_a_pipe_gets_the_bare_key_while_the_terminal_has_the_line(sandbox: Sandbox) -> None:
    terminal, side = pty.openpty()
    env = environment(sandbox.url)
    with subprocess.Popen(KEEP, env=env, stdout=subprocess.PIPE, stderr=side, text=True) as keeping:
        assert keeping.stdout
        keys = [keeping.stdout.readline()]
        sandbox.expire()
        keys.append(keeping.stdout.readline())
        keeping.send_signal(signal.SIGINT)
        assert keeping.wait(30) == 130
    shown = os.read(terminal, 65536).decode()
    os.close(terminal)
    os.close(side)
    assert [key[:-1].isalnum() and len(key) for key in keys] == [65, 65]
    assert re.search(ALIVE, shown)
    assert keys[0].strip() not in shown


def test_keys_as_json_with_a_log(sandbox: Sandbox) -> None:
    with start(sandbox, "--json", "-v") as keeping:
        assert keeping.stdout
        key = json.loads(keeping.stdout.readline())
        keeping.send_signal(signal.SIGINT)
        err = keeping.communicate(timeout=30)[1]
    assert list(key) == ["listenKey", "expiresAt", "estimated"]
    assert "HTTP Request: POST http" in err
    assert key["listenKey"] not in err


AT = datetime(2026, 11, 25, 14, 5, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ({}, "● alive · renews 14:32, in 27:10 · valid until 15:03"),
        ({"next_renewal": 0.0, "time_left": 90.0}, "● alive · renews 14:05:09, in 0:00 · valid until 14:06:39"),
        (
            {"last_error": ServerError(503), "next_renewal": 5.0, "failures": 1},
            "▲ Binance had a fault. The call… · tries 14:05, in 0:05 · valid until 15:03",
        ),
        (
            {"last_error": TransportError("short"), "at_risk": True, "next_renewal": 61.0, "time_left": 100.0},
            "■ AT RISK: short · tries 14:06:10, in 1:01 · valid until 14:06:49",
        ),
    ],
)
def test_what_the_live_line_says(status: dict[str, Any], text: str) -> None:
    usual = KeeperStatus(
        "running", 10.0, 1630.0, 3500.0, at_risk=False, last_error=None, renewals=1, failures=0, replacements=0
    )
    assert live(replace(usual, **status), AT) == text


@pytest.mark.parametrize(
    ("text", "columns", "fitted"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("密钥", 4, "密钥"),
        ("密钥无效", 5, "密…"),
        ("e\u0301e\u0301", 2, "e\u0301e\u0301"),
        ("ab", 0, "…"),
    ],
)
def test_a_text_is_cut_to_the_columns_that_it_takes(text: str, columns: int, fitted: str) -> None:
    assert fit(text, columns) == fitted


def test_runs_a_program_and_passes_its_status_on(sandbox: Sandbox) -> None:
    code = "import os, sys; print(os.environ['LISTENKEY'], sys.argv[1:]); sys.exit(42)"
    with start(sandbox, "--", sys.executable, "-c", code, "--flag", "--", "x") as keeping:
        out, err = keeping.communicate(timeout=30)
    assert (keeping.returncode, err) == (42, "")
    assert out.split(maxsplit=1)[1] == "['--flag', '--', 'x']\n"
    with start(sandbox, "--", sys.executable, "-c", "import os; os.kill(os.getpid(), 9)") as keeping:
        assert keeping.wait(30) == 128 + 9


def lines(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def test_a_replaced_key_restarts_the_program(sandbox: Sandbox, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with start(sandbox, "--", sys.executable, "-c", PROGRAM, str(log)) as keeping:
        until(lambda: lines(log))
        sandbox.expire()
        until(lambda: len(lines(log)) == 3)
        keeping.send_signal(signal.SIGTERM)
        assert keeping.communicate(timeout=30)[1] == (
            "listenkey: the listen key was replaced; starting the program anew.\n"
        )
    assert keeping.returncode == 128 + signal.SIGTERM
    first, why, second, end = lines(log)
    assert len({first, second}) == 2
    assert len(first) == len(second) == 64
    assert why == end == "SIGTERM"


@pytest.mark.parametrize(
    ("sent", "status", "got"),
    [
        (signal.SIGINT, 130, "SIGINT"),  # to the command alone, so it passes it on
        (signal.SIGTERM, 143, "SIGTERM"),
        (signal.SIGHUP, 129, "SIGTERM"),
        (None, 7, "SIGTERM"),  # lost
    ],
)
def test_the_program_never_outlives_the_command(
    sandbox: Sandbox, tmp_path: Path, sent: signal.Signals | None, status: int, got: str
) -> None:
    log = tmp_path / "log"
    with start(sandbox, "--", sys.executable, "-c", PROGRAM, str(log)) as keeping:
        until(lambda: lines(log))
        if sent:
            keeping.send_signal(sent)
        else:
            sandbox.faults.add("status", status=401, times=None)
        assert keeping.wait(30) == status
    assert lines(log)[1:] == [got]


@pytest.mark.long
def test_a_stubborn_program_is_killed_whatever_further_signals_come(sandbox: Sandbox, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with start(sandbox, "--", sys.executable, "-c", PROGRAM, str(log), "--stubborn") as keeping:
        until(lambda: lines(log))
        began = time.monotonic()
        keeping.send_signal(signal.SIGINT)
        until(lambda: len(lines(log)) == 2)
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            keeping.send_signal(number)
            time.sleep(0.3)
        assert keeping.wait(40) == 130
        assert time.monotonic() - began > 19.5
        assert keeping.communicate(timeout=30)[1] == "", "the program has ended too, and so closed its end of the pipe"
    assert lines(log)[1:] == ["SIGINT", "SIGTERM"]


def test_ctrl_c_on_a_terminal_leaves_the_program_its_own_end(listenkey_sandbox: Sandbox) -> None:
    code = """
import time
try:
    print("running", flush=True)
    time.sleep(30)
except KeyboardInterrupt:
    print("cancelling orders", flush=True)
    time.sleep(1)
    print("orders cancelled")
"""
    args = ("keep", "--", sys.executable, "-c", code)
    status, shown = on_terminal(environment(listenkey_sandbox.url), *args, typed={"running": "\x03"})
    assert status == 130
    assert shown.splitlines() == ["running", "^Ccancelling orders", "orders cancelled"]


def test_a_shell_wrapper_that_uses_exec_hands_the_signals_on(sandbox: Sandbox, tmp_path: Path) -> None:
    log = tmp_path / "log"
    wrapper = ("sh", "-c", 'true && exec "$@"', "sh")
    with start(sandbox, "--", *wrapper, sys.executable, "-c", PROGRAM, str(log)) as keeping:
        until(lambda: lines(log))
        sandbox.expire()
        until(lambda: len(lines(log)) == 3)
        keeping.send_signal(signal.SIGTERM)
        assert keeping.wait(30) == 128 + signal.SIGTERM
    assert lines(log)[1::2] == ["SIGTERM", "SIGTERM"]


def test_nohup_is_heeded(sandbox: Sandbox, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with start(sandbox, "--", sys.executable, "-c", PROGRAM, str(log), shell="trap '' HUP") as keeping:
        until(lambda: lines(log))
        keeping.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        assert keeping.poll() is None
        keeping.send_signal(signal.SIGTERM)
        assert keeping.wait(30) == 128 + signal.SIGTERM
    assert lines(log)[1:] == ["SIGTERM"]


def test_keeps_without_standard_error(sandbox: Sandbox) -> None:
    with start(sandbox, shell="exec 2>&-") as keeping:
        assert keeping.stdout
        first = keeping.stdout.readline()
        sandbox.expire()
        second = keeping.stdout.readline()
        keeping.send_signal(signal.SIGINT)
        assert keeping.communicate(timeout=30)[0] == ""
    assert keeping.returncode == 130
    assert (len({first, second}), len(first), len(second)) == (2, 65, 65)


@pytest.mark.parametrize("way", ["closed", "reader gone"])
def test_restarts_the_program_without_standard_error(sandbox: Sandbox, tmp_path: Path, way: str) -> None:
    log = tmp_path / "log"
    shell = "exec 2>&-" if way == "closed" else ""
    with start(sandbox, "--", sys.executable, "-c", PROGRAM, str(log), shell=shell) as keeping:
        assert keeping.stderr
        keeping.stderr.close()
        until(lambda: lines(log))
        sandbox.expire()
        until(lambda: len(lines(log)) == 3)
        keeping.send_signal(signal.SIGTERM)
        assert keeping.stdout
        assert keeping.stdout.read() == ""
        assert keeping.wait(30) == 128 + signal.SIGTERM


# However the command ends. Coverage cannot see the launcher "as it is", so it is run in another way, too.
LAUNCHES = {
    "as it is": "",
    "seen": f"from listenkey.cli import _supervisor; _supervisor.LAUNCH[1:] = [{_supervisor.LAUNCH[-1]!r}]\n",
}
launches = pytest.mark.parametrize("launch", LAUNCHES.values(), ids=LAUNCHES)


@launches
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGQUIT, signal.SIGUSR1, signal.SIGABRT, signal.SIGALRM])
def test_the_program_gets_sigterm_whatever_kills_the_command(
    sandbox: Sandbox, tmp_path: Path, sent: signal.Signals, launch: str
) -> None:
    log = tmp_path / "log"
    with start(sandbox, "--", sys.executable, "-c", PROGRAM, str(log), before=launch) as keeping:
        until(lambda: lines(log))
        keeping.send_signal(sent)
        assert keeping.wait(30) == -sent
        until(lambda: len(lines(log)) == 2)
        assert keeping.communicate(timeout=30)[1] == ""  # whatever helped has ended, too: no one holds the pipe
    assert lines(log)[1:] == ["SIGTERM"]


@launches
def test_a_command_that_is_killed_before_the_program_runs(sandbox: Sandbox, tmp_path: Path, launch: str) -> None:
    kill = (
        "import subprocess\nreal = subprocess.Popen\nclass Killed(real):\n    def __init__(self, *args, **options):\n"
    )
    kill += "        super().__init__(*args, **options)\n        os.kill(os.getpid(), 9)\nsubprocess.Popen = Killed\n"
    with start(
        sandbox, "--", sys.executable, "-c", PROGRAM, str(tmp_path / "log"), before=f"import os\n{kill}{launch}"
    ) as keeping:
        assert keeping.wait(30) == -9
        keeping.communicate(timeout=30)  # the program has ended
    assert lines(tmp_path / "log")[1:] in ([], ["SIGTERM"])


@launches
def test_the_program_is_started_as_if_from_a_shell(sandbox: Sandbox, launch: str) -> None:
    code = """
import json, os
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
signals = [int(status[name], 16) for name in ("SigBlk", "SigIgn", "SigCgt")]
print(json.dumps([signals, sorted(os.listdir("/proc/self/fd")), os.getppid(), dict(os.environ)]))
"""
    python = [sys.executable, "-I", "-S", "-c", code]
    with start(sandbox, "--", *python, before=launch) as keeping:
        signals, files, parent, variables = json.loads(keeping.communicate(timeout=30)[0])
    assert keeping.returncode == 0
    alone = subprocess.run(["sh", "-c", 'exec "$@"', "sh", *python], capture_output=True, text=True, check=True).stdout
    assert signals == json.loads(alone)[0]
    assert files == ["0", "1", "2", "3"]  # 3 reads the folder
    assert parent == keeping.pid
    by_shell = {"LC_CTYPE", "PWD", "OLDPWD", "SHLVL", "_"}
    expected = environment(sandbox.url, api_key=None)
    assert variables.keys() - by_shell == {*expected, "LISTENKEY"} - by_shell
    assert len(variables["LISTENKEY"]) == 64


@launches
def test_the_program_ignores_what_the_command_was_told_to_ignore(sandbox: Sandbox, launch: str) -> None:
    code = "import signal; print(*(int(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGHUP)))"
    python = [sys.executable, "-I", "-S", "-c", code]
    with start(sandbox, "--", *python, before=launch, shell="trap '' INT HUP") as keeping:
        assert keeping.communicate(timeout=30)[0] == "1 1\n"  # SIG_IGN


@launches
def test_the_program_dies_of_a_broken_pipe_as_programs_do(sandbox: Sandbox, launch: str) -> None:
    with start(sandbox, "--", "sh", "-c", "sleep 0.3; yes", before=launch) as keeping:
        assert keeping.stdout
        keeping.stdout.close()
        assert keeping.wait(30) == 128 + signal.SIGPIPE


@launches
def test_a_program_that_cannot_run(sandbox: Sandbox, tmp_path: Path, launch: str) -> None:
    (tmp_path / "text").write_text("no program")
    for program, why in [
        ("no-such-program", "No such file or directory"),
        (str(tmp_path / "text"), "Permission denied"),
    ]:
        with start(sandbox, "--", program, before=launch) as keeping:
            assert keeping.communicate(timeout=30)[1] == f"listenkey: cannot run {program}: {why}.\n"
        assert keeping.returncode == 2
        for shell in ("exec 2>&-", "exec 2>/dev/full", "exec 0<&- 1>&2 2>&-"):
            with start(sandbox, "--", program, before=launch, shell=shell) as keeping:
                assert keeping.wait(30) == 2


# The API key


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_the_program_cannot_read_the_api_key_from_the_commands_environment(sandbox: Sandbox) -> None:
    code = """
import os
with open(f"/proc/{os.getppid()}/environ", "rb") as file:
    print(file.read().replace(bytes(1), b" "))
"""
    with start(sandbox, "--", sys.executable, "-c", code) as keeping:
        shown, err = keeping.communicate(timeout=30)
    assert (keeping.returncode, err) == (0, "")
    assert "LISTENKEY_BASE_URL=http" in shown
    assert "BINANCE_API_KEY" not in shown
    assert API_KEY not in shown


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_the_program_cannot_read_the_commands_memory_unless_it_is_root(sandbox: Sandbox) -> None:
    code = 'import os; open(f"/proc/{os.getppid()}/mem", "rb")'
    humble = 'exec setpriv --bounding-set=-sys_ptrace "$@"' if os.getuid() == 0 else ""
    with start(sandbox, "--", sys.executable, "-S", "-c", code, shell=humble) as keeping:
        err = keeping.communicate(timeout=30)[1]
    assert keeping.returncode == 1
    assert "PermissionError" in err.splitlines()[-1]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_standard_input_after_the_api_key_is_the_programs(sandbox: Sandbox, end: str) -> None:
    with start(sandbox, "--", "cat", api_key=None) as keeping:
        out, err = keeping.communicate(f"{API_KEY}{end}first\nsecond", timeout=30)
    assert (keeping.returncode, out, err) == (0, "first\nsecond", "")


def test_standard_input_is_all_the_programs_when_the_api_key_comes_from_elsewhere(sandbox: Sandbox) -> None:
    with start(sandbox, "--", "cat") as keeping:
        assert keeping.communicate("first\nsecond", timeout=30)[0] == "first\nsecond"


def test_an_endless_first_line_is_no_api_key(sandbox: Sandbox) -> None:
    with start(sandbox, api_key=None, shell="exec </dev/zero") as keeping:
        assert keeping.wait(30) == 2
    assert sandbox.requests == []


# Refusals of a key that has worked


def test_one_refusal_does_not_end_the_program(sandbox: Sandbox, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with start(sandbox, "--", sys.executable, "-c", PROGRAM, str(log)) as keeping:
        until(lambda: lines(log))
        sandbox.faults.add("status", status=401, body={"code": -2015, "msg": "Invalid API-key, IP, or permissions."})
        until(lambda: [request.status for request in sandbox.requests][-2:] == [401, 200])
        time.sleep(LIFE)
        assert keeping.poll() is None
        keeping.send_signal(signal.SIGTERM)
        assert keeping.wait(30) == 128 + signal.SIGTERM
    assert lines(log)[1:] == ["SIGTERM"], "one program, from the beginning to the end"


# A reader that leaves


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_reader_that_leaves_ends_the_command_at_once(sandbox: Sandbox, kind: str) -> None:
    reader, writer = (each.detach() for each in socket.socketpair()) if kind == "socket" else os.pipe()
    env = environment(sandbox.url)
    with subprocess.Popen(KEEP, env=env, stdout=writer, stderr=subprocess.PIPE, text=True) as keeping:
        os.close(writer)
        with open(reader) as file:  # noqa: PTH123  a descriptor
            assert len(file.readline()) == 65
        _, err = keeping.communicate(timeout=30)
    assert keeping.returncode == 128 + signal.SIGPIPE
    assert not any("roken pipe" in line for line in err.splitlines()), "silent, as other programs are"
    assert sum("replaced" in line for line in err.splitlines()) == 0, "no second key had to be written for it"


# As the first process of a container


def first_process(*args: str) -> list[str]:
    return ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *args]


can_unshare = pytest.mark.skipif(
    subprocess.run(first_process("true"), capture_output=True, check=False).returncode != 0,
    reason="no leave to make a PID namespace",
)


@can_unshare
@pytest.mark.parametrize("args", [["keep"], ["keep", "--", "sleep", "30"], ["sandbox"], ["start"]])
def test_sigterm_ends_it_as_first_process(sandbox: Sandbox, args: list[str]) -> None:
    sandbox.faults.add("silent") if args == ["start"] else None
    command = first_process(sys.executable, "-c", COMMAND, *args)
    with subprocess.Popen(command, env=environment(sandbox.url), stdout=subprocess.PIPE, text=True) as unshared:
        if args == ["sandbox"]:
            assert unshared.stdout
            unshared.stdout.readline()
        else:
            until(lambda: sandbox.requests)
        if "--" in args:
            time.sleep(1)
        (first,) = Path(f"/proc/{unshared.pid}/task/{unshared.pid}/children").read_text().split()
        os.kill(int(first), signal.SIGTERM)
        assert unshared.wait(30) == 128 + signal.SIGTERM


@can_unshare
def test_orphans_of_the_program_are_reaped_by_the_first_process(sandbox: Sandbox) -> None:
    code = """
import pathlib, subprocess, time
for _ in range(3):
    subprocess.run(["sh", "-c", "sleep 0.1 & sleep 0.3 &"])
def states():
    return [path.read_text().rpartition(") ")[2][0] for path in pathlib.Path("/proc").glob("[0-9]*/stat")]
end = time.monotonic() + 40
time.sleep(0.5)
while len(states()) > 3:  # the command, its watcher and this program
    assert time.monotonic() < end, states()
    time.sleep(0.05)
"""
    command = first_process(*KEEP, "--", sys.executable, "-c", code)
    done = subprocess.run(command, env=environment(sandbox.url), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# Without what Windows lacks

WINDOWS = """
import os
if hasattr(os, "pidfd_open"):
    del os.pidfd_open  # of Linux; Python's own modules look for it when they are loaded
import asyncio, ctypes, getpass, select, signal, subprocess, time
del signal.SIGHUP, signal.pthread_sigmask, signal.SIG_BLOCK, os.fork, os.tcgetpgrp, os.getpgrp, os.waitid, select.poll
del time.CLOCK_BOOTTIME, os.register_at_fork
"""


def test_keeps_without_what_windows_lacks(sandbox: Sandbox) -> None:
    with start(sandbox, before=WINDOWS) as keeping:
        assert keeping.stdout
        first = keeping.stdout.readline()
        sandbox.expire()
        assert keeping.stdout.readline() != first
        keeping.send_signal(signal.SIGINT)
        assert keeping.wait(30) == 130


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_runs_a_program_without_what_windows_lacks(sandbox: Sandbox, tmp_path: Path, sent: signal.Signals) -> None:
    log = tmp_path / "log"
    with start(sandbox, "--", sys.executable, "-c", PROGRAM, str(log), before=WINDOWS) as keeping:
        until(lambda: lines(log))
        sandbox.expire()
        until(lambda: len(lines(log)) == 3)
        os.killpg(keeping.pid, sent)  # as a console would
        assert keeping.wait(30) == 128 + sent
    first, why, second, *ends = lines(log)
    assert len({first, second}) == 2
    assert (why, {*ends}) == ("SIGTERM", {sent.name})  # the group's signal, and then perhaps the command's


def test_a_program_that_cannot_run_without_what_windows_lacks(sandbox: Sandbox) -> None:
    with start(sandbox, "--", "no-such-program", before=WINDOWS) as keeping:
        err = keeping.communicate(timeout=30)[1]
    assert (keeping.returncode, err) == (2, "listenkey: cannot run no-such-program: No such file or directory.\n")


def test_a_sandbox_without_what_windows_lacks() -> None:
    command = [sys.executable, "-c", WINDOWS + "from listenkey import cli; cli.main()", "sandbox"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout
        running.stdout.readline()
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 130
