"""From events to decision traces: one for each signal or order, with the sizes that a limit cut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from trading_core import events as ev
from trading_core.artifact_orders import FilterStep
from trading_core.artifacts import (
    AnswerKind,
    AnswerStep,
    CancelStep,
    DenialStep,
    FillStep,
    ReportStep,
    SignalStep,
    SizedDownRow,
    SizingStep,
    SubmitStep,
    Trace,
)
from trading_core.money import BPS, ONE, Price
from trading_core.orders import Fill, OrderIntent, OrderStatus, VenueOrder


@dataclass
class _Draft:
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
    repeats: int = 0  # requests about it that were sent again
    trace: Trace | None = None  # as it was made last; None after every change


class TraceBuilder:
    """Collects the events of orders, one trace for each signal or order, in the order of their first event."""

    def __init__(self, contract_sizes: Mapping[str, Decimal]) -> None:
        self._contract_sizes = contract_sizes
        self._drafts: list[_Draft] = []
        self._by_signal: dict[str, _Draft] = {}
        self._by_client_id: dict[str, _Draft] = {}
        self._by_order_id: dict[str, _Draft] = {}
        self._ownerless: list[tuple[int, Fill]] = []
        self._sized: list[tuple[int, ev.SizedDown]] = []
        self._sized_rows: list[SizedDownRow] = []

    def add(self, seq: int, event: ev.AnyEvent) -> None:
        """Take one event; those that do not concern orders are ignored."""
        match event:
            case ev.SignalRaised():
                draft = self._draft(event.intent, event.signal_id)
                draft.signal = SignalStep(seq=seq, ts=event.ts_ns, source=event.source)
            case ev.SignalFiltered():
                if (stopped := self._by_signal.get(event.signal_id)) is not None:
                    stopped.filter = FilterStep(
                        seq=seq, ts=event.ts_ns, filter_name=event.filter_name, detail=event.detail
                    )
                    stopped.trace = None
            case ev.BracketAdopted():
                self._on_bracket(event)
            case ev.SizedDown():
                self._on_sized(seq, event)
            case ev.OrderDenied():
                draft = self._by_signal.get(event.signal_id) or self._draft(event.intent, event.signal_id)
                draft.denial = DenialStep(seq=seq, ts=event.ts_ns, reason=event.reason, detail=event.detail)
                draft.trace = None
            case ev.OrderSubmitted():
                self._on_submitted(seq, event)
            case ev.SubmitWithheld():
                if (held := self._by_client_id.get(event.client_order_id)) is not None:
                    held.denial = DenialStep(
                        seq=seq, ts=event.ts_ns, reason=event.reason, detail="", is_withheld=True
                    )
                    held.trace = None
            case ev.OrderAccepted() | ev.OrderRejected() | ev.OrderLost() | ev.OrderNotFound():
                self._on_answer(seq, event)
            case ev.OrderReported():
                self._on_report(seq, event.ts_ns, event.order)
            case ev.FillBooked():
                self._ownerless.append((seq, event.fill))
            case ev.CancelRequested() | ev.CancelAnswered():
                self._on_cancel(seq, event)
            case ev.RequestRepeated():
                self._on_repeated(event)
            case _:
                pass

    def finish(self) -> tuple[tuple[Trace, ...], tuple[FillStep, ...], tuple[SizedDownRow, ...]]:
        """Return the traces, the fills that belong to none of them and the rows of sized_down_events; repeatable."""
        self._give_fills()
        orphans = tuple(self._fill_step(seq, fill, None) for seq, fill in self._ownerless)
        self._sized_rows += (self._sized_row(seq, event) for seq, event in self._sized[len(self._sized_rows) :])
        return tuple(_trace(draft) for draft in self._drafts), orphans, tuple(self._sized_rows)

    def _give_fills(self) -> None:
        """Give each fill to its order, as far as the order's id is known yet."""
        waiting, self._ownerless = self._ownerless, []
        for seq, fill in waiting:
            owner = self._by_order_id.get(fill.order_id)
            if owner is None:
                self._ownerless.append((seq, fill))
            else:
                owner.fills.append(self._fill_step(seq, fill, owner.submit.mid if owner.submit else None))
                owner.trace = None

    def _draft(self, intent: OrderIntent, signal_id: str) -> _Draft:
        draft = _Draft(intent, signal_id)
        self._drafts.append(draft)
        if signal_id:
            self._by_signal[signal_id] = draft
        return draft

    def _on_sized(self, seq: int, event: ev.SizedDown) -> None:
        self._sized.append((seq, event))
        if (draft := self._by_signal.get(event.signal_id)) is not None:
            draft.sizing = SizingStep(
                seq=seq, original_size=event.original_size, adjusted_size=event.adjusted_size,
                limit_name=event.limit_name,
            )
            draft.trace = None

    def _on_submitted(self, seq: int, event: ev.OrderSubmitted) -> None:
        draft = self._by_signal.get(event.signal_id)
        if draft is None or draft.submit is not None:  # an order without a signal, or a second one of a signal
            draft = self._draft(event.intent, event.signal_id)
        draft.intent = event.intent
        draft.client_order_id = event.client_order_id
        draft.submit = SubmitStep(
            seq=seq, ts=event.ts_ns, client_order_id=event.client_order_id, mid=event.mid
        )
        draft.trace = None
        self._by_client_id[event.client_order_id] = draft

    def _on_bracket(self, event: ev.BracketAdopted) -> None:
        """Open the trace of a bracket: it left with the order that it guards, so it has no signal of its own."""
        draft = self._draft(event.intent, "")
        draft.client_order_id, draft.guards = event.client_order_id, event.guards
        self._by_client_id[event.client_order_id] = draft
        self._know(draft, event.order_id)

    def _on_answer(
        self, seq: int, event: ev.OrderAccepted | ev.OrderRejected | ev.OrderLost | ev.OrderNotFound
    ) -> None:
        draft = self._by_client_id.get(event.client_order_id)
        if draft is None:
            return
        match event:
            case ev.OrderAccepted():
                self._know(draft, event.order_id)
                step = AnswerStep(
                    seq=seq, ts=event.ts_ns, kind=AnswerKind.ACCEPTED, order_id=event.order_id,
                    latency_ms=event.latency_ms,
                )
            case ev.OrderRejected():
                step = AnswerStep(
                    seq=seq, ts=event.ts_ns, kind=AnswerKind.REJECTED, reason=event.reason,
                    is_expected=event.is_expected, message=event.message, latency_ms=event.latency_ms,
                )
            case ev.OrderLost():
                step = AnswerStep(
                    seq=seq, ts=event.ts_ns, kind=AnswerKind.LOST, is_expected=False, message=event.cause
                )
            case ev.OrderNotFound():
                step = AnswerStep(seq=seq, ts=event.ts_ns, kind=AnswerKind.NOT_FOUND, is_expected=False)
        draft.answers.append(step)
        draft.trace = None

    def _on_report(self, seq: int, ts_ns: int, order: VenueOrder) -> None:
        draft = self._by_client_id.get(order.client_order_id) or self._by_order_id.get(order.order_id)
        if draft is None:
            return
        self._know(draft, order.order_id)
        draft.trace = None
        draft.reports.append(
            ReportStep(
                seq=seq, ts=ts_ns, status=order.status, filled_size=order.filled_size,
                average_price=order.average_price, total_fees=order.total_fees, reason=order.reason,
            )
        )

    def _on_cancel(self, seq: int, event: ev.CancelRequested | ev.CancelAnswered) -> None:
        draft = self._by_client_id.get(event.client_order_id)
        if draft is None:
            return
        draft.trace = None
        if isinstance(event, ev.CancelRequested):
            draft.cancels.append(CancelStep(seq=seq, ts=event.ts_ns, cause=event.cause))
        elif draft.cancels:
            draft.cancels[-1] = draft.cancels[-1].model_copy(
                update={"answer_seq": seq, "is_accepted": event.is_accepted, "reason": event.reason}
            )

    def _on_repeated(self, event: ev.RequestRepeated) -> None:
        draft = self._by_client_id.get(event.client_order_id) or self._by_order_id.get(event.order_id)
        if draft is not None:
            draft.repeats += event.times
            draft.trace = None

    def _know(self, draft: _Draft, order_id: str) -> None:
        if order_id:
            draft.order_id = order_id
            self._by_order_id[order_id] = draft

    def _fill_step(self, seq: int, fill: Fill, mid: Price | None) -> FillStep:
        slippage = (fill.price - mid) / mid * BPS * fill.side.sign if mid else None
        return FillStep(
            seq=seq, ts=fill.ts_ns, entry_id=fill.entry_id, trade_id=fill.trade_id, order_id=fill.order_id,
            product_id=fill.product_id, side=fill.side, price=fill.price, size=fill.size,
            notional=fill.size * self._contract_sizes.get(fill.product_id, ONE) * fill.price,
            commission=fill.commission, liquidity=fill.liquidity, slippage_bps=slippage,
        )

    def _sized_row(self, seq: int, event: ev.SizedDown) -> SizedDownRow:
        draft = self._by_signal.get(event.signal_id)
        return SizedDownRow(
            seq=seq, ts=event.ts_ns, signal_id=event.signal_id, product_id=event.product_id, side=event.side,
            purpose=draft.intent.purpose if draft else None,
            original_size=event.original_size, adjusted_size=event.adjusted_size,
            original_notional=event.original_notional, adjusted_notional=event.adjusted_notional,
            limit_name=event.limit_name, impact_limit_bps=event.impact_limit_bps,
            model_impact_bps=event.model_impact_bps, realized_impact_bps=event.realized_impact_bps,
            depth_l1=event.depth_l1, depth_l10=event.depth_l10, spread_bps=event.spread_bps,
        )


def _trace(draft: _Draft) -> Trace:
    if draft.trace is None:
        draft.trace = _made(draft)
    return draft.trace


def _made(draft: _Draft) -> Trace:
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
        fills=tuple(draft.fills), cancels=tuple(draft.cancels), filter=draft.filter, guards=draft.guards,
    )


def _status(draft: _Draft) -> OrderStatus:
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
