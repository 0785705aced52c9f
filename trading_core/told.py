"""What the venue tells on the stream beside books and orders: best prices, product status, bars and margin."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, TypeAlias

from trading_core.commands import ReadAccount, Resubscribe
from trading_core.events import BarClosed, BookDoubted, MarginTold, StatusTold, TouchQuoted
from trading_core.margin import utilization_of
from trading_core.market import OrderBook
from trading_core.money import BPS, ZERO, Bps, Price
from trading_core.orders import Side
from trading_core.trading_state import TradingState

if TYPE_CHECKING:
    from trading_core.desk import Desk

TOUCH_EVERY_S = 5  # of one product: a ticker comes with every match, and a look now and then is enough
# Book and ticker travel in batches of their own, so they differ for a moment; a book that is wrong stays wrong.
TOUCH_APART_BPS_MAX = Bps(5)
TOUCH_LOOKS_MAX = 3
ONLINE = frozenset({"online", ""})  # futures have no status of their own: theirs comes empty
BAR_S = 300
BARS_MAX = 2_000  # the longest average that a strategy may ask for

Told: TypeAlias = TouchQuoted | StatusTold | BarClosed | MarginTold


class TouchCheck:
    """Holds each book against the venue's own best prices; sequence numbers cannot tell that it is wrong."""

    def __init__(self) -> None:
        self._apart: Counter[str] = Counter()

    def look(self, book: OrderBook, quoted: TouchQuoted) -> BookDoubted | None:
        """Return why the book is not to be trusted any more, once it was apart at every look of a row."""
        bid, ask = book.best(Side.BUY), book.best(Side.SELL)
        apart = ZERO
        if bid is not None and ask is not None and quoted.bid > 0 and quoted.ask > 0:
            apart = max(abs(bid / quoted.bid - 1), abs(ask / quoted.ask - 1)) * BPS
        if apart <= TOUCH_APART_BPS_MAX:
            self._apart.pop(quoted.product_id, None)
            return None
        self._apart[quoted.product_id] += 1
        if self._apart[quoted.product_id] < TOUCH_LOOKS_MAX:
            return None
        return BookDoubted(
            ts_ns=quoted.ts_ns, product_id=quoted.product_id, apart_bps=apart.quantize(Bps("0.01")),
            looks=self._apart.pop(quoted.product_id),
            detail=f"book {bid} / {ask}, venue {quoted.bid} / {quoted.ask} (limit {TOUCH_APART_BPS_MAX} bps)",
        )


class Bars:
    """The closes of each product's five-minute bars, without a hole: a missing bar forgets those before it."""

    def __init__(self) -> None:
        self._closes: dict[str, deque[Price]] = {}
        self._last_s: dict[str, int] = {}

    def take(self, bar: BarClosed) -> None:
        """Add a bar; one that is known already changes nothing."""
        last_s = self._last_s.get(bar.product_id, bar.start_s - BAR_S)
        if bar.start_s <= last_s:
            return  # a snapshot after a reconnect tells the old ones again
        closes = self._closes.setdefault(bar.product_id, deque(maxlen=BARS_MAX))
        if bar.start_s > last_s + BAR_S:
            closes.clear()
        closes.append(bar.close)
        self._last_s[bar.product_id] = bar.start_s

    def closes(self, product_id: str, now_s: int) -> list[Price]:
        """Return the closes, oldest first; none if a bar that should have come by now is missing."""
        last_s = self._last_s.get(product_id)
        is_current = last_s is not None and now_s < last_s + 3 * BAR_S
        return list(self._closes[product_id]) if is_current else []


def take_told(desk: Desk, event: Told) -> None:
    """Let the desk act on what the venue told."""
    match event:
        case TouchQuoted(product_id=product_id):
            book = desk.books.get(product_id)
            doubt = desk.touches.look(book, event) if book is not None and desk.is_stream_up else None
            if book is not None and doubt is not None:
                book.clear()
                desk.record(doubt)
                desk.decisions.commands.append(Resubscribe(f"the book of {product_id} is wrong: {doubt.detail}"))
        case StatusTold(product_id=product_id, status=status, message=message):
            is_ours = product_id in desk.books and desk.state_of(product_id) is TradingState.ACTIVE
            if is_ours and status not in ONLINE:
                words = f"{status}, {message}" if message else status
                desk.tighten_symbol(product_id, f"the venue says that the product is {words}")
        case BarClosed():
            desk.bars.take(event)
        case MarginTold():
            is_another_level = desk.margin.tell(event)
            desk.margin_utilization = max(
                desk.margin_utilization, utilization_of(event.margin_used, event.margin_available)
            )
            if is_another_level:
                desk.decisions.commands.append(ReadAccount())
