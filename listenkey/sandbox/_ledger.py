"""The orders, positions and balances of an account. Has no connections.

A ledger changes by events alone: the ledger of an account follows each event of the account. So the three answers of a
snapshot agree with the events, also with events that a test makes itself, and with events that a fault loses.
The functions below make the events of a change: an order is placed, filled or ended, a position or a balance is set.
"""

from __future__ import annotations

import copy
import time
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Context, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Event = dict[str, Any]
    Make = Callable[["Ledger", int], Iterator[Event]]

OPEN = ("NEW", "PARTIALLY_FILLED")
ENDS = ("CANCELED", "EXPIRED", "EXPIRED_IN_MATCH")  # of an order that is not filled
FIRST_ID = 4611875134427365377  # of an order. Beyond 2⁵³, as Binance's are: a client that reads floats fails here
_QUOTE, _START = "USDT", Decimal(1000)  # what an account has at first
_PLACES, _MOST = Decimal("0.00000001"), 10**12
_HELD = {"priceScale": 2, "quantityScale": 2, "quoteAsset": _QUOTE}
_OPTION = "an option, such as BTC-260626-90000-C"
_EXACT = Context(prec=60)  # for amounts of any event


class Ledger:
    """The things of an account, by the events' own keys. A caller holds the lock of `Streams`."""

    def __init__(self) -> None:
        self.orders: dict[int, dict[str, Any]] = {}  # the open ones: `o` of the last event
        self.positions: dict[str, dict[str, Any]] = {}  # an entry of `P`
        self.balances: dict[str, str] = {_QUOTE: text(_START)}
        self.greeks: dict[str, dict[str, Any]] = {}
        self._totals: dict[str, Any] | None = None  # the last ACCOUNT_UPDATE

    def note(self, event: Mapping[str, Any]) -> None:
        """Follow an event. Of an event that Binance would not send, follow the parts that can be read."""
        with suppress(LookupError, TypeError, AttributeError):
            at = event.get("T", 0)
            match event.get("e"):
                case "ORDER_TRADE_UPDATE":
                    self._note_order(dict(event["o"]), at)
                case "BALANCE_POSITION_UPDATE":
                    self._totals = None  # reckoned anew
                    for each in event.get("B", ()):
                        self.balances[each["a"]] = each["b"]
                    for each in event.get("P", ()):
                        self._note_position(dict(each), at)
                case "GREEK_UPDATE":
                    self.greeks |= {each["u"]: dict(each) for each in event["G"]}
                case "ACCOUNT_UPDATE":
                    self._totals = dict(event)

    def _note_order(self, order: dict[str, Any], at: object) -> None:
        before = self.orders.pop(order["i"], {})
        if order["X"] in OPEN:
            self.orders[order["i"]] = {**order, "created": before.get("created", at), "updated": at}

    def _note_position(self, position: dict[str, Any], at: object) -> None:
        self.positions.pop(position["s"], None)
        if amount(position["c"]):
            self.positions[position["s"]] = {**position, "updated": at}

    def totals(self) -> dict[str, Any]:
        """Give the amounts of ACCOUNT_UPDATE. How Binance reckons them is on no page; margins are left at 0."""
        if self._totals is not None:
            return {key: value for key, value in self._totals.items() if key not in ("e", "E", "T")}
        balance = amount(self.balances.get(_QUOTE, "0"))
        values = [
            (amount(each.get("p")), amount(each["c"]) * amount(each.get("a"))) for each in self.positions.values()
        ]
        value, gain = sum(value for value, _ in values), sum(value - cost for value, cost in values)
        equity = text(balance + value)
        rest = {"m": text(Decimal(value)), "u": text(Decimal(gain)), "i": "0", "M": "0"}
        return {"eq": equity, "aeq": equity, "b": text(balance), **rest}

    # The three answers, as their pages show them: "Query Current Open Option Orders", "Option Position Information",
    # "Option Margin Account Information".

    def open_orders(self, symbol: str | None) -> list[dict[str, Any]]:
        """Answer GET /eapi/v1/openOrders."""
        return [
            {
                **{name: each.get(key) for key, name in _ORDER.items() if key in each},
                "createTime": each["created"],
                "updateTime": each["updated"],
                **_HELD,
                "optionSide": option(each.get("s"))["optionSide"],
                "mmp": False,
            }
            for each in self.orders.values()
            if symbol in (None, each.get("s"))
        ]

    def position(self, symbol: str | None) -> list[dict[str, Any]]:
        """Answer GET /eapi/v1/position."""
        found = []
        for each in self.positions.values():
            quantity, value = amount(each["c"]), amount(each.get("p"))
            if symbol in (None, each["s"]):
                found.append(
                    {
                        "entryPrice": each.get("a"),
                        "symbol": each["s"],
                        "side": "LONG" if quantity > 0 else "SHORT",
                        "quantity": each["c"],
                        "markValue": each.get("p"),
                        "unrealizedPNL": text(value - quantity * amount(each.get("a"))),
                        "markPrice": text(value / quantity),
                        **option(each["s"]),
                        **_HELD,
                        "time": each["updated"],
                        "bidQuantity": self._ordered(each["s"], "BUY"),
                        "askQuantity": self._ordered(each["s"], "SELL"),
                    }
                )
        return found

    def _ordered(self, symbol: str, side: str) -> str:
        ours = [each for each in self.orders.values() if (each.get("s"), each.get("S")) == (symbol, side)]
        return text(Decimal(sum(amount(each.get("q")) - amount(each.get("z")) for each in ours)))

    def margin_account(self, at: int) -> dict[str, Any]:
        """Answer GET /eapi/v1/marginAccount."""
        totals = self.totals()
        assets = []
        for asset, balance in self.balances.items():
            row = {name: totals.get(key) if asset == _QUOTE else "0" for key, name in _TOTALS.items()}
            equity = totals.get("eq") if asset == _QUOTE else balance
            assets.append({"asset": asset, "marginBalance": balance, **row, "equity": equity, "available": balance})
        greeks = [{name: each.get(key) for key, name in _GREEKS.items()} for each in self.greeks.values()]
        may = {"canTrade": True, "canDeposit": True, "canWithdraw": True, "reduceOnly": False}
        return {"asset": assets, "greek": greeks, "time": at, **may}


