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


class History:
    """The prints of one market, looked at from its present update."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._ended: dict[int, tuple[int, ...]] = {}  # bars of past minutes in which accounts traded
        self._day: tuple[int, tuple[int, ...]] = (-1, ())  # a minute, and the sums of the day before it

    def trades(self, limit: int) -> list[TradePrinted]:
        """Return the last trades, newest first."""
        found: list[Print] = []
        minute = self._market.update // self._market.tape.updates_a_minute
        while len(found) < limit:
            found += reversed(self._prints(minute))
            minute -= 1
        return [trade_of(self._market, row) for row in found[:limit]]

    def bars(self, first: int, last: int) -> Ints:
        """Return [open, high, low, close, volume] in ticks and lots of the minutes first..last, up to now."""
        size = self._market.tape.updates_a_minute
        now = self._market.update // size
        last = min(last, now)
        bars = self._market.tape.bars.ticks(np.arange(first, last + 1, dtype=np.int64))
        for minute in self._market.own_prints:
            if first <= minute <= last:
                bars[:, minute - first] = self._bar(minute)
        if first <= now <= last:
            bars[:, now - first] = self._bar(now)
        return bars

    def candles(self, start_s: int, end_s: int, granularity_s: int) -> list[ExchangeCandle]:
        """Return the bars that start in [start_s, end_s], oldest first, up to the open one."""
        market = self._market
        now_s = market.update * market.tape.interval_ns // MINUTE_NS * 60
        first_s = -(-start_s // granularity_s) * granularity_s
        last_s = min(end_s, now_s) // granularity_s * granularity_s
        if last_s < first_s:
            return []
        per = granularity_s // 60
        bars = self.bars(first_s // 60, last_s // 60 + per - 1)
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

    def day_stats(self) -> DayStats:
        """Return the trailing 24 hours, in whole minutes."""
        product = self._market.product
        now = self._market.update // self._market.tape.updates_a_minute
        if self._day[0] != now:
            past = self.bars(now - DAY_MINUTES + 1, now - 1)
            value = int(np.sum(past[3].astype(object) * past[4].astype(object)))
            sums = (past[0, 0], past[1].max(), past[2].min(), past[4].sum())
            self._day = (now, (*(int(x) for x in sums), value))
        open_, high, low, lots, value = self._day[1]
        bar = self._bar(now)
        tick, lot = product.price_increment, product.base_increment
        return DayStats(
            open=open_ * tick,
            high=max(high, bar[1]) * tick,
            low=min(low, bar[2]) * tick,
            last=Decimal(self._market.last_ticks()) * tick,
            volume=(lots + bar[4]) * lot,
            quote_volume=(value + bar[3] * bar[4]) * tick * lot * product.contract_size,
        )

    def _bar(self, minute: int) -> tuple[int, ...]:
        """Return the bar of one minute up to now from its prints."""
        market = self._market
        if minute in self._ended:
            return self._ended[minute]
        if minute not in market.own_prints:
            columns = market.tape.minute(minute)
            until = market.update - minute * market.tape.updates_a_minute + 1
            lots = columns.lots[:until]
            prices = columns.price[:until][lots > 0]
            return (int(prices[0]), int(prices.max()), int(prices.min()), int(prices[-1]), int(lots.sum()))
        rows = self._prints(minute)
        prices_own = [row.ticks for row in rows]
        volume = sum(row.lots for row in rows)
        bar = (prices_own[0], max(prices_own), min(prices_own), prices_own[-1], volume)
        if market.update // market.tape.updates_a_minute > minute:
            self._ended[minute] = bar
        return bar

    def _prints(self, minute: int) -> list[Print]:
        """Return the prints of a minute up to now, oldest first."""
        market = self._market
        size = market.tape.updates_a_minute
        columns, base = market.tape.minute(minute), minute * size
        own = market.own_prints.get(minute, {})
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
