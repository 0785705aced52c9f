"""The accounts' own resting orders of one product, in price-time priority behind the synthetic size."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from trading_core.local_exchange.model import StopDirection
from trading_core.orders import Side


@dataclass(slots=True)
class Resting:
    """An order on the book. `ahead` is the synthetic size that stands before it at its price."""

    order_id: str
    account_id: str
    side: Side
    ticks: int
    lots: int
    ahead: int
    seq: int

    @property
    def key(self) -> tuple[int, int]:
        """Return the priority: lower comes first."""
        return (-self.ticks if self.side is Side.BUY else self.ticks, self.seq)


@dataclass(frozen=True, slots=True)
class Stop:
    """An order that waits for the last trade to reach a price."""

    order_id: str
    direction: StopDirection
    ticks: int

    def is_triggered_by(self, ticks: int) -> bool:
        """Tell whether a trade at the price triggers the order."""
        return ticks >= self.ticks if self.direction is StopDirection.UP else ticks <= self.ticks


class Queues:
    """Resting orders of both sides, best first, and the stops that wait."""

    def __init__(self) -> None:
        self._sides: dict[Side, list[Resting]] = {Side.BUY: [], Side.SELL: []}
        self._by_id: dict[str, Resting] = {}
        self._stops: dict[str, Stop] = {}
        self.version = 0  # moves with every change that may make another update interesting

    def __bool__(self) -> bool:
        return bool(self._by_id or self._stops)

    def add(self, order: Resting) -> None:
        """Put the order behind all that rest at its price."""
        insort(self._sides[order.side], order, key=lambda o: o.key)
        self._by_id[order.order_id] = order
        self.version += 1

    def find(self, order_id: str) -> Resting | None:
        """Return the resting order, or None."""
        return self._by_id.get(order_id)

    def reduce(self, order: Resting, lots: int) -> None:
        """Take lots off the order; it leaves the book when none are left."""
        order.lots -= lots
        if order.lots <= 0:
            self.remove(order.order_id)

    def remove(self, order_id: str) -> None:
        """Take the order or stop off, if it is there."""
        if self._stops.pop(order_id, None) is not None:
            self.version += 1
        order = self._by_id.pop(order_id, None)
        if order is not None:
            side = self._sides[order.side]
            del side[bisect_left(side, order.key, key=lambda o: o.key)]
            self.version += 1

    def add_stop(self, stop: Stop) -> None:
        """Let the stop wait."""
        self._stops[stop.order_id] = stop
        self.version += 1

    def triggered(self, ticks: int) -> list[str]:
        """Return the stops that a trade at the price triggers, oldest first."""
        return [stop.order_id for stop in self._stops.values() if stop.is_triggered_by(ticks)]

    def stop_levels(self) -> tuple[int | None, int | None]:
        """Return the lowest price that triggers a stop upwards, and the highest downwards."""
        up = [s.ticks for s in self._stops.values() if s.direction is StopDirection.UP]
        down = [s.ticks for s in self._stops.values() if s.direction is StopDirection.DOWN]
        return min(up, default=None), max(down, default=None)

    def best(self, side: Side) -> int | None:
        """Return the best own price of the side."""
        orders = self._sides[side]
        return orders[0].ticks if orders else None

    def orders(self, side: Side) -> list[Resting]:
        """Return the side's orders, best first (a copy)."""
        return list(self._sides[side])

    def levels(self, side: Side) -> Iterator[tuple[int, list[Resting]]]:
        """Yield price and orders of each own level, best first."""
        for ticks, group in groupby(self.orders(side), key=lambda o: o.ticks):
            yield ticks, list(group)

    def at(self, side: Side, ticks: int) -> list[Resting]:
        """Return the orders at one price, oldest first."""
        return [order for order in self._sides[side] if order.ticks == ticks]


def in_turn(synthetic: int, group: list[Resting]) -> Iterator[tuple[int, Resting | None]]:
    """Yield what stands at one price in the order in which it fills: (lots, the order or None if synthetic)."""
    used = 0
    for order in group:
        gap = min(order.ahead, synthetic) - used
        if gap > 0:
            used += gap
            yield gap, None
        yield order.lots, order
    if synthetic > used:
        yield synthetic - used, None
