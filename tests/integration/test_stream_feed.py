"""The live feed over real sockets: events as they come, and every loss, gap and refusal said aloud."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from random import Random

import pytest

from tests.core_builders import make_future
from tests.integration.stream_venue import (
    ABORT,
    BEATS,
    BTC,
    CLOSE_1000,
    CLOSE_1001,
    ORDER,
    SNAPSHOT,
    Script,
    StreamVenue,
    heartbeat,
    level2,
    until,
    user,
)
from tests.unit.broker_wire import make_signer
from trading_core.advanced_trade.frame_reader import FrameReader
from trading_core.advanced_trade.stream import BACKOFF_REAL_MIN_S, StreamFeed, backoff_s, lines_of
from trading_core.advanced_trade.wire_frames import decode_frame
from trading_core.clock import NS, SystemClock
from trading_core.errors import VenueUnavailable
from trading_core.events import (
    AnyEvent,
    BarClosed,
    BookChanged,
    HeartbeatReceived,
    MarginTold,
    OrderReported,
    StatusTold,
    StreamChanged,
    StreamState,
    TouchQuoted,
    TradePrinted,
)
from trading_core.orders import OrderStatus, Side
from trading_core.products import Product

CLOCK = SystemClock()
ALWAYS = ("heartbeats", "level2", "market_trades", "ticker", "status")
REFUSED = Script([{"type": "error", "message": "authentication failure"}], is_acknowledged=False)


class Reader:
    """A started feed and everything that it has said so far."""

    def __init__(self, feed: StreamFeed, clock: SystemClock, reasons: list[str]) -> None:
        self.feed = feed
        self.clock = clock
        self.reasons = reasons  # for which the trading state was tightened
        self.events: list[AnyEvent] = []

    def read_until(self, condition: Callable[[], bool], within_s: float = 30.0) -> None:
        def step() -> bool:
            self.events += self.feed.poll(self.clock.now_ns() + NS // 100)
            return condition()

        until(step, within_s)

    def states(self, connection: str) -> list[StreamState]:
        changes = (e for e in self.events if isinstance(e, StreamChanged))
        return [e.state for e in changes if e.connection == connection]

    def count(self, kind: type[AnyEvent]) -> int:
        return sum(isinstance(e, kind) for e in self.events)


@contextmanager
def reading(venue: StreamVenue, *, has_user: bool = True, inbox: int = 10_000, speed: float = 1.0) -> Iterator[Reader]:
    reasons: list[str] = []
    clock = SystemClock(speed) if speed != 1 else CLOCK
    feed = StreamFeed(
        market_url=venue.market_url, user_url=venue.user_url if has_user else "", signer=make_signer(),
        clock=clock, chance=Random(3), tighten=reasons.append,
        inbox_events_max=inbox, start_within_s=30,
    )
    try:
        feed.start([BTC])
        yield Reader(feed, clock, reasons)
    finally:
        feed.close()
        feed.close()


def test_frames_become_events_dated_by_the_clock_at_receipt() -> None:
    trade = {
        "product_id": "BTC-USD", "trade_id": "7", "price": "80000.01", "size": "0.1", "side": "SELL",
        "time": "2026-09-05T22:10:30Z",
    }
    trades = [{"channel": "market_trades", "events": [{"type": t, "trades": [trade]}]} for t in ("snapshot", "update")]
    change = level2("update", ("bid", "79999.99", "0"), ("offer", "80000.02", "1.00000001"))
    before_ns = CLOCK.now_ns()
    market = [Script([SNAPSHOT, change, *trades, heartbeat(139651)])]
    with StreamVenue(market, [Script([user("snapshot", ORDER)])]) as venue, reading(venue) as reader:
        reader.read_until(lambda: reader.count(HeartbeatReceived) > 0 and reader.count(OrderReported) > 0)
    books = [e for e in reader.events if isinstance(e, BookChanged)]
    assert [(b.is_snapshot, b.bids, b.asks) for b in books] == [
        (True, ((8_000_000, 50_000_000),), ((8_000_001, 25_000_000),)),
        (False, ((7_999_999, 0),), ((8_000_002, 100_000_001),)),
    ]
    [printed] = [e for e in reader.events if isinstance(e, TradePrinted)]
    assert (printed.price, printed.size, printed.maker_side) == (Decimal("80000.01"), Decimal("0.1"), Side.SELL)
    [reported] = [e.order for e in reader.events if isinstance(e, OrderReported)]
    assert (reported.status, reported.filled_size, reported.size) == (
        OrderStatus.OPEN, Decimal("0.0004"), Decimal("0.001"),
    )
    assert all(before_ns <= e.ts_ns <= CLOCK.now_ns() for e in reader.events)
    assert [e.counter for e in reader.events if isinstance(e, HeartbeatReceived)] == [139651]


def test_every_subscribe_frame_names_its_channel_and_carries_a_token_of_its_own() -> None:
    with StreamVenue([Script([SNAPSHOT])]) as venue, reading(venue):
        asked = [(path, f["channel"], f.get("product_ids")) for path, f in venue.subscribed]
        assert sorted(asked, key=str) == sorted(
            [
                ("/market", "heartbeats", None), ("/market", "level2", ["BTC-USD"]),
                ("/market", "market_trades", ["BTC-USD"]), ("/market", "ticker", ["BTC-USD"]),
                ("/market", "status", ["BTC-USD"]), ("/user", "heartbeats", None), ("/user", "user", None),
            ],
            key=str,
        )
        assert len({f["jwt"] for _, f in venue.subscribed}) == 7


@pytest.mark.parametrize("end", [CLOSE_1000, CLOSE_1001, ABORT])
def test_any_end_of_the_connection_is_a_loss_and_everything_is_subscribed_again(end: str) -> None:
    with StreamVenue([Script([SNAPSHOT], end), Script([SNAPSHOT, heartbeat(2)])]) as venue, reading(venue) as reader:
        reader.read_until(lambda: reader.count(HeartbeatReceived) > 0)
        up, down = StreamState.CONNECTED, StreamState.DISCONNECTED
        assert reader.states("market") == [up, down, up]
        assert [b.is_snapshot for b in reader.events if isinstance(b, BookChanged)] == [True, True]
        market = [frame["channel"] for path, frame in venue.subscribed if path == "/market"]
        assert market == [*ALWAYS, *ALWAYS]
        assert len({frame["jwt"] for _, frame in venue.subscribed}) == len(venue.subscribed)


def test_a_missed_frame_is_a_gap_and_the_book_starts_again_from_a_snapshot() -> None:
    skipped = {**level2("update", ("bid", "79999.99", "1")), "sequence_num": 9}
    with StreamVenue([Script([SNAPSHOT, skipped]), Script([SNAPSHOT])]) as venue, reading(venue) as reader:
        reader.read_until(lambda: len(reader.states("market")) == 3)
        assert reader.states("market") == [StreamState.CONNECTED, StreamState.GAP, StreamState.CONNECTED]
        assert all(b.is_snapshot for b in reader.events if isinstance(b, BookChanged))


def test_a_book_that_is_doubted_starts_again_from_a_snapshot() -> None:
    with StreamVenue([Script([SNAPSHOT], BEATS), Script([SNAPSHOT])]) as venue, reading(venue) as reader:
        reader.read_until(lambda: reader.count(BookChanged) > 0)
        reader.feed.resubscribe("the book is wrong")
        reader.read_until(lambda: len(reader.states("market")) == 3)
        assert reader.states("market") == [StreamState.CONNECTED, StreamState.GAP, StreamState.CONNECTED]
        gap = next(e for e in reader.events if isinstance(e, StreamChanged) and e.state is StreamState.GAP)
        assert gap.detail == "the book is wrong"


@pytest.mark.parametrize(
    ("products", "with_bars", "market", "user_channels"),
    [
        ((BTC,), False, ALWAYS, ("heartbeats", "user")),
        ((BTC,), True, (*ALWAYS, "candles"), ("heartbeats", "user")),
        ((BTC, make_future()), False, ALWAYS, ("heartbeats", "user", "futures_balance_summary")),
    ],
    ids=["spot", "with bars", "with a future"],
)
def test_what_is_subscribed_follows_from_the_products_and_the_strategy(
    products: tuple[Product, ...], with_bars: bool, market: tuple[str, ...], user_channels: tuple[str, ...]
) -> None:
    lines = lines_of(products, "ws://market", "ws://user", with_bars=with_bars)
    assert [(line.name, line.channels) for line in lines] == [("market", market), ("user", user_channels)]
    assert [line.name for line in lines_of(products, "ws://market", "", with_bars=with_bars)] == ["market"]


def test_ticker_status_bars_and_margin_become_events_that_are_told_when_they_are_news() -> None:
    def candles(kind: str, *rows: tuple[int, str]) -> dict[str, object]:
        bars = [{"product_id": "BTC-USD", "start": str(s), "close": c, "high": c, "low": c, "open": c, "volume": "1"}
                for s, c in rows]
        return {"channel": "candles", "sequence_num": 0, "events": [{"type": kind, "candles": bars}]}

    def status(word: str) -> dict[str, object]:
        row = {"id": "BTC-USD", "status": word, "status_message": ""}
        return {"channel": "status", "sequence_num": 0, "events": [{"type": "update", "products": [row]}]}

    touch = {"product_id": "BTC-USD", "best_bid": "1.5", "best_ask": "2", "price": "2"}
    ticker = {"channel": "ticker", "sequence_num": 0, "events": [{"type": "update", "tickers": [touch]}]}
    measure = {"margin_level": "MARGIN_LEVEL_TYPE_WARNING"}
    summary = {"initial_margin": "10", "available_margin": "40", "intraday_margin_window_measure": measure,
               "overnight_margin_window_measure": measure}
    futures = {"channel": "futures_balance_summary", "sequence_num": 0,
               "events": [{"type": "update", "fcm_balance_summary": summary}]}
    told = [
        ticker, ticker, status("online"), status("online"), status("offline"), futures,
        candles("snapshot", (600, "12"), (300, "11"), (0, "10")), candles("update", (600, "12.5")),
        candles("update", (900, "13")), candles("snapshot", (900, "13"), (600, "12.5"), (300, "11")),
    ]
    reader = FrameReader([BTC], lambda: 10 * NS)
    events = [e for frame in told for e in reader.events_of(decode_frame(json.dumps(frame)))]
    at = 10 * NS
    assert events == [
        TouchQuoted(ts_ns=at, product_id="BTC-USD", bid=Decimal("1.5"), ask=Decimal(2)),
        StatusTold(ts_ns=at, product_id="BTC-USD", status="online"),
        StatusTold(ts_ns=at, product_id="BTC-USD", status="offline"),
        MarginTold(
            ts_ns=at, margin_used=Decimal(10), margin_available=Decimal(30), intraday_level="WARNING",
            overnight_level="WARNING",
        ),
        BarClosed(ts_ns=at, product_id="BTC-USD", start_s=0, close=Decimal(10)),
        BarClosed(ts_ns=at, product_id="BTC-USD", start_s=300, close=Decimal(11)),
        BarClosed(ts_ns=at, product_id="BTC-USD", start_s=600, close=Decimal("12.5")),
    ]


def test_a_channel_that_nobody_asked_for_is_let_pass() -> None:
    batch = {"channel": "ticker_batch", "events": [{"type": "update", "tickers": [{"product_id": "BTC-USD"}]}]}
    with StreamVenue([Script([SNAPSHOT, batch, heartbeat(1)])]) as venue, reading(venue) as reader:
        reader.read_until(lambda: reader.count(HeartbeatReceived) > 0)
        assert reader.states("market") == [StreamState.CONNECTED]


def test_a_frame_that_was_seen_before_is_ignored() -> None:
    again = {**level2("update", ("bid", "79999.99", "1")), "sequence_num": 1}
    with StreamVenue([Script([SNAPSHOT, again, heartbeat(5)])]) as venue, reading(venue) as reader:
        reader.read_until(lambda: reader.count(HeartbeatReceived) > 0)
        assert reader.count(BookChanged) == 1
        assert reader.states("market") == [StreamState.CONNECTED]


@pytest.mark.parametrize(
    "frame",
    [
        level2("update", ("bid", "79999.995", "1")),
        level2("update", ("bid", "many", "1")),
        {"channel": "l2_data", "events": [{"type": "update", "product_id": "BTC-USD"}]},
        {"channel": "ticker", "events": [{"tickers": [{"product_id": "BTC-USD", "best_bid": "x", "best_ask": "1"}]}]},
        {"channel": "status", "events": [{"products": [{"id": "BTC-USD"}]}]},
        {"channel": "candles", "events": [{"candles": [{"product_id": "BTC-USD", "start": "now", "close": "1"}]}]},
    ],
    ids=["price off the grid", "no number", "member missing", "no price", "no status", "no start"],
)
def test_a_frame_that_cannot_be_read_is_a_gap(frame: dict[str, object]) -> None:
    with StreamVenue([Script([SNAPSHOT, frame]), Script([SNAPSHOT])]) as venue, reading(venue) as reader:
        reader.read_until(lambda: len(reader.states("market")) == 3)
        assert reader.states("market")[1] is StreamState.GAP


def test_silence_of_the_heartbeats_is_a_loss() -> None:
    scripts = [Script([SNAPSHOT]), Script([SNAPSHOT, heartbeat(1)])]
    with StreamVenue(scripts) as venue, reading(venue, has_user=False, speed=2.5) as reader:
        reader.read_until(lambda: reader.count(HeartbeatReceived) > 0)
    lost = next(e for e in reader.events if isinstance(e, StreamChanged) and e.state is StreamState.DISCONNECTED)
    assert lost.detail == "no heartbeat for 2.0 s"


def test_the_user_connection_is_lost_and_found_without_touching_the_market() -> None:
    users = [Script([user("snapshot")], CLOSE_1001), Script([user("snapshot", ORDER)])]
    with StreamVenue([Script([SNAPSHOT])], users) as venue, reading(venue) as reader:
        reader.read_until(lambda: reader.count(OrderReported) > 0 and len(reader.states("user")) == 3)
        up, down = StreamState.CONNECTED, StreamState.DISCONNECTED
        assert (reader.states("user"), reader.states("market")) == ([up, down, up], [up])


def test_a_subscription_that_is_refused_three_times_stops_the_start() -> None:
    refused = pytest.raises(VenueUnavailable, match="authentication failure")
    with StreamVenue([REFUSED]) as venue, refused, reading(venue, speed=20):
        pass


def test_a_subscription_that_is_refused_later_is_given_up_aloud() -> None:
    with StreamVenue([Script([SNAPSHOT], CLOSE_1001), REFUSED]) as venue, reading(venue, speed=20) as reader:
        reader.read_until(lambda: bool(reader.reasons))
        assert reader.reasons == [
            "the market stream was given up: the venue refused a subscription: authentication failure"
        ]
        reader.read_until(lambda: reader.states("market")[-1] is StreamState.DISCONNECTED)


@pytest.mark.parametrize(("failures", "longest_s"), [(1, 0.5), (2, 1), (5, 8), (6, 15), (1_000, 15)])
def test_the_wait_between_two_tries_doubles_up_to_a_limit_and_is_drawn(failures: int, longest_s: float) -> None:
    chance = Random(1)
    waits = [backoff_s(failures, 1, chance) for _ in range(50)]
    assert all(longest_s / 2 <= wait <= longest_s for wait in waits)
    assert len(set(waits)) > 1
    assert backoff_s(failures, 1_000, chance) == BACKOFF_REAL_MIN_S


def test_one_refusal_is_survived_because_valid_tokens_meet_it_now_and_then() -> None:
    with StreamVenue([REFUSED, Script([SNAPSHOT])]) as venue, reading(venue, speed=20) as reader:
        reader.read_until(lambda: reader.count(BookChanged) > 0)
        assert reader.reasons == []


def test_a_full_inbox_tightens_the_state_keeps_orders_and_starts_again_from_a_snapshot() -> None:
    flood = [level2("update", ("bid", "79999.99", str(n))) for n in range(60)]
    users = [Script([user("snapshot", ORDER)])]
    scripts = [Script([SNAPSHOT, *flood]), Script([SNAPSHOT])]
    with StreamVenue(scripts, users) as venue, reading(venue, inbox=50) as reader:
        until(lambda: bool(reader.reasons))
        reader.read_until(lambda: reader.states("market")[-2:] == [StreamState.GAP, StreamState.CONNECTED])
        seen = len(reader.events)
        # The snapshot may come after the news of the connection, and the orders after both.
        reader.read_until(lambda: reader.count(OrderReported) >= 1 and is_book_fresh(reader))
    assert reader.reasons[0] == "inbox full (50 events)"
    assert not [e for e in reader.events[seen:] if isinstance(e, BookChanged) and not e.is_snapshot]


def is_book_fresh(reader: Reader) -> bool:
    """Tell whether the last change of the book is a snapshot."""
    changes = [e for e in reader.events if isinstance(e, BookChanged)]
    return bool(changes) and changes[-1].is_snapshot


def test_a_venue_that_cannot_be_reached_stops_the_start() -> None:
    # Bound and not listening: nobody else can get the port meanwhile. On a busy machine the first try may take a while.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        feed = StreamFeed(
            market_url=f"ws://127.0.0.1:{taken.getsockname()[1]}/market", user_url="", signer=None, clock=CLOCK,
            chance=Random(1), tighten=list[str]().append, start_within_s=3.0,
        )
        with pytest.raises(VenueUnavailable, match="cannot be reached"):
            feed.start([BTC])


def test_poll_returns_at_the_deadline_in_venue_time_when_nothing_comes() -> None:
    with StreamVenue([Script()]) as venue, reading(venue, has_user=False, speed=100) as reader:
        clock = reader.clock
        reader.read_until(lambda: reader.states("market") == [StreamState.CONNECTED])
        started_ns, deadline_ns = CLOCK.now_ns(), clock.now_ns() + 20 * NS
        assert reader.feed.poll(deadline_ns) == []
        assert clock.now_ns() >= deadline_ns
        assert CLOCK.now_ns() - started_ns < 2 * NS
