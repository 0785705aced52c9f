"""What a CONDITIONAL leaves is enforced at the desk: an entry at the edge of the envelope passes, a cent beyond not."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.desk_builders import Market, make_intent, make_plan
from trading_core.gate.ladder import restricted
from trading_core.order_manager import TrackedOrder
from trading_core.orders import OrderIntent
from trading_core.plan import Envelope, Plan
from trading_core.plan_files import find_plan
from trading_core.risk import Denial, DenialReason

EACH, IN_ALL = Decimal(400), Decimal(600)
STRICT = make_plan(sizing={"mode": "STRICT"})  # an order that is too large is refused, not cut


def small(plan: Plan = STRICT, each: Decimal = EACH, in_all: Decimal = IN_ALL) -> Plan:
    return restricted(plan, Envelope(notional_max=each, aggregate_notional_max=in_all))


def entry(notional: str) -> OrderIntent:
    """Return an entry at $40,000 worth so much."""
    return make_intent(str(Decimal(notional) / 40_000), "40000")


def answered(plan: Plan, notional: str, *, resting: str = "") -> DenialReason | None:
    market = Market(plan)
    if resting:
        market.open(make_intent(str(Decimal(resting) / 30_000), "30000"))
    answer = market.desk.place(entry(notional), "test")
    assert isinstance(answer, TrackedOrder | Denial)
    return answer.reason if isinstance(answer, Denial) else None


AT_THE_EDGE = [("399.99", None), ("400", None), ("400.01", DenialReason.MAX_NOTIONAL)]


@pytest.mark.parametrize(("notional", "reason"), AT_THE_EDGE)
def test_one_symbol_is_held_to_the_restricted_envelope(notional: str, reason: DenialReason | None) -> None:
    assert answered(small(), notional) is reason
    assert answered(STRICT, notional) is None


@pytest.mark.parametrize(
    ("notional", "reason"), [("299.99", None), ("300", None), ("300.01", DenialReason.AGGREGATE_NOTIONAL)]
)
def test_all_together_are_held_to_the_restricted_envelope(notional: str, reason: DenialReason | None) -> None:
    plan = small(each=Decimal(1000))
    assert answered(plan, notional, resting="300") is reason
    assert answered(STRICT, notional, resting="300") is None


def test_where_sizes_are_cut_they_are_cut_to_the_envelope() -> None:
    market = Market(small(make_plan()))
    answer = market.desk.place(entry("900"), "test")
    assert isinstance(answer, TrackedOrder)
    assert answer.intent.size * 40_000 == EACH


@pytest.mark.parametrize("name", ["stage3", "stage4", "stage5"])
def test_every_cap_of_a_shipped_plan_is_inside_and_none_is_loosened(name: str) -> None:
    plan = find_plan(name)
    envelope = plan.restricted_envelope
    assert envelope is not None
    inside = restricted(plan, envelope)
    assert {p.max_notional <= envelope.notional_max for p in inside.products} == {True}
    assert inside.entry.notional_max <= envelope.notional_max
    assert inside.risk.aggregate_notional_max == min(
        plan.risk.aggregate_notional_max, envelope.aggregate_notional_max
    )
    wide = Envelope(notional_max=Decimal(10**9), aggregate_notional_max=Decimal(10**9))
    assert restricted(plan, wide) == plan
