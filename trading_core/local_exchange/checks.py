"""Why the exchange refuses an order: plain functions in the venue's order of checks, with its exact reasons."""

from __future__ import annotations

from decimal import Decimal

from trading_core.clock import NS
from trading_core.local_exchange.catalogue import Listing
from trading_core.local_exchange.config import ExchangeConfig
from trading_core.local_exchange.faults import FaultPlan, preview_reason
from trading_core.local_exchange.model import NewOrder, OrderConfig, Refusal, StopDirection, WireStatus
from trading_core.money import ZERO, Price, is_multiple
from trading_core.orders import Side
from trading_core.products import ProductType

UNKNOWN = "UNKNOWN_FAILURE_REASON"
CLIENT_ORDER_ID_MAX = 128
QUOTE_STEP = Decimal("0.01")
INSUFFICIENT_FUND = Refusal(
    "INSUFFICIENT_FUND", "PREVIEW_INSUFFICIENT_FUND", "Insufficient balance in source account"
)
INSUFFICIENT_FUNDS = Refusal("INSUFFICIENT_FUNDS", "PREVIEW_INSUFFICIENT_FUNDS_FOR_FUTURES")
NO_LIQUIDITY = Refusal("INVALID_NO_LIQUIDITY", "PREVIEW_INVALID_NO_LIQUIDITY")
POST_ONLY_WOULD_TAKE = Refusal("INVALID_LIMIT_PRICE_POST_ONLY", "PREVIEW_INVALID_LIMIT_PRICE_POST_ONLY")
TOO_MANY_OPEN_ORDERS = Refusal(
    "COMMANDER_REJECTED_NEW_ORDER", "UNKNOWN_PREVIEW_FAILURE_REASON", "too many open orders"
)
NOT_CLOSABLE = Refusal("CANNOT_CLOSE_ZERO_POSITION", "PREVIEW_CLOSE_ONLY_FAILURE")


def refuse(reason: str, message: str = "") -> Refusal:
    """Return a refusal with the preview reason that goes with it."""
    return Refusal(reason, preview_reason(reason), message)


def injected(faults: FaultPlan, product_id: str, counter: int) -> Refusal | None:
    """Return the refusal that the fault plan wants for the `counter`-th request, if any."""
    if counter < faults.reject_from_order or not faults.hits("reject", counter, faults.reject_share):
        return None
    if faults.reject_products and product_id not in faults.reject_products:
        return None
    return refuse(faults.reject_reason, "injected by the fault plan")


def check(request: NewOrder, listing: Listing, last: Price, now_ns: int, config: ExchangeConfig) -> Refusal | None:
    """Return the first reason to refuse that needs neither the book nor the balances."""
    return (
        check_config(request, listing)
        or check_state(request, config)
        or check_precision(request, listing)
        or check_size(request, listing, last)
        or check_price(request, last, config)
        or check_stop(request, last)
        or check_end(request, now_ns, config)
    )


def check_config(request: NewOrder, listing: Listing) -> Refusal | None:
    """Refuse what the product or this exchange does not support."""
    is_spot = listing.product.product_type is ProductType.SPOT
    has_one_size = (request.base_size is None) != (request.quote_size is None)
    needs_base = request.config.is_stop or request.config.is_bracket or not is_spot
    if is_spot and request.config is OrderConfig.MARKET_FOK:
        return refuse("UNSUPPORTED_ORDER_CONFIGURATION")
    if not has_one_size or (needs_base and request.base_size is None):
        return refuse("UNSUPPORTED_ORDER_CONFIGURATION")
    if not request.config.is_market and request.limit_price is None:
        return Refusal("INVALID_LIMIT_PRICE", "PREVIEW_INVALID_LIMIT_PRICE")
    if request.reduce_only and is_spot:
        return refuse("REDUCE_ONLY_NOT_ALLOWED_ON_SPOT_PRODUCTS")
    if len(request.client_order_id) > CLIENT_ORDER_ID_MAX:
        return refuse("INVALID_REQUEST", "client_order_id is longer than 128 characters")
    return None


def check_state(request: NewOrder, config: ExchangeConfig) -> Refusal | None:
    """Refuse when the product takes no orders now."""
    if request.product_id in config.faults.halted_products:
        return refuse("ORDER_ENTRY_DISABLED")
    return None


def cancel_refusal(status: WireStatus) -> str:
    """Return why an order in this state cannot be cancelled; empty if it can."""
    match status:
        case WireStatus.FILLED:
            return "ORDER_IS_FULLY_FILLED"
        case WireStatus.CANCELLED | WireStatus.CANCEL_QUEUED:
            return "DUPLICATE_CANCEL_REQUEST"
        case WireStatus.EXPIRED | WireStatus.FAILED:
            return "INVALID_CANCEL_REQUEST"
        case _:
            return ""


