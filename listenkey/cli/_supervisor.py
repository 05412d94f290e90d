"""Runs a program with the key, for `listenkey keep`: anew with each new key, and never longer than the key is kept."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from listenkey.cli._exits import Stop

if TYPE_CHECKING:
    from collections.abc import Callable

    from listenkey import ListenKeyKeeper
    from listenkey.cli._screen import Screen

LAUNCH = [sys.executable, "-I", "-S", str(Path(__file__).with_name("_launch.py"))]


def supervise(keeper: ListenKeyKeeper, program: list[str], screen: Screen) -> int:
    """Run the program with the key until the program ends by itself or a signal ends both. Returns the exit status."""
    caught: list[int] = []  # noted, not raised: at any time the program is ended first, and in peace
    for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup stays in force
            signal.signal(number, lambda number, _: caught.append(number))
    while True:
        key = keeper.key.value
        read, write = os.pipe()
        try:
            running = _start(program, key, read)
            try:
                while (status := running.poll()) is None and not caught and keeper.key.value == key:
                    _reap_orphans(running.pid)
                    time.sleep(0.1)
            finally:
                _stop(running, screen, interrupted=caught[:1] == [signal.SIGINT])
            with contextlib.suppress(BrokenPipeError):  # the watcher was killed
                os.write(write, b"ended")
        finally:
            os.close(write)  # as the system does when this process is killed
        if caught:
            return 128 + caught[0]
        if status is not None:
            return status if status >= 0 else 128 - status
        screen.say("listenkey: the listen key was replaced; starting the program anew.")


def _start(program: list[str], key: str, pipe: int) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "LISTENKEY": key}
    if sys.platform == "win32" or not hasattr(signal, "pthread_sigmask"):  # Windows: no exec
        os.close(pipe)
        try:
            return subprocess.Popen(program, env=environment)  # noqa: S603  the user's own
        except OSError as error:
            raise Stop(2, f"cannot run {program[0]}: {error.strerror}.") from error
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # Ctrl-C waits for the program
    try:
        command = [*LAUNCH, str(pipe), *program]
        return subprocess.Popen(command, env=environment, pass_fds=[pipe])  # noqa: S603  the user's own
    finally:
        os.close(pipe)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _reap_orphans(program: int) -> None:
    """As a container's first process, collect the ended processes that the program has started and lost."""
    if sys.platform != "win32" and os.getpid() == 1 and hasattr(os, "waitid"):
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and ended.si_pid != program:
                os.waitpid(ended.si_pid, 0)


def _stop(running: subprocess.Popen[bytes], screen: Screen, *, interrupted: bool) -> None:
    """End the program, if the program still runs: 10 seconds for each way."""
    ways: list[Callable[[], object]] = [running.terminate, running.kill]
    if interrupted:
        ways.insert(0, running.poll if _in_foreground() else lambda: running.send_signal(signal.SIGINT))
    any(_ends(running, way, screen) for way in ways)


def _ends(running: subprocess.Popen[bytes], way: Callable[[], object], screen: Screen) -> bool:
    way()
    for left in range(8, -1, -2):  # seconds
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(2)
            return True
        if screen.is_terminal:
            screen.say(f"listenkey: waiting for the program to end, {left} s left.")
    return False


def _in_foreground() -> bool:
    """Whether Ctrl-C is a terminal's, which has interrupted the program as well: a second SIGINT would cut it short."""
    if sys.platform == "win32" or not hasattr(os, "tcgetpgrp"):  # Windows: a console's Ctrl-C reaches all its programs
        return True
    with contextlib.suppress(OSError), Path("/dev/tty").open("rb") as terminal:
        return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    return False
