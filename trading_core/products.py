"""What can be traded, in which steps and sizes. Source: GET /products."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

import msgspec

from trading_core.money import ONE, ZERO, Notional, Price, Size, ceil_to, floor_to, is_multiple
from trading_core.orders import Side


class ProductType(StrEnum):
    """The kind of instrument."""

    SPOT = "SPOT"
    FUTURE = "FUTURE"


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """One product with its increments; sizes of futures are contracts."""

    product_id: str
    product_type: ProductType
    base_currency: str
    quote_currency: str
    base_increment: Size
    price_increment: Price
    base_min_size: Size
    base_max_size: Size
    quote_min_size: Notional
    contract_size: Size = ONE
    display_name: str = ""
    alias: str = ""
    venue: str = "CBE"
    funding_interval_s: int | None = None
    funding_rate: Decimal | None = None
    funding_ns: int | None = None  # when the rate was settled
    is_perpetual: bool = False
    is_tradable: bool = True

    def notional(self, size: Size, price: Price) -> Notional:
        """Return what the size is worth in quote currency at the price."""
        return size * self.contract_size * price

    def round_price(self, price: Price, side: Side) -> Price:
        """Return the price on the grid, rounded to the passive side: buys down, sells up."""
        rounder = floor_to if side is Side.BUY else ceil_to
        return rounder(price, self.price_increment)

    def round_size(self, size: Size) -> Size:
        """Return the size on the grid, rounded down; zero if it is below the minimum."""
        rounded = floor_to(size, self.base_increment)
        return rounded if rounded >= self.base_min_size else ZERO

    def size_for(self, notional: Notional, price: Price) -> Size:
        """Return the largest size on the grid that costs at most the notional; zero without a price."""
        if price <= 0:
            return ZERO
        return self.round_size(notional / (price * self.contract_size))

    def is_on_grid(self, price: Price, size: Size) -> bool:
        """Tell whether price and size are multiples of their increments."""
        return is_multiple(price, self.price_increment) and is_multiple(size, self.base_increment)
