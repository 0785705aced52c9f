"""GET /products: spot pairs and US futures, whose funding stands at the top level of the future's details."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from trading_core.advanced_trade.wire import moment_ns, number, number_or_none, number_or_zero, positive
from trading_core.errors import SchemaDrift
from trading_core.money import ONE
from trading_core.products import Product, ProductType


class PerpetualDetails(msgspec.Struct, frozen=True):
    """Filled for the legacy INTX perpetuals only."""

    funding_rate: str = ""


class FutureDetails(msgspec.Struct, frozen=True):
    """What a future is. A US perpetual is EXPIRING by type: its funding interval and its name tell what it is."""

    contract_size: str
    contract_root_unit: str
    contract_expiry_type: str
    funding_interval: str | None = None
    funding_rate: str = ""
    funding_time: str | None = None
    contract_display_name: str = ""
    perpetual_details: PerpetualDetails | None = None


class ProductBody(msgspec.Struct, frozen=True):
    """One product."""

    product_id: str
    product_type: str
    base_increment: str
    quote_increment: str
    base_min_size: str
    base_max_size: str
    quote_min_size: str
    is_disabled: bool
    trading_disabled: bool
    cancel_only: bool
    price_increment: str = ""
    view_only: bool = False
    display_name: str = ""
    alias: str = ""
    base_currency_id: str = ""
    quote_currency_id: str = ""
    product_venue: str = "CBE"
    future_product_details: FutureDetails | None = None


class Pagination(msgspec.Struct, frozen=True):
    """Where the next page of products starts."""

    next_cursor: str = ""
    has_next: bool = False


class ProductsBody(msgspec.Struct, frozen=True):
    """One page of products."""

    products: list[ProductBody]
    pagination: Pagination | None = None


def product_of(body: ProductBody) -> Product:
    """Return the product; raises SchemaDrift for a future without its details or its tick."""
    where = f"Product {body.product_id}"
    future = body.future_product_details
    if not is_known_type(body):
        raise SchemaDrift(f"{where}: {body.product_type!r} is neither SPOT nor FUTURE")
    kind = ProductType(body.product_type)
    if kind is ProductType.FUTURE and (future is None or not body.price_increment):
        raise SchemaDrift(f"{where}: a future needs future_product_details and price_increment")
    return Product(
        product_id=body.product_id,
        product_type=kind,
        base_currency=body.base_currency_id or (future.contract_root_unit if future else ""),
        quote_currency=body.quote_currency_id,
        base_increment=positive(body.base_increment, f"{where}.base_increment"),
        # The quote increment of BIP is 0.01 while its tick is 5: only on spot are the two the same.
        price_increment=positive(body.price_increment or body.quote_increment, f"{where}.price_increment"),
        base_min_size=number(body.base_min_size, f"{where}.base_min_size"),
        base_max_size=number(body.base_max_size, f"{where}.base_max_size"),
        quote_min_size=number_or_zero(body.quote_min_size, f"{where}.quote_min_size"),
        contract_size=positive(future.contract_size, f"{where}.contract_size") if future else ONE,
        display_name=body.display_name,
        alias=body.alias,
        venue=body.product_venue,
        funding_interval_s=_interval_s(future, where) if future else None,
        funding_rate=_funding_rate(future, where) if future else None,
        funding_ns=moment_ns(future.funding_time, f"{where}.funding_time") if future and future.funding_time else None,
        is_perpetual=_is_perpetual(body, future) if future else False,
        is_tradable=not (body.is_disabled or body.trading_disabled or body.cancel_only or body.view_only),
    )


def is_known_type(body: ProductBody) -> bool:
    """Tell whether the product is a spot pair or a future; equities and options are not ours."""
    return body.product_type in (ProductType.SPOT, ProductType.FUTURE)


def _is_perpetual(body: ProductBody, future: FutureDetails) -> bool:
    names = f"{body.display_name} {future.contract_display_name}".upper().split()
    return future.contract_expiry_type == "PERPETUAL" or bool(future.funding_interval) or "PERP" in names


def _funding_rate(future: FutureDetails, where: str) -> Decimal | None:
    legacy = future.perpetual_details.funding_rate if future.perpetual_details else ""
    return number_or_none(future.funding_rate or legacy, f"{where}.funding_rate")


def _interval_s(future: FutureDetails, where: str) -> int | None:
    if not future.funding_interval:
        return None
    return int(number(future.funding_interval.removesuffix("s"), f"{where}.funding_interval"))
