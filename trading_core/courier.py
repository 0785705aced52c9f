"""The courier: takes a command of the engine to the venue, and brings back what the venue said as events."""

from __future__ import annotations

from decimal import Decimal
from typing import assert_never

import msgspec

from trading_core import events as ev
from trading_core.clock import Clock
from trading_core.commands import (
    AskOrder,
    CancelOrder,
    EditOrder,
    FetchFills,
    ReadAccount,
    ReadFeeTier,
    ReadFunding,
    SubmitOrder,
    VenueCommand,
)
from trading_core.errors import OutcomeUnknown, VenueError
from trading_core.orders import Fill, Purpose
from trading_core.ports import Accepted, Broker, CancelAnswer, EditAnswer, Rejected
from trading_core.repeats import repeats_of
from trading_core.risk import ApprovedOrder
from trading_core.trading_state import TradingGuard, TradingState

ENTRY_STATES = frozenset({TradingState.ACTIVE})


class Courier:
    """The one way from a session's commands to its venue. An order leaves only if the trading state still lets it."""

    def __init__(self, broker: Broker, clock: Clock, guard: TradingGuard) -> None:
        self.fills_seen: set[str] = set()  # the endpoint lists all fills of an order, each time
        self._broker = broker
        self._clock = clock
        self._guard = guard

    def carry(self, command: VenueCommand) -> list[ev.AnyEvent]:
        """Do it, and return what came of it in order; a venue that failed is an event too."""
        repeats = self._broker.repeats()
        try:
            came = self._carry(command)
        except VenueError as e:
            came = [self._failed(command, e)]
        if times := self._broker.repeats() - repeats:
            came.extend(repeats_of(command, times, self._clock.now_ns()))
        return came

    def booked(self, fills: list[Fill]) -> list[ev.AnyEvent]:
        """Return those of the fills that were not seen before, to be booked in this order."""
        booked: list[ev.AnyEvent] = []
        for fill in fills:
            if fill.entry_id not in self.fills_seen:
                self.fills_seen.add(fill.entry_id)
                booked.append(ev.FillBooked(ts_ns=self._clock.now_ns(), fill=fill))
        return booked

    # ── details ─────────────────────────────────────────────────────────────────────────────────
    def _carry(self, command: VenueCommand) -> list[ev.AnyEvent]:
        match command:
            case SubmitOrder(order=order):
                return self._submit(order)
            case EditOrder():
                return self._edit(command)
            case CancelOrder():
                return self._cancel(command)
            case AskOrder():
                return [self._ask(command)]
            case FetchFills(order_id=order_id):
                return self.booked(self._broker.fills(order_id))
            case ReadAccount():
                return [self._read_account()]
            case ReadFeeTier():
                return [self._broker.fee_tier()]
            case ReadFunding(product_id=product_id):
                return self._read_funding(product_id)
            case _:
                assert_never(command)

    def _failed(self, command: VenueCommand, error: VenueError) -> ev.VenueFailed:
        return ev.VenueFailed(
            ts_ns=self._clock.now_ns(), kind=type(error).__name__, detail=f"{command}: {error}"[:500]
        )

    def _submit(self, order: ApprovedOrder) -> list[ev.AnyEvent]:
        if reason := self._withheld(order):
            return [ev.SubmitWithheld(
                ts_ns=self._clock.now_ns(), client_order_id=order.client_order_id, reason=reason
            )]
        started_ns = self._clock.stopwatch_ns()
        try:
            answer = self._broker.submit(order)
        except OutcomeUnknown as e:
            return [ev.OrderLost(
                ts_ns=self._clock.now_ns(), client_order_id=order.client_order_id, cause=str(e)
            )]
        except VenueError as e:
            # Refused before it was processed: not an order, and never an expected refusal.
            refused = ev.OrderRejected(
                ts_ns=self._clock.now_ns(), client_order_id=order.client_order_id, reason=type(e).__name__,
                is_expected=False, message=str(e)[:300], latency_ms=self._latency_ms(started_ns),
            )
            return [ev.VenueFailed(ts_ns=refused.ts_ns, kind=type(e).__name__, detail=str(e)[:500]), refused]
        return [self._answered(order, answer, started_ns)]

    def _withheld(self, order: ApprovedOrder) -> str:
        """Return why the order may not leave now; empty if it may."""
        state = self._guard.state  # read again right before sending: it may have been tightened since
        exits = (Purpose.EXIT, Purpose.PROBE_EXIT_WHILE_REDUCING)
        is_exit = order.intent.reduce_only or order.intent.purpose in exits
        may_leave = state is not TradingState.HALTED and (state in ENTRY_STATES or is_exit)
        return "" if may_leave else f"STATE_{state}"

    def _answered(self, order: ApprovedOrder, answer: Accepted | Rejected, started_ns: int) -> ev.AnyEvent:
        now_ns, latency_ms = self._clock.now_ns(), self._latency_ms(started_ns)
        match answer:
            case Accepted(order_id=order_id, attached_order_id=attached):
                return ev.OrderAccepted(
                    ts_ns=now_ns, client_order_id=order.client_order_id, order_id=order_id, latency_ms=latency_ms,
                    attached_order_id=attached,
                )
            case Rejected(reason=reason, is_expected=is_expected, message=message):
                return ev.OrderRejected(
                    ts_ns=now_ns, client_order_id=order.client_order_id, reason=reason, is_expected=is_expected,
                    message=message, latency_ms=latency_ms,
                )

    def _latency_ms(self, started_ns: int) -> Decimal:
        return Decimal((self._clock.stopwatch_ns() - started_ns) // 1000) / 1000

    def _edit(self, command: EditOrder) -> list[ev.AnyEvent]:
        name, started_ns = command.order.client_order_id, self._clock.stopwatch_ns()
        if reason := self._withheld(command.order):
            return [ev.EditAnswered(
                ts_ns=self._clock.now_ns(), client_order_id=name, is_accepted=False, reason=reason
            )]
        try:
            answer = self._broker.edit(command.order_id, command.order)
        except OutcomeUnknown as e:
            return [ev.EditLost(ts_ns=self._clock.now_ns(), client_order_id=name, cause=str(e))]
        except VenueError as e:
            refused = EditAnswer(is_accepted=False, reason=type(e).__name__, is_expected=False)
            return [self._failed(command, e), self._edit_answered(name, refused, started_ns)]
        return [self._edit_answered(name, answer, started_ns)]

    def _edit_answered(self, name: str, answer: EditAnswer, started_ns: int) -> ev.AnyEvent:
        return ev.EditAnswered(
            ts_ns=self._clock.now_ns(), client_order_id=name, is_accepted=answer.is_accepted,
            reason=answer.reason, is_expected=answer.is_expected, latency_ms=self._latency_ms(started_ns),
        )

    def _cancel(self, command: CancelOrder) -> list[ev.AnyEvent]:
        try:
            answers = self._broker.cancel([command.order_id])
        except VenueError as e:
            # As good as refused: the order is asked about, and the cancel may be asked for again.
            refused = CancelAnswer(command.order_id, is_accepted=False, reason=type(e).__name__)
            return [self._cancel_answered(command, refused), self._failed(command, e)]
        return [self._cancel_answered(command, answer) for answer in answers]

    def _cancel_answered(self, command: CancelOrder, answer: CancelAnswer) -> ev.AnyEvent:
        return ev.CancelAnswered(
            ts_ns=self._clock.now_ns(), client_order_id=command.client_order_id,
            is_accepted=answer.is_accepted, reason=answer.reason,
        )

    def _ask(self, command: AskOrder) -> ev.AnyEvent:
        if command.order_id:
            found = self._broker.order(command.order_id)
        else:
            maybe = self._broker.find_order(command.client_order_id)
            if maybe is None:
                return ev.OrderNotFound(ts_ns=self._clock.now_ns(), client_order_id=command.client_order_id)
            found = maybe
        return ev.OrderReported(ts_ns=self._clock.now_ns(), order=found, is_answer=True)

    def _read_funding(self, product_id: str) -> list[ev.AnyEvent]:
        product = self._broker.product(product_id)
        if product.funding_ns is None or product.funding_rate is None:
            return []
        return [ev.FundingRead(
            ts_ns=self._clock.now_ns(), product_id=product_id, funding_ns=product.funding_ns,
            rate=product.funding_rate,
        )]

    def _read_account(self) -> ev.AccountRead:
        before_ns = self._clock.now_ns()
        server_ns = self._broker.server_time_ns()
        middle_ns = (before_ns + self._clock.now_ns()) // 2
        account = self._broker.account()
        offset_s = Decimal((server_ns - middle_ns) // 1_000_000) / 1000
        return msgspec.structs.replace(account, ts_ns=self._clock.now_ns(), clock_offset_s=offset_s)
