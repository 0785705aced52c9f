"""Whatever goes wrong between us and the venue arrives as one of our errors, through the real SDK and a real socket."""

from __future__ import annotations

import json
from random import Random

import jwt
import pytest

from tests.unit.broker_wire import HANG, RESET, Wire, approved, http, make_intent, make_signer, served
from trading_core.advanced_trade.broker import AdvancedTradeBroker
from trading_core.advanced_trade.broker_transport import API
from trading_core.advanced_trade.broker_venue import ReadOnlyVenue
from trading_core.advanced_trade.sdk_transport import SdkTransport, SigningClient, is_loopback, open_transport
from trading_core.clock import SystemClock
from trading_core.errors import (
    BadRequest,
    ConfigurationError,
    NotAuthorised,
    OutcomeUnknown,
    RateLimited,
    VenueError,
    VenueUnavailable,
)
from trading_core.ports import Accepted, Rejected
from trading_core.run import VenueName

TIME = f"{API}/time"
OK = http("200 OK", '{"iso":"2026-09-30T02:37:29Z", "epochSeconds":"1790735849", "epochMillis":"1790735849298"}')
HTML = "<html><head><title>503</title></head><body>upstream connect error</body></html>"
UNAUTHORISED = http("401 Unauthorized", "Unauthorized\n", "text/plain")
TOO_MANY = '{"errors":[{"id":"rate_limit_exceeded","message":"Too many requests"}]}'
CUT_SHORT = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{"success":true'
TLS = b"\x15\x03\x01\x00\x02\x02\x28"


def problem(error: str, message: str) -> str:
    return json.dumps({"error": error, "error_details": message, "message": message})


REFUSED_UNPROCESSED = {
    "400": (http("400 Bad Request", problem("INVALID_ARGUMENT", "ProductID is invalid")), BadRequest, "ProductID"),
    "401": (UNAUTHORISED, NotAuthorised, "401: Unauthorized"),
    "403": (http("403 Forbidden", problem("PERMISSION_DENIED", "Missing required scopes")), NotAuthorised, "scopes"),
    "404": (http("404 Not Found", problem("NOT_FOUND", "no such order")), BadRequest, "no such order"),
    "429 JSON": (http("429 Too Many Requests", TOO_MANY), RateLimited, "Too many requests"),
    "429 HTML": (http("429 Too Many Requests", HTML, "text/html"), RateLimited, "upstream"),
}
OUTCOME_OPEN = {
    "408": (http("408 Request Timeout", "{}"), "408"),
    "500": (http("500 Internal Server Error", problem("INTERNAL", "oops")), "500: oops"),
    "503 HTML": (http("503 Service Unavailable", HTML, "text/html"), "503"),
    "200 HTML": (http("200 OK", HTML, "text/html"), "not JSON"),
    "200 empty": (http("200 OK", ""), "not JSON"),
    "200 list": (http("200 OK", "[]"), "JSON list"),
    "redirect": (b"HTTP/1.1 302 Found\r\nLocation: https://example.com/\r\nContent-Length: 0\r\n\r\n", "302"),
    "time-out": (HANG, "TimeoutError"),
    "reset": (RESET, "RemoteDisconnected"),
    "cut short": (CUT_SHORT, "IncompleteRead"),
    "no HTTP": (TLS, "BadStatusLine"),
}


@pytest.mark.parametrize(("answer", "error", "words"), REFUSED_UNPROCESSED.values(), ids=REFUSED_UNPROCESSED)
def test_a_refused_question_says_why(answer: bytes, error: type[VenueError], words: str) -> None:
    with served(answer, answer) as (_, transport, _waited), pytest.raises(error, match=words):
        transport.request("GET", TIME)


@pytest.mark.parametrize(("answer", "words"), OUTCOME_OPEN.values(), ids=OUTCOME_OPEN)
def test_a_question_without_a_usable_answer_means_that_the_venue_is_unavailable(answer: bytes, words: str) -> None:
    with served(answer) as (_, transport, _waited), pytest.raises(VenueUnavailable, match=words):
        transport.request("GET", TIME)


@pytest.mark.parametrize(("answer", "error", "words"), REFUSED_UNPROCESSED.values(), ids=REFUSED_UNPROCESSED)
def test_an_order_that_was_refused_unprocessed_is_not_lost(answer: bytes, error: type[VenueError], words: str) -> None:
    with served(answer, answer, retries_max=2) as (wire, transport, waited), pytest.raises(error, match=words):
        AdvancedTradeBroker(transport, SystemClock()).submit(approved(make_intent()))
    assert len(wire.requests) == (2 if answer == UNAUTHORISED else 1)
    assert waited == []


@pytest.mark.parametrize(("answer", "words"), OUTCOME_OPEN.values(), ids=OUTCOME_OPEN)
def test_an_order_without_a_usable_answer_has_an_unknown_outcome_and_is_sent_once(answer: bytes, words: str) -> None:
    with served(answer, retries_max=2) as (wire, transport, waited), pytest.raises(OutcomeUnknown, match=words) as e:
        AdvancedTradeBroker(transport, SystemClock()).submit(approved(make_intent(), "run-42"))
    assert e.value.client_order_id == "run-42"
    assert len(wire.requests) == 1
    assert waited == []


@pytest.mark.parametrize(
    "body",
    [
        '{"success":true,"success_response":{"product_id":"BTC-USD"},"order_configuration":{}}',
        '{"success":true,"success_response":null,"order_configuration":{}}',
        '{"success":true,"success_response":{"order_id":""},"order_configuration":{}}',
        '{"order_id":"1"}',
        '{"success":false,"success_response":null,"order_configuration":{}}',
        '{"success":false,"success_response":{"order_id":"1"},"error_response":{"error":"INSUFFICIENT_FUND"}}',
    ],
)
def test_an_answer_that_says_neither_yes_nor_no_is_an_unknown_outcome_and_named_as_drift(body: str) -> None:
    with served(http("200 OK", body)) as (_, transport, _waited):
        broker = AdvancedTradeBroker(transport, SystemClock())
        with pytest.raises(OutcomeUnknown):
            broker.submit(approved(make_intent()))
        assert any(d.endswith("missing") and d.startswith("NewOrderResponse.") for d in broker.schema_drift())


def test_a_host_that_speaks_no_tls_is_an_unavailable_venue() -> None:
    wire = Wire((http("400 Bad Request", "{}"),), reads_first=False)
    client = SigningClient(wire.host, make_signer())  # TLS, as towards Coinbase
    with pytest.raises(VenueUnavailable, match="SSLError"):
        SdkTransport(client).request("GET", TIME)
    client.close()
    wire.close()


def test_a_port_where_nobody_listens_is_an_unavailable_venue() -> None:
    wire = Wire(())
    wire.close()
    transport = open_transport(wire.host, make_signer(), VenueName.LOCAL, SystemClock(), Random(1))
    with pytest.raises(VenueUnavailable, match="NewConnectionError"):
        transport.request("POST", f"{API}/orders", body={})
    transport.close()


def test_a_question_is_repeated_with_backoff_until_the_retries_are_used_up() -> None:
    outage = http("503 Service Unavailable", HTML, "text/html")
    with served(outage, outage, OK, retries_max=2) as (wire, transport, waited):
        assert transport.request("GET", TIME)["epochMillis"] == "1790735849298"
    assert len(wire.requests) == 3
    assert [0 <= seconds <= limit for seconds, limit in zip(waited, (0.25, 0.5), strict=True)] == [True, True]


def test_a_cancel_is_repeated_because_it_changes_nothing_twice() -> None:
    done = '{"results":[{"success":true,"failure_reason":"UNKNOWN_CANCEL_FAILURE_REASON","order_id":"a"}]}'
    with served(RESET, http("200 OK", done), retries_max=2) as (wire, transport, _waited):
        answers = AdvancedTradeBroker(transport, SystemClock()).cancel(["a"])
    assert [(a.order_id, a.is_accepted, a.reason) for a in answers] == [("a", True, "")]
    assert len(wire.requests) == 2


def test_a_401_is_repeated_once_with_a_fresh_token_even_for_an_order() -> None:
    taken = '{"success":true,"success_response":{"order_id":"o-1"},"order_configuration":{}}'
    with served(UNAUTHORISED, http("200 OK", taken)) as (wire, transport, _waited):
        answer = AdvancedTradeBroker(transport, SystemClock()).submit(approved(make_intent()))
    assert answer == Accepted("o-1")
    tokens = [_token(request) for request in wire.requests]
    assert len(set(tokens)) == 2
    bodies = [request.partition("\r\n\r\n")[2] for request in wire.requests]
    assert bodies[0] == bodies[1]


def test_the_token_names_method_host_with_port_and_path_without_query() -> None:
    with served(OK) as (wire, transport, _waited):
        transport.request("GET", TIME, {"limit": "5"})
    claims = jwt.decode(_token(wire.requests[0]), options={"verify_signature": False})
    assert claims["uri"] == f"GET {wire.host}{TIME}"
    assert wire.requests[0].startswith(f"GET {TIME}?limit=5 ")


REFUSALS = {
    "newest member first": ("INVALID_LIMIT_PRICE_POST_ONLY", "UNKNOWN_FAILURE_REASON", "", True),
    "four legacy keys": ("", "INSUFFICIENT_FUND", "PREVIEW_INSUFFICIENT_FUND", False),
    "only the preview knows": (
        "UNKNOWN_FAILURE_REASON", "UNKNOWN_FAILURE_REASON", "PREVIEW_STOP_PRICE_ABOVE_LAST_TRADE_PRICE", True,
    ),
    "nobody knows": ("UNKNOWN_FAILURE_REASON", "UNKNOWN_FAILURE_REASON", "UNKNOWN_PREVIEW_FAILURE_REASON", False),
    "a reason that no table has": ("SOMETHING_NEW", "", "", False),
}


@pytest.mark.parametrize(("newest", "error", "preview", "is_expected"), REFUSALS.values(), ids=REFUSALS)
def test_a_business_refusal_is_a_value_with_the_first_reason_that_says_something(
    newest: str, error: str, preview: str, is_expected: bool
) -> None:
    members = {"new_order_failure_reason": newest, "error": error, "preview_failure_reason": preview}
    said = {**{k: v for k, v in members.items() if v}, "message": "no", "error_details": ""}
    body = json.dumps({"success": False, "error_response": said, "order_configuration": {}})
    with served(http("200 OK", body)) as (_, transport, _waited):
        answer = AdvancedTradeBroker(transport, SystemClock()).submit(approved(make_intent()))
    known = next((r for r in (newest, error, preview) if r and not r.startswith("UNKNOWN")), "UNKNOWN_FAILURE_REASON")
    assert answer == Rejected(reason=known, is_expected=is_expected, message="no")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1:8080", True), ("localhost:80", True), ("[::1]:80", True), ("127.8.9.1:1", True),
        ("api.coinbase.com", False), ("127.0.0.1.evil.com:80", False), ("127.0.0.1:80@evil.com", False),
        ("10.0.0.1:80", False), ("", False),
    ],
)
def test_only_this_machine_is_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize("venue", [VenueName.SIMULATED, VenueName.LOCAL])
def test_a_rehearsal_never_leaves_this_machine(venue: VenueName) -> None:
    with pytest.raises(ConfigurationError, match=r"may not reach api\.coinbase\.com"):
        open_transport("api.coinbase.com", make_signer(), venue, SystemClock(), Random(1))


def test_a_live_run_never_trades_at_a_loopback_venue() -> None:
    with pytest.raises(ConfigurationError, match="choose local"):
        open_transport("127.0.0.1:1", make_signer(), VenueName.LIVE, SystemClock(), Random(1))


def _token(request: str) -> str:
    return next(line.split()[2] for line in request.splitlines() if line.lower().startswith("authorization:"))


def test_a_read_only_venue_has_no_way_to_trade() -> None:
    trading = {"submit", "cancel"}
    assert trading <= set(dir(AdvancedTradeBroker))
    assert not trading & set(dir(ReadOnlyVenue))
