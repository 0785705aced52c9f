"""What an answer has too much or too little is named once, with its path."""

from __future__ import annotations

import pytest

from trading_core.advanced_trade.wire_drift import DIFFERENCES_MAX, DriftLog

ACCEPTED = {
    "success": True,
    "success_response": {"order_id": "o", "product_id": "p", "side": "BUY", "client_order_id": "c"},
    "order_configuration": {"limit_limit_gtc": {"base_size": "1", "limit_price": "2", "post_only": True}},
}


def test_an_answer_that_agrees_with_the_contract_has_no_drift() -> None:
    log = DriftLog()
    log.check("NewOrderResponse", ACCEPTED)
    assert log.differences == []


def test_a_member_that_vanished_deep_inside_is_named() -> None:
    log = DriftLog()
    log.check("NewOrderResponse", {**ACCEPTED, "success_response": {"product_id": "p"}})
    assert log.differences == ["NewOrderResponse.success_response.order_id missing"]


def test_a_renamed_member_is_both_missing_and_unknown() -> None:
    log = DriftLog()
    log.check("NewOrderResponse", {**ACCEPTED, "success_response": {"orderId": "o"}})
    assert log.differences == [
        "NewOrderResponse.success_response.order_id missing", "NewOrderResponse.success_response.orderId unknown",
    ]


def test_a_difference_in_many_rows_is_named_once() -> None:
    log = DriftLog()
    rows = [{"start": "1", "vwap": "2"}, {"start": "2", "vwap": "3"}]
    log.check("Candles", {"candles": rows})
    log.check("Candles", {"candles": rows})
    assert log.differences == ["Candles.candles.vwap unknown"]


@pytest.mark.parametrize("body", [None, [], "text", {"success": None, "success_response": []}])
def test_a_body_of_another_shape_does_not_disturb_the_comparison(body: object) -> None:
    log = DriftLog()
    log.check("NewOrderResponse", body)
    assert log.differences == []


def test_a_venue_that_renamed_everything_does_not_fill_the_memory() -> None:
    log = DriftLog()
    log.check("NewOrderResponse", {f"new_{n}": 1 for n in range(DIFFERENCES_MAX * 2)})
    assert len(log.differences) == DIFFERENCES_MAX
