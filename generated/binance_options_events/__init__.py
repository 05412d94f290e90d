"""Binance European Options user data stream events 1.0.0: the events, by their human names. Written by `make generate` from asyncapi.yaml.

Amounts are exact decimals. Times are aware UTC datetimes, to the millisecond. An optional attribute is None when it was
not sent or could not be read. `raw` is the event as it arrived, by the keys of the wire, undocumented fields included.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, ClassVar, Literal, TypeAlias

__all__ = [
    "AccountUpdate",
    "Balance",
    "BalancePositionUpdate",
    "EVENTS",
    "Event",
    "FIELDS",
    "Field",
    "GreekUpdate",
    "Greeks",
    "ListenKeyExpired",
    "Order",
    "OrderTradeUpdate",
    "Position",
    "RiskLevelChange",
]


@dataclass(frozen=True, slots=True)
class Field:
    """How one attribute is read: its name, the key of the wire, what the value is, and of which class."""

    name: str
    key: str
    kind: Literal["text", "integer", "decimal", "time", "flag", "object", "list"]
    required: bool
    of: type | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountUpdate:
    """The account's totals.

    Attributes:
        event_time: When the event was made. (`E`)
        transaction_time: When the change was made. (`T`)
        equity: Account equity. In USDT. (`eq`)
        adjusted_equity: Adjusted account equity. In USDT. (`aeq`)
        wallet_balance: Wallet balance. In USDT. (`b`)
        position_value: Market value of the positions. In USDT. (`m`)
        unrealized_profit: Unrealized profit and loss. In USDT. (`u`)
        initial_margin: Initial margin. In USDT. (`i`)
        maintenance_margin: Maintenance margin. In USDT. (`M`)
    """

    event_type: ClassVar[Literal["ACCOUNT_UPDATE"]] = "ACCOUNT_UPDATE"
    event_time: datetime
    transaction_time: datetime
    equity: Decimal
    adjusted_equity: Decimal
    wallet_balance: Decimal
    position_value: Decimal
    unrealized_profit: Decimal
    initial_margin: Decimal
    maintenance_margin: Decimal
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """The balance of one asset.

    Attributes:
        asset: The asset. (`a`)
        balance: Balance. In the asset. (`b`)
        balance_change: Change of the balance, not counting profit and loss and commission. In the asset. (`bc`)
    """

    asset: str
    balance: Decimal
    balance_change: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """The position in one option.

    Attributes:
        symbol: The option. (`s`)
        quantity: Quantity held; below zero when short. In contracts. (`c`)
        value: Value of the position; below zero when short. In USDT. (`p`)
        average_price: Average entry price. In USDT. (`a`)
    """

    symbol: str
    quantity: Decimal
    value: Decimal
    average_price: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancePositionUpdate:
    """The balances and positions that changed.

    Attributes:
        event_time: When the event was made. (`E`)
        transaction_time: When the change was made. (`T`)
        reason: Why they changed. Documented: DEPOSIT, WITHDRAW, ORDER. (`m`)
        balances: The balances that changed. (`B`)
        positions: The positions that changed. (`P`)
    """

    event_type: ClassVar[Literal["BALANCE_POSITION_UPDATE"]] = "BALANCE_POSITION_UPDATE"
    event_time: datetime
    transaction_time: datetime
    reason: str | None = None
    balances: tuple[Balance, ...]
    positions: tuple[Position, ...]
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeks:
    """The greeks of one underlying.

    Attributes:
        underlying: The underlying. (`u`)
        delta: Delta. (`d`)
        gamma: Gamma. (`g`)
        theta: Theta. (`t`)
        vega: Vega. (`v`)
    """

    underlying: str
    delta: Decimal
    gamma: Decimal
    theta: Decimal
    vega: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class GreekUpdate:
    """The greeks of each underlying.

    Attributes:
        event_time: When the event was made. (`E`)
        transaction_time: When the change was made. (`T`)
        greeks: One entry for each underlying. (`G`)
    """

    event_type: ClassVar[Literal["GREEK_UPDATE"]] = "GREEK_UPDATE"
    event_time: datetime
    transaction_time: datetime
    greeks: tuple[Greeks, ...]
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order, and what happened to it.

    Attributes:
        symbol: The option. (`s`)
        client_order_id: The client's order ID. Starts with autoclose- when the order is a liquidation;
            adl_autoclose: auto-deleveraging. (`c`)
        side: Side. Documented: BUY, SELL. (`S`)
        order_type: Order type. Documented: LIMIT. (`o`)
        time_in_force: Time in force. Documented: GTC, IOC, FOK, GTX. (`f`)
        quantity: Quantity ordered. In contracts. (`q`)
        price: Price asked. In USDT. (`p`)
        average_price: Average price of the fills so far. In USDT. (`ap`)
        execution_type: What happened to the order. Documented: NEW, CANCELED, EXPIRED, TRADE. (`x`)
        status: State of the order. Documented: NEW, PARTIALLY_FILLED, FILLED, CANCELED, EXPIRED,
            EXPIRED_IN_MATCH. (`X`)
        order_id: Order ID, up to 64 bits. (`i`)
        last_filled_quantity: Quantity of the last fill. In contracts. (`l`)
        filled_quantity: Quantity filled so far. In contracts. (`z`)
        last_filled_price: Price of the last fill. In USDT. (`L`)
        commission_asset: Asset of the commission. (`N`)
        commission: Commission; below zero means that a fee was charged. In the commission asset. (`n`)
        trade_time: When the order's trade was made. (`T`)
        trade_id: Trade ID, up to 64 bits. (`t`)
        bids_quantity: "Bids" quantity, left from futures. In contracts. (`b`)
        asks_quantity: "Asks" quantity, left from futures. In contracts. (`a`)
        is_maker: Whether this trade was on the maker side. (`m`)
        reduce_only: Whether the order is reduce-only. (`R`)
        original_order_type: Original order type. (`ot`)
        realized_profit: Realized profit of the trade. In USDT. (`rp`)
        self_trade_prevention: Self-trade prevention mode. Documented: NONE. (`V`)
    """

    symbol: str
    client_order_id: str
    side: str
    order_type: str | None = None
    time_in_force: str | None = None
    quantity: Decimal
    price: Decimal
    average_price: Decimal
    execution_type: str
    status: str
    order_id: int
    last_filled_quantity: Decimal
    filled_quantity: Decimal
    last_filled_price: Decimal
    commission_asset: str | None = None
    commission: Decimal
    trade_time: datetime
    trade_id: int | None = None
    bids_quantity: Decimal
    asks_quantity: Decimal
    is_maker: bool | None = None
    reduce_only: bool | None = None
    original_order_type: str | None = None
    realized_profit: Decimal
    self_trade_prevention: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderTradeUpdate:
    """An order was made, or its state changed.

    Attributes:
        event_time: When the event was made. (`E`)
        transaction_time: When the change was made. (`T`)
        order: The order. (`o`)
    """

    event_type: ClassVar[Literal["ORDER_TRADE_UPDATE"]] = "ORDER_TRADE_UPDATE"
    event_time: datetime
    transaction_time: datetime
    order: Order
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskLevelChange:
    """The account's risk level changed.

    Attributes:
        event_time: When the event was made. (`E`)
        risk_level: Risk level. Documented: NORMAL, REDUCE_ONLY. (`s`)
        margin_balance: Margin balance. In USDT. (`mb`)
        maintenance_margin: Maintenance margin. In USDT. (`mm`)
    """

    event_type: ClassVar[Literal["RISK_LEVEL_CHANGE"]] = "RISK_LEVEL_CHANGE"
    event_time: datetime
    risk_level: str | None = None
    margin_balance: Decimal
    maintenance_margin: Decimal
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenKeyExpired:
    """The listen key of this connection ended.

    Attributes:
        event_time: When the key ended. A string on the options pages; other products of Binance send an
            integer. (`E`)
        listen_key: The key that ended. A secret until then. (`listenKey`)
    """

    event_type: ClassVar[Literal["listenKeyExpired"]] = "listenKeyExpired"
    event_time: datetime
    listen_key: str | None = field(default=None, repr=False)
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


