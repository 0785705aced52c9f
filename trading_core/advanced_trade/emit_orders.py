"""Orders and fills between the wire and the local exchange: what a request asks for, what a report says."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from trading_core.advanced_trade.emit import rfc3339, schema
from trading_core.advanced_trade.emit_kinds import (
    attached_fields,
    parse_attached,
    parse_buckets,
    parse_scaled,
    scaled_fields,
    twap_fields,
)
from trading_core.advanced_trade.numbers import parse_number as _number
from trading_core.clock import from_iso
from trading_core.local_exchange.model import (
    Edit,
    ExchangeFill,
    ExchangeOrder,
    NewOrder,
    OrderConfig,
    Refusal,
    StopDirection,
    WireStatus,
)
from trading_core.money import ZERO, plain
from trading_core.orders import Side
from trading_core.products import Product, ProductType

_NO_END = "0001-01-01T00:00:00Z"
_CENTS = Decimal("0.01")
_ALL = Decimal(100)
_STREAM_TYPES = {"LIMIT": "Limit", "MARKET": "Market", "STOP_LIMIT": "Stop Limit", "BRACKET": "Bracket",
                 "TWAP": "Twap", "SCALED": "Scaled"}


class Owner(msgspec.Struct, frozen=True):
    """Whose orders are reported: user and portfolio, by uuid."""

    user_id: str
    portfolio_id: str


def parse_new_order(body: dict[str, Any]) -> NewOrder | Refusal:
    """Return the order that a create or preview body asks for, or the refusal of one that makes no sense."""
    given = [(key, value) for key, value in body.get("order_configuration", {}).items() if value is not None]
    if len(given) != 1:
        return Refusal("UNSUPPORTED_ORDER_CONFIGURATION", "PREVIEW_INVALID_ORDER_CONFIG")
    attached = parse_attached(body.get("attached_order_configuration") or {})
    if isinstance(attached, Refusal):
        return attached
    if "side" not in body:
        return Refusal("INVALID_SIDE", "PREVIEW_INVALID_SIDE")
    config, fields = OrderConfig(given[0][0]), given[0][1]
    sizes = _sizes(fields)
    if isinstance(sizes, Refusal):
        return sizes
    stop_member = "stop_price" if config.is_stop else "stop_trigger_price"
    limit_price, stop_price = (_number(fields.get(name, "")) for name in ("limit_price", stop_member))
    if refusal := _check_prices(config, limit_price, stop_price):
        return refusal
    start_ns, end_ns = (from_iso(fields[name]) if fields.get(name) else None for name in ("start_time", "end_time"))
    buckets, bucket_ns = parse_buckets(fields, start_ns, end_ns) if config is OrderConfig.TWAP else (0, 0)
    return NewOrder(
        client_order_id=body.get("client_order_id", ""),
        product_id=body.get("product_id", ""),
        side=Side(body["side"]),
        config=config,
        base_size=sizes.get("base_size"),
        quote_size=sizes.get("quote_size"),
        limit_price=limit_price,
        stop_price=stop_price,
        stop_direction=StopDirection(fields["stop_direction"]) if fields.get("stop_direction") else None,
        post_only=fields.get("post_only", False),
        end_ns=end_ns,
        start_ns=start_ns,
        buckets=buckets, bucket_ns=bucket_ns,
        scaled=parse_scaled(fields) if config is OrderConfig.SCALED else None,
        attached=attached,
        reduce_only=fields.get("reduce_only", False),
        leverage=_number(body.get("leverage", "")),
        margin_type=body.get("margin_type", ""),
    )


def _sizes(fields: dict[str, Any]) -> dict[str, Decimal] | Refusal:
    """Return the one size that an order has, by its member."""
    given = {key: _number(fields[key]) for key in ("base_size", "quote_size") if fields.get(key, "")}
    sizes = {key: size for key, size in given.items() if size is not None}
    if len(sizes) != len(given):
        return Refusal("INVALID_REQUEST", "PREVIEW_NON_NUMERIC_ORDER_SIZE")
    if len(sizes) != 1:
        return Refusal("UNSUPPORTED_ORDER_CONFIGURATION", "PREVIEW_INVALID_ORDER_CONFIG")
    return sizes


def _check_prices(config: OrderConfig, limit_price: Decimal | None, stop_price: Decimal | None) -> Refusal | None:
    if (limit_price is None and "limit_price" in schema_of(config)) or (limit_price or 0) < 0:
        return Refusal("INVALID_LIMIT_PRICE", "PREVIEW_INVALID_LIMIT_PRICE")
    if (stop_price is None and (config.is_stop or config.is_bracket)) or (stop_price or 0) < 0:
        return Refusal("INVALID_REQUEST", "PREVIEW_INVALID_STOP_PRICE")
    return None


def schema_of(config: OrderConfig) -> dict[str, Any]:
    """Return the members of one order configuration."""
    reference = schema("OrderConfiguration")["properties"][config]["anyOf"][0]["$ref"]
    members: dict[str, Any] = schema(reference.rsplit("/", 1)[1])["properties"]
    return members


def echo(body: dict[str, Any]) -> dict[str, Any]:
    """Return the request's order_configuration as values to emit, without members that responses do not have."""
    return {
        key: {name: value for name, value in fields.items() if name in schema_of(OrderConfig(key)) and value != ""}
        for key, fields in body.get("order_configuration", {}).items()
    }


