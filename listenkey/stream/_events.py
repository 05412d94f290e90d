"""The meaning of a frame: an event, something unreadable, or a message about the connection. Pure.

The listen key never leaves this room: neither the `stream` of a wrapped frame nor a `listenKey` in something unknown.
"""

import json
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, cast

from binance_options_events import (
    EVENTS,
    AccountUpdate,
    Balance,
    BalancePositionUpdate,
    Greeks,
    GreekUpdate,
    ListenKeyExpired,
    Order,
    OrderTradeUpdate,
    Position,
    RiskLevelChange,
)

from listenkey.errors import ListenKeyError
from listenkey.stream._reading import UNDOCUMENTED, Reader, Unreadable, number

__all__ = [
    "AccountUpdate",
    "Balance",
    "BalancePositionUpdate",
    "Blind",
    "Decoder",
    "Event",
    "Expired",
    "Gap",
    "GreekUpdate",
    "Greeks",
    "Item",
    "Order",
    "OrderTradeUpdate",
    "Position",
    "Read",
    "Reply",
    "RiskLevelChange",
    "Shutdown",
    "UnknownEvent",
]
log = logging.getLogger("listenkey.stream")
DEEPEST = 50  # levels of something unknown; deeper levels are left out
TOLD = 100  # kinds and fields that are logged; a server that makes up names cannot fill the memory


@dataclass(frozen=True, slots=True)
class UnknownEvent:
    """An event that could not be read whole: the kind is new, or a required field is missing or of the wrong type.

    Attributes:
        kind: the event's name, the key `e`. None without a name.
        why: the part that could not be read.
        raw: the event as it arrived, with listen keys masked; empty when the frame was no JSON object.
    """

    kind: str | None
    why: str
    raw: Mapping[str, Any] = field(repr=False, hash=False)


@dataclass(frozen=True, slots=True)
class Gap:
    """Here events may be missing. Take a snapshot over REST now: the events after this item follow the snapshot.

    Attributes:
        reason: ``started``: the stream begins. ``reconnected``: the connection was lost. ``key_replaced``: the
            account has another listen key. ``key_expired``: the server said that the listen key ended.
            ``mute``: the connection lived, and the events of a held position stopped. ``overflow``: the program was
            too slow, and `dropped` events were not kept.
        since: the last proof that key and connection lived, in UTC. None with ``started``.
        until: from here on events are complete again, in UTC.
        dropped: how many events were not kept; 0 where nobody can know.
    """

    reason: Literal["started", "reconnected", "key_replaced", "key_expired", "mute", "overflow"]
    since: datetime | None
    until: datetime
    dropped: int = 0


Event = AccountUpdate | BalancePositionUpdate | GreekUpdate | OrderTradeUpdate | RiskLevelChange | UnknownEvent


@dataclass(frozen=True, slots=True)
class Blind:
    """From now on events may be missing; a `Gap` follows as soon as they come again. Only with ``tell_blind=True``.

    Attributes:
        since: the last proof that key and connection lived, in UTC. None before the first connection.
        error: why the connection was lost, or could not be opened, or why the listen key could not be proven. None when
            nobody knows.
    """

    since: datetime | None
    error: ListenKeyError | None


@dataclass(frozen=True)
class Expired:
    """The server says that a listen key has ended.

    Attributes:
        listen_key: the key that has ended. None when the server does not say.
        said: when, as the server wrote it: two messages that say the same are about one end. Anything, even None.
    """

    listen_key: str | None = field(repr=False)
    said: object


@dataclass(frozen=True)
class Shutdown:
    """The server is about to close the connection."""


@dataclass(frozen=True)
class Reply:
    """The answer to SUBSCRIBE."""

    accepted: bool


Item = Event | Gap | Blind  # of a stream
Read = Event | Expired | Shutdown | Reply  # the meanings of a frame


def refuse_constant(name: str) -> None:
    raise ValueError(name)  # NaN and Infinity are no JSON


JSON = json.JSONDecoder(parse_float=number, parse_constant=refuse_constant)


