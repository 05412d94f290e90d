"""Every duration of a stream. Pure."""

from dataclasses import dataclass, fields

# In seconds, at any scale: what a busy machine may take.
FLOORS = {
    "ping": 0.4,
    "pong": 3.0,
    "poll": 0.05,
    "opening": 5.0,
    "answer": 5.0,
    "drain": 3.0,
    "late": 2.0,
    "blind": 1.0,  # a short loss is not told
    "silence": 3.0,  # to compare two sockets; has to stay longer than `verdict`
    "verdict": 2.5,
}


@dataclass(frozen=True)
class Pace:
    """Every duration of a link, in seconds."""

    ping: float = 12.0  # from one ping to the next, and
    pong: float = 12.0  # from ping to death: a dead link is found in 24 seconds
    poll: float = 0.5  # until a replaced key is noticed
    opening: float = 10.0  # for a handshake
    answer: float = 10.0  # to the answer to SUBSCRIBE
    drain: float = 5.0  # for the old socket's close frame
    life: float = 23 * 3600.0  # of a connection; Binance ends it after 24 hours (User Data Streams page)
    proven: float = 60.0  # after which a connection counts as stable
    first: float = 1.0  # wait between attempts, doubled
    longest: float = 48.0  # up to here, and a quarter more for jitter
    slow: float = 10.0  # the first wait after a refusal that will hardly change soon, and the link has never worked
    refused: float = 30.0  # the same, and the link has worked; doubled: 6 attempts in half an hour, as a keeper's
    longest_refused: float = 960.0  # up to here
    late: float = 3.0  # a timer that is later than this means that the program or the machine stood still
    renew: float = 30.0  # between two wishes for a fresh key
    beat: float = 10.0  # between events while a position is held (User Data Streams page)
    silence: float = 60.0  # after events of a held position, before a second socket is opened to compare
    verdict: float = 4.0  # for the old socket to bring the events that the second brought; longer than `late`
    remind: float = 3600.0  # between two warnings of silence
    blind: float = 10.0  # without events, before the first warning of it; three times as long before each further
    longest_blind: float = 1800.0  # between two of these warnings

    def scaled(self, factor: float) -> "Pace":
        """Return the same at another scale, for tests. What a busy machine may take stays at seconds."""
        scaled = {each.name: getattr(self, each.name) * factor for each in fields(self)}
        return Pace(**{name: max(value, FLOORS.get(name, 0.0)) for name, value in scaled.items()})
