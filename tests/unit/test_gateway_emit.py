"""Emission: every member of the contract is there, unset ones at the zero that production sends."""

from __future__ import annotations

from decimal import Decimal

import pytest
from jsonschema import Draft202012Validator

from trading_core.advanced_trade.emit import contract, dumps, emit, rfc3339, schema, zero_enum
from trading_core.errors import InvariantBroken

MESSAGES = sorted(name for name, spec in contract()["components"]["schemas"].items() if "properties" in spec)


@pytest.mark.parametrize("name", MESSAGES)
def test_empty_message_has_every_member(name: str) -> None:
    body = emit(name, {})
    required = set(schema(name).get("required", ())) - {"success_response", "error_response"}
    assert required <= set(body) <= set(schema(name)["properties"])


@pytest.mark.parametrize("name", ["Product", "Account", "Fill", "GetTransactionSummaryResponse", "FCMBalanceSummary"])
def test_empty_message_is_valid_against_the_contract(name: str) -> None:
    document = {**contract(), "$ref": f"#/components/schemas/{name}"}
    assert not list(Draft202012Validator(document).iter_errors(emit(name, {})))


def test_zeros_are_those_of_the_wire() -> None:
    order = emit("Order", {})
    assert order["last_fill_time"] is None
    assert order["edit_history"] == []
    assert order["fee"] == ""
    assert order["settled"] is False
    assert order["margin_type"] == "UNKNOWN_MARGIN_TYPE"
    assert order["time_in_force"] == "UNKNOWN_TIME_IN_FORCE"


def test_values_are_written_in_wire_form() -> None:
    order = emit("Order", {"filled_size": Decimal("0.10"), "created_time": 1_500_000_000, "pending_cancel": True})
    assert (order["filled_size"], order["created_time"]) == ("0.1", "1970-01-01T00:00:01.5Z")
    assert order["pending_cancel"] is True


def test_numbers_are_numbers_only_where_the_contract_says_so() -> None:
    body = emit("GetTransactionSummaryResponse", {"total_volume": Decimal("12.5"), "total_balance": Decimal("9.10")})
    assert (body["total_volume"], body["total_fees"], body["total_balance"]) == (12.5, 0, "9.1")


def test_only_the_set_configuration_is_emitted_and_normalised() -> None:
    body = emit("OrderConfiguration", {"limit_limit_gtc": {"base_size": "1", "limit_price": "5"}})
    assert body == {"limit_limit_gtc": {"base_size": "1", "limit_price": "5", "post_only": False}}


def test_refusal_has_all_five_members_and_no_success_response() -> None:
    body = emit("NewOrderResponse", {"success": False, "error_response": {"error": "INSUFFICIENT_FUND"}})
    assert "success_response" not in body
    assert set(body["error_response"]) == {
        "error", "message", "error_details", "preview_failure_reason", "new_order_failure_reason",
    }


def test_unknown_member_is_a_bug_of_ours() -> None:
    with pytest.raises(InvariantBroken, match="colour"):
        emit("Product", {"colour": "red"})


def test_spacing_is_that_of_captured_bodies() -> None:
    assert dumps({"a": "b", "c": ["d", 1]}) == b'{"a":"b", "c":["d", 1]}'


@pytest.mark.parametrize(("ts_ns", "text"), [(0, "1970-01-01T00:00:00Z"), (1, "1970-01-01T00:00:00.000000001Z")])
def test_times_have_as_many_digits_as_needed(ts_ns: int, text: str) -> None:
    assert rfc3339(ts_ns) == text


def test_zero_names_of_enums() -> None:
    assert zero_enum("OrderExecutionStatus") == "UNKNOWN_ORDER_STATUS"
    assert zero_enum("RejectReason") == "REJECT_REASON_UNSPECIFIED"
    assert zero_enum("PortfolioType") == "UNDEFINED"
