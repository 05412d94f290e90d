"""The meaning of a frame: an event, something unreadable, or a message about the connection. Pure.

The listen key never leaves this room: neither the `stream` of a wrapped frame nor a `listenKey` in something unknown.
"""

import json
import logging
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, cast

from binance_options_events import (
    EVENTS,
    FIELDS,
    AccountUpdate,
    Balance,
    BalancePositionUpdate,
    Field,
    Greeks,
    GreekUpdate,
    Order,
    OrderTradeUpdate,
    Position,
    RiskLevelChange,
)

from listenkey.errors import ListenKeyError

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
_log = logging.getLogger("listenkey.stream")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DECIMAL = re.compile(r"-?\d+(\.\d+)?([eE][-+]?\d{1,3})?", re.ASCII)
_INTEGER = re.compile(r"-?\d{1,19}", re.ASCII)
_DEEPEST = 50  # levels of something unknown; deeper levels are left out
_TOLD = 100  # kinds and fields that are logged; a server that makes up names cannot fill the memory


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


class _Unreadable(Exception):
    """The unreadable part, by the keys of the wire."""


class Decoder:
    """Reads frames, and logs each kind of trouble once."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()

    def read(self, frame: str | bytes, keys: Collection[str]) -> Read:
        """Read a frame. `keys` are the listen keys that the frame may contain."""
        try:
            text = frame if isinstance(frame, str) else frame.decode()
            content = json.loads(text, parse_float=_number, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            return self._unknown(None, "not JSON", {}, keys)
        if not isinstance(content, dict):
            return self._unknown(None, "not a JSON object", {}, keys)
        if "e" not in content:
            if "id" in content and ("result" in content or "error" in content or "code" in content):
                return Reply(accepted=content.get("error") is None and content.get("code") is None)
            inner = next((content[name] for name in ("data", "event") if isinstance(content.get(name), dict)), None)
            content = {name: each for name, each in content.items() if name != "stream"} if inner is None else inner
        return self._meaning(content, text, keys)

    def _meaning(self, content: dict[str, Any], text: str, keys: Collection[str]) -> Read:
        kind = content.get("e")
        if not isinstance(kind, str):
            return self._unknown(None, "no event's name", content, keys)
        if kind == "serverShutdown":
            return Shutdown()
        if kind == "listenKeyExpired":  # the name is the news, whatever the fields are
            key = content.get("listenKey")
            return Expired(key if isinstance(key, str) else None, content.get("E"))
        if (event := EVENTS.get(kind)) is None:
            return self._unknown(kind, "a kind of event that is not documented", content, keys)
        if _may_hold_key(text, keys):
            content = cast(dict[str, Any], _masked(content, keys))
        try:
            values = self._values(event, content, kind)
        except _Unreadable as error:
            return self._unknown(kind, f"{error} is required, and missing or of the wrong type", content, keys)
        return cast(Event, event(raw=content, **values))

    def _values(self, cls: type, content: Mapping[str, Any], where: str) -> dict[str, Any]:
        values = {}
        for each in FIELDS[cls]:
            value = content.get(each.key)
            try:
                if each.of is None:
                    values[each.name] = _READERS[each.kind](value)
                else:
                    values[each.name] = self._nested(each, value, f"{where}.{each.key}")
            except (_Unreadable, ValueError, TypeError, OverflowError) as error:
                if each.required:
                    raise error if isinstance(error, _Unreadable) else _Unreadable(f"{where}.{each.key}") from None
                values[each.name] = None
                if value is not None:
                    self._tell(where, each.key, f"{where}.{each.key} cannot be read: its attribute is None")
        return values

    def _nested(self, each: Field, value: object, where: str) -> object:
        cls = cast(type, each.of)
        if each.kind == "object":
            return cls(**self._values(cls, cast(Mapping[str, Any], _of_type(dict, value)), where))
        parts = cast(list[object], _of_type(list, value))
        return tuple(cls(**self._values(cls, cast(Mapping[str, Any], _of_type(dict, one)), where)) for one in parts)

    def _unknown(self, kind: str | None, why: str, raw: Mapping[str, Any], keys: Collection[str]) -> UnknownEvent:
        kind, why, raw = (_masked(each, keys) for each in (kind, why, raw))
        self._tell("", str(kind), f"an event arrived that could not be read whole: {str(kind)[:80]!r}: {why[:200]}")
        return UnknownEvent(kind, why, raw)

    def _tell(self, where: str, what: str, text: str) -> None:
        if (where, what) not in self._told and len(self._told) < _TOLD:
            self._told.add((where, what))
            _log.warning("%s", text, extra={"listenkey_event": "unreadable", "listenkey_kind": where or what})


def _may_hold_key(text: str, keys: Collection[str]) -> bool:
    """Whether a listen key may be in the text of a frame, besides the name of the stream that wraps the event."""
    return "\\u" in text or "istenk" in text.lower() or any(text.count(key) > text.count('"stream"') for key in keys)


def _number(text: str) -> Decimal | str:
    """Read a number with a point or an exponent. A number that would fill the memory when printed stays a text."""
    return Decimal(text) if _DECIMAL.fullmatch(text) else text


def _refuse_constant(name: str) -> None:
    raise ValueError(name)  # NaN and Infinity are no JSON


def _of_type(kind: type, value: object) -> object:
    if type(value) is not kind:  # no bool for an int
        raise TypeError
    return value


def _decimal(value: object) -> Decimal:
    if isinstance(value, str):
        if not _DECIMAL.fullmatch(value):  # Decimal itself takes NaN, 1_000 and more
            raise ValueError
        return Decimal(value)
    return value if isinstance(value, Decimal) else Decimal(_integer(value))


def _integer(value: object) -> int:
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    return cast(int, _of_type(int, value))


def _time(value: object) -> datetime:
    return _EPOCH + timedelta(milliseconds=_integer(value))


_READERS: Mapping[str, Callable[[object], object]] = {
    "text": lambda value: _of_type(str, value),
    "flag": lambda value: _of_type(bool, value),
    "integer": _integer,
    "decimal": _decimal,
    "time": _time,
}


def _masked(value: Any, keys: Collection[str], name: str = "", depth: int = 0) -> Any:  # noqa: ANN401  as JSON is
    if isinstance(value, dict) and depth < _DEEPEST:
        return {_masked(key, keys): _masked(each, keys, key, depth + 1) for key, each in value.items()}
    if isinstance(value, list) and depth < _DEEPEST:
        return [_masked(each, keys, name, depth + 1) for each in value]
    if isinstance(value, str):
        for key in keys:
            value = value.replace(key, "***")
    return "***" if (isinstance(value, str) and name.lower() == "listenkey") or depth >= _DEEPEST else value
