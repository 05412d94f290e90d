"""Standard error that takes nothing, or is gone, changes nothing. Each command is a process of its own."""

import os
import pty
import re
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from listenkey.cli._screen import Screen
from listenkey.sandbox import Sandbox
from tests.cli.test_commands import environment
from tests.cli.test_keep import COMMAND, LIFE, until
from tests.inside import end_thread

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX terminals and pipes")
RUN = [sys.executable, "-c", COMMAND]
SLEEPER = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)"]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(life=LIFE, limit=None) as running:
        yield running


@pytest.fixture
def terminal() -> Iterator[tuple[int, list[bytes]]]:
    """A terminal's side for programs, and all that it showed."""
    ours, theirs = pty.openpty()
    shown: list[bytes] = []

    def read() -> None:
        while True:
            try:
                shown.append(os.read(ours, 65536))
            except OSError:  # closed
                return

    reader = threading.Thread(target=read)
    reader.start()
    yield theirs, shown
    os.close(theirs)
    reader.join(10)
    os.close(ours)


@pytest.fixture
def full_pipe() -> Iterator[tuple[int, int]]:
    """A pipe that takes nothing more: the end to read, the end to write."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    for size in (4096, 1):
        try:
            while True:
                os.write(write, b"." * size)
        except BlockingIOError:
            pass
    os.set_blocking(write, True)
    yield read, write
    for each in (read, write):
        os.close(each)


def renewals(sandbox: Sandbox) -> int:
    return sum(request.status == 200 for request in list(sandbox.requests))


def ends(running: subprocess.Popen[bytes], sent: signal.Signals) -> int:
    running.send_signal(sent)
    return running.wait(30)


@pytest.mark.long
@pytest.mark.parametrize(
    ("args", "shares", "sent"),
    [
        (["keep", "-v"], True, signal.SIGINT),
        (["keep", "-v"], False, signal.SIGTERM),
        (["events", "-v"], True, signal.SIGTERM),
        (["events", "-v"], False, signal.SIGINT),
        (["keep", "-v", "--", *SLEEPER], True, signal.SIGTERM),
    ],
)
def test_a_paused_terminal_holds_up_no_keeper_and_no_end(
    sandbox: Sandbox, terminal: tuple[int, list[bytes]], args: list[str], shares: bool, sent: signal.Signals
) -> None:
    screen, _ = terminal
    env = {**environment(sandbox.url), "TERM": "xterm"}
    output = screen if shares else subprocess.DEVNULL
    pipe = subprocess.DEVNULL
    with subprocess.Popen([*RUN, *args], env=env, stdin=pipe, stdout=output, stderr=screen) as running:
        until(lambda: renewals(sandbox) >= 2)
        termios.tcflow(screen, termios.TCOOFF)
        before = renewals(sandbox)
        sandbox.expire()  # the next key is to be shown, on the terminal that takes nothing
        sandbox.faults.add("status", status=503)
        until(lambda: renewals(sandbox) >= before + 4, 60)
        assert running.poll() is None
        assert ends(running, sent) == 128 + sent


@pytest.mark.long
@pytest.mark.parametrize("args", [["keep"], ["keep", "-v"], ["events", "-v"]])
def test_a_pipe_that_nobody_reads_holds_up_no_keeper_and_no_end(
    sandbox: Sandbox, full_pipe: tuple[int, int], args: list[str]
) -> None:
    with subprocess.Popen(
        [*RUN, *args], env=environment(sandbox.url), stdout=subprocess.PIPE, stderr=full_pipe[1]
    ) as running:
        until(lambda: renewals(sandbox) >= 4, 60)
        assert ends(running, signal.SIGTERM) == 143


@pytest.mark.long
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_output_that_nobody_reads_holds_up_no_keeper_and_no_end(
    sandbox: Sandbox, full_pipe: tuple[int, int], sent: signal.Signals
) -> None:
    env = environment(sandbox.url)
    with subprocess.Popen([*RUN, "keep"], env=env, stdout=full_pipe[1], stderr=subprocess.PIPE) as running:
        until(lambda: renewals(sandbox) >= 4, 60)
        assert ends(running, sent) == 128 + sent
        assert running.stderr is not None
        assert b"Traceback" not in running.stderr.read()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_prompt_on_a_paused_terminal_ends(sandbox: Sandbox, terminal: tuple[int, list[bytes]], sent: int) -> None:
    screen, _ = terminal
    termios.tcflow(screen, termios.TCOOFF)
    env = {**environment(sandbox.url, api_key=None), "TERM": "xterm"}
    leader = "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    program = [sys.executable, "-c", leader + COMMAND, "start"]
    with subprocess.Popen(program, env=env, stdin=screen, stdout=screen, stderr=screen) as running:
        until(lambda: catches(running.pid, signal.SIGTERM))  # nothing is shown: the terminal is paused
        time.sleep(0.5)  # to the prompt
        assert ends(running, signal.Signals(sent)) == 128 + sent


def catches(process: int, sent: signal.Signals) -> bool:
    """Whether a process has set a handler for a signal."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    (mask,) = re.findall(r"SigCgt:\s*(\w+)", status)
    return bool(int(mask, 16) >> (sent - 1) & 1)


