"""What the simulated venue's stream tells beside books, trades and orders, as the served channels would tell it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from trading_core.advanced_trade.channels_market import CANDLE_S, CANDLES_EVERY_NS, SNAPSHOT_CANDLES, STATUS_EVERY_NS
from trading_core.clock import NS
from trading_core.events import AnyEvent, BarClosed, MarginTold, StatusTold, TouchQuoted
from trading_core.local_exchange.exchange import LocalExchange
from trading_core.money import ZERO
from trading_core.products import Product, ProductType
from trading_core.told import TOUCH_EVERY_S


class InProcessExtras:
    """Best prices, product status, bars and margin of what one session subscribed; each told when it is news."""

    def __init__(
        self, exchange: LocalExchange, account_id: str, products: Sequence[Product], *, with_bars: bool
    ) -> None:
        self._exchange = exchange
        self._account_id = account_id
        self._products = tuple(p.product_id for p in products)
        self._with_bars = with_bars
        self._has_futures = any(p.product_type is ProductType.FUTURE for p in products)
        self.traded = set(self._products)  # since the last look at their best prices
        self._quoted_ns: dict[str, int] = {}
        self._statuses: dict[str, str] = {}
        self._next_status_ns = self._next_second_ns = 0
        self._bars_s: dict[str, int] = {}
        self._margin: tuple[object, ...] = ()

    def due(self, now_ns: int) -> list[AnyEvent]:
        """Return what is to be told now."""
        told: list[AnyEvent] = [*self._touches(now_ns), *self._status(now_ns)]
        if now_ns >= self._next_second_ns:
            self._next_second_ns = now_ns + CANDLES_EVERY_NS
            told += [*self._bars(now_ns), *self._margins(now_ns)]
        return told

    def _touches(self, now_ns: int) -> Iterator[TouchQuoted]:
        for product_id in self._products:
            is_due = now_ns - self._quoted_ns.get(product_id, 0) >= TOUCH_EVERY_S * NS
            if product_id not in self.traded or not is_due:
                continue
            self.traded.discard(product_id)
            self._quoted_ns[product_id] = now_ns
            view = self._exchange.book(product_id, 1)
            bid, ask = (side[0][0] if side else ZERO for side in (view.bids, view.asks))
            yield TouchQuoted(ts_ns=now_ns, product_id=product_id, bid=bid, ask=ask)

    def _status(self, now_ns: int) -> Iterator[StatusTold]:
        if now_ns < self._next_status_ns:
            return
        self._next_status_ns = now_ns + STATUS_EVERY_NS
        for product_id in self._products:
            status = self._exchange.status(product_id)
            if self._statuses.get(product_id) != status:
                self._statuses[product_id] = status
                yield StatusTold(ts_ns=now_ns, product_id=product_id, status=status)

    def _bars(self, now_ns: int) -> Iterator[BarClosed]:
        open_s = now_ns // NS // CANDLE_S * CANDLE_S
        for product_id in self._products if self._with_bars else ():
            since_s = self._bars_s.get(product_id, open_s - SNAPSHOT_CANDLES * CANDLE_S)
            self._bars_s[product_id] = open_s
            for bar in self._exchange.candles(product_id, since_s, open_s - 1, CANDLE_S) if open_s > since_s else ():
                yield BarClosed(ts_ns=now_ns, product_id=product_id, start_s=bar.start_s, close=bar.close)

    def _margins(self, now_ns: int) -> Iterator[MarginTold]:
        if not self._has_futures:
            return
        summary = self._exchange.futures_summary(self._account_id)
        told = MarginTold(
            ts_ns=now_ns, margin_used=summary.initial_margin,
            margin_available=summary.available_margin - summary.initial_margin,
            intraday_level=summary.intraday.level, overnight_level=summary.overnight.level,
        )
        figures = (told.margin_used, told.margin_available, told.intraday_level, told.overnight_level)
        if figures != self._margin:
            self._margin = figures
            yield told
