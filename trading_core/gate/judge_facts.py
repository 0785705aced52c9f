"""How facts are judged: invariants, counts, coverage in time, provoked effects, completeness, readiness."""

from __future__ import annotations

from decimal import Decimal

from trading_core.clock import NS
from trading_core.gate.evidence import (
    ComparisonObservation,
    CompletenessObservation,
    CountObservation,
    ExercisedObservation,
    InvariantObservation,
    ReadinessObservation,
    SliceObservation,
)
from trading_core.gate.outcomes import Outcome, Reason
from trading_core.gate.result import Baseline, Finding, GateContext, Shortfall, share_text, text
from trading_core.gate.statistics import clopper_pearson, poisson_upper
from trading_core.plan import Criterion

COVERAGE_MIN = Decimal("0.99")  # of the observations or rows that were due
GAP_PERIODS_MAX = Decimal(3)
BASELINES_NEEDED = 3  # the last three GO runs
FUTURE_MAX_NS = 1 * NS  # two processes read the clock in turn; more than this is a wrong clock


def judge_invariant(criterion: Criterion, seen: InvariantObservation) -> Finding:
    """Return whether every observation and the final one hold, with at least 99 % of them made."""
    if seen.expected == 0 or seen.observed == 0:
        return Finding(outcome=Outcome.NO_DATA, reason=Reason.EMPTY, n=0, detail="it was never observed")
    coverage = (Decimal(seen.observed) / seen.expected).quantize(Decimal("0.000001"))
    base = Finding(
        outcome=Outcome.PASS,
        reason=Reason.INVARIANT_HOLDS,
        detail=f"held in all {seen.observed} observations" + _worst_text(seen.worst, criterion.limit),
        estimate=seen.worst,
        n=seen.observed,
        failures=len(seen.violations),
        threshold=criterion.limit,
    )
    if seen.violations:
        words = f"{len(seen.violations)} of {seen.observed} broke it, first: {seen.violations[0]}"
        return _turn(base, Outcome.FAIL, Reason.INVARIANT_BROKEN, words + _worst_text(seen.worst, criterion.limit))
    if criterion.limit is not None and seen.worst is not None and abs(seen.worst) > criterion.limit:
        words = "the worst observation broke it" + _worst_text(seen.worst, criterion.limit)
        return _turn(base, Outcome.FAIL, Reason.INVARIANT_BROKEN, words)
    if not seen.final_holds:
        words = "it does not hold at the end" + _worst_text(seen.worst, criterion.limit)
        return _turn(base, Outcome.FAIL, Reason.INVARIANT_BROKEN, words)
    if coverage < COVERAGE_MIN or seen.observed < (criterion.n_min or 0):
        due = max(seen.expected, criterion.n_min or 0)
        words = f"{seen.observed} of {due} observations were made"
        return _coverage(base, words, "observations", due - seen.observed)
    return base


def judge_zero_events(criterion: Criterion, seen: CountObservation) -> Finding:
    """Return whether nothing happened in a long enough window; prints the Poisson upper bound per hour."""
    if seen.count:
        words = f"it happened {seen.count} times (limit 0)"
        return Finding(
            outcome=Outcome.FAIL,
            reason=Reason.EVENT_OCCURRED,
            detail=words,
            estimate=Decimal(seen.count),
            failures=seen.count,
            threshold=Decimal(0),
        )
    if seen.window_s == 0:
        return Finding(outcome=Outcome.NO_DATA, reason=Reason.EMPTY, detail="nothing was watched for 0 s")
    upper = poisson_upper(0, seen.window_s, criterion.alpha)
    base = Finding(
        outcome=Outcome.PASS,
        reason=Reason.INVARIANT_HOLDS,
        detail=f"none in {seen.window_s} s, at most {text(upper)} per hour",
        estimate=Decimal(0),
        upper=upper,
        failures=0,
        threshold=Decimal(0),
    )
    needed = criterion.window_min_s or 0
    if seen.window_s < needed:
        words = f"none in {seen.window_s} s of the {needed} s needed"
        return _coverage(base, words, "seconds", needed - seen.window_s)
    return base


