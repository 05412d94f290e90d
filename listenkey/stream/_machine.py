"""The sockets of a stream, and the items that pass from sockets to the program. Pure: the driver tells news and time.

The driver tells a Link `opened`, `frame`, `pong`, `closed`, `key` and `tick`, each with the time in seconds on a clock
that counts sleep, and obeys the returned actions in their order. The driver calls `tick` not later than `wake` says.

Events pass from the main socket. When the main socket has to be replaced, a next socket is opened beside the main
socket, and takes over in two ways. If events may be lost, a Gap stands before the new socket's events. If the change is
planned, the new socket's events are held back. The old socket is asked to close, and first brings all its events.

A Gap says that events are complete from its `until` on. So the Gap waits until the listen key of the new socket is
proven: by a renewal that was asked for after the socket was open, or by an event that was sent after that. Otherwise
another program could have replaced the key meanwhile, and the new socket would be deaf.
"""

import logging
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Literal

from listenkey._http.faults import is_certificate_fault, system_error, worth_repeating
from listenkey.errors import ApiError, ConfigurationError, ListenKeyError, RateLimited, ServerError, TransportError
from listenkey.stream._copies import MOST, Content, Copies, content_of
from listenkey.stream._events import (
    AccountUpdate,
    Blind,
    Decoder,
    Event,
    Expired,
    Gap,
    GreekUpdate,
    Item,
    Reply,
    Shutdown,
    UnknownEvent,
)

_log = logging.getLogger("listenkey.stream")
_BEATS = 3  # events at the pace of a held position, before silence is odd
_REFUSALS = 5  # in a row, before a stream ends that has never worked
_RECENT = 64  # events of the main socket, among which a repeated content shows
_UNREADABLE = 1000  # events that could not be read, and wait for a proof of the key; a Gap tells of any further
_FLOORS = {"ping": 0.4, "pong": 3.0, "poll": 0.05, "opening": 5.0, "answer": 5.0, "drain": 3.0, "late": 2.0}
_FLOORS |= {"blind": 1.0}  # a short loss is not told, on a busy machine either
_FLOORS |= {"silence": 3.0, "verdict": 2.5}  # to compare two sockets; `silence` has to stay the longer
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
    slow: float = 10.0  # the first wait after a refusal that will hardly change soon, and the link has never worked
    refused: float = 30.0  # the same, and the link has worked; doubled: 6 attempts in half an hour, as a keeper's
    longest_refused: float = 960.0  # up to here
    late: float = 3.0  # so late is no timer, unless the program or the machine stood still
    renew: float = 30.0  # between two wishes for a fresh key
    beat: float = 10.0  # between events while a position is held (User Data Streams page)
    silence: float = 60.0  # after events of a held position, before a second socket is opened to compare
    verdict: float = 4.0  # for the old socket to bring the events that the second brought; longer than `late`
    nag: float = 3600.0  # between two warnings
    blind: float = 10.0  # without events, before the first warning of it; three times as long before each further
    longest_blind: float = 1800.0  # between two of these warnings

    def scaled(self, factor: float) -> "Pace":
        """Return the same at another scale, for tests. What a busy machine may take stays at seconds."""
        scaled = {each.name: getattr(self, each.name) * factor for each in fields(self)}
        return Pace(**{name: max(value, _FLOORS.get(name, 0.0)) for name, value in scaled.items()})


@dataclass(frozen=True)
class Do:
    """An order to the driver, about a socket.

    `close` sends a close frame. Frames that arrive later are still told, until `closed`. `open` and `subscribe` carry a
    listen key. `renew` and `prove` are about no socket: ask the keeper for a fresh key, or whether the key still lives.
    """

    what: Literal["open", "subscribe", "ping", "close", "renew", "prove"]
    number: int = 0
    key: str = field(default="", repr=False)


Action = Do | Item | ListenKeyError  # an item is for the program; an error ends the stream


@dataclass
class _Socket:
    number: int
    key: str = field(repr=False)
    asked: float  # when it was asked for: nothing was sent to it before
    opened: float | None = None  # when the handshake was done
    ready: bool = False  # events may come: the handshake is done, and SUBSCRIBE is answered
    ready_at: float = -math.inf
    # When it last surely lived: when the last answered ping was asked. A frame proves less: it may have waited here.
    proof: float = -math.inf
    pinged: float | None = None  # when the unanswered ping was asked
    event: float | None = None  # when the last event came
    whole: float = -math.inf  # the proof before the last event, which was sent later
    beats: int = 0  # events of a held position at their pace, one after the other
    beat: float = -math.inf  # when the last of them came; time in which the program stood still does not count
    held: list[tuple[Event, Content | None]] | None = field(default_factory=list)  # events that wait; None: they pass
    gap: tuple[Reason, float | None] | None = None  # the Gap that waits for a proof of the key: why, and since when
    is_proven: bool = False  # whether the key is known to have lived since the handshake


