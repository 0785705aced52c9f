"""Scaled orders: how one size is spread over limit prices."""

from __future__ import annotations

from decimal import Decimal

from trading_core.local_exchange.catalogue import Listing
from trading_core.local_exchange.checks import refuse
from trading_core.local_exchange.model import Leg, NewOrder, Refusal, Scaled
from trading_core.money import ONE, ZERO, floor_to, is_multiple
from trading_core.products import Product

LEGS_MIN, LEGS_MAX = 2, 50


def legs_of(request: NewOrder, listing: Listing) -> tuple[Leg, ...] | Refusal:
    """Return the limit orders that a scaled order stands for, lowest price first, or why it cannot be spread."""
    scaled, product = request.scaled, listing.product
    if scaled is None:
        return refuse("SCALED_PARAM_INFEASIBLE")
    legs = scaled.custom or _spread(request, scaled, product)
    if not LEGS_MIN <= len(legs) <= LEGS_MAX:
        return refuse("SCALED_PARAM_INFEASIBLE")
    if any(not is_multiple(leg.price, product.price_increment) or leg.price <= 0 for leg in legs):
        return refuse("INVALID_PRICE_PRECISION")
    if any(not is_multiple(leg.size, product.base_increment) for leg in legs):
        return refuse("INVALID_SIZE_PRECISION")
    least, most = min(leg.size for leg in legs), max(leg.size for leg in legs)
    values = [product.notional(leg.size, leg.price) for leg in legs]
    if least < product.base_min_size or min(values) < product.quote_min_size or least <= 0:
        return refuse("SCALED_MIN_ORDER_VIOLATION")
    if most > product.base_max_size or (listing.quote_max_size and max(values) > listing.quote_max_size):
        return refuse("SCALED_MAX_ORDER_VIOLATION")
    total = sum((leg.size for leg in legs), ZERO)
    if scaled.custom and request.base_size is not None and total != request.base_size:
        return refuse("SCALED_PARAM_DISCREPANCY")
    return legs


def _spread(request: NewOrder, scaled: Scaled, product: Product) -> tuple[Leg, ...]:
    n = scaled.count
    if not LEGS_MIN <= n <= LEGS_MAX or not 0 < scaled.min_price < scaled.max_price:
        return ()
    span, steps = scaled.max_price - scaled.min_price, _steps(scaled.price_distribution, n)
    prices = [floor_to(scaled.min_price + span * step, product.price_increment) for step in steps]
    shares = _shares(scaled, n)
    whole = sum(shares, ZERO)
    if min(shares) <= 0 or len(set(prices)) != n:
        return ()
    if request.base_size is not None:
        sizes = [floor_to(request.base_size * share / whole, product.base_increment) for share in shares]
        sizes[-1] += request.base_size - sum(sizes, ZERO)
    else:
        values = [(request.quote_size or ZERO) * share / whole for share in shares]
        sizes = [
            floor_to(value / (price * product.contract_size), product.base_increment)
            for value, price in zip(values, prices, strict=True)
        ]
    return tuple(Leg(price, size) for price, size in zip(prices, sizes, strict=True))


def _steps(distribution: str, n: int) -> list[Decimal]:
    """Return where between lowest (0) and highest price (1) each order stands."""
    match distribution:
        case "LINEAR_INCREASING":
            gaps = [Decimal(i + 1) for i in range(n - 1)]
        case "LINEAR_DECREASING":
            gaps = [Decimal(n - 1 - i) for i in range(n - 1)]
        case _:
            gaps = [ONE] * (n - 1)
    whole, steps = sum(gaps, ZERO), [ZERO]
    for gap in gaps:
        steps.append(steps[-1] + gap / whole)
    return [*steps[:-1], ONE]


def _shares(scaled: Scaled, n: int) -> list[Decimal]:
    """Return each order's share of the size: even, or growing by a ratio or a difference with the price."""
    if scaled.size_distribution not in ("INCREASING", "DECREASING"):
        return [ONE] * n
    if scaled.size_ratio:
        shares = [scaled.size_ratio**i for i in range(n)]
    else:
        shares = [ONE + (scaled.size_diff or ONE) * i for i in range(n)]
    return shares if scaled.size_distribution == "INCREASING" else shares[::-1]
