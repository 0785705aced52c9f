"""The unmodified SDK calls every REST method of the venue, once for success and once for failure."""

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


def filled_future(sdk: CheckingClient) -> None:
    sdk.market_order_buy(new_id(), FUTURE, base_size="1")
    assert sdk.last["success"] is True


SUCCESSES: dict[str, Callable[[CheckingClient], Any]] = {
    "get_unix_time": lambda sdk: sdk.get_unix_time(),
    "get_public_products": lambda sdk: sdk.get_public_products(),
    "get_public_product": lambda sdk: sdk.get_public_product("BTC-USD"),
    "get_public_product_book": lambda sdk: sdk.get_public_product_book("BTC-USD", limit=5),
    "get_public_candles": lambda sdk: sdk.get_public_candles(
        "BTC-USD", str(now_s(sdk) - 3_600), str(now_s(sdk)), "FIVE_MINUTE"
    ),
    "get_public_market_trades": lambda sdk: sdk.get_public_market_trades("BTC-USD", 10),
    "get_products": lambda sdk: sdk.get_products(get_all_products=True),
    "get_futures": lambda sdk: sdk.get_products(product_type="FUTURE", limit=2),
    "get_product": lambda sdk: sdk.get_product(FUTURE, get_tradability_status=True),
    "get_product_book": lambda sdk: sdk.get_product_book("ETH-USD", limit=3, aggregation_price_increment="0.1"),
    "get_best_bid_ask": lambda sdk: sdk.get_best_bid_ask(["BTC-USD", "SOL-USD"]),
    "get_candles": lambda sdk: sdk.get_candles("XRP-USD", str(now_s(sdk) - 600), str(now_s(sdk)), "ONE_MINUTE"),
    "get_market_trades": lambda sdk: sdk.get_market_trades("SOL-USD", 5),
    "get_accounts": lambda sdk: sdk.get_accounts(limit=2),
    "get_account": lambda sdk: sdk.get_account(account_uuid(sdk)),
    "create_order": lambda sdk: sdk.create_order(
        new_id(), "BTC-USD", "BUY", {"limit_limit_gtc": {"base_size": "0.001", "limit_price": "60000"}}
    ),
    "market_order": lambda sdk: sdk.market_order_buy(new_id(), "BTC-USD", quote_size="50"),
    "limit_order_ioc": lambda sdk: sdk.limit_order_ioc_sell(new_id(), "BTC-USD", "0.001", "60000"),
    "limit_order_gtd": lambda sdk: sdk.limit_order_gtd_buy(
        new_id(), "BTC-USD", "0.001", "60000", "2026-12-01T00:00:00Z"
    ),
    "limit_order_fok": lambda sdk: sdk.limit_order_fok_buy(new_id(), "BTC-USD", "0.001", "150000"),
    "stop_limit_gtc": lambda sdk: sdk.stop_limit_order_gtc_sell(
        new_id(), "BTC-USD", "0.001", "90000", "91000", "STOP_DIRECTION_STOP_DOWN"
    ),
    "preview_limit_gtc": lambda sdk: sdk.preview_limit_order_gtc_buy("BTC-USD", "0.001", "60000"),
    "preview_market": lambda sdk: sdk.preview_market_order_sell("BTC-USD", base_size="0.001"),
    "edit_order": lambda sdk: sdk.edit_order(resting_order(sdk), "0.0009", "60001"),
    "preview_edit_order": lambda sdk: sdk.preview_edit_order(resting_order(sdk), "0.0009", "60001"),
    "cancel_orders": lambda sdk: sdk.cancel_orders([resting_order(sdk)]),
    "list_orders": lambda sdk: sdk.list_orders(order_status=["OPEN"], product_ids=["BTC-USD"], limit=3),
    "get_order": lambda sdk: sdk.get_order(resting_order(sdk)),
    "get_fills": lambda sdk: sdk.get_fills(product_ids=["BTC-USD"], limit=5),
    "close_position": lambda sdk: (filled_future(sdk), sdk.close_position(new_id(), FUTURE))[1],
    "get_transaction_summary": lambda sdk: sdk.get_transaction_summary(),
    "get_api_key_permissions": lambda sdk: sdk.get_api_key_permissions(),
    "get_portfolios": lambda sdk: sdk.get_portfolios(),
    "create_portfolio": lambda sdk: sdk.create_portfolio(new_id()),
    "get_portfolio_breakdown": lambda sdk: sdk.get_portfolio_breakdown(portfolio(sdk)),
    "edit_portfolio": lambda sdk: sdk.edit_portfolio(
        sdk.create_portfolio(new_id())["portfolio"]["uuid"], new_id()
    ),
    "delete_portfolio": lambda sdk: sdk.delete_portfolio(sdk.create_portfolio(new_id())["portfolio"]["uuid"]),
    "get_futures_balance_summary": lambda sdk: sdk.get_futures_balance_summary(),
    "list_futures_positions": lambda sdk: (filled_future(sdk), sdk.list_futures_positions())[1],
    "get_futures_position": lambda sdk: (filled_future(sdk), sdk.get_futures_position(FUTURE))[1],
    "get_intraday_margin_setting": lambda sdk: sdk.get_intraday_margin_setting(),
    "set_intraday_margin_setting": lambda sdk: sdk.set_intraday_margin_setting("INTRADAY_MARGIN_SETTING_INTRADAY"),
    "get_current_margin_window": lambda sdk: sdk.get_current_margin_window("MARGIN_PROFILE_TYPE_RETAIL_REGULAR"),
    "list_futures_sweeps": lambda sdk: sdk.list_futures_sweeps(),
    "list_payment_methods": lambda sdk: sdk.list_payment_methods(),
}


