"""The replayed market: reproducible, on the grid, inside each minute's range, and the same for every question."""

from __future__ import annotations

from dataclasses import fields
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest

from trading_core.clock import MINUTE_NS, NS
from trading_core.errors import ConfigurationError
from trading_core.events import BookChanged, TradePrinted
from trading_core.local_exchange.bars import load_day, parse_day
from trading_core.local_exchange.catalogue import load_listing
from trading_core.local_exchange.config import FUTURES_PRODUCTS, SPOT_PRODUCTS, ExchangeConfig
from trading_core.local_exchange.exchange import LocalExchange
from trading_core.local_exchange.market import Market
from trading_core.local_exchange.model import ExchangeCandle
from trading_core.local_exchange.setup import market_of
from trading_core.market import OrderBook
from trading_core.money import is_multiple
from trading_core.orders import Side

START_NS = 1_795_230_000 * NS
FIRST = START_NS // MINUTE_NS
ALL = SPOT_PRODUCTS + FUTURES_PRODUCTS


def make_config(**changes: object) -> ExchangeConfig:
    return ExchangeConfig.model_validate({"start_ns": START_NS, "start_minute": 600, **changes})


def make_market(product_id: str = "BTC-USD", **changes: object) -> Market:
    return market_of(make_config(**changes), load_listing(product_id))


@pytest.mark.parametrize("product_id", ALL)
@pytest.mark.parametrize("day", ["calm", "typical", "volatile"])
def test_each_minute_prints_exactly_its_recorded_bar(product_id: str, day: str) -> None:
    market = make_market(product_id, day=day)

    for minute in range(FIRST, FIRST + 1500, 37):
        columns = market.tape.minute(minute)
        prices = columns.price[columns.lots > 0]
        open_, high, low, close, volume = market.tape.bars.minute(minute)
        assert (prices[0], prices.max(), prices.min(), prices[-1]) == (open_, high, low, close)
        assert columns.lots.sum() == volume
        assert columns.lots.min() >= 0
        assert (columns.ask > columns.bid).all()
        if high > low:
            assert columns.bid.min() >= low
            assert columns.ask.max() <= high


def test_a_minute_is_the_same_in_any_order_of_access() -> None:
    forward, backward = make_market(), make_market()
    minutes = range(FIRST, FIRST + 12)

    ahead = {m: forward.tape.minute(m) for m in minutes}
    back = {m: backward.tape.minute(m) for m in reversed(minutes)}

    for minute in minutes:
        for column in fields(ahead[minute]):
            assert np.array_equal(getattr(ahead[minute], column.name), getattr(back[minute], column.name))


def test_another_seed_gives_another_path_over_the_same_bars() -> None:
    one, two = make_market(seed=1), make_market(seed=2)

    assert one.tape.bars.minute(FIRST) == two.tape.bars.minute(FIRST)
    assert not np.array_equal(one.tape.minute(FIRST).bid, two.tape.minute(FIRST).bid)


@pytest.mark.parametrize("product_id", SPOT_PRODUCTS)
def test_the_day_repeats_without_a_jump(product_id: str) -> None:
    bars = make_market(product_id).tape.bars
    seams = [FIRST - 600, FIRST + 840, FIRST + 840 + 1440]

    for seam in seams:
        close, open_ = bars.minute(seam - 1)[3], bars.minute(seam)[0]
        assert abs(open_ - close) <= 1


def test_a_future_follows_its_spot_product_within_a_few_bps() -> None:
    spot, future = make_market("BTC-USD"), make_market("BIP-20DEC30-CDE")

    for minute in range(FIRST, FIRST + 20):
        spot_mid = (spot.tape.minute(minute).bid + spot.tape.minute(minute).ask) / 2 * 0.01
        future_mid = (future.tape.minute(minute).bid + future.tape.minute(minute).ask) / 2 * 5
        assert np.abs(future_mid / spot_mid - 1).max() < 0.0008


