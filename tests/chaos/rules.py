"""What must hold at every moment of a simulated session, by the exchange's word and the state file's.

The session's own books are never asked: what was bought and sold is counted from the exchange's fills.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from tests.chaos.draws import Script
from trading_core.clock import MINUTE_NS, NS
from trading_core.events import (
    AnyEvent,
    EditRequested,
    FillBooked,
    FundingAccrued,
    GuardrailTripped,
    MarginWindowAnnounced,
    OrderAccepted,
    OrderLost,
    OrderNotFound,
    OrderRejected,
    OrderReported,
    OrderSubmitted,
    SnapshotTaken,
    SymbolTightened,
)
from trading_core.local_exchange.exchange import LocalExchange
from trading_core.local_exchange.model import ExchangeFill, ExchangeOrder
from trading_core.money import ZERO
from trading_core.order_manager import ASKS_UNTIL_ABSENT
from trading_core.orders import OrderIntent, Purpose, Side
from trading_core.products import Product, ProductType
from trading_core.risk import ApprovedOrder
from trading_core.trading_state import TradingState
from trading_core.us_calendar import margin_window

# The mark may move between the engine's look and the order's arrival; a jump of the price on purpose more so.
SLACK, JUMP_SLACK = Decimal("1.02"), Decimal("1.15")
USD_EXACT = Decimal("0.000001")
CENT = Decimal("0.01")
AROUND_NS = 15 * NS  # a fill so near to a funding time may be booked on its other side
CANCELLED_WITHIN_NS = 5 * NS  # a tick to decide it, and the way to the venue
EXITS = (Purpose.EXIT, Purpose.PROBE_EXIT_WHILE_REDUCING)


class Told(NamedTuple):
    """What the stored events say that later ones must keep to."""

    unresolved: dict[str, tuple[str, int]]  # client order id → product, and how often the venue denied to know it
    tightened: set[str]
    tripped: list[TradingState]
    accrued: dict[tuple[str, int], Decimal]
    announced: set[tuple[int, int]]
    booked: dict[str, FillBooked]
    submitted: dict[str, OrderSubmitted]
    edited_ns: dict[str, int]  # when an edit of the order was last decided


class Rules:
    """Checks one run; raises AssertionError with what did not hold."""

    def __init__(self, exchange: LocalExchange, script: Script, products: dict[str, Product]) -> None:
        self._exchange = exchange
        self._account = exchange.account_ids()[0]
        self._script = script
        self._products = products
        self.tightest = TradingState.ACTIVE
        self._decided_ns: deque[int] = deque()
        self._seen = 0
        self.fills: list[ExchangeFill] = []
        self.held: defaultdict[str, Decimal] = defaultdict(Decimal)
        self.sent: dict[str, OrderIntent] = {}
        self.told = _nothing_told()

    # ── what the exchange says ──────────────────────────────────────────────────────────────────
    def look(self) -> None:
        """Count what was bought and sold since the last look."""
        listed = self._exchange.fills(self._account)
        for fill in reversed(listed[: len(listed) - self._seen]):
            self.fills.append(fill)
            self.held[fill.product_id] += fill.size * fill.side.sign
        self._seen = len(listed)

    def resting(self, product_id: str, side: Side | None = None) -> list[ExchangeOrder]:
        """Return the orders at the exchange that may still fill."""
        return [
            order for order in self._exchange.open_orders(self._account)
            if order.request.product_id == product_id and side in (None, order.request.side)
        ]

    def notional(self, product_id: str, size: Decimal, price: Decimal | None = None) -> Decimal:
        """Return what the size is worth at the price, or at the last one of the market."""
        return self._products[product_id].notional(size, price or self._exchange.last_price(product_id))

    # ── after every event ───────────────────────────────────────────────────────────────────────
    def check(self, state: TradingState) -> None:
        """Nothing is sold that was not bought, no cap is exceeded, exits never exceed what is held, nothing loosens."""
        self.look()
        assert state.rank >= self.tightest.rank, f"the state was loosened from {self.tightest} to {state}"
        self.tightest = state
        for product_id, product in self._products.items():
            held, limits = self.held[product_id], self._script.plan.limits(product_id)
            assert limits is not None
            assert abs(held) <= limits.max_size, f"holds {held} {product_id}, the cap is {limits.max_size}"
            if product.product_type is ProductType.SPOT:
                assert held >= 0, f"coins of the account's owner were sold: {held} {product_id}"
        self._check_exits()

    def check_senders(self) -> None:
        """Every order at the exchange was checked on its way, is a bracket of one, or the venue's own."""
        theirs = {o.request.client_order_id for o in self._exchange.orders(self._account) if not o.is_liquidation}
        unchecked = theirs - self.sent.keys() - {""}
        assert not unchecked, f"nobody saw these leave: {unchecked}"

    def _check_exits(self) -> None:
        leaving: defaultdict[tuple[str, Side], Decimal] = defaultdict(Decimal)
        for order in self._exchange.open_orders(self._account):
            # What is being cancelled has been given up; until then it may fill, and is taken back.
            if self._is_exit(order) and not order.pending_cancel:
                leaving[order.request.product_id, order.request.side] += order.leaves_size
        for (product_id, side), size in leaving.items():
            held = self.held[product_id]
            is_covered = size <= max(-held * side.sign, ZERO) or self._was_just_closed_by_venue(product_id)
            assert is_covered, f"{side} exits of {size} {product_id} rest, {held} is held"

    def _is_exit(self, order: ExchangeOrder) -> bool:
        if order.originating_order_id:
            return True
        intent = self.sent.get(order.request.client_order_id)
        return intent is not None and is_exit(intent)

    # ── right before an order leaves ────────────────────────────────────────────────────────────
    def check_submission(self, order: ApprovedOrder, state: TradingState, *, is_durable: bool) -> None:
        """The state allows the order, it is on disk, and no limit is exceeded at the venue."""
        self.look()
        intent = order.intent
        assert order.client_order_id not in self.sent, f"{order.client_order_id} leaves a second time"
        self.sent[order.client_order_id] = intent
        if intent.purpose is Purpose.EMERGENCY:
            self._check_emergency(intent)
            return
        assert is_durable, f"{order.client_order_id} is not on disk, and leaves"
        assert state is not TradingState.HALTED, "HALTED, and an order leaves"
        assert TradingState.HALTED not in self.told.tripped, "a guardrail halted this run, and an order leaves"
        is_reducing = self._is_reducing(intent)
        decided_ns = self.told.submitted[order.client_order_id].ts_ns
        if is_exit(intent) or self._is_spot_sale(intent):
            words = f"{intent.side} {intent.size} {intent.product_id} of {self.held[intent.product_id]}"
            is_unknown = self._was_closed_by_venue(intent.product_id)
            assert is_reducing or is_unknown, f"an exit does not reduce: {words}"
        elif not is_reducing:
            assert state is TradingState.ACTIVE, "REDUCE_ONLY, and an entry leaves"
            self._check_entry(intent)
            self._check_caps(intent, intent.size, intent.limit_price)
            self._check_counts(decided_ns)
        self._decided_ns.append(decided_ns)

    def check_edit(self, order_id: str, order: ApprovedOrder, state: TradingState, *, is_durable: bool) -> None:
        """The same holds for an edit: it is the same order, no larger than it was, at the worse one of its prices."""
        self.look()
        intent, name = order.intent, order.client_order_id
        there = next(o for o in self._exchange.orders(self._account) if o.order_id == order_id)
        assert there.request.client_order_id == name, f"{name} is edited as {order_id}, which is another order"
        assert intent.size <= self.sent[name].size, f"{name} would grow to {intent.size}"
        assert is_durable, f"the edit of {name} is not on disk, and leaves"
        assert state is not TradingState.HALTED, "HALTED, and an edit leaves"
        decided_ns = self.told.edited_ns[name]
        if not is_exit(intent) and not self._is_spot_sale(intent):
            assert state is TradingState.ACTIVE, "REDUCE_ONLY, and an edit of an entry leaves"
            self._check_entry(intent)
            price = max(p for p in (intent.limit_price, there.limit_price) if p is not None)
            self._check_caps(intent, max(there.size, intent.size) - there.filled_size, price, but_for=order_id)
            self._check_rate(decided_ns)
        self._decided_ns.append(decided_ns)

    def _check_entry(self, intent: OrderIntent) -> None:
        assert not self.told.tripped, "a guardrail has tripped, and an entry leaves"
        assert intent.product_id not in self.told.tightened, f"{intent.product_id} is reduce-only: an entry leaves"

    def _is_reducing(self, intent: OrderIntent) -> bool:
        held = self.held[intent.product_id]
        leaving = sum((o.leaves_size for o in self.resting(intent.product_id, intent.side)), ZERO)
        return held * intent.side.sign < 0 and intent.size + leaving <= abs(held)

    def _was_closed_by_venue(self, product_id: str) -> bool:
        """Tell whether the venue liquidated some of the position and the session cannot have heard of all of it."""
        theirs = [f for f in self.fills if f.product_id == product_id and f.client_order_id.startswith("liquidation-")]
        return any(fill.entry_id not in self.told.booked for fill in theirs)

    def _was_just_closed_by_venue(self, product_id: str) -> bool:
        """Tell whether the session has not heard of a liquidation yet, or had no tick since to cancel an exit."""
        theirs = [f for f in self.fills if f.product_id == product_id and f.client_order_id.startswith("liquidation-")]
        booked, now_ns = self.told.booked, self._exchange.now_ns
        heard_ns = [booked[f.entry_id].ts_ns if f.entry_id in booked else now_ns for f in theirs]
        return bool(heard_ns) and now_ns - max(heard_ns) <= CANCELLED_WITHIN_NS

    def _is_spot_sale(self, intent: OrderIntent) -> bool:
        return self._products[intent.product_id].product_type is ProductType.SPOT and intent.side is Side.SELL

    def _check_emergency(self, intent: OrderIntent) -> None:
        """The ladder closes; only what is still being cancelled, or closed by the venue, may have come before it."""
        faults, held = self._script.faults, self.held[intent.product_id]
        is_raced = faults.cancel_delay_ms > 0 or faults.liquidation_at_s is not None or self.resting(intent.product_id)
        reduces = held * intent.side.sign < 0 and intent.size <= abs(held)
        assert reduces or is_raced, f"the ladder would {intent.side} {intent.size} {intent.product_id} of {held}"

    def _check_caps(self, intent: OrderIntent, leaves: Decimal, price: Decimal | None, but_for: str = "") -> None:
        plan, product_id = self._script.plan, intent.product_id
        limits, held = plan.limits(product_id), self.held[product_id] * intent.side.sign
        assert limits is not None
        beside = [o for o in self.resting(product_id, intent.side) if not self._is_exit(o) and o.order_id != but_for]
        size = held + sum((o.leaves_size for o in beside), ZERO) + leaves
        assert size <= limits.max_size, f"{size} {product_id} above {limits.max_size}"
        slack = SLACK if self._script.faults.gap_at_s is None else JUMP_SLACK
        leaving = self.notional(product_id, leaves, price)
        own = self.notional(product_id, held) + leaving
        own += sum((self.notional(product_id, o.leaves_size, o.limit_price) for o in beside), ZERO)
        assert own <= limits.max_notional * slack, f"${own} of {product_id} above ${limits.max_notional}"
        everything = self._exposure(but_for) + leaving
        most = plan.risk.aggregate_notional_max
        assert everything <= most * slack, f"${everything} in all above ${most}"
        lever = self._equity() * plan.risk.leverage_max
        assert everything <= lever * slack, f"${everything} exposure above the leverage limit of ${lever}"

    def _check_counts(self, decided_ns: int) -> None:
        risk = self._script.plan.risk
        ours = [o for o in self._exchange.open_orders(self._account) if not o.originating_order_id]
        assert len(ours) < risk.open_orders_max, f"{len(ours)} orders are open, and one more leaves"
        self._check_rate(decided_ns)

    def _check_rate(self, decided_ns: int) -> None:
        while self._decided_ns and self._decided_ns[0] <= decided_ns - MINUTE_NS:
            self._decided_ns.popleft()
        count, most = len(self._decided_ns), self._script.plan.risk.orders_per_minute_max
        assert count < most, f"{count} orders left within a minute, and one more leaves"

    def _exposure(self, but_for: str) -> Decimal:
        total = sum((self.notional(p, abs(size)) for p, size in self.held.items()), ZERO)
        for product_id in self._products:
            for order in self.resting(product_id):
                if not self._is_exit(order) and order.order_id != but_for:
                    total += self.notional(product_id, order.leaves_size, order.limit_price)
        return total

    def _equity(self) -> Decimal:
        balances = {b.currency: b.total for b in self._exchange.balances(self._account)}
        total = balances["USD"] + self._exchange.futures_summary(self._account).unrealized
        for product in self._products.values():
            if product.product_type is ProductType.SPOT:
                total += self.notional(product.product_id, balances.get(product.base_currency, ZERO))
        return total

    # ── what was stored ─────────────────────────────────────────────────────────────────────────
    def begin_again(self, stored: Iterable[AnyEvent]) -> None:
        """Take what the disk has after a crash; what it lost is not held against anybody."""
        self.told = _nothing_told()
        for event in stored:
            self.note(event)

    def check_event(self, event: AnyEvent) -> None:
        """Hold an event against those before it, and keep what later ones must keep to."""
        self.look()
        match event:
            case OrderSubmitted(intent=intent):
                assert event.client_order_id not in self.told.submitted, f"{event.client_order_id} was decided twice"
                waiting = [o for o, (p, _) in self.told.unresolved.items() if p == intent.product_id]
                if waiting and not is_exit(intent) and not self._is_spot_sale(intent):
                    assert self._is_reducing(intent), f"the outcome of {waiting} is unknown, and an entry is decided"
            case FundingAccrued():
                self._check_funding(event)
            case MarginWindowAnnounced():
                self._check_announcement(event)
            case SnapshotTaken():
                self._check_snapshot(event)
        self.note(event)

    def note(self, event: AnyEvent) -> None:
        """Keep what later events must keep to."""
        told = self.told
        match event:
            case OrderSubmitted():
                told.submitted[event.client_order_id] = event
            case EditRequested():
                told.edited_ns[event.client_order_id] = event.ts_ns
            case OrderLost():
                told.unresolved[event.client_order_id] = (
                    told.submitted[event.client_order_id].intent.product_id, 0)
            case OrderAccepted() | OrderRejected():
                told.unresolved.pop(event.client_order_id, None)
            case OrderReported(order=order):
                told.unresolved.pop(order.client_order_id, None)
            case OrderNotFound(client_order_id=name) if name in told.unresolved:
                product_id, times = told.unresolved.pop(name)
                if times + 1 < ASKS_UNTIL_ABSENT:
                    told.unresolved[name] = (product_id, times + 1)
            case SymbolTightened():
                told.tightened.add(event.product_id)
            case GuardrailTripped():
                told.tripped.append(event.state)
            case FundingAccrued():
                told.accrued[event.product_id, event.funding_ns] = event.amount
            case MarginWindowAnnounced():
                told.announced.add((event.transition_ns, event.minutes_left))
            case FillBooked():
                told.booked[event.fill.entry_id] = event

    def _check_funding(self, event: FundingAccrued) -> None:
        key = event.product_id, event.funding_ns
        assert key not in self.told.accrued, f"funding of {key} accrued twice"
        held = self._held_at(event.product_id, event.funding_ns)
        is_right = held is None or event.position == held
        assert is_right, f"funding of {event.position}, {held} was held at {event.funding_ns}"

    def _held_at(self, product_id: str, ts_ns: int) -> Decimal | None:
        """Return the position at the moment; None if it changed so near to it that the session may see it otherwise."""
        mine = [f for f in self.fills if f.product_id == product_id]
        if any(abs(f.ts_ns - ts_ns) < AROUND_NS for f in mine):
            return None
        return sum((f.size * f.side.sign for f in mine if f.ts_ns <= ts_ns), ZERO)

    def held_at_funding(self) -> list[tuple[str, int]]:
        """Return the futures and funding times at which one was held, from the start until now."""
        self.look()
        futures = [p for p in self._products.values() if p.product_type is ProductType.FUTURE]
        hour_ns = 60 * MINUTE_NS
        times = range(self._script.start_ns // hour_ns * hour_ns + hour_ns, self._exchange.now_ns, hour_ns)
        return [(p.product_id, at_ns) for p in futures for at_ns in times if self._held_at(p.product_id, at_ns)]

    def _check_announcement(self, event: MarginWindowAnnounced) -> None:
        key = event.transition_ns, event.minutes_left
        assert key not in self.told.announced, f"a margin window was announced twice: {event.minutes_left} min"
        late_ns = event.ts_ns - (event.transition_ns - event.minutes_left * MINUTE_NS)
        assert 0 <= late_ns < MINUTE_NS, f"T{-event.minutes_left:+} min was announced {late_ns / NS:.0f} s after that"
        before, after = margin_window(event.transition_ns - 1), margin_window(event.transition_ns)
        assert before.end_ns == event.transition_ns, f"no margin window ends at {event.transition_ns}"
        assert (event.window, event.next_window) == (before.window, after.window)

    def _check_snapshot(self, snapshot: SnapshotTaken) -> None:
        """Our books are those of a naive count of the fills that were booked, and those are the exchange's own."""
        there = {fill.entry_id: fill for fill in self.fills}
        sizes: defaultdict[str, Decimal] = defaultdict(Decimal)
        cash = flow = ZERO
        for event in self.told.booked.values():
            booked = event.fill
            fill, product = there[booked.entry_id], self._products[booked.product_id]
            assert (fill.price, fill.size, fill.commission) == (booked.price, booked.size, booked.commission)
            paid = product.notional(fill.size, fill.price) * fill.side.sign
            flow -= paid + fill.commission
            cash -= fill.commission + (paid if product.product_type is ProductType.SPOT else ZERO)
            sizes[fill.product_id] += fill.size * fill.side.sign
        for product_id in self._products:
            ours = snapshot.positions[product_id]
            assert ours == sizes[product_id], f"books hold {ours} {product_id}, the fills {sizes[product_id]}"
        self._check_equity(snapshot, flow, sizes)
        has_futures = any(p.product_type is ProductType.FUTURE for p in self._products.values())
        if not has_futures:
            usd = snapshot.expected_balances["USD"]
            naive = self._script.balances["USD"] + cash
            assert abs(usd - naive) < USD_EXACT, f"books say ${usd}, the fills ${naive}"
        if there.keys() == self.told.booked.keys():
            self._check_balances(snapshot)

    def _check_equity(self, snapshot: SnapshotTaken, flow: Decimal, sizes: dict[str, Decimal]) -> None:
        """Without the owner's coins, equity is what there was, what the fills moved, what is held, and funding."""
        coins = [p.base_currency for p in self._products.values() if p.product_type is ProductType.SPOT]
        has_marks = all(product_id in snapshot.marks for product_id, size in sizes.items() if size)
        if not has_marks or any(self._script.balances.get(currency) for currency in coins):
            return
        worth = sum((self.notional(p, size, snapshot.marks[p]) for p, size in sizes.items() if size), ZERO)
        accrued = sum(self.told.accrued.values(), ZERO)
        naive = snapshot.opening_equity + flow + worth + accrued
        assert abs(snapshot.equity - naive) <= CENT * len(self.told.accrued) + USD_EXACT, (
            f"equity is {snapshot.equity} in the books, {naive} by the fills"
        )

    def _check_balances(self, snapshot: SnapshotTaken) -> None:
        """All fills are booked: the books expect what the exchange has; only funding may still be on its way."""
        there = {b.currency: b.total for b in self._exchange.balances(self._account)}
        ours = snapshot.expected_balances
        room = abs(self._exchange.futures_summary(self._account).funding) * 2 + CENT
        assert abs(ours["USD"] - there["USD"]) <= room, f"books expect ${ours['USD']}, the venue has ${there['USD']}"
        for product in self._products.values():
            if product.product_type is ProductType.SPOT:
                expected, seen = ours.get(product.base_currency, ZERO), there.get(product.base_currency, ZERO)
                assert expected == seen, f"books expect {expected} {product.base_currency}, the venue has {seen}"


def is_exit(intent: OrderIntent) -> bool:
    """Tell whether the order is meant to leave a position."""
    return intent.reduce_only or intent.purpose in EXITS


def _nothing_told() -> Told:
    return Told({}, set(), [], {}, set(), {}, {}, {})