def configuration(order: ExchangeOrder) -> dict[str, Any]:
    """Return the order's configuration as it is now: edits included."""
    request = order.request
    fields: dict[str, Any] = {
        "base_size": None if request.base_size is None else (order.size or request.base_size),
        "quote_size": request.quote_size,
        "limit_price": order.limit_price if order.limit_price is not None else request.limit_price,
        "stop_price": request.stop_price,
        "stop_trigger_price": request.stop_price,
        "stop_direction": request.stop_direction,
        "post_only": request.post_only,
        "end_time": request.end_ns,
    }
    members = schema_of(request.config)
    fields |= twap_fields(order) | scaled_fields(order)
    return {request.config.value: {k: v for k, v in fields.items() if k in members and v is not None}}


def order_values(order: ExchangeOrder, product: Product, owner: Owner) -> dict[str, Any]:
    """Return the values of schema `Order`."""
    request, is_queued = order.request, order.status is WireStatus.EDIT_QUEUED
    return {
        **_fill_figures(order),
        "order_id": order.order_id,
        "product_id": request.product_id,
        "user_id": owner.user_id,
        "order_configuration": configuration(order),
        "side": request.side,
        "client_order_id": request.client_order_id,
        "status": order.status,
        "time_in_force": request.config.wire_time_in_force,
        "created_time": order.created_ns,
        "pending_cancel": order.pending_cancel,
        "size_in_quote": request.quote_size is not None,
        "trigger_status": order.trigger_status,
        "order_type": "LIQUIDATION" if order.is_liquidation else request.config.wire_order_type,
        "reject_reason": order.reject_reason,
        "reject_message": order.reject_message,
        "cancel_message": order.cancel_message,
        "product_type": product.product_type,
        "order_placement_source": "RETAIL_ADVANCED",
        "outstanding_hold_amount": order.hold,
        "is_liquidation": order.is_liquidation,
        "edit_history": [_edit(edit) for edit in order.edits],
        "current_pending_replace": _edit(order.pending_edit) if is_queued and order.pending_edit else None,
        "leverage": request.leverage,
        "margin_type": request.margin_type or None,
        "retail_portfolio_id": owner.portfolio_id,
        "originating_order_id": order.originating_order_id,
        "attached_order_id": order.attached_order_id,
        "attached_order_configuration": attached_fields(order),
        "last_update_time": order.updated_ns,
    }


def _edit(edit: Edit) -> dict[str, Any]:
    return {"price": edit.price, "size": edit.size, "replace_accept_timestamp": edit.accepted_ns}


