"""The numbers that the specification fixes, in the plans that ship: each at its edge, below it and beyond it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core_builders import make_product
from tests.desk_builders import Market, make_exit, make_intent, make_plan, make_view
from trading_core.commands import CancelOrder
from trading_core.engine import Engine
from trading_core.guardrails import Readings
from trading_core.orders import OrderStatus, Side
from trading_core.plan import Plan
from trading_core.plan_files import find_plan
from trading_core.risk import DenialReason, review
from trading_core.sizing import Depth, SizingMode, impact_bps, size_order
from trading_core.trading_state import TradingState

PHASE2, STAGE3 = find_plan("phase2"), find_plan("stage3")
_D = DenialReason
LOT, CENT = Decimal("0.00000001"), Decimal("0.01")
CAPS = {
    "BTC-USD": ("0.01", "500"), "ETH-USD": ("0.1", "300"), "SOL-USD": ("10", "100"), "XRP-USD": ("200", "100"),
}

CHEAP = {"BTC-USD": "1000", "ETH-USD": "1000", "SOL-USD": "5", "XRP-USD": "0.4"}


def roomy(plan: Plan) -> Plan:
    """Return the plan with every other limit out of the way: one rule is looked at at a time."""
    wide = {"aggregate_notional_max": Decimal(10**9), "leverage_max": Decimal(10**6)}
    return plan.model_copy(update={"risk": plan.risk.model_copy(update=wide)})


def reason_for(plan: Plan, **changes: Any) -> DenialReason | None:
    """Return why a post-only buy of a thousandth of a coin at $1,000 is refused."""
    intent = make_intent(changes.pop("size", "0.001"), changes.pop("price", "1000"))
    view = make_view(plan, mid="1000", **{"limits": plan.products[0], **changes})
    denial = review(intent, view)
    return None if denial is None else denial.reason


# ── sizes and notionals by symbol ───────────────────────────────────────────────────────────────
@pytest.mark.parametrize(("product_id", "caps"), CAPS.items())
@pytest.mark.parametrize(("step", "reason"), [(-1, None), (0, None), (1, _D.MAX_SIZE)])
def test_the_size_cap_of_a_symbol(
    product_id: str, caps: tuple[str, str], step: int, reason: DenialReason | None
) -> None:
    size = Decimal(caps[0]) + step * LOT
    product, limits = make_product(product_id), STAGE3.limits(product_id)
    price = CHEAP[product_id]  # so that the cap in money does not bind
    denial = review(make_intent(str(size), price, product_id=product_id),
                    make_view(roomy(STAGE3), product, mid=price, limits=limits))
    assert (None if denial is None else denial.reason) == reason


@pytest.mark.parametrize(("product_id", "caps"), CAPS.items())
@pytest.mark.parametrize(("step", "reason"), [(-1, None), (0, None), (1, _D.MAX_NOTIONAL)])
def test_the_notional_cap_of_a_symbol(
    product_id: str, caps: tuple[str, str], step: int, reason: DenialReason | None
) -> None:
    product, limits = make_product(product_id), STAGE3.limits(product_id)
    price = (Decimal(caps[1]) + step * CENT) * 1000
    intent = make_intent("0.001", str(price), product_id=product_id)
    denial = review(intent, make_view(roomy(STAGE3), product, mid=str(price), limits=limits))
    assert (None if denial is None else denial.reason) == reason


# ── the account ─────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("plan", "figure", "below", "edge", "beyond", "reason", "is_refused_at_the_edge"),
    [
        (PHASE2, "day_pnl", "-99.99", "-100", "-100.01", _D.DAILY_LOSS, True),
        (STAGE3, "day_pnl", "-99.99", "-100", "-100.01", _D.DAILY_LOSS, True),
        (PHASE2, "staleness_s", "9.999", "10", "10.001", _D.STALE_BOOK, False),
        (PHASE2, "funding_in_s", 1801, 1800, 1799, _D.PRE_FUNDING_QUIET, False),
        (STAGE3, "margin_utilization", "0.0999", "0.1", "0.1001", _D.MARGIN_UTILIZATION, True),
        (STAGE3, "equity", "1.01", "1", "0.99", _D.LEVERAGE, False),
    ],
)
def test_the_limits_of_the_account(
    plan: Plan, figure: str, below: Any, edge: Any, beyond: Any, reason: DenialReason, is_refused_at_the_edge: bool
) -> None:
    found = [reason_for(plan, **{figure: value}) for value in (below, edge, beyond)]
    assert found == [None, reason if is_refused_at_the_edge else None, reason]


@pytest.mark.parametrize(("plan", "limit"), [(PHASE2, 10), (STAGE3, 50)])
def test_the_impact_limit(plan: Plan, limit: int) -> None:
    assert plan.sizing.impact_bps_max == limit
    depth = Depth(l1=Decimal(50_000), l10=Decimal(200_000))
    edge = size_order(Decimal(10**9), depth, plan.sizing.impact_bps_max, SizingMode.CONSERVATIVE).notional
    for step, is_cut in ((-1, False), (0, False), (1, True)):
        sizing = size_order(edge + step * CENT, depth, plan.sizing.impact_bps_max, SizingMode.CONSERVATIVE)
        assert sizing.is_sized_down is is_cut
        assert impact_bps(sizing.notional, depth) <= limit


@pytest.mark.parametrize(("after_s", "is_cancelled"), [(29, False), (30, True), (31, True)])
def test_an_order_that_rests_thirty_seconds_is_cancelled(after_s: int, is_cancelled: bool) -> None:
    assert (PHASE2.policy.auto_cancel_s, STAGE3.policy.auto_cancel_s) == (30, 30)
    market = Market()
    order = market.open(make_intent(price="49000", cancel_after_s=PHASE2.policy.auto_cancel_s))
    commands = market.tick(after_s).commands
    assert any(isinstance(c, CancelOrder) for c in commands) is is_cancelled
    assert (order.status is OrderStatus.CANCEL_REQUESTED) is is_cancelled


@pytest.mark.parametrize(
    ("metric", "limit", "step"),
    [("drift", "1", "0.01"), ("margin_utilization", "0.50", "0.0001"), ("clock_offset_s", "5", "0.001")],
)
@pytest.mark.parametrize(("side", "trips"), [(-1, False), (0, False), (1, True)])
def test_a_guardrail_trips_beyond_its_limit_only(
    metric: str, limit: str, step: str, side: int, trips: bool
) -> None:
    [guardrail] = [g for g in STAGE3.guardrails if g.metric == metric]
    assert guardrail.limit == Decimal(limit)
    market = Market(make_plan(guardrails=[guardrail.model_dump()]))
    _set(market.engine, metric, Decimal(limit) + side * Decimal(step))
    assert bool(list(market.engine.guardrails.evaluate(Readings(market.engine)))) is trips


def test_what_the_plans_say_is_what_the_specification_says() -> None:
    assert {p.product_id: (str(p.max_size), str(p.max_notional)) for p in STAGE3.products} == CAPS
    assert STAGE3.protocol.stop_distance_bps == 200
    assert {p: str(size) for p, size in STAGE3.protocol.stop_test_sizes.items()} == {
        "BTC-USD": "0.001", "ETH-USD": "0.01", "SOL-USD": "1", "XRP-USD": "20"
    }
    assert 25 <= PHASE2.entry.notional_min <= PHASE2.entry.notional_max <= 100
    limits = {c.name: c for c in STAGE3.criteria}
    assert limits["order_acceptance"].p0 == Decimal("0.95")
    assert limits["place_order_latency_ms"].quantile_limit == 500
    assert limits["retries_per_order"].limit == 2
    assert limits["reconciliation"].limit == CENT
    assert limits["clock_offset_s"].limit == 5
    assert {(t.metric, str(t.limit), t.severity) for t in STAGE3.thresholds} >= {
        ("staleness_s", "30", "WARNING"), ("drift", "1", "ERROR"), ("margin_utilization", "0.20", "WARNING"),
        ("margin_utilization", "0.50", "CRITICAL"),
    }
    assert (STAGE3.rollback.close_all_after_min, STAGE3.rollback.disable_after_min) == (5, 10)


# ── aggregates ──────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("plan", [find_plan(name) for name in ("phase2", "stage3", "stage4", "stage5")],
                         ids=lambda plan: plan.name)
def test_each_limit_of_an_item_has_an_aggregate_that_can_bind(plan: Plan) -> None:
    assert plan.risk.aggregate_notional_max <= sum(p.max_notional for p in plan.products)
    assert plan.entry.notional_max <= plan.risk.aggregate_notional_max <= plan.envelope.aggregate_notional_max
    assert plan.risk.open_orders_max <= plan.risk.orders_per_minute_max


@pytest.mark.parametrize(("others", "reason"), [("499.00", None), ("499", None), ("499.01", _D.AGGREGATE_NOTIONAL)])
def test_symbols_below_their_own_caps_are_refused_together(others: str, reason: DenialReason | None) -> None:
    assert reason_for(STAGE3, aggregate_exposure=others) == reason


# ── exits ───────────────────────────────────────────────────────────────────────────────────────
big = st.decimals("0", "1000000000", places=2)


@given(
    spread=big, exposure=big, equity=big, loss=big, open_orders=st.integers(0, 10**6), sent=st.integers(0, 10**6),
    is_unresolved=st.booleans(), has_twin=st.booleans(), margin=st.decimals("0", "1", places=4),
    funding=st.none() | st.integers(0, 3600), is_long=st.booleans(),
    state=st.sampled_from([TradingState.ACTIVE, TradingState.REDUCE_ONLY]),
)
def test_an_exit_that_reduces_is_never_blocked_by_an_entry_rule(
    spread: Decimal, exposure: Decimal, equity: Decimal, loss: Decimal, open_orders: int, sent: int,
    is_unresolved: bool, has_twin: bool, margin: Decimal, funding: int | None, is_long: bool, state: TradingState,
) -> None:
    view = make_view(
        find_plan("stage4"), spread_bps=spread, aggregate_exposure=exposure, equity=equity, day_pnl=-loss,
        open_orders=open_orders, orders_last_minute=sent, has_unresolved=is_unresolved, has_twin=has_twin,
        margin_utilization=margin, funding_in_s=funding, state=state, position="0.01" if is_long else "-0.01",
    )
    assert review(make_exit(side=Side.SELL if is_long else Side.BUY), view) is None


def _set(engine: Engine, metric: str, value: Decimal) -> None:
    match metric:
        case "drift":
            engine.drift = value
        case "clock_offset_s":
            engine.clock_offset_s = value
        case _:
            engine.desk.margin_utilization = value
