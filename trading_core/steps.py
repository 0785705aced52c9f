"""The steps of the live micro test. Each provokes one effect, waits for it, and records whether it was seen."""

from __future__ import annotations

from decimal import Decimal

from trading_core.clock import NS
from trading_core.desk import Desk
from trading_core.events import SizedDown
from trading_core.money import BPS, ZERO, Notional, plain
from trading_core.moves import (
    ANSWER_WITHIN_S,
    answered,
    away_order,
    away_price,
    beyond_depth,
    cancelled,
    close_position,
    enter_until_filled,
    entry_order,
    traded,
)
from trading_core.order_manager import TrackedOrder
from trading_core.orders import OrderIntent, OrderStatus, OrderType, Purpose, Side
from trading_core.risk import Denial, DenialReason
from trading_core.script import Script, Until
from trading_core.sizing import Depth, SizingMode, size_order
from trading_core.trading_state import TradingState
from trading_core.waiting import HeldStop

AUTO_CANCEL_GRACE_S = 10  # venue seconds after the limit within which the cancel must be confirmed
PNL_TOLERANCE = Decimal("0.000001")  # average cost is a quotient; the rest is exact
CROSSING_REASON = "INVALID_LIMIT_PRICE_POST_ONLY"
# The specification's vector: 100,000 wanted, 50,000 at the touch, 200,000 over ten levels, 10 bps → 59,375.
GOLDEN_DEPTH = Depth(l1=Decimal(50_000), l10=Decimal(200_000))
GOLDEN_TARGET, GOLDEN_LIMIT_BPS, GOLDEN_SIZE = Decimal(100_000), Decimal(10), Decimal(59_375)


def post_only_entry(desk: Desk) -> Script:
    """A post-only order away from the market is accepted and rests; then it is cancelled."""
    placed = [desk.place(away_order(desk, product_id), "post_only_entry") for product_id in traded(desk)]
    orders = [o for o in placed if isinstance(o, TrackedOrder)]
    yield from answered(desk, orders)
    accepted = [o for o in orders if o.status is OrderStatus.OPEN]
    yield from cancelled(desk, orders, "post_only_entry")
    is_shown = len(accepted) == len(placed) > 0
    desk.end_step("post_only_entry", is_shown=is_shown, detail=f"{len(accepted)} of {len(placed)} rested post-only")


def crossing_rejected(desk: Desk) -> Script:
    """A post-only order priced to take is refused by the venue, for that reason."""
    seen: list[str] = []
    for product_id in traded(desk):
        ask = desk.books[product_id].best(Side.SELL)
        if ask is None:
            continue
        # Five bps through the touch, so that it crosses although the market moves while the order travels.
        price = desk.products[product_id].round_price(ask * (1 + 5 / BPS), Side.SELL)
        order = desk.place(entry_order(desk, product_id, price, Purpose.PROBE_CROSSING), "crossing_rejected")
        if isinstance(order, TrackedOrder):
            yield from answered(desk, [order])
            yield from cancelled(desk, [order], "crossing_rejected")
            seen.append(order.reason)
    is_shown = len(seen) == len(traded(desk)) and all(reason == CROSSING_REASON for reason in seen)
    desk.end_step("crossing_rejected", is_shown=is_shown, detail="venue said " + (", ".join(seen) or "nothing"))


def oversize_sized_down(desk: Desk) -> Script:
    """An order far above what depth and caps allow is made smaller, by the one model, before it leaves."""
    golden = size_order(GOLDEN_TARGET, GOLDEN_DEPTH, GOLDEN_LIMIT_BPS, SizingMode.CONSERVATIVE)
    product_id = traded(desk)[0]
    product, price = desk.products[product_id], away_price(desk, product_id)
    wanted = product.size_for(beyond_depth(desk, product_id), price)
    before = len(desk.decisions.records)
    answer = desk.place(entry_order(desk, product_id, price, Purpose.PROBE_OVERSIZE, wanted), "oversize_sized_down")
    was_cut = any(isinstance(record, SizedDown) for record in desk.decisions.records[before:])
    sent = answer.intent.size if isinstance(answer, TrackedOrder) else ZERO
    if isinstance(answer, TrackedOrder):
        yield from answered(desk, [answer])
        yield from cancelled(desk, [answer], "oversize_sized_down")
    is_shown = was_cut and ZERO < sent < wanted and golden.notional == GOLDEN_SIZE
    desk.end_step(
        "oversize_sized_down", is_shown=is_shown,
        detail=f"{plain(wanted)} {product_id} wanted, {plain(sent)} sent; golden vector {plain(golden.notional)}",
        wanted_size=wanted, sent_size=sent, golden_notional=golden.notional,
    )