_ORDER = {"i": "orderId", "s": "symbol", "p": "price", "q": "quantity", "z": "executedQty", "S": "side", "o": "type"}
_ORDER |= {"f": "timeInForce", "R": "reduceOnly", "X": "status", "ap": "avgPrice", "c": "clientOrderId"}
_TOTALS = {"i": "initialMargin", "M": "maintMargin", "u": "unrealizedPNL", "aeq": "adjustedEquity"}
_GREEKS = {"u": "underlying", "d": "delta", "t": "theta", "g": "gamma", "v": "vega"}


class Ledgers:
    """The ledger of each account, and one for accounts to come, which follows the events of every account."""

    def __init__(self) -> None:
        self._by_account: dict[str | None, Ledger] = {None: Ledger()}
        self._orders = 0
        self._last = 0

    def of(self, account: str) -> Ledger:
        """Give an account's ledger."""
        if account not in self._by_account:
            self._by_account[account] = copy.deepcopy(self._by_account[None])
        return self._by_account[account]

    def concerned(self, account: str | None) -> Iterator[tuple[str | None, Ledger]]:
        """Give the ledgers that an event of an account changes. None: of every account."""
        if account is not None:
            yield account, self.of(account)
        else:
            yield from list(self._by_account.items())

    def now(self) -> int:
        """Give the time of a change or an answer. No two have the same time."""
        self._last = max(int(time.time() * 1000), self._last + 1)
        return self._last

    def next_order(self) -> tuple[int, int]:
        """Give an order's ID, and its number."""
        self._orders += 1
        return FIRST_ID + self._orders - 1, self._orders


# The events of a change, for a ledger and a time. The ledger has noted an event before the next one is made.
# Each function raises ValueError, or the first event does: the change cannot be.


