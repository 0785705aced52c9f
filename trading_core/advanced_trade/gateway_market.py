"""Market data operations: time, products, books, quotes, candles and trades."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from decimal import Decimal
from itertools import groupby
from typing import Any

from trading_core.advanced_trade.emit import rfc3339
from trading_core.advanced_trade.gateway_call import Call, Handler
from trading_core.advanced_trade.gateway_http import invalid_argument, not_found, unparsable
from trading_core.clock import NS
from trading_core.local_exchange.model import BookView
from trading_core.money import BPS, ONE, Price, Size, ceil_to, floor_to
from trading_core.products import Product

GRANULARITY_S = {
    "ONE_MINUTE": 60, "FIVE_MINUTE": 300, "FIFTEEN_MINUTE": 900, "THIRTY_MINUTE": 1_800, "ONE_HOUR": 3_600,
    "TWO_HOUR": 7_200, "FOUR_HOUR": 14_400, "SIX_HOUR": 21_600, "ONE_DAY": 86_400,
}
CANDLES_MAX = 350
TRADES_WITHOUT_WINDOW_MAX = 100
BOOK_LEVELS_DEFAULT = 250
LAST_SECOND = 253_402_300_799  # the end of the year 9999, where RFC 3339 ends
_TWELVE_DIGITS = Decimal("1E-12")
_INCREMENT_DIGITS_MAX = 20


def get_time(call: Call) -> Mapping[str, Any]:
    """Answer GetServerTime."""
    seconds = call.now_ns // NS
    return {"iso": rfc3339(seconds * NS), "epochSeconds": seconds, "epochMillis": call.now_ns // 1_000_000}


def get_products(call: Call) -> Mapping[str, Any]:
    """Answer GetProducts: spot only unless asked otherwise, largest 24-hour quote volume first."""
    wanted = call.params
    products = [p for p in call.exchange.products() if _is_wanted(p, wanted)]
    extras = {p.product_id: call.exchange.product_extras(p.product_id) for p in products}
    rows = sorted(extras.values(), key=lambda row: -Decimal(str(row["approximate_quote_24h_volume"] or 0)))
    ids = [str(row["product_id"]) for row in rows]
    start = max(0, wanted.get("offset", 0))
    if cursor := wanted.get("cursor"):
        start = _after_cursor(cursor, ids)
    page = rows[start : start + call.limit(len(rows) or 1)]
    end = start + len(page)
    return {
        "products": page,
        "num_products": len(page),
        "pagination": {
            "next_cursor": _cursor(ids[end - 1]) if 0 < end < len(rows) else "",
            "prev_cursor": _cursor(ids[start - 1]) if 0 < start <= len(rows) else "",
            "has_next": end < len(rows),
            "has_prev": start > 0,
        },
    }


def get_product(call: Call) -> Mapping[str, Any]:
    """Answer GetProduct."""
    product = call.product(call.path["product_id"])
    return call.exchange.product_extras(product.product_id)


def get_product_book(call: Call) -> Mapping[str, Any]:
    """Answer GetProductBook, aggregated by price if asked."""
    product_id = call.params.get("product_id", "")
    call.product(product_id, invalid_argument("ProductID is invalid"))
    levels = call.limit(BOOK_LEVELS_DEFAULT)
    step = _increment(call.params.get("aggregation_price_increment", ""))
    view = call.exchange.book(product_id, levels if step is None else 10 * levels)
    if not view.bids or not view.asks:
        raise not_found("no pricebook found")
    bid, ask = view.bids[0][0], view.asks[0][0]
    mid = (bid + ask) / 2
    return {
        "pricebook": _pricebook(view, call.now_ns, levels, step),
        "last": view.last,
        "mid_market": mid,
        "spread_bps": ((ask - bid) / mid * BPS).quantize(_TWELVE_DIGITS),
        "spread_absolute": ask - bid,
    }


def get_best_bid_ask(call: Call) -> Mapping[str, Any]:
    """Answer GetBestBidAsk: one level a side, all products if none is named."""
    ids = call.params.get("product_ids") or [p.product_id for p in call.exchange.products()]
    for product_id in ids:
        call.product(product_id, invalid_argument("ProductID is invalid"))
    return {"pricebooks": [_pricebook(call.exchange.book(i, 1), call.now_ns, 1, None) for i in ids]}


def get_candles(call: Call) -> Mapping[str, Any]:
    """Answer GetCandles: newest first, at most 350."""
    product_id = call.path["product_id"]
    call.product(product_id, invalid_argument("ProductID is invalid"))
    start_s, end_s = _seconds(call, "start"), _seconds(call, "end")
    if start_s is None or end_s is None or end_s < start_s:
        raise invalid_argument("start and end must be given, start before end")
    granularity_s = GRANULARITY_S.get(call.params.get("granularity", ""))
    if granularity_s is None:
        raise invalid_argument("granularity is invalid")
    if (end_s - start_s) // granularity_s > CANDLES_MAX:
        raise invalid_argument("start and end must be within 350 candles")
    bars = call.exchange.candles(product_id, start_s, end_s, granularity_s)[::-1]
    return {
        "candles": [
            {"start": b.start_s, "low": b.low, "high": b.high, "open": b.open, "close": b.close, "volume": b.volume}
            for b in bars[: call.limit(CANDLES_MAX, CANDLES_MAX)]
        ]
    }


def get_trades(call: Call) -> Mapping[str, Any]:
    """Answer GetMarketTrades: newest first; 100 rows at most unless a window is given."""
    product_id = call.path["product_id"]
    call.product(product_id, invalid_argument("ProductID is invalid"))
    start_s, end_s = _seconds(call, "start"), _seconds(call, "end")
    has_window = start_s is not None or end_s is not None
    limit = call.limit(TRADES_WITHOUT_WINDOW_MAX, 1_000 if has_window else TRADES_WITHOUT_WINDOW_MAX)
    rows = call.exchange.trades(product_id, 1_000 if has_window else limit)
    rows = [t for t in rows if (start_s or 0) <= t.ts_ns // NS <= (end_s or LAST_SECOND)]
    view = call.exchange.book(product_id, 1)
    return {
        "trades": [
            {
                "trade_id": t.trade_id, "product_id": t.product_id, "price": t.price, "size": t.size,
                "time": t.ts_ns, "side": t.maker_side, "exchange": "coinbase",
            }
            for t in rows[:limit]
        ],
        "best_bid": view.bids[0][0] if view.bids else None,
        "best_ask": view.asks[0][0] if view.asks else None,
    }


def _is_wanted(product: Product, wanted: Mapping[str, Any]) -> bool:
    if ids := wanted.get("product_ids"):
        return product.product_id in ids
    kind = wanted.get("product_type", "UNKNOWN_PRODUCT_TYPE")
    if kind == "UNKNOWN_PRODUCT_TYPE":
        kind = product.product_type if wanted.get("get_all_products") else "SPOT"
    expiry = wanted.get("contract_expiry_type", "UNKNOWN_CONTRACT_EXPIRY_TYPE")
    # The venue calls its perpetual-style futures EXPIRING too: they end in 2030.
    return product.product_type == kind and expiry in ("UNKNOWN_CONTRACT_EXPIRY_TYPE", "EXPIRING")


def _cursor(product_id: str) -> str:
    return base64.b64encode(product_id.encode()).decode()


def _after_cursor(cursor: str, ids: list[str]) -> int:
    try:
        return ids.index(base64.b64decode(cursor, validate=True).decode()) + 1
    except (binascii.Error, ValueError) as e:
        raise invalid_argument("cursor is invalid") from e


def _pricebook(view: BookView, now_ns: int, levels: int, step: Price | None) -> Mapping[str, Any]:
    bids, asks = view.bids[:levels], view.asks[:levels]
    if step is not None:
        bids = _grouped(view.bids, lambda price: floor_to(price, step))[:levels]
        asks = _grouped(view.asks, lambda price: ceil_to(price, step))[:levels]
    return {
        "product_id": view.product_id,
        "bids": [{"price": p, "size": s} for p, s in bids],
        "asks": [{"price": p, "size": s} for p, s in asks],
        "time": now_ns,
    }


def _grouped(levels: tuple[tuple[Price, Size], ...], to_grid: Any) -> tuple[tuple[Price, Size], ...]:
    groups = groupby(levels, key=lambda level: to_grid(level[0]))
    return tuple((price, sum((size for _, size in rows), ONE - ONE)) for price, rows in groups)


def _increment(text: str) -> Price | None:
    if not text:
        return None
    digits = text.replace(".", "", 1)
    if not digits.isascii() or not digits.isdigit() or len(digits) > _INCREMENT_DIGITS_MAX or Decimal(text) == 0:
        raise invalid_argument("aggregation_price_increment is invalid")
    return Decimal(text)


def _seconds(call: Call, name: str) -> int | None:
    text = str(call.params.get(name, ""))
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 12 or int(text) > LAST_SECOND:
        raise unparsable(f'parsing field "{name}": strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)


HANDLERS: dict[str, Handler] = {
    "GetServerTime": get_time,
    "GetProducts": get_products,
    "GetPublicProducts": get_products,
    "GetProduct": get_product,
    "GetPublicProduct": get_product,
    "GetProductBook": get_product_book,
    "GetPublicProductBook": get_product_book,
    "GetBestBidAsk": get_best_bid_ask,
    "GetCandles": get_candles,
    "GetPublicCandles": get_candles,
    "GetMarketTrades": get_trades,
    "GetPublicMarketTrades": get_trades,
}
