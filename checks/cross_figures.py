"""Cross checks of counts and derived figures: what an artifact sums up, the rows and the event store must give."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

from checks.cross_view import EXACT, Broken, CrossView, fills_of
from trading_core.artifact_derive import latency_row
from trading_core.artifact_refusals import was_sent
from trading_core.artifacts import (
    AnswerKind,
    Checkpoints,
    CheckpointState,
    ExecutionLogs,
    FundingHistory,
    LiquidityHistory,
    OrderLatencies,
    ReconciliationHistory,
    RefusedBy,
    RejectionBreakdown,
    RunSummary,
    SizedDownEvents,
)
from trading_core.events import FillBooked
from trading_core.gate.outcomes import Reason
from trading_core.metrics.evidence import Unusable
from trading_core.money import ZERO, plain

CONSTANT_MIN = 5  # minutes at one price before a feed counts as dead


def store_counts(view: CrossView) -> Broken:
    """Orders, answers, fills, cuts and snapshots are as many as the event store has."""
    logs, counts = view.evidence.get(ExecutionLogs), view.evidence.get(RejectionBreakdown)
    history, cuts = view.evidence.get(ReconciliationHistory), view.evidence.get(SizedDownEvents)
    if not view.events:
        raise Unusable(Reason.MISSING, "the event store has no event of this run")
    seen = [e for seq, e in view.events if seq <= history.header.last_seq]
    stored = Counter(type(e).__name__ for e in seen)
    entries = {e.fill.entry_id for e in seen if isinstance(e, FillBooked)}
    answers = Counter(a.kind for t in logs.rows for a in t.answers)
    pairs = {
        "orders submitted": (sum(t.submit is not None for t in logs.rows), stored["OrderSubmitted"]),
        "orders accepted": (answers[AnswerKind.ACCEPTED], stored["OrderAccepted"]),
        "orders rejected": (answers[AnswerKind.REJECTED], stored["OrderRejected"]),
        "answers lost": (answers[AnswerKind.LOST], stored["OrderLost"]),
        "denials": (sum(r.by is RefusedBy.US for r in counts.rows), stored["OrderDenied"] + stored["SubmitWithheld"]),
        "fills": (len({f.entry_id for f in [*fills_of(logs), *logs.orphan_fills]}), len(entries)),
        "orders cut": (len(cuts.rows), stored["SizedDown"]),
        "snapshots": (len(history.rows), stored["SnapshotTaken"]),
    }
    return Broken(
        f"{name}: {ours} in the artifacts, {theirs} in the event store"
        for name, (ours, theirs) in pairs.items() if ours != theirs
    )


def feed_is_alive(view: CrossView) -> Broken:
    """The price of each product changed: a feed that never moves is not data."""
    marks: dict[str, list[Decimal]] = {}
    for row in view.evidence.get(LiquidityHistory).rows:
        if row.mark is not None:
            marks.setdefault(row.product_id, []).append(row.mark)
    if not marks:
        raise Unusable(Reason.ALL_NULL, "no minute has a mark")
    return Broken(
        f"{name} stood at {plain(found[0])} in all {len(found)} minutes"
        for name, found in sorted(marks.items()) if len(found) >= CONSTANT_MIN and len(set(found)) == 1
    )


def latencies_agree(view: CrossView) -> Broken:
    """Each order that was sent has its latencies, the same as in the execution logs."""
    ours = {row.client_order_id: row for row in view.evidence.get(OrderLatencies).rows}
    own = {t.client_order_id: latency_row(t) for t in view.evidence.get(ExecutionLogs).rows if was_sent(t)}
    seen = Broken(f"order {name} is in one of the two only" for name in sorted(ours.keys() ^ own.keys()))
    differing = (name for name in sorted(ours.keys() & own.keys()) if ours[name] != own[name])
    return Broken([*seen, *(f"order {name} has other latencies" for name in differing)])


def funding_agrees(view: CrossView) -> Broken:
    """The funding of each snapshot is the sum of the accruals before it."""
    rows, booked, done, seen = view.evidence.get(FundingHistory).rows, ZERO, 0, Broken()
    for snapshot in view.evidence.get(ReconciliationHistory).rows:
        while done < len(rows) and rows[done].seq < snapshot.seq:
            booked, done = booked + rows[done].booked, done + 1
        if abs(snapshot.funding - booked) > EXACT:
            words = f"funding is {plain(snapshot.funding)}, the accruals give {plain(booked)}"
            seen.append(f"event {snapshot.seq}: {words}")
    return seen


def summary_agrees(view: CrossView) -> Broken:
    """The summary is what snapshots, fills and the rejection breakdown give, and its products add up to it."""
    found, logs = view.evidence.get(RunSummary), view.evidence.get(ExecutionLogs)
    rows, counts = view.evidence.get(ReconciliationHistory).rows, view.evidence.get(RejectionBreakdown).totals
    last = rows[-1]
    pairs: dict[str, tuple[Decimal | int, Decimal | int]] = {
        "equity": (found.equity, last.equity),
        "fees": (found.fees, last.fees),
        "pnl": (found.pnl, last.equity - rows[0].opening_equity - last.transfers),
        "snapshots": (found.snapshots, len(rows)),
        "fills": (found.fills, len(fills_of(logs))),
        "sent": (sum(r.sent for r in found.rows), counts.sent),
        "accepted": (sum(r.accepted for r in found.rows), counts.accepted),
        "rejected": (sum(r.rejected for r in found.rows), counts.rejected),
    }
    if last.is_quiescent and not any(f.seq > last.seq for f in fills_of(logs)):
        pairs["pnl of the products"] = (sum((r.pnl for r in found.rows), ZERO), found.pnl)
    return Broken(
        f"{name} is {plain(Decimal(ours))}, the rows give {plain(Decimal(theirs))}"
        for name, (ours, theirs) in pairs.items() if abs(Decimal(ours) - Decimal(theirs)) > EXACT
    )


def checkpoints_agree(view: CrossView) -> Broken:
    """There is a row for each checkpoint of the plan, and the orders shown by then only grow."""
    found = view.evidence.get(Checkpoints)
    planned = sorted(set(view.context.plan.protocol.checkpoints_h))
    seen = Broken()
    if [row.at_h for row in found.rows] != planned:
        seen.append(f"checkpoints are {[row.at_h for row in found.rows]}, the plan has {planned}")
    accepted = 0
    for row in (r for r in found.rows if r.state is not CheckpointState.MISSING):
        if row.accepted is None or row.equity is None or row.accepted < accepted:
            seen.append(f"T+{row.at_h} h: {row.accepted} accepted after {accepted}, equity {row.equity}")
        accepted = row.accepted or 0
    return seen
