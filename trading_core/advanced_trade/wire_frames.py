"""Frames of the stream as they are on the wire: decoded once, and only the members that somebody reads."""

from __future__ import annotations

from typing import TypeAlias, get_args

import msgspec

from trading_core.errors import SchemaDrift


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


class Ticker(msgspec.Struct, frozen=True, gc=False):
    """The venue's own best prices; the rest of a ticker nobody here needs."""

    product_id: str
    best_bid: str
    best_ask: str


class TickerEvent(msgspec.Struct, frozen=True):
    """Tickers."""

    tickers: list[Ticker]


class ProductStatus(msgspec.Struct, frozen=True):
    """What can be done with one product."""

    id: str
    status: str
    status_message: str = ""


class StatusEvent(msgspec.Struct, frozen=True):
    """The state of products."""

    products: list[ProductStatus]


class Bar(msgspec.Struct, frozen=True):
    """A five-minute bar; the newest one is still open."""

    product_id: str
    start: str
    close: str


class CandlesEvent(msgspec.Struct, frozen=True):
    """Bars, newest first."""

    candles: list[Bar]


class MarginMeasure(msgspec.Struct, frozen=True):
    """How the account stands in one kind of margin window."""

    margin_level: str


class FuturesSummary(msgspec.Struct, frozen=True):
    """The futures account: flat strings, unlike REST."""

    initial_margin: str
    available_margin: str
    intraday_margin_window_measure: MarginMeasure
    overnight_margin_window_measure: MarginMeasure


class FuturesEvent(msgspec.Struct, frozen=True):
    """The futures account."""

    fcm_balance_summary: FuturesSummary


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


class TickerFrame(Frame, frozen=True, tag_field="channel", tag="ticker"):
    """ticker."""

    events: list[TickerEvent]


class StatusFrame(Frame, frozen=True, tag_field="channel", tag="status"):
    """status."""

    events: list[StatusEvent]


class CandlesFrame(Frame, frozen=True, tag_field="channel", tag="candles"):
    """candles."""

    events: list[CandlesEvent]


class FuturesFrame(Frame, frozen=True, tag_field="channel", tag="futures_balance_summary"):
    """futures_balance_summary."""

    events: list[FuturesEvent]


class SubscriptionsFrame(Frame, frozen=True, tag_field="channel", tag="subscriptions"):
    """The acknowledgement of a subscribe frame."""

    events: list[SubscriptionsEvent]


class OtherFrame(msgspec.Struct, frozen=True):
    """A frame that we did not ask for, or the venue's error, which has neither channel nor sequence."""

    channel: str = ""
    sequence_num: int | None = None
    type: str = ""
    message: str = ""


KnownFrame: TypeAlias = (
    BookFrame | TradesFrame | TickerFrame | StatusFrame | CandlesFrame | HeartbeatFrame | UserFrame | FuturesFrame
    | SubscriptionsFrame
)
AnyFrame: TypeAlias = KnownFrame | OtherFrame

KNOWN_CHANNELS = frozenset(kind.__struct_config__.tag for kind in get_args(KnownFrame))

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
