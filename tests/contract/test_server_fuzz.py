"""Nothing that a client sends gives a 5xx, stops the venue, or shows a key."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.conformance import body_problems
from tests.contract.venue import BASE, Venue
from trading_core.advanced_trade.channels import Connection, Host
from trading_core.advanced_trade.channels_hub import StreamHub
from trading_core.advanced_trade.emit import contract, schema
from trading_core.advanced_trade.gateway import Gateway, GatewayConfig
from trading_core.advanced_trade.gateway_http import Request
from trading_core.advanced_trade.gateway_limits import RateLimits
from trading_core.advanced_trade.keys import KeyRegistry
from trading_core.clock import NS
from trading_core.local_exchange.config import ExchangeConfig
from trading_core.local_exchange.exchange import LocalExchange

START_NS = 1_795_219_200 * NS
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
PATHS = [
    (path, method.upper(), spec) for path, methods in contract()["paths"].items() for method, spec in methods.items()
]
NUMBERS = ["0", "1", "-1", "0.001", "1e5", "1E-30", "99999999999999999999", "60000", "110000", "NaN", "abc", "", "١"]
WORDS = ["BTC-USD", "BIP-20DEC30-CDE", "NOPE", "2026-12-01T00:00:00Z", "\x00", "é", "a" * 200]
TEXTS = st.sampled_from([*NUMBERS, *WORDS])


def new_gateway() -> Gateway:
    exchange = LocalExchange(ExchangeConfig(start_ns=START_NS))
    config = GatewayConfig(limits=RateLimits(private_per_s=0, public_per_s=0))
    return Gateway(exchange, KeyRegistry(), config)


@pytest.fixture(scope="module")
def gateway() -> Gateway:
    return new_gateway()


def values(spec: dict[str, Any], depth: int = 0) -> st.SearchStrategy[Any]:
    """Return values that look like the schema, and now and then do not."""
    if "anyOf" in spec:
        return st.none() | values(spec["anyOf"][0], depth)
    if "$ref" in spec:
        return values(schema(spec["$ref"].rsplit("/", 1)[1]), depth)
    if "enum" in spec:
        return st.sampled_from([*spec["enum"], "JUNK"])
    if spec.get("type") == "array":
        return st.lists(values(spec["items"], depth + 1), max_size=3)
    if "properties" in spec and depth < 4:
        members = {key: values(member, depth + 1) for key, member in spec["properties"].items()}
        return st.fixed_dictionaries({}, optional=members)
    if spec.get("type") == "boolean":
        return st.booleans()
    return TEXTS | st.integers(-5, 2**40)


def body_of(spec: dict[str, Any]) -> st.SearchStrategy[Any]:
    content = spec.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    return values(content) if content else st.none()


@st.composite
def calls(draw: st.DrawFn) -> tuple[str, str, tuple[tuple[str, str], ...], Any]:
    path, method, spec = draw(st.sampled_from(PATHS))
    for part in ("product_id", "order_id", "account_uuid", "portfolio_uuid", "trade_id", "symbol", "payment_method_id"):
        path = path.replace("{" + part + "}", draw(st.sampled_from(["BTC-USD", "BIP-20DEC30-CDE", "x", "%00", "é"])))
    names = [p["name"] for p in spec.get("parameters", [])] or ["x"]
    texts = TEXTS | st.sampled_from(["ONE_MINUTE", "True"])
    query = draw(st.lists(st.tuples(st.sampled_from(names), texts), max_size=5))
    return method, path, tuple(query), draw(body_of(spec))


@FUZZ
@given(call=calls())
def test_no_call_that_looks_right_gives_a_500(
    gateway: Gateway, call: tuple[str, str, tuple[tuple[str, str], ...], Any]
) -> None:
    method, path, query, data = call
    params: dict[str, list[str]] = {}
    for name, value in query:
        params.setdefault(name, []).append(value)
    answer = gateway.handle_trusted(method, path, params, data)
    assert answer.status in (200, 400, 403, 404)
    assert body_problems(method, path, answer.status, json.loads(answer.body)) == []


CONFIGURATIONS = values(schema("OrderConfiguration"))


@FUZZ
@given(
    configuration=CONFIGURATIONS,
    product=st.sampled_from(["BTC-USD", "XRP-USD", "BIP-20DEC30-CDE", "NOPE"]),
    side=st.sampled_from(["BUY", "SELL"]),
    number=st.integers(0, 10**9),
)
def test_no_order_gives_a_500_and_the_venue_goes_on(
    gateway: Gateway, configuration: Any, product: str, side: str, number: int
) -> None:
    body = {"client_order_id": f"f-{number}", "product_id": product, "side": side, "order_configuration": configuration}
    answer = gateway.handle_trusted("POST", f"{BASE}/orders", None, body)
    assert answer.status in (200, 400)
    assert body_problems("POST", f"{BASE}/orders", answer.status, json.loads(answer.body)) == []
    gateway.exchange.advance(gateway.exchange.now_ns + NS)
    for path in ("accounts", "orders/historical/batch", "orders/historical/fills", "cfm/balance_summary"):
        state = gateway.handle_trusted("GET", f"{BASE}/{path}")
        assert body_problems("GET", f"{BASE}/{path}", state.status, json.loads(state.body)) == []


@FUZZ
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "X"]),
    path=st.text(max_size=60) | st.sampled_from([path for path, _, _ in PATHS]),
    headers=st.dictionaries(st.sampled_from(["authorization", "x-sandbox", "content-type"]), st.text(max_size=60)),
    body=st.binary(max_size=200),
    host=st.text(max_size=30),
)
def test_no_request_from_outside_gives_a_500(
    gateway: Gateway, method: str, path: str, headers: dict[str, str], body: bytes, host: str
) -> None:
    answer = gateway.handle(Request(method=method, path=path, headers=headers, body=body, host=host))
    assert answer.status in (200, 400, 401, 404, 405)


def session() -> tuple[StreamHub, Connection]:
    hub = StreamHub(new_gateway())
    return hub, hub.open(Host.MARKET, "fuzz", 0)


FRAMES = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["subscribe", "unsubscribe", "x"]) | st.integers(),
        "channel": st.sampled_from(["level2", "user", "heartbeats", "ticker", "candles", "status", "x"]) | st.none(),
        "product_ids": st.none() | st.lists(TEXTS, max_size=4) | st.text(max_size=5),
        "jwt": st.none() | st.text(max_size=40),
        "more": st.recursive(st.none() | st.text(max_size=3), lambda x: st.lists(x, max_size=2), max_leaves=3),
    },
)


@FUZZ
@given(messages=st.lists(FRAMES.map(json.dumps) | st.text(max_size=80) | st.binary(max_size=80), max_size=6))
def test_no_frame_stops_a_session(messages: list[str | bytes]) -> None:
    hub, connection = session()
    for message in messages:
        connection.receive(message)
    hub.advance(START_NS + NS, NS)
    frames = list(iter(connection.take, None))
    assert len(frames) >= len(messages)
    assert all(json.loads(frame) for frame in frames)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    body=st.binary(max_size=300),
    path=st.sampled_from(["/orders", "/orders/preview", "/orders/batch_cancel", "/orders/edit", "/portfolios"]),
)
def test_signed_junk_over_the_wire_is_refused_politely(venue_server: Venue, body: bytes, path: str) -> None:
    answer = venue_server.send("POST", BASE + path, body)
    assert answer.status_code in (200, 400)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(path=st.text(st.characters(codec="ascii", exclude_characters="#?"), max_size=40), query=st.text(max_size=40))
def test_unsigned_junk_over_the_wire_is_refused_politely(venue_server: Venue, path: str, query: str) -> None:
    answer = venue_server.get("/" + path, params={"x": query})
    assert answer.status_code < 500


def test_no_secret_and_no_token_is_logged(venue_server: Venue, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        venue_server.send("GET", f"{BASE}/accounts")
        venue_server.get(f"{BASE}/accounts", headers={"Authorization": "Bearer secret-token"})
        with venue_server.socket() as socket:
            socket.subscribe("user", jwt="secret-token")
            socket.receive()
    ours = [r.getMessage() for r in caplog.records if r.name.startswith(("trading_core", "aiohttp"))]
    assert not [text for text in ours if "secret-token" in text or "PRIVATE" in text]