def placed(order_id: int, client_id: object, symbol: object, side: object, quantity: object, price: object) -> Make:
    """Make the event of a new order."""
    who = {"s": name_of("symbol", symbol, _OPTION), "S": side, "o": "LIMIT", "f": "GTC", "i": order_id}
    who["c"] = name_of("client_order_id", client_id, "an order, such as mm7-000418")
    if side not in ("BUY", "SELL"):
        raise ValueError(f"side must be BUY or SELL, not {side!r}.")
    asked = {"q": text(above_zero("quantity", quantity)), "p": text(above_zero("price", price))}
    return lambda _, at: iter([_order_event({**who, **asked, **_NOTHING_FILLED, "x": "NEW", "X": "NEW"}, at)])


def filled(order_id: object, quantity: object, price: object) -> Make:
    """Make the events of a fill: the order's, the position's and balance's, the totals'."""
    part = None if quantity is None else above_zero("quantity", quantity)
    at_price = None if price is None else above_zero("price", price)

    def make(ledger: Ledger, at: int) -> Iterator[Event]:
        order = open_order(ledger, order_id)
        before, wanted = amount(order.get("z")), amount(order.get("q"))
        last, paid = part or wanted - before, at_price or amount(order.get("p"))
        done = before + last
        if done > wanted:
            raise ValueError(f"quantity must be at most {text(wanted - before)}: so much of the order is open.")
        signed, symbol = last if order.get("S") == "BUY" else -last, str(order.get("s"))
        position, profit = _moved(ledger.positions.get(symbol), symbol, signed, paid)
        fill = {
            "x": "TRADE",
            "X": "FILLED" if done == wanted else "PARTIALLY_FILLED",
            "l": text(last),
            "z": text(done),
            "L": text(paid),
            "ap": text((amount(order.get("ap")) * before + paid * last) / done),
            "rp": text(profit),
            "N": _QUOTE,
            "t": int(amount(order.get("t"))) + 1,
        }
        yield _order_event({**order, **fill}, at)
        balance = amount(ledger.balances.get(_QUOTE)) - signed * paid
        yield from _changed(ledger, at, "ORDER", balances={_QUOTE: balance}, position=position)

    return make


def ended(order_id: object, status: object) -> Make:
    """Make the event of the end of an order that is not filled."""
    if status not in ENDS:
        raise ValueError(f"status must be {', '.join(ENDS[:-1])} or {ENDS[-1]}, not {status!r}.")
    happened = "CANCELED" if status == "CANCELED" else "EXPIRED"
    end = {"x": happened, "X": status, "l": "0", "L": "0", "N": None, "rp": "0"}
    return lambda ledger, at: iter([_order_event({**open_order(ledger, order_id), **end}, at)])


def held(symbol: object, quantity: object, average_price: object) -> Make:
    """Make the events of a position that is set."""
    named = name_of("symbol", symbol, _OPTION)
    count, price = number("quantity", quantity), above_zero("average_price", average_price)
    position = _position(named, count, price, price)
    return lambda ledger, at: _changed(ledger, at, "ORDER", position=position)


def owned(asset: object, balance: object) -> Make:
    """Make the events of a balance that is set: a deposit or a withdrawal."""
    named, left = name_of("asset", asset, "an asset, such as USDT"), number("balance", balance)

    def make(ledger: Ledger, at: int) -> Iterator[Event]:
        reason = "DEPOSIT" if left >= amount(ledger.balances.get(named)) else "WITHDRAW"
        return _changed(ledger, at, reason, balances={named: left})

    return make


def beat(ledger: Ledger, at: int) -> Iterator[Event]:
    """Make the ACCOUNT_UPDATE that comes every 10 seconds while a position is held."""
    yield {"e": "ACCOUNT_UPDATE", "E": at, "T": at, **ledger.totals()}


def open_order(ledger: Ledger, order_id: object) -> dict[str, Any]:
    """Find an order that is open."""
    try:
        order = ledger.orders[order_id]  # type: ignore[index]
    except (KeyError, TypeError):
        raise ValueError(f"There is no open order {order_id!r}.") from None
    return {key: value for key, value in order.items() if key not in ("created", "updated")}


