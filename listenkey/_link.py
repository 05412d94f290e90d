"""The sockets of a stream, and the items that pass from sockets to the program. Pure: the driver tells news and time.

The driver tells a Link `opened`, `frame`, `pong`, `closed`, `key` and `tick`, each with the time in seconds on a clock
that counts sleep, and obeys the returned actions in their order. The driver calls `tick` not later than `wake` says.

Events pass from the main socket. When the main socket has to be replaced, a next socket is opened beside the main
socket, and takes over in two ways. If events may be lost, a Gap stands before the new socket's events. If the change is
planned, the new socket's events are held back. The old socket is asked to close, and first brings all its events.
"""

import json
import logging
import math
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Literal

from listenkey._events import (
    AccountUpdate,
    Decoder,
    Event,
    Gap,
    GreekUpdate,
    Item,
    ListenKeyExpired,
    Reply,
    Shutdown,
    UnknownEvent,
)
from listenkey.errors import ApiError, ListenKeyError, Unauthorized, UnexpectedResponse

_log = logging.getLogger("listenkey.stream")
_COPIES = 10_000  # contents remembered while two sockets bring the same events
_BEATS = 3  # events at the pace of a held position, before silence is odd
_REFUSALS = 5  # in a row, before the stream ends
Reason = Literal["reconnected", "mute", "key_replaced", "key_expired", "started"]
_RANKS: dict[Reason, int] = {"reconnected": 0, "mute": 1, "key_replaced": 2, "key_expired": 3, "started": 4}


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
    slow: float = 10.0  # the first wait after a refusal that will hardly change soon
    late: float = 3.0  # so late is no timer, unless the program or the machine stood still
    renew: float = 30.0  # between two wishes for a fresh key
    beat: float = 10.0  # between events while a position is held (User Data Streams page)
    silence: float = 60.0  # after events of a held position, before a second socket is opened to compare
    verdict: float = 4.0  # for the old socket to bring the events that the second brought; longer than `late`
    nag: float = 3600.0  # between two warnings

    def scaled(self, factor: float) -> "Pace":
        """Return the same at another scale, for tests."""
        return Pace(**{each.name: getattr(self, each.name) * factor for each in fields(self)})


@dataclass(frozen=True)
class Do:
    """An order to the driver, about a socket.

    `close` sends a close frame. Frames that arrive later are still told, until `closed`. `open` and `subscribe` carry a
    listen key. `renew` is about no socket: ask the keeper for a fresh key.
    """

    what: Literal["open", "subscribe", "ping", "close", "renew"]
    number: int = 0
    key: str = field(default="", repr=False)


Action = Do | Item | ListenKeyError  # an item is for the program; an error ends the stream


@dataclass
class _Socket:
    number: int
    key: str = field(repr=False)
    opened: float | None = None  # when the handshake was done
    ready: bool = False  # events may come: the handshake is done, and SUBSCRIBE is answered
    # When it last surely lived: when the last answered ping was asked. A frame proves less: it may have waited here.
    proof: float = -math.inf
    pinged: float | None = None  # when the unanswered ping was asked
    event: float | None = None  # when the last event came
    whole: float = -math.inf  # the proof before the last event, which was sent later
    beats: int = 0  # events of a held position at their pace, one after the other
    beat: float = -math.inf  # when the last of them came; time in which the program stood still does not count
    held: list[Event] | None = None  # events that wait; None: they pass


