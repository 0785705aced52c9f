"""The final summary of a run, by product and in all, and the correlation of the products' returns. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import combinations

from trading_core import events as ev
from trading_core.artifact_base import Header
from trading_core.artifact_figures import (
    CorrelationRow,
    CrossCorrelation,
    FundingHistory,
    FundingRow,
    Leg,
    OrderLatencies,
    RunSummary,
    SymbolSummary,
)
from trading_core.artifact_orders import RejectionBreakdown, Totals
from trading_core.artifact_traded import FINE, ImpactSoFar, Traded, TradedSoFar
from trading_core.clock import MINUTE_NS
from trading_core.money import BPS, ZERO

CORRELATED_MIN = 10  # returns below which a correlation says nothing
NO_ORDERS = Totals(signals=0, sent=0, accepted=0, rejected=0, denied=0, withheld=0, unresolved=0)
_SHARE = Decimal("0.000001")


class ReturnsTable:
    """Running sums of the products' one-minute returns, so that a day's correlation costs nothing to look at."""

    def __init__(self, products: Sequence[str]) -> None:
        self._pairs = list(combinations(sorted(products), 2))
        self._products = tuple(sorted(products))
        self._last: dict[str, tuple[int, Decimal]] = {}
        self._sums = {pair: [0.0] * 6 for pair in self._pairs}

    def add(self, ts_ns: int, marks: Mapping[str, Decimal]) -> None:
        """Take the marks of a snapshot; the first of each minute counts, and a return needs two minutes in a row."""
        minute = ts_ns // MINUTE_NS
        if any(self._last.get(name, (-1, ZERO))[0] == minute for name in self._products):
            return
        returns: dict[str, float] = {}
        for name in self._products:
            mark = marks.get(name)
            if mark is None or mark <= 0:
                continue
            before = self._last.get(name)
            if before is not None and before[0] == minute - 1:
                returns[name] = float(mark / before[1] - 1)
            self._last[name] = (minute, mark)
        for (a, b), sums in self._sums.items():
            if a in returns and b in returns:
                x, y = returns[a], returns[b]
                for index, value in enumerate((1.0, x, y, x * x, y * y, x * y)):
                    sums[index] += value

    def artifact(self, header: Header) -> CrossCorrelation:
        """Return the correlation of each pair as of now."""
        rows = tuple(
            CorrelationRow(first=a, second=b, n=int(sums[0]), correlation=_correlation(sums))
            for (a, b), sums in self._sums.items()
        )
        return CrossCorrelation(header=header, products=self._products, every_s=MINUTE_NS // 1_000_000_000, rows=rows)


def funding_row(seq: int, event: ev.FundingAccrued, contract_size: Decimal) -> FundingRow:
    """Return the accrual beside what position, mark and rate demand: at a positive rate a long position pays."""
    expected = -event.position * contract_size * event.mark * event.rate
    return FundingRow(
        seq=seq, ts=event.ts_ns, product_id=event.product_id, funding_time=event.funding_ns, position=event.position,
        mark=event.mark, rate=event.rate, booked=event.amount, expected=expected, gap=event.amount - expected,
    )


def funding_history(header: Header, rows: Sequence[FundingRow]) -> FundingHistory:
    """Return the accruals with their sum."""
    return FundingHistory(header=header, booked_total=sum((r.booked for r in rows), ZERO), rows=tuple(rows))


def summary(
    header: Header, products: Sequence[str], traded: TradedSoFar, refusals: RejectionBreakdown,
    latencies: OrderLatencies, funding: FundingHistory, impact: ImpactSoFar, books: BooksSoFar, timeline: TimelineSoFar,
) -> RunSummary:
    """Return the summary of everything so far."""
    rows = tuple(
        _symbol(name, traded.of(name), traded.contract_size(name), refusals.by_symbol.get(name, NO_ORDERS),
                sum((r.booked for r in funding.rows if r.product_id == name), ZERO), books)
        for name in sorted({*products, *traded.by_symbol})
    )
    totals, answered = refusals.totals, latencies.pooled.get(Leg.SUBMIT_TO_ANSWER)
    return RunSummary(
        header=header, **books.figures(), fills=sum(r.fills for r in rows),
        volume=sum((r.bought + r.sold for r in rows), ZERO),
        order_acceptance=_share(totals.accepted, totals.accepted + totals.rejected),
        signal_acceptance=_share(traded.entries_accepted, traded.entries),
        latency_p95_ms=None if answered is None else answered.p95, impact=impact.figures(),
        alerts=dict(sorted(timeline.severities.items())), guardrails_latched=tuple(timeline.latched),
        steps_shown=tuple(name for name, is_shown in timeline.steps.items() if is_shown),
        steps_not_shown=tuple(name for name, is_shown in timeline.steps.items() if not is_shown), rows=rows,
    )


class BooksSoFar:
    """What the snapshots came to, kept as they come."""

    def __init__(self) -> None:
        self.last: ev.SnapshotTaken | None = None
        self._opening = self._peak = self._drawdown = self._margin = ZERO
        self._count = 0

    def add(self, snapshot: ev.SnapshotTaken) -> None:
        """Take a snapshot."""
        if self.last is None:
            self._opening = self._peak = snapshot.opening_equity
        self.last = snapshot
        self._peak = max(self._peak, snapshot.equity)
        self._drawdown = max(self._drawdown, self._peak - snapshot.equity)
        self._margin = max(self._margin, snapshot.margin_utilization)
        self._count += 1

    def figures(self) -> dict[str, Decimal | int]:
        """Return the summary's figures of the books."""
        last = self.last
        parts = (ZERO, ZERO, ZERO, ZERO) if last is None else (last.equity, last.fees, last.funding, last.transfers)
        equity, fees, funding, transfers = parts
        return {
            "opening_equity": self._opening, "equity": equity, "pnl": equity - self._opening - transfers,
            "fees": fees, "funding": funding, "transfers": transfers, "worst_drawdown": self._drawdown,
            "peak_margin": self._margin, "snapshots": self._count,
        }


