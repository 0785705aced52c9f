"""Trading sessions, late cancels, liquidation and the faults of the core: what the venue does by itself."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tests.exchange_builders import ME, START_NS, make_exchange, make_order, place, touch, wait
from trading_core.clock import NS, to_ns
from trading_core.events import BookChanged, TradePrinted
from trading_core.local_exchange.catalogue import load_listing
from trading_core.local_exchange.config import ExchangeConfig, Maintenance
from trading_core.local_exchange.editing import EditRequest
from trading_core.local_exchange.exchange import LocalExchange
from trading_core.local_exchange.faults import FaultPlan, load_faults
from trading_core.local_exchange.model import ExchangeOrder, NewOrder, OrderConfig, Refusal, StopDirection, WireStatus
from trading_core.local_exchange.sessions import Sessions, SessionState
from trading_core.orders import Side

FUTURE = "BIP-20DEC30-CDE"
D = Decimal
HOUR_S = 3_600


def make_future(n: int = 1, **changes: object) -> NewOrder:
    return make_order(n, **({"product_id": FUTURE, "base_size": D(1)} | changes))


def halted(from_s: int = 0, for_s: int = HOUR_S) -> LocalExchange:
    span = Maintenance(start_ns=START_NS + from_s * NS, end_ns=START_NS + (from_s + for_s) * NS)
    return make_exchange(maintenance=[span])


def status(exchange: LocalExchange, order: ExchangeOrder) -> WireStatus:
    return exchange.order(ME, order.order_id).status


# ── sessions ────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("moment", "state"),
    [
        ((2026, 11, 18, 21, 59, 59), SessionState.OPEN),  # Wednesday 16:59:59 in New York
        ((2026, 11, 18, 22, 0, 0), SessionState.CLOSE),
        ((2026, 11, 18, 22, 50, 0), SessionState.PRE_OPEN),
        ((2026, 11, 18, 22, 59, 30), SessionState.PRE_OPEN_NO_CANCEL),
        ((2026, 11, 18, 23, 0, 0), SessionState.OPEN),
        ((2026, 11, 20, 22, 0, 0), SessionState.CLOSE),  # Friday: until Sunday evening
        ((2026, 11, 22, 22, 0, 0), SessionState.CLOSE),
        ((2026, 11, 22, 23, 0, 0), SessionState.OPEN),
        ((2026, 7, 15, 21, 0, 0), SessionState.CLOSE),  # daylight saving: an hour earlier in UTC
        ((2026, 7, 15, 22, 0, 0), SessionState.OPEN),
    ],
)
def test_regular_hours_follow_the_new_york_clock(moment: tuple[int, ...], state: SessionState) -> None:
    config = ExchangeConfig(start_ns=START_NS, regular_hours_products=(FUTURE,))
    sessions = Sessions(config, {FUTURE: load_listing(FUTURE)})
    year, month, day, hour, minute, second = moment
    at_ns = to_ns(datetime(year, month, day, hour, minute, second, tzinfo=UTC))
    assert sessions.at(FUTURE, at_ns).state is state
    change_ns = sessions.next_change_ns(FUTURE, at_ns)
    assert change_ns is not None
    assert sessions.at(FUTURE, change_ns - 1).state is state
    assert sessions.at(FUTURE, change_ns).state is not state


def test_limit_order_queues_while_the_session_is_closed_and_trades_when_it_opens() -> None:
    exchange = halted()
    _, ask = touch(exchange, FUTURE)
    order = place(exchange, make_future(limit_price=ask + 5_000))
    assert (order.status, order.filled_size) == (WireStatus.QUEUED, 0)
    assert order.hold > 0
    wait(exchange, HOUR_S - 1)
    assert status(exchange, order) is WireStatus.QUEUED
    wait(exchange, 2)
    assert status(exchange, order) is WireStatus.FILLED


def test_queued_stop_waits_for_its_price_after_the_opening() -> None:
    exchange = halted(for_s=60)
    bid, _ = touch(exchange, FUTURE)
    stop = make_future(
        side=Side.SELL, config=OrderConfig.STOP_LIMIT_GTC, limit_price=bid - 60_000 + 20_000, stop_price=bid - 30_000,
        stop_direction=StopDirection.DOWN,
    )
    order = place(exchange, stop)
    wait(exchange, 61)
    assert status(exchange, order) is WireStatus.OPEN


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (OrderConfig.MARKET_IOC, "FUTURES_AFTER_HOUR_INVALID_ORDER_TYPE"),
        (OrderConfig.LIMIT_IOC, "FUTURES_AFTER_HOUR_INVALID_TIME_IN_FORCE"),
        (OrderConfig.LIMIT_FOK, "FUTURES_AFTER_HOUR_INVALID_TIME_IN_FORCE"),
    ],
)
def test_what_cannot_wait_is_refused_while_the_session_is_closed(config: OrderConfig, reason: str) -> None:
    exchange = halted()
    _, ask = touch(exchange, FUTURE)
    limit = None if config.is_market else ask
    answer = exchange.create_order(ME, make_future(config=config, limit_price=limit))
    assert isinstance(answer, Refusal)
    assert answer.new_order_failure_reason == reason


def test_nothing_prints_and_nothing_fills_during_maintenance() -> None:
    exchange = halted(from_s=60, for_s=1_800)
    bid, _ = touch(exchange, FUTURE)
    place(exchange, make_future(limit_price=bid - 5))
    exchange.advance(START_NS + 61 * NS, (FUTURE, "BTC-USD"))
    events = exchange.advance(START_NS + 1_859 * NS, (FUTURE, "BTC-USD"), NS)
    printed = {e.product_id for e in events if isinstance(e, TradePrinted | BookChanged)}
    assert printed == {"BTC-USD"}
    events = exchange.advance(START_NS + 1_920 * NS, (FUTURE,))
    assert FUTURE in {e.product_id for e in events if isinstance(e, TradePrinted)}


def test_cancel_of_an_open_order_waits_for_the_pre_open_but_a_queued_one_ends_at_once() -> None:
    exchange = halted(from_s=60)
    bid, _ = touch(exchange, FUTURE)
    resting = place(exchange, make_future(1, limit_price=bid - 5_000))
    wait(exchange, 120)
    queued = place(exchange, make_future(2, limit_price=bid - 5_000))
    answers = exchange.cancel(ME, [resting.order_id, queued.order_id])
    assert [a.success for a in answers] == [True, True]
    assert (status(exchange, resting), status(exchange, queued)) == (WireStatus.CANCEL_QUEUED, WireStatus.CANCELLED)
    assert exchange.order(ME, resting.order_id).pending_cancel
    assert exchange.cancel(ME, [resting.order_id])[0].failure_reason == "DUPLICATE_CANCEL_REQUEST"
    change = EditRequest(price=bid - 6_000, size=D(1))
    assert exchange.edit(ME, resting.order_id, change).edit_failure_reason == "CANNOT_EDIT_ORDER_PENDING_CANCEL"
    wait(exchange, HOUR_S - 600)
    assert status(exchange, resting) is WireStatus.CANCELLED


def test_no_cancel_in_the_last_half_minute_before_the_opening() -> None:
    exchange = halted(from_s=60)
    bid, _ = touch(exchange, FUTURE)
    order = place(exchange, make_future(limit_price=bid - 5_000))
    wait(exchange, 60 + HOUR_S - 20)
    answer = exchange.cancel(ME, [order.order_id])[0]
    assert answer.failure_reason == "INVALID_CANCEL_FCM_TRADING_SESSION"


def test_product_tells_its_session_and_maintenance() -> None:
    exchange = halted(from_s=60)
    details = exchange.product_extras(FUTURE)["fcm_trading_session_details"]
    assert isinstance(details, dict)
    assert (details["is_session_open"], details["session_state"]) == (True, "FCM_TRADING_SESSION_STATE_OPEN")
    assert details["maintenance"] is not None
    wait(exchange, 61)
    details = exchange.product_extras(FUTURE)["fcm_trading_session_details"]
    assert isinstance(details, dict)
    assert (details["is_session_open"], details["session_state"]) == (False, "FCM_TRADING_SESSION_STATE_CLOSE")


# ── faults ──────────────────────────────────────────────────────────────────────────────────────
def test_maintenance_fault_stops_spot_and_lets_cancels_through() -> None:
    exchange = make_exchange(faults=load_faults("maintenance"))
    bid, _ = touch(exchange)
    order = place(exchange, make_order(1, limit_price=bid - 5_000))
    wait(exchange, 61)
    refused = exchange.create_order(ME, make_order(2, limit_price=bid - 5_000))
    assert isinstance(refused, Refusal)
    assert refused.new_order_failure_reason == "TRADING_DISABLED"
    assert exchange.product_extras("BTC-USD")["trading_disabled"] is True
    assert exchange.cancel(ME, [order.order_id])[0].success
    assert status(exchange, order) is WireStatus.CANCELLED
    wait(exchange, 120)
    place(exchange, make_order(3, limit_price=bid - 5_000))


def test_crossed_book_is_published_for_a_while_and_fills_nothing() -> None:
    exchange = make_exchange(faults=load_faults("crossed_book"))
    wait(exchange, 29)
    bid, ask = touch(exchange)
    assert bid < ask
    exchange.advance(START_NS + 29 * NS, ("BTC-USD",))
    events = exchange.advance(START_NS + 31 * NS, ("BTC-USD",))
    bid, ask = touch(exchange)
    assert bid > ask
    assert any(isinstance(e, BookChanged) for e in events)
    resting = place(exchange, make_order(limit_price=ask - 3_000))
    assert resting.status is WireStatus.OPEN
    wait(exchange, 60)
    bid, ask = touch(exchange)
    assert bid < ask


def test_order_fails_after_it_was_accepted() -> None:
    exchange = make_exchange(faults=FaultPlan(fail_after_accept_share=1.0))
    _, ask = touch(exchange)
    order = place(exchange, make_order(limit_price=ask))
    assert order.status is WireStatus.PENDING
    wait(exchange, 1)
    failed = exchange.order(ME, order.order_id)
    assert (failed.status, failed.reject_reason, failed.hold) == (WireStatus.FAILED, "HOLD_FAILURE", 0)


def test_late_cancel_loses_against_a_fill() -> None:
    exchange = make_exchange(faults=FaultPlan(cancel_delay_ms=600_000))
    bid, _ = touch(exchange)
    order = place(exchange, make_order(limit_price=bid))
    assert exchange.cancel(ME, [order.order_id])[0].success
    assert status(exchange, order) is WireStatus.CANCEL_QUEUED
    wait(exchange, 599)
    assert status(exchange, order) is WireStatus.FILLED
    assert exchange.order(ME, order.order_id).pending_cancel is False


def test_cancel_meets_a_partial_fill() -> None:
    exchange = make_exchange(faults=FaultPlan(cancel_meets_fill_share=1.0))
    bid, _ = touch(exchange)
    totals = exchange.value_totals()
    order = place(exchange, make_order(limit_price=bid - 500))
    assert exchange.cancel(ME, [order.order_id])[0].success
    ended = exchange.order(ME, order.order_id)
    assert (ended.status, ended.filled_size) == (WireStatus.CANCELLED, D("0.0005"))
    assert exchange.fills(ME)[0].price == bid - 500
    assert exchange.value_totals() == totals


# ── liquidation ─────────────────────────────────────────────────────────────────────────────────
def test_account_at_the_liquidation_level_is_closed_by_the_venue() -> None:
    exchange = make_exchange()
    totals = exchange.value_totals()
    _, ask = touch(exchange, FUTURE)
    place(exchange, make_future(1, config=OrderConfig.MARKET_IOC, base_size=D(5)))
    resting = place(exchange, make_future(2, limit_price=ask - 20_000))
    exchange.set_faults(FaultPlan(liquidation_at_s=0.0))
    wait(exchange, 1)
    assert exchange.positions(ME) == []
    assert status(exchange, resting) is WireStatus.CANCELLED
    newest = exchange.orders(ME)[0]
    assert (newest.is_liquidation, newest.status) == (True, WireStatus.FILLED)
    assert exchange.value_totals() == totals


def test_losses_beyond_the_threshold_lead_to_liquidation() -> None:
    accounts = [{"account_id": ME, "balances": {"USD": "1400"}}]
    exchange = make_exchange(accounts=accounts, faults=FaultPlan(gap_at_s=60.0, gap_share=-0.3))
    place(exchange, make_future(1, config=OrderConfig.MARKET_IOC, base_size=D(4)))
    assert exchange.positions(ME)
    wait(exchange, 300)
    assert exchange.positions(ME) == []
    assert exchange.orders(ME)[0].is_liquidation
