"""Which socket brings the events: the main socket, the next one, or the old one that was replaced. Pure."""

import math
from collections.abc import Iterator

from listenkey.stream._pace import Pace
from listenkey.stream._sockets import Socket


class Succession:
    """The sockets of a link, by their place.

    A next socket is there to replace the main socket, or to be compared with the main socket, which may be mute.
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._number = 0
        self.main: Socket | None = None
        self.next: Socket | None = None
        self.old: Socket | None = None  # was the main socket, or was compared with it; is asked to close
        self.is_change_wanted = False  # whether a next socket is wanted, besides after a loss
        self.replace_at = math.inf  # when the main socket has lived long enough
        self.close_until = math.inf  # the old socket's time to close
        self.patience = pace.silence  # before a comparison; longer after each that failed

    def __iter__(self) -> Iterator[Socket]:
        return (each for each in (self.main, self.next, self.old) if each is not None)

    def find(self, number: int) -> Socket | None:
        """Return the socket of a number. None: the socket is no more."""
        return next((each for each in self if each.number == number), None)

    @property
    def is_overlapping(self) -> bool:
        """Whether more than the main socket may bring events."""
        return self.next is not None or self.old is not None

    @property
    def compared(self) -> Socket | None:
        """The socket that is compared with the main socket. None without a comparison."""
        return self.next if self.main is not None and self.next is not None and self.next.is_compared else None

    # Sockets come.

    def open(self, now: float, key: str, *, is_compared: bool = False) -> Socket:
        """Make the next socket."""
        self._number += 1
        self.next = Socket(self._number, key, now, is_compared=is_compared)
        return self.next

    def promote(self, socket: Socket, replace_at: float) -> None:
        """Let a socket be the main socket."""
        self.main, self.next, self.replace_at = socket, None, replace_at
        self.is_change_wanted = False

    # Sockets go.

    def retire(self, now: float, socket: Socket) -> None:
        """Give a socket its time to close."""
        self.old, self.close_until = socket, now + self._pace.drain

    def remove_old(self) -> None:
        """Note that the old socket is no more."""
        self.old, self.close_until = None, math.inf

    def remove_next(self) -> None:
        """Note that the next socket is no more, or of no use."""
        self.next = None

    def remove_main(self) -> None:
        """Note that the main socket is no more."""
        self.main = None
