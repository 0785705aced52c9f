"""From decision traces to the counts: sent, accepted, rejected, denied, and every refusal by its exact reason."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import TypeVar

from trading_core.artifacts import AnswerKind, ReasonCount, RefusalRow, RefusedBy, Totals, Trace
from trading_core.orders import OrderStatus, Purpose

PROBES = frozenset(purpose for purpose in Purpose if purpose.startswith("PROBE_"))
REFUSED_LATER = frozenset({OrderStatus.REJECTED, OrderStatus.FAILED})

Key = TypeVar("Key", bound=str)


def was_sent(trace: Trace) -> bool:
    """Tell whether the order left for the venue."""
    return trace.submit is not None and not (trace.denial is not None and trace.denial.is_withheld)


def was_accepted(trace: Trace) -> bool:
    """Tell whether the venue took the order; one whose answer was lost counts once a report shows it.

    A bracket is part of the order that it guards: it counts neither here nor as rejected.
    """
    if trace.guards:
        return False
    if trace.answer is not None:
        return trace.answer.kind is AnswerKind.ACCEPTED
    return bool(trace.reports) and trace.reports[-1].status not in REFUSED_LATER


def was_rejected(trace: Trace) -> bool:
    """Tell whether the venue refused the order, in its answer or, after a lost one, in its report."""
    if trace.guards:
        return False
    if trace.answer is not None:
        return trace.answer.kind is AnswerKind.REJECTED
    return bool(trace.reports) and trace.reports[-1].status in REFUSED_LATER


def totals(traces: Iterable[Trace]) -> Totals:
    """Count orders by what became of them. Sent, but never seen by the venue: in none of the last counts."""
    signals = sent = accepted = rejected = denied = withheld = unresolved = 0
    for trace in traces:
        signals += trace.signal is not None
        if (denial := trace.denial) is not None:
            denied += not denial.is_withheld
            withheld += denial.is_withheld
        is_sent, is_accepted = was_sent(trace), was_accepted(trace)
        is_rejected = not is_accepted and was_rejected(trace)
        sent, accepted, rejected = sent + is_sent, accepted + is_accepted, rejected + is_rejected
        if is_sent and not is_accepted and not is_rejected:
            unresolved += not (trace.answers and trace.answers[-1].kind is AnswerKind.NOT_FOUND)
    return Totals(
        signals=signals, sent=sent, accepted=accepted, rejected=rejected, denied=denied, withheld=withheld,
        unresolved=unresolved,
    )


def by_symbol(traces: Iterable[Trace]) -> dict[str, Totals]:
    """Return the totals of each product."""
    return {key: totals(group) for key, group in _grouped((t.product_id, t) for t in traces).items()}


def by_purpose(traces: Iterable[Trace]) -> dict[Purpose, Totals]:
    """Return the totals of each purpose."""
    return {key: totals(group) for key, group in _grouped((t.purpose, t) for t in traces).items()}


def refusals(traces: Iterable[Trace]) -> tuple[RefusalRow, ...]:
    """Return one row for each denial and each rejection, in the order of the events."""
    rows = []
    for trace in traces:
        if (denial := trace.denial) is not None:
            rows.append(_refusal(trace, denial.seq, denial.ts, RefusedBy.US, denial.reason, True, denial.detail))
        if was_rejected(trace):
            step = trace.answer
            if step is not None:
                rows.append(_refusal(
                    trace, step.seq, step.ts, RefusedBy.VENUE, step.reason, step.is_expected, step.message
                ))
            else:
                last = trace.reports[-1]
                rows.append(_refusal(trace, last.seq, last.ts, RefusedBy.VENUE, last.reason, False, "reported"))
    return tuple(sorted(rows, key=lambda row: row.seq))


def reason_counts(rows: Iterable[RefusalRow]) -> tuple[ReasonCount, ...]:
    """Return the counts by exact reason, largest first."""
    symbols: dict[tuple[RefusedBy, str, bool, bool], Counter[str]] = defaultdict(Counter)
    for row in rows:
        symbols[row.by, row.reason, row.is_expected, row.purpose in PROBES][row.product_id] += 1
    counts = [
        ReasonCount(
            by=key[0], reason=key[1], is_expected=key[2], is_probe=key[3], count=found.total(),
            by_symbol=dict(sorted(found.items())),
        )
        for key, found in symbols.items()
    ]
    return tuple(sorted(counts, key=lambda c: (-c.count, c.by, c.reason, c.is_probe)))


def _grouped(pairs: Iterable[tuple[Key, Trace]]) -> dict[Key, list[Trace]]:
    groups: dict[Key, list[Trace]] = {}
    for key, trace in pairs:
        groups.setdefault(key, []).append(trace)
    return dict(sorted(groups.items()))


def _refusal(
    trace: Trace, seq: int, ts: int, by: RefusedBy, reason: str, is_expected: bool, detail: str
) -> RefusalRow:
    return RefusalRow(
        seq=seq, ts=ts, by=by, product_id=trace.product_id, purpose=trace.purpose, reason=reason,
        is_expected=is_expected, detail=detail, signal_id=trace.signal_id, client_order_id=trace.client_order_id,
    )
