"""Standard error: the command's lines, log lines, and on a terminal a live line below them.

One thread writes. Everyone else puts a text into a queue and goes on: a terminal may take nothing for hours (Ctrl-S, a
pager, a selection with the mouse), and so may the reader of a pipe. Neither holds up a keeper, nor for long the end.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
import unicodedata
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TextIO

from listenkey.cli._exits import in_our_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

CLEAR = "\r\x1b[K"  # back to the start of the line, and erase the line
COLOURS = {"●": "\x1b[32m", "▲": "\x1b[33m", "■": "\x1b[31m"}  # green, yellow, red, by the mark that a text begins with
PLAIN = str.maketrans("●▲■○·…", "*!!o|~")  # for terminals without these signs
MOST = 1000  # lines that wait to be written; further log lines are dropped, counted and told
PATIENCE = 2.0  # seconds that the command waits for standard error: at the end, and before it shares the terminal


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person may be looking. None: the stream was closed."""
    return stream is not None and stream.isatty()


class Screen(logging.Handler):
    """Standard error, for as long as a `with` block. Trouble with standard error never changes what a command does."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s listenkey: %(message)s"))
        self.addFilter(lambda record: record.levelno < logging.ERROR)  # LeaseLost is the command's last line anyway
        self.is_terminal = is_terminal(sys.stderr)
        self._is_live = self.is_terminal and os.environ.get("TERM") != "dumb"
        self._live_text: Callable[[], str] | None = None
        self._draw_at = 0.0  # of time.monotonic()
        self._is_drawn = self._is_shared = False
        self._queue: SimpleQueue[str | threading.Event | None] = SimpleQueue()  # a finalizer that logs may put, too
        self._dropped = 0
        buffer = getattr(sys.stderr, "buffer", None)  # None: standard error was closed
        self._file = getattr(buffer, "raw", buffer)  # without the buffer's lock, for which Python's end would wait
        self._thread = threading.Thread(target=self._write_all, name="listenkey-screen", daemon=True)

    def __enter__(self) -> Self:
        with contextlib.suppress(RuntimeError):  # no thread to spare: the texts are written at the end
            self._thread.start()
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *exc: object) -> None:
        self._queue.put(None)  # the handler stays: without any, logging itself would write, and could wait for ever
        if self._thread.ident is None:  # it could not be started: nobody else writes
            self._write_all()
        else:
            self._thread.join(PATIENCE)

    # What everyone may call: nothing here waits for standard error, but for `PATIENCE` seconds.

    def say(self, text: str, end: str = "\n") -> None:
        """Write a line."""
        self._queue.put(text + end)

    def asked(self, ask: Callable[[], str]) -> str:
        """Ask on a terminal, and end the prompt's line after any answer."""
        try:
            return ask()
        except (SystemExit, EOFError):  # Ctrl-C, Ctrl-D
            self.say("")
            raise

    def agrees(self, question: str) -> bool:
        """Whether a person says yes."""
        self.say(f"{question} [y/N] ", end="")
        return self.asked(sys.stdin.readline).strip().lower() in ("y", "yes")

    def emit(self, record: logging.LogRecord) -> None:
        """Write a log line. The base class calls this with a lock, so that the count is exact."""
        if self._queue.qsize() < MOST:
            self.say(in_our_words(self.format(record)))
        else:
            self._dropped += 1

    def show(self, text: Callable[[], str], after: float = 0.0) -> None:
        """Show a live line on a terminal, after so many seconds, and anew each second. A thread asks for the text."""
        self._live_text, self._draw_at = text, time.monotonic() + after
        self._queue.put("")

    def end_line(self) -> None:
        """Take the live line away for good."""
        self._is_live = False
        self.settle()

    @contextlib.contextmanager
    def cleared(self) -> Iterator[None]:
        """Take the live line away while standard output is written, if the terminal shows both."""
        if not (self._is_live and is_terminal(sys.stdout)):
            yield
            return
        self._is_shared = True
        self.settle()
        try:
            yield
        finally:
            self._is_shared, self._draw_at = False, 0.0
            self._queue.put("")

    def settle(self) -> None:
        """Wait until all is written that was said so far, and the live line is away; not for long."""
        written = threading.Event()
        self._queue.put(written)
        if self._thread.is_alive():
            written.wait(PATIENCE)

    # The thread.

    def _write_all(self) -> None:
        """Write all texts in turn, until None comes; without texts, draw the live line each second."""
        while (item := self._next()) is not None:
            was_drawn = self._is_drawn
            if isinstance(item, threading.Event):
                self._write("")
                item.set()
            elif item:
                self._write(item)
            if self._queue.empty():
                self._tell_of_dropped()
                self._draw(is_due=was_drawn)
        self._tell_of_dropped()
        self._write("")

    def _tell_of_dropped(self) -> None:
        with self.lock or contextlib.nullcontext():
            dropped, self._dropped = self._dropped, 0
        if dropped:
            self._write(f"listenkey: {dropped} lines of the log were dropped here: nobody read them for too long.\n")

    def _next(self) -> str | threading.Event | None:
        """Wait for the next text; "" when it is time to draw."""
        is_drawing = self._is_live and not self._is_shared and self._live_text is not None
        try:
            return self._queue.get(timeout=max(0.0, self._draw_at - time.monotonic()) if is_drawing else None)
        except Empty:
            return ""

    def _draw(self, *, is_due: bool) -> None:
        """Draw the live line anew, if there is to be a live line."""
        now, is_shown = time.monotonic(), self._is_live and not self._is_shared
        if self._live_text is not None and is_shown and (is_due or now >= self._draw_at):
            self._draw_at = now + 1.0
            self._write(_dressed(self._live_text()))
            self._is_drawn = True

    def _write(self, text: str) -> None:
        """Write in place of the live line. What cannot be written is dropped: a terminal may be gone, a disk full."""
        encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
        rest = memoryview((CLEAR * self._is_drawn + text).encode(encoding, "backslashreplace"))
        self._is_drawn = False
        with contextlib.suppress(OSError):
            while rest and self._file is not None:
                if (written := self._file.write(rest)) is None:  # another program made standard error non-blocking
                    time.sleep(0.05)
                else:
                    rest = rest[written:]


def _dressed(text: str) -> str:
    """Make a text fit standard error: width, signs, colours."""
    fitted = fit(text, columns_of(sys.stderr) - 2)  # room for the ^C that a terminal writes
    if "utf" not in (sys.stderr.encoding or "").lower():
        fitted = fitted.translate(PLAIN)
    return coloured(fitted, COLOURS.get(text[:1], ""))


def columns_of(terminal: TextIO) -> int:
    """Count the columns of a terminal."""
    with contextlib.suppress(OSError):  # the terminal is gone
        return os.get_terminal_size(terminal.fileno()).columns or 80
    return 80


def coloured(text: str, colour: str) -> str:
    """Colour a text, unless the person wants no colours."""
    return f"{colour}{text}\x1b[0m" if colour and not os.environ.get("NO_COLOR") else text


def fit(text: str, columns: int) -> str:
    """Cut a text to a number of columns; an East Asian character takes two."""
    for end, character in enumerate(text):
        columns -= 0 if unicodedata.combining(character) else 1 + (unicodedata.east_asian_width(character) in "WF")
        if columns < 0:
            return f"{text[: max(0, end - 1)]}…"
    return text
