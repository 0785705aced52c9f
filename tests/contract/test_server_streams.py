"""The WebSocket side: order of frames, one sequence for each connection, every channel, errors and deadlines."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.contract.venue import BASE, Socket, Venue, running_venue
from trading_core.advanced_trade.channels_hub import StreamLimits
from trading_core.clock import from_iso
from trading_core.local_exchange.config import CompatSwitches

PRODUCTS = ["BTC-USD", "ETH-USD"]
LEVELS_SHOWN = 60  # of each side on the level2 channel
RESTING = {"limit_limit_gtc": {"base_size": "0.001", "limit_price": "60000"}}


def place(venue: Venue, client_order_id: str, configuration: dict[str, Any] | None = None) -> str:
    body = {
        "client_order_id": client_order_id, "product_id": "BTC-USD", "side": "BUY",
        "order_configuration": configuration or RESTING,
    }
    answer = venue.send("POST", f"{BASE}/orders", json.dumps(body).encode()).json()
    return str(answer["success_response"]["order_id"])


def until_closed(socket: Socket) -> ConnectionClosed:
    for _ in range(1_000):
        try:
            socket.receive()
        except ConnectionClosed as end:
            return end
    raise AssertionError("the venue did not close the connection")


@pytest.mark.parametrize(
    ("channel", "data_channel"),
    [("level2", "l2_data"), ("market_trades", "market_trades"), ("ticker", "ticker"), ("ticker_batch", "ticker_batch"),
     ("candles", "candles"), ("status", "status")],
)
def test_snapshots_of_each_product_come_before_the_acknowledgement(
    venue_server: Venue, channel: str, data_channel: str
) -> None:
    with venue_server.socket() as socket:
        socket.subscribe(channel, PRODUCTS)
        frames = [socket.receive() for _ in range(3)]
    assert [f["channel"] for f in frames] == [data_channel, data_channel, "subscriptions"]
    assert [f["events"][0]["type"] for f in frames[:2]] == ["snapshot", "snapshot"]
    assert frames[2]["events"] == [{"subscriptions": {channel: PRODUCTS}}]


def test_numbers_run_through_all_channels_of_a_connection(venue_server: Venue) -> None:
    with venue_server.socket() as socket:
        for channel in ("heartbeats", "level2", "market_trades", "ticker"):
            socket.subscribe(channel, PRODUCTS)
        for _ in range(100):
            socket.receive()
    assert socket.numbers == list(range(100))


def test_acknowledgements_are_cumulative(venue_server: Venue) -> None:
    with venue_server.socket() as socket:
        socket.subscribe("heartbeats")
        socket.until("subscriptions")
        socket.subscribe("level2", ["BTC-USD"])
        socket.until("subscriptions")
        socket.subscribe("level2", ["ETH-USD", "NOPE-USD"])
        ack = socket.until("subscriptions")["events"][0]["subscriptions"]
        assert ack == {"heartbeats": ["heartbeats"], "level2": PRODUCTS}
        socket.connection.send(json.dumps({"type": "unsubscribe", "channel": "level2", "product_ids": ["BTC-USD"]}))
        assert socket.until("subscriptions")["events"][0]["subscriptions"]["level2"] == ["ETH-USD"]
        socket.connection.send(json.dumps({"type": "unsubscribe", "channel": "level2"}))
        socket.connection.send(json.dumps({"type": "unsubscribe", "channel": "heartbeats"}))
        assert socket.until("subscriptions")["events"] == [{"subscriptions": {"heartbeats": ["heartbeats"]}}]
        assert socket.until("subscriptions")["events"] == [{"subscriptions": {}}]


def test_book_rebuilt_from_frames_is_the_book_of_the_venue() -> None:
    with running_venue(is_manual=True) as venue, venue.socket() as socket:
        socket.subscribe("level2", ["BTC-USD"])
        book: dict[tuple[str, str], str] = {}
        apply(book, socket.until("l2_data", "snapshot"))
        socket.until("subscriptions")
        for _ in range(20):
            venue.advance(0.5)
            apply(book, socket.until("l2_data", "update"))
        view = venue.get(f"{BASE}/market/product_book", params={"product_id": "BTC-USD", "limit": LEVELS_SHOWN}).json()
    for side, name in (("bid", "bids"), ("offer", "asks")):
        shown = {level["price"]: level["size"] for level in view["pricebook"][name]}
        ours = {price: size for (kind, price), size in book.items() if kind == side}
        best = max if side == "bid" else min
        assert best(ours, key=Decimal) == best(shown, key=Decimal)
        assert {price: ours.get(price) for price in shown} == shown


def apply(book: dict[tuple[str, str], str], frame: dict[str, Any]) -> None:
    for update in frame["events"][0]["updates"]:
        key = update["side"], update["price_level"]
        if update["new_quantity"] == "0":
            book.pop(key, None)
        else:
            book[key] = update["new_quantity"]


def test_heartbeats_come_once_a_venue_second_with_an_integer_counter() -> None:
    with running_venue(is_manual=True) as venue, venue.socket() as socket:
        socket.subscribe("heartbeats")
        socket.until("subscriptions")
        venue.advance(5)
        counters = [socket.until("heartbeats")["events"][0]["heartbeat_counter"] for _ in range(5)]
    assert counters == [1, 2, 3, 4, 5]


def test_trades_of_the_stream_are_the_trades_of_rest() -> None:
    with running_venue(is_manual=True) as venue, venue.socket() as socket:
        socket.subscribe("market_trades", ["BTC-USD"])
        seen = {t["trade_id"]: t for t in socket.until("market_trades", "snapshot")["events"][0]["trades"]}
        venue.advance(60)
        update = socket.until("market_trades", "update")["events"][0]["trades"]
        seen.update({t["trade_id"]: t for t in update})
        rows = venue.get(f"{BASE}/market/products/BTC-USD/ticker", params={"limit": 20}).json()["trades"]
    times = [from_iso(t["time"]) for t in update]
    assert times == sorted(times, reverse=True)
    assert all(seen[row["trade_id"]]["side"] == row["side"] for row in rows)
    assert all(seen[row["trade_id"]]["price"] == row["price"] for row in rows)


def test_user_channel_tells_each_change_of_an_order() -> None:
    with running_venue() as venue, venue.socket(is_user_host=True) as socket:
        socket.subscribe("user", signed=True)
        assert socket.until("user", "snapshot")["events"][0]["orders"] == []
        user_id = socket.until("subscriptions")["events"][0]["subscriptions"]["user"][0]
        assert len(user_id) == 36
        order_id = place(venue, "u-1")
        states = [socket.until("user", "update")["events"][0]["orders"][0]]
        while states[-1]["status"] != "OPEN":
            states.append(socket.until("user", "update")["events"][0]["orders"][0])
        venue.send("POST", f"{BASE}/orders/batch_cancel", json.dumps({"order_ids": [order_id]}).encode())
        while states[-1]["status"] != "CANCELLED":
            states.append(socket.until("user", "update")["events"][0]["orders"][0])
        place(venue, "u-2", {"market_market_ioc": {"quote_size": "100"}})
        while states[-1]["status"] != "FILLED":
            states.append(socket.until("user", "update")["events"][0]["orders"][0])
    assert {s["order_id"] for s in states[:-1]} >= {order_id}
    filled = states[-1]
    assert Decimal(filled["cumulative_quantity"]) > 0
    assert filled["post_only"] == "false"
    assert filled["leaves_quantity"] == "0"


def test_snapshot_of_open_orders_comes_in_frames_of_fifty() -> None:
    with running_venue() as venue:
        ids = {place(venue, f"s-{n}", RESTING) for n in range(100)}
        with venue.socket() as socket:
            socket.subscribe("user", signed=True)
            pages = [socket.until("user")["events"][0]["orders"] for _ in range(3)]
    assert [len(page) for page in pages] == [50, 50, 0]
    assert {row["order_id"] for page in pages for row in page} == ids


def test_user_channel_can_be_narrowed_to_products() -> None:
    with running_venue() as venue, venue.socket() as socket:
        socket.subscribe("user", ["ETH-USD"], signed=True)
        socket.subscribe("heartbeats")
        socket.until("user", "snapshot")
        place(venue, "n-1")
        after: list[str] = []
        while after.count("heartbeats") < 2:
            after.append(socket.receive()["channel"])
    assert "user" not in after


def test_futures_summary_is_flat_strings(venue_server: Venue) -> None:
    with venue_server.socket(is_user_host=True) as socket:
        socket.subscribe("futures_balance_summary", signed=True)
        summary = socket.until("futures_balance_summary", "snapshot")["events"][0]["fcm_balance_summary"]
    assert summary["total_usd_balance"] == "100000"
    assert summary["intraday_margin_window_measure"]["liquidation_buffer_percentage"] != ""


def test_client_id_is_sent_on_the_user_host_only(venue_server: Venue) -> None:
    with venue_server.socket() as market, venue_server.socket(is_user_host=True) as user:
        market.subscribe("heartbeats")
        user.subscribe("heartbeats")
        assert "client_id" not in market.receive()
        assert user.receive()["client_id"] == ""


def test_client_id_on_the_market_host_is_a_switch() -> None:
    compat = CompatSwitches(client_id_on_market_host=True)
    with running_venue(exchange={"compat": compat}) as venue, venue.socket() as socket:
        socket.subscribe("heartbeats")
        assert socket.receive()["client_id"] == ""


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"type": "subscribe", "channel": "user"}, "authentication failure"),
        ({"type": "subscribe", "channel": "user", "jwt": "a.b.c"}, "authentication failure"),
        ({"type": "subscribe", "channel": "futures_balance_summary"}, "authentication failure"),
        ({"type": "subscribe", "channel": "weather"}, "authentication failure"),
        ({"type": "shout", "channel": "level2"}, "failure to subscribe"),
        ({"type": "subscribe"}, "failure to subscribe"),
        ({"type": "subscribe", "channel": "level2", "product_ids": "BTC-USD"}, "failure to subscribe"),
    ],
)
def test_wrong_subscription_is_answered_with_an_error_frame(
    venue_server: Venue, frame: dict[str, Any], message: str
) -> None:
    with venue_server.socket() as socket:
        socket.connection.send(json.dumps(frame))
        assert socket.receive() == {"type": "error", "message": message}
        socket.subscribe("heartbeats")
        assert socket.until("subscriptions")["sequence_num"] == 0


def test_market_channels_are_not_on_the_user_host(venue_server: Venue) -> None:
    with venue_server.socket(is_user_host=True) as socket:
        socket.subscribe("level2", ["BTC-USD"])
        assert socket.receive()["type"] == "error"


def test_token_on_a_public_channel_is_allowed(venue_server: Venue) -> None:
    with venue_server.socket() as socket:
        socket.subscribe("ticker", ["BTC-USD"], signed=True)
        assert socket.until("subscriptions")["events"][0]["subscriptions"] == {"ticker": ["BTC-USD"]}


def test_usdc_twin_is_served_as_the_usd_product(venue_server: Venue) -> None:
    with venue_server.socket() as socket:
        socket.subscribe("ticker", ["BTC-USDC"])
        assert socket.until("ticker")["events"][0]["tickers"][0]["product_id"] == "BTC-USD"


def test_client_that_does_not_subscribe_in_time_is_closed() -> None:
    limits = StreamLimits(first_subscribe_s=0.2)
    with running_venue(streams=limits) as venue, venue.socket() as socket:
        assert until_closed(socket).rcvd is not None
        assert socket.connection.close_code == 1008


def test_idle_connection_is_closed_as_going_away() -> None:
    limits = StreamLimits(idle_s=0.3)
    with running_venue(is_manual=True, streams=limits) as venue, venue.socket() as socket:
        socket.subscribe("heartbeats")
        until_closed(socket)
        assert socket.connection.close_code == 1001


def test_messages_beyond_the_rate_are_refused() -> None:
    with running_venue(is_manual=True, streams=StreamLimits(messages_per_s=3)) as venue, venue.socket() as socket:
        for _ in range(4):
            socket.subscribe("heartbeats")
        kinds = [socket.receive().get("type", "ok") for _ in range(4)]
    assert kinds == ["ok", "ok", "ok", "error"]


def test_connections_beyond_the_rate_are_refused_with_429() -> None:
    with running_venue(is_manual=True, streams=StreamLimits(connections_per_s=1)) as venue, venue.socket():
        answer = venue.get(
            "/ws",
            headers={
                "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": "x3JJHMbDL1EzLkh9GBhXDw==",
            },
        )
        assert answer.status_code == 429


def test_frames_that_are_too_large_end_the_connection_and_nothing_else(venue_server: Venue) -> None:
    with venue_server.socket() as socket:
        socket.connection.send("x" * (1 << 20))
        until_closed(socket)
    assert venue_server.get(f"{BASE}/time").status_code == 200
