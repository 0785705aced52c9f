"""Every metric that a run's evidence can answer, by name, and the one call that answers a plan's criteria."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal

from trading_core.events import AnyEvent
from trading_core.gate.criteria import OBSERVED_BY
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
from trading_core.gate.outcomes import Reason
from trading_core.metrics import books, costs, orders, slices, steps, steps_size
from trading_core.metrics.evidence import Evidence, Unusable
from trading_core.metrics.facts import Facts, View
from trading_core.plan import Criterion, Plan

Metric = Callable[[View], Observation]
METRICS: dict[str, Metric] = {
    "order_acceptance": orders.order_acceptance,
    "order_rejected_share": orders.order_acceptance,  # one figure, two limits: see the plans' settled section
    "signal_acceptance": orders.signal_acceptance,
    "place_order_latency_ms": orders.place_order_latency,
    "retries_per_order": orders.retries_per_order,
    "gtd_never_sent": orders.gtd_never_sent,
    "fee_equals_tier": orders.fee_equals_tier,
    "reconciliation": books.reconciliation,
    "equity_identity": books.equity_identity,
    "daily_loss": books.daily_loss,
    "flat_at_end": books.flat_at_end,
    "feed_moves": books.feed_moves,
    "cross_asset_correlation": books.cross_asset_correlation,
    "websocket_staleness_s": slices.websocket_staleness,
    "margin_utilization": slices.margin_utilization,
    "snapshots_complete": slices.snapshots_complete,
    "saves_complete": slices.saves_complete,
    "artifacts_complete": slices.artifacts_complete,
    "rate_limit_errors": slices.rate_limit_errors,
    "unexpected_exceptions": slices.unexpected_exceptions,
    "margin_events": slices.margin_events,
    "spread_rejections_share": slices.spread_rejections_share,
    "event_chain": slices.event_chain,
    "post_only_placed": steps.exercised("post_only_entry", steps.post_only_placed),
    "crossing_rejected": steps.exercised("crossing_rejected", steps.crossing_rejected),
    "sized_down": steps.exercised("oversize_sized_down", steps.sized_down),
    "auto_cancel": steps.exercised("auto_cancel", steps.auto_cancel),
    "stop_limit_placed": steps.exercised("stop_limit", steps.stop_limit_placed),
    "entry_exit_pnl": steps.exercised("entry_and_exit", steps.entry_exit_pnl),
    "kill_switch_drill": steps.exercised("kill_switch_drill", steps.kill_switch_drill),
    "websocket_reconnect": steps.websocket_reconnect,
    "margin_window_transitions": steps.margin_window_transitions,
    "bracket_placed": steps.exercised("bracket", steps_size.bracket_placed),
    "order_types_placed": steps.exercised("order_types", steps_size.order_types_placed),
    "size_reached": steps.exercised("size_step", steps_size.size_reached),
    "reduce_only_transition": steps.exercised("reduce_only_transition", steps_size.reduce_only_transition),
    "strategy_selected": steps_size.strategy_selected,
    "slippage_vs_baseline": costs.slippage_vs_baseline,
    "latency_vs_baseline": costs.latency_vs_baseline,
    "funding_accrued": costs.funding_accrued,
}


def observe(
    plan: Plan, evidence: Evidence, events: Iterable[tuple[int, AnyEvent]], chain_error: str | None = None
) -> tuple[Observation, ...]:
    """Return one observation for each metric of the plan's criteria that evidence and events can answer.

    `chain_error` says why the event store's hash chain does not verify; None means that it was verified.
    Unusable evidence gives an observation with the problem and its reason, never an exception and never a zero.
    """
    facts = Facts(events)
    found: dict[str, Observation] = {}
    for criterion in plan.criteria:
        if criterion.metric in METRICS and criterion.metric not in found:
            view = View(plan, criterion, evidence, facts, chain_error)
            found[criterion.metric] = _answer(view)
    return tuple(found.values())


def unusable(criterion: Criterion, reason: Reason, detail: str, refs: tuple[EvidenceRef, ...] = ()) -> Observation:
    """Return the observation that says why a criterion has no figures; those beside the problem mean nothing."""
    base = {"metric": criterion.metric, "problem": reason, "detail": detail, "refs": refs}
    kind = OBSERVED_BY[criterion.kind]
    nothing: dict[type[Observation], dict[str, object]] = {
        RateObservation: {"pooled": Tally(successes=0, failures=0)},
        InvariantObservation: {"expected": 0, "observed": 0, "final_holds": False},
        CountObservation: {"count": 0, "window_s": 0},
        SliceObservation: {"good": 0, "bad": 0, "missing": 0, "longest_gap_s": 0},
        ExercisedObservation: {"was_provoked": False, "was_seen": False},
        CompletenessObservation: {
            "rows": 0, "expected_rows": 0, "longest_gap_periods": Decimal(0), "is_schema_valid": False
        },
        CompositionObservation: {"part": 0, "whole": 0},
        ReadinessObservation: {"measured_ns": 0},
        ComparisonObservation: {"value": Decimal(0), "margin": Decimal(0)},
    }
    return kind.model_validate(base | nothing[kind])


def _answer(view: View) -> Observation:
    try:
        return METRICS[view.metric](view)
    except Unusable as e:
        if e.reason is Reason.PRECONDITION_FALSE:
            refs = tuple(a.ref for a in view.evidence.artifacts.values() if a.ref and a.problem is None)
            return unusable(view.criterion, e.reason, e.detail, refs)
        return unusable(view.criterion, e.reason, e.detail)
