"""Figures for the report, from artifacts: floats, for display and charts only. The gate computes its own."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from checks.charts_scale import Point
from trading_core.artifacts import (
    AnswerKind,
    ExecutionLogs,
    FillStep,
    LiquidityRow,
    MarginRow,
    ReconciliationRow,
    RejectionBreakdown,
    Trace,
)
from trading_core.clock import NS
from trading_core.gate.statistics import PASS_MIX
from trading_core.orders import Liquidity

HOLE_PERIODS = 3  # a line is broken where so many periods have no row


def with_holes(points: Iterable[Point], period_s: int) -> list[Point]:
    """Return the points with a hole wherever rows are missing: a gap is shown as a gap."""
    filled: list[Point] = []
    for ts, value in points:
        if filled and ts - filled[-1][0] > HOLE_PERIODS * period_s * NS:
            filled.append((filled[-1][0] + 1, None))
        filled.append((ts, value))
    return filled


def highest(points: Sequence[Point], bucket_s: int) -> list[Point]:
    """Return the highest value of each bucket of time; a bucket without any is a hole."""
    buckets: dict[int, list[float]] = defaultdict(list)
    for ts, value in points:
        buckets[ts // (bucket_s * NS)].extend([] if value is None else [value])
    return [(n * bucket_s * NS, max(values, default=None)) for n, values in sorted(buckets.items())]


def lowest(points: Sequence[Point], bucket_s: int) -> list[Point]:
    """Return the lowest value of each bucket of time; a bucket without any is a hole."""
    turned = highest([(ts, None if v is None else -v) for ts, v in points], bucket_s)
    return [(ts, None if v is None else -v) for ts, v in turned]


def farthest(points: Sequence[Point], bucket_s: int) -> list[Point]:
    """Return the value farthest from zero of each bucket of time; a bucket without any is a hole."""
    above, below = highest(points, bucket_s), lowest(points, bucket_s)
    return [
        (ts, high if high is None or low is None or high >= -low else low)
        for (ts, high), (_, low) in zip(above, below, strict=True)
    ]


def drawdown(rows: Sequence[ReconciliationRow]) -> list[tuple[int, float]]:
    """Return equity below its highest value so far, at each snapshot; zero or negative."""
    peak: Decimal | None = None
    points = []
    for row in rows:
        peak = row.equity if peak is None else max(peak, row.equity)
        points.append((row.ts, float(row.equity - peak)))
    return points


def latencies_ms(logs: ExecutionLogs) -> list[float]:
    """Return the answer times of all orders that were answered, probes included, in order."""
    answers = (t.answer for t in logs.rows)
    return [float(a.latency_ms) for a in answers if a is not None and a.latency_ms is not None]


def quantile(values: Sequence[float], share: float) -> float | None:
    """Return the smallest value that at least this share does not exceed; None without values."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def e_path(
    logs: ExecutionLogs, p0: float, quantile_limit: float | None = None, product_id: str = ""
) -> list[tuple[int, float]]:
    """Return log10 of the e-process after each answered order, probes left out, of this attempt alone.

    With a quantile limit an order succeeds if it was answered in that many milliseconds.
    """
    rates = [p0 + (1 - p0) * float(share) for share in PASS_MIX]
    gains = [math.log(q / p0) for q in rates]
    losses = [math.log((1 - q) / (1 - p0)) if q < 1 else -math.inf for q in rates]
    totals = [0.0] * len(rates)
    path = []
    mine = (t for t in logs.rows if not t.is_probe and product_id in ("", t.product_id))
    for answer in sorted((t.answer for t in mine if t.answer), key=lambda a: a.ts):
        accepted = answer.kind is AnswerKind.ACCEPTED
        good = accepted if quantile_limit is None else float(answer.latency_ms or math.inf) < quantile_limit
        steps = gains if good else losses
        totals = [total + step for total, step in zip(totals, steps, strict=True)]
        top = max(totals)
        mixed = top + math.log(sum(math.exp(t - top) for t in totals) / len(totals))
        path.append((answer.ts, mixed / math.log(10)))
    return path


def windows(rows: Sequence[MarginRow]) -> list[tuple[int, int, str]]:
    """Return the margin windows as (start, end, name), joined while the name stays."""
    found: list[tuple[int, int, str]] = []
    for row in rows:
        if found and found[-1][2] == row.margin_window:
            found[-1] = (found[-1][0], row.ts, row.margin_window)
        else:
            if found:
                found[-1] = (found[-1][0], row.ts, found[-1][2])
            found.append((row.ts, row.ts, row.margin_window))
    return [w for w in found if w[2]]


@dataclass(frozen=True)
class SymbolRow:
    """One symbol's day, for the table."""

    symbol: str
    sent: int
    accepted: int
    rejected: int
    denied: int
    fills: int
    bought: float
    sold: float
    fees: float
    maker_share: float | None
    slippage_bps: float | None
    spread_bps: float | None
    staleness_max_s: float | None
    position: float | None


def by_symbol(
    logs: ExecutionLogs | None,
    refusals: RejectionBreakdown | None,
    liquidity: Sequence[LiquidityRow],
    last: ReconciliationRow | None,
) -> list[SymbolRow]:
    """Return one row for each symbol that any artifact names."""
    traces: dict[str, list[Trace]] = defaultdict(list)
    for trace in logs.rows if logs else ():
        traces[trace.product_id].append(trace)
    minutes: dict[str, list[LiquidityRow]] = defaultdict(list)
    for minute in liquidity:
        minutes[minute.product_id].append(minute)
    names = {*traces, *minutes, *(refusals.by_symbol if refusals else ()), *(last.positions if last else ())}
    return [_symbol_row(name, traces[name], minutes[name], last) for name in sorted(names)]


def _symbol_row(
    symbol: str, traces: Sequence[Trace], minutes: Sequence[LiquidityRow], last: ReconciliationRow | None
) -> SymbolRow:
    fills = [f for t in traces for f in t.fills]
    sent = [t for t in traces if not t.is_probe and t.submit is not None]
    answers = [t.answer for t in sent if t.answer is not None]
    accepted = sum(a.kind is AnswerKind.ACCEPTED for a in answers)
    spreads = [float(m.spread_bps) for m in minutes if m.spread_bps is not None]
    return SymbolRow(
        symbol=symbol,
        sent=len(sent),
        accepted=accepted,
        rejected=len(answers) - accepted,
        denied=sum(t.denial is not None for t in traces if not t.is_probe),
        fills=len(fills),
        bought=_notional(fills, 1),
        sold=_notional(fills, -1),
        fees=float(sum((f.commission for f in fills), Decimal(0))),
        maker_share=sum(f.liquidity is Liquidity.MAKER for f in fills) / len(fills) if fills else None,
        slippage_bps=_mean([float(f.slippage_bps) for f in fills if f.slippage_bps is not None]),
        spread_bps=quantile(spreads, 0.5),
        staleness_max_s=max((float(m.staleness_s) for m in minutes if m.staleness_s is not None), default=None),
        position=float(last.positions[symbol]) if last and symbol in last.positions else None,
    )


def _notional(fills: Sequence[FillStep], sign: int) -> float:
    return float(sum((f.notional for f in fills if f.side.sign == sign), Decimal(0)))


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
