"""Order operations: create, preview, edit, cancel, close, and the history of orders and fills."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trading_core.advanced_trade.emit_orders import (
    configuration,
    echo,
    fill_values,
    order_values,
    parse_new_order,
    parse_number,
)
from trading_core.advanced_trade.gateway_call import PAGE_MAX, Call, Handler
from trading_core.advanced_trade.gateway_http import invalid_argument, not_found
from trading_core.local_exchange.model import EditResult, ExchangeFill, ExchangeOrder, PreviewResult, Refusal
from trading_core.products import Product

CLIENT_ORDER_ID_LENGTH_MAX = 128
CANCELS_MAX = 100
FILLS_DEFAULT = 100
UNSET_PLACEMENT = frozenset({"UNKNOWN_PLACEMENT_SOURCE", "RETAIL_ADVANCED"})


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


def get_order(call: Call) -> Mapping[str, Any]:
    """Answer GetHistoricalOrder."""
    order_id = call.path["order_id"]
    if order_id in ("None", "null"):
        raise invalid_argument(f"invalid OrderId {order_id} passed to endpoint")
    try:
        order = call.exchange.order(call.account_id, order_id)
    except KeyError:
        raise not_found("order with this orderID was not found") from None
    return {"order": _row(call, order)}


def list_orders(call: Call) -> Mapping[str, Any]:
    """Answer GetHistoricalOrders: newest first; the cursor is the last order id of the page."""
    orders = [o for o in call.exchange.orders(call.account_id) if _is_wanted(o, call)]
    match call.params.get("sort_by", "UNKNOWN_SORT_BY"):
        case "LIMIT_PRICE":
            orders.sort(key=lambda o: -(o.limit_price or 0))
        case "LAST_FILL_TIME":
            orders.sort(key=lambda o: -(o.last_fill_ns or 0))
        case "LAST_UPDATE_TIME":
            orders.sort(key=lambda o: -o.updated_ns)
    start = 0
    if cursor := call.params.get("cursor"):
        ids = [o.order_id for o in orders]
        if cursor not in ids:
            raise invalid_argument("cursor is invalid")
        start = ids.index(cursor) + 1
    page = orders[start : start + call.limit(PAGE_MAX)]
    has_next = start + len(page) < len(orders)
    next_cursor = page[-1].order_id if has_next else ""
    rows = [{**_row(call, order), "cursor": next_cursor} for order in page]
    return {"orders": rows, "has_next": has_next, "cursor": next_cursor}


def list_fills(call: Call) -> Mapping[str, Any]:
    """Answer GetFills: newest first, no has_next; the cursor is the sequence of the last row."""
    fills = [f for f in call.exchange.fills(call.account_id) if _is_wanted_fill(f, call)]
    match call.params.get("sort_by", "UNKNOWN_SORT_BY"):
        case "PRICE":
            fills.sort(key=lambda f: -f.price)
        case "TRADE_TIME":
            fills.sort(key=lambda f: -f.ts_ns)
    start = 0
    if cursor := call.params.get("cursor"):
        sequences = [str(f.sequence) for f in fills]
        if cursor not in sequences:
            raise invalid_argument("cursor is invalid")
        start = sequences.index(cursor) + 1
    page = fills[start : start + call.limit(FILLS_DEFAULT)]
    has_next = start + len(page) < len(fills)
    return {"fills": [fill_values(f, call.owner) for f in page], "cursor": str(page[-1].sequence) if has_next else ""}


def _created(order: ExchangeOrder, order_configuration: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "success": True,
        "success_response": {
            "order_id": order.order_id,
            "product_id": order.request.product_id,
            "side": order.request.side,
            "client_order_id": order.request.client_order_id,
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
    act = call.exchange.edit_preview if is_preview else call.exchange.edit
    return act(call.account_id, call.body.get("order_id", ""), price, size)


def _edit_errors(result: EditResult) -> list[Mapping[str, Any]]:
    if result.success:
        return []
    return [
        {
            "edit_failure_reason": result.edit_failure_reason or None,
            "preview_failure_reason": result.preview_failure_reason or None,
        }
    ]


def _row(call: Call, order: ExchangeOrder) -> Mapping[str, Any]:
    return order_values(order, call.exchange.product(order.request.product_id), call.owner)


def _is_wanted(order: ExchangeOrder, call: Call) -> bool:
    wanted, request = call.params, order.request
    product = call.exchange.product(request.product_id)
    created_ns = order.created_ns
    return (
        _is_in(order.order_id, wanted.get("order_ids"))
        and _is_of_product(product, wanted)
        and _is_in(order.status, wanted.get("order_status"))
        and _is_in(request.config.wire_time_in_force, wanted.get("time_in_forces"))
        and _is_in(request.config.wire_order_type, wanted.get("order_types"))
        and wanted.get("order_side", request.side) == request.side
        and wanted.get("start_date", created_ns) <= created_ns
        and created_ns < wanted.get("end_date", created_ns + 1)
        and wanted.get("order_placement_source", "RETAIL_ADVANCED") in UNSET_PLACEMENT
        and wanted.get("contract_expiry_type", "EXPIRING") in ("UNKNOWN_CONTRACT_EXPIRY_TYPE", "EXPIRING")
    )


def _is_wanted_fill(fill: ExchangeFill, call: Call) -> bool:
    wanted = call.params
    product = call.exchange.product(fill.product_id)
    return (
        _is_in(fill.order_id, wanted.get("order_ids"))
        and _is_in(fill.trade_id, wanted.get("trade_ids"))
        and _is_of_product(product, wanted)
        and wanted.get("order_side", fill.side) == fill.side
        and wanted.get("start_sequence_timestamp", fill.ts_ns) <= fill.ts_ns
        and fill.ts_ns <= wanted.get("end_sequence_timestamp", fill.ts_ns)
        and _is_in_type(fill, call)
    )


def _is_in_type(fill: ExchangeFill, call: Call) -> bool:
    types = call.params.get("order_types")
    if not types:
        return True
    order = call.exchange.order(call.account_id, fill.order_id)
    return order.request.config.wire_order_type in types


def _is_of_product(product: Product, wanted: Mapping[str, Any]) -> bool:
    ids = [*wanted.get("product_ids", []), *([wanted["product_id"]] if wanted.get("product_id") else [])]
    types = [*wanted.get("product_types", []), *([wanted["product_type"]] if wanted.get("product_type") else [])]
    types = [kind for kind in types if kind != "UNKNOWN_PRODUCT_TYPE"]
    assets = wanted.get("asset_filters")
    return (
        _is_in(product.product_id, ids)
        and _is_in(product.product_type, types)
        and (not assets or product.base_currency in assets or product.quote_currency in assets)
    )


def _is_in(value: str, wanted: Sequence[str] | None) -> bool:
    return not wanted or value in wanted


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
    "GetHistoricalOrders": list_orders,
    "GetHistoricalOrder": get_order,
    "GetFills": list_fills,
}
