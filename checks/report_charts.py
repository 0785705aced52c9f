"""Which charts the report shows, made of the artifacts that are there."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

from markupsafe import Markup

from checks.charts import SERIES_MAX, Band, Limit, Series, line_chart, no_data, swatch
from checks.charts_bars import Bar, Lane, Mark, Moment, bar_chart, histogram, timeline
from checks.charts_heat import heat_map
from checks.charts_lanes import strips
from checks.charts_scale import BPS, MILLISECONDS, PERCENT, POWER_OF_TEN, SECONDS, USD, Point, Unit, span_text
from checks.report_figures import (
    drawdown,
    e_path,
    farthest,
    highest,
    latencies_ms,
    lowest,
    quantile,
    windows,
    with_holes,
)
from checks.report_load import RunFiles
from checks.report_view import ACCEPTANCE_METRICS, drift_limit, latency_target
from trading_core.artifacts import CrossCorrelation, LiquidityRow, ReconciliationRow, RefusedBy, TimelineRow
from trading_core.clock import MINUTE_NS, NS
from trading_core.gate.result import text
from trading_core.gate.statistics import e_threshold
from trading_core.plan import Criterion, Kind, Tier

LOG10_FLOOR = -3.0  # below this an e-process says "no" in any case
MINUTES_SHOWN_MAX = 180  # longer days show the highest of each bucket, so that lines of several symbols stay apart
NO_SNAPSHOT = "no snapshot was taken"
NO_BOOK = "no book was watched"
ORDERS_SHOWN_MIN = 60
LANES = (
    ("alerts", ("alert",)),
    ("checkpoints", ("checkpoint",)),
    ("guardrails", ("guardrail",)),
    ("steps", ("step",)),
    ("trading state", ("state",)),
    ("connection", ("stream", "venue_failed")),
)
SEVERITY_SHAPES = {"INFO": 0, "WARNING": 2, "ERROR": 3, "CRITICAL": 1}


@dataclass(frozen=True)
class ChartBox:
    """A chart with its heading, a note and a legend of (swatch, name)."""

    title: str
    note: str
    svg: Markup
    legend: tuple[tuple[Markup, str], ...] = ()
    is_wide: bool = False


@dataclass(frozen=True)
class ChartSection:
    """Charts that belong together."""

    title: str
    boxes: tuple[ChartBox, ...]


def chart_sections(run: RunFiles) -> list[ChartSection]:
    """Return all sections; a chart without data says so."""
    sections: dict[str, tuple[Callable[[RunFiles], ChartBox], ...]] = {
        "Money": (_equity, _drawdown, _pnl, _drift),
        "Exposure and margin": (_positions, _margin),
        "Orders": (_rejections, _latency, *_e_processes(run)),
        "Market quality": (_prices, _correlation, _spread, _staleness, _depth),
        "What happened": (_timeline,),
    }
    return [ChartSection(title, tuple(_box(run, make) for make in boxes)) for title, boxes in sections.items()]


def _box(run: RunFiles, make: Callable[[RunFiles], ChartBox]) -> ChartBox:
    try:
        return make(run)
    except (ArithmeticError, LookupError, TypeError, ValueError) as e:
        # A figure that no axis can hold, in an artifact that is valid all the same.
        words = f"it cannot be drawn: {type(e).__name__}: {e}"
        return ChartBox("A chart is missing here", "", no_data("Chart", words[:70]))


def _equity(run: RunFiles) -> ChartBox:
    points = _book_points(run, lambda r: float(r.equity))
    opening = f"opened at {USD.text(float(run.books.rows[0].opening_equity))}" if run.books and run.books.rows else ""
    svg = line_chart("Equity", [Series("equity", points)], unit=USD, is_filled=True, why_empty=NO_SNAPSHOT)
    return ChartBox("Equity", opening, svg)


def _drawdown(run: RunFiles) -> ChartBox:
    fallen = drawdown(run.books.rows) if run.books else []
    points = with_holes(fallen, run.books.snapshot_every_s) if run.books else []
    worst = min((v for _, v in fallen), default=None)
    limits = []
    if run.plan is not None:
        loss = float(run.plan.risk.daily_loss_max)
        limits = [Limit(-loss, f"daily loss limit {USD.text(-loss)}", always=False)]
    svg = line_chart(
        "Drawdown", [Series("drawdown", points)], unit=USD, limits=limits, is_filled=True, from_zero=True,
        why_empty=NO_SNAPSHOT,
    )
    return ChartBox("Drawdown", "" if worst is None else f"worst {USD.text(worst)}", svg)


def _pnl(run: RunFiles) -> ChartBox:
    parts = [
        Series("realized", _book_points(run, lambda r: float(r.realized))),
        Series("unrealized", _book_points(run, lambda r: float(r.unrealized))),
        Series("fees", _book_points(run, lambda r: -float(r.fees))),
        Series("funding", _book_points(run, lambda r: float(r.funding))),
    ]
    svg = line_chart("PnL by part", parts, unit=USD, from_zero=True, why_empty=NO_SNAPSHOT)
    return ChartBox("PnL by part", "since the start; fees count against it", svg, _legend(parts))


def _drift(run: RunFiles) -> ChartBox:
    rows = [r for r in (run.books.rows if run.books else ()) if r.is_quiescent]
    limit = drift_limit(run)
    points = with_holes([(r.ts, abs(float(r.drift))) for r in rows], run.books.snapshot_every_s) if run.books else []
    svg = line_chart(
        "Reconciliation drift", [Series("drift", points)], unit=USD, from_zero=True, why_empty=NO_SNAPSHOT,
        limits=[Limit(limit, f"at most {USD.text(limit)}")],
    )
    return ChartBox("Reconciliation drift", "ours against the venue's, at quiescent snapshots", svg)


def _positions(run: RunFiles) -> ChartBox:
    rows = run.books.rows if run.books else ()
    sizes = run.logs.contract_sizes if run.logs else {}
    period = run.books.snapshot_every_s if run.books else 60
    symbols = _busiest(Counter(s for r in rows for s in r.positions))
    series = [
        Series(s, with_holes([(r.ts, _notional(r.positions, r.marks, sizes, s)) for r in rows], period))
        for s in symbols
    ]
    note = "signed notional at the mark"
    if (bucket := _bucket_s(run)) > 60 or len(series) > 1:
        turned = [Series(s.name, farthest(s.points, bucket)) for s in series]
        note = f"{note}, the farthest from zero of each {span_text(bucket)}; striped: short"
        return ChartBox("Position by symbol", note, strips("Position", turned, unit=USD, why_empty=NO_SNAPSHOT))
    svg = line_chart("Position by symbol", series, unit=USD, from_zero=True, is_stepped=True, why_empty=NO_SNAPSHOT)
    return ChartBox("Position by symbol", note, svg, _legend(series))


def _notional(
    positions: dict[str, Decimal], marks: dict[str, Decimal], sizes: dict[str, Decimal], symbol: str
) -> float | None:
    size, mark = positions.get(symbol), marks.get(symbol)
    if size is None or (mark is None and size):
        return None
    return float(size * (mark or 0) * sizes.get(symbol, Decimal(1)))


def _margin(run: RunFiles) -> ChartBox:
    rows = run.margin.rows if run.margin else ()
    period = run.margin.snapshot_every_s if run.margin else 60
    points = with_holes([(r.ts, float(r.margin_utilization)) for r in rows], period)
    limits = []
    if run.plan is not None:
        limit = float(run.plan.risk.margin_utilization_max)
        limits.append(Limit(limit, f"limit {PERCENT.text(limit)}"))
        peak = max((float(r.margin_utilization) for r in rows), default=0.0)
        alerts = [t for t in run.plan.thresholds if t.metric == "margin_utilization" and float(t.limit) != limit]
        limits += [
            Limit(float(t.limit), f"{t.severity.lower()} {PERCENT.text(float(t.limit))}")
            for t in alerts if float(t.limit) < 2 * peak
        ]
    found = windows(rows)
    bands = [Band(start, end, name) for start, end, name in found if name != "INTRADAY" or len(found) == 1]
    svg = line_chart(
        "Margin utilization", [Series("utilization", points)], unit=PERCENT, limits=limits, bands=bands,
        from_zero=True, why_empty="no margin was read",
    )
    note = "shaded: outside the intraday window" if bands else "no margin window on this venue"
    return ChartBox("Margin utilization", note if rows else "", svg)


def _rejections(run: RunFiles) -> ChartBox:
    counts = run.refusals.by_reason if run.refusals else ()
    bars = [
        Bar(c.reason, c.count, int(c.by is RefusedBy.VENUE), ", ".join(_notes(c.is_probe, c.is_expected, c.by)))
        for c in counts
    ]
    ours = sum(c.count for c in counts if c.by is RefusedBy.US)
    note = f"{ours:,} denied by us (plain), {sum(c.count for c in counts) - ours:,} rejected by the venue (striped)"
    why = "nothing was denied or rejected" if run.refusals else "no order was sent"
    return ChartBox("Rejections by exact reason", note if bars else "", bar_chart("Rejections", bars, why))


def _notes(is_probe: bool, is_expected: bool, by: RefusedBy) -> list[str]:
    words = ["by the venue" if by is RefusedBy.VENUE else "by us"]
    return words + ["probe"] * is_probe + ["unexpected"] * (not is_expected)


def _latency(run: RunFiles) -> ChartBox:
    values = latencies_ms(run.logs) if run.logs else []
    marks = [
        Mark(v, f"p{share * 100:.0f} {MILLISECONDS.text(v)}")
        for share in (0.5, 0.95, 0.99) if (v := quantile(values, share)) is not None
    ]
    if (target := latency_target(run)) is not None:
        marks.append(Mark(target, f"target {MILLISECONDS.text(target)}", is_limit=True))
    svg = histogram("Order latency", values, unit=MILLISECONDS, marks=marks, why_empty="no order was answered")
    return ChartBox("Order latency", f"send to answer, {len(values):,} orders" if values else "", svg)


def _e_processes(run: RunFiles) -> list[Callable[[RunFiles], ChartBox]]:
    judged = [c for c in (run.plan.criteria if run.plan else ()) if c.p0 is not None]
    rates = [c for c in judged if c.kind is Kind.RATE and c.metric in ACCEPTANCE_METRICS]
    strictest = sorted(rates, key=lambda c: list(Tier).index(c.tier))[:1]
    latency = [c for c in judged if c.kind is Kind.LATENCY_QUANTILE and c.quantile_limit is not None]
    return [partial(_e_process, c) for c in [*strictest, *latency]]


def _e_process(c: Criterion, run: RunFiles) -> ChartBox:
    limit = None if c.quantile_limit is None else float(c.quantile_limit)
    names = _busiest(Counter(t.product_id for t in run.logs.rows)) if run.logs else []
    wanted = ["all", *names[: SERIES_MAX - 1]] if len(names) > 1 else ["all"]
    paths = {n: e_path(run.logs, float(c.p0 or 0), limit, "" if n == "all" else n) if run.logs else [] for n in wanted}
    bar = e_threshold(c.alpha)
    reached = {name: next((n for n, (_, v) in enumerate(path, 1) if v >= bar.log10()), None)
               for name, path in paths.items()}
    # What comes long after the crossing changes nothing and would squeeze it to the edge.
    last = max((r or len(paths[name]) for name, r in reached.items()), default=0)
    shown = max(ORDERS_SHOWN_MIN, 2 * last)
    series = [Series(name, _capped(path[:shown], float(bar.log10()) + 3)) for name, path in paths.items()]
    count = len(paths["all"])
    words = f"shown after {reached['all']:,} orders" if reached["all"] else f"not shown in {count:,} orders"
    svg = line_chart(
        f"Evidence path of {c.title}", series, unit=POWER_OF_TEN, from_zero=True, counted="orders",
        limits=[Limit(float(bar.log10()), f"shown at {text(bar)}")], why_empty="no order was answered",
    )
    return ChartBox("Evidence as it grew (e-value)", f"{c.title}: {words}, pooled", svg, _legend(series))


def _capped(path: Sequence[tuple[int, float]], top: float) -> list[Point]:
    points: list[Point] = [(n, min(top, max(LOG10_FLOOR, value))) for n, (_, value) in enumerate(path, 1)]
    return [(0, 0.0), *points] if points else []


def _correlation(run: RunFiles) -> ChartBox:
    found = run.find(CrossCorrelation)
    values = {(r.first, r.second): r.correlation for r in found.rows} if found else {}
    names = list(found.products[:SERIES_MAX]) if found else []
    least = min((r.n for r in found.rows), default=0) if found else 0
    why = "one product only" if len(names) == 1 else "too few minutes"
    note = f"one-minute returns of the mark, {least:,} minutes" if values else ""
    return ChartBox("Correlation of the products", note, heat_map("Correlation", names, values, why))


def _prices(run: RunFiles) -> ChartBox:
    marks: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for row in run.liquidity.rows if run.liquidity else ():
        if row.mark:
            marks[row.product_id].append((row.ts, float(row.mark)))
    chosen = _busiest(Counter({s: len(points) for s, points in marks.items()}))
    series = [
        Series(s, with_holes([(ts, v / marks[s][0][1] - 1) for ts, v in marks[s]], MINUTE_NS // NS)) for s in chosen
    ]
    svg = line_chart("Market", series, unit=PERCENT, from_zero=True, why_empty=NO_BOOK)
    return ChartBox("Market", "change of the mark since the start", svg, _legend(series))


def _spread(run: RunFiles) -> ChartBox:
    limit = float(run.plan.risk.spread_bps_max) if run.plan else None
    limits = [] if limit is None else [Limit(limit, f"no entry above {BPS.text(limit)}", always=False)]
    return _by_minute(run, ("Spread", "bps, each minute"), lambda r: r.spread_bps, BPS, limits)


def _staleness(run: RunFiles) -> ChartBox:
    limit = float(run.plan.risk.stale_after_s) if run.plan else None
    limits = [] if limit is None else [Limit(limit, f"stale after {SECONDS.text(limit)}", always=False)]
    words = ("Feed staleness", "age of the last update, each minute")
    return _by_minute(run, words, lambda r: r.staleness_s, SECONDS, limits)


def _depth(run: RunFiles) -> ChartBox:
    return _by_minute(run, ("Depth over ten levels", "notional of the thinner side"), _thinner_side, USD, [], lowest)


def _thinner_side(row: LiquidityRow) -> Decimal | None:
    if row.bid_depth_l10 is None or row.ask_depth_l10 is None:
        return None
    return min(row.bid_depth_l10, row.ask_depth_l10)


def _by_minute(
    run: RunFiles,
    words: tuple[str, str],
    value: Callable[[LiquidityRow], Decimal | None],
    unit: Unit,
    limits: Sequence[Limit],
    extreme: Callable[[Sequence[Point], int], list[Point]] = highest,
) -> ChartBox:
    found: dict[str, list[Point]] = defaultdict(list)
    for row in run.liquidity.rows if run.liquidity else ():
        figure = value(row)
        found[row.product_id].append((row.ts, None if figure is None else float(figure)))
    chosen = _busiest(Counter({s: len(points) for s, points in found.items()}))
    series = [Series(s, with_holes(found[s], MINUTE_NS // NS)) for s in chosen]
    title, note = words
    if (bucket := _bucket_s(run)) > 60:
        series = [Series(s.name, extreme(s.points, bucket)) for s in series]
        note = f"{note}; the {extreme.__name__} of each {span_text(bucket)}"
    svg = line_chart(title, series, unit=unit, limits=limits, from_zero=True, why_empty=NO_BOOK)
    return ChartBox(title, note, svg, _legend(series))


def _bucket_s(run: RunFiles) -> int:
    start, end = run.window() or (0, 0)
    return max(60, -(-(end - start) // (MINUTES_SHOWN_MAX * MINUTE_NS)) * 60)


def _timeline(run: RunFiles) -> ChartBox:
    rows = run.timeline.rows if run.timeline else ()
    start, end = run.window() or (0, 1)
    if rows:
        start, end = min(start, rows[0].ts), max(end, rows[-1].ts)
    # The grave ones are drawn last, on top.
    ranked = sorted(rows, key=lambda r: list(SEVERITY_SHAPES).index(r.severity))
    lanes = [Lane(name, [_moment(r) for r in ranked if r.kind in kinds]) for name, kinds in LANES]
    svg = timeline("Timeline", lanes, start, end, "nothing was recorded")
    legend = tuple((swatch(shape, name.lower()), name.lower()) for name, shape in SEVERITY_SHAPES.items())
    return ChartBox("Timeline", "alerts, steps and changes of state; the table below has the words", svg, legend, True)


def _moment(row: TimelineRow) -> Moment:
    words = f"{row.severity} {row.kind} {row.name}: {row.detail}"
    severity = "ERROR" if row.is_shown is False and row.severity == "INFO" else row.severity
    return Moment(row.ts, words, SEVERITY_SHAPES[severity], severity.lower())


def _book_points(run: RunFiles, value: Callable[[ReconciliationRow], float]) -> list[Point]:
    if run.books is None:
        return []
    return with_holes([(r.ts, value(r)) for r in run.books.rows], run.books.snapshot_every_s)


def _busiest(counts: Counter[str]) -> list[str]:
    return sorted(name for name, _ in counts.most_common(SERIES_MAX))


def _legend(series: Sequence[Series]) -> tuple[tuple[Markup, str], ...]:
    drawn = [s for s in series if any(v is not None for _, v in s.points)]
    return tuple((swatch(n), s.name) for n, s in enumerate(drawn)) if len(series) > 1 else ()
