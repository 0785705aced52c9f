"""The feed of the simulated venue: moves the local exchange and the virtual clock, no sockets and no JSON."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import assert_never

from trading_core.advanced_trade.inprocess_extras import InProcessExtras
from trading_core.advanced_trade.wire_states import is_edit_pending, meaning, status_of, time_in_force_of
from trading_core.clock import NS, Clock
from trading_core.events import (
    AnyEvent,
    BookChanged,
    HeartbeatReceived,
    OrderReported,
    StreamChanged,
    StreamState,
    TradePrinted,
)
from trading_core.local_exchange.exchange import LocalExchange
from trading_core.local_exchange.model import ExchangeEvent, ExchangeOrder, FillMade, FundingPaid, OrderChanged
from trading_core.orders import VenueOrder
from trading_core.products import Product

BOOK_LEVELS = 20  # of each side: twice what the impact model reads, and room to walk the largest order
BOOK_EVERY_NS = NS  # a look at each book a second: orders wake the session to the nanosecond all the same


class InProcessFeed:
    """Events of one account straight from the exchange. It alone advances the exchange, so none is missed.

    `muted_orders` are orders that the venue's user channel keeps silent about: a fault.
    """

    def __init__(
        self,
        exchange: LocalExchange,
        clock: Clock,
        account_id: str,
        muted_orders: Collection[str] = (),
        book_every_ns: int = BOOK_EVERY_NS,
    ) -> None:
        self._exchange = exchange
        self._clock = clock
        self._account_id = account_id
        self._muted_orders = muted_orders
        self._book_every_ns = book_every_ns
        self._wanted: tuple[str, ...] = ()
        self._pending: list[AnyEvent] = []
        self._heartbeats = 0
        self._has_moved = False  # a request moved time since the last look at the books
        self._started_ns: int | None = None
        self._extras: InProcessExtras | None = None

    def start(self, products: Sequence[Product], *, with_bars: bool = False) -> None:
        """Subscribe: the first poll returns the connection's start and a snapshot of each book."""
        now_ns = self._clock.now_ns()
        self._wanted = tuple(p.product_id for p in products)
        self._exchange.show_levels(BOOK_LEVELS)
        self._exchange.advance(now_ns, self._wanted)  # the snapshots below agree with the end of this
        self._pending = [StreamChanged(ts_ns=now_ns, state=StreamState.CONNECTED, detail="in process")]
        self._pending += [self._exchange.book_snapshot(product_id) for product_id in self._wanted]
        self._started_ns, self._heartbeats = now_ns, 0
        self._extras = InProcessExtras(self._exchange, self._account_id, products, with_bars=with_bars)
        self._pending += self._extras.due(now_ns)

    def resubscribe(self, reason: str) -> None:
        """Start the market data again: a gap, the connection's start and a snapshot of each book."""
        now_ns = self._clock.now_ns()
        for state, detail in ((StreamState.GAP, reason), (StreamState.CONNECTED, "in process")):
            self._pending.append(StreamChanged(ts_ns=now_ns, state=state, detail=detail))
        self._pending += [self._exchange.book_snapshot(product_id) for product_id in self._wanted]

    def poll(self, deadline_ns: int) -> list[AnyEvent]:
        """Return what happened, moving venue time until something does, or to the deadline."""
        if not self._pending or self._has_moved:
            self._look(self._clock.now_ns())  # what our own requests changed since
        while not self._pending and (now_ns := self._clock.now_ns()) < deadline_ns:
            soon_ns = min(deadline_ns, now_ns + self._book_every_ns)
            self._look(max(now_ns + 1, self._exchange.next_event_ns(soon_ns)))
        taken, self._pending = self._pending, []
        return taken

    def close(self) -> None:
        """Unsubscribe. May be called twice."""
        self._wanted, self._started_ns = (), None
        self._pending.clear()

    def move(self, to_ns: int) -> None:
        """Move venue time, for a request that takes time; what happens on the way is kept for the next poll.

        The next poll looks at the books as well: not each of the twelve halves of reading an account.
        """
        self._has_moved = True
        self._pass(to_ns, shows_books=False)

    def _look(self, to_ns: int) -> None:
        self._has_moved = False
        self._pass(to_ns, shows_books=True)

    def _pass(self, to_ns: int, *, shows_books: bool) -> None:
        self._clock.wait_until(to_ns)
        now_ns = self._clock.now_ns()
        events = self._exchange.advance(now_ns, self._wanted, shows_books=shows_books)
        if self._started_ns is None:
            return  # nobody has subscribed
        self._absorb(events)
        if shows_books and self._extras is not None:
            self._pending += self._extras.due(now_ns)
        due = (now_ns - self._started_ns) // NS
        beats = range(self._heartbeats + 1, due + 1)
        self._pending += [HeartbeatReceived(ts_ns=now_ns, counter=count) for count in beats]
        self._heartbeats = due

    def _absorb(self, events: Iterable[ExchangeEvent]) -> None:
        for event in events:
            match event:
                case BookChanged() | TradePrinted():
                    self._pending.append(event)
                    if isinstance(event, TradePrinted) and self._extras is not None:
                        self._extras.traded.add(event.product_id)
                case OrderChanged(account_id=account_id, order=order):
                    if account_id == self._account_id and order.order_id not in self._muted_orders:
                        self._pending.append(OrderReported(ts_ns=event.ts_ns, order=venue_order_of(order)))
                case FillMade() | FundingPaid():
                    pass  # the user channel has no event of its own for these: they are read over REST
                case _:
                    assert_never(event)


def venue_order_of(order: ExchangeOrder) -> VenueOrder:
    """Return the order as the user channel would report it."""
    return VenueOrder(
        order_id=order.order_id,
        client_order_id=order.request.client_order_id,
        product_id=order.request.product_id,
        side=order.request.side,
        status=status_of(order.status, is_cancel_pending=order.pending_cancel),
        is_edit_pending=is_edit_pending(order.status),
        filled_size=order.filled_size,
        average_price=order.average_filled_price,
        total_fees=order.total_fees,
        size=order.size,
        limit_price=order.limit_price,
        reason=meaning(order.reject_reason) or order.reject_message or order.cancel_message,
        order_type=order.request.config.wire_order_type,
        time_in_force=time_in_force_of(order.request.config.wire_time_in_force),
    )
