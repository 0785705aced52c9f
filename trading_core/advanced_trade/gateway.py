"""The venue's REST side without any I/O: a request in, an answer out, acting on the local exchange at its own time."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from trading_core.advanced_trade.emit import dumps, emit
from trading_core.advanced_trade.gateway_call import AccountState, Call, Handler
from trading_core.advanced_trade.gateway_compat import legacy_body
from trading_core.advanced_trade.gateway_faults import RestFaults
from trading_core.advanced_trade.gateway_http import (
    RATE_LIMITED_JSON,
    UNAUTHORIZED,
    ApiError,
    Pairs,
    Request,
    Response,
    missing_scope,
    unparsable,
)
from trading_core.advanced_trade.gateway_limits import RateLimits, Spend, Throttle
from trading_core.advanced_trade.gateway_query import parse_query
from trading_core.advanced_trade.gateway_routes import Operation, Routes
from trading_core.advanced_trade.gateway_sandbox import SCENARIOS
from trading_core.advanced_trade.jwt_verify import JwtPolicy, JwtRefused, JwtVerifier
from trading_core.advanced_trade.keys import KeyRegistry, RegisteredKey, Scope
from trading_core.advanced_trade.protojson import ProtoError, parse
from trading_core.clock import NS, wall_now_ns
from trading_core.local_exchange.exchange import LocalExchange

BODY_BYTES_MAX = 1 << 20
HIDDEN_ROUTES = "/api/v3/brokerage/accounts/"  # what production does not document here, it answers with 401
CACHED_FOR_NS, CACHED_MAX = NS, 1_000
READS = frozenset({"GET", "DELETE"})  # clients send a body `{}` with these too: it is not looked at


class GatewayConfig(BaseModel):
    """How the gateway guards itself. A prefix helps clients that can only patch part of an address."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    limits: RateLimits = RateLimits()
    jwt_skew_s: int = Field(default=30, ge=0)
    path_prefix: str = ""


