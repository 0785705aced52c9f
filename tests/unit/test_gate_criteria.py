"""Each kind of criterion at its edges, and everything that must never pass."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.unit.gate_fixtures import (
    ARTIFACT,
    NOW_NS,
    SHA,
    START_NS,
    good_observation,
    make_context,
    make_criterion,
    make_ref,
)
from trading_core.clock import NS
from trading_core.gate.criteria import OBSERVED_BY, evaluate
from trading_core.gate.evidence import Tally
from trading_core.gate.outcomes import REASONS, Outcome, Reason
from trading_core.gate.result import Baseline, CriterionResult, Finding, PriorTally
from trading_core.plan import Kind, Level

REF = make_ref()


def judge(kind: Kind, changes: dict[str, Any], bounds: dict[str, Any] | None = None, **context: Any) -> CriterionResult:
    criterion = make_criterion(kind, **(bounds or {}))
    observation = good_observation(criterion, REF).model_copy(update=changes)
    return evaluate(criterion, observation, make_context(**context))


def rate(successes: int, failures: int, **by_symbol: tuple[int, int]) -> dict[str, Any]:
    symbols = {name: Tally(successes=s, failures=f) for name, (s, f) in by_symbol.items()}
    return {"pooled": Tally(successes=successes, failures=failures), "by_symbol": symbols}


def test_every_kind_has_its_observation_and_passes_with_a_good_one() -> None:
    assert set(OBSERVED_BY) == set(Kind)
    for kind in Kind:
        assert judge(kind, {}).outcome is Outcome.PASS


def test_every_reason_belongs_to_exactly_one_outcome() -> None:
    assert set(REASONS) == set(Outcome)
    assert all(sum(reason in reasons for reasons in REASONS.values()) == 1 for reason in Reason)


def test_a_finding_with_a_foreign_reason_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="no reason for"):
        Finding(outcome=Outcome.PASS, reason=Reason.MISSING, detail="")


# ── evidence that may not be judged ─────────────────────────────────────────────────────────────
def test_a_criterion_without_an_observation_is_not_evaluated() -> None:
    result = evaluate(make_criterion(Kind.RATE), None, make_context())
    assert (result.outcome, result.reason) == (Outcome.NO_DATA, Reason.NOT_EVALUATED)


@pytest.mark.parametrize("kind", list(Kind))
def test_an_observation_of_another_kind_is_an_error(kind: Kind) -> None:
    other = Kind.READINESS if kind is not Kind.READINESS else Kind.RATE
    observation = good_observation(make_criterion(other), REF)
    result = evaluate(make_criterion(kind), observation, make_context())
    assert (result.outcome, result.reason) == (Outcome.ERROR, Reason.SCHEMA)


def test_an_observation_of_another_metric_is_an_error() -> None:
    assert judge(Kind.RATE, {"metric": "other"}).reason is Reason.SCHEMA


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.READINESS])
def test_figures_without_artifact_and_event_are_no_evidence(kind: Kind) -> None:
    assert judge(kind, {"refs": (), "event_seqs": ()}).reason is Reason.MISSING


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize(
    ("ref", "context", "reason"),
    [
        ({"subject_digest": "another"}, {}, Reason.SUBJECT_MISMATCH),
        ({"level": Level.L0}, {"level": Level.L3}, Reason.LEVEL_TOO_LOW),
        ({"window_end_ns": START_NS - 1}, {"run_started_ns": START_NS}, Reason.STALE),
        ({}, {"evidence": {"another.json": SHA}}, Reason.MISSING),
        ({}, {"evidence": {ARTIFACT: "cd" * 32}}, Reason.HASH_MISMATCH),
    ],
)
def test_evidence_that_does_not_belong_here_is_refused(
    kind: Kind, ref: dict[str, Any], context: dict[str, Any], reason: Reason
) -> None:
    bounds = {"level_min": Level.L3}
    result = judge(kind, {"refs": (make_ref(**ref),), "event_seqs": ()}, bounds, **context)
    assert result.reason is reason
    assert result.outcome in (Outcome.NO_DATA, Outcome.ERROR)


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.COMPOSITION])
def test_figures_from_empty_artifacts_are_no_data(kind: Kind) -> None:
    assert judge(kind, {"refs": (make_ref(rows=0),), "event_seqs": ()}).reason is Reason.EMPTY


def test_a_rehearsal_is_held_to_its_own_level() -> None:
    assert judge(Kind.RATE, {}, {"level_min": Level.L3}, level=Level.L0).outcome is Outcome.PASS


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize(
    "problem", [Reason.MISSING, Reason.ALL_NULL, Reason.STALE, Reason.NON_FINITE, Reason.EXCEPTION]
)
def test_a_problem_wins_over_good_figures(kind: Kind, problem: Reason) -> None:
    result = judge(kind, {"problem": problem, "detail": "why"})
    assert (result.reason, result.detail) == (problem, "why")
    assert result.outcome in (Outcome.NO_DATA, Outcome.ERROR)


@pytest.mark.parametrize("claim", [Reason.BOUND_CLEARS, Reason.GREY_ZONE, Reason.INVARIANT_BROKEN])
def test_a_producer_cannot_claim_an_outcome(claim: Reason) -> None:
    assert judge(Kind.RATE, {"problem": claim}).reason is Reason.SCHEMA


def test_not_applicable_needs_evidence() -> None:
    shown = judge(Kind.TIME_IN_SPEC, {"problem": Reason.PRECONDITION_FALSE})
    claimed = judge(Kind.TIME_IN_SPEC, {"problem": Reason.PRECONDITION_FALSE, "refs": (), "event_seqs": ()})
    assert (shown.outcome, claimed.reason) == (Outcome.NOT_APPLICABLE, Reason.MISSING)


def test_a_figure_that_is_not_finite_is_an_error() -> None:
    assert judge(Kind.READINESS, {"value": Decimal("NaN")}, {"limit": "5"}).reason is Reason.NON_FINITE


@pytest.mark.parametrize(
    ("kind", "missing"), [(Kind.RATE, "p0"), (Kind.TIME_IN_SPEC, "p0"), (Kind.COMPOSITION, "limit")]
)
def test_a_criterion_without_its_bound_is_an_error_and_not_an_exception(kind: Kind, missing: str) -> None:
    result = judge(kind, {}, {missing: None})
    assert (result.outcome, result.reason) == (Outcome.ERROR, Reason.EXCEPTION)
    assert missing in result.detail


def test_symbols_that_do_not_add_up_are_an_error() -> None:
    assert judge(Kind.RATE, rate(100, 0, A=(50, 0))).reason is Reason.EXCEPTION


# ── rates ───────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("successes", "failures", "outcome"),
    [
        (71, 0, Outcome.INCONCLUSIVE), (72, 0, Outcome.PASS), (126, 1, Outcome.INCONCLUSIVE), (127, 1, Outcome.PASS),
        (50, 12, Outcome.FAIL), (95, 5, Outcome.INCONCLUSIVE), (0, 1, Outcome.INCONCLUSIVE), (0, 5, Outcome.FAIL),
    ],
)
def test_a_rate_passes_at_the_threshold_of_the_e_process(successes: int, failures: int, outcome: Outcome) -> None:
    assert judge(Kind.RATE, rate(successes, failures)).outcome is outcome


def test_zero_orders_are_no_data() -> None:
    assert judge(Kind.RATE, rate(0, 0)).reason is Reason.EMPTY


def test_zero_orders_are_no_data_even_after_good_attempts() -> None:
    prior = {"m": PriorTally(pooled=Tally(successes=500, failures=0), attempts=1)}
    assert judge(Kind.RATE, rate(0, 0), attempts=prior).reason is Reason.EMPTY


def test_a_perfect_sample_that_is_too_small_says_how_much_is_missing() -> None:
    result = judge(Kind.RATE, rate(40, 0), trading_window_s=900)
    assert result.shortfall is not None
    assert (result.shortfall.more, result.shortfall.hours) == (32, Decimal("0.20"))


def test_a_retry_continues_the_earlier_attempts() -> None:
    good = {"m": PriorTally(pooled=Tally(successes=40, failures=0), attempts=1)}
    bad = {"m": PriorTally(pooled=Tally(successes=40, failures=9), attempts=1)}
    assert judge(Kind.RATE, rate(40, 0), attempts=good).outcome is Outcome.PASS
    assert judge(Kind.RATE, rate(80, 0), attempts=bad).outcome is not Outcome.PASS


def test_the_attempts_own_trials_are_kept_for_the_ledger() -> None:
    prior = {"m": PriorTally(pooled=Tally(successes=40, failures=0), attempts=1)}
    result = judge(Kind.RATE, rate(50, 1), attempts=prior)
    assert (result.n, result.tally) == (91, Tally(successes=50, failures=1))


def test_one_refuted_symbol_fails_the_pool() -> None:
    result = judge(Kind.RATE, rate(900, 5, A=(300, 0), B=(300, 0), C=(300, 0), D=(0, 5)))
    assert (result.outcome, result.reason) == (Outcome.FAIL, Reason.BOUND_BELOW)
    assert "D is refuted" in result.detail


def test_failures_concentrated_in_one_symbol_are_heterogeneous() -> None:
    result = judge(Kind.RATE, rate(795, 5, A=(195, 5), B=(200, 0), C=(200, 0), D=(200, 0)))
    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.HETEROGENEOUS)


def test_a_minimum_sample_of_the_plan_is_honoured() -> None:
    assert judge(Kind.RATE, rate(100, 0), {"n_min": 101}).outcome is Outcome.INCONCLUSIVE


# ── facts ───────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"observed": 99}, Outcome.PASS), ({"observed": 98}, Outcome.INCONCLUSIVE),
        ({"violations": ("row 7",)}, Outcome.FAIL), ({"final_holds": False}, Outcome.FAIL),
        ({"observed": 0}, Outcome.NO_DATA), ({"expected": 0}, Outcome.NO_DATA),
        ({"worst": Decimal("0.01")}, Outcome.PASS), ({"worst": Decimal("-0.02")}, Outcome.FAIL),
    ],
)
def test_an_invariant_holds_always_at_the_end_and_with_coverage(changes: dict[str, Any], outcome: Outcome) -> None:
    assert judge(Kind.INVARIANT, changes, {"limit": "0.01"}).outcome is outcome


@pytest.mark.parametrize(
    ("count", "window_s", "outcome"),
    [(0, 900, Outcome.PASS), (0, 899, Outcome.INCONCLUSIVE), (1, 900, Outcome.FAIL), (0, 0, Outcome.NO_DATA)],
)
def test_no_event_counts_only_in_a_long_enough_window(count: int, window_s: int, outcome: Outcome) -> None:
    result = judge(Kind.ZERO_EVENTS, {"count": count, "window_s": window_s}, {"window_min_s": 900})
    assert result.outcome is outcome


def test_a_breakdown_without_rows_divides_nothing() -> None:
    changes = {"refs": (make_ref(rows=0),), "event_seqs": (), "part": 0, "whole": 0}
    assert judge(Kind.COMPOSITION, changes).outcome is Outcome.NOT_APPLICABLE


def test_no_event_prints_the_poisson_bound() -> None:
    assert judge(Kind.ZERO_EVENTS, {"window_s": 3600}).upper == Decimal("2.995732")


@pytest.mark.parametrize(
    ("good", "bad", "missing", "gap_s", "outcome"),
    [
        (9, 1, 0, 60, Outcome.PASS), (8, 2, 0, 60, Outcome.FAIL), (8, 1, 1, 60, Outcome.INCONCLUSIVE),
        (10, 0, 0, 61, Outcome.FAIL), (0, 0, 10, 0, Outcome.NO_DATA), (9, 0, 0, 0, Outcome.INCONCLUSIVE),
    ],
)
def test_time_in_spec_counts_missing_minutes_as_bad(
    good: int, bad: int, missing: int, gap_s: int, outcome: Outcome
) -> None:
    changes = {"good": good, "bad": bad, "missing": missing, "longest_gap_s": gap_s}
    assert judge(Kind.TIME_IN_SPEC, changes, {"gap_max_s": 60, "n_min": 10}).outcome is outcome


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"was_provoked": False}, Outcome.INCONCLUSIVE), ({"was_seen": False}, Outcome.FAIL),
        ({"missing": ("XRP-USD",)}, Outcome.INCONCLUSIVE),
    ],
)
def test_an_effect_must_be_provoked_and_seen(changes: dict[str, Any], outcome: Outcome) -> None:
    assert judge(Kind.EXERCISED, changes).outcome is outcome


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"rows": 99}, Outcome.PASS), ({"rows": 98}, Outcome.INCONCLUSIVE), ({"rows": 0}, Outcome.NO_DATA),
        ({"expected_rows": 0}, Outcome.NO_DATA), ({"is_schema_valid": False}, Outcome.ERROR),
        ({"longest_gap_periods": Decimal(3)}, Outcome.PASS),
        ({"longest_gap_periods": Decimal("3.1")}, Outcome.FAIL),
    ],
)
def test_completeness_needs_rows_schema_and_no_gap(changes: dict[str, Any], outcome: Outcome) -> None:
    assert judge(Kind.COMPLETENESS, changes).outcome is outcome


@pytest.mark.parametrize(
    ("part", "whole", "outcome"),
    [
        (0, 4, Outcome.INCONCLUSIVE), (0, 5, Outcome.PASS), (9, 10, Outcome.FAIL), (5, 10, Outcome.INCONCLUSIVE),
        (0, 0, Outcome.NOT_APPLICABLE), (3, 2, Outcome.ERROR),
    ],
)
def test_a_composition_passes_by_its_upper_bound(part: int, whole: int, outcome: Outcome) -> None:
    assert judge(Kind.COMPOSITION, {"part": part, "whole": whole}).outcome is outcome


@pytest.mark.parametrize(("whole", "outcome"), [(4, Outcome.NOT_APPLICABLE), (5, Outcome.FAIL), (6, Outcome.FAIL)])
def test_fewer_than_the_plans_number_have_no_composition(whole: int, outcome: Outcome) -> None:
    assert judge(Kind.COMPOSITION, {"part": whole, "whole": whole}, {"n_min": 5}).outcome is outcome


@pytest.mark.parametrize(
    ("value", "outcome"),
    [
        ("1.999", Outcome.PASS), ("2", Outcome.WARN), ("-3", Outcome.WARN), ("5", Outcome.WARN),
        ("5.001", Outcome.FAIL), ("-5.001", Outcome.FAIL),
    ],
)
def test_the_clock_has_a_grey_zone_from_two_to_five_seconds(value: str, outcome: Outcome) -> None:
    bounds = {"limit": "5", "warn_above": "2"}
    assert judge(Kind.READINESS, {"value": Decimal(value)}, bounds).outcome is outcome


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"holds": False}, Reason.INVARIANT_BROKEN), ({"holds": None}, Reason.ALL_NULL),
        ({"measured_ns": NOW_NS - 60 * NS}, Reason.INVARIANT_HOLDS),
        ({"measured_ns": NOW_NS - 61 * NS}, Reason.STALE), ({"measured_ns": NOW_NS + 2 * NS}, Reason.STALE),
    ],
)
def test_readiness_holds_and_is_fresh(changes: dict[str, Any], reason: Reason) -> None:
    assert judge(Kind.READINESS, changes, {"max_age_s": 60}).reason is reason


def test_a_readiness_figure_with_a_limit_needs_a_value() -> None:
    assert judge(Kind.READINESS, {"value": None}, {"limit": "5"}).reason is Reason.ALL_NULL


def test_freshness_is_measured_when_trading_began() -> None:
    changes = {"measured_ns": START_NS}
    late = judge(Kind.READINESS, changes, {"max_age_s": 60})
    in_time = judge(Kind.READINESS, changes, {"max_age_s": 60}, trading_started_ns=START_NS + 30 * NS)
    assert (late.reason, in_time.outcome) == (Reason.STALE, Outcome.PASS)


@pytest.mark.parametrize(
    ("value", "past", "golden", "reason"),
    [
        ("11", ("10", "10", "10"), "10", Reason.BOUND_CLEARS), ("11.1", ("10", "10", "10"), "10", Reason.BOUND_BELOW),
        ("11", ("10", "9", "10"), "10", Reason.BOUND_BELOW), ("11", ("10", "10", "10"), "9", Reason.BOUND_BELOW),
        ("1", ("10", "10"), "10", Reason.NO_BASELINE), ("1", ("10", "10", "10"), None, Reason.NO_BASELINE),
    ],
)
def test_a_comparison_needs_three_runs_and_the_golden_one(
    value: str, past: tuple[str, ...], golden: str | None, reason: Reason
) -> None:
    changes = {
        "value": Decimal(value), "baselines": tuple(Decimal(p) for p in past),
        "golden": None if golden is None else Decimal(golden),
    }
    assert judge(Kind.COMPARISON, changes).reason is reason


def test_baselines_of_the_context_serve_an_observation_without_any() -> None:
    kept = {"m": Baseline(values=(Decimal(10), Decimal(10), Decimal(10)), golden=Decimal(10))}
    assert judge(Kind.COMPARISON, {"baselines": (), "golden": None}, baselines=kept).outcome is Outcome.PASS


# ── less evidence is never better ───────────────────────────────────────────────────────────────
_RANK = {Outcome.PASS: 0, Outcome.INCONCLUSIVE: 1, Outcome.FAIL: 2}


@pytest.mark.parametrize("failures", [0, 1, 3])
def test_fewer_successes_never_give_a_better_rate(failures: int) -> None:
    ranks = [_RANK[judge(Kind.RATE, rate(s, failures)).outcome] for s in range(1, 220)]
    below = [rank for rank in ranks if rank != _RANK[Outcome.FAIL]]
    assert below == sorted(below, reverse=True)


def test_more_failures_never_give_a_better_rate() -> None:
    ranks = [_RANK[judge(Kind.RATE, rate(300, f)).outcome] for f in range(80)]
    assert ranks == sorted(ranks)
