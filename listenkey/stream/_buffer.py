"""The items that wait for the program: passed from the thread that receives to the threads that take. No lock, no wait.

A lock would let a signal handler wait for ever that leaves the stream in the middle of `next`: the handler waits for
the receiving thread, and that thread for the lock. And an interrupt in the middle of `next` must lose no item.
"""

from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import cast

from listenkey._lock import move_first
from listenkey.stream._events import Blind, Gap, Item


class Mark:
    """A Gap in the row, which may still count further items."""

    def __init__(self, gap: Gap) -> None:
        self.gap = gap
        self.is_taken = False

    def count(self, since: datetime | None, until: datetime, dropped: int) -> bool:
        """Let the Gap stand for another item, too. False: somebody takes the Gap; a further one has to say it."""
        if self.is_taken:
            return False
        gap = self.gap
        earliest = None if gap.since is None or since is None else min(gap.since, since)
        self.gap = Gap(gap.reason, earliest, until, gap.dropped + dropped)
        return not self.is_taken  # taken meanwhile: nobody knows which of the two


class Buffer:
    """The items that wait. When `size` items wait, a Gap stands in place of the newest.

    A single thread puts. Any thread may take.
    """

    def __init__(self, size: int) -> None:
        self._size = self._most = size
        self.half = size // 2  # from here on the connection waits for a fast program
        self._items: deque[Item | Mark] = deque()
        self._last: Mark | None = None  # the Gap at the end of the row

    def __len__(self) -> int:
        return len(self._items)

    def expect(self, count: int) -> None:
        """Make room for so many items that come at once, unless the program is slow: it can take none in between."""
        if len(self._items) < self._size:
            self._most = self._size - 1 + count

    def put_all(self, items: Sequence[Item], since: datetime, until: datetime) -> None:
        """Append items as `put` does."""
        if len(self._items) + len(items) <= self._most and Gap not in map(type, items):
            self._last = None
            self._items.extend(items)
        else:
            for item in items:
                self.put(item, since, until)

    def put(self, item: Item, since: datetime, until: datetime) -> None:
        """Append the item, or let the Gap at the end count the item. The item is from `since` to `until` or longer."""
        is_gap = isinstance(item, Gap)
        if len(self._items) < self._most or (is_gap and self._last is None):
            self._append(item)
            return
        if isinstance(item, Blind):
            return  # the Gap that follows says as much
        begins = item.since if isinstance(item, Gap) else since
        dropped = item.dropped if isinstance(item, Gap) else 1
        if self._last is None or not self._last.count(begins, until, dropped):
            self._append(item if is_gap else Gap("overflow", since, until, 1))

    def _append(self, item: Item) -> None:
        if isinstance(item, Gap):
            self._last = Mark(item)
            self._items.append(self._last)
        else:
            self._last = None
            self._items.append(item)

    def move_to(self, hand: list[Item]) -> bool:
        """Move the oldest item to the empty list `hand`. False: no item waits. An interrupt loses no item."""
        row = cast(list[Item | Mark], hand)  # a Mark does not stay
        if not move_first(self._items, row):
            return False
        if isinstance(found := row[0], Mark):
            found.is_taken = True
            row[0] = found.gap
        return True

    def put_back(self, hand: list[Item]) -> None:
        """Let the item in `hand`, if any, be the oldest again."""
        self._items.extendleft(Mark(item) if isinstance(item, Gap) else item for item in hand)

    def take(self) -> Item | None:
        """Return the oldest item. None when there is none."""
        hand: list[Item] = []
        return hand[0] if self.move_to(hand) else None
