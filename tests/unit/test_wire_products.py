"""Products as Coinbase sends them, and prices and sizes on their grids."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_core.advanced_trade import wire_drift
from trading_core.advanced_trade.wire import parse
from trading_core.advanced_trade.wire_market import Grid, PriceBook, ProductBookBody, book_of
from trading_core.advanced_trade.wire_products import ProductBody, product_of
from trading_core.errors import SchemaDrift
from trading_core.money import plain
from trading_core.products import Product, ProductType

CAPTURED: dict[str, dict[str, Any]] = {
    entry["product"]["product_id"]: entry["product"]
    for entry in json.loads((wire_drift.CONTRACT.parent / "products.json").read_text("utf-8"))["products"]
}
assert Path(wire_drift.CONTRACT).is_file()


def captured(product_id: str, **changes: object) -> Product:
    return product_of(parse({**CAPTURED[product_id], **changes}, ProductBody, "Product"))


def test_every_captured_product_is_read() -> None:
    products = [captured(product_id) for product_id in CAPTURED]
    assert len(products) == 14
    assert {p.product_type for p in products} == {ProductType.SPOT, ProductType.FUTURE}


def test_a_spot_pair_counts_in_base_units() -> None:
    btc = captured("BTC-USD")
    assert (btc.base_currency, btc.quote_currency, btc.contract_size) == ("BTC", "USD", Decimal(1))
    assert (btc.price_increment, btc.base_increment, btc.quote_min_size) == (
        Decimal("0.01"), Decimal("0.00000001"), Decimal(1),
    )
    assert (btc.is_perpetual, btc.funding_interval_s, btc.is_tradable) == (False, None, True)


def test_a_us_perpetual_is_known_by_its_funding_interval_although_its_type_says_expiring() -> None:
    assert CAPTURED["BIP-20DEC30-CDE"]["future_product_details"]["contract_expiry_type"] == "EXPIRING"
    bip = captured("BIP-20DEC30-CDE")
    assert (bip.is_perpetual, bip.contract_size, bip.base_currency) == (True, Decimal("0.01"), "BTC")
    assert (bip.funding_interval_s, bip.funding_rate) == (3600, Decimal("0.000013"))


def test_the_tick_of_a_future_is_its_price_increment_not_its_quote_increment() -> None:
    assert CAPTURED["BIP-20DEC30-CDE"]["quote_increment"] == "0.01"
    assert captured("BIP-20DEC30-CDE").price_increment == Decimal(5)


def test_a_dated_future_is_not_perpetual() -> None:
    assert captured("BIT-24APR26-CDE").is_perpetual is False


def test_the_funding_of_a_legacy_perpetual_stands_in_its_perpetual_details() -> None:
    legacy = captured("XRP-PERP-INTX")
    assert (legacy.is_perpetual, legacy.funding_rate) == (True, Decimal("0.000006"))


@pytest.mark.parametrize("flag", ["trading_disabled", "is_disabled", "cancel_only", "view_only"])
def test_a_product_that_takes_no_orders_is_not_tradable(flag: str) -> None:
    assert captured("ETH-USD", **{flag: True}).is_tradable is False


@pytest.mark.parametrize(
    ("product_id", "changes", "words"),
    [
        ("BTC-USD", {"base_increment": None}, "Product.base_increment: Expected `str`"),
        ("BTC-USD", {"base_min_size": "many"}, "base_min_size: 'many' is not a decimal"),
        ("BTC-USD", {"price_increment": 0.01}, "Product.price_increment: Expected `str`, got `float`"),
        ("BIP-20DEC30-CDE", {"price_increment": ""}, "needs future_product_details and price_increment"),
        ("BIP-20DEC30-CDE", {"future_product_details": None}, "needs future_product_details"),
    ],
)
def test_a_product_in_another_form_is_drift_that_names_the_member(
    product_id: str, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(SchemaDrift) as caught:
        captured(product_id, **changes)
    assert words in str(caught.value)


def test_a_member_that_vanished_is_named_with_its_path() -> None:
    body = {k: v for k, v in CAPTURED["BTC-USD"].items() if k != "base_max_size"}
    with pytest.raises(SchemaDrift, match=r"^Product\.base_max_size missing$"):
        parse(body, ProductBody, "Product")


INCREMENTS = st.builds(lambda m, e: Decimal(m).scaleb(e), st.sampled_from([1, 5, 25]), st.integers(-10, 2))


@given(increment=INCREMENTS, steps=st.integers(0, 10**12))
def test_grid_counts_every_multiple_of_the_increment_exactly(increment: Decimal, steps: int) -> None:
    assert Grid.of(increment).exact(plain(steps * increment)) == steps


@given(increment=INCREMENTS, steps=st.integers(0, 10**9), part=st.sampled_from(["0.1", "0.5", "0.999"]))
def test_grid_cuts_a_size_down_and_refuses_a_price_between_two_steps(
    increment: Decimal, steps: int, part: str
) -> None:
    between = plain((steps + Decimal(part)) * increment)
    assert Grid.of(increment).steps(between) == steps
    with pytest.raises(SchemaDrift):
        Grid.of(increment).exact(between)


@pytest.mark.parametrize("text", ["", "1e5", "abc", "1,5", "NaN"])
def test_grid_refuses_text_that_is_no_plain_number(text: str) -> None:
    with pytest.raises(SchemaDrift):
        Grid.of(Decimal("0.01")).steps(text)


def test_a_book_over_rest_is_in_ticks_and_lots() -> None:
    body = {
        "product_id": "BIP-20DEC30-CDE", "time": "2026-09-24T02:28:48.910921Z",
        "bids": [{"price": "68930", "size": "3"}], "asks": [{"price": "68935", "size": "1"}],
    }
    book = book_of(ProductBookBody(parse(body, PriceBook, "PriceBook")), captured("BIP-20DEC30-CDE"))
    assert (book.bids, book.asks) == (((13786, 3),), ((13787, 1),))
    assert book.ts_ns == 1_790_216_928_910_921_000
