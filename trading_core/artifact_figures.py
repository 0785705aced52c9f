"""Artifacts of figures that follow from a run's events: latencies, funding, correlation, checkpoints, the summary."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from trading_core.artifact_base import Artifact, Count, Instant, Money, Seq
from trading_core.orders import Purpose
from trading_core.plan import PlanModel


# ── latency ─────────────────────────────────────────────────────────────────────────────────────
class Leg(StrEnum):
    """A part of an order's way. The answer's leg is in milliseconds of the machine, the others of the venue's time."""

    DECISION_TO_SUBMIT = "decision_to_submit_ms"
    SUBMIT_TO_ANSWER = "submit_to_answer_ms"
    SUBMIT_TO_FIRST_FILL = "submit_to_first_fill_ms"


class LegFigures(PlanModel):
    """One leg over many orders: each percentile is a latency that was seen, none is interpolated."""

    n: Count
    p50: Money
    p90: Money
    p95: Money
    p99: Money
    worst: Money


class LatencyRow(PlanModel):
    """One order that was sent; a leg that did not end is null."""

    seq: Seq  # of the submit
    ts: Instant
    client_order_id: str
    product_id: str
    purpose: Purpose
    decision_to_submit_ms: Money | None
    submit_to_answer_ms: Money | None
    submit_to_first_fill_ms: Money | None


class OrderLatencies(Artifact):
    """One row for each order that was sent, and the percentiles of each leg, pooled and by symbol."""

    artifact: Literal["latency"] = "latency"
    pooled: dict[Leg, LegFigures]
    by_symbol: dict[str, dict[Leg, LegFigures]]
    rows: tuple[LatencyRow, ...]


# ── funding ─────────────────────────────────────────────────────────────────────────────────────
class FundingRow(PlanModel):
    """Funding of one position at one funding time: as booked, and as position, mark and rate demand."""

    seq: Seq
    ts: Instant
    product_id: str
    funding_time: Instant
    position: Money
    mark: Money
    rate: Money
    booked: Money  # received minus paid
    expected: Money
    gap: Money


class FundingHistory(Artifact):
    """One row for each accrual; none if no future was held over a funding time."""

    artifact: Literal["funding"] = "funding"
    booked_total: Money
    rows: tuple[FundingRow, ...]


# ── correlation ─────────────────────────────────────────────────────────────────────────────────
class CorrelationRow(PlanModel):
    """Two products: how their one-minute returns went together. A statistic, hence a float; null if undefined."""

    first: str
    second: str
    n: Count  # minutes with a return of both
    correlation: float | None = Field(ge=-1, le=1, allow_inf_nan=False)


class CrossCorrelation(Artifact):
    """One row for each pair of products that the plan trades; none if it trades one only."""

    artifact: Literal["correlation"] = "correlation"
    products: tuple[str, ...]
    every_s: int = Field(gt=0)
    rows: tuple[CorrelationRow, ...]


# ── checkpoints ─────────────────────────────────────────────────────────────────────────────────
class CheckpointState(StrEnum):
    """`at_end`: the run ended before its hour, and its last figures stand for it. `missing`: there are none."""

    REACHED = "reached"
    AT_END = "at_end"
    MISSING = "missing"


class Distance(PlanModel):
    """How far a guardrail is from its limit; `left` is negative beyond it."""

    observed: Money
    limit: Money
    left: Money


class CheckpointRow(PlanModel):
    """What had been shown so many hours after trading began."""

    at_h: int = Field(ge=0)
    state: CheckpointState
    detail: str
    seq: Seq | None = None
    ts: Instant | None = None
    equity: Money | None = None
    pnl: Money | None = None
    accepted: Count | None = None
    rejected: Count | None = None
    e_log10: dict[str, Money] = {}  # log10 of the e-value so far, by criterion
    guardrails: dict[str, Distance] = {}


class Checkpoints(Artifact):
    """One row for each checkpoint of the plan, also for those that the run never reached."""

    artifact: Literal["checkpoints"] = "checkpoints"
    planned_h: tuple[int, ...]
    rows: tuple[CheckpointRow, ...]


# ── summary ─────────────────────────────────────────────────────────────────────────────────────
class ImpactFigures(PlanModel):
    """What sizing expected of taking the book beside what the fills cost, over the orders that it cut."""

    n: Count
    model_bps: Money
    realized_bps: Money


class SymbolSummary(PlanModel):
    """One product: orders, probes left out; money of all fills in quote currency."""

    product_id: str
    signals: Count
    sent: Count
    accepted: Count
    rejected: Count
    denied: Count
    fills: Count
    bought: Money
    sold: Money
    pnl: Money  # cash flow of the fills, plus what is held at the last mark, less fees and plus funding
    fees: Money
    funding: Money
    slippage_bps: Money | None  # against the mid at submit, weighted by notional
    shortfall: Money | None  # slippage and fees against the mid at submit
    unfilled: Money  # notional at the mid at submit that was sent, probes left out, and did not trade
    position: Money


class RunSummary(Artifact):
    """One row for each product, and the figures of the whole run."""

    artifact: Literal["summary"] = "summary"
    opening_equity: Money
    equity: Money
    pnl: Money  # transfers left out
    fees: Money
    funding: Money
    transfers: Money
    worst_drawdown: Money
    peak_margin: Money
    snapshots: Count
    fills: Count
    volume: Money
    order_acceptance: Money | None  # accepted / (accepted + rejected)
    signal_acceptance: Money | None  # entries placed / signals to enter
    latency_p95_ms: Money | None
    impact: ImpactFigures | None
    alerts: dict[str, Count]  # by severity
    guardrails_latched: tuple[str, ...]
    steps_shown: tuple[str, ...]
    steps_not_shown: tuple[str, ...]
    rows: tuple[SymbolSummary, ...]
