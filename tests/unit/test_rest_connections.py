"""Connections below the SDK: kept, watched, bounded, encrypted, and deaf to the environment."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, IncompleteRead
from pathlib import Path

import pytest
import requests

from tests.contract.venue import running_venue
from tests.unit.broker_wire import make_signer
from trading_core.advanced_trade import rest_connections
from trading_core.advanced_trade.broker_transport import API
from trading_core.advanced_trade.keys import KeyKind
from trading_core.advanced_trade.rest_connections import RestConnections, Timeouts
from trading_core.advanced_trade.sdk_transport import SdkTransport, SigningClient
from trading_core.errors import VenueUnavailable

ASKED = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
TIMEOUTS = Timeouts(20, 20, 40)
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"
UNTIL_CLOSED = b"HTTP/1.1 200 OK\r\n\r\n{}"
CUT_SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"


class Keeper:
    """Answers each request with the next of the bytes; keeps the connection, but closes it after those named."""

    def __init__(self, answers: tuple[bytes, ...], closes_after: tuple[int, ...] = ()) -> None:
        self.connections = 0
        self.requests: list[bytes] = []
        self.closed = threading.Event()
        self._answers, self._closes_after = list(answers), closes_after
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while self._answers:
            connection, _ = self._socket.accept()
            self.connections += 1
            with connection:
                connection.settimeout(20)
                while self._answers and (request := connection.recv(65_536)):
                    self.requests.append(request)
                    connection.sendall(self._answers.pop(0))
                    if len(self.requests) in self._closes_after:
                        break
            self.closed.set()
        self._socket.close()

    def join(self) -> None:
        self._thread.join(5)
        assert not self._thread.is_alive()


@contextmanager
def keeping(*answers: bytes, closes_after: tuple[int, ...] = ()) -> Iterator[tuple[Keeper, RestConnections]]:
    keeper = Keeper(answers, closes_after)
    connections = RestConnections(keeper.host, is_tls=False)
    yield keeper, connections
    connections.close()
    keeper.join()


def test_one_connection_carries_one_request_after_the_other() -> None:
    with keeping(EMPTY, CHUNKED, EMPTY) as (keeper, connections):
        assert [connections.send("GET", ASKED, TIMEOUTS).body for _ in range(3)] == [b"{}"] * 3
    assert keeper.connections == 1


def test_a_request_is_one_write_however_large_its_head() -> None:
    with keeping(EMPTY) as (keeper, connections):
        connections.send("POST", ASKED + b"body", TIMEOUTS)
    assert keeper.requests == [ASKED + b"body"]


def test_a_connection_that_the_venue_closed_meanwhile_is_not_used_again() -> None:
    with keeping(EMPTY, EMPTY, closes_after=(1,)) as (keeper, connections):
        connections.send("GET", ASKED, TIMEOUTS)
        assert keeper.closed.wait(20)
        assert connections.send("GET", ASKED, TIMEOUTS).status == 200
    assert keeper.connections == 2


def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    with keeping(UNTIL_CLOSED, EMPTY, closes_after=(1,)) as (keeper, connections):
        assert connections.send("GET", ASKED, TIMEOUTS).body == b"{}"
        connections.send("GET", ASKED, TIMEOUTS)
    assert keeper.connections == 2


def test_an_answer_that_is_cut_short_is_no_answer_and_ends_the_connection() -> None:
    with keeping(CUT_SHORT, EMPTY, closes_after=(1,)) as (keeper, connections):
        with pytest.raises(IncompleteRead):
            connections.send("GET", ASKED, TIMEOUTS)
        assert connections.send("GET", ASKED, TIMEOUTS).status == 200
    assert keeper.connections == 2


def test_a_venue_that_trickles_its_answer_is_not_waited_for_beyond_the_deadline() -> None:
    """Each byte comes in time for one read; without a deadline for the whole answer the loop would stand."""
    over = threading.Event()

    def trickle(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
            for _ in range(500):
                if over.wait(0.02):
                    return
                connection.sendall(b" ")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=trickle, args=(server,), daemon=True)
        thread.start()
        connections = RestConnections(f"127.0.0.1:{server.getsockname()[1]}", is_tls=False)
        with pytest.raises(TimeoutError):
            connections.send("GET", ASKED, Timeouts(2, 2, 0.2))
        over.set()
        thread.join(5)


def test_an_answer_larger_than_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest_connections, "ANSWER_BYTES_MAX", 1)
    with keeping(EMPTY) as (_, connections), pytest.raises(HTTPException, match="larger than 1 bytes"):
        connections.send("GET", ASKED, TIMEOUTS)


def test_the_environment_names_no_proxy_and_no_certificate_store(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, "/nowhere.pem")
    with running_venue() as venue:
        assert venue.own_client(KeyKind.ED25519).get(f"{API}/time")["epochMillis"]


def test_what_the_environment_names_as_key_log_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys.log"))
    monkeypatch.setattr(requests.utils, "DEFAULT_CA_BUNDLE_PATH", str(tmp_path / "ca.pem"))
    with running_venue(tls_folder=tmp_path) as venue:
        transport = SdkTransport(SigningClient(venue.ready.rest_host, make_signer()))
        assert transport.request("GET", f"{API}/time")["epochMillis"]
        transport.close()
    assert not (tmp_path / "keys.log").exists()


def test_a_certificate_that_nobody_vouches_for_is_no_venue(tmp_path: Path) -> None:
    with running_venue(tls_folder=tmp_path) as venue:
        transport = SdkTransport(SigningClient(venue.ready.rest_host, make_signer()))
        with pytest.raises(VenueUnavailable, match="SSL"):
            transport.request("GET", f"{API}/time")
        transport.close()


def test_the_sdk_itself_reaches_nobody_past_us() -> None:
    client = SigningClient("127.0.0.1:1", make_signer(), is_tls=False)
    with pytest.raises(requests.exceptions.InvalidSchema):
        client.session.get("https://127.0.0.1:1/")
    client.close()
