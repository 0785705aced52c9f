"""The trading desk: what a strategy or a protocol sees of market and account, and the one way to place an order.

Pure: it reads no clock and calls nobody; it writes records and commands into `decisions`.
"""

from __future__ import annotations

from collections import deque
from decimal import Decimal

from trading_core.clock import MINUTE_NS, NS
from trading_core.commands import CancelOrder, Decisions, EditOrder, SubmitOrder, TightenState
from trading_core.desk_sizing import allowed_size
from trading_core.events import (
    AnyEvent,
    BookChanged,
    CancelRequested,
    EditRequested,
    OrderDenied,
    OrderSubmitted,
    SignalFiltered,
    SignalRaised,
    StepEnded,
    SymbolTightened,
)
from trading_core.ledger import Ledger
from trading_core.margin import MarginWatch
from trading_core.market import LEVELS_OF_DEPTH, OrderBook
from trading_core.money import BPS, ZERO, Bps, Notional, Price, Size, floor_to
from trading_core.order_manager import OrderManager, TrackedOrder
from trading_core.order_policy import SymbolPolicy
from trading_core.orders import OrderIntent, Purpose, Side, TimeInForce
from trading_core.plan import Plan
from trading_core.products import Product, ProductType
from trading_core.risk import Denial, DenialReason, RiskView, approve, approve_edit, review
from trading_core.sizing import Depth
from trading_core.told import Bars, TouchCheck
from trading_core.trading_state import TradingState
from trading_core.transfers import Transfers
from trading_core.waiting import HeldStop, Waiting


