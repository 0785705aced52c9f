"""The artifacts of a run as data: what the checks read, what the report shows, what the gate calls evidence."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Literal, TypeAlias

import msgspec
from pydantic import Field

from trading_core.artifact_base import SCHEMA_VERSION, Artifact, Count, Header, Instant, Money, Seq
from trading_core.artifact_figures import (
    CheckpointRow,
    Checkpoints,
    CheckpointState,
    CorrelationRow,
    CrossCorrelation,
    Distance,
    FundingHistory,
    FundingRow,
    ImpactFigures,
    LatencyRow,
    Leg,
    LegFigures,
    OrderLatencies,
    RunSummary,
    SymbolSummary,
)
from trading_core.artifact_orders import (
    AnswerKind,
    AnswerStep,
    CancelStep,
    DenialStep,
    EditStep,
    ExecutionLogs,
    FillStep,
    ReasonCount,
    RefusalRow,
    RefusedBy,
    RejectionBreakdown,
    ReportStep,
    SignalStep,
    SizedDownEvents,
    SizedDownRow,
    SizingStep,
    SubmitStep,
    Totals,
    Trace,
)
from trading_core.plan import PlanModel

__all__ = [
    "FIVE",
    "MODELS",
    "SCHEMA_VERSION",
    "AnswerKind",
    "AnswerStep",
    "AnyArtifact",
    "Artifact",
    "ArtifactName",
    "ArtifactSet",
    "CancelStep",
    "CheckpointRow",
    "CheckpointState",
    "Checkpoints",
    "CorrelationRow",
    "Count",
    "CrossCorrelation",
    "DenialStep",
    "Distance",
    "EditStep",
    "ExecutionLogs",
    "FillStep",
    "FundingHistory",
    "FundingRow",
    "Header",
    "ImpactFigures",
    "Instant",
    "LatencyRow",
    "Leg",
    "LegFigures",
    "LiquidityHistory",
    "LiquidityRow",
    "MarginRow",
    "MarginSnapshots",
    "Money",
    "OrderLatencies",
    "ReasonCount",
    "ReconciliationHistory",
    "ReconciliationRow",
    "RefusalRow",
    "RefusedBy",
    "RejectionBreakdown",
    "ReportStep",
    "RunSummary",
    "Seq",
    "SignalStep",
    "SizedDownEvents",
    "SizedDownRow",
    "SizingStep",
    "SubmitStep",
    "SymbolSummary",
    "Timeline",
    "TimelineRow",
    "Totals",
    "Trace",
    "from_json",
    "row_json",
    "to_json",
]


class ArtifactName(StrEnum):
    """The artifacts by the name of their file, without .json. The first five are the specification's."""

    RECONCILIATION_HISTORY = "reconciliation_history"
    SIZED_DOWN_EVENTS = "sized_down_events"
    MARGIN_SNAPSHOTS = "margin_snapshots"
    EXECUTION_LOGS = "execution_logs"
    REJECTION_BREAKDOWN = "rejection_breakdown"
    LIQUIDITY = "liquidity"
    TIMELINE = "timeline"
    LATENCY = "latency"
    FUNDING = "funding"
    CORRELATION = "correlation"
    CHECKPOINTS = "checkpoints"
    SUMMARY = "summary"


FIVE = tuple(ArtifactName)[:5]


# ── reconciliation_history ──────────────────────────────────────────────────────────────────────
class ReconciliationRow(PlanModel):
    """Our books beside the venue's at one snapshot. Money in quote currency, positions in size units."""

    seq: Seq
    ts: Instant
    equity: Money
    opening_equity: Money
    realized: Money
    unrealized: Money
    fees: Money
    funding: Money  # received minus paid
    transfers: Money
    drift: Money
    is_quiescent: bool  # no order in flight: only then drift is judged
    positions: dict[str, Money]
    marks: dict[str, Money]
    venue_balances: dict[str, Money]
    expected_balances: dict[str, Money]
    open_orders: Count

    @property
    def identity(self) -> Decimal:
        """Return the equity that the books demand of the other columns."""
        return (
            self.opening_equity + self.realized + self.unrealized - self.fees + self.funding + self.transfers
        )


class ReconciliationHistory(Artifact):
    """One row for each snapshot."""

    artifact: Literal["reconciliation_history"] = "reconciliation_history"
    snapshot_every_s: int = Field(gt=0)
    rows: tuple[ReconciliationRow, ...]