def judge_time_in_spec(criterion: Criterion, seen: SliceObservation) -> Finding:
    """Return whether enough one-minute slices were good. A slice without data is bad.

    The slices are the whole window and no sample of it, so their share itself is judged; the bound is printed.
    """
    if criterion.p0 is None:
        raise ValueError(f"criterion {criterion.name} has no p0: add it to the plan")
    n = seen.good + seen.bad + seen.missing
    if seen.good + seen.bad == 0:
        return Finding(outcome=Outcome.NO_DATA, reason=Reason.EMPTY, n=n, detail="no slice has data")
    share = (Decimal(seen.good) / n).quantize(Decimal("0.000001"))
    base = Finding(
        outcome=Outcome.PASS,
        reason=Reason.BOUND_CLEARS,
        detail=f"{seen.good} of {n} minutes good, {share_text(share)} (needed {share_text(criterion.p0)}), "
        f"longest gap {seen.longest_gap_s} s",
        estimate=share,
        lower=clopper_pearson(seen.good, n, criterion.alpha).lower,
        n=n,
        failures=n - seen.good,
        threshold=criterion.p0,
    )
    if criterion.gap_max_s is not None and seen.longest_gap_s > criterion.gap_max_s:
        return _turn(base, Outcome.FAIL, Reason.BOUND_BELOW, f"{base.detail} (limit {criterion.gap_max_s} s)")
    if seen.good + seen.missing < criterion.p0 * n:
        return _turn(base, Outcome.FAIL, Reason.BOUND_BELOW, base.detail)
    if seen.good < criterion.p0 * n:
        return _coverage(base, f"{base.detail}; {seen.missing} minutes have no data", "minutes", seen.missing)
    if n < (criterion.n_min or 0):
        missing = (criterion.n_min or 0) - n
        return _coverage(base, f"{n} of the {criterion.n_min} minutes needed", "minutes", missing)
    return base


def judge_exercised(seen: ExercisedObservation) -> Finding:
    """Return whether the effect was provoked and seen; not provoked is no answer, not seen is a failure."""
    left = f" for {', '.join(seen.missing)}" if seen.missing else ""
    left += f": {seen.detail}" if seen.detail else ""
    if not seen.was_provoked:
        words = f"it was not provoked{left}"
        return Finding(outcome=Outcome.INCONCLUSIVE, reason=Reason.INSUFFICIENT_COVERAGE, detail=words)
    if not seen.was_seen:
        words = f"it was provoked and not seen{left}"
        return Finding(outcome=Outcome.FAIL, reason=Reason.INVARIANT_BROKEN, detail=words)
    if seen.missing:
        words = f"it was seen, but not{left}"
        return Finding(outcome=Outcome.INCONCLUSIVE, reason=Reason.INSUFFICIENT_COVERAGE, detail=words)
    return Finding(outcome=Outcome.PASS, reason=Reason.EXERCISED, detail=f"it was provoked and seen{left}")


def judge_completeness(seen: CompletenessObservation) -> Finding:
    """Return whether at least 99 % of the expected rows are there without a gap over three periods."""
    if seen.rows == 0 or seen.expected_rows == 0:
        return Finding(outcome=Outcome.NO_DATA, reason=Reason.EMPTY, n=seen.rows, detail="there is no row")
    if not seen.is_schema_valid:
        return Finding(outcome=Outcome.ERROR, reason=Reason.SCHEMA, detail="the rows do not match the schema")
    share = (Decimal(seen.rows) / seen.expected_rows).quantize(Decimal("0.000001"))
    base = Finding(
        outcome=Outcome.PASS,
        reason=Reason.BOUND_CLEARS,
        detail=f"{seen.rows} of {seen.expected_rows} rows, longest gap {text(seen.longest_gap_periods)} periods",
        estimate=share,
        n=seen.expected_rows,
        failures=max(0, seen.expected_rows - seen.rows),
        threshold=COVERAGE_MIN,
    )
    if seen.longest_gap_periods > GAP_PERIODS_MAX:
        return _turn(base, Outcome.FAIL, Reason.INVARIANT_BROKEN, f"{base.detail} (limit {GAP_PERIODS_MAX})")
    if share < COVERAGE_MIN:
        return _coverage(base, base.detail, "rows", seen.expected_rows - seen.rows)
    return base


