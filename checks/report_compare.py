"""The report's tables of figures and comparisons: by product, latencies, checkpoints, earlier runs, parity."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal

from checks.charts_scale import BPS, MILLISECONDS, PERCENT, USD, moment_text, span_text
from checks.report_figures import windows
from checks.report_load import RunFiles
from checks.report_tables import Cell, Table
from checks.report_words import NONE
from trading_core.artifacts import Checkpoints as CheckpointFile
from trading_core.artifacts import (
    CheckpointState,
    Distance,
    FundingHistory,
    Leg,
    LegFigures,
    OrderLatencies,
    RunSummary,
)
from trading_core.clock import NS
from trading_core.gate.outcomes import Outcome
from trading_core.gate.result import text
from trading_core.metrics.parity import POOLED, ParityState
from trading_core.plan import Kind

LEG_WORDS = {
    Leg.DECISION_TO_SUBMIT: "decision to submit",
    Leg.SUBMIT_TO_ANSWER: "submit to answer",
    Leg.SUBMIT_TO_FIRST_FILL: "submit to first fill",
}
STATES = {
    ParityState.PARITY: Cell("\N{CHECK MARK} within", "good"),
    ParityState.DIVERGES: Cell("\N{MULTIPLICATION X} diverges", "bad"),
    ParityState.NO_DATA: Cell("\N{WHITE CIRCLE} no data", "mute"),
}
ACCRUALS_MAX = 48
ALL = "All"


def comparison(run: RunFiles) -> Table:
    """Return each compared figure beside the last GO runs and the golden run, with the differences."""
    found = [c for c in (run.decision.criteria if run.decision else ()) if c.kind is Kind.COMPARISON]
    kept = run.given.baselines if run.given else {}
    rows = []
    for criterion in found:
        base = kept.get(criterion.metric)
        named = list(zip(base.runs, base.values, strict=False)) if base else []
        if base is not None and base.golden is not None:
            named.append((f"golden: {base.golden_run}", base.golden))
        css = "good" if criterion.outcome is Outcome.PASS else "bad"
        rows.append((
            Cell(criterion.title, "strong"), Cell("this run"), _figure(criterion.estimate), Cell(""),
            Cell(f"{criterion.outcome.value}: {criterion.detail}", css if criterion.estimate is not None else "mute"),
        ))
        for name, value in named:
            delta = None if criterion.estimate is None else criterion.estimate - value
            rows.append((Cell(""), Cell(name), _figure(value), Cell(_signed(delta), "num"), Cell("")))
        if not named:
            rows.append((Cell(""), Cell("no earlier GO run, no golden run"), Cell(NONE, "num"), Cell(""), Cell("")))
    heads = ("Figure", "Run", "Value", "This run differs by", "Judged")
    empty = "This plan compares nothing with earlier runs."
    note = "The last three GO runs of the same strategy, venue, account and products, and the run that is pinned."
    return Table("Against earlier runs", heads, tuple(rows), empty, note, "comparison")


def parity(run: RunFiles) -> Table:
    """Return the last `greenlight parity` of this run; no row if nobody asked."""
    found = run.parity
    rows = tuple(
        (
            Cell(r.figure.replace("_", " "), "strong"), Cell("all" if r.product_id == POOLED else r.product_id),
            _figure(r.a), _figure(r.b), Cell(_signed(r.delta), "num"), _figure(r.margin),
            Cell(f"{r.n_a:,} / {r.n_b:,}", "num"), STATES[r.state],
        )
        for r in (found.rows if found else ())
    )
    heads = ("Figure", "Product", "This run", "The other", "Difference", "Margin", "n", "Result")
    note = "" if found is None else f"Against {found.b.run_id} on {found.b.venue}: {found.headline}."
    return Table("Parity with another run", heads, rows, "", note, "parity")


def results(run: RunFiles) -> Table:
    """Return profit, cost and execution of each product, and of the whole run."""
    found = run.find(RunSummary)
    rows = [
        (
            Cell(r.product_id, "strong"), _usd(r.pnl), _usd(r.fees), _usd(r.funding), _usd(r.bought + r.sold),
            Cell(f"{r.fills:,}", "num"), Cell(_or_none(r.slippage_bps, BPS.text), "num"), _usd(r.shortfall),
            _usd(r.unfilled),
        )
        for r in (found.rows if found else ())
    ]
    if found is not None:
        short = [r.shortfall for r in found.rows if r.shortfall is not None]
        total = sum(short, Decimal(0)) if short else None
        rows.append((
            Cell(ALL, "strong"), _usd(found.pnl), _usd(found.fees), _usd(found.funding), _usd(found.volume),
            Cell(f"{found.fills:,}", "num"), Cell(""), _usd(total),
            _usd(sum((r.unfilled for r in found.rows), Decimal(0))),
        ))
    heads = ("Product", "PnL", "Fees", "Funding", "Traded", "Fills", "Mean slippage", "Shortfall", "Sent, not filled")
    note = "Shortfall: slippage against the mid at submit, and fees. PnL of the products adds up to that of the run."
    return Table("Result by product", heads, tuple(rows), "No summary was written.", note + _impact_words(found))


def _impact_words(found: RunSummary | None) -> str:
    if found is None or found.impact is None:
        return ""
    seen = found.impact
    model, realized = BPS.text(float(seen.model_bps)), BPS.text(float(seen.realized_bps))
    return f" Impact of the {seen.n} orders that were cut: the model said {model}, the fills cost {realized}."


def latencies(run: RunFiles) -> Table:
    """Return the percentiles of each leg, pooled and by product."""
    found = run.find(OrderLatencies)
    groups: dict[str, Mapping[Leg, LegFigures]] = {} if found is None else {ALL: found.pooled, **found.by_symbol}
    rows = tuple(
        (
            Cell(name, "strong"), Cell(LEG_WORDS[leg]), Cell(f"{seen.n:,}", "num"),
            *(_ms(value) for value in (seen.p50, seen.p90, seen.p95, seen.p99, seen.worst)),
        )
        for name, legs in groups.items() for leg, seen in legs.items()
        if name == ALL or leg is not Leg.DECISION_TO_SUBMIT
    )
    heads = ("Product", "Leg", "Orders", "p50", "p90", "p95", "p99", "Worst")
    note = "Each figure was seen, none is interpolated. The answer's leg runs on the machine's clock."
    return Table("Order latency by leg", heads, rows, "No order was sent.", note)


def checkpoints(run: RunFiles) -> Table:
    """Return the checkpoints of the plan; one that was not reached is said to be missing."""
    found = run.find(CheckpointFile)
    signs = {
        CheckpointState.REACHED: Cell("\N{CHECK MARK} reached", "good"),
        CheckpointState.AT_END: Cell("\N{BLACK UP-POINTING TRIANGLE} run ended", "mute"),
        CheckpointState.MISSING: Cell("\N{WHITE CIRCLE} missing", "bad"),
    }
    rows = tuple(
        (
            Cell(f"T+{r.at_h} h", "strong"), signs[r.state],
            Cell("" if r.ts is None else moment_text(r.ts), "code when"), _usd(r.equity), _usd(r.pnl),
            Cell(NONE if r.accepted is None else f"{r.accepted:,} / {r.rejected:,}", "num"),
            Cell(", ".join(f"{name.replace('_', ' ')} 10^{float(v):.1f}" for name, v in r.e_log10.items())),
            Cell(_nearest(r.guardrails) or r.detail),
        )
        for r in (found.rows if found else ())
    )
    heads = (
        "Checkpoint", "State", "UTC", "Equity", "PnL", "Accepted, rejected", "E-values so far", "Nearest guardrail",
    )
    return Table("Checkpoints", heads, rows, "The plan has no checkpoints.", "An e-value of 20 (10^1.3) shows a rate.")


def _nearest(guardrails: Mapping[str, Distance]) -> str:
    used = {name: d.observed / d.limit for name, d in guardrails.items() if d.limit > 0}
    if not used:
        return ""
    name = max(used, key=lambda n: used[n])
    return f"{name.replace('_', ' ')} at {PERCENT.text(float(used[name]))} of its limit"


def margin_windows(run: RunFiles) -> Table:
    """Return each margin window with how long it lasted and the highest utilization in it."""
    rows = []
    for start, end, name in windows(run.margin.rows) if run.margin else ():
        inside = [r.margin_utilization for r in (run.margin.rows if run.margin else ()) if start <= r.ts <= end]
        rows.append((
            Cell(name, "strong"), Cell(moment_text(start), "code when"), Cell(moment_text(end), "code when"),
            Cell(span_text((end - start) / NS), "num"),
            Cell(PERCENT.text(float(max(inside))) if inside else NONE, "num"),
        ))
    heads = ("Margin window", "From (UTC)", "To (UTC)", "Lasted", "Peak utilization")
    return Table("Margin by window", heads, tuple(rows), "No margin window was read: spot has none.")


def funding(run: RunFiles) -> Table:
    """Return the accruals, as booked and as they should be."""
    found = run.find(FundingHistory)
    rows = tuple(
        (
            Cell(moment_text(r.funding_time), "code when"), Cell(r.product_id, "strong"), _figure(r.position),
            _figure(r.rate), _usd(r.booked), _usd(r.expected), _usd(r.gap),
        )
        for r in (found.rows[-ACCRUALS_MAX:] if found else ())
    )
    more = len(found.rows) - ACCRUALS_MAX if found else 0
    note = f"{more} earlier ones are in funding.json." if more > 0 else ""
    heads = ("UTC", "Product", "Position", "Rate", "Booked", "Announced", "Gap")
    return Table("Funding", heads, rows, "No future was held over a funding time: nothing was paid.", note)


def _figure(value: Decimal | None) -> Cell:
    return Cell(NONE if value is None else text(value), "num")


def _signed(value: Decimal | None) -> str:
    return NONE if value is None else ("+" if value > 0 else "") + text(value)


def _usd(value: Decimal | None) -> Cell:
    return Cell(NONE if value is None else USD.text(float(value)), "num")


def _ms(value: Decimal) -> Cell:
    return Cell(MILLISECONDS.text(float(value)), "num")


def _or_none(value: Decimal | None, words: Callable[[float], str]) -> str:
    return NONE if value is None else words(float(value))
