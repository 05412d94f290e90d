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
        decided: is told the form that brought an event.
    """

    def __init__(self, key: Secret, decided: Callable[[Form], None]) -> None:
        self._key, self._decided = key, decided
        self._open: dict[Form, WebSocket] = {}
        self._readers: dict[Form, asyncio.Task[None]] = {}
        self._news: asyncio.Queue[tuple[Form, Came | Exception | None]] = asyncio.Queue(WAITING)  # None: the end
        self._answered: set[Form] = set()  # the last ping
        self._is_decided = False
        self._last: WebSocket | None = None  # that brought something
        self._came: Came = ()

    async def open(self, exchange: AsyncExchange, seconds: float) -> None:
        """Open all. Raises the error of the first form, if none can be opened; a 429 or 418 goes before."""
        try:
            async with asyncio.TaskGroup() as group:  # waits for all, also when it is cancelled
                opening = [group.create_task(self._try_to_open(exchange, form, seconds)) for form in FORMS]
        except BaseException:
            self.abort()
            raise
        if not self._open:
            errors = [error for task in opening if (error := task.result()) is not None]
            raise min(errors, key=lambda error: not isinstance(error, RateLimited))
        for form, socket in self._open.items():
            self._readers[form] = asyncio.create_task(self._read(form, socket), name="listenkey-stream-form")

    async def _try_to_open(self, exchange: AsyncExchange, form: Form, seconds: float) -> ListenKeyError | None:
        try:
            socket = await open_form(exchange, form, self._key, seconds)
            try:
                if form == "subscribe":
                    async with asyncio.timeout(seconds):
                        await self._subscribe(socket)
            except BaseException:
                socket.abort()
                raise
        except ListenKeyError as error:
            return error
        except Exception as error:  # noqa: BLE001  whatever a library raises here is: no connection
            return TransportError(f"The server did not answer SUBSCRIBE ({type(error).__name__}).")
        self._open[form] = socket
        return None

    async def _subscribe(self, socket: WebSocket) -> None:
        """Name the key, and wait for the answer: before, no event comes this way."""
        socket.send(subscription(self._key))
        while data := await socket.read():
            came = socket.received(data)
            await self._news.put(("subscribe", came))  # an event may come with the answer
            for each in came:
                if (meaning := meaning_of(each)) == "refusal":
                    raise TransportError("The server refused SUBSCRIBE.")
                if meaning == "answer":
                    return
        raise TransportError("The server ended the connection.")

    async def _read(self, form: Form, socket: WebSocket) -> None:
        """Read a connection to its end, or until the form to keep is known."""
        try:
            while data := await socket.read():
                await self._news.put((form, socket.received(data)))
                if self._is_decided:
                    return
                if socket.ending()[1] is not None:
                    break
            await self._news.put((form, None))
        except Exception as error:  # noqa: BLE001  for the driver, which names it
            await self._news.put((form, error))

    # The calls of a WebSocket.

    async def read(self) -> bytes:
        """Wait for news of any connection. Empty: the last connection has ended. Raises as `WebSocket.read`."""
        while True:
            if self._is_decided and self._news.empty() and all(reader.done() for reader in self._readers.values()):
                (self._last,) = self._open.values()
                data = await self._last.read()
                self._came = self._last.received(data) if data else ()
                return data
            form, came = await self._news.get()
            if (socket := self._open.get(form)) is None:  # given up meanwhile
                continue
            self._last = socket
            if not isinstance(came, Exception | None):
                self._came = self._looked_at(form, came)
                return b"news"
            if len(self._open) == 1:
                if came is None:
                    return b""
                raise came
            self._give_up(form)

    def received(self, _: bytes) -> Came:
        """Give what came."""
        return self._came

    def _looked_at(self, form: Form, came: Came) -> Came:
        """Look for an event. Gives what came, without the answer to SUBSCRIBE."""
        meanings = [meaning_of(each) for each in came]
        if "pong" in meanings:
            self._answered.add(form)
        if "event" in meanings and not self._is_decided:
            self._decide(form)
        return [each for each, meaning in zip(came, meanings, strict=True) if meaning not in ("answer", "refusal")]

    def _decide(self, form: Form) -> None:
        self._is_decided = True
        for other in [other for other in self._open if other != form]:
            self._give_up(other)
        self._decided(form)

    def _give_up(self, form: Form) -> None:
        self._open.pop(form).abort()
        self._readers.pop(form).cancel()

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
