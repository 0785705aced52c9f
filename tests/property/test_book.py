"""The order book against a naive model: a dict of prices for each side."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from tests.core_builders import make_change, make_product
from trading_core.events import BookChanged, Levels
from trading_core.market import OrderBook
from trading_core.orders import Side

TICK, LOT = Decimal("0.01"), Decimal("0.00000001")
levels = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 4)), max_size=8, unique_by=lambda level: level[0])
changes = st.builds(
    lambda bids, asks, is_snapshot: make_change(bids=tuple(bids), asks=tuple(asks), is_snapshot=is_snapshot),
    levels, levels, st.booleans(),
)


class NaiveBook:
    """Two dicts, sorted whenever somebody asks."""

    def __init__(self) -> None:
        self.sides: dict[Side, dict[int, int]] = {Side.BUY: {}, Side.SELL: {}}
        self.is_known = False

    def apply(self, change: BookChanged) -> None:
        self.is_known = self.is_known or change.is_snapshot
        if not self.is_known:
            return
        for side, new in ((Side.BUY, change.bids), (Side.SELL, change.asks)):
            self._apply_side(side, new, change.is_snapshot)

    def _apply_side(self, side: Side, new: Levels, is_snapshot: bool) -> None:
        merged = {**({} if is_snapshot else self.sides[side]), **dict(new)}
        self.sides[side] = {ticks: lots for ticks, lots in merged.items() if lots > 0}

    def levels(self, side: Side) -> list[tuple[Decimal, Decimal]]:
        ordered = sorted(self.sides[side].items(), reverse=side is Side.BUY)
        return [(ticks * TICK, lots * LOT) for ticks, lots in ordered]


@given(st.lists(changes, max_size=12))
def test_the_book_equals_a_naive_model_after_every_change(stream: list[BookChanged]) -> None:
    book, naive = OrderBook(make_product()), NaiveBook()
    for change in stream:
        book.apply(change)
        naive.apply(change)
        for side in Side:
            expected = naive.levels(side)
            assert book.levels(side, 100) == expected
            assert book.levels(side, 2) == expected[:2]
            assert book.best(side) == (expected[0][0] if expected else None)
            assert book.depth(side, 3) == sum(price * size for price, size in expected[:3])


@given(changes, st.sampled_from(Side), st.integers(1, 40))
def test_the_average_price_equals_filling_lot_by_lot(change: BookChanged, taker: Side, lots: int) -> None:
    book, naive = OrderBook(make_product()), NaiveBook()
    snapshot = make_change(bids=change.bids, asks=change.asks, is_snapshot=True)
    book.apply(snapshot)
    naive.apply(snapshot)
    singles = [price for price, size in naive.levels(taker.opposite) for _ in range(int(size / LOT))]

    average = book.average_price(taker, lots * LOT)

    assert average == (sum(singles[:lots]) / lots if len(singles) >= lots else None)
