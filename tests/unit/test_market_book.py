"""The order book: what it says of touch, depth and impact, and when it says nothing."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.core_builders import T0_NS, make_change, make_future, make_product
from trading_core.market import OrderBook
from trading_core.orders import Side

LOT = Decimal("0.00000001")


def make_book(bids: tuple[tuple[int, int], ...], asks: tuple[tuple[int, int], ...]) -> OrderBook:
    book = OrderBook(make_product())
    book.apply(make_change(bids=bids, asks=asks, is_snapshot=True))
    return book


def test_a_snapshot_gives_touch_middle_and_spread() -> None:
    book = make_book(bids=((9_900, 5), (9_800, 5)), asks=((10_100, 5), (10_200, 5)))

    assert (book.best(Side.BUY), book.best(Side.SELL)) == (Decimal("99.00"), Decimal("101.00"))
    assert book.mid() == 100
    assert book.spread_bps() == 200
    assert book.is_usable
    assert book.updated_ns == T0_NS


def test_changes_before_the_first_snapshot_are_ignored() -> None:
    book = OrderBook(make_product())
    book.apply(make_change())
    assert (book.is_usable, book.updated_ns, book.levels(Side.BUY, 5)) == (False, None, [])


def test_changes_after_a_gap_wait_for_the_next_snapshot() -> None:
    book = make_book(bids=((9_900, 5),), asks=((10_100, 5),))
    book.clear()
    book.apply(make_change(bids=((9_950, 1),), asks=((10_050, 1),)))
    assert (book.is_usable, book.mid(), book.updated_ns) == (False, None, None)


def test_a_snapshot_replaces_everything() -> None:
    book = make_book(bids=((9_900, 5),), asks=((10_100, 5),))
    book.apply(make_change(bids=((9_000, 1),), asks=((9_001, 1),), is_snapshot=True))
    assert book.levels(Side.BUY, 9) == [(Decimal("90.00"), LOT)]
    assert book.levels(Side.SELL, 9) == [(Decimal("90.01"), LOT)]


def test_a_size_of_zero_deletes_the_level_and_an_unknown_one_changes_nothing() -> None:
    book = make_book(bids=((9_900, 5), (9_800, 7)), asks=((10_100, 5),))
    book.apply(make_change(bids=((9_900, 0), (1, 0)), asks=()))
    assert book.levels(Side.BUY, 9) == [(Decimal("98.00"), 7 * LOT)]


@pytest.mark.parametrize(
    ("bids", "asks"),
    [((), ((10_100, 5),)), (((9_900, 5),), ()), (((10_000, 5),), ((10_000, 5),)), (((10_001, 5),), ((10_000, 5),))],
)
def test_a_one_sided_locked_or_crossed_book_is_not_usable(
    bids: tuple[tuple[int, int], ...], asks: tuple[tuple[int, int], ...]
) -> None:
    assert not make_book(bids, asks).is_usable


def test_depth_is_notional_over_the_best_levels() -> None:
    book = make_book(bids=((10_000, 100_000_000), (9_000, 200_000_000)), asks=((10_100, 1),))
    assert book.depth(Side.BUY, 1) == 100
    assert book.depth(Side.BUY, 10) == 100 + 180
    assert book.depth(Side.BUY, 0) == 0


def test_depth_of_a_future_counts_the_contract_size() -> None:
    book = OrderBook(make_future())
    book.apply(make_change(bids=((20_000, 3),), asks=((20_001, 1),), is_snapshot=True))
    assert book.depth(Side.BUY, 1) == Decimal("0.01") * 3 * 100_000


def test_the_average_price_walks_the_levels() -> None:
    one = 100_000_000
    book = make_book(bids=((9_900, one), (9_700, one)), asks=((10_100, one), (10_300, one)))
    assert book.average_price(Side.BUY, Decimal(2)) == 102
    assert book.average_price(Side.SELL, Decimal("1.5")) * 3 == 2 * 99 + 97  # type: ignore[operator]  # not None
    assert book.realized_impact_bps(Side.BUY, Decimal(2)) == 200
    assert book.realized_impact_bps(Side.SELL, Decimal(1)) == 100


@pytest.mark.parametrize("size", ["2.00000001", "0", "-1"])
def test_no_average_price_for_a_thin_book_or_no_size(size: str) -> None:
    book = make_book(bids=((9_900, 200_000_000),), asks=((10_100, 200_000_000),))
    assert book.average_price(Side.BUY, Decimal(size)) is None
    assert book.realized_impact_bps(Side.BUY, Decimal(size)) is None
