"""What is known of a socket: its signs of life, and the pace of its events. Pure.

A frame is a weak sign of life: the frame may have waited in a buffer of this machine. An answered ping is a strong one:
the socket lived when the ping was asked for.
"""

import math
from dataclasses import dataclass, field

from listenkey.stream._copies import Content
from listenkey.stream._events import AccountUpdate, Event, GreekUpdate
from listenkey.stream._pace import Pace

BEAT = (AccountUpdate, GreekUpdate)  # come each 10 seconds while a position is held
BEATS = 3  # events at the pace of a held position, before silence is odd
UNREADABLE = 1000  # events that could not be read, and wait for a proof of the key; a Gap tells of any further


@dataclass
class Socket:
    """A socket, from the order to open it to its end."""

    number: int
    key: str = field(repr=False)
    asked_at: float  # when it was asked for: nothing was sent to it before
    opened_at: float | None = None  # when the handshake was done
    is_ready: bool = False  # events may come: the handshake is done, and SUBSCRIBE is answered
    ready_at: float = -math.inf
    alive_at: float = -math.inf  # when it last surely lived: when the last answered ping was asked for
    pinged_at: float | None = None  # when the unanswered ping was asked for
    unread_at: float = -math.inf  # when the connection last waited for the program: an answer is not read then
    event_at: float | None = None  # when the last event came
    sent_at: float = -math.inf  # the last event was sent at this moment, or later
    beats: int = 0  # events of a held position at their pace, one after the other
    beat_at: float = -math.inf  # when the last of them came; time in which the program stood still does not count
    was_compared: bool = False  # whether a second socket brought nothing either since the last event
    held: list[tuple[Event, Content | None]] | None = field(default_factory=list)  # events that wait; None: they pass
    is_key_proven: bool = False  # whether the key is known to have lived since the handshake
    is_compared: bool = False  # whether it is there to be compared with the main socket, which may be mute
    news_at: float = math.inf  # when it brought something that the main socket had not brought

    @property
    def has_beat(self) -> bool:
        """Whether events came at the pace of a held position, so that their silence is odd."""
        return self.beats >= BEATS

    @property
    def complete_until(self) -> float:
        """Until when the socket brought all events: the socket may live, and be mute since its last event."""
        return self.sent_at if self.has_beat else self.alive_at

    @property
    def may_have_events_since(self) -> float:
        """Since when the server may have sent events to this socket."""
        return self.alive_at if self.is_ready else self.asked_at

    def open(self, now: float, asked_at: float) -> None:
        """Note that the handshake is done, which was asked for at a moment."""
        self.opened_at, self.alive_at = now, asked_at

    def ping(self, now: float) -> None:
        """Note that a ping is asked for."""
        self.pinged_at = now

    def pong(self, asked_at: float) -> None:
        """Note that the ping of a moment was answered."""
        self.alive_at = max(self.alive_at, asked_at)
        if self.pinged_at is not None and asked_at >= self.pinged_at:
            self.pinged_at = None

    def ping_at(self, pace: Pace) -> float:
        """When the next ping is due. Infinite while a ping is unanswered."""
        return self.alive_at + pace.ping if self.pinged_at is None else math.inf

    def dead_at(self, pace: Pace) -> float:
        """When the socket is dead, unless a sign of life comes. Infinite while no ping is unanswered."""
        if self.pinged_at is None:
            return math.inf
        return max(self.pinged_at, self.unread_at, -math.inf if self.event_at is None else self.event_at) + pace.pong

    def note_event(self, now: float) -> None:
        """Note that an event came."""
        self.event_at, self.sent_at, self.was_compared = now, self.alive_at, False

    def prove_key(self) -> None:
        """Note what an event proves of the key: an event that was sent after the handshake proves the key.

        The last event was sent after the last answered ping was asked for. An older event may have waited here.
        """
        self.is_key_proven |= self.opened_at is not None and self.alive_at >= self.opened_at

    def note_beat(self, now: float, event: Event, pace: Pace) -> None:
        """Note what an event says of the pace of a held position."""
        since_beat = now - self.beat_at
        if since_beat >= pace.beat * 1.5:
            self.beats = -1  # another event came and no beat: the position was closed. Or this is the first beat
        if isinstance(event, BEAT) and since_beat > pace.beat / 2:
            self.beats, self.beat_at = self.beats + 1, now

    def stood_still(self, now: float) -> None:
        """Note that the program or the machine stood still until now."""
        self.beat_at = now

    def silent_since(self) -> float:
        """Since when no event came, and none could have been overlooked."""
        return self.beat_at if self.event_at is None else max(self.event_at, self.beat_at)

    def is_overdue(self, now: float, pace: Pace) -> bool:
        """Whether the next event of a held position is overdue. Perhaps the position was closed."""
        if not self.has_beat or self.event_at is None:
            return False
        sent_at = min(self.event_at, self.sent_at + pace.ping + pace.late)  # it may have waited here
        return now > sent_at + pace.beat

    def hold(self, event: Event, content: Content | None) -> None:
        """Let an event wait."""
        if self.held is not None and (self.is_ready or len(self.held) < UNREADABLE):
            self.held.append((event, content))

    def release(self) -> list[tuple[Event, Content | None]]:
        """Return the events that waited. Further events pass at once."""
        held, self.held = self.held or [], None
        return held
