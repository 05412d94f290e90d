"""The sockets of a stream, and the items that pass from sockets to the program. Pure: the driver tells news and time.

The driver tells a Link `opened`, `frames`, `pong`, `closed`, `key` and `tick`, each with the time in seconds on a clock
that counts sleep, and obeys the returned actions in their order. The driver calls `tick` not later than `wake` says.

Events pass from the main socket. When the main socket has to be replaced, a next socket is opened beside the main
socket, and takes over in two ways. If events may be lost, a Gap stands before the new socket's events. If the change is
planned, the new socket's events are held back. The old socket is asked to close, and first brings all its events.

A Gap says that events are complete from its `until` on. So the Gap waits until the listen key of the new socket is
proven: by a renewal that was asked for after the socket was open, or by an event that was sent after that. Otherwise
another program could have replaced the key meanwhile, and the new socket would be deaf.

The Link decides. Ledgers keep what the Link has to know, and each ledger answers a question: which socket has which
place (`_succession`), what a socket has shown (`_sockets`), what is known of the listen key (`_known_key`), which
losses no Gap has told (`_gaps`), which events came twice (`_copies`), when the next socket may be opened (`_attempts`),
and what the log tells of a link that brings nothing (`_blindness`).
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Literal

from listenkey.errors import ListenKeyError, TransportError
from listenkey.stream._attempts import Attempts, may_be_open, may_be_the_key
from listenkey.stream._blindness import Blindness, Silence
from listenkey.stream._copies import MOST, Copies
from listenkey.stream._events import (
    BalancePositionUpdate,
    Blind,
    Decoder,
    Event,
    Expired,
    Item,
    OrderTradeUpdate,
    Read,
    Reply,
    RiskLevelChange,
    Shutdown,
    UnknownEvent,
)
from listenkey.stream._gaps import Gaps, Loss
from listenkey.stream._known_key import KnownKey
from listenkey.stream._pace import Pace
from listenkey.stream._sockets import BEAT, Socket
from listenkey.stream._succession import Succession

log = logging.getLogger("listenkey.stream")
ORDINARY = (OrderTradeUpdate, BalancePositionUpdate, RiskLevelChange, *BEAT)


@dataclass(frozen=True)
class Command:
    """A command to the driver, about a socket.

    `close` sends a close frame. Frames that arrive later are still told, until `closed`. `open` and `subscribe` carry a
    listen key. `renew` and `prove` are about no socket: ask the keeper for a fresh key, or whether the key still lives.
    """

    what: Literal["open", "subscribe", "ping", "close", "renew", "prove"]
    number: int = 0
    key: str = field(default="", repr=False)


Action = Command | Item | ListenKeyError  # an item is for the program; an error ends the stream


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
        is_endless: whether no refusal ends the link.
        where: the address and the proxy, for the texts of errors.
    """

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
        is_endless: bool = False,
        where: str = "the stream",
    ) -> None:
        self.set_wall(now, wall)
        self._pace, self._random, self._where = pace, random, where
        self.subscribes, self._tells_blind = subscribe, tell_blind
        self._decoder = Decoder()
        self._key = KnownKey(key, now, pace.renew)
        self._sockets = Succession(pace)
        self._attempts = Attempts(now, pace, random, is_endless=is_endless)
        self._gaps = Gaps()
        self._copies = Copies()
        self._blindness, self._silence = Blindness(now, pace), Silence(now, pace)
        self._actions: list[Action] = []
        self._stood_still_at = -math.inf  # when the program was last found to have stood still
        self._released_from_at = math.inf  # before no event was sent that was released now

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
        main = self._sockets.main
        return None if main is None or main.opened_at is None else self.at(main.opened_at)

    @property
    def last_event(self) -> datetime | None:
        """When the main socket brought the last event. None before the first event."""
        main = self._sockets.main
        return None if main is None or main.event_at is None else self.at(main.event_at)

    @property
    def blind_since(self) -> datetime | None:
        """Since when events may be missing, with no Gap yet that tells of it. None: all is well."""
        blind_at = self._blindness.began_at
        if blind_at is None:
            return None
        since = self._loss_began_at()
        return self.at(blind_at if since is None else since)

    @property
    def is_key_proven(self) -> bool:
        """Whether the listen key of the main socket is known to have lived since the main socket is open."""
        main, key = self._sockets.main, self._key
        return main is not None and self._gaps.unproven is None and key.ended_at is None and main.key == key.value

    @property
    def trouble(self) -> ListenKeyError | None:
        """Why events may be missing, or why the last attempt beside a good connection failed. None: all is well."""
        if self._sockets.main is None or self.last_error is not None:
            return self.last_error
        return None if self.is_key_proven else self.key_error

    def last_proof(self, now: float) -> datetime:
        """When the link was last known to live, and no event was sent that is passed now."""
        return self.at(min(self._complete_until(now), self._released_from_at))

    def lost_at(self) -> float:
        """Since when events are lost. Infinite when none are."""
        began_at = self._blindness.began_at
        return math.inf if began_at is None else began_at

    # News.

    @property
    def not_before(self) -> float:
        """End of the address's wait. The driver sets it."""
        return self._attempts.not_before

    @not_before.setter
    def not_before(self, moment: float) -> None:
        self._attempts.not_before = moment

    def tick(self, now: float) -> Sequence[Action]:
        """Note the time."""
        self._look(now)
        return self._settle(now)

    def key(self, now: float, value: str, proven_at: float, *, is_lost: bool = False) -> Sequence[Action]:
        """Note which key the keeper has, when that key was last proven to live, and whether it was lost since."""
        self._look(now)
        if is_lost:
            self._key.lose(now)
        key, is_replaced = self._key, value != self._key.value
        if key.is_other(value, proven_at):
            reason: Literal["key_replaced", "key_expired"] = "key_replaced" if key.ended_at is None else "key_expired"
            self._lose(Loss(reason, min(key.proven_at, self._complete_until(now))))
            key.replace(value)
            self._attempts.hurry(now)
            if self._sockets.next is not None:
                self._drop(now, self._sockets.next)
        if (proven_at > key.proven_at or is_replaced) and not self._prove_main(proven_at):
            key.want_proof()  # the renewal was asked for before the socket was open: ask again
        key.proven_at = proven_at if is_replaced else max(key.proven_at, proven_at)
        return self._settle(now)

    def opened(self, now: float, number: int, asked_at: float | None = None) -> Sequence[Action]:
        """Note that a handshake is done. `asked_at`: when it was asked for. None: now."""
        self._look(now)
        if (socket := self._sockets.find(number)) is not None:
            socket.open(now, now if asked_at is None else asked_at)
            self._attempts.handshake_done()
            self._copies.forget_repeated()
            if self.subscribes:
                self._actions.append(Command("subscribe", number, socket.key))
            else:
                self._ready(now, socket)
        return self._settle(now)

    def pong(self, now: float, number: int, asked_at: float) -> Sequence[Action]:
        """Note that the ping of the moment `asked_at` was answered."""
        self._look(now)
        if (socket := self._sockets.find(number)) is not None:
            socket.pong(asked_at)
        return self._settle(now)

    def unread(self, now: float, number: int) -> None:
        """Note that a socket is not read now, because the program has to make room: the silence proves nothing."""
        if (socket := self._sockets.find(number)) is not None:
            socket.unread_at = now

    def frames(self, now: float, number: int, frames: Sequence[str | bytes]) -> Sequence[Action]:
        """Note frames of a socket that came together."""
        self._look(now)
        socket, is_calm, is_noted = self._sockets.find(number), self._is_calm(now), False
        for frame in frames:
            if socket is None:
                break
            read = self._decoder.read(frame, {self._key.value, socket.key})
            if is_calm and isinstance(read, ORDINARY):
                if not is_noted or isinstance(read, BEAT):
                    self._note_life(now, socket, read)
                    is_noted = True  # further events of this moment say the same
                self._copies.note(read, frame)
                self._actions.append(read)
            else:
                is_calm = False
                self._note(now, socket, read, frame)
                socket = self._sockets.find(number)
        return self._take_actions() if is_calm else self._settle(now)

    def _is_calm(self, now: float) -> bool:
        """Whether events pass at once, and make no job due earlier: a single socket is there, and nothing is lost."""
        return now < self.wake and self._blindness.began_at is None and not self._copies.is_counting

    def _note(self, now: float, socket: Socket, read: Read, frame: str | bytes) -> None:
        """Note the meaning of a frame."""
        if isinstance(read, Reply):
            self._answered(now, socket, read)
        elif isinstance(read, Shutdown):
            self._sockets.is_change_wanted |= socket is self._sockets.main
        elif isinstance(read, Expired):
            self._expire(now, socket, read)
        else:
            if not isinstance(read, UnknownEvent):
                self._ready(now, socket)  # even without an answer to SUBSCRIBE
            self._bring(now, socket, read, frame)

    def closed(
        self, now: float, number: int, *, clean: bool = False, error: ListenKeyError | None = None
    ) -> Sequence[Action]:
        """Note that a socket has ended, or was never opened.

        `clean`: both close frames were sent, ours first. `error`: why, unless we closed the socket.
        """
        self._look(now)
        if (socket := self._sockets.find(number)) is not None:
            if error is not None and socket is not self._sockets.old:
                self.last_error = error
            self._gone(socket, now, clean=clean, has_unseen=may_be_open(error))
            if may_be_the_key(error):
                self._key.doubt(now)
            if self._attempts.ended(now, error) and error is not None:
                self._actions.append(error)
        return self._settle(now)

    # Losses, and the proof of the key that a Gap waits for.

    def _is_draining(self) -> bool:
        """Whether the main socket's events wait for the rest of the old socket's."""
        old, main = self._sockets.old, self._sockets.main
        return old is not None and main is not None and main.held is not None and self._gaps.unproven is None

    def _complete_until(self, now: float) -> float:
        """Until when all events are known to have come. Before the old socket is drained, events may be missing."""
        draining = self._sockets.old if self._is_draining() else None
        both = [each.complete_until for each in (self._sockets.main, draining) if each is not None]
        return min(both, default=now)

    def _lose(self, loss: Loss) -> None:
        """Note that something may be lost: a Gap is to come."""
        if self._gaps.lose(loss) and self._sockets.main is not None:
            self._sockets.main.release()  # the Gap to come tells of the events that waited

    def _loss_began_at(self) -> float | None:
        """Since when the loss is that a Gap will tell of. None: there is no loss, or it is the start."""
        loss = self._gaps.current
        return self._key.ended_at if loss is None else loss.began_at

    def _tell_gap(self, main: Socket) -> None:
        """Say the Gap before the main socket's events, now that the key is proven."""
        if (loss := self._gaps.take_unproven()) is not None:
            self._actions.append(loss.gap(self.at, main.ready_at))
            self._release(main)

    def _prove_main(self, proven_at: float) -> bool:
        """Note that the key lived at a moment. False: the main socket still waits for a proof."""
        main, loss = self._sockets.main, self._gaps.unproven
        if main is None or loss is None or main.opened_at is None or main.key != self._key.value:
            return True
        # A stream that begins with a fresh key needs no second renewal.
        needed_at = main.opened_at - (self._pace.opening if loss.reason == "started" else 0.0)
        main.is_key_proven = main.is_key_proven or proven_at >= needed_at
        if main.is_key_proven:
            self._tell_gap(main)
        return main.is_key_proven

    def _await_proof(self, now: float, main: Socket, loss: Loss) -> None:
        """Let the main socket's events wait for a proof of the key, and for the Gap that follows the proof."""
        self._gaps.await_proof(loss)
        self._key.want_proof()
        if main.is_key_proven:
            self._tell_gap(main)
        elif not self._prove_main(self._key.proven_at) and main.pinged_at is None:
            self._ping(main, now)  # an event that follows the pong proves the key, too

    def _wants_proof(self) -> bool:
        """Whether a Gap waits for a proof of the key, or the server refuses connections and the key may be why."""
        main = self._sockets.main
        is_gap_waiting = main is not None and self._gaps.unproven is not None and main.key == self._key.value
        return is_gap_waiting or self._key.is_doubted

    def _expire(self, now: float, socket: Socket, expired: Expired) -> None:
        if socket is self._sockets.old and not self._is_draining():
            return  # nobody reads that socket any more
        if self._key.end(now, expired.listen_key or socket.key, expired.said):
            log.warning("the server says that the listen key has ended", extra={"listenkey_event": "key_expired"})

    # Sockets come.

    def _open(self, now: float, *, is_compared: bool = False) -> None:
        self._attempts.begin()
        if self._sockets.main is None and self._sockets.old is None:
            self._copies.stop()
        else:
            self._copies.begin()
        socket = self._sockets.open(now, self._key.value, is_compared=is_compared)
        self._actions.append(Command("open", socket.number, socket.key))

    def _answered(self, now: float, socket: Socket, reply: Reply) -> None:
        """Note the answer to SUBSCRIBE."""
        if reply.accepted:
            self._ready(now, socket)
        else:
            log.warning("the server refused SUBSCRIBE", extra={"listenkey_event": "refused"})
            self._key.doubt(now)
            self._dead(socket, "it refused SUBSCRIBE", now, has_unseen=False)

    def _ready(self, now: float, socket: Socket) -> None:
        if socket is self._sockets.next and not socket.is_ready:
            socket.is_ready, socket.ready_at = True, now
            self._attempts.worked()
            self.last_error = None
            if self._sockets.compared is None:
                self._become_main(now, socket)

    def _become_main(self, now: float, socket: Socket) -> None:
        if self._sockets.old is not None:
            self._gone(self._sockets.old, now, clean=False)
        if self._gaps.unproven is not None:
            self._lose(self._gaps.unproven)
        main = self._sockets.main
        if socket.is_compared:  # until it brought news, the server may have sent events to the other socket alone
            socket.ready_at = max(socket.ready_at, min(socket.news_at, now))
        # At a random moment, or the connections of all streams of a program would change at once.
        self._sockets.promote(socket, now + self._pace.life * self._random.uniform(0.98, 1))
        self._attempts.stable_at = (socket.opened_at or now) + self._pace.proven
        if main is not None:
            self._retire(now, main)
            self._attempts.replaced(now)
        else:
            self._copies.forget_at = now + self._pace.proven  # the last main socket may have brought the same
        if self._gaps.has_unseen and (main is None or self._gaps.lost is not None):  # else the old socket's end tells
            self._lose(Loss("reconnected", self._gaps.take_unseen()))
        if (loss := self._gaps.take_lost()) is not None:
            self._await_proof(now, socket, loss)

    # Sockets go.

    def _drop(self, now: float, socket: Socket) -> None:
        """Close a next socket that is of no use. A server may have sent events to it alone."""
        self._sockets.remove_next()
        if socket.is_ready:
            self._attempts.calm()
            self._retire(now, socket)
            self._release(socket)
        else:
            self._actions.append(Command("close", socket.number))

    def _retire(self, now: float, socket: Socket) -> None:
        self._sockets.retire(now, socket)
        self._actions.append(Command("close", socket.number))

    def _dead(self, socket: Socket, why: str, now: float, *, has_unseen: bool = True) -> None:
        self._actions.append(Command("close", socket.number))
        if socket is not self._sockets.old:
            self.last_error = TransportError(f"The connection to {self._where} is of no use: {why}.")
            log.info("%s", self.last_error, extra={"listenkey_event": "disconnected", "listenkey_reason": why})
        self._gone(socket, now, clean=False, has_unseen=has_unseen)

    def _gone(self, socket: Socket, now: float, *, clean: bool = False, has_unseen: bool = False) -> None:
        """Note that a socket is no more. `has_unseen`: the server may have sent events to it that never came."""
        if socket is self._sockets.old:
            self._old_gone(socket, now, clean=clean)
            return
        self._attempts.wait(now)
        if socket is self._sockets.next:
            self._next_gone(socket, now, has_unseen=has_unseen)
        else:
            self._main_gone(socket, now)

    def _main_gone(self, main: Socket, now: float) -> None:
        complete_until = self._complete_until(now)
        if self._gaps.unproven is None:
            self._release(main)
        self._lose(Loss("reconnected", complete_until))
        self._sockets.remove_main()
        following = self._sockets.next
        if following is not None and following.is_ready:  # the socket was there to compare
            self._become_main(now, following)

    def _next_gone(self, socket: Socket, now: float, *, has_unseen: bool) -> None:
        sockets = self._sockets
        if sockets.compared is not None:
            sockets.patience *= 2
        sockets.remove_next()
        self._copies.forget_at = now + self._pace.proven
        self._attempts.stable_at = now + 2 * self._pace.proven
        if socket.held and socket.news_at < math.inf and sockets.main is not None:
            self._lose(Loss("mute", sockets.main.sent_at))  # it brought what the main socket did not
        if has_unseen:
            self._note_unseen(socket)
        if socket.is_ready:
            self._release(socket)

    def _note_unseen(self, socket: Socket) -> None:
        """Note that a server may have sent events to a socket alone, beside the main socket, and they never came.

        The main socket shows nothing of this. Another socket is wanted soon, and a Gap comes with it.
        """
        self._sockets.is_change_wanted = True
        self._gaps.note_unseen(socket.may_have_events_since)

    def _old_gone(self, old: Socket, now: float, *, clean: bool) -> None:
        changed_at = self._sockets.close_until - self._pace.drain
        was_draining, main = self._is_draining(), self._sockets.main
        self._sockets.remove_old()
        self._copies.forget_at = now + self._pace.proven
        if not was_draining or main is None:
            if main is not None and old.number > main.number and not clean:  # the old socket was there to compare
                self._note_unseen(old)
            return
        # If the old socket did not close as asked, nothing proves that it lived until the new socket opened.
        has_failed = self._gaps.has_unseen or not clean
        began_at = min(old.complete_until, self._gaps.take_unseen())
        if not has_failed and not old.is_overdue(changed_at, self._pace):
            self._release(main)
            return
        loss = Loss("reconnected" if has_failed else "mute", began_at)
        main.ready_at = now  # up to here the server may have sent events to the old socket alone
        if self._gaps.lost is None:
            self._await_proof(now, main, loss)
        else:
            self._lose(loss)
            self._release(main)

    # Events pass.

    def _bring(self, now: float, socket: Socket, event: Event, frame: str | bytes) -> None:
        sockets = self._sockets
        self._note_life(now, socket, event)
        content = self._copies.content(event, frame)
        if socket.held is not None:
            socket.hold(event, content)
            if socket is sockets.next and self._is_news(event, content):
                socket.news_at = min(socket.news_at, now)
        else:
            if socket is sockets.main:
                compared = sockets.compared
                if compared is not None and compared.is_ready:  # else events may have been sent to it already
                    self._drop(now, compared)  # the main socket is not mute
                self._copies.note(event, frame)
            self._pass(socket, event, content)
        self._make_room(now)

    def _note_life(self, now: float, socket: Socket, event: Event) -> None:
        """Note what an event proves: of the key, and of the pace of a held position."""
        socket.note_event(now)
        is_main = socket is self._sockets.main
        if socket.key == self._key.value and self._key.ended_at is None and not isinstance(event, UnknownEvent):
            self._key.prove(socket.alive_at)
            socket.prove_key()
            if is_main and socket.is_key_proven:
                self._tell_gap(socket)
        if is_main:
            self._sockets.patience = self._pace.silence
        socket.note_beat(now, event, self._pace)

    def _is_news(self, event: Event, content: bytes | None) -> bool:
        """Whether the main socket has not brought what the second socket brings."""
        main = self._sockets.main
        return not isinstance(event, UnknownEvent) and not (
            main is not None and self._copies.is_known(content, main.number)
        )

    def _pass(self, socket: Socket, event: Event, content: bytes | None) -> None:
        """Let an event through, unless another socket has brought the event as often."""
        if self._copies.passes(content, socket.number, remember=self._sockets.is_overlapping):
            self._actions.append(event)

    def _make_room(self, now: float) -> None:
        """Bound what is remembered. A drain that brings too much is over, and a Gap says so."""
        main, old = self._sockets.main, self._sockets.old
        held = len(main.held or ()) if main is not None else 0
        if main is not None and self._gaps.unproven is not None and held > MOST:
            main.held, main.ready_at = [], now  # the Gap that waits tells of these events, too
        if old is not None and self._is_draining() and max(held, len(self._copies)) > MOST:
            self._gone(old, now, clean=False)
        elif len(self._copies) > MOST:
            self._copies.forget_oldest()

    def _release(self, socket: Socket) -> None:
        if held := socket.release():
            self._released_from_at = min(self._released_from_at, socket.asked_at)
        for event, content in held:
            self._pass(socket, event, content)

    # Time passes.

    def _look(self, now: float) -> None:
        """See whether program or machine stood still. What waited here meanwhile is read before any judgement."""
        self._released_from_at = math.inf
        if now > self.wake + self._pace.late:
            self._stood_still_at = now
            for each in self._sockets:
                each.stood_still(now)
                if each.opened_at is not None:
                    self._ping(each, now)

    def _settle(self, now: float) -> Sequence[Action]:
        """Do all that is due."""
        self._watch(now)
        while (first := min(self._agenda(), key=lambda each: each[0]))[0] <= now:
            first[1](now)
            self._watch(now)
        self.wake = first[0]
        return self._take_actions()

    def _take_actions(self) -> Sequence[Action]:
        actions, self._actions = self._actions, []
        return actions

    def _agenda(self) -> Iterator[tuple[float, Callable[[float], None]]]:
        """List the jobs, and when each is due. A job that is done leaves the agenda."""
        sockets, key = self._sockets, self._key
        is_wanted = self._gaps.lost is not None or (sockets.is_change_wanted and sockets.old is None)
        if is_wanted and sockets.next is None and key.ended_at is None:
            yield self._attempts.next_at, self._open
        yield key.renewal_at, self._renew
        if self._wants_proof():
            yield key.proof_at, self._prove_key
        yield self._blindness.warn_at, self._warn_blind
        for each in sockets:
            yield from self._checks(each)
        if (main := sockets.main) is not None:
            if not sockets.is_change_wanted:
                yield sockets.replace_at, self._want_change
            yield self._attempts.stable_at, self._note_stable
            is_calm = sockets.next is None and key.ended_at is None and not is_wanted
            if main.has_beat and not main.was_compared and is_calm and main.held is None:
                yield max(main.silent_since() + sockets.patience, self._attempts.next_at), self._compare
            compared = sockets.compared
            if compared is not None and compared.opened_at is not None:
                yield self._comparison(main, compared, compared.opened_at)
        if self._copies.is_counting and not sockets.is_overlapping:
            yield max(self._copies.forget_at, self._stood_still_at + self._pace.proven), self._forget_copies
        yield self._silence.look_at, self._look_for_silence

    def _checks(self, socket: Socket) -> Iterator[tuple[float, Callable[[float], None]]]:
        """List the jobs for a socket."""
        pace = self._pace
        if socket is self._sockets.old:
            until = max(self._sockets.close_until, self._stood_still_at + pace.verdict)
            yield until, partial(self._gone, socket)
        elif socket.opened_at is not None:
            if not socket.is_ready:
                yield socket.opened_at + pace.answer, partial(self._unanswered, socket)
            yield socket.ping_at(pace), partial(self._ping, socket)
            yield socket.dead_at(pace), partial(self._dead, socket, f"no sign of life for {pace.ping + pace.pong:g} s")

    def _comparison(self, main: Socket, compared: Socket, opened_at: float) -> tuple[float, Callable[[float], None]]:
        """Say when and how the comparison of two sockets ends. The main socket is mute if the second brings more."""
        if compared.news_at < math.inf:
            ends_at = max(compared.news_at, self._stood_still_at) + self._pace.verdict
            return ends_at, partial(self._replace_mute, main, compared)
        return max(opened_at, self._stood_still_at) + self._pace.silence, partial(self._keep_main, main, compared)

    # The jobs.

    def _ping(self, socket: Socket, now: float) -> None:
        socket.ping(now)
        self._actions.append(Command("ping", socket.number))

    def _renew(self, now: float) -> None:
        self._key.ask_renewal(now)
        self._actions.append(Command("renew"))

    def _prove_key(self, now: float) -> None:
        self._key.ask_proof(now)
        self._actions.append(Command("prove"))

    def _unanswered(self, socket: Socket, now: float) -> None:
        self._key.doubt(now)
        self._dead(socket, "it did not answer SUBSCRIBE", now)

    def _want_change(self, now: float) -> None:
        self._sockets.is_change_wanted = True

    def _note_stable(self, now: float) -> None:
        self._attempts.stable()

    def _compare(self, now: float) -> None:
        """Open a second socket, to see whether the main socket is mute."""
        self._open(now, is_compared=True)

    def _keep_main(self, main: Socket, compared: Socket, now: float) -> None:
        """Close the second socket: the main socket brings as much.

        The main socket may be mute even so: a server that sends each event to a single socket may still have chosen the
        main socket. So the silence is part of the Gap that comes with the next change, unless an event comes before.
        """
        self._drop(now, compared)
        main.was_compared = True
        self._silence.warn(now, "no event for a while, on a second connection neither")

    def _replace_mute(self, main: Socket, compared: Socket, now: float) -> None:
        """Let the second socket take the place of the mute main socket."""
        self._lose(Loss("mute", main.sent_at))
        self._become_main(now, compared)

    def _forget_copies(self, now: float) -> None:
        self._copies.stop()

    # What is told of a link that brings nothing.

    def _watch(self, now: float) -> None:
        """Note when the link becomes blind, and when it sees again."""
        blindness = self._blindness
        is_blind = self._gaps.lost is not None or not self.is_key_proven
        if is_blind == (blindness.began_at is not None):
            return
        if not is_blind:
            blindness.end(now)
            return
        blindness.begin(now)
        if self._tells_blind:
            since = self._loss_began_at()
            self._actions.append(Blind(self.at(now if since is None else since), self.trouble))

    def _warn_blind(self, now: float) -> None:
        """Warn that nothing can come, and why."""
        if self._sockets.main is None:
            state = "no connection"
        elif self._key.ended_at is not None:
            state = "the listen key has ended, and no other came yet"
        else:
            state = "the connection is open, but the listen key is not proven"
        if self._tells_blind and not self._attempts.has_worked and not self._blindness.warnings:
            self._actions.append(Blind(None, self.trouble))
        self._blindness.warn(now, state, self.blind_since, self.trouble)

    def _look_for_silence(self, now: float) -> None:
        main = self._sockets.main
        is_silent = self._blindness.began_at is None and main is not None and main.event_at is None
        self._silence.look(now, is_silent=is_silent)
