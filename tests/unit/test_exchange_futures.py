"""Futures at the local exchange: contracts, margin on the New York clock, funding by the hour."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from trading_core.clock import NS, to_ns
from trading_core.local_exchange.config import AccountConfig, ExchangeConfig
from trading_core.local_exchange.exchange import LocalExchange
from trading_core.local_exchange.faults import load_faults
from trading_core.local_exchange.model import (
    ExchangeOrder,
    FundingPaid,
    MarginLevel,
    MarginWindowType,
    NewOrder,
    OrderConfig,
    Refusal,
)
from trading_core.orders import Side
from trading_core.us_calendar import holidays, margin_window

START_NS = to_ns(datetime(2026, 11, 20, 15, 30, tzinfo=UTC))  # a Friday, 10:30 in New York
ME, BIP = "default", "BIP-20DEC30-CDE"
SIZE = Decimal("0.01")


def make_exchange(**changes: object) -> LocalExchange:
    return LocalExchange(ExchangeConfig.model_validate({"start_ns": START_NS, "start_minute": 600, **changes}))


def trade(exchange: LocalExchange, side: Side, contracts: int, product_id: str = BIP) -> ExchangeOrder:
    request = NewOrder(
        client_order_id=f"o{len(exchange.orders(ME))}",
        product_id=product_id,
        side=side,
        config=OrderConfig.MARKET_IOC,
        base_size=Decimal(contracts),
    )
    answer = exchange.create_order(ME, request)
    assert isinstance(answer, ExchangeOrder), answer
    return answer


def usd(exchange: LocalExchange) -> Decimal:
    return next(b.total for b in exchange.balances(ME) if b.currency == "USD")


def test_opening_a_position_costs_only_the_fee() -> None:
    exchange = make_exchange()

    order = trade(exchange, Side.BUY, 3)

    position = exchange.positions(ME)[0]
    assert (position.product_id, position.contracts) == (BIP, 3)
    assert position.entry_price == order.average_filled_price
    assert order.filled_value == 3 * SIZE * order.average_filled_price
    assert usd(exchange) == 100_000 - order.total_fees
    assert order.total_fees == order.filled_value * Decimal("0.001")


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_a_round_trip_realizes_the_difference_of_the_prices(side: Side) -> None:
    exchange = make_exchange()
    opened = trade(exchange, side, 4)
    exchange.advance(START_NS + 600 * NS)

    closed = trade(exchange, side.opposite, 4)

    fees = opened.total_fees + closed.total_fees
    gain = (closed.filled_value - opened.filled_value) * side.sign
    assert exchange.positions(ME) == []
    assert usd(exchange) == 100_000 + gain - fees
    assert exchange.futures_summary(ME).realized_today == gain


def test_a_position_can_turn_and_keeps_the_average_of_its_new_side() -> None:
    exchange = make_exchange()
    trade(exchange, Side.BUY, 2)

    turned = trade(exchange, Side.SELL, 5)

    position = exchange.positions(ME)[0]
    assert position.contracts == -3
    assert abs(position.entry_price - turned.average_filled_price) < 5


def test_unrealized_profit_follows_the_mark() -> None:
    exchange = make_exchange()
    order = trade(exchange, Side.SELL, 10)
    exchange.advance(START_NS + 1200 * NS)

    position = exchange.positions(ME)[0]

    assert position.unrealized == order.filled_value - 10 * SIZE * exchange.last_price(BIP)
    assert exchange.futures_summary(ME).unrealized == position.unrealized


def test_margin_is_lower_intraday_for_accounts_that_opted_in() -> None:
    exchange = make_exchange()
    trade(exchange, Side.BUY, 10)
    value = 10 * SIZE * exchange.last_price(BIP)

    before = exchange.futures_summary(ME)
    exchange.set_intraday_margin(ME, True)
    after = exchange.futures_summary(ME)

    assert exchange.margin_window().window is MarginWindowType.INTRADAY
    assert before.initial_margin == value * Decimal("0.245625")
    assert after.initial_margin == value * Decimal("0.1000185")
    assert after.overnight.initial_margin == before.initial_margin
    assert after.intraday.level is MarginLevel.BASE


def test_an_order_beyond_the_margin_is_refused_and_a_reducing_one_is_not() -> None:
    exchange = make_exchange(accounts=[AccountConfig(account_id=ME, balances={"USD": Decimal(2000)})])
    opened = trade(exchange, Side.BUY, 6)
    request = NewOrder(
        client_order_id="more",
        product_id=BIP,
        side=Side.BUY,
        config=OrderConfig.MARKET_IOC,
        base_size=Decimal(6),
    )

    more = exchange.create_order(ME, request)
    exchange.advance(START_NS + 60 * NS)
    closed = exchange.close_position(ME, "close", BIP)

    assert opened.filled_size == 6
    assert isinstance(more, Refusal)
    assert more.new_order_failure_reason == "INSUFFICIENT_FUNDS"
    assert isinstance(closed, ExchangeOrder)
    assert exchange.positions(ME) == []


def test_closing_part_of_a_position_and_closing_nothing() -> None:
    exchange = make_exchange()
    trade(exchange, Side.SELL, 5)

    part = exchange.close_position(ME, "part", BIP, Decimal(2))
    too_much = exchange.close_position(ME, "too-much", BIP, Decimal(9))
    nothing = exchange.close_position(ME, "nothing", "ETP-20DEC30-CDE")

    assert isinstance(part, ExchangeOrder)
    assert exchange.positions(ME)[0].contracts == -3
    for answer in (too_much, nothing):
        assert isinstance(answer, Refusal)
        assert answer.new_order_failure_reason == "CANNOT_CLOSE_ZERO_POSITION"


def test_funding_accrues_once_for_each_hour() -> None:
    exchange = make_exchange()
    trade(exchange, Side.BUY, 10)
    before = usd(exchange)

    events = exchange.advance(START_NS + 4 * 3600 * NS)
    events += exchange.advance(START_NS + 4 * 3600 * NS)

    paid = [e for e in events if isinstance(e, FundingPaid)]
    assert [e.funding_ns for e in paid] == [START_NS + (1800 + 3600 * n) * NS for n in range(4)]
    assert all(e.amount * e.rate <= 0 for e in paid)
    assert exchange.futures_summary(ME).funding == sum(e.amount for e in paid)
    assert usd(exchange) == before  # cash is adjusted twice a day only


def test_accrued_funding_is_paid_in_cash_twice_a_day() -> None:
    hour = START_NS // (3600 * NS) % 24
    exchange = make_exchange(funding_cash_hours_utc=((hour + 3) % 24, (hour + 15) % 24))
    trade(exchange, Side.BUY, 10)
    before = usd(exchange)

    events = exchange.advance(START_NS + 2 * 3600 * NS)
    assert usd(exchange) == before
    events += exchange.advance(START_NS + 4 * 3600 * NS - 1)
    paid = sum(e.amount for e in events if isinstance(e, FundingPaid) and e.ts_ns <= START_NS + 3 * 3600 * NS)
    assert paid != 0
    assert usd(exchange) - before == paid


def test_a_flat_account_pays_no_funding() -> None:
    exchange = make_exchange()

    events = exchange.advance(START_NS + 2 * 3600 * NS)

    assert not [e for e in events if isinstance(e, FundingPaid)]


def test_money_is_conserved_over_fills_and_funding() -> None:
    exchange = make_exchange()
    totals = exchange.value_totals()
    for step, contracts in enumerate((7, 3, 5, 1)):
        trade(exchange, Side.BUY if step % 2 else Side.SELL, contracts)
        exchange.advance(START_NS + (step + 1) * 3600 * NS)

    assert exchange.value_totals() == totals


def test_a_margin_call_shows_in_the_summary() -> None:
    exchange = make_exchange(faults=load_faults("margin_call"))
    exchange.advance(START_NS + NS)
    calm = exchange.futures_summary(ME).overnight.level
    trade(exchange, Side.BUY, 1)

    summary = exchange.futures_summary(ME)

    assert calm is MarginLevel.BASE
    assert summary.overnight.level is MarginLevel.DANGER
    assert summary.liquidation_buffer_percentage == Decimal("2.00")


@pytest.mark.parametrize(
    ("moment", "window", "ends"),
    [
        ("2026-11-20T12:59:59", MarginWindowType.OVERNIGHT, "2026-11-20T13:00"),
        ("2026-11-20T13:00:00", MarginWindowType.INTRADAY, "2026-11-20T21:00"),  # winter: 8 h in New York
        ("2026-11-20T21:00:00", MarginWindowType.WEEKEND, "2026-11-23T13:00"),
        ("2026-11-22T12:00:00", MarginWindowType.WEEKEND, "2026-11-23T13:00"),
        ("2026-07-07T12:00:00", MarginWindowType.INTRADAY, "2026-07-07T20:00"),  # summer time
        ("2026-07-07T20:00:00", MarginWindowType.OVERNIGHT, "2026-07-08T12:00"),
        ("2026-11-25T22:00:00", MarginWindowType.OVERNIGHT, "2026-11-27T13:00"),  # before Thanksgiving
        ("2026-11-26T16:00:00", MarginWindowType.OVERNIGHT, "2026-11-27T13:00"),
        ("2026-07-03T16:00:00", MarginWindowType.WEEKEND, "2026-07-06T12:00"),  # the 4th is a Saturday
        ("2026-10-31T12:00:00", MarginWindowType.WEEKEND, "2026-11-02T13:00"),  # the clock goes back in between
    ],
)
def test_margin_windows_follow_the_new_york_clock(moment: str, window: MarginWindowType, ends: str) -> None:
    found = margin_window(to_ns(datetime.fromisoformat(moment).replace(tzinfo=UTC)))

    assert found.window is window
    assert found.end_ns == to_ns(datetime.fromisoformat(ends).replace(tzinfo=UTC))


def test_a_year_has_ten_market_holidays() -> None:
    days = sorted(f"{day:%m-%d}" for day in holidays(2026))

    assert days == ["01-01", "01-19", "02-16", "04-03", "05-25", "06-19", "07-03", "09-07", "11-26", "12-25"]
