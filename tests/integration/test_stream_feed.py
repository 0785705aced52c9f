"""The live feed over real sockets: events as they come, and every loss, gap and refusal said aloud."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from random import Random

import pytest

from tests.integration.stream_venue import (
    ABORT,
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
from trading_core.advanced_trade.stream import StreamFeed
from trading_core.clock import NS, SystemClock
from trading_core.errors import VenueUnavailable
from trading_core.events import (
    AnyEvent,
    BookChanged,
    HeartbeatReceived,
    OrderReported,
    StreamChanged,
    StreamState,
    TradePrinted,
)
from trading_core.orders import OrderStatus, Side

CLOCK = SystemClock()
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
                ("/market", "market_trades", ["BTC-USD"]), ("/user", "heartbeats", None), ("/user", "user", None),
            ],
            key=str,
        )
        assert len({f["jwt"] for _, f in venue.subscribed}) == 5


@pytest.mark.parametrize("end", [CLOSE_1000, CLOSE_1001, ABORT])
def test_any_end_of_the_connection_is_a_loss_and_everything_is_subscribed_again(end: str) -> None:
    with StreamVenue([Script([SNAPSHOT], end), Script([SNAPSHOT, heartbeat(2)])]) as venue, reading(venue) as reader:
        reader.read_until(lambda: reader.count(HeartbeatReceived) > 0)
        up, down = StreamState.CONNECTED, StreamState.DISCONNECTED
        assert reader.states("market") == [up, down, up]
        assert [b.is_snapshot for b in reader.events if isinstance(b, BookChanged)] == [True, True]
        market = [frame["channel"] for path, frame in venue.subscribed if path == "/market"]
        assert market == ["heartbeats", "level2", "market_trades"] * 2
        assert len({frame["jwt"] for _, frame in venue.subscribed}) == len(venue.subscribed)


def test_a_missed_frame_is_a_gap_and_the_book_starts_again_from_a_snapshot() -> None:
    skipped = {**level2("update", ("bid", "79999.99", "1")), "sequence_num": 9}
    with StreamVenue([Script([SNAPSHOT, skipped]), Script([SNAPSHOT])]) as venue, reading(venue) as reader:
        reader.read_until(lambda: len(reader.states("market")) == 3)
        assert reader.states("market") == [StreamState.CONNECTED, StreamState.GAP, StreamState.CONNECTED]
        assert all(b.is_snapshot for b in reader.events if isinstance(b, BookChanged))


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
    ],
    ids=["price off the grid", "no number", "member missing"],
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