def judge_readiness(criterion: Criterion, seen: ReadinessObservation, context: GateContext) -> Finding:
    """Return whether a figure was within its limit, and fresh when trading began; a plan may declare a grey zone."""
    needed_ns = context.now_ns if context.trading_started_ns is None else context.trading_started_ns
    age_s = max(0, needed_ns - seen.measured_ns) // NS
    if seen.measured_ns > context.now_ns + FUTURE_MAX_NS:
        return Finding(outcome=Outcome.NO_DATA, reason=Reason.STALE, detail="it was measured in the future")
    if criterion.max_age_s is not None and age_s > criterion.max_age_s:
        words = f"it was {age_s} s old (limit {criterion.max_age_s} s): measure again"
        return Finding(outcome=Outcome.NO_DATA, reason=Reason.STALE, detail=words)
    if criterion.limit is None:
        if seen.holds is None:
            return Finding(outcome=Outcome.NO_DATA, reason=Reason.ALL_NULL, detail="it has no answer")
        if not seen.holds:
            words = seen.detail or "it does not hold"
            return Finding(outcome=Outcome.FAIL, reason=Reason.INVARIANT_BROKEN, detail=words)
        words = seen.detail or "it holds"
        return Finding(outcome=Outcome.PASS, reason=Reason.INVARIANT_HOLDS, detail=words)
    if seen.value is None:
        words = seen.detail or "it has no value"
        return Finding(outcome=Outcome.NO_DATA, reason=Reason.ALL_NULL, detail=words)
    return _within(criterion, seen, abs(seen.value), criterion.limit)


def _within(criterion: Criterion, seen: ReadinessObservation, size: Decimal, limit: Decimal) -> Finding:
    shown = f"{text(seen.value)} {seen.unit}".rstrip()
    base = Finding(
        outcome=Outcome.PASS,
        reason=Reason.INVARIANT_HOLDS,
        detail=f"{shown} (limit {text(limit)})",
        estimate=seen.value,
        threshold=limit,
    )
    if size > limit or seen.holds is False:
        return _turn(base, Outcome.FAIL, Reason.INVARIANT_BROKEN, base.detail)
    if criterion.warn_above is not None and size >= criterion.warn_above:
        words = f"{shown} is in the grey zone from {text(criterion.warn_above)} to {text(limit)}"
        return _turn(base, Outcome.WARN, Reason.GREY_ZONE, words)
    return base


def judge_comparison(criterion: Criterion, seen: ComparisonObservation, context: GateContext) -> Finding:
    """Return whether the figure is within the margin of each of the last GO runs and of the golden run."""
    kept = context.baselines.get(criterion.metric, Baseline())
    values, golden = seen.baselines or kept.values, seen.golden if seen.golden is not None else kept.golden
    if len(values) < BASELINES_NEEDED or golden is None:
        words = f"{len(values)} earlier good runs (needed {BASELINES_NEEDED}), golden run: {text(golden)}"
        return Finding(outcome=Outcome.NO_DATA, reason=Reason.NO_BASELINE, detail=words, estimate=seen.value)
    strictest = min(*values[:BASELINES_NEEDED], golden)
    base = Finding(
        outcome=Outcome.PASS,
        reason=Reason.BOUND_CLEARS,
        detail=f"{text(seen.value)} against {text(strictest)} with a margin of {text(seen.margin)}",
        estimate=seen.value,
        n=len(values),
        threshold=strictest + seen.margin,
    )
    if seen.value > strictest + seen.margin:
        return _turn(base, Outcome.FAIL, Reason.BOUND_BELOW, base.detail)
    return base


def _worst_text(worst: Decimal | None, limit: Decimal | None) -> str:
    if worst is None:
        return ""
    return f", worst {text(worst)}" + ("" if limit is None else f" (limit {text(limit)})")


def _turn(base: Finding, outcome: Outcome, reason: Reason, words: str) -> Finding:
    return base.model_copy(update={"outcome": outcome, "reason": reason, "detail": words})


def _coverage(base: Finding, words: str, unit: str, more: int) -> Finding:
    shortfall = Shortfall(unit=unit, more=more, sentence=f"{more} more {unit} are needed")
    turned = _turn(base, Outcome.INCONCLUSIVE, Reason.INSUFFICIENT_COVERAGE, f"{words}; {shortfall.sentence}")
    return turned.model_copy(update={"shortfall": shortfall})
