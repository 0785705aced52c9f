"""Frames of the WebSocket side: the envelope that every connection numbers by itself, and the events inside."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec

from trading_core.advanced_trade.emit import rfc3339
from trading_core.clock import NS, to_datetime
from trading_core.events import BookChanged, TradePrinted
from trading_core.local_exchange.model import BookView, DayStats, ExchangeCandle
from trading_core.money import ZERO, plain
from trading_core.orders import Side
from trading_core.products import Product

encode = msgspec.json.encode


def envelope(channel: str, timestamp: str, sequence_num: int, events: bytes, has_client_id: bool) -> bytes:
    """Return one data or acknowledgement frame around events that are encoded already (and shared)."""
    client = b'"client_id":"",' if has_client_id else b""
    head = f'"timestamp":"{timestamp}","sequence_num":{sequence_num},"events":'.encode()
    return b'{"channel":"' + channel.encode() + b'",' + client + head + events + b"}"


def error_frame(message: str) -> bytes:
    """Return an error: it has neither channel nor sequence number."""
    return encode({"type": "error", "message": message})


def heartbeat(now_ns: int, counter: int | str, up_ns: int) -> bytes:
    """Return the heartbeat's events; the time is written as Go prints it."""
    text = to_datetime(now_ns // NS * NS).strftime("%Y-%m-%d %H:%M:%S")
    fraction = f"{now_ns % NS:09d}".rstrip("0")
    stamp = f"{text}.{fraction}" if fraction else text
    current = f"{stamp} +0000 UTC m=+{up_ns // NS}.{up_ns % NS:09d}"
    return encode([{"current_time": current, "heartbeat_counter": counter}])


def level2(kind: str, product: Product, change: BookChanged) -> bytes:
    """Return book levels, bids first: absolute sizes, 0 deletes."""
    stamp = rfc3339(change.ts_ns)
    increments = product.price_increment, product.base_increment
    updates = _levels("bid", change.bids, increments, stamp) + _levels("offer", change.asks, increments, stamp)
    return encode([{"type": kind, "product_id": product.product_id, "updates": updates}])


def market_trades(kind: str, trades: Iterable[TradePrinted]) -> bytes:
    """Return public trades, newest first; side is the maker's."""
    rows = [
        {
            "product_id": t.product_id, "trade_id": t.trade_id, "price": plain(t.price), "size": plain(t.size),
            "time": rfc3339(t.ts_ns), "side": t.maker_side.value,
        }
        for t in trades
    ]
    return encode([{"type": kind, "trades": rows}])


def ticker(product: Product, stats: DayStats, view: BookView | None) -> dict[str, str]:
    """Return one ticker row; without a view it is a row of ticker_batch."""
    change = (stats.last / stats.open - 1) * 100 if stats.open else ZERO
    row = {
        "type": "ticker",
        "product_id": product.product_id,
        "price": plain(stats.last),
        "volume_24_h": plain(stats.volume),
        "low_24_h": plain(stats.low),
        "high_24_h": plain(stats.high),
        # The replayed day is all that this venue knows of the year.
        "low_52_w": plain(stats.low),
        "high_52_w": plain(stats.high),
        "price_percent_chg_24_h": plain(round(change, 12)),
    }
    if view is None:
        return row
    bid, ask = _touch(view.bids), _touch(view.asks)
    return {
        **row,
        "best_bid": bid[0], "best_ask": ask[0], "best_bid_quantity": bid[1], "best_ask_quantity": ask[1],
    }


def candles(kind: str, product_id: str, bars: Iterable[ExchangeCandle]) -> bytes:
    """Return five-minute bars, newest first."""
    rows = [
        {
            "start": str(b.start_s), "high": plain(b.high), "low": plain(b.low), "open": plain(b.open),
            "close": plain(b.close), "volume": plain(b.volume), "product_id": product_id,
        }
        for b in bars
    ]
    return encode([{"type": kind, "candles": rows}])


def status(kind: str, products: Iterable[tuple[Product, str]]) -> bytes:
    """Return the state of products."""
    rows = [
        {
            "product_type": p.product_type.value,
            "id": p.product_id,
            "base_currency": p.base_currency,
            "quote_currency": p.quote_currency,
            "base_increment": plain(p.base_increment),
            "quote_increment": plain(p.price_increment),
            "display_name": p.display_name.replace("-", "/"),
            "status": word,
            "status_message": "",
            "min_market_funds": plain(p.quote_min_size),
        }
        for p, word in products
    ]
    return encode([{"type": kind, "products": rows}])


def user_orders(kind: str, orders: list[dict[str, str]], futures: list[dict[str, str]]) -> bytes:
    """Return orders; positions are empty unless Coinbase enabled them."""
    positions: dict[str, list[Any]] = {
        "perpetual_futures_positions": [], "expiring_futures_positions": futures, "prediction_market_positions": [],
    }
    return encode([{"type": kind, "orders": orders, "positions": positions}])


def _levels(
    side: str, levels: Iterable[tuple[int, int]], increments: tuple[Decimal, Decimal], stamp: str
) -> list[dict[str, str]]:
    tick, lot = increments
    return [
        {"side": side, "event_time": stamp, "price_level": plain(ticks * tick), "new_quantity": plain(lots * lot)}
        for ticks, lots in levels
    ]


def _touch(levels: tuple[tuple[Decimal, Decimal], ...]) -> tuple[str, str]:
    return (plain(levels[0][0]), plain(levels[0][1])) if levels else ("0", "0")


def merged(pending: BookChanged | None, change: BookChanged) -> BookChanged:
    """Return two consecutive book changes as one: the later size of a level wins."""
    if pending is None or change.is_snapshot:
        return change
    return BookChanged(
        ts_ns=change.ts_ns,
        product_id=change.product_id,
        is_snapshot=pending.is_snapshot,
        bids=_merged_side(Side.BUY, pending.bids, change.bids),
        asks=_merged_side(Side.SELL, pending.asks, change.asks),
    )


def _merged_side(
    side: Side, before: tuple[tuple[int, int], ...], after: tuple[tuple[int, int], ...]
) -> tuple[tuple[int, int], ...]:
    levels = {**dict(before), **dict(after)}
    return tuple(sorted(levels.items(), reverse=side is Side.BUY))
