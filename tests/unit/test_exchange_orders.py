"""What becomes of an order at the local exchange: each kind, each end, and what it costs."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.exchange_builders import ME, OTHER, START_NS, TICK, available, make_exchange, make_order, place, touch
from trading_core.clock import NS
from trading_core.local_exchange.config import AccountConfig
from trading_core.local_exchange.model import (
    FillMade,
    OrderChanged,
    OrderConfig,
    Refusal,
    StopDirection,
    TriggerStatus,
    WireStatus,
)
from trading_core.orders import Liquidity, Side


def test_a_passive_limit_order_rests_and_holds_value_and_the_dearer_fee() -> None:
    exchange = make_exchange()
    bid, _ = touch(exchange)

    order = place(exchange, make_order(limit_price=bid - 1))

    assert order.status is WireStatus.OPEN
    assert order.hold == Decimal("0.001") * (bid - 1) * Decimal("1.012")
    assert available(exchange, "USD") == Decimal(100_000) - order.hold
    assert (bid - 1, Decimal("0.001")) in exchange.book("BTC-USD", 60).bids


def test_the_same_client_order_id_returns_the_existing_order() -> None:
    exchange = make_exchange()
    bid, _ = touch(exchange)
    first = place(exchange, make_order(limit_price=bid - 1))

    again = exchange.create_order(ME, make_order(limit_price=bid - 5, base_size=Decimal("0.5")))

    assert again == first
    assert len(exchange.orders(ME)) == 1


def test_two_accounts_may_use_the_same_client_order_id() -> None:
    exchange = make_exchange()
    bid, _ = touch(exchange)

    mine = place(exchange, make_order(limit_price=bid - 1))
    theirs = place(exchange, make_order(limit_price=bid - 1), OTHER)

    assert mine.order_id != theirs.order_id


def test_a_duplicate_client_order_id_is_rejected_when_the_switch_says_so() -> None:
    exchange = make_exchange(compat={"duplicate_client_order_id_is_rejected": True})
    bid, _ = touch(exchange)
    place(exchange, make_order(limit_price=bid - 1))

    again = exchange.create_order(ME, make_order(limit_price=bid - 1))

    assert isinstance(again, Refusal)
    assert again.new_order_failure_reason == "DUPLICATE_CLIENT_ORDER_ID"


def test_a_marketable_limit_order_takes_at_the_books_prices_and_pays_the_taker_rate() -> None:
    exchange = make_exchange()
    _, ask = touch(exchange)

    order = place(exchange, make_order(limit_price=ask + 100))

    fill = exchange.fills(ME)[0]
    assert order.status is WireStatus.FILLED
    assert (fill.price, fill.size, fill.liquidity) == (ask, Decimal("0.001"), Liquidity.TAKER)
    assert fill.commission == ask * Decimal("0.001") * Decimal("0.012")
    assert available(exchange, "BTC") == Decimal("1.001")
    assert available(exchange, "USD") == Decimal(100_000) - ask * Decimal("0.001") - fill.commission


def test_a_large_order_walks_the_ladder_and_its_impact_decays() -> None:
    exchange = make_exchange(accounts=[AccountConfig(account_id=ME, balances={"USD": Decimal(10_000_000)})])
    before = exchange.book("BTC-USD", 10)

    order = place(exchange, make_order(config=OrderConfig.MARKET_IOC, base_size=Decimal(5)))
    after = exchange.book("BTC-USD", 10)
    exchange.advance(START_NS + 20 * NS)
    later = exchange.book("BTC-USD", 10)

    assert order.number_of_fills > 5
    assert order.average_filled_price > before.asks[0][0]
    assert after.asks[0][0] > before.asks[4][0]
    assert later.asks[0][0] - later.bids[0][0] < 1


def test_a_resting_order_waits_for_the_size_before_it_and_fills_as_maker() -> None:
    exchange = make_exchange()
    bid, _ = touch(exchange)
    order = place(exchange, make_order(limit_price=bid, post_only=True))

    events = exchange.advance(START_NS + 120 * NS)

    fill = next(e.fill for e in events if isinstance(e, FillMade))
    assert exchange.order(ME, order.order_id).status is WireStatus.FILLED
    assert (fill.price, fill.liquidity) == (bid, Liquidity.MAKER)
    assert fill.commission == bid * Decimal("0.001") * Decimal("0.006")
    assert fill.ts_ns > START_NS


def test_price_then_time_decides_who_fills_first() -> None:
    exchange = make_exchange()
    bid, _ = touch(exchange)
    placed = [
        place(exchange, make_order(1, limit_price=bid - 1)),
        place(exchange, make_order(2, limit_price=bid), OTHER),
        place(exchange, make_order(3, limit_price=bid)),
    ]

    events = exchange.advance(START_NS + 1200 * NS)

    filled = [e.fill.order_id for e in events if isinstance(e, FillMade)]
    assert filled == [placed[1].order_id, placed[2].order_id, placed[0].order_id]


def test_orders_of_two_accounts_match_each_other_at_the_resting_price() -> None:
    exchange = make_exchange()
    exchange.advance(START_NS + 5 * NS)
    bid, ask = touch(exchange, "ETH-USD")
    better = bid + TICK
    assert better < ask
    place(exchange, make_order(product_id="ETH-USD", limit_price=better, base_size=Decimal("0.5")))

    taker = place(
        exchange,
        make_order(product_id="ETH-USD", side=Side.SELL, limit_price=better, base_size=Decimal("0.5")),
        OTHER,
    )

    assert taker.status is WireStatus.FILLED
    assert exchange.fills(ME)[0].price == exchange.fills(OTHER)[0].price == better
    assert exchange.trades("ETH-USD", 1)[0].maker_side is Side.BUY


def test_an_order_never_trades_with_its_own_account() -> None:
    exchange = make_exchange()
    exchange.advance(START_NS + 5 * NS)
    bid, ask = touch(exchange, "ETH-USD")
    assert bid + TICK < ask
    resting = place(exchange, make_order(1, product_id="ETH-USD", limit_price=bid + TICK))

    taker = place(exchange, make_order(2, product_id="ETH-USD", side=Side.SELL, limit_price=bid + TICK))

    assert taker.status is WireStatus.CANCELLED
    assert "self-trade" in taker.cancel_message
    assert exchange.order(ME, resting.order_id).status is WireStatus.OPEN
    assert exchange.fills(ME) == []


def test_an_immediate_order_cancels_its_rest() -> None:
    exchange = make_exchange()
    _, ask = touch(exchange)
    size = exchange.book("BTC-USD", 1).asks[0][1]

    order = place(
        exchange, make_order(config=OrderConfig.LIMIT_IOC, limit_price=ask, base_size=size + Decimal("0.01"))
    )

    assert order.status is WireStatus.CANCELLED
    assert order.filled_size == size
    assert order.hold == 0


def test_a_fill_or_kill_order_fills_whole_or_not_at_all() -> None:
    exchange = make_exchange()
    _, ask = touch(exchange)
    size = exchange.book("BTC-USD", 1).asks[0][1]

    killed = place(
        exchange, make_order(1, config=OrderConfig.LIMIT_FOK, limit_price=ask, base_size=size + Decimal("0.01"))
    )
    filled = place(exchange, make_order(2, config=OrderConfig.LIMIT_FOK, limit_price=ask, base_size=size))

    assert (killed.status, killed.filled_size) == (WireStatus.CANCELLED, 0)
    assert (filled.status, filled.filled_size) == (WireStatus.FILLED, size)


def test_a_market_buy_by_quote_spends_at_most_the_quote_with_its_fee() -> None:
    exchange = make_exchange()

    order = place(exchange, make_order(config=OrderConfig.MARKET_IOC, quote_size=Decimal(100)))

    spent = order.filled_value + order.total_fees
    assert order.status is WireStatus.FILLED
    assert Decimal("99.99") < spent <= Decimal(100)
    assert available(exchange, "USD") == Decimal(100_000) - spent


def test_a_market_sell_by_base_sells_exactly_that() -> None:
    exchange = make_exchange()

    order = place(exchange, make_order(config=OrderConfig.MARKET_IOC, side=Side.SELL, base_size=Decimal("0.01")))

    assert (order.status, order.filled_size) == (WireStatus.FILLED, Decimal("0.01"))
    assert available(exchange, "BTC") == Decimal("0.99")
    assert available(exchange, "USD") == Decimal(100_000) + order.filled_value - order.total_fees


@pytest.mark.parametrize(("side", "direction"), [(Side.SELL, StopDirection.DOWN), (Side.BUY, StopDirection.UP)])
def test_a_stop_limit_order_waits_for_the_last_trade_and_then_takes(side: Side, direction: StopDirection) -> None:
    exchange = make_exchange(day="volatile")
    last = exchange.last_price("BTC-USD")
    stop = last + 60 * side.sign

    order = place(
        exchange,
        make_order(
            side=side,
            config=OrderConfig.STOP_LIMIT_GTC,
            stop_price=stop,
            limit_price=stop + 500 * side.sign,
            stop_direction=direction,
        ),
    )
    assert (order.status, order.trigger_status) == (WireStatus.OPEN, TriggerStatus.STOP_PENDING)

    events = exchange.advance(START_NS + 7200 * NS, ["BTC-USD"])
    done = exchange.order(ME, order.order_id)
    triggered = next(
        e for e in events if isinstance(e, OrderChanged) and e.order.trigger_status is TriggerStatus.STOP_TRIGGERED
    )
    prints = [e for e in events if type(e).__name__ == "TradePrinted" and e.ts_ns < triggered.ts_ns]
    assert done.status is WireStatus.FILLED
    assert all((stop - trade.price) * side.sign > 0 for trade in prints)  # type: ignore[union-attr]


def test_a_pending_stop_is_not_in_the_book_and_can_be_cancelled() -> None:
    exchange = make_exchange()
    last = exchange.last_price("BTC-USD")
    before = exchange.book("BTC-USD", 60)
    order = place(
        exchange,
        make_order(
            side=Side.SELL, config=OrderConfig.STOP_LIMIT_GTC, stop_price=last - 500, limit_price=last - 600
        ),
    )

    assert exchange.book("BTC-USD", 60) == before
    assert exchange.cancel(ME, [order.order_id])[0].success
    assert available(exchange, "BTC") == 1


def test_a_bracket_takes_profit_or_stops_but_never_both() -> None:
    exchange = make_exchange(day="volatile")
    last = exchange.last_price("BTC-USD")

    order = place(
        exchange,
        make_order(
            side=Side.SELL, config=OrderConfig.TRIGGER_BRACKET_GTC, limit_price=last + 80, stop_price=last - 80
        ),
    )
    exchange.advance(START_NS + 7200 * NS)

    done = exchange.order(ME, order.order_id)
    assert (done.status, done.filled_size) == (WireStatus.FILLED, Decimal("0.001"))
    is_stopped = done.trigger_status is TriggerStatus.STOP_TRIGGERED
    assert (done.average_filled_price < last) == is_stopped


def test_a_good_till_date_order_expires_at_its_end_time() -> None:
    exchange = make_exchange()
    bid, _ = touch(exchange)
    order = place(
        exchange, make_order(config=OrderConfig.LIMIT_GTD, limit_price=bid - 5000, end_ns=START_NS + 30 * NS)
    )

    exchange.advance(START_NS + 29 * NS)
    assert exchange.order(ME, order.order_id).status is WireStatus.OPEN
    assert exchange.next_event_ns(START_NS + 60 * NS) == START_NS + 30 * NS
    exchange.advance(START_NS + 30 * NS)

    assert exchange.order(ME, order.order_id).status is WireStatus.EXPIRED
    assert available(exchange, "USD") == 100_000


def test_volume_moves_the_fee_tier_at_the_next_hour() -> None:
    exchange = make_exchange()
    _, ask = touch(exchange)
    place(exchange, make_order(1, limit_price=ask + 100, base_size=Decimal("0.02")))
    assert exchange.fee_summary(ME).tier.name == "Intro 1"

    exchange.advance(START_NS + 3600 * NS)
    _, ask = touch(exchange)
    order = place(exchange, make_order(2, limit_price=ask + 100))

    assert exchange.fee_summary(ME).tier.name == "Intro 2"
    assert order.total_fees == order.filled_value * Decimal("0.0075")


def test_the_same_calls_give_the_same_orders_fills_and_ids() -> None:
    def run() -> list[object]:
        exchange = make_exchange(seed=7)
        bid, ask = touch(exchange)
        events: list[object] = [place(exchange, make_order(1, limit_price=bid))]
        events.append(place(exchange, make_order(2, limit_price=ask + 5, base_size=Decimal("0.4"))))
        return events + list(exchange.advance(START_NS + 300 * NS, ["BTC-USD"], NS))

    assert run() == run()


def test_fills_do_not_depend_on_how_time_is_cut() -> None:
    def run(step_ns: int) -> list[object]:
        exchange = make_exchange()
        bid, ask = touch(exchange)
        place(exchange, make_order(1, limit_price=bid - 3, base_size=Decimal("0.3")))
        place(exchange, make_order(2, side=Side.SELL, limit_price=ask + 3, base_size=Decimal("0.3")), OTHER)
        events: list[object] = []
        while exchange.now_ns < START_NS + 900 * NS:
            events += exchange.advance(exchange.now_ns + step_ns)
        return [e for e in events if isinstance(e, FillMade)]

    assert run(900 * NS) == run(50_000_000) == run(7 * NS // 3)


def test_questions_about_strangers_raise_key_errors() -> None:
    exchange = make_exchange()

    for ask in (
        lambda: exchange.order(ME, "nonsense"),
        lambda: exchange.product("DOGE-USD"),
        lambda: exchange.balances("nobody"),
        lambda: exchange.create_order("nobody", make_order(limit_price=Decimal(1000))),
    ):
        with pytest.raises(KeyError):
            ask()