# ── margin_snapshots ────────────────────────────────────────────────────────────────────────────
class MarginRow(PlanModel):
    """Margin at a snapshot, or (`cause` change) at the moment when level or window changed."""

    seq: Seq
    ts: Instant
    cause: Literal["snapshot", "change"]
    margin_used: Money
    margin_available: Money
    margin_utilization: Money  # a fraction of used plus available
    margin_window: str
    margin_level: str
    margin_source: Literal["venue", "calendar"] = "venue"  # who says which window holds


class MarginSnapshots(Artifact):
    """Margin over time."""

    artifact: Literal["margin_snapshots"] = "margin_snapshots"
    snapshot_every_s: int = Field(gt=0)
    rows: tuple[MarginRow, ...]


# ── liquidity ───────────────────────────────────────────────────────────────────────────────────
class LiquidityRow(PlanModel):
    """One symbol in one minute. Spread and staleness as of the snapshot, depth and updates from the book."""

    ts: Instant  # start of the minute
    product_id: str
    mark: Money | None
    spread_bps: Money | None
    staleness_s: Money | None
    bid_depth_l10: Money | None = None  # notional over ten levels
    ask_depth_l10: Money | None = None
    updates: Count = 0


class LiquidityHistory(Artifact):
    """One row for each symbol and minute."""

    artifact: Literal["liquidity"] = "liquidity"
    rows: tuple[LiquidityRow, ...]


# ── timeline ────────────────────────────────────────────────────────────────────────────────────
class TimelineRow(PlanModel):
    """An alert, a checkpoint, a guardrail, a change of state or stream, a failed question, the end of a step."""

    seq: Seq
    ts: Instant
    kind: Literal[
        "alert", "checkpoint", "funding", "guardrail", "margin", "session", "state", "step", "stop", "strategy",
        "stream", "venue_failed",
    ]
    name: str
    severity: Literal["INFO", "WARNING", "ERROR", "CRITICAL"]
    detail: str
    is_shown: bool | None = None  # steps only
    measurements: dict[str, Money] = {}


class Timeline(Artifact):
    """What happened beside the orders, oldest first."""

    artifact: Literal["timeline"] = "timeline"
    rows: tuple[TimelineRow, ...]


AnyArtifact: TypeAlias = (
    ReconciliationHistory | SizedDownEvents | MarginSnapshots | ExecutionLogs | RejectionBreakdown
    | LiquidityHistory | Timeline | OrderLatencies | FundingHistory | CrossCorrelation | Checkpoints | RunSummary
)
MODELS: dict[ArtifactName, type[AnyArtifact]] = {
    ArtifactName.RECONCILIATION_HISTORY: ReconciliationHistory,
    ArtifactName.SIZED_DOWN_EVENTS: SizedDownEvents,
    ArtifactName.MARGIN_SNAPSHOTS: MarginSnapshots,
    ArtifactName.EXECUTION_LOGS: ExecutionLogs,
    ArtifactName.REJECTION_BREAKDOWN: RejectionBreakdown,
    ArtifactName.LIQUIDITY: LiquidityHistory,
    ArtifactName.TIMELINE: Timeline,
    ArtifactName.LATENCY: OrderLatencies,
    ArtifactName.FUNDING: FundingHistory,
    ArtifactName.CORRELATION: CrossCorrelation,
    ArtifactName.CHECKPOINTS: Checkpoints,
    ArtifactName.SUMMARY: RunSummary,
}


# Sorted, for an event read back from the store has its mappings in another order than when it was made.
_encoder = msgspec.json.Encoder(order="sorted")


class ArtifactSet(PlanModel):
    """All artifacts of one run."""

    reconciliation_history: ReconciliationHistory
    sized_down_events: SizedDownEvents
    margin_snapshots: MarginSnapshots
    execution_logs: ExecutionLogs
    rejection_breakdown: RejectionBreakdown
    liquidity: LiquidityHistory
    timeline: Timeline
    latency: OrderLatencies
    funding: FundingHistory
    correlation: CrossCorrelation
    checkpoints: Checkpoints
    summary: RunSummary

    def named(self) -> dict[ArtifactName, AnyArtifact]:
        """Return the artifacts by name, the specification's five first."""
        return {name: getattr(self, name.value) for name in ArtifactName}


def to_json(artifact: AnyArtifact) -> bytes:
    """Return the bytes that are written and digested; equal artifacts give equal bytes."""
    return _encoder.encode(artifact.model_dump(mode="json")) + b"\n"


def row_json(row: PlanModel) -> bytes:
    """Return a row's bytes as they stand in `to_json` of its artifact."""
    return _encoder.encode(row.model_dump(mode="json"))


def from_json(name: ArtifactName, payload: bytes) -> AnyArtifact:
    """Return the artifact of its bytes; raises pydantic's ValidationError on anything unknown or missing."""
    return MODELS[name].model_validate_json(payload)
