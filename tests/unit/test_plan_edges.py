"""Every limit that a shipped plan sets, at its edge, one step inside and one step beyond: whatever the plan says."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

import pytest

from tests.core_builders import make_future
from tests.desk_builders import Market, make_intent, make_view
from tests.unit.gate_fixtures import good_observation, make_context, make_ref
from trading_core.alerts import Alerts, rules_of
from trading_core.clock import NS
from trading_core.engine import Engine
from trading_core.events import AlertRaised, GuardrailTripped
from trading_core.gate.criteria import evaluate
from trading_core.gate.outcomes import Outcome
from trading_core.guardrails import Guardrails, Readings
from trading_core.plan import Criterion, Guardrail, Kind, Plan
from trading_core.plan_files import find_plan, plan_names
from trading_core.risk import DenialReason, review

PLANS = [find_plan(name) for name in plan_names()]
_D = DenialReason
BIG = Decimal(10**12)
# The smallest step of each metric; what counts, counts in ones.
STEPS = {"daily_loss": "0.01", "drift": "0.01", "staleness_s": "0.001", "margin_utilization": "0.0001",
         "clock_offset_s": "0.001"}
LEVELS = ("WARNING", "DANGER")


class Edge(NamedTuple):
    """A limit of the risk section: what is looked at, the value at the limit, a step towards refusal."""

    figure: str
    at: Decimal
    step: Decimal
    reason: DenialReason
    is_refused_at: bool


def edges_of(plan: Plan) -> Iterator[Edge]:
    """Yield the limits for a buy of a thousandth of a coin at $1,000, which is worth a dollar."""
    risk, cent = plan.risk, Decimal("0.01")
    yield Edge("aggregate_exposure", risk.aggregate_notional_max - 1, cent, _D.AGGREGATE_NOTIONAL, False)
    yield Edge("equity", 1 / risk.leverage_max, -cent, _D.LEVERAGE, False)
    yield Edge("day_pnl", -risk.daily_loss_max, -cent, _D.DAILY_LOSS, True)
    yield Edge("open_orders", Decimal(risk.open_orders_max), Decimal(1), _D.OPEN_ORDERS, True)
    yield Edge("orders_last_minute", Decimal(risk.orders_per_minute_max), Decimal(1), _D.ORDERS_PER_MINUTE, True)
    yield Edge("spread_bps", risk.spread_bps_max, cent, _D.SPREAD_TOO_WIDE, False)
    yield Edge("staleness_s", risk.stale_after_s, Decimal("0.001"), _D.STALE_BOOK, False)
    yield Edge("funding_in_s", Decimal(risk.pre_funding_quiet_s), Decimal(-1), _D.PRE_FUNDING_QUIET, False)
    yield Edge("margin_utilization", risk.margin_utilization_max, Decimal("0.0001"), _D.MARGIN_UTILIZATION, True)


def reason_of(plan: Plan, size: str = "0.001", price: str = "1000", **changes: Any) -> DenialReason | None:
    """Return why the order is refused where nothing but the changed figures is near a limit."""
    open_policy = plan.policy.model_copy(update={"is_entry_post_only": False, "bracket": None})
    fields: dict[str, Any] = {
        "mid": Decimal(1000), "equity": BIG, "policy": open_policy, "limits": plan.products[0], "margin_free": BIG,
    }
    view = make_view(plan, **{**fields, **changes})
    denial = review(make_intent(size, price, product_id=view.product.product_id), view)
    return None if denial is None else denial.reason


@pytest.mark.parametrize(
    ("plan", "edge"), [(plan, edge) for plan in PLANS for edge in edges_of(plan)],
    ids=lambda x: x.name if isinstance(x, Plan) else x.figure,
)
def test_a_risk_limit(plan: Plan, edge: Edge) -> None:
    values: list[dict[str, Any]] = [{edge.figure: edge.at + side * edge.step} for side in (-1, 0, 1)]
    found = [reason_of(plan, **changes) for changes in values]
    assert found == [None, edge.reason if edge.is_refused_at else None, edge.reason]


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
def test_the_price_collar(plan: Plan) -> None:
    edge = 1000 * (1 + plan.risk.price_collar_bps / 10_000)
    found = [reason_of(plan, price=str(edge + cents * Decimal("0.01"))) for cents in (-1, 0, 1)]
    assert found == [None, None, _D.PRICE_COLLAR]


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
def test_the_margin_buffer(plan: Plan) -> None:
    future = make_future()  # a contract at $10,000 is worth $100
    free = [plan.risk.margin_buffer_min + 100 + cents * Decimal("0.01") for cents in (1, 0, -1)]
    roomy = plan.products[0].model_copy(update={"max_size": BIG, "max_notional": BIG})
    found = [
        reason_of(plan, "1", "10000", product=future, mid=Decimal(10_000), limits=roomy, margin_free=figure)
        for figure in free
    ]
    assert found == [None, None, _D.MARGIN_BUFFER]


@pytest.mark.parametrize(
    ("plan", "product_id"), [(plan, limits.product_id) for plan in PLANS for limits in plan.products],
    ids=lambda x: x if isinstance(x, str) else x.name,
)
def test_the_caps_of_each_symbol(plan: Plan, product_id: str) -> None:
    limits = plan.limits(product_id)
    assert limits is not None
    roomy = plan.model_copy(update={"risk": plan.risk.model_copy(update={"aggregate_notional_max": BIG})})
    lot, cent = Decimal("0.00000001"), Decimal("0.01")
    price = (limits.max_notional / limits.max_size / 2).quantize(cent)
    sizes = [reason_of(roomy, str(limits.max_size + n * lot), str(price), mid=price, limits=limits) for n in (-1, 0, 1)]
    assert sizes == [None, None, _D.MAX_SIZE]
    worth = [(limits.max_notional + n * cent) * 10_000 for n in (-1, 0, 1)]
    notionals = [reason_of(roomy, "0.0001", str(p), mid=p, limits=limits) for p in worth]
    assert notionals == [None, None, _D.MAX_NOTIONAL]


# ── what is watched ─────────────────────────────────────────────────────────────────────────────
def market_with(metric: str, value: Decimal) -> Market:
    """Return a quiet market in which the metric has the value."""
    market = Market()
    _set(market.engine, metric, value)
    return market


def _set(engine: Engine, metric: str, value: Decimal) -> None:
    desk = engine.desk
    match metric:
        case "daily_loss":
            desk.day_start_pnl = desk.pnl() + value
        case "drift":
            engine.drift = value
        case "staleness_s":
            desk.book_seen_ns = {"BTC-USD": desk.now_ns - int(value * NS)}
        case "margin_utilization":
            desk.margin_utilization = value
        case "margin_call":
            desk.margin.level = LEVELS[int(value)]
        case "rate_limit_errors":
            engine.failures["RateLimited"] = int(value)
        case "unexpected_rejections":
            engine.unexpected_rejections = int(value)
        case "consecutive_rejections":
            engine.rejections_in_a_row["BTC-USD"] = int(value)
        case "unresolved_orders":
            engine.strays = int(value)
        case "clock_offset_s":
            engine.clock_offset_s = value
        case _:
            raise AssertionError(f"nobody knows how to set {metric}")


def around(metric: str, limit: Decimal) -> list[tuple[Decimal, bool]]:
    """Return values around a limit, and whether they are beyond it; a count is never below zero."""
    step = Decimal(STEPS.get(metric, "1"))
    return [(limit + side * step, side > 0) for side in (-1, 0, 1) if limit + side * step >= 0]


@pytest.mark.parametrize(
    ("plan", "guardrail"), [(plan, guardrail) for plan in PLANS for guardrail in plan.guardrails],
    ids=lambda x: x.name,
)
def test_a_guardrail(plan: Plan, guardrail: Guardrail) -> None:
    for value, is_beyond in around(guardrail.metric, guardrail.limit):
        engine = market_with(guardrail.metric, value).engine
        trips = [trip for trip in Guardrails(plan.guardrails).evaluate(Readings(engine)) if trip.name == guardrail.name]
        assert [(type(trip), trip.state) for trip in trips] == [(GuardrailTripped, guardrail.tightens_to)] * is_beyond


@pytest.mark.parametrize(
    ("plan", "name"),
    [(plan, rule.name) for plan in PLANS for rule in rules_of(plan) if rule.metric != "checkpoint_overdue_s"],
    ids=lambda x: x if isinstance(x, str) else x.name,
)
def test_an_alert(plan: Plan, name: str) -> None:
    rule = next(rule for rule in rules_of(plan) if rule.name == name)
    for value, is_beyond in around(rule.metric, rule.limit):
        engine = market_with(rule.metric, value).engine
        raised = [r for r in Alerts(plan).evaluate(Readings(engine)) if isinstance(r, AlertRaised) and r.name == name]
        assert [alert.severity for alert in raised] == [rule.severity] * is_beyond


# ── what is judged ──────────────────────────────────────────────────────────────────────────────
def judged(plan: Plan, *kinds: Kind) -> list[tuple[Plan, Criterion]]:
    """Return the criteria of these kinds that have a limit."""
    return [(plan, c) for c in plan.criteria if c.kind in kinds and c.limit is not None]


@pytest.mark.parametrize(
    ("plan", "criterion"), [pair for plan in PLANS for pair in judged(plan, Kind.INVARIANT)], ids=lambda x: x.name
)
def test_a_criterion_that_must_always_hold(plan: Plan, criterion: Criterion) -> None:
    assert criterion.limit is not None, plan.name
    step = Decimal("0.001") if criterion.limit < 1 else Decimal("0.01")
    good = good_observation(criterion, make_ref())
    seen = [good.model_copy(update={"worst": criterion.limit + side * step}) for side in (-1, 0, 1)]
    found = [evaluate(criterion, observation, make_context()).outcome for observation in seen]
    assert found == [Outcome.PASS, Outcome.PASS, Outcome.FAIL]


@pytest.mark.parametrize(
    ("plan", "criterion"), [pair for plan in PLANS for pair in judged(plan, Kind.READINESS)], ids=lambda x: x.name
)
def test_a_criterion_with_a_grey_zone(plan: Plan, criterion: Criterion) -> None:
    assert criterion.limit is not None, plan.name
    assert criterion.warn_above is not None
    step = Decimal("0.001")
    observation = good_observation(criterion, make_ref())
    values = [bound + side * step for bound in (criterion.warn_above, criterion.limit) for side in (-1, 0, 1)]
    found = [
        evaluate(criterion, observation.model_copy(update={"value": value}), make_context()).outcome
        for value in values
    ]
    assert found == [Outcome.PASS, *[Outcome.WARN] * 4, Outcome.FAIL]
