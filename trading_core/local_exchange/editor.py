"""Edits of resting orders: applied at once, or queued when the fault plan makes them late."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from functools import partial

from msgspec import structs

from trading_core.clock import NS
from trading_core.local_exchange.catalogue import Listing
from trading_core.local_exchange.desk import Desk
from trading_core.local_exchange.editing import EditRequest, check_edit, refused
from trading_core.local_exchange.intake import Intake
from trading_core.local_exchange.model import Edit, EditResult, ExchangeOrder, WireStatus
from trading_core.local_exchange.timeline import Timeline
from trading_core.money import ZERO, Price

EDITS_KEPT = 5


class Editor:
    """Answers edits and applies them. A queued edit that the market has overtaken lapses: the order stays as it was."""

    def __init__(
        self, listings: Mapping[str, Listing], desk: Desk, intake: Intake, timeline: Timeline,
        last_price: Callable[[str], Price],
    ) -> None:
        self._listings = listings
        self._desk = desk
        self._intake = intake
        self._timeline = timeline
        self._last_price = last_price
        self._edits = 0

    def edit(self, account_id: str, order_id: str, change: EditRequest) -> EditResult:
        """Accept the edit and apply it, now or as late as the fault plan wants it."""
        answer = self.preview(account_id, order_id, change)
        if not answer.success:
            return answer
        order, faults = self._desk.orders[order_id], self._intake.config.faults
        edit = Edit(change.price, change.size, self._desk.now_ns)
        self._edits += 1
        if not faults.edit_delay_ms:
            self._apply(order, edit, change)
            return answer
        self._desk.queue_edit(order, edit)
        if faults.hits("edit_meets_fill", self._edits, faults.edit_meets_fill_share):
            self._desk.meet(order)
        due_ns = self._desk.now_ns + faults.edit_delay_ms * NS // 1_000
        self._timeline.at(due_ns, partial(self._apply_queued, order, edit, change))
        return answer

    def preview(self, account_id: str, order_id: str, change: EditRequest) -> EditResult:
        """Tell what `edit` would answer, changing nothing."""
        found = self._desk.orders.get(order_id)
        order = found if found is not None and found.account_id == account_id else None
        listing = None if order is None else self._listings[order.request.product_id]
        last = ZERO if order is None else self._last_price(order.request.product_id)
        answer = check_edit(order, listing, change, last)
        if not answer.success or order is None:
            return answer
        changed = copy(order)
        changed.limit_price, changed.size = change.price, change.size
        if change.stop_price is not None:
            changed.request = structs.replace(order.request, stop_price=change.stop_price)
        walk = self._desk.walk(changed)
        if order.request.post_only and (walk.slices or walk.meets_own):
            return refused("INVALID_EDITED_PRICE", "PREVIEW_INVALID_LIMIT_PRICE_POST_ONLY")
        short = self._desk.required_hold(changed) - order.hold > self._intake.free(changed)
        if short:
            return refused("COMMANDER_REJECTED_EDIT_ORDER", "PREVIEW_INSUFFICIENT_FUND")
        return answer

    # ── details ─────────────────────────────────────────────────────────────────────────────────
    def _apply_queued(self, order: ExchangeOrder, edit: Edit, change: EditRequest) -> None:
        if order.status is not WireStatus.EDIT_QUEUED or order.pending_edit is not edit:
            return  # it was filled or cancelled meanwhile
        self._desk.queue_edit(order, None)
        if self.preview(order.account_id, order.order_id, change).success:
            self._apply(order, edit, change)

    def _apply(self, order: ExchangeOrder, edit: Edit, change: EditRequest) -> None:
        order.edits = (*order.edits, edit)[-EDITS_KEPT:]
        if change.cancels_attached:
            self._desk.end(self._desk.orders[order.attached_order_id], WireStatus.CANCELLED, "cancelled by an edit")
        elif change.attached is not None:
            self._desk.guard_differently(order, change.attached)
        self._desk.replace(order, change.price, change.size, change.stop_price)
