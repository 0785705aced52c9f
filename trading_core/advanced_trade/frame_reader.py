"""Turns decoded frames into events: books in ticks and lots, each channel at the pace that somebody needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from trading_core.advanced_trade.wire import number, number_or_none, number_or_zero
from trading_core.advanced_trade.wire_frames import (
    AnyFrame,
    Bar,
    BookEvent,
    BookFrame,
    CandlesFrame,
    FuturesFrame,
    FuturesSummary,
    HeartbeatFrame,
    ProductStatus,
    StatusFrame,
    Ticker,
    TickerFrame,
    Trade,
    TradesFrame,
    UserFrame,
    UserOrder,
)
from trading_core.advanced_trade.wire_market import Grid
from trading_core.advanced_trade.wire_states import (
    is_edit_pending,
    meaning,
    order_type_of,
    status_of,
    time_in_force_of,
)
from trading_core.clock import NS
from trading_core.errors import SchemaDrift
from trading_core.events import (
    AnyEvent,
    BarClosed,
    BookChanged,
    HeartbeatReceived,
    MarginTold,
    OrderReported,
    StatusTold,
    TouchQuoted,
    TradePrinted,
)
from trading_core.money import Price
from trading_core.orders import Side, VenueOrder
from trading_core.products import Product
from trading_core.told import TOUCH_EVERY_S

PRICES_REMEMBERED = 65_536  # per product: more levels than Coinbase's deepest book
LEVEL_PREFIX = "MARGIN_LEVEL_TYPE_"


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
        self._quoted_ns: dict[str, int] = {}
        self._statuses: dict[str, ProductStatus] = {}
        self._open_bars: dict[str, tuple[int, Price]] = {}

    def events_of(self, frame: AnyFrame) -> list[AnyEvent]:
        """Return the events of a frame, dated by venue time at receipt; empty for an acknowledgement."""
        match frame:
            case BookFrame(events=events):
                return [self._book_changed(e) for e in events if e.product_id in self._steps]
            case TradesFrame(events=events):
                return [self._trade(t) for e in events if e.type != "snapshot" for t in _oldest_first(e.trades)]
            case TickerFrame(events=events):
                return [q for e in events for t in e.tickers if (q := self._touch(t)) is not None]
            case StatusFrame(events=events):
                return [s for e in events for p in e.products if (s := self._status(p)) is not None]
            case CandlesFrame(events=events):
                return [b for e in events for c in reversed(e.candles) if (b := self._bar(c)) is not None]
            case FuturesFrame(events=events):
                return [self._margin(e.fcm_balance_summary) for e in events]
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

    def _touch(self, ticker: Ticker) -> TouchQuoted | None:
        """Return the best prices, now and then; a ticker comes with every match."""
        now_ns, product_id = self._now_ns(), ticker.product_id
        if product_id not in self._steps or now_ns - self._quoted_ns.get(product_id, 0) < TOUCH_EVERY_S * NS:
            return None
        self._quoted_ns[product_id] = now_ns
        return TouchQuoted(
            ts_ns=now_ns, product_id=product_id, bid=number_or_zero(ticker.best_bid, "Ticker.best_bid"),
            ask=number_or_zero(ticker.best_ask, "Ticker.best_ask"),
        )

    def _status(self, product: ProductStatus) -> StatusTold | None:
        """Return a status that is news; the channel repeats all of them on its own interval."""
        if product.id not in self._steps or self._statuses.get(product.id) == product:
            return None
        self._statuses[product.id] = product
        return StatusTold(
            ts_ns=self._now_ns(), product_id=product.id, status=product.status, message=product.status_message
        )

    def _bar(self, bar: Bar) -> BarClosed | None:
        """Return the bar that ended when this one began; the newest bar is never whole."""
        if bar.product_id not in self._steps:
            return None
        start_s, close = int(number(bar.start, "Candle.start")), number(bar.close, "Candle.close")
        ended_s, ended_close = self._open_bars.get(bar.product_id, (start_s, close))
        if start_s >= ended_s:
            self._open_bars[bar.product_id] = start_s, close
        if start_s <= ended_s:
            return None
        return BarClosed(ts_ns=self._now_ns(), product_id=bar.product_id, start_s=ended_s, close=ended_close)

    def _margin(self, summary: FuturesSummary) -> MarginTold:
        used = number_or_zero(summary.initial_margin, "FcmBalanceSummary.initial_margin")
        available = number_or_zero(summary.available_margin, "FcmBalanceSummary.available_margin")
        return MarginTold(
            # The venue calls all that backs the positions available; we call so what is left of it.
            ts_ns=self._now_ns(), margin_used=used, margin_available=available - used,
            intraday_level=summary.intraday_margin_window_measure.margin_level.removeprefix(LEVEL_PREFIX),
            overnight_level=summary.overnight_margin_window_measure.margin_level.removeprefix(LEVEL_PREFIX),
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
        is_edit_pending=is_edit_pending(order.status),
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