def test_stress_widens_the_spread_and_thins_the_book() -> None:
    market = make_market("BTC-USD", day="volatile", start_minute=0)
    tape = market.tape
    by_stress: dict[int, list[tuple[float, int]]] = {}
    for minute in range(FIRST, FIRST + 1440):
        columns = tape.minute(minute)
        spread = float((columns.ask - columns.bid).mean())
        market.skip_to(minute * tape.updates_a_minute + 599)
        depth = sum(market.ladder(Side.BUY, 20).values()) if minute % 20 == 0 or tape.bars.stress(minute) > 2 else 0
        by_stress.setdefault(tape.bars.stress(minute), []).append((spread, depth))

    spreads = {row: np.mean([s for s, _ in rows]) for row, rows in by_stress.items()}
    depths = {row: np.mean([d for _, d in rows if d]) for row, rows in by_stress.items()}

    assert spreads[3] > 20 * spreads[0]
    assert depths[3] < 0.6 * depths[0]


def test_the_book_has_fifty_levels_a_side_on_the_products_grid() -> None:
    exchange = LocalExchange(make_config())

    for product in exchange.products():
        book = exchange.book(product.product_id, 50)
        assert len(book.bids) == len(book.asks) == 50
        assert all(is_multiple(price, product.price_increment) for price, _ in book.bids + book.asks)
        assert all(is_multiple(size, product.base_increment) for _, size in book.bids + book.asks)
        assert [p for p, _ in book.bids] == sorted((p for p, _ in book.bids), reverse=True)
        assert [p for p, _ in book.asks] == sorted(p for p, _ in book.asks)


def test_depth_of_btc_is_as_measured_on_coinbase() -> None:
    market = make_market("BTC-USD", day="calm")
    mid = market.last_ticks()
    ladder = market.ladder(Side.BUY, 400)

    usd = sum(lots * ticks * 1e-10 for ticks, lots in ladder.items() if ticks > mid * 0.999)

    assert 1_500_000 < usd < 4_000_000  # 2.4 to 2.8 million within 10 bps