class Gateway:
    """One venue's REST interface. Not thread safe, as the exchange is not."""

    def __init__(
        self,
        exchange: LocalExchange,
        keys: KeyRegistry,
        config: GatewayConfig = GatewayConfig(),  # noqa: B008 - frozen
        wall_ns: Callable[[], int] = wall_now_ns,
    ) -> None:
        self.exchange = exchange
        self.config = config
        self.muted_orders: set[str] = set()  # orders that the user channel keeps silent about: a fault
        policy = JwtPolicy(config.jwt_skew_s, exchange.config.compat.accepts_eddsa)
        self.verifier = JwtVerifier(keys, wall_ns, policy)
        self._routes = Routes()
        self._throttle = Throttle()
        self._faults = RestFaults(lambda: exchange.config.faults)
        self._states: dict[str, AccountState] = {}
        self._kept: dict[tuple[str | Pairs, ...], tuple[int, Response]] = {}

    @property
    def venue_ns(self) -> int:
        """Return the time as the venue shows it: the exchange's time plus the clock offset fault."""
        return self.exchange.now_ns + self.exchange.config.faults.clock_offset_ns

    def handle(self, request: Request) -> Response:
        """Answer one request from the outside: authenticated and rate limited."""
        path = request.path.removeprefix(self.config.path_prefix)
        try:
            operation, parts = self._routes.find(request.method, path)
            key = self._authenticate(request, path) if operation.scope else None
        except ApiError as e:
            is_hidden = path.startswith(HIDDEN_ROUTES) and e.status == 404
            return self._delayed(UNAUTHORIZED if is_hidden else e.response())
        except JwtRefused:
            return self._delayed(UNAUTHORIZED)
        account_id = self.account_of(key)
        spend = self._spend(request, operation, account_id)
        scopes = self.scopes_of(account_id, key)
        if spend.is_allowed:
            response = self._guarded(operation, parts, request, account_id, scopes)
        else:
            response = RATE_LIMITED_JSON
        headers = {**spend.headers(), **response.headers} if spend.limit else response.headers
        return self._delayed(msgspec.structs.replace(response, headers=headers))

    def handle_trusted(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        account_id: str | None = None,
    ) -> Response:
        """Answer a call from inside the process: same handlers, faults and bodies; no token, no rate limit.

        `params` may hold lists (repeated keys) and None (left out), as the SDK's may.
        """
        query = tuple(
            (name, str(item))
            for name, value in (params or {}).items() if value is not None
            for item in (value if isinstance(value, list | tuple) else (value,))
        )
        body = b"" if data is None else json.dumps(data).encode()
        request = Request(method=method, path=path, query=query, body=body)
        account = account_id or self.account_of(None)
        try:
            operation, parts = self._routes.find(method, path)
        except ApiError as e:
            return e.response()
        return self._delayed(self._guarded(operation, parts, request, account, self.scopes_of(account, None)))

    def account_of(self, key: RegisteredKey | None) -> str:
        """Return the account that a key is bound to: the first one if it names none."""
        return (key.account if key else "") or self.exchange.account_ids()[0]

    def scopes_of(self, account_id: str, key: RegisteredKey | None) -> frozenset[Scope]:
        """Return what the key may do on the account; without a key, all that the account allows."""
        account = next(a for a in self.exchange.config.accounts if a.account_id == account_id)
        allowed = {Scope.VIEW: account.can_view, Scope.TRADE: account.can_trade, Scope.TRANSFER: account.can_transfer}
        of_account = frozenset(scope for scope, is_allowed in allowed.items() if is_allowed)
        if key is None:
            return of_account
        return (key.scopes & of_account) | (of_account & {Scope.TRANSFER})

    def _authenticate(self, request: Request, path: str) -> RegisteredKey:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise JwtRefused("no bearer token")
        try:
            key = self.verifier.verify_rest(token, request.method, request.host, request.path)
        except JwtRefused:
            if path == request.path:
                raise
            key = self.verifier.verify_rest(token, request.method, request.host, path)
        if key.account and key.account not in self.exchange.account_ids():
            raise JwtRefused("the key's account does not exist here")
        return key

    def _spend(self, request: Request, operation: Operation, account_id: str) -> Spend:
        limits = self.config.limits
        if operation.scope:
            now_ns = self.exchange.now_ns
            hourly = self._throttle.spend(f"hour {account_id}", limits.private_per_h, now_ns, 3_600 * NS)
            if not hourly.is_allowed:
                return hourly
            return self._throttle.spend(f"user {account_id}", limits.private_per_s, now_ns)
        return self._throttle.spend(f"address {request.remote}", limits.public_per_s, self.exchange.now_ns)

    def _remembered(self, operation: Operation, parts: Mapping[str, str], request: Request) -> Response | None:
        """Return the answer of public market data that is less than a second old, unless the client wants none."""
        kept = self._kept.get((operation.name, *parts.values(), request.query))
        if kept is None or "no-cache" in request.headers.get("cache-control", ""):
            return None
        return kept[1] if self.exchange.now_ns - kept[0] < CACHED_FOR_NS else None

    def _keep(self, operation: Operation, parts: Mapping[str, str], request: Request, response: Response) -> None:
        if operation.scope is None and operation.is_market_data and self.exchange.config.compat.market_data_is_cached:
            if len(self._kept) >= CACHED_MAX:
                self._kept.clear()
            self._kept[(operation.name, *parts.values(), request.query)] = (self.exchange.now_ns, response)

    def _guarded(
        self,
        operation: Operation,
        parts: Mapping[str, str],
        request: Request,
        account_id: str,
        scopes: frozenset[Scope],
    ) -> Response:
        """Answer an authorised request, with the faults before and after it."""
        fault = self._faults.before(operation.is_create, operation.scope is not None)
        if fault is not None:
            return fault
        if (kept := self._remembered(operation, parts, request)) is not None:
            return kept
        try:
            body = self._body(operation, parts, request, account_id, scopes)
        except ApiError as e:
            return Response(status=e.status, body=dumps(self._faults.drifted(e.body())))
        if operation.is_create and (made := body.get("success_response")):
            fault, is_silent = self._faults.after_create()
            if is_silent:
                self.muted_orders.add(made["order_id"])
            if fault is not None:
                return fault
        if operation.name == "EditOrder" and body["success"] and (fault := self._faults.after_edit()) is not None:
            return fault
        body = legacy_body(operation.name, body, self.exchange.config.compat)
        response = Response(status=200, body=dumps(self._faults.drifted(body)))
        self._keep(operation, parts, request, response)
        return response

    def _body(
        self,
        operation: Operation,
        parts: Mapping[str, str],
        request: Request,
        account_id: str,
        scopes: frozenset[Scope],
    ) -> dict[str, Any]:
        if operation.scope and operation.scope not in scopes:
            raise missing_scope()
        call = Call(
            exchange=self.exchange,
            account_id=account_id,
            scopes=scopes,
            params=parse_query(request.query, operation.query),
            path=parts,
            body=_parsed_body(operation, request),
            state=self._states.setdefault(account_id, AccountState()),
            now_ns=self.venue_ns,
        )
        values = _handler(operation, request)(call)
        return emit(operation.response_schema, values) if operation.response_schema else dict(values)

    def _delayed(self, response: Response) -> Response:
        delay_ms = self._faults.delay_ms()
        return msgspec.structs.replace(response, delay_ms=response.delay_ms + delay_ms) if delay_ms else response


def _parsed_body(operation: Operation, request: Request) -> dict[str, Any]:
    if not operation.request_schema or request.method in READS:
        return {}
    if len(request.body) > BODY_BYTES_MAX:
        raise ApiError(413, "unknown", f"http: request body too large (limit {BODY_BYTES_MAX} bytes)")
    try:
        return parse(request.body, operation.request_schema)
    except ProtoError as e:
        raise unparsable(str(e)) from e


def _handler(operation: Operation, request: Request) -> Handler:
    scenario = SCENARIOS.get(request.headers.get("x-sandbox", ""), {})
    return scenario.get(operation.name, operation.handler)
