"""Decisions on whole plans: what ends NO-GO, why, and with which sentence first."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.unit.gate_fixtures import (
    NOW_NS,
    make_input,
    make_ref,
    make_subject,
    with_observation,
    without_observation,
)
from trading_core.clock import NS
from trading_core.gate.decide import GateInput, decide
from trading_core.gate.evidence import Tally
from trading_core.gate.fold import GuardrailStatus, StageSummary
from trading_core.gate.outcomes import Disposition, Outcome, Reason, Verdict
from trading_core.gate.overlays import Approval
from trading_core.gate.record import statement_bytes
from trading_core.plan import Level, Stage, Tier
from trading_core.plan_files import find_plan, plan_names
from trading_core.stages.result import StageStatus

GO = make_input()
HOUR_NS = 3600 * NS


@pytest.mark.parametrize("name", plan_names())
def test_complete_evidence_of_a_rehearsal_is_go_and_authorises_nothing(name: str) -> None:
    record = decide(make_input(find_plan(name)))
    assert (record.verdict, record.rule, record.authorises) == (Verdict.GO, 9, None)
    assert "authorises no live rung" in record.headline


@pytest.mark.parametrize("name", plan_names())
def test_each_must_alone_can_stop_the_plan(name: str) -> None:
    given = make_input(find_plan(name))
    for criterion in given.plan.criteria:
        record = decide(without_observation(given, criterion.metric))
        result = record.criterion(criterion.name)
        assert result is not None
        assert result.reason is Reason.NOT_EVALUATED
        if criterion.tier is Tier.MUST:
            assert (record.verdict, record.disposition) == (Verdict.NO_GO, Disposition.REPAIR)
            assert criterion.title in record.headline
        if criterion.tier is Tier.NICE:
            assert record.verdict is Verdict.GO


@pytest.mark.parametrize(
    ("metric", "changes", "disposition", "words"),
    [
        ("clock_offset_s", {"value": Decimal(6)}, Disposition.REJECT, "6 s (limit 5)"),
        ("reconciliation", {"worst": Decimal("0.02")}, Disposition.REJECT, "worst 0.02 (limit 0.01)"),
        ("margin_events", {"count": 1}, Disposition.REJECT, "No margin call"),
        ("gtd_never_sent", {"violations": ("order 7",)}, Disposition.REJECT, "order 7"),
        ("kill_switch_drill", {"was_seen": False}, Disposition.REJECT, "provoked and not seen"),
        ("order_rejected_share", {"pooled": Tally(successes=0, failures=40)}, Disposition.REJECT, "0 of 40"),
        ("order_rejected_share", {"pooled": Tally(successes=0, failures=0)}, Disposition.REPAIR, "no trial was made"),
        ("artifacts_complete", {"problem": Reason.MISSING, "detail": "no file"}, Disposition.REPAIR, "no file"),
        ("artifacts_complete", {"rows": 0}, Disposition.REPAIR, "no row"),
        ("event_chain", {"problem": Reason.HASH_MISMATCH, "detail": "event 9"}, Disposition.REPAIR, "event 9"),
        ("feed_moves", {"final_holds": False}, Disposition.REJECT, "The feed moves"),
        ("websocket_staleness_s", {"good": 10}, Disposition.EXTEND, "10 of the 14 minutes"),
        ("place_order_latency_ms", {"pooled": Tally(successes=71, failures=0)}, Disposition.EXTEND, "1 more order is"),
    ],
)
def test_a_no_go_names_what_failed_and_its_figure(
    metric: str, changes: dict[str, Any], disposition: Disposition, words: str
) -> None:
    record = decide(with_observation(GO, metric, **changes))
    assert (record.verdict, record.disposition) == (Verdict.NO_GO, disposition)
    assert words in record.headline


def test_every_order_rejected_names_the_orders_before_the_effects_that_could_not_be_shown() -> None:
    given = with_observation(GO, "order_rejected_share", pooled=Tally(successes=0, failures=40))
    for metric in ("post_only_placed", "auto_cancel", "entry_exit_pnl"):
        given = with_observation(given, metric, was_seen=False)
    assert decide(given).headline.startswith("NO-GO (REJECT): Orders not rejected is FAIL: 0 of 40")


def test_a_clock_in_the_grey_zone_is_conditional() -> None:
    record = decide(with_observation(GO, "clock_offset_s", value=Decimal(3)))
    assert (record.verdict, record.rule) == (Verdict.CONDITIONAL, 7)


def test_forty_five_minutes_are_not_a_day() -> None:
    given = make_input(find_plan("stage3"))
    given = with_observation(given, "snapshots_complete", rows=45, expected_rows=1440)
    given = with_observation(given, "websocket_staleness_s", good=45)
    given = with_observation(given, "rate_limit_errors", window_s=2700)
    record = decide(given)
    assert (record.verdict, record.disposition) == (Verdict.NO_GO, Disposition.EXTEND)


def test_one_symbol_rejected_five_times_fails_stage_3() -> None:
    symbols = {name: Tally(successes=100, failures=0) for name in ("BTC-USD", "ETH-USD", "SOL-USD")}
    symbols["XRP-USD"] = Tally(successes=0, failures=5)
    given = make_input(find_plan("stage3"))
    given = with_observation(
        given, "order_acceptance", pooled=Tally(successes=300, failures=5), by_symbol=symbols
    )
    record = decide(given)
    assert record.disposition is Disposition.REJECT
    assert "XRP-USD is refuted by itself: 5 of 5 failed" in record.headline


# ── what stands beside the criteria ─────────────────────────────────────────────────────────────
def test_a_latched_guardrail_comes_first() -> None:
    latched = GuardrailStatus(
        name="daily_loss", is_latched=True, evaluations=3, worst=Decimal("120"), limit=Decimal("100")
    )
    others = tuple(g for g in GO.guardrails if g.name != "daily_loss")
    record = decide(GO.model_copy(update={"guardrails": (*others, latched)}))
    assert (record.disposition, record.rule) == (Disposition.ROLLBACK, 1)
    assert "daily_loss latched: 120 (limit 100)" in record.headline


@pytest.mark.parametrize("status", [None, {"evaluations": 0}, {"evaluations": 9, "longest_gap_s": Decimal("5.1")}])
def test_a_guardrail_that_nobody_watched_is_no_pass(status: dict[str, Any] | None) -> None:
    others = tuple(g for g in GO.guardrails if g.name != "daily_loss")
    added = () if status is None else (GuardrailStatus(name="daily_loss", is_latched=False, **status),)
    record = decide(GO.model_copy(update={"guardrails": (*others, *added)}))
    assert (record.disposition, record.rule) == (Disposition.REPAIR, 4)


def test_a_broken_chain_needs_repair_whatever_else_holds() -> None:
    record = decide(GO.model_copy(update={"is_chain_verified": False, "chain_detail": "event 7 was changed"}))
    assert (record.rule, record.disposition) == (2, Disposition.REPAIR)
    assert "event 7" in record.headline


def test_a_subject_with_another_plan_is_refused() -> None:
    subject = make_subject(GO.plan, plan_digest="f" * 64)
    record = decide(make_input(subject=subject))
    assert record.rule == 2


@pytest.mark.parametrize("status", [StageStatus.FAILED, StageStatus.NOT_RUN])
@pytest.mark.parametrize("stage", [stage for stage in Stage if stage is not Stage.GO_NO_GO])
def test_a_stage_that_did_not_pass_stops_the_run(stage: Stage, status: StageStatus) -> None:
    changed = tuple(StageSummary(stage=s.stage, status=status) if s.stage is stage else s for s in GO.stages)
    record = decide(GO.model_copy(update={"stages": changed}))
    assert record.verdict is Verdict.NO_GO
    assert stage in record.headline


def test_nothing_at_all_is_no_go() -> None:
    empty = GO.model_copy(update={"observations": (), "stages": (), "guardrails": ()})
    assert decide(empty).verdict is Verdict.NO_GO


def test_two_observations_of_one_metric_are_an_error() -> None:
    record = decide(GO.model_copy(update={"observations": (*GO.observations, GO.observations[0])}))
    result = record.criterion("credentials")
    assert result is not None
    assert (result.outcome, result.reason) == (Outcome.ERROR, Reason.SCHEMA)


def test_evidence_of_another_subject_is_no_evidence() -> None:
    foreign = make_ref("another subject")
    observations = tuple(o.model_copy(update={"refs": (foreign,)}) for o in GO.observations)
    record = decide(GO.model_copy(update={"observations": observations}))
    assert record.disposition is Disposition.REPAIR
    assert all(r.reason is Reason.SUBJECT_MISMATCH for r in record.criteria)


def test_evidence_of_another_day_is_stale() -> None:
    record = decide(GO.model_copy(update={"run_started_ns": NOW_NS + 1}))
    assert all(r.reason is Reason.STALE for r in record.criteria)


# ── live: approvals and what a GO authorises ────────────────────────────────────────────────────
def live_input(**changes: Any) -> GateInput:
    return make_input(level=Level.L3, **changes)


def approval(given: GateInput, **changes: Any) -> Approval:
    base = {
        "approver": "Ada", "decision": "approve", "gate": given.gate, "subject_digest": given.subject.digest,
        "evidence_digest": given.evidence_digest, "given_ns": NOW_NS - 1, "expires_ns": NOW_NS + HOUR_NS,
    }
    return Approval(**{**base, **changes})


def decide_with(given: GateInput, *approvals: Approval) -> Any:
    return decide(given.model_copy(update={"approvals": approvals}))


def test_a_live_rung_without_approval_is_on_hold() -> None:
    record = decide(live_input())
    assert (record.verdict, record.disposition, record.rule) == (Verdict.NO_GO, Disposition.HOLD, 8)


def test_an_approved_live_rung_authorises_one_transition_for_a_day() -> None:
    given = live_input()
    record = decide_with(given, approval(given))
    assert record.verdict is Verdict.GO
    assert record.authorises.next_rung == "stage3"
    assert record.authorises.envelope.aggregate_notional_max == 200
    assert record.authorises.valid_until == "2025-05-30T00:00:00.000000Z"


def test_a_conditional_live_rung_gets_the_restricted_envelope_and_its_obligations() -> None:
    given = with_observation(live_input(), "clock_offset_s", value=Decimal(3))
    record = decide_with(given, approval(given))
    assert record.verdict is Verdict.CONDITIONAL
    assert record.authorises.envelope.aggregate_notional_max == 100
    assert [o.name for o in record.authorises.obligations] == ["repeat"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"subject_digest": "f" * 64}, "another subject"), ({"evidence_digest": "f" * 64}, "other evidence"),
        ({"gate": "stage3/go_no_go"}, "another gate"), ({"expires_ns": NOW_NS}, "expired"),
        ({"given_ns": NOW_NS + 1}, "0 of 1"), ({"decision": "reject"}, "ada rejected it"),
    ],
)
def test_an_approval_that_is_not_for_this_now_is_none(changes: dict[str, Any], words: str) -> None:
    given = live_input()
    record = decide_with(given, approval(given, **changes))
    assert (record.verdict, record.disposition) == (Verdict.NO_GO, Disposition.HOLD)
    assert words in record.headline


def test_one_rejection_outweighs_an_approval() -> None:
    given = live_input()
    record = decide_with(given, approval(given), approval(given, approver="Bob", decision="reject"))
    assert record.verdict is Verdict.NO_GO


def test_two_approvals_by_one_person_are_one() -> None:
    given = make_input(find_plan("stage4"), level=Level.L3)
    twice = decide_with(given, approval(given), approval(given, approver=" ada "))
    two = decide_with(given, approval(given), approval(given, approver="Bob"))
    assert (twice.verdict, two.verdict) == (Verdict.NO_GO, Verdict.GO)


def test_changed_evidence_voids_the_approval() -> None:
    given = live_input()
    changed = with_observation(given, "order_acceptance", pooled=Tally(successes=401, failures=0))
    assert decide_with(changed, approval(given)).disposition is Disposition.HOLD


# ── determinism ─────────────────────────────────────────────────────────────────────────────────
def test_equal_inputs_give_byte_identical_records() -> None:
    again = GateInput.model_validate_json(GO.model_dump_json())
    assert statement_bytes(decide(again)) == statement_bytes(decide(GO))


def test_a_record_without_run_start_still_decides() -> None:
    assert decide(make_input(run_started_ns=None, trading_started_ns=None)).verdict is Verdict.GO


def test_the_order_of_criteria_in_the_record_is_by_name() -> None:
    names = [r.name for r in decide(GO).criteria]
    assert names == sorted(names)
