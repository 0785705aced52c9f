"""Orders on the wire: our intents as order_configuration, and what REST answers about them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from trading_core.advanced_trade.wire import moment_ns, number, number_or_none, number_or_zero
from trading_core.advanced_trade.wire_states import is_edit_pending, meaning, status_of, time_in_force_of
from trading_core.errors import ConfigurationError, InvariantBroken, SchemaDrift
from trading_core.money import ZERO, plain
from trading_core.orders import (
    Fill,
    Liquidity,
    OrderIntent,
    OrderType,
    Purpose,
    Side,
    TimeInForce,
    VenueOrder,
)


class SuccessBody(msgspec.Struct, frozen=True):
    """The venue took the order."""

    order_id: str
    attached_order_id: str = ""


class ErrorBody(msgspec.Struct, frozen=True):
    """The venue refused it; older captures lack the newest member."""

    error: str = ""
    message: str = ""
    error_details: str = ""
    preview_failure_reason: str = ""
    new_order_failure_reason: str = ""


class CreateOrderBody(msgspec.Struct, frozen=True):
    """POST /orders."""

    success: bool
    success_response: SuccessBody | None = None
    error_response: ErrorBody | None = None


class CancelResult(msgspec.Struct, frozen=True):
    """What became of one cancel request."""

    success: bool
    failure_reason: str
    order_id: str


class CancelBody(msgspec.Struct, frozen=True):
    """POST /orders/batch_cancel."""

    results: list[CancelResult]


class EditError(msgspec.Struct, frozen=True):
    """Why an edit was refused."""

    edit_failure_reason: str = ""
    preview_failure_reason: str = ""


class EditBody(msgspec.Struct, frozen=True):
    """POST /orders/edit."""

    success: bool
    errors: list[EditError] = []


class PreviewBody(msgspec.Struct, frozen=True):
    """POST /orders/preview."""

    order_total: str
    commission_total: str
    errs: list[str]
    best_bid: str
    best_ask: str


class Configuration(msgspec.Struct, frozen=True):
    """The members that any order configuration may have."""

    base_size: str = ""
    limit_price: str = ""


class OrderBody(msgspec.Struct, frozen=True):
    """One order, cumulative."""

    order_id: str
    client_order_id: str
    product_id: str
    side: str
    status: str
    filled_size: str
    average_filled_price: str
    total_fees: str
    order_configuration: dict[str, Configuration | None]
    pending_cancel: bool = False
    order_type: str = ""
    time_in_force: str = ""
    reject_reason: str = ""
    reject_message: str = ""
    cancel_message: str = ""
    attached_order_id: str = ""


class OrdersBody(msgspec.Struct, frozen=True):
    """GET /orders/historical/batch, one page, newest first."""

    orders: list[OrderBody]
    has_next: bool
    cursor: str = ""


class OneOrderBody(msgspec.Struct, frozen=True):
    """GET /orders/historical/{order_id}."""

    order: OrderBody


class FillBody(msgspec.Struct, frozen=True):
    """One row of the fills; corrections and reversals are rows too."""

    entry_id: str
    trade_id: str
    order_id: str
    product_id: str
    trade_time: str
    trade_type: str
    price: str
    size: str
    commission: str
    side: str
    liquidity_indicator: str
    size_in_quote: bool = False


class FillsBody(msgspec.Struct, frozen=True):
    """GET /orders/historical/fills, one page, newest first; there is no has_next."""

    fills: list[FillBody]
    cursor: str = ""


def configuration_of(intent: OrderIntent) -> dict[str, Any]:
    """Return the order_configuration; raises ConfigurationError for what this codec does not encode."""
    kind = (intent.order_type, intent.time_in_force)
    if intent.time_in_force is TimeInForce.GTD:
        raise ConfigurationError("GTD is gated: use GTC with an automatic cancel")
    if intent.post_only and kind != (OrderType.LIMIT, TimeInForce.GTC):
        raise ConfigurationError(f"post-only is for LIMIT GTC (was {kind[0]} {kind[1]}): leave it out")
    match kind:
        case (OrderType.LIMIT, TimeInForce.GTC):
            return {"limit_limit_gtc": {**_limit(intent), "post_only": intent.post_only}}
        case (OrderType.LIMIT, TimeInForce.IOC):
            return {"sor_limit_ioc": _limit(intent)}
        case (OrderType.LIMIT, TimeInForce.FOK):
            return {"limit_limit_fok": _limit(intent)}
        case (OrderType.BRACKET, TimeInForce.GTC):
            stop = plain(_present(intent.stop_price, "stop_price"))
            return {"trigger_bracket_gtc": {**_limit(intent), "stop_trigger_price": stop}}
        case (OrderType.STOP_LIMIT, TimeInForce.GTC):
            return {"stop_limit_stop_limit_gtc": {**_limit(intent), **_stop(intent)}}
        case (OrderType.MARKET, TimeInForce.IOC) if intent.purpose is Purpose.EMERGENCY:
            return {"market_market_ioc": {"base_size": plain(intent.size)}}
        case (OrderType.MARKET, _):
            raise ConfigurationError("MARKET is for emergency exits as IOC only: use a marketable limit IOC")
        case _:
            raise ConfigurationError(
                f"{kind[0]} {kind[1]} is not supported: use LIMIT GTC, IOC or FOK, STOP_LIMIT GTC or BRACKET GTC"
            )


def attached_of(intent: OrderIntent) -> dict[str, Any]:
    """Return the member of the request that attaches a bracket; nothing for an order without one.

    Raises ConfigurationError for an order that cannot have one: the venue guards limit orders.
    """
    if intent.attached is None:
        return {}
    if intent.order_type is not OrderType.LIMIT:
        raise ConfigurationError(f"a bracket is attached to LIMIT orders (was {intent.order_type}): leave it out")
    prices = {
        "limit_price": plain(intent.attached.take_profit), "stop_trigger_price": plain(intent.attached.stop_loss)
    }
    return {"attached_order_configuration": {"trigger_bracket_gtc": prices}}


def order_of(body: OrderBody) -> VenueOrder:
    """Return the order; the reason is the venue's, from whichever member has one."""
    configuration = next((c for c in body.order_configuration.values() if c), Configuration())
    return VenueOrder(
        order_id=body.order_id,
        client_order_id=body.client_order_id,
        product_id=body.product_id,
        side=_side(body.side),
        status=status_of(body.status, is_cancel_pending=body.pending_cancel),
        is_edit_pending=is_edit_pending(body.status),
        filled_size=number_or_zero(body.filled_size, "Order.filled_size"),
        average_price=number_or_zero(body.average_filled_price, "Order.average_filled_price"),
        total_fees=number_or_zero(body.total_fees, "Order.total_fees"),
        size=number_or_zero(configuration.base_size, "Order.order_configuration.base_size"),
        limit_price=number_or_none(configuration.limit_price, "Order.order_configuration.limit_price"),
        reason=meaning(body.reject_reason) or body.reject_message or body.cancel_message,
        order_type=body.order_type,
        time_in_force=time_in_force_of(body.time_in_force),
        attached_order_id=body.attached_order_id,
    )


