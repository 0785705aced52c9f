"""The engine, one event at a time: what it decides, at which second, and what it refuses to believe."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import pytest

from tests.core_builders import T0_NS, make_change
from tests.desk_builders import Market, make_exit, make_intent, make_plan, make_report
from trading_core.clock import NS
from trading_core.commands import (
    AskOrder,
    CancelOrder,
    Command,
    Decisions,
    FetchFills,
    ReadAccount,
    SaveArtifacts,
    SubmitOrder,
)
from trading_core.desk import Desk
from trading_core.engine import DAY_NS, Engine
from trading_core.events import (
    CancelAnswered,
    CancelRequested,
    FeeTierRead,
    OrderAccepted,
    OrderLost,
    OrderNotFound,
    OrderRejected,
    RunEnding,
    SnapshotTaken,
    StreamChanged,
    StreamState,
    SubmitWithheld,
)
from trading_core.inquiries import ASK_AGAIN_AFTER_S, ASK_LIVE_EVERY_S, CANCEL_AGAIN_AFTER_S
from trading_core.order_manager import TrackedOrder
from trading_core.orders import OrderStatus, Side
from trading_core.risk import Denial, DenialReason
from trading_core.script import Script, Until
from trading_core.snapshots import SNAPSHOT_REREADS_MAX
from trading_core.trading_state import TradingState

# A market whose timers fire when a test says so, not by themselves.
QUIET = make_plan(protocol={"snapshot_every_s": 100_000, "save_every_s": 100_000})


def commands(decisions: Decisions, kind: type[Command] | None = None) -> list[Command]:
    return [c for c in decisions.commands if kind is None or isinstance(c, kind)]


def lose(market: Market, order: TrackedOrder) -> Decisions:
    return market.feed(OrderLost(ts_ns=market.now_ns, client_order_id=order.client_order_id, cause="no answer"))


def reject(market: Market, *, is_expected: bool = False) -> Decisions:
    order = market.place(make_intent("0.0001", str(40000 + len(market.desk.orders.orders))))
    return market.feed(
        OrderRejected(
            ts_ns=market.now_ns, client_order_id=order.client_order_id, reason="X", is_expected=is_expected
        )
    )


# ── time ────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(("rested_s", "is_cancelled"), [(29, False), (30, True), (31, True)])
def test_an_order_is_cancelled_when_it_has_rested_thirty_seconds(rested_s: int, is_cancelled: bool) -> None:
    market = Market(QUIET)
    order = market.open()
    decisions = market.tick(rested_s)
    assert commands(decisions, CancelOrder) == ([CancelOrder("run-00001", "v-run-00001")] if is_cancelled else [])
    assert [e.cause for e in decisions.records if isinstance(e, CancelRequested)] == ["auto_cancel"] * is_cancelled
    assert (order.status is OrderStatus.CANCEL_REQUESTED) is is_cancelled


def test_the_thirty_seconds_begin_at_the_acknowledgement() -> None:
    market = Market(QUIET)
    order = market.place(make_intent(price="49000"))
    market.tick(20)
    market.feed(OrderAccepted(
        ts_ns=market.now_ns, client_order_id=order.client_order_id, order_id="v-1", latency_ms=Decimal(1)
    ))
    assert commands(market.tick(29), CancelOrder) == []
    assert len(commands(market.tick(1), CancelOrder)) == 1


def test_a_cancel_is_asked_for_once_and_then_asked_about() -> None:
    market = Market(QUIET)
    order = market.open()
    market.tick(30)
    seen = [type(c) for _ in range(9) for c in market.tick(1).commands]
    assert CancelOrder not in seen
    assert seen.count(AskOrder) == 9 // ASK_AGAIN_AFTER_S
    market.feed(CancelAnswered(ts_ns=market.now_ns, client_order_id=order.client_order_id, is_accepted=False))
    assert len(commands(market.tick(1), CancelOrder)) == 1


def test_a_cancel_without_effect_is_repeated_every_ten_seconds() -> None:
    market = Market(QUIET)
    order = market.open()
    market.tick(30)
    again = [second for second in range(1, 31) if commands(market.tick(1), CancelOrder)]
    assert again == [CANCEL_AGAIN_AFTER_S, 2 * CANCEL_AGAIN_AFTER_S, 3 * CANCEL_AGAIN_AFTER_S]
    market.report(order, OrderStatus.CANCELLED)
    assert commands(market.tick(CANCEL_AGAIN_AFTER_S), CancelOrder) == []


def test_a_resting_order_is_asked_about_now_and_then() -> None:
    market = Market(QUIET)
    market.open(make_intent(price="49000", cancel_after_s=None))
    market.tick(1)
    asked = [bool(commands(market.tick(1), AskOrder)) for _ in range(2 * ASK_LIVE_EVERY_S)]
    assert asked.count(True) == 2


def test_an_unknown_outcome_is_asked_for_at_once_and_again_until_it_is_known() -> None:
    market = Market(QUIET)
    order = market.place()
    assert lose(market, order).commands == [AskOrder("run-00001", "")]
    asked = sum(len(commands(market.tick(1), AskOrder)) for _ in range(6))
    assert asked == 6 // ASK_AGAIN_AFTER_S
    for _ in range(3):
        market.tick(ASK_AGAIN_AFTER_S)
        market.feed(OrderNotFound(ts_ns=market.now_ns, client_order_id=order.client_order_id))
    assert order.status is OrderStatus.REJECTED
    assert all(not commands(market.tick(1), AskOrder) for _ in range(5))


def test_snapshots_and_saves_come_at_their_intervals() -> None:
    market = Market(make_plan(protocol={"snapshot_every_s": 60, "save_every_s": 300}))
    market.tick(0)
    reads, saves = [], []
    for second in range(1, 601):
        decisions = market.tick(1)
        reads += [second] * len(commands(decisions, ReadAccount))
        saves += [second] * len(commands(decisions, SaveArtifacts))
    assert len(reads) == 10
    assert len(saves) == 2
    assert {b - a for a, b in pairwise(reads)} == {60}


def test_time_never_goes_back() -> None:
    market = Market(QUIET)
    market.tick(10)
    market.feed(make_change(0))
    assert market.desk.now_ns == T0_NS + 10 * NS


# ── fills, account, day ─────────────────────────────────────────────────────────────────────────
def test_a_reported_fill_is_fetched_and_booked_once() -> None:
    market = Market(QUIET)
    order = market.open(make_intent("0.01"))
    assert market.report(order, OrderStatus.FILLED, "0.01").commands == [FetchFills("v-run-00001")]
    market.book_fill(order, "0.01", "e1")
    market.book_fill(order, "0.01", "e1")
    assert market.desk.position("BTC-USD") == Decimal("0.01")
    assert market.report(order, OrderStatus.FILLED, "0.01").commands == []


def test_a_fill_that_is_not_booked_is_fetched_again() -> None:
    market = Market(QUIET)
    order = market.open(make_intent("0.01"))
    market.report(order, OrderStatus.FILLED, "0.01")
    market.tick(1)
    assert commands(market.tick(ASK_AGAIN_AFTER_S), AskOrder) == [AskOrder("run-00001", "v-run-00001")]


def test_a_snapshot_is_read_again_while_a_fill_is_on_its_way_and_then_taken_as_it_is() -> None:
    market = Market(QUIET)
    order = market.open(make_intent("0.01"))
    market.report(order, OrderStatus.FILLED, "0.01")
    for _ in range(SNAPSHOT_REREADS_MAX):
        decisions = market.account()
        assert decisions.records == []
        assert decisions.commands == [AskOrder("run-00001", "v-run-00001"), ReadAccount()]
    (snapshot,) = market.account().records
    assert isinstance(snapshot, SnapshotTaken)
    assert not snapshot.is_quiescent


def test_a_drift_with_a_resting_order_may_be_a_fill_that_nobody_reported_yet() -> None:
    market = Market(QUIET)
    market.open(make_intent("0.01"))
    market.balances = {"USD": "9500", "BTC": "0.01"}
    assert ReadAccount() in market.account().commands
    assert market.engine.drift == 0


def test_a_drift_in_quiet_is_taken_at_its_word() -> None:
    market = Market(QUIET)
    market.balances = {"USD": "9998.5"}
    (snapshot,) = market.account().records
    assert isinstance(snapshot, SnapshotTaken)
    assert (snapshot.drift, snapshot.is_quiescent, market.engine.drift) == (Decimal("1.5"), True, Decimal("1.5"))


def test_what_is_held_needs_a_price_before_the_books_open() -> None:
    engine = Engine(Desk(QUIET, Market().desk.products, "run"))
    market = Market(engine=engine, balances={"USD": "1", "BTC": "1"}, products=())
    assert engine.desk.ledger is None
    assert market.account().records == []
    market.book()
    market.account()
    assert engine.desk.ledger is not None


def test_a_new_day_begins_its_own_loss() -> None:
    market = Market(QUIET)
    market.tick()
    market.buy("0.01")
    market.book(bid=4_000_000)
    market.tick(1, with_book=False)
    assert market.desk.day_pnl() == Decimal("-99.995")  # the middle is 40,000.50
    market.now_ns = T0_NS + DAY_NS - NS
    market.tick(0, with_book=False)
    assert market.desk.day_pnl() < -99
    market.now_ns = T0_NS + DAY_NS
    market.tick(0, with_book=False)
    assert market.desk.day_pnl() == 0
    assert market.desk.pnl() < -99


# ── stream and state ────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("state", [StreamState.GAP, StreamState.DISCONNECTED])
def test_a_gap_makes_every_book_unknown_until_a_snapshot(state: StreamState) -> None:
    market = Market(QUIET)
    market.feed(StreamChanged(ts_ns=market.now_ns, state=state))
    assert refused(market) is DenialReason.NO_BOOK
    market.feed(make_change(1))  # a change of a book that is not known
    market.feed(StreamChanged(ts_ns=market.now_ns, state=StreamState.CONNECTED))
    assert refused(market) is DenialReason.NO_BOOK
    market.book()
    assert market.place().status is OrderStatus.SUBMITTED


def test_a_book_whose_stream_is_down_takes_no_order() -> None:
    market = Market(QUIET)
    market.feed(StreamChanged(ts_ns=market.now_ns, state=StreamState.DISCONNECTED))
    market.book()
    assert refused(market) is DenialReason.NO_BOOK


def test_the_user_connection_does_not_touch_the_books_and_orders_are_asked_about_on_its_return() -> None:
    market = Market(QUIET)
    market.open()
    lost = StreamChanged(ts_ns=market.now_ns, state=StreamState.DISCONNECTED, connection="user")
    assert market.feed(lost).commands == []
    assert market.desk.mark("BTC-USD") is not None
    back = market.feed(StreamChanged(ts_ns=market.now_ns, state=StreamState.CONNECTED, connection="user"))
    assert back.commands == [AskOrder("run-00001", "v-run-00001")]


def test_an_order_with_an_unbooked_fill_is_asked_about_once_on_reconnect() -> None:
    market = Market(QUIET)
    order = market.open(make_intent("0.01"))
    market.report(order, OrderStatus.OPEN, "0.005")
    back = market.feed(StreamChanged(ts_ns=market.now_ns, state=StreamState.CONNECTED))
    assert back.commands == [AskOrder("run-00001", "v-run-00001")]


@pytest.mark.parametrize(
    ("state", "cancelled"), [(TradingState.ACTIVE, 0), (TradingState.REDUCE_ONLY, 1), (TradingState.HALTED, 2)]
)
def test_reduce_only_cancels_entries_and_a_halt_cancels_all(state: TradingState, cancelled: int) -> None:
    market = Market(QUIET)
    market.buy("0.01")
    market.open(make_intent("0.001", "49000"))
    market.open(make_intent("0.01", "52000", Side.SELL, reduce_only=True))
    assert len(commands(market.state(state), CancelOrder)) == cancelled


def test_a_withheld_order_is_denied_by_us_and_counts_nowhere() -> None:
    market = Market(QUIET)
    order = market.place()
    market.feed(SubmitWithheld(ts_ns=market.now_ns, client_order_id=order.client_order_id, reason="STATE_HALTED"))
    assert (order.status, market.desk.exposure()) == (OrderStatus.DENIED, 0)


def refused(market: Market) -> DenialReason:
    answer = market.desk.place(make_intent(price="49000"), "test")
    assert isinstance(answer, Denial)
    return answer.reason


# ── protocol and end ────────────────────────────────────────────────────────────────────────────
def test_the_protocol_begins_when_the_books_are_open_and_looks_up_at_answers_not_at_ticks_of_the_market() -> None:
    seen: list[int] = []
    market = Market(QUIET)

    def script() -> Script:
        while True:
            seen.append(desk.now_ns)
            yield Until(lambda: False, desk.now_ns + NS)

    desk = Desk(QUIET, market.desk.products, "run")
    late = Market(engine=Engine(desk, script()))
    assert seen == [T0_NS]
    late.now_ns += 5 * NS
    late.book()
    assert seen == [T0_NS]
    late.tick(0)
    assert seen == [T0_NS, T0_NS + 5 * NS]


def test_at_the_end_the_protocol_stops_and_the_engine_only_leaves() -> None:
    def script() -> Script:
        yield Until(lambda: False, T0_NS + 10**15)

    market = Market(QUIET, script())
    market.buy("0.01")
    resting = market.open(make_intent("0.001", "49000"))
    assert not market.engine.is_finished
    ended = market.feed(RunEnding(ts_ns=market.now_ns, reason="test"))
    assert market.engine.is_finished
    assert commands(ended, CancelOrder) == [CancelOrder(resting.client_order_id, resting.order_id)]
    market.report(resting, OrderStatus.CANCELLED)
    market.state(TradingState.REDUCE_ONLY)
    (submit,) = commands(market.tick(), SubmitOrder)
    assert isinstance(submit, SubmitOrder)
    assert (submit.order.intent.side, submit.order.intent.reduce_only) == (Side.SELL, True)
    assert commands(market.tick(), SubmitOrder) == []
    exit_order = market.desk.orders.orders[submit.order.client_order_id]
    market.feed(make_report(exit_order, OrderStatus.FILLED, "0.01"))
    market.book_fill(exit_order, "0.01")
    assert market.desk.is_flat()
    assert commands(market.tick(), SubmitOrder) == []


def test_an_exit_that_found_no_taker_is_sent_again_at_the_end() -> None:
    market = Market(QUIET)
    market.buy("0.01")
    ended = market.feed(RunEnding(ts_ns=market.now_ns, reason="test"))
    (first,) = commands(ended, SubmitOrder)
    assert isinstance(first, SubmitOrder)
    market.feed(make_report(market.desk.orders.orders[first.order.client_order_id], OrderStatus.CANCELLED))
    (second,) = commands(market.tick(), SubmitOrder)
    assert isinstance(second, SubmitOrder)
    assert second.order.client_order_id != first.order.client_order_id


def test_the_fee_tier_is_kept_and_foreign_products_are_ignored() -> None:
    market = Market(QUIET)
    tier = FeeTierRead(ts_ns=T0_NS, tier="Intro 1", maker_rate=Decimal("0.006"), taker_rate=Decimal("0.012"))
    assert market.feed(tier).commands == []
    assert market.engine.fees is tier
    assert market.feed(make_change(product_id="DOGE-USD")).commands == []
    assert set(market.desk.books) == {"BTC-USD"}


def test_exits_pass_in_reduce_only() -> None:
    market = Market(QUIET)
    market.buy("0.01")
    market.state(TradingState.REDUCE_ONLY)
    assert market.place(make_exit("0.01")).status is OrderStatus.SUBMITTED
