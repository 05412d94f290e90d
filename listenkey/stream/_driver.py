"""Carries out the commands of a Link, in an event loop: opens and reads sockets, and tells the Link news and the time.

Both twins have this driver. The code that makes the connections of the calls makes these connections, too: see
`_websocket`.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from listenkey._clock import clock
from listenkey._http.exchange import AsyncExchange, share
from listenkey._http.masking import Secret, described
from listenkey._http.route import Route
from listenkey._limits.wait import JITTER
from listenkey.errors import ListenKeyError, RateLimited, TransportError
from listenkey.keeper import AsyncListenKeyKeeper, ListenKeyKeeper
from listenkey.keeper._inside import InsideKeeper
from listenkey.stream._buffer import Buffer
from listenkey.stream._forms import FORMS, Form, SideBySide, open_form, subscription
from listenkey.stream._machine import Action, Command, Link
from listenkey.stream._pace import Pace
from listenkey.stream._websocket import WebSocket

if TYPE_CHECKING:
    from listenkey.stream._events import Item
    from listenkey.stream._loop_thread import LoopThread

BROUGHT = 32  # frames that are read, before the event loop gets a turn
# A program that takes fewer items in a second is slow. The connection waits for any other program, so a program that
# only reads loses nothing. The connection of a slow program is read on, and a Gap counts the events that are dropped.
# Otherwise events would come later and later, and the server's pings would get no answer.
FAST = 500
Keeper = ListenKeyKeeper | AsyncListenKeyKeeper
log = logging.getLogger("listenkey.stream")


class Driver:
    """Carries out the orders of a Link, in an event loop."""

    home: "LoopThread | None" = None  # of a sync stream

    def __init__(
        self,
        keeper: Keeper,
        route: Route,
        form: Form | None,
        pace: Pace,
        buffer: Buffer,
        arrived: Callable[[], None],
        fail: Callable[[ListenKeyError], None],
        *,
        tell_blind: bool,
        is_endless: bool,
    ) -> None:
        self._keeper, self._inside = keeper, InsideKeeper(keeper)
        self._address = self._inside.client.address
        self._route, self._pace = route, pace
        self._buffer, self._arrived, self._end = buffer, arrived, fail
        self._is_program_slow = False
        self.form = form  # None: whichever is the first to bring an event
        self._serving: dict[int, asyncio.Task[None]] = {}
        self._sockets: dict[int, WebSocket | SideBySide] = {}
        self._pings: dict[tuple[int, int], float] = {}  # by connection and ping: when it was asked
        self._timers: set[asyncio.TimerHandle] = set()  # that end connections which do not close
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._ended = False
        self._exchange: AsyncExchange | None = None
        key = keeper.key.value
        self.link = Link(
            clock(),
            datetime.now(UTC),
            key,
            pace,
            JITTER,
            subscribe=form == "subscribe",
            tell_blind=tell_blind,
            is_endless=is_endless,
            where=str(route),
        )

    def start(self) -> None:
        """Begin, in the running event loop."""
        if self._ended:  # a signal handler or another thread has left the block meanwhile
            return
        self._loop = asyncio.get_running_loop()
        self._exchange = share(AsyncExchange, self._route, self._loop)
        self._inside.listen(self._wake)
        self._tick()

    def leave(self) -> None:
        """End all, without waiting. Close frames are sent, and no answer is awaited. May be repeated."""
        self._ended = True
        self._inside.stop_listening(self._wake)
        for timer in (self._timer, *self._timers):
            if timer is not None:
                timer.cancel()
        for socket in self._sockets.values():
            socket.close()
            socket.abort()
        for task in self._serving.values():
            task.cancel()

    async def stop(self) -> None:
        """End all, and wait until no task is left. May be repeated."""
        self.leave()
        try:
            if self._serving:
                await asyncio.wait(self._serving.values())
        finally:
            exchange, self._exchange = self._exchange, None
            if exchange is not None:
                exchange.release()

    def _fail(self, error: ListenKeyError) -> None:
        self.leave()
        self._end(error)

    def _wake(self) -> None:
        """Look at the keeper soon. Called from any thread."""
        with contextlib.suppress(RuntimeError):  # the event loop is closed
            self._loop.call_soon_threadsafe(self._tick)

    def _tick(self) -> None:
        self._tell(self._look_at_keeper)

    def _look_at_keeper(self, link: Link) -> Sequence[Action]:
        link.set_wall(clock(), datetime.now(UTC))
        key, proof = self._inside.proof()
        if not link.is_key_proven or self._inside.is_key_lost:
            link.key_error = self._keeper.status().last_error
        return link.key(clock(), key.value, proof, is_lost=self._inside.is_key_lost)

    def _tell(self, what: Callable[[Link], Sequence[Action]], frames: int = 0) -> None:
        """Tell the Link something, or so many frames, and carry out the commands."""
        if self._ended:
            return
        try:
            self.link.not_before = self._address.rate_limit_wait.until
            self._obey(what(self.link), frames)
        except ListenKeyError as error:  # the keeper's end
            self._fail(error)
        except Exception as bug:  # noqa: BLE001  whatever it is, a dead stream says so; its frames hold the listen key
            name = type(bug).__name__
            log.error("the stream broke down: %s", name, extra={"listenkey_event": "broke_down"})
            self._fail(ListenKeyError(f"The stream broke down ({name}). Make a new one."))
        if not self._ended:
            self._set_timer()

    def _set_timer(self) -> None:
        due = min(self.link.wake, clock() + self._pace.poll)
        if self._timer is None or due < self._due or self._timer.when() <= self._loop.time():
            if self._timer is not None:
                self._timer.cancel()
            self._due = due
            self._timer = self._loop.call_later(max(0.0, due - clock()), self._tick)

    def _obey(self, actions: Sequence[Action], frames: int) -> None:
        items: list[Item] = []
        for action in actions:
            if isinstance(action, Command):
                self._do(action)
            elif isinstance(action, ListenKeyError):
                self._fail(action)
            else:
                items.append(action)
        if items:
            now = clock()
            self._buffer.expect(1 + max(0, len(items) - frames))
            self._buffer.put_all(items, self.link.last_proof(now), self.link.at(now))
            self._arrived()

    def _do(self, command: Command) -> None:
        if command.what == "open":
            serve = self._serve(command.number, Secret(command.key))
            self._serving[command.number] = self._loop.create_task(serve, name="listenkey-stream")
        elif command.what in ("renew", "prove"):
            with contextlib.suppress(ListenKeyError):  # the next tick shows the keeper's end
                self._keeper.renew_soon()
        elif (socket := self._sockets.get(command.number)) is not None:
            self._command(socket, command)
        elif (task := self._serving.get(command.number)) is not None:  # the socket is still being opened
            task.cancel()

    def _command(self, socket: WebSocket | SideBySide, command: Command) -> None:
        if command.what == "ping":
            self._pings[command.number, socket.ping()] = clock()
        elif command.what == "subscribe":
            cast(WebSocket, socket).send(subscription(command.key))
        else:
            socket.close()
            self._timers.add(self._loop.call_later(self._pace.drain, socket.abort))
            self._timers = {timer for timer in self._timers if timer.when() > self._loop.time()}

    async def _serve(self, number: int, key: Secret) -> None:
        """Open a socket, and read until its end."""
        clean, error = False, cast(ListenKeyError | None, None)
        try:
            for _ in FORMS if self.form is None else [self.form]:
                await self._turn(number)
            asked = clock()
            socket = self._sockets[number] = await self._open(key, asked)
            self._tell(lambda link: link.opened(clock(), number, asked))
            clean, why = await self._read(number, socket)
            error = None if clean else TransportError(f"The connection to {self._route} was lost: {why}.")
        except ListenKeyError as failure:
            error = failure
        except Exception as bug:  # noqa: BLE001  its text and its frames may hold the listen key
            why = described(bug, key)
            error = TransportError(f"The connection to {self._route} was lost: {type(bug).__name__} ({why}).")
        finally:
            self._serving.pop(number, None)
            if (opened := self._sockets.pop(number, None)) is not None:
                opened.abort()
            self._pings = {ping: asked for ping, asked in self._pings.items() if ping[0] != number}
        ending = "closed" if error is None else str(error)
        extra = {"listenkey_event": "disconnected", "listenkey_reason": ending}
        log.info("connection %d of the stream: %s", number, ending, extra=extra)
        self._tell(lambda link: link.closed(clock(), number, clean=clean, error=error))

    async def _read(self, number: int, socket: WebSocket | SideBySide) -> tuple[bool, str]:
        """Read to the end. Returns whether both have closed, we first, and why nothing more came."""
        while data := await socket.read():
            messages: list[bytes] = []
            for each in socket.received(data):
                if isinstance(each, bytes):
                    messages.append(each)
                    if len(messages) == BROUGHT:
                        await self._bring(number, messages)
                        messages = []
                        await asyncio.sleep(0)
                elif (asked_at := self._pings.pop((number, each), None)) is not None:
                    await self._bring(number, messages)
                    messages = []
                    self._tell(lambda link: link.pong(clock(), number, asked_at))
            await self._bring(number, messages)
            clean, why = socket.ending()
            if why is not None:
                return clean, why
        return False, "the server ended it without a close frame"

    async def _bring(self, number: int, messages: list[bytes]) -> None:
        if messages:
            self._tell(lambda link: link.frames(clock(), number, messages), len(messages))
            if len(self._buffer) > self._buffer.half:
                await self._let_program_take(number)
            else:
                self._is_program_slow = False

    async def _let_program_take(self, number: int) -> None:
        """Wait until the program has made room, unless the program is slow."""
        while len(self._buffer) > self._buffer.half and not self._is_program_slow:
            enough = max(0, len(self._buffer) - FAST)
            for _ in range(100):  # a second; longer on a busy machine, where the program needs more time, too
                await asyncio.sleep(0.01)
                self.link.unread(clock(), number)
                if len(self._buffer) <= enough:
                    break
            else:
                self._is_program_slow = True

    async def _turn(self, number: int) -> None:
        """Wait until this connection may be opened: the streams of an address take turns."""
        openings = self._address.openings
        who, scale = (self, number), self._pace.first  # a second, less in a test
        try:
            while True:
                now = clock()
                until = self._address.rate_limit_wait.until
                wait = until - now if until > now else openings.ask(who, self.link.lost_at(), now, scale)
                if not wait:
                    return
                await asyncio.sleep(min(wait, 1.0))
        finally:
            openings.leave(who)

    async def _open(self, key: Secret, asked: float) -> WebSocket | SideBySide:
        exchange = cast(AsyncExchange, self._exchange)
        try:
            if self.form is not None:
                return await open_form(exchange, self.form, key, self._pace.opening)
            together = SideBySide(key, self._decide)
            await together.open(exchange, self._pace.opening)
        except RateLimited as error:  # counts for everyone on this address
            self._address.rate_limit_wait.refused(error, asked, clock())
            raise
        return together

    def _decide(self, form: Form) -> None:
        """Keep the form that has brought an event."""
        self.form, self.link.subscribes = form, form == "subscribe"
        extra = {"listenkey_event": "form_found", "listenkey_form": form}
        log.info("the stream's form is %r: it was the first to bring an event", form, extra=extra)
