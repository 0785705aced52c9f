"""From decision traces to the counts: sent, accepted, rejected, denied, and every refusal by its exact reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeAlias, TypeVar

from trading_core.artifact_base import Header
from trading_core.artifacts import (
    AnswerKind,
    ReasonCount,
    RefusalRow,
    RefusedBy,
    RejectionBreakdown,
    Totals,
    Trace,
)
from trading_core.orders import OrderStatus, Purpose

PROBES = frozenset(purpose for purpose in Purpose if purpose.startswith("PROBE_"))
REFUSED_LATER = frozenset({OrderStatus.REJECTED, OrderStatus.FAILED})

Key = TypeVar("Key", bound=str)
Counts: TypeAlias = dict[tuple[str, Purpose], Counter[str]]  # by product and purpose
Reasons: TypeAlias = dict[tuple[RefusedBy, str, bool, bool], Counter[str]]  # by reason, in the order of the events


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


class RefusalsSoFar:
    """What became of settled traces, kept as counts; those that may still change are counted anew at each look."""

    def __init__(self) -> None:
        self._counts: Counts = {}
        self._reasons: Reasons = {}
        self._waiting: list[RefusalRow] = []  # of settled traces, but a trace that is not settled may come before

    def settle(self, traces: Iterable[Trace], before_seq: int) -> list[RefusalRow]:
        """Take traces that change no more; return the refusals before an event: no other can come between them."""
        taken = list(traces)
        _count(self._counts, taken)
        rows = _ordered([*self._waiting, *_refusals(taken)])
        ready = [row for row in rows if row.seq < before_seq]
        self._waiting = rows[len(ready) :]
        _count_reasons(self._reasons, ready)
        return ready

    def artifact(self, header: Header, live: Sequence[Trace]) -> RejectionBreakdown:
        """Return the breakdown over the settled traces and these; its rows are those that `settle` did not return."""
        counts = {key: Counter(found) for key, found in self._counts.items()}
        _count(counts, live)
        rows = _ordered([*self._waiting, *_refusals(live)])
        reasons = {key: Counter(found) for key, found in self._reasons.items()}
        _count_reasons(reasons, rows)
        orders = {key: found for key, found in counts.items() if key[1] not in PROBES}
        probes = {key: found for key, found in counts.items() if key[1] in PROBES}
        return RejectionBreakdown(
            header=header, totals=_totals(orders.values()),
            by_symbol={name: _totals(found) for name, found in _grouped((k[0], f) for k, f in orders.items())},
            probes={purpose: _totals(found) for purpose, found in _grouped((k[1], f) for k, f in probes.items())},
            by_reason=_reason_counts(reasons), rows=tuple(rows),
        )


def _count(counts: Counts, traces: Iterable[Trace]) -> None:
    """Count orders by what became of them. Sent, but never seen by the venue: in none of the last counts."""
    for trace in traces:
        found = counts.setdefault((trace.product_id, trace.purpose), Counter())
        found["signals"] += trace.signal is not None
        if (denial := trace.denial) is not None:
            found["withheld" if denial.is_withheld else "denied"] += 1
        is_sent, is_accepted = was_sent(trace), was_accepted(trace)
        is_rejected = not is_accepted and was_rejected(trace)
        found["sent"] += is_sent
        found["accepted"] += is_accepted
        found["rejected"] += is_rejected
        if is_sent and not is_accepted and not is_rejected:
            found["unresolved"] += not (trace.answers and trace.answers[-1].kind is AnswerKind.NOT_FOUND)


def _totals(counts: Iterable[Counter[str]]) -> Totals:
    whole: Counter[str] = Counter()
    for found in counts:
        whole.update(found)
    return Totals(**{name: whole[name] for name in Totals.model_fields})


def _refusals(traces: Iterable[Trace]) -> list[RefusalRow]:
    """Return one row for each denial and each rejection."""
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
    return rows


def _ordered(rows: list[RefusalRow]) -> list[RefusalRow]:
    return sorted(rows, key=lambda row: row.seq)


def _count_reasons(reasons: Reasons, rows: Iterable[RefusalRow]) -> None:
    for row in rows:
        key = (row.by, row.reason, row.is_expected, row.purpose in PROBES)
        reasons.setdefault(key, Counter())[row.product_id] += 1


def _reason_counts(reasons: Reasons) -> tuple[ReasonCount, ...]:
    """Return the counts by exact reason, largest first."""
    counts = [
        ReasonCount(
            by=key[0], reason=key[1], is_expected=key[2], is_probe=key[3], count=found.total(),
            by_symbol=dict(sorted(found.items())),
        )
        for key, found in reasons.items()
    ]
    return tuple(sorted(counts, key=lambda c: (-c.count, c.by, c.reason, c.is_probe)))


def _grouped(pairs: Iterable[tuple[Key, Counter[str]]]) -> list[tuple[Key, list[Counter[str]]]]:
    groups: dict[Key, list[Counter[str]]] = {}
    for key, found in pairs:
        groups.setdefault(key, []).append(found)
    return sorted(groups.items())


def _refusal(
    trace: Trace, seq: int, ts: int, by: RefusedBy, reason: str, is_expected: bool, detail: str
) -> RefusalRow:
    return RefusalRow(
        seq=seq, ts=ts, by=by, product_id=trace.product_id, purpose=trace.purpose, reason=reason,
        is_expected=is_expected, detail=detail, signal_id=trace.signal_id, client_order_id=trace.client_order_id,
    )
