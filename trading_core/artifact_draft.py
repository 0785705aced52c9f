"""One decision trace while it is being collected: steps are added, and the trace is made anew after each change."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from trading_core.artifact_orders import FilterStep
from trading_core.artifacts import (
    AnswerKind,
    AnswerStep,
    CancelStep,
    DenialStep,
    EditStep,
    FillStep,
    ReportStep,
    SignalStep,
    SizingStep,
    SubmitStep,
    Trace,
)
from trading_core.orders import OrderIntent, OrderStatus


@dataclass
class Draft:
    """The steps so far, and the intent as it was last."""

    intent: OrderIntent
    signal_id: str
    client_order_id: str = ""
    order_id: str = ""
    signal: SignalStep | None = None
    filter: FilterStep | None = None
    guards: str = ""
    sizing: SizingStep | None = None
    denial: DenialStep | None = None
    submit: SubmitStep | None = None
    answers: list[AnswerStep] = field(default_factory=list)
    reports: list[ReportStep] = field(default_factory=list)
    fills: list[FillStep] = field(default_factory=list)
    cancels: list[CancelStep] = field(default_factory=list)
    edits: list[EditStep] = field(default_factory=list)
    repeats: int = 0  # requests about it that were sent again
    touched_ns: int = 0  # when its last step came
    _trace: Trace | None = None  # as it was made last; None after every change

    def touch(self, ts_ns: int) -> None:
        """Say that a step was added."""
        self.touched_ns = ts_ns
        self._trace = None

    @property
    def trace(self) -> Trace:
        """Return the trace as of now; the same object as long as nothing changed."""
        if self._trace is None:
            self._trace = _made(self)
        return self._trace

    def mid_before(self, ts_ns: int) -> Decimal | None:
        """Return the middle of the book when the order was sent, or edited last before the moment."""
        edited = next((edit.mid for edit in reversed(self.edits) if edit.ts <= ts_ns), None)
        return edited or (self.submit.mid if self.submit else None)

    @property
    def refusable_seq(self) -> int | None:
        """Return the first event that may have refused the order; None if there is none yet."""
        seqs = [answer.seq for answer in self.answers] + [report.seq for report in self.reports]
        return min(seqs if self.denial is None else [self.denial.seq, *seqs], default=None)


def draft_of(trace: Trace) -> Draft:
    """Return the draft that the trace was made of."""
    intent = OrderIntent(
        product_id=trace.product_id, side=trace.side, size=trace.size, limit_price=trace.limit_price,
        purpose=trace.purpose, order_type=trace.order_type, time_in_force=trace.time_in_force,
        post_only=trace.post_only, reduce_only=trace.reduce_only, stop_price=trace.stop_price,
        cancel_after_s=trace.cancel_after_s,
    )
    draft = Draft(
        intent, trace.signal_id, client_order_id=trace.client_order_id, order_id=trace.order_id, signal=trace.signal,
        filter=trace.filter, guards=trace.guards, sizing=trace.sizing, denial=trace.denial, submit=trace.submit,
        answers=[*trace.answers], reports=[*trace.reports], fills=[*trace.fills], cancels=[*trace.cancels],
        edits=[*trace.edits],
    )
    draft.repeats = trace.retries - _made(draft).retries
    return draft


def _made(draft: Draft) -> Trace:
    intent = draft.intent
    lost = sum(answer.kind is AnswerKind.LOST for answer in draft.answers)
    return Trace(
        signal_id=draft.signal_id, client_order_id=draft.client_order_id, order_id=draft.order_id,
        product_id=intent.product_id, side=intent.side, purpose=intent.purpose, order_type=intent.order_type,
        time_in_force=intent.time_in_force, post_only=intent.post_only, reduce_only=intent.reduce_only,
        size=intent.size, limit_price=intent.limit_price, stop_price=intent.stop_price,
        cancel_after_s=intent.cancel_after_s, status=_status(draft),
        retries=lost + max(0, len(draft.cancels) - 1) + draft.repeats, signal=draft.signal, sizing=draft.sizing,
        denial=draft.denial, submit=draft.submit, answers=tuple(draft.answers), reports=tuple(draft.reports),
        fills=tuple(draft.fills), cancels=tuple(draft.cancels), edits=tuple(draft.edits),
        filter=draft.filter, guards=draft.guards,
    )


def _status(draft: Draft) -> OrderStatus:
    is_sent = draft.submit is not None or draft.guards
    if not is_sent or (draft.denial is not None and not draft.answers and not draft.reports):
        return OrderStatus.DENIED
    final = [report.status for report in draft.reports if report.status.is_final]
    if final:  # reports may arrive in another order than they were sent: a fill outweighs a cancel
        return OrderStatus.FILLED if OrderStatus.FILLED in final else final[-1]
    kinds = [answer.kind for answer in draft.answers]
    if AnswerKind.REJECTED in kinds or (kinds and kinds[-1] is AnswerKind.NOT_FOUND):
        return OrderStatus.REJECTED
    if draft.cancels and draft.cancels[-1].is_accepted is not False:
        return OrderStatus.CANCEL_REQUESTED
    if AnswerKind.ACCEPTED in kinds or draft.reports:
        return OrderStatus.OPEN
    return OrderStatus.OUTCOME_UNKNOWN if kinds else OrderStatus.SUBMITTED
