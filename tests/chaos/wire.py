"""The stream of the simulation as a bad line makes it: messages twice, late, lost; gaps, and connections that close."""

from __future__ import annotations

from collections.abc import Sequence

from trading_core.advanced_trade.stream_inprocess import InProcessFeed
from trading_core.clock import NS, VirtualClock
from trading_core.events import (
    AnyEvent,
    BarClosed,
    BookChanged,
    HeartbeatReceived,
    MarginTold,
    OrderReported,
    StatusTold,
    StreamChanged,
    StreamState,
    TradePrinted,
)
from trading_core.local_exchange.exchange import LocalExchange
from trading_core.local_exchange.faults import FaultPlan
from trading_core.products import Product

DOWN_NS = 3 * NS  # until the client is connected again


class TornWire:
    """The in-process feed behind the WebSocket faults of a plan, with what our client tells of them."""

    def __init__(self, feed: InProcessFeed, exchange: LocalExchange, clock: VirtualClock, faults: FaultPlan) -> None:
        self._feed, self._exchange, self._clock, self._faults = feed, exchange, clock, faults
        self._products: list[Product] = []
        self._frames = 0
        self._late: list[AnyEvent] = []
        self._states: list[AnyEvent] = []  # told once, or again in the snapshot of whoever comes back
        self._down_until_ns: int | None = None
        self._next_close_ns = 0

    def start(self, products: Sequence[Product], *, with_bars: bool = False) -> None:
        """Connect and subscribe."""
        self._products = list(products)
        self._feed.start(products, with_bars=with_bars)
        self._set_close()

    def resubscribe(self, reason: str) -> None:
        """Start the market data again."""
        self._feed.resubscribe(reason)

    def poll(self, deadline_ns: int) -> list[AnyEvent]:
        """Return what came through."""
        arrived = self._feed.poll(deadline_ns)
        now_ns = self._clock.now_ns()
        told = self._connections(now_ns)
        self._states += [e for e in arrived if isinstance(e, StatusTold | BarClosed | MarginTold)]
        if self._down_until_ns is not None:
            return told  # nobody hears what happens meanwhile
        states, self._states = self._states, []
        if told:
            # A connection that has just come up begins with a snapshot of whatever has one, as of now.
            return [*told, *(self._exchange.book_snapshot(p.product_id) for p in self._products), *states]
        through, self._late = self._late, []
        for event in arrived:
            through += self._frame(event)
        return through

    def close(self) -> None:
        """End the connection."""
        self._feed.close()

    def _connections(self, now_ns: int) -> list[AnyEvent]:
        if self._down_until_ns is not None:
            if now_ns < self._down_until_ns:
                return []
            self._down_until_ns = None
            self._set_close()
            return _both(now_ns, StreamState.CONNECTED, "again")
        self._frames += 1
        is_gap = self._faults.hits("stream_gap", self._frames, self._faults.frame_drop_share / 3)
        if is_gap or (self._next_close_ns and now_ns >= self._next_close_ns):
            self._down_until_ns, self._late = now_ns + DOWN_NS, []
            if is_gap:
                return [StreamChanged(ts_ns=now_ns, state=StreamState.GAP, detail="a frame is missing")]
            return _both(now_ns, StreamState.DISCONNECTED, f"closed with {self._faults.close_code}")
        return []

    def _frame(self, event: AnyEvent) -> list[AnyEvent]:
        """Return what becomes of a message: market data is whole or a gap, reports of orders suffer all of it."""
        if isinstance(event, BookChanged | TradePrinted | HeartbeatReceived) or not isinstance(event, OrderReported):
            return [event]
        self._frames += 1
        if self._faults.hits("report_drop", self._frames, self._faults.frame_drop_share):
            return []
        if self._faults.hits("report_late", self._frames, self._faults.frame_reorder_share):
            self._late.append(event)
            return []
        return [event] * (1 + self._faults.hits("report_twice", self._frames, self._faults.frame_duplicate_share))

    def _set_close(self) -> None:
        every_s = self._faults.close_every_s
        self._next_close_ns = 0 if every_s is None else self._clock.now_ns() + int(every_s * NS)


def _both(now_ns: int, state: StreamState, detail: str) -> list[AnyEvent]:
    return [
        StreamChanged(ts_ns=now_ns, state=state, detail=detail, connection=connection)
        for connection in ("market", "user")
    ]
