"""Order operations: create, preview, edit, cancel, close."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trading_core.advanced_trade.emit_kinds import parse_attached
from trading_core.advanced_trade.emit_orders import (
    configuration,
    echo,
    parse_new_order,
)
from trading_core.advanced_trade.gateway_call import Call, Handler
from trading_core.advanced_trade.gateway_http import invalid_argument
from trading_core.advanced_trade.numbers import parse_number
from trading_core.local_exchange.editing import EditRequest
from trading_core.local_exchange.model import EditResult, ExchangeOrder, PreviewResult, Refusal

CLIENT_ORDER_ID_LENGTH_MAX = 128
CANCELS_MAX = 100


def create_order(call: Call) -> Mapping[str, Any]:
    """Answer PostOrder: a business rejection is an answer like any other."""
    _check_client_order_id(call)
    request = parse_new_order(call.body)
    made = request if isinstance(request, Refusal) else call.exchange.create_order(call.account_id, request)
    if isinstance(made, Refusal):
        return refused(made, echo(call.body))
    return _created(made, echo(call.body))


def close_position(call: Call) -> Mapping[str, Any]:
    """Answer ClosePosition."""
    _check_client_order_id(call)
    product_id = call.body.get("product_id", "")
    call.product(product_id, invalid_argument("ProductID is invalid"))
    size = parse_number(call.body["size"]) if call.body.get("size") else None
    if call.body.get("size") and (size is None or size <= 0):
        return refused(Refusal("INVALID_REQUEST", "PREVIEW_NON_NUMERIC_ORDER_SIZE"), {})
    made = call.exchange.close_position(call.account_id, call.body["client_order_id"], product_id, size)
    return refused(made, {}) if isinstance(made, Refusal) else _created(made, configuration(made))


def refused(refusal: Refusal, order_configuration: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the answer to an order that is refused for business reasons: HTTP 200, all five members.

    The configuration is never null: the SDK's types break on that.
    """
    return {
        "success": False,
        "error_response": {
            "error": refusal.new_order_failure_reason,
            "message": refusal.message,
            "error_details": "",
            "preview_failure_reason": refusal.preview_failure_reason,
            "new_order_failure_reason": refusal.new_order_failure_reason,
        },
        "order_configuration": order_configuration,
    }


def preview_order(call: Call) -> Mapping[str, Any]:
    """Answer PreviewOrder."""
    request = parse_new_order(call.body)
    if isinstance(request, Refusal):
        return {"errs": [request.preview_failure_reason]}
    try:
        result = call.exchange.preview(call.account_id, request)
    except KeyError:
        return {"errs": ["PREVIEW_INVALID_PRODUCT_ID"]}
    return {
        "order_total": result.order_total,
        "commission_total": result.commission_total,
        "errs": list(result.errors),
        "quote_size": result.quote_size,
        "base_size": result.base_size,
        "best_bid": result.best_bid,
        "best_ask": result.best_ask,
        "order_margin_total": result.margin_total,
        "leverage": request.leverage,
        "slippage": result.slippage,
        "preview_id": _preview_id(call, result),
        "commission_detail_total": {"total_commission": result.commission_total},
        "est_average_filled_price": result.average_filled_price,
    }


def cancel_orders(call: Call) -> Mapping[str, Any]:
    """Answer CancelOrders: one result for each id, at most 100."""
    ids = call.body.get("order_ids", [])
    if len(ids) > CANCELS_MAX:
        raise invalid_argument(f"order_ids has {len(ids)} entries, at most {CANCELS_MAX} are allowed")
    results = call.exchange.cancel(call.account_id, ids)
    return {
        "results": [{"success": r.success, "failure_reason": r.failure_reason, "order_id": r.order_id} for r in results]
    }


def edit_order(call: Call) -> Mapping[str, Any]:
    """Answer EditOrder."""
    result = _edit(call, is_preview=False)
    return {"success": result.success, "errors": _edit_errors(result)}


def preview_edit_order(call: Call) -> Mapping[str, Any]:
    """Answer PreviewEditOrder."""
    result = _edit(call, is_preview=True)
    if not result.success:
        return {"errors": _edit_errors(result)}
    order = call.exchange.order(call.account_id, call.body["order_id"])
    view = call.exchange.book(order.request.product_id, 1)
    price, size = parse_number(call.body["price"]), parse_number(call.body["size"])
    product = call.exchange.product(order.request.product_id)
    total = product.notional(size, price) if size is not None and price is not None else None
    return {
        "errors": [],
        "order_total": total,
        "commission_total": None if total is None else total * order.maker_rate,
        "quote_size": total,
        "base_size": size,
        "best_bid": view.bids[0][0] if view.bids else None,
        "best_ask": view.asks[0][0] if view.asks else None,
        "average_filled_price": order.average_filled_price,
    }


def _created(order: ExchangeOrder, order_configuration: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "success": True,
        "success_response": {
            "order_id": order.order_id,
            "product_id": order.request.product_id,
            "side": order.request.side,
            "client_order_id": order.request.client_order_id,
            "attached_order_id": order.attached_order_id,
        },
        "order_configuration": order_configuration,
    }


def _check_client_order_id(call: Call) -> None:
    length = len(call.body.get("client_order_id", ""))
    if not 0 < length <= CLIENT_ORDER_ID_LENGTH_MAX:
        raise invalid_argument(f"client_order_id must have 1 to {CLIENT_ORDER_ID_LENGTH_MAX} characters, was {length}")


def _edit(call: Call, is_preview: bool) -> EditResult:
    price, size = (parse_number(call.body.get(name, "")) for name in ("price", "size"))
    # The document wants both; sending one only is answered like this (contract 5.8).
    if size is None or size <= 0:
        return EditResult(False, "INVALID_EDITED_SIZE")
    if price is None or price <= 0:
        return EditResult(False, "INVALID_EDITED_PRICE")
    stop_text = call.body.get("stop_price", "")
    stop_price = parse_number(stop_text)
    if stop_text and stop_price is None:
        return EditResult(False, "INVALID_EDITED_STOP_PRICE")
    attached = parse_attached(call.body.get("attached_order_configuration") or {})
    if isinstance(attached, Refusal):
        return EditResult(False, "INVALID_EDITED_ATTACHED_ORDER_CONFIGURATION", attached.preview_failure_reason)
    change = EditRequest(
        price=price, size=size, stop_price=stop_price, attached=attached,
        cancels_attached=call.body.get("cancel_attached_order", False),
    )
    act = call.exchange.edit_preview if is_preview else call.exchange.edit
    return act(call.account_id, call.body.get("order_id", ""), change)


def _edit_errors(result: EditResult) -> list[Mapping[str, Any]]:
    if result.success:
        return []
    return [
        {
            "edit_failure_reason": result.edit_failure_reason or None,
            "preview_failure_reason": result.preview_failure_reason or None,
        }
    ]


def _preview_id(call: Call, result: PreviewResult) -> str:
    """Return an id for the preview: none for one that failed, as there is nothing to come back to."""
    return "" if result.errors else f"preview-{call.now_ns}"


HANDLERS: dict[str, Handler] = {
    "PostOrder": create_order,
    "PreviewOrder": preview_order,
    "CancelOrders": cancel_orders,
    "EditOrder": edit_order,
    "PreviewEditOrder": preview_edit_order,
    "ClosePosition": close_position,
}
