"""The size at which an intent may leave: what the impact limit and the product's caps allow of it."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from trading_core.events import SizedDown
from trading_core.money import ZERO, Price, Size
from trading_core.orders import OrderIntent, Purpose
from trading_core.sizing import SizingMode, size_order

if TYPE_CHECKING:
    from trading_core.desk import Desk


def allowed_size(desk: Desk, intent: OrderIntent, signal_id: str) -> OrderIntent:
    """Return the intent at the size that impact limit and caps allow, and record each cut; exits keep theirs."""
    mark = desk.mark(intent.product_id)
    if mark is None or desk.is_exit(intent) or desk.view(intent).is_reducing(intent):
        return intent
    product, mode = desk.products[intent.product_id], desk.plan.sizing.mode
    price = intent.limit_price or mark
    wanted = product.notional(intent.size, price)
    limit_bps = desk.plan.sizing.impact_bps_max
    sizing = size_order(wanted, desk.depth(intent.product_id, intent.side), limit_bps, mode)
    if sizing.is_sized_down:
        smaller = msgspec.structs.replace(intent, size=product.size_for(sizing.notional, price))
        _record(desk, intent, smaller, signal_id, "impact_bps_max", sizing.impact_bps)
        intent = smaller
    room, limit_name = _room(desk, intent, price), "product_cap"
    largest = product.size_for(desk.plan.entry.notional_max, price)
    if intent.purpose is Purpose.PROBE_OVERSIZE and largest < room:
        room, limit_name = largest, "entry_notional_max"  # what a probe sends is no larger than an entry
    if intent.size > room and mode is not SizingMode.STRICT:
        smaller = msgspec.structs.replace(intent, size=room)
        _record(desk, intent, smaller, signal_id, limit_name, sizing.impact_bps)
        intent = smaller
    return intent


def _room(desk: Desk, intent: OrderIntent, price: Price) -> Size:
    """Return the size that the product's own caps still leave."""
    limits, product = desk.plan.limits(intent.product_id), desk.products[intent.product_id]
    if limits is None:
        return intent.size
    held, view = abs(desk.position(intent.product_id)), desk.view(intent)
    resting = view.resting_entry_size
    used = product.notional(held, view.mid or price) + product.notional(resting, price)
    by_notional = product.size_for(max(limits.max_notional - used, ZERO), price)
    return product.round_size(max(min(limits.max_size - held - resting, by_notional), ZERO))


def _record(
    desk: Desk, before: OrderIntent, after: OrderIntent, signal_id: str, limit_name: str, impact: Decimal
) -> None:
    product, book = desk.products[before.product_id], desk.books[before.product_id]
    price = before.limit_price or desk.mark(before.product_id) or ZERO
    depth = desk.depth(before.product_id, before.side)
    desk.record(
        SizedDown(
            ts_ns=desk.now_ns,
            signal_id=signal_id,
            product_id=before.product_id,
            side=before.side,
            original_size=before.size,
            adjusted_size=after.size,
            original_notional=product.notional(before.size, price),
            adjusted_notional=product.notional(after.size, price),
            limit_name=limit_name,
            impact_limit_bps=desk.plan.sizing.impact_bps_max,
            model_impact_bps=impact,
            realized_impact_bps=book.realized_impact_bps(before.side, after.size) if after.size else None,
            depth_l1=depth.l1,
            depth_l10=depth.l10,
            spread_bps=book.spread_bps() or ZERO,
        )
    )
