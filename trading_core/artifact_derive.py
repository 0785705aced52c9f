"""From traces, snapshots and the timeline to latencies, checkpoints and the summary. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from decimal import ROUND_CEILING, Decimal
from typing import TypeAlias

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
from trading_core.plan import Kind, Plan

MS_NS = 1_000_000
SHARES = {"p50": Decimal("0.5"), "p90": Decimal("0.9"), "p95": Decimal("0.95"), "p99": Decimal("0.99")}
ACCEPTANCE = frozenset({"order_acceptance", "order_rejected_share"})
LOG_DIGITS = Decimal("0.0001")
Latencies: TypeAlias = dict[str, dict[Leg, list[Decimal]]]  # by product


class LatenciesSoFar:
    """The latencies of settled orders, kept as values; those of the others are read anew at each look."""

    def __init__(self) -> None:
        self._settled: Latencies = {}

    def settle(self, traces: Iterable[Trace]) -> list[LatencyRow]:
        """Take traces that change no more; return the rows of those that were sent."""
        rows = _rows(traces)
        _gather(self._settled, rows)
        for legs in self._settled.values():
            for values in legs.values():
                values.sort()
        return rows

    def artifact(self, header: Header, live: Iterable[Trace]) -> OrderLatencies:
        """Return the latencies of the settled orders and of these; its rows are of the latter."""
        rows = _rows(live)
        found = {name: {leg: [*values] for leg, values in legs.items()} for name, legs in self._settled.items()}
        _gather(found, rows)
        pooled = {leg: [value for legs in found.values() for value in legs[leg]] for leg in Leg}
        return OrderLatencies(
            header=header, pooled=_leg_figures(pooled), rows=tuple(rows),
            by_symbol={name: _leg_figures(legs) for name, legs in sorted(found.items())},
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


def percentile(ordered: Sequence[Decimal], share: Decimal) -> Decimal:
    """Return the smallest value that at least this share of the ordered values does not exceed."""
    rank = int((share * len(ordered)).to_integral_value(ROUND_CEILING))
    return ordered[max(rank, 1) - 1]


class ShownSoFar:
    """What the orders have shown of the criteria that a checkpoint tells of, probes left out."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._acceptance = Tally(successes=0, failures=0)
        self._within = {
            c.quantile_limit: self._acceptance for c in plan.criteria
            if c.kind is Kind.LATENCY_QUANTILE and c.quantile_limit is not None
        }

    def add(self, trace: Trace) -> None:
        """Take a trace."""
        if trace.is_probe:
            return
        self._acceptance = _plus(self._acceptance, was_accepted(trace), was_rejected(trace))
        answer = trace.answer
        if answer is not None or any(a.kind is AnswerKind.LOST for a in trace.answers):
            latency_ms = None if answer is None else answer.latency_ms
            for limit, tally in self._within.items():
                is_good = latency_ms is not None and latency_ms <= limit
                self._within[limit] = _plus(tally, is_good, not is_good)

    def with_live(self, traces: Iterable[Trace]) -> ShownSoFar:
        """Return what these traces make of it; this one stays as it is."""
        both = copy(self)
        both._within = dict(self._within)
        for trace in traces:
            both.add(trace)
        return both

    def checkpoint(self, seq: int, event: ev.CheckpointReached) -> CheckpointRow:
        """Return what was shown when the checkpoint was reached, beside the figures that it recorded."""
        late = event.late_s < 0
        words = f"{plain(-event.late_s)} s before it was due" if late else f"{plain(event.late_s)} s after it was due"
        return CheckpointRow(
            at_h=event.at_h, state=CheckpointState.AT_END if late else CheckpointState.REACHED,
            detail=f"the run ended {words}" if late else words, seq=seq, ts=event.ts_ns,
            equity=event.figures.get("equity"), pnl=event.figures.get("pnl"),
            accepted=self._acceptance.successes, rejected=self._acceptance.failures, e_log10=self._evidence(),
            guardrails=_distances(self._plan, event.figures),
        )

    def _evidence(self) -> dict[str, Decimal]:
        found = {}
        for criterion in self._plan.criteria:
            if criterion.p0 is None:
                continue
            if criterion.metric in ACCEPTANCE:
                tally = self._acceptance
            elif criterion.kind is Kind.LATENCY_QUANTILE and criterion.quantile_limit is not None:
                tally = self._within[criterion.quantile_limit]
            else:
                continue
            found[criterion.name] = e_value(tally, criterion.p0).log10().quantize(LOG_DIGITS)
        return found


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


def _plus(tally: Tally, is_good: bool, is_bad: bool) -> Tally:
    return Tally(successes=tally.successes + is_good, failures=tally.failures + is_bad)


def _distances(plan: Plan, figures: Mapping[str, Decimal]) -> dict[str, Distance]:
    known = [(g, figures[g.metric]) for g in plan.guardrails if g.metric in figures]
    return {g.name: Distance(observed=value, limit=g.limit, left=g.limit - value) for g, value in known}


def _rows(traces: Iterable[Trace]) -> list[LatencyRow]:
    return [latency_row(trace) for trace in traces if was_sent(trace)]


def _gather(latencies: Latencies, rows: Iterable[LatencyRow]) -> None:
    for row in rows:
        legs = latencies.setdefault(row.product_id, {leg: [] for leg in Leg})
        for leg, values in legs.items():
            if (value := getattr(row, leg.value)) is not None:
                values.append(value)


def _leg_figures(legs: Mapping[Leg, Sequence[Decimal]]) -> dict[Leg, LegFigures]:
    """Return the percentiles of each leg that ended at least once."""
    return {leg: _figures(sorted(values)) for leg, values in legs.items() if values}


def _figures(ordered: Sequence[Decimal]) -> LegFigures:
    shares = {name: percentile(ordered, share) for name, share in SHARES.items()}
    return LegFigures(n=len(ordered), worst=ordered[-1], **shares)


def _ms(ns: int) -> Decimal:
    return Decimal(ns) / MS_NS