class TimelineSoFar:
    """Alerts by severity, guardrails that latched, and the last end of each step."""

    def __init__(self) -> None:
        self.severities: Counter[str] = Counter()
        self.latched: list[str] = []
        self.steps: dict[str, bool] = {}

    def add(self, event: ev.AnyEvent) -> None:
        """Take an event; most say nothing here."""
        match event:
            case ev.AlertRaised():
                self.severities[event.severity] += 1
            case ev.GuardrailTripped() if event.name not in self.latched:
                self.latched.append(event.name)
            case ev.StepEnded():
                self.steps[event.step] = event.is_shown
            case _:
                pass


def _symbol(
    name: str, traded: Traded, contract_size: Decimal, totals: Totals, funding: Decimal, books: BooksSoFar
) -> SymbolSummary:
    mark = books.last.marks.get(name, ZERO) if books.last is not None else ZERO
    cash = traded.sold - traded.bought + traded.position * contract_size * mark
    slippage = cost = None
    if traded.notional:
        slippage = (traded.slipped / traded.notional).quantize(FINE)
        cost = (traded.slipped / BPS).quantize(_SHARE)
    return SymbolSummary(
        product_id=name, signals=totals.signals, sent=totals.sent, accepted=totals.accepted,
        rejected=totals.rejected, denied=totals.denied, fills=traded.fills, bought=traded.bought, sold=traded.sold,
        pnl=cash - traded.fees + funding, fees=traded.fees, funding=funding,
        slippage_bps=slippage, shortfall=None if cost is None else cost + traded.fees,
        unfilled=traded.unfilled, position=traded.position,
    )


def _share(part: int, whole: int) -> Decimal | None:
    return (Decimal(part) / whole).quantize(_SHARE) if whole else None


def _correlation(sums: Sequence[float]) -> float | None:
    n, sx, sy, sxx, syy, sxy = sums
    if n < CORRELATED_MIN:
        return None
    spread_x, spread_y = n * sxx - sx * sx, n * syy - sy * sy
    if spread_x <= 0 or spread_y <= 0:
        return None
    return max(-1.0, min(1.0, round((n * sxy - sx * sy) / math.sqrt(spread_x * spread_y), 6)))
