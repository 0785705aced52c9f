"""The criteria by tier: observed beside needed, the outcome with its reason, and the evidence rows behind each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal

from checks.charts_scale import moment_text
from checks.report_load import RunFiles
from checks.report_words import OUTCOME_CSS, OUTCOME_SIGNS, OUTCOME_WORDS, TIER_WORDS, anchor, share
from trading_core.artifacts import Trace
from trading_core.gate.evidence import EvidenceRef
from trading_core.gate.outcomes import Outcome
from trading_core.gate.result import CriterionResult, text
from trading_core.plan import Criterion, Kind, Tier

EVENTS_SHOWN = 10  # for each criterion; the rest is in the event store
_WORST_FIRST = (
    Outcome.FAIL, Outcome.ERROR, Outcome.NO_DATA, Outcome.INCONCLUSIVE, Outcome.WARN, Outcome.PASS,
    Outcome.NOT_APPLICABLE,
)


@dataclass(frozen=True)
class CriterionRow:
    """One line of the table."""

    anchor: str
    name: str
    title: str
    because: str
    sign: str
    css: str
    outcome: str
    reason: str
    waived: str
    observed: str
    bounds: str
    shortfall: str
    needed: str
    link: str
    link_words: str


@dataclass(frozen=True)
class TierGroup:
    """The criteria of one tier, worst first."""

    words: str
    rows: tuple[CriterionRow, ...]


@dataclass(frozen=True)
class EventRow:
    """One event by its number in the event store."""

    seq: int
    when: str
    what: str


@dataclass(frozen=True)
class EvidenceBlock:
    """What one criterion was judged on."""

    anchor: str
    title: str
    artifacts: tuple[tuple[str, str, str, str], ...]  # name, rows, sha256, window
    events: tuple[EventRow, ...]
    more: int


def criteria(run: RunFiles) -> list[TierGroup]:
    """Return the groups. Without a decision the plan's criteria are listed as not evaluated."""
    planned = {c.name: c for c in (run.plan.criteria if run.plan else ())}
    rows: dict[Tier, list[tuple[int, CriterionRow]]] = {tier: [] for tier in Tier}
    if run.decision is not None:
        waived = {w.waiver.criterion: w.waiver.approver for w in run.decision.waivers if w.is_applied}
        for result in run.decision.criteria:
            row = _row(result, planned.get(result.name), waived.get(result.name, ""))
            rows[result.tier].append((_WORST_FIRST.index(result.outcome), row))
    else:
        for criterion in planned.values():
            rows[criterion.tier].append((0, _unjudged(criterion)))
    ordered = {tier: sorted(found, key=lambda item: (item[0], item[1].title)) for tier, found in rows.items()}
    return [TierGroup(TIER_WORDS[tier], tuple(row for _, row in found)) for tier, found in ordered.items() if found]


def _row(result: CriterionResult, planned: Criterion | None, waived: str) -> CriterionRow:
    has_evidence = bool(result.refs or result.event_seqs)
    return CriterionRow(
        anchor=anchor("criterion", result.name),
        name=result.name,
        title=result.title,
        because=result.because,
        sign=OUTCOME_SIGNS[result.outcome],
        css=_css(result),
        outcome=OUTCOME_WORDS[result.outcome],
        reason=result.reason.value,
        waived=f"waived by {waived}" if waived else "",
        observed=result.detail,
        bounds=_bounds(result),
        shortfall=result.shortfall.sentence if result.shortfall else "",
        needed=needed(result.kind, planned, result.threshold),
        link=f"#{anchor('evidence', result.name)}" if has_evidence else "",
        link_words=_link_words(result),
    )


def _css(result: CriterionResult) -> str:
    # A nice-to-have never decides: it is no alarm, whatever it came to.
    is_calm = result.tier is Tier.NICE and result.outcome is not Outcome.PASS
    return "mute" if is_calm else OUTCOME_CSS[result.outcome]


def _unjudged(c: Criterion) -> CriterionRow:
    no_data = Outcome.NO_DATA
    return CriterionRow(
        anchor("criterion", c.name), c.name, c.title, c.because, OUTCOME_SIGNS[no_data], OUTCOME_CSS[no_data],
        OUTCOME_WORDS[no_data], "NOT_EVALUATED", "", "no decision was made", "", "", needed(c.kind, c, None), "", "",
    )


def _bounds(result: CriterionResult) -> str:
    parts = []
    if result.lower is not None and result.upper is not None:
        parts.append(f"95% bounds {share(result.lower)} and {share(result.upper)}")
    if result.e_value is not None and result.threshold is not None:
        parts.append(f"e-value {_e_text(result.e_value)} of {text(result.threshold)}")
    if result.n is not None:
        parts.append(f"n {result.n:,}" + (f", {result.failures:,} failed" if result.failures else ""))
    if result.prior_attempts:
        parts.append(f"with {result.prior_attempts} earlier attempts")
    parts.extend(f"{s.symbol} is refuted: {s.failures:,} of {s.n:,} failed" for s in result.by_symbol if s.is_refuted)
    return " · ".join(parts)


def _e_text(value: Decimal) -> str:
    return f"{value:.2E}" if value >= 100_000 or 0 < value < Decimal("0.001") else text(value)