LOGS = """
import logging, sys
from listenkey.cli._screen import Screen
with Screen() as screen:
    for number in range(3000):
        logging.getLogger("any").warning("%05d %s", number, "x" * 500)
    print("logged", flush=True)
    sys.stdin.readline()
    screen.say("the end")
"""


def test_what_is_dropped_is_counted_and_told() -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", LOGS], stdin=pipe, stdout=pipe, stderr=pipe, text=True) as logging:
        assert logging.stdout
        assert logging.stdout.readline() == "logged\n", "nothing waits for the reader"
        lines = logging.communicate("\n", timeout=30)[1].splitlines()
    told = [line for line in lines if "were dropped here" in line]
    assert "the end" in lines, "the command's own lines are never dropped"
    dropped = sum(int(line.split()[1]) for line in told)
    assert dropped + sum("xxx" in line for line in lines) == 3000
    assert dropped > 1000
    assert all(line.endswith("x" * 500) for line in lines if "xxx" in line), "whole lines"


def test_without_a_thread_to_spare_the_lines_come_at_the_end(listenkey_sandbox: Sandbox) -> None:
    code = """
import threading
from listenkey import cli
from listenkey.cli import _screen
def start(self):
    raise RuntimeError("can't start new thread")
_screen.threading.Thread = type("Thread", (threading.Thread,), {"start": start})
cli.main()
"""
    env = environment(listenkey_sandbox.url)
    ended = subprocess.run([sys.executable, "-c", code, "keepalive"], env=env, capture_output=True, check=False)
    assert (ended.returncode, ended.stderr[:38]) == (4, b"listenkey: This listenKey does not exi")


def test_a_standard_error_that_another_program_made_non_blocking(full_pipe: tuple[int, int]) -> None:
    code = "from listenkey.cli._screen import Screen\nwith Screen() as screen:\n screen.say('said')\n screen.settle()"
    read, write = full_pipe
    os.set_blocking(write, False)
    with subprocess.Popen([sys.executable, "-c", code], stderr=write) as running:
        time.sleep(0.5)
        shown = b""
        while b"said\n" not in shown:
            shown += os.read(read, 65536)
        assert running.wait(30) == 0


# A terminal that is gone


@pytest.mark.long
@pytest.mark.parametrize("args", [["keep"], ["keep", "-v"], ["events", "-v"], ["sandbox", "-v"]])
def test_a_closed_terminal_changes_nothing(sandbox: Sandbox, tmp_path: Path, args: list[str]) -> None:
    ours, theirs = pty.openpty()
    env = {**environment(sandbox.url), "TERM": "xterm"}
    output = tmp_path / "output"
    with (
        output.open("w") as file,
        subprocess.Popen(
            ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh", *RUN, *args],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=theirs,
            start_new_session=True,
        ) as running,
    ):
        os.close(theirs)
        until(output.read_text)
        time.sleep(1.5)  # the live line is there
        os.close(ours)
        before = renewals(sandbox)
        if args[0] == "keep":
            sandbox.expire()
            until(lambda: len(output.read_text().splitlines()) >= 2, 60)
        if args[0] != "sandbox":
            until(lambda: renewals(sandbox) >= before + 2, 60)
        time.sleep(2.5)  # the live line is drawn each second
        assert running.poll() is None
        assert ends(running, signal.SIGTERM) == 143


def test_a_terminal_that_closes_during_a_call_changes_nothing(sandbox: Sandbox) -> None:
    sandbox.faults.add("silent")
    ours, theirs = pty.openpty()
    env = {**environment(sandbox.url), "TERM": "xterm"}
    command = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh", *RUN, "start", "-v", "--timeout", "3"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=theirs, start_new_session=True) as running:
        os.close(theirs)
        until(lambda: sandbox.requests)
        os.close(ours)
        assert len(running.communicate(timeout=30)[0]) == 65
    assert running.returncode == 0


@pytest.mark.parametrize("target", ["2>&-", "2>/dev/full"])
@pytest.mark.parametrize(
    ("args", "status"),
    [(["start", "--nonsense"], 2), (["nonsense"], 2), (["keep", "--"], 2), (["--help"], 0), (["start"], 0)],
)
def test_one_rule_for_the_command_lines_own_mistakes_too(
    sandbox: Sandbox, args: list[str], status: int, target: str
) -> None:
    command = ["sh", "-c", f'exec "$@" {target}', "sh", *RUN, *args]
    assert subprocess.run(command, env=environment(sandbox.url), capture_output=True, check=False).returncode == status


@pytest.mark.parametrize("args", [["start"], ["start", "--help"], ["--version"], ["--print-completion", "bash"], []])
def test_output_has_one_rule_for_all(sandbox: Sandbox, args: list[str]) -> None:
    env = environment(sandbox.url)
    for unbuffered in ("", "1"):
        env["PYTHONUNBUFFERED"] = unbuffered
        command = ["sh", "-c", 'exec "$@" >/dev/full', "sh", *RUN, *args]
        full = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert (full.returncode, full.stderr) == (6, "listenkey: input or output failed: No space left on device.\n")
    read, write = os.pipe()
    os.close(read)
    left = subprocess.run([*RUN, *args], env=env, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (left.returncode, left.stderr) == (128 + signal.SIGPIPE, b"")


def test_a_screen_whose_thread_has_ended_is_left_at_once() -> None:
    """The thread may end between the last word and the look whether the thread lives: the command once hung there."""
    with Screen() as screen:
        end_thread(screen)
