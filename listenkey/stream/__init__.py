"""The account's events, typed, with a Gap wherever some may be missing: the twins of a user data stream.

Pure: `_events` (the meaning of a frame, by `_reading`), `_machine` (sockets come and go, items pass) with the ledgers
(`_succession`, `_sockets`, `_known_key`, `_gaps`, `_blindness`, `_copies`, `_attempts`), `_pace` (every duration),
`_buffer` (the items that wait), `_snapshot` (the meaning of a REST answer), and `_account` (the account's state).
`_driver` moves bytes, by `_websocket` and `_forms`. `_streams` has the twins, `_merged` the streams of many accounts,
`_loop_thread` the event loop of the sync twin. Everyone may enter. The check sees more of a connection, by `_inside`.
Importing this package needs the package websockets: the extra `stream`.
"""

from listenkey.stream._account import FINAL_ORDERS, AccountState, Stale
from listenkey.stream._events import (
    AccountUpdate,
    Balance,
    BalancePositionUpdate,
    Blind,
    Event,
    Gap,
    Greeks,
    GreekUpdate,
    Item,
    Order,
    OrderTradeUpdate,
    Position,
    RiskLevelChange,
    UnknownEvent,
)
from listenkey.stream._merged import AsyncMergedStreams, MergedStreams, merged
from listenkey.stream._snapshot import OrderState, Totals
from listenkey.stream._streams import BUFFER, AsyncUserDataStream, StreamStatus, UserDataStream

__all__ = [
    "BUFFER",
    "FINAL_ORDERS",
    "AccountState",
    "AccountUpdate",
    "AsyncMergedStreams",
    "AsyncUserDataStream",
    "Balance",
    "BalancePositionUpdate",
    "Blind",
    "Event",
    "Gap",
    "GreekUpdate",
    "Greeks",
    "Item",
    "MergedStreams",
    "Order",
    "OrderState",
    "OrderTradeUpdate",
    "Position",
    "RiskLevelChange",
    "Stale",
    "StreamStatus",
    "Totals",
    "UnknownEvent",
    "UserDataStream",
    "merged",
]
