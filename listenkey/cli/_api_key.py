"""Where the API key comes from, without a trace in this process: another program may look into it."""

from __future__ import annotations

import contextlib
import ctypes
import getpass
import os
import sys
from typing import TYPE_CHECKING

from listenkey.cli._exits import Stop
from listenkey.cli._screen import is_terminal

if TYPE_CHECKING:
    from listenkey.cli._screen import Screen

PR_SET_DUMPABLE = 4
LONGEST_LINE = 10_000  # bytes; an API key has 64


def api_key(screen: Screen) -> str:
    """Get the API key: from the environment, a terminal, or the first line of standard input. Raises Stop."""
    if key := _taken_from_environment("BINANCE_API_KEY"):
        return key
    with contextlib.suppress(EOFError, UnicodeDecodeError):
        if is_terminal(sys.stdin):
            key = screen.asked(lambda: getpass.getpass("API key: "))
        elif sys.stdin is not None:  # None: standard input was closed
            key = _first_line(sys.stdin.fileno())
    if not key:
        raise Stop(2, "no API key: set BINANCE_API_KEY, or give it on standard input, as text.")
    return key


def _taken_from_environment(name: str) -> str | None:
    """Read a secret variable and wipe the secret out of this process, which the program may look into.

    On Linux `/proc/PID/environ` shows the memory that the variables were put into at the start, even if the variables
    have changed since. `/proc/PID/mem`, a debugger or a core dump show the whole process: here the process is closed
    to all but root.
    """
    value = os.environ.get(name)
    if value and os.name == "posix":
        libc = ctypes.CDLL(None)
        libc.getenv.restype = ctypes.c_void_p
        while address := libc.getenv(name.encode()):  # a variable may be there more than once
            entry = address - len(name) - 1
            ctypes.memset(entry, 0, len(ctypes.string_at(entry)))
        with contextlib.suppress(AttributeError):  # not Linux
            libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    os.environ.pop(name, None)
    return value


def _first_line(descriptor: int) -> str:
    """Read no byte further: the rest is the program's."""
    line = b""
    while not line.endswith(b"\n") and len(line) < LONGEST_LINE and (byte := os.read(descriptor, 1)):
        line += byte
    return line.decode().rstrip("\r\n")
