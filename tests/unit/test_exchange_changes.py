"""Cancelling, editing and previewing orders at the local exchange."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.exchange_builders import ME, OTHER, START_NS, make_exchange, make_order, place, touch
from trading_core.clock import NS
from trading_core.events import TradePrinted
from trading_core.local_exchange.editing import EditRequest
from trading_core.local_exchange.faults import FaultPlan
from trading_core.local_exchange.model import OrderConfig, WireStatus


def change(price: Decimal, size: Decimal) -> EditRequest:
    return EditRequest(price=price, size=size)


def test_cancel_answers_each_id_with_the_contracts_reason() -> None:
    exchange = make_exchange()
    bid, ask = touch(exchange)
    resting = place(exchange, make_order(1, limit_price=bid - 10)).order_id
    filled = place(exchange, make_order(2, limit_price=ask + 10)).order_id
    foreign = place(exchange, make_order(3, limit_price=bid - 10), OTHER).order_id

    results = exchange.cancel(ME, [resting, resting, filled, foreign, "nonsense"])

    assert [(r.success, r.failure_reason) for r in results] == [
        (True, "UNKNOWN_CANCEL_FAILURE_REASON"),
        (False, "DUPLICATE_CANCEL_REQUEST"),
        (False, "ORDER_IS_FULLY_FILLED"),
        (False, "UNKNOWN_CANCEL_ORDER"),
        (False, "UNKNOWN_CANCEL_ORDER"),
    ]
    assert exchange.open_orders(ME) == []


def test_an_edit_moves_price_and_size_and_what_is_held() -> None:
    exchange = make_exchange()
    bid, _ = touch(exchange)
    order = place(exchange, make_order(limit_price=bid - 10))

    answer = exchange.edit(ME, order.order_id, change(bid - 20, Decimal("0.002")))

    edited = exchange.order(ME, order.order_id)
    assert answer.success
    assert (edited.limit_price, edited.size) == (bid - 20, Decimal("0.002"))
    assert edited.hold == (bid - 20) * Decimal("0.002") * Decimal("1.012")
    assert edited.edits[0].price == bid - 20


def test_a_late_edit_is_queued_then_applied() -> None:
    exchange = make_exchange(faults=FaultPlan(edit_delay_ms=5_000))
    bid, _ = touch(exchange)
    order = place(exchange, make_order(limit_price=bid - 500))
    assert exchange.edit(ME, order.order_id, change(bid - 600, Decimal("0.001"))).success
    queued = exchange.order(ME, order.order_id)
    assert (queued.status, queued.limit_price, queued.edits) == (WireStatus.EDIT_QUEUED, bid - 500, ())
    assert queued.pending_edit is not None
    assert queued.pending_edit.price == bid - 600
    again = exchange.edit(ME, order.order_id, change(bid - 700, Decimal("0.001")))
    assert again.edit_failure_reason == "ORDER_IS_ALREADY_BEING_REPLACED"
    exchange.advance(START_NS + 6 * NS)
    edited = exchange.order(ME, order.order_id)
    assert (edited.status, edited.limit_price, edited.pending_edit) == (WireStatus.OPEN, bid - 600, None)
    assert [e.price for e in edited.edits] == [bid - 600]


def test_a_queued_edit_that_would_take_by_then_lapses() -> None:
    exchange = make_exchange(faults=FaultPlan(edit_delay_ms=600_000))
    bid, _ = touch(exchange)
    order = place(exchange, make_order(limit_price=bid - 2_000, post_only=True))
    assert exchange.edit(ME, order.order_id, change(bid, Decimal("0.001"))).success
    exchange.advance(START_NS + 600 * NS)
    _, ask = touch(exchange)
    lapsed = exchange.order(ME, order.order_id)
    assert ask <= bid, "the market of this seed falls within ten minutes"
    assert (lapsed.status, lapsed.limit_price, lapsed.edits) == (WireStatus.OPEN, bid - 2_000, ())


def test_a_cancel_overtakes_a_queued_edit() -> None:
    exchange = make_exchange(faults=FaultPlan(edit_delay_ms=5_000))
    totals = exchange.value_totals()
    bid, _ = touch(exchange)
    order = place(exchange, make_order(limit_price=bid - 500))
    exchange.edit(ME, order.order_id, change(bid - 600, Decimal("0.001")))
    assert exchange.cancel(ME, [order.order_id])[0].success
    exchange.advance(START_NS + 6 * NS)
    ended = exchange.order(ME, order.order_id)
    assert (ended.status, ended.limit_price, ended.hold) == (WireStatus.CANCELLED, bid - 500, 0)
    assert exchange.value_totals() == totals


def test_a_queued_edit_meets_a_partial_fill_at_the_old_price() -> None:
    exchange = make_exchange(faults=FaultPlan(edit_delay_ms=5_000, edit_meets_fill_share=1.0))
    bid, _ = touch(exchange)
    order = place(exchange, make_order(limit_price=bid - 500))
    exchange.edit(ME, order.order_id, change(bid - 600, Decimal("0.0008")))
    assert exchange.fills(ME)[0].price == bid - 500
    exchange.advance(START_NS + 6 * NS)
    edited = exchange.order(ME, order.order_id)
    assert (edited.limit_price, edited.size, edited.filled_size) == (
        bid - 600, Decimal("0.0008"), Decimal("0.0005")
    )


@pytest.mark.parametrize(
    ("price", "size", "reason"),
    [
        ("-10", "0.001", "EDIT_REQUEST_EQUAL_TO_ORIGINAL_REQUEST"),
        ("-10.001", "0.001", "INVALID_EDITED_PRICE"),
        ("-10", "0.0010000001", "INVALID_EDITED_SIZE"),
        ("-10", "0", "CANNOT_EDIT_TO_BELOW_FILLED_SIZE"),
        ("-10", "50", "COMMANDER_REJECTED_EDIT_ORDER"),
    ],
)
def test_an_edit_that_makes_no_sense_is_refused_with_its_reason(price: str, size: str, reason: str) -> None:
    exchange = make_exchange()
    bid, _ = touch(exchange)
    order = place(exchange, make_order(limit_price=bid - 10))

    answer = exchange.edit(ME, order.order_id, change(bid + Decimal(price), Decimal(size)))

    assert (answer.success, answer.edit_failure_reason) == (False, reason)
    assert exchange.order(ME, order.order_id) == order


def test_an_edit_of_an_unknown_or_ended_order_is_refused() -> None:
    exchange = make_exchange()
    bid, _ = touch(exchange)
    order = place(exchange, make_order(limit_price=bid - 10))
    exchange.cancel(ME, [order.order_id])

    unknown = exchange.edit(ME, "nonsense", change(bid, Decimal("0.001")))
    ended = exchange.edit(ME, order.order_id, change(bid, Decimal("0.001")))

    assert unknown.edit_failure_reason == "ORDER_NOT_FOUND"
    assert ended.edit_failure_reason == "ONLY_OPEN_ORDERS_CAN_BE_EDITED"


def test_a_preview_says_what_the_order_then_costs() -> None:
    exchange = make_exchange()
    _, ask = touch(exchange)
    request = make_order(config=OrderConfig.LIMIT_IOC, limit_price=ask + 100, base_size=Decimal("0.3"))

    preview = exchange.preview(ME, request)
    order = place(exchange, request)

    assert preview.errors == ()
    assert preview.commission_total == order.total_fees
    assert preview.order_total == order.filled_value + order.total_fees
    assert preview.average_filled_price == order.average_filled_price


def test_a_preview_changes_nothing() -> None:
    exchange = make_exchange()
    before = (exchange.balances(ME), exchange.book("BTC-USD", 60))

    exchange.preview(ME, make_order(config=OrderConfig.MARKET_IOC, quote_size=Decimal(50_000)))

    assert (exchange.balances(ME), exchange.book("BTC-USD", 60)) == before
    assert exchange.orders(ME) == []


def test_an_accounts_own_trades_are_in_the_candles_and_the_trade_history() -> None:
    exchange = make_exchange()
    exchange.advance(START_NS + 5 * NS)
    seen: list[TradePrinted] = []
    for n in range(4):
        place(exchange, make_order(n, config=OrderConfig.MARKET_IOC, base_size=Decimal("0.2")), OTHER)
        events = exchange.advance(START_NS + (10 + 20 * n) * NS, ["BTC-USD"])
        seen += [e for e in events if isinstance(e, TradePrinted)]
    exchange.advance(START_NS + 180 * NS)

    bar = exchange.candles("BTC-USD", START_NS // NS, START_NS // NS, 60)[0]
    history = [t for t in exchange.trades("BTC-USD", 2000) if START_NS <= t.ts_ns < START_NS + 60 * NS]

    own = {fill.price for fill in exchange.fills(OTHER)}
    assert own <= {trade.price for trade in history}
    assert {t.trade_id for t in seen if START_NS + 5 * NS <= t.ts_ns < START_NS + 60 * NS} <= {
        t.trade_id for t in history
    }
    assert bar.volume == sum((t.size for t in history), Decimal(0))
    assert (bar.open, bar.close) == (history[-1].price, history[0].price)
    assert (bar.low, bar.high) == (min(t.price for t in history), max(t.price for t in history))
