"""Moves that several protocol steps share: place away from the market, wait for answers, cancel, enter, leave."""

from __future__ import annotations

from decimal import Decimal

from trading_core.clock import NS
from trading_core.desk import Desk
from trading_core.money import BPS, ZERO, Bps, Notional, Price, Size
from trading_core.order_manager import TrackedOrder
from trading_core.order_policy import guarded
from trading_core.orders import OrderIntent, OrderStatus, Purpose, Side
from trading_core.plan import BracketDistance
from trading_core.products import Product
from trading_core.script import Script, Until

ANSWER_WITHIN_S = 30  # venue seconds for an acknowledgement, a cancel or an immediate fill to arrive
AWAY_BPS = Decimal(200)  # a price at which nothing is to be filled
ENTRY_TRIES_MAX = 40  # post-only orders at the touch until one is filled
EXIT_TRIES_MAX = 10
RETRY_AFTER_S = 2


def traded(desk: Desk) -> list[str]:
    """Return the ids of the plan's products, in the plan's order."""
    return [p.product_id for p in desk.plan.products]


def passive_price(product: Product, side: Side, touch: Price, offset_bps: Bps) -> Price:
    """Return the price that lies the offset behind the touch of its own side, rounded away from the market."""
    return product.round_price(touch * (1 - side.sign * offset_bps / BPS), side)


def away_price(desk: Desk, product_id: str) -> Price:
    """Return a buying price so far below the market that nothing is to be filled; zero without a book."""
    return desk.products[product_id].round_price((desk.mark(product_id) or ZERO) * (1 - AWAY_BPS / BPS), Side.BUY)


def away_order(desk: Desk, product_id: str, purpose: Purpose = Purpose.ENTRY) -> OrderIntent:
    """Return a small post-only buy far below the market."""
    return entry_order(desk, product_id, away_price(desk, product_id), purpose)


def entry_order(
    desk: Desk, product_id: str, price: Price, purpose: Purpose, size: Size | None = None
) -> OrderIntent:
    """Return a post-only buy with the plan's auto-cancel; of the plan's smallest notional unless a size is given."""
    product = desk.products[product_id]
    if size is None:
        # One increment more, for rounding down must not fall below the plan's minimum.
        size = product.size_for(desk.plan.entry.notional_min, price) + product.base_increment if price else ZERO
    return OrderIntent(
        product_id=product_id, side=Side.BUY, size=size, limit_price=price, purpose=purpose, post_only=True,
        cancel_after_s=desk.plan.policy.auto_cancel_s,
    )


def beyond_depth(desk: Desk, product_id: str) -> Notional:
    """Return a notional that the impact limit must cut: the plan's, and at least twice what ten levels hold."""
    return max(desk.plan.protocol.oversize_notional, 2 * desk.depth(product_id, Side.BUY).l10)


def answered(desk: Desk, orders: list[TrackedOrder]) -> Script:
    """Wait until the venue has answered each order."""
    waiting = (OrderStatus.SUBMITTED, OrderStatus.OUTCOME_UNKNOWN)
    yield Until(
        lambda: all(o.status not in waiting for o in orders), desk.now_ns + ANSWER_WITHIN_S * NS
    )


def cancelled(desk: Desk, orders: list[TrackedOrder], cause: str) -> Script:
    """Cancel the orders and wait until they have ended and their fills are booked."""
    for order in orders:
        desk.cancel(order, cause)
    yield Until(lambda: _are_settled(orders), desk.now_ns + ANSWER_WITHIN_S * NS)


def enter_until_filled(
    desk: Desk, product_id: str, cause: str, guard: BracketDistance | None = None
) -> Script:
    """Buy post-only near the touch, again and again, until there is a position that the venue lets anybody sell."""
    for _ in range(ENTRY_TRIES_MAX):
        bid = desk.books[product_id].best(Side.BUY)
        if bid is not None:
            price = passive_price(desk.products[product_id], Side.BUY, bid, desk.plan.entry.offset_bps)
            intent = entry_order(desk, product_id, price, Purpose.ENTRY)
            if guard is not None:
                intent = guarded(desk.products[product_id], intent, guard)
            yield from place_and_wait(desk, intent, cause)
        else:
            yield Until(lambda: False, desk.now_ns + RETRY_AFTER_S * NS)
        if not desk.is_dust(product_id):
            return


def place_and_wait(desk: Desk, intent: OrderIntent, cause: str) -> Script:
    """Place the order, wait until it is filled or has rested as long as the plan lets it, and cancel what is left."""
    order = desk.place(intent, cause)
    if not isinstance(order, TrackedOrder):
        yield Until(lambda: False, desk.now_ns + RETRY_AFTER_S * NS)
        return
    yield from answered(desk, [order])
    yield Until(lambda: _are_settled([order]), desk.now_ns + desk.plan.policy.auto_cancel_s * NS)
    yield from cancelled(desk, [order], cause)


def close_position(desk: Desk, product_id: str, cause: str, purpose: Purpose) -> Script:
    """Cancel what rests in the product and sell out with reducing limit IOCs, until only dust is left."""
    yield from cancelled(desk, desk.orders.live(product_id), cause)
    for _ in range(EXIT_TRIES_MAX):
        if desk.is_dust(product_id):
            return
        order = desk.exit(product_id, purpose, cause)
        if isinstance(order, TrackedOrder):
            yield Until(lambda order=order: _are_settled([order]), desk.now_ns + ANSWER_WITHIN_S * NS)  # type: ignore[misc]
        else:
            yield Until(lambda: False, desk.now_ns + RETRY_AFTER_S * NS)


def _are_settled(orders: list[TrackedOrder]) -> bool:
    return all(o.is_final and not o.has_unbooked_fill for o in orders)
