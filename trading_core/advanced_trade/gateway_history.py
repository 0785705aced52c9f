"""The history of orders and fills: filters, sorting and pages."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

from trading_core.advanced_trade.emit_orders import fill_values, order_values
from trading_core.advanced_trade.gateway_call import PAGE_MAX, Call, Handler
from trading_core.advanced_trade.gateway_http import invalid_argument, not_found
from trading_core.local_exchange.model import ExchangeFill, ExchangeOrder, WireStatus

FILLS_DEFAULT = 100
OUR_PLACEMENT = ("UNKNOWN_PLACEMENT_SOURCE", "RETAIL_ADVANCED")
OUR_EXPIRY = ("UNKNOWN_CONTRACT_EXPIRY_TYPE", "EXPIRING")
LIVE = frozenset(status.value for status in WireStatus if status.is_live)

OrderTest: TypeAlias = Callable[[ExchangeOrder], bool]
FillTest: TypeAlias = Callable[[ExchangeFill], bool]
Row = TypeVar("Row")


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
    tests = _order_tests(call)
    orders = [order for order in _candidates(call) if all(test(order) for test in tests)]
    match call.params.get("sort_by", "UNKNOWN_SORT_BY"):
        case "LIMIT_PRICE":
            orders.sort(key=lambda o: -(o.limit_price or 0))
        case "LAST_FILL_TIME":
            orders.sort(key=lambda o: -(o.last_fill_ns or 0))
        case "LAST_UPDATE_TIME":
            orders.sort(key=lambda o: -o.updated_ns)
    page, next_cursor = _page(call, orders, PAGE_MAX, lambda order: order.order_id)
    rows = [{**_row(call, order), "cursor": next_cursor} for order in page]
    return {"orders": rows, "has_next": next_cursor != "", "cursor": next_cursor}


def list_fills(call: Call) -> Mapping[str, Any]:
    """Answer GetFills: newest first, no has_next; the cursor is the sequence of the last row."""
    tests = _fill_tests(call)
    fills = [fill for fill in call.exchange.fills(call.account_id) if all(test(fill) for test in tests)]
    match call.params.get("sort_by", "UNKNOWN_SORT_BY"):
        case "PRICE":
            fills.sort(key=lambda f: -f.price)
        case "TRADE_TIME":
            fills.sort(key=lambda f: -f.ts_ns)
    page, next_cursor = _page(call, fills, FILLS_DEFAULT, lambda fill: str(fill.sequence))
    return {"fills": [fill_values(fill, call.owner) for fill in page], "cursor": next_cursor}


def _page(call: Call, rows: list[Row], default: int, key: Callable[[Row], str]) -> tuple[list[Row], str]:
    """Return the page that the call asks for, and the cursor of the next one: empty if it is the last."""
    start = 0
    if cursor := call.params.get("cursor"):
        keys = [key(row) for row in rows]
        if cursor not in keys:
            raise invalid_argument("cursor is invalid")
        start = keys.index(cursor) + 1
    page = rows[start : start + call.limit(default)]
    has_next = start + len(page) < len(rows)
    return page, key(page[-1]) if has_next else ""


def _row(call: Call, order: ExchangeOrder) -> Mapping[str, Any]:
    return order_values(order, call.exchange.product(order.request.product_id), call.owner)


def _candidates(call: Call) -> list[ExchangeOrder]:
    """Return the orders that can match at all: a question for open orders need not look at all of history."""
    statuses = call.params.get("order_status")
    if statuses and LIVE.issuperset(statuses):
        return call.exchange.open_orders(call.account_id)
    return call.exchange.orders(call.account_id)


def _order_tests(call: Call) -> list[OrderTest]:
    wanted = call.params
    tests: list[OrderTest] = []
    if ids := wanted.get("order_ids"):
        tests.append(lambda o: o.order_id in ids)
    if (products := _products(call)) is not None:
        tests.append(lambda o: o.request.product_id in products)
    if statuses := wanted.get("order_status"):
        tests.append(lambda o: o.status in statuses)
    if in_force := wanted.get("time_in_forces"):
        tests.append(lambda o: o.request.config.wire_time_in_force in in_force)
    if types := wanted.get("order_types"):
        tests.append(lambda o: o.request.config.wire_order_type in types)
    if side := wanted.get("order_side"):
        tests.append(lambda o: o.request.side == side)
    if (start_ns := wanted.get("start_date")) is not None:
        tests.append(lambda o: o.created_ns >= start_ns)
    if (end_ns := wanted.get("end_date")) is not None:
        tests.append(lambda o: o.created_ns < end_ns)
    if wanted.get("order_placement_source", OUR_PLACEMENT[0]) not in OUR_PLACEMENT:
        tests.append(lambda _: False)
    return tests


def _fill_tests(call: Call) -> list[FillTest]:
    wanted = call.params
    tests: list[FillTest] = []
    if ids := wanted.get("order_ids"):
        tests.append(lambda f: f.order_id in ids)
    if trade_ids := wanted.get("trade_ids"):
        tests.append(lambda f: f.trade_id in trade_ids)
    if (products := _products(call)) is not None:
        tests.append(lambda f: f.product_id in products)
    if side := wanted.get("order_side"):
        tests.append(lambda f: f.side == side)
    if (start_ns := wanted.get("start_sequence_timestamp")) is not None:
        tests.append(lambda f: f.ts_ns >= start_ns)
    if (end_ns := wanted.get("end_sequence_timestamp")) is not None:
        tests.append(lambda f: f.ts_ns <= end_ns)
    if types := wanted.get("order_types"):
        tests.append(lambda f: _type_of(call, f.order_id) in types)
    return tests


def _type_of(call: Call, order_id: str) -> str:
    return call.exchange.order(call.account_id, order_id).request.config.wire_order_type


def _products(call: Call) -> Container[str] | None:
    """Return the products that every product filter of the call allows, or None if there is no such filter."""
    wanted = call.params
    ids: Sequence[str] = [*wanted.get("product_ids", []), *_given(wanted, "product_id")]
    types = {*wanted.get("product_types", []), *_given(wanted, "product_type")} - {"UNKNOWN_PRODUCT_TYPE"}
    assets = wanted.get("asset_filters")
    is_any_expiry = wanted.get("contract_expiry_type", OUR_EXPIRY[0]) in OUR_EXPIRY
    if not ids and not types and not assets and is_any_expiry:
        return None
    return {
        p.product_id
        for p in call.exchange.products()
        if is_any_expiry
        and (not ids or p.product_id in ids)
        and (not types or p.product_type in types)
        and (not assets or p.base_currency in assets or p.quote_currency in assets)
    }


def _given(wanted: Mapping[str, Any], name: str) -> list[str]:
    return [wanted[name]] if wanted.get(name) else []


HANDLERS: dict[str, Handler] = {
    "GetHistoricalOrders": list_orders,
    "GetHistoricalOrder": get_order,
    "GetFills": list_fills,
}
