"""The trading desk: what a strategy or a protocol sees of market and account, and the one way to place an order.

Pure: it reads no clock and calls nobody; it writes records and commands into `decisions`.
"""

from __future__ import annotations

from collections import deque
from decimal import Decimal

import msgspec

from trading_core.clock import MINUTE_NS, NS
from trading_core.commands import CancelOrder, Decisions, SubmitOrder, TightenState
from trading_core.events import (
    AnyEvent,
    BookChanged,
    CancelRequested,
    OrderDenied,
    OrderSubmitted,
    SignalRaised,
    SizedDown,
    StepEnded,
)
from trading_core.ledger import Ledger
from trading_core.market import LEVELS_OF_DEPTH, OrderBook
from trading_core.money import BPS, ZERO, Bps, Notional, Price, Size, floor_to
from trading_core.order_manager import OrderManager, TrackedOrder
from trading_core.orders import OrderIntent, OrderStatus, Purpose, Side, TimeInForce
from trading_core.plan import Plan
from trading_core.products import Product
from trading_core.risk import Denial, DenialReason, RiskView, approve, review
from trading_core.sizing import Depth, SizingMode, size_order
from trading_core.trading_state import TradingState


class Desk:
    """State of one run, and what can be done with it."""

    def __init__(self, plan: Plan, products: dict[str, Product], order_prefix: str) -> None:
        self.plan = plan
        self.products = products
        self.books = {product_id: OrderBook(product) for product_id, product in products.items()}
        self.orders = OrderManager()
        self.ledger: Ledger | None = None
        self.opening_positions: dict[str, Size] = {}
        self.state = TradingState.REDUCE_ONLY
        self.now_ns = 0
        self.opening_marks: dict[str, Price] = {}
        self.day_start_pnl: Notional = ZERO
        self.margin_utilization = ZERO
        self.is_stream_up = False
        self.book_seen_ns: dict[str, int] = {}  # last change of each book, also if the book is unknown since
        self.steps_ended: dict[str, StepEnded] = {}
        self.decisions = Decisions()
        self.order_prefix = order_prefix
        self._signals = 0
        self._sent = 0
        self._sent_ns: deque[int] = deque()

    def book_changed(self, event: BookChanged) -> None:
        """Take a book change; one that finds no known book changes nothing."""
        book = self.books.get(event.product_id)
        if book is not None:
            book.apply(event)
            if book.updated_ns is not None:
                self.book_seen_ns[event.product_id] = book.updated_ns

    # ── what one can see ────────────────────────────────────────────────────────────────────────
    def position(self, product_id: str) -> Size:
        """Return what this run has bought (+) or sold (−) of the product and not closed yet."""
        if self.ledger is None:
            return ZERO
        return self.ledger.position(product_id).size - self.opening_positions.get(product_id, ZERO)

    def mark(self, product_id: str) -> Price | None:
        """Return the middle of the book, or None."""
        book = self.books[product_id]
        return book.mid() if book.is_usable else None

    def last_mark(self, product_id: str) -> Price | None:
        """Return the middle of the book, or the last one that there was."""
        known = None if self.ledger is None else self.ledger.mark_of(product_id)
        return self.mark(product_id) or known

    def staleness_s(self, product_id: str) -> Decimal | None:
        """Return the age of the last book change in seconds; None before the first."""
        updated_ns = self.book_seen_ns.get(product_id)
        return None if updated_ns is None else Decimal((self.now_ns - updated_ns) // 1_000_000) / 1000

    def equity(self) -> Notional:
        """Return the account's equity by our books; zero before the first reading."""
        return ZERO if self.ledger is None else self.ledger.equity()

    def pnl(self) -> Notional:
        """Return what this run has made since its start: what was held before does not count, up or down."""
        if self.ledger is None:
            return ZERO
        before = ZERO
        for product_id, mark in self.opening_marks.items():
            product, now = self.products[product_id], self.ledger.mark_of(product_id) or mark
            before += product.notional(self.opening_positions.get(product_id, ZERO), now - mark)
        return self.ledger.equity() - self.ledger.opening_equity - before

    def day_pnl(self) -> Notional:
        """Return what this run has made since 00:00 UTC: realized, unrealized, fees and funding."""
        return self.pnl() - self.day_start_pnl

    def depth(self, product_id: str, taker: Side) -> Depth:
        """Return the notional that a taker of this side would meet."""
        book = self.books[product_id]
        maker = taker.opposite
        return Depth(l1=book.depth(maker, 1), l10=book.depth(maker, LEVELS_OF_DEPTH))

    def exposure(self) -> Notional:
        """Return positions plus resting entries over all products, in USD."""
        total = ZERO
        for product_id, product in self.products.items():
            mark = self.last_mark(product_id) or ZERO
            total += product.notional(abs(self.position(product_id)), mark)
        for order in self.orders.outstanding():
            if not self._is_exit(order.intent):
                product = self.products[order.intent.product_id]
                price = order.intent.limit_price or self.last_mark(product.product_id) or ZERO
                total += product.notional(order.outstanding, price)
        return total

    def is_flat(self) -> bool:
        """Tell whether no position is left that the venue would let anybody trade, and no order rests."""
        return not self.orders.outstanding() and all(self.is_dust(product_id) for product_id in self.products)

    def is_dust(self, product_id: str) -> bool:
        """Tell whether the position is below the venue's smallest order."""
        product, size = self.products[product_id], abs(self.position(product_id))
        mark = self.last_mark(product_id)
        is_worthless = mark is not None and product.notional(size, mark) < product.quote_min_size
        return size < product.base_min_size or is_worthless

    def view(self, intent: OrderIntent) -> RiskView:
        """Return what the risk rules may look at for this intent."""
        product = self.products[intent.product_id]
        book = self.books[intent.product_id]
        live = self.orders.live(intent.product_id)
        same_side = self.orders.outstanding(intent.product_id, intent.side)
        while self._sent_ns and self._sent_ns[0] <= self.now_ns - MINUTE_NS:
            self._sent_ns.popleft()
        return RiskView(
            now_ns=self.now_ns,
            state=self.state,
            product=product,
            limits=self.plan.limits(intent.product_id),
            risk=self.plan.risk,
            policy=self.plan.policy,
            mid=self.mark(intent.product_id),
            spread_bps=book.spread_bps(),
            staleness_s=self.staleness_s(intent.product_id) if self.is_stream_up else None,
            position=self.position(intent.product_id),
            resting_entry_size=sum((o.outstanding for o in same_side if not self._is_exit(o.intent)), ZERO),
            resting_exit_size=sum((o.outstanding for o in same_side if self._is_exit(o.intent)), ZERO),
            aggregate_exposure=self.exposure(),
            equity=self.equity(),
            day_pnl=self.day_pnl(),
            open_orders=len(self.orders.live()),
            orders_last_minute=len(self._sent_ns),
            has_unresolved=any(o.status is OrderStatus.OUTCOME_UNKNOWN for o in live),
            has_twin=any(_is_twin(o.intent, intent) for o in live),
            margin_utilization=self.margin_utilization,
            funding_in_s=_seconds_to_funding(product, self.now_ns),
        )

    # ── what one can do ─────────────────────────────────────────────────────────────────────────
    def place(self, intent: OrderIntent, source: str) -> TrackedOrder | Denial:
        """Size, review and send one intent; return the order, or the rule that refused it."""
        self._signals += 1
        signal_id = f"{self.order_prefix}-s{self._signals:05d}"
        self.record(SignalRaised(ts_ns=self.now_ns, signal_id=signal_id, source=source, intent=intent))
        sized = self._size(intent, signal_id)
        if sized.size <= 0 < intent.size:
            # The rule that refuses the whole order names the reason; the impact limit is the reason if none does.
            too_thin = Denial(DenialReason.INSUFFICIENT_DEPTH, "no size stays within the impact limit")
            return self._deny(signal_id, sized, review(intent, self.view(intent)) or too_thin)
        client_order_id = f"{self.order_prefix}-{self._sent + 1:05d}"
        answer = approve(sized, self.view(sized), client_order_id)
        if isinstance(answer, Denial):
            return self._deny(signal_id, sized, answer)
        self._sent += 1
        self._sent_ns.append(self.now_ns)
        mid = self.mark(sized.product_id) or ZERO
        event = OrderSubmitted(
            ts_ns=self.now_ns, client_order_id=client_order_id, signal_id=signal_id, intent=sized, mid=mid
        )
        self.record(event)
        self.decisions.commands.append(SubmitOrder(answer))
        return self.orders.submitted(event)

    def cancel(self, order: TrackedOrder, cause: str) -> None:
        """Ask for the order's end, if it can be asked for now."""
        if order.is_cancellable:
            event = CancelRequested(ts_ns=self.now_ns, client_order_id=order.client_order_id, cause=cause)
            self.record(event)
            self.orders.cancel_requested(event)
            self.decisions.commands.append(CancelOrder(order.client_order_id, order.order_id))

    def cancel_again(self, order: TrackedOrder) -> None:
        """Repeat a request that had no effect: the venue may have forgotten it."""
        order.cancel_asked_ns = self.now_ns
        if order.order_id:
            self.decisions.commands.append(CancelOrder(order.client_order_id, order.order_id))

    def cancel_all(self, cause: str, *, entries_only: bool = False) -> None:
        """Ask for the end of every order that may rest at the venue."""
        for order in self.orders.live():
            if not (entries_only and self._is_exit(order.intent)):
                self.cancel(order, cause)

    def leave(self) -> None:
        """Cancel what rests, and close each position with a reducing limit IOC inside the price collar."""
        self.cancel_all("cleanup")
        for product_id in self.products:
            if not self.is_dust(product_id) and not self.orders.outstanding(product_id):
                self.exit(product_id, Purpose.EXIT, "cleanup")

    def exit(self, product_id: str, purpose: Purpose, source: str) -> TrackedOrder | Denial | None:
        """Place a reducing limit IOC for the whole position; None if there is no position or no price."""
        size, mark = self.position(product_id), self.mark(product_id)
        if size == 0 or mark is None:
            return None
        side = Side.SELL if size > 0 else Side.BUY
        product, collar_bps = self.products[product_id], self.plan.risk.price_collar_bps
        return self.place(reducing_ioc(product, side, abs(size), mark, collar_bps, purpose), source)

    def tighten(self, state: TradingState, reason: str) -> None:
        """Ask the session to tighten the account's state; it holds for us at once."""
        if state.rank > self.state.rank:
            self.state = state
        self.decisions.commands.append(TightenState(state, reason))

    def end_step(self, step: str, *, is_shown: bool, detail: str, **measurements: Decimal) -> None:
        """Record what a protocol step showed."""
        event = StepEnded(ts_ns=self.now_ns, step=step, is_shown=is_shown, detail=detail, measurements=measurements)
        self.steps_ended[step] = event
        self.record(event)

    def record(self, event: AnyEvent) -> None:
        """Add a record to the current decisions."""
        self.decisions.records.append(event)

    # ── details ─────────────────────────────────────────────────────────────────────────────────
    def _deny(self, signal_id: str, intent: OrderIntent, denial: Denial) -> Denial:
        self.record(
            OrderDenied(
                ts_ns=self.now_ns, signal_id=signal_id, intent=intent, reason=denial.reason, detail=denial.detail
            )
        )
        return denial

    def _is_exit(self, intent: OrderIntent) -> bool:
        return intent.reduce_only or intent.purpose in (Purpose.EXIT, Purpose.PROBE_EXIT_WHILE_REDUCING)

    def _size(self, intent: OrderIntent, signal_id: str) -> OrderIntent:
        """Return the intent at the size that impact limit and caps allow; exits keep theirs."""
        mark = self.mark(intent.product_id)
        if mark is None or self._is_exit(intent) or self.view(intent).is_reducing(intent):
            return intent
        product, mode = self.products[intent.product_id], self.plan.sizing.mode
        price = intent.limit_price or mark
        wanted = product.notional(intent.size, price)
        limit_bps = self.plan.sizing.impact_bps_max
        sizing = size_order(wanted, self.depth(intent.product_id, intent.side), limit_bps, mode)
        if sizing.is_sized_down:
            smaller = msgspec.structs.replace(intent, size=product.size_for(sizing.notional, price))
            self._record_sized_down(intent, smaller, signal_id, "impact_bps_max", sizing.impact_bps)
            intent = smaller
        room, limit_name = self._room(intent, price), "product_cap"
        largest = product.size_for(self.plan.entry.notional_max, price)
        if intent.purpose is Purpose.PROBE_OVERSIZE and largest < room:
            room, limit_name = largest, "entry_notional_max"  # what a probe sends is no larger than an entry
        if intent.size > room and mode is not SizingMode.STRICT:
            smaller = msgspec.structs.replace(intent, size=room)
            self._record_sized_down(intent, smaller, signal_id, limit_name, sizing.impact_bps)
            intent = smaller
        return intent

    def _room(self, intent: OrderIntent, price: Price) -> Size:
        """Return the size that the product's own caps still leave."""
        limits, product = self.plan.limits(intent.product_id), self.products[intent.product_id]
        if limits is None:
            return intent.size
        held, view = abs(self.position(intent.product_id)), self.view(intent)
        resting = view.resting_entry_size
        used = product.notional(held, view.mid or price) + product.notional(resting, price)
        by_notional = product.size_for(max(limits.max_notional - used, ZERO), price)
        return product.round_size(max(min(limits.max_size - held - resting, by_notional), ZERO))

    def _record_sized_down(
        self, before: OrderIntent, after: OrderIntent, signal_id: str, limit_name: str, impact: Decimal
    ) -> None:
        product, book = self.products[before.product_id], self.books[before.product_id]
        price = before.limit_price or self.mark(before.product_id) or ZERO
        depth = self.depth(before.product_id, before.side)
        self.record(
            SizedDown(
                ts_ns=self.now_ns,
                signal_id=signal_id,
                product_id=before.product_id,
                side=before.side,
                original_size=before.size,
                adjusted_size=after.size,
                original_notional=product.notional(before.size, price),
                adjusted_notional=product.notional(after.size, price),
                limit_name=limit_name,
                impact_limit_bps=self.plan.sizing.impact_bps_max,
                model_impact_bps=impact,
                realized_impact_bps=book.realized_impact_bps(before.side, after.size) if after.size else None,
                depth_l1=depth.l1,
                depth_l10=depth.l10,
                spread_bps=book.spread_bps() or ZERO,
            )
        )


def reducing_ioc(
    product: Product, side: Side, size: Size, mark: Price, collar_bps: Bps, purpose: Purpose
) -> OrderIntent:
    """Return a limit IOC that crosses the spread by at most the collar, for a size on the product's grid."""
    reach = mark * collar_bps / BPS * side.sign
    return OrderIntent(
        product_id=product.product_id,
        side=side,
        size=floor_to(size, product.base_increment),
        # The passive rounding keeps the price inside the collar.
        limit_price=product.round_price(mark + reach, side),
        purpose=purpose,
        time_in_force=TimeInForce.IOC,
        reduce_only=True,
    )


def _is_twin(resting: OrderIntent, intent: OrderIntent) -> bool:
    return (resting.side, resting.limit_price, resting.purpose, resting.size) == (
        intent.side, intent.limit_price, intent.purpose, intent.size
    )


def _seconds_to_funding(product: Product, now_ns: int) -> int | None:
    if product.funding_interval_s is None:
        return None
    return product.funding_interval_s - now_ns // NS % product.funding_interval_s
