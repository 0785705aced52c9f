"""The emergency ladder: cancel by the venue's list, close with reducing orders, verify at the venue."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

import msgspec

from trading_core.clock import NS, Clock
from trading_core.desk import reducing_ioc
from trading_core.errors import VenueError, VenueUnavailable
from trading_core.money import ZERO, Bps, Price, Size, plain
from trading_core.orders import Purpose, Side
from trading_core.ports import Broker
from trading_core.products import Product
from trading_core.risk import approve_emergency
from trading_core.snapshots import holdings_of

ROUNDS_MAX = 10  # tries before the ladder gives up and says what is left
BETWEEN_ROUNDS_NS = 2 * NS
CANCELS_PER_CALL = 100  # the venue's limit


class FlatReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the venue said in the end, and what was done on the way."""

    is_flat: bool
    open_orders: int
    left: dict[str, Decimal]  # product id → position that remains, dust included; nothing if it was never read
    rounds: int
    failures: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """Return the report as one sentence for people; what could not be read is not called empty."""
        why = f"; last failure: {self.failures[-1]}" if self.failures and not self.is_flat else ""
        if self.open_orders < 0:
            return f"could NOT verify flat: the venue's orders could not be read in {self.rounds} rounds{why}"
        left = ", ".join(f"{plain(size)} {product}" for product, size in self.left.items() if size) or "nothing"
        head = "flat at the venue" if self.is_flat else "NOT FLAT at the venue"
        return f"{head}: {self.open_orders} open orders, {left} left after {self.rounds} rounds{why}"


def flatten(
    broker: Broker,
    clock: Clock,
    products: dict[str, Product],
    opening_positions: dict[str, Size],
    *,
    collar_bps: Bps,
    order_prefix: str,
) -> FlatReport:
    """Cancel every open order and close every position of the products; never raises for a venue that fails.

    May be called again and by two at once: each round asks the venue anew, and what a round closed too much, the
    next one takes back.
    """
    ladder = _Ladder(broker, clock, products, opening_positions, collar_bps, order_prefix)
    for round_no in range(1, ROUNDS_MAX + 1):
        if ladder.climb(round_no):
            return ladder.report(round_no, is_flat=True)
        clock.wait_until(clock.now_ns() + int(BETWEEN_ROUNDS_NS * clock.speed))
    return ladder.report(ROUNDS_MAX, is_flat=False)


class _Ladder:
    """One rung after the other, each tried whatever became of the ones before."""

    def __init__(
        self, broker: Broker, clock: Clock, products: dict[str, Product], opening_positions: dict[str, Size],
        collar_bps: Bps, order_prefix: str,
    ) -> None:
        self._broker = broker
        self._clock = clock
        self._products = products
        self._opening_positions = opening_positions
        self._collar_bps = collar_bps
        self._order_prefix = order_prefix
        self._failures: list[str] = []
        self._open_orders = -1  # unknown
        self._left: dict[str, Size] = {}  # unknown

    def climb(self, round_no: int) -> bool:
        """Cancel, read, close; tell whether the venue says that nothing is left."""
        with self._noting():
            self._cancel_all()
        is_flat = False
        with self._noting():
            account = self._broker.account()
            holdings = holdings_of(self._products, account)
            self._left = {p: size - self._opening_positions.get(p, ZERO) for p, size in holdings.items()}
            self._open_orders = account.open_orders
            is_flat = account.open_orders == 0
            # Closed is only what was read in this round: an old figure would close twice.
            for product_id in [p for p, size in self._left.items() if size]:
                is_flat = self._is_closed(product_id, round_no) and is_flat
        return is_flat

    def report(self, rounds: int, *, is_flat: bool) -> FlatReport:
        """Return what the venue said last."""
        return FlatReport(
            is_flat=is_flat, open_orders=self._open_orders, left=self._left, rounds=rounds,
            failures=tuple(self._failures),
        )

    def _cancel_all(self) -> None:
        ids = [order.order_id for order in self._broker.open_orders()]
        for start in range(0, len(ids), CANCELS_PER_CALL):
            self._broker.cancel(ids[start : start + CANCELS_PER_CALL])

    def _is_closed(self, product_id: str, round_no: int) -> bool:
        """Send a reducing order unless only dust is left; tell whether it was."""
        product, position = self._products[product_id], self._left[product_id]
        with self._noting():
            mark = _mark(self._broker, product)
            if _is_dust(product, position, mark):
                return True
            side = Side.SELL if position > 0 else Side.BUY
            intent = reducing_ioc(product, side, abs(position), mark, self._collar_bps, Purpose.EMERGENCY)
            client_order_id = f"{self._order_prefix}-e-{product_id}-{round_no}-{self._clock.now_ns() // NS}"
            self._broker.submit(approve_emergency(intent, position, client_order_id))
        return False

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Note a failure of the venue and go on: one rung that breaks must not keep the others from being tried."""
        try:
            yield
        except VenueError as e:
            self._failures.append(f"{type(e).__name__}: {e}"[:300])


def _mark(broker: Broker, product: Product) -> Price:
    book = broker.book(product.product_id, 1)
    if not book.bids or not book.asks:
        raise VenueUnavailable(f"the book of {product.product_id} is empty: a price to leave at is missing")
    return (book.bids[0][0] + book.asks[0][0]) * product.price_increment / 2


def _is_dust(product: Product, position: Size, mark: Price) -> bool:
    size = abs(position)
    return size < product.base_min_size or product.notional(size, mark) < product.quote_min_size
