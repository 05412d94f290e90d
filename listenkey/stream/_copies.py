"""The same event from two connections: passed on once. Pure.

While two connections live, both may bring each event. The ledger counts how often which connection brought which
content. Two equal events on one connection are two events.
"""

import json
import math
from collections import deque
from hashlib import blake2b

from listenkey.stream._events import Event

MOST = 100_000  # contents that a ledger remembers
RECENT = 64  # events of the main connection, among which a repeated content shows

Content = bytes


def content_of(event: Event, frame: str | bytes) -> Content:
    """Give a digest that is the same for the same event, however the frame was written."""
    try:
        text = json.dumps(event.raw, sort_keys=True, default=str) if event.raw else frame
    except RecursionError:  # too deep
        text = frame
    return blake2b(text.encode() if isinstance(text, str) else text, digest_size=16).digest()


class Copies:
    """How often each connection brought each content, while more than one connection could, and shortly after."""

    def __init__(self) -> None:
        self.is_counting = False  # nothing is counted while a single connection brings events
        self.forget_at = math.inf  # when no copy can come any more
        self._brought: dict[Content, dict[int, int]] = {}
        self._recent: deque[tuple[Event, str | bytes]] = deque(maxlen=RECENT)
        self._before: set[Content] = set()  # contents that came before a further connection was asked for

    def __len__(self) -> int:
        return len(self._brought)

    def begin(self) -> None:
        """Count from now on: a further connection is asked for."""
        self.is_counting, self.forget_at = True, math.inf
        self._before = {content_of(*each) for each in self._recent}

    def stop(self) -> None:
        """Forget all contents: no further connection can bring the same."""
        self.is_counting, self.forget_at = False, math.inf
        self._brought = {}

    def note(self, event: Event, frame: str | bytes) -> None:
        """Note an event of the main connection."""
        self._recent.append((event, frame))

    def content(self, event: Event, frame: str | bytes) -> Content | None:
        """Give the content that is counted. None: nothing is counted."""
        return content_of(event, frame) if self.is_counting else None

    def passes(self, content: Content | None, number: int, *, remember: bool) -> bool:
        """Count a content that connection `number` brought. False: another connection has brought the same as often.

        `remember`: whether another connection may bring the same later.
        """
        if content is None or not self.is_counting:
            return True
        brought = self._brought.get(content)
        if brought is None:
            if remember:
                self._brought[content] = {number: 1}
            return True
        most = max(brought.values())
        brought[number] = brought.get(number, 0) + 1
        return brought[number] > most

    def is_known(self, content: Content | None, number: int) -> bool:
        """Whether connection `number` has brought the content."""
        return content is not None and number in self._brought.get(content, {})

    def forget_oldest(self) -> None:
        """Make room."""
        del self._brought[next(iter(self._brought))]

    def forget_repeated(self) -> None:
        """Forget contents that came more than once: each was an event of its own.

        A new connection does not bring what was sent before the new connection was there. Of what came while the new
        connection was being opened, nobody knows. A content that came once is taken for the same event when the new
        connection brings it. A content that repeats itself is not.
        """
        self._brought = {
            content: brought
            for content, brought in self._brought.items()
            if content not in self._before and max(brought.values()) == 1
        }
