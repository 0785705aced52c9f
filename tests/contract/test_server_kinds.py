"""Kinds of order and the venue's own acts as clients see them on the wire: every body and frame is validated."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.contract.venue import BASE, Venue, running_venue
from trading_core.clock import NS

START_NS = 1_795_230_000 * NS  # 2026-11-21 03:00 UTC
FUTURE = "BIP-20DEC30-CDE"


@pytest.fixture
def venue() -> Iterator[Venue]:
    """A fresh venue whose time stands until a test moves it."""
    with running_venue(is_manual=True, start_ns=START_NS) as fresh:
        yield fresh


def post(venue: Venue, path: str, **body: Any) -> Any:
    answer = venue.send("POST", f"{BASE}{path}", json.dumps(body).encode())
    assert answer.status_code == 200, answer.text
    return answer.json()


def create(venue: Venue, name: str, configuration: dict[str, Any], **more: Any) -> Any:
    body = {"client_order_id": name, "product_id": "BTC-USD", "side": "BUY", "order_configuration": configuration}
    return post(venue, "/orders", **(body | more))


def order(venue: Venue, order_id: str) -> Any:
    return venue.send("GET", f"{BASE}/orders/historical/{order_id}").json()["order"]


def price(venue: Venue) -> int:
    return int(Decimal(venue.get(f"{BASE}/market/products/BTC-USD").json()["price"]))


def test_twap_is_reported_slice_by_slice(venue: Venue) -> None:
    twap = {
        "base_size": "0.004", "limit_price": str(price(venue) + 2_000), "start_time": "2026-11-21T03:00:00Z",
        "end_time": "2026-11-21T03:20:00Z", "number_buckets": "4", "bucket_duration": "300s",
    }
    made = create(venue, "t-1", {"twap_limit_gtd": twap})
    assert made["success"], made
    venue.advance(301)
    row = order(venue, made["success_response"]["order_id"])
    assert (row["order_type"], row["filled_size"], row["completion_percentage"]) == ("TWAP", "0.002", "50.00")
    assert row["order_configuration"]["twap_limit_gtd"]["bucket_size"] == "0.001"
    venue.advance(900)
    assert order(venue, row["order_id"])["status"] == "FILLED"


def test_scaled_order_shows_the_orders_that_it_became(venue: Venue) -> None:
    last = price(venue)
    scaled = {
        "base_size": "0.004", "num_orders": 4, "min_price": str(last - 400), "max_price": str(last - 100),
        "price_distribution": "FLAT", "size_distribution": "EVENLY_SPLIT",
    }
    made = create(venue, "s-1", {"scaled_limit_gtc": scaled})
    assert made["success"], made
    row = order(venue, made["success_response"]["order_id"])
    legs = row["order_configuration"]["scaled_limit_gtc"]["orders"]
    assert [leg["limit_price"] for leg in legs] == [str(last - n) for n in (400, 300, 200, 100)]
    assert (row["order_type"], row["status"]) == ("SCALED", "OPEN")
    results = post(venue, "/orders/batch_cancel", order_ids=[row["order_id"]])["results"]
    assert results[0]["success"] is True


def test_attached_bracket_is_named_and_guards_the_fill(venue: Venue) -> None:
    last = price(venue)
    guard = {"trigger_bracket_gtc": {"limit_price": str(last + 3_000), "stop_trigger_price": str(last - 3_000)}}
    made = create(
        venue, "a-1", {"limit_limit_gtc": {"base_size": "0.001", "limit_price": str(last + 500)}},
        attached_order_configuration=guard,
    )
    row = order(venue, made["success_response"]["order_id"])
    shown = row["attached_order_configuration"]["trigger_bracket_gtc"]
    assert shown == {**guard["trigger_bracket_gtc"], "base_size": ""}
    bracket = order(venue, made["success_response"]["attached_order_id"])
    assert (bracket["status"], bracket["side"], bracket["order_type"]) == ("OPEN", "SELL", "BRACKET")
    assert bracket["originating_order_id"] == row["order_id"]
    edited = post(
        venue, "/orders/edit", order_id=bracket["order_id"], price=str(last + 2_000), size="0.001",
        stop_price=str(last - 2_000),
    )
    assert edited == {"success": True, "errors": []}
    after = order(venue, bracket["order_id"])["order_configuration"]["trigger_bracket_gtc"]
    assert (after["limit_price"], after["stop_trigger_price"]) == (str(last + 2_000), str(last - 2_000))


@pytest.mark.parametrize(
    ("guard", "reason"),
    [
        ({"trigger_bracket_gtc": {"base_size": "1", "limit_price": "9", "stop_trigger_price": "1"}},
         "ATTACHED_ORDER_SIZE_MUST_BE_NIL"),
        ({"limit_limit_gtc": {"limit_price": "9"}}, "INVALID_ORDER_TYPE_FOR_ATTACHED"),
        ({"trigger_bracket_gtc": {"limit_price": "9"}}, "ATTACHED_ORDER_MUST_HAVE_POSITIVE_PRICES"),
    ],
)
def test_attached_bracket_of_the_wrong_shape_is_refused(venue: Venue, guard: dict[str, Any], reason: str) -> None:
    plain = {"limit_limit_gtc": {"base_size": "0.001", "limit_price": "60000"}}
    answer = create(venue, "w-1", plain, attached_order_configuration=guard)
    assert answer["error_response"]["new_order_failure_reason"] == reason


def test_futures_order_is_queued_during_maintenance_and_opens_after_it(venue: Venue) -> None:
    venue.faults(maintenance_from_s=1.0, maintenance_for_s=1_800.0)
    venue.advance(2)
    details = venue.get(f"{BASE}/market/products/{FUTURE}").json()["fcm_trading_session_details"]
    assert (details["is_session_open"], details["maintenance"]["end_time"]) == (False, "2026-11-21T03:30:01Z")
    limit = {"limit_limit_gtc": {"base_size": "1", "limit_price": "60000"}}
    made = create(venue, "m-1", limit, product_id=FUTURE)
    order_id = made["success_response"]["order_id"]
    assert order(venue, order_id)["status"] == "QUEUED"
    spot = create(venue, "m-2", {"limit_limit_gtc": {"base_size": "0.001", "limit_price": "60000"}})
    assert spot["error_response"]["new_order_failure_reason"] == "TRADING_DISABLED"
    venue.advance(1_800)
    assert order(venue, order_id)["status"] == "OPEN"


def test_late_cancel_is_told_before_it_is_done(venue: Venue) -> None:
    venue.faults(cancel_delay_ms=5_000)
    limit = {"limit_limit_gtc": {"base_size": "0.001", "limit_price": "60000"}}
    order_id = create(venue, "c-1", limit)["success_response"]["order_id"]
    with venue.socket() as socket:
        socket.subscribe("user", signed=True)
        socket.until("user", "snapshot")
        assert post(venue, "/orders/batch_cancel", order_ids=[order_id])["results"][0]["success"] is True
        row = order(venue, order_id)
        assert (row["status"], row["pending_cancel"]) == ("CANCEL_QUEUED", True)
        assert socket.until("user", "update")["events"][0]["orders"][0]["status"] == "CANCEL_QUEUED"
        venue.advance(6)
        assert socket.until("user", "update")["events"][0]["orders"][0]["status"] == "CANCELLED"


def test_late_edit_is_told_before_it_is_done(venue: Venue) -> None:
    venue.faults(edit_delay_ms=5_000)
    limit = {"limit_limit_gtc": {"base_size": "0.001", "limit_price": "60000"}}
    order_id = create(venue, "e-1", limit)["success_response"]["order_id"]
    with venue.socket() as socket:
        socket.subscribe("user", signed=True)
        socket.until("user", "snapshot")
        assert post(venue, "/orders/edit", order_id=order_id, price="59000", size="0.001")["success"] is True
        row = order(venue, order_id)
        assert (row["status"], row["current_pending_replace"]["price"]) == ("EDIT_QUEUED", "59000")
        told = socket.until("user", "update")["events"][0]["orders"][0]
        assert (told["status"], told["limit_price"]) == ("EDIT_QUEUED", "60000")
        venue.advance(6)
        socket.until("user", "update")
        row = order(venue, order_id)
        assert (row["status"], row["current_pending_replace"]) == ("OPEN", None)
        assert row["order_configuration"]["limit_limit_gtc"]["limit_price"] == "59000"


def test_accepted_order_that_fails_is_told_on_the_user_channel(venue: Venue) -> None:
    venue.faults(fail_after_accept_share=1.0)
    with venue.socket() as socket:
        socket.subscribe("user", signed=True)
        socket.until("user", "snapshot")
        limit = {"limit_limit_gtc": {"base_size": "0.001", "limit_price": "60000"}}
        assert create(venue, "f-1", limit)["success"] is True
        venue.advance(1)
        states = [socket.until("user", "update")["events"][0]["orders"][0] for _ in range(2)]
    assert [state["status"] for state in states] == ["PENDING", "FAILED"]
    assert states[1]["reject_reason"] == "HOLD_FAILURE"


def test_liquidation_is_told_as_the_venues_own_order(venue: Venue) -> None:
    made = create(venue, "l-1", {"market_market_ioc": {"base_size": "2"}}, product_id=FUTURE)
    assert made["success"], made
    venue.faults(liquidation_at_s=0.0)
    venue.advance(1)
    rows = venue.send("GET", f"{BASE}/orders/historical/batch").json()["orders"]
    assert (rows[0]["order_type"], rows[0]["is_liquidation"], rows[0]["status"]) == ("LIQUIDATION", True, "FILLED")
    assert venue.send("GET", f"{BASE}/cfm/positions").json()["positions"] == []


def test_crossed_book_is_seen_on_level2_and_in_the_rest_book(venue: Venue) -> None:
    venue.faults(crossed_from_s=1.0)
    with venue.socket() as socket:
        socket.subscribe("level2", ["BTC-USD"])
        snapshot = socket.until("l2_data")["events"][0]["updates"]
        venue.advance(2)
        book = {(row["side"], row["price_level"]): row["new_quantity"] for row in snapshot}
        for row in socket.until("l2_data", "update")["events"][0]["updates"]:
            book[row["side"], row["price_level"]] = row["new_quantity"]
    levels = {key: size for key, size in book.items() if size != "0"}
    bid = max(Decimal(level) for side, level in levels if side == "bid")
    ask = min(Decimal(level) for side, level in levels if side == "offer")
    assert bid > ask
    rest = venue.get(f"{BASE}/market/product_book", params={"product_id": "BTC-USD", "limit": 1}).json()["pricebook"]
    assert Decimal(rest["bids"][0]["price"]) > Decimal(rest["asks"][0]["price"])


def test_renamed_member_is_missing_under_its_name(venue: Venue) -> None:
    venue.is_conformant = False
    venue.faults(renamed_members=[["order_id", "order_uid"]])
    made = create(venue, "r-1", {"limit_limit_gtc": {"base_size": "0.001", "limit_price": "60000"}})
    assert "order_id" not in made["success_response"]
    assert made["success_response"]["order_uid"]