def needed(kind: Kind, planned: Criterion | None, threshold: Decimal | None) -> str:
    """Return in words what the criterion asks for; the plan's own bounds where it has them."""
    p0 = share(planned.p0) if planned and planned.p0 is not None else "the plan's rate"
    limit = planned.limit if planned and planned.limit is not None else threshold
    bound = "" if limit is None else f" at most {text(limit)}"
    match kind:
        case Kind.RATE:
            return f"shown to exceed {p0}"
        case Kind.LATENCY_QUANTILE:
            target = text(planned.quantile_limit) if planned and planned.quantile_limit is not None else "the limit"
            return f"more than {p0} under {target} ms"
        case Kind.INVARIANT:
            return f"holds in every observation{',' if bound else ''}{bound}"
        case Kind.ZERO_EVENTS:
            window = f" in at least {planned.window_min_s:,} s" if planned and planned.window_min_s else ""
            return f"none{window}"
        case Kind.TIME_IN_SPEC:
            gap = f", no gap over {planned.gap_max_s} s" if planned and planned.gap_max_s else ""
            return f"{p0} of the minutes in spec{gap}"
        case Kind.EXERCISED:
            return "provoked and seen"
        case Kind.COMPLETENESS:
            return "99% of the rows, valid, no gap over 3 periods"
        case Kind.COMPOSITION:
            return "a small share" if limit is None else f"a share shown to be under {share(limit)}"
        case Kind.READINESS:
            grey = f", warns above {text(planned.warn_above)}" if planned and planned.warn_above is not None else ""
            return (bound.strip() or "holds") + grey
        case Kind.COMPARISON:
            return "not worse than the last 3 GO runs and the golden run"


def _link_words(result: CriterionResult) -> str:
    if result.event_seqs:
        return f"{len(result.event_seqs):,} events" if len(result.event_seqs) > 1 else f"event {result.event_seqs[0]}"
    return ", ".join(ref.artifact.removeprefix("stages/").replace("_", " ") for ref in result.refs[:2])


def evidence(run: RunFiles) -> list[EvidenceBlock]:
    """Return one block for each criterion that has evidence, with the first of its events in words."""
    results = [c for c in (run.decision.criteria if run.decision else ()) if c.refs or c.event_seqs]
    wanted = {seq for c in results for seq in c.event_seqs[:EVENTS_SHOWN]}
    window = run.window()
    today = "" if window is None else moment_text(window[0])[: -len("00:00:00")]
    known = {seq: replace(row, when=row.when.removeprefix(today)) for seq, row in _events(run) if seq in wanted}
    return [
        EvidenceBlock(
            anchor=anchor("evidence", c.name),
            title=c.title,
            artifacts=tuple((r.artifact, f"{r.rows:,}", r.sha256, _window(r, window)) for r in c.refs),
            events=tuple(known.get(s, EventRow(s, "", "in the event store")) for s in c.event_seqs[:EVENTS_SHOWN]),
            more=max(0, len(c.event_seqs) - EVENTS_SHOWN),
        )
        for c in sorted(results, key=lambda c: (list(Tier).index(c.tier), c.title))
    ]


def _window(ref: EvidenceRef, of_run: tuple[int, int] | None) -> str:
    """Return the window of an artifact; nothing if it is the run's, which stands at the top of the page."""
    if (ref.window_start_ns, ref.window_end_ns) == of_run:
        return ""
    return f"{moment_text(ref.window_start_ns)} to {moment_text(ref.window_end_ns)} UTC"


def _events(run: RunFiles) -> Iterator[tuple[int, EventRow]]:
    for trace in run.logs.rows if run.logs else ():
        yield from _trace_events(trace)
    for book in run.books.rows if run.books else ():
        words = f"snapshot: equity ${book.equity:,.2f}, drift ${text(book.drift)}"
        yield book.seq, EventRow(book.seq, moment_text(book.ts), words)
    for cut in run.cuts.rows if run.cuts else ():
        words = (
            f"sized down {cut.product_id}: {cut.original_size} to {cut.adjusted_size} by {cut.limit_name}, "
            f"spread {text(cut.spread_bps)} bps"
        )
        yield cut.seq, EventRow(cut.seq, moment_text(cut.ts), words)
    for refusal in run.refusals.rows if run.refusals else ():
        words = f"refused by {refusal.by}: {refusal.reason} {refusal.product_id}"
        yield refusal.seq, EventRow(refusal.seq, moment_text(refusal.ts), words)
    for row in run.timeline.rows if run.timeline else ():
        yield row.seq, EventRow(row.seq, moment_text(row.ts), f"{row.kind} {row.name}: {row.detail}")


def _trace_events(t: Trace) -> Iterator[tuple[int, EventRow]]:
    what = f"{t.side} {t.size} {t.product_id} {t.purpose}"
    if t.signal:
        yield t.signal.seq, EventRow(t.signal.seq, moment_text(t.signal.ts), f"signal of {t.signal.source}: {what}")
    if t.submit:
        words = f"submitted {t.client_order_id}: {what} at {t.limit_price}"
        yield t.submit.seq, EventRow(t.submit.seq, moment_text(t.submit.ts), words)
    for answer in t.answers:
        took = "" if answer.latency_ms is None else f" after {answer.latency_ms:.0f} ms"
        words = f"{answer.kind} {answer.reason}{took}: {what}"
        yield answer.seq, EventRow(answer.seq, moment_text(answer.ts), words)
    for report in t.reports:
        yield report.seq, EventRow(report.seq, moment_text(report.ts), f"reported {report.status}: {what}")
    for fill in t.fills:
        words = f"fill {fill.side} {fill.size} {fill.product_id} at {fill.price}, fee ${text(fill.commission)}"
        yield fill.seq, EventRow(fill.seq, moment_text(fill.ts), words)
    for edit in t.edits:
        words = f"edit to {edit.size} at {edit.limit_price} asked for ({edit.source}): {what}"
        yield edit.seq, EventRow(edit.seq, moment_text(edit.ts), words)
    for cancel in t.cancels:
        yield cancel.seq, EventRow(cancel.seq, moment_text(cancel.ts), f"cancel asked for ({cancel.cause}): {what}")
