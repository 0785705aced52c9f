"""Indicators over middles sampled each few seconds, in Decimal: the same market gives the same figures everywhere."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from decimal import Decimal

from trading_core.clock import NS
from trading_core.desk import Desk
from trading_core.money import BPS, ONE, ZERO, Bps, Price

RSI_TOP = Decimal(100)


class Sampler:
    """The last middles of one product, one each `every_s`; a gap in the market forgets them all."""

    def __init__(self, every_s: int, count: int) -> None:
        self._every_ns = every_s * NS
        self._next_ns = 0
        self.mids: deque[Price] = deque(maxlen=count)

    def look(self, desk: Desk, product_id: str) -> bool:
        """Take a sample if one is due; tell whether one was taken."""
        if desk.now_ns < self._next_ns:
            return False
        if self._next_ns and desk.now_ns >= self._next_ns + self._every_ns:
            self.mids.clear()  # averages over a hole would mix two markets
        self._next_ns = desk.now_ns + self._every_ns
        mid = desk.mark(product_id)
        if mid is None:
            self.mids.clear()
            return False
        self.mids.append(mid)
        return True

    @property
    def is_full(self) -> bool:
        """Tell whether there are as many samples as were asked for."""
        return len(self.mids) == self.mids.maxlen


class BarCloses:
    """The last closes of one product's five-minute bars: what a Sampler gives, from the venue's own record."""

    def __init__(self, count: int) -> None:
        self.mids: deque[Price] = deque(maxlen=count)

    def look(self, desk: Desk, product_id: str) -> bool:
        """Take the closes as they are now; tell whether there are any."""
        self.mids.clear()
        self.mids.extend(desk.bars.closes(product_id, desk.now_ns // NS))
        return bool(self.mids)

    @property
    def is_full(self) -> bool:
        """Tell whether there are as many bars as were asked for."""
        return len(self.mids) == self.mids.maxlen


def average(mids: Sequence[Price], count: int) -> Price:
    """Return the mean of the last `count` prices."""
    chosen = list(mids)[-count:]
    return sum(chosen, ZERO) / len(chosen)


def rsi(mids: Sequence[Price], periods: int) -> Decimal:
    """Return the relative strength index of the last periods: 100 if nothing fell, 50 if nothing moved."""
    chosen = list(mids)[-periods - 1 :]
    moves = [after - before for before, after in itertools.pairwise(chosen)]
    up = sum((move for move in moves if move > 0), ZERO)
    down = -sum((move for move in moves if move < 0), ZERO)
    if down == 0:
        return RSI_TOP if up else RSI_TOP / 2
    return RSI_TOP - RSI_TOP / (ONE + up / down)


def volatility_bps(mids: Sequence[Price]) -> Bps:
    """Return the mean absolute move from sample to sample, in bps of the first price."""
    chosen = list(mids)
    moves = [abs(after - before) for before, after in itertools.pairwise(chosen)]
    return sum(moves, ZERO) / len(moves) / chosen[0] * BPS if moves else ZERO


def trend_bps(mids: Sequence[Price]) -> Bps:
    """Return the move from the first sample to the last, in bps of the first."""
    chosen = list(mids)
    return (chosen[-1] - chosen[0]) / chosen[0] * BPS if chosen else ZERO