def test_candles_agree_with_the_trades_that_were_printed() -> None:
    exchange = LocalExchange(make_config())
    trades = [
        event
        for event in exchange.advance(START_NS + 150 * NS, ["ETH-USD"])
        if isinstance(event, TradePrinted) and event.ts_ns >= START_NS + 60 * NS
    ]

    bars = exchange.candles("ETH-USD", START_NS // NS + 60, START_NS // NS + 200, 60)

    assert [bar.start_s for bar in bars] == [START_NS // NS + 60, START_NS // NS + 120]
    for bar in bars:
        inside = [t for t in trades if bar.start_s <= t.ts_ns // NS < bar.start_s + 60]
        prices = [t.price for t in inside]
        assert bar == ExchangeCandle(
            start_s=bar.start_s,
            low=min(prices),
            high=max(prices),
            open=prices[0],
            close=prices[-1],
            volume=sum((t.size for t in inside), Decimal(0)),
        )


def test_a_long_candle_is_its_minutes_put_together() -> None:
    exchange = LocalExchange(make_config())
    start_s = START_NS // NS - 7200

    hour = exchange.candles("SOL-USD", start_s, start_s, 3600)[0]
    minutes = exchange.candles("SOL-USD", start_s, start_s + 3540, 60)

    assert len(minutes) == 60
    assert hour.high == max(m.high for m in minutes)
    assert hour.low == min(m.low for m in minutes)
    assert (hour.open, hour.close) == (minutes[0].open, minutes[-1].close)
    assert hour.volume == sum((m.volume for m in minutes), Decimal(0))


def test_trade_history_is_newest_first_with_unique_ids_and_ends_at_the_last_price() -> None:
    exchange = LocalExchange(make_config())

    trades = exchange.trades("BTC-USD", 300)

    assert len({t.trade_id for t in trades}) == 300
    assert all(a.ts_ns >= b.ts_ns for a, b in pairwise(trades))
    assert trades[0].price == exchange.last_price("BTC-USD")
    assert trades[0].ts_ns <= exchange.now_ns


def test_a_snapshot_and_the_changes_after_it_give_the_exchanges_book() -> None:
    exchange = LocalExchange(make_config())
    product = exchange.product("XRP-USD")
    exchange.advance(START_NS + 5 * NS, ["XRP-USD"])
    mirror = OrderBook(product)
    mirror.apply(exchange.book_snapshot("XRP-USD"))

    for second in range(6, 40):
        for event in exchange.advance(START_NS + second * NS, ["XRP-USD"], 100_000_000):
            if isinstance(event, BookChanged):
                mirror.apply(event)

    book = exchange.book("XRP-USD", 60)
    assert tuple(mirror.levels(Side.BUY, 60)) == book.bids
    assert tuple(mirror.levels(Side.SELL, 60)) == book.asks


def test_a_product_that_was_not_followed_for_a_while_gets_a_fresh_snapshot() -> None:
    exchange = LocalExchange(make_config())
    exchange.advance(START_NS + 5 * NS, ["BTC-USD"])
    exchange.advance(START_NS + 900 * NS)

    snapshot = exchange.book_snapshot("BTC-USD")

    best_bid = snapshot.bids[0][0] * exchange.product("BTC-USD").price_increment
    assert (snapshot.ts_ns, best_bid) == (exchange.now_ns, exchange.book("BTC-USD", 1).bids[0][0])


def test_level_2_changes_a_handful_of_levels_an_update() -> None:
    exchange = LocalExchange(make_config())
    events = exchange.advance(START_NS + 60 * NS, ["BTC-USD"], 100_000_000)

    changes = [len(e.bids) + len(e.asks) for e in events if isinstance(e, BookChanged) and not e.is_snapshot]

    assert len(changes) > 500
    assert 3 < np.mean(changes) < 40


def test_events_come_in_order_of_time_whatever_the_steps() -> None:
    at_once, in_steps = LocalExchange(make_config()), LocalExchange(make_config())

    whole = at_once.advance(START_NS + 20 * NS, ALL, NS)
    parts = [e for step in range(1, 81) for e in in_steps.advance(START_NS + step * NS // 4, ALL, NS)]

    assert [e.ts_ns for e in whole] == sorted(e.ts_ns for e in whole)
    trades = [e for e in whole if isinstance(e, TradePrinted)]
    assert sorted(trades, key=_key) == sorted((e for e in parts if isinstance(e, TradePrinted)), key=_key)


def test_day_statistics_span_the_last_prices() -> None:
    exchange = LocalExchange(make_config())

    stats = exchange.day_stats("BTC-USD")

    assert stats.low <= stats.last <= stats.high
    assert 50_000_000 < stats.quote_volume < 2_000_000_000


def test_raw_members_carry_live_values() -> None:
    exchange = LocalExchange(make_config())

    spot, future = exchange.product_extras("BTC-USD"), exchange.product_extras("BIP-20DEC30-CDE")

    assert Decimal(str(spot["price"])) == exchange.last_price("BTC-USD")
    details = future["future_product_details"]
    assert isinstance(details, dict)
    assert details["funding_time"] == "2026-11-21T03:00:00Z"


def test_an_unknown_day_is_refused_with_the_days_that_exist() -> None:
    with pytest.raises(ConfigurationError, match="calm, typical, volatile"):
        load_day("quiet")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ts,symbol,open,high,low,close,volume\n60,BTC,1,1,1,1,1\n", "1440 minutes"),
        ("ts,symbol,open,high,low,close\n60,BTC,1,1,1,1\n", "cannot be read"),
        ("ts,symbol,open,high,low,close,volume\n60,BTC,x,1,1,1,1\n", "cannot be read"),
    ],
)
def test_a_damaged_recording_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        parse_day(text, "test")


def test_a_recording_with_a_bar_that_is_no_bar_is_refused() -> None:
    rows = "".join(f"{60 * i},BTC,2,3,1,2,1\n" for i in range(1439)) + f"{60 * 1439},BTC,2,1,3,2,1\n"

    with pytest.raises(ConfigurationError, match="row 1439"):
        parse_day("ts,symbol,open,high,low,close,volume\n" + rows, "test")


def test_a_day_with_moves_of_a_tenth_in_a_minute_replays() -> None:
    rows = []
    price = 100_000.0
    for i in range(1440):
        close = price * (1.13 if i % 2 else 0.88)
        rows.append(f"{60 * i},BTC,{price},{max(price, close)},{min(price, close)},{close},10\n")
        price = close
    table = parse_day("ts,symbol,open,high,low,close,volume\n" + "".join(rows), "test")["BTC"]

    assert table.shape == (5, 1440)


def _key(event: TradePrinted) -> tuple[int, str, str]:
    return (event.ts_ns, event.product_id, event.trade_id)
