"""Why the exchange refuses an edit."""

from __future__ import annotations

import msgspec

from trading_core.local_exchange.catalogue import Listing
from trading_core.local_exchange.checks import check_stop
from trading_core.local_exchange.checks_kinds import TAKE_PROFIT_TIMES_MAX
from trading_core.local_exchange.model import (
    Attached,
    EditResult,
    ExchangeOrder,
    OrderConfig,
    TriggerStatus,
    WireStatus,
)
from trading_core.money import Price, Size, is_multiple

EDITABLE = frozenset({OrderConfig.LIMIT_GTC, OrderConfig.STOP_LIMIT_GTC, OrderConfig.TRIGGER_BRACKET_GTC})
ACCEPTED = EditResult(success=True)
UNKNOWN_PREVIEW = "UNKNOWN_PREVIEW_FAILURE_REASON"


def refused(reason: str, preview: str = UNKNOWN_PREVIEW) -> EditResult:
    """Return the answer to an edit that is refused."""
    return EditResult(False, reason, preview)


class EditRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What an edit asks for: always price and total size; None leaves stop price and attached bracket alone.

    For a bracket `price` is the take-profit limit and `stop_price` the trigger.
    """

    price: Price
    size: Size
    stop_price: Price | None = None
    attached: Attached | None = None
    cancels_attached: bool = False


def check_edit(
    order: ExchangeOrder | None, listing: Listing | None, edit: EditRequest, last: Price
) -> EditResult:
    """Return the answer to an edit as far as book and balances do not matter."""
    if order is None or listing is None:
        return refused("ORDER_NOT_FOUND")
    return (
        _check_state(order)
        or _check_change(order, edit)
        or _check_limits(listing, edit)
        or _check_stop(order, listing, edit, last)
        or _check_attached(order, edit)
        or ACCEPTED
    )


def _check_state(order: ExchangeOrder) -> EditResult | None:
    if order.pending_cancel:
        return refused("CANNOT_EDIT_ORDER_PENDING_CANCEL")
    if order.status is WireStatus.EDIT_QUEUED:
        return refused("ORDER_IS_ALREADY_BEING_REPLACED")
    if order.status is not WireStatus.OPEN:
        return refused("ONLY_OPEN_ORDERS_CAN_BE_EDITED")
    if order.request.config not in EDITABLE or order.request.base_size is None:
        return refused("ONLY_LIMIT_ORDER_EDITS_SUPPORTED")
    if order.trigger_status is TriggerStatus.STOP_TRIGGERED:
        return refused("CANNOT_EDIT_TRIGGERED_ORDER")
    return None


def _check_change(order: ExchangeOrder, edit: EditRequest) -> EditResult | None:
    is_same_stop = edit.stop_price is None or edit.stop_price == order.request.stop_price
    is_same_bracket = edit.attached is None and not edit.cancels_attached
    if edit.price == order.limit_price and edit.size == order.size and is_same_stop and is_same_bracket:
        return refused("EDIT_REQUEST_EQUAL_TO_ORIGINAL_REQUEST")
    return refused("CANNOT_EDIT_TO_BELOW_FILLED_SIZE") if edit.size <= order.filled_size else None


def _check_limits(listing: Listing, edit: EditRequest) -> EditResult | None:
    product, price, size = listing.product, edit.price, edit.size
    if not is_multiple(price, product.price_increment) or price <= 0:
        return refused("INVALID_EDITED_PRICE", "PREVIEW_INVALID_PRICE_PRECISION")
    if not is_multiple(size, product.base_increment):
        return refused("INVALID_EDITED_SIZE", "PREVIEW_INVALID_SIZE_PRECISION")
    if not product.base_min_size <= size <= product.base_max_size:
        return refused("INVALID_EDITED_SIZE")
    if listing.quote_max_size and product.notional(size, price) > listing.quote_max_size:
        return refused("INVALID_EDITED_SIZE", "PREVIEW_INVALID_QUOTE_SIZE_TOO_LARGE")
    if product.notional(size, price) < product.quote_min_size:
        return refused("INVALID_EDITED_SIZE", "PREVIEW_INVALID_QUOTE_SIZE_TOO_SMALL")
    return None


def _check_stop(order: ExchangeOrder, listing: Listing, edit: EditRequest, last: Price) -> EditResult | None:
    """Refuse stops that the order cannot have; the checks are those of a new order with these prices."""
    request = order.request
    if not (request.config.is_stop or request.config.is_bracket):
        return None if edit.stop_price is None else refused("FIELD_STOPPRICE_NOT_SUPPORTED")
    stop = request.stop_price if edit.stop_price is None else edit.stop_price
    if stop is None or stop <= 0 or not is_multiple(stop, listing.product.price_increment):
        return refused("INVALID_EDITED_STOP_PRICE", "PREVIEW_INVALID_PRICE_PRECISION")
    refusal = check_stop(msgspec.structs.replace(request, limit_price=edit.price, stop_price=stop), last)
    if refusal is None:
        return None
    is_stop_at_fault = request.config.is_stop or "STOP" in refusal.new_order_failure_reason
    reason = "INVALID_EDITED_STOP_PRICE" if is_stop_at_fault else "INVALID_EDITED_TAKE_PROFIT_PRICE"
    return refused(reason, refusal.preview_failure_reason)


def _check_attached(order: ExchangeOrder, edit: EditRequest) -> EditResult | None:
    """Refuse changes of a bracket that is not there, or that guards a fill already."""
    attached = edit.attached
    if attached is None and not edit.cancels_attached:
        return None
    if not order.attached_order_id:
        return refused("CANNOT_ADD_ATTACHED_ORDER_TO_ORDER_TYPE")
    if order.filled_size > 0:
        is_cancel = edit.cancels_attached
        return refused(
            "CANNOT_CANCEL_ACTIVE_ATTACHED_ORDER" if is_cancel else "CANNOT_MODIFY_ATTACHED_CONFIG_OF_NON_NEW_ORDER"
        )
    if attached is None:
        return None
    sign = order.request.side.sign
    if (attached.limit_price - edit.price) * sign <= 0 or attached.limit_price > edit.price * TAKE_PROFIT_TIMES_MAX:
        return refused("INVALID_EDITED_TAKE_PROFIT_PRICE")
    return refused("INVALID_EDITED_STOP_LOSS_PRICE") if (attached.stop_price - edit.price) * sign >= 0 else None
