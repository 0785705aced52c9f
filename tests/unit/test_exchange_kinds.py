"""Kinds of order beyond the plain ones: TWAP, scaled, attached brackets; and edits of stops and brackets."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.exchange_builders import ME, OTHER, START_NS, make_exchange, make_order, place, touch, wait
from trading_core.clock import NS
from trading_core.local_exchange.editing import EditRequest
from trading_core.local_exchange.exchange import LocalExchange
from trading_core.local_exchange.model import (
    Attached,
    NewOrder,
    OrderConfig,
    Refusal,
    Scaled,
    StopDirection,
    WireStatus,
)
from trading_core.orders import Side

FUTURE = "BIP-20DEC30-CDE"
D = Decimal


def make_twap(exchange: LocalExchange, **changes: Any) -> NewOrder:
    _, ask = touch(exchange)
    defaults: dict[str, Any] = {
        "config": OrderConfig.TWAP, "base_size": D("0.01"), "limit_price": ask + 500, "buckets": 4,
        "start_ns": START_NS, "end_ns": START_NS + 40 * NS, "bucket_ns": 10 * NS,
    }
    return make_order(**(defaults | changes))


def make_scaled(exchange: LocalExchange, **changes: Any) -> NewOrder:
    bid, _ = touch(exchange)
    spread = Scaled(count=4, min_price=bid - 400, max_price=bid - 100)
    defaults: dict[str, Any] = {"config": OrderConfig.SCALED, "base_size": D("0.004"), "scaled": spread}
    return make_order(**(defaults | changes))


# ── TWAP ────────────────────────────────────────────────────────────────────────────────────────
def test_twap_takes_one_slice_in_each_bucket() -> None:
    exchange = make_exchange()
    order = place(exchange, make_twap(exchange))
    filled = []
    for _ in range(4):
        wait(exchange, 5)
        filled.append(exchange.order(ME, order.order_id).filled_size)
        wait(exchange, 5)
    assert filled == [D("0.0025"), D("0.005"), D("0.0075"), D("0.01")]
    assert exchange.order(ME, order.order_id).status is WireStatus.FILLED
    assert exchange.order(ME, order.order_id).hold == 0


def test_twap_beyond_its_limit_takes_nothing_and_expires() -> None:
    exchange = make_exchange()
    bid, _ = touch(exchange)
    order = place(exchange, make_twap(exchange, limit_price=bid - 5_000))
    wait(exchange, 41)
    ended = exchange.order(ME, order.order_id)
    assert (ended.status, ended.filled_size, ended.hold) == (WireStatus.EXPIRED, 0, 0)


def test_cancelled_twap_takes_no_further_slice() -> None:
    exchange = make_exchange()
    order = place(exchange, make_twap(exchange))
    wait(exchange, 11)
    exchange.cancel(ME, [order.order_id])
    wait(exchange, 30)
    ended = exchange.order(ME, order.order_id)
    assert (ended.status, ended.filled_size) == (WireStatus.CANCELLED, D("0.005"))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"start_ns": None}, "START_TIME_MUST_BE_SPECIFIED"),
        ({"buckets": 1}, "DURATION_TOO_SMALL"),
        ({"buckets": 5_000}, "DURATION_TOO_LARGE"),
        ({"base_size": D("0.00000003")}, "BUCKET_SIZE_SMALLER_THAN_BASE_MIN"),
        ({"base_size": D("0.00003")}, "BUCKET_SIZE_SMALLER_THAN_QUOTE_MIN"),
        ({"end_ns": None}, "GTD_ORDERS_MUST_HAVE_END_TIME"),
    ],
)
def test_twap_that_makes_no_sense_is_refused(changes: dict[str, object], reason: str) -> None:
    exchange = make_exchange()
    answer = exchange.create_order(ME, make_twap(exchange, **changes))
    assert isinstance(answer, Refusal)
    assert reason in (answer.new_order_failure_reason, answer.preview_failure_reason) or "TOO_SMALL" in (
        answer.preview_failure_reason
    )


# ── scaled ──────────────────────────────────────────────────────────────────────────────────────
def test_scaled_order_rests_at_each_price_and_holds_the_sum() -> None:
    exchange = make_exchange()
    bid, _ = touch(exchange)
    order = place(exchange, make_scaled(exchange))
    levels = dict(exchange.book("BTC-USD", 1_000).bids)
    prices = [bid - 400, bid - 300, bid - 200, bid - 100]
    assert all(levels[price] >= D("0.001") for price in prices)
    assert order.hold == sum(prices) * D("0.001") * D("1.012")
    exchange.cancel(ME, [order.order_id])
    after = dict(exchange.book("BTC-USD", 1_000).bids)
    assert all(after.get(price, 0) == levels[price] - D("0.001") for price in prices)


def test_scaled_order_is_filled_leg_by_leg() -> None:
    exchange = make_exchange()
    _, ask = touch(exchange)
    spread = Scaled(count=2, min_price=ask - 2_000, max_price=ask + 200)
    order = place(exchange, make_scaled(exchange, scaled=spread))
    assert (order.status, order.filled_size) == (WireStatus.OPEN, D("0.002"))
    assert order.hold == (ask - 2_000) * D("0.002") * D("1.012")
    assert exchange.value_totals() == make_exchange().value_totals()


@pytest.mark.parametrize(
    ("spread", "sizes"),
    [
        (Scaled(count=4, min_price=D(100), max_price=D(103)), ["1", "1", "1", "1"]),
        (Scaled(count=4, min_price=D(100), max_price=D(103), size_distribution="INCREASING"), None),
        (Scaled(count=4, min_price=D(100), max_price=D(103), size_distribution="DECREASING", size_ratio=D(2)), None),
    ],
)
def test_scaled_sizes_add_up_to_the_order(spread: Scaled, sizes: list[str] | None) -> None:
    exchange = make_exchange()
    bid, _ = touch(exchange)
    moved = Scaled(
        count=spread.count, min_price=bid - 400, max_price=bid - 100,
        size_distribution=spread.size_distribution, size_ratio=spread.size_ratio,
    )
    order = place(exchange, make_scaled(exchange, scaled=moved))
    given = [leg.size for leg in order.request.legs]
    assert sum(given) == D("0.004")
    if sizes:
        assert len(set(given)) == 1
    else:
        assert given == sorted(given, reverse=spread.size_distribution == "DECREASING")
        assert given[0] != given[-1]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"scaled": Scaled(count=1, min_price=D(1), max_price=D(2))}, "SCALED_PARAM_INFEASIBLE"),
        ({"scaled": Scaled(count=4, min_price=D(5), max_price=D(5))}, "SCALED_PARAM_INFEASIBLE"),
        ({"base_size": D("0.00000004")}, "SCALED_MIN_ORDER_VIOLATION"),
        ({"scaled": None}, "SCALED_PARAM_INFEASIBLE"),
        ({"scaled": Scaled(count=2, min_price=D(60_000), max_price=D("1E24"))}, "SCALED_MAX_ORDER_VIOLATION"),
    ],
)
def test_scaled_order_that_cannot_be_spread_is_refused(changes: dict[str, object], reason: str) -> None:
    exchange = make_exchange()
    answer = exchange.create_order(ME, make_scaled(exchange, **changes))
    assert isinstance(answer, Refusal)
    assert answer.new_order_failure_reason == reason


# ── attached brackets ───────────────────────────────────────────────────────────────────────────
def test_attached_bracket_guards_what_was_filled() -> None:
    exchange = make_exchange()
    _, ask = touch(exchange)
    guard = Attached(limit_price=ask + 3_000, stop_price=ask - 3_000)
    order = place(exchange, make_order(limit_price=ask + 100, attached=guard))
    assert order.status is WireStatus.FILLED
    bracket = exchange.order(ME, order.attached_order_id)
    assert (bracket.status, bracket.size, bracket.request.side) == (WireStatus.OPEN, D("0.001"), Side.SELL)
    assert (bracket.originating_order_id, bracket.hold_currency, bracket.hold) == (order.order_id, "BTC", D("0.001"))


def test_attached_bracket_waits_until_its_order_fills_and_ends_with_it() -> None:
    exchange = make_exchange()
    bid, _ = touch(exchange)
    guard = Attached(limit_price=bid + 3_000, stop_price=bid - 6_000)
    order = place(exchange, make_order(limit_price=bid - 3_000, attached=guard))
    assert exchange.order(ME, order.attached_order_id).status is WireStatus.PENDING
    exchange.cancel(ME, [order.order_id])
    assert exchange.order(ME, order.attached_order_id).status is WireStatus.CANCELLED


def test_attached_bracket_that_finds_nothing_to_hold_fails_after_acceptance() -> None:
    exchange = make_exchange()
    bid, ask = touch(exchange)
    place(exchange, make_order(1, side=Side.SELL, base_size=D(1), limit_price=ask + 4_000))
    guard = Attached(limit_price=ask + 3_000, stop_price=bid - 6_000)
    order = place(exchange, make_order(2, limit_price=bid - 1, base_size=D("0.5"), attached=guard))
    for n in range(3, 60):
        exchange.create_order(
            OTHER, make_order(n, side=Side.SELL, config=OrderConfig.LIMIT_IOC, base_size=D(1), limit_price=bid - 1)
        )
        if exchange.order(ME, order.order_id).filled_size:
            break
    exchange.cancel(ME, [order.order_id])
    filled = exchange.order(ME, order.order_id).filled_size
    assert exchange.order(ME, order.attached_order_id).size == filled


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"side": Side.SELL}, "INVALID_ORDER_SIDE_FOR_ATTACHED_TPSL"),
        ({"attached": Attached(D(1), D(0))}, "ATTACHED_ORDER_MUST_HAVE_POSITIVE_PRICES"),
        ({"attached": Attached(D("200000.001"), D(1))}, "INVALID_ATTACHED_TAKE_PROFIT_PRICE_PRECISION"),
        ({"attached": Attached(D("1E24"), D(1))}, "INVALID_ATTACHED_TAKE_PROFIT_PRICE_OUT_OF_BOUNDS"),
        ({"attached": Attached(D(1), D(2))}, "INVALID_ATTACHED_TAKE_PROFIT_PRICE"),
        ({"attached": Attached(D(200_000), D(150_000))}, "INVALID_ATTACHED_STOP_LOSS_PRICE"),
        ({"config": OrderConfig.TWAP, "start_ns": START_NS, "buckets": 2, "bucket_ns": NS * 5,
          "end_ns": START_NS + 10 * NS}, "ATTACHED_ORDERS_ONLY_ALLOWED_ON_MARKET_LIMIT"),
    ],
)
def test_attached_bracket_that_cannot_guard_is_refused(changes: dict[str, object], reason: str) -> None:
    exchange = make_exchange()
    bid, _ = touch(exchange)
    defaults: dict[str, Any] = {"limit_price": bid - 10, "attached": Attached(D(200_000), D(50_000))}
    answer = exchange.create_order(ME, make_order(**(defaults | changes)))
    assert isinstance(answer, Refusal)
    assert answer.new_order_failure_reason == reason


# ── edits of stops and brackets ─────────────────────────────────────────────────────────────────
def test_edit_moves_a_stop() -> None:
    exchange = make_exchange()
    bid, _ = touch(exchange)
    stop = make_order(
        side=Side.SELL, config=OrderConfig.STOP_LIMIT_GTC, limit_price=bid - 2_100, stop_price=bid - 2_000,
        stop_direction=StopDirection.DOWN,
    )
    order = place(exchange, stop)
    change = EditRequest(price=bid - 1_100, size=D("0.001"), stop_price=bid - 1_000)
    assert exchange.edit(ME, order.order_id, change).success
    edited = exchange.order(ME, order.order_id)
    assert (edited.limit_price, edited.request.stop_price) == (bid - 1_100, bid - 1_000)


def test_edited_stop_triggers_at_its_new_price() -> None:
    exchange = make_exchange()
    _, ask = touch(exchange)
    stop = make_order(
        config=OrderConfig.STOP_LIMIT_GTC, limit_price=ask + 3_000, stop_price=ask + 2_000,
        stop_direction=StopDirection.UP,
    )
    order = place(exchange, stop)
    last = exchange.last_price("BTC-USD")
    change = EditRequest(price=ask + 3_000, size=D("0.001"), stop_price=last + D("0.01"))
    assert exchange.edit(ME, order.order_id, change).success
    wait(exchange, 600)
    assert exchange.order(ME, order.order_id).status is WireStatus.FILLED


def test_edit_moves_both_ends_of_a_bracket() -> None:
    exchange = make_exchange()
    bid, ask = touch(exchange)
    bracket = make_order(
        side=Side.SELL, config=OrderConfig.TRIGGER_BRACKET_GTC, limit_price=ask + 300, stop_price=bid - 3_000
    )
    order = place(exchange, bracket)
    change = EditRequest(price=ask + 200, size=D("0.001"), stop_price=bid - 2_000)
    assert exchange.edit(ME, order.order_id, change).success
    levels = dict(exchange.book("BTC-USD", 1_000).asks)
    assert levels[ask + 200] >= D("0.001")
    assert exchange.order(ME, order.order_id).request.stop_price == bid - 2_000


@pytest.mark.parametrize(
    ("stop", "reason"),
    [("0.001", "INVALID_EDITED_STOP_PRICE"), ("1000", "INVALID_EDITED_STOP_PRICE")],
)
def test_edit_to_an_impossible_stop_is_refused(stop: str, reason: str) -> None:
    exchange = make_exchange()
    bid, _ = touch(exchange)
    request = make_order(
        side=Side.SELL, config=OrderConfig.STOP_LIMIT_GTC, limit_price=bid - 2_100, stop_price=bid - 2_000,
        stop_direction=StopDirection.DOWN,
    )
    order = place(exchange, request)
    change = EditRequest(price=bid - 2_100, size=D("0.001"), stop_price=bid + D(stop))
    answer = exchange.edit(ME, order.order_id, change)
    assert (answer.success, answer.edit_failure_reason) == (False, reason)


def test_edit_changes_or_drops_the_attached_bracket_before_a_fill() -> None:
    exchange = make_exchange()
    bid, _ = touch(exchange)
    guard = Attached(limit_price=bid + 3_000, stop_price=bid - 6_000)
    order = place(exchange, make_order(limit_price=bid - 3_000, attached=guard))
    other = Attached(limit_price=bid + 4_000, stop_price=bid - 7_000)
    same: dict[str, Any] = {"price": bid - 3_000, "size": D("0.001")}
    assert exchange.edit(ME, order.order_id, EditRequest(**same, attached=other)).success
    assert exchange.order(ME, order.attached_order_id).limit_price == bid + 4_000
    assert exchange.edit(ME, order.order_id, EditRequest(**same, cancels_attached=True)).success
    assert exchange.order(ME, order.attached_order_id).status is WireStatus.CANCELLED
    assert exchange.order(ME, order.order_id).status is WireStatus.OPEN


def test_stop_price_of_a_plain_limit_order_cannot_be_edited() -> None:
    exchange = make_exchange()
    bid, _ = touch(exchange)
    order = place(exchange, make_order(limit_price=bid - 10))
    answer = exchange.edit(ME, order.order_id, EditRequest(price=bid - 11, size=D("0.001"), stop_price=bid))
    assert answer.edit_failure_reason == "FIELD_STOPPRICE_NOT_SUPPORTED"
