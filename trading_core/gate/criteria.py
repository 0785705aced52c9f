"""One criterion against one observation: admit the evidence, choose the judge, fail closed."""

from __future__ import annotations

from decimal import Decimal
from typing import assert_never

from pydantic import ValidationError

from trading_core.errors import GreenlightError
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
)
from trading_core.gate.judge_facts import (
    judge_comparison,
    judge_completeness,
    judge_exercised,
    judge_invariant,
    judge_readiness,
    judge_time_in_spec,
    judge_zero_events,
)
from trading_core.gate.judge_rates import judge_composition, judge_rate
from trading_core.gate.outcomes import REASONS, Outcome, Reason
from trading_core.gate.result import CriterionResult, Finding, GateContext, result_of
from trading_core.plan import Criterion, Kind, Level

OBSERVED_BY: dict[Kind, type[Observation]] = {
    Kind.INVARIANT: InvariantObservation,
    Kind.ZERO_EVENTS: CountObservation,
    Kind.RATE: RateObservation,
    Kind.LATENCY_QUANTILE: RateObservation,
    Kind.TIME_IN_SPEC: SliceObservation,
    Kind.EXERCISED: ExercisedObservation,
    Kind.COMPLETENESS: CompletenessObservation,
    Kind.COMPOSITION: CompositionObservation,
    Kind.READINESS: ReadinessObservation,
    Kind.COMPARISON: ComparisonObservation,
}
# A producer may only say that it cannot answer, never that it passed.
PROBLEMS = REASONS[Outcome.NO_DATA] | REASONS[Outcome.ERROR] | REASONS[Outcome.NOT_APPLICABLE]


def evaluate(criterion: Criterion, observation: Observation | None, context: GateContext) -> CriterionResult:
    """Return what the criterion came to. Never raises for bad evidence: that is NO_DATA or ERROR."""
    try:
        finding = _inadmissible(criterion, observation, context) or _judge(criterion, observation, context)
    except (ArithmeticError, LookupError, TypeError, ValueError, GreenlightError) as e:
        # A judge that breaks is a broken judge, not a broken gate: the other criteria are still evaluated.
        words = f"the evaluation broke: {type(e).__name__}: {_first_line(e)}"
        finding = Finding(outcome=Outcome.ERROR, reason=Reason.EXCEPTION, detail=words)
    result = result_of(criterion, finding, observation)
    if isinstance(observation, RateObservation) and finding.n:
        own = {"tally": observation.pooled, "tally_by_symbol": dict(observation.by_symbol)}
        return result.model_copy(update=own)
    return result


def outcome_of(reason: Reason) -> Outcome:
    """Return the one outcome that the reason belongs to."""
    return next(outcome for outcome, reasons in REASONS.items() if reason in reasons)


def required_level(criterion: Criterion, run_level: Level) -> Level:
    """Return the least level that the evidence needs in a run of this level.

    A rehearsal can show nothing above its own level, and authorises nothing above it either; so it is held to
    its own level. A live run is held to what the criterion states.
    """
    return min(criterion.level_min, run_level, key=_rank)


def _rank(level: Level) -> int:
    return list(Level).index(level)