@pytest.mark.parametrize("name", SUCCESSES)
def test_sdk_method_is_answered_as_the_contract_says(sdk: CheckingClient, name: str) -> None:
    before = sdk.checked
    SUCCESSES[name](sdk)
    assert sdk.checked > before
    assert sdk.last.get("success", True) is True


HTTP_FAILURES: dict[str, tuple[int, Callable[[CheckingClient], Any]]] = {
    "get_public_product": (404, lambda sdk: sdk.get_public_product("NOPE")),
    "get_public_product_book": (400, lambda sdk: sdk.get_public_product_book("NOPE")),
    "get_public_candles": (400, lambda sdk: sdk.get_public_candles("BTC-USD", "1", "999999999", "ONE_MINUTE")),
    "get_public_market_trades": (400, lambda sdk: sdk.get_public_market_trades("NOPE", 1)),
    "get_public_products": (400, lambda sdk: sdk.get_public_products(product_type="OPTIONS")),
    "get_products": (400, lambda sdk: sdk.get_products(cursor="???")),
    "get_product": (404, lambda sdk: sdk.get_product("NOPE")),
    "get_product_book": (400, lambda sdk: sdk.get_product_book("BTC-USD", aggregation_price_increment="0")),
    "get_best_bid_ask": (400, lambda sdk: sdk.get_best_bid_ask(["NOPE"])),
    "get_candles": (400, lambda sdk: sdk.get_candles("BTC-USD", "5", "1", "ONE_MINUTE")),
    "get_market_trades": (400, lambda sdk: sdk.get_market_trades("BTC-USD", -1)),
    "get_accounts": (400, lambda sdk: sdk.get_accounts(cursor="nowhere")),
    "get_account": (404, lambda sdk: sdk.get_account("nobody")),
    "create_order": (400, lambda sdk: sdk.create_order(new_id(), "BTC-USD", "BUY", {"limit": {"colour": "red"}})),
    "cancel_orders": (400, lambda sdk: sdk.cancel_orders(["x"] * 101)),
    "list_orders": (400, lambda sdk: sdk.list_orders(order_status=["GONE"])),
    "get_order": (404, lambda sdk: sdk.get_order("nothing")),
    "get_fills": (400, lambda sdk: sdk.get_fills(cursor="nowhere")),
    "close_position": (400, lambda sdk: sdk.close_position(new_id(), "NOPE")),
    "get_transaction_summary": (400, lambda sdk: sdk.get_transaction_summary(product_type="NOPE")),
    "get_portfolios": (400, lambda sdk: sdk.get_portfolios(portfolio_type="NOPE")),
    "create_portfolio": (400, lambda sdk: sdk.create_portfolio("")),
    "get_portfolio_breakdown": (404, lambda sdk: sdk.get_portfolio_breakdown("nothing")),
    "edit_portfolio": (400, lambda sdk: sdk.edit_portfolio(portfolio(sdk), "mine")),
    "delete_portfolio": (400, lambda sdk: sdk.delete_portfolio(portfolio(sdk))),
    "move_portfolio_funds": (403, lambda sdk: sdk.move_portfolio_funds("1", "USD", "a", "b")),
    "get_futures_position": (404, lambda sdk: sdk.get_futures_position("ETP-20DEC30-CDE")),
    "set_intraday_margin_setting": (400, lambda sdk: sdk.set_intraday_margin_setting("NOPE")),
    "get_current_margin_window": (400, lambda sdk: sdk.get_current_margin_window("NOPE")),
    "schedule_futures_sweep": (403, lambda sdk: sdk.schedule_futures_sweep("5")),
    "cancel_pending_futures_sweep": (403, lambda sdk: sdk.cancel_pending_futures_sweep()),
    "create_convert_quote": (403, lambda sdk: sdk.create_convert_quote("a", "b", "1")),
    "get_convert_trade": (403, lambda sdk: sdk.get_convert_trade("1", "a", "b")),
    "commit_convert_trade": (403, lambda sdk: sdk.commit_convert_trade("1", "a", "b")),
    "get_payment_method": (404, lambda sdk: sdk.get_payment_method("1")),
    "allocate_portfolio": (403, lambda sdk: sdk.allocate_portfolio("p", "s", "1", "USD")),
    "get_perps_portfolio_summary": (403, lambda sdk: sdk.get_perps_portfolio_summary("p")),
    "list_perps_positions": (403, lambda sdk: sdk.list_perps_positions("p")),
    "get_perps_position": (403, lambda sdk: sdk.get_perps_position("p", "s")),
    "get_perps_portfolio_balances": (403, lambda sdk: sdk.get_perps_portfolio_balances("p")),
    "opt_in_or_out_multi_asset_collateral": (403, lambda sdk: sdk.opt_in_or_out_multi_asset_collateral("p", True)),
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
