"""Metrics of cost and speed that are held against earlier runs, and of funding."""

from __future__ import annotations

from collections import Counter
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal
from itertools import pairwise

from trading_core import events as ev
from trading_core.artifacts import ExecutionLogs, MarginSnapshots, ReconciliationHistory
from trading_core.clock import NS, iso
from trading_core.funding import FUNDING_STEP
from trading_core.gate.evidence import ComparisonObservation, InvariantObservation
from trading_core.gate.outcomes import Reason
from trading_core.metrics.evidence import Unusable
from trading_core.metrics.facts import View, sent_traces
from trading_core.money import ONE, ZERO, plain

HOUR_NS = 3600 * NS
SLIPPAGE_MARGIN_BPS = Decimal(1)  # a fifth of what the impact model expects of taking the touch
LATENCY_MARGIN_MS = Decimal(50)  # a tenth of the limit
QUANTILE = Decimal("0.95")


def slippage_vs_baseline(view: View) -> ComparisonObservation:
    """Return the mean slippage of all fills against the mid at submit, in bps, weighted by notional."""
    fills = [f for t in view.evidence.get(ExecutionLogs).rows for f in t.fills if f.slippage_bps is not None]
    notional = sum((f.notional for f in fills), ZERO)
    if not notional:
        raise Unusable(Reason.EMPTY, "there was no fill")
    cost = sum(((f.slippage_bps or ZERO) * f.notional for f in fills), ZERO)
    return ComparisonObservation(
        metric=view.metric, refs=view.evidence.refs(ExecutionLogs), detail=f"{len(fills)} fills",
        value=(cost / notional).quantize(Decimal("0.0001")), margin=view.limit(SLIPPAGE_MARGIN_BPS),
    )


def latency_vs_baseline(view: View) -> ComparisonObservation:
    """Return the 95th percentile of the latencies of all answers, in milliseconds."""
    traces = sent_traces(view.evidence.get(ExecutionLogs).rows)
    found = sorted(t.answer.latency_ms for t in traces if t.answer and t.answer.latency_ms is not None)
    if not found:
        raise Unusable(Reason.EMPTY, "no order was answered")
    rank = int((QUANTILE * len(found)).to_integral_value(ROUND_CEILING)) - 1
    return ComparisonObservation(
        metric=view.metric, refs=view.evidence.refs(ExecutionLogs), detail=f"{len(found)} answers",
        value=found[rank], margin=view.limit(LATENCY_MARGIN_MS),
    )


def funding_accrued(view: View) -> InvariantObservation:
    """Return whether funding changed at each full hour over which a future was held."""
    margin = {row.seq: row.margin_used for row in view.evidence.get(MarginSnapshots).rows}
    rows = view.evidence.get(ReconciliationHistory).rows
    if not any(margin.values()):
        raise Unusable(Reason.PRECONDITION_FALSE, "no margin was ever used, so no future was held and none paid")
    # The snapshots on either side of a full hour; funding is due when a future was held at both.
    held = [
        (a, b) for a, b in pairwise(rows)
        if a.ts // HOUR_NS != b.ts // HOUR_NS and margin.get(a.seq) and margin.get(b.seq)
    ]
    paid = [b for a, b in held if a.funding != b.funding]
    accruals = view.facts.of(ev.FundingAccrued)
    sizes = view.evidence.get(ExecutionLogs).contract_sizes
    broken = [f"event {seq}: {plain(e.amount)} is not position, mark and rate" for seq, e in accruals
              if e.amount != _funding(e, sizes.get(e.product_id, ONE))]
    times = Counter((e.product_id, e.funding_ns) for _, e in accruals)
    broken += [f"{product_id} was accrued {n} times at {iso(at)}" for (product_id, at), n in times.items() if n > 1]
    return InvariantObservation(
        metric=view.metric, refs=view.evidence.refs(ReconciliationHistory, MarginSnapshots),
        event_seqs=tuple(b.seq for b in paid[:20]), expected=len(held), observed=len(paid),
        violations=tuple(broken[:20]), final_holds=not broken,
    )


def _funding(event: ev.FundingAccrued, contract_size: Decimal) -> Decimal:
    """Return what the record's own figures give: longs pay at a positive rate."""
    amount = -event.position * contract_size * event.mark * event.rate
    return amount.quantize(FUNDING_STEP, ROUND_HALF_EVEN)
