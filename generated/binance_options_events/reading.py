"""Binance European Options user data stream events 1.0.0: how they are read. Written by `make generate` from asyncapi.yaml.

The functions here read an object, as JSON gives it, whose fields are all as documented. Any other object raises one of
`UNDOCUMENTED`. `FIELDS` of this package says how to read such an object field by field.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, make_dataclass
from datetime import UTC, datetime
from decimal import Context, Decimal, InvalidOperation
from itertools import repeat
from types import MappingProxyType
from typing import Any, TypeVar, cast

from binance_options_events import (
    AccountUpdate,
    Balance,
    Position,
    BalancePositionUpdate,
    Greeks,
    GreekUpdate,
    Order,
    OrderTradeUpdate,
    RiskLevelChange,
    ListenKeyExpired,
)

__all__ = ["READERS", "UNDOCUMENTED"]
UNDOCUMENTED = (LookupError, TypeError, ValueError, ArithmeticError)
"""What a reader raises of an object that is not as documented."""
T = TypeVar("T")
STRICT = Context(traps=[InvalidOperation])
LATEST = 2**42  # milliseconds, in the year 2109: up to here a float is exact enough


def amounts(*texts: str) -> Iterator[Decimal]:
    """Read decimals that are written with digits, a point and a minus. Decimal itself takes NaN, 1_000 and more."""
    if ";".join(texts).encode().translate(None, b"0123456789.-") != b";" * (len(texts) - 1):
        raise ValueError
    return map(Decimal, texts, repeat(STRICT))


def time(milliseconds: int) -> datetime:
    """Read a time."""
    if 0 <= milliseconds < LATEST:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    raise ValueError


def unfrozen(cls: type[T]) -> Callable[..., T]:
    """Make a class with the same slots that is not frozen.

    A frozen class sets each of its own fields by a detour, which takes ten times as long. So an object is made of this
    class, and then given its real class.
    """
    return cast(Callable[..., T], make_dataclass(cls.__name__, [each.name for each in fields(cls)], slots=True))  # type: ignore[arg-type]


_AccountUpdate = unfrozen(AccountUpdate)


def read_account_update(raw: Any) -> AccountUpdate:
    """Read AccountUpdate."""
    if type(raw) is not dict:
        raise TypeError
    event_time = raw["E"]
    transaction_time = raw["T"]
    if not (type(event_time) is int and type(transaction_time) is int):
        raise TypeError
    (
        equity,
        adjusted_equity,
        wallet_balance,
        position_value,
        unrealized_profit,
        initial_margin,
        maintenance_margin,
    ) = amounts(
        raw["eq"],
        raw["aeq"],
        raw["b"],
        raw["m"],
        raw["u"],
        raw["i"],
        raw["M"],
    )
    made = _AccountUpdate(
        time(event_time),
        time(transaction_time),
        equity,
        adjusted_equity,
        wallet_balance,
        position_value,
        unrealized_profit,
        initial_margin,
        maintenance_margin,
        raw,
    )
    made.__class__ = AccountUpdate
    return made


_Balance = unfrozen(Balance)


def read_balance(raw: Any) -> Balance:
    """Read Balance."""
    if type(raw) is not dict:
        raise TypeError
    asset = raw["a"]
    if not (type(asset) is str):
        raise TypeError
    (
        balance,
        balance_change,
    ) = amounts(
        raw["b"],
        raw["bc"],
    )
    made = _Balance(
        asset,
        balance,
        balance_change,
    )
    made.__class__ = Balance
    return made


_Position = unfrozen(Position)


def read_position(raw: Any) -> Position:
    """Read Position."""
    if type(raw) is not dict:
        raise TypeError
    symbol = raw["s"]
    if not (type(symbol) is str):
        raise TypeError
    (
        quantity,
        value,
        average_price,
    ) = amounts(
        raw["c"],
        raw["p"],
        raw["a"],
    )
    made = _Position(
        symbol,
        quantity,
        value,
        average_price,
    )
    made.__class__ = Position
    return made


_BalancePositionUpdate = unfrozen(BalancePositionUpdate)


def read_balance_position_update(raw: Any) -> BalancePositionUpdate:
    """Read BalancePositionUpdate."""
    if type(raw) is not dict:
        raise TypeError
    get = raw.get
    event_time = raw["E"]
    transaction_time = raw["T"]
    reason = get("m")
    balances = raw["B"]
    positions = raw["P"]
    if not (
        type(event_time) is int
        and type(transaction_time) is int
        and (reason is None or type(reason) is str)
        and type(balances) is list
        and type(positions) is list
    ):
        raise TypeError
    made = _BalancePositionUpdate(
        time(event_time),
        time(transaction_time),
        reason,
        tuple([read_balance(each) for each in balances]),
        tuple([read_position(each) for each in positions]),
        raw,
    )
    made.__class__ = BalancePositionUpdate
    return made


_Greeks = unfrozen(Greeks)


def read_greeks(raw: Any) -> Greeks:
    """Read Greeks."""
    if type(raw) is not dict:
        raise TypeError
    underlying = raw["u"]
    if not (type(underlying) is str):
        raise TypeError
    (
        delta,
        gamma,
        theta,
        vega,
    ) = amounts(
        raw["d"],
        raw["g"],
        raw["t"],
        raw["v"],
    )
    made = _Greeks(
        underlying,
        delta,
        gamma,
        theta,
        vega,
    )
    made.__class__ = Greeks
    return made


_GreekUpdate = unfrozen(GreekUpdate)


def read_greek_update(raw: Any) -> GreekUpdate:
    """Read GreekUpdate."""
    if type(raw) is not dict:
        raise TypeError
    event_time = raw["E"]
    transaction_time = raw["T"]
    greeks = raw["G"]
    if not (type(event_time) is int and type(transaction_time) is int and type(greeks) is list):
        raise TypeError
    made = _GreekUpdate(
        time(event_time),
        time(transaction_time),
        tuple([read_greeks(each) for each in greeks]),
        raw,
    )
    made.__class__ = GreekUpdate
    return made


_Order = unfrozen(Order)


def read_order(raw: Any) -> Order:
    """Read Order."""
    if type(raw) is not dict:
        raise TypeError
    get = raw.get
    symbol = raw["s"]
    client_order_id = raw["c"]
    side = raw["S"]
    order_type = get("o")
    time_in_force = get("f")
    execution_type = raw["x"]
    status = raw["X"]
    order_id = raw["i"]
    commission_asset = get("N")
    trade_time = raw["T"]
    trade_id = get("t")
    is_maker = get("m")
    reduce_only = get("R")
    original_order_type = get("ot")
    self_trade_prevention = get("V")
    if not (
        type(symbol) is str
        and type(client_order_id) is str
        and type(side) is str
        and (order_type is None or type(order_type) is str)
        and (time_in_force is None or type(time_in_force) is str)
        and type(execution_type) is str
        and type(status) is str
        and type(order_id) is int
        and (commission_asset is None or type(commission_asset) is str)
        and type(trade_time) is int
        and (trade_id is None or type(trade_id) is int)
        and (is_maker is None or type(is_maker) is bool)
        and (reduce_only is None or type(reduce_only) is bool)
        and (original_order_type is None or type(original_order_type) is str)
        and (self_trade_prevention is None or type(self_trade_prevention) is str)
    ):
        raise TypeError
    (
        quantity,
        price,
        average_price,
        last_filled_quantity,
        filled_quantity,
        last_filled_price,
        commission,
        bids_quantity,
        asks_quantity,
        realized_profit,
    ) = amounts(
        raw["q"],
        raw["p"],
        raw["ap"],
        raw["l"],
        raw["z"],
        raw["L"],
        raw["n"],
        raw["b"],
        raw["a"],
        raw["rp"],
    )
    made = _Order(
        symbol,
        client_order_id,
        side,
        order_type,
        time_in_force,
        quantity,
        price,
        average_price,
        execution_type,
        status,
        order_id,
        last_filled_quantity,
        filled_quantity,
        last_filled_price,
        commission_asset,
        commission,
        time(trade_time),
        trade_id,
        bids_quantity,
        asks_quantity,
        is_maker,
        reduce_only,
        original_order_type,
        realized_profit,
        self_trade_prevention,
    )
    made.__class__ = Order
    return made


_OrderTradeUpdate = unfrozen(OrderTradeUpdate)


def read_order_trade_update(raw: Any) -> OrderTradeUpdate:
    """Read OrderTradeUpdate."""
    if type(raw) is not dict:
        raise TypeError
    event_time = raw["E"]
    transaction_time = raw["T"]
    order = raw["o"]
    if not (type(event_time) is int and type(transaction_time) is int):
        raise TypeError
    made = _OrderTradeUpdate(
        time(event_time),
        time(transaction_time),
        read_order(order),
        raw,
    )
    made.__class__ = OrderTradeUpdate
    return made


_RiskLevelChange = unfrozen(RiskLevelChange)


def read_risk_level_change(raw: Any) -> RiskLevelChange:
    """Read RiskLevelChange."""
    if type(raw) is not dict:
        raise TypeError
    get = raw.get
    event_time = raw["E"]
    risk_level = get("s")
    if not (type(event_time) is int and (risk_level is None or type(risk_level) is str)):
        raise TypeError
    (
        margin_balance,
        maintenance_margin,
    ) = amounts(
        raw["mb"],
        raw["mm"],
    )
    made = _RiskLevelChange(
        time(event_time),
        risk_level,
        margin_balance,
        maintenance_margin,
        raw,
    )
    made.__class__ = RiskLevelChange
    return made


_ListenKeyExpired = unfrozen(ListenKeyExpired)


def read_listen_key_expired(raw: Any) -> ListenKeyExpired:
    """Read ListenKeyExpired."""
    if type(raw) is not dict:
        raise TypeError
    get = raw.get
    event_time = raw["E"]
    listen_key = get("listenKey")
    if not (type(event_time) is int and (listen_key is None or type(listen_key) is str)):
        raise TypeError
    made = _ListenKeyExpired(
        time(event_time),
        listen_key,
        raw,
    )
    made.__class__ = ListenKeyExpired
    return made


READERS: Mapping[type, Callable[[Any], Any]] = MappingProxyType(
    {
        AccountUpdate: read_account_update,
        Balance: read_balance,
        Position: read_position,
        BalancePositionUpdate: read_balance_position_update,
        Greeks: read_greeks,
        GreekUpdate: read_greek_update,
        Order: read_order,
        OrderTradeUpdate: read_order_trade_update,
        RiskLevelChange: read_risk_level_change,
        ListenKeyExpired: read_listen_key_expired,
    }
)
"""How an object of each class is read."""
