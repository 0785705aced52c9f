"""Orders out and in: what we encode, what we refuse to encode, and what the venue's answers mean."""

from __future__ import annotations

import itertools
import json
from decimal import Decimal
from typing import Any

import jsonschema
import msgspec
import pytest

from tests.unit.broker_wire import make_intent
from trading_core.advanced_trade import wire_drift
from trading_core.advanced_trade.reasons import (
    EXPECTED_REASONS,
    UNEXPECTED_REASONS,
    first_known,
    is_expected,
)
from trading_core.advanced_trade.wire import parse
from trading_core.advanced_trade.wire_orders import (
    FillBody,
    OrderBody,
    attached_of,
    configuration_of,
    fill_of,
    order_of,
)
from trading_core.advanced_trade.wire_states import status_of
from trading_core.errors import ConfigurationError, SchemaDrift
from trading_core.orders import Bracket, Liquidity, OrderStatus, OrderType, Purpose, Side, TimeInForce

ENUMS = json.loads((wire_drift.CONTRACT.parent / "enums.json").read_text("utf-8"))
LIMIT, STOP, MARKET = OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.MARKET
GTC, IOC, FOK, GTD = TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK, TimeInForce.GTD


def test_a_limit_order_that_rests_says_whether_it_is_post_only() -> None:
    assert configuration_of(make_intent(size="0.0010", price="80000.50", post_only=True)) == {
        "limit_limit_gtc": {"base_size": "0.001", "limit_price": "80000.5", "post_only": True}
    }


def test_a_limit_order_that_does_not_rest_goes_to_the_smart_router() -> None:
    assert configuration_of(make_intent(time_in_force=IOC)) == {
        "sor_limit_ioc": {"base_size": "0.001", "limit_price": "80000"}
    }


@pytest.mark.parametrize(("side", "direction"), [(Side.SELL, "STOP_DOWN"), (Side.BUY, "STOP_UP")])
def test_a_stop_waits_on_the_side_that_protects(side: Side, direction: str) -> None:
    assert configuration_of(make_intent(side=side, price="78000", stop_price="78400", order_type=STOP)) == {
        "stop_limit_stop_limit_gtc": {
            "base_size": "0.001", "limit_price": "78000", "stop_price": "78400",
            "stop_direction": f"STOP_DIRECTION_{direction}",
        }
    }


def test_a_market_order_is_encoded_for_an_emergency_only() -> None:
    intent = make_intent(price=None, order_type=MARKET, time_in_force=IOC)
    assert configuration_of(intent) == {"market_market_ioc": {"base_size": "0.001"}}
    with pytest.raises(ConfigurationError, match="emergency exits"):
        configuration_of(make_intent(price=None, order_type=MARKET, time_in_force=IOC, purpose=Purpose.EXIT))


@pytest.mark.parametrize("order_type", list(OrderType))
def test_gtd_is_gated_for_every_order_type(order_type: OrderType) -> None:
    with pytest.raises(ConfigurationError, match="GTD is gated"):
        configuration_of(make_intent(order_type=order_type, time_in_force=GTD, stop_price="1"))


SUPPORTED = {
    (LIMIT, GTC), (LIMIT, IOC), (LIMIT, FOK), (STOP, GTC), (OrderType.BRACKET, GTC), (MARKET, IOC)
}


def test_a_bracket_is_attached_without_a_size_of_its_own() -> None:
    intent = msgspec.structs.replace(
        make_intent(), attached=Bracket(take_profit=Decimal("90000"), stop_loss=Decimal("70000.50"))
    )
    prices = {"limit_price": "90000", "stop_trigger_price": "70000.5"}
    assert attached_of(intent) == {"attached_order_configuration": {"trigger_bracket_gtc": prices}}
    assert attached_of(make_intent()) == {}
    with pytest.raises(ConfigurationError, match="LIMIT orders"):
        attached_of(msgspec.structs.replace(intent, order_type=STOP))


@pytest.mark.parametrize(
    ("order_type", "time_in_force"), sorted(set(itertools.product(OrderType, TimeInForce)) - SUPPORTED)
)
def test_every_other_combination_is_refused(order_type: OrderType, time_in_force: TimeInForce) -> None:
    with pytest.raises(ConfigurationError):
        configuration_of(make_intent(order_type=order_type, time_in_force=time_in_force, stop_price="1"))


@pytest.mark.parametrize(("order_type", "time_in_force"), sorted(SUPPORTED - {(LIMIT, GTC)}))
def test_post_only_is_refused_where_it_means_nothing(order_type: OrderType, time_in_force: TimeInForce) -> None:
    intent = make_intent(order_type=order_type, time_in_force=time_in_force, stop_price="1", post_only=True)
    with pytest.raises(ConfigurationError, match="post-only"):
        configuration_of(intent)


@pytest.mark.parametrize(("order_type", "time_in_force"), sorted(SUPPORTED))
def test_what_is_encoded_agrees_with_the_contract(order_type: OrderType, time_in_force: TimeInForce) -> None:
    intent = make_intent(order_type=order_type, time_in_force=time_in_force, stop_price="81000")
    schemas = wire_drift.contract_schemas()
    document = {"$ref": "#/components/schemas/OrderConfiguration", "components": {"schemas": schemas}}
    encoded = configuration_of(intent)
    jsonschema.validate(encoded, document)
    [(name, members)] = encoded.items()
    schema = schemas["OrderConfiguration"]["properties"][name]["anyOf"][0]["$ref"].rpartition("/")[2]
    assert members.keys() <= schemas[schema]["properties"].keys()