def auto_cancel(desk: Desk) -> Script:
    """An order that is not filled is cancelled by itself after the plan's time, not earlier and not much later."""
    limit_s = desk.plan.policy.auto_cancel_s
    order = desk.place(away_order(desk, traded(desk)[0]), "auto_cancel")
    if isinstance(order, Denial):
        desk.end_step("auto_cancel", is_shown=False, detail=f"the order was denied: {order.detail}")
        return
    deadline_ns = desk.now_ns + (limit_s + AUTO_CANCEL_GRACE_S + ANSWER_WITHIN_S) * NS
    yield Until(lambda: order.is_final, deadline_ns)
    rested_s = Decimal((order.ended_ns or desk.now_ns) - (order.accepted_ns or desk.now_ns)) / NS
    is_shown = (
        order.status is OrderStatus.CANCELLED and order.cancel_cause == "auto_cancel"
        and limit_s <= rested_s <= limit_s + AUTO_CANCEL_GRACE_S
    )
    detail = f"{order.status} after {rested_s:.1f} s (limit {limit_s} s, cause {order.cancel_cause or 'none'})"
    desk.end_step("auto_cancel", is_shown=is_shown, detail=detail, rested_s=rested_s)


def stop_limit(desk: Desk) -> Script:
    """A stop-limit that does not cross rests for each product and is watched; then cancelled, or captured."""
    resting: dict[str, TrackedOrder] = {}
    held: dict[str, HeldStop] = {}
    for product_id in traded(desk):
        product, mark = desk.products[product_id], desk.mark(product_id)
        if mark is None:
            continue
        distance = desk.plan.protocol.stop_distance_bps / BPS
        stop = product.round_price(mark * (1 + distance), Side.SELL)
        smallest = product.size_for(desk.plan.entry.notional_min, stop)
        size = desk.plan.protocol.stop_test_sizes.get(product_id, smallest)
        intent = OrderIntent(
            product_id=product_id, side=Side.BUY, size=size, purpose=Purpose.PROBE_STOP,
            order_type=OrderType.STOP_LIMIT, stop_price=stop,
            limit_price=product.round_price(stop * (1 + 10 / BPS), Side.SELL),
        )
        order = desk.place_stop(intent, "stop_limit")
        if isinstance(order, TrackedOrder):
            resting[product_id] = order
        elif isinstance(order, HeldStop):
            held[product_id] = order
    yield from answered(desk, list(resting.values()))
    accepted = [p for p, o in resting.items() if o.status in (OrderStatus.OPEN, OrderStatus.FILLED)]
    # Watched while they rest: one that triggers is captured, and what it bought is sold again.
    watch_ns = desk.now_ns + desk.plan.protocol.stop_watch_s * NS
    yield Until(lambda: not held and all(o.is_final for o in resting.values()), watch_ns)
    for local in held.values():
        desk.waiting.drop(desk, local)
    yield from cancelled(desk, list(resting.values()), "stop_limit")
    triggered = [p for p, o in resting.items() if o.booked > 0]
    for product_id in triggered:
        yield from close_position(desk, product_id, "stop_limit", Purpose.EXIT)
    is_shown = {*accepted, *held} == set(traded(desk)) and all(desk.is_dust(p) for p in triggered)
    words = f"accepted for {', '.join(accepted) or 'no product'}; triggered: {', '.join(triggered) or 'none'}"
    words += f"; held by us: {', '.join(held)}" if held else ""
    desk.end_step("stop_limit", is_shown=is_shown, detail=words, triggered=Decimal(len(triggered)))


