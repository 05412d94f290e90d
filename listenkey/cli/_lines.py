"""What a line says: an event for programs and for people, and the live line of `keep` and `events`. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
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


def kind_of(item: Any) -> str:  # noqa: ANN401  any item
    """Name an item by its class."""
    return type(item).__name__


def as_fields(item: Any, at: datetime) -> dict[str, object]:  # noqa: ANN401
    """Return an item by the names of its attributes, with the time of its arrival."""
    return {"at": _stamp(at), **fields(item)}


def as_raw(item: Any, at: datetime) -> dict[str, object]:  # noqa: ANN401
    """Return an event as it came, and a Gap by its attributes. `listenkey sandbox --play` reads this."""
    if kind_of(item) != "Gap":
        name = item.kind if kind_of(item) == "UnknownEvent" else item.event_type
        return {"at": _stamp(at), "kind": name, "raw": item.raw}
    since = None if item.since is None else _stamp(item.since)
    gap = {"reason": item.reason, "since": since, "until": _stamp(item.until), "dropped": item.dropped}
    return {"at": _stamp(at), "gap": gap}


def _stamp(when: datetime) -> str:
    return f"{when.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


# For people


def for_people(item: Any, at: datetime) -> str:  # noqa: ANN401
    """Say an item in a short line. `at`: when it came, in the person's time zone."""
    return f"{at:%H:%M:%S}  " + "".join(filter(str.isprintable, SAID[kind_of(item)](item)))


def _account(item: Any) -> str:  # noqa: ANN401
    return f"account: equity {_short(item.equity)} USDT, maintenance margin {_short(item.maintenance_margin)} USDT"


def _changes(item: Any) -> str:  # noqa: ANN401
    said = [f"balance {_short(each.balance)} {each.asset}" for each in item.balances]
    said += [f"position {_short(each.quantity)} {each.symbol}" for each in item.positions]
    return f"{', '.join(said) or 'no balance or position'} ({item.reason or 'no reason'})"


def _greeks(item: Any) -> str:  # noqa: ANN401
    said = (f"{each.underlying} delta {_short(each.delta)}, theta {_short(each.theta)}" for each in item.greeks)
    return f"greeks: {'; '.join(said)}"


def _order(item: Any) -> str:  # noqa: ANN401
    order = item.order
    asked = f"{order.side} {_short(order.quantity)} {order.symbol} at {_short(order.price)}"
    said = f"order {order.client_order_id}: {asked}, {order.status}"
    if order.execution_type != "TRADE":
        return said
    return f"{said}, {_short(order.last_filled_quantity)} filled at {_short(order.last_filled_price)}"


def _risk(item: Any) -> str:  # noqa: ANN401
    amounts = f"margin balance {_short(item.margin_balance)}, maintenance margin {_short(item.maintenance_margin)}"
    return f"risk level {item.risk_level or 'not told'}: {amounts}"


def _gap(item: Any) -> str:  # noqa: ANN401
    since = "" if item.since is None else f" since {item.since:%Y-%m-%d %H:%M:%S} UTC"
    return f"gap: {item.reason}, events may be missing{since}"


def _short(amount: Decimal) -> str:
    """Write an amount without the zeros at its end."""
    written = _amount(amount)
    return written.rstrip("0").rstrip(".") if "." in written and "E" not in written else written


SAID: Mapping[str, Callable[[Any], str]] = {
    "AccountUpdate": _account,
    "BalancePositionUpdate": _changes,
    "GreekUpdate": _greeks,
    "OrderTradeUpdate": _order,
    "RiskLevelChange": _risk,
    "UnknownEvent": lambda item: f"unknown event {item.kind or 'without a name'}: {item.why}",
    "Gap": _gap,
}


def live(key: KeeperStatus, now: datetime) -> str:
    """Say what a person needs of a key: trouble first, then the next renewal and the end of the key, in clock times."""
    wait, left = (timedelta(seconds=round(seconds or 0)) for seconds in (key.next_renewal, key.time_left))
    clock = "%H:%M" if left > timedelta(minutes=10) else "%H:%M:%S"
    head, verb = "● alive", "renews"
    if key.last_error is not None:
        error, verb = in_our_words(str(key.last_error)), "tries"
        head = fit(f"■ AT RISK: {error}" if key.at_risk else f"▲ {error}", 32)
    when = f"{now + wait:{clock}}, in {wait.seconds // 60}:{wait.seconds % 60:02}"
    return f"{head} · {verb} {when} · valid until {now + left:{clock}}"


def live_stream(stream: StreamStatus, now: datetime, printed: int) -> str:
    """Say what a person needs of a stream: since when and why no event can come, or the state."""
    if (since := stream.blind_since) is None:
        return f"● {stream.state} · {printed} printed"
    why = in_our_words(str(stream.last_error)) if stream.last_error else stream.state
    return f"▲ blind since {since.astimezone(now.tzinfo):%H:%M:%S} · {printed} printed · {why}"
