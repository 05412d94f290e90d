"""`listenkey events`: the account's events, a line each, for a night: through losses, restarts and rotations."""

from __future__ import annotations

import contextlib
import json
import math
import signal
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from listenkey.cli._lines import as_fields, as_raw, for_people, kind_of, live_stream
from listenkey.cli._options import stream_url_of
from listenkey.cli._output import File, StandardOutput
from listenkey.cli._screen import is_terminal
from listenkey.stream import Gap, UserDataStream

if TYPE_CHECKING:
    import argparse
    from collections.abc import Generator, Iterator

    from listenkey import ListenKeyClient
    from listenkey.cli._screen import Screen
    from listenkey.stream import Item

LONGEST_ALARM = 1e8  # seconds, of about three years; a longer time is none for the system
LOOK = 1.0  # seconds between two looks at output and clock, while nothing comes


def run(args: argparse.Namespace, screen: Screen, client: ListenKeyClient) -> int:
    """Print items until the user ends the command, or until a person has to mend a refusal. Returns the exit status."""
    flow = _Flow(args, screen, client)
    with File(args.output) if args.output else StandardOutput() as output, contextlib.closing(flow.items()) as items:
        for item in items:
            if item is None:
                output.look()
            elif flow.is_wanted(item):
                line = flow.line(item, datetime.now(UTC))
                with screen.cleared():
                    output.write(line)
                flow.printed += 1
                flow.events += not isinstance(item, Gap)
            if flow.is_over():
                return 0
    return 0


class _Flow:
    """The items that come, the items that are printed, and the end of the command."""

    def __init__(self, args: argparse.Namespace, screen: Screen, client: ListenKeyClient) -> None:
        self._args, self._screen, self._client = args, screen, client
        self._ends_at = time.monotonic() + (math.inf if args.duration is None else args.duration)
        self._look = min(LOOK, args.duration or LOOK)
        self._is_for_people = is_terminal(sys.stdout) and not (args.json or args.raw or args.output)
        self.printed = self.events = 0  # lines; lines that are no Gap

    def is_wanted(self, item: Item) -> bool:
        """Whether an item is printed. A Gap always is: without it nobody knows what is missing."""
        return not self._args.type or isinstance(item, Gap) or kind_of(item) in self._args.type

    def is_over(self) -> bool:
        """Whether enough is printed, or the time is over."""
        return self.events == self._args.limit or time.monotonic() >= self._ends_at

    def line(self, item: Item, at: datetime) -> str:
        """Write an item."""
        if self._is_for_people:
            return for_people(item, at.astimezone())
        return json.dumps(as_raw(item, at) if self._args.raw else as_fields(item, at), default=str)

    def items(self) -> Generator[Item | None]:
        """Give what comes; None now and then, while nothing does."""
        stream_url = stream_url_of(self._args)
        stream = UserDataStream(self._client, stream_url=stream_url, form=self._args.form, forever=True)
        with contextlib.ExitStack() as stack:
            with ending_in(self._args.duration):  # entering waits until the exchange gives a key
                stack.enter_context(stream)
            self._screen.show(lambda: live_stream(stream.status(), datetime.now().astimezone(), self.printed))
            while True:
                yield stream.next_within(self._look)


@contextlib.contextmanager
def ending_in(seconds: float | None) -> Iterator[None]:
    """End the command in so many seconds, if the block still waits by then. None: do not. On Windows: do not either."""
    if sys.platform != "win32":
        signal.signal(signal.SIGALRM, lambda *_: sys.exit(0))
        signal.setitimer(signal.ITIMER_REAL, min(seconds or 0.0, LONGEST_ALARM))
    try:
        yield
    finally:  # also after a refusal, which has an exit status of its own
        if sys.platform != "win32":
            signal.setitimer(signal.ITIMER_REAL, 0.0)
