"""The account's state, made of events and of the snapshots that a program takes over REST. Pure.

What is known of a thing has a rank, and the higher rank wins. So it does not matter in which order events and snapshots
come, nor whether one comes twice:

- An order moves only forward: a final status wins, then the larger filled quantity, then the later time.
- A position, a balance, the greeks of an underlying and the totals are absolute: the later time wins.

One thing has no rank: that a snapshot does *not* have an order. Then the order has ended, unless an event of the order
may be newer than the snapshot. A snapshot is at least as new as two times of the exchange: the newest time in the
snapshot, and the newest event that came before the request. For example, with times in seconds:

    event: order 7 is new (5) · Gap · snapshot: order 8 (updated at 9) → order 7 has ended, and nobody saw how
    event: order 6 is new (8)   → older than the snapshot, which does not have order 6: order 6 has ended, too
    event: order 9 is new (12)  → may be newer than the snapshot: open
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Generic, Literal, TypeVar

from listenkey.stream._events import (
    AccountUpdate,
    BalancePositionUpdate,
    Blind,
    Gap,
    Greeks,
    GreekUpdate,
    Item,
    OrderTradeUpdate,
    Position,
    RiskLevelChange,
    UnknownEvent,
)
from listenkey.stream._snapshot import TOTALS, OrderState, Totals, read_margin_account, read_orders, read_positions

FINAL_ORDERS = 10_000
"""How many orders that are not open an `AccountState` keeps."""
Part = Literal["open_orders", "positions", "margin_account"]
PARTS: tuple[Part, ...] = ("open_orders", "positions", "margin_account")
BEGINNING, END = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Stale:
    """Why an `AccountState` may be wrong, and since when.

    Attributes:
        reason: the latest cause. A `Gap.reason`; ``blind``: a `Blind` came, and no `Gap` yet; ``unreadable``: an event
            could not be read whole (`UnknownEvent`); ``fills_missing``: an event of an order proves that an earlier one
            was lost.
        since: from here on something may be missing, in UTC. If there are several causes, the time of the first. None:
            from the beginning, or nobody knows.
        missing: the answers that have to be loaded, by the names that `AccountState.load` has for them.
        order_id: the order whose fills are missing. None with any other reason.
    """

    reason: Literal[
        "started",
        "reconnected",
        "key_replaced",
        "key_expired",
        "mute",
        "overflow",
        "blind",
        "unreadable",
        "fills_missing",
    ]
    since: datetime | None
    missing: tuple[Part, ...]
    order_id: int | None = None


K = TypeVar("K", int, str)
V = TypeVar("V")


@dataclass(slots=True)
class Row(Generic[V]):
    """What is known of a thing.

    Attributes:
        value: the thing as the program sees it. None: the program does not see the thing.
        rank: of two rows, the row with the higher rank wins.
        at: the time of the exchange.
        epoch: the epoch in which an event told the row. None: a snapshot told the row.
        has_ended: whether the order is final, or the position is 0. None: the order's status is unknown.
        is_gone: whether a snapshot did not have the thing.
    """

    value: V | None
    rank: tuple[Any, ...]
    at: datetime
    epoch: int | None = None
    has_ended: bool | None = False
    is_gone: bool = False


class Table(Generic[K, V]):
    """Things of one kind by their keys. What has ended stays for a while: an event that comes late revives nothing."""

    def __init__(self) -> None:
        self.shown: dict[K, V] = {}
        self.rows: dict[K, Row[V]] = {}
        self.newest = BEGINNING  # the time of the newest event
        self.newest_before = BEGINNING  # the same, when the state became stale
        self.complete_until = BEGINNING  # the newest snapshot is from this time, or from a later time
        self._loaded_until = BEGINNING  # the same, of the snapshots since the state became stale
        self._forgotten_until = BEGINNING  # whatever was forgotten ended at this time, or earlier
        self._leaving: dict[K, None] = {}  # what has ended or may have ended, the oldest first

    def become_stale(self) -> None:
        """Note that a loss may have happened: any snapshot from now on is newer than all events so far."""
        self.newest_before, self._loaded_until = self.newest, BEGINNING

    def is_new(self, moment: datetime) -> bool:
        """Whether a moment is newer than the times in the snapshots, and than whatever was forgotten."""
        return moment > max(self.complete_until, self._forgotten_until)

    def tell(self, key: K, row: Row[V]) -> bool:
        """Take in what an event says. False: it is older than what is known."""
        self.newest = max(self.newest, row.at)
        known = self.rows.get(key)
        if known is None or known.is_gone:
            is_over = row.at < self.complete_until or row.at <= self._forgotten_until
            if is_over and not row.has_ended:
                return False
            if known is not None and row.rank <= known.rank:
                return False  # the event that was known before
        elif row.rank < known.rank:
            return False
        elif row.rank == known.rank:
            row.epoch = known.epoch  # the same event again proves nothing newer
        self._put(key, row)
        return True

    def load(self, rows: Mapping[K, Row[V]], newest: datetime, epoch: int, *, is_latest: bool) -> list[V]:
        """Take in a snapshot whose newest time is `newest`. Returns the things that it does not have any more.

        `is_latest`: the request began after every other snapshot was loaded. Otherwise a snapshot is left out if
        another snapshot of this epoch may be newer. Nothing is lost: the events tell all that came since the other one.
        """
        until = max(self.newest_before, newest)
        if until < self._loaded_until and not is_latest:
            return []
        self._loaded_until = max(self._loaded_until, until)
        self.complete_until = max(self.complete_until, until)
        for key, row in rows.items():
            known = self.rows.get(key)
            if known is None or known.is_gone or row.rank >= known.rank:
                self._put(key, row)
        gone = []
        for key, row in list(self.rows.items()):
            came_meanwhile = row.epoch == epoch and row.at >= self.complete_until
            if key in rows or row.has_ended or row.is_gone or came_meanwhile:
                continue
            gone += [] if row.value is None else [row.value]
            self._put(key, Row(None, row.rank, row.at, is_gone=True))
        return gone

    def load_values(self, values: Mapping[K, V], at: datetime, epoch: int, *, is_latest: bool) -> None:
        """Take in a snapshot of what is absolute, as of a time."""
        self.load({key: self.seen(value, at) for key, value in values.items()}, at, epoch, is_latest=is_latest)

    def seen(self, value: V, at: datetime) -> Row[V]:
        """Make a row of a snapshot, for what is absolute. It is newer than each event that came before the request."""
        if at > self.newest_before:
            return Row(value, (at, BEGINNING), at)
        return Row(value, (self.newest_before, END), self.newest_before)

    def _put(self, key: K, row: Row[V]) -> None:
        self.rows[key] = row
        self._leaving.pop(key, None)
        if row.value is None:
            self.shown.pop(key, None)
        else:
            self.shown[key] = row.value
        if row.has_ended is not False or row.is_gone:
            self._leaving[key] = None
            if len(self._leaving) > FINAL_ORDERS:
                self._forget(next(iter(self._leaving)))

    def _forget(self, key: K) -> None:
        del self._leaving[key]
        self.shown.pop(key, None)
        self._forgotten_until = max(self._forgotten_until, self.rows.pop(key).at)


class AccountState:
    """The account's orders, positions, balances, greeks and totals, by the items of a stream and by your snapshots.

    The state is for both twins of the stream. The state sends nothing and waits for nothing:

        account = AccountState()
        for item in stream:
            account.apply(item)
            if account.stale:
                account.load(open_orders=…, positions=…, margin_account=…)  # the answers of your three signed calls

    `stale` stays until all three answers are loaded. If a snapshot fails, take another one, at any later time.
    Meanwhile the state is what the events say.

    **A snapshot beside the events.** In the loop above, nothing is applied between the request and `load`. A program
    that applies items while the request is under way (a task, a thread) notes `epoch` before the request, and passes
    the number to `load`. If the state became stale again meanwhile, the answers may be older than the loss, and `load`
    leaves them out. Events that came meanwhile stay in the state, whether the answers contain what they say or not. If
    two snapshots are under way, the one that may be older takes nothing away.
    `apply` and `load` lock nothing: call both from one thread, or hold a lock of your own.

    **Memory.** Every open order, every position and balance, and the last 10,000 orders that are not open.

    Args:
        check_fills: Whether a fill that was lost makes the state stale: ``fills_missing``. The fill is missing if an
            order's filled quantity (`z`) is more than it was before plus the event's fill (`l`). Such losses, of single
            events on a connection that lives on, are reported of three brokers. Nobody has measured at Binance how
            options events fill `z` and `l`: the pages name the fields, and their example is of another product. If
            healthy streams bring ``fills_missing`` again and again, switch the check off.
    """

    def __init__(self, *, check_fills: bool = True) -> None:
        self._check_fills = check_fills
        self._orders: Table[int, OrderState] = Table()
        self._positions: Table[str, Position] = Table()
        self._balances: Table[str, Decimal] = Table()
        self._greeks: Table[str, Greeks] = Table()
        self._totals: Table[str, Totals] = Table()
        self._tables = (self._orders, self._positions, self._balances, self._greeks, self._totals)
        self._epoch = 0
        self._stale: Stale | None = Stale("started", None, PARTS)
        self._is_blind = False
        self._last_event_at: datetime | None = None
        self._shown_orders = MappingProxyType(self._orders.shown)
        self._shown_positions = MappingProxyType(self._positions.shown)
        self._shown_balances = MappingProxyType(self._balances.shown)
        self._shown_greeks = MappingProxyType(self._greeks.shown)

    @property
    def stale(self) -> Stale | None:
        """Why the state may be wrong, and since when. None: the state is right, as far as events and answers tell."""
        return self._stale

    @property
    def epoch(self) -> int:
        """How often the state became stale. The same number before and after: no event was lost in between."""
        return self._epoch

    @property
    def orders(self) -> Mapping[int, OrderState]:
        """The orders by ID: the open ones, and the last 10,000 that were seen to end, or to be neither. A live view."""
        return self._shown_orders

    @property
    def positions(self) -> Mapping[str, Position]:
        """The positions by symbol; none of quantity 0. A live view."""
        return self._shown_positions

    @property
    def balances(self) -> Mapping[str, Decimal]:
        """The balances by asset. A live view."""
        return self._shown_balances

    @property
    def greeks(self) -> Mapping[str, Greeks]:
        """The greeks by underlying. A live view."""
        return self._shown_greeks

    @property
    def totals(self) -> Totals | None:
        """The account's totals. None: neither an event nor a snapshot has told them."""
        return self._totals.shown.get(TOTALS)

    def __repr__(self) -> str:
        return f"<AccountState epoch {self._epoch}: {len(self.orders)} orders, {len(self.positions)} positions>"

    def apply(self, item: Item) -> None:
        """Take in an item of the stream. Give every item, in the order in which the stream brings the items."""
        match item:
            case Gap(reason=reason, since=since):
                self._is_blind = False
                self._become_stale(reason, since)
            case Blind(since=since):
                self._is_blind = True
                self._become_stale("blind", since)
            case UnknownEvent():
                self._become_stale("unreadable", self._last_event_at)
            case RiskLevelChange():
                pass  # no snapshot has the level
            case _:
                self._apply_event(item)
                self._last_event_at = item.event_time

    def load(
        self,
        *,
        open_orders: object = None,
        positions: object = None,
        margin_account: object = None,
        epoch: int | None = None,
    ) -> tuple[OrderState, ...]:
        """Take in a snapshot: parsed JSON, as Binance answers. What is left out stays stale, see `Stale.missing`.

        The request must have begun after the item was applied that made the state stale. Request the open orders of all
        symbols: an order that the answer does not have counts as ended.

        Args:
            open_orders: the answer of ``GET /eapi/v1/openOrders``.
            positions: the answer of ``GET /eapi/v1/position``.
            margin_account: the answer of ``GET /eapi/v1/marginAccount``.
            epoch: `epoch` as it was before the request began. If it is another one now, the answers are left out. None:
                nothing was applied since, and no other snapshot was loaded.

        Returns:
            The orders that were open, and that the snapshot does not have: they have ended, and no event said how.
            ``GET /eapi/v1/order`` knows.

        Raises:
            SnapshotError: an answer is not what account.yaml describes. The state is as before.
        """
        orders = None if open_orders is None else read_orders(open_orders)
        held = None if positions is None else read_positions(positions)
        account = None if margin_account is None else read_margin_account(margin_account)
        if epoch is not None and epoch != self._epoch:
            return ()
        gone, is_latest = list[OrderState](), epoch is None
        if orders is not None:
            order_rows = {each.order_id: order_row(each, BEGINNING, None) for each in orders}
            gone = self._orders.load(order_rows, newest_of(order_rows), self._epoch, is_latest=is_latest)
            self._have("open_orders")
        if held is not None:
            position_rows = {each.symbol: self._position_row(each, at or BEGINNING) for each, at in held}
            self._positions.load(position_rows, newest_of(position_rows), self._epoch, is_latest=is_latest)
            self._have("positions")
        if account is not None:
            self._balances.load_values(account.balances, account.at, self._epoch, is_latest=is_latest)
            self._greeks.load_values(account.greeks, account.at, self._epoch, is_latest=is_latest)
            self._totals.load_values(account.totals, account.at, self._epoch, is_latest=is_latest)
            self._have("margin_account")
        return tuple(gone)

    def _apply_event(self, item: AccountUpdate | BalancePositionUpdate | GreekUpdate | OrderTradeUpdate) -> None:
        rank, at, epoch = (item.transaction_time, item.event_time), item.transaction_time, self._epoch
        match item:
            case OrderTradeUpdate():
                self._apply_order(item)
            case BalancePositionUpdate():
                for balance in item.balances:
                    self._balances.tell(balance.asset, Row(balance.balance, rank, at, epoch))
                for each in item.positions:
                    is_held = each.quantity != 0
                    row = Row(each if is_held else None, rank, at, epoch, has_ended=not is_held)
                    self._positions.tell(each.symbol, row)
            case GreekUpdate():
                for greeks in item.greeks:
                    self._greeks.tell(greeks.underlying, Row(greeks, rank, at, epoch))
            case AccountUpdate():
                self._totals.tell(TOTALS, Row(totals_of(item), rank, at, epoch))

    def _apply_order(self, item: OrderTradeUpdate) -> None:
        order = item.order
        state = OrderState(
            order_id=order.order_id,
            client_order_id=order.client_order_id,
            symbol=order.symbol,
            side=order.side,
            status=order.status,
            quantity=order.quantity,
            filled_quantity=order.filled_quantity,
            price=order.price,
            average_price=order.average_price,
            updated_at=item.transaction_time,
            order_type=order.order_type,
            time_in_force=order.time_in_force,
            reduce_only=order.reduce_only,
        )
        known = self._orders.rows.get(order.order_id)
        if self._orders.tell(order.order_id, order_row(state, item.event_time, self._epoch)) and self._check_fills:
            filled = known.rank[1] if known else 0
            if self._knows_fills(known, item) and order.filled_quantity > filled + order.last_filled_quantity:
                self._become_stale("fills_missing", known.at if known else None, order.order_id)

    def _knows_fills(self, known: Row[OrderState] | None, item: OrderTradeUpdate) -> bool:
        """Whether what is known of an order is all that was before this event."""
        is_loaded = self._stale is None or "open_orders" not in self._stale.missing
        if known is None:  # a new order, if the event is newer than the snapshot, which does not have the order
            return is_loaded and all(table.is_new(item.transaction_time) for table in self._tables)
        return not known.is_gone and (is_loaded or known.epoch == self._epoch)

    def _become_stale(self, reason: Any, since: datetime | None, order_id: int | None = None) -> None:  # noqa: ANN401  a reason
        self._epoch += 1
        for table in self._tables:
            table.become_stale()
        self._stale = Stale(reason, self._stale.since if self._stale else since, PARTS, order_id)

    def _have(self, part: Part) -> None:
        if self._stale is not None and not self._is_blind:
            missing = tuple(each for each in self._stale.missing if each != part)
            self._stale = replace(self._stale, missing=missing) if missing else None

    def _position_row(self, position: Position, at: datetime) -> Row[Position]:
        row = self._positions.seen(position, at)
        if not position.quantity:  # none is held; an event that is older and comes later revives nothing
            row.value, row.has_ended = None, True
        return row


def order_row(order: OrderState, sent: datetime, epoch: int | None) -> Row[OrderState]:
    """Rank an order. Of the same millisecond, an event ranks above a snapshot: it says more."""
    rank = (order.is_final, order.filled_quantity, order.updated_at, sent)
    has_ended = None if not order.is_open and not order.is_final else order.is_final
    return Row(order, rank, order.updated_at, epoch, has_ended)


def totals_of(item: AccountUpdate) -> Totals:
    return Totals(
        updated_at=item.transaction_time,
        equity=item.equity,
        adjusted_equity=item.adjusted_equity,
        wallet_balance=item.wallet_balance,
        position_value=item.position_value,
        unrealized_profit=item.unrealized_profit,
        initial_margin=item.initial_margin,
        maintenance_margin=item.maintenance_margin,
    )


def newest_of(rows: Mapping[Any, Row[Any]]) -> datetime:
    return max((row.at for row in rows.values()), default=BEGINNING)
