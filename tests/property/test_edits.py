"""Edits under any order of answers, losses, fills and late deeds: what we count is never less than what rests."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.desk_builders import Market, make_intent, make_plan
from trading_core.clock import NS
from trading_core.events import CancelAnswered, EditAnswered, EditLost, OrderReported
from trading_core.orders import OrderStatus, Side, VenueOrder

SIZE, STEP = Decimal("0.01"), Decimal("0.001")
DEEDS = ("edit", "refuse", "lose", "apply", "answer", "channel", "fill", "book", "cancel", "end", "tick")
deeds = st.lists(st.tuples(st.sampled_from(DEEDS), st.integers(1, 9)), max_size=40)


class Venue:
    """One quote at a venue that takes an edit at once, later or never, and says what it likes about it."""

    def __init__(self) -> None:
        self.market = Market(make_plan(risk={"orders_per_minute_max": 1000}, policy={"auto_cancel_s": 3600}))
        self.order = self.market.open(make_intent("0.01", "49000", cancel_after_s=3600))
        self.price, self.size, self.filled = Decimal(49_000), SIZE, Decimal(0)
        self.queued: list[tuple[Decimal, Decimal]] = []
        self.is_live = True
        self.stale = self._report()  # a message that is still on its way
        self.is_late = False  # it took an edit after it had shown the order unchanged three times

    def _report(self, *, is_answer: bool = False) -> OrderReported:
        status = OrderStatus.OPEN
        if not self.is_live:
            status = OrderStatus.FILLED if self.filled >= self.size else OrderStatus.CANCELLED
        return OrderReported(ts_ns=self.market.now_ns, is_answer=is_answer, order=VenueOrder(
            order_id=self.order.order_id, client_order_id=self.order.client_order_id, product_id="BTC-USD",
            side=Side.BUY, status=status, filled_size=self.filled, size=self.size, limit_price=self.price,
        ))

    def do(self, deed: str, number: int) -> None:
        name, now_ns = self.order.client_order_id, self.market.now_ns
        match deed:
            case "edit" if self.order.edit is None and not self.order.is_edit_refused and self.order.is_cancellable:
                self._ask(number)
            case "refuse" if self.order.edit is not None and self.queued:
                self.queued.pop()
                self.market.feed(EditAnswered(
                    ts_ns=now_ns, client_order_id=name, is_accepted=False, reason="INVALID_EDITED_PRICE"))
            case "lose" if self.order.edit is not None:
                self.market.feed(EditLost(ts_ns=now_ns, client_order_id=name, cause="test"))
            case "apply" if self.queued and self.is_live:
                price, size = self.queued.pop()
                if size > self.filled:
                    self.is_late = self.is_late or self.order.edit is None
                    self.price, self.size = price, size
            case "answer":
                self.market.feed(self._report(is_answer=True))
            case "channel":
                self.market.feed(self.stale)
                self.stale = self._report()
            case "fill" if self.is_live:
                self.filled = min(self.size, self.filled + STEP * number)
                self.is_live = self.filled < self.size
            case "book" if self.order.has_unbooked_fill:
                self.market.book_fill(self.order, str(self.order.unbooked))
            case "cancel":
                self.market.desk.cancel(self.order, "test")
            case "end" if self.order.status is OrderStatus.CANCEL_REQUESTED:
                self.is_live = self.is_live and number > 5
                self.market.feed(CancelAnswered(ts_ns=now_ns, client_order_id=name, is_accepted=not self.is_live))
            case "tick":
                self.market.now_ns += NS * number // 4
                self.market.book()
                self.market.tick(0, with_book=False)

    def _ask(self, number: int) -> None:
        desk = self.market.desk
        intent = make_intent(str(STEP * number), str(49_000 + 10 * number), cancel_after_s=3600)
        desk.waiting.requote(desk, self.order, intent, "test")
        if self.order.edit is not None:
            asked = self.order.edit.intent
            assert asked.limit_price is not None
            assert asked.size <= self.size
            self.queued.append((asked.limit_price, asked.size))


@given(deeds)
@settings(max_examples=300, deadline=None)
def test_what_we_count_is_never_less_than_what_rests(chosen: list[tuple[str, int]]) -> None:
    venue = Venue()
    for deed, number in chosen:
        venue.do(deed, number)
        desk, order = venue.market.desk, venue.order
        ours = desk.position("BTC-USD") + order.outstanding
        assert ours <= SIZE
        if not order.is_final:
            assert ours >= venue.size, "an edit that nobody has seen is counted as if it had taken place"
        if not order.is_final and not venue.is_late:
            assert order.worst_price is not None
            assert order.worst_price >= venue.price


@given(deeds)
@settings(max_examples=150, deadline=None)
def test_whatever_happens_the_venues_figures_are_ours_in_the_end(chosen: list[tuple[str, int]]) -> None:
    venue = Venue()
    for deed, number in chosen:
        venue.do(deed, number)
    for _ in range(4):  # the venue stands still and answers
        venue.queued.clear()
        venue.market.now_ns += NS
        venue.do("answer", 1)
    order = venue.order
    assert order.edit is None
    if not order.is_final:
        assert (order.intent.limit_price, order.intent.size) == (venue.price, venue.size)
    assert order.reported == venue.filled
