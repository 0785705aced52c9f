"""From events to decision traces: one for each signal or order, with the sizes that a limit cut."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from itertools import takewhile

from trading_core import events as ev
from trading_core.artifact_draft import Draft
from trading_core.artifact_orders import FilterStep
from trading_core.artifact_settled import DraftIndex, SettledTraces
from trading_core.artifacts import (
    AnswerKind,
    AnswerStep,
    CancelStep,
    DenialStep,
    EditStep,
    FillStep,
    ReportStep,
    SignalStep,
    SizedDownRow,
    SizingStep,
    SubmitStep,
    Trace,
    row_json,
)
from trading_core.clock import NS
from trading_core.money import BPS, ONE, Price
from trading_core.orders import Fill, OrderIntent, VenueOrder

SETTLED_AFTER_NS = 600 * NS  # venue time: an order that has ended is not heard of again


class TraceBuilder:
    """Collects the events of orders, one trace for each signal or order, in the order of their first event."""

    def __init__(self, contract_sizes: Mapping[str, Decimal]) -> None:
        self._contract_sizes = contract_sizes
        self._drafts: list[Draft] = []
        self._by_signal, self._by_client_id, self._by_order_id = DraftIndex(), DraftIndex(), DraftIndex()
        self._settled = SettledTraces()
        self.reopenings = 0  # how often a settled trace changed after all: what `settle` returned before is void
        self._now_ns = 0
        self._ownerless: list[tuple[int, Fill]] = []
        self._sized: list[tuple[int, ev.SizedDown]] = []

    def add(self, seq: int, event: ev.AnyEvent) -> None:
        """Take one event; those that do not concern orders are ignored."""
        self._now_ns = event.ts_ns
        match event:
            case ev.SignalRaised():
                draft = self._draft(event.intent, event.signal_id)
                draft.signal = SignalStep(seq=seq, ts=event.ts_ns, source=event.source)
            case ev.SignalFiltered():
                if (stopped := self._find(self._by_signal, event.signal_id)) is not None:
                    stopped.filter = FilterStep(
                        seq=seq, ts=event.ts_ns, filter_name=event.filter_name, detail=event.detail
                    )
                    stopped.touch(self._now_ns)
            case ev.BracketAdopted():
                self._on_bracket(event)
            case ev.SizedDown():
                self._on_sized(seq, event)
            case ev.OrderDenied():
                draft = self._find(self._by_signal, event.signal_id) or self._draft(event.intent, event.signal_id)
                draft.denial = DenialStep(seq=seq, ts=event.ts_ns, reason=event.reason, detail=event.detail)
                draft.touch(self._now_ns)
            case ev.OrderSubmitted():
                self._on_submitted(seq, event)
            case ev.SubmitWithheld():
                if (held := self._find(self._by_client_id, event.client_order_id)) is not None:
                    held.denial = DenialStep(seq=seq, ts=event.ts_ns, reason=event.reason, detail="", is_withheld=True)
                    held.touch(self._now_ns)
            case ev.OrderAccepted() | ev.OrderRejected() | ev.OrderLost() | ev.OrderNotFound():
                self._on_answer(seq, event)
            case ev.OrderReported():
                self._on_report(seq, event.ts_ns, event.order)
            case ev.FillBooked():
                self._ownerless.append((seq, event.fill))
            case ev.CancelRequested() | ev.CancelAnswered() | ev.EditRequested() | ev.EditAnswered():
                self._on_change(seq, event)
            case ev.RequestRepeated():
                self._on_repeated(event)
            case _:
                pass

    def finish(self) -> tuple[tuple[Trace, ...], tuple[FillStep, ...], tuple[SizedDownRow, ...]]:
        """Return the traces, the fills that belong to none of them and the rows of sized_down_events; repeatable.

        What `settle` and `take_sized` have returned is left out.
        """
        self._give_fills()
        orphans = tuple(self._fill_step(seq, fill, None) for seq, fill in self._ownerless)
        sized = tuple(self._sized_row(seq, event) for seq, event in self._sized)
        return tuple(draft.trace for draft in self._drafts), orphans, sized

    def settle(self, now_ns: int) -> list[tuple[Trace, bytes]]:
        """Hand out the oldest traces that have ended and are not heard of any more, with their rows in JSON.

        Should an event name one of them all the same, all come back, and `reopenings` grows.
        """
        self._now_ns = now_ns
        self._give_fills()
        done = list(takewhile(self._has_settled, self._drafts))
        rows = [(draft.trace, row_json(draft.trace)) for draft in done]
        numbers = {id(draft): number for number, draft in enumerate(done, start=self._settled.count)}
        for index in (self._by_signal, self._by_client_id, self._by_order_id):
            index.settle(numbers)
        self._settled.add([row for _, row in rows])
        del self._drafts[: len(done)]
        return rows

    def take_sized(self) -> list[SizedDownRow]:
        """Hand out the rows of sized_down_events: they are known in whole when they come."""
        sized, self._sized = self._sized, []
        return [self._sized_row(seq, event) for seq, event in sized]

    def refusable_seq(self) -> int | None:
        """Return the first event that may have refused an order whose trace is not settled."""
        return min((seq for draft in self._drafts if (seq := draft.refusable_seq) is not None), default=None)

    def _has_settled(self, draft: Draft) -> bool:
        return draft.trace.status.is_final and self._now_ns - draft.touched_ns >= SETTLED_AFTER_NS

    def _find(self, index: DraftIndex, key: str) -> Draft | None:
        if index.is_settled(key):
            drafts = self._settled.take()
            for each in (self._by_signal, self._by_client_id, self._by_order_id):
                each.reopen(drafts)
            self._drafts = [*drafts, *self._drafts]
            self.reopenings += 1
        return index.get(key)

    def _give_fills(self) -> None:
        """Give each fill to its order, as far as the order's id is known yet."""
        waiting, self._ownerless = self._ownerless, []
        for seq, fill in waiting:
            owner = self._find(self._by_order_id, fill.order_id)
            if owner is None:
                self._ownerless.append((seq, fill))
            else:
                owner.fills.append(self._fill_step(seq, fill, owner.mid_before(fill.ts_ns)))
                owner.touch(self._now_ns)

    def _draft(self, intent: OrderIntent, signal_id: str) -> Draft:
        draft = Draft(intent, signal_id, touched_ns=self._now_ns)
        self._drafts.append(draft)
        if signal_id:
            self._by_signal.set(signal_id, draft)
        return draft

    def _on_sized(self, seq: int, event: ev.SizedDown) -> None:
        self._sized.append((seq, event))
        if (draft := self._find(self._by_signal, event.signal_id)) is not None:
            draft.sizing = SizingStep(
                seq=seq, original_size=event.original_size, adjusted_size=event.adjusted_size,
                limit_name=event.limit_name,
            )
            draft.touch(self._now_ns)

    def _on_submitted(self, seq: int, event: ev.OrderSubmitted) -> None:
        draft = self._find(self._by_signal, event.signal_id)
        if draft is None or draft.submit is not None:  # an order without a signal, or a second one of a signal
            draft = self._draft(event.intent, event.signal_id)
        draft.intent = event.intent
        draft.client_order_id = event.client_order_id
        draft.submit = SubmitStep(
            seq=seq, ts=event.ts_ns, client_order_id=event.client_order_id, mid=event.mid
        )
        draft.touch(self._now_ns)
        self._by_client_id.set(event.client_order_id, draft)

    def _on_bracket(self, event: ev.BracketAdopted) -> None:
        """Open the trace of a bracket: it left with the order that it guards, so it has no signal of its own."""
        draft = self._draft(event.intent, "")
        draft.client_order_id, draft.guards = event.client_order_id, event.guards
        self._by_client_id.set(event.client_order_id, draft)
        self._know(draft, event.order_id)

    def _on_answer(
        self, seq: int, event: ev.OrderAccepted | ev.OrderRejected | ev.OrderLost | ev.OrderNotFound
    ) -> None:
        draft = self._find(self._by_client_id, event.client_order_id)
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
        draft.touch(self._now_ns)

    def _on_report(self, seq: int, ts_ns: int, order: VenueOrder) -> None:
        draft = self._find(self._by_client_id, order.client_order_id) or self._find(self._by_order_id, order.order_id)
        if draft is None:
            return
        self._know(draft, order.order_id)
        draft.touch(self._now_ns)
        for n, edit in enumerate(draft.edits):
            is_shown = (edit.limit_price, edit.size) == (order.limit_price, order.size) and not order.is_edit_pending
            if edit.applied_seq is None and is_shown:
                draft.edits[n] = edit.model_copy(update={"applied_seq": seq})
        draft.reports.append(
            ReportStep(
                seq=seq, ts=ts_ns, status=order.status, filled_size=order.filled_size,
                average_price=order.average_price, total_fees=order.total_fees, reason=order.reason,
            )
        )

    def _on_change(
        self, seq: int, event: ev.CancelRequested | ev.CancelAnswered | ev.EditRequested | ev.EditAnswered
    ) -> None:
        draft = self._find(self._by_client_id, event.client_order_id)
        if draft is None:
            return
        draft.touch(self._now_ns)
        match event:
            case ev.CancelRequested():
                draft.cancels.append(CancelStep(seq=seq, ts=event.ts_ns, cause=event.cause))
            case ev.CancelAnswered() if draft.cancels:
                draft.cancels[-1] = draft.cancels[-1].model_copy(
                    update={"answer_seq": seq, "is_accepted": event.is_accepted, "reason": event.reason}
                )
            case ev.EditRequested():
                draft.edits.append(EditStep(
                    seq=seq, ts=event.ts_ns, source=event.source, size=event.intent.size,
                    limit_price=event.intent.limit_price, mid=event.mid,
                ))
            case ev.EditAnswered() if draft.edits:
                draft.edits[-1] = draft.edits[-1].model_copy(update={
                    "answer_seq": seq, "is_accepted": event.is_accepted, "reason": event.reason,
                    "is_expected": event.is_expected, "latency_ms": event.latency_ms,
                })

    def _on_repeated(self, event: ev.RequestRepeated) -> None:
        draft = self._find(self._by_client_id, event.client_order_id) or self._find(self._by_order_id, event.order_id)
        if draft is not None:
            draft.repeats += event.times
            draft.touch(self._now_ns)

    def _know(self, draft: Draft, order_id: str) -> None:
        if order_id:
            draft.order_id = order_id
            self._by_order_id.set(order_id, draft)

    def _fill_step(self, seq: int, fill: Fill, mid: Price | None) -> FillStep:
        slippage = (fill.price - mid) / mid * BPS * fill.side.sign if mid else None
        return FillStep(
            seq=seq, ts=fill.ts_ns, entry_id=fill.entry_id, trade_id=fill.trade_id, order_id=fill.order_id,
            product_id=fill.product_id, side=fill.side, price=fill.price, size=fill.size,
            notional=fill.size * self._contract_sizes.get(fill.product_id, ONE) * fill.price,
            commission=fill.commission, liquidity=fill.liquidity, slippage_bps=slippage,
        )

    def _sized_row(self, seq: int, event: ev.SizedDown) -> SizedDownRow:
        draft = self._find(self._by_signal, event.signal_id)
        return SizedDownRow(
            seq=seq, ts=event.ts_ns, signal_id=event.signal_id, product_id=event.product_id, side=event.side,
            purpose=draft.intent.purpose if draft else None,
            original_size=event.original_size, adjusted_size=event.adjusted_size,
            original_notional=event.original_notional, adjusted_notional=event.adjusted_notional,
            limit_name=event.limit_name, impact_limit_bps=event.impact_limit_bps,
            model_impact_bps=event.model_impact_bps, realized_impact_bps=event.realized_impact_bps,
            depth_l1=event.depth_l1, depth_l10=event.depth_l10, spread_bps=event.spread_bps,
        )
