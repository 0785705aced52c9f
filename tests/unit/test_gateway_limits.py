"""Rate limits and query strings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_core.advanced_trade.emit import contract
from trading_core.advanced_trade.gateway_http import ApiError
from trading_core.advanced_trade.gateway_limits import Throttle
from trading_core.advanced_trade.gateway_query import parse_query
from trading_core.clock import NS

ORDERS = contract()["paths"]["/api/v3/brokerage/orders/historical/batch"]["get"]["parameters"]


def test_limit_lets_a_second_s_worth_through_and_no_more() -> None:
    throttle = Throttle()
    allowed = [throttle.spend("a", 10, 0).is_allowed for _ in range(12)]
    assert allowed == [True] * 10 + [False] * 2


def test_limit_refills_with_venue_time() -> None:
    throttle = Throttle()
    for _ in range(10):
        throttle.spend("a", 10, 0)
    assert not throttle.spend("a", 10, NS // 20).is_allowed
    assert throttle.spend("a", 10, NS // 10).is_allowed


def test_each_client_has_its_own_limit() -> None:
    throttle = Throttle()
    throttle.spend("a", 1, 0)
    assert throttle.spend("b", 1, 0).is_allowed


def test_zero_switches_the_limit_off() -> None:
    assert all(Throttle().spend("a", 0, 0).is_allowed for _ in range(100))


def test_headers_are_in_lower_case() -> None:
    assert Throttle().spend("a", 30, 0).headers() == {
        "x-ratelimit-limit": "30", "x-ratelimit-remaining": "29", "x-ratelimit-reset": "1",
    }


def test_repeated_keys_are_a_list() -> None:
    pairs = (("order_status", "OPEN"), ("order_status", "PENDING"), ("limit", "5"), ("surprise", "x"))
    assert parse_query(pairs, ORDERS)["order_status"] == ["OPEN", "PENDING"]
    assert parse_query(pairs, ORDERS)["limit"] == 5


@pytest.mark.parametrize(("text", "value"), [("True", True), ("true", True), ("False", False), ("0", False)])
def test_booleans_of_every_client_are_read(text: str, value: bool) -> None:
    pairs = (("use_simplified_total_value_calculation", text),)
    assert parse_query(pairs, ORDERS)["use_simplified_total_value_calculation"] is value


@pytest.mark.parametrize(
    ("pair", "sentence"),
    [
        (("product_type", "OPTIONS"), 'parsing field "product_type": "OPTIONS" is not a valid value'),
        (("order_status", "GONE"), 'parsing field "order_status": "GONE" is not a valid value'),
        (("limit", "many"), 'parsing field "limit": strconv.ParseInt: parsing "many": invalid syntax'),
        (("limit", "9999999999"), 'parsing field "limit": strconv.ParseInt: parsing "9999999999": value out of range'),
    ],
)
def test_bad_query_values_are_named(pair: tuple[str, str], sentence: str) -> None:
    with pytest.raises(ApiError) as refusal:
        parse_query((pair,), ORDERS)
    assert (refusal.value.status, refusal.value.error, refusal.value.details) == (400, "unknown", sentence)


@given(st.lists(st.tuples(st.sampled_from([p["name"] for p in ORDERS]), st.text(max_size=20)), max_size=4))
def test_any_query_is_parsed_or_refused(pairs: list[tuple[str, str]]) -> None:
    try:
        outcome = 200 if isinstance(parse_query(tuple(pairs), ORDERS), dict) else 500
    except ApiError as e:
        outcome = e.status
    assert outcome in (200, 400)


def test_hourly_limit_lasts_longer_than_a_second() -> None:
    throttle, hour_ns = Throttle(), 3_600 * NS
    spends = [throttle.spend("hour me", 3, n * NS, hour_ns).is_allowed for n in range(5)]
    assert spends == [True, True, True, False, False]
    assert throttle.spend("hour me", 3, hour_ns, hour_ns).is_allowed
