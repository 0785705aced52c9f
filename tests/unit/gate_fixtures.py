"""Builders for gate tests: a good observation for each criterion, and a gate input that ends in GO."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from trading_core.clock import NS
from trading_core.gate.decide import JUDGED_STAGES, GateInput
from trading_core.gate.evidence import (
    ComparisonObservation,
    CompletenessObservation,
    CompositionObservation,
    CountObservation,
    EvidenceRef,
    ExercisedObservation,
    InvariantObservation,
    Observation,
    RateObservation,
    ReadinessObservation,
    SliceObservation,
    Tally,
)
from trading_core.gate.fold import GuardrailStatus, StageSummary
from trading_core.gate.result import GateContext
from trading_core.gate.subject import Subject
from trading_core.plan import Criterion, Kind, Level, Plan, Stage, Tier
from trading_core.plan_files import find_plan
from trading_core.stages.result import StageStatus

START_NS = 1_748_390_400 * NS
NOW_NS = START_NS + 86_400 * NS
ARTIFACT, SHA = "execution_logs.json", "ab" * 32


def make_criterion(kind: Kind, **changes: Any) -> Criterion:
    """Return a must criterion of the kind, named m."""
    bounds: dict[Kind, dict[str, Any]] = {
        Kind.RATE: {"p0": "0.95"},
        Kind.LATENCY_QUANTILE: {"p0": "0.95", "quantile_limit": "500"},
        Kind.TIME_IN_SPEC: {"p0": "0.9"},
        Kind.COMPOSITION: {"limit": "0.5"},
    }
    base = {
        "name": "m", "title": "The metric", "tier": Tier.MUST, "kind": kind, "stage": Stage.LIVE_MICRO_TEST,
        "metric": "m", "because": "a test needs it",
    }
    return Criterion(**{**base, **bounds.get(kind, {}), **changes})


def make_ref(subject_digest: str = "subject", **changes: Any) -> EvidenceRef:
    """Return a reference to one good artifact."""
    base = {
        "artifact": ARTIFACT, "sha256": SHA, "schema_version": 1, "rows": 100, "window_start_ns": START_NS,
        "window_end_ns": NOW_NS, "producer": "test", "subject_digest": subject_digest, "level": Level.L0,
    }
    return EvidenceRef(**{**base, **changes})


def make_context(**changes: Any) -> GateContext:
    """Return the context of a rehearsal of the subject `subject`."""
    return GateContext(**{"subject_digest": "subject", "level": Level.L0, "now_ns": NOW_NS, **changes})


def good_observation(criterion: Criterion, ref: EvidenceRef, trials: int = 400) -> Observation:
    """Return an observation that passes the criterion."""
    base: dict[str, Any] = {"metric": criterion.metric, "refs": (ref,), "event_seqs": (7,)}
    match criterion.kind:
        case Kind.RATE | Kind.LATENCY_QUANTILE:
            return RateObservation(**base, pooled=Tally(successes=trials, failures=0))
        case Kind.INVARIANT:
            return InvariantObservation(**base, expected=100, observed=100, final_holds=True)
        case Kind.ZERO_EVENTS:
            return CountObservation(**base, count=0, window_s=86_400)
        case Kind.TIME_IN_SPEC:
            return SliceObservation(**base, good=1440, bad=0, missing=0, longest_gap_s=2)
        case Kind.EXERCISED:
            return ExercisedObservation(**base, was_provoked=True, was_seen=True)
        case Kind.COMPLETENESS:
            return CompletenessObservation(
                **base, rows=100, expected_rows=100, longest_gap_periods=Decimal(1), is_schema_valid=True
            )
        case Kind.COMPOSITION:
            return CompositionObservation(**base, part=0, whole=100)
        case Kind.READINESS:
            value = Decimal("0.1") if criterion.limit is not None else None
            return ReadinessObservation(**base, measured_ns=NOW_NS, value=value, unit="s", holds=True)
        case Kind.COMPARISON:
            past = (Decimal(10), Decimal(10), Decimal(10))
            return ComparisonObservation(
                **base, value=Decimal(10), baselines=past, golden=Decimal(10), margin=Decimal(1)
            )


def make_subject(plan: Plan, **changes: Any) -> Subject:
    """Return the subject that runs this plan."""
    base = {
        "git_commit": "0" * 40, "is_dirty": False, "lock_digest": "1" * 64, "plan_digest": plan.digest,
        "strategy": plan.entry.strategy, "venue": "simulated", "account_fingerprint": "acct",
        "products": tuple(p.product_id for p in plan.products),
    }
    return Subject(**{**base, **changes})


def make_input(plan: Plan | None = None, **changes: Any) -> GateInput:
    """Return a gate input that ends in GO."""
    plan = plan or find_plan("phase2")
    subject = changes.pop("subject", None) or make_subject(plan)
    level = changes.get("level", Level.L0)
    ref = make_ref(subject.digest, level=level)
    base = {
        "run_id": "run-1", "attempt_id": "attempt-1", "plan": plan, "subject": subject, "level": level,
        "now_ns": NOW_NS, "run_started_ns": START_NS, "trading_started_ns": NOW_NS, "trading_window_s": 900,
        "observations": tuple(good_observation(criterion, ref) for criterion in plan.criteria),
        "stages": tuple(StageSummary(stage=stage, status=StageStatus.PASSED) for stage in JUDGED_STAGES),
        "guardrails": tuple(GuardrailStatus(name=g.name, is_latched=False, evaluations=9) for g in plan.guardrails),
        "is_chain_verified": True, "evidence": {ARTIFACT: SHA},
    }
    return GateInput(**{**base, **changes})


def with_observation(given: GateInput, metric: str, **changes: Any) -> GateInput:
    """Return the input with one observation changed."""
    changed = tuple(
        o.model_copy(update=changes) if o.metric == metric else o for o in given.observations
    )
    return given.model_copy(update={"observations": changed})


def without_observation(given: GateInput, metric: str) -> GateInput:
    """Return the input with one observation left out."""
    return given.model_copy(update={"observations": tuple(o for o in given.observations if o.metric != metric)})
