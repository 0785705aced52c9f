"""Parity: two runs on the same signals, and where fills, latency, slippage and fees lie beyond the margins."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Literal

from trading_core.artifact_derive import latency_row, percentile
from trading_core.artifact_refusals import was_accepted, was_rejected, was_sent
from trading_core.artifacts import ExecutionLogs, FillStep, Money, Trace
from trading_core.money import BPS, ZERO
from trading_core.plan import Exact, ParityMargins, PlanModel

POOLED = "all"
HALF, TAIL = Decimal("0.5"), Decimal("0.95")
_FINE = Decimal("0.0001")
THOUSAND = Decimal(1000)

Key = tuple[str, str, str, str]
Pair = tuple[Trace, Trace]


class ParityState(StrEnum):
    """What one figure says of two runs."""

    PARITY = "PARITY"
    DIVERGES = "DIVERGES"
    NO_DATA = "NO_DATA"


class ParityRow(PlanModel):
    """One figure of both runs; `n` counts what it was computed from. A missing figure is null, never zero."""

    figure: str
    product_id: str  # "all" for the pooled one
    a: Money | None
    b: Money | None
    delta: Money | None  # b minus a
    margin: Exact
    n_a: int
    n_b: int
    state: ParityState


class RunSide(PlanModel):
    """One of the two runs."""

    run_id: str
    venue: str
    day: str
    seed: int
    subject_digest: str
    signals: int


class ParityReport(PlanModel):
    """The comparison of two runs. PARITY only if every pooled figure has data and no figure diverges."""

    schema_version: Literal[1] = 1
    plan: str
    a: RunSide
    b: RunSide
    matched: int
    state: ParityState
    headline: str
    rows: tuple[ParityRow, ...]


def compare(a: ExecutionLogs, b: ExecutionLogs, margins: ParityMargins) -> ParityReport:
    """Return where the two runs diverge; signals are paired by who wanted what, in their order."""
    signals_a, signals_b = _signals(a), _signals(b)
    pairs = paired(signals_a, signals_b)
    rows = [_unmatched(signals_a, signals_b, len(pairs), margins)]
    products = sorted({x.product_id for x, _ in pairs})
    for name in (POOLED, *products):
        mine = [p for p in pairs if name in (POOLED, p[0].product_id)]
        rows += _figures(name, [x for x, _ in mine], [y for _, y in mine], margins)
    state, headline = _verdict(rows)
    return ParityReport(
        plan=a.header.plan, a=_side(a, signals_a), b=_side(b, signals_b), matched=len(pairs), state=state,
        headline=headline, rows=tuple(rows),
    )


def paired(a: Iterable[Trace], b: Iterable[Trace]) -> list[Pair]:
    """Return the signals of both runs in pairs: the nth of one source, product, purpose and side with the nth."""
    waiting: dict[Key, list[Trace]] = defaultdict(list)
    for trace in b:
        waiting[_key(trace)].append(trace)
    taken: Counter[Key] = Counter()
    pairs = []
    for trace in a:
        key = _key(trace)
        if taken[key] < len(waiting[key]):
            pairs.append((trace, waiting[key][taken[key]]))
            taken[key] += 1
    return pairs


def _signals(logs: ExecutionLogs) -> list[Trace]:
    return [t for t in logs.rows if t.signal is not None and not t.is_probe]


def _key(trace: Trace) -> Key:
    source = "" if trace.signal is None else trace.signal.source
    return source, trace.product_id, trace.purpose, trace.side


def _side(logs: ExecutionLogs, signals: Sequence[Trace]) -> RunSide:
    header = logs.header
    return RunSide(
        run_id=header.run_id, venue=header.venue, day=header.day, seed=header.seed,
        subject_digest=header.subject_digest, signals=len(signals),
    )


def _unmatched(a: Sequence[Trace], b: Sequence[Trace], matched: int, margins: ParityMargins) -> ParityRow:
    """Return the share of signals without a partner; its difference to none at all is what counts."""
    most = max(len(a), len(b))
    share = (Decimal(len(a) + len(b) - 2 * matched) / (len(a) + len(b))).quantize(_FINE) if most else None
    state = ParityState.NO_DATA if share is None else _judge(share, margins.unmatched_share)
    return ParityRow(
        figure="unmatched_share", product_id=POOLED, a=None if share is None else ZERO, b=share, delta=share,
        margin=margins.unmatched_share, n_a=len(a), n_b=len(b), state=state,
    )


Figure = Callable[[Sequence[Trace]], tuple[Decimal | None, int]]


def _figures(product_id: str, a: Sequence[Trace], b: Sequence[Trace], margins: ParityMargins) -> list[ParityRow]:
    figures: dict[str, tuple[Figure, Decimal]] = {
        "fill_share": (_fill_share, margins.fill_share),
        "acceptance_share": (_acceptance, margins.acceptance_share),
        "latency_p50_ms": (lambda t: _latency(t, HALF), margins.latency_p50_ms),
        "latency_p95_ms": (lambda t: _latency(t, TAIL), margins.latency_p95_ms),
        "first_fill_p50_s": (_first_fill, margins.first_fill_p50_s),
        "slippage_bps": (_slippage, margins.slippage_bps),
        "fee_bps": (_fees, margins.fee_bps),
    }
    return [
        _row(name, product_id, figure(a), figure(b), margin, margins.n_min)
        for name, (figure, margin) in figures.items()
    ]


def _row(
    figure: str, product_id: str, a: tuple[Decimal | None, int], b: tuple[Decimal | None, int], margin: Decimal,
    n_min: int,
) -> ParityRow:
    (value_a, n_a), (value_b, n_b) = a, b
    delta = None if value_a is None or value_b is None else value_b - value_a
    state = ParityState.NO_DATA if delta is None or min(n_a, n_b) < n_min else _judge(delta, margin)
    return ParityRow(
        figure=figure, product_id=product_id, a=value_a, b=value_b, delta=delta, margin=margin, n_a=n_a, n_b=n_b,
        state=state,
    )


def _judge(delta: Decimal, margin: Decimal) -> ParityState:
    return ParityState.PARITY if abs(delta) <= margin else ParityState.DIVERGES


def _verdict(rows: Sequence[ParityRow]) -> tuple[ParityState, str]:
    apart = [r for r in rows if r.state is ParityState.DIVERGES]
    blind = [r for r in rows if r.state is ParityState.NO_DATA and r.product_id == POOLED]
    if apart:
        names = ", ".join(dict.fromkeys(r.figure for r in apart))
        return ParityState.DIVERGES, f"{len(apart)} of {len(rows)} figures lie beyond their margin: {names}"
    if blind:
        names = ", ".join(r.figure for r in blind)
        return ParityState.NO_DATA, f"too few orders to compare {names}: run both longer"
    return ParityState.PARITY, f"all {len(rows)} figures with data lie within their margins"


def _fill_share(traces: Sequence[Trace]) -> tuple[Decimal | None, int]:
    return _share(sum(bool(t.fills) for t in traces), len(traces)), len(traces)


def _acceptance(traces: Sequence[Trace]) -> tuple[Decimal | None, int]:
    accepted, rejected = sum(map(was_accepted, traces)), sum(map(was_rejected, traces))
    return _share(accepted, accepted + rejected), accepted + rejected


def _latency(traces: Sequence[Trace], share: Decimal) -> tuple[Decimal | None, int]:
    found = sorted(t.answer.latency_ms for t in traces if t.answer and t.answer.latency_ms is not None)
    return (percentile(found, share) if found else None), len(found)


def _first_fill(traces: Sequence[Trace]) -> tuple[Decimal | None, int]:
    waits = (latency_row(t).submit_to_first_fill_ms for t in traces if was_sent(t))
    found = sorted(w / THOUSAND for w in waits if w is not None)
    return (percentile(found, HALF) if found else None), len(found)


def _slippage(traces: Sequence[Trace]) -> tuple[Decimal | None, int]:
    fills = [f for f in _fills(traces) if f.slippage_bps is not None]
    notional = sum((f.notional for f in fills), ZERO)
    cost = sum(((f.slippage_bps or ZERO) * f.notional for f in fills), ZERO)
    return ((cost / notional).quantize(_FINE) if notional else None), len(fills)


def _fees(traces: Sequence[Trace]) -> tuple[Decimal | None, int]:
    fills = _fills(traces)
    notional = sum((f.notional for f in fills), ZERO)
    paid = sum((f.commission for f in fills), ZERO)
    return ((paid / notional * BPS).quantize(_FINE) if notional else None), len(fills)


def _fills(traces: Iterable[Trace]) -> list[FillStep]:
    return [fill for trace in traces for fill in trace.fills]


def _share(part: int, whole: int) -> Decimal | None:
    return (Decimal(part) / whole).quantize(_FINE) if whole else None
