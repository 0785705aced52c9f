"""Edits of resting orders: what may be asked for, what counts until the venue shows it, and what a refusal means."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tests.desk_builders import Market, make_guardrails, make_intent, make_plan
from trading_core.commands import AskOrder, EditOrder
from trading_core.events import (
    CancelRequested,
    EditAnswered,
    EditLost,
    EditRequested,
    GuardrailTripped,
    OrderReplaced,
    OrderReported,
    SessionResumed,
)
from trading_core.order_manager import ASKS_APART_NS, ASKS_UNTIL_UNCHANGED, TrackedOrder
from trading_core.orders import OrderIntent, OrderStatus, OrderType, Purpose, Side, TimeInForce, VenueOrder
from trading_core.risk import Denial, DenialReason

OPEN = OrderStatus.OPEN


class Quote:
    """A bid for 0.01 BTC at 49,000 that rests, and a venue that says what the test wants it to say."""

    def __init__(self, intent: OrderIntent | None = None, **sections: Any) -> None:
        self.market = Market(make_plan(**sections))
        self.order = self.market.open(intent)

    def requote(self, price: str = "49500", size: str = "0.01", **changes: Any) -> list[EditOrder]:
        """Ask for another price, and return the edits that leave."""
        self.market.tick(1)
        intent = msgspec.structs.replace(make_intent(size, price), **changes)
        self.market.desk.waiting.requote(self.market.desk, self.order, intent, "test")
        return [c for c in self.market.desk.decisions.commands if isinstance(c, EditOrder)]

    def answer(self, *, is_accepted: bool = True, reason: str = "", is_expected: bool = True) -> None:
        """Let the venue answer the edit."""
        self.market.feed(EditAnswered(
            ts_ns=self.market.now_ns, client_order_id=self.order.client_order_id, is_accepted=is_accepted,
            reason=reason, is_expected=is_expected,
        ))

    def lose(self) -> None:
        """Let the answer be lost."""
        self.market.feed(EditLost(
            ts_ns=self.market.now_ns, client_order_id=self.order.client_order_id, cause="no answer"
        ))

    def show(
        self, price: str, size: str = "0.01", *, filled: str = "0", status: OrderStatus = OPEN,
        is_answer: bool = True, is_edit_pending: bool = False, after_ns: int = ASKS_APART_NS,
    ) -> None:
        """Let the venue show the order, a second after it did so last."""
        self.market.now_ns += after_ns
        self.market.feed(OrderReported(ts_ns=self.market.now_ns, is_answer=is_answer, order=VenueOrder(
            order_id=self.order.order_id, client_order_id=self.order.client_order_id, product_id="BTC-USD",
            side=Side.BUY, status=status, filled_size=Decimal(filled), size=Decimal(size),
            limit_price=Decimal(price), is_edit_pending=is_edit_pending,
        )))

    @property
    def records(self) -> list[object]:
        """Return what the last event led to."""
        return list(self.market.desk.decisions.records)


def replaced(quote: Quote) -> bool:
    """Tell whether the order makes way for another one instead of being edited."""
    names = {type(record) for record in quote.records}
    assert not {OrderReplaced, EditRequested} <= names
    return {OrderReplaced, CancelRequested} <= names


def price_of(order: TrackedOrder) -> str:
    return str(order.intent.limit_price)


# ── asking ──────────────────────────────────────────────────────────────────────────────────────
def test_a_requote_is_one_edit_of_the_same_order() -> None:
    quote = Quote()
    [edit] = quote.requote("49500", "0.008")
    assert edit.order_id == quote.order.order_id
    assert edit.order.client_order_id == quote.order.client_order_id
    assert (edit.order.intent.limit_price, edit.order.intent.size) == (Decimal(49_500), Decimal("0.008"))
    [asked] = [r for r in quote.records if isinstance(r, EditRequested)]
    assert (asked.intent, asked.source) == (edit.order.intent, "test")
    assert len(quote.market.desk.orders.live()) == 1
    assert not replaced(quote)


def test_while_an_edit_is_open_no_other_is_asked_for() -> None:
    quote = Quote()
    quote.requote("49500")
    assert quote.market.desk.waiting.is_changing(quote.order)
    quote.market.desk.waiting.requote(quote.market.desk, quote.order, make_intent("0.01", "49600"), "test")
    edits = [c for c in quote.market.desk.decisions.commands if isinstance(c, EditOrder)]
    assert [e.order.intent.limit_price for e in edits] == [Decimal(49_500)]
    assert [type(r) for r in quote.records if isinstance(r, EditRequested | OrderReplaced)] == [
        EditRequested, OrderReplaced
    ]


@pytest.mark.parametrize(("wanted", "filled", "total"), [
    ("0.02", "0", "0.01"), ("0.01", "0", "0.01"), ("0.004", "0", "0.004"),
    ("0.01", "0.003", "0.01"), ("0.004", "0.003", "0.007"),
])
def test_an_edit_never_makes_an_order_larger(wanted: str, filled: str, total: str) -> None:
    quote = Quote()
    quote.show("49000", filled=filled)
    [edit] = quote.requote("49500", wanted)
    assert edit.order.intent.size == Decimal(total)


@pytest.mark.parametrize("changes", [
    {"purpose": Purpose.EXIT, "reduce_only": True}, {"post_only": False}, {"time_in_force": TimeInForce.IOC},
    {"order_type": OrderType.STOP_LIMIT, "stop_price": Decimal(49_400)}, {"cancel_after_s": 10},
])
def test_what_an_edit_cannot_make_of_the_order_replaces_it(changes: dict[str, Any]) -> None:
    quote = Quote()
    assert quote.requote(**changes) == []
    assert replaced(quote)


def test_an_order_with_a_bracket_is_replaced() -> None:
    quote = Quote(policy={"bracket": {"take_profit_bps": "50", "stop_loss_bps": "100"}})
    assert quote.order.intent.attached is not None
    assert quote.requote() == []
    assert replaced(quote)


def test_a_stop_is_replaced() -> None:
    stop = make_intent("0.01", "51020", order_type=OrderType.STOP_LIMIT, stop_price="51000", post_only=False)
    quote = Quote(stop, policy={"is_entry_post_only": False}, risk={"price_collar_bps": "500"})
    assert quote.requote("51500", order_type=OrderType.STOP_LIMIT, stop_price=Decimal(51_000), post_only=False) == []
    assert replaced(quote)


# ── the rules of risk ───────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(("price", "is_edited"), [("50000", True), ("50100", False)])
def test_the_rest_is_reviewed_without_the_order_itself(price: str, is_edited: bool) -> None:
    """The product takes $500: one quote of 0.01 BTC fits, two would not."""
    quote = Quote(products=[
        {"product_id": "BTC-USD", "max_size": "0.01", "max_notional": "500", "because": "small"}])
    assert bool(quote.requote(price)) is is_edited
    assert replaced(quote) is not is_edited


def test_an_edit_counts_as_an_order_of_the_minute() -> None:
    quote = Quote(risk={"orders_per_minute_max": 2})
    assert len(quote.requote("49500")) == 1
    quote.answer()
    quote.show("49500")
    assert quote.requote("49600") == []
    assert replaced(quote)


def test_a_quote_that_no_rule_lets_leave_is_cancelled_not_edited() -> None:
    quote = Quote()
    quote.market.now_ns += 11 * ASKS_APART_NS  # the book is older than stale_after_s
    quote.market.desk.now_ns = quote.market.now_ns
    quote.market.desk.waiting.requote(quote.market.desk, quote.order, make_intent("0.01", "49500"), "test")
    assert replaced(quote)


# ── until the venue shows it ────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(("price", "worst"), [("49500", "49500"), ("48000", "49000")])
def test_the_worse_of_both_prices_counts_until_the_venue_shows_one(price: str, worst: str) -> None:
    quote = Quote()
    quote.requote(price, "0.008")
    assert quote.market.desk.exposure() == Decimal("0.01") * Decimal(worst)
    quote.answer()
    assert quote.market.desk.exposure() == Decimal("0.01") * Decimal(worst)
    quote.show(price, "0.008")
    assert quote.market.desk.exposure() == Decimal("0.008") * Decimal(price)
    assert quote.order.edit is None


def test_an_accepted_edit_is_asked_about_until_it_shows() -> None:
    quote = Quote()
    quote.requote()
    quote.answer()
    asked = [c for _ in range(6) for c in quote.market.tick(1).commands if isinstance(c, AskOrder)]
    assert len(asked) == 3
    quote.show("49500")
    assert [c for _ in range(6) for c in quote.market.tick(1).commands if isinstance(c, AskOrder)] == []


def test_a_queued_edit_is_waited_for() -> None:
    quote = Quote()
    quote.requote()
    quote.answer()
    for _ in range(3 * ASKS_UNTIL_UNCHANGED):
        quote.show("49000", is_edit_pending=True)
    assert quote.order.edit is not None
    assert not quote.order.is_unclear
    quote.show("49500")
    assert price_of(quote.order) == "49500"


def test_the_user_channel_settles_an_edit_that_took_place_and_not_one_that_did_not() -> None:
    quote = Quote()
    quote.requote()
    quote.answer()
    for _ in range(3 * ASKS_UNTIL_UNCHANGED):
        quote.show("49000", is_answer=False)  # such a message may be older than the edit
    assert quote.order.edit is not None
    quote.show("49500", is_answer=False)
    assert (quote.order.edit, price_of(quote.order)) == (None, "49500")
    quote.show("49000", is_answer=False)
    assert price_of(quote.order) == "49500"


@pytest.mark.parametrize(("apart_ns", "is_settled"), [(ASKS_APART_NS - 1, False), (ASKS_APART_NS, True)])
def test_an_edit_is_void_after_three_answers_that_show_the_order_unchanged(apart_ns: int, is_settled: bool) -> None:
    quote = Quote()
    quote.requote()
    quote.lose()
    quote.show("49000")
    assert quote.order.is_unclear
    for _ in range(ASKS_UNTIL_UNCHANGED - 1):
        quote.show("49000", after_ns=apart_ns)
    assert (quote.order.edit is None) is is_settled
    assert quote.order.is_unclear is not is_settled


def test_an_edit_that_was_believed_void_and_shows_after_all_counts() -> None:
    quote = Quote()
    quote.requote("49500")
    quote.lose()
    for _ in range(ASKS_UNTIL_UNCHANGED):
        quote.show("49000")
    assert quote.order.edit is None
    assert len(quote.requote("49600")) == 1
    quote.show("49500")
    assert (price_of(quote.order), quote.order.edit is not None) == ("49500", True)
    quote.show("49600")
    assert (price_of(quote.order), quote.order.edit) == ("49600", None)


def test_figures_that_are_neither_leave_the_question_open() -> None:
    quote = Quote()
    quote.requote("49500")
    quote.answer()
    for _ in range(5 * ASKS_UNTIL_UNCHANGED):
        quote.show("49250")
    assert quote.order.is_unclear
    assert quote.market.desk.exposure() == Decimal("0.01") * Decimal(49_500)


def test_an_edited_quote_rests_anew() -> None:
    quote = Quote()
    for price in ("49500", "49600"):
        quote.market.tick(19)
        assert len(quote.requote(price)) == 1
        quote.answer()
        quote.show(price, after_ns=0)
    assert quote.order.status is OPEN
    quote.market.tick(30)
    assert quote.order.status is OrderStatus.CANCEL_REQUESTED


# ── refused and lost ────────────────────────────────────────────────────────────────────────────
def test_a_refused_edit_leaves_the_order_and_the_next_requote_replaces_it() -> None:
    quote = Quote()
    quote.requote()
    quote.answer(is_accepted=False, reason="INVALID_EDITED_PRICE")
    assert (quote.order.edit, price_of(quote.order)) == (None, "49000")
    assert quote.requote() == []
    assert replaced(quote)
    assert quote.market.engine.unexpected_rejections == 0


def test_an_unexpected_refusal_counts_and_ends_edits_of_the_product() -> None:
    quote = Quote(guardrails=make_guardrails(unexpected_rejections="0"))
    quote.requote()
    quote.answer(is_accepted=False, reason="CANNOT_EDIT_FUTURES_ORDER", is_expected=False)
    assert quote.market.engine.unexpected_rejections == 1
    assert [type(r) for r in quote.market.tick(1).records if isinstance(r, GuardrailTripped)] == [GuardrailTripped]
    assert quote.market.desk.orders.uneditable == {"BTC-USD"}


def test_a_refused_edit_that_shows_all_the_same_counts() -> None:
    quote = Quote()
    quote.requote("49500")
    quote.answer(is_accepted=False, reason="EDIT_REQUEST_EQUAL_TO_ORIGINAL_REQUEST")
    quote.show("49500")
    assert price_of(quote.order) == "49500"


def test_while_an_edit_is_unclear_its_symbol_takes_no_entry_and_the_guardrail_sees_it() -> None:
    quote = Quote(guardrails=make_guardrails(unresolved_orders="0"))
    quote.requote()
    answer = quote.market.desk.place(make_intent("0.001", "48000"), "test")
    assert not isinstance(answer, Denial)
    quote.lose()
    denied = quote.market.desk.place(make_intent("0.001", "47000"), "test")
    assert isinstance(denied, Denial)
    assert denied.reason is DenialReason.OUTCOME_UNRESOLVED
    assert any(isinstance(r, GuardrailTripped) for r in quote.market.tick(1).records)


def test_an_unclear_edit_does_not_keep_the_order_from_being_cancelled() -> None:
    quote = Quote()
    quote.requote()
    quote.lose()
    quote.market.desk.cancel_all("test")
    assert quote.order.status is OrderStatus.CANCEL_REQUESTED
    quote.show("49500", status=OrderStatus.CANCELLED, filled="0.002")
    assert (quote.order.edit, quote.order.outstanding) == (None, Decimal("0.002"))


def test_after_a_crash_an_open_edit_is_asked_about_before_anything_else() -> None:
    quote = Quote()
    quote.requote("49500")
    quote.market.feed(SessionResumed(ts_ns=quote.market.now_ns, last_ns=quote.market.now_ns, in_flight=1))
    assert quote.market.engine.inquiries.unconfirmed == {quote.order.client_order_id}
    quote.show("49000")
    assert quote.market.engine.inquiries.unconfirmed
    quote.show("49500")
    assert not quote.market.engine.inquiries.unconfirmed


def test_the_same_entry_is_not_placed_beside_the_edit_that_will_make_it() -> None:
    quote = Quote()
    quote.requote("49500")
    twin = quote.market.desk.place(make_intent("0.01", "49500"), "test")
    assert isinstance(twin, Denial)
    assert twin.reason is DenialReason.DUPLICATE_INTENT
