"""The artifacts about orders: decision traces, sizes that a limit cut, and refusals by exact reason."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Literal

from trading_core.artifact_base import Artifact, Count, Instant, Money, Seq
from trading_core.orders import Liquidity, OrderStatus, OrderType, Purpose, Side, TimeInForce
from trading_core.plan import PlanModel


# ── sized_down_events ───────────────────────────────────────────────────────────────────────────
class SizedDownRow(PlanModel):
    """A limit made an order smaller, or refused it whole (adjusted zero)."""

    seq: Seq
    ts: Instant
    signal_id: str
    product_id: str
    side: Side
    purpose: Purpose | None
    original_size: Money
    adjusted_size: Money
    original_notional: Money
    adjusted_notional: Money
    limit_name: str
    impact_limit_bps: Money
    model_impact_bps: Money
    realized_impact_bps: Money | None
    depth_l1: Money
    depth_l10: Money
    spread_bps: Money


class SizedDownEvents(Artifact):
    """One row for each time a limit made an order smaller; `was_probed` says whether the protocol provokes one."""

    artifact: Literal["sized_down_events"] = "sized_down_events"
    was_probed: bool
    rows: tuple[SizedDownRow, ...]


# ── execution_logs ──────────────────────────────────────────────────────────────────────────────
class SignalStep(PlanModel):
    """A strategy or a protocol step wanted an order."""

    seq: Seq
    ts: Instant
    source: str


class FilterStep(PlanModel):
    """A filter of the strategy stopped its signal."""

    seq: Seq
    ts: Instant
    filter_name: str
    detail: str


class SizingStep(PlanModel):
    """Sizing changed the order; see the row of sized_down_events with this seq."""

    seq: Seq
    original_size: Money
    adjusted_size: Money
    limit_name: str


class DenialStep(PlanModel):
    """We did not send the order: a rule denied it, or (`is_withheld`) the session held it back."""

    seq: Seq
    ts: Instant
    reason: str
    detail: str
    is_withheld: bool = False


class SubmitStep(PlanModel):
    """The order was stored and sent; `mid` is the middle of the book at that moment."""

    seq: Seq
    ts: Instant
    client_order_id: str
    mid: Money


class AnswerKind(StrEnum):
    """What came back to a submit. LOST stands until a report or NOT_FOUND resolves it."""

    ACCEPTED = "ACCEPTED"
    REJECTED = "REJECTED"
    LOST = "LOST"
    NOT_FOUND = "NOT_FOUND"


class AnswerStep(PlanModel):
    """One answer of the venue to the submit."""

    seq: Seq
    ts: Instant
    kind: AnswerKind
    order_id: str = ""
    reason: str = ""
    is_expected: bool = True
    message: str = ""
    latency_ms: Money | None = None


class ReportStep(PlanModel):
    """The venue reported the order, cumulative."""

    seq: Seq
    ts: Instant
    status: OrderStatus
    filled_size: Money
    average_price: Money
    total_fees: Money
    reason: str = ""


class FillStep(PlanModel):
    """A fill as the fills endpoint confirmed it. Slippage against the mid at submit or at the last edit before it.

    Positive is worse.
    """

    seq: Seq
    ts: Instant
    entry_id: str
    trade_id: str
    order_id: str
    product_id: str
    side: Side
    price: Money
    size: Money
    notional: Money
    commission: Money
    liquidity: Liquidity
    slippage_bps: Money | None = None


class CancelStep(PlanModel):
    """We asked for the cancel; the answer's members are None until it came."""

    seq: Seq
    ts: Instant
    cause: str
    answer_seq: Seq | None = None
    is_accepted: bool | None = None
    reason: str = ""


