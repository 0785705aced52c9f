"""Whatever class of exception the libraries below us can raise: REST and stream turn it into one of ours."""

from __future__ import annotations

import asyncio
import http.client
import inspect
import json
import socket
import ssl
import warnings
from collections.abc import Iterator
from types import ModuleType

import coinbase.rest.rest_base
import msgspec
import pytest
import requests
import urllib3
import websockets.exceptions

from tests.unit.broker_wire import make_signer
from trading_core.advanced_trade import stream_connection
from trading_core.advanced_trade.broker_transport import API
from trading_core.advanced_trade.foreign_errors import FOREIGN
from trading_core.advanced_trade.frame_reader import FrameReader
from trading_core.advanced_trade.rest_connections import RestConnections
from trading_core.advanced_trade.sdk_transport import SdkTransport, SigningClient
from trading_core.advanced_trade.stream_connection import ConnectionLost, Line, StreamConnection
from trading_core.errors import VenueUnavailable

MODULES = (
    requests.exceptions, urllib3.exceptions, ssl, socket, http.client, websockets.exceptions, coinbase.rest.rest_base,
    json,
)


def exceptions_of(module: ModuleType) -> Iterator[type[Exception]]:
    """Return the exceptions that are known in a module, those of its own base classes included."""
    for _, found in inspect.getmembers(module, inspect.isclass):
        if issubclass(found, Exception) and found.__module__ != "builtins" and found.__name__[0] != "_":
            yield found
            yield from (s for s in found.__subclasses__() if s.__module__.partition(".")[0] == found.__module__)


with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # the walk touches deprecated names, too
    FOUND = {e for module in MODULES for e in exceptions_of(module)}
ALL = sorted(
    FOUND
    | {OSError, ConnectionResetError, BrokenPipeError, TimeoutError, ConnectionRefusedError, EOFError}
    | {msgspec.DecodeError, msgspec.ValidationError, asyncio.IncompleteReadError},
    key=lambda e: f"{e.__module__}.{e.__qualname__}",
)


def raised(kind: type[Exception]) -> Exception:
    """Return one of that class, however its constructor wants to be called."""
    return kind(None, None) if issubclass(kind, websockets.exceptions.ConnectionClosed) else kind.__new__(kind)


def test_the_walk_found_the_libraries() -> None:
    packages = {e.__module__.partition(".")[0] for e in ALL}
    assert {"requests", "urllib3", "ssl", "http", "websockets", "multiprocessing", "json"} <= packages
    assert len(ALL) > 80


@pytest.mark.parametrize("kind", ALL, ids=lambda e: f"{e.__module__}.{e.__qualname__}")
def test_a_request_that_ends_in_it_is_an_unavailable_venue(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise raised(kind)

    monkeypatch.setattr(RestConnections, "send", fail)
    transport = SdkTransport(SigningClient("127.0.0.1:1", make_signer(), is_tls=False))
    with pytest.raises(VenueUnavailable, match=f"GET {API}/time was"):
        transport.request("GET", f"{API}/time")
    transport.close()


@pytest.mark.parametrize("kind", ALL, ids=lambda e: f"{e.__module__}.{e.__qualname__}")
def test_a_connection_of_the_stream_that_ends_in_it_is_lost(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise raised(kind)

    monkeypatch.setattr(stream_connection, "connect", fail)
    line = Line("market", "ws://127.0.0.1:1", ("heartbeats",), ("BTC-USD",))
    connection = StreamConnection(line, FrameReader([], lambda: 0), None, 1.0, lambda events: True, lambda: None)
    with pytest.raises(ConnectionLost):
        asyncio.run(connection.run())


def test_a_bug_of_ours_is_no_foreign_error() -> None:
    ours = [KeyError, TypeError, AttributeError, ZeroDivisionError, AssertionError, RuntimeError, RecursionError]
    assert not [e for e in ours if issubclass(e, FOREIGN)]
