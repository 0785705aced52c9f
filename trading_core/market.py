"""The order book in integer ticks and lots, and what it says of spread, depth and impact."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from itertools import islice

from trading_core.events import BookChanged, Levels
from trading_core.money import BPS, ZERO, Bps, Notional, Price, Size
from trading_core.orders import Side
from trading_core.products import Product

LEVELS_OF_DEPTH = 10  # the impact model of the specification reads ten levels


class OrderBook:
    """One product's book, kept by snapshots and absolute level changes (size 0 deletes).

    Until a snapshot has come, changes are ignored: a book of which only parts are known would look thin or cheap.
    Prices are ticks (price / price_increment), sizes lots (size / base_increment).
    """

    def __init__(self, product: Product) -> None:
        self.product = product
        self.updated_ns: int | None = None
        self._lots: dict[Side, dict[int, int]] = {Side.BUY: {}, Side.SELL: {}}
        # Sorted best last, so that the best level is cheap to read and to remove.
        self._ladder: dict[Side, list[int]] = {Side.BUY: [], Side.SELL: []}
        # A key of one side times this is a price; lots of it times the other are a notional.
        self._price_unit = {Side.BUY: product.price_increment, Side.SELL: -product.price_increment}
        unit = product.base_increment * product.contract_size * product.price_increment
        self._notional_unit = {Side.BUY: unit, Side.SELL: -unit}
        self._touch: tuple[int, int] | None = None  # what `mid` and `spread_bps` were last computed from
        self._mid, self._spread_bps = ZERO, ZERO
        self._depths: dict[tuple[Side, int], Notional] = {}  # computed since the last change

    def apply(self, change: BookChanged) -> None:
        """Apply a snapshot, or a set of level changes to a known book."""
        if change.is_snapshot:
            self._replace(Side.BUY, change.bids)
            self._replace(Side.SELL, change.asks)
        elif self.updated_ns is None:
            return
        else:
            _set_levels(self._lots[Side.BUY], self._ladder[Side.BUY], change.bids, 1)
            _set_levels(self._lots[Side.SELL], self._ladder[Side.SELL], change.asks, -1)
        self._depths.clear()
        self.updated_ns = change.ts_ns

    def clear(self) -> None:
        """Forget everything: after a gap the book is unknown until the next snapshot."""
        self._replace(Side.BUY, ())
        self._replace(Side.SELL, ())
        self._depths.clear()
        self.updated_ns = None

    @property
    def is_usable(self) -> bool:
        """Tell whether both sides have a price and do not cross."""
        bids, asks = self._ladder[Side.BUY], self._ladder[Side.SELL]
        return bool(bids and asks) and bids[-1] < -asks[-1]

    def best(self, side: Side) -> Price | None:
        """Return the best price of the side, or None if it is empty."""
        ladder = self._ladder[side]
        return self._price(side, ladder[-1]) if ladder else None

    def mid(self) -> Price | None:
        """Return the middle of the touch, or None if a side is empty."""
        return self._mid if self._look() else None

    def spread_bps(self) -> Bps | None:
        """Return the spread in bps of the middle, or None if a side is empty."""
        return self._spread_bps if self._look() else None

    def levels(self, side: Side, count: int) -> list[tuple[Price, Size]]:
        """Return up to `count` levels of the side, best first."""
        return list(islice(self._walk(side), count))

    def depth(self, side: Side, levels: int) -> Notional:
        """Return the notional that rests on the side's best levels, in quote currency."""
        known = self._depths.get((side, levels))
        if known is None:
            lots, ladder = self._lots[side], self._ladder[side]
            best = ladder[max(len(ladder) - levels, 0) :]
            units = sum([key * lots[key] for key in best])
            self._depths[side, levels] = known = units * self._notional_unit[side] if best else ZERO
        return known

    def average_price(self, taker: Side, size: Size) -> Price | None:
        """Return the average price of taking the size now; None if the book is too thin or the size not positive."""
        left, cost = size, ZERO
        if size <= 0:
            return None
        for price, available in self._walk(taker.opposite):
            taken = min(left, available)
            cost, left = cost + taken * price, left - taken
            if left == 0:
                return cost / size
        return None

    def realized_impact_bps(self, taker: Side, size: Size) -> Bps | None:
        """Return how far the average price of taking the size lies from the middle; None if too thin."""
        mid, average = self.mid(), self.average_price(taker, size)
        return None if mid is None or average is None else (average - mid) / mid * BPS * taker.sign

    def _look(self) -> bool:
        """Tell whether both sides have a price, with middle and spread computed if the touch has moved."""
        bids, asks = self._ladder[Side.BUY], self._ladder[Side.SELL]
        if not (bids and asks):
            return False
        touch = bids[-1], asks[-1]
        if touch != self._touch:
            bid, ask = self._price(Side.BUY, touch[0]), self._price(Side.SELL, touch[1])
            self._touch, self._mid = touch, (bid + ask) / 2
            self._spread_bps = (ask - bid) / self._mid * BPS
        return True

    def _walk(self, side: Side) -> Iterator[tuple[Price, Size]]:
        lots = self._lots[side]
        return ((self._price(side, key), self._size(lots[key])) for key in reversed(self._ladder[side]))

    def _price(self, side: Side, key: int) -> Price:
        return key * self._price_unit[side]

    def _size(self, lots: int) -> Size:
        return lots * self.product.base_increment

    def _replace(self, side: Side, levels: Levels) -> None:
        sign = 1 if side is Side.BUY else -1
        self._lots[side] = {ticks * sign: lots for ticks, lots in levels if lots > 0}
        self._ladder[side] = sorted(self._lots[side])


def _set_levels(lots: dict[int, int], ladder: list[int], levels: Levels, sign: int) -> None:
    """Set each level; no call per level, for this is the innermost loop of a run."""
    for ticks, size in levels:
        key = ticks * sign
        if size > 0:
            if key not in lots:
                insort(ladder, key)
            lots[key] = size
        elif key in lots:
            del lots[key]
            del ladder[bisect_left(ladder, key)]
