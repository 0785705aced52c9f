"""The desk: how big an order becomes, what counts as exposure, and what is refused for which reason."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.core_builders import make_product
from tests.desk_builders import BTC, Market, make_exit, make_intent, make_plan
from trading_core.commands import CancelOrder, Decisions, SubmitOrder
from trading_core.events import (
    AnyEvent,
    OrderDenied,
    OrderLost,
    OrderSubmitted,
    SignalRaised,
    SizedDown,
    StreamChanged,
    StreamState,
)
from trading_core.order_manager import TrackedOrder
from trading_core.orders import OrderIntent, OrderStatus, Purpose, Side, TimeInForce
from trading_core.risk import Denial, DenialReason
from trading_core.trading_state import TradingState

ROOMY = make_plan(
    products=[{"product_id": "BTC-USD", "max_size": "100", "max_notional": "9000000", "because": "test"}],
    risk={"aggregate_notional_max": "9000000", "leverage_max": "900"},
)
THIN_LOTS = 1_000_000  # 0.01 BTC, $500 a level


def place(market: Market, intent: OrderIntent) -> tuple[TrackedOrder | Denial, list[AnyEvent]]:
    """Place an order and return the answer with what was recorded."""
    market.desk.decisions = Decisions()
    answer = market.desk.place(intent, "test")
    return answer, market.desk.decisions.records


def refused(market: Market, intent: OrderIntent) -> DenialReason:
    answer, records = place(market, intent)
    assert isinstance(answer, Denial), answer
    assert isinstance(records[-1], OrderDenied)
    assert market.desk.decisions.commands == []
    return answer.reason


def sized_down(records: list[AnyEvent]) -> list[SizedDown]:
    return [r for r in records if isinstance(r, SizedDown)]


def test_an_order_leaves_a_signal_a_submission_and_a_command_in_this_order() -> None:
    market = Market()
    answer, records = place(market, make_intent())
    assert isinstance(answer, TrackedOrder)
    assert [type(r) for r in records] == [SignalRaised, OrderSubmitted]
    (command,) = market.desk.decisions.commands
    assert isinstance(command, SubmitOrder)
    assert (command.order.client_order_id, command.order.intent) == ("run-00001", make_intent())
    assert answer.signal_id == "run-s00001"


def test_client_order_ids_count_orders_that_left_and_no_denied_ones() -> None:
    market = Market()
    refused(market, make_intent(time_in_force=TimeInForce.GTD))
    assert market.place().client_order_id == "run-00001"
    assert market.place(make_intent(price="48000", size="0.001")).client_order_id == "run-00002"


def test_nothing_is_recorded_as_sized_down_when_nothing_limited() -> None:
    market = Market(ROOMY)
    _, records = place(market, make_intent("0.01"))
    assert sized_down(records) == []


def test_the_impact_limit_makes_an_order_smaller_and_says_by_how_much() -> None:
    market = Market(ROOMY)
    market.book(lots=THIN_LOTS)
    answer, records = place(market, make_intent("1"))
    (event,) = sized_down(records)
    assert isinstance(answer, TrackedOrder)
    assert (event.limit_name, event.original_size) == ("impact_bps_max", Decimal(1))
    assert answer.intent.size == event.adjusted_size < 1
    # L1 + ((10 − 5) / 20)² · (L10 − L1) of the specification's model
    expected = event.depth_l1 + Decimal("0.0625") * (event.depth_l10 - event.depth_l1)
    assert 0 <= expected - event.adjusted_notional < BTC.base_increment * 50001
    assert event.model_impact_bps <= 10


@pytest.mark.parametrize(("mode", "is_sent"), [("STRICT", False), ("CONSERVATIVE", True), ("AGGRESSIVE", True)])
def test_strict_refuses_what_conservative_makes_smaller(mode: str, is_sent: bool) -> None:
    plan = make_plan(
        products=[{"product_id": "BTC-USD", "max_size": "100", "max_notional": "9000000", "because": "test"}],
        risk={"aggregate_notional_max": "9000000", "leverage_max": "900"}, sizing={"mode": mode},
    )
    market = Market(plan)
    market.book(lots=THIN_LOTS)
    answer, records = place(market, make_intent("1"))
    assert isinstance(answer, TrackedOrder) is is_sent
    assert len(sized_down(records)) == 1
    if not is_sent:
        assert isinstance(answer, Denial)
        assert answer.reason is DenialReason.INSUFFICIENT_DEPTH
        assert sized_down(records)[0].adjusted_size == 0


def test_aggressive_goes_to_twice_the_limit() -> None:
    sizes = {}
    for mode in ("CONSERVATIVE", "AGGRESSIVE"):
        plan = ROOMY.model_copy(update={"sizing": make_plan(sizing={"mode": mode}).sizing})
        market = Market(plan)
        market.book(lots=THIN_LOTS)
        _, records = place(market, make_intent("1"))
        (event,) = sized_down(records)
        sizes[mode] = event
    assert sizes["AGGRESSIVE"].adjusted_size > sizes["CONSERVATIVE"].adjusted_size
    assert sizes["AGGRESSIVE"].model_impact_bps <= 20


@pytest.mark.parametrize(
    ("wanted", "price", "sent"), [("0.02", "49000", "0.02"), ("0.03", "49000", "0.02"), ("0.03", "50000", "0.02")]
)
def test_the_products_cap_makes_an_order_smaller(wanted: str, price: str, sent: str) -> None:
    market = Market()
    answer, records = place(market, make_intent(wanted, price))
    assert isinstance(answer, TrackedOrder)
    assert answer.intent.size == Decimal(sent)
    assert [e.limit_name for e in sized_down(records)] == (["product_cap"] if wanted != sent else [])


def test_the_room_left_counts_position_resting_orders_and_fills_that_are_not_booked() -> None:
    market = Market()
    market.buy("0.005")
    market.open(make_intent("0.004", "49500"))
    half = market.open(make_intent("0.006", "49400"))
    market.report(half, OrderStatus.OPEN, "0.003")  # filled, not booked
    answer, records = place(market, make_intent("0.02", "49000"))
    assert isinstance(answer, TrackedOrder)
    assert answer.intent.size == Decimal("0.005")
    assert len(sized_down(records)) == 1
    assert refused(market, make_intent("0.001", "48000")) is DenialReason.MAX_SIZE


def test_the_caps_hold_at_the_edge_whatever_comes() -> None:
    market = Market()
    for number in range(6):
        place(market, make_intent("0.007", str(49000 - number)))
        resting = sum((o.leaves for o in market.desk.orders.live()), Decimal(0))
        assert resting <= Decimal("0.02")
    assert resting == Decimal("0.02")


def test_the_aggregate_is_over_all_products_and_counts_unbooked_fills() -> None:
    eth = make_product("ETH-USD")
    plan = make_plan(
        products=[
            {"product_id": name, "max_size": "1", "max_notional": "1000", "because": "test"}
            for name in ("BTC-USD", "ETH-USD")
        ],
        risk={"aggregate_notional_max": "1000"},
    )
    market = Market(plan, products=(BTC, eth))
    filled = market.open(make_intent("0.01"))
    market.report(filled, OrderStatus.FILLED, "0.01")
    assert market.desk.exposure() == 500
    assert refused(market, make_intent("0.01000001", product_id="ETH-USD")) is DenialReason.AGGREGATE_NOTIONAL
    market.book_fill(filled, "0.01")
    market.book(product_id="ETH-USD")
    assert market.desk.exposure() == Decimal("500.005")  # at the mark
    answer, _ = place(market, make_intent("0.0099999", product_id="ETH-USD"))
    assert isinstance(answer, TrackedOrder)


def test_an_unknown_outcome_counts_in_full_and_blocks_its_symbol() -> None:
    market = Market()
    order = market.place(make_intent("0.01"))
    market.feed(OrderLost(ts_ns=market.now_ns, client_order_id=order.client_order_id, cause="no answer"))
    assert market.desk.exposure() == 500
    assert refused(market, make_intent("0.001", "48000")) is DenialReason.OUTCOME_UNRESOLVED


def test_the_same_entry_twice_is_a_duplicate_and_another_price_is_not() -> None:
    market = Market()
    market.open(make_intent("0.002", "49000"))
    assert refused(market, make_intent("0.002", "49000")) is DenialReason.DUPLICATE_INTENT
    assert market.place(make_intent("0.002", "49000.01")).status is OrderStatus.SUBMITTED


def test_exits_are_not_made_smaller() -> None:
    market = Market()
    market.buy("0.02")
    market.book(lots=10)
    answer, records = place(market, make_exit("0.02"))
    assert isinstance(answer, TrackedOrder)
    assert answer.intent.size == Decimal("0.02")
    assert sized_down(records) == []


def test_an_exit_that_does_not_reduce_is_refused_and_not_made_smaller() -> None:
    market = Market()
    market.book(lots=10)
    answer, records = place(market, make_exit("0.02"))
    assert isinstance(answer, Denial)
    assert sized_down(records) == []


@pytest.mark.parametrize("purpose", [Purpose.EXIT, Purpose.ENTRY])
def test_a_position_is_sold_once(purpose: Purpose) -> None:
    market = Market(balances={"USD": "10000", "BTC": "3"})
    market.buy("0.01")
    market.open(make_intent("0.01", "51000", Side.SELL, purpose=purpose))
    assert refused(market, make_intent("0.01", "52000", Side.SELL, purpose=purpose)) is DenialReason.NOT_REDUCING


def test_a_position_whose_sale_is_not_booked_yet_is_not_sold_again() -> None:
    market = Market(balances={"USD": "10000", "BTC": "3"})
    market.buy("0.01")
    sale = market.open(make_exit("0.01"))
    market.report(sale, OrderStatus.FILLED, "0.01")
    assert refused(market, make_exit("0.01")) is DenialReason.NOT_REDUCING
    market.desk.decisions = Decisions()
    market.desk.leave()
    assert (market.desk.decisions.commands, market.desk.decisions.records) == ([], [])
    assert not market.desk.is_flat()
    market.book_fill(sale, "0.01")
    assert market.desk.is_flat()


@pytest.mark.parametrize(("size", "is_dust"), [("0.00001999", True), ("0.00002", False), ("0", True)])
def test_dust_is_what_the_venue_lets_nobody_sell(size: str, is_dust: bool) -> None:
    market = Market()
    if Decimal(size):
        market.buy("0.0001")
        sale = market.open(make_exit(str(Decimal("0.0001") - Decimal(size))))
        market.fill(sale)
        market.book(bid=4_999_950)  # the middle is 50,000
    assert market.desk.position("BTC-USD") == Decimal(size)
    assert market.desk.is_dust("BTC-USD") is is_dust


def test_a_position_is_no_dust_because_its_book_is_gone() -> None:
    market = Market()
    market.buy("0.01")
    market.feed(StreamChanged(ts_ns=market.now_ns, state=StreamState.GAP))
    assert market.desk.mark("BTC-USD") is None
    assert not market.desk.is_dust("BTC-USD")
    assert not market.desk.is_flat()
    assert market.desk.exposure() > 499


def test_coins_that_were_there_before_are_not_our_position() -> None:
    market = Market(balances={"USD": "10000", "BTC": "3"})
    assert market.desk.position("BTC-USD") == 0
    assert market.desk.is_flat()
    assert refused(market, make_exit("0.01")) is DenialReason.NOT_REDUCING
    market.book(bid=6_000_000)
    market.tick()
    assert market.desk.pnl() == 0


@pytest.mark.parametrize("state", [TradingState.REDUCE_ONLY, TradingState.HALTED])
def test_the_state_is_the_reason_even_when_no_room_is_left(state: TradingState) -> None:
    market = Market()
    market.buy("0.02")
    market.state(state)
    assert refused(market, make_intent("0.01", "49000")) is DenialReason(state.value)


def test_leaving_cancels_first_and_closes_what_is_left_after() -> None:
    market = Market()
    market.buy("0.01")
    resting = market.open(make_intent("0.001", "49000"))
    market.desk.decisions = Decisions()
    market.desk.leave()
    assert [type(c) for c in market.desk.decisions.commands] == [CancelOrder]
    market.report(resting, OrderStatus.CANCELLED)
    market.desk.decisions = Decisions()
    market.desk.leave()
    (command,) = market.desk.decisions.commands
    assert isinstance(command, SubmitOrder)
    sent = command.order.intent
    assert (sent.side, sent.size, sent.reduce_only, sent.time_in_force) == (
        Side.SELL, Decimal("0.01"), True, TimeInForce.IOC
    )
    assert sent.limit_price == Decimal("49500.50")  # 100 bps below 50,000.50, rounded to the passive side


def test_only_an_open_order_is_asked_to_end_and_only_once() -> None:
    market = Market()
    unanswered = market.place(make_intent("0.001", "48000"))
    order = market.open(make_intent("0.001", "49000"))
    market.desk.decisions = Decisions()
    for _ in range(2):
        market.desk.cancel(order, "protocol")
        market.desk.cancel(unanswered, "protocol")
    assert market.desk.decisions.commands == [CancelOrder(order.client_order_id, order.order_id)]


def test_a_tightening_holds_at_once_and_never_loosens() -> None:
    market = Market()
    market.desk.tighten(TradingState.HALTED, "test")
    market.desk.tighten(TradingState.REDUCE_ONLY, "test")
    assert market.desk.state is TradingState.HALTED
    assert refused(market, make_intent()) is DenialReason.HALTED


@pytest.mark.parametrize(
    ("interval_s", "second", "is_quiet"),
    [(3600, 1799, False), (3600, 1800, False), (3600, 1801, True), (3600, 3599, True), (None, 0, False)],
)
def test_no_entry_in_the_quiet_time_before_funding(interval_s: int | None, second: int, is_quiet: bool) -> None:
    market = Market(products=(make_product(funding_interval_s=interval_s),))
    market.now_ns += second * 1_000_000_000
    market.tick(0)
    answer, _ = place(market, make_intent())
    assert (isinstance(answer, Denial) and answer.reason is DenialReason.PRE_FUNDING_QUIET) is is_quiet


def test_orders_a_minute_are_counted_over_the_last_sixty_seconds() -> None:
    market = Market(make_plan(risk={"orders_per_minute_max": 2}))
    for number in range(2):
        market.open(make_intent("0.001", str(49000 - number)))
        market.tick(1)
    assert refused(market, make_intent("0.001", "48000")) is DenialReason.ORDERS_PER_MINUTE
    market.tick(57)
    assert refused(market, make_intent("0.001", "48000")) is DenialReason.ORDERS_PER_MINUTE
    market.tick(1)
    assert market.place(make_intent("0.001", "48000")).status is OrderStatus.SUBMITTED
