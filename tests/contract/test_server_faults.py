"""Each fault as a client meets it that was not told of it."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
import requests
from websockets.exceptions import ConnectionClosed

from tests.contract.venue import BASE, Socket, Venue, running_venue
from trading_core.clock import wall_now_ns
from trading_core.local_exchange.faults import FaultPlan

_ids = itertools.count(1)


def order(client_order_id: str) -> bytes:
    body: dict[str, Any] = {
        "client_order_id": client_order_id, "product_id": "BTC-USD", "side": "BUY",
        "order_configuration": {"limit_limit_gtc": {"base_size": "0.001", "limit_price": "60000"}},
    }
    return json.dumps(body).encode()


def booked(venue: Venue, client_order_id: str) -> bool:
    rows = venue.send("GET", f"{BASE}/orders/historical/batch").json()["orders"]
    return any(row["client_order_id"] == client_order_id for row in rows)


@pytest.fixture
def client_order_id() -> str:
    return f"fault-{next(_ids)}"


def test_tokens_are_refused_now_and_then() -> None:
    with running_venue(faults=FaultPlan(unauthorized_share=0.3, seed=3)) as venue:
        answers = [venue.send("GET", f"{BASE}/accounts") for _ in range(40)]
    assert {a.status_code for a in answers} == {200, 401}
    assert {a.text for a in answers if a.status_code == 401} == {"Unauthorized\n"}


@pytest.mark.parametrize(
    ("plan", "status", "content_type"),
    [
        ({"rate_limited_share": 1.0}, 429, "application/json"),
        ({"rate_limited_share": 1.0, "rate_limited_as_html": True}, 429, "text/html"),
        ({"server_error_share": 1.0}, 500, "application/json"),
        ({"server_error_share": 1.0, "server_error_as_html": True}, 503, "text/html"),
    ],
)
def test_outages_come_in_each_shape(plan: dict[str, Any], status: int, content_type: str) -> None:
    with running_venue(faults=FaultPlan(**plan)) as venue:
        answer = venue.get(f"{BASE}/time")
    assert (answer.status_code, answer.headers["content-type"]) == (status, content_type)


def test_order_is_booked_although_the_answer_is_500(client_order_id: str) -> None:
    with running_venue(faults=FaultPlan(create_booked_but_500_share=1.0)) as venue, venue.socket() as socket:
        socket.subscribe("user", signed=True)
        socket.until("subscriptions")
        assert venue.send("POST", f"{BASE}/orders", order(client_order_id)).status_code == 500
        assert socket.until("user", "update")["events"][0]["orders"][0]["client_order_id"] == client_order_id
        assert booked(venue, client_order_id)


def test_order_booked_behind_a_500_may_also_stay_silent(client_order_id: str) -> None:
    plan = FaultPlan(create_booked_but_500_share=1.0, create_booked_but_500_pushes_user=False)
    with running_venue(faults=plan) as venue, venue.socket() as socket:
        socket.subscribe("heartbeats")
        socket.subscribe("user", signed=True)
        socket.until("user", "snapshot")
        assert venue.send("POST", f"{BASE}/orders", order(client_order_id)).status_code == 500
        assert booked(venue, client_order_id)
        channels = {socket.receive()["channel"]}
        while "heartbeats" not in channels:
            channels.add(socket.receive()["channel"])
    assert "user" not in channels


@pytest.mark.parametrize(
    ("member", "is_booked"), [("create_reset_before_share", False), ("create_reset_after_share", True)]
)
def test_connection_is_reset_around_a_create(member: str, is_booked: bool, client_order_id: str) -> None:
    with running_venue(faults=FaultPlan.model_validate({member: 1.0})) as venue:
        with pytest.raises(requests.ConnectionError):
            venue.send("POST", f"{BASE}/orders", order(client_order_id))
        assert booked(venue, client_order_id) is is_booked
        venue.faults()
        again = venue.send("POST", f"{BASE}/orders", order(client_order_id)).json()
        assert again["success"] is True
        rows = venue.send("GET", f"{BASE}/orders/historical/batch").json()["orders"]
    assert len(rows) == 1


def test_answers_are_slow() -> None:
    with running_venue(faults=FaultPlan(latency_ms=300)) as venue:
        started = wall_now_ns()
        assert venue.get(f"{BASE}/time").status_code == 200
    assert wall_now_ns() - started > 300_000_000


def test_request_hangs_until_the_client_gives_up() -> None:
    with running_venue(faults=FaultPlan(hang_share=1.0, hang_s=20.0)) as venue:
        with pytest.raises(requests.ReadTimeout):
            requests.get(f"{venue.url}{BASE}/time", timeout=(30, 0.5))
        venue.faults()
        assert venue.get(f"{BASE}/time").status_code == 200


@pytest.mark.parametrize("offset_ms", [10_000, -10_000])
def test_clock_of_the_venue_is_off(offset_ms: int) -> None:
    with running_venue(faults=FaultPlan(clock_offset_ms=offset_ms)) as venue:
        shown_ms = int(venue.get(f"{BASE}/time").json()["epochMillis"])
        assert abs(shown_ms - wall_now_ns() // 1_000_000 - offset_ms) < 2_000
        assert venue.send("GET", f"{BASE}/accounts").status_code == 200


def test_members_vanish_and_appear() -> None:
    plan = FaultPlan(removed_members=("success_response", "price"), added_members=("order_id_v2",))
    with running_venue(faults=plan) as venue:
        venue.is_conformant = False
        answer = venue.send("POST", f"{BASE}/orders", order("drift")).json()
        product = venue.get(f"{BASE}/market/products/BTC-USD").json()
    assert answer["success"] is True
    assert "success_response" not in answer
    assert "order_id_v2" in answer
    assert "price" not in product


def test_every_order_is_rejected(client_order_id: str) -> None:
    with running_venue(faults=FaultPlan(reject_share=1.0, reject_reason="COMMANDER_REJECTED_NEW_ORDER")) as venue:
        answer = venue.send("POST", f"{BASE}/orders", order(client_order_id))
    assert answer.status_code == 200
    assert answer.json()["error_response"]["new_order_failure_reason"] == "COMMANDER_REJECTED_NEW_ORDER"


def test_key_says_that_it_may_transfer() -> None:
    with running_venue(faults=FaultPlan(can_transfer=True)) as venue:
        assert venue.send("GET", f"{BASE}/key_permissions").json()["can_transfer"] is True


def test_feed_stands_still_while_heartbeats_go_on() -> None:
    with running_venue(faults=FaultPlan(stale_from_s=0.0), is_manual=True) as venue, venue.socket() as socket:
        socket.subscribe("heartbeats")
        socket.subscribe("level2", ["BTC-USD"])
        socket.until("l2_data", "snapshot")
        venue.advance(10)
        frames = [socket.receive() for _ in range(11)]
    assert [f["channel"] for f in frames].count("heartbeats") == 10
    assert not [f for f in frames if f["channel"] == "l2_data"]


def heartbeat_numbers(faults: FaultPlan, seconds: int) -> tuple[list[int], list[int]]:
    """Return sequence numbers and counters that arrive while the venue beats for so many seconds."""
    with running_venue(faults=faults, is_manual=True) as venue, venue.socket() as socket:
        socket.subscribe("heartbeats")
        venue.advance(2 * seconds)
        counters: list[int] = []
        while not counters or counters[-1] < seconds:
            frame = socket.receive()
            if frame["channel"] == "heartbeats":
                counters.append(frame["events"][0]["heartbeat_counter"])
        return socket.numbers, counters


def test_dropped_frames_leave_a_gap_in_the_numbers() -> None:
    numbers, counters = heartbeat_numbers(FaultPlan(frame_drop_share=0.2, seed=5), 60)
    assert sorted(set(numbers)) == numbers
    assert len(numbers) < numbers[-1] + 1
    assert len(counters) < counters[-1]


def test_duplicated_frames_repeat_a_number() -> None:
    numbers, _ = heartbeat_numbers(FaultPlan(frame_duplicate_share=0.2, seed=5), 60)
    assert len(numbers) > len(set(numbers)) >= 59


def test_reordered_frames_come_after_their_successor() -> None:
    numbers, _ = heartbeat_numbers(FaultPlan(frame_reorder_share=0.2, seed=5), 60)
    assert numbers != sorted(numbers)
    assert len(numbers) == len(set(numbers))


def closing(socket: Socket) -> ConnectionClosed:
    for _ in range(1_000):
        try:
            socket.receive()
        except ConnectionClosed as end:
            return end
    raise AssertionError("the venue did not close the connection")


@pytest.mark.parametrize("code", [1000, 1001, 1011])
def test_sockets_are_closed_in_the_ordinary_way(code: int) -> None:
    plan = FaultPlan(close_every_s=0.3, close_code=code)
    with running_venue(faults=plan) as venue, venue.socket() as socket:
        socket.subscribe("heartbeats")
        end = closing(socket)
    assert end.rcvd is not None
    assert end.rcvd.code == code


def test_sockets_are_aborted_without_a_close_frame() -> None:
    with running_venue(faults=FaultPlan(close_every_s=0.3, close_code=1006)) as venue, venue.socket() as socket:
        socket.subscribe("heartbeats")
        assert closing(socket).rcvd is None


def test_same_seed_gives_the_same_faults() -> None:
    def codes() -> list[int]:
        with running_venue(faults=FaultPlan(server_error_share=0.5, seed=9)) as venue:
            return [venue.get(f"{BASE}/time").status_code for _ in range(20)]

    first = codes()
    assert first == codes()
    assert set(first) == {200, 500}


def test_control_route_is_off_unless_asked_for() -> None:
    with running_venue(has_control=False) as venue:
        assert venue.get("/_control/state").status_code == 404


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"name":"nothing"}', b'{"latency_ms":-1}', b'{"surprise":1,"x":2}', b'{"seed":"x"}']
)
def test_control_route_refuses_nonsense(body: bytes) -> None:
    with running_venue() as venue:
        answer = requests.post(f"{venue.url}/_control/faults", data=body, timeout=30)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_control_route_switches_a_preset_and_shows_the_state(client_order_id: str) -> None:
    with running_venue() as venue:
        venue.send("POST", f"{BASE}/orders", order(client_order_id))
        requests.post(f"{venue.url}/_control/faults", json={"name": "clock_off_10s"}, timeout=30)
        state = venue.get("/_control/state").json()
    assert state["faults"] == "clock_off_10s"
    assert len(state["accounts"]["default"]["open_orders"]) == 1


def test_feed_stops_and_goes_on_at_run_time() -> None:
    with running_venue(is_manual=True) as venue:
        def last_trade() -> str:
            rows = venue.get(f"{BASE}/market/products/BTC-USD/ticker", params={"limit": 1}).json()["trades"]
            return str(rows[0]["trade_id"])

        venue.faults(stale_from_s=0.0)
        before = last_trade()
        venue.advance(60)
        assert last_trade() == before
        venue.faults()
        venue.advance(60)
        assert last_trade() != before


def test_product_is_halted_at_run_time(client_order_id: str) -> None:
    with running_venue() as venue:
        venue.faults(halted_products=["BTC-USD"])
        answer = venue.send("POST", f"{BASE}/orders", order(client_order_id)).json()
    assert answer["error_response"]["new_order_failure_reason"] == "ORDER_ENTRY_DISABLED"


def test_book_cannot_become_thin_at_run_time() -> None:
    with running_venue() as venue:
        answer = requests.post(f"{venue.url}/_control/faults", json={"name": "thin_book"}, timeout=30)
    assert answer.status_code == 400
    assert "start a new one" in answer.json()["error"]


def test_time_of_a_running_venue_cannot_be_moved(venue_server: Venue) -> None:
    answer = requests.post(f"{venue_server.url}/_control/advance", json={"seconds": 1}, timeout=30)
    assert answer.status_code == 400
