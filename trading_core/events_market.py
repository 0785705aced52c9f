"""What every event has, and what the stream tells of the market: books, trades, prices, status, heartbeat."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, TypeAlias

import msgspec

from trading_core.money import Notional, Price, Size
from trading_core.orders import Side

Levels: TypeAlias = tuple[tuple[int, int], ...]  # (ticks, lots), best first


class Event(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Something that happened at `ts_ns`, venue time in nanoseconds."""

    ts_ns: int


class BookChanged(Event, frozen=True, kw_only=True, tag=True):
    """A book snapshot or absolute level changes; lots 0 deletes the level."""

    product_id: str
    is_snapshot: bool
    bids: Levels
    asks: Levels


class TradePrinted(Event, frozen=True, kw_only=True, tag=True):
    """A public trade; `maker_side` is the side of the resting order."""

    product_id: str
    trade_id: str
    price: Price
    size: Size
    maker_side: Side


class StreamState(StrEnum):
    """What happened to a connection."""

    CONNECTED = "CONNECTED"
    DISCONNECTED = "DISCONNECTED"
    GAP = "GAP"


class StreamChanged(Event, frozen=True, kw_only=True, tag=True):
    """A connection of the stream came up, was lost, or skipped a sequence number.

    The market connection carries books and trades, the user connection only orders: its loss leaves the books as
    they are. After any change orders and fills are read again over REST.
    """

    state: StreamState
    detail: str = ""
    connection: Literal["market", "user"] = "market"


class TouchQuoted(Event, frozen=True, kw_only=True, tag=True):
    """The venue's own best prices of a product, from its ticker: what the book is held against."""

    product_id: str
    bid: Price
    ask: Price


class StatusTold(Event, frozen=True, kw_only=True, tag=True):
    """The venue's word for what can be done with a product now; `online` is the only one that lets us enter."""

    product_id: str
    status: str
    message: str = ""


class BarClosed(Event, frozen=True, kw_only=True, tag=True):
    """A five-minute bar of the venue ended; `start_s` is its opening time in UNIX seconds."""

    product_id: str
    start_s: int
    close: Price


class MarginTold(Event, frozen=True, kw_only=True, tag=True):
    """Margin as the venue pushes it between two readings of the account; figures as in AccountRead.

    The level is told for both kinds of window: which one holds, the venue says elsewhere.
    """

    margin_used: Notional
    margin_available: Notional
    intraday_level: str
    overnight_level: str


class HeartbeatReceived(Event, frozen=True, kw_only=True, tag=True):
    """The venue's once-a-second heartbeat."""

    counter: int
