"""Frames of the stream, decoded once from JSON to events: books in ticks and lots, the rest in core types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TypeAlias

import msgspec

from trading_core.advanced_trade.wire import number, number_or_none, number_or_zero
from trading_core.advanced_trade.wire_market import Grid
from trading_core.advanced_trade.wire_states import meaning, order_type_of, status_of, time_in_force_of
from trading_core.errors import SchemaDrift
from trading_core.events import AnyEvent, BookChanged, HeartbeatReceived, OrderReported, TradePrinted
from trading_core.orders import Side, VenueOrder
from trading_core.products import Product


class LevelUpdate(msgspec.Struct, frozen=True, gc=False):
    """The new absolute size of one price."""

    side: str
    price_level: str
    new_quantity: str


class BookEvent(msgspec.Struct, frozen=True, gc=False):
    """A snapshot or changes of one product's book."""

    type: str
    product_id: str
    updates: list[LevelUpdate]


class Trade(msgspec.Struct, frozen=True, gc=False):
    """One public trade; `side` is the maker's."""

    product_id: str
    trade_id: str
    price: str
    size: str
    time: str
    side: str


class TradesEvent(msgspec.Struct, frozen=True):
    """Public trades; the snapshot is history."""

    type: str
    trades: list[Trade]


class HeartbeatEvent(msgspec.Struct, frozen=True):
    """One heartbeat."""

    heartbeat_counter: int


class UserOrder(msgspec.Struct, frozen=True):
    """One order of ours, cumulative."""

    order_id: str
    client_order_id: str
    product_id: str
    order_side: str
    status: str
    cumulative_quantity: str
    leaves_quantity: str
    avg_price: str
    total_fees: str
    limit_price: str = ""
    order_type: str = ""
    time_in_force: str = ""
    cancel_reason: str = ""
    reject_reason: str = ""


class UserEvent(msgspec.Struct, frozen=True):
    """Orders of ours."""

    type: str
    orders: list[UserOrder]


class SubscriptionsEvent(msgspec.Struct, frozen=True):
    """Everything that the connection is subscribed to."""

    subscriptions: dict[str, list[str]]


class Frame(msgspec.Struct, frozen=True, tag_field="channel"):
    """What every frame has. The sequence counts per connection, across all channels."""

    sequence_num: int


class BookFrame(Frame, frozen=True, tag_field="channel", tag="l2_data"):
    """level2."""

    events: list[BookEvent]


class TradesFrame(Frame, frozen=True, tag_field="channel", tag="market_trades"):
    """market_trades."""

    events: list[TradesEvent]


class HeartbeatFrame(Frame, frozen=True, tag_field="channel", tag="heartbeats"):
    """heartbeats."""

    events: list[HeartbeatEvent]


class UserFrame(Frame, frozen=True, tag_field="channel", tag="user"):
    """user."""

    events: list[UserEvent]


class SubscriptionsFrame(Frame, frozen=True, tag_field="channel", tag="subscriptions"):
    """The acknowledgement of a subscribe frame."""

    events: list[SubscriptionsEvent]


class OtherFrame(msgspec.Struct, frozen=True):
    """A frame that we did not ask for, or the venue's error, which has neither channel nor sequence."""

    channel: str = ""
    sequence_num: int | None = None
    type: str = ""
    message: str = ""


KnownFrame: TypeAlias = BookFrame | TradesFrame | HeartbeatFrame | UserFrame | SubscriptionsFrame
AnyFrame: TypeAlias = KnownFrame | OtherFrame

KNOWN_CHANNELS = frozenset({"l2_data", "market_trades", "heartbeats", "user", "subscriptions"})
PRICES_REMEMBERED = 65_536  # per product: more levels than Coinbase's deepest book

_known: msgspec.json.Decoder[KnownFrame] = msgspec.json.Decoder(KnownFrame)
_other: msgspec.json.Decoder[OtherFrame] = msgspec.json.Decoder(OtherFrame)


