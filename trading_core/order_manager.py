"""Every order of a run and the state it is in: fed by events, asked by the engine. Never talks to a venue."""

from __future__ import annotations

from dataclasses import dataclass, field

from trading_core.clock import NS
from trading_core.events import (
    CancelAnswered,
    CancelRequested,
    EditAnswered,
    EditLost,
    EditRequested,
    FillBooked,
    OrderAccepted,
    OrderLost,
    OrderNotFound,
    OrderRejected,
    OrderReported,
    OrderSubmitted,
    SubmitWithheld,
)
from trading_core.money import ZERO, Notional, Price, Size
from trading_core.orders import (
    Fill,
    OrderIntent,
    OrderStatus,
    OrderType,
    Purpose,
    Side,
    VenueOrder,
    require_transition,
)

ASKS_UNTIL_ABSENT = 3  # times the venue must deny knowing an order before we believe that it never arrived
ASKS_UNTIL_UNCHANGED = 3  # times the venue must show an order as it was before we believe that its edit is void
ASKS_APART_NS = NS  # answers in one moment count once: what the venue shows may lag behind what it did


@dataclass(slots=True)
class OpenEdit:
    """An edit that was asked for, until the venue shows the order as asked, or as it was. It never adds size."""

    intent: OrderIntent
    is_unclear: bool = False  # nobody knows whether the venue has taken it
    times_unchanged: int = 0
    unchanged_ns: int = 0  # when an unchanged order was counted last


@dataclass(slots=True)
class TrackedOrder:
    """One order as we know it. `reported` is what the venue says was filled, `booked` what the ledger has."""

    client_order_id: str
    signal_id: str
    intent: OrderIntent
    submitted_ns: int
    status: OrderStatus = OrderStatus.SUBMITTED
    order_id: str = ""
    accepted_ns: int | None = None
    priced_ns: int | None = None  # since when it rests at its price
    ended_ns: int | None = None
    reported: Size = ZERO
    booked: Size = ZERO
    fees: Notional = ZERO
    reason: str = ""
    cancel_cause: str = ""
    cancel_asked_ns: int = 0
    times_absent: int = 0
    absent_ns: int = 0  # when a denial was counted last
    reported_ns: int = 0  # when the venue last told us of it
    fills: list[Fill] = field(default_factory=list)
    guards: TrackedOrder | None = None  # the order whose fills this bracket guards
    edit: OpenEdit | None = None
    voided: OrderIntent | None = None  # the last edit that we believe void: the venue may still prove us wrong
    is_edit_refused: bool = False

    @property
    def size(self) -> Size:
        """Return how much it may trade in all: a bracket no more than what it guards was filled."""
        return self.intent.size if self.guards is None else self.guards.filled

    @property
    def is_final(self) -> bool:
        """Tell whether nothing more is expected of it."""
        return self.status.is_final

    @property
    def is_unclear(self) -> bool:
        """Tell whether nobody knows what became of the order or of its edit."""
        return self.status is OrderStatus.OUTCOME_UNKNOWN or (self.edit is not None and self.edit.is_unclear)

    @property
    def worst_price(self) -> Price | None:
        """Return the higher one of its price and the price that an open edit asks for; None without a limit."""
        prices = [self.intent.limit_price, None if self.edit is None else self.edit.intent.limit_price]
        return max((price for price in prices if price is not None), default=None)

    @property
    def has_unbooked_fill(self) -> bool:
        """Tell whether the venue reports more than the ledger has."""
        return self.booked < self.reported

    @property
    def filled(self) -> Size:
        """Return what was filled, as far as anybody has told us."""
        return max(self.reported, self.booked)

    @property
    def unbooked(self) -> Size:
        """Return what was filled and is not in the ledger yet."""
        return max(self.reported - self.booked, ZERO)

    @property
    def outstanding(self) -> Size:
        """Return what the position does not show yet: what may still be filled, and what was and is not booked."""
        return self.leaves + self.unbooked

    @property
    def leaves(self) -> Size:
        """Return what may still be filled; all of it while the outcome is unknown."""
        left = max(self.size - self.filled, ZERO)
        return left if self.status.may_be_at_venue else ZERO

    @property
    def is_cancellable(self) -> bool:
        """Tell whether a cancel may be asked for now."""
        return self.status is OrderStatus.OPEN and bool(self.order_id)