def check_precision(request: NewOrder, listing: Listing) -> Refusal | None:
    """Refuse prices off the tick and sizes off the increment."""
    product = listing.product
    prices = (p for p in (request.limit_price, request.stop_price) if p is not None)
    if any(not is_multiple(p, product.price_increment) for p in prices):
        return refuse("INVALID_PRICE_PRECISION", "Too many decimals in order price")
    if request.base_size is not None and not is_multiple(request.base_size, product.base_increment):
        return refuse("INVALID_SIZE_PRECISION")
    if request.quote_size is not None and not is_multiple(request.quote_size, QUOTE_STEP):
        return Refusal("INVALID_SIZE_PRECISION", "PREVIEW_INVALID_QUOTE_SIZE_PRECISION")
    return None


def check_size(request: NewOrder, listing: Listing, last: Price) -> Refusal | None:
    """Refuse sizes out of the product's limits, in base and in quote."""
    product = listing.product
    quote = request.quote_size
    if request.base_size is not None:
        if request.base_size < product.base_min_size:
            return Refusal(UNKNOWN, "PREVIEW_INVALID_BASE_SIZE_TOO_SMALL")
        if request.base_size > product.base_max_size:
            return Refusal(UNKNOWN, "PREVIEW_INVALID_BASE_SIZE_TOO_LARGE")
        quote = product.notional(request.base_size, request.limit_price or last)
    if quote is not None and quote < product.quote_min_size:
        return Refusal(UNKNOWN, "PREVIEW_INVALID_QUOTE_SIZE_TOO_SMALL")
    if quote is not None and quote <= ZERO:
        return Refusal(UNKNOWN, "PREVIEW_INVALID_QUOTE_SIZE_TOO_SMALL")
    if quote is not None and listing.quote_max_size and quote > listing.quote_max_size:
        return Refusal(UNKNOWN, "PREVIEW_INVALID_QUOTE_SIZE_TOO_LARGE")
    return None


def check_price(request: NewOrder, last: Price, config: ExchangeConfig) -> Refusal | None:
    """Refuse limit prices that are not positive, or beyond the band on the side that could do harm."""
    price = request.limit_price
    if price is None:
        return None
    if price <= 0 or (request.stop_price is not None and request.stop_price <= 0):
        return refuse("INVALID_LIMIT_PRICE")
    if request.side is Side.BUY and price > last * (1 + config.price_band):
        return refuse("LIMIT_ORDER_PRICE_EXCEEDS_PRICE_BAND_ON_BUY")
    if request.side is Side.SELL and price < last * (1 - config.price_band):
        return refuse("LIMIT_ORDER_PRICE_EXCEEDS_PRICE_BAND_ON_SELL")
    return None


def check_stop(request: NewOrder, last: Price) -> Refusal | None:
    """Refuse stops on the wrong side of the last trade or of their own limit."""
    stop, limit = request.stop_price, request.limit_price
    if request.config.is_bracket:
        return _check_bracket(request, last)
    if not request.config.is_stop:
        return None
    if stop is None or limit is None:
        return Refusal(UNKNOWN, "PREVIEW_INVALID_STOP_PRICE")
    direction = stop_direction(request)
    if direction is StopDirection.UP and stop <= last:
        return Refusal(UNKNOWN, "PREVIEW_STOP_PRICE_BELOW_LAST_TRADE_PRICE")
    if direction is StopDirection.DOWN and stop >= last:
        return Refusal(UNKNOWN, "PREVIEW_STOP_PRICE_ABOVE_LAST_TRADE_PRICE")
    if request.side is Side.BUY and direction is StopDirection.UP and stop > limit:
        return Refusal(UNKNOWN, "PREVIEW_STOP_PRICE_ABOVE_LIMIT_PRICE")
    if request.side is Side.SELL and direction is StopDirection.DOWN and stop < limit:
        return Refusal(UNKNOWN, "PREVIEW_STOP_PRICE_BELOW_LIMIT_PRICE")
    return None


def stop_direction(request: NewOrder) -> StopDirection:
    """Return which way the last trade must go; a buy stops upwards unless it says otherwise."""
    if request.config.is_bracket or request.stop_direction is None:
        return StopDirection.UP if request.side is Side.BUY else StopDirection.DOWN
    return request.stop_direction


def check_end(request: NewOrder, now_ns: int, config: ExchangeConfig) -> Refusal | None:
    """Refuse end times that are missing, past or too far away."""
    if not request.config.has_end_time:
        return None
    if request.end_ns is None:
        return refuse("GTD_ORDERS_MUST_HAVE_END_TIME")
    if request.end_ns <= now_ns:
        return refuse("END_TIME_IS_IN_THE_PAST")
    if request.end_ns > now_ns + config.gtd_days_max * 86_400 * NS:
        return refuse("END_TIME_TOO_FAR_IN_FUTURE")
    return None


def _check_bracket(request: NewOrder, last: Price) -> Refusal | None:
    stop, limit = request.stop_price, request.limit_price
    if stop is None or limit is None or limit == stop or (limit > stop) != (request.side is Side.SELL):
        return refuse("INVALID_BRACKET_PRICES")
    if (stop >= last) if request.side is Side.SELL else (stop <= last):
        return refuse("INVALID_BRACKET_STOP_TRIGGER_PRICE")
    if (limit <= last) if request.side is Side.SELL else (limit >= last):
        return refuse("INVALID_BRACKET_LIMIT_PRICE")
    return None