def decode_frame(text: str | bytes) -> AnyFrame:
    """Return the frame; raises SchemaDrift for one that we know but cannot read, or that is not JSON."""
    try:
        return _known.decode(text)
    except msgspec.DecodeError as e:
        try:
            other = _other.decode(text)
        except msgspec.DecodeError:
            raise SchemaDrift(f"a frame cannot be read: {e}") from e
        if other.channel in KNOWN_CHANNELS:
            raise SchemaDrift(f"a frame of channel {other.channel} cannot be read: {e}") from e
        return other


class FrameReader:
    """Turns frames into events for the products that were subscribed."""

    def __init__(self, products: Sequence[Product], now_ns: Callable[[], int]) -> None:
        # Prices come again and again, sizes hardly ever.
        self._steps = {
            p.product_id: (
                lru_cache(PRICES_REMEMBERED)(Grid.of(p.price_increment).exact), Grid.of(p.base_increment).steps
            )
            for p in products
        }
        self._now_ns = now_ns

    def events_of(self, frame: AnyFrame) -> list[AnyEvent]:
        """Return the events of a frame, dated by venue time at receipt; empty for an acknowledgement."""
        match frame:
            case BookFrame(events=events):
                return [self._book_changed(e) for e in events if e.product_id in self._steps]
            case TradesFrame(events=events):
                return [self._trade(t) for e in events if e.type != "snapshot" for t in _oldest_first(e.trades)]
            case HeartbeatFrame(events=events):
                now_ns = self._now_ns()
                return [HeartbeatReceived(ts_ns=now_ns, counter=e.heartbeat_counter) for e in events]
            case UserFrame(events=events):
                now_ns = self._now_ns()
                return [OrderReported(ts_ns=now_ns, order=user_order_of(o)) for e in events for o in e.orders]
            case _:
                return []

    def _book_changed(self, event: BookEvent) -> BookChanged:
        ticks, lots = self._steps[event.product_id]
        bids: list[tuple[int, int]] = []
        asks: list[tuple[int, int]] = []
        for update in event.updates:
            side = bids if update.side == "bid" else asks
            side.append((ticks(update.price_level), lots(update.new_quantity)))
        return BookChanged(
            ts_ns=self._now_ns(), product_id=event.product_id, is_snapshot=event.type == "snapshot",
            bids=tuple(bids), asks=tuple(asks),
        )

    def _trade(self, trade: Trade) -> TradePrinted:
        return TradePrinted(
            ts_ns=self._now_ns(),
            product_id=trade.product_id,
            trade_id=trade.trade_id,
            price=number(trade.price, "Trade.price"),
            size=number(trade.size, "Trade.size"),
            maker_side=_side(trade.side),
        )


def user_order_of(order: UserOrder) -> VenueOrder:
    """Return an order of the user channel. Its size is what was filled plus what is left."""
    filled = number_or_zero(order.cumulative_quantity, "UserOrder.cumulative_quantity")
    return VenueOrder(
        order_id=order.order_id,
        client_order_id=order.client_order_id,
        product_id=order.product_id,
        side=_side(order.order_side),
        status=status_of(order.status),
        filled_size=filled,
        average_price=number_or_zero(order.avg_price, "UserOrder.avg_price"),
        total_fees=number_or_zero(order.total_fees, "UserOrder.total_fees"),
        size=filled + number_or_zero(order.leaves_quantity, "UserOrder.leaves_quantity"),
        limit_price=number_or_none(order.limit_price, "UserOrder.limit_price"),
        reason=meaning(order.reject_reason) or order.cancel_reason,
        order_type=order_type_of(order.order_type),
        time_in_force=time_in_force_of(order.time_in_force),
    )


def _oldest_first(trades: list[Trade]) -> list[Trade]:
    return sorted(trades, key=lambda trade: trade.time)


def _side(text: str) -> Side:
    try:
        return Side(text)
    except ValueError as e:
        raise SchemaDrift(f"side {text!r} is neither BUY nor SELL") from e
