"""What was printed: trades, candles and day statistics, all from the same prints."""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from trading_core.clock import MINUTE_NS
from trading_core.events import TradePrinted
from trading_core.local_exchange.bars import Ints
from trading_core.local_exchange.market import Market, Print
from trading_core.local_exchange.model import DayStats, ExchangeCandle
from trading_core.orders import Side

DAY_MINUTES = 1440
SUBS_AN_UPDATE = 1000  # trade ids: update × 1000 + number within the update


def trade_of(market: Market, row: Print) -> TradePrinted:
    """Return the public trade of a print."""
    return TradePrinted(
        ts_ns=row.update * market.tape.interval_ns,
        product_id=market.product.product_id,
        trade_id=str(row.update * SUBS_AN_UPDATE + row.sub),
        price=row.ticks * market.product.price_increment,
        size=row.lots * market.product.base_increment,
        maker_side=row.maker_side,
    )


def prints_back(market: Market, limit: int) -> list[Print]:
    """Return the last prints, newest first."""
    found: list[Print] = []
    minute = market.update // market.tape.updates_a_minute
    while len(found) < limit:
        found += reversed(_prints_of(market, minute))
        minute -= 1
    return found[:limit]


def _prints_of(market: Market, minute: int) -> list[Print]:
    """Return the prints of a minute up to now, oldest first."""
    size = market.tape.updates_a_minute
    columns, base = market.tape.minute(minute), minute * size
    own = {update: rows for update, rows in market.own_prints.items() if base <= update < base + size}
    updates = {base + int(i) for i in np.flatnonzero(columns.lots > 0)} | own.keys()
    rows: list[Print] = []
    for update in sorted(u for u in updates if u <= market.update):
        if update in own:
            rows += own[update]
            continue
        i = update - base
        side = Side.SELL if columns.is_buy[i] else Side.BUY
        rows.append(Print(update, 0, int(columns.price[i]), int(columns.lots[i]), side))
    return rows


def minute_bars(market: Market, first: int, last: int) -> Ints:
    """Return [open, high, low, close, volume] in ticks and lots of the minutes first..last, up to now."""
    size = market.tape.updates_a_minute
    now = market.update // size
    last = min(last, now)
    bars = market.tape.bars.ticks(np.arange(first, last + 1, dtype=np.int64))
    special = {update // size for update in market.own_prints}
    if market.update % size != size - 1:
        special.add(now)
    for minute in special:
        if first <= minute <= last:
            rows = _prints_of(market, minute)
            prices = [row.ticks for row in rows]
            volume = sum(row.lots for row in rows)
            bars[:, minute - first] = (prices[0], max(prices), min(prices), prices[-1], volume)
    return bars


def candles(market: Market, start_s: int, end_s: int, granularity_s: int) -> list[ExchangeCandle]:
    """Return the bars that start in [start_s, end_s], oldest first, up to the open one."""
    now_s = market.update * market.tape.interval_ns // MINUTE_NS * 60
    first_s = -(-start_s // granularity_s) * granularity_s
    last_s = min(end_s, now_s) // granularity_s * granularity_s
    if last_s < first_s:
        return []
    per = granularity_s // 60
    bars = minute_bars(market, first_s // 60, last_s // 60 + per - 1)
    starts = np.arange(0, bars.shape[1], per)
    highs, lows = np.maximum.reduceat(bars[1], starts), np.minimum.reduceat(bars[2], starts)
    volumes = np.add.reduceat(bars[4], starts)
    tick, lot = market.product.price_increment, market.product.base_increment
    return [
        ExchangeCandle(
            start_s=first_s + n * granularity_s,
            low=int(lows[n]) * tick,
            high=int(highs[n]) * tick,
            open=int(bars[0, i]) * tick,
            close=int(bars[3, min(i + per, bars.shape[1]) - 1]) * tick,
            volume=int(volumes[n]) * lot,
        )
        for n, i in enumerate(starts)
    ]


def day_stats(market: Market) -> DayStats:
    """Return the trailing 24 hours, in whole minutes."""
    now = market.update // market.tape.updates_a_minute
    bars = minute_bars(market, now - DAY_MINUTES + 1, now)
    tick, lot = market.product.price_increment, market.product.base_increment
    value = int(np.sum(bars[3].astype(object) * bars[4].astype(object)))
    return DayStats(
        open=int(bars[0, 0]) * tick,
        high=int(bars[1].max()) * tick,
        low=int(bars[2].min()) * tick,
        last=Decimal(market.last_ticks()) * tick,
        volume=int(bars[4].sum()) * lot,
        quote_volume=value * tick * lot * market.product.contract_size,
    )
