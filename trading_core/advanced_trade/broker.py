"""Trades on Coinbase: places and cancels orders, and tells a refusal from an outcome that nobody knows."""

from __future__ import annotations

from collections.abc import Sequence

from trading_core.advanced_trade import wire_orders
from trading_core.advanced_trade.broker_transport import API, CREATE_ORDER, Urgency
from trading_core.advanced_trade.broker_venue import ReadOnlyVenue
from trading_core.advanced_trade.reasons import first_known, is_expected, is_expected_edit
from trading_core.errors import ConfigurationError, OutcomeUnknown, SchemaDrift, VenueUnavailable
from trading_core.money import plain
from trading_core.orders import OrderIntent, Purpose
from trading_core.ports import Accepted, CancelAnswer, EditAnswer, Rejected, SubmitAnswer
from trading_core.risk import ApprovedOrder

EDIT_ORDER = "/orders/edit"
CANCELS_MAX = 100  # order ids that one batch_cancel takes
EXITS = frozenset({Purpose.EXIT, Purpose.PROBE_EXIT_WHILE_REDUCING, Purpose.EMERGENCY})
NO_CANCEL_FAILURE = "UNKNOWN_CANCEL_FAILURE_REASON"  # Coinbase's word for "nothing went wrong"


class AdvancedTradeBroker(ReadOnlyVenue):
    """A venue that also trades."""

    def submit(self, order: ApprovedOrder) -> SubmitAnswer:
        """Place the order under its client order id. Sent once: nothing here repeats it.

        Raises OutcomeUnknown if the venue may have it; NotAuthorised, BadRequest or RateLimited if it was refused
        before it was processed; ConfigurationError, before anything is sent, for an order that is not encoded.
        """
        asked = {
            "client_order_id": order.client_order_id,
            "product_id": order.intent.product_id,
            "side": order.intent.side.value,
            "order_configuration": wire_orders.configuration_of(order.intent),
            **wire_orders.attached_of(order.intent),
        }
        try:
            answer = self._ask(
                wire_orders.CreateOrderBody, "NewOrderResponse", CREATE_ORDER.removeprefix(API), method="POST",
                body=asked, urgency=_urgency(order.intent),
            )
        except (VenueUnavailable, SchemaDrift) as e:
            raise OutcomeUnknown(order.client_order_id, str(e)) from e
        order_id = answer.success_response.order_id if answer.success_response else ""
        if answer.success and answer.success_response and order_id:
            return Accepted(order_id, answer.success_response.attached_order_id)
        if answer.error_response is not None and not answer.success and not order_id:
            return _rejected(answer.error_response)
        # An answer that contradicts itself or says neither: only asking tells whether there is an order.
        missing = "success_response.order_id" if answer.success else "error_response"
        self._drift.note(f"NewOrderResponse.{missing} missing")
        raise OutcomeUnknown(order.client_order_id, f"the answer has no {missing}")

    def cancel(self, order_ids: Sequence[str]) -> list[CancelAnswer]:
        """Ask the venue to cancel; more than 100 orders are asked for in several requests."""
        answers: list[CancelAnswer] = []
        for start in range(0, len(order_ids), CANCELS_MAX):
            answers += self._cancel_batch(order_ids[start : start + CANCELS_MAX])
        return answers

    def edit(self, order_id: str, order: ApprovedOrder) -> EditAnswer:
        """Give a resting order the price and the total size of the approved one; sent once.

        Raises OutcomeUnknown if the venue may have done it: until it was asked, the larger of both sizes counts.
        """
        intent = order.intent
        if intent.limit_price is None:
            raise ConfigurationError("an edit needs a limit price: only resting limit orders can be edited")
        stop = {} if intent.stop_price is None else {"stop_price": plain(intent.stop_price)}
        asked = {"order_id": order_id, "price": plain(intent.limit_price), "size": plain(intent.size), **stop}
        try:
            answer = self._ask(
                wire_orders.EditBody, "EditOrderResponse", EDIT_ORDER, method="POST", body=asked,
                urgency=_urgency(intent),
            )
        except (VenueUnavailable, SchemaDrift) as e:
            raise OutcomeUnknown(order.client_order_id, str(e)) from e
        reasons = [first_known(e.edit_failure_reason, e.preview_failure_reason) for e in answer.errors]
        is_expected_all = bool(answer.errors) and all(
            is_expected_edit(e.edit_failure_reason, e.preview_failure_reason) for e in answer.errors
        )
        return EditAnswer(answer.success, ", ".join(reasons), is_expected=answer.success or is_expected_all)

    def _cancel_batch(self, order_ids: Sequence[str]) -> list[CancelAnswer]:
        body = self._ask(
            wire_orders.CancelBody, "CancelOrdersResponse", "/orders/batch_cancel", method="POST",
            body={"order_ids": list(order_ids)}, urgency=Urgency.CANCEL,
        )
        results = {result.order_id: result for result in body.results}
        return [_cancel_answer(order_id, results.get(order_id)) for order_id in order_ids]


def _urgency(intent: OrderIntent) -> Urgency:
    return Urgency.EXIT if intent.reduce_only or intent.purpose in EXITS else Urgency.ENTRY


def _cancel_answer(order_id: str, result: wire_orders.CancelResult | None) -> CancelAnswer:
    if result is None:
        return CancelAnswer(order_id, is_accepted=False, reason="NO_ANSWER")
    reason = "" if result.success and result.failure_reason == NO_CANCEL_FAILURE else result.failure_reason
    return CancelAnswer(order_id, is_accepted=result.success, reason=reason)


def _rejected(error: wire_orders.ErrorBody) -> Rejected:
    reason = first_known(error.new_order_failure_reason, error.error, error.preview_failure_reason)
    return Rejected(reason=reason, is_expected=is_expected(reason), message=error.message or error.error_details)