class Decoder:
    """Reads frames, and logs each kind of trouble once."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()
        self._readers = {
            kind: Reader(cls, self._tell_field) for kind, cls in EVENTS.items() if cls is not ListenKeyExpired
        }
        self._at_once = {kind: reader.read_at_once for kind, reader in self._readers.items()}

    def read(self, frame: str | bytes, keys: Collection[str]) -> Read:
        """Read a frame. `keys` are the listen keys that the frame may contain."""
        try:
            text = frame if isinstance(frame, str) else frame.decode()
            content = parsed(text)
        except (ValueError, RecursionError):
            return self._unknown(None, "not JSON", {}, keys)
        if not isinstance(content, dict):
            return self._unknown(None, "not a JSON object", {}, keys)
        if "e" not in content:
            content = unwrapped(content)
            if isinstance(content, Reply):
                return content
        kind = content.get("e")
        read_at_once = self._at_once.get(kind) if isinstance(kind, str) else None
        if read_at_once is None:
            return self._meaning(content, kind, keys)
        if may_hold_key(text, keys):
            content = masked(content, keys)
        try:
            event: Event = read_at_once(content)
        except UNDOCUMENTED:
            return self._read_by_field(content, cast(str, kind), keys)
        return event

    def _read_by_field(self, content: dict[str, Any], kind: str, keys: Collection[str]) -> Event:
        """Read an event of which something is not as documented."""
        try:
            return cast(Event, self._readers[kind].read_by_field(content, kind))
        except Unreadable as error:
            return self._unknown(kind, f"{error} is required, and missing or of the wrong type", content, keys)

    def _meaning(self, content: dict[str, Any], kind: object, keys: Collection[str]) -> Read:
        """Say what something means that is no event of the account."""
        if not isinstance(kind, str):
            return self._unknown(None, "no event's name", content, keys)
        if kind == "serverShutdown":
            return Shutdown()
        if kind == "listenKeyExpired":  # the name is the news, whatever the fields are
            key = content.get("listenKey")
            return Expired(key if isinstance(key, str) else None, content.get("E"))
        return self._unknown(kind, "a kind of event that is not documented", content, keys)

    def _unknown(self, kind: str | None, why: str, raw: Mapping[str, Any], keys: Collection[str]) -> UnknownEvent:
        kind, why, raw = (masked(each, keys) for each in (kind, why, raw))
        self._tell("", str(kind), f"an event arrived that could not be read whole: {str(kind)[:80]!r}: {why[:200]}")
        return UnknownEvent(kind, why, raw)

    def _tell_field(self, where: str, key: str) -> None:
        self._tell(where, key, f"{where}.{key} cannot be read: its attribute is None")

    def _tell(self, where: str, what: str, text: str) -> None:
        if (where, what) not in self._told and len(self._told) < TOLD:
            self._told.add((where, what))
            log.warning("%s", text, extra={"listenkey_event": "unreadable", "listenkey_kind": where or what})


def parsed(text: str) -> Any:  # noqa: ANN401  as JSON is
    """Parse JSON. Raises ValueError or RecursionError."""
    text = text.strip(" \t\n\r")  # `decode` takes longer to see that there is no space
    content, end = JSON.raw_decode(text)
    if end < len(text):
        raise ValueError
    return content


def unwrapped(content: dict[str, Any]) -> dict[str, Any] | Reply:
    """Give the event that a frame wraps, or the answer to SUBSCRIBE."""
    if "id" in content and ("result" in content or "error" in content or "code" in content):
        return Reply(accepted=content.get("error") is None and content.get("code") is None)
    inner = next((content[name] for name in ("data", "event") if isinstance(content.get(name), dict)), None)
    return {name: each for name, each in content.items() if name != "stream"} if inner is None else inner


def may_hold_key(text: str, keys: Collection[str]) -> bool:
    """Whether a listen key may be in the text of a frame, besides the name of the stream that wraps the event."""
    if "\\" in text or "listenkey" in text.lower():  # a letter may be written as an escape
        return True
    for key in keys:  # noqa: SIM110  `any` takes twice as long
        if key in text and text.count(key) > text.count('"stream"'):
            return True
    return False


def masked(value: Any, keys: Collection[str], name: str = "", depth: int = 0) -> Any:  # noqa: ANN401  as JSON is
    if isinstance(value, dict) and depth < DEEPEST:
        return {masked(key, keys): masked(each, keys, key, depth + 1) for key, each in value.items()}
    if isinstance(value, list) and depth < DEEPEST:
        return [masked(each, keys, name, depth + 1) for each in value]
    if isinstance(value, str):
        for key in keys:
            value = value.replace(key, "***")
    return "***" if (isinstance(value, str) and name.lower() == "listenkey") or depth >= DEEPEST else value
