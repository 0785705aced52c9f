"""Bad input and rude clients at the control API: refused, cut off, or served without the operator noticing."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.control_rig import ControlRig, control_rig
from trading_core.control.front_door import BODY_BYTES_MAX
from trading_core.trading_state import TradingState

PATIENCE_S = 1.5  # also what a client of ours has between its connection and its words on a busy machine
ANSWER_WITHIN_S = 20.0
CROWD = 120  # clients that hold a connection and say nothing


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlRig]:
    with control_rig(tmp_path_factory.mktemp("control"), patience_s=PATIENCE_S) as running:
        yield running


@pytest.fixture
def rig(shared: ControlRig) -> ControlRig:
    """Return the shared server with both accounts ACTIVE."""
    shared.reset()
    return shared


def connected(rig: ControlRig, data: bytes) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", rig.port), timeout=ANSWER_WITHIN_S)
    client.sendall(data)
    return client


def answered(rig: ControlRig, data: bytes) -> bytes:
    """Send raw bytes and return all that comes back until the server closes."""
    received = b""
    with connected(rig, data) as client:
        while chunk := client.recv(65_536):
            received += chunk
    return received


@pytest.mark.parametrize("body", [
    b"{", b"[]", b"null", b"1", b'"x"', b"\xff\xfe", b'{"a": NaN}', b"[" * 10_000, b'{"reason": 1}', b'{"reason": ""}',
    b'{"account": "../../etc"}', b'{"account": "a", "run": "b"}', b'{"reason": true}',
    b'{"unknown": 1}', b'{"reason": "' + b"x" * 501 + b'"}', b'{"account": "' + b"a" * 300 + b'"}',
])
def test_a_malformed_body_is_refused_with_a_sentence_and_changes_nothing(rig: ControlRig, body: bytes) -> None:
    answer = rig.ask("POST", "/api/disable-trading", data=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, rig.state()) == (422, TradingState.ACTIVE)
    assert set(answer.json()) == {"error"}


@pytest.mark.parametrize("body", [{"account": "nobody"}, {"run": "nobody"}])
def test_an_account_that_nobody_knows_is_told(rig: ControlRig, body: dict[str, str]) -> None:
    assert rig.ask("POST", "/api/disable-trading", json=body).status_code == 404
    assert rig.state() is TradingState.ACTIVE


def test_a_form_is_no_json(rig: ControlRig) -> None:
    assert rig.ask("POST", "/api/disable-trading", data={"reason": "x"}).status_code == 415
    assert rig.state() is TradingState.ACTIVE


@pytest.mark.parametrize("how", ["told", "chunked"])
def test_an_oversized_body_is_cut_off(rig: ControlRig, how: str) -> None:
    head = b"POST /api/disable-trading HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    size = BODY_BYTES_MAX + 1
    if how == "told":
        data = head + b"Content-Length: %d\r\n\r\n" % size + b" " * size
    else:
        data = head + b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n" % size + b" " * size + b"\r\n"
    assert answered(rig, data).startswith(b"HTTP/1.1 413")
    assert rig.state() is TradingState.ACTIVE


def test_an_oversized_head_is_refused(rig: ControlRig) -> None:
    data = b"GET /api/status HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000
    assert answered(rig, data).startswith(b"HTTP/1.1 4")


@pytest.mark.parametrize("data", [b"", b"GET /api/sta", b"POST /api/reduce-only HTTP/1.1\r\nHost: localhost\r\nX"])
def test_a_client_that_dribbles_its_head_is_cut_off(rig: ControlRig, data: bytes) -> None:
    assert answered(rig, data) == b""


def test_a_client_that_dribbles_its_body_is_not_waited_for(rig: ControlRig) -> None:
    head = b"POST /api/disable-trading HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"
    assert answered(rig, head + b"Content-Type: application/json\r\n\r\n{").startswith(b"HTTP/1.1 408")
    assert rig.state() is TradingState.ACTIVE


@pytest.mark.parametrize("data", [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"NONSENSE\r\n\r\n", b"GET / HTTP/9.9\r\nConnection: close\r\n\r\n",
    b"POST /api/reduce-only HTTP/1.1\r\nHost: a\r\nHost: localhost\r\n\r\n",
    b"POST /api/reduce-only HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
])
def test_what_is_no_request_is_refused(rig: ControlRig, data: bytes) -> None:
    received = answered(rig, data)
    assert received == b"" or received.startswith(b"HTTP/1.1 4")
    assert rig.state() is TradingState.ACTIVE


def test_a_crowd_that_says_nothing_does_not_keep_the_operator_out(rig: ControlRig) -> None:
    with ExitStack() as stack:
        for _ in range(CROWD):
            stack.enter_context(connected(rig, b"GET /api/status HTTP/1.1\r\n"))
        assert rig.ask("POST", "/api/reduce-only").status_code == 200
        assert rig.state() is TradingState.REDUCE_ONLY
