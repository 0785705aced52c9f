"""What of the venue's free margin an entry may count on, and every limit of one item beside its companion for all."""

from __future__ import annotations

from decimal import Decimal
from inspect import getmembers, isclass
from typing import Any

import pytest

from tests.core_builders import make_future
from tests.desk_builders import Market, make_intent, make_plan
from trading_core import plan as plan_module
from trading_core.orders import OrderStatus, Side
from trading_core.plan import Plan, PlanModel
from trading_core.plan_files import find_plan, plan_names
from trading_core.risk import Denial, DenialReason

FUTURE = make_future(price_increment=Decimal("0.01"))  # the books of the tests are in cents
BIP = FUTURE.product_id


def futures_market(**risk: Any) -> Market:
    return Market(
        make_plan(
            products=[{"product_id": BIP, "max_size": "9", "max_notional": "9000", "because": "test"}],
            risk={"margin_utilization_max": "0.90", "aggregate_notional_max": "9000", **risk},
            sizing={"impact_bps_max": "100"},
        ),
        products=(FUTURE,),
    )


def one(side: Side = Side.BUY, price: str = "50000") -> Any:
    return make_intent("1", price, side, product_id=BIP)


def test_nothing_is_free_before_the_venue_has_told_a_margin() -> None:
    market = futures_market()
    assert market.desk.margin_free() is None
    answer = market.desk.place(one(), "test")
    assert isinstance(answer, Denial)
    assert answer.reason is DenialReason.MARGIN_BUFFER


def test_what_rests_and_what_filled_since_the_reading_is_not_free() -> None:
    market = futures_market()
    market.account(margin_used=Decimal(100), margin_available=Decimal(1600))
    assert market.desk.margin_free() == 1600
    order = market.open(one())
    assert market.desk.margin_free() == 1100
    market.report(order, OrderStatus.FILLED, "1")
    assert market.desk.margin_free() == 1100  # filled, and not booked yet
    market.book_fill(order, "1")
    assert market.desk.margin_free() == Decimal("1099.995")  # at the mark
    market.account(margin_used=Decimal(125), margin_available=Decimal(1575), positions={BIP: Decimal(1)})
    assert market.desk.margin_free() == 1575


@pytest.mark.parametrize(("buffer", "sent"), [("99.99", 3), ("100", 3), ("100.01", 2)])
def test_entries_together_leave_the_buffer(buffer: str, sent: int) -> None:
    market = futures_market(margin_buffer_min=buffer)
    market.account(margin_used=Decimal(0), margin_available=Decimal(1600))
    answers = [market.desk.place(one(price=str(price)), "test") for price in (50000, 49995, 50005, 50006, 50007)]
    reasons = [answer.reason for answer in answers if isinstance(answer, Denial)]
    assert reasons == [DenialReason.MARGIN_BUFFER] * (5 - sent)


# Each limit of the plan on one item, and what holds for all of them together.
COMPANIONS = {
    "ProductLimits.max_size": "RiskLimits.aggregate_notional_max",
    "ProductLimits.max_notional": "RiskLimits.aggregate_notional_max",
    "Entry.notional_max": "RiskLimits.aggregate_notional_max",
    "Sizing.impact_bps_max": "RiskLimits.aggregate_notional_max",  # each order's size; all sizes together
    "RiskLimits.spread_bps_max": "RiskLimits.daily_loss_max",  # what a wide market costs, over all products
    "OrderPolicy.retries_max": "RiskLimits.orders_per_minute_max",
    "Envelope.notional_max": "Envelope.aggregate_notional_max",
    "RestrictedEnvelope.notional_max": "RestrictedEnvelope.aggregate_notional_max",
}
# Limits that are of the account already.
OF_ALL = {
    "RiskLimits.leverage_max", "RiskLimits.aggregate_notional_max", "RiskLimits.daily_loss_max",
    "RiskLimits.open_orders_max", "RiskLimits.orders_per_minute_max", "RiskLimits.margin_utilization_max",
    "Envelope.aggregate_notional_max", "RestrictedEnvelope.aggregate_notional_max", "Plan.exposure_step_max",
}


def test_each_limit_of_one_item_has_an_aggregate_companion() -> None:
    limits = {
        f"{name}.{field}"
        for name, model in getmembers(plan_module, isclass)
        if issubclass(model, PlanModel) and name != "Criterion"  # its limits judge evidence, they let nothing leave
        for field in model.model_fields
        if field.endswith("_max") or field.startswith("max_")
    }
    assert limits == set(COMPANIONS) | OF_ALL
    assert set(COMPANIONS.values()) <= OF_ALL


@pytest.mark.parametrize("plan", [find_plan(name) for name in plan_names()], ids=lambda plan: plan.name)
def test_no_item_may_be_larger_than_what_holds_for_all(plan: Plan) -> None:
    together = plan.risk.aggregate_notional_max
    assert max(p.max_notional for p in plan.products) <= together
    assert sum(p.max_notional for p in plan.products) >= together
    assert plan.entry.notional_max <= together
    assert plan.envelope.notional_max <= plan.envelope.aggregate_notional_max
    assert plan.risk.margin_buffer_min >= plan.risk.daily_loss_max