class EditStep(PlanModel):
    """We asked for the order to rest at another price, or smaller; the answer's members are None until it came."""

    seq: Seq
    ts: Instant
    source: str
    size: Money
    limit_price: Money | None
    mid: Money  # the middle of the book at that moment
    answer_seq: Seq | None = None
    is_accepted: bool | None = None
    reason: str = ""
    is_expected: bool = True
    latency_ms: Money | None = None
    applied_seq: Seq | None = None  # the report that first shows the order as asked


class Trace(PlanModel):
    """The decision trace of one signal and of its order, if it became one; every step names its event."""

    signal_id: str
    client_order_id: str  # empty if no order was sent
    order_id: str  # empty if the venue never named it
    product_id: str
    side: Side
    purpose: Purpose
    order_type: OrderType
    time_in_force: TimeInForce
    post_only: bool
    reduce_only: bool
    size: Money  # as sent, or as wanted if it was not sent; what became of it is in `edits`
    limit_price: Money | None
    stop_price: Money | None
    cancel_after_s: int | None
    status: OrderStatus
    retries: Count  # lost answers, cancels asked again, and requests about it that were sent again
    signal: SignalStep | None
    filter: FilterStep | None = None
    sizing: SizingStep | None = None
    denial: DenialStep | None = None
    submit: SubmitStep | None = None
    answers: tuple[AnswerStep, ...] = ()
    reports: tuple[ReportStep, ...] = ()
    fills: tuple[FillStep, ...] = ()
    cancels: tuple[CancelStep, ...] = ()
    edits: tuple[EditStep, ...] = ()
    guards: str = ""  # a bracket of the venue's: the client order id of the order whose fills it guards

    @property
    def is_probe(self) -> bool:
        """Tell whether the order is a deliberate probe: left out of acceptance."""
        return self.purpose.startswith("PROBE_")

    @property
    def last_size(self) -> Decimal:
        """Return the whole size that the order had last."""
        return next((edit.size for edit in reversed(self.edits) if edit.applied_seq is not None), self.size)

    @property
    def answer(self) -> AnswerStep | None:
        """Return the first acceptance or rejection, or None if none came."""
        for answer in self.answers:  # no generator: each save asks this of every order, several times
            if answer.kind is AnswerKind.ACCEPTED or answer.kind is AnswerKind.REJECTED:
                return answer
        return None


class ExecutionLogs(Artifact):
    """One trace for each signal, oldest first; fills that belong to no order of ours are kept apart."""

    artifact: Literal["execution_logs"] = "execution_logs"
    contract_sizes: dict[str, Money]  # base units in one unit of size; 1 for spot
    rows: tuple[Trace, ...]
    orphan_fills: tuple[FillStep, ...] = ()


# ── rejection_breakdown ─────────────────────────────────────────────────────────────────────────
class RefusedBy(StrEnum):
    """Who refused: we deny, the venue rejects."""

    US = "us"
    VENUE = "venue"


class Totals(PlanModel):
    """Orders by what became of them. `unresolved`: sent, and nobody knows."""

    signals: Count
    sent: Count
    accepted: Count
    rejected: Count
    denied: Count
    withheld: Count
    unresolved: Count


class ReasonCount(PlanModel):
    """How often one exact reason occurred, probes apart from all others."""

    by: RefusedBy
    reason: str
    is_expected: bool
    is_probe: bool
    count: Count
    by_symbol: dict[str, Count]


class RefusalRow(PlanModel):
    """One denial or rejection."""

    seq: Seq
    ts: Instant
    by: RefusedBy
    product_id: str
    purpose: Purpose
    reason: str
    is_expected: bool
    detail: str
    signal_id: str
    client_order_id: str


class RejectionBreakdown(Artifact):
    """Refusals by exact reason; `totals` and `by_symbol` without probes, `probes` by purpose."""

    artifact: Literal["rejection_breakdown"] = "rejection_breakdown"
    totals: Totals
    by_symbol: dict[str, Totals]
    probes: dict[Purpose, Totals]
    by_reason: tuple[ReasonCount, ...]
    rows: tuple[RefusalRow, ...]
