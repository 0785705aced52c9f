"""Older shapes of answers, for clients that still expect them: the compatibility switches of the REST side."""

from __future__ import annotations

from typing import Any

from trading_core.local_exchange.config import CompatSwitches

_CFM_MONEY = frozenset(
    {"current_price", "avg_entry_price", "unrealized_pnl", "daily_realized_pnl", "initial_margin",
     "maintenance_margin", "liquidation_buffer", "total_hold", "futures_buying_power"}
)
_CFM_OPERATIONS = frozenset({"GetFCMPositions", "GetFCMPosition", "GetFCMBalanceSummary"})


def legacy_body(operation: str, body: dict[str, Any], compat: CompatSwitches) -> dict[str, Any]:
    """Return the body as the switches want it; with the default switches the same object."""
    if compat.legacy_error_response and body.get("error_response"):
        error = {key: value for key, value in body["error_response"].items() if key != "new_order_failure_reason"}
        return {**body, "error_response": error}
    if compat.new_reason_only and body.get("error_response"):
        reason = body["error_response"]["new_order_failure_reason"]
        return {**body, "error_response": {"new_order_failure_reason": reason}}
    if compat.cfm_money_as_amount and operation in _CFM_OPERATIONS:
        return {key: _with_amounts(value) for key, value in body.items()}
    return body


def _with_amounts(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_amounts(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: {"value": item, "currency": "USD"} if key in _CFM_MONEY and isinstance(item, str) else _with_amounts(item)
        for key, item in value.items()
    }
