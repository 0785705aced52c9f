"""Steps of the larger rungs: the size itself, brackets at the venue, one symbol after the other made reduce-only."""

from __future__ import annotations

from collections.abc import Generator
from decimal import Decimal

from trading_core.clock import NS
from trading_core.desk import Desk
from trading_core.events import DRILL
from trading_core.money import BPS, ZERO, Size
from trading_core.moves import (
    ANSWER_WITHIN_S,
    ENTRY_TRIES_MAX,
    answered,
    away_order,
    cancelled,
    close_position,
    enter_until_filled,
    entry_order,
    passive_price,
    place_and_wait,
    traded,
)
from trading_core.order_manager import TrackedOrder
from trading_core.orders import OrderIntent, OrderStatus, OrderType, Purpose, Side, TimeInForce
from trading_core.plan import BracketDistance
from trading_core.risk import Denial, DenialReason
from trading_core.script import Script, Until
from trading_core.trading_state import TradingState

SIZE_REACHED = Decimal("0.95")  # of the target: the rest may be below what a piece may be
TAKING_BPS = Decimal(20)  # how far through the touch an order is priced that is to fill at once


def bracket(desk: Desk) -> Script:
    """An entry leaves with its bracket, the venue shows the bracket; then both are closed, or it was triggered."""
    shown: dict[str, str] = {}
    far = desk.plan.protocol.stop_distance_bps
    guard = desk.plan.policy.bracket or BracketDistance(take_profit_bps=far, stop_loss_bps=far)
    for product_id in traded(desk):
        yield from enter_until_filled(desk, product_id, "bracket", guard)
        legs = [leg for leg in desk.orders.live(product_id) if leg.guards is not None]
        yield Until(lambda legs=legs: all(leg.reported_ns for leg in legs), desk.now_ns + ANSWER_WITHIN_S * NS)  # type: ignore[misc]
        seen = [leg for leg in legs if leg.reported_ns]
        yield from close_position(desk, product_id, "bracket", Purpose.EXIT)
        if seen:
            was_triggered = any(leg.status is OrderStatus.FILLED for leg in seen)
            shown[product_id] = f"{product_id} {'triggered' if was_triggered else 'rested and was cancelled'}"
    is_shown = set(shown) == set(traded(desk)) and all(desk.is_dust(p) for p in traded(desk))
    desk.end_step("bracket", is_shown=is_shown, detail="; ".join(shown.values()) or "no bracket was seen")


def size_step(desk: Desk) -> Script:
    """One symbol after the other is built to the rung's size in pieces that the depth carries, and closed again."""
    shown: dict[str, Decimal] = {}
    pieces = 0
    for product_id in traded(desk):  # the aggregate holds one symbol at full size, and nothing beside it
        yield from close_position(desk, product_id, "size_step", Purpose.EXIT)
    for product_id in traded(desk):
        target = size_target(desk, product_id)
        largest = ZERO
        for _ in range(ENTRY_TRIES_MAX):
            left = target - desk.position(product_id)
            bid = desk.books[product_id].best(Side.BUY)
            if largest >= target * SIZE_REACHED or bid is None:
                break
            price = passive_price(desk.products[product_id], Side.BUY, bid, desk.plan.entry.offset_bps)
            piece = entry_order(desk, product_id, price, Purpose.ENTRY, desk.products[product_id].round_size(left))
            pieces += 1
            yield from place_and_wait(desk, piece, "size_step")
            largest = max(largest, desk.position(product_id))
        shown[product_id] = largest / target if target else ZERO
        yield from close_position(desk, product_id, "size_step", Purpose.EXIT)
    is_shown = bool(shown) and all(share >= SIZE_REACHED for share in shown.values())
    detail = ", ".join(f"{name} {share:.0%}" for name, share in shown.items())
    desk.end_step(
        "size_step", is_shown=is_shown, detail=f"of the target: {detail}; in {pieces} pieces",
        pieces=Decimal(pieces), smallest_share=min(shown.values(), default=ZERO),
    )


def size_target(desk: Desk, product_id: str) -> Size:
    """Return the symbol's size: what the plan's amount of its first product is worth, within the symbol's caps."""
    first, limits = traded(desk)[0], desk.plan.limits(product_id)
    mark, own = desk.mark(first), desk.mark(product_id)
    if mark is None or own is None or limits is None:
        return ZERO
    worth = min(desk.products[first].notional(desk.plan.protocol.size_step, mark), limits.max_notional)
    return min(desk.products[product_id].size_for(worth, own), limits.max_size)


