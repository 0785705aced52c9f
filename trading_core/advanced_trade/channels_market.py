"""What the market data channels say: snapshots for new subscribers, and updates at each channel's own pace."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from trading_core.advanced_trade import channels_frames as frames
from trading_core.clock import NS
from trading_core.events import BookChanged, TradePrinted
from trading_core.local_exchange.exchange import LocalExchange

MS = 1_000_000
LEVEL2_EVERY_NS = 50 * MS
TRADES_EVERY_NS = 250 * MS
CANDLES_EVERY_NS = NS
TICKER_BATCH_EVERY_NS = 5 * NS
STATUS_EVERY_NS = 10 * NS
SNAPSHOT_TRADES = 100
PENDING_TRADES_MAX = 5_000  # one frame stays below the SDK's 10 MiB
CANDLE_S = 300
SNAPSHOT_CANDLES = 100
PRODUCT_CHANNELS = ("level2", "market_trades", "ticker", "ticker_batch", "candles", "status")
# Channels whose updates need the exchange's public events.
EVENT_CHANNELS = ("level2", "market_trades", "ticker", "ticker_batch")


class Update(NamedTuple):
    """Encoded events for everyone who subscribed the channel for the product."""

    channel: str
    product_id: str
    events: bytes


class MarketFeed:
    """Collects the exchange's public events and lets them out in batches."""

    def __init__(self, exchange: LocalExchange) -> None:
        self._exchange = exchange
        self._books: dict[str, BookChanged] = {}
        self._trades: dict[str, list[TradePrinted]] = {}
        self._changed: dict[str, set[str]] = {"ticker": set(), "ticker_batch": set(), "candles": set()}
        self._sent_ns: dict[tuple[str, str], int] = {}

    def collect(self, event: BookChanged | TradePrinted) -> None:
        """Keep a public event until its channels are due."""
        product_id = event.product_id
        if isinstance(event, BookChanged):
            self._books[product_id] = frames.merged(self._books.get(product_id), event)
            return
        trades = self._trades.setdefault(product_id, [])
        trades.append(event)
        if len(trades) > PENDING_TRADES_MAX:
            del trades[0]
        for changed in self._changed.values():
            changed.add(product_id)

    def updates(self, now_ns: int, has_subscribers: Callable[[str, str], bool]) -> Iterator[Update]:
        """Return what is due now; what nobody wants is dropped."""
        for product_id in [p for p in self._books if self._is_due("level2", p, LEVEL2_EVERY_NS, now_ns)]:
            change = self._books.pop(product_id)
            if (change.bids or change.asks) and has_subscribers("level2", product_id):
                # A client that saw a snapshot needs absolute levels only, whatever the exchange calls them.
                yield Update("level2", product_id, frames.level2("update", self._exchange.product(product_id), change))
        for product_id in [p for p in self._trades if self._is_due("market_trades", p, TRADES_EVERY_NS, now_ns)]:
            trades = self._trades.pop(product_id)
            if has_subscribers("market_trades", product_id):
                yield Update("market_trades", product_id, frames.market_trades("update", reversed(trades)))
        paces = (("ticker", 0), ("ticker_batch", TICKER_BATCH_EVERY_NS), ("candles", CANDLES_EVERY_NS))
        for channel, every_ns in paces:
            changed = self._changed[channel]
            for product_id in sorted(p for p in changed if self._is_due(channel, p, every_ns, now_ns)):
                changed.discard(product_id)
                if has_subscribers(channel, product_id):
                    yield Update(channel, product_id, self._state(channel, product_id, "update"))
        for product in self._exchange.products():
            product_id = product.product_id
            if has_subscribers("status", product_id) and self._is_due("status", product_id, STATUS_EVERY_NS, now_ns):
                yield Update("status", product_id, self._state("status", product_id, "update"))

    def snapshot(self, channel: str, product_id: str) -> bytes:
        """Return the events of a new subscriber's first frame."""
        if channel == "level2":
            change = self._exchange.book_snapshot(product_id)
            return frames.level2("snapshot", self._exchange.product(product_id), change)
        if channel == "market_trades":
            return frames.market_trades("snapshot", self._exchange.trades(product_id, SNAPSHOT_TRADES))
        return self._state(channel, product_id, "snapshot")

    def _state(self, channel: str, product_id: str, kind: str) -> bytes:
        exchange = self._exchange
        product = exchange.product(product_id)
        if channel == "status":
            return frames.status(kind, [(product, exchange.status(product_id))])
        if channel == "candles":
            count = SNAPSHOT_CANDLES if kind == "snapshot" else 1
            now_s = exchange.now_ns // NS
            bars = exchange.candles(product_id, now_s - count * CANDLE_S, now_s, CANDLE_S)
            return frames.candles(kind, product_id, bars[::-1][:count])
        has_best = channel == "ticker" or exchange.config.compat.ticker_batch_has_best
        row = frames.ticker(product, exchange.day_stats(product_id), exchange.book(product_id, 1) if has_best else None)
        return frames.encode([{"type": kind, "tickers": [row]}])

    def _is_due(self, channel: str, product_id: str, every_ns: int, now_ns: int) -> bool:
        key = channel, product_id
        if now_ns - self._sent_ns.get(key, 0) < every_ns:
            return False
        self._sent_ns[key] = now_ns
        return True
