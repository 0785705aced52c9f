"""The scenarios of Coinbase's static sandbox, by the `X-Sandbox` header: canned failures by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trading_core.advanced_trade.emit_orders import echo
from trading_core.advanced_trade.gateway_call import Call, Handler
from trading_core.advanced_trade.gateway_orders import refused
from trading_core.local_exchange.model import Refusal

_NOT_FOUND = {"edit_failure_reason": "ORDER_NOT_FOUND"}


def _insufficient_fund(call: Call) -> Mapping[str, Any]:
    message = "Insufficient balance in source account"
    return refused(Refusal("INSUFFICIENT_FUND", "PREVIEW_INSUFFICIENT_FUND", message), echo(call.body))


def _no_cancel(call: Call) -> Mapping[str, Any]:
    return {
        "results": [
            {"success": False, "failure_reason": "UNKNOWN_CANCEL_ORDER", "order_id": order_id}
            for order_id in call.body.get("order_ids", [])
        ]
    }


SCENARIOS: dict[str, dict[str, Handler]] = {
    "PostOrder_insufficient_fund": {"PostOrder": _insufficient_fund},
    "CancelOrders_failure": {"CancelOrders": _no_cancel},
    "EditOrder_failure": {"EditOrder": lambda _: {"success": False, "errors": [_NOT_FOUND]}},
    "PreviewEditOrder_failure": {"PreviewEditOrder": lambda _: {"errors": [_NOT_FOUND]}},
    "PreviewOrder_insufficient_fund": {"PreviewOrder": lambda _: {"errs": ["PREVIEW_INSUFFICIENT_FUND"]}},
}
