"""The trading core: books, sizing, frames, the engine and the event store."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from random import Random

from tests.benchmarks.measure import Case
from tests.desk_builders import make_plan
from tests.sim_rig import ListLog, SimRig
from trading_core.advanced_trade.channels_frames import envelope, level2
from trading_core.advanced_trade.frame_reader import FrameReader
from trading_core.advanced_trade.wire_frames import decode_frame
from trading_core.desk import Desk
from trading_core.engine import Engine
from trading_core.events import AlertRaised, AnyEvent, BookChanged, decode, encode
from trading_core.market import OrderBook
from trading_core.orders import Side
from trading_core.plan import Entry
from trading_core.products import Product, ProductType
from trading_core.protocol import trade
from trading_core.script import Script
from trading_core.sizing import Depth, SizingMode, size_order
from trading_core.storage.event_store import EventStore
from trading_core.strategies.post_only_pulse import PostOnlyPulse

PRODUCTS = tuple(
    Product(
        product_id=f"{coin}-USD", product_type=ProductType.SPOT, base_currency=coin, quote_currency="USD",
        base_increment=Decimal("0.00000001"), price_increment=Decimal("0.01"), base_min_size=Decimal("0.00000001"),
        base_max_size=Decimal(3400), quote_min_size=Decimal(1),
    )
    for coin in ("BTC", "ETH", "SOL", "XRP")
)
PRODUCT = PRODUCTS[0]
# A frame as it arrives: six level changes around the touch of a book of 200 levels on each side.
SNAPSHOT = BookChanged(
    ts_ns=0, product_id="BTC-USD", is_snapshot=True,
    bids=tuple((10_000_000 - i, 50_000 + i) for i in range(200)),
    asks=tuple((10_000_001 + i, 50_000 + i) for i in range(200)),
)
CHANGES = tuple(
    BookChanged(
        ts_ns=n, product_id="BTC-USD", is_snapshot=False,
        bids=tuple((10_000_000 - (n + i) % 40, (n * 7 + i) % 5 * 10_000) for i in range(3)),
        asks=tuple((10_000_001 + (n + i) % 40, (n * 5 + i) % 5 * 10_000) for i in range(3)),
    )
    for n in range(1_000)
)
TOUCHES = tuple(
    BookChanged(
        ts_ns=n, product_id="BTC-USD", is_snapshot=False, bids=((10_000_000, n % 2 * 50_000),), asks=()
    )
    for n in range(100)
)
LEVELS = sum(len(change.bids) + len(change.asks) for change in CHANGES)
# The same changes for each of the four symbols in turn, as one connection carries them.
FRAMES = tuple(
    envelope("l2_data", "2025-05-28T10:00:00Z", n, level2("update", PRODUCTS[n % 4], change), has_client_id=False)
    for n, change in enumerate(CHANGES)
)
DEPTH = Depth(Decimal(50_000), Decimal(200_000))
ALERT = AlertRaised(ts_ns=1, name="drift", severity="ERROR", detail="0.02 above the limit of 0.01")
DURABLE_APPENDS = 200
SESSION_S = 600


def apply_changes() -> None:
    """Apply a thousand changes to a fresh book."""
    book = OrderBook(PRODUCT)
    book.apply(SNAPSHOT)
    for change in CHANGES:
        book.apply(change)


def decode_and_apply() -> None:
    """Decode a thousand level2 frames of four symbols and apply them."""
    reader = FrameReader(PRODUCTS, lambda: 1)
    books = {product.product_id: OrderBook(product) for product in PRODUCTS}
    for book in books.values():
        book.apply(SNAPSHOT)
    for frame in FRAMES:
        for event in reader.events_of(decode_frame(frame)):
            assert isinstance(event, BookChanged)
            books[event.product_id].apply(event)


def read_depth() -> None:
    """Read spread and depth of ten levels, both sides, after each of a hundred changes of the touch."""
    book = OrderBook(PRODUCT)
    book.apply(SNAPSHOT)
    for change in TOUCHES:
        book.apply(change)
        book.spread_bps()
        book.depth(Side.BUY, 10)
        book.depth(Side.SELL, 10)


def size_orders() -> None:
    """Size the golden vector a thousand times."""
    for _ in range(1_000):
        size_order(Decimal(100_000), DEPTH, Decimal(10), SizingMode.CONSERVATIVE)


def encode_events() -> None:
    """Encode and decode a thousand events in canonical form."""
    for change in CHANGES:
        decode(encode(change))


def append_events(count: int, *, is_durable: bool) -> Callable[[], None]:
    """Return a case that appends that many events, each on disk before the next one if durable."""
    def run() -> None:
        with tempfile.TemporaryDirectory() as folder, EventStore.open(Path(folder), "bench", "bench") as store:
            for _ in range(count):
                store.append(ALERT, "record", durable=is_durable)
    return run


def append_ticks() -> None:
    """Append a thousand book changes to the store."""
    with tempfile.TemporaryDirectory() as folder, EventStore.open(Path(folder), "bench", "bench") as store:
        for change in CHANGES:
            store.append_tick(change)


class Recorded:
    """Ten minutes of a session with a strategy that requotes, to be run through fresh engines."""

    def __init__(self) -> None:
        plan = make_plan()
        with tempfile.TemporaryDirectory() as folder:
            self._rig = SimRig(Path(folder), plan=plan)
            session = self._rig.session(self._script)
            with session:
                self._rig.run(session, SESSION_S)
        log: ListLog = self._rig.log
        self.inputs: list[AnyEvent] = log.inputs

    def process(self) -> None:
        """Run every input through an engine."""
        engine = self.engine()
        for event in self.inputs:
            engine.process(event)

    def engine(self) -> Engine:
        """Return a fresh engine for the inputs."""
        desk = Desk(self._rig.plan, self._rig.products, "sim")
        return Engine(desk, self._script(desk))

    def _script(self, desk: Desk) -> Script:
        entry: Entry = self._rig.plan.entry
        return trade(desk, PostOnlyPulse(entry, Random(1)), 2**62)


def cases() -> list[Case]:
    """Return the cases, fastest kinds first."""
    recorded = Recorded()
    return [
        Case("book change applied, 6 levels", apply_changes, len(CHANGES)),
        Case("book level set", apply_changes, LEVELS),
        Case("level2 frame decoded and applied, four symbols", decode_and_apply, len(FRAMES)),
        Case("touch changed, spread and depth read", read_depth, len(TOUCHES)),
        Case("order sized", size_orders, 1_000),
        Case("event encoded and decoded", encode_events, len(CHANGES)),
        Case("event to commands, ticks included", recorded.process, len(recorded.inputs), 5),
        Case("event appended", append_events(5_000, is_durable=False), 5_000, 5),
        Case("event appended durably", append_events(DURABLE_APPENDS, is_durable=True), DURABLE_APPENDS, 3),
        Case("book change appended", append_ticks, len(CHANGES)),
    ]
