"""Checks over several artifacts at once, in plain Decimal code: what one file says, another must confirm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise

from checks.cross_figures import (
    checkpoints_agree,
    feed_is_alive,
    funding_agrees,
    latencies_agree,
    store_counts,
    summary_agrees,
)
from checks.cross_view import EXACT, Broken, CrossView, fills_of, quiet_books
from checks.findings import EvidenceRow, Finding, make_finding
from trading_core.artifact_export import breakdown, export
from trading_core.artifacts import (
    FIVE,
    ArtifactName,
    ExecutionLogs,
    MarginSnapshots,
    ReconciliationHistory,
    RejectionBreakdown,
    SizedDownEvents,
    Timeline,
    to_json,
)
from trading_core.gate.criteria import outcome_of
from trading_core.gate.outcomes import Outcome, Reason
from trading_core.metrics.evidence import Unusable
from trading_core.money import CENT, ZERO, plain

IDENTITY = "reconciliation_history.books_identity"
SNAPSHOTS_MIN = 3


def digests(view: CrossView) -> Broken:
    """Every file hashes to what the manifest says."""
    names = {name.value for name in ArtifactName}
    problems = [p for p in view.store.verify() if p.artifact in names or p.artifact == "manifest.json"]
    if problems:
        raise Unusable(problems[0].reason, "; ".join(p.detail for p in problems))
    missing = names - view.store.manifest().artifacts.keys()
    if missing:
        raise Unusable(Reason.MISSING, f"not in the manifest: {', '.join(sorted(missing))}")
    return Broken()


def headers(view: CrossView) -> Broken:
    """All artifacts are of one run, one subject and one window, the run's own."""
    found = {name: view.evidence.artifacts[name] for name in ArtifactName}
    seen = Broken()
    first = view.evidence.get(ReconciliationHistory).header
    for name, loaded in found.items():
        if loaded.problem is not None or loaded.model is None:
            raise Unusable(loaded.problem or Reason.MISSING, loaded.detail)
        if loaded.model.header != first:
            seen.append(f"{name} has another header than {FIVE[0]}")
    expected = (view.context.plan.name, view.context.venue, view.context.level, view.context.day)
    if (first.plan, first.venue, first.level, first.day) != expected:
        seen.append(f"the artifacts are of {first.plan} at {first.venue}, day {first.day}, level {first.level}")
    return seen


def from_events(view: CrossView) -> Broken:
    """The artifacts follow from the event store, byte for byte."""
    last_seq = view.evidence.get(ReconciliationHistory).header.last_seq
    sizes = view.evidence.get(ExecutionLogs).contract_sizes
    if not view.events:
        raise Unusable(Reason.MISSING, "the event store has no event of this run")
    own = export(view.context, ((s, e) for s, e in view.events if s <= last_seq), sizes).named()
    seen = Broken()
    for name in ArtifactName:
        if name is ArtifactName.LIQUIDITY:  # it also needs the ticks
            continue
        loaded = view.evidence.artifacts[name]
        if loaded.problem is not None or loaded.model is None:
            raise Unusable(loaded.problem or Reason.MISSING, loaded.detail)
        if to_json(loaded.model) != to_json(own[name]):
            seen.append(f"{name} is not what the event store gives")
    return seen


def fills_known(view: CrossView) -> Broken:
    """Each fill belongs to an order of ours, once."""
    logs = view.evidence.get(ExecutionLogs)
    seen = Broken(f"fill {f.entry_id} is of unknown order {f.order_id}" for f in logs.orphan_fills)
    for trace in logs.rows:
        seen += [f"fill {f.entry_id} is under order {trace.order_id}" for f in trace.fills
                 if f.order_id != trace.order_id]
    counts = Counter(f.entry_id for f in fills_of(logs))
    return Broken([*seen, *(f"fill {entry} was booked {n} times" for entry, n in counts.items() if n > 1)])


def counts_agree(view: CrossView) -> Broken:
    """The rejection breakdown is what the execution logs give."""
    counts, logs = view.evidence.get(RejectionBreakdown), view.evidence.get(ExecutionLogs)
    own = breakdown(counts.header, logs.rows)
    parts = ("totals", "by_symbol", "probes", "by_reason", "rows")
    return Broken(f"{p} differs from execution_logs" for p in parts if getattr(own, p) != getattr(counts, p))


def sizes_agree(view: CrossView) -> Broken:
    """Each cut in the execution logs has its row in sized_down_events, with the same sizes."""
    rows = {row.seq: row for row in view.evidence.get(SizedDownEvents).rows}
    seen = Broken()
    for trace in view.evidence.get(ExecutionLogs).rows:
        step = trace.sizing
        row = rows.get(step.seq) if step is not None else None
        if step is not None and (row is None or row.adjusted_size != step.adjusted_size):
            seen.append(f"the cut of {trace.signal_id} at event {step.seq} is not in sized_down_events")
    return seen


def margins_agree(view: CrossView) -> Broken:
    """Each snapshot has its margin row."""
    ours = {row.seq for row in view.evidence.get(ReconciliationHistory).rows}
    theirs = {row.seq for row in view.evidence.get(MarginSnapshots).rows if row.cause == "snapshot"}
    return Broken(f"event {seq} is in one of the two only" for seq in sorted(ours ^ theirs))


