"""Every method of the unmodified SDK that sends a request, called once for success and once for failure."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from coinbase.rest import RESTClient
from coinbase.rest.rest_base import RESTBase

from tests.contract.venue import CheckingClient, Venue, running_venue
from trading_core.advanced_trade.keys import Scope
from trading_core.clock import NS
from trading_core.local_exchange.config import AccountConfig, CompatSwitches

FUTURE = "BIP-20DEC30-CDE"
START_NS, END = 1_795_230_000 * NS, "2026-12-01T00:00:00Z"
UP, DOWN = "STOP_DIRECTION_STOP_UP", "STOP_DIRECTION_STOP_DOWN"
Sdk = CheckingClient
Call = Callable[[Sdk], Any]
_ids = itertools.count(1)


@pytest.fixture(scope="module")
def legacy_venue() -> Iterator[Venue]:
    """A venue whose key may do everything and that still offers converts and the legacy profile."""
    with running_venue(
        start_ns=START_NS, scopes=frozenset(Scope), accounts=(AccountConfig(can_transfer=True),),
        exchange={"compat": CompatSwitches(intx_legacy=True, converts_allowed=True)},
    ) as venue:
        yield venue


@pytest.fixture
def sdk(legacy_venue: Venue) -> Sdk:
    return legacy_venue.sdk()


def new_id() -> str:
    return f"matrix-{next(_ids)}"


def last_price(sdk: Sdk, product_id: str = "BTC-USD") -> int:
    return int(float(sdk.get(f"/api/v3/brokerage/products/{product_id}")["price"]))


def now_s(sdk: Sdk) -> int:
    return int(sdk.get("/api/v3/brokerage/time")["epochSeconds"])


def resting(sdk: Sdk) -> str:
    sdk.limit_order_gtc_buy(new_id(), "BTC-USD", "0.001", "60000", post_only=True)
    return str(sdk.last["success_response"]["order_id"])


def own_portfolio(sdk: Sdk) -> str:
    return str(sdk.get("/api/v3/brokerage/portfolios")["portfolios"][0]["uuid"])


def new_portfolio(sdk: Sdk) -> str:
    sdk.create_portfolio(new_id())
    return str(sdk.last["portfolio"]["uuid"])


def with_position(sdk: Sdk) -> Sdk:
    sdk.market_order_buy(new_id(), FUTURE, base_size="1")
    assert sdk.last["success"] is True
    return sdk


def quote(sdk: Sdk) -> str:
    sdk.create_convert_quote("USD", "BTC", "10")
    return str(sdk.last["trade"]["id"])


def order_arguments(sdk: Sdk, kind: str, side: str, base_size: str) -> dict[str, Any]:
    """Return good arguments of one family of order helpers; a size of 1000 BTC makes them bad."""
    price, is_buy = last_price(sdk), side == "BUY"
    step = 2_000 if is_buy else -2_000
    common = {"product_id": "BTC-USD", "base_size": base_size}
    match kind.rsplit("_", 1)[0] if kind != "market_order" else kind:
        case "market_order":
            return common
        case "stop_limit_order":
            more = {"stop_price": str(price + step), "limit_price": str(price + 2 * step)}
            arguments = {**common, **more, "stop_direction": UP if is_buy else DOWN}
        case "trigger_bracket_order":
            more = {"limit_price": str(price - step), "stop_trigger_price": str(price + step)}
            arguments = {**common, **more}
        case _:
            crosses = kind.endswith(("ioc", "fok"))
            arguments = {**common, "limit_price": str(price + step if crosses else price - step)}
    return {**arguments, "end_time": END} if kind.endswith("gtd") else arguments


KINDS = (
    "market_order", *(f"limit_order_{tif}" for tif in ("ioc", "gtc", "gtd", "fok")),
    *(f"{family}_order_{tif}" for family in ("stop_limit", "trigger_bracket") for tif in ("gtc", "gtd")),
)


def order_call(method: str, kind: str, side: str, base_size: str) -> Call:
    def call(sdk: Sdk) -> Any:
        arguments = order_arguments(sdk, kind, side, base_size)
        if not method.endswith(("_buy", "_sell")):
            arguments["side"] = side
        if not method.startswith("preview_"):
            arguments["client_order_id"] = new_id()
        return getattr(sdk, method)(**arguments)

    return call


def order_helpers(base_size: str) -> dict[str, Call]:
    """Return a call of each helper: plain, by side and as preview."""
    calls = {}
    for kind, prefix, suffix in itertools.product(KINDS, ("", "preview_"), ("", "_buy", "_sell")):
        method = f"{prefix}{kind}{suffix}"
        calls[method] = order_call(method, kind, "SELL" if suffix == "_sell" else "BUY", base_size)
    return calls


GTC = {"limit_limit_gtc": {"base_size": "0.001", "limit_price": "60000"}}

SUCCESSES: dict[str, Call] = {
    **order_helpers("0.001"),
    "get_unix_time": lambda sdk: sdk.get_unix_time(),
    "get_public_products": lambda sdk: sdk.get_public_products(),
    "get_public_product": lambda sdk: sdk.get_public_product("BTC-USD"),
    "get_public_product_book": lambda sdk: sdk.get_public_product_book("BTC-USD", limit=5),
    "get_public_candles": lambda sdk: sdk.get_public_candles(
        "BTC-USD", str(now_s(sdk) - 3_600), str(now_s(sdk)), "FIVE_MINUTE"
    ),
    "get_public_market_trades": lambda sdk: sdk.get_public_market_trades("BTC-USD", 10),
    "get_products": lambda sdk: sdk.get_products(get_all_products=True),
    "get_product": lambda sdk: sdk.get_product(FUTURE, get_tradability_status=True),
    "get_product_book": lambda sdk: sdk.get_product_book("ETH-USD", limit=3, aggregation_price_increment="0.1"),
    "get_best_bid_ask": lambda sdk: sdk.get_best_bid_ask(["BTC-USD", "SOL-USD"]),
    "get_candles": lambda sdk: sdk.get_candles("XRP-USD", str(now_s(sdk) - 600), str(now_s(sdk)), "ONE_MINUTE"),
    "get_market_trades": lambda sdk: sdk.get_market_trades("SOL-USD", 5),
    "get_accounts": lambda sdk: sdk.get_accounts(limit=2),
    "get_account": lambda sdk: sdk.get_account(sdk.get("/api/v3/brokerage/accounts")["accounts"][0]["uuid"]),
    "create_order": lambda sdk: sdk.create_order(new_id(), "BTC-USD", "BUY", GTC),
    "preview_order": lambda sdk: sdk.preview_order("BTC-USD", "BUY", GTC),
    "edit_order": lambda sdk: sdk.edit_order(resting(sdk), "0.0009", "60001"),
    "preview_edit_order": lambda sdk: sdk.preview_edit_order(resting(sdk), "0.0009", "60001"),
    "cancel_orders": lambda sdk: sdk.cancel_orders([resting(sdk)]),
    "list_orders": lambda sdk: sdk.list_orders(order_status=["OPEN"], product_ids=["BTC-USD"], limit=3),
    "get_order": lambda sdk: sdk.get_order(resting(sdk)),
    "get_fills": lambda sdk: sdk.get_fills(product_ids=["BTC-USD"], limit=5),
    "close_position": lambda sdk: with_position(sdk).close_position(new_id(), FUTURE),
    "get_transaction_summary": lambda sdk: sdk.get_transaction_summary(),
    "get_api_key_permissions": lambda sdk: sdk.get_api_key_permissions(),
    "get_portfolios": lambda sdk: sdk.get_portfolios(),
    "create_portfolio": lambda sdk: sdk.create_portfolio(new_id()),
    "get_portfolio_breakdown": lambda sdk: sdk.get_portfolio_breakdown(own_portfolio(sdk)),
    "move_portfolio_funds": lambda sdk: sdk.move_portfolio_funds(
        "5", "USD", own_portfolio(sdk), new_portfolio(sdk)
    ),
    "edit_portfolio": lambda sdk: sdk.edit_portfolio(new_portfolio(sdk), new_id()),
    "delete_portfolio": lambda sdk: sdk.delete_portfolio(new_portfolio(sdk)),
    "get_futures_balance_summary": lambda sdk: sdk.get_futures_balance_summary(),
    "list_futures_positions": lambda sdk: with_position(sdk).list_futures_positions(),
    "get_futures_position": lambda sdk: with_position(sdk).get_futures_position(FUTURE),
    "get_intraday_margin_setting": lambda sdk: sdk.get_intraday_margin_setting(),
    "set_intraday_margin_setting": lambda sdk: sdk.set_intraday_margin_setting("INTRADAY_MARGIN_SETTING_INTRADAY"),
    "get_current_margin_window": lambda sdk: sdk.get_current_margin_window("MARGIN_PROFILE_TYPE_RETAIL_REGULAR"),
    "list_futures_sweeps": lambda sdk: sdk.list_futures_sweeps(),
    "schedule_futures_sweep": lambda sdk: (sdk.cancel_pending_futures_sweep(), sdk.schedule_futures_sweep("5"))[1],
    "cancel_pending_futures_sweep": lambda sdk: (
        sdk.cancel_pending_futures_sweep(), sdk.schedule_futures_sweep("5"), sdk.cancel_pending_futures_sweep()
    )[2],
    "create_convert_quote": lambda sdk: sdk.create_convert_quote("USD", "BTC", "10"),
    "get_convert_trade": lambda sdk: sdk.get_convert_trade(quote(sdk), "USD", "BTC"),
    "commit_convert_trade": lambda sdk: sdk.commit_convert_trade(quote(sdk), "USD", "BTC"),
    "list_payment_methods": lambda sdk: sdk.list_payment_methods(),
    "get_payment_method": lambda sdk: sdk.get_payment_method(
        sdk.get("/api/v3/brokerage/payment_methods")["payment_methods"][0]["id"]
    ),
    "allocate_portfolio": lambda sdk: sdk.allocate_portfolio(own_portfolio(sdk), "BTC-PERP-INTX", "1", "USDC"),
    "get_perps_portfolio_summary": lambda sdk: sdk.get_perps_portfolio_summary(own_portfolio(sdk)),
    "list_perps_positions": lambda sdk: sdk.list_perps_positions(own_portfolio(sdk)),
    "get_perps_position": lambda sdk: sdk.get_perps_position(own_portfolio(sdk), "BTC-PERP-INTX"),
    "get_perps_portfolio_balances": lambda sdk: sdk.get_perps_portfolio_balances(own_portfolio(sdk)),
    "opt_in_or_out_multi_asset_collateral": lambda sdk: sdk.opt_in_or_out_multi_asset_collateral(
        own_portfolio(sdk), True
    ),
}

HTTP_FAILURES: dict[str, tuple[int, Call]] = {
    "get_public_products": (400, lambda sdk: sdk.get_public_products(product_type="OPTIONS")),
    "get_public_product": (404, lambda sdk: sdk.get_public_product("NOPE")),
    "get_public_product_book": (400, lambda sdk: sdk.get_public_product_book("NOPE")),
    "get_public_candles": (400, lambda sdk: sdk.get_public_candles("BTC-USD", "1", "999999999", "ONE_MINUTE")),
    "get_public_market_trades": (400, lambda sdk: sdk.get_public_market_trades("NOPE", 1)),
    "get_products": (400, lambda sdk: sdk.get_products(cursor="???")),
    "get_product": (404, lambda sdk: sdk.get_product("NOPE")),
    "get_product_book": (400, lambda sdk: sdk.get_product_book("BTC-USD", aggregation_price_increment="0")),
    "get_best_bid_ask": (400, lambda sdk: sdk.get_best_bid_ask(["NOPE"])),
    "get_candles": (400, lambda sdk: sdk.get_candles("BTC-USD", "5", "1", "ONE_MINUTE")),
    "get_market_trades": (400, lambda sdk: sdk.get_market_trades("BTC-USD", -1)),
    "get_accounts": (400, lambda sdk: sdk.get_accounts(cursor="nowhere")),
    "get_account": (404, lambda sdk: sdk.get_account("nobody")),
    "create_order": (400, lambda sdk: sdk.create_order(new_id(), "BTC-USD", "BUY", {"limit": {"colour": "red"}})),
    "preview_order": (400, lambda sdk: sdk.preview_order("BTC-USD", "BUY", {"limit": {}})),
    "cancel_orders": (400, lambda sdk: sdk.cancel_orders(["x"] * 101)),
    "list_orders": (400, lambda sdk: sdk.list_orders(order_status=["GONE"])),
    "get_order": (404, lambda sdk: sdk.get_order("nothing")),
    "get_fills": (400, lambda sdk: sdk.get_fills(cursor="nowhere")),
    "close_position": (400, lambda sdk: sdk.close_position(new_id(), "NOPE")),
    "get_transaction_summary": (400, lambda sdk: sdk.get_transaction_summary(product_type="NOPE")),
    "get_portfolios": (400, lambda sdk: sdk.get_portfolios(portfolio_type="NOPE")),
    "create_portfolio": (400, lambda sdk: sdk.create_portfolio("")),
    "get_portfolio_breakdown": (404, lambda sdk: sdk.get_portfolio_breakdown("nothing")),
    "move_portfolio_funds": (400, lambda sdk: sdk.move_portfolio_funds("1", "USD", "a", "b")),
    "edit_portfolio": (400, lambda sdk: sdk.edit_portfolio(own_portfolio(sdk), "mine")),
    "delete_portfolio": (400, lambda sdk: sdk.delete_portfolio(own_portfolio(sdk))),
    "get_futures_position": (404, lambda sdk: sdk.get_futures_position("ETP-20DEC30-CDE")),
    "set_intraday_margin_setting": (400, lambda sdk: sdk.set_intraday_margin_setting("NOPE")),
    "get_current_margin_window": (400, lambda sdk: sdk.get_current_margin_window("NOPE")),
    "schedule_futures_sweep": (400, lambda sdk: sdk.schedule_futures_sweep("-5")),
    "create_convert_quote": (400, lambda sdk: sdk.create_convert_quote("a", "b", "1")),
    "get_convert_trade": (404, lambda sdk: sdk.get_convert_trade("1", "a", "b")),
    "commit_convert_trade": (404, lambda sdk: sdk.commit_convert_trade("1", "a", "b")),
    "get_payment_method": (404, lambda sdk: sdk.get_payment_method("1")),
    "allocate_portfolio": (400, lambda sdk: sdk.allocate_portfolio("p", "s", "-1", "USD")),
    "get_perps_portfolio_summary": (404, lambda sdk: sdk.get_perps_portfolio_summary("p")),
    "list_perps_positions": (404, lambda sdk: sdk.list_perps_positions("p")),
    "get_perps_position": (404, lambda sdk: sdk.get_perps_position(own_portfolio(sdk), "s")),
    "get_perps_portfolio_balances": (404, lambda sdk: sdk.get_perps_portfolio_balances("p")),
}
# These take no argument that could be wrong: they can only fail as every call can.
ONLY_AN_OUTAGE: dict[str, Call] = {
    "get_unix_time": lambda sdk: sdk.get_unix_time(),
    "get_api_key_permissions": lambda sdk: sdk.get_api_key_permissions(),
    "get_futures_balance_summary": lambda sdk: sdk.get_futures_balance_summary(),
    "list_futures_positions": lambda sdk: sdk.list_futures_positions(),
    "get_intraday_margin_setting": lambda sdk: sdk.get_intraday_margin_setting(),
    "list_futures_sweeps": lambda sdk: sdk.list_futures_sweeps(),
    "list_payment_methods": lambda sdk: sdk.list_payment_methods(),
    "opt_in_or_out_multi_asset_collateral": lambda sdk: sdk.opt_in_or_out_multi_asset_collateral("p", True),
}
# Refused with HTTP 200.
BUSINESS_FAILURES: dict[str, Call] = {
    **order_helpers("1000"),
    "edit_order": lambda sdk: sdk.edit_order("nothing", "1", "2"),
    "preview_edit_order": lambda sdk: sdk.preview_edit_order("nothing", "1", "2"),
    "cancel_pending_futures_sweep": lambda sdk: (
        sdk.cancel_pending_futures_sweep(), sdk.cancel_pending_futures_sweep()
    )[1],
}


def test_matrix_has_every_method_of_the_sdk() -> None:
    inherited = set(dir(RESTBase))
    methods = {name for name, _ in inspect.getmembers(RESTClient) if name[0] != "_" and name not in inherited}
    assert methods == set(SUCCESSES)
    assert methods == {*HTTP_FAILURES, *ONLY_AN_OUTAGE, *BUSINESS_FAILURES}


@pytest.mark.parametrize("name", SUCCESSES)
def test_method_succeeds(sdk: Sdk, name: str) -> None:
    before = sdk.checked
    SUCCESSES[name](sdk)
    assert sdk.checked > before
    assert sdk.last.get("success", True) is True
    assert not sdk.last.get("errs")
    assert not sdk.last.get("errors")


@pytest.mark.parametrize("name", HTTP_FAILURES)
def test_method_fails_with_the_status_of_the_contract(sdk: Sdk, name: str) -> None:
    status, call = HTTP_FAILURES[name]
    with pytest.raises(requests.HTTPError) as failure:
        call(sdk)
    assert failure.value.response.status_code == status


@pytest.mark.parametrize("name", BUSINESS_FAILURES)
def test_method_is_refused_within_a_200(sdk: Sdk, name: str) -> None:
    BUSINESS_FAILURES[name](sdk)
    assert sdk.last.get("success") is False or sdk.last.get("errs") or sdk.last.get("errors")


@pytest.mark.parametrize("name", ONLY_AN_OUTAGE)
def test_method_without_a_wrong_use_fails_in_an_outage(legacy_venue: Venue, sdk: Sdk, name: str) -> None:
    legacy_venue.faults(server_error_share=1.0)
    try:
        with pytest.raises(requests.HTTPError) as failure:
            ONLY_AN_OUTAGE[name](sdk)
    finally:
        legacy_venue.faults()
    assert failure.value.response.status_code == 500
