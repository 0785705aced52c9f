"""The market of one product minute by minute: quotes and prints as columns, reproducible in any order."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trading_core.clock import NS
from trading_core.local_exchange.bars import Bars, Ints
from trading_core.local_exchange.calibration import Calibration, ProductModel
from trading_core.products import Product

Bools = npt.NDArray[np.bool_]
MINUTES_KEPT = 6  # the current one, its neighbours, and what trade history asks for
SPREAD_HOLD_S = 1  # how long one draw of the spread stands


@dataclass(frozen=True, slots=True)
class Minute:
    """One minute. At update i the touch is bid[i] and ask[i]; if lots[i] > 0 a trade prints at it.

    `is_buy` tells that the taker bought, so the print is at the ask. The first print is the bar's open, the
    last its close, and the extremes are its high and low; the lots sum to the bar's volume.
    """

    bid: Ints
    ask: Ints
    lots: Ints
    is_buy: Bools
    price: Ints


class Tape:
    """Random access to the minutes of one product for one (day, seed)."""

    def __init__(
        self,
        product: Product,
        model: ProductModel,
        calibration: Calibration,
        bars: Bars,
        day: str,
        seed: int,
        updates_per_s: int,
    ) -> None:
        self.bars = bars
        self.updates_a_minute = 60 * updates_per_s
        self.interval_ns = NS // updates_per_s
        self._model, self._calibration = model, calibration
        self._tick = float(product.price_increment)
        self._hold = SPREAD_HOLD_S * updates_per_s
        # Path and prints are drawn apart, so that a future takes the very path of its spot product.
        self._path_key = key_of(day, str(seed), model.base)
        self._print_key = key_of(day, str(seed), product.product_id)
        self._kept: OrderedDict[int, Minute] = OrderedDict()

    def minute(self, minute: int) -> Minute:
        """Return the columns of one minute since the epoch."""
        found = self._kept.get(minute)
        if found is None:
            found = self._generate(minute)
            self._kept[minute] = found
            if len(self._kept) > MINUTES_KEPT:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(minute)
        return found

    def quote(self, update: int) -> tuple[int, int]:
        """Return the bid and ask ticks at an update since the epoch."""
        minute, index = divmod(update, self.updates_a_minute)
        columns = self.minute(minute)
        return int(columns.bid[index]), int(columns.ask[index])

    def _generate(self, minute: int) -> Minute:
        open_, high, low, close, volume = self.bars.minute(minute)
        path_rng = np.random.Generator(np.random.Philox(key=[self._path_key, minute % 2**64]))
        rng = np.random.Generator(np.random.Philox(key=[self._print_key, minute % 2**64]))
        reference, pins = self._path(path_rng, open_, high, low, close)
        spread = self._spread(rng, minute, open_, high - low)
        bid = np.rint(reference - spread / 2).astype(np.int64)
        if high > low:
            bid = np.clip(bid, low, high - spread)
            for index, tick in pins:
                spread[index] = 1
                bid[index] = tick if tick < high else high - 1
        else:
            bid[:] = low
        ask = bid + spread
        lots, is_buy = self._prints(rng, minute, volume, pins)
        if high > low:
            for index, tick in pins:
                is_buy[index] = tick == high
        else:
            is_buy[:] = False
        return Minute(bid, ask, lots, is_buy, np.where(is_buy, ask, bid))

    def _path(
        self, rng: np.random.Generator, open_: int, high: int, low: int, close: int
    ) -> tuple[npt.NDArray[np.float64], list[tuple[int, int]]]:
        """Return a bridge from open to close over both extremes, and the (index, tick) that must print."""
        last = self.updates_a_minute - 1
        first, second = sorted(rng.choice(last - 1, 2, replace=False) + 1)
        is_low_first = bool(rng.random() < (0.7 if close >= open_ else 0.3))
        turn = (low, high) if is_low_first else (high, low)
        at = [0, int(first), int(second), last]
        ticks = [open_, turn[0], turn[1], close]
        index = np.arange(last + 1)
        walk = np.cumsum(rng.standard_normal(last + 1)) * (0.3 * (high - low) / np.sqrt(last))
        bridge = np.interp(index, at, ticks) + walk - np.interp(index, at, walk[at])
        return np.clip(bridge, low, high), list(zip(at, ticks, strict=True))

    def _spread(self, rng: np.random.Generator, minute: int, price: int, span: int) -> Ints:
        """Return the spread in ticks: tight, or wide for a share of the time that stress chooses."""
        row = self._calibration.stress[self.bars.stress(minute)]
        blocks = -(-self.updates_a_minute // self._hold)
        calm = self._model.spread_bps * np.exp(0.35 * rng.standard_normal(blocks))
        wide = rng.exponential(1.0, blocks) * row.wide_bps
        bps = np.where(rng.random(blocks) < row.wide_share, np.maximum(wide, calm), calm)
        ticks = np.maximum(np.rint(bps / 10_000 * price), 1).astype(np.int64)
        if span > 0:
            ticks = np.minimum(ticks, span)
        return np.repeat(ticks, self._hold)[: self.updates_a_minute]

    def _prints(
        self, rng: np.random.Generator, minute: int, volume: int, pins: list[tuple[int, int]]
    ) -> tuple[Ints, Bools]:
        row = self._calibration.stress[self.bars.stress(minute)]
        share = min(self._model.trades_per_s * row.trade_rate_factor * 60 / self.updates_a_minute, 0.9)
        draw = rng.random(self.updates_a_minute)
        draw[[index for index, _ in pins]] = -1.0
        at = np.flatnonzero(draw < share)
        if len(at) > volume:  # a slow product: fewer prints, the pinned ones among them
            at = np.sort(at[np.argsort(draw[at], kind="stable")[:volume]])
        weight = np.minimum(rng.lognormal(0.0, self._model.trade_sigma, len(at)), 150.0)
        spare = volume - len(at)
        sizes = np.floor(weight / weight.sum() * spare).astype(np.int64) + 1
        sizes[int(np.argmax(weight))] += volume - int(sizes.sum())
        lots = np.zeros(self.updates_a_minute, dtype=np.int64)
        lots[at] = sizes
        return lots, rng.random(self.updates_a_minute) < 0.5


def key_of(*parts: str) -> int:
    """Return a 64-bit key of the words, the same on every machine."""
    return int.from_bytes(hashlib.blake2b("|".join(parts).encode(), digest_size=8).digest(), "big")
