"""The venue's front door: tokens, scopes, rate limits, error shapes, strict bodies, sandbox scenarios, v2 routes."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from tests.contract.venue import BASE, Venue, running_venue
from trading_core.advanced_trade.gateway import GatewayConfig
from trading_core.advanced_trade.gateway_limits import RateLimits
from trading_core.advanced_trade.keys import KeyKind, Scope, generate_key
from trading_core.clock import wall_now_ns
from trading_core.local_exchange.config import AccountConfig

ORDER: dict[str, Any] = {
    "client_order_id": "door-1",
    "product_id": "BTC-USD",
    "side": "BUY",
    "order_configuration": {"limit_limit_gtc": {"base_size": "0.001", "limit_price": "60000"}},
}


def assert_unauthorized(answer: requests.Response) -> None:
    assert (answer.status_code, answer.text) == (401, "Unauthorized\n")
    assert answer.headers["content-type"] == "text/plain"


def test_public_side_needs_no_token(venue_server: Venue) -> None:
    assert venue_server.get(f"{BASE}/market/products/BTC-USD").status_code == 200


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer x", "Bearer a.b.c", "Basic dTpw"])
def test_private_side_without_a_token_is_401_in_plain_text(venue_server: Venue, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    assert_unauthorized(venue_server.get(f"{BASE}/products/BTC-USD", headers=headers))


def test_token_for_another_path_is_401(venue_server: Venue) -> None:
    token = venue_server.signer().rest_token("GET", venue_server.ready.rest_host, f"{BASE}/accounts")
    assert_unauthorized(venue_server.get(f"{BASE}/portfolios", headers={"Authorization": f"Bearer {token}"}))


def test_key_of_somebody_else_is_401(venue_server: Venue) -> None:
    with pytest.raises(requests.HTTPError, match="401"):
        venue_server.sdk(generate_key(KeyKind.ES256)).get_accounts()


def test_public_path_with_a_bad_token_is_answered(venue_server: Venue) -> None:
    assert venue_server.get(f"{BASE}/time", headers={"Authorization": "Bearer x"}).status_code == 200


def test_key_that_may_only_look_is_403_in_the_words_that_the_sdk_knows() -> None:
    with running_venue(scopes=frozenset({Scope.VIEW})) as venue:
        answer = venue.send("POST", f"{BASE}/orders", json.dumps(ORDER).encode())
        assert answer.status_code == 403
        assert '"error_details":"Missing required scopes"' in answer.text
        assert venue.send("GET", f"{BASE}/key_permissions").json()["can_trade"] is False
        with pytest.raises(requests.HTTPError, match="Missing Required Scopes"):
            venue.sdk().cancel_orders(["x"])


@pytest.mark.parametrize("path", ["/nothing", f"{BASE}/nothing", f"{BASE}/orders/historical/a/b", "/v2/nothing", "/"])
def test_unknown_route_is_404_in_three_keys(venue_server: Venue, path: str) -> None:
    answer = venue_server.get(path)
    assert answer.status_code == 404
    assert answer.json() == {"error": "unknown", "error_details": "Not Found", "message": "Not Found"}


def test_undocumented_route_below_an_account_is_401(venue_server: Venue) -> None:
    assert_unauthorized(venue_server.get(f"{BASE}/accounts/some-uuid/transactions"))


def test_unknown_key_in_a_body_is_400_with_its_place(venue_server: Venue) -> None:
    body = json.dumps({**ORDER, "max_floor": "1"}).encode()
    answer = venue_server.send("POST", f"{BASE}/orders", body)
    column = body.index(b'"max_floor"') + 1
    sentence = f'proto: (line 1:{column}): unknown field "max_floor"'
    assert answer.status_code == 400
    assert answer.json() == {"error": "unknown", "error_details": sentence, "message": sentence}


def test_trailing_slash_is_the_same_route(venue_server: Venue) -> None:
    assert venue_server.send("POST", f"{BASE}/orders/batch_cancel/", b'{"orderIds":["x"]}').status_code == 200


def test_body_on_a_read_is_tolerated(venue_server: Venue) -> None:
    assert venue_server.send("GET", f"{BASE}/accounts", b"{}").status_code == 200


def test_body_that_is_too_large_is_413(venue_server: Venue) -> None:
    answer = venue_server.send("POST", f"{BASE}/orders", b"{" + b" " * (2 << 20) + b"}")
    assert answer.status_code == 413


def test_wrong_method_is_405(venue_server: Venue) -> None:
    assert venue_server.send("PUT", f"{BASE}/orders", b"{}").status_code == 405


def test_created_order_is_echoed_with_its_configuration_normalised(venue_server: Venue) -> None:
    answer = venue_server.send("POST", f"{BASE}/orders", json.dumps({**ORDER, "client_order_id": "echo"}).encode())
    assert answer.json()["order_configuration"] == {
        "limit_limit_gtc": {"base_size": "0.001", "limit_price": "60000", "post_only": False}
    }
    assert "error_response" not in answer.json()
    assert answer.text.startswith('{"success":true, "success_response":{"order_id":"')


def test_rate_limit_headers_are_in_lower_case_and_count_down() -> None:
    with running_venue(is_manual=True, gateway=GatewayConfig()) as venue:
        answers = [venue.get(f"{BASE}/time") for _ in range(11)]
        names = [name for name in answers[0].raw.headers if name.lower().startswith("x-ratelimit")]
        assert sorted(names) == ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"]
        assert [a.headers["x-ratelimit-remaining"] for a in answers[:10]] == [str(n) for n in range(9, -1, -1)]
        assert answers[10].status_code == 429
        assert answers[10].json() == {"errors": [{"id": "rate_limit_exceeded", "message": "Too many requests"}]}
        venue.advance(1)
        assert venue.get(f"{BASE}/time").status_code == 200


def test_private_limit_counts_for_each_account_not_for_each_address() -> None:
    limits = RateLimits(private_per_s=2, public_per_s=1)
    with running_venue(is_manual=True, gateway=GatewayConfig(limits=limits)) as venue:
        assert [venue.send("GET", f"{BASE}/accounts").status_code for _ in range(3)] == [200, 200, 429]
        assert venue.get(f"{BASE}/time").status_code == 200


@pytest.mark.parametrize(
    ("scenario", "path", "body", "found"),
    [
        ("PostOrder_insufficient_fund", "orders", ORDER, '"error":"INSUFFICIENT_FUND"'),
        ("CancelOrders_failure", "orders/batch_cancel", {"order_ids": ["a"]}, "UNKNOWN_CANCEL_ORDER"),
        ("EditOrder_failure", "orders/edit", {"order_id": "a"}, "ORDER_NOT_FOUND"),
        ("PreviewEditOrder_failure", "orders/edit_preview", {"order_id": "a"}, "ORDER_NOT_FOUND"),
        (
            "PreviewOrder_insufficient_fund", "orders/preview",
            {k: v for k, v in ORDER.items() if k != "client_order_id"}, '"errs":["PREVIEW_INSUFFICIENT_FUND"]',
        ),
    ],
)
def test_sandbox_scenarios_of_coinbase_work(
    venue_server: Venue, scenario: str, path: str, body: dict[str, Any], found: str
) -> None:
    headers = {"X-Sandbox": scenario}
    answer = venue_server.send("POST", f"{BASE}/{path}", json.dumps(body).encode(), headers=headers)
    assert answer.status_code == 200
    assert found in answer.text


@pytest.mark.parametrize("path", ["/v2/currencies", "/v2/currencies/crypto", "/v2/exchange-rates", "/v2/time"])
def test_v2_routes_that_other_clients_call_on_start_are_public(venue_server: Venue, path: str) -> None:
    assert venue_server.get(path).json()["data"]


def test_v2_accounts_is_private(venue_server: Venue) -> None:
    assert_unauthorized(venue_server.get("/v2/accounts"))
    rows = venue_server.send("GET", "/v2/accounts").json()["data"]
    assert {row["currency"]["code"] for row in rows} >= {"USD", "BTC"}


def test_path_prefix_serves_clients_that_can_only_patch_a_part_of_the_address() -> None:
    config = GatewayConfig(path_prefix="/coinbase.com", limits=RateLimits(private_per_s=0, public_per_s=0))
    with running_venue(gateway=config) as venue:
        assert venue.send("GET", f"/coinbase.com{BASE}/accounts").status_code == 200
        token = venue.signer().rest_token("GET", venue.ready.rest_host, f"{BASE}/accounts")
        answer = venue.get(f"/coinbase.com{BASE}/accounts", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 200


def test_time_is_the_wall_clock_at_speed_one(venue_server: Venue) -> None:
    venue_ms = int(venue_server.get(f"{BASE}/time").json()["epochMillis"])
    assert abs(venue_ms - wall_now_ns() // 1_000_000) < 2_000


def test_time_runs_at_the_speed_asked_for() -> None:
    with running_venue(speed=60.0) as venue:
        first, wall = int(venue.get(f"{BASE}/time").json()["epochMillis"]), wall_now_ns()
        while wall_now_ns() - wall < 500_000_000:
            last = int(venue.get(f"{BASE}/time").json()["epochMillis"])
        assert 20_000 < last - first < 120_000


def test_intraday_setting_is_kept(venue_server: Venue) -> None:
    path = f"{BASE}/cfm/intraday/margin_setting"
    for setting in ("INTRADAY_MARGIN_SETTING_INTRADAY", "INTRADAY_MARGIN_SETTING_STANDARD"):
        venue_server.send("POST", path, json.dumps({"setting": setting}).encode())
        assert venue_server.send("GET", path).json() == {"setting": setting}


def test_sweeps_are_scheduled_once_and_cancelled() -> None:
    with running_venue(
        is_manual=True, scopes=frozenset(Scope), accounts=(AccountConfig(can_transfer=True),)
    ) as venue:
        path = f"{BASE}/cfm/sweeps"
        assert venue.send("POST", f"{path}/schedule", b'{"usd_amount":"10"}').json() == {"success": True}
        assert venue.send("POST", f"{path}/schedule", b"{}").status_code == 400
        sweep = venue.send("GET", path).json()["sweeps"][0]
        assert (sweep["status"], sweep["requested_amount"]["value"]) == ("PENDING", "10")
        assert venue.send("DELETE", path).json() == {"success": True}
        assert venue.send("GET", path).json() == {"sweeps": []}