class Link:
    """The link of an account.

    Args:
        now: seconds on the clock of every later call.
        wall: the same moment, in UTC.
        key: the listen key.
        pace: every duration.
        random: where jitter comes from.
        subscribe: whether a socket gets the key in a message, which must be answered before events can come.
        tell_blind: whether a `Blind` is passed when the link is lost.
        where: the address and the proxy, for the texts of errors.
    """

    not_before = -math.inf  # end of the address's wait; the driver sets `not_before`
    wake = math.inf  # when `tick` is due

    last_error: ListenKeyError | None = None  # why the last attempt failed, or the connection was lost
    key_error: ListenKeyError | None = None  # why the last renewal failed; the driver sets it

    def __init__(
        self,
        now: float,
        wall: datetime,
        key: str,
        pace: Pace,
        random: Random,
        *,
        subscribe: bool = False,
        tell_blind: bool = False,
        where: str = "the stream",
    ) -> None:
        self.set_wall(now, wall)
        self._start, self._pace, self._random, self._subscribe = now, pace, random, subscribe
        self._tells_blind, self._where = tell_blind, where
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
        self._copies: Copies | None = None  # while, and shortly after, more than one socket brings events
        self._recent: deque[tuple[Event, str | bytes]] = deque(maxlen=_RECENT)
        self._before: set[Content] = set()  # contents that the main socket brought before a next socket was asked for
        self._numbers = self._tries = self._refusals = 0
        self._due, self._nagged, self._actions = now, now, list[Action]()
        self._renewed = self._warned = -math.inf
        self._woke = -math.inf  # when the program was last found to have stood still
        self._paced = -math.inf  # no new socket before, whatever news comes
        self._released_from = math.inf  # before no event was sent that was released now
        self._probe_brought = math.inf  # when the second socket brought something that the main socket had not
        self._astray = math.inf  # since when events may have been sent to a socket that brought nothing
        self._closing = self._ends = self._forget = self._proves = math.inf
        self._has_worked = False  # whether any socket was ever ready
        self._asked_proof = -math.inf
        self._doubted = -math.inf  # when the server last refused a connection, perhaps because the key has ended
        self._blind_at: float | None = now  # since when nothing can come
        self._tells = 0  # warnings since then
        self._tell_at = now + pace.blind

    def set_wall(self, now: float, wall: datetime) -> None:
        """Tell which time in UTC a moment of the clock is: somebody may have set the wall clock right."""
        self._zero = wall - timedelta(seconds=now)

    # Questions. Another thread may ask.

    def at(self, moment: float) -> datetime:
        """Return a moment of the clock in UTC."""
        return self._zero + timedelta(seconds=moment)

    @property
    def connected_since(self) -> datetime | None:
        """Since when the main socket is open. None without a main socket."""
        main = self._main
        return None if main is None or main.opened is None else self.at(main.opened)

    @property
    def last_event(self) -> datetime | None:
        """When the main socket brought the last event. None before the first event."""
        main = self._main
        return None if main is None or main.event is None else self.at(main.event)

    @property
    def blind_since(self) -> datetime | None:
        """Since when events may be missing, with no Gap yet that tells of it. None: all is well."""
        blind_at = self._blind_at
        if blind_at is None:
            return None
        since = self._loss_began()
        return self.at(blind_at if since is None else since)

    @property
    def is_key_proven(self) -> bool:
        """Whether the listen key of the main socket is known to have lived since the main socket is open."""
        main = self._main
        return main is not None and main.gap is None and self._expired is None and main.key == self._key

    @property
    def trouble(self) -> ListenKeyError | None:
        """Why events may be missing, or why the last attempt beside a good connection failed. None: all is well."""
        if self._main is None or self.last_error is not None:
            return self.last_error
        return None if self.is_key_proven else self.key_error

    def last_proof(self, now: float) -> datetime:
        """When the link was last known to live, and no event was sent that is passed now."""
        return self.at(min(self._link_proof(now), self._released_from))

    def lost_at(self) -> float:
        """Since when events are lost. Infinite when none are."""
        return math.inf if self._blind_at is None else self._blind_at

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
        if (proof > self._key_proof or replaced) and not self._prove_socket(proof):
            self._asked_proof = -math.inf  # the renewal was asked for before the socket was open: ask again
        self._key_proof = proof if replaced else max(self._key_proof, proof)
        return self._settle(now)

    def opened(self, now: float, number: int, asked: float | None = None) -> Sequence[Action]:
        """Note that a handshake is done. `asked`: when it was asked for. None: now."""
        self._look(now)
        if (socket := self._find(number)) is not None:
            socket.opened = now
            socket.proof = now if asked is None else asked
            self._refusals = 0
            if self._copies is not None:
                self._copies.forget_repeated(self._before)
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
                    _log.warning("the server refused SUBSCRIBE", extra={"listenkey_event": "refused"})
                    self._doubted = now
                    self._dead(socket, "it refused SUBSCRIBE", now, is_astray=False)
            elif isinstance(read, Shutdown):
                self._planned = self._planned or socket is self._main
            elif isinstance(read, Expired):
                self._expire(now, socket, read)
            else:
                if not isinstance(read, UnknownEvent):
                    self._ready(now, socket)  # even without an answer to SUBSCRIBE
                self._bring(now, socket, read, frame)
        return self._settle(now)

    def closed(
        self, now: float, number: int, *, clean: bool = False, error: ListenKeyError | None = None
    ) -> Sequence[Action]:
        """Note that a socket has ended, or was never opened.

        `clean`: both close frames were sent, ours first. `error`: why, unless we closed the socket.
        """
        self._look(now)
        if (socket := self._find(number)) is not None:
            if error is not None and socket is not self._old:
                self.last_error = error
            self._gone(socket, now, clean=clean, is_astray=error is not None and _may_be_open(error))
            if error is not None and _may_be_the_key(error):
                self._doubted = now
            if error is not None and _needs_a_person(error):
                self._refused(now, error)
            else:
                self._refusals = 0
                wish = error.retry_after if isinstance(error, ServerError) else None
                self._due = max(self._due, now + min(wish or 0.0, self._pace.longest))
        return self._settle(now)

    def _refused(self, now: float, error: ListenKeyError) -> None:
        """Note a refusal that hardly changes soon. A link that has worked goes on, slower: a block may pass."""
        pace, self._refusals = self._pace, self._refusals + 1
        first, longest = (pace.refused, pace.longest_refused) if self._has_worked else (pace.slow, pace.longest)
        self._due = now + min(longest, first * 2.0 ** min(self._refusals - 1, 16))
        is_final = self._refusals >= _REFUSALS or not _may_pass(error)
        if is_final and not self._has_worked:
            self._actions.append(error)

    # Sockets come and go.

    def _sockets(self) -> list[_Socket]:
        return [each for each in (self._main, self._next, self._old) if each is not None]

    def _find(self, number: int) -> _Socket | None:
        return next((each for each in self._sockets() if each.number == number), None)

    def _link_proof(self, now: float) -> float:
        """Until when all events are known to have come. Before the old socket is drained, events may be missing."""
        draining = self._old if self._is_draining() else None
        return min([self._whole(each) for each in (self._main, draining) if each is not None], default=now)

    def _is_draining(self) -> bool:
        """Whether the main socket's events wait for the rest of the old socket's."""
        return self._old is not None and self._main is not None and self._main.held is not None and not self._main.gap

    def _whole(self, socket: _Socket) -> float:
        """Until when a socket brought all events: it may live, and be mute since its last event."""
        return socket.whole if socket.beats >= _BEATS else socket.proof

    def _overdue(self, socket: _Socket, now: float) -> bool:
        """Whether the next event of a held position is overdue. Perhaps the position was closed."""
        if socket.beats < _BEATS or socket.event is None:
            return False
        sent = min(socket.event, socket.whole + self._pace.ping + self._pace.late)  # it may have waited here
        return now > sent + self._pace.beat

    def _lose(self, reason: Reason, since: float | None) -> None:
        """Note that something may be lost: a Gap is to come."""
        losses = [(reason, since)]
        if self._main is not None and self._main.gap is not None:  # a Gap that never came is part of this one
            losses.append(self._main.gap)
            self._main.gap, self._main.held = None, None
        if self._lost is not None:
            losses.append(self._lost)
        # A single Gap for all losses, since the earliest.
        begins = [each for _, each in losses]
        earliest = None if None in begins else min(each for each in begins if each is not None)
        self._lost = max((each for each, _ in losses), key=lambda each: _RANKS[each]), earliest

    def _loss_began(self) -> float | None:
        """Since when the loss is that a Gap will tell of. None: there is no loss, or it is the start."""
        for loss in (self._lost, self._main.gap if self._main else None):
            if loss is not None:
                return loss[1]
        return self._expired

    def _gap(self, main: _Socket) -> None:
        """Say the Gap before the main socket's events, now that the key is proven."""
        if main.gap is None:
            return
        (reason, since), main.gap = main.gap, None
        self._actions.append(Gap(reason, None if since is None else self.at(since), self.at(main.ready_at)))
        _log.info(
            "events may be missing: %s",
            reason,
            extra={
                "listenkey_event": "gap",
                "listenkey_reason": reason,
                "listenkey_since": None if since is None else self.at(since).isoformat(),
                "listenkey_until": self.at(main.ready_at).isoformat(),
            },
        )
        self._release(main)

    def _prove_socket(self, proof: float) -> bool:
        """Note that the key lived at a moment. False: the main socket still waits for a proof."""
        main = self._main
        if main is None or main.gap is None or main.opened is None or main.key != self._key:
            return True
        # A stream that begins with a fresh key needs no second renewal.
        needed = main.opened - (self._pace.opening if main.gap[0] == "started" else 0.0)
        main.is_proven = main.is_proven or proof >= needed
        if main.is_proven:
            self._gap(main)
        return main.is_proven

    def _open(self, now: float) -> None:
        self._numbers += 1
        self._tries += 1
        self._next = _Socket(self._numbers, self._key, now)
        if self._main is None and self._old is None:
            self._copies = None
        else:
            self._copies = self._copies or Copies()
            self._before = {content_of(*each) for each in self._recent}
        self._forget = math.inf
        self._actions.append(Do("open", self._numbers, self._key))

    def _ready(self, now: float, socket: _Socket) -> None:
        if socket is self._next and not socket.ready:
            socket.ready, socket.ready_at = True, now
            self._has_worked, self.last_error = True, None
            if not self._probing:
                self._become_main(now, socket)

    def _become_main(self, now: float, socket: _Socket) -> None:
        if self._old is not None:
            self._gone(self._old, now, clean=False)
        main = self._main
        if main is not None and main.gap is not None:
            self._lose(*main.gap)
        self._main, self._next = socket, None
        self._planned = self._probing = False
        self._proves = (socket.opened or now) + self._pace.proven
        self._ends = now + self._pace.life * self._random.uniform(0.98, 1)  # or all of a program would change at once
        if main is not None:
            self._retire(now, main)
            if self._tries > 1:  # a server may send away each new socket
                self._paced = self._due = max(self._due, now + self._wait())
        else:
            self._forget = now + self._pace.proven  # the last main socket may have brought what this one brings
        if self._astray < math.inf and (main is None or self._lost is not None):  # else the old socket's end tells
            self._lose("reconnected", self._astray)
            self._astray = math.inf
        if self._lost is not None:
            lost, self._lost = self._lost, None
            self._await_proof(now, socket, *lost)

    def _await_proof(self, now: float, main: _Socket, reason: Reason, since: float | None) -> None:
        """Let the main socket's events wait for a proof of the key, and for the Gap that follows the proof."""
        main.gap, self._asked_proof = (reason, since), -math.inf
        if main.is_proven:
            self._gap(main)
        elif not self._prove_socket(self._key_proof) and main.pinged is None:
            self._ping(main, now)  # an event that follows the pong proves the key, too

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

    def _dead(self, socket: _Socket, why: str, now: float, *, is_astray: bool = True) -> None:
        self._actions.append(Do("close", socket.number))
        if socket is not self._old:
            self.last_error = TransportError(f"The connection to {self._where} is of no use: {why}.")
            _log.info("%s", self.last_error, extra={"listenkey_event": "disconnected", "listenkey_reason": why})
        self._gone(socket, now, clean=False, is_astray=is_astray)

    def _gone(self, socket: _Socket, now: float, *, clean: bool = False, is_astray: bool = False) -> None:
        """Note that a socket is no more. `is_astray`: the server may have sent events to it that never came."""
        if socket is self._old:
            self._old_gone(socket, now, clean=clean)
            return
        if self._tries:
            self._due = max(self._due, now + self._wait())
        if socket is self._next:
            if self._probing:
                self._patience *= 2
            self._next, self._probing = None, False
            self._forget = now + self._pace.proven
            self._proves = now + 2 * self._pace.proven
            if socket.held and self._probe_brought < math.inf and self._main is not None:
                self._lose("mute", self._main.whole)  # it brought what the main socket did not
            if is_astray:
                self._stray(socket)
            if socket.ready:
                self._release(socket)
        else:
            since = self._link_proof(now)
            if socket.gap is None:
                self._release(socket)
            self._lose("reconnected", since)
            self._main, self._probing = None, False
            if self._next is not None and self._next.ready:  # the socket was there to compare
                self._become_main(now, self._next)

    def _stray(self, socket: _Socket) -> None:
        """Note that a server may have sent events to a socket alone, beside the main socket, and they never came.

        The main socket shows nothing of this. Another socket is wanted soon, and a Gap comes with it.
        """
        self._planned, self._astray = True, min(self._astray, socket.proof if socket.ready else socket.asked)

    def _old_gone(self, old: _Socket, now: float, *, clean: bool) -> None:
        changed, was_draining, main = self._closing - self._pace.drain, self._is_draining(), self._main
        self._old, self._closing, self._forget = None, math.inf, now + self._pace.proven
        if not was_draining or main is None:
            if main is not None and old.number > main.number and not clean:  # it was there to compare
                self._stray(old)
            return
        # If the old socket did not close as asked, nothing proves that it lived until the new socket opened.
        since, is_astray, self._astray = min(self._whole(old), self._astray), self._astray < math.inf, math.inf
        reason: Reason = "reconnected" if is_astray or not clean else "mute"
        is_loss = self._overdue(old, changed) or is_astray or not clean
        if is_loss:
            main.ready_at = now  # up to here the server may have sent events to the old socket alone
        if is_loss and self._lost is None:
            self._await_proof(now, main, reason, since)
        else:
            if is_loss:
                self._lose(reason, since)
            self._release(main)

    # Events pass.

    def _bring(self, now: float, socket: _Socket, event: Event, frame: str | bytes) -> None:
        self._note_life(now, socket, event)
        content = None if self._copies is None else content_of(event, frame)
        if socket.held is not None:
            if socket.ready or len(socket.held) < _UNREADABLE:
                socket.held.append((event, content))
            if socket is self._next and self._is_news(event, content):
                self._probe_brought = min(self._probe_brought, now)
        else:
            probe = self._next if self._probing and socket is self._main else None
            if probe is not None and probe.ready:  # one that is being opened may have been sent something already
                self._drop(now, probe)  # the main socket is not mute
            if socket is self._main:
                self._recent.append((event, frame))
            self._pass(socket, event, content)
        self._make_room(now)

    def _note_life(self, now: float, socket: _Socket, event: Event) -> None:
        """Note what an event proves: of the key, and of the pace of a held position."""
        socket.event, socket.whole = now, socket.proof
        if socket.key == self._key and self._expired is None and not isinstance(event, UnknownEvent):
            self._key_proof = max(self._key_proof, socket.proof)
            # The event was sent after the last answered ping was asked; before, it may have waited here.
            socket.is_proven = socket.is_proven or socket.proof >= (socket.opened or math.inf)
            if socket is self._main and socket.is_proven:
                self._gap(socket)
        if socket is self._main:
            self._patience = self._pace.silence
        if (since_beat := now - socket.beat) >= self._pace.beat * 1.5:
            socket.beats = -1  # another event came and no beat: the position was closed. Or this is the first beat
        if isinstance(event, AccountUpdate | GreekUpdate) and since_beat > self._pace.beat / 2:
            socket.beats, socket.beat = socket.beats + 1, now

    def _is_news(self, event: Event, content: Content | None) -> bool:
        """Whether the main socket has not brought what the second socket brings."""
        if isinstance(event, UnknownEvent):
            return False
        if self._main is None or self._copies is None or content is None:
            return True
        return not self._copies.is_known(content, self._main.number)

    def _pass(self, socket: _Socket, event: Event, content: Content | None) -> None:
        """Let an event through, unless another socket has brought the event as often."""
        remember = self._next is not None or self._old is not None
        if content is None or self._copies is None or self._copies.passes(content, socket.number, remember=remember):
            self._actions.append(event)

    def _make_room(self, now: float) -> None:
        """Bound what is remembered. A drain that brings too much is over, and a Gap says so."""
        main = self._main
        held = len(main.held or ()) if main is not None else 0
        if main is not None and main.gap is not None and held > MOST:
            main.held, main.ready_at = [], now  # the Gap that waits tells of these events, too
        if self._copies is None:
            return
        if self._old is not None and self._is_draining() and max(held, len(self._copies)) > MOST:
            self._gone(self._old, now, clean=False)
        elif len(self._copies) > MOST:
            self._copies.forget_oldest()

    def _release(self, socket: _Socket) -> None:
        held, socket.held = socket.held or [], None
        if held:
            self._released_from = min(self._released_from, socket.asked)
        for event, content in held:
            self._pass(socket, event, content)

    def _expire(self, now: float, socket: _Socket, expired: Expired) -> None:
        ended = expired.listen_key or socket.key
        said = ended, expired.said
        is_copy = said == self._said and (expired.said is not None or self._expired is not None)
        superseded = socket is self._old and not self._is_draining()
        if superseded or is_copy or ended != self._key:
            return  # the event came twice, or names an older key
        self._said, self._expired, self._renewed = said, now, -math.inf
        _log.warning("the server says that the listen key has ended", extra={"listenkey_event": "key_expired"})

    # Time passes.

    def _look(self, now: float) -> None:
        """See whether program or machine stood still. What waited here meanwhile is read before any judgement."""
        self._released_from = math.inf
        if now > self.wake + self._pace.late:
            self._woke = now
            for each in self._sockets():
                each.beat = now
                if each.opened is not None:
                    self._ping(each, now)

    def _settle(self, now: float) -> Sequence[Action]:
        """Do all that is due."""
        self._watch(now)
        while (first := min(self._agenda(), key=lambda each: each[0]))[0] <= now:
            first[1](now)
            self._watch(now)
        self.wake = first[0]
        actions, self._actions = self._actions, []
        return actions

    def _watch(self, now: float) -> None:
        """Note when the link becomes blind, and when it sees again."""
        is_blind = self._main is None or self._lost is not None or not self.is_key_proven
        if is_blind == (self._blind_at is not None):
            return
        if is_blind:
            self._blind_at, self._tells, self._tell_at = now, 0, now + self._pace.blind
            if self._tells_blind:
                since = self._loss_began()
                self._actions.append(Blind(self.at(now if since is None else since), self.trouble))
            return
        if self._tells:
            text = "events come again, after %.0f s; a Gap tells what may be missing"
            _log.warning(text, now - (self._blind_at or now), extra={"listenkey_event": "sees_again"})
        self._blind_at, self._tell_at = None, math.inf

    def _tell(self, now: float) -> None:
        """Warn that nothing can come, and why."""
        seconds, error = now - (self._blind_at or now), self.trouble
        if self._main is None:
            state = "no connection"
        elif self._expired is not None:
            state = "the listen key has ended, and no other came yet"
        else:
            state = "the connection is open, but the listen key is not proven"
        why = "" if error is None else f": {error}"
        since = self.blind_since
        extra = {
            "listenkey_event": "blind",
            "listenkey_since": since and since.isoformat(),
            "listenkey_seconds": seconds,
            "listenkey_reason": str(error or state),
        }
        _log.warning("no events for %.0f s: %s%s", seconds, state, why, extra=extra)
        if self._tells_blind and not self._has_worked and not self._tells:
            self._actions.append(Blind(None, error))
        self._tells += 1
        self._tell_at = now + min(self._pace.longest_blind, self._pace.blind * 3.0 ** min(self._tells, 10))

    def _agenda(self) -> Iterator[tuple[float, Callable[[float], None]]]:
        """List the jobs, and when each is due. A job that is done leaves the agenda."""
        pace, main, probe = self._pace, self._main, self._next if self._probing else None
        wanted = self._lost or (self._planned and not self._old)
        if self._next is None and self._expired is None and wanted:
            yield max(self._due, self.not_before), self._open
        if self._expired is not None:
            yield self._renewed + pace.renew, self._renew
        elif self._wants_proof():
            yield self._asked_proof + pace.renew, self._prove_key
        yield self._tell_at, self._tell
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
            yield self._comparison(main, probe, probe.opened)
        if self._next is None and self._old is None and self._copies is not None:
            yield max(self._forget, self._woke + pace.proven), self._forget_copies
        yield self._nagged + pace.nag, self._nag

    def _comparison(self, main: _Socket, probe: _Socket, opened: float) -> tuple[float, Callable[[float], None]]:
        """Say how the comparison of two sockets ends: once the second has brought something, by the verdict alone."""
        if self._probe_brought < math.inf:
            return max(self._probe_brought, self._woke) + self._pace.verdict, partial(self._condemn, main, probe)
        return max(opened, self._woke) + self._pace.silence, partial(self._acquit, main, probe)

    def _checks(self, socket: _Socket) -> Iterator[tuple[float, Callable[[float], None]]]:
        if socket is self._old:
            yield max(self._closing, self._woke + self._pace.verdict), partial(self._gone, socket)
        elif socket.opened is not None:
            if not socket.ready:
                yield socket.opened + self._pace.answer, partial(self._unanswered, socket)
            if socket.pinged is None:
                yield socket.proof + self._pace.ping, partial(self._ping, socket)
            else:
                dead_at = max(socket.pinged, socket.event or socket.pinged) + self._pace.pong
                why = f"no sign of life for {self._pace.ping + self._pace.pong:g} s"
                yield dead_at, partial(self._dead, socket, why)

    def _ping(self, socket: _Socket, now: float) -> None:
        socket.pinged = now
        self._actions.append(Do("ping", socket.number))

    def _renew(self, now: float) -> None:
        self._renewed = now
        self._actions.append(Do("renew"))

    def _unanswered(self, socket: _Socket, now: float) -> None:
        self._doubted = now
        self._dead(socket, "it did not answer SUBSCRIBE", now)

    def _wants_proof(self) -> bool:
        """Whether a Gap waits for a proof of the key, or the server refuses connections and the key may be why."""
        main = self._main
        is_gap_waiting = main is not None and main.gap is not None and main.key == self._key
        return is_gap_waiting or self._key_proof < self._doubted

    def _prove_key(self, now: float) -> None:
        self._asked_proof = now
        self._actions.append(Do("prove"))

    def _plan(self, now: float) -> None:
        self._planned = True

    def _prove(self, now: float) -> None:
        self._tries, self._proves = 0, math.inf

    def _probe(self, now: float) -> None:
        """Open a second socket, to see whether the main socket is mute."""
        self._probing, self._probe_brought = True, math.inf
        self._open(now)

    def _acquit(self, main: _Socket, probe: _Socket, now: float) -> None:
        """Close the second socket: the main socket brings as much."""
        self._drop(now, probe)
        main.beats = 0
        self._warn(now, "no event for a while, on a second connection neither")

    def _condemn(self, main: _Socket, probe: _Socket, now: float) -> None:
        """Let the second socket take the place of the mute main socket."""
        self._lose("mute", main.whole)
        self._become_main(now, probe)

    def _forget_copies(self, now: float) -> None:
        self._copies, self._forget = None, math.inf

    def _nag(self, now: float) -> None:
        if self._blind_at is None and self._main is not None and self._main.event is None:
            self._warn(now, "the connection is open, and has brought no event yet")
        self._nagged = now

    def _warn(self, now: float, text: str) -> None:
        """Warn, once an hour."""
        if now >= self._warned + self._pace.nag:
            _log.warning("%s", text, extra={"listenkey_event": "silent"})
            self._warned = now


def _needs_a_person(error: ListenKeyError) -> bool:
    """Whether the same attempt will hardly go well soon."""
    return not worth_repeating(error) and not isinstance(error, RateLimited)


def _may_be_the_key(error: ListenKeyError) -> bool:
    """Whether a handshake may have been refused because the listen key has ended."""
    return isinstance(error, ApiError) and not isinstance(error, RateLimited | ServerError) and error.status != 407


def _may_be_open(error: ListenKeyError) -> bool:
    """Whether the server may have opened a connection of which we heard nothing: nobody has refused the connection."""
    return isinstance(error, TransportError) and not isinstance(system_error(error), ConnectionRefusedError)


def _may_pass(error: ListenKeyError) -> bool:
    """Whether somebody else may end the refusal: a firewall, a deployment. No settings and no login are wrong."""
    is_login = isinstance(error, ApiError) and error.status == 407
    return not (is_login or is_certificate_fault(error) or isinstance(error, ConfigurationError))
