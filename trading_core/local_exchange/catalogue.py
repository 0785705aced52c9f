"""The products that the exchange lists, read from the wire contract's captured products."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from importlib.resources import files

import msgspec

from trading_core.errors import ConfigurationError
from trading_core.money import ONE, ZERO, decimal_of
from trading_core.products import Product, ProductType


class Listing(msgspec.Struct, frozen=True):
    """A product, its limits beyond the core's, and the raw members that the wire carries."""

    product: Product
    quote_max_size: Decimal
    raw: dict[str, object]
    intraday_long: Decimal = ZERO
    intraday_short: Decimal = ZERO
    overnight_long: Decimal = ZERO
    overnight_short: Decimal = ZERO


@cache
def load_listings() -> Mapping[str, Listing]:
    """Return every product of the contract by its id."""
    path = files("trading_core.advanced_trade") / "contract" / "products.json"
    rows = msgspec.json.decode(path.read_bytes())["products"]
    return {row["product"]["product_id"]: _listing(row["product"]) for row in rows}


def load_listing(product_id: str) -> Listing:
    """Return one product; raises ConfigurationError with the products that exist."""
    listings = load_listings()
    if product_id not in listings:
        raise ConfigurationError(f"product {product_id!r} is not listed: choose of {', '.join(sorted(listings))}")
    return listings[product_id]


def _listing(raw: dict[str, object]) -> Listing:
    details = raw.get("future_product_details")
    future = details if isinstance(details, dict) else {}
    return Listing(
        product=_product(raw, future),
        quote_max_size=_number(raw, "quote_max_size", ZERO),
        raw=raw,
        intraday_long=_rate(future, "intraday_margin_rate", "long_margin_rate"),
        intraday_short=_rate(future, "intraday_margin_rate", "short_margin_rate"),
        overnight_long=_rate(future, "overnight_margin_rate", "long_margin_rate"),
        overnight_short=_rate(future, "overnight_margin_rate", "short_margin_rate"),
    )


def _product(raw: dict[str, object], future: dict[str, object]) -> Product:
    interval = str(future.get("funding_interval") or "").rstrip("s")
    return Product(
        product_id=str(raw["product_id"]),
        product_type=ProductType(str(raw["product_type"])),
        base_currency=str(raw["base_currency_id"] or future.get("contract_root_unit", "")),
        quote_currency=str(raw["quote_currency_id"]),
        base_increment=decimal_of(str(raw["base_increment"])),
        price_increment=decimal_of(str(raw["price_increment"])),
        base_min_size=decimal_of(str(raw["base_min_size"])),
        base_max_size=decimal_of(str(raw["base_max_size"])),
        quote_min_size=decimal_of(str(raw["quote_min_size"])),
        contract_size=_number(future, "contract_size", ONE),
        display_name=str(raw["display_name"]),
        alias=str(raw["alias"]),
        venue=str(raw["product_venue"]),
        funding_interval_s=int(interval) if interval else None,
        funding_rate=_number(future, "funding_rate", ZERO) if interval else None,
        is_perpetual=bool(interval),
    )


def _number(members: Mapping[str, object], name: str, default: Decimal) -> Decimal:
    value = members.get(name)
    return decimal_of(str(value)) if value else default


def _rate(future: Mapping[str, object], window: str, side: str) -> Decimal:
    rates = future.get(window)
    return _number(rates, side, ZERO) if isinstance(rates, dict) else ZERO
