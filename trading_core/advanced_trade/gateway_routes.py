"""The routes of the gateway, read from the contract: which path is which operation, who may call it, what it takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from trading_core.advanced_trade import (
    gateway_accounts,
    gateway_futures,
    gateway_history,
    gateway_intx,
    gateway_market,
    gateway_orders,
    gateway_other,
    gateway_transfers,
)
from trading_core.advanced_trade.emit import contract
from trading_core.advanced_trade.gateway_call import Handler
from trading_core.advanced_trade.gateway_http import ApiError, no_route
from trading_core.advanced_trade.keys import Scope

HANDLERS: dict[str, Handler] = {
    **gateway_market.HANDLERS,
    **gateway_orders.HANDLERS,
    **gateway_history.HANDLERS,
    **gateway_accounts.HANDLERS,
    **gateway_futures.HANDLERS,
    **gateway_intx.HANDLERS,
    **gateway_transfers.HANDLERS,
}


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One operation; scope None is public. Without a response schema (v2) the handler's answer is the body."""

    name: str
    method: str
    template: str
    scope: Scope | None
    handler: Handler
    query: tuple[dict[str, Any], ...] = ()
    request_schema: str = ""
    response_schema: str = ""

    @property
    def is_create(self) -> bool:
        """Tell whether the operation places an order."""
        return self.name in ("PostOrder", "ClosePosition")


    @property
    def is_market_data(self) -> bool:
        """Tell whether the operation is the public twin of a market data operation."""
        return self.name.startswith("GetPublic")


class Routes:
    """Finds the operation of a path; fixed paths win over templates."""

    def __init__(self) -> None:
        self._fixed: dict[str, dict[str, Operation]] = {}
        self._templates: list[tuple[re.Pattern[str], dict[str, Operation]]] = []
        by_template: dict[str, dict[str, Operation]] = {}
        for operation in _operations():
            by_template.setdefault(operation.template, {})[operation.method] = operation
        for template, methods in by_template.items():
            if "{" in template:
                pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template))
                self._templates.append((pattern, methods))
            else:
                self._fixed[template] = methods

    def find(self, method: str, path: str) -> tuple[Operation, Mapping[str, str]]:
        """Return the operation and the parts of the path; raises the gateway's 404 or 405."""
        path = path.rstrip("/")
        if path in self._fixed:
            return _of_method(self._fixed[path], method), {}
        for pattern, methods in self._templates:
            if found := pattern.fullmatch(path):
                return _of_method(methods, method), found.groupdict()
        raise no_route()


def _of_method(methods: Mapping[str, Operation], method: str) -> Operation:
    if method not in methods:
        raise ApiError(405, "unknown", "Method Not Allowed")
    return methods[method]


def _operations() -> list[Operation]:
    found = [
        _operation(template, method.upper(), spec)
        for template, methods in contract()["paths"].items()
        for method, spec in methods.items()
    ]
    for scope, routes in ((None, gateway_other.V2_PUBLIC), (Scope.VIEW, gateway_other.V2_PRIVATE)):
        found += [
            Operation(name=path, method="GET", template=path, scope=scope, handler=handler)
            for path, handler in routes.items()
        ]
    return found


def _operation(template: str, method: str, spec: dict[str, Any]) -> Operation:
    scope = spec["x-key-scope"]
    request = spec.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    response = spec["responses"]["200"]["content"]["application/json"]["schema"]
    return Operation(
        name=spec["operationId"],
        method=method,
        template=template,
        scope=None if scope == "public" else Scope(scope),
        handler=HANDLERS[spec["operationId"]],
        query=tuple(p for p in spec.get("parameters", ()) if p["in"] == "query"),
        request_schema=request.get("$ref", "").rsplit("/", 1)[-1],
        response_schema=response["$ref"].rsplit("/", 1)[-1],
    )