class OrderManager:
    """The orders of one run by client order id."""

    def __init__(self) -> None:
        self.orders: dict[str, TrackedOrder] = {}
        self._by_venue_id: dict[str, TrackedOrder] = {}
        self._live: dict[str, TrackedOrder] = {}
        self._unbooked: dict[str, TrackedOrder] = {}
        self.failed_brackets: list[TrackedOrder] = []  # the venue gave them up: nothing guards what they guarded
        self.uneditable: set[str] = set()  # products whose orders the venue does not let us edit
        self.foreign: set[str] = set()  # orders of the account that are not ours

    def live(self, product_id: str | None = None, side: Side | None = None) -> list[TrackedOrder]:
        """Return the orders that may be at the venue, oldest first."""
        return [
            o for o in self._live.values()
            if product_id in (None, o.intent.product_id) and side in (None, o.intent.side)
        ]

    def unbooked(self) -> list[TrackedOrder]:
        """Return the orders with fills that the ledger does not have yet."""
        return list(self._unbooked.values())

    def outstanding(self, product_id: str | None = None, side: Side | None = None) -> list[TrackedOrder]:
        """Return the orders that may still change the position: live ones, and ended ones with an unbooked fill."""
        return [
            o for o in (self._live | self._unbooked).values()
            if product_id in (None, o.intent.product_id) and side in (None, o.intent.side)
        ]

    def by_venue_id(self, order_id: str) -> TrackedOrder | None:
        """Return our order with the venue's id."""
        return self._by_venue_id.get(order_id)

    def submitted(self, event: OrderSubmitted) -> TrackedOrder:
        """Track an order that is about to be sent."""
        order = TrackedOrder(event.client_order_id, event.signal_id, event.intent, event.ts_ns)
        self.orders[order.client_order_id] = self._live[order.client_order_id] = order
        return order

    def accepted(self, event: OrderAccepted) -> TrackedOrder:
        """Take the venue's acknowledgement; the user channel may have overtaken it."""
        order = self.orders[event.client_order_id]
        self._identify(order, event.order_id, event.ts_ns)
        if order.status in (OrderStatus.SUBMITTED, OrderStatus.OUTCOME_UNKNOWN):
            self._move(order, OrderStatus.OPEN, event.ts_ns)
        return order

    def adopt(self, order: TrackedOrder, order_id: str, ts_ns: int) -> TrackedOrder | None:
        """Track the bracket that the venue attached to an order of ours; None if it is tracked already."""
        attached = order.intent.attached
        if attached is None or order_id in self._by_venue_id:
            return None
        intent = OrderIntent(
            product_id=order.intent.product_id, side=order.intent.side.opposite, size=order.intent.size,
            limit_price=attached.take_profit, stop_price=attached.stop_loss, purpose=Purpose.EXIT,
            order_type=OrderType.BRACKET, reduce_only=True,
        )
        leg = TrackedOrder(f"{order.client_order_id}-b", order.signal_id, intent, ts_ns, guards=order)
        leg.status = OrderStatus.OPEN
        self.orders[leg.client_order_id] = self._live[leg.client_order_id] = leg
        self._identify(leg, order_id, ts_ns)
        self.foreign.discard(order_id)
        return leg

    def rejected(self, event: OrderRejected) -> TrackedOrder:
        """Take the venue's refusal."""
        order = self.orders[event.client_order_id]
        order.reason = event.reason
        if not order.is_final:
            self._move(order, OrderStatus.REJECTED, event.ts_ns)
        return order

    def withheld(self, event: SubmitWithheld) -> TrackedOrder:
        """The order was not sent after all."""
        order = self.orders[event.client_order_id]
        order.reason = event.reason
        self._move(order, OrderStatus.DENIED, event.ts_ns)
        return order

    def lost(self, event: OrderLost) -> TrackedOrder:
        """The order's outcome is unknown: it counts as full exposure from now on."""
        order = self.orders[event.client_order_id]
        order.reason = event.cause
        if order.status is OrderStatus.SUBMITTED:
            self._move(order, OrderStatus.OUTCOME_UNKNOWN, event.ts_ns)
        return order

    def interrupted(self, ts_ns: int) -> None:
        """The session ended with orders and edits on their way, sent or about to be: their outcome is unknown."""
        for order in self.live():
            if order.edit is not None:
                order.edit.is_unclear = True
            if order.status is OrderStatus.SUBMITTED:
                order.reason = "the session ended before the venue answered"
                self._move(order, OrderStatus.OUTCOME_UNKNOWN, ts_ns)

    def not_found(self, event: OrderNotFound) -> TrackedOrder:
        """The venue does not know the order; after several such answers it never arrived."""
        order = self.orders[event.client_order_id]
        if order.status is OrderStatus.OUTCOME_UNKNOWN and event.ts_ns - order.absent_ns >= ASKS_APART_NS:
            order.times_absent += 1
            order.absent_ns = event.ts_ns
            if order.times_absent >= ASKS_UNTIL_ABSENT:
                self._move(order, OrderStatus.REJECTED, event.ts_ns)
        return order

    def reported(self, event: OrderReported) -> TrackedOrder | None:
        """Take a cumulative report; an older one (less filled, or not final after final) changes nothing."""
        report = event.order
        order = self.orders.get(report.client_order_id) or self.by_venue_id(report.order_id)
        if order is None:
            self.foreign.add(report.order_id)
            return None
        self._identify(order, report.order_id, event.ts_ns)
        order.reported_ns = event.ts_ns
        self._settle_edit(order, event)
        if report.filled_size > order.reported:
            order.reported, order.fees = report.filled_size, report.total_fees
            self._note_unbooked(order)
        is_news = report.status is not order.status and (order.status, report.status) != (
            OrderStatus.CANCEL_REQUESTED, OrderStatus.OPEN  # the venue has not looked at our cancel yet
        )
        is_late_fill = order.status is OrderStatus.CANCELLED and report.status is OrderStatus.FILLED
        is_back = order.status is OrderStatus.REJECTED and order.times_absent >= ASKS_UNTIL_ABSENT
        if is_news and (not order.is_final or is_late_fill or is_back):
            order.reason = report.reason or order.reason
            self._move(order, report.status, event.ts_ns)
        return order

    def booked(self, event: FillBooked) -> TrackedOrder | None:
        """Take a confirmed fill; the same entry id twice changes nothing."""
        order = self.by_venue_id(event.fill.order_id)
        if order is None or any(f.entry_id == event.fill.entry_id for f in order.fills):
            return order
        order.fills.append(event.fill)
        order.booked += event.fill.size
        self._note_unbooked(order)
        return order

    def edit_requested(self, event: EditRequested) -> TrackedOrder:
        """We asked for another price or a smaller size; until the venue shows which, the worse of both counts."""
        order = self.orders[event.client_order_id]
        order.edit = OpenEdit(event.intent)
        return order

    def edit_answered(self, event: EditAnswered) -> TrackedOrder:
        """A refused edit leaves the order as it was; an accepted one counts once the venue shows it."""
        order = self.orders[event.client_order_id]
        if not event.is_accepted and order.edit is not None:
            order.is_edit_refused = True
            order.voided, order.edit = order.edit.intent, None
            if not event.is_expected:
                self.uneditable.add(order.intent.product_id)
        return order

    def edit_lost(self, event: EditLost) -> TrackedOrder:
        """Nobody knows whether the venue took the edit."""
        order = self.orders[event.client_order_id]
        if order.edit is not None:
            order.edit.is_unclear = True
        return order

    def cancel_requested(self, event: CancelRequested) -> TrackedOrder:
        """We asked for the order's end."""
        order = self.orders[event.client_order_id]
        order.cancel_cause, order.cancel_asked_ns = event.cause, event.ts_ns
        self._move(order, OrderStatus.CANCEL_REQUESTED, event.ts_ns)
        return order

    def cancel_answered(self, event: CancelAnswered) -> TrackedOrder:
        """A refused cancel puts the order back to open: ask the venue what it is."""
        order = self.orders[event.client_order_id]
        if not event.is_accepted and order.status is OrderStatus.CANCEL_REQUESTED:
            self._move(order, OrderStatus.OPEN, event.ts_ns)
        return order

    def _settle_edit(self, order: TrackedOrder, event: OrderReported) -> None:
        """Hold the venue's figures against those asked for and those of before."""
        report, edit = event.order, order.edit
        if report.is_edit_pending or (edit is None and order.voided is None):
            return
        asked = [] if edit is None else [edit.intent]
        applied = next((i for i in (*asked, order.voided) if i is not None and _has_figures(report, i)), None)
        if applied is not None:
            order.intent, order.priced_ns, order.voided = applied, event.ts_ns, None
            order.edit = None if applied in asked else edit
        elif edit is not None and event.is_answer and event.ts_ns - edit.unchanged_ns >= ASKS_APART_NS:
            edit.unchanged_ns = event.ts_ns
            edit.times_unchanged += 1
            if edit.times_unchanged >= ASKS_UNTIL_UNCHANGED:
                edit.is_unclear = True  # figures that are neither answer nothing: the question stays open
                if _has_figures(report, order.intent):
                    order.voided, order.edit = edit.intent, None

    def _identify(self, order: TrackedOrder, order_id: str, ts_ns: int) -> None:
        if order.accepted_ns is None:
            order.accepted_ns = order.priced_ns = ts_ns
        order.order_id = order_id
        self._by_venue_id[order_id] = order

    def _move(self, order: TrackedOrder, status: OrderStatus, ts_ns: int) -> None:
        require_transition(order.status, status)
        order.status = status
        if status.is_final:
            order.ended_ns, order.edit = ts_ns, None
            if status is OrderStatus.FAILED and order.guards is not None:
                self.failed_brackets.append(order)
            self._live.pop(order.client_order_id, None)
        else:
            self._live[order.client_order_id] = order

    def _note_unbooked(self, order: TrackedOrder) -> None:
        if order.has_unbooked_fill:
            self._unbooked[order.client_order_id] = order
        else:
            self._unbooked.pop(order.client_order_id, None)


def _has_figures(report: VenueOrder, intent: OrderIntent) -> bool:
    return (report.limit_price, report.size) == (intent.limit_price, intent.size)
