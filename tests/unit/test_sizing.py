"""Sizing: the golden vectors of the specification, the edges of the model, and the three modes."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.core_builders import make_product
from trading_core.sizing import Depth, SizingMode, impact_bps, largest_notional, size_order

DEPTH = Depth(l1=Decimal(50_000), l10=Decimal(200_000))


def test_the_specifications_example_is_reduced_to_59_percent() -> None:
    sizing = size_order(Decimal(100_000), DEPTH, Decimal(10), SizingMode.CONSERVATIVE)
    assert (sizing.notional, sizing.impact_bps, sizing.is_sized_down) == (59_375, 10, True)


@pytest.mark.parametrize(("price", "size"), [("0", "0"), ("-0.01", "0"), ("0.01", "100")])
def test_without_a_price_there_is_no_size(price: str, size: str) -> None:
    # Seed 212: the probe of an order that is too large found no book, and divided by its price.
    assert make_product().size_for(Decimal(1), Decimal(price)) == Decimal(size)


@pytest.mark.parametrize(
    ("limit", "largest"),
    [
        ("-1", "0"), ("0", "0"), ("1", "10000"), ("4.99", "49900"), ("5", "50000"), ("5.01", "50000.0375"),
        ("15", "87500"), ("24.99", "199850.0375"), ("25", "200000"), ("25.01", "200000"), ("50", "200000"),
    ],
)
def test_the_largest_notional_at_each_edge_of_the_model(limit: str, largest: str) -> None:
    assert largest_notional(Decimal(limit), DEPTH) == Decimal(largest)


@pytest.mark.parametrize(
    ("notional", "impact"),
    [
        ("-1", "0"), ("0", "0"), ("25000", "2.5"), ("50000", "5"), ("87500", "15"), ("200000", "25"),
        ("200000.01", "100"),
    ],
)
def test_the_impact_at_each_edge_of_the_model(notional: str, impact: str) -> None:
    assert impact_bps(Decimal(notional), DEPTH) == Decimal(impact)


@pytest.mark.parametrize("depth", [Depth(Decimal(0), Decimal(0)), Depth(Decimal(0), Decimal(100))])
@pytest.mark.parametrize("mode", SizingMode)
def test_nothing_may_be_sent_into_a_book_without_a_touch(depth: Depth, mode: SizingMode) -> None:
    sizing = size_order(Decimal(1), depth, Decimal(50), mode)
    assert (sizing.notional, sizing.impact_bps, sizing.is_sized_down) == (0, 0, True)


def test_a_book_of_one_level_has_no_middle_part() -> None:
    depth = Depth(Decimal(100), Decimal(100))
    assert largest_notional(Decimal(24), depth) == 100
    assert impact_bps(Decimal("100.01"), depth) == 100


@pytest.mark.parametrize(
    ("mode", "notional"),
    [(SizingMode.STRICT, "0"), (SizingMode.CONSERVATIVE, "59375"), (SizingMode.AGGRESSIVE, "134375")],
)
def test_each_mode_answers_an_order_above_its_limit_in_its_own_way(mode: SizingMode, notional: str) -> None:
    sizing = size_order(Decimal(150_000), DEPTH, Decimal(10), mode)
    assert (sizing.notional, sizing.is_sized_down) == (Decimal(notional), True)


@pytest.mark.parametrize("mode", SizingMode)
def test_an_order_at_the_limit_is_not_touched(mode: SizingMode) -> None:
    sizing = size_order(Decimal(59_375), DEPTH, Decimal(10), mode)
    assert (sizing.notional, sizing.impact_bps, sizing.is_sized_down) == (59_375, 10, False)
