"""The inbox between the stream's thread and the session's: ordered, bounded, and loud when it is full."""

from __future__ import annotations

import threading

from trading_core.advanced_trade.stream_inbox import Inbox
from trading_core.clock import NS, SystemClock
from trading_core.events import (
    AnyEvent,
    BookChanged,
    HeartbeatReceived,
    OrderReported,
    StatusTold,
    StreamChanged,
    StreamState,
)
from trading_core.orders import OrderStatus, Side, VenueOrder

CLOCK = SystemClock()
BOOK = BookChanged(ts_ns=1, product_id="BTC-USD", is_snapshot=False, bids=((1, 1),), asks=())
ORDER = OrderReported(
    ts_ns=1,
    order=VenueOrder(
        order_id="o", client_order_id="c", product_id="BTC-USD", side=Side.BUY, status=OrderStatus.OPEN
    ),
)


def beats(count: int) -> list[AnyEvent]:
    return [HeartbeatReceived(ts_ns=n, counter=n) for n in range(count)]


def test_events_are_taken_in_the_order_in_which_they_were_put() -> None:
    inbox = Inbox(CLOCK, list[str]().append)
    assert inbox.put(beats(2))
    assert inbox.put([BOOK])
    assert inbox.take(0) == [*beats(2), BOOK]
    assert inbox.take(0) == []


def test_take_waits_for_another_thread_and_no_longer() -> None:
    inbox = Inbox(CLOCK, list[str]().append)
    started_ns = CLOCK.now_ns()
    timer = threading.Timer(0.05, inbox.put, [[BOOK]])
    timer.start()
    assert inbox.take(started_ns + 10 * NS) == [BOOK]
    assert CLOCK.now_ns() - started_ns < 5 * NS
    timer.join()


def test_exactly_full_is_not_too_full() -> None:
    reasons: list[str] = []
    inbox = Inbox(CLOCK, reasons.append, events_max=10)
    assert inbox.put(beats(10))
    assert reasons == []
    assert len(inbox.take(0)) == 10


def test_one_event_too_many_drops_market_data_aloud_and_keeps_orders() -> None:
    reasons: list[str] = []
    inbox = Inbox(CLOCK, reasons.append, events_max=10)
    inbox.put([*beats(9), ORDER])
    assert not inbox.put([BOOK])
    assert reasons == ["inbox full (10 events)"]
    order, gap = inbox.take(0)
    assert order == ORDER
    assert isinstance(gap, StreamChanged)
    assert gap.state is StreamState.GAP


def test_what_the_venue_tells_once_survives_a_full_inbox() -> None:
    offline = StatusTold(ts_ns=1, product_id="BTC-USD", status="offline")
    reasons: list[str] = []
    inbox = Inbox(CLOCK, reasons.append, events_max=10)
    inbox.put([*beats(9), offline])
    assert not inbox.put([BOOK])
    assert inbox.take(0)[0] == offline


def test_an_inbox_that_nobody_empties_stays_bounded() -> None:
    inbox = Inbox(CLOCK, list[str]().append, events_max=10)
    for _ in range(100):
        inbox.put([ORDER, ORDER, ORDER])
    taken = inbox.take(0)
    assert len(taken) <= 10
    assert any(isinstance(e, StreamChanged) and e.state is StreamState.GAP for e in taken)