_NOTHING_FILLED: dict[str, Any] = dict.fromkeys(("ap", "l", "z", "L", "n", "rp"), "0")
_NOTHING_FILLED |= {"N": None, "t": 0, "m": True, "R": False, "ot": "LIMIT", "V": "NONE"}


def _order_event(order: Mapping[str, Any], at: int) -> Event:
    rest = text(amount(order.get("q")) - amount(order.get("z"))) if order["X"] in OPEN else "0"
    sides = {"b": rest, "a": "0"} if order.get("S") == "BUY" else {"b": "0", "a": rest}
    return {"e": "ORDER_TRADE_UPDATE", "E": at, "T": at, "o": {**order, "T": at, **sides}}


def _changed(
    ledger: Ledger,
    at: int,
    reason: str,
    balances: Mapping[str, Decimal] | None = None,
    position: Mapping[str, str] | None = None,
) -> Iterator[Event]:
    """Make the events of a change of balance and position: what changed, then the totals."""
    changes = [
        {"a": asset, "b": text(balance), "bc": text(balance - amount(ledger.balances.get(asset)))}
        for asset, balance in (balances or {}).items()
    ]
    positions = [] if position is None else [position]
    yield {"e": "BALANCE_POSITION_UPDATE", "E": at, "T": at, "m": reason, "B": changes, "P": positions}
    yield from beat(ledger, at)


def _moved(
    before: Mapping[str, Any] | None, symbol: str, signed: Decimal, price: Decimal
) -> tuple[dict[str, str], Decimal]:
    """Trade in a position: the position after it, and the profit that is realized."""
    count, average = (amount(before["c"]), amount(before.get("a"))) if before else (Decimal(0), Decimal(0))
    after = count + signed
    if count * signed >= 0:  # the position grows
        return _position(symbol, after, (average * count + price * signed) / after, price), Decimal(0)
    closed = min(abs(count), abs(signed)).copy_sign(count)
    return _position(symbol, after, average if after * count > 0 else price, price), (price - average) * closed


def _position(symbol: str, count: Decimal, average: Decimal, price: Decimal) -> dict[str, str]:
    return {"s": symbol, "c": text(count), "p": text(count * price), "a": text(average if count else Decimal(0))}


def option(symbol: object) -> dict[str, Any]:
    """Read the name of an option, such as BTC-260626-90000-C. Another name has no date and no price."""
    strike, expiry, side = "0", 0, "CALL"
    with suppress(ValueError, AttributeError):
        _, day, strike, letter = symbol.split("-")  # type: ignore[attr-defined]
        side = "PUT" if letter == "P" else "CALL"
        expiry = int(datetime.strptime(f"{day} 08", "%y%m%d %H").replace(tzinfo=UTC).timestamp() * 1000)
    return {"strikePrice": strike, "expiryDate": expiry, "optionSide": side}


def amount(value: object) -> Decimal:
    """Read an amount of an event. Anything else counts as 0."""
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return Decimal(0)
    return found if found.is_finite() and abs(found) < _MOST else Decimal(0)


def text(value: Decimal) -> str:
    """Write an amount as Binance does: plain, with at most 8 decimals."""
    rounded = value.quantize(_PLACES, context=_EXACT)
    return format(rounded.normalize(_EXACT), "f") if rounded else "0"


def name_of(name: str, value: object, what: str) -> str:
    """Take the name of a thing from a test."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} must be the name of {what}, not {value!r}.")
    return value


def number(name: str, value: object) -> Decimal:
    """Take an amount from a test."""
    try:
        found = Decimal(str(value))
        if isinstance(value, bool) or not found.is_finite() or abs(found) >= _MOST:
            raise ValueError
    except (InvalidOperation, ValueError):
        raise ValueError(f"{name} must be an amount, such as 0.4 or '0.4', not {value!r}.") from None
    return found.quantize(_PLACES, context=_EXACT)  # as the events say it


def above_zero(name: str, value: object) -> Decimal:
    """Take an amount above 0 from a test."""
    if (found := number(name, value)) <= 0:
        raise ValueError(f"{name} must be above 0, not {value!r}.")
    return found
