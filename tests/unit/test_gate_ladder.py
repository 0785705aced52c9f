"""The ladder: a live rung starts only on a valid GO of the rung below, for this bot, under the plan that ships."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.unit.gate_fixtures import NOW_NS, make_input, make_subject, with_observation
from trading_core.clock import NS, iso
from trading_core.gate.decide import DecisionRecord, GateInput, decide
from trading_core.gate.evidence import Tally
from trading_core.gate.ladder import OwedState, Permission, as_run_by, may_start, restricted, standings
from trading_core.gate.outcomes import Verdict
from trading_core.gate.overlays import Approval
from trading_core.gate.subject import Subject
from trading_core.plan import Level, Plan
from trading_core.plan_files import find_plan

HOUR_NS = 3600 * NS
PHASE2, STAGE3, STAGE4 = find_plan("phase2"), find_plan("stage3"), find_plan("stage4")


def subject_of(plan: Plan, **changes: Any) -> Subject:
    return make_subject(plan, venue="live", account_fingerprint="live-1", **changes)


def decided(plan: Plan = PHASE2, *, at_ns: int = NOW_NS, grey: bool = False, bad: bool = False,
            level: Level = Level.L3, subject: Subject | None = None) -> DecisionRecord:
    """Return an approved decision: GO, CONDITIONAL if the clock was `grey`, NO-GO if orders were `bad`."""
    given = make_input(plan, subject=subject or subject_of(plan), level=level)
    given = given.model_copy(update={"now_ns": at_ns, "trading_started_ns": at_ns, "attempt_id": f"a{at_ns}"})
    clock = {"measured_ns": at_ns} | ({"value": Decimal(3)} if grey else {})
    for c in plan.criteria:
        if c.kind == "readiness":
            given = with_observation(given, c.metric, measured_ns=at_ns)
    given = with_observation(given, "clock_offset_s", **clock)
    if bad:
        given = with_observation(given, "order_acceptance", pooled=Tally(successes=0, failures=99))
        given = with_observation(given, "order_rejected_share", pooled=Tally(successes=0, failures=99))
    return decide(given.model_copy(update={"approvals": _approvals(given, at_ns)}))


def _approvals(given: GateInput, at_ns: int) -> tuple[Approval, ...]:
    return tuple(
        Approval(
            approver=name, decision="approve", gate=given.gate, subject_digest=given.subject.digest,
            evidence_digest=given.evidence_digest, given_ns=at_ns, expires_ns=at_ns + HOUR_NS,
        )
        for name in ("Ada", "Bob")
    )


def asked(*records: DecisionRecord, plan: Plan = STAGE3, below: Plan = PHASE2, now_ns: int = NOW_NS + HOUR_NS,
          **subject: Any) -> Permission:
    return may_start(plan, below, subject_of(plan, **subject), records, now_ns)


def test_a_go_of_the_rung_below_lets_the_next_one_start() -> None:
    record = decided()
    assert record.verdict is Verdict.GO, record.headline
    assert asked(record) == Permission(problem="", words="GO of phase2, run run-1")


def test_the_lowest_rung_needs_nothing_below() -> None:
    assert may_start(PHASE2, None, subject_of(PHASE2), [], NOW_NS).problem == ""


def test_nothing_decided_live_starts_nothing() -> None:
    assert "never decided at L3" in asked().problem
    assert "never decided at L3" in asked(decided(level=Level.L0)).problem


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"git_commit": "f" * 40}, "git_commit was 000000000000, is ffffffffffff"),
        ({"lock_digest": "e" * 64}, "lock_digest was"),
        ({"strategy": "mine:make"}, "strategy was"),
        ({"strategy_params": {"depth": 3}}, "strategy_params was"),
        ({"is_dirty": True}, "uncommitted changes"),
    ],
)
def test_a_go_of_another_bot_does_not_count(changes: dict[str, Any], words: str) -> None:
    assert words in asked(decided(), **changes).problem


def test_a_go_of_another_account_does_not_count() -> None:
    other = make_subject(PHASE2, venue="live", account_fingerprint="live-2")
    assert "account_fingerprint was live-2, is live-1" in asked(decided(subject=other)).problem


def test_a_go_under_easier_rules_of_somebodys_own_does_not_count() -> None:
    easier = PHASE2.model_copy(update={"should_budget": 9})
    assert "was decided under plan" in asked(decided(easier)).problem


def test_a_bot_with_its_own_strategy_and_a_tighter_impact_limit_climbs_under_the_shipped_rules() -> None:
    entry = STAGE3.entry.model_copy(update={"strategy": "mine:make", "params": {"depth": 3}})
    sizing = STAGE3.sizing.model_copy(update={"impact_bps_max": Decimal(7)})
    mine = STAGE3.model_copy(update={"entry": entry, "sizing": sizing})
    _, below = as_run_by(PHASE2, mine)
    own = {"strategy": "mine:make", "strategy_params": {"depth": 3}}
    record = decided(below, subject=subject_of(below, **own))
    assert may_start(mine, PHASE2, subject_of(mine, **own), [record], NOW_NS + HOUR_NS).problem == ""


@pytest.mark.parametrize(("after_s", "is_valid"), [(86_399, True), (86_400, False), (86_401, False)])
def test_a_go_holds_for_a_day(after_s: int, is_valid: bool) -> None:
    problem = asked(decided(), now_ns=NOW_NS + after_s * NS).problem
    assert (problem == "") is is_valid
    assert is_valid or f"expired at {iso(NOW_NS + 86_400 * NS)}" in problem


def test_the_last_decision_counts_whatever_came_before() -> None:
    no_go = decided(at_ns=NOW_NS + 60 * NS, bad=True)
    assert no_go.verdict is Verdict.NO_GO
    assert "the last decision on phase2" in asked(decided(), no_go).problem
    assert asked(no_go, decided(at_ns=NOW_NS + 120 * NS)).problem == ""


def test_a_conditional_lets_the_next_rung_start_inside_its_restricted_envelope_only() -> None:
    record = decided(grey=True)
    assert record.verdict is Verdict.CONDITIONAL, record.headline
    refused = asked(record)
    assert "not inside its restricted envelope" in refused.problem
    assert refused.restricted_to is not None
    small = restricted(STAGE3, refused.restricted_to)
    assert asked(record, plan=small).problem == ""
    assert small.digest != STAGE3.digest
    assert {p.max_notional for p in small.products} == {small.risk.aggregate_notional_max} == {Decimal(100)}


def test_what_a_conditional_owes_is_due_then_missed_and_then_it_demotes() -> None:
    record = decided(grey=True)
    due = standings([record], NOW_NS + HOUR_NS)[0]
    assert [(o.name, o.state) for o in due.obligations] == [("repeat", OwedState.DUE)]
    missed = standings([record], NOW_NS + 24 * HOUR_NS)[0]
    assert [o.state for o in missed.obligations] == [OwedState.MISSED]
    assert "was demoted: repeat was due" in missed.problem(NOW_NS + 24 * HOUR_NS)


def test_a_second_conditional_does_not_put_off_the_first_ones_obligation() -> None:
    records = [decided(grey=True), decided(grey=True, at_ns=NOW_NS + 20 * HOUR_NS)]
    assert "was demoted" in asked(*records, now_ns=NOW_NS + 25 * HOUR_NS).problem


def test_a_go_meets_the_obligation() -> None:
    records = [decided(grey=True), decided(at_ns=NOW_NS + 20 * HOUR_NS)]
    found = standings(records, NOW_NS + 25 * HOUR_NS)[0]
    assert [o.state for o in found.obligations] == [OwedState.MET]
    assert (found.demoted_by, found.attempts) == ("", 2)
    assert asked(*records, now_ns=NOW_NS + 25 * HOUR_NS).problem == ""


def test_a_missed_obligation_demotes_the_rungs_above_it() -> None:
    records = [decided(grey=True), decided(STAGE3, at_ns=NOW_NS + 10 * HOUR_NS)]
    assert records[1].verdict is Verdict.GO, records[1].headline
    in_time = may_start(STAGE4, STAGE3, subject_of(STAGE4), records, NOW_NS + 20 * HOUR_NS)
    too_late = may_start(STAGE4, STAGE3, subject_of(STAGE4), records, NOW_NS + 25 * HOUR_NS)
    assert in_time.problem == ""
    assert "phase2 below it was demoted" in too_late.problem


def test_an_exposure_step_above_the_plans_factor_is_refused() -> None:
    bold = STAGE3.model_copy(update={"exposure_step_max": Decimal(2)})
    assert "2 times what phase2 was allowed" in asked(decided(), plan=bold).problem
