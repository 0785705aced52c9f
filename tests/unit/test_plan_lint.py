"""The plan lint: the specification's own contradictions are found, and each is settled with a reason."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from trading_core.gate.catalog import EXERCISED_BY, PRODUCED_BY, STEPS
from trading_core.gate.lint import PlanFinding, Severity, lint_plan
from trading_core.orders import TimeInForce
from trading_core.plan import Criterion, Envelope, Kind, Plan, ProductLimits, Stage, Tier
from trading_core.plan_files import find_plan, plan_below, plan_names
from trading_core.products import Product, ProductType
from trading_core.protocol import AFTER_TRADING, BEFORE_TRADING

PRICES = {"BTC-USD": "108889.2", "ETH-USD": "2659.8", "SOL-USD": "176.6", "XRP-USD": "2.28", "BTC-PERP": "108889.2"}
PHASE2 = find_plan("phase2")


def spot(product_id: str) -> Product:
    return Product(
        product_id=product_id, product_type=ProductType.SPOT, base_currency=product_id[:3], quote_currency="USD",
        base_increment=Decimal("0.00000001"), price_increment=Decimal("0.01"), base_min_size=Decimal("0.00000001"),
        base_max_size=Decimal(1000), quote_min_size=Decimal(1),
    )


PERP = Product(
    product_id="BIP-20DEC30-CDE", product_type=ProductType.FUTURE, base_currency="BTC", quote_currency="USD",
    base_increment=Decimal(1), price_increment=Decimal(5), base_min_size=Decimal(1), base_max_size=Decimal(1000),
    quote_min_size=Decimal(0), contract_size=Decimal("0.01"), alias="BTC-PERP",
)
PRODUCTS = {product_id: spot(product_id) for product_id in PRICES if product_id != "BTC-PERP"} | {"BTC-PERP": PERP}


def lint(plan: Plan, below: Plan | None = None) -> list[PlanFinding]:
    return lint_plan(plan, {name: Decimal(price) for name, price in PRICES.items()}, PRODUCTS, below)


def changed(section: str, **changes: Any) -> Plan:
    part = getattr(PHASE2, section).model_copy(update=changes)
    return PHASE2.model_copy(update={section: part})


def with_criterion(named: str, **changes: Any) -> Plan:
    criteria = tuple(c.model_copy(update=changes) if c.name == named else c for c in PHASE2.criteria)
    return PHASE2.model_copy(update={"criteria": criteria})


def refused(plan: Plan, below: Plan | None = None) -> dict[str, str]:
    return {f.key: f.sentence for f in lint(plan, below) if f.severity is Severity.REFUSE}


# ── the plans that ship ─────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("name", plan_names())
def test_no_shipped_plan_is_refused(name: str) -> None:
    plan = find_plan(name)
    assert refused(plan, plan_below(plan)) == {}


@pytest.mark.parametrize("name", plan_names())
def test_every_contradiction_of_the_specification_is_settled_with_a_reason(name: str) -> None:
    plan = find_plan(name)
    findings = lint(plan, plan_below(plan))
    assert [f.key for f in findings if f.severity is Severity.WARN] == []
    assert all(f.because for f in findings if f.severity is Severity.SETTLED)


def test_the_contradictions_are_found_when_nobody_settles_them() -> None:
    plan = find_plan("stage3").model_copy(update={"settled": {}})
    found = {f.key for f in lint(plan) if f.severity is Severity.WARN}
    assert found >= {
        "products.BTC-USD.max_size", "products.SOL-USD.max_size", "products.XRP-USD.max_size",
        "products.ETH-USD.max_notional", "protocol.stop_test_sizes.SOL-USD", "aliases.BTC-PERP",
        "risk.aggregate_notional_max",
    }


def test_steps_of_the_catalog_are_those_of_the_protocol() -> None:
    assert {*BEFORE_TRADING, *AFTER_TRADING} == STEPS
    assert set(EXERCISED_BY) <= set(PRODUCED_BY)


# ── what is refused ─────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("plan", "key", "words"),
    [
        (changed("entry", interval_s=13), "criteria.place_order_latency_ms", "69 orders are planned, 95 % needs 72"),
        (changed("protocol", window_s=600), "criteria.rate_limit_errors", "the window is 600 s"),
        (changed("protocol", window_s=600), "criteria.websocket_staleness_s", "the window is 600 s"),
        (with_criterion("order_rejected_share", p0=None), "criteria.order_rejected_share", "p0 is none"),
        (with_criterion("order_rejected_share", p0=Decimal(1)), "criteria.order_rejected_share", "p0 is 1"),
        (with_criterion("order_rejected_share", alpha=Decimal("0.2")), "criteria.order_rejected_share", "alpha is 0.2"),
        (with_criterion("place_order_latency_ms", quantile_limit=None), "criteria.place_order_latency_ms", "quantile"),
        (
            with_criterion("place_order_latency_ms", kind=Kind.INVARIANT), "criteria.place_order_latency_ms",
            "needs a quantile",
        ),
        (with_criterion("clock_offset_s", warn_above=Decimal(5)), "criteria.clock_offset_s", "not below the limit 5"),
        (with_criterion("sized_down", metric="sized_up"), "criteria.sized_down", "nobody produces"),
        (with_criterion("feed_moves", stage=Stage.PREFLIGHT), "criteria.feed_moves", "does not produce"),
        (with_criterion("sized_down", name="auto_cancel"), "criteria.auto_cancel", "used twice"),
        (changed("protocol", steps=("auto_cancel",)), "criteria.kill_switch_drill", "add 'kill_switch_drill'"),
        (changed("protocol", steps=("dance",)), "protocol.steps", "nobody knows the step 'dance'"),
        (PHASE2.model_copy(update={"criteria": ()}), "criteria", "no criterion is a must"),
        (changed("policy", time_in_force=(TimeInForce.GTD,)), "policy.time_in_force", "GTD"),
        (changed("entry", notional_min=Decimal(201)), "products.BTC-USD.max_notional", "none can pass"),
        (changed("entry", notional_min=Decimal(40)), "entry.notional_min", "swap them"),
        (changed("risk", aggregate_notional_max=Decimal(30)), "risk.aggregate_notional_max", "raise it"),
        (changed("risk", aggregate_notional_max=Decimal(201)), "risk.aggregate_notional_max", "envelope"),
        (changed("risk", orders_per_minute_max=7), "risk.orders_per_minute_max", "always binds"),
        (changed("risk", daily_loss_max=Decimal(50)), "guardrails.daily_loss", "never act first"),
        (changed("protocol", steps=("stop_limit",)), "risk.price_collar_bps", "100 is not above the stop distance"),
        (changed("protocol", snapshot_every_s=400), "protocol.save_every_s", "nothing to save"),
        (changed("protocol", save_every_s=1000), "protocol.save_every_s", "longer than the window"),
        (changed("rollback", close_all_after_min=10), "rollback.disable_after_min", "swap the times"),
        (
            changed("protocol", stop_test_sizes={"BTC-USD": Decimal("0.02")}), "protocol.stop_test_sizes.BTC-USD",
            "above max_size",
        ),
        (
            changed("protocol", stop_test_sizes={"ETH-USD": Decimal("0.02")}), "protocol.stop_test_sizes.ETH-USD",
            "does not trade",
        ),
        (
            changed("restricted_envelope", aggregate_notional_max=Decimal(200)),
            "restricted_envelope.aggregate_notional_max", "not below",
        ),
        (changed("restricted_envelope", obligations=()), "restricted_envelope.obligations", "owes something"),
    ],
)
def test_a_plan_that_cannot_do_what_it_says_is_refused(plan: Plan, key: str, words: str) -> None:
    assert words in refused(plan)[key]


def test_a_minimum_above_the_cap_is_refused() -> None:
    limits = ProductLimits(product_id="BTC-USD", max_size="0.01", max_notional="0.5", because="test")
    assert "always binds" in refused(PHASE2.model_copy(update={"products": (limits,)}))["products.BTC-USD.max_notional"]


def test_a_contract_above_the_cap_is_refused_unless_the_plan_says_so() -> None:
    alias = PHASE2.aliases[0]
    silent = PHASE2.model_copy(update={"aliases": (alias.model_copy(update={"accepts_minimum_above_cap": False}),)})
    traded = PHASE2.model_copy(update={"aliases": (alias.model_copy(update={"is_traded": True}),)})
    for plan in (silent, traded):
        assert "the smallest order of BTC-PERP is $1088.89, the cap $200" in refused(plan)["aliases.BTC-PERP"]


def test_a_step_of_exposure_above_the_ratio_is_refused() -> None:
    envelope = Envelope(notional_max="1200", aggregate_notional_max="1200")
    plan = find_plan("stage3").model_copy(update={"envelope": envelope})
    assert "6 times (limit 5)" in refused(plan, PHASE2)["exposure_step_max"]


def test_a_refusal_cannot_be_settled_away() -> None:
    plan = changed("entry", interval_s=13)
    key = "criteria.place_order_latency_ms"
    assert key in refused(plan.model_copy(update={"settled": {key: "we like it so"}}))


def test_two_musts_on_one_figure_are_warned_about() -> None:
    plan = with_criterion("order_acceptance", tier=Tier.MUST).model_copy(update={"settled": {}})
    found = {f.key: f.sentence for f in lint(plan) if f.severity is Severity.WARN}
    assert "can never decide" in found["criteria.order_rejected_share"]


def test_without_prices_money_is_not_compared() -> None:
    assert [f for f in lint_plan(PHASE2, {}, {}) if f.key.startswith("products.")] == []


@pytest.mark.parametrize(
    ("tier", "severity"), [(Tier.MUST, Severity.REFUSE), (Tier.SHOULD, Severity.WARN), (Tier.NICE, None)]
)
def test_an_effect_that_no_step_provokes_is_refused_as_a_must(tier: Tier, severity: Severity | None) -> None:
    criterion: Criterion = next(c for c in find_plan("stage3").criteria if c.name == "websocket_reconnect")
    criteria = (*PHASE2.criteria, criterion.model_copy(update={"tier": tier}))
    found = {f.key: f.severity for f in lint(PHASE2.model_copy(update={"criteria": criteria}))}
    assert found.get("criteria.websocket_reconnect") is severity


def test_a_first_run_that_can_never_be_a_go_is_refused() -> None:
    plan = find_plan("stage5")
    found = refused(plan.model_copy(update={"should_budget": 0}), plan_below(plan))
    assert found.keys() == {"should_budget"}
    assert "slippage_vs_baseline" in found["should_budget"]


def test_the_reduce_only_drill_needs_a_second_symbol() -> None:
    plan = find_plan("stage4")
    one = plan.model_copy(update={"products": plan.products[:1]})
    assert "protocol.steps" in refused(one, plan_below(plan))
