"""What a check may see of the stream's connections: the only door of the check into this room."""

import json
from dataclasses import dataclass
from typing import Any, Literal, cast

from listenkey._http.exchange import AsyncExchange
from listenkey._http.masking import Secret, cleaned, described
from listenkey.stream import _forms
from listenkey.stream._events import Decoder, parsed, unwrapped
from listenkey.stream._forms import Form
from listenkey.stream._streams import route_of
from listenkey.stream._websocket import WebSocket

__all__ = ["Form", "News", "Opened", "open_form", "route_of"]
LONGEST_NAME = 40  # characters of an event's name


@dataclass(frozen=True)
class News:
    """What a connection brought.

    Attributes:
        what: an answer to our ping, the answer to SUBSCRIBE, an event, a message that is none, the connection's end.
        text: why SUBSCRIBE was refused, "" if it was not; the event's name; what the message says; why the connection
            has ended.
        is_wrapped: whether the event came inside another object, such as ``{"stream": …, "data": …}``.
    """

    what: Literal["pong", "reply", "event", "other", "end"]
    text: str = ""
    is_wrapped: bool = False


class Opened:
    """An open connection of the stream."""

    def __init__(self, socket: WebSocket, key: Secret) -> None:
        self._socket, self._key, self._decoder = socket, key, Decoder()

    def ping(self) -> None:
        """Send a ping."""
        self._socket.ping()

    def close(self) -> None:
        """Send a close frame."""
        self._socket.close()

    def abort(self) -> None:
        """End the connection at once. May be repeated."""
        self._socket.abort()

    async def next(self) -> list[News]:
        """Wait for news. The last is the end."""
        try:
            data = await self._socket.read()
            news = [self._meaning(each) for each in self._socket.received(data)] if data else []
        except Exception as error:  # noqa: BLE001  whatever a library raises here is an end, and so is a bug of ours
            return [News("end", described(error, self._key))]
        is_clean, why = self._socket.ending()
        if why is not None or not data:
            news.append(News("end", "" if is_clean else why or "the server ended it without a close frame"))
        return news

    def _meaning(self, message: bytes | int) -> News:
        meaning = _forms.meaning_of(message)  # the rule of form="auto"
        if isinstance(message, int) or meaning == "pong":
            return News("pong")
        if meaning == "answer":
            return News("reply")
        if meaning != "event":
            return News("reply" if meaning == "refusal" else "other", cleaned(words_of(message), self._key))
        self._decoder.read(message, [self._key])  # logs what cannot be read whole
        content = parsed(message.decode())
        is_wrapped = "e" not in content
        event = cast(dict[str, Any], unwrapped(content) if is_wrapped else content)
        return News("event", cleaned(event["e"], self._key)[:LONGEST_NAME], is_wrapped)


def words_of(message: bytes) -> str:
    """Say in a few words what a message says that is no event. The words may hold the listen key."""
    try:
        content = json.loads(message)
    except (ValueError, RecursionError):
        return "not JSON"
    said = content.get("error", content) if isinstance(content, dict) else None
    if not isinstance(said, dict):
        return "not a JSON object"
    words = [str(each) for each in (said.get("msg"), said.get("e")) if each is not None]
    words += [f"code {said['code']}"] if said.get("code") is not None else []
    return ", ".join(words) or "without an event's name"


async def open_form(exchange: AsyncExchange, form: Form, key: Secret, seconds: float) -> Opened:
    """Open a connection that names the key in this form. Raises as `AsyncExchange.upgrade`."""
    socket = await _forms.open_form(exchange, form, key, seconds)
    if form == "subscribe":
        socket.send(_forms.subscription(key))
    return Opened(socket, key)