def _fill_figures(order: ExchangeOrder) -> dict[str, Any]:
    """Return how far the order was filled, at which price and cost."""
    return {
        "completion_percentage": _percent(order),
        "filled_size": order.filled_size,
        "average_filled_price": order.average_filled_price,
        "number_of_fills": str(order.number_of_fills),
        "filled_value": order.filled_value,
        "total_fees": order.total_fees,
        "total_value_after_fees": _value_after_fees(order),
        "settled": not order.status.is_live and order.filled_size > 0,
        "last_fill_time": order.last_fill_ns,
        "commission_detail_total": {"total_commission": order.total_fees, "client_commission": order.total_fees},
        "workable_size": order.leaves_size,
        "workable_size_completion_pct": _percent(order),
    }


def fill_values(fill: ExchangeFill, owner: Owner) -> dict[str, Any]:
    """Return the values of schema `Fill`."""
    return {
        "entry_id": fill.entry_id,
        "trade_id": fill.trade_id,
        "order_id": fill.order_id,
        "trade_time": fill.ts_ns,
        "trade_type": "FILL",
        "price": fill.price,
        "size": fill.size,
        "commission": fill.commission,
        "product_id": fill.product_id,
        "sequence_timestamp": fill.ts_ns,
        "liquidity_indicator": {"UNKNOWN": "UNKNOWN_LIQUIDITY_INDICATOR"}.get(fill.liquidity, str(fill.liquidity)),
        "user_id": owner.user_id,
        "side": fill.side,
        "retail_portfolio_id": owner.portfolio_id,
        "fillSource": "FILL_SOURCE_CLOB",
        "commission_detail_total": {"total_commission": fill.commission, "client_commission": fill.commission},
        "order_data_source": "ORDER_DATA_SOURCE_TRADING_PROXY",
        "cursor": str(fill.sequence),
    }


def stream_order(order: ExchangeOrder, product: Product, owner: Owner) -> dict[str, str]:
    """Return the order as the user channel reports it: strings only, cumulative."""
    request = order.request
    is_future = product.product_type is ProductType.FUTURE
    leaves = order.leaves_size
    if request.quote_size is not None and order.status.is_live:
        leaves = max(ZERO, request.quote_size - order.filled_value)
    limit_price = order.limit_price if order.limit_price is not None else request.limit_price
    return {
        "avg_price": plain(order.average_filled_price),
        "cancel_reason": order.cancel_message,
        "client_order_id": request.client_order_id,
        "completion_percentage": _percent(order),
        "contract_expiry_type": "EXPIRING" if is_future else "UNKNOWN_CONTRACT_EXPIRY_TYPE",
        "cumulative_quantity": plain(order.filled_size),
        "filled_value": plain(order.filled_value),
        "leaves_quantity": plain(leaves),
        "limit_price": "" if limit_price is None else plain(limit_price),
        "number_of_fills": str(order.number_of_fills),
        "order_id": order.order_id,
        "order_side": request.side.value,
        "order_type": _STREAM_TYPES[request.config.wire_order_type],
        "outstanding_hold_amount": plain(order.hold),
        "post_only": "true" if request.post_only else "false",
        "product_id": request.product_id,
        "product_type": product.product_type.value,
        "reject_reason": "" if order.reject_reason == "REJECT_REASON_UNSPECIFIED" else order.reject_reason,
        "retail_portfolio_id": owner.portfolio_id,
        "risk_managed_by": "MANAGED_BY_FCM" if is_future else "UNKNOWN_RISK_MANAGEMENT_TYPE",
        "status": order.status.value,
        "stop_price": "" if request.stop_price is None else plain(request.stop_price),
        "time_in_force": request.config.wire_time_in_force,
        "total_fees": plain(order.total_fees),
        "total_value_after_fees": plain(_value_after_fees(order)),
        "trigger_status": order.trigger_status.value,
        "creation_time": rfc3339(order.created_ns),
        "end_time": _NO_END if request.end_ns is None else rfc3339(request.end_ns),
        "start_time": _NO_END if request.start_ns is None else rfc3339(request.start_ns),
    }


def _percent(order: ExchangeOrder) -> str:
    # An order sized in quote is complete when its money is spent, fees included.
    done = _ALL if order.status is WireStatus.FILLED else order.completion_percentage
    return "0" if done == 0 else format(done.quantize(_CENTS), "f")


def _value_after_fees(order: ExchangeOrder) -> Decimal:
    return order.filled_value + order.total_fees * order.request.side.sign
