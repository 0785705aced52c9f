"""How the exchange moves through time: which update, end time, funding hour or fault comes next."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Mapping
from operator import itemgetter

from trading_core.clock import NS
from trading_core.events import BookChanged, Levels, TradePrinted
from trading_core.local_exchange.desk import Desk
from trading_core.local_exchange.faults import FaultPlan
from trading_core.local_exchange.history import trade_of
from trading_core.local_exchange.market import Market, Print
from trading_core.local_exchange.model import ExchangeEvent
from trading_core.orders import Side

SHOWN_LEVELS = 60  # of each side in book changes, unless the caller asks for another number


class Timeline:
    """Advances all markets together and collects what happens."""

    def __init__(self, start_ns: int, markets: Mapping[str, Market], desk: Desk, faults: FaultPlan) -> None:
        self.now_ns = start_ns
        self._markets, self._desk = markets, desk
        self.shown_levels = SHOWN_LEVELS
        self._timers: list[tuple[int, int, Callable[[], None]]] = []
        self._timer_count = 0
        self._shown: dict[str, tuple[tuple[int, int, int], dict[int, int], dict[int, int], int]] = {}
        self._followed: frozenset[str] = frozenset()
        self._stale_from_ns: int | None = None
        self._stale_to_ns: int | None = None
        self._closed_ns: dict[str, int] = {}  # since when a product's market stands still
        self._cross_ticks = 0
        self._is_losing_books = False
        if faults.stale_from_s is not None:
            self._set_stale(start_ns + int(faults.stale_from_s * NS), faults.stale_for_s)

    def switch_stale(self, faults: FaultPlan) -> None:
        """Let the market stand still as the plan says, its seconds counted from now; or go on if it says nothing."""
        if self._stale_from_ns is not None:
            self._leap()
        self._stale_from_ns = self._stale_to_ns = None
        if faults.stale_from_s is not None:
            self._set_stale(self.now_ns + int(faults.stale_from_s * NS), faults.stale_for_s)

    def close(self, product_id: str) -> None:
        """Let the product's market stand still from now on."""
        self._closed_ns.setdefault(product_id, self.now_ns)

    def reopen(self, product_id: str) -> None:
        """Let the product's market go on where it would be by now."""
        if self._closed_ns.pop(product_id, None) is not None:
            market = self._markets[product_id]
            market.skip_to(max(market.update, self.now_ns // market.tape.interval_ns))

    def cross(self, ticks: int) -> None:
        """Publish books whose bids are this many ticks through the asks; 0 ends it. Matching is not affected."""
        self._cross_ticks = ticks

    def lose_books(self, is_losing: bool) -> None:
        """Return no book changes from now on, or return them again; snapshots stay right."""
        self._is_losing_books = is_losing

    def ladders(self, market: Market, count: int) -> tuple[dict[int, int], dict[int, int]]:
        """Return bids and asks as the venue publishes them."""
        bids, asks = market.ladder(Side.BUY, count), market.ladder(Side.SELL, count)
        if self._cross_ticks and bids and asks:
            shift = next(iter(asks)) - next(iter(bids)) + self._cross_ticks
            bids = {ticks + shift: lots for ticks, lots in bids.items()}
        return bids, asks

    def at(self, ts_ns: int, action: Callable[[], None]) -> None:
        """Call the action when time reaches the moment."""
        self._timer_count += 1
        heapq.heappush(self._timers, (ts_ns, self._timer_count, action))

    def advance(
        self, to_ns: int, wanted: Collection[str], book_every_ns: int | None, *, shows_books: bool = True
    ) -> list[ExchangeEvent]:
        """Move to the moment; see LocalExchange.advance."""
        self._followed = frozenset(wanted)
        every_ns = book_every_ns if book_every_ns is not None and wanted else None
        show_ns = to_ns if every_ns is None else (self.now_ns // every_ns + 1) * every_ns
        printed = {product_id: self._markets[product_id].update for product_id in wanted}
        is_there = to_ns <= self.now_ns
        while not is_there:
            limit = min(to_ns, show_ns, self._timers[0][0] if self._timers else to_ns)
            found = self._next(limit)
            if found is not None:
                update, market = found
                self._publish_prints(printed, update * market.tape.interval_ns, market)
                self._move(max(self.now_ns, update * market.tape.interval_ns))
                self._desk.step(market, update)
                continue
            self._publish_prints(printed, limit)
            self._move(limit)
            for market in self._markets.values():
                market.skip_to(self._update(market, limit))
            while self._timers and self._timers[0][0] <= limit:
                heapq.heappop(self._timers)[2]()
            if limit == show_ns and every_ns is not None:
                self._show_books(wanted)
                show_ns += every_ns
            is_there = limit == to_ns
        if shows_books:
            self._show_books(wanted)
        events, self._desk.events = self._desk.events, []
        return [e for e in events if not isinstance(e, TradePrinted) or e.product_id in wanted]

    def next_event_ns(self, limit_ns: int) -> int:
        """Return when something of an account next acts, at most the limit."""
        limit = min(limit_ns, self._timers[0][0]) if self._timers else limit_ns
        found = self._next(limit)
        return limit if found is None else max(self.now_ns, found[0] * found[1].tape.interval_ns)

    def snapshot(self, product_id: str) -> BookChanged:
        """Return the book that was last shown, or the present one if the last advance did not follow it."""
        if product_id not in self._shown or product_id not in self._followed:
            market = self._markets[product_id]
            bids, asks = self.ladders(market, self.shown_levels)
            self._shown[product_id] = ((*market.book_version, self._cross_ticks), bids, asks, self.now_ns)
        _, bids, asks, shown_ns = self._shown[product_id]
        return BookChanged(
            ts_ns=shown_ns,
            product_id=product_id,
            is_snapshot=True,
            bids=tuple(bids.items()),
            asks=tuple(asks.items()),
        )

    def _next(self, limit_ns: int) -> tuple[int, Market] | None:
        """Return the earliest update up to the limit that may concern an order, and its market."""
        best: tuple[int, Market] | None = None
        for market in self._markets.values():
            if not market.queues:
                continue
            update = market.next_update(self._update(market, limit_ns))
            if update is not None and (best is None or update < best[0]):
                best = (update, market)
        return best

    def _publish_prints(self, printed: dict[str, int], to_ns: int, before: Market | None = None) -> None:
        """Tell the model's prints up to the moment, in order of time and then of the list of markets.

        `printed` says up to where they were told. A market that steps at the moment tells its own prints of it,
        and markets that come after `before` in the list tell theirs after that step.
        """
        rows: list[tuple[int, int, Market, Print]] = []
        is_after = False
        for place, (product_id, market) in enumerate(self._markets.items()):
            is_after = is_after or market is before
            if product_id not in printed:
                continue
            until = self._update(market, to_ns) - is_after
            since = max(printed[product_id], market.update)
            if until > since:
                rows += ((row.update, place, market, row) for row in market.model_prints(since, until))
                printed[product_id] = until
        rows.sort(key=itemgetter(0, 1))
        self._desk.events.extend(trade_of(market, row) for _, _, market, row in rows)

    def _move(self, ts_ns: int) -> None:
        self.now_ns = self._desk.now_ns = ts_ns

    def _update(self, market: Market, ts_ns: int) -> int:
        """Return the market's update at a moment: it stands still while the feed is stale."""
        closed_ns = self._closed_ns.get(market.product.product_id) if self._closed_ns else None
        if closed_ns is not None:
            ts_ns = min(ts_ns, closed_ns)
        since, until = self._stale_from_ns, self._stale_to_ns
        if since is not None and ts_ns >= since and (until is None or ts_ns < until):
            ts_ns = since
        return max(market.update, ts_ns // market.tape.interval_ns)

    def _set_stale(self, from_ns: int, for_s: float | None) -> None:
        self._stale_from_ns = from_ns
        self.at(from_ns, lambda: None)  # so that no step goes past it
        if for_s is not None:
            self._stale_to_ns = from_ns + int(for_s * NS)
            self.at(self._stale_to_ns - 1, self._leap)
            self.at(self._stale_to_ns, lambda: None)

    def _leap(self) -> None:
        """Skip what the market did while it stood still for everyone."""
        for market in self._markets.values():
            market.skip_to(max(market.update, self.now_ns // market.tape.interval_ns))

    def _show_books(self, wanted: Collection[str]) -> None:
        for product_id, market in self._markets.items():  # not in the order of a set: it differs between processes
            if product_id not in wanted:
                continue
            shown = self._shown.get(product_id)
            version = (*market.book_version, self._cross_ticks)
            if shown is not None and shown[0] == version:
                continue
            bids, asks = self.ladders(market, self.shown_levels)
            self._shown[product_id] = (version, bids, asks, self.now_ns)
            if shown is None:
                self._desk.events.append(self.snapshot(product_id))
                continue
            bid_changes = _changes(shown[1], bids, is_descending=True)
            ask_changes = _changes(shown[2], asks, is_descending=False)
            if (bid_changes or ask_changes) and not self._is_losing_books:
                change = BookChanged(
                    ts_ns=self.now_ns,
                    product_id=product_id,
                    is_snapshot=False,
                    bids=bid_changes,
                    asks=ask_changes,
                )
                self._desk.events.append(change)


def _changes(before: dict[int, int], after: dict[int, int], is_descending: bool) -> Levels:
    """Return the absolute sizes of the levels that differ, best first; 0 deletes."""
    changed = {ticks: lots for ticks, lots in after.items() if before.get(ticks) != lots}
    changed.update(dict.fromkeys(before.keys() - after.keys(), 0))
    return tuple(sorted(changed.items(), reverse=is_descending))
