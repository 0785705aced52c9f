"""Validation against the two contract documents: every body a venue sends, every frame."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator

from trading_core.advanced_trade.emit import contract
from trading_core.advanced_trade.gateway_http import ApiError
from trading_core.advanced_trade.gateway_routes import Operation, Routes

ROUTES = Routes()
MESSAGES = {
    "subscriptions": "SubscriptionsMessage",
    "heartbeats": "HeartbeatsMessage",
    "candles": "CandlesMessage",
    "market_trades": "MarketTradesMessage",
    "status": "StatusMessage",
    "ticker": "TickerMessage",
    "ticker_batch": "TickerBatchMessage",
    "l2_data": "Level2Message",
    "user": "UserMessage",
    "futures_balance_summary": "FuturesBalanceSummaryMessage",
}


@cache
def streams() -> dict[str, Any]:
    """Return the AsyncAPI document."""
    source = files("trading_core.advanced_trade") / "contract" / "asyncapi.json"
    document: dict[str, Any] = json.loads(source.read_text(encoding="utf-8"))
    return document


@cache
def _validator(of_streams: bool, name: str) -> Draft202012Validator:
    document = streams() if of_streams else contract()
    return Draft202012Validator({"components": document["components"], "$ref": f"#/components/schemas/{name}"})


def body_problems(method: str, path: str, status: int, body: Any) -> list[str]:
    """Return what is wrong with a JSON body: empty if it is as the contract says, members unknown to it included."""
    try:
        operation, _ = ROUTES.find(method, path)
        name = _schema_name(operation, status)
    except ApiError:
        name = "HttpError"  # no such route
    if not name:
        return []  # the v2 routes have no contract document
    problems = [f"{'/'.join(map(str, e.path))}: {e.message}" for e in _validator(False, name).iter_errors(body)]
    return problems + _unknown(contract()["components"]["schemas"], name, body, "")


def frame_problems(frame: dict[str, Any]) -> list[str]:
    """Return what is wrong with a frame."""
    name = "ErrorMessage" if frame.get("type") == "error" else MESSAGES[frame["channel"]]
    problems = [f"{'/'.join(map(str, e.path))}: {e.message}" for e in _validator(True, name).iter_errors(frame)]
    return problems + _unknown(streams()["components"]["schemas"], name, frame, "")


def _schema_name(operation: Operation, status: int) -> str:
    if status == 200:
        return operation.response_schema
    return "RateLimitError" if status == 429 else "HttpError"


def _unknown(schemas: dict[str, Any], name: str, value: Any, at: str) -> list[str]:
    """Return members that the schema does not have: the documents themselves allow any."""
    return _unknown_in(schemas, schemas[name], value, at)


def _unknown_in(schemas: dict[str, Any], spec: dict[str, Any], value: Any, at: str) -> list[str]:
    if "$ref" in spec:
        return _unknown(schemas, spec["$ref"].rsplit("/", 1)[1], value, at)
    if "anyOf" in spec:
        return _unknown_in(schemas, spec["anyOf"][0], value, at) if value is not None else []
    if isinstance(value, list):
        items = spec.get("items", {})
        return [p for i, item in enumerate(value) for p in _unknown_in(schemas, items, item, f"{at}/{i}")]
    members = spec.get("properties")
    if not isinstance(value, dict) or not members:
        return []
    found = [f"{at}/{key}: not in the contract" for key in value if key not in members]
    for key, item in value.items():
        if key in members:
            found += _unknown_in(schemas, members[key], item, f"{at}/{key}")
    return found
