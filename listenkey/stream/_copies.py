"""The same event from two connections: passed on once. Pure.

While two connections live, both may bring each event. A ledger counts how often which connection brought which content.
Two equal events on one connection are two events.
"""

import json
from collections.abc import Set as AbstractSet
from hashlib import blake2b

from listenkey.stream._events import Event

MOST = 100_000  # contents that a ledger remembers

Content = bytes


def content_of(event: Event, frame: str | bytes) -> Content:
    """Give a digest that is the same for the same event, however the frame was written."""
    try:
        text = json.dumps(event.raw, sort_keys=True, default=str) if event.raw else frame
    except RecursionError:  # too deep
        text = frame
    return blake2b(text.encode() if isinstance(text, str) else text, digest_size=16).digest()


class Copies:
    """How often each connection brought each content, while more than one connection could."""

    def __init__(self) -> None:
        self._brought: dict[Content, dict[int, int]] = {}

    def __len__(self) -> int:
        return len(self._brought)

    def passes(self, content: Content, number: int, *, remember: bool) -> bool:
        """Count a content that connection `number` brought. False: another connection has brought the same as often.

        `remember`: whether another connection may bring the same later.
        """
        brought = self._brought.get(content)
        if brought is None:
            if remember:
                self._brought[content] = {number: 1}
            return True
        most = max(brought.values())
        brought[number] = brought.get(number, 0) + 1
        return brought[number] > most

    def is_known(self, content: Content, number: int) -> bool:
        """Whether connection `number` has brought the content."""
        return number in self._brought.get(content, {})

    def forget_oldest(self) -> None:
        """Make room."""
        del self._brought[next(iter(self._brought))]

    def forget_repeated(self, before: AbstractSet[Content]) -> None:
        """Forget contents that came more than once, counting those `before`: each was an event of its own.

        A new connection does not bring what was sent before the new connection was there. Of what came while the new
        connection was being opened, nobody knows. A content that came once is taken for the same event when the new
        connection brings it. A content that repeats itself is not.
        """
        self._brought = {
            content: brought
            for content, brought in self._brought.items()
            if content not in before and max(brought.values()) == 1
        }
