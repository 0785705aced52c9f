"""Books, candles and the venue's clock over REST; and prices and sizes as integer ticks and lots, exactly."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import msgspec

from trading_core.advanced_trade.wire import moment_ns, number
from trading_core.errors import SchemaDrift
from trading_core.events import Levels
from trading_core.ports import BookSnapshot, Candle
from trading_core.products import Product


class TimeBody(msgspec.Struct, frozen=True):
    """GET /time."""

    epoch_millis: str = msgspec.field(name="epochMillis")


class LevelBody(msgspec.Struct, frozen=True, gc=False):
    """One price of a book."""

    price: str
    size: str


class PriceBook(msgspec.Struct, frozen=True):
    """Both sides, best first."""

    product_id: str
    bids: list[LevelBody]
    asks: list[LevelBody]
    time: str


class ProductBookBody(msgspec.Struct, frozen=True):
    """GET /product_book."""

    pricebook: PriceBook


class CandleBody(msgspec.Struct, frozen=True):
    """One bar."""

    start: str
    low: str
    high: str
    open: str
    close: str
    volume: str


class CandlesBody(msgspec.Struct, frozen=True):
    """GET /products/{id}/candles, newest first."""

    candles: list[CandleBody]


@dataclass(frozen=True, slots=True)
class Grid:
    """Counts decimal text in steps of an increment, in integers: increment = multiple / 10**places."""

    places: int
    multiple: int

    @classmethod
    def of(cls, increment: Decimal) -> Grid:
        """Return the grid of an increment such as 0.01, 5 or 0.5."""
        _, digits, exponent = increment.as_tuple()
        if not isinstance(exponent, int) or increment <= 0:
            raise SchemaDrift(f"increment {increment} is not a positive number")
        unit = int("".join(map(str, digits)))
        return cls(-exponent, unit) if exponent < 0 else cls(0, unit * 10**exponent)

    def steps(self, text: str) -> int:
        """Return how many increments the number is, whole ones only; the rest is cut off.

        >>> Grid.of(Decimal("0.01")).steps("83277.25"), Grid.of(Decimal("5")).steps("68930")
        (8327725, 13786)
        """
        return self._scaled(text) // self.multiple

    def exact(self, text: str) -> int:
        """Return how many increments the number is; raises SchemaDrift if it lies between two."""
        steps, rest = divmod(self._scaled(text), self.multiple)
        if rest or text.partition(".")[2][self.places:].strip("0"):
            raise SchemaDrift(f"{text} is not a multiple of {self.multiple}e-{self.places}")
        return steps

    def _scaled(self, text: str) -> int:
        head, _, tail = text.partition(".")
        digits = head + tail[: self.places].ljust(self.places, "0")
        if not (head and digits.isdecimal()):
            raise SchemaDrift(f"{text!r} is not a plain decimal number")
        return int(digits)


def book_of(body: ProductBookBody, product: Product) -> BookSnapshot:
    """Return the book in ticks and lots; a price off the grid is drift, a size is rounded down to whole lots."""
    book = body.pricebook
    prices, sizes = Grid.of(product.price_increment), Grid.of(product.base_increment)

    def side(levels: list[LevelBody]) -> Levels:
        return tuple((prices.exact(level.price), sizes.steps(level.size)) for level in levels)

    return BookSnapshot(
        product_id=book.product_id,
        bids=side(book.bids),
        asks=side(book.asks),
        ts_ns=moment_ns(book.time, "PriceBook.time"),
    )


def candle_of(body: CandleBody) -> Candle:
    """Return one bar."""
    return Candle(
        start_s=int(number(body.start, "Candle.start")),
        low=number(body.low, "Candle.low"),
        high=number(body.high, "Candle.high"),
        open=number(body.open, "Candle.open"),
        close=number(body.close, "Candle.close"),
        volume=number(body.volume, "Candle.volume"),
    )
