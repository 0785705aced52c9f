"""One product's market: the synthetic book and the accounts' orders as one book, and who meets whom."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from trading_core.local_exchange.depth import Depth
from trading_core.local_exchange.looks import Looks
from trading_core.local_exchange.queue import Queues, Resting, in_turn
from trading_core.local_exchange.tape import Minute, Tape
from trading_core.orders import Side
from trading_core.products import Product

IMPACT_S = 10  # what an account took grows back over this time
LEVELS_FEW, LEVELS_NEAR, LEVELS_MAX = 24, 64, 1024
_update_of = itemgetter(0)  # of a print


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a match at one price; `maker` is None against the synthetic book."""

    ticks: int
    lots: int
    maker: Resting | None


@dataclass(frozen=True, slots=True)
class Walk:
    """What an incoming order would meet. `meets_own` tells that it stopped before an order of its account."""

    side: Side
    slices: tuple[Slice, ...]
    meets_own: bool

    @property
    def lots(self) -> int:
        """Return the lots that match."""
        return sum(part.lots for part in self.slices)

    @property
    def units(self) -> int:
        """Return the matched value in ticks × lots."""
        return sum(part.lots * part.ticks for part in self.slices)


class Print(NamedTuple):
    """A public trade at an update; `sub` tells trades of one update apart."""

    update: int
    sub: int
    ticks: int
    lots: int
    maker_side: Side


