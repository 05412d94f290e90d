"""How a command ends: the exit statuses, and the errors of the package in the words of the command line."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

from listenkey.errors import ConfigurationError, KeyNotFound, LeaseLost, ListenKeyError, RateLimited, Unauthorized

if TYPE_CHECKING:
    from collections.abc import Callable

    from listenkey.cli._screen import Screen

STATUSES = """\
exit statuses:
  0    done
  1    you answered no
  2    usage, or a setting that cannot work
  3    the API key is not accepted
  4    there is no listen key
  5    too many requests
  6    any other answer, or none; output that cannot be written
  7    the listen key could not be kept alive
  8    `check`: this machine's clock is wrong
  9    `check`: a step of the stream failed
  130  Ctrl-C; 143 SIGTERM
  141  the reader of standard output left"""
OF_ERRORS: dict[type[ListenKeyError], int] = {
    ConfigurationError: 2,
    Unauthorized: 3,
    KeyNotFound: 4,
    RateLimited: 5,
    LeaseLost: 7,
}
READER_LEFT = 141  # as a shell says of a program that SIGPIPE has ended
# Python's words for a setting or a call, and the command line's words. Replaced in this order.
WORDS = (
    (r"\bpass stream_url\b", "give --stream-url or LISTENKEY_STREAM_URL"),
    (r"\bstream_url\b", "--stream-url or LISTENKEY_STREAM_URL"),
    (r"\bbase_url\b", "--base-url or LISTENKEY_BASE_URL"),
    (r"\bplain_http_host\b", "--plain-http"),
    (r"^api_key is empty: pass\b", "The API key is empty: give"),
    (r"^api_key\b", "The API key"),
    (r"(?<!-)\b(timeout|attempts|form|life|limit|port|host|wait|speed)(?= must )", r"--\1"),
    (r"\bA keeper needs a client with a timeout\b", "A kept key needs a --timeout"),
    (r"\bCall start\(\) for a new one\b", "`listenkey start` gets a new one"),
    (r", or pass ssl_context\b", ""),
    (r"\bStart anew, with a new keeper\b", "Start the command anew"),
    (r"\bMake a new one\b", "Start the command anew"),
    (r"\bits attribute is None\b", "its value is null"),
    (r"\bor None for no limit\b", "or 0 for no limit"),
    (r"\bor None for every (request|connection)\b", r"or null for every \1"),
    (r"\bor None for any\b", "or null for any"),
    (r"\bor to None\b", "or to null"),
    (r"\bbody must be bytes, text or something JSON can hold\b", "body must be JSON"),
)


class Stop(Exception):
    """End with this exit status, after this text on standard error."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def in_our_words(text: str) -> str:
    """Say what an error or a log line of the package says, in the words of the command line."""
    for theirs, ours in WORDS:
        text = re.sub(theirs, ours, text)
    return text


def missing(what: str, extra: str) -> Stop:
    """Name the extra that something needs. The package is on no index: a clone is where to install it from."""
    return Stop(2, f"{what} needs the extra `{extra}`: in a clone of the repository, pip install '.[{extra}]'.")


def status_of(run: Callable[[], int], screen: Screen) -> int:
    """Run a command, say why it failed, and return its exit status."""
    if sys.stdout is None:
        screen.say("listenkey: standard output is closed.")
        return 2
    try:
        status = _told(run, screen)
        sys.stdout.flush()
    except (BrokenPipeError, ConnectionResetError):
        _discard_output()
        return READER_LEFT
    except OSError as error:  # a disk is full
        _discard_output()
        where = f": {error.filename}" if error.filename else ""
        screen.say(f"listenkey: input or output failed: {error.strerror}{where}.")
        return 6
    except SystemExit as end:  # a signal
        _discard_output()
        return int(end.code or 0)
    return status


def _told(run: Callable[[], int], screen: Screen) -> int:
    try:
        return run()
    except Stop as stop:
        if text := str(stop):
            screen.say(text if text.startswith("usage:") else f"listenkey: {text}")
        return stop.status
    except ListenKeyError as error:
        screen.say(f"listenkey: {in_our_words(str(error))}")
        return status_of_error(error)


def status_of_error(error: ListenKeyError) -> int:
    """Return the exit status of an error of the package."""
    return next((status for kind, status in OF_ERRORS.items() if isinstance(error, kind)), 6)


def _discard_output() -> None:
    """Send to nowhere what standard output has not taken yet: Python would wait for it, or end with status 120."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
