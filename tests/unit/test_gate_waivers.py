"""A waiver counts once, for one criterion of one subject, within its floor and its time; some things it never lifts."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.unit.gate_fixtures import NOW_NS, make_input, with_observation, without_observation
from trading_core.clock import NS
from trading_core.gate.decide import DecisionRecord, GateInput, decide
from trading_core.gate.evidence import Tally
from trading_core.gate.outcomes import Outcome, Reason, Verdict
from trading_core.gate.overlays import NEVER_WAIVABLE, Waiver
from trading_core.gate.record import DecisionLog
from trading_core.plan import Tier

DAY_NS = 86_400 * NS
# 60 of 61 within 500 ms: good, and too few to show it.
GIVEN = with_observation(make_input(), "place_order_latency_ms", pooled=Tally(successes=60, failures=1))


def waiver(given: GateInput = GIVEN, **changes: Any) -> Waiver:
    base = {
        "waiver_id": "w1", "criterion": "place_order_latency_ms", "subject_digest": given.subject.digest,
        "raw_outcome": Outcome.INCONCLUSIVE, "floor": "0.95", "reason": "short window", "requester": "Bob",
        "approver": "Ada", "issued_ns": NOW_NS - NS, "expires_ns": NOW_NS + DAY_NS,
    }
    return Waiver(**{**base, **changes})


def decide_with(*waivers: Waiver, given: GateInput = GIVEN, used: tuple[str, ...] = ()) -> DecisionRecord:
    return decide(given.model_copy(update={"waivers": waivers, "used_waivers": used}))


def test_a_valid_waiver_gives_conditional_and_leaves_the_raw_outcome() -> None:
    record = decide_with(waiver())
    assert (record.verdict, record.rule) == (Verdict.CONDITIONAL, 7)
    assert record.waivers[0].is_applied
    result = record.criterion("place_order_latency_ms")
    assert result is not None
    assert result.outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"expires_ns": NOW_NS}, "expired"),
        ({"issued_ns": NOW_NS + 1}, "in the future"),
        ({"issued_ns": NOW_NS - 7 * DAY_NS, "expires_ns": NOW_NS + 1}, "more than 7 days"),
        ({"approver": " bob "}, "approved their own request"),
        ({"subject_digest": "f" * 64}, "is for subject"),
        ({"raw_outcome": Outcome.FAIL}, "is for the outcome FAIL"),
        ({"floor": "0.99"}, "floor 0.99 does not hold"),
        ({"criterion": "unknown"}, "has no criterion"),
        ({"criterion": "auto_cancel", "raw_outcome": Outcome.PASS}, "nothing to waive"),
    ],
)
def test_a_waiver_that_does_not_fit_is_refused_and_says_why(changes: dict[str, Any], words: str) -> None:
    record = decide_with(waiver(**changes))
    assert record.verdict is Verdict.NO_GO
    assert words in record.waivers[0].refusal


def test_a_waiver_of_exactly_seven_days_is_allowed() -> None:
    longest = waiver(issued_ns=NOW_NS - NS, expires_ns=NOW_NS - NS + 7 * DAY_NS)
    assert decide_with(longest).verdict is Verdict.CONDITIONAL


def test_a_waiver_counts_once() -> None:
    assert decide_with(waiver(), used=("w1",)).verdict is Verdict.NO_GO


def test_one_waiver_does_not_cover_two_criteria() -> None:
    given = with_observation(GIVEN, "order_rejected_share", pooled=Tally(successes=9, failures=0))
    both = decide_with(waiver(given), waiver(given, criterion="order_rejected_share"), given=given)
    assert [use.is_applied for use in both.waivers] == [True, False]
    assert both.verdict is Verdict.NO_GO


def test_without_a_figure_there_is_no_floor_and_no_waiver() -> None:
    given = without_observation(make_input(), "place_order_latency_ms")
    record = decide_with(waiver(given, raw_outcome=Outcome.NO_DATA), given=given)
    assert record.verdict is Verdict.NO_GO
    assert "no figure" in record.waivers[0].refusal


def test_where_less_is_better_the_floor_is_a_ceiling() -> None:
    given = with_observation(make_input(), "clock_offset_s", value=Decimal(6))
    fits = waiver(given, criterion="clock_offset_s", raw_outcome=Outcome.FAIL, floor="7")
    too_strict = waiver(given, criterion="clock_offset_s", raw_outcome=Outcome.FAIL, floor="5.5")
    assert decide_with(fits, given=given).verdict is Verdict.CONDITIONAL
    assert decide_with(too_strict, given=given).verdict is Verdict.NO_GO


@pytest.mark.parametrize("metric", sorted(NEVER_WAIVABLE))
def test_what_protects_money_and_evidence_is_never_waived(metric: str) -> None:
    clean = make_input()
    given = with_observation(clean, metric, problem=Reason.EXCEPTION)
    criterion = next(c for c in given.plan.criteria if c.metric == metric)
    assert (criterion.tier, criterion.is_waivable) == (Tier.MUST, False)
    record = decide_with(waiver(given, criterion=criterion.name, raw_outcome=Outcome.ERROR), given=given)
    assert record.verdict is Verdict.NO_GO
    assert "never be waived" in record.waivers[0].refusal


def test_a_plan_cannot_make_them_waivable() -> None:
    given = with_observation(make_input(), "reconciliation", worst=Decimal("0.02"))
    loose = tuple(c.model_copy(update={"is_waivable": True}) for c in given.plan.criteria)
    plan = given.plan.model_copy(update={"criteria": loose})
    subject = given.subject.model_copy(update={"plan_digest": plan.digest})
    given = given.model_copy(update={"plan": plan, "subject": subject})
    record = decide_with(waiver(given, criterion="reconciliation", raw_outcome=Outcome.FAIL, floor="1"), given=given)
    assert "never be waived" in record.waivers[0].refusal


def test_a_waiver_is_spent_only_by_a_decision_that_let_something_through(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "decisions.jsonl")
    # Not spent: the decision was NO-GO all the same.
    log.append(decide_with(waiver(), given=GIVEN.model_copy(update={"is_chain_verified": False})))
    assert log.used_waivers() == ()
    log.append(decide_with(waiver()))
    assert log.used_waivers() == ("w1",)