def entry_and_exit(desk: Desk) -> Script:
    """One round trip: the ledger's realized PnL and fees equal what the fills alone say."""
    product_id = traded(desk)[0]
    yield from close_position(desk, product_id, "entry_and_exit", Purpose.EXIT)
    if desk.ledger is None or not desk.is_dust(product_id):
        desk.end_step("entry_and_exit", is_shown=False, detail="the position could not be closed beforehand")
        return
    books, cost_before, start_ns = desk.ledger, _cost(desk, product_id), desk.now_ns
    realized_before, fees_before = books.realized(product_id), books.fees(product_id)
    yield from enter_until_filled(desk, product_id, "entry_and_exit")
    yield from close_position(desk, product_id, "entry_and_exit", Purpose.EXIT)
    realized, booked = books.realized(product_id) - realized_before, books.fees(product_id) - fees_before
    # Other products may still trade: what guards them is at the venue.
    ours = [o for o in desk.orders.orders.values() if o.intent.product_id == product_id]
    fills = [f for o in ours if o.submitted_ns >= start_ns for f in o.fills]
    bought = sum((f.size for f in fills if f.side is Side.BUY), ZERO)
    sold = sum((f.size for f in fills if f.side is Side.SELL), ZERO)
    flow = sum((-f.side.sign * desk.products[product_id].notional(f.size, f.price) for f in fills), ZERO)
    fees = sum((f.commission for f in fills), ZERO)
    # The cash that the fills moved is what was realized, less what is now tied up at cost.
    gap = flow - realized + (_cost(desk, product_id) - cost_before)
    is_round_trip = bought > 0 and sold > 0 and desk.is_dust(product_id)
    is_shown = is_round_trip and booked == fees and abs(gap) < PNL_TOLERANCE
    detail = f"bought {plain(bought)}, sold {plain(sold)} {product_id}: {flow:.6f} before fees of {fees:.6f}"
    desk.end_step("entry_and_exit", is_shown=is_shown, detail=detail, flow=flow, fees=fees, gap=gap)


def kill_switch_drill(desk: Desk) -> Script:
    """Tightened to reduce-only: new entries refused, resting ones cancelled, an exit accepted, flat in time."""
    product_id = traded(desk)[0]
    yield from enter_until_filled(desk, product_id, "kill_switch_drill")
    resting = desk.place(away_order(desk, product_id), "kill_switch_drill")
    if isinstance(resting, Denial) or desk.is_dust(product_id):
        desk.end_step("kill_switch_drill", is_shown=False, detail="no position and resting entry to drill with")
        return
    yield from answered(desk, [resting])
    start_ns = desk.now_ns
    desk.tighten(TradingState.REDUCE_ONLY, "kill-switch drill")
    refused = desk.place(away_order(desk, product_id, Purpose.PROBE_ENTRY_WHILE_REDUCING), "kill_switch_drill")
    yield Until(lambda: resting.is_final, desk.now_ns + ANSWER_WITHIN_S * NS)
    reduced_s = Decimal(desk.now_ns - start_ns) / NS
    yield from close_position(desk, product_id, "kill_switch_drill", Purpose.PROBE_EXIT_WHILE_REDUCING)
    flat_s = Decimal(desk.now_ns - start_ns) / NS
    was_refused = isinstance(refused, Denial) and refused.reason is DenialReason.REDUCE_ONLY
    limit_s = desk.plan.protocol.drill_flat_within_s
    is_flat = desk.is_dust(product_id) and resting.status is OrderStatus.CANCELLED
    desk.end_step(
        "kill_switch_drill", is_shown=was_refused and is_flat and flat_s <= limit_s,
        detail=f"entry {'refused' if was_refused else 'NOT refused'}, resting entry {resting.status}, "
        f"{'flat' if is_flat else 'NOT flat'} after {flat_s:.1f} s (limit {limit_s} s)",
        time_to_reduce_only_s=reduced_s, time_to_flat_s=flat_s,
    )


def _cost(desk: Desk, product_id: str) -> Notional:
    if desk.ledger is None:
        return ZERO
    held = desk.ledger.position(product_id)
    return desk.products[product_id].notional(held.size, held.average_cost)
