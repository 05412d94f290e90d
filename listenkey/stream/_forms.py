"""The forms of a connection side by side, until one brings an event: for a stream with ``form="auto"``.

A connection that names the key in a form which brings nothing looks like any other. So a connection by each form is
open at first. The driver sees a single connection: `SideBySide` has the methods of a `WebSocket`.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Literal
from urllib.parse import quote, urlsplit

from listenkey._http.exchange import AsyncExchange
from listenkey._http.masking import Secret
from listenkey._http.route import Account
from listenkey.errors import ListenKeyError, RateLimited, TransportError
from listenkey.stream._events import Reply, parsed, unwrapped
from listenkey.stream._websocket import WebSocket, open_websocket

Form = Literal["path", "query", "subscribe"]
FORMS: dict[Form, str] = {"path": "/ws/{}", "query": "/ws?listenKey={}", "subscribe": "/stream"}  # asyncapi.yaml
WAITING = 16  # news that wait for the driver; the connections are read no further meanwhile
Came = Sequence[bytes | int]  # messages, and numbers of pings that were answered


async def open_form(exchange: AsyncExchange, form: Form, key: Secret, seconds: float) -> WebSocket:
    """Open a connection of a form, within so many seconds. Raises as `AsyncExchange.upgrade`.

    A connection of the form "subscribe" has no key yet: send `subscription(key)`.
    """
    path = urlsplit(exchange.route.url).path.rstrip("/")
    target = Secret(path + FORMS[form].format(quote(key, safe="")))
    return await open_websocket(exchange, target, Account(key, seconds))


def subscription(key: str) -> str:
    """Write the message that names the key, for the form "subscribe"."""
    return json.dumps({"method": "SUBSCRIBE", "params": [key], "id": 1})


def meaning_of(came: bytes | int) -> Literal["pong", "event", "answer", "refusal", "other"]:
    """Tell events of the account from all else that may come while nobody knows which form brings them."""
    if isinstance(came, int):
        return "pong"
    try:
        content = parsed(came.decode())
    except (ValueError, RecursionError):
        return "other"
    if isinstance(content, dict) and "e" not in content:
        content = unwrapped(content)
    if isinstance(content, Reply):
        return "answer" if content.accepted else "refusal"
    kind = content.get("e") if isinstance(content, dict) else None
    return "event" if isinstance(kind, str) and kind != "serverShutdown" else "other"


class SideBySide:
    """A connection by each form. The first that brings an event is kept.

    Args:
        key: the listen key.
        decided: is told the form that brought an event, when the driver takes the event.
    """

    def __init__(self, key: Secret, decided: Callable[[Form], None]) -> None:
        self._key, self._decided = key, decided
        self._opening: dict[Form, asyncio.Task[ListenKeyError | None]] = {}
        self._open: dict[Form, WebSocket] = {}
        self._readers: dict[Form, asyncio.Task[None]] = {}
        self._news: asyncio.Queue[tuple[Form, Came | Exception | None]] = asyncio.Queue(WAITING)  # None: the end
        self._reply: asyncio.Future[str] = asyncio.get_running_loop().create_future()  # to SUBSCRIBE; "": it works
        self._answered: set[Form] = set()  # the last ping
        self._kept: Form | None = None  # which has brought an event
        self._is_told = False  # whether `decided` was told
        self._last: WebSocket | None = None  # that brought something
        self._came: Came = ()

    async def open(self, exchange: AsyncExchange, seconds: float) -> None:
        """Open all, or open until an event comes: a form that answers late then holds up nothing.

        Raises the error of the first form, if none can be opened; a 429 or 418 goes before.
        """
        try:
            async with asyncio.TaskGroup() as group:  # waits for all, also when it is cancelled
                for form in FORMS:
                    self._opening[form] = group.create_task(self._try_to_open(exchange, form, seconds))
        except BaseException:
            self.abort()
            raise
        if not self._open:
            errors = [error for task in self._opening.values() if (error := task.result()) is not None]
            raise min(errors, key=lambda error: not isinstance(error, RateLimited))

    async def _try_to_open(self, exchange: AsyncExchange, form: Form, seconds: float) -> ListenKeyError | None:
        try:
            socket = self._open[form] = await open_form(exchange, form, self._key, seconds)
        except ListenKeyError as error:
            return error
        self._readers[form] = asyncio.create_task(self._read(form, socket), name="listenkey-stream-form")
        if form != "subscribe":
            return None
        socket.send(subscription(self._key))
        try:
            async with asyncio.timeout(seconds):
                why = await self._reply
        except TimeoutError:
            why = "The server did not answer SUBSCRIBE."
        if why and self._kept != form:  # an event that came in the same turn says more than a refusal
            self._give_up(form)
            return TransportError(why)
        return None

    async def _read(self, form: Form, socket: WebSocket) -> None:
        """Read a connection to its end, or until the form to keep is known."""
        try:
            while data := await socket.read():
                await self._news.put((form, self._looked_at(form, socket.received(data))))
                if self._kept is not None:
                    return
                if socket.ending()[1] is not None:
                    break
            end = None
        except Exception as error:  # noqa: BLE001  for the driver, which names it
            end = error
        if form == "subscribe":
            self._subscribed("The server ended the connection.")
        await self._news.put((form, end))

    def _looked_at(self, form: Form, came: Came) -> Came:
        """Look for an event, and for the answer to SUBSCRIBE. Gives what came, without the answer.

        The reader looks, not the driver: the driver takes nothing before all are open, and the news that wait are few.
        """
        meanings = [meaning_of(each) for each in came]
        if "pong" in meanings:
            self._answered.add(form)
        if form == "subscribe" and ("answer" in meanings or "event" in meanings):  # events prove it, too
            self._subscribed("")
        elif form == "subscribe" and "refusal" in meanings:
            self._subscribed("The server refused SUBSCRIBE.")
        if "event" in meanings and self._kept is None:
            self._keep(form)
        return [each for each, meaning in zip(came, meanings, strict=True) if meaning not in ("answer", "refusal")]

    def _subscribed(self, why: str) -> None:
        if not self._reply.done():
            self._reply.set_result(why)

    def _keep(self, form: Form) -> None:
        self._kept = form
        for other in [other for other in FORMS if other != form]:
            self._opening[other].cancel()
            if other in self._open:
                self._give_up(other)

    def _give_up(self, form: Form) -> None:
        self._open.pop(form).abort()
        self._readers.pop(form).cancel()

    # The calls of a WebSocket.

    async def read(self) -> bytes:
        """Wait for news of any connection. Empty: the last connection has ended. Raises as `WebSocket.read`."""
        while True:
            if self._kept and self._news.empty() and all(reader.done() for reader in self._readers.values()):
                (self._last,) = self._open.values()
                data = await self._last.read()
                self._came = self._last.received(data) if data else ()
                return data
            form, came = await self._news.get()
            if (socket := self._open.get(form)) is None:  # given up meanwhile
                continue
            self._last = socket
            if not isinstance(came, Exception | None):
                if form == self._kept and not self._is_told:
                    self._is_told = True
                    self._decided(form)
                self._came = came
                return b"news"
            if len(self._open) == 1:
                if came is None:
                    return b""
                raise came
            self._give_up(form)

    def received(self, _: bytes) -> Came:
        """Give what came."""
        return self._came

    def ending(self) -> tuple[bool, str | None]:
        """As `WebSocket.ending`, of the last connection."""
        return self._last.ending() if self._last is not None and len(self._open) == 1 else (False, None)

    def ping(self) -> int:
        """Ping all. A connection that has not answered the last ping, while another has, is given up."""
        for form in [form for form in self._open if self._answered and form not in self._answered]:
            self._give_up(form)
        self._answered.clear()
        return {socket.ping() for socket in self._open.values()}.pop()  # all have the same number

    def close(self) -> None:
        """Close all."""
        for socket in self._open.values():
            socket.close()

    def abort(self) -> None:
        """End all at once. May be repeated."""
        for socket in self._open.values():
            socket.abort()
        for reader in self._readers.values():
            reader.cancel()