def reduce_only_transition(desk: Desk) -> Script:
    """Each symbol but the first, which the kill switch drills, goes reduce-only with a position and an order resting.

    Nothing here loosens a state again: the symbol takes no entry for the rest of the run.
    """
    seen: list[str] = []
    slowest = ZERO
    symbols = traded(desk)[1:]
    for product_id in symbols:
        is_shown, start_ns = yield from _tighten_one(desk, product_id)
        flat_s = Decimal(desk.now_ns - start_ns) / NS
        slowest = max(slowest, flat_s)
        if is_shown and flat_s <= desk.plan.protocol.drill_flat_within_s:
            seen.append(product_id)
    desk.end_step(
        "reduce_only_transition", is_shown=bool(symbols) and seen == symbols,
        detail=f"refused entries, let exits through and went flat: {', '.join(seen) or 'no symbol'}; slowest "
        f"{slowest:.1f} s (limit {desk.plan.protocol.drill_flat_within_s} s)",
        slowest_flat_s=slowest,
    )


def _tighten_one(desk: Desk, product_id: str) -> Generator[Until, None, tuple[bool, int]]:
    """Drill one symbol; return whether all effects were seen, and when it was tightened."""
    cause = "reduce_only_transition"
    yield from enter_until_filled(desk, product_id, cause)
    resting = desk.place(away_order(desk, product_id), cause)
    if isinstance(resting, Denial) or desk.is_dust(product_id):
        return False, desk.now_ns
    yield from answered(desk, [resting])
    if desk.state_of(product_id) is not TradingState.ACTIVE:  # tightened meanwhile: what is refused now shows nothing
        return False, desk.now_ns
    start_ns = desk.now_ns
    desk.tighten_symbol(product_id, DRILL)
    refused = desk.place(away_order(desk, product_id, Purpose.PROBE_ENTRY_WHILE_REDUCING), cause)
    yield Until(lambda: resting.is_final, desk.now_ns + ANSWER_WITHIN_S * NS)
    yield from close_position(desk, product_id, cause, Purpose.PROBE_EXIT_WHILE_REDUCING)
    was_refused = isinstance(refused, Denial) and refused.reason is DenialReason.REDUCE_ONLY
    return was_refused and desk.is_dust(product_id) and resting.status is OrderStatus.CANCELLED, start_ns


def order_types(desk: Desk) -> Script:
    """Fill-or-kill in, a bracket of its own on what was bought, immediate-or-cancel out: what no other step sends."""
    product_id = traded(desk)[0]
    yield from close_position(desk, product_id, "order_types", Purpose.EXIT)
    sent = [desk.place(_taking(desk, product_id), "order_types")]
    yield from answered(desk, [o for o in sent if isinstance(o, TrackedOrder)])
    yield Until(lambda: not desk.is_dust(product_id), desk.now_ns + ANSWER_WITHIN_S * NS)
    # What the venue guards already it holds: its own bracket goes before ours can be placed.
    yield from cancelled(desk, desk.orders.live(product_id), "order_types")
    sent.append(desk.place(_standing_bracket(desk, product_id), "order_types"))
    yield from answered(desk, [o for o in sent if isinstance(o, TrackedOrder)])
    yield from close_position(desk, product_id, "order_types", Purpose.EXIT)
    orders = [o for o in sent if isinstance(o, TrackedOrder) and o.accepted_ns is not None]
    names = [f"{o.intent.order_type} {o.intent.time_in_force}" for o in orders]
    is_shown = len(orders) == len(sent) and desk.is_dust(product_id)
    refused = [o.detail for o in sent if isinstance(o, Denial)]
    desk.end_step(
        "order_types", is_shown=is_shown, detail=f"taken: {', '.join(names) or 'none'}" + "".join(refused)
    )


def _taking(desk: Desk, product_id: str) -> OrderIntent:
    product, mark = desk.products[product_id], desk.mark(product_id) or ZERO
    price = product.round_price(mark * (1 + TAKING_BPS / BPS), Side.SELL)
    size = product.size_for(desk.plan.entry.notional_min, price) + product.base_increment if price else ZERO
    return OrderIntent(
        product_id=product_id, side=Side.BUY, size=size, limit_price=price, purpose=Purpose.ENTRY,
        time_in_force=TimeInForce.FOK,
    )


def _standing_bracket(desk: Desk, product_id: str) -> OrderIntent:
    product, mark = desk.products[product_id], desk.mark(product_id) or ZERO
    distance = desk.plan.protocol.stop_distance_bps / BPS
    return OrderIntent(
        product_id=product_id, side=Side.SELL, size=product.round_size(desk.position(product_id)),
        limit_price=product.round_price(mark * (1 + distance), Side.SELL),
        stop_price=product.round_price(mark * (1 - distance), Side.BUY),
        purpose=Purpose.EXIT, order_type=OrderType.BRACKET, reduce_only=True,
    )

