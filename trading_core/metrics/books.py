"""Metrics of the books: reconciliation, the equity identity, daily loss, flat at the end, prices that move."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import pairwise
from statistics import StatisticsError, correlation

from trading_core import events as ev
from trading_core.artifacts import ExecutionLogs, ReconciliationHistory, ReconciliationRow, Timeline
from trading_core.clock import NS
from trading_core.gate.evidence import InvariantObservation, ReadinessObservation
from trading_core.gate.outcomes import Reason
from trading_core.metrics.evidence import Unusable
from trading_core.metrics.facts import View
from trading_core.money import CENT, ZERO, plain

DAY_NS = 86_400 * NS
FLAT_NOTIONAL = Decimal(1)  # less is below any venue's smallest order
MOVES_MIN = Decimal("0.1")  # share of a product's marks that must differ from the one before
MARKS_MIN = 3
CORRELATED_MIN = 10  # returns below which a correlation says nothing
SHOWN_MAX = 20


def reconciliation(view: View) -> InvariantObservation:
    """Return the drift between our books and the venue's at each quiescent snapshot."""
    limit = view.limit(CENT)
    rows = view.evidence.get(ReconciliationHistory).rows
    quiet = [row for row in rows if row.is_quiescent and row.venue_balances]
    moving = sum(not row.is_quiescent for row in rows)

    def breaks(row: ReconciliationRow) -> str:
        if abs(row.drift) > limit:
            return f"drift {plain(row.drift)}"
        if row.drift == 0 and (names := _differing(row)):
            return f"no drift, but {', '.join(names)} differ"
        return ""

    worst = max((abs(row.drift) for row in quiet), default=ZERO)
    seen = _invariant(view, quiet, _due(view) - moving, breaks, worst)
    is_final_quiet = rows[-1].is_quiescent and bool(rows[-1].venue_balances)
    return seen.model_copy(update={"final_holds": seen.final_holds and is_final_quiet})


def equity_identity(view: View) -> InvariantObservation:
    """Return how far equity lies from opening + realized + unrealized − fees + funding + transfers."""
    tolerance = view.limit(Decimal("0.000001"))
    rows = view.evidence.get(ReconciliationHistory).rows
    raw = dict(view.facts.of(ev.SnapshotTaken))
    opening = rows[0].opening_equity

    def breaks(row: ReconciliationRow) -> str:
        if row.seq not in raw or raw[row.seq].equity != row.equity:
            return "the event store has another equity"
        if row.opening_equity != opening:
            return f"opening equity changed to {plain(row.opening_equity)}"
        gap = row.equity - row.identity
        return f"equity is {plain(gap)} off" if abs(gap) > tolerance else ""

    worst = max(abs(row.equity - row.identity) for row in rows)
    return _invariant(view, rows, _due(view), breaks, worst)


def daily_loss(view: View) -> InvariantObservation:
    """Return the largest loss since 00:00 UTC, or since the start on the first day."""
    limit = view.limit(view.plan.risk.daily_loss_max)
    rows = view.evidence.get(ReconciliationHistory).rows
    losses, start, last = {}, rows[0].opening_equity, rows[0]
    for row in rows:
        if row.ts // DAY_NS != last.ts // DAY_NS:
            start = last.equity - last.transfers
        losses[row.seq] = max(start - (row.equity - row.transfers), ZERO)
        last = row

    def breaks(row: ReconciliationRow) -> str:
        return f"loss {plain(losses[row.seq])}" if losses[row.seq] > limit else ""

    return _invariant(view, rows, _due(view), breaks, max(losses.values()))


