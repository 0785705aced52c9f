"""Calls from inside the process: history with its filters and pages, accounts apart, switches, trusted calls."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trading_core.advanced_trade.gateway import Gateway
from trading_core.advanced_trade.keys import KeyRegistry
from trading_core.clock import NS, iso
from trading_core.local_exchange.config import AccountConfig, CompatSwitches, ExchangeConfig
from trading_core.local_exchange.exchange import LocalExchange

BASE = "/api/v3/brokerage"
START_NS = 1_795_219_200 * NS
RESTING = {"limit_limit_gtc": {"base_size": "0.001", "limit_price": "60000", "post_only": True}}
MARKET = {"market_market_ioc": {"quote_size": "50"}}
FUTURE = "BIP-20DEC30-CDE"


def make_gateway(**changes: Any) -> Gateway:
    return Gateway(LocalExchange(ExchangeConfig(start_ns=START_NS, **changes)), KeyRegistry())


def ask(
    gateway: Gateway, method: str, path: str, params: Any = None, data: Any = None, account: str | None = None
) -> dict[str, Any]:
    answer = gateway.handle_trusted(method, BASE + path, params, data, account)
    body: dict[str, Any] = json.loads(answer.body)
    return {"status": answer.status, **body}


def place(
    gateway: Gateway, name: str, configuration: Any, product_id: str = "BTC-USD", side: str = "BUY", **more: Any
) -> str:
    body = {
        "client_order_id": name, "product_id": product_id, "side": side, "order_configuration": configuration, **more
    }
    return str(ask(gateway, "POST", "/orders", None, body)["success_response"]["order_id"])


@pytest.fixture
def gateway() -> Gateway:
    """A venue with four orders, one second apart: two resting, two filled, one of those in a future."""
    made = make_gateway()
    place(made, "rest-1", RESTING)
    made.exchange.advance(START_NS + NS)
    place(made, "fill-1", MARKET)
    made.exchange.advance(START_NS + 2 * NS)
    place(made, "rest-2", {"limit_limit_gtc": {"base_size": "0.1", "limit_price": "9000"}}, "ETH-USD", "SELL")
    made.exchange.advance(START_NS + 3 * NS)
    place(made, "fill-2", {"market_market_ioc": {"base_size": "1"}}, FUTURE)
    return made


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({}, ["fill-2", "rest-2", "fill-1", "rest-1"]),
        ({"order_status": ["OPEN"]}, ["rest-2", "rest-1"]),
        ({"order_status": ["FILLED"]}, ["fill-2", "fill-1"]),
        ({"order_status": ["OPEN", "FILLED"]}, ["fill-2", "rest-2", "fill-1", "rest-1"]),
        ({"product_ids": ["BTC-USD"]}, ["fill-1", "rest-1"]),
        ({"product_id": "ETH-USD"}, ["rest-2"]),
        ({"product_type": "FUTURE"}, ["fill-2"]),
        ({"order_side": "SELL"}, ["rest-2"]),
        ({"order_types": ["MARKET"]}, ["fill-2", "fill-1"]),
        ({"time_in_forces": ["GOOD_UNTIL_CANCELLED"]}, ["rest-2", "rest-1"]),
        ({"asset_filters": ["ETH"]}, ["rest-2"]),
        ({"start_date": iso(START_NS + NS)}, ["fill-2", "rest-2", "fill-1"]),
        ({"end_date": iso(START_NS + NS)}, ["rest-1"]),
        ({"order_placement_source": "RETAIL_SIMPLE"}, []),
        ({"contract_expiry_type": "PERPETUAL"}, []),
        ({"order_ids": ["nothing"]}, []),
        ({"limit": 1}, ["fill-2"]),
        ({"sort_by": "LIMIT_PRICE", "order_status": ["OPEN"]}, ["rest-1", "rest-2"]),
    ],
)
def test_orders_are_filtered(gateway: Gateway, params: dict[str, Any], names: list[str]) -> None:
    rows = ask(gateway, "GET", "/orders/historical/batch", params)["orders"]
    assert [row["client_order_id"] for row in rows] == names


@pytest.mark.parametrize(
    ("params", "products"),
    [
        ({}, [FUTURE, "BTC-USD"]),
        ({"product_ids": ["BTC-USD"]}, ["BTC-USD"]),
        ({"product_types": ["FUTURE"]}, [FUTURE]),
        ({"order_types": ["LIMIT"]}, []),
        ({"order_side": "BUY", "end_sequence_timestamp": iso(START_NS + 2 * NS)}, ["BTC-USD"]),
        ({"start_sequence_timestamp": iso(START_NS + 2 * NS)}, [FUTURE]),
        ({"trade_ids": ["nothing"]}, []),
    ],
)
def test_fills_are_filtered(gateway: Gateway, params: dict[str, Any], products: list[str]) -> None:
    rows = ask(gateway, "GET", "/orders/historical/fills", params)["fills"]
    assert list(dict.fromkeys(row["product_id"] for row in rows)) == products


def test_fills_of_one_order_are_only_its_own(gateway: Gateway) -> None:
    order = ask(gateway, "GET", "/orders/historical/batch", {"product_ids": ["BTC-USD"], "order_status": ["FILLED"]})
    order_id = order["orders"][0]["order_id"]
    rows = ask(gateway, "GET", "/orders/historical/fills", {"order_ids": [order_id]})["fills"]
    assert {row["order_id"] for row in rows} == {order_id}


@pytest.mark.parametrize("path", ["/orders/historical/batch", "/orders/historical/fills", "/accounts"])
def test_every_row_is_on_exactly_one_page(gateway: Gateway, path: str) -> None:
    name = {"/accounts": "accounts", "/orders/historical/batch": "orders"}.get(path, "fills")
    whole = ask(gateway, "GET", path)[name]
    paged: list[dict[str, Any]] = []
    cursor = None
    while cursor != "":
        page = ask(gateway, "GET", path, {"limit": 1, "cursor": cursor})
        paged += page[name]
        cursor = page["cursor"]
    assert [{**row, "cursor": ""} for row in paged] == [{**row, "cursor": ""} for row in whole]


def test_unfilled_order_has_the_zeros_of_the_wire(gateway: Gateway) -> None:
    row = ask(gateway, "GET", "/orders/historical/batch", {"order_status": ["OPEN"]})["orders"][1]
    assert (row["completion_percentage"], row["average_filled_price"], row["filled_size"]) == ("0", "0", "0")
    assert (row["trigger_status"], row["number_of_fills"], row["margin_type"]) == (
        "INVALID_ORDER_TYPE", "0", "UNKNOWN_MARGIN_TYPE"
    )
    assert row["order_configuration"] == RESTING


def test_filled_order_counts_its_fees_in(gateway: Gateway) -> None:
    row = ask(gateway, "GET", "/orders/historical/batch", {"product_ids": ["BTC-USD"]})["orders"][0]
    fills = ask(gateway, "GET", "/orders/historical/fills", {"order_ids": [row["order_id"]]})["fills"]
    assert row["completion_percentage"] == "100.00"
    assert int(row["number_of_fills"]) == len(fills)
    assert float(row["total_value_after_fees"]) > float(row["filled_value"])


def test_position_shows_until_it_is_closed(gateway: Gateway) -> None:
    position = ask(gateway, "GET", f"/cfm/positions/{FUTURE}")["position"]
    assert (position["side"], position["number_of_contracts"]) == ("LONG", "1")
    closed = ask(gateway, "POST", "/orders/close_position", None, {
        "client_order_id": "close-1", "product_id": FUTURE
    })
    assert closed["success"] is True
    assert ask(gateway, "GET", "/cfm/positions")["positions"] == []
    assert ask(gateway, "GET", f"/cfm/positions/{FUTURE}")["status"] == 404


def test_accounts_do_not_see_each_other() -> None:
    gateway = make_gateway(accounts=(AccountConfig(account_id="one"), AccountConfig(account_id="two")))
    order_id = place(gateway, "mine", RESTING)
    assert ask(gateway, "GET", f"/orders/historical/{order_id}", account="two")["status"] == 404
    assert ask(gateway, "GET", "/orders/historical/batch", account="two")["orders"] == []
    cancel = ask(gateway, "POST", "/orders/batch_cancel", None, {"order_ids": [order_id]}, account="two")
    assert cancel["results"][0]["failure_reason"] == "UNKNOWN_CANCEL_ORDER"
    first, second = (ask(gateway, "GET", "/key_permissions", account=a)["portfolio_uuid"] for a in ("one", "two"))
    assert first != second


def test_account_that_may_not_trade_is_refused() -> None:
    gateway = make_gateway(accounts=(AccountConfig(can_trade=False),))
    body = {"client_order_id": "x", "product_id": "BTC-USD", "side": "BUY", "order_configuration": RESTING}
    assert ask(gateway, "POST", "/orders", None, body)["status"] == 403


def test_attached_bracket_that_cannot_guard_is_refused() -> None:
    gateway = make_gateway()
    body = {
        "client_order_id": "x", "product_id": "BTC-USD", "side": "BUY", "order_configuration": RESTING,
        "attached_order_configuration": {"trigger_bracket_gtc": {"limit_price": "1", "stop_trigger_price": "2"}},
    }
    answer = ask(gateway, "POST", "/orders", None, body)
    assert answer["error_response"]["new_order_failure_reason"] == "INVALID_ATTACHED_TAKE_PROFIT_PRICE"


@pytest.mark.parametrize(
    ("configuration", "reason"),
    [
        ({}, "PREVIEW_INVALID_ORDER_CONFIG"),
        ({"market_market_ioc": {"base_size": "1", "quote_size": "1"}}, "PREVIEW_INVALID_ORDER_CONFIG"),
        ({"limit_limit_gtc": {"limit_price": "1"}}, "PREVIEW_INVALID_ORDER_CONFIG"),
        ({"limit_limit_gtc": {"base_size": "1"}}, "PREVIEW_INVALID_LIMIT_PRICE"),
        ({"limit_limit_gtc": {"base_size": "NaN", "limit_price": "1"}}, "PREVIEW_NON_NUMERIC_ORDER_SIZE"),
        ({"stop_limit_stop_limit_gtc": {"base_size": "1", "limit_price": "1"}}, "PREVIEW_INVALID_STOP_PRICE"),
    ],
)
def test_order_that_makes_no_sense_is_refused_with_its_reason(configuration: dict[str, Any], reason: str) -> None:
    body = {"product_id": "BTC-USD", "side": "BUY", "order_configuration": configuration}
    assert ask(make_gateway(), "POST", "/orders/preview", None, body)["errs"] == [reason]


def test_legacy_clients_may_have_four_members() -> None:
    gateway = make_gateway(compat=CompatSwitches(legacy_error_response=True))
    body = {"client_order_id": "x", "product_id": "NOPE", "side": "BUY", "order_configuration": RESTING}
    error = ask(gateway, "POST", "/orders", None, body)["error_response"]
    assert set(error) == {"error", "message", "error_details", "preview_failure_reason"}


def test_cfm_money_may_be_an_amount() -> None:
    gateway = make_gateway(compat=CompatSwitches(cfm_money_as_amount=True))
    place(gateway, "f", {"market_market_ioc": {"base_size": "1"}}, FUTURE)
    position = ask(gateway, "GET", "/cfm/positions")["positions"][0]
    measure = ask(gateway, "GET", "/cfm/balance_summary")["balance_summary"]["intraday_margin_window_measure"]
    assert set(position["avg_entry_price"]) == set(measure["initial_margin"]) == {"value", "currency"}


def test_products_are_spot_by_default_and_largest_volume_first() -> None:
    gateway = make_gateway()
    rows = ask(gateway, "GET", "/products")["products"]
    volumes = [float(row["approximate_quote_24h_volume"]) for row in rows]
    assert {row["product_type"] for row in rows} == {"SPOT"}
    assert volumes == sorted(volumes, reverse=True)
    page = ask(gateway, "GET", "/products", {"limit": 3})
    rest = ask(gateway, "GET", "/products", {"limit": 3, "cursor": page["pagination"]["next_cursor"]})
    assert [r["product_id"] for r in page["products"] + rest["products"]] == [r["product_id"] for r in rows]
    assert (page["pagination"]["has_next"], rest["pagination"]["has_next"]) == (True, False)
    assert len(ask(gateway, "GET", "/products", {"get_all_products": True})["products"]) == 8


def test_candles_are_newest_first_and_at_most_350() -> None:
    gateway = make_gateway()
    now_s = START_NS // NS
    params = {"start": now_s - 3_600, "end": now_s, "granularity": "ONE_MINUTE"}
    starts = [int(row["start"]) for row in ask(gateway, "GET", "/products/BTC-USD/candles", params)["candles"]]
    assert starts == sorted(starts, reverse=True)
    answer = ask(gateway, "GET", "/products/BTC-USD/candles", {**params, "start": now_s - 351 * 60})
    assert (answer["status"], answer["message"]) == (400, "start and end must be within 350 candles")


def test_aggregated_book_keeps_the_size_and_the_touch_side() -> None:
    gateway = make_gateway()
    plain = ask(gateway, "GET", "/product_book", {"product_id": "BTC-USD", "limit": 60})["pricebook"]
    coarse = ask(
        gateway, "GET", "/product_book", {"product_id": "BTC-USD", "limit": 60, "aggregation_price_increment": "10"}
    )["pricebook"]
    assert float(coarse["bids"][0]["price"]) <= float(plain["bids"][0]["price"])
    assert float(coarse["asks"][0]["price"]) >= float(plain["asks"][0]["price"])
    assert all(float(row["price"]) % 10 == 0 for row in coarse["bids"] + coarse["asks"])


def test_breakdown_sums_up_to_the_equity(gateway: Gateway) -> None:
    portfolio = ask(gateway, "GET", "/portfolios")["portfolios"][0]["uuid"]
    breakdown = ask(gateway, "GET", f"/portfolios/{portfolio}")["breakdown"]
    figures = {name: float(amount["value"]) for name, amount in breakdown["portfolio_balances"].items()}
    parts = (
        figures["total_cash_equivalent_balance"] + figures["total_crypto_balance"] + figures["futures_unrealized_pnl"]
    )
    assert figures["total_balance"] == pytest.approx(parts, abs=0.02)
    assert breakdown["futures_positions"][0]["side"] == "FUTURES_POSITION_SIDE_LONG"
