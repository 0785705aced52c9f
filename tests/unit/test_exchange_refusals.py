"""What the local exchange refuses, with the exact pair of reasons of the wire contract."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from importlib.resources import files
from inspect import getsource

import pytest

from trading_core.clock import NS
from trading_core.local_exchange import checks, editing, exchange, faults
from trading_core.local_exchange.config import AccountConfig, ExchangeConfig
from trading_core.local_exchange.exchange import LocalExchange
from trading_core.local_exchange.model import ExchangeOrder, NewOrder, OrderConfig, Refusal, StopDirection
from trading_core.orders import Side

START_NS = 1_795_230_000 * NS
ME = "default"
BIP = "BIP-20DEC30-CDE"
ENUMS = json.loads((files("trading_core.advanced_trade") / "contract" / "enums.json").read_text("utf-8"))


def make_exchange(**changes: object) -> LocalExchange:
    return LocalExchange(ExchangeConfig.model_validate({"start_ns": START_NS, "start_minute": 600, **changes}))


def make_order(**changes: object) -> NewOrder:
    defaults: dict[str, object] = {
        "client_order_id": "order-1",
        "product_id": "BTC-USD",
        "side": Side.BUY,
        "config": OrderConfig.LIMIT_GTC,
        "base_size": Decimal("0.001"),
    }
    return NewOrder(**(defaults | changes))  # type: ignore[arg-type]


LAST = make_exchange().last_price("BTC-USD")
D = Decimal
SELL_STOP = {"side": Side.SELL, "config": OrderConfig.STOP_LIMIT_GTC}
BUY_STOP = {"config": OrderConfig.STOP_LIMIT_GTC}
SELL_BRACKET = {"side": Side.SELL, "config": OrderConfig.TRIGGER_BRACKET_GTC}
GTD = {"config": OrderConfig.LIMIT_GTD, "limit_price": LAST - 10}
TABLE: list[tuple[dict[str, object], str, str]] = [
    ({"product_id": "DOGE-USD"}, "INVALID_PRODUCT_ID", "PREVIEW_INVALID_PRODUCT_ID"),
    (
        {"limit_price": LAST - 10, "base_size": D(2)},
        "INSUFFICIENT_FUND",
        "PREVIEW_INSUFFICIENT_FUND",
    ),
    (
        {"limit_price": LAST + 10, "base_size": D(2), "side": Side.SELL},
        "INSUFFICIENT_FUND",
        "PREVIEW_INSUFFICIENT_FUND",
    ),
    (
        {"config": OrderConfig.MARKET_IOC, "base_size": None, "quote_size": D(200_000)},
        "INSUFFICIENT_FUND",
        "PREVIEW_INSUFFICIENT_FUND",
    ),
    (
        {"product_id": BIP, "limit_price": D(100_000), "base_size": D(1000)},
        "INSUFFICIENT_FUNDS",
        "PREVIEW_INSUFFICIENT_FUNDS_FOR_FUTURES",
    ),
    (
        {"limit_price": LAST + 50, "post_only": True},
        "INVALID_LIMIT_PRICE_POST_ONLY",
        "PREVIEW_INVALID_LIMIT_PRICE_POST_ONLY",
    ),
    ({"limit_price": LAST + D("0.001")}, "INVALID_PRICE_PRECISION", "PREVIEW_INVALID_PRICE_PRECISION"),
    (
        {"limit_price": LAST - 10, "base_size": D("0.0010000001")},
        "INVALID_SIZE_PRECISION",
        "PREVIEW_INVALID_SIZE_PRECISION",
    ),
    (
        {"config": OrderConfig.MARKET_IOC, "base_size": None, "quote_size": D("10.001")},
        "INVALID_SIZE_PRECISION",
        "PREVIEW_INVALID_QUOTE_SIZE_PRECISION",
    ),
    (
        {"limit_price": LAST - 10, "base_size": D(3401)},
        "UNKNOWN_FAILURE_REASON",
        "PREVIEW_INVALID_BASE_SIZE_TOO_LARGE",
    ),
    ({"limit_price": LAST - 10, "base_size": D(0)}, "UNKNOWN_FAILURE_REASON", "PREVIEW_INVALID_BASE_SIZE_TOO_SMALL"),
    (
        {"limit_price": LAST - 10, "base_size": D("0.000001")},
        "UNKNOWN_FAILURE_REASON",
        "PREVIEW_INVALID_QUOTE_SIZE_TOO_SMALL",
    ),
    (
        {"config": OrderConfig.MARKET_IOC, "base_size": None, "quote_size": D("0.99")},
        "UNKNOWN_FAILURE_REASON",
        "PREVIEW_INVALID_QUOTE_SIZE_TOO_SMALL",
    ),
    (
        {"limit_price": LAST * 2},
        "LIMIT_ORDER_PRICE_EXCEEDS_PRICE_BAND_ON_BUY",
        "PREVIEW_LIMIT_ORDER_PRICE_EXCEEDS_PRICE_BAND_ON_BUY",
    ),
    (
        {"limit_price": D(10_000), "side": Side.SELL},
        "LIMIT_ORDER_PRICE_EXCEEDS_PRICE_BAND_ON_SELL",
        "PREVIEW_LIMIT_ORDER_PRICE_EXCEEDS_PRICE_BAND_ON_SELL",
    ),
    ({"limit_price": D(-1)}, "UNKNOWN_FAILURE_REASON", "PREVIEW_INVALID_QUOTE_SIZE_TOO_SMALL"),
    ({}, "INVALID_LIMIT_PRICE", "PREVIEW_INVALID_LIMIT_PRICE"),
    (
        SELL_STOP | {"stop_price": LAST + 100, "limit_price": LAST - 100},
        "UNKNOWN_FAILURE_REASON",
        "PREVIEW_STOP_PRICE_ABOVE_LAST_TRADE_PRICE",
    ),
    (
        BUY_STOP | {"stop_price": LAST - 100, "limit_price": LAST},
        "UNKNOWN_FAILURE_REASON",
        "PREVIEW_STOP_PRICE_BELOW_LAST_TRADE_PRICE",
    ),
    (
        BUY_STOP | {"stop_price": LAST + 100, "limit_price": LAST + 50},
        "UNKNOWN_FAILURE_REASON",
        "PREVIEW_STOP_PRICE_ABOVE_LIMIT_PRICE",
    ),
    (
        SELL_STOP | {"stop_price": LAST - 100, "limit_price": LAST - 50},
        "UNKNOWN_FAILURE_REASON",
        "PREVIEW_STOP_PRICE_BELOW_LIMIT_PRICE",
    ),
    (
        SELL_STOP | {"stop_price": LAST - 5, "limit_price": LAST - 9, "stop_direction": StopDirection.UP},
        "UNKNOWN_FAILURE_REASON",
        "PREVIEW_STOP_PRICE_BELOW_LAST_TRADE_PRICE",
    ),
    (SELL_STOP | {"limit_price": LAST - 9}, "UNKNOWN_FAILURE_REASON", "PREVIEW_INVALID_STOP_PRICE"),
    (
        SELL_BRACKET | {"stop_price": LAST + 9, "limit_price": LAST - 9},
        "INVALID_BRACKET_PRICES",
        "PREVIEW_INVALID_BRACKET_PRICES",
    ),
    (
        SELL_BRACKET | {"stop_price": LAST + 9, "limit_price": LAST + 19},
        "INVALID_BRACKET_STOP_TRIGGER_PRICE",
        "PREVIEW_INVALID_BRACKET_STOP_TRIGGER_PRICE",
    ),
    (
        SELL_BRACKET | {"stop_price": LAST - 19, "limit_price": LAST - 9},
        "INVALID_BRACKET_LIMIT_PRICE",
        "PREVIEW_INVALID_BRACKET_LIMIT_PRICE",
    ),
    (GTD, "GTD_ORDERS_MUST_HAVE_END_TIME", "PREVIEW_GTD_ORDERS_MUST_HAVE_END_TIME"),
    (GTD | {"end_ns": START_NS}, "END_TIME_IS_IN_THE_PAST", "PREVIEW_END_TIME_IS_IN_THE_PAST"),
    (
        GTD | {"end_ns": START_NS + 31 * 86_400 * NS},
        "END_TIME_TOO_FAR_IN_FUTURE",
        "PREVIEW_END_TIME_TOO_FAR_IN_FUTURE",
    ),
    ({"config": OrderConfig.TWAP}, "INVALID_LIMIT_PRICE", "PREVIEW_INVALID_LIMIT_PRICE"),
    ({"config": OrderConfig.SCALED}, "SCALED_PARAM_INFEASIBLE", "PREVIEW_SCALED_PARAM_INFEASIBLE"),
    ({"config": OrderConfig.MARKET_FOK}, "UNSUPPORTED_ORDER_CONFIGURATION", "PREVIEW_INVALID_ORDER_CONFIG"),
    (
        {"limit_price": LAST - 9, "quote_size": D(50)},
        "UNSUPPORTED_ORDER_CONFIGURATION",
        "PREVIEW_INVALID_ORDER_CONFIG",
    ),
    (
        {"limit_price": LAST - 500, "config": OrderConfig.LIMIT_IOC},
        "INVALID_NO_LIQUIDITY",
        "PREVIEW_INVALID_NO_LIQUIDITY",
    ),
    (
        {"limit_price": LAST - 9, "reduce_only": True},
        "REDUCE_ONLY_NOT_ALLOWED_ON_SPOT_PRODUCTS",
        "PREVIEW_REDUCE_ONLY_NOT_ALLOWED_ON_SPOT_PRODUCTS",
    ),
    (
        {"product_id": BIP, "base_size": D(1), "limit_price": D(100_000), "reduce_only": True},
        "REDUCE_ONLY_INCREASED_POSITION_SIZE",
        "PREVIEW_REDUCE_ONLY_INCREASED_POSITION_SIZE",
    ),
    ({"limit_price": LAST - 9, "client_order_id": "x" * 129}, "INVALID_REQUEST", "UNKNOWN_PREVIEW_FAILURE_REASON"),
]


@pytest.mark.parametrize(("changes", "reason", "preview_reason"), TABLE)
def test_a_refusal_has_the_contracts_pair_of_reasons_and_changes_nothing(
    changes: dict[str, object], reason: str, preview_reason: str
) -> None:
    venue = make_exchange()
    before = venue.balances(ME)

    answer = venue.create_order(ME, make_order(**changes))

    assert isinstance(answer, Refusal), answer
    assert (answer.new_order_failure_reason, answer.preview_failure_reason) == (reason, preview_reason)
    assert venue.preview(ME, make_order(**changes)).errors == (preview_reason,)
    assert venue.balances(ME) == before
    assert venue.orders(ME) == []


def test_a_refused_client_order_id_may_be_used_again() -> None:
    venue = make_exchange()
    venue.create_order(ME, make_order(limit_price=LAST + 50, post_only=True))

    again = venue.create_order(ME, make_order(limit_price=LAST - 50, post_only=True))

    assert isinstance(again, ExchangeOrder)


def test_more_open_orders_than_the_limit_are_refused() -> None:
    venue = make_exchange(open_orders_max=2)
    answers = [
        venue.create_order(ME, make_order(client_order_id=f"o{i}", limit_price=LAST - 50)) for i in range(3)
    ]

    assert [type(a) for a in answers] == [ExchangeOrder, ExchangeOrder, Refusal]


def test_a_halted_product_takes_no_orders() -> None:
    venue = make_exchange(faults=faults.load_faults("halted"))

    answer = venue.create_order(ME, make_order(limit_price=LAST - 50))

    assert isinstance(answer, Refusal)
    assert answer.new_order_failure_reason == "ORDER_ENTRY_DISABLED"


def test_funds_that_another_order_holds_cannot_be_used_twice() -> None:
    venue = make_exchange(accounts=[AccountConfig(account_id=ME, balances={"USD": D(1000)})])
    size = (D(900) / LAST).quantize(D("0.00000001"))

    first = venue.create_order(ME, make_order(client_order_id="a", limit_price=LAST - 50, base_size=size))
    second = venue.create_order(ME, make_order(client_order_id="b", limit_price=LAST - 50, base_size=size))

    assert isinstance(first, ExchangeOrder)
    assert second == checks.INSUFFICIENT_FUND


@pytest.mark.parametrize("module", [checks, editing, exchange, faults])
def test_every_reason_in_the_code_is_an_enum_of_the_contract(module: object) -> None:
    known = {value for values in ENUMS.values() for value in values}
    source = getsource(module)  # type: ignore[arg-type]
    alone = re.findall(r'refuse\(\s*"([A-Z_]+)"', source)
    named = re.findall(r'(?:refused|Refusal)\(\s*"([A-Z_]+)"(?:,\s*"([A-Z_]+)")?', source)
    reasons = {*alone, *(faults.preview_reason(r) for r in alone), *(r for pair in named for r in pair if r)}

    assert reasons <= known