def fill_of(body: FillBody) -> Fill:
    """Return one execution, its size in base currency whatever the row was sized in."""
    price = number(body.price, "Fill.price")
    size = number(body.size, "Fill.size")
    if body.size_in_quote:
        size = size / price if price else ZERO
    indicator = body.liquidity_indicator
    return Fill(
        entry_id=body.entry_id,
        trade_id=body.trade_id,
        order_id=body.order_id,
        product_id=body.product_id,
        side=_side(body.side),
        price=price,
        size=size,
        commission=number_or_zero(body.commission, "Fill.commission"),
        liquidity=Liquidity(indicator) if indicator in ("MAKER", "TAKER") else Liquidity.UNKNOWN,
        ts_ns=moment_ns(body.trade_time, "Fill.trade_time"),
    )


def _limit(intent: OrderIntent) -> dict[str, str]:
    return {"base_size": plain(intent.size), "limit_price": plain(_present(intent.limit_price, "limit_price"))}


def _stop(intent: OrderIntent) -> dict[str, str]:
    # A stop protects a position: a sell waits below the market, a buy above it.
    direction = "STOP_DIRECTION_STOP_UP" if intent.side is Side.BUY else "STOP_DIRECTION_STOP_DOWN"
    return {"stop_price": plain(_present(intent.stop_price, "stop_price")), "stop_direction": direction}


def _present(value: Decimal | None, name: str) -> Decimal:
    if value is None:
        raise InvariantBroken(f"an order of this type needs {name}")
    return value


def _side(text: str) -> Side:
    try:
        return Side(text)
    except ValueError as e:
        raise SchemaDrift(f"side {text!r} is neither BUY nor SELL") from e
