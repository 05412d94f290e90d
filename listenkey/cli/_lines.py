"""What a line says: the JSON of an event, and the live line of `keep` and `events`. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from listenkey.cli._exits import in_our_words
from listenkey.cli._screen import fit

if TYPE_CHECKING:
    from listenkey import KeeperStatus
    from listenkey.stream import StreamStatus

COUNTS = {"dropped"}  # the integers that stay numbers. Any other integer is an id
EXACT = 2**53 - 1  # JavaScript and jq 1.6 round integers beyond
LONGEST = 1000  # digits that an amount is written out with


def fields(item: Any) -> dict[str, object]:  # noqa: ANN401  any event, or a part of one
    """Return an item by the names of its attributes; the raw mapping only where nothing else was read."""
    kind = type(item).__name__
    found = {each.name: getattr(item, each.name) for each in dataclasses.fields(item)}
    return {"type": kind} | {
        name: _raw(value) if name == "raw" else value if name in COUNTS else _plain(value)
        for name, value in found.items()
        if name != "raw" or kind == "UnknownEvent"
    }


def _plain(value: object) -> object:
    """Make a value JSON. An id is text, because a reader may round a number to another order's id."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return _amount(value) if isinstance(value, Decimal) else str(value) if isinstance(value, int) else fields(value)


def _amount(value: Decimal) -> str:
    """Write an amount out: 0.00000000, not 0E-8. Only a senseless amount, which would fill the memory, is not."""
    _, digits, exponent = value.as_tuple()
    is_short = isinstance(exponent, int) and len(digits) + abs(exponent) <= LONGEST
    return format(value, "f") if is_short else str(value)


def _raw(value: object) -> object:
    """Show what nobody could read as it came, but for numbers that a reader of JSON would round."""
    if isinstance(value, Mapping):
        return {str(name): _raw(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_raw(each) for each in value]
    if isinstance(value, Decimal):
        return _amount(value)
    return str(value) if isinstance(value, int) and abs(value) > EXACT else value


def live(key: KeeperStatus, now: datetime, stream: StreamStatus | None = None, printed: int = 0) -> str:
    """Say what a person needs: trouble first, then the next renewal and the end of the key, in clock times."""
    wait, left = (timedelta(seconds=round(seconds or 0)) for seconds in (key.next_renewal, key.time_left))
    clock = "%H:%M" if left > timedelta(minutes=10) else "%H:%M:%S"
    head, verb = "● alive", "renews"
    if stream is not None:
        head = f"● {stream.state} · {printed} printed"
        if (since := stream.blind_since) is not None:
            why = in_our_words(str(stream.last_error)) if stream.last_error else stream.state
            head = fit(f"▲ blind since {since.astimezone(now.tzinfo):%H:%M:%S}: {why}", 44)
    if key.last_error is not None:
        error, verb = in_our_words(str(key.last_error)), "tries"
        if key.at_risk or not head.startswith("▲"):
            head = fit(f"■ AT RISK: {error}" if key.at_risk else f"▲ {error}", 32)
    when = f"{now + wait:{clock}}, in {wait.seconds // 60}:{wait.seconds % 60:02}"
    return f"{head} · {verb} {when} · valid until {now + left:{clock}}"
