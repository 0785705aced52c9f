"""Why the exchange refuses an edit."""

from __future__ import annotations

from decimal import Decimal

from trading_core.local_exchange.catalogue import Listing
from trading_core.local_exchange.model import EditResult, ExchangeOrder, OrderConfig, TriggerStatus, WireStatus
from trading_core.money import is_multiple

EDITABLE = frozenset({OrderConfig.LIMIT_GTC, OrderConfig.STOP_LIMIT_GTC})
EDITS_KEPT = 5
ACCEPTED = EditResult(success=True)
UNKNOWN_PREVIEW = "UNKNOWN_PREVIEW_FAILURE_REASON"


def refused(reason: str, preview: str = UNKNOWN_PREVIEW) -> EditResult:
    """Return the answer to an edit that is refused."""
    return EditResult(False, reason, preview)


def check_edit(order: ExchangeOrder | None, listing: Listing | None, price: Decimal, size: Decimal) -> EditResult:
    """Return the answer to an edit as far as book and balances do not matter."""
    if order is None or listing is None:
        return refused("ORDER_NOT_FOUND")
    if order.status is not WireStatus.OPEN:
        return refused("ONLY_OPEN_ORDERS_CAN_BE_EDITED")
    if order.request.config not in EDITABLE or order.request.base_size is None:
        return refused("ONLY_LIMIT_ORDER_EDITS_SUPPORTED")
    if order.trigger_status is TriggerStatus.STOP_TRIGGERED:
        return refused("CANNOT_EDIT_TRIGGERED_ORDER")
    if price == order.limit_price and size == order.size:
        return refused("EDIT_REQUEST_EQUAL_TO_ORIGINAL_REQUEST")
    if size <= order.filled_size:
        return refused("CANNOT_EDIT_TO_BELOW_FILLED_SIZE")
    product = listing.product
    if not is_multiple(price, product.price_increment) or price <= 0:
        return refused("INVALID_EDITED_PRICE", "PREVIEW_INVALID_PRICE_PRECISION")
    if not is_multiple(size, product.base_increment):
        return refused("INVALID_EDITED_SIZE", "PREVIEW_INVALID_SIZE_PRECISION")
    if not product.base_min_size <= size <= product.base_max_size:
        return refused("INVALID_EDITED_SIZE")
    if product.notional(size, price) < product.quote_min_size:
        return refused("INVALID_EDITED_SIZE", "PREVIEW_INVALID_QUOTE_SIZE_TOO_SMALL")
    return ACCEPTED
