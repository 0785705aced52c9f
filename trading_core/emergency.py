"""The emergency ladder: cancel by the venue's list, close with reducing orders, verify at the venue."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from trading_core.clock import NS, Clock
from trading_core.desk import reducing_ioc
from trading_core.errors import VenueError
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
    left: dict[str, Decimal]  # product id → position that remains, dust included
    rounds: int
    failures: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """Return the report as one sentence for people."""
        left = ", ".join(f"{plain(size)} {product}" for product, size in self.left.items() if size) or "nothing"
        head = "flat at the venue" if self.is_flat else "NOT FLAT at the venue"
        tail = f"; last failure: {self.failures[-1]}" if self.failures and not self.is_flat else ""
        return f"{head}: {self.open_orders} open orders, {left} left after {self.rounds} rounds{tail}"


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

    Idempotent: the client order ids are derived, so that a second call asks for the same orders again.
    """
    failures: list[str] = []
    open_count, left = -1, {product_id: ZERO for product_id in products}
    for round_no in range(1, ROUNDS_MAX + 1):
        try:
            ids = [order.order_id for order in broker.open_orders()]
            for start in range(0, len(ids), CANCELS_PER_CALL):
                broker.cancel(ids[start : start + CANCELS_PER_CALL])
            account = broker.account()
            holdings = holdings_of(products, account)
            left = {p: size - opening_positions.get(p, ZERO) for p, size in holdings.items()}
            open_count = account.open_orders if not ids else len(broker.open_orders())
            marks = {p: _mark(broker, products[p]) for p, size in left.items() if size}
            if open_count == 0 and all(_is_dust(products[p], left[p], mark) for p, mark in marks.items()):
                return FlatReport(
                    is_flat=True, open_orders=0, left=left, rounds=round_no, failures=tuple(failures)
                )
            for product_id, mark in marks.items():
                if not _is_dust(products[product_id], left[product_id], mark):
                    id_ = f"{order_prefix}-e-{product_id}-{round_no}-{clock.now_ns() // NS}"
                    _close(broker, products[product_id], left[product_id], mark, collar_bps, id_)
        except VenueError as e:
            failures.append(f"{type(e).__name__}: {e}"[:300])
        clock.wait_until(clock.now_ns() + int(BETWEEN_ROUNDS_NS * clock.speed))
    return FlatReport(
        is_flat=False, open_orders=open_count, left=left, rounds=ROUNDS_MAX, failures=tuple(failures)
    )


def _close(
    broker: Broker, product: Product, position: Size, mark: Price, collar_bps: Bps, client_order_id: str
) -> None:
    side = Side.SELL if position > 0 else Side.BUY
    intent = reducing_ioc(product, side, abs(position), mark, collar_bps, Purpose.EMERGENCY)
    if intent.size > 0:
        broker.submit(approve_emergency(intent, position, client_order_id))


def _mark(broker: Broker, product: Product) -> Price:
    book = broker.book(product.product_id, 1)
    if not book.bids or not book.asks:
        raise VenueError(f"the book of {product.product_id} is empty: a price to leave at is missing")
    return (book.bids[0][0] + book.asks[0][0]) * product.price_increment / 2


def _is_dust(product: Product, position: Size, mark: Price) -> bool:
    size = abs(position)
    return size < product.base_min_size or product.notional(size, mark) < product.quote_min_size