def identity_twice(view: CrossView) -> Broken:
    """The books identity in Decimal code gives the same answer as the suite's."""
    rows = view.evidence.get(ReconciliationHistory).rows
    own = {i for i, row in enumerate(rows) if abs(row.equity - row.identity) > CENT}
    other = view.findings.get(IDENTITY)
    if other is None or other.outcome not in (Outcome.PASS, Outcome.FAIL):
        raise Unusable(Reason.NOT_EVALUATED, "the suite gave no answer on the books identity")
    if (other.outcome is Outcome.FAIL) is not bool(own) or other.rows_broken != len(own):
        raise Unusable(Reason.EXCEPTION, f"Decimal code finds {len(own)} rows, the suite {other.rows_broken}")
    return Broken(f"row {i} does not balance" for i in sorted(own))


def fees_agree(view: CrossView) -> Broken:
    """The fees of each quiet snapshot are the commissions of the fills before it."""
    rows, fills = quiet_books(view)
    paid, done, seen = ZERO, 0, Broken()
    for row in rows:
        while done < len(fills) and fills[done].seq < row.seq:
            paid, done = paid + fills[done].commission, done + 1
        if abs(row.fees - paid) > EXACT:
            seen.append(f"event {row.seq}: fees are {plain(row.fees)}, the fills give {plain(paid)}")
    return seen


def positions_agree(view: CrossView) -> Broken:
    """The position of each quiet snapshot is what the fills before it bought and sold."""
    rows, fills = quiet_books(view)
    held: dict[str, Decimal] = {}
    done, seen = 0, Broken()
    for row in rows:
        while done < len(fills) and fills[done].seq < row.seq:
            fill, done = fills[done], done + 1
            held[fill.product_id] = held.get(fill.product_id, ZERO) + fill.side.sign * fill.size
        for name in sorted(row.positions.keys() | held.keys()):
            ours, theirs = row.positions.get(name, ZERO), held.get(name, ZERO)
            if abs(ours - theirs) > EXACT:
                seen.append(f"event {row.seq}: {name} is {plain(ours)}, the fills give {plain(theirs)}")
    return seen


def equity_moves(view: CrossView) -> Broken:
    """Equity that never changes although something was bought or sold is not computed."""
    rows, fills = quiet_books(view)
    if fills and len(rows) >= SNAPSHOTS_MIN and len({row.equity for row in rows}) == 1:
        return Broken([f"equity is {plain(rows[0].equity)} in all {len(rows)} snapshots, with {len(fills)} fills"])
    return Broken()


def time_is_one(view: CrossView) -> Broken:
    """Everything lies inside the window of the header, and snapshots are in the order of time."""
    header = view.evidence.get(ReconciliationHistory).header
    snapshots, rows = view.evidence.get(ReconciliationHistory).rows, view.evidence.get(Timeline).rows
    times = [(row.seq, row.ts) for row in snapshots] + [(row.seq, row.ts) for row in rows]
    outside = Broken(
        f"event {seq} is outside of the window" for seq, ts in times
        if not header.window_start <= ts <= header.window_end or seq > header.last_seq
    )
    back = [f"event {b.seq} is before event {a.seq}" for a, b in pairwise(snapshots) if b.ts < a.ts]
    return Broken([*outside, *back])


CROSS: dict[str, Callable[[CrossView], Broken]] = {
    "cross.digests": digests,
    "cross.headers": headers,
    "cross.from_events": from_events,
    "cross.fills_known": fills_known,
    "cross.counts_agree": counts_agree,
    "cross.sizes_agree": sizes_agree,
    "cross.margins_agree": margins_agree,
    "cross.identity_twice": identity_twice,
    "cross.fees_agree": fees_agree,
    "cross.positions_agree": positions_agree,
    "cross.equity_moves": equity_moves,
    "cross.time_is_one": time_is_one,
    "cross.store_counts": store_counts,
    "cross.feed_is_alive": feed_is_alive,
    "cross.latencies_agree": latencies_agree,
    "cross.funding_agrees": funding_agrees,
    "cross.summary_agrees": summary_agrees,
    "cross.checkpoints_agree": checkpoints_agree,
}


def cross_checks(view: CrossView) -> list[Finding]:
    """Return one finding for each cross check; what cannot be checked is said with its reason, never passed."""
    return [_finding(criterion, check, view) for criterion, check in CROSS.items()]


def _finding(criterion: str, check: Callable[[CrossView], Broken], view: CrossView) -> Finding:
    title = (check.__doc__ or criterion).splitlines()[0].rstrip(".")
    try:
        broken = check(view)
    except Unusable as e:
        return make_finding(criterion, title, outcome_of(e.reason), e.reason, e.detail)
    if not broken:
        return make_finding(criterion, title, Outcome.PASS, Reason.INVARIANT_HOLDS, "")
    rows = tuple(EvidenceRow(row=i, values={"detail": words}) for i, words in enumerate(broken))
    return make_finding(criterion, title, Outcome.FAIL, Reason.INVARIANT_BROKEN, broken[0],
                        rows_broken=len(broken), evidence=rows)