class Market:
    """The book of one product at `update`. Integer ticks and lots; the caller settles what matches."""

    def __init__(self, product: Product, tape: Tape, depth: Depth, update: int) -> None:
        self.product, self.tape, self.depth = product, tape, depth
        self.update = update
        self.queues = Queues()
        self._eaten: dict[Side, dict[int, tuple[int, int]]] = {Side.BUY: {}, Side.SELL: {}}
        self._impact_updates = IMPACT_S * (tape.updates_a_minute // 60)
        self._looks: dict[tuple[Side, int], Looks] = {}
        self._hits: tuple[tuple[int, int], list[int]] = ((-1, -1), [])
        self._prints: tuple[int, list[Print]] = (-1, [])  # of one minute, the model's own
        # The last answer of `next_update`: the queues' version, the update found, and how far the search went.
        self._ahead: tuple[int, int | None, int] = (-1, None, -1)
        # By minute and update: every print of an update in which an account traded.
        self.own_prints: dict[int, dict[int, list[Print]]] = {}
        self._last_own_update = -1
        self._changes = 0

    @property
    def book_version(self) -> tuple[int, int]:
        """Return what differs whenever the book may differ."""
        return self.update, self._changes + self.queues.version

    # ── the book ────────────────────────────────────────────────────────────────────────────────
    def synthetic(self, side: Side, count: int = LEVELS_MAX) -> Iterator[tuple[int, int]]:
        """Yield the synthetic levels that stand now, best first, less what accounts took."""
        near = self._raw(side, LEVELS_NEAR)
        done = 0
        for levels in (near, None):
            rows = self._raw(side, LEVELS_MAX)[len(near):] if levels is None else levels
            for ticks, lots in rows:
                left = lots - self._eaten_lots(side, ticks)
                if left > 0:
                    yield ticks, left
                    done += 1
                    if done >= count:
                        return

    def synthetic_at(self, side: Side, ticks: int) -> int:
        """Return the synthetic size that stands at one price."""
        return max(0, self.depth.lots_at(side, self.update, ticks) - self._eaten_lots(side, ticks))

    def best(self, side: Side) -> int | None:
        """Return the best price of the side, synthetic or own."""
        own = self.queues.best(side)
        made = next((ticks for ticks, _ in self.synthetic(side, 1)), None)
        if own is None or made is None:
            return made if own is None else own
        return max(own, made) if side is Side.BUY else min(own, made)

    def ladder(self, side: Side, count: int) -> dict[int, int]:
        """Return lots by ticks of the best levels, best first."""
        eaten = self._eaten[side]
        for ticks in [ticks for ticks, (_, since) in eaten.items() if self.update - since >= self._impact_updates]:
            del eaten[ticks]  # it has grown back
        rows = self._raw(side, LEVELS_FEW if count + len(eaten) <= LEVELS_FEW else LEVELS_NEAR)
        if not eaten and self.queues.best(side) is None and count <= len(rows):
            return dict(rows[:count])
        if count > len(rows) - len(eaten):
            levels = self._merged(side, LEVELS_MAX)
            return {ticks: lots + _sum(group) for ticks, lots, group in islice(levels, count)}
        book = dict(rows)
        for ticks in [ticks for ticks in eaten if ticks in book]:
            book[ticks] -= self._eaten_lots(side, ticks)
            if book[ticks] <= 0:
                del book[ticks]
        own = {ticks: _sum(group) for ticks, group in self.queues.levels(side)}
        if own:
            for ticks, lots in own.items():
                book[ticks] = book.get(ticks, 0) + lots
            book = dict(sorted(book.items(), reverse=side is Side.BUY))
        return dict(islice(book.items(), count))

    def last_ticks(self) -> int:
        """Return the price of the last print."""
        minute, index = divmod(self.update, self.tape.updates_a_minute)
        columns = self.tape.minute(minute)
        printed = int(np.flatnonzero(columns.lots[: index + 1])[-1])
        update = max(minute * self.tape.updates_a_minute + printed, self._last_own_update)
        own = self.own_prints.get(update // self.tape.updates_a_minute, {}).get(update)
        return own[-1].ticks if own else int(columns.price[printed])

    # ── matching ────────────────────────────────────────────────────────────────────────────────
    def walk(
        self, side: Side, account_id: str, limit: int | None, lots: int | None = None, units: int | None = None
    ) -> Walk:
        """Return what an order of the side meets now, changing nothing.

        It ends when `lots`, or `units` of ticks × lots, are used up, at the limit price, or at an own order.
        """
        slices: list[Slice] = []
        for ticks, made, group in self._merged(side.opposite, LEVELS_MAX):
            if limit is not None and (ticks > limit if side is Side.BUY else ticks < limit):
                break
            for available, maker in in_turn(made, group):
                if maker is not None and maker.account_id == account_id:
                    return Walk(side, tuple(slices), meets_own=True)
                most = available if lots is None else min(available, lots)
                taken = most if units is None else min(most, units // ticks)
                if taken > 0:
                    slices.append(Slice(ticks, taken, maker))
                lots = None if lots is None else lots - taken
                units = None if units is None else units - taken * ticks
                if lots == 0 or (units is not None and taken < most):
                    return Walk(side, tuple(slices), meets_own=False)
        return Walk(side, tuple(slices), meets_own=False)

    def take(self, walk: Walk) -> list[Print]:
        """Apply the walk: makers lose their lots, the synthetic book what was taken. Return the prints."""
        side = walk.side.opposite
        self._changes += 1
        for part in walk.slices:
            if part.maker is None:
                self._eat(side, part.ticks, part.lots)
            else:
                self.queues.reduce(part.maker, part.lots)
        rows = [(part.ticks, part.lots, side) for part in walk.slices]
        return self._record(rows, self._model_print())

    def step(self, update: int) -> tuple[list[Slice], list[Print]]:
        """Move to the update; return the fills of resting orders and all prints of the update.

        Without fills the prints are the model's own.
        """
        self.update = update
        fills: list[Slice] = []
        prints: list[tuple[int, int, Side]] = []
        for side in (Side.BUY, Side.SELL):
            self._trade_through(side, fills, prints)
        minute, index = divmod(update, self.tape.updates_a_minute)
        columns = self.tape.minute(minute)
        lots, ticks = int(columns.lots[index]), int(columns.price[index])
        if lots > 0:
            side = Side.SELL if columns.is_buy[index] else Side.BUY
            self._hit_by_print(side, ticks, lots, fills, prints)
        if fills:
            return fills, self._record(prints, [])
        return fills, [Print(update, i, *row) for i, row in enumerate(prints)]

    def skip_to(self, update: int) -> None:
        """Move to the update; the caller knows that nothing of interest happens up to it."""
        self.update = update

    def meet(self, order: Resting, lots: int) -> tuple[Slice, list[Print]]:
        """Fill a part of a resting order at its price, whatever the model wants; return the fill and its print."""
        self._changes += 1
        self.queues.reduce(order, lots)
        return Slice(order.ticks, lots, order), self._record([(order.ticks, lots, order.side)], self._model_print())

    def join(self, order: Resting) -> None:
        """Put a passive order on the book, behind the size that stands at its price."""
        order.ahead = self.synthetic_at(order.side, order.ticks)
        self.queues.add(order)

    # ── looking ahead ───────────────────────────────────────────────────────────────────────────
    def next_update(self, until: int) -> int | None:
        """Return the next update after this one, at most `until`, that may concern a resting order or a stop."""
        if not self.queues:
            return None
        kept_version, found, scanned = self._ahead
        is_kept = kept_version == self.queues.version and self.update < scanned
        if is_kept and found is not None and found > self.update:
            return found if found <= until else None
        if is_kept and found is None and until <= scanned:
            return None
        found = self._search(until)
        self._ahead = (self.queues.version, found, until if found is None else found)
        return found

    def model_prints(self, after: int, until: int) -> Iterator[Print]:
        """Yield the model's own prints of the updates after the one and up to the other."""
        size = self.tape.updates_a_minute
        for minute in range((after + 1) // size, until // size + 1):
            prints = self._minute_prints(minute)
            first = bisect_right(prints, after, key=_update_of)
            yield from prints[first : bisect_right(prints, until, first, key=_update_of)]

    def _minute_prints(self, minute: int) -> list[Print]:
        if self._prints[0] != minute:
            columns, start = self.tape.minute(minute), minute * self.tape.updates_a_minute
            at = np.flatnonzero(columns.lots)
            rows = zip(
                at.tolist(), columns.price[at].tolist(), columns.lots[at].tolist(), columns.is_buy[at].tolist(),
                strict=True,
            )
            made = [Print(start + i, 0, t, n, Side.SELL if is_buy else Side.BUY) for i, t, n, is_buy in rows]
            self._prints = (minute, made)
        return self._prints[1]

    def _search(self, until: int) -> int | None:
        size = self.tape.updates_a_minute
        update = self.update + 1
        while update <= until:
            minute, index = divmod(update, size)
            hits = self._interesting(minute)
            at = bisect_left(hits, index)
            if at < len(hits):
                update = minute * size + hits[at]
                return update if update <= until else None
            update = (minute + 1) * size
        return None

    def _interesting(self, minute: int) -> list[int]:
        key = (minute, self.queues.version)
        if self._hits[0] != key:
            self._hits = (key, self._scan(self.tape.minute(minute)))
        return self._hits[1]

    def _scan(self, columns: Minute) -> list[int]:
        is_print = columns.lots > 0
        mask = np.zeros(len(is_print), dtype=np.bool_)
        bid, ask = self.queues.best(Side.BUY), self.queues.best(Side.SELL)
        if bid is not None:
            mask |= (columns.ask <= bid) | (is_print & ~columns.is_buy & (columns.bid <= bid))
        if ask is not None:
            mask |= (columns.bid >= ask) | (is_print & columns.is_buy & (columns.ask >= ask))
        up, down = self.queues.stop_levels()
        if up is not None:
            mask |= is_print & (columns.price >= up)
        if down is not None:
            mask |= is_print & (columns.price <= down)
        return np.flatnonzero(mask).tolist()

    # ── parts ───────────────────────────────────────────────────────────────────────────────────
    def _merged(self, side: Side, count: int) -> Iterator[tuple[int, int, list[Resting]]]:
        """Yield (ticks, synthetic lots, own orders) of each level, best first."""
        own = list(self.queues.levels(side))
        for ticks, lots in self.synthetic(side, count):
            while own and (own[0][0] > ticks if side is Side.BUY else own[0][0] < ticks):
                yield own[0][0], 0, own.pop(0)[1]
            group = own.pop(0)[1] if own and own[0][0] == ticks else []
            yield ticks, lots, group
        for ticks, group in own:
            yield ticks, 0, group

    def _trade_through(self, side: Side, fills: list[Slice], prints: list[tuple[int, int, Side]]) -> None:
        """Fill the side's own orders that the other side of the synthetic book has reached."""
        best = self.queues.best(side)
        bid, ask = self.tape.quote(self.update)
        if best is None or (best < ask if side is Side.BUY else best > bid):
            return
        for ticks, lots in list(self.synthetic(side.opposite)):
            for order in self.queues.orders(side):
                if lots == 0 or (order.ticks < ticks if side is Side.BUY else order.ticks > ticks):
                    break
                filled = min(lots, order.lots)
                lots -= filled
                self._eat(side.opposite, ticks, filled)
                self._fill(order, filled, fills, prints)
            if lots > 0:
                break

    def _hit_by_print(
        self, side: Side, ticks: int, lots: int, fills: list[Slice], prints: list[tuple[int, int, Side]]
    ) -> None:
        """Let the model's trade meet own orders at better prices, then the queue at its own price."""
        for order in self.queues.orders(side):
            if lots == 0 or not (order.ticks > ticks if side is Side.BUY else order.ticks < ticks):
                break
            filled = min(lots, order.lots)
            lots -= filled
            self._fill(order, filled, fills, prints)
        group, made, rest = self.queues.at(side, ticks), self.synthetic_at(side, ticks), 0
        for order in group:
            order.ahead = min(order.ahead, made)
        for available, maker in list(in_turn(made, group)):
            taken = min(lots, available)
            lots -= taken
            if maker is not None and taken > 0:
                if rest > 0:
                    prints.append((ticks, rest, side))
                self._fill(maker, taken, fills, prints)
                rest = 0
            elif maker is None:
                rest += taken
                for order in group:
                    order.ahead = max(0, order.ahead - taken)
        if rest + lots > 0:
            prints.append((ticks, rest + lots, side))

    def _fill(self, order: Resting, lots: int, fills: list[Slice], prints: list[tuple[int, int, Side]]) -> None:
        fills.append(Slice(order.ticks, lots, order))
        prints.append((order.ticks, lots, order.side))
        self.queues.reduce(order, lots)

    def _record(self, rows: list[tuple[int, int, Side]], before: list[Print]) -> list[Print]:
        """Note the prints of an update in which an account traded, after those that came before."""
        if not rows:
            return []
        minute = self.own_prints.setdefault(self.update // self.tape.updates_a_minute, {})
        known = minute.setdefault(self.update, before)
        self._last_own_update = self.update
        added = [Print(self.update, len(known) + i, *row) for i, row in enumerate(rows)]
        known.extend(added)
        return added

    def _model_print(self) -> list[Print]:
        return list(self.model_prints(self.update - 1, self.update))

    def _eat(self, side: Side, ticks: int, lots: int) -> None:
        self._changes += 1
        for order in self.queues.at(side, ticks):
            order.ahead = max(0, order.ahead - lots)
        self._eaten[side][ticks] = (self._eaten_lots(side, ticks) + lots, self.update)

    def _eaten_lots(self, side: Side, ticks: int) -> int:
        lots, since = self._eaten[side].get(ticks, (0, 0))
        left = self._impact_updates - (self.update - since)
        if lots and left <= 0:
            del self._eaten[side][ticks]
        return max(0, -(-lots * left // self._impact_updates)) if lots else 0

    def _raw(self, side: Side, count: int) -> list[tuple[int, int]]:
        looks = self._looks.get((side, count))
        if looks is None:
            looks = self._looks[side, count] = Looks(self.depth, side, count)
        return looks.at(self.update)


def _sum(group: list[Resting]) -> int:
    return sum(order.lots for order in group)
