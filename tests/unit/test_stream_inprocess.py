"""The feed of the simulated venue: virtual time moves only as far as asked, and the same seed tells the same story."""

from __future__ import annotations

from random import Random

from tests.unit.broker_wire import approved, make_intent
from trading_core.advanced_trade.broker import AdvancedTradeBroker
from trading_core.advanced_trade.gateway import Gateway
from trading_core.advanced_trade.inprocess_transport import LATENCY_MAX_MS, open_inprocess
from trading_core.advanced_trade.keys import KeyRegistry
from trading_core.advanced_trade.stream_inprocess import InProcessFeed
from trading_core.clock import NS, VirtualClock, from_iso
from trading_core.events import AnyEvent, BookChanged, HeartbeatReceived, OrderReported, StreamChanged, encode
from trading_core.local_exchange.config import ExchangeConfig
from trading_core.local_exchange.exchange import LocalExchange
from trading_core.money import plain
from trading_core.orders import OrderStatus, Side
from trading_core.ports import Accepted

START_NS = from_iso("2025-05-28T10:00:00Z")


class Rig:
    """A simulated venue with its broker and feed."""

    def __init__(self, seed: int = 7) -> None:
        self.exchange = LocalExchange(ExchangeConfig(start_ns=START_NS, start_minute=600, seed=seed))
        self.clock = VirtualClock(START_NS)
        gateway = Gateway(self.exchange, KeyRegistry(), wall_ns=self.clock.now_ns)
        self.feed = InProcessFeed(self.exchange, self.clock, self.exchange.account_ids()[0], gateway.muted_orders)
        self.broker = AdvancedTradeBroker(open_inprocess(gateway, self.clock, self.feed, Random(seed)), self.clock)
        self.btc = self.exchange.product("BTC-USD")

    def rest(self, client_order_id: str, ticks_away: int = 10_000) -> str:
        """Place an order that many ticks below the best bid."""
        bid = self.broker.book("BTC-USD", 1).bids[0][0]
        price = plain((bid - ticks_away) * self.btc.price_increment)
        answer = self.broker.submit(approved(make_intent(price=price, post_only=True), client_order_id))
        assert isinstance(answer, Accepted)
        return answer.order_id


def story(seed: int) -> list[bytes]:
    """Return what a session would see of a minute with an order, as stored."""
    rig = Rig(seed)
    rig.feed.start([rig.btc])
    events: list[AnyEvent] = []
    order_id = rig.rest("story")
    while rig.clock.now_ns() < START_NS + 60 * NS:
        events += rig.feed.poll(rig.clock.now_ns() + NS)
        if rig.clock.now_ns() > START_NS + 30 * NS and order_id:
            rig.broker.cancel([order_id])
            order_id = ""
    return [encode(e) for e in events]


def test_the_same_seed_tells_the_same_story_to_the_byte() -> None:
    assert story(3) == story(3)


def test_another_seed_tells_another_story() -> None:
    assert story(3) != story(4)


def test_the_first_poll_has_the_connection_and_a_snapshot_of_each_book() -> None:
    rig = Rig()
    rig.rest("before")  # what happened before the subscription is not told
    rig.feed.start([rig.btc, rig.exchange.product("ETH-USD")])
    first = rig.feed.poll(rig.clock.now_ns() + NS)
    assert isinstance(first[0], StreamChanged)
    assert [(e.product_id, e.is_snapshot) for e in first[1:] if isinstance(e, BookChanged)] == [
        ("BTC-USD", True), ("ETH-USD", True),
    ]


def test_poll_moves_time_at_most_to_the_deadline() -> None:
    rig = Rig()
    rig.feed.start([rig.btc])
    rig.feed.poll(rig.clock.now_ns())
    for step_ns in (1, NS // 1000, NS // 3, NS):
        deadline_ns = rig.clock.now_ns() + step_ns
        rig.feed.poll(deadline_ns)
        assert rig.clock.now_ns() <= deadline_ns
    assert rig.clock.now_ns() > START_NS


def test_a_heartbeat_comes_each_second_of_venue_time() -> None:
    rig = Rig()
    rig.feed.start([rig.btc])
    events: list[AnyEvent] = []
    while rig.clock.now_ns() < START_NS + 10 * NS:
        events += rig.feed.poll(START_NS + 10 * NS)
    assert [e.counter for e in events if isinstance(e, HeartbeatReceived)] == list(range(1, 11))


def test_an_order_wakes_the_session_when_it_is_filled_not_at_the_deadline() -> None:
    rig = Rig()
    rig.feed.start([rig.btc])
    order_id = rig.rest("touch", ticks_away=500)
    deadline_ns = rig.clock.now_ns() + 1_800 * NS
    reports: list[OrderReported] = []
    while rig.clock.now_ns() < deadline_ns and not any(r.order.status is OrderStatus.FILLED for r in reports):
        reports += [e for e in rig.feed.poll(deadline_ns) if isinstance(e, OrderReported)]
    filled = reports[-1]
    assert (filled.order.order_id, filled.order.status) == (order_id, OrderStatus.FILLED)
    assert filled.ts_ns == rig.clock.now_ns()
    assert filled.order.side is Side.BUY


def test_a_request_takes_modelled_time_that_the_stopwatch_sees() -> None:
    rig = Rig()
    durations_ms = []
    for _ in range(50):
        started_ns = rig.clock.stopwatch_ns()
        rig.broker.server_time_ns()
        durations_ms.append((rig.clock.stopwatch_ns() - started_ns) / 1e6)
    assert all(0 < ms <= LATENCY_MAX_MS for ms in durations_ms)
    assert len(set(durations_ms)) > 40
    assert 30 < sorted(durations_ms)[25] < 120


def test_a_closed_feed_says_nothing_and_may_be_started_again() -> None:
    rig = Rig()
    rig.feed.start([rig.btc])
    rig.feed.close()
    rig.feed.close()
    rig.rest("closed")
    assert rig.feed.poll(rig.clock.now_ns() + NS) == []
    rig.feed.start([rig.btc])
    assert isinstance(rig.feed.poll(rig.clock.now_ns())[0], StreamChanged)
