"""`make bench`: medians of the hot path, each beside a bare loop of the same run, so that machines can be compared."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from statistics import median

from rich.console import Console
from rich.table import Table

from trading_core.clock import NS, SystemClock
from trading_core.events import BookChanged, decode, encode
from trading_core.market import OrderBook
from trading_core.orders import Side
from trading_core.products import Product, ProductType
from trading_core.sizing import Depth, SizingMode, size_order

ROUNDS = 9
BARE_CALLS = 200_000
PRODUCT = Product(
    product_id="BTC-USD", product_type=ProductType.SPOT, base_currency="BTC", quote_currency="USD",
    base_increment=Decimal("0.00000001"), price_increment=Decimal("0.01"), base_min_size=Decimal("0.00000001"),
    base_max_size=Decimal(3400), quote_min_size=Decimal(1),
)
# A frame as it arrives: six level changes around the touch of a book of 200 levels on each side.
SNAPSHOT = BookChanged(
    ts_ns=0, product_id="BTC-USD", is_snapshot=True,
    bids=tuple((10_000_000 - i, 50_000 + i) for i in range(200)),
    asks=tuple((10_000_001 + i, 50_000 + i) for i in range(200)),
)
FRAMES = tuple(
    BookChanged(
        ts_ns=n, product_id="BTC-USD", is_snapshot=False,
        bids=tuple((10_000_000 - (n + i) % 40, (n * 7 + i) % 5 * 10_000) for i in range(3)),
        asks=tuple((10_000_001 + (n + i) % 40, (n * 5 + i) % 5 * 10_000) for i in range(3)),
    )
    for n in range(1_000)
)
DEPTH = Depth(Decimal(50_000), Decimal(200_000))


def apply_frames() -> None:
    """Apply a thousand frames to a fresh book."""
    book = OrderBook(PRODUCT)
    book.apply(SNAPSHOT)
    for frame in FRAMES:
        book.apply(frame)


def read_depth() -> None:
    """Read spread and depth of ten levels, both sides, a hundred times."""
    book = OrderBook(PRODUCT)
    book.apply(SNAPSHOT)
    for _ in range(100):
        book.spread_bps()
        book.depth(Side.BUY, 10)
        book.depth(Side.SELL, 10)


def size_orders() -> None:
    """Size the golden vector a thousand times."""
    for _ in range(1_000):
        size_order(Decimal(100_000), DEPTH, Decimal(10), SizingMode.CONSERVATIVE)


def encode_events() -> None:
    """Encode and decode a thousand events in canonical form."""
    for frame in FRAMES:
        decode(encode(frame))


CASES: tuple[tuple[str, Callable[[], None], int], ...] = (
    ("book frame applied", apply_frames, len(FRAMES)),
    ("spread and depth read", read_depth, 100),
    ("order sized", size_orders, 1_000),
    ("event encoded and decoded", encode_events, len(FRAMES)),
)


def bare_loop() -> None:
    """Do nothing, many times."""
    for _ in range(BARE_CALLS):
        pass


def seconds_each(case: Callable[[], None], calls: int) -> float:
    """Return the median real seconds of one call over the rounds."""
    clock, taken = SystemClock(), []
    for _ in range(ROUNDS):
        started_ns = clock.stopwatch_ns()
        case()
        taken.append((clock.stopwatch_ns() - started_ns) / NS / calls)
    return median(taken)


def main() -> None:
    """Print one line for each case."""
    bare_s = seconds_each(bare_loop, BARE_CALLS)
    table = Table("case", "µs each", "per second", "bare loops each")
    for name, case, calls in CASES:
        each_s = seconds_each(case, calls)
        table.add_row(name, f"{each_s * 1e6:.2f}", f"{1 / each_s:,.0f}", f"{each_s / bare_s:,.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
