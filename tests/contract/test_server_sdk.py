"""The unmodified SDK at a venue with the default switches: refusals, idempotency and pages."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.contract.venue import CheckingClient, Venue
from trading_core.advanced_trade.keys import KeyKind

_ids = itertools.count(1)
FUTURE = "BIP-20DEC30-CDE"


def new_id() -> str:
    return f"sdk-{next(_ids)}"


@pytest.fixture
def sdk(venue_server: Venue) -> CheckingClient:
    return venue_server.sdk()


def resting_order(sdk: CheckingClient) -> str:
    sdk.limit_order_gtc_buy(new_id(), "BTC-USD", "0.001", "60000", post_only=True)
    return str(sdk.last["success_response"]["order_id"])


def now_s(sdk: CheckingClient) -> int:
    return int(sdk.get("/api/v3/brokerage/time")["epochSeconds"])


def portfolio(sdk: CheckingClient) -> str:
    return str(sdk.get("/api/v3/brokerage/portfolios")["portfolios"][0]["uuid"])


def account_uuid(sdk: CheckingClient) -> str:
    return str(sdk.get("/api/v3/brokerage/accounts")["accounts"][0]["uuid"])


# What this venue's key may not do, or what the venue does not offer unless a switch says so.
HTTP_FAILURES: dict[str, tuple[int, Callable[[CheckingClient], Any]]] = {
    "create_convert_quote": (403, lambda sdk: sdk.create_convert_quote("a", "b", "1")),
    "get_convert_trade": (403, lambda sdk: sdk.get_convert_trade("1", "a", "b")),
    "commit_convert_trade": (403, lambda sdk: sdk.commit_convert_trade("1", "a", "b")),
    "allocate_portfolio": (403, lambda sdk: sdk.allocate_portfolio("p", "s", "1", "USD")),
    "get_perps_portfolio_summary": (403, lambda sdk: sdk.get_perps_portfolio_summary("p")),
    "list_perps_positions": (403, lambda sdk: sdk.list_perps_positions("p")),
    "get_perps_position": (403, lambda sdk: sdk.get_perps_position("p", "s")),
    "get_perps_portfolio_balances": (403, lambda sdk: sdk.get_perps_portfolio_balances("p")),
    "opt_in_or_out_multi_asset_collateral": (403, lambda sdk: sdk.opt_in_or_out_multi_asset_collateral("p", True)),
    "schedule_futures_sweep": (403, lambda sdk: sdk.schedule_futures_sweep("5")),
    "cancel_pending_futures_sweep": (403, lambda sdk: sdk.cancel_pending_futures_sweep()),
    "move_portfolio_funds": (403, lambda sdk: sdk.move_portfolio_funds("1", "USD", "a", "b")),
}


@pytest.mark.parametrize("name", HTTP_FAILURES)
def test_sdk_method_fails_as_the_contract_says(sdk: CheckingClient, name: str) -> None:
    status, call = HTTP_FAILURES[name]
    with pytest.raises(requests.HTTPError) as failure:
        call(sdk)
    assert failure.value.response.status_code == status


BUSINESS_FAILURES: dict[str, tuple[str, Callable[[CheckingClient], Any]]] = {
    "no money": ("INSUFFICIENT_FUND", lambda sdk: sdk.limit_order_gtc_buy(new_id(), "BTC-USD", "1000", "60000")),
    "off tick": (
        "INVALID_PRICE_PRECISION",
        lambda sdk: sdk.limit_order_gtc_buy(new_id(), "BTC-USD", "0.001", "60000.001"),
    ),
    "post-only would take": (
        "INVALID_LIMIT_PRICE_POST_ONLY",
        lambda sdk: sdk.limit_order_gtc_buy(new_id(), "BTC-USD", "0.001", "150000", post_only=True),
    ),
    "not a number": ("INVALID_REQUEST", lambda sdk: sdk.limit_order_gtc_buy(new_id(), "BTC-USD", "much", "60000")),
    "no product": ("INVALID_PRODUCT_ID", lambda sdk: sdk.limit_order_gtc_buy(new_id(), "NOPE", "1", "60000")),
    "nothing to close": ("CANNOT_CLOSE_ZERO_POSITION", lambda sdk: sdk.close_position(new_id(), "XPP-20DEC30-CDE")),
}


@pytest.mark.parametrize("name", BUSINESS_FAILURES)
def test_refused_order_is_answered_200_with_all_five_members(sdk: CheckingClient, name: str) -> None:
    reason, call = BUSINESS_FAILURES[name]
    call(sdk)
    assert sdk.last["success"] is False
    error = sdk.last["error_response"]
    assert error["new_order_failure_reason"] == error["error"] == reason
    assert set(error) == {"error", "message", "error_details", "preview_failure_reason", "new_order_failure_reason"}


def test_preview_names_what_is_wrong(sdk: CheckingClient) -> None:
    sdk.preview_limit_order_gtc_buy("BTC-USD", "1000", "60000")
    assert sdk.last["errs"] == ["PREVIEW_INSUFFICIENT_FUND"]


def test_edit_of_an_unknown_order_is_refused(sdk: CheckingClient) -> None:
    sdk.edit_order("nothing", "1", "2")
    assert sdk.last["success"] is False
    assert sdk.last["errors"][0]["edit_failure_reason"] == "ORDER_NOT_FOUND"


@pytest.mark.parametrize("kind", list(KeyKind))
def test_both_kinds_of_keys_open_the_private_side(venue_server: Venue, kind: KeyKind) -> None:
    answer = venue_server.own_client(kind).get("/api/v3/brokerage/key_permissions")
    assert (answer["can_view"], answer["can_trade"], answer["can_transfer"]) == (True, True, False)


def test_same_client_order_id_returns_the_first_order(sdk: CheckingClient) -> None:
    body = {"limit_limit_gtc": {"base_size": "0.001", "limit_price": "60000"}}
    ids = []
    for _ in range(2):
        sdk.create_order("the-same", "BTC-USD", "BUY", body)
        ids.append(sdk.last["success_response"]["order_id"])
    assert ids[0] == ids[1]


def test_every_row_of_a_long_history_is_reached_once(sdk: CheckingClient) -> None:
    made = {resting_order(sdk) for _ in range(5)}
    seen: list[str] = []
    cursor = None
    while True:
        page = sdk.get("/api/v3/brokerage/orders/historical/batch", params={"limit": 2, "cursor": cursor})
        seen += [row["order_id"] for row in page["orders"]]
        cursor = page["cursor"]
        if not page["has_next"]:
            break
    assert made <= set(seen)
    assert len(seen) == len(set(seen))