def _inadmissible(criterion: Criterion, seen: Observation | None, context: GateContext) -> Finding | None:
    """Return why the observation cannot be judged; None if it can."""
    if seen is None:
        words = f"nothing was observed for {criterion.metric} in {criterion.stage}"
        return Finding(outcome=Outcome.NO_DATA, reason=Reason.NOT_EVALUATED, detail=words)
    if seen.metric != criterion.metric or not isinstance(seen, OBSERVED_BY[criterion.kind]):
        words = f"a {seen.kind} observation of {seen.metric} cannot show {criterion.kind} of {criterion.metric}"
        return Finding(outcome=Outcome.ERROR, reason=Reason.SCHEMA, detail=words)
    if not all(value.is_finite() for _, value in seen if isinstance(value, Decimal)):
        return Finding(outcome=Outcome.ERROR, reason=Reason.NON_FINITE, detail="a figure is not finite")
    for ref in seen.refs:
        if finding := _wrong_ref(criterion, ref, context):
            return finding
    if seen.problem is not None and seen.problem is not Reason.PRECONDITION_FALSE:
        return _problem(seen.problem, seen.detail)
    if not _has_evidence(seen):
        words = "the observation names no artifact and no event"
        return Finding(outcome=Outcome.NO_DATA, reason=Reason.MISSING, detail=words)
    if seen.problem is not None:
        return _problem(seen.problem, seen.detail)
    # A breakdown without rows is what a run without rejections leaves: its judge knows what that means.
    may_be_empty = isinstance(seen, CompositionObservation)
    if seen.refs and not seen.event_seqs and not may_be_empty and all(ref.rows == 0 for ref in seen.refs):
        words = f"{seen.refs[0].artifact} is empty"
        return Finding(outcome=Outcome.NO_DATA, reason=Reason.EMPTY, detail=words)
    return None


def _problem(problem: Reason, detail: str) -> Finding:
    if problem not in PROBLEMS:
        words = f"a producer may not claim {problem}"
        return Finding(outcome=Outcome.ERROR, reason=Reason.SCHEMA, detail=words)
    return Finding(outcome=outcome_of(problem), reason=problem, detail=detail or "the producer gave no detail")


def _has_evidence(seen: Observation) -> bool:
    # A readiness figure is read by the stage itself and carries its own time; all else is read from something.
    return bool(seen.refs or seen.event_seqs) or isinstance(seen, ReadinessObservation)


def _wrong_ref(criterion: Criterion, ref: EvidenceRef, context: GateContext) -> Finding | None:
    if ref.subject_digest != context.subject_digest:
        words = f"{ref.artifact} is of subject {ref.subject_digest[:12]}, not of {context.subject_digest[:12]}"
        return Finding(outcome=Outcome.NO_DATA, reason=Reason.SUBJECT_MISMATCH, detail=words)
    needed = required_level(criterion, context.level)
    if _rank(ref.level) < _rank(needed):
        words = f"{ref.artifact} is {ref.level} evidence, {needed} is needed"
        return Finding(outcome=Outcome.NO_DATA, reason=Reason.LEVEL_TOO_LOW, detail=words)
    if context.run_started_ns is not None and ref.window_end_ns < context.run_started_ns:
        words = f"{ref.artifact} ends before the run began"
        return Finding(outcome=Outcome.NO_DATA, reason=Reason.STALE, detail=words)
    if context.evidence and ref.artifact not in context.evidence:
        words = f"{ref.artifact} is not among the artifacts of the run"
        return Finding(outcome=Outcome.NO_DATA, reason=Reason.MISSING, detail=words)
    if context.evidence and context.evidence[ref.artifact] != ref.sha256:
        words = f"{ref.artifact} has digest {context.evidence[ref.artifact][:12]}, was judged as {ref.sha256[:12]}"
        return Finding(outcome=Outcome.ERROR, reason=Reason.HASH_MISMATCH, detail=words)
    return None


def _judge(criterion: Criterion, seen: Observation | None, context: GateContext) -> Finding:
    match seen:
        case RateObservation():
            return judge_rate(criterion, seen, context)
        case InvariantObservation():
            return judge_invariant(criterion, seen)
        case CountObservation():
            return judge_zero_events(criterion, seen)
        case SliceObservation():
            return judge_time_in_spec(criterion, seen)
        case ExercisedObservation():
            return judge_exercised(seen)
        case CompletenessObservation():
            return judge_completeness(seen)
        case CompositionObservation():
            return judge_composition(criterion, seen)
        case ReadinessObservation():
            return judge_readiness(criterion, seen, context)
        case ComparisonObservation():
            return judge_comparison(criterion, seen, context)
        case None:
            raise ValueError(f"no observation of {criterion.metric}")
        case _:
            assert_never(seen)


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return str(error.errors()[0]["msg"])
    return str(error).splitlines()[0] if str(error) else "no message"