def order_body(**changes: object) -> dict[str, Any]:
    return {
        "order_id": "o-1", "client_order_id": "run-1", "product_id": "BTC-USD", "side": "BUY", "status": "OPEN",
        "filled_size": "0.0004", "average_filled_price": "79999.5", "total_fees": "0.19", "pending_cancel": False,
        "order_type": "LIMIT", "time_in_force": "GOOD_UNTIL_CANCELLED", "reject_reason": "REJECT_REASON_UNSPECIFIED",
        "order_configuration": {
            "market_market_ioc": None,
            "limit_limit_gtc": {"base_size": "0.001", "limit_price": "80000", "post_only": False},
        },
    } | changes


def test_an_order_is_read_with_its_size_and_price_from_its_configuration() -> None:
    order = order_of(parse(order_body(), OrderBody, "Order"))
    assert (order.status, order.size, order.limit_price) == (OrderStatus.OPEN, Decimal("0.001"), Decimal(80000))
    assert (order.filled_size, order.average_price, order.total_fees) == (
        Decimal("0.0004"), Decimal("79999.5"), Decimal("0.19"),
    )
    assert (order.time_in_force, order.reason) == ("GTC", "")


def test_empty_numbers_of_a_fresh_order_are_zero() -> None:
    body = order_body(filled_size="", average_filled_price="", total_fees="", order_configuration={})
    order = order_of(parse(body, OrderBody, "Order"))
    assert (order.filled_size, order.average_price, order.size, order.limit_price) == (0, 0, 0, None)


def test_the_reason_of_a_dead_order_is_the_venues_own() -> None:
    failed = order_body(status="FAILED", reject_reason="HOLD_FAILURE", reject_message="no hold")
    assert order_of(parse(failed, OrderBody, "Order")).reason == "HOLD_FAILURE"
    cancelled = order_body(status="CANCELLED", cancel_message="User requested cancel")
    assert order_of(parse(cancelled, OrderBody, "Order")).reason == "User requested cancel"


@pytest.mark.parametrize("status", ENUMS["OrderExecutionStatus"])
def test_every_status_of_the_contract_has_a_meaning_and_unknown_ones_may_trade(status: str) -> None:
    ours = status_of(status)
    assert ours.is_final == (status in {"FILLED", "CANCELLED", "EXPIRED", "FAILED"})
    assert ours.may_be_at_venue != ours.is_final


def test_a_pending_cancel_is_a_cancel_that_was_requested() -> None:
    assert status_of("OPEN", is_cancel_pending=True) is OrderStatus.CANCEL_REQUESTED
    assert status_of("FILLED", is_cancel_pending=True) is OrderStatus.FILLED


@pytest.mark.parametrize("member", ["order_id", "filled_size", "status", "average_filled_price", "total_fees"])
def test_an_order_without_a_member_that_we_count_on_is_drift(member: str) -> None:
    body = {k: v for k, v in order_body().items() if k != member}
    with pytest.raises(SchemaDrift, match=rf"Order\.{member} missing"):
        parse(body, OrderBody, "Order")


def fill_body(**changes: object) -> dict[str, Any]:
    return {
        "entry_id": "e-1", "trade_id": "t-1", "order_id": "o-1", "product_id": "BTC-USD", "side": "SELL",
        "trade_time": "2026-09-30T02:37:29.123456789Z", "trade_type": "FILL", "price": "80000", "size": "0.001",
        "commission": "0.48", "liquidity_indicator": "MAKER", "size_in_quote": False,
    } | changes


def test_a_fill_keeps_nanoseconds_and_liquidity() -> None:
    fill = fill_of(parse(fill_body(), FillBody, "Fill"))
    assert (fill.side, fill.size, fill.commission, fill.liquidity) == (
        Side.SELL, Decimal("0.001"), Decimal("0.48"), Liquidity.MAKER,
    )
    assert fill.ts_ns % 1_000_000_000 == 123_456_789


def test_a_fill_sized_in_quote_is_turned_into_base() -> None:
    fill = fill_of(parse(fill_body(size="80", size_in_quote=True), FillBody, "Fill"))
    assert fill.size == Decimal("0.001")


def test_every_reason_of_the_tables_is_one_of_coinbases() -> None:
    plain = {r.removeprefix("PREVIEW_") for n in ("NewOrderFailureReason", "PreviewFailureReason") for r in ENUMS[n]}
    assert plain | set(ENUMS["RejectReason"]) >= EXPECTED_REASONS | UNEXPECTED_REASONS
    assert not EXPECTED_REASONS & UNEXPECTED_REASONS


def test_an_unmapped_reason_is_unexpected_and_keeps_its_code() -> None:
    assert "QUANTUM_FLUCTUATION" not in EXPECTED_REASONS | UNEXPECTED_REASONS
    assert not is_expected("QUANTUM_FLUCTUATION")
    assert first_known("UNKNOWN_FAILURE_REASON", "QUANTUM_FLUCTUATION", "") == "QUANTUM_FLUCTUATION"


def test_a_reason_counts_the_same_in_both_enums() -> None:
    assert is_expected("INVALID_LIMIT_PRICE_POST_ONLY")
    assert is_expected("PREVIEW_INVALID_LIMIT_PRICE_POST_ONLY")
    assert not is_expected("PREVIEW_INSUFFICIENT_FUND")
