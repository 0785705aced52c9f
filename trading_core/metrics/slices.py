"""Metrics over time: one-minute slices in spec, snapshots and saves that were due, events that must not happen."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import groupby, pairwise

from trading_core import events as ev
from trading_core.artifact_refusals import PROBES
from trading_core.artifacts import (
    FIVE,
    ExecutionLogs,
    MarginSnapshots,
    ReconciliationHistory,
    RefusedBy,
    RejectionBreakdown,
    Timeline,
)
from trading_core.clock import MINUTE_NS, NS
from trading_core.gate.evidence import (
    CompletenessObservation,
    CompositionObservation,
    CountObservation,
    InvariantObservation,
    SliceObservation,
)
from trading_core.gate.outcomes import Reason
from trading_core.metrics.evidence import Unusable
from trading_core.metrics.facts import View
from trading_core.risk import DenialReason

SLACK_NS = 15 * NS  # a snapshot may be this late and still speak for its minute
DANGEROUS = frozenset({"DANGER", "LIQUIDATION"})
# Known troubles of a network, with a rule each: asked again, counted as retries, seen as staleness.
EXPECTED_FAILURES = frozenset({"RateLimited", "VenueUnavailable", "OutcomeUnknown"})
SHOWN_MAX = 20


def websocket_staleness(view: View) -> SliceObservation:
    """Return the minutes in which every product's book was fresh at the snapshot and the stream was up."""
    limit = view.limit(view.plan.risk.stale_after_s)
    view.evidence.get(ReconciliationHistory)
    snapshots = view.facts.of(ev.SnapshotTaken)
    marks = [(e.ts_ns, _is_fresh(e, limit)) for _, e in snapshots]
    for start_ns, end_ns in _outages(view):
        if end_ns - start_ns > limit * NS:
            marks += [(ns, False) for ns in range(start_ns, end_ns, MINUTE_NS // 2)]
    bad = [seq for seq, e in snapshots if _is_fresh(e, limit) is False]
    return _sliced(view, marks, bad, ReconciliationHistory)


def margin_utilization(view: View) -> SliceObservation:
    """Return the minutes with margin utilization below the limit; an account without margin is out of scope."""
    limit = view.limit(view.plan.risk.margin_utilization_max)
    rows = view.evidence.get(MarginSnapshots).rows
    if all(row.margin_used == 0 and row.margin_available == 0 for row in rows):
        raise Unusable(Reason.PRECONDITION_FALSE, "the account has no margin: nothing was used, nothing was offered")
    marks: list[tuple[int, bool | None]] = [(row.ts, row.margin_utilization < limit) for row in rows]
    return _sliced(view, marks, [r.seq for r in rows if r.margin_utilization >= limit], MarginSnapshots)


def snapshots_complete(view: View) -> CompletenessObservation:
    """Return the snapshots beside those that were due in the plan's window."""
    history = view.evidence.get(ReconciliationHistory)
    return _complete(view, [row.ts for row in history.rows], history.snapshot_every_s, ReconciliationHistory)


def saves_complete(view: View) -> CompletenessObservation:
    """Return the saves beside those that were due in the plan's window."""
    saves = view.facts.of(ev.ArtifactsSaved)
    if not saves:
        raise Unusable(Reason.MISSING, "no save was recorded")
    seen = _complete(view, [e.ts_ns for _, e in saves], view.plan.protocol.save_every_s, ReconciliationHistory)
    return seen.model_copy(update={"event_seqs": tuple(seq for seq, _ in saves[:SHOWN_MAX])})


def artifacts_complete(view: View) -> CompletenessObservation:
    """Return how many of the specification's five artifacts can be used."""
    broken = [a for a in (view.evidence.artifacts[name] for name in FIVE) if a.problem is not None]
    if broken:
        raise Unusable(broken[0].problem or Reason.MISSING, "; ".join(a.detail for a in broken))
    refs = tuple(ref for name in FIVE if (ref := view.evidence.artifacts[name].ref) is not None)
    return CompletenessObservation(
        metric=view.metric, refs=refs, rows=len(FIVE), expected_rows=len(FIVE), longest_gap_periods=Decimal(0),
        is_schema_valid=True, detail=", ".join(f"{ref.artifact}: {ref.rows}" for ref in refs),
    )


def rate_limit_errors(view: View) -> CountObservation:
    """Return how often the venue said that we ask too much."""
    return _failures(view, [(s, e) for s, e in view.facts.of(ev.VenueFailed) if e.kind == "RateLimited"])


def unexpected_exceptions(view: View) -> CountObservation:
    """Return the failures that no rule foresees."""
    found = [(s, e) for s, e in view.facts.of(ev.VenueFailed) if e.kind not in EXPECTED_FAILURES]
    return _failures(view, found)


def margin_events(view: View) -> CountObservation:
    """Return how often the account came into danger: a margin call or a liquidation."""
    rows = view.evidence.get(MarginSnapshots).rows
    is_bad = [row.margin_level in DANGEROUS for row in rows]
    entered = [row.seq for row, before, now in zip(rows, [False, *is_bad], is_bad, strict=False) if now and not before]
    raw = [seq for seq, e in view.facts.of(ev.AccountRead) if e.margin_level in DANGEROUS]
    seqs = entered or raw[:1]  # what the store has seen counts, whatever the artifact says
    return CountObservation(
        metric=view.metric, refs=view.evidence.refs(MarginSnapshots), event_seqs=tuple(seqs[:SHOWN_MAX]),
        count=len(seqs), window_s=view.facts.window_s,
    )


def spread_rejections_share(view: View) -> CompositionObservation:
    """Return the share of our denials that a wide spread caused; those that a probe provoked say nothing of it."""
    denied = [r for r in view.evidence.get(RejectionBreakdown).rows if r.by is RefusedBy.US]
    rows = [r for r in denied if r.purpose not in PROBES]
    part = [row.seq for row in rows if row.reason == DenialReason.SPREAD_TOO_WIDE]
    return CompositionObservation(
        metric=view.metric, refs=view.evidence.refs(RejectionBreakdown), event_seqs=tuple(part[:SHOWN_MAX]),
        part=len(part), whole=len(rows),
    )


def event_chain(view: View) -> InvariantObservation:
    """Return whether the event store's hash chain verifies from the first event to the head."""
    if not view.facts.last_seq:
        raise Unusable(Reason.EMPTY, "the event store has no event of this run")
    broken = (view.chain_error,) if view.chain_error else ()
    return InvariantObservation(
        metric=view.metric, event_seqs=(view.facts.last_seq,), expected=1, observed=1, violations=broken,
        final_holds=not broken, detail=f"{view.facts.last_seq} links",
    )


def _is_fresh(event: ev.SnapshotTaken, limit: Decimal) -> bool | None:
    """Return None where a traded product has no age: nothing was ever received of it."""
    if not event.positions or event.positions.keys() - event.staleness_s.keys():
        return None
    return all(age <= limit for age in event.staleness_s.values())


def _outages(view: View) -> list[tuple[int, int]]:
    """Return the stretches without market data; one that nobody ended lasts to the last event."""
    found, since = [], None
    changes: list[tuple[int, ev.StreamChanged | ev.SessionResumed]]
    changes = [*view.facts.of(ev.StreamChanged), *view.facts.of(ev.SessionResumed)]
    for _, event in sorted(changes, key=lambda row: row[0]):
        if isinstance(event, ev.SessionResumed):
            since = event.last_ns if since is None else since  # nobody watched, and no stream was up
            continue
        if event.connection != "market":
            continue
        if event.state is ev.StreamState.CONNECTED:
            if since is not None:
                found.append((since, event.ts_ns))
            since = None
        elif since is None and event.state is ev.StreamState.DISCONNECTED:
            since = event.ts_ns
    return found if since is None else [*found, (since, view.facts.last_ns)]


def _sliced(
    view: View, marks: Sequence[tuple[int, bool | None]], seqs: Sequence[int],
    model: type[ReconciliationHistory | MarginSnapshots],
) -> SliceObservation:
    """Sort the marks into minutes from the first event on: one bad mark makes the minute bad."""
    start_ns = view.facts.first_ns
    count = max(view.facts.window_s, view.plan.protocol.window_s) // 60
    verdicts: list[str] = []
    ordered, first = sorted(marks, key=lambda mark: mark[0]), 0
    for minute in range(count):
        low, high = start_ns + minute * MINUTE_NS - SLACK_NS, start_ns + (minute + 1) * MINUTE_NS + SLACK_NS
        while first < len(ordered) and ordered[first][0] <= low:
            first += 1
        inside = []
        for ts_ns, mark in ordered[first:]:
            if ts_ns > high:
                break
            inside.append(mark)
        known = [mark for mark in inside if mark is not None]
        verdicts.append("missing" if not known else "good" if all(known) else "bad")
    gaps = [sum(1 for _ in run) for is_good, run in groupby(verdicts, lambda v: v == "good") if not is_good]
    return SliceObservation(
        metric=view.metric, refs=view.evidence.refs(model), event_seqs=tuple(seqs[:SHOWN_MAX]),
        good=verdicts.count("good"), bad=verdicts.count("bad"), missing=verdicts.count("missing"),
        longest_gap_s=max(gaps, default=0) * 60,
    )


def _complete(
    view: View, times: Sequence[int], every_s: int, model: type[ReconciliationHistory]
) -> CompletenessObservation:
    """Count the rows that stand apart by at least half a period, and the longest hole, edges included."""
    period_ns = every_s * NS
    kept: list[int] = []
    for ts_ns in sorted(times):
        if not kept or ts_ns - kept[-1] >= period_ns // 2:
            kept.append(ts_ns)
    edges = [view.facts.first_ns, *kept, view.facts.last_ns]
    gap_ns = max((b - a for a, b in pairwise(edges)), default=0)
    window_s = max(view.plan.protocol.window_s, (edges[-1] - edges[0]) // NS)
    return CompletenessObservation(
        metric=view.metric, refs=view.evidence.refs(model), rows=len(kept),
        expected_rows=max(1, window_s // every_s), is_schema_valid=True,
        longest_gap_periods=(Decimal(gap_ns) / period_ns).quantize(Decimal("0.01")),
    )


def _failures(view: View, found: Sequence[tuple[int, ev.VenueFailed]]) -> CountObservation:
    view.evidence.get(ExecutionLogs)
    return CountObservation(
        metric=view.metric, refs=view.evidence.refs(ExecutionLogs, Timeline),
        event_seqs=tuple(seq for seq, _ in found[:SHOWN_MAX]), count=len(found), window_s=view.facts.window_s,
        detail="; ".join(sorted({f"{event.kind}: {event.detail[:80]}" for _, event in found})[:3]),
    )
