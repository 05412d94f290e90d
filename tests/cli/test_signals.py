"""Ctrl-C at any moment: status 130 and no traceback. Each command is a process of its own."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from listenkey.sandbox import Sandbox
from tests.cli.test_commands import environment

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
# The command, which tells when its answer to Ctrl-C is there. Before that moment Python itself answers.
MARKED = """
import os, signal, sys
from listenkey import cli
install = signal.signal
def installs(number, answer):
    before = install(number, answer)
    if number == signal.SIGTERM:
        signal.signal = install
        os.write(int(sys.argv.pop()), " ".join(sys.modules).encode())
    return before
signal.signal = installs
cli.main()
"""


def marked(sandbox: Sandbox, *args: str) -> tuple[subprocess.Popen[bytes], str]:
    """Start a command. Gives also the modules that were loaded when the command could answer Ctrl-C."""
    read, write = os.pipe()
    running = subprocess.Popen(
        [sys.executable, "-c", MARKED, *args, str(write)],
        env=environment(sandbox.url),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=[write],
        start_new_session=True,
    )
    os.close(write)
    modules = os.read(read, 65536).decode()
    os.close(read)
    return running, modules


def loaded(code: str) -> set[str]:
    """The modules that some code loads."""
    command = [sys.executable, "-c", f"{code}; print(*sys.modules)"]
    return {*subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()}


@pytest.mark.long
@pytest.mark.parametrize(
    "args",
    [["start"], ["keep"], ["keep", "--", "sleep", "9"], ["events"], ["check"], ["sandbox"], ["delete"]],
    ids=" ".join,
)
def test_ctrl_c_at_any_moment(listenkey_sandbox: Sandbox, args: list[str]) -> None:
    if args[0] in ("start", "delete"):
        listenkey_sandbox.faults.add("silent", times=None)  # or the command could end before Ctrl-C
    moments = random.Random(f"{args}")
    for _ in range(12):
        wait = moments.uniform(0, 0.6)
        running, _modules = marked(listenkey_sandbox, *args)
        with running:
            time.sleep(wait)
            running.send_signal(signal.SIGINT)
            error = running.communicate(timeout=30)[1].decode()
            told = [line for line in error.splitlines() if "listen key;" not in line and "sandbox on" not in line]
            assert (running.returncode, told) == (130, []), f"{wait} s after the start"


def test_two_signals_are_as_one(listenkey_sandbox: Sandbox) -> None:
    moments = random.Random("two")
    for _ in range(12):
        running, _modules = marked(listenkey_sandbox, "events")
        with running:
            time.sleep(moments.uniform(0, 0.6))
            running.send_signal(signal.SIGINT)
            time.sleep(moments.uniform(0, 0.02))
            running.send_signal(signal.SIGINT)
            error = running.communicate(timeout=30)[1]
            assert (running.returncode in (130, -signal.SIGINT), error) == (True, b"")  # -2: at Python's very end


def test_ctrl_c_after_the_command_shows_nothing(listenkey_sandbox: Sandbox) -> None:
    moments = random.Random("late")
    for _ in range(12):
        running, _modules = marked(listenkey_sandbox, "--version")
        with running:
            time.sleep(moments.uniform(0, 0.06))
            running.send_signal(signal.SIGINT)
            error = running.communicate(timeout=30)[1]
            assert (running.returncode in (0, 130, -signal.SIGINT), error) == (True, b"")


def test_next_to_nothing_is_loaded_before_ctrl_c_is_answered(listenkey_sandbox: Sandbox) -> None:
    running, modules = marked(listenkey_sandbox, "--version")
    running.communicate(timeout=30)
    bare = loaded("import os, signal, sys")
    assert {*modules.split()} - bare == {"listenkey", "listenkey._version", "listenkey.cli"}


def test_python_m_answers_as_soon() -> None:
    bare = loaded("import sys, runpy; import listenkey.cli")
    code = "import runpy, sys; from listenkey import cli; cli.main = lambda: None; runpy.run_module('listenkey')"
    assert loaded(code) - bare == {"listenkey.__main__"} & loaded(code)


def test_a_signal_that_was_ignored_from_the_start_stays_ignored(listenkey_sandbox: Sandbox) -> None:
    for sent in (signal.SIGINT, signal.SIGTERM):
        listenkey_sandbox.faults.add("silent")
        trap = f"trap '' {sent.name.removeprefix('SIG')}; exec \"$@\""
        command = ["sh", "-c", trap, "sh", sys.executable, "-m", "listenkey", "start", "--timeout", "2"]
        seen = len(listenkey_sandbox.requests)
        with subprocess.Popen(command, env=environment(listenkey_sandbox.url), stdout=subprocess.PIPE) as running:
            while len(listenkey_sandbox.requests) == seen:
                time.sleep(0.02)
            running.send_signal(sent)
            assert len(running.communicate(timeout=30)[0]) == 65
        assert running.returncode == 0


def test_an_interrupted_finalizer_ends_the_command_too() -> None:
    code = """
import os, signal, sys, time
from listenkey.cli import Signals
class Late:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
with Signals():
    late = Late()
    del late
    time.sleep(60)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (130, b"")
