"""Plan lint of evidence: can the plan show what it demands, and can what it demands be produced?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal

from trading_core.errors import ConfigurationError
from trading_core.gate.catalog import CHOSEN_BY, EXERCISED_BY, PRODUCED_BY, STEPS
from trading_core.gate.lint_model import Bench, LintCheck, PlanFinding, refuse, warn
from trading_core.gate.result import share_text, text
from trading_core.gate.statistics import ALPHA, orders_needed
from trading_core.orders import TimeInForce
from trading_core.plan import Criterion, Kind, Plan, Stage, Tier
from trading_core.strategies.port import load_strategy

SECONDS_PER_MINUTE = 60
SYMBOLS_TO_DRILL = 2


# ── statistics: can the plan show what it demands? ──────────────────────────────────────────────
def planned_orders(plan: Plan) -> int:
    """Return how many orders the strategy can send in the window: one each `interval_s`."""
    return plan.protocol.window_s // plan.entry.interval_s


def provable_rates(bench: Bench) -> Iterator[PlanFinding]:
    """A rate needs as many orders as the e-process takes without one failure; one failure should be affordable."""
    planned = planned_orders(bench.plan)
    for criterion in _of_kind(bench.plan, Kind.RATE, Kind.LATENCY_QUANTILE):
        if criterion.tier is Tier.NICE or criterion.p0 is None or not _is_share(criterion.p0):
            continue
        needed = max(orders_needed(criterion.p0, 0, criterion.alpha), criterion.n_min or 0)
        spare = orders_needed(criterion.p0, 1, criterion.alpha)
        what = f"{planned} orders are planned, {share_text(criterion.p0)} needs {needed}"
        if planned < needed:
            yield refuse(_key(criterion), f"{what} even without one failure: lengthen the window")
        elif planned < spare:
            yield warn(_key(criterion), f"{what}, and {spare} after one failure: then it must be extended")


def provable_windows(bench: Bench) -> Iterator[PlanFinding]:
    """A minimum of minutes or seconds must fit into the window."""
    window_s = bench.plan.protocol.window_s
    for criterion in bench.plan.criteria:
        asked_s = criterion.window_min_s or 0
        if criterion.kind is Kind.TIME_IN_SPEC:
            asked_s = max(asked_s, (criterion.n_min or 0) * SECONDS_PER_MINUTE)
        if asked_s > window_s:
            yield refuse(_key(criterion), f"it asks for {asked_s} s, the window is {window_s} s: lengthen the window")


def complete_bounds(bench: Bench) -> Iterator[PlanFinding]:
    """Each kind has the bounds that it is judged by; shares lie between 0 and 1."""
    by_share = (Kind.RATE, Kind.LATENCY_QUANTILE, Kind.TIME_IN_SPEC)
    for criterion in bench.plan.criteria:
        if criterion.kind in by_share and not _is_share(criterion.p0):
            yield refuse(_key(criterion), f"p0 is {text(criterion.p0)}: write a share between 0 and 1")
        if criterion.kind is Kind.LATENCY_QUANTILE and criterion.quantile_limit is None:
            yield refuse(_key(criterion), "it has no quantile_limit: write the milliseconds of the quantile p0")
        if criterion.kind is Kind.COMPOSITION and not _is_share(criterion.limit):
            yield refuse(_key(criterion), f"limit is {text(criterion.limit)}: write a share between 0 and 1")
        if not 0 < criterion.alpha <= ALPHA:
            yield refuse(_key(criterion), f"alpha is {text(criterion.alpha)} (limit {text(ALPHA)}): lower it")


def latency_has_quantile(bench: Bench) -> Iterator[PlanFinding]:
    """A latency limit means nothing without a quantile."""
    for criterion in bench.plan.criteria:
        if "latency" in criterion.metric and criterion.kind not in (Kind.LATENCY_QUANTILE, Kind.COMPARISON):
            words = f"{criterion.metric} is judged as {criterion.kind}: a latency limit needs a quantile"
            yield refuse(_key(criterion), words)


def grey_zone_below_limit(bench: Bench) -> Iterator[PlanFinding]:
    """The grey zone starts below the limit."""
    for criterion in bench.plan.criteria:
        if criterion.warn_above is None:
            continue
        if criterion.limit is None or criterion.warn_above >= criterion.limit:
            words = f"warn_above {text(criterion.warn_above)} is not below the limit {text(criterion.limit)}"
            yield refuse(_key(criterion), words)


def agreeing_thresholds(bench: Bench) -> Iterator[PlanFinding]:
    """Acceptance and rejection are one figure: of two musts on it, one can never decide."""
    pair = {"order_acceptance", "order_rejected_share"}
    musts = [c for c in bench.plan.criteria if c.metric in pair and c.tier is Tier.MUST and c.p0 is not None]
    if len({c.p0 for c in musts}) > 1:
        looser = min(musts, key=lambda c: (c.p0 or 0, c.name))
        words = f"{share_text(looser.p0 or Decimal(0))} can never decide beside the stricter one on the same orders"
        yield warn(_key(looser), words)


# ── evidence: can it be produced at all? ────────────────────────────────────────────────────────
def producible_metrics(bench: Bench) -> Iterator[PlanFinding]:
    """A criterion names a metric that its stage produces, and each name once."""
    names = [criterion.name for criterion in bench.plan.criteria]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield refuse(f"criteria.{name}", "the name is used twice: each criterion needs its own")
    for criterion in bench.plan.criteria:
        stages = PRODUCED_BY.get(criterion.metric)
        if stages is None:
            yield refuse(_key(criterion), f"nobody produces the metric {criterion.metric}: check its spelling")
        elif criterion.stage not in stages:
            made = " or ".join(stages)
            yield refuse(_key(criterion), f"{criterion.stage} does not produce {criterion.metric}: {made} does")


def exercised_musts(bench: Bench) -> Iterator[PlanFinding]:
    """What must be seen must be provoked by a step of the protocol."""
    for criterion in _of_kind(bench.plan, Kind.EXERCISED):
        step = EXERCISED_BY.get(criterion.metric)
        if criterion.tier is Tier.NICE or criterion.stage is not Stage.LIVE_MICRO_TEST:
            continue
        say = refuse if criterion.tier is Tier.MUST else warn
        chooser = CHOSEN_BY.get(criterion.metric)
        if chooser is not None:
            if bench.plan.entry.strategy != chooser:
                yield say(_key(criterion), f"no strategy provokes it: let the plan's entry name {chooser!r}")
        elif step is None:
            yield say(_key(criterion), "no step of any protocol provokes it: it can only happen by itself")
        elif step not in bench.plan.protocol.steps:
            yield say(_key(criterion), f"no step provokes it: add {step!r} to the protocol's steps")


def known_steps(bench: Bench) -> Iterator[PlanFinding]:
    """Each step of the protocol exists."""
    for step in bench.plan.protocol.steps:
        if step not in STEPS:
            yield refuse("protocol.steps", f"nobody knows the step {step!r}: choose from {', '.join(sorted(STEPS))}")


def a_must_at_all(bench: Bench) -> Iterator[PlanFinding]:
    """An empty gate lets nothing through."""
    if not any(criterion.tier is Tier.MUST for criterion in bench.plan.criteria):
        yield refuse("criteria", "no criterion is a must: such a gate is always NO-GO")


def comparable_at_first(bench: Bench) -> Iterator[PlanFinding]:
    """The first run has no earlier ones to compare itself with: the budget of shoulds must carry that."""
    shoulds = [c.name for c in _of_kind(bench.plan, Kind.COMPARISON) if c.tier is Tier.SHOULD]
    if len(shoulds) > bench.plan.should_budget:
        words = f"{', '.join(shoulds)} have nothing to compare with in a first run, the budget is"
        yield refuse("should_budget", f"{words} {bench.plan.should_budget}: no first GO is possible, raise it")


def strategy_loads(bench: Bench) -> Iterator[PlanFinding]:
    """The strategy is there and takes its parameters."""
    try:
        load_strategy(bench.plan.entry, 0)
    except ConfigurationError as e:
        yield refuse("entry.strategy", str(e))


def enough_symbols(bench: Bench) -> Iterator[PlanFinding]:
    """The reduce-only drill takes every symbol but the first, which the kill switch drills."""
    if "reduce_only_transition" in bench.plan.protocol.steps and len(bench.plan.products) < SYMBOLS_TO_DRILL:
        words = f"the reduce-only drill needs {SYMBOLS_TO_DRILL} products, the plan has {len(bench.plan.products)}"
        yield refuse("protocol.steps", f"{words}: the kill switch drills the first")


def gtd_is_gated(bench: Bench) -> Iterator[PlanFinding]:
    """GTD is refused on every rung."""
    if TimeInForce.GTD in bench.plan.policy.time_in_force:
        yield refuse("policy.time_in_force", "it names GTD, which is gated on every rung: remove it")


EVIDENCE_CHECKS: tuple[LintCheck, ...] = (
    provable_rates, provable_windows, complete_bounds, latency_has_quantile, grey_zone_below_limit,
    agreeing_thresholds, producible_metrics, exercised_musts, known_steps, a_must_at_all, gtd_is_gated,
    comparable_at_first, strategy_loads, enough_symbols,
)


def _is_share(value: Decimal | None) -> bool:
    return value is not None and 0 < value < 1


def _of_kind(plan: Plan, *kinds: Kind) -> Iterable[Criterion]:
    return (criterion for criterion in plan.criteria if criterion.kind in kinds)


def _key(criterion: Criterion) -> str:
    return f"criteria.{criterion.name}"