Event: TypeAlias = (
    AccountUpdate | BalancePositionUpdate | GreekUpdate | OrderTradeUpdate | RiskLevelChange | ListenKeyExpired
)
EVENTS: Mapping[str, type[Event]] = MappingProxyType(
    {
        "ACCOUNT_UPDATE": AccountUpdate,
        "BALANCE_POSITION_UPDATE": BalancePositionUpdate,
        "GREEK_UPDATE": GreekUpdate,
        "ORDER_TRADE_UPDATE": OrderTradeUpdate,
        "RISK_LEVEL_CHANGE": RiskLevelChange,
        "listenKeyExpired": ListenKeyExpired,
    }
)
"""The class of each event, by the value of its key `e`."""
FIELDS: Mapping[type, tuple[Field, ...]] = MappingProxyType(
    {
        AccountUpdate: (
            Field("event_time", "E", "time", True),
            Field("transaction_time", "T", "time", True),
            Field("equity", "eq", "decimal", True),
            Field("adjusted_equity", "aeq", "decimal", True),
            Field("wallet_balance", "b", "decimal", True),
            Field("position_value", "m", "decimal", True),
            Field("unrealized_profit", "u", "decimal", True),
            Field("initial_margin", "i", "decimal", True),
            Field("maintenance_margin", "M", "decimal", True),
        ),
        Balance: (
            Field("asset", "a", "text", True),
            Field("balance", "b", "decimal", True),
            Field("balance_change", "bc", "decimal", True),
        ),
        Position: (
            Field("symbol", "s", "text", True),
            Field("quantity", "c", "decimal", True),
            Field("value", "p", "decimal", True),
            Field("average_price", "a", "decimal", True),
        ),
        BalancePositionUpdate: (
            Field("event_time", "E", "time", True),
            Field("transaction_time", "T", "time", True),
            Field("reason", "m", "text", False),
            Field("balances", "B", "list", True, Balance),
            Field("positions", "P", "list", True, Position),
        ),
        Greeks: (
            Field("underlying", "u", "text", True),
            Field("delta", "d", "decimal", True),
            Field("gamma", "g", "decimal", True),
            Field("theta", "t", "decimal", True),
            Field("vega", "v", "decimal", True),
        ),
        GreekUpdate: (
            Field("event_time", "E", "time", True),
            Field("transaction_time", "T", "time", True),
            Field("greeks", "G", "list", True, Greeks),
        ),
        Order: (
            Field("symbol", "s", "text", True),
            Field("client_order_id", "c", "text", True),
            Field("side", "S", "text", True),
            Field("order_type", "o", "text", False),
            Field("time_in_force", "f", "text", False),
            Field("quantity", "q", "decimal", True),
            Field("price", "p", "decimal", True),
            Field("average_price", "ap", "decimal", True),
            Field("execution_type", "x", "text", True),
            Field("status", "X", "text", True),
            Field("order_id", "i", "integer", True),
            Field("last_filled_quantity", "l", "decimal", True),
            Field("filled_quantity", "z", "decimal", True),
            Field("last_filled_price", "L", "decimal", True),
            Field("commission_asset", "N", "text", False),
            Field("commission", "n", "decimal", True),
            Field("trade_time", "T", "time", True),
            Field("trade_id", "t", "integer", False),
            Field("bids_quantity", "b", "decimal", True),
            Field("asks_quantity", "a", "decimal", True),
            Field("is_maker", "m", "flag", False),
            Field("reduce_only", "R", "flag", False),
            Field("original_order_type", "ot", "text", False),
            Field("realized_profit", "rp", "decimal", True),
            Field("self_trade_prevention", "V", "text", False),
        ),
        OrderTradeUpdate: (
            Field("event_time", "E", "time", True),
            Field("transaction_time", "T", "time", True),
            Field("order", "o", "object", True, Order),
        ),
        RiskLevelChange: (
            Field("event_time", "E", "time", True),
            Field("risk_level", "s", "text", False),
            Field("margin_balance", "mb", "decimal", True),
            Field("maintenance_margin", "mm", "decimal", True),
        ),
        ListenKeyExpired: (
            Field("event_time", "E", "time", True),
            Field("listen_key", "listenKey", "text", False),
        ),
    }
)
"""How each class is read."""