class Desk:
    """State of one run, and what can be done with it."""

    def __init__(self, plan: Plan, products: dict[str, Product], order_prefix: str) -> None:
        self.plan = plan
        self.products = products
        self.books = {product_id: OrderBook(product) for product_id, product in products.items()}
        self.policies = {p: SymbolPolicy(product, plan.policy) for p, product in products.items()}
        self.orders = OrderManager()
        self.waiting = Waiting()
        self.tightened: dict[str, TradingState] = {}  # products that take reducing orders only
        self.ledger: Ledger | None = None
        self.opening_positions: dict[str, Size] = {}
        self.state = TradingState.REDUCE_ONLY
        self.now_ns = 0
        self.opening_marks: dict[str, Price] = {}
        self.day_start_pnl: Notional = ZERO
        self.margin_utilization = ZERO
        self.margin = MarginWatch()
        self.touches = TouchCheck()
        self.bars = Bars()
        self.transfers = Transfers()
        self.reads_bars = False  # whether the strategy wants the venue's bars
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
    def state_of(self, product_id: str) -> TradingState:
        """Return the state that holds for the product: the account's, or its own if that is tighter."""
        return max(self.state, self.tightened.get(product_id, TradingState.ACTIVE), key=lambda state: state.rank)

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
        for product_id, held in self.opening_positions.items():
            if held and (mark := self.opening_marks.get(product_id)) is not None:
                now = self.ledger.mark_of(product_id) or mark
                before += self.products[product_id].notional(held, now - mark)
        return self.ledger.equity() - self.ledger.opening_equity - self.ledger.transfers() - before

    def day_pnl(self) -> Notional:
        """Return what this run has made since 00:00 UTC: realized, unrealized, fees and funding."""
        return self.pnl() - self.day_start_pnl

    def depth(self, product_id: str, taker: Side) -> Depth:
        """Return the notional that a taker of this side would meet."""
        book = self.books[product_id]
        maker = taker.opposite
        return Depth(l1=book.depth(maker, 1), l10=book.depth(maker, LEVELS_OF_DEPTH))

    def exposure(self, but_for: TrackedOrder | None = None) -> Notional:
        """Return positions plus resting entries over all products, in USD; what rests of `but_for` is left out."""
        total = ZERO
        for product_id, product in self.products.items():
            mark = self.last_mark(product_id) or ZERO
            total += product.notional(abs(self.position(product_id)), mark)
        for order in self.orders.outstanding():
            if not self.is_exit(order.intent):
                product = self.products[order.intent.product_id]
                price = order.worst_price or self.last_mark(product.product_id) or ZERO
                total += product.notional(order.unbooked if order is but_for else order.outstanding, price)
        return total

    def margin_free(self, but_for: TrackedOrder | None = None) -> Notional | None:
        """Return the venue's free margin, less the whole notional of what filled since then and rests to enter.

        None if the venue has told no margin: nothing is known to be free. What rests of `but_for` is left out.
        """
        read, available = self.margin.reading, self.margin.available()
        if read is None or self.ledger is None or available is None:
            return None
        taken = ZERO
        for product in self._futures():
            held, was = self.ledger.position(product.product_id).size, read.positions.get(product.product_id, ZERO)
            taken += product.notional(max(ZERO, abs(held) - abs(was)), self.last_mark(product.product_id) or ZERO)
            for order in self.orders.outstanding(product.product_id):
                if not self.is_exit(order.intent):
                    price = order.worst_price or self.last_mark(product.product_id) or ZERO
                    taken += product.notional(order.unbooked if order is but_for else order.outstanding, price)
        return available - taken

    def is_flat(self) -> bool:
        """Tell whether no position is left that the venue would let anybody trade, and no order rests."""
        return not self.orders.outstanding() and all(self.is_dust(product_id) for product_id in self.products)

    def is_dust(self, product_id: str) -> bool:
        """Tell whether the position is below the venue's smallest order."""
        product, size = self.products[product_id], abs(self.position(product_id))
        mark = self.last_mark(product_id)
        is_worthless = mark is not None and product.notional(size, mark) < product.quote_min_size
        return size < product.base_min_size or is_worthless

    def view(self, intent: OrderIntent, but_for: TrackedOrder | None = None) -> RiskView:
        """Return what the risk rules may look at for this intent, which takes the place of `but_for`."""
        product = self.products[intent.product_id]
        book = self.books[intent.product_id]
        live = [o for o in self.orders.live(intent.product_id) if o is not but_for]
        same_side = [
            (self.is_exit(o.intent), o.unbooked if o is but_for else o.outstanding)
            for o in self.orders.outstanding(intent.product_id, intent.side)
        ]
        while self._sent_ns and self._sent_ns[0] <= self.now_ns - MINUTE_NS:
            self._sent_ns.popleft()
        return RiskView(
            now_ns=self.now_ns,
            state=self.state_of(intent.product_id),
            product=product,
            limits=self.plan.limits(intent.product_id),
            risk=self.plan.risk,
            policy=self.policies[intent.product_id].orders,
            mid=self.mark(intent.product_id),
            spread_bps=book.spread_bps(),
            staleness_s=self.staleness_s(intent.product_id) if self.is_stream_up else None,
            position=self.position(intent.product_id),
            resting_entry_size=sum((size for is_exit, size in same_side if not is_exit), ZERO),
            resting_exit_size=sum((size for is_exit, size in same_side if is_exit), ZERO),
            aggregate_exposure=self.exposure(but_for),
            equity=self.equity(),
            day_pnl=self.day_pnl(),
            open_orders=sum(o is not but_for for o in self.orders.live()),
            orders_last_minute=len(self._sent_ns),
            has_unresolved=any(o.is_unclear for o in live),
            has_twin=any(_is_twin(o, intent) for o in live),
            margin_utilization=self.margin_utilization,
            margin_free=self.margin_free(but_for),
            funding_in_s=_seconds_to_funding(product, self.now_ns),
        )

    # ── what one can do ─────────────────────────────────────────────────────────────────────────
    def place(self, intent: OrderIntent, source: str) -> TrackedOrder | Denial:
        """Size, review and send one intent; return the order, or the rule that refused it."""
        signal_id = self._signal(intent, source)
        sized = allowed_size(self, intent, signal_id)
        if sized.size <= 0 < intent.size:
            # The rule that refuses the whole order names the reason; the impact limit is the reason if none does.
            too_thin = Denial(DenialReason.INSUFFICIENT_DEPTH, "no size stays within the impact limit")
            return self._deny(signal_id, sized, review(intent, self.view(intent)) or too_thin)
        sized = self.policies[intent.product_id].shape(sized)
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

    def edit(self, order: TrackedOrder, asked: OrderIntent, source: str) -> Denial | None:
        """Ask the venue to let the order rest as asked, no larger than it is; or return the rule that refuses it."""
        answer = approve_edit(asked, order.filled, self.view(asked, but_for=order), order.client_order_id)
        if isinstance(answer, Denial):
            return answer
        self._sent_ns.append(self.now_ns)
        event = EditRequested(
            ts_ns=self.now_ns, client_order_id=order.client_order_id, intent=asked, source=source,
            mid=self.mark(asked.product_id) or ZERO,
        )
        self.record(event)
        self.orders.edit_requested(event)
        self.decisions.commands.append(EditOrder(answer, order.order_id))
        return None

    def place_stop(self, intent: OrderIntent, source: str) -> TrackedOrder | HeldStop | Denial:
        """Place a stop-limit at the venue, or hold it here where the venue takes none: one of the two, never both."""
        if self.policies[intent.product_id].holds_stops:
            return self.waiting.hold(self, intent, source)
        return self.place(intent, source)

    def filter_out(self, intent: OrderIntent, source: str, filter_name: str, detail: str) -> None:
        """Record a signal that a filter of its strategy stopped, with the figure that the filter saw."""
        signal_id = self._signal(intent, source)
        self.record(
            SignalFiltered(ts_ns=self.now_ns, signal_id=signal_id, filter_name=filter_name, detail=detail)
        )

    def tighten_symbol(self, product_id: str, reason: str) -> None:
        """Let the product take reducing orders only from now on; what rests to enter is cancelled."""
        self.tightened[product_id] = TradingState.REDUCE_ONLY
        self.record(
            SymbolTightened(
                ts_ns=self.now_ns, product_id=product_id, state=TradingState.REDUCE_ONLY, reason=reason
            )
        )
        self.cancel_all("reduce_only", entries_only=True, product_id=product_id)

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

    def cancel_all(self, cause: str, *, entries_only: bool = False, product_id: str | None = None) -> None:
        """Ask for the end of every order that may rest at the venue, of one product or of all."""
        for order in self.orders.live(product_id):
            if not (entries_only and self.is_exit(order.intent)):
                self.cancel(order, cause)

    def leave(self) -> None:
        """Cancel what rests, and close each position with a reducing limit IOC inside the price collar."""
        self.waiting.clear(self)
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

    def is_exit(self, intent: OrderIntent) -> bool:
        """Tell whether the order is meant to leave a position."""
        return intent.reduce_only or intent.purpose in (Purpose.EXIT, Purpose.PROBE_EXIT_WHILE_REDUCING)

    # ── details ─────────────────────────────────────────────────────────────────────────────────
    def _futures(self) -> list[Product]:
        return [product for product in self.products.values() if product.product_type is ProductType.FUTURE]

    def _signal(self, intent: OrderIntent, source: str) -> str:
        self._signals += 1
        signal_id = f"{self.order_prefix}-s{self._signals:05d}"
        self.record(SignalRaised(ts_ns=self.now_ns, signal_id=signal_id, source=source, intent=intent))
        return signal_id

    def _deny(self, signal_id: str, intent: OrderIntent, denial: Denial) -> Denial:
        self.record(
            OrderDenied(
                ts_ns=self.now_ns, signal_id=signal_id, intent=intent, reason=denial.reason, detail=denial.detail
            )
        )
        return denial



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


def _is_twin(order: TrackedOrder, intent: OrderIntent) -> bool:
    rests = [order.intent] if order.edit is None else [order.intent, order.edit.intent]
    return (intent.side, intent.limit_price, intent.purpose, intent.size) in (
        [(r.side, r.limit_price, r.purpose, r.size) for r in rests]
    )


def _seconds_to_funding(product: Product, now_ns: int) -> int | None:
    if product.funding_interval_s is None:
        return None
    return product.funding_interval_s - now_ns // NS % product.funding_interval_s
