"""From traces, snapshots and the timeline to latencies, checkpoints and the summary. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_CEILING, Decimal

from trading_core import events as ev
from trading_core.artifact_base import Header
from trading_core.artifact_figures import (
    CheckpointRow,
    Checkpoints,
    CheckpointState,
    Distance,
    LatencyRow,
    Leg,
    LegFigures,
    OrderLatencies,
)
from trading_core.artifact_orders import AnswerKind, Trace
from trading_core.artifact_refusals import was_accepted, was_rejected, was_sent
from trading_core.clock import NS
from trading_core.gate.evidence import Tally
from trading_core.gate.statistics import e_value
from trading_core.money import plain
from trading_core.plan import Criterion, Kind, Plan

MS_NS = 1_000_000
SHARES = {"p50": Decimal("0.5"), "p90": Decimal("0.9"), "p95": Decimal("0.95"), "p99": Decimal("0.99")}
ACCEPTANCE = frozenset({"order_acceptance", "order_rejected_share"})
LOG_DIGITS = Decimal("0.0001")


class LatencyTable:
    """Makes the rows of orders, each once for as long as its trace stays the same object."""

    def __init__(self) -> None:
        # By identity of the trace, which is kept, so that no other object takes its identity.
        self._known: dict[int, tuple[Trace, LatencyRow]] = {}

    def artifact(self, header: Header, traces: Iterable[Trace]) -> OrderLatencies:
        """Return the latencies of all orders that were sent."""
        self._known = {
            id(t): self._known.get(id(t)) or (t, latency_row(t)) for t in traces if was_sent(t)
        }
        rows = tuple(row for _, row in self._known.values())
        by_symbol: dict[str, list[LatencyRow]] = {}
        for row in rows:
            by_symbol.setdefault(row.product_id, []).append(row)
        return OrderLatencies(
            header=header, pooled=legs(rows), rows=rows,
            by_symbol={name: legs(group) for name, group in sorted(by_symbol.items())},
        )


def latency_row(trace: Trace) -> LatencyRow:
    """Return the legs of one order; raises ValueError for one that was not sent."""
    sent = trace.submit
    if sent is None:
        raise ValueError(f"{trace.signal_id} was not sent: it has no latency")
    first = min((fill.ts for fill in trace.fills), default=None)
    return LatencyRow(
        seq=sent.seq, ts=sent.ts, client_order_id=trace.client_order_id, product_id=trace.product_id,
        purpose=trace.purpose,
        decision_to_submit_ms=None if trace.signal is None else _ms(sent.ts - trace.signal.ts),
        submit_to_answer_ms=trace.answer.latency_ms if trace.answer else None,
        # The venue stamps fills: a clock that differs must not make one come before its order.
        submit_to_first_fill_ms=None if first is None else max(_ms(first - sent.ts), Decimal(0)),
    )


def legs(rows: Sequence[LatencyRow]) -> dict[Leg, LegFigures]:
    """Return the percentiles of each leg that ended at least once."""
    found = {leg: sorted(v for row in rows if (v := getattr(row, leg.value)) is not None) for leg in Leg}
    return {leg: _figures(values) for leg, values in found.items() if values}


def percentile(ordered: Sequence[Decimal], share: Decimal) -> Decimal:
    """Return the smallest value that at least this share of the ordered values does not exceed."""
    rank = int((share * len(ordered)).to_integral_value(ROUND_CEILING))
    return ordered[max(rank, 1) - 1]


def checkpoint_row(seq: int, event: ev.CheckpointReached, plan: Plan, traces: Iterable[Trace]) -> CheckpointRow:
    """Return what the traces had shown when the checkpoint was reached, beside the figures that it recorded."""
    counted = [t for t in traces if not t.is_probe]
    accepted, rejected = sum(map(was_accepted, counted)), sum(map(was_rejected, counted))
    late = event.late_s < 0
    words = f"{plain(-event.late_s)} s before it was due" if late else f"{plain(event.late_s)} s after it was due"
    return CheckpointRow(
        at_h=event.at_h, state=CheckpointState.AT_END if late else CheckpointState.REACHED,
        detail=f"the run ended {words}" if late else words, seq=seq, ts=event.ts_ns,
        equity=event.figures.get("equity"), pnl=event.figures.get("pnl"), accepted=accepted, rejected=rejected,
        e_log10=_evidence(plan.criteria, Tally(successes=accepted, failures=rejected), counted),
        guardrails=_distances(plan, event.figures),
    )


def checkpoints(header: Header, plan: Plan, reached: Sequence[CheckpointRow]) -> Checkpoints:
    """Return a row for each checkpoint of the plan: what was not reached is said to be missing."""
    by_hour = {row.at_h: row for row in reached}
    hours = tuple(sorted(set(plan.protocol.checkpoints_h)))
    lasted = f"{(header.window_end - header.window_start) / NS / 3600:.2f}"
    rows = tuple(
        by_hour.get(h)
        or CheckpointRow(at_h=h, state=CheckpointState.MISSING, detail=f"no figures: the events span {lasted} h")
        for h in hours
    )
    return Checkpoints(header=header, planned_h=hours, rows=rows)


def _evidence(criteria: Iterable[Criterion], acceptance: Tally, traces: Sequence[Trace]) -> dict[str, Decimal]:
    found = {}
    for criterion in criteria:
        if criterion.p0 is None:
            continue
        if criterion.metric in ACCEPTANCE:
            tally = acceptance
        elif criterion.kind is Kind.LATENCY_QUANTILE and criterion.quantile_limit is not None:
            tally = _within(traces, criterion.quantile_limit)
        else:
            continue
        found[criterion.name] = e_value(tally, criterion.p0).log10().quantize(LOG_DIGITS)
    return found


def _within(traces: Iterable[Trace], limit: Decimal) -> Tally:
    answers = [t.answer for t in traces if t.answer is not None or any(a.kind is AnswerKind.LOST for a in t.answers)]
    good = sum(a is not None and a.latency_ms is not None and a.latency_ms <= limit for a in answers)
    return Tally(successes=good, failures=len(answers) - good)


def _distances(plan: Plan, figures: Mapping[str, Decimal]) -> dict[str, Distance]:
    known = [(g, figures[g.metric]) for g in plan.guardrails if g.metric in figures]
    return {g.name: Distance(observed=value, limit=g.limit, left=g.limit - value) for g, value in known}


def _figures(ordered: Sequence[Decimal]) -> LegFigures:
    shares = {name: percentile(ordered, share) for name, share in SHARES.items()}
    return LegFigures(n=len(ordered), worst=ordered[-1], **shares)


def _ms(ns: int) -> Decimal:
    return Decimal(ns) / MS_NS


def count_severities(names: Iterable[str]) -> dict[str, int]:
    """Return how often each severity occurs, sorted by name."""
    return dict(sorted(Counter(names).items()))
