"""The emergency ladder: cancel by the venue's list, close with reducing orders, verify at the venue."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from random import Random

import msgspec

from trading_core.clock import NS, Clock
from trading_core.desk import reducing_ioc
from trading_core.errors import RateLimited, VenueError, VenueUnavailable
from trading_core.money import ZERO, Bps, Price, Size, floor_to, plain
from trading_core.orders import OrderIntent, OrderType, Purpose, Side, TimeInForce
from trading_core.ports import Accepted, Broker
from trading_core.products import Product
from trading_core.risk import approve_emergency
from trading_core.snapshots import holdings_of

ROUNDS_MAX = 10  # tries of a session that ends before it gives up and says what is left
BETWEEN_ROUNDS_S = 2  # machine seconds for the venue to act
CANCELS_PER_CALL = 100  # the venue's limit
FAILURES_KEPT = 50  # of a venue that fails for minutes, the first and the last tell enough
DONE_KEPT = 200

log = logging.getLogger(__name__)


class LadderLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How long a ladder is climbed, and when it stops asking for a price. The defaults are those of a session's end."""

    rounds_max: int = ROUNDS_MAX
    within_s: int = 600  # machine seconds
    pause_s_max: int = BETWEEN_ROUNDS_S  # what the pause between rounds grows to while the venue does not answer
    market_after_rounds: int = 4  # rounds of limit orders inside the collar before orders go at market


AT_A_SESSIONS_END = LadderLimits()


class FlatReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the venue said in the end, and what was done on the way."""

    is_flat: bool
    open_orders: int
    left: dict[str, Decimal]  # product id → position that remains, dust included; nothing if it was never read
    rounds: int
    failures: tuple[str, ...]
    done: tuple[str, ...] = ()  # what was asked of the venue, in order
    took_s: Decimal = ZERO

    @property
    def sentence(self) -> str:
        """Return the report as one sentence for people; what could not be read is not called empty."""
        why = f"; last failure: {self.failures[-1]}" if self.failures and not self.is_flat else ""
        if self.open_orders < 0:
            return f"could NOT verify flat: the venue's orders could not be read in {self.rounds} rounds{why}"
        left = ", ".join(f"{plain(size)} {product}" for product, size in self.left.items() if size) or "nothing"
        head = "flat at the venue" if self.is_flat else "NOT FLAT at the venue"
        return f"{head}: {self.open_orders} open orders, {left} left after {self.rounds} rounds{why}"


def _to_log(sentence: str) -> None:
    log.info("emergency_ladder", extra={"said": sentence})


def flatten(
    broker: Broker,
    clock: Clock,
    products: dict[str, Product],
    opening_positions: dict[str, Size],
    *,
    collar_bps: Bps,
    order_prefix: str,
    limits: LadderLimits = AT_A_SESSIONS_END,
    say: Callable[[str], None] = _to_log,
    is_venue_gone: Callable[[], bool] = lambda: False,
) -> FlatReport:
    """Cancel every open order and close every position of the products; never raises for a venue that fails.

    May be called again and by two at once, each with an order prefix of its own: each round asks the venue anew, and
    what a round closed too much, the next one takes back. `say` hears at once what is done and what fails. Where a
    venue can end, as that of a rehearsal, `is_venue_gone` ends the climb.
    """
    ladder = _Ladder(broker, clock, products, opening_positions, collar_bps, order_prefix, limits, say)
    chance = Random(order_prefix)  # two ladders in step would take back each other's orders for ever
    started_ns = clock.stopwatch_ns()
    round_no = silent_rounds = 0
    while True:
        round_no += 1
        if ladder.climb(round_no):
            return ladder.report(round_no, started_ns, is_flat=True)
        is_late = round_no >= limits.rounds_max or clock.stopwatch_ns() - started_ns >= limits.within_s * NS
        if is_late or (ladder.is_venue_silent and is_venue_gone()):
            return ladder.report(round_no, started_ns, is_flat=False)
        silent_rounds = silent_rounds + 1 if ladder.is_venue_silent else 0
        pause_s = min(BETWEEN_ROUNDS_S * 2**silent_rounds, limits.pause_s_max) * Decimal(chance.randint(100, 130)) / 100
        clock.wait_until(clock.now_ns() + int(pause_s * NS * Decimal(str(clock.speed))))


class _Ladder:
    """One rung after the other, each tried whatever became of the ones before."""

    def __init__(
        self, broker: Broker, clock: Clock, products: dict[str, Product], opening_positions: dict[str, Size],
        collar_bps: Bps, order_prefix: str, limits: LadderLimits, say: Callable[[str], None],
    ) -> None:
        self._broker = broker
        self._clock = clock
        self._products = products
        self._opening_positions = opening_positions
        self._collar_bps = collar_bps
        self._order_prefix = order_prefix
        self._limits = limits
        self._say = say
        self._failures: list[str] = []
        self._done: list[str] = []
        self._open_orders = -1  # unknown
        self._left: dict[str, Size] = {}  # unknown
        self.is_venue_silent = False  # in the last round it did not answer, or asked for fewer requests

    def climb(self, round_no: int) -> bool:
        """Cancel, read, close; tell whether the venue says that nothing is left."""
        self.is_venue_silent = False
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

    def report(self, rounds: int, started_ns: int, *, is_flat: bool) -> FlatReport:
        """Return what the venue said last."""
        took_s = Decimal((self._clock.stopwatch_ns() - started_ns) // 1_000_000) / 1000
        return FlatReport(
            is_flat=is_flat, open_orders=self._open_orders, left=self._left, rounds=rounds,
            failures=tuple(self._failures), done=tuple(self._done), took_s=took_s,
        )

    def _cancel_all(self) -> None:
        ids = [order.order_id for order in self._broker.open_orders()]
        for start in range(0, len(ids), CANCELS_PER_CALL):
            some = ids[start : start + CANCELS_PER_CALL]
            accepted = sum(answer.is_accepted for answer in self._broker.cancel(some))
            self._did(f"asked to cancel {len(some)} orders, {accepted} accepted")

    def _is_closed(self, product_id: str, round_no: int) -> bool:
        """Send a reducing order unless only dust is left; tell whether it was."""
        product, position = self._products[product_id], self._left[product_id]
        is_market = round_no > self._limits.market_after_rounds
        mark: Price | None = None
        with self._noting():
            mark = _mark(self._broker, product)
        if _is_dust(product, position, mark):
            return True
        if mark is None and not is_market:
            return False
        side = Side.SELL if position > 0 else Side.BUY
        if mark is None or is_market:
            intent = _at_market(product, side, abs(position))
        else:
            intent = reducing_ioc(product, side, abs(position), mark, self._collar_bps, Purpose.EMERGENCY)
        client_order_id = f"{self._order_prefix}-e-{product_id}-{round_no}-{self._clock.now_ns() // NS}"
        with self._noting():
            answer = self._broker.submit(approve_emergency(intent, position, client_order_id))
            price = "at market" if intent.limit_price is None else f"limit {plain(intent.limit_price)} IOC"
            became = "accepted" if isinstance(answer, Accepted) else f"rejected: {answer.reason}"
            self._did(f"{side} {plain(intent.size)} {product_id} {price}, {became}")
        return False

    def _did(self, sentence: str) -> None:
        if len(self._done) < DONE_KEPT:
            self._done.append(sentence)
        self._say(sentence)

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Note a failure of the venue and go on: one rung that breaks must not keep the others from being tried."""
        try:
            yield
        except VenueError as e:
            self.is_venue_silent = self.is_venue_silent or isinstance(e, VenueUnavailable | RateLimited)
            sentence = f"{type(e).__name__}: {e}"[:300]
            if sentence not in self._failures[-3:]:
                self._say(sentence)
            if len(self._failures) >= FAILURES_KEPT:
                del self._failures[FAILURES_KEPT // 2]
            self._failures.append(sentence)


def _at_market(product: Product, side: Side, size: Size) -> OrderIntent:
    return OrderIntent(
        product_id=product.product_id, side=side, size=floor_to(size, product.base_increment), limit_price=None,
        purpose=Purpose.EMERGENCY, order_type=OrderType.MARKET, time_in_force=TimeInForce.IOC, reduce_only=True,
    )


def _mark(broker: Broker, product: Product) -> Price:
    book = broker.book(product.product_id, 1)
    if not book.bids or not book.asks:
        raise VenueUnavailable(f"the book of {product.product_id} is empty: a price to leave at is missing")
    return (book.bids[0][0] + book.asks[0][0]) * product.price_increment / 2


def _is_dust(product: Product, position: Size, mark: Price | None) -> bool:
    """Tell whether it is too little to be ordered; without a price only the smallest size is known."""
    size = abs(position)
    if size < product.base_min_size:
        return True
    return mark is not None and product.notional(size, mark) < product.quote_min_size
