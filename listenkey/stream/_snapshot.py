"""What the three answers of a snapshot say: orders, positions and the margin account, checked field by field. Pure.

account.yaml describes the answers, with sources.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from listenkey.errors import SnapshotError
from listenkey.stream._events import Greeks, Position
from listenkey.stream._reading import VALUES

# User Data Streams page (status of an order); ACCEPTED: page of the open orders; EXPIRED_IN_MATCH: Binance's schema.
OPEN = frozenset({"NEW", "PARTIALLY_FILLED", "ACCEPTED"})
FINAL = frozenset({"FILLED", "CANCELED", "EXPIRED", "EXPIRED_IN_MATCH"})
TOTALS = "USDT"  # ACCOUNT_UPDATE is in USDT
KINDS = {
    "text": "a text",
    "flag": "true or false",
    "integer": "an integer",
    "decimal": "a decimal as a text",
    "time": "milliseconds since 1970",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderState:
    """An order as it stands.

    Attributes:
        order_id: the exchange's ID, up to 64 bits.
        client_order_id: the client's ID.
        symbol: the option.
        side: BUY or SELL.
        status: the documented ones are ACCEPTED, NEW, PARTIALLY_FILLED, FILLED, CANCELED, EXPIRED, EXPIRED_IN_MATCH.
        quantity: contracts ordered.
        filled_quantity: contracts filled so far.
        price: price asked, in USDT.
        average_price: average price of the fills so far, in USDT.
        updated_at: when the exchange changed the order last, in UTC.
        order_type: LIMIT, for example. None: not sent.
        time_in_force: GTC, for example. None: not sent.
        reduce_only: whether the order can only make a position smaller. None: not sent.
    """

    order_id: int
    client_order_id: str
    symbol: str
    side: str
    status: str
    quantity: Decimal
    filled_quantity: Decimal
    price: Decimal
    average_price: Decimal
    updated_at: datetime
    order_type: str | None = None
    time_in_force: str | None = None
    reduce_only: bool | None = None

    @property
    def is_open(self) -> bool:
        """Whether the order may still be filled: ACCEPTED, NEW or PARTIALLY_FILLED. An unknown status: False."""
        return self.status in OPEN

    @property
    def is_final(self) -> bool:
        """Whether the order has ended: FILLED, CANCELED, EXPIRED or EXPIRED_IN_MATCH. An unknown status: False."""
        return self.status in FINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """The account's totals, in USDT.

    Attributes:
        updated_at: when the exchange wrote them, in UTC.
        equity: account equity.
        adjusted_equity: adjusted account equity. None: older pages of the margin account do not have it.
        wallet_balance: wallet balance: `b` of ACCOUNT_UPDATE, `marginBalance` of the margin account. The pages call
            both the account's balance. No page says that the two are the same.
        position_value: market value of the positions. None after a snapshot, which does not have it.
        unrealized_profit: unrealized profit and loss.
        initial_margin: initial margin.
        maintenance_margin: maintenance margin.
    """

    updated_at: datetime
    equity: Decimal
    adjusted_equity: Decimal | None
    wallet_balance: Decimal
    position_value: Decimal | None
    unrealized_profit: Decimal
    initial_margin: Decimal
    maintenance_margin: Decimal


@dataclass(frozen=True, slots=True)
class MarginAccount:
    """The answer of ``GET /eapi/v1/marginAccount``: the balances, totals and greeks of a moment."""

    at: datetime
    balances: dict[str, Decimal]
    totals: dict[str, Totals]
    greeks: dict[str, Greeks]


def read_orders(answer: object) -> list[OrderState]:
    """Read the answer of ``GET /eapi/v1/openOrders``. Raises SnapshotError."""
    return [
        OrderState(
            order_id=row.need("orderId", "integer"),
            client_order_id=row.need("clientOrderId", "text"),
            symbol=row.need("symbol", "text"),
            side=row.need("side", "text"),
            status=row.need("status", "text"),
            quantity=row.need("quantity", "decimal"),
            filled_quantity=row.need("executedQty", "decimal"),
            price=row.need("price", "decimal"),
            average_price=row.need("avgPrice", "decimal"),
            updated_at=row.need("updateTime", "time"),
            order_type=row.may("type", "text"),
            time_in_force=row.may("timeInForce", "text"),
            reduce_only=row.may("reduceOnly", "flag"),
        )
        for row in rows_of(answer, "open_orders")
    ]


def read_positions(answer: object) -> list[tuple[Position, datetime | None]]:
    """Read the answer of ``GET /eapi/v1/position``, with the times, which older pages lack. Raises SnapshotError."""
    found = []
    for row in rows_of(answer, "positions"):
        position = Position(
            symbol=row.need("symbol", "text"),
            quantity=row.need("quantity", "decimal"),
            value=row.need("markValue", "decimal"),
            average_price=row.need("entryPrice", "decimal"),
        )
        found.append((position, row.may("time", "time")))
    return found


def read_margin_account(answer: object) -> MarginAccount:
    """Read the answer of ``GET /eapi/v1/marginAccount``. Raises SnapshotError."""
    account = Content(answer, "margin_account")
    at = account.need("time", "time")
    balances, totals, greeks = {}, {}, {}
    for row in account.rows("asset"):
        asset, balance = row.need("asset", "text"), row.need("marginBalance", "decimal")
        balances[asset] = balance
        found = Totals(
            updated_at=at,
            equity=row.need("equity", "decimal"),
            adjusted_equity=row.may("adjustedEquity", "decimal"),
            wallet_balance=balance,
            position_value=None,
            unrealized_profit=row.need("unrealizedPNL", "decimal"),
            initial_margin=row.need("initialMargin", "decimal"),
            maintenance_margin=row.need("maintMargin", "decimal"),
        )
        if asset == TOTALS:
            totals[asset] = found
    for row in account.rows("greek"):
        each = Greeks(
            underlying=row.need("underlying", "text"),
            delta=row.need("delta", "decimal"),
            gamma=row.need("gamma", "decimal"),
            theta=row.need("theta", "decimal"),
            vega=row.need("vega", "decimal"),
        )
        greeks[each.underlying] = each
    return MarginAccount(at, balances, totals, greeks)


class Content:
    """An object of an answer. `where` names it in errors."""

    def __init__(self, content: object, where: str) -> None:
        if not isinstance(content, Mapping):
            raise SnapshotError(where, f"must be an object, not {kind_of(content)}")
        if "code" in content and "msg" in content:
            raise SnapshotError(where, f"is Binance's refusal of the call, code {str(content['code'])[:10]}")
        self._content, self._where = content, where

    def need(self, key: str, kind: str) -> Any:  # noqa: ANN401  a value of that kind
        """Read a field."""
        value = self._field(key)
        try:
            return VALUES[kind](value)
        except (ValueError, TypeError, OverflowError):
            raise SnapshotError(f"{self._where}.{key}", f"must be {KINDS[kind]}, not {kind_of(value)}") from None

    def may(self, key: str, kind: str) -> Any:  # noqa: ANN401  a value of that kind
        """Read a field that older pages do not have. None without it."""
        return None if self._content.get(key) is None else self.need(key, kind)

    def rows(self, key: str) -> "Iterator[Content]":
        """Read a list of objects."""
        return rows_of(self._field(key), f"{self._where}.{key}")

    def _field(self, key: str) -> object:
        if key not in self._content:
            raise SnapshotError(f"{self._where}.{key}", "is missing")
        return self._content[key]


def rows_of(content: object, where: str) -> Iterator[Content]:
    if isinstance(content, Mapping):
        Content(content, where)  # a refusal, perhaps
    if not isinstance(content, list | tuple):
        raise SnapshotError(where, f"must be a list, not {kind_of(content)}")
    return (Content(each, f"{where}[{number}]") for number, each in enumerate(content))


def kind_of(value: object) -> str:
    """Name what a value is, without its content."""
    names = {type(None): "null", bool: "true or false", str: "such a text", dict: "an object", list: "a list"}
    return names.get(type(value), f"a value of type {type(value).__name__}")
