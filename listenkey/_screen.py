"""The command line's standard error: log lines, and on a terminal a live line below."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import unicodedata
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

CLEAR = "\r\x1b[K"  # back to the start of the line, and erase the line
COLOURS = {"●": "\x1b[32m", "▲": "\x1b[33m", "■": "\x1b[31m"}  # green, yellow, red, by the mark that a text begins with
PLAIN = str.maketrans("●▲■○·…", "*!!o|~")  # for terminals without these signs


def say(text: str, end: str = "\n") -> None:
    """Write to standard error, if there is one. Trouble with standard error never changes what the command does."""
    if sys.stderr is None:  # it was closed, and print would take standard output
        return
    try:
        print(text, end=end, file=sys.stderr, flush=True)
    except OSError:
        discard(sys.stderr)


def discard(stream: TextIO) -> None:
    """Let a stream that cannot be written go to nowhere: the text in its buffer would change the exit status to 120."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person may be looking. None: the stream was closed."""
    return stream is not None and stream.isatty()


class Screen(logging.Handler):
    """Standard error, for as long as a `with` block: log lines of every thread, never inside the live line.

    Args:
        text: gives the live line, every second, in a thread of this object. Terminals alone show the line.
    """

    def __init__(self, text: Callable[[], str]) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s listenkey: %(message)s"))
        self.text = text
        self.is_live = is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb"
        self._is_drawn = False
        self._ends = threading.Event()

    def __enter__(self) -> Self:
        logging.getLogger().addHandler(self)
        if self.is_live:
            threading.Thread(target=self._draw_each_second, name="listenkey-screen", daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        logging.getLogger().removeHandler(self)
        self.end_line()

    def end_line(self) -> None:
        """Take the live line away for good."""
        with self.cleared():
            self.is_live = False
            self._ends.set()

    @contextlib.contextmanager
    def cleared(self) -> Iterator[None]:
        """Take the live line away while something else is written."""
        with self.lock or contextlib.nullcontext():  # logging's own, held while a record is written
            if self._is_drawn:
                say(CLEAR, end="")
            self._is_drawn = False
            yield

    def emit(self, record: logging.LogRecord) -> None:
        """Write a log line."""
        with self.cleared():
            say(self.format(record))

    def draw(self) -> None:
        """Draw the live line anew."""
        with self.cleared():
            if self.is_live:
                self._is_drawn = True
                say(_dressed(self.text()), end="")

    def _draw_each_second(self) -> None:
        while not self._ends.wait(1):
            self.draw()


def _dressed(text: str) -> str:
    """Make a text fit standard error: width, signs, colours."""
    width = os.get_terminal_size(sys.stderr.fileno()).columns or 80
    fitted = fit(text, width - 2)  # room for the ^C that a terminal writes
    if "utf" not in (sys.stderr.encoding or "").lower():
        fitted = fitted.translate(PLAIN)
    colour = "" if os.environ.get("NO_COLOR") else COLOURS.get(text[:1], "")
    return f"{colour}{fitted}\x1b[0m" if colour else fitted


def fit(text: str, columns: int) -> str:
    """Cut a text to a number of columns; an East Asian character takes two."""
    for end, character in enumerate(text):
        columns -= 0 if unicodedata.combining(character) else 1 + (unicodedata.east_asian_width(character) in "WF")
        if columns < 0:
            return f"{text[: max(0, end - 1)]}…"
    return text