class Buffer:
    """The items that wait for the program. When the buffer is full, a Gap stands in place of the newest items."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: deque[Item] = deque()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Item, since: datetime, until: datetime) -> None:
        """Append the item, or let the Gap at the end count the item. The item is from `since` to `until` or longer."""
        last = self._items[-1] if self._items else None
        if len(self._items) < self._size or (isinstance(item, Gap) and not isinstance(last, Gap)):
            self._items.append(item)
        elif isinstance(last, Gap):
            begins = item.since if isinstance(item, Gap) else since
            earliest = None if last.since is None or begins is None else min(last.since, begins)
            self._items[-1] = Gap(last.reason, earliest, until, last.dropped + (not isinstance(item, Gap)))
        else:
            self._items.append(Gap("overflow", since, until, 1))

    def take(self) -> Item | None:
        """Return the oldest item. None when there is none."""
        return self._items.popleft() if self._items else None


class Link:
    """The link of an account.

    Args:
        now: seconds on the clock of every later call.
        wall: the same moment, in UTC.
        key: the listen key.
        pace: every duration.
        random: where jitter comes from.
        subscribe: whether a socket gets the key in a message, which must be answered before events can come.
    """

    not_before = -math.inf  # end of the address's wait; the driver sets `not_before`
    wake = math.inf  # when `tick` is due

    def __init__(
        self, now: float, wall: datetime, key: str, pace: Pace, random: Random, *, subscribe: bool = False
    ) -> None:
        self._start, self._wall, self._pace, self._random, self._subscribe = now, wall, pace, random, subscribe
        self._decoder = Decoder()
        self._key, self._key_proof = key, now
        self._expired: float | None = None  # when the server said that the key has ended
        self._said: object = None  # which key, and when by the server
        self._main: _Socket | None = None
        self._next: _Socket | None = None
        self._old: _Socket | None = None  # was the main socket, is asked to close
        self._lost: tuple[Reason, float | None] | None = ("started", None)  # the Gap to come: why, and since when
        self._patience = pace.silence  # before a second socket is opened to compare; longer after each that failed
        self._planned = self._probing = False  # why a next socket is wanted or there, besides a loss
        self._copies: dict[str, Counter[int]] | None = None  # how often each socket brought a content
        self._numbers = self._tries = self._refusals = 0
        self._due, self._nagged, self._actions = now, now, list[Action]()
        self._renewed = self._warned = -math.inf
        self._woke = -math.inf  # when the program was last found to have stood still
        self._paced = -math.inf  # no new socket before, whatever news comes
        self._probe_brought = math.inf  # when the second socket brought something that the main socket had not
        self._closing = self._ends = self._forget = self._proves = math.inf

    # Questions.

    def at(self, moment: float) -> datetime:
        """Return a moment of the clock in UTC."""
        return self._wall + timedelta(seconds=moment - self._start)

    @property
    def connected_since(self) -> datetime | None:
        """Since when the main socket is open. None without a main socket."""
        main = self._main  # another thread may ask
        return None if main is None or main.opened is None else self.at(main.opened)

    @property
    def last_event(self) -> datetime | None:
        """When the main socket brought the last event. None before the first event."""
        main = self._main
        return None if main is None or main.event is None else self.at(main.event)

    def last_proof(self, now: float) -> datetime:
        """When the link was last known to live."""
        return self.at(self._link_proof(now))

    # News.

    def tick(self, now: float) -> Sequence[Action]:
        """Note the time."""
        self._look(now)
        return self._settle(now)

    def key(self, now: float, key: str, proof: float) -> Sequence[Action]:
        """Note which key the keeper has, and when that key was last proven to live."""
        self._look(now)
        expired, replaced = self._expired, key != self._key
        if replaced or (expired is not None and proof > expired):
            self._lose(
                "key_replaced" if expired is None else "key_expired", min(self._key_proof, self._link_proof(now))
            )
            self._key, self._expired, self._due = key, None, max(now, self._paced)
            if self._next is not None:
                self._drop(now, self._next)
        self._key_proof = proof if replaced else max(self._key_proof, proof)
        return self._settle(now)

    def opened(self, now: float, number: int) -> Sequence[Action]:
        """Note that a handshake is done."""
        self._look(now)
        if (socket := self._find(number)) is not None:
            socket.opened = socket.proof = now
            self._refusals = 0
            if self._subscribe:
                self._actions.append(Do("subscribe", number, socket.key))
            else:
                self._ready(now, socket)
        return self._settle(now)

    def pong(self, now: float, number: int, asked: float) -> Sequence[Action]:
        """Note that the ping of the moment `asked` was answered."""
        self._look(now)
        if (socket := self._find(number)) is not None:
            socket.proof = max(socket.proof, asked)
            if socket.pinged is not None and asked >= socket.pinged:
                socket.pinged = None
        return self._settle(now)

    def frame(self, now: float, number: int, frame: str | bytes) -> Sequence[Action]:
        """Note a frame of a socket."""
        self._look(now)
        if (socket := self._find(number)) is not None:
            read = self._decoder.read(frame, {self._key, socket.key})
            if isinstance(read, Reply):
                if read.accepted:
                    self._ready(now, socket)
                else:
                    _log.warning("the server refused SUBSCRIBE", extra={"event": "refused"})
                    self._dead(socket, now)
            elif isinstance(read, Shutdown):
                self._planned = self._planned or socket is self._main
            elif isinstance(read, ListenKeyExpired):
                self._expire(now, socket, read)
            else:
                if not isinstance(read, UnknownEvent):
                    self._ready(now, socket)  # even without an answer to SUBSCRIBE
                self._bring(now, socket, read)
        return self._settle(now)

    def closed(self, now: float, number: int, *, clean: bool = False, status: int | None = None) -> Sequence[Action]:
        """Note that a socket has ended, or was never opened.

        `clean`: both close frames were sent, ours first. `status`: the HTTP status of a refusal. None without.
        """
        self._look(now)
        if (socket := self._find(number)) is not None:
            self._gone(socket, now, clean=clean)
            if status is not None and status < 500 and status not in (408, 418, 429):  # will hardly change soon
                self._refusals += 1
                self._due = now + min(self._pace.longest, self._pace.slow * 2.0 ** min(self._refusals - 1, 16))
                if self._refusals >= _REFUSALS and self._main is None:
                    self._actions.append(_refused(status))
            else:
                self._refusals = 0
        return self._settle(now)

    # Sockets come and go.

    def _sockets(self) -> list[_Socket]:
        return [each for each in (self._main, self._next, self._old) if each is not None]

    def _find(self, number: int) -> _Socket | None:
        return next((each for each in self._sockets() if each.number == number), None)

    def _link_proof(self, now: float) -> float:
        """Until when all events are known to have come. Before the old socket is drained, events may be missing."""
        draining = self._old if self._main is not None and self._main.held is not None else None
        return min([self._whole(each) for each in (self._main, draining) if each is not None], default=now)

    def _whole(self, socket: _Socket) -> float:
        """Until when a socket brought all events: it may live, and be mute since its last event."""
        return socket.whole if socket.beats >= _BEATS else socket.proof

    def _overdue(self, socket: _Socket, now: float) -> bool:
        """Whether the next event of a held position is overdue. Perhaps the position was closed."""
        if socket.beats < _BEATS or socket.event is None:
            return False
        sent = min(socket.event, socket.whole + self._pace.ping + self._pace.late)  # it may have waited here
        return now > sent + self._pace.beat

    def _lose(self, reason: Reason, since: float) -> None:
        """Note that something may be lost: a Gap is to come."""
        if self._lost is not None:  # a single Gap for both losses, since the earlier loss
            earlier, before = self._lost
            reason = max(reason, earlier, key=lambda each: _RANKS[each])
            self._lost = reason, None if before is None else min(since, before)
        else:
            self._lost = reason, since

    def _gap(self, now: float, reason: Reason, since: float | None) -> None:
        self._actions.append(Gap(reason, None if since is None else self.at(since), self.at(now)))
        _log.info("events may be missing: %s", reason, extra={"event": "gap", "reason": reason})

    def _open(self, now: float, held: list[Event] | None = None) -> None:
        self._numbers += 1
        self._tries += 1
        self._next = _Socket(self._numbers, self._key, held=held)
        beside = self._main is not None or self._old is not None
        self._copies, self._forget = (self._copies or {}) if beside else None, math.inf
        self._actions.append(Do("open", self._numbers, self._key))

    def _ready(self, now: float, socket: _Socket) -> None:
        if socket is self._next and not socket.ready:
            socket.ready = True
            if not self._probing:
                self._become_main(now, socket)

    def _become_main(self, now: float, socket: _Socket) -> None:
        if self._old is not None:
            self._gone(self._old, now, clean=False)
        main, self._main, self._next = self._main, socket, None
        self._planned = self._probing = False
        self._proves = (socket.opened or now) + self._pace.proven
        self._ends = now + self._pace.life * self._random.uniform(0.98, 1)  # or all of a program would change at once
        if main is not None:
            self._retire(now, main)
            if self._tries > 1:  # a server may send away each new socket
                self._paced = self._due = max(self._due, now + self._wait())
        else:
            self._forget = now + self._pace.proven  # the last main socket may have brought what this one brings
        lost, self._lost = self._lost, None
        if lost is None:
            socket.held = []  # planned
        else:
            self._gap(now, *lost)
            self._release(socket)

    def _drop(self, now: float, socket: _Socket) -> None:
        """Close a next socket that is of no use. A server may have sent events to it alone."""
        self._next, self._probing = None, False
        if socket.ready:
            self._tries = 0
            self._retire(now, socket)
            self._release(socket)
        else:
            self._actions.append(Do("close", socket.number))

    def _retire(self, now: float, socket: _Socket) -> None:
        self._old, self._closing = socket, now + self._pace.drain
        self._actions.append(Do("close", socket.number))

    def _wait(self) -> float:
        """How long until the next attempt."""
        wait = min(self._pace.longest, self._pace.first * 2.0 ** min(self._tries - 1, 16))
        return wait * self._random.uniform(1, 1.25)

    def _dead(self, socket: _Socket, now: float) -> None:
        self._actions.append(Do("close", socket.number))
        self._gone(socket, now, clean=False)

    def _gone(self, socket: _Socket, now: float, *, clean: bool = False) -> None:
        if socket is self._old:
            changed = self._closing - self._pace.drain
            self._old, self._closing, self._forget = None, math.inf, now + self._pace.proven
            if self._main is not None and self._main.held is not None:
                # If the old socket did not close as asked, nothing proves that it lived until the new socket opened.
                reason: Reason = "mute" if clean else "reconnected"
                if self._overdue(socket, changed) or not clean:
                    lose = self._lose if self._lost else partial(self._gap, now)
                    lose(reason, self._whole(socket))
                self._release(self._main)
            return
        if self._tries:
            self._due = max(self._due, now + self._wait())
        if socket is self._next:
            if self._probing:
                self._patience *= 2
            self._next, self._probing = None, False
            self._forget = now + self._pace.proven
            self._proves = now + 2 * self._pace.proven
            if socket.held and self._probe_brought < math.inf:  # it brought what the main socket did not
                self._lose("mute", self._link_proof(now))
            self._release(socket)
        else:
            since = self._link_proof(now)
            self._release(socket)
            self._lose("reconnected", since)
            self._main, self._probing = None, False
            if self._next is not None and self._next.ready:  # the socket was there to compare
                self._become_main(now, self._next)

    # Events pass.

    def _bring(self, now: float, socket: _Socket, event: Event) -> None:
        socket.event, socket.whole = now, socket.proof
        if socket.key == self._key and self._expired is None and not isinstance(event, UnknownEvent):
            self._key_proof = max(self._key_proof, socket.proof)
        if socket is self._main:
            self._patience = self._pace.silence
        if (since_beat := now - socket.beat) >= self._pace.beat * 1.5:
            socket.beats = -1  # another event came and no beat: the position was closed. Or this is the first beat
        if isinstance(event, AccountUpdate | GreekUpdate) and since_beat > self._pace.beat / 2:
            socket.beats, socket.beat = socket.beats + 1, now
        if socket.held is not None:
            socket.held.append(event)
            if socket is self._next and self._is_news(event):
                self._probe_brought = min(self._probe_brought, now)
        else:
            probe = self._next if self._probing and socket is self._main else None
            if probe is not None and probe.ready:  # one that is being opened may have been sent something already
                self._drop(now, probe)  # the main socket is not mute
            self._pass(socket, event)

    def _is_news(self, event: Event) -> bool:
        """Whether the main socket has not brought what the second socket brings."""
        brought = (self._copies or {}).get(_content(event) or "", Counter())
        return not isinstance(event, UnknownEvent) and (self._main is None or not brought[self._main.number])

    def _pass(self, socket: _Socket, event: Event) -> None:
        """Let an event through, unless another socket has brought the event as often."""
        if self._copies is not None:
            if (content := _content(event)) is None:
                self._actions.append(event)
                return
            brought = self._copies.setdefault(content, Counter())
            most = max(brought.values(), default=0)
            brought[socket.number] += 1
            if brought[socket.number] <= most:
                return
            if len(self._copies) > _COPIES:
                del self._copies[next(iter(self._copies))]
        self._actions.append(event)

    def _release(self, socket: _Socket) -> None:
        held, socket.held = socket.held or [], None
        for event in held:
            self._pass(socket, event)

    def _expire(self, now: float, socket: _Socket, expired: ListenKeyExpired) -> None:
        said = expired.listen_key, expired.event_time
        superseded = socket is self._old and (self._main is None or self._main.held is None)
        if superseded or said == self._said or (expired.listen_key or socket.key) != self._key:
            return  # the event came twice, or names an older key
        self._said, self._expired, self._renewed = said, now, -math.inf
        _log.warning("the server says that the listen key has ended", extra={"event": "key_expired"})

    # Time passes.

    def _look(self, now: float) -> None:
        """See whether program or machine stood still. What waited here meanwhile is read before any judgement."""
        if now > self.wake + self._pace.late:
            self._woke = now
            for each in self._sockets():
                each.beat = now
                if each.opened is not None:
                    self._ping(each, now)

    def _settle(self, now: float) -> Sequence[Action]:
        """Do all that is due."""
        while (first := min(self._agenda(), key=lambda each: each[0]))[0] <= now:
            first[1](now)
        self.wake = first[0]
        actions, self._actions = self._actions, []
        return actions

    def _agenda(self) -> Iterator[tuple[float, Callable[[float], None]]]:
        """List the jobs, and when each is due. A job that is done leaves the agenda."""
        pace, main, probe = self._pace, self._main, self._next if self._probing else None
        wanted = self._lost or (self._planned and not self._old)
        if self._next is None and self._expired is None and wanted:
            yield max(self._due, self.not_before), self._open
        if self._expired is not None:
            yield self._renewed + pace.renew, self._renew
        for each in self._sockets():
            yield from self._checks(each)
        if main is not None:
            if not self._planned:
                yield self._ends, self._plan
            yield self._proves, self._prove
            calm = self._next is None and self._expired is None and not wanted
            if main.beats >= _BEATS and calm and main.held is None:
                silent = max(main.event or main.beat, main.beat)
                yield max(silent + self._patience, self._due, self.not_before), self._probe
        if main is not None and probe is not None and probe.opened is not None:
            yield max(probe.opened, self._woke) + pace.silence, partial(self._acquit, main, probe)
            yield max(self._probe_brought, self._woke) + pace.verdict, partial(self._condemn, main, probe)
        if self._next is None and self._old is None and self._copies is not None:
            yield max(self._forget, self._woke + pace.proven), self._forget_copies
        yield self._nagged + pace.nag, self._nag

    def _checks(self, socket: _Socket) -> Iterator[tuple[float, Callable[[float], None]]]:
        if socket is self._old:
            yield max(self._closing, self._woke + self._pace.verdict), partial(self._gone, socket)
        elif socket.opened is not None:
            if not socket.ready:
                yield socket.opened + self._pace.answer, partial(self._dead, socket)
            if socket.pinged is None:
                yield socket.proof + self._pace.ping, partial(self._ping, socket)
            else:
                yield max(socket.pinged, socket.event or socket.pinged) + self._pace.pong, partial(self._dead, socket)

    def _ping(self, socket: _Socket, now: float) -> None:
        socket.pinged = now
        self._actions.append(Do("ping", socket.number))

    def _renew(self, now: float) -> None:
        self._renewed = now
        self._actions.append(Do("renew"))

    def _plan(self, now: float) -> None:
        self._planned = True

    def _prove(self, now: float) -> None:
        self._tries, self._proves = 0, math.inf

    def _probe(self, now: float) -> None:
        """Open a second socket, to see whether the main socket is mute."""
        self._probing, self._probe_brought = True, math.inf
        self._open(now, held=[])

    def _acquit(self, main: _Socket, probe: _Socket, now: float) -> None:
        """Close the second socket: the main socket brings as much."""
        self._drop(now, probe)
        main.beats = 0
        self._warn(now, "no event for a while, on a second connection neither")

    def _condemn(self, main: _Socket, probe: _Socket, now: float) -> None:
        """Let the second socket take the place of the mute main socket."""
        self._lose("mute", self._link_proof(now))
        self._become_main(now, probe)

    def _forget_copies(self, now: float) -> None:
        self._copies, self._forget = None, math.inf

    def _nag(self, now: float) -> None:
        if self._main is not None and self._main.event is None:
            self._warn(now, "the connection is open, and has brought no event yet")
        self._nagged = now

    def _warn(self, now: float, text: str) -> None:
        """Warn, once an hour."""
        if now >= self._warned + self._pace.nag:
            _log.warning("%s", text, extra={"event": "silent"})
            self._warned = now


def _content(event: Event) -> str | None:
    """Give a text that is the same for the same event. None when the event is too deep to be compared."""
    try:
        return json.dumps(event.raw, sort_keys=True, default=str) if event.raw else str(event)
    except RecursionError:
        return None


def _refused(status: int) -> ListenKeyError:
    reason = "The stream's address refused the connection; check stream_url and form"
    if status < 400:
        return UnexpectedResponse(status, "a redirect, which is not followed" if status >= 300 else "no WebSocket")
    return Unauthorized(status, None, reason) if status == 401 else ApiError(status, None, reason)
