"""When the venue is asked about an order: its outcome is unclear, a request has no effect, or time has passed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trading_core.clock import NS
from trading_core.commands import AskOrder, FetchFills
from trading_core.order_manager import TrackedOrder
from trading_core.orders import OrderStatus

if TYPE_CHECKING:
    from trading_core.desk import Desk

ASK_AGAIN_AFTER_S = 2  # how long to wait before asking about an order of unknown outcome again
CANCEL_AGAIN_AFTER_S = 10  # a cancel that the venue took, or was to take, and that has no effect
ASK_LIVE_EVERY_S = 30  # a resting order is asked about now and then: the user channel may have lost a message


class Inquiries:
    """What one run has asked, and of which orders a crash left the outcome open."""

    def __init__(self) -> None:
        self.unconfirmed: set[str] = set()
        self._asked_ns: dict[str, int] = {}

    def ask(self, desk: Desk, order: TrackedOrder) -> None:
        """Ask what became of the order."""
        self._asked_ns[order.client_order_id] = desk.now_ns
        desk.decisions.commands.append(AskOrder(order.client_order_id, order.order_id))

    def ask_again(self, desk: Desk, order: TrackedOrder, after_s: int) -> None:
        """Ask, unless the last question is less than so many seconds ago."""
        asked_ns = self._asked_ns.setdefault(order.client_order_id, desk.now_ns)
        if desk.now_ns - asked_ns >= after_s * NS:
            self.ask(desk, order)

    def ask_all(self, desk: Desk) -> None:
        """Ask about every order that may still change the position."""
        for order in desk.orders.outstanding():
            self.ask(desk, order)

    def begin_anew(self, desk: Desk) -> None:
        """After a crash: nothing of what was in flight is taken for granted."""
        self.unconfirmed = {order.client_order_id for order in desk.orders.outstanding()}
        self.ask_all(desk)

    def confirm(self, order: TrackedOrder | None) -> None:
        """The venue has spoken of the order: if that settles it, the crash left nothing open."""
        if order is not None and not order.is_unclear:
            self.unconfirmed.discard(order.client_order_id)

    def fetch_missing(self, desk: Desk, order: TrackedOrder | None) -> None:
        """Fetch the fills that the venue has counted and that are not in the ledger."""
        if order is not None and order.has_unbooked_fill:
            desk.decisions.commands.append(FetchFills(order.order_id))

    def advance(self, desk: Desk) -> None:
        """Once a second: tend every live order, and ask for fills that are missing."""
        for order in desk.orders.live():
            self._tend(desk, order)
        for order in desk.orders.unbooked():
            self.ask_again(desk, order, ASK_AGAIN_AFTER_S)

    def _tend(self, desk: Desk, order: TrackedOrder) -> None:
        """Cancel what has rested long enough, ask about what is unclear."""
        cancel_after_s = order.intent.cancel_after_s
        if order.status is OrderStatus.OUTCOME_UNKNOWN or order.client_order_id in self.unconfirmed:
            self.ask_again(desk, order, ASK_AGAIN_AFTER_S)
        elif (
            cancel_after_s is not None and order.priced_ns is not None
            and desk.now_ns - order.priced_ns >= cancel_after_s * NS
        ):
            desk.cancel(order, "auto_cancel")
        if order.status is OrderStatus.CANCEL_REQUESTED:
            self.ask_again(desk, order, ASK_AGAIN_AFTER_S)
            if desk.now_ns - order.cancel_asked_ns >= CANCEL_AGAIN_AFTER_S * NS:
                desk.cancel_again(order)
        elif order.status is OrderStatus.OPEN:
            self.ask_again(desk, order, ASK_LIVE_EVERY_S if order.edit is None else ASK_AGAIN_AFTER_S)
