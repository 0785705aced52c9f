"""Why the exchange refuses what only some kinds of order have: slices, attached brackets, sessions."""

from __future__ import annotations

from trading_core.clock import NS
from trading_core.local_exchange.catalogue import Listing
from trading_core.local_exchange.checks import refuse
from trading_core.local_exchange.model import NewOrder, OrderConfig, Refusal
from trading_core.local_exchange.sessions import SessionState
from trading_core.money import Price, is_multiple
from trading_core.orders import Side
from trading_core.products import Product, ProductType

TAKE_PROFIT_TIMES_MAX = 10  # of the entry price
BUCKETS_MIN, BUCKETS_MAX = 2, 1_000
GUARDABLE = frozenset(
    {OrderConfig.MARKET_IOC, OrderConfig.LIMIT_GTC, OrderConfig.LIMIT_GTD, OrderConfig.LIMIT_IOC, OrderConfig.LIMIT_FOK}
)
MAY_QUEUE = frozenset(
    {OrderConfig.LIMIT_GTC, OrderConfig.LIMIT_GTD, OrderConfig.STOP_LIMIT_GTC, OrderConfig.STOP_LIMIT_GTD}
)


def check_kind(request: NewOrder, listing: Listing, last: Price) -> Refusal | None:
    """Refuse what is wrong with a TWAP or an attached bracket."""
    product = listing.product
    if request.config is OrderConfig.TWAP and (refusal := check_twap(request, product)) is not None:
        return refusal
    return None if request.attached is None else check_attached(request, product, last)


def check_twap(request: NewOrder, product: Product) -> Refusal | None:
    """Refuse a TWAP without a start, too short, or with slices below the product's minimum."""
    if request.start_ns is None:
        return refuse("START_TIME_MUST_BE_SPECIFIED")
    if request.buckets < BUCKETS_MIN or request.bucket_ns < NS:
        return refuse("DURATION_TOO_SMALL")
    if request.buckets > BUCKETS_MAX:
        return refuse("DURATION_TOO_LARGE")
    if request.base_size is not None and request.base_size / request.buckets < product.base_min_size:
        return refuse("BUCKET_SIZE_SMALLER_THAN_BASE_MIN")
    price = request.limit_price
    size = request.base_size
    value = request.quote_size if size is None or price is None else product.notional(size, price)
    if value is not None and value / request.buckets < product.quote_min_size:
        return refuse("BUCKET_SIZE_SMALLER_THAN_QUOTE_MIN")
    return None


def check_attached(request: NewOrder, product: Product, last: Price) -> Refusal | None:
    """Refuse a bracket that could not guard the order: wrong kind, side or prices."""
    attached = request.attached
    if attached is None:
        return None
    if request.config not in GUARDABLE:
        return refuse("ATTACHED_ORDERS_ONLY_ALLOWED_ON_MARKET_LIMIT")
    if product.product_type is ProductType.SPOT and request.side is Side.SELL:
        return refuse("INVALID_ORDER_SIDE_FOR_ATTACHED_TPSL")
    if attached.limit_price <= 0 or attached.stop_price <= 0:
        return refuse("ATTACHED_ORDER_MUST_HAVE_POSITIVE_PRICES")
    if not is_multiple(attached.limit_price, product.price_increment):
        return refuse("INVALID_ATTACHED_TAKE_PROFIT_PRICE_PRECISION")
    if not is_multiple(attached.stop_price, product.price_increment):
        return refuse("INVALID_ATTACHED_STOP_LOSS_PRICE_PRECISION")
    sign, entry = request.side.sign, request.limit_price or last
    if (attached.limit_price - entry) * sign <= 0:
        return refuse("INVALID_ATTACHED_TAKE_PROFIT_PRICE")
    if attached.limit_price > entry * TAKE_PROFIT_TIMES_MAX:
        return refuse("INVALID_ATTACHED_TAKE_PROFIT_PRICE_OUT_OF_BOUNDS")
    return refuse("INVALID_ATTACHED_STOP_LOSS_PRICE") if (attached.stop_price - entry) * sign >= 0 else None


def check_session(request: NewOrder, listing: Listing, state: SessionState) -> Refusal | None:
    """Refuse what cannot wait for the session to open; spot does not queue at all."""
    if state.is_open:
        return None
    if listing.product.product_type is ProductType.SPOT:
        return refuse("TRADING_DISABLED")
    if request.config.is_market or request.config in (OrderConfig.TWAP, OrderConfig.SCALED):
        return refuse("FUTURES_AFTER_HOUR_INVALID_ORDER_TYPE")
    if request.config.is_bracket or request.attached is not None:
        return refuse("FUTURES_AFTER_HOUR_INVALID_ORDER_TYPE")
    return None if request.config in MAY_QUEUE else refuse("FUTURES_AFTER_HOUR_INVALID_TIME_IN_FORCE")
