"""Orders that are not to leave yet: those that replace another one, and stops that we hold ourselves.

A replacement leaves once the order before it has ended and all its fills are booked, so that at no time both can
fill. A stop is held here only for a product whose stops the venue does not take.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from trading_core.events import LocalStopChanged, OrderReplaced
from trading_core.money import ZERO, Price
from trading_core.order_manager import TrackedOrder
from trading_core.orders import OrderIntent, OrderType, TimeInForce
from trading_core.risk import Denial, DenialReason

if TYPE_CHECKING:
    from trading_core.desk import Desk

HELD_STOPS_MAX = 100  # more than the orders that any plan lets rest


@dataclass(frozen=True, slots=True)
class HeldStop:
    """A stop that we hold; it leaves as a limit order when the middle of the book reaches its stop price."""

    stop_id: str
    intent: OrderIntent
    source: str

    def is_reached(self, mark: Price) -> bool:
        """Tell whether the mark is at or beyond the stop price: above it for a buy, below it for a sell."""
        stop = self.intent.stop_price
        return stop is not None and (mark - stop) * self.intent.side.sign >= 0


class Waiting:
    """What waits at one desk."""

    def __init__(self) -> None:
        self.stops: dict[str, HeldStop] = {}
        self._next: dict[str, tuple[TrackedOrder, OrderIntent, str]] = {}
        self._held = 0

    def replace(self, desk: Desk, order: TrackedOrder, intent: OrderIntent, source: str) -> None:
        """Cancel the order and place the intent after its end, less what the order was filled until then."""
        desk.record(
            OrderReplaced(ts_ns=desk.now_ns, client_order_id=order.client_order_id, intent=intent, source=source)
        )
        self._next[order.client_order_id] = (order, intent, source)
        desk.cancel(order, "replace")

    def requote(self, desk: Desk, order: TrackedOrder, intent: OrderIntent, source: str) -> None:
        """Let the resting order become the intent at the venue if an edit can do it, else replace the order.

        An edit keeps the order's kind and never makes it larger: what was filled of it is not quoted again.
        """
        asked = _as_edit(desk, order, intent)
        if asked is None or desk.edit(order, asked, source) is not None:
            self.replace(desk, order, intent, source)

    def is_changing(self, order: TrackedOrder) -> bool:
        """Tell whether the order is about to make way for another one, or to be another one."""
        return self.is_replaced(order) or order.edit is not None

    def is_replaced(self, order: TrackedOrder) -> bool:
        """Tell whether another order waits for the end of this one."""
        return order.client_order_id in self._next

    def hold(self, desk: Desk, intent: OrderIntent, source: str) -> HeldStop | Denial:
        """Hold a stop; it is reviewed like every order when it leaves."""
        if len(self.stops) >= HELD_STOPS_MAX:
            return Denial(DenialReason.OPEN_ORDERS, f"{len(self.stops)} stops are held (limit {HELD_STOPS_MAX})")
        self._held += 1
        stop = HeldStop(f"{desk.order_prefix}-h{self._held:05d}", intent, source)
        self.stops[stop.stop_id] = stop
        _tell(desk, stop, "HELD")
        return stop

    def drop(self, desk: Desk, stop: HeldStop) -> None:
        """Give a held stop up."""
        if self.stops.pop(stop.stop_id, None) is not None:
            _tell(desk, stop, "DROPPED")

    def clear(self, desk: Desk) -> None:
        """Give everything up: whoever leaves places nothing new."""
        self._next.clear()
        for stop in list(self.stops.values()):
            self.drop(desk, stop)

    def advance(self, desk: Desk) -> None:
        """Place what need not wait any longer."""
        for name, (order, intent, source) in list(self._next.items()):
            if not order.is_final:
                desk.cancel(order, "replace")  # it could not be asked for before
            elif not order.has_unbooked_fill:
                del self._next[name]
                left = msgspec.structs.replace(intent, size=max(intent.size - order.booked, ZERO))
                if left.size >= desk.products[intent.product_id].base_min_size:
                    desk.place(left, source)
        for stop in list(self.stops.values()):
            mark = desk.mark(stop.intent.product_id)
            if mark is not None and stop.is_reached(mark):
                del self.stops[stop.stop_id]
                _tell(desk, stop, "TRIGGERED")
                desk.place(
                    msgspec.structs.replace(stop.intent, order_type=OrderType.LIMIT, stop_price=None), stop.source
                )


def _as_edit(desk: Desk, order: TrackedOrder, intent: OrderIntent) -> OrderIntent | None:
    """Return the whole order as an edit would leave it; None if the venue cannot make the intent of it."""
    before = order.intent
    asked = msgspec.structs.replace(
        before, limit_price=intent.limit_price, size=min(before.size, order.filled + intent.size),
    )
    is_alike = msgspec.structs.replace(intent, size=asked.size, signal_id=before.signal_id) == asked
    is_plain = (before.order_type, before.time_in_force) == (OrderType.LIMIT, TimeInForce.GTC)
    is_guarded = desk.policies[intent.product_id].shape(intent).attached is not None
    is_editable = order.is_cancellable and order.edit is None and not order.is_edit_refused
    is_allowed = is_editable and intent.product_id not in desk.orders.uneditable
    is_possible = is_allowed and is_plain and is_alike and not is_guarded and asked.size > order.filled
    return asked if is_possible and asked != before else None


def _tell(desk: Desk, stop: HeldStop, change: str) -> None:
    mark = desk.last_mark(stop.intent.product_id) or ZERO
    desk.record(
        LocalStopChanged(ts_ns=desk.now_ns, stop_id=stop.stop_id, change=change, intent=stop.intent, mark=mark)  # type: ignore[arg-type]  # one of its three
    )
