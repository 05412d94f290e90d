"""Where results go: standard output, whose reader may leave, or a file, which another program may move away."""

from __future__ import annotations

import errno
import io
import logging
import os
import select
import signal
import stat
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


log = logging.getLogger("listenkey.cli")


def take_any_character() -> None:
    """Write as an escape what the encoding of standard output has not: an order's id may be in any script."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def wait_for_reader(seconds: float) -> None:
    """Wait. If the reader of standard output leaves, fail as writing would fail: the next result may be far away."""
    poll = getattr(select, "poll", None)
    mode = os.fstat(sys.stdout.fileno()).st_mode
    if poll is None or not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        time.sleep(seconds)
    else:
        reader = poll()
        reader.register(sys.stdout, 0)  # 0: its end alone
        if reader.poll(1000 * seconds):
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def is_cut(path: str) -> bool:
    """Whether the last line of a file has no end."""
    if not Path(path).is_file() or not Path(path).stat().st_size:
        return False
    with Path(path).open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"


class StandardOutput:
    """Lines for a reader."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def write(self, line: str) -> None:
        """Write a line at once."""
        print(line, flush=True)

    def look(self) -> None:
        """Look whether the reader has left. Raises BrokenPipeError."""
        wait_for_reader(0.0)


class File:
    """Lines at the end of a file. After SIGHUP the file is opened anew by its name, as logrotate asks for.

    If that fails, the lines go on into the old file until it succeeds: a mistake in a rotation must not cost events.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._is_moved = self._is_told = False
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        if hasattr(signal, "SIGHUP"):  # not on Windows
            signal.signal(signal.SIGHUP, self._note)
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def _note(self, *_: object) -> None:
        self._is_moved = True

    def _open(self) -> TextIO:
        self._is_moved = False
        before, self._file = self._file, open(self._path, "a", encoding="utf-8")  # noqa: PTH123, SIM115  closed above
        if before is not None:
            before.close()
        if is_cut(self._path):  # the machine went down: the next line must not continue that line
            self._file.write("\n")
            self._file.flush()
        return self._file

    def write(self, line: str) -> None:
        """Write a line at once: whole, in the file that has the name now."""
        file = self.look()
        file.write(f"{line}\n")
        file.flush()

    def look(self) -> TextIO:
        """Open the file anew, if that was asked for."""
        if self._file is not None and not self._is_moved:
            return self._file
        try:
            file = self._open()
        except OSError as error:
            if self._file is None:
                raise
            if not self._is_told:
                log.warning("cannot open %s anew (%s): going on with the old file", self._path, error.strerror)
            self._is_moved = self._is_told = True  # again at the next look
            return self._file
        self._is_told = False
        return file
