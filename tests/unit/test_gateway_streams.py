"""Sessions without sockets: the outbox limit, merged book changes, and what the user channel hides."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from trading_core.advanced_trade.channels import OUTBOX_BYTES_MAX, Connection, Host
from trading_core.advanced_trade.channels_frames import merged
from trading_core.advanced_trade.channels_hub import StreamHub
from trading_core.advanced_trade.gateway import Gateway
from trading_core.advanced_trade.keys import KeyRegistry
from trading_core.clock import NS
from trading_core.events import BookChanged
from trading_core.local_exchange.config import ExchangeConfig
from trading_core.local_exchange.exchange import LocalExchange
from trading_core.local_exchange.faults import FaultPlan

START_NS = 1_795_219_200 * NS


def make_hub(**changes: Any) -> StreamHub:
    exchange = LocalExchange(ExchangeConfig(start_ns=START_NS, **changes))
    return StreamHub(Gateway(exchange, KeyRegistry()))


def frames(connection: Connection) -> list[dict[str, Any]]:
    return [json.loads(frame) for frame in iter(connection.take, None)]


def subscribe(connection: Connection, channel: str, *products: str) -> None:
    connection.receive(json.dumps({"type": "subscribe", "channel": channel, "product_ids": list(products)}))


def test_client_that_never_reads_is_cut_off_and_its_memory_freed() -> None:
    connection = make_hub().open(Host.MARKET, "slow", 0)
    frame = b'"' + b"x" * (1 << 20) + b'"'
    for _ in range(2 * OUTBOX_BYTES_MAX // len(frame)):
        connection.send("ticker", frame)
    assert connection.ending is not None
    assert connection.ending.code == 1008
    assert len(connection.outbox) == 0


def test_frames_taken_make_room_again() -> None:
    connection = make_hub().open(Host.MARKET, "brisk", 0)
    for _ in range(100):
        connection.send("ticker", b'"' + b"x" * (1 << 20) + b'"')
        assert connection.take() is not None
    assert connection.ending is None
    assert connection.outbox_bytes == 0


def test_first_reason_to_end_stands() -> None:
    connection = make_hub().open(Host.MARKET, "x", 0)
    connection.end(1001, "first")
    connection.end(1008, "second")
    assert connection.ending is not None
    assert connection.ending.code == 1001


def test_nobody_is_sent_what_he_did_not_subscribe() -> None:
    hub = make_hub()
    trades, beats = hub.open(Host.MARKET, "a", 0), hub.open(Host.MARKET, "b", 0)
    subscribe(trades, "market_trades", "BTC-USD")
    subscribe(beats, "heartbeats")
    hub.advance(START_NS + 30 * NS, 0)
    assert {f["channel"] for f in frames(trades)} == {"market_trades", "subscriptions"}
    assert {f["channel"] for f in frames(beats)} == {"heartbeats", "subscriptions"}


def test_level2_comes_at_most_every_50_ms() -> None:
    hub = make_hub()
    connection = hub.open(Host.MARKET, "a", 0)
    subscribe(connection, "level2", "BTC-USD")
    frames(connection)
    for step in range(1, 101):
        hub.advance(START_NS + step * NS // 100, 0)
    updates = [f for f in frames(connection) if f["channel"] == "l2_data"]
    assert 5 <= len(updates) <= 20


def test_ticker_batch_comes_every_five_seconds_without_a_touch() -> None:
    hub = make_hub()
    connection = hub.open(Host.MARKET, "a", 0)
    subscribe(connection, "ticker_batch", "BTC-USD")
    frames(connection)
    for step in range(1, 61):
        hub.advance(START_NS + step * NS, 0)
    batches = [f["events"][0] for f in frames(connection) if f["channel"] == "ticker_batch"]
    assert 8 <= len(batches) <= 13
    assert "best_bid" not in batches[0]["tickers"][0]


def test_clock_offset_shows_in_every_timestamp() -> None:
    hub = make_hub(faults=FaultPlan(clock_offset_ms=10_000))
    connection = hub.open(Host.MARKET, "a", 0)
    subscribe(connection, "heartbeats")
    hub.advance(START_NS + NS, 0)
    beat = frames(connection)[-1]
    assert beat["timestamp"] == "2026-11-21T00:00:11Z"
    assert beat["events"][0]["current_time"].startswith("2026-11-21 00:00:11 +0000 UTC m=+")


_SIDES = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 3)), max_size=6).map(
    lambda levels: tuple(dict(levels).items())
)


@given(st.lists(st.tuples(_SIDES, _SIDES), min_size=1, max_size=5))
def test_merged_changes_lead_to_the_same_book_as_single_ones(changes: list[tuple[Any, Any]]) -> None:
    one_by_one: tuple[dict[int, int], dict[int, int]] = ({}, {})
    pending: BookChanged | None = None
    for number, (bids, asks) in enumerate(changes):
        change = BookChanged(ts_ns=number, product_id="BTC-USD", is_snapshot=False, bids=bids, asks=asks)
        pending = merged(pending, change)
        one_by_one[0].update(bids)
        one_by_one[1].update(asks)
    assert pending is not None
    assert (dict(pending.bids), dict(pending.asks)) == one_by_one
    assert list(pending.bids) == sorted(pending.bids, reverse=True) or len(changes) == 1
