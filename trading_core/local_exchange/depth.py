"""The synthetic depth behind the touch: a field of levels at fixed prices, computed and never stored.

Whether a level stands at a price, and how big it is, is a hash of product, seed and price; the size is drawn
again every few seconds. So a moving touch changes few levels, and any moment can be asked for by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trading_core.local_exchange.bars import Ints
from trading_core.local_exchange.calibration import Calibration, ProductModel
from trading_core.local_exchange.tape import Tape
from trading_core.orders import Side
from trading_core.products import Product

Words = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]
REDRAW_S = 2  # a level keeps its size this long
TOUCH_REDRAW_UPDATES = 5
LEVEL_SIGMA = 0.8
_M1, _M2, _M3 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_WORD = 2**64
_TABLE = 256


@dataclass(frozen=True, slots=True)
class Books:
    """One side at several updates: behind its touch each takes `count` − 1 of the prices, from `first` on."""

    updates: range
    touches: list[int]
    first: list[int]
    prices: list[int]
    lots: Ints  # a row for each update, a column for each price
    count: int

    def behind(self, update: int) -> tuple[int, Iterator[tuple[int, int]]]:
        """Return the touch at the update, and ticks and lots of each level behind it."""
        row = self.updates.index(update)
        start, end = self.first[row], self.first[row] + self.count - 1
        return self.touches[row], zip(self.prices[start:end], self.lots[row, start:end].tolist(), strict=True)


class Depth:
    """The levels of one product at any update."""

    def __init__(
        self,
        product: Product,
        model: ProductModel,
        calibration: Calibration,
        tape: Tape,
        salt: int,
        depth_share: float,
    ) -> None:
        self._tape = tape
        self._stress = calibration.stress
        self._share = depth_share
        self._redraw = REDRAW_S * (tape.updates_a_minute // 60)
        tick = float(product.price_increment)
        self._usd_per_lot_tick = tick * float(product.base_increment * product.contract_size)
        open_ = tape.bars.reference_ticks
        self._gap = max(1, round(model.level_gap_bps / 10_000 * open_))
        level_usd = model.depth_usd_per_bps * self._gap / open_ * 10_000
        self._level_usd = level_usd * _lognormal_table(LEVEL_SIGMA, is_mean_one=True)
        self._touch_usd = model.touch_usd * _lognormal_table(model.touch_sigma, is_mean_one=False)
        self._salt = {Side.BUY: (salt * 2 + 1) % _WORD, Side.SELL: (salt * 2 + 2) % _WORD}

    def touch_lots(self, side: Side, update: int, tick: int) -> int:
        """Return the size at the touch."""
        drawn = _mix_one(self._salt[side] ^ (tick * _M1 % _WORD) ^ (update // TOUCH_REDRAW_UPDATES * _M2 % _WORD))
        minute = update // self._tape.updates_a_minute
        factor = self._stress[self._tape.bars.stress(minute)].touch_factor * self._share
        return max(1, int(self._touch_usd[drawn % _TABLE] * factor / (tick * self._usd_per_lot_tick)))

    def levels(self, side: Side, update: int, count: int) -> tuple[Ints, Ints]:
        """Return ticks and lots of up to `count` levels, best first, the touch included."""
        bid, ask = self._tape.quote(update)
        touch = bid if side is Side.BUY else ask
        gap = self._gap
        if side is Side.BUY:
            index = np.arange(touch // gap, max(touch // gap - count, 0), -1, dtype=np.int64)
        else:
            index = np.arange(touch // gap, touch // gap + count, dtype=np.int64)
        word = _mix(index.astype(np.uint64) * np.uint64(_M1) ^ np.uint64(self._salt[Side.BUY]))
        ticks = index * gap + (word % np.uint64(gap)).astype(np.int64)
        is_behind = (ticks < touch) & (ticks > 0) if side is Side.BUY else ticks > touch
        ticks, word = ticks[is_behind][: count - 1], word[is_behind][: count - 1]
        lots = self._lots(side, update, ticks, word)
        return (
            np.concatenate(([touch], ticks)),
            np.concatenate(([self.touch_lots(side, update, touch)], lots)),
        )

    def books(self, side: Side, updates: range, count: int) -> Books:
        """Return what `levels` returns at each of the updates; much cheaper than one by one."""
        touches = np.array([self._tape.quote(update)[side is Side.SELL] for update in updates], dtype=np.int64)
        low, high = int(touches.min()) // self._gap, int(touches.max()) // self._gap
        if side is Side.BUY:
            index = np.arange(high, max(low - count, 0), -1, dtype=np.int64)
        else:
            index = np.arange(low, high + count, dtype=np.int64)
        word = _mix(index.astype(np.uint64) * np.uint64(_M1) ^ np.uint64(self._salt[Side.BUY]))
        ticks = index * self._gap + (word % np.uint64(self._gap)).astype(np.int64)
        ticks, word = ticks[ticks > 0], word[ticks > 0]
        sign = -1 if side is Side.BUY else 1
        first = np.searchsorted(ticks * sign, touches * sign, side="right")
        lots = self._lots_of_rows(side, updates, ticks, word)
        return Books(updates, touches.tolist(), first.tolist(), ticks.tolist(), lots, count)

    def lots_at(self, side: Side, update: int, tick: int) -> int:
        """Return the synthetic size at one price of the side; zero if no level stands there."""
        bid, ask = self._tape.quote(update)
        touch = bid if side is Side.BUY else ask
        if tick == touch:
            return self.touch_lots(side, update, tick)
        if (tick > touch) if side is Side.BUY else (tick < touch):
            return 0
        index = np.array([tick // self._gap], dtype=np.int64)
        word = _mix(index.astype(np.uint64) * np.uint64(_M1) ^ np.uint64(self._salt[Side.BUY]))
        ticks = index * self._gap + (word % np.uint64(self._gap)).astype(np.int64)
        return int(self._lots(side, update, ticks, word)[0]) if int(ticks[0]) == tick else 0

    def _lots(self, side: Side, update: int, ticks: Ints, word: Words) -> Ints:
        minute = update // self._tape.updates_a_minute
        return self._drawn(side, update, self._factor(minute), self._factor(minute - 1), ticks, word)

    def _lots_of_rows(self, side: Side, updates: range, ticks: Ints, word: Words) -> Ints:
        """Return the sizes at each of the updates (rows) and prices (columns)."""
        minutes = [update // self._tape.updates_a_minute for update in updates]
        factor = {minute: self._factor(minute) for minute in range(minutes[0] - 1, minutes[-1] + 1)}
        now = np.array([factor[minute] for minute in minutes])[:, np.newaxis]
        before = np.array([factor[minute - 1] for minute in minutes])[:, np.newaxis]
        return self._drawn(side, np.array(updates, dtype=np.int64)[:, np.newaxis], now, before, ticks, word)

    def _factor(self, minute: int) -> float:
        return self._stress[self._tape.bars.stress(minute)].depth_factor

    def _drawn(
        self, side: Side, update: int | Ints, now: float | Floats, before: float | Floats, ticks: Ints, word: Words
    ) -> Ints:
        """Return the sizes; a level drawn before the minute began has the factor of the minute before."""
        size = self._tape.updates_a_minute
        phase = (word >> np.uint64(32)).astype(np.int64) % self._redraw
        epoch = (update + phase) // self._redraw
        start = epoch * self._redraw - phase
        drawn = _mix(word ^ np.uint64(self._salt[side]) ^ (epoch.astype(np.uint64) * np.uint64(_M2)))
        usd = self._level_usd[(drawn % np.uint64(_TABLE)).astype(np.int64)]
        factor = np.where(start < update // size * size, before, now) * self._share
        lots = np.rint(usd * factor / (ticks * self._usd_per_lot_tick))
        return np.maximum(lots, 1).astype(np.int64)


def _lognormal_table(sigma: float, is_mean_one: bool) -> npt.NDArray[np.float64]:
    """Return quantiles of a lognormal of median one (or mean one), for lookup by a hash."""
    rng = np.random.Generator(np.random.Philox(key=[20250601, _TABLE]))
    draws = np.sort(rng.standard_normal(_TABLE * 64)).reshape(_TABLE, 64).mean(axis=1)
    table: npt.NDArray[np.float64] = np.exp(sigma * draws)
    mean = float(table.mean()) if is_mean_one else 1.0
    return table / mean


def _mix(words: Words) -> Words:
    """Return the splitmix64 finaliser of each word."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(_M2)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(_M3)
    return words ^ (words >> np.uint64(31))


def _mix_one(word: int) -> int:
    word = (word ^ (word >> 30)) * _M2 % _WORD
    word = (word ^ (word >> 27)) * _M3 % _WORD
    return word ^ (word >> 31)