def flat_at_end(view: View) -> InvariantObservation:
    """Return whether venue and books agree at the end: nothing rests, nothing is open."""
    rows = view.evidence.get(ReconciliationHistory).rows
    step = view.facts.step("flat_at_end")
    last, broken = rows[-1], []
    if step is None:
        raise Unusable(Reason.MISSING, "nobody asked the venue at the end whether it is flat")
    if not step[1].is_shown:
        broken.append(f"event {step[0]}: {step[1].detail}")
    if last.open_orders:
        broken.append(f"{last.open_orders} orders rest in the last snapshot")
    sizes = view.evidence.get(ExecutionLogs).contract_sizes
    for name, size in last.positions.items():
        mark = last.marks.get(name)
        if size and (mark is None or abs(size * sizes.get(name, Decimal(1)) * mark) >= FLAT_NOTIONAL):
            broken.append(f"{plain(size)} {name} open in the last snapshot")
    return InvariantObservation(
        metric=view.metric, refs=view.evidence.refs(ReconciliationHistory, Timeline),
        event_seqs=(step[0], last.seq), expected=1, observed=1, violations=tuple(broken), final_holds=not broken,
    )


def feed_moves(view: View) -> InvariantObservation:
    """Return whether each product's price moved: a feed that stands still is not data."""
    rows = view.evidence.get(ReconciliationHistory).rows
    broken, observed, worst = [], 0, None
    names = sorted({name for row in rows for name in row.positions})
    for name in names:
        marks = [row.marks[name] for row in rows if name in row.marks]
        if len(marks) < MARKS_MIN:
            continue
        observed += 1
        moves = Decimal(sum(a != b for a, b in pairwise(marks))) / (len(marks) - 1)
        worst = moves if worst is None else min(worst, moves)
        if moves < MOVES_MIN:
            broken.append(f"{name} moved in {moves:.1%} of {len(marks) - 1} periods")
    return InvariantObservation(
        metric=view.metric, refs=view.evidence.refs(ReconciliationHistory), expected=len(names), observed=observed,
        violations=tuple(broken), final_holds=not broken,
        detail="" if worst is None else f"the quietest product moved in {worst:.1%} of the periods",
    )


def cross_asset_correlation(view: View) -> ReadinessObservation:
    """Return the mean correlation of the products' returns from snapshot to snapshot."""
    rows = view.evidence.get(ReconciliationHistory).rows
    names = sorted({name for row in rows for name in row.positions})
    if len(names) < 2:
        raise Unusable(Reason.PRECONDITION_FALSE, f"the run trades {', '.join(names) or 'nothing'} only")
    whole = [row for row in rows if all(row.marks.get(name) for name in names)]
    if len(whole) <= CORRELATED_MIN:
        raise Unusable(Reason.EMPTY, f"{len(whole)} snapshots have a mark for each product")
    returns = {n: [float(b.marks[n] / a.marks[n] - 1) for a, b in pairwise(whole)] for n in names}
    try:
        found = [correlation(returns[a], returns[b]) for i, a in enumerate(names) for b in names[i + 1:]]
    except StatisticsError as e:
        raise Unusable(Reason.ALL_NULL, f"a product's price never moved: {e}") from e
    return ReadinessObservation(
        metric=view.metric, refs=view.evidence.refs(ReconciliationHistory), measured_ns=rows[-1].ts,
        value=Decimal(f"{sum(found) / len(found):.4f}"), unit="mean correlation", holds=True,
    )


def _invariant(
    view: View, rows: Sequence[ReconciliationRow], expected: int, breaks: Callable[[ReconciliationRow], str],
    worst: Decimal,
) -> InvariantObservation:
    broken = [(row, words) for row in rows if (words := breaks(row))]
    return InvariantObservation(
        metric=view.metric, refs=view.evidence.refs(ReconciliationHistory),
        event_seqs=tuple(row.seq for row, _ in broken[:SHOWN_MAX]), expected=max(expected, 0), observed=len(rows),
        violations=tuple(f"event {row.seq}: {words}" for row, words in broken),
        final_holds=bool(rows) and not breaks(rows[-1]), worst=worst,
    )


def _due(view: View) -> int:
    """Return how many snapshots the plan's window demands."""
    return view.plan.protocol.window_s // view.plan.protocol.snapshot_every_s


def _differing(row: ReconciliationRow) -> list[str]:
    names = sorted(row.venue_balances.keys() | row.expected_balances.keys())
    return [n for n in names if row.venue_balances.get(n, ZERO) != row.expected_balances.get(n, ZERO)]
