"""Kept connections to one REST host: a request is one write, its answer is read by the standard library.

requests and urllib3's request path cost more than the venue's own work on an order (docs/adr/0028), so of urllib3 only
the opening, the TLS and the watching of a connection are used here. Nothing is repeated, redirected or read from the
environment.
"""

from __future__ import annotations

import io
import socket as sockets
import ssl
from collections import deque
from http.client import HTTPException, HTTPResponse, IncompleteRead
from typing import TYPE_CHECKING, NamedTuple, cast

import requests.utils
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.connection import is_connection_dropped

from trading_core.clock import NS, SystemClock

IDLE_MAX = 4  # connections kept open: the session's, and those of whoever looks on
if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_stopwatch_ns = SystemClock().stopwatch_ns
ANSWER_BYTES_MAX = 64 * 1024 * 1024  # the list of all products has a few MiB


class Timeouts(NamedTuple):
    """How long one request may take, in machine seconds."""

    connect_s: float
    read_s: float  # without a byte
    whole_s: float  # from the writing to the answer's last byte: a venue that trickles must not hold the session's loop


class Answer(NamedTuple):
    """One answer as it came; header values are empty if the header was not there."""

    status: int
    body: bytes
    retry_after: str
    date: str


class RestConnections:
    """Sends requests to one host; may be used from any thread, each request on a connection of its own."""

    def __init__(self, host: str, *, is_tls: bool) -> None:
        """Take "name" or "name:port"."""
        self._name, _, port = host.rpartition(":") if _has_port(host) else (host, "", "")
        self._port = int(port) if port else None
        self._context = _tls() if is_tls else None
        self._idle: deque[HTTPConnection] = deque()

    def send(self, method: str, request: bytes, timeouts: Timeouts) -> Answer:
        """Write a whole request, head and body, and return the answer.

        Raises OSError, or an exception of http.client or urllib3.
        """
        connection = self._take(timeouts.connect_s)
        try:
            socket = connection.sock
            # HTTPResponse asks a socket for nothing but its file.
            bounded = cast(sockets.socket, _BoundedSocket(socket, timeouts))
            socket.sendall(request)
            with HTTPResponse(bounded, method=method) as response:
                response.begin()
                answer = _read(response)
                is_kept = not response.will_close
        except BaseException:
            connection.close()
            raise
        if is_kept and len(self._idle) < IDLE_MAX:
            self._idle.append(connection)
        else:
            connection.close()
        return answer

    def close(self) -> None:
        """Close what is open. May be called twice."""
        while self._idle:
            self._idle.pop().close()

    def _take(self, connect_s: float) -> HTTPConnection:
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread was faster
                break
            # The venue may have closed it meanwhile: an order must not be sent into a dead connection.
            if not is_connection_dropped(connection):
                return connection
            connection.close()
        connection = self._open(connect_s)
        connection.connect()
        return connection

    def _open(self, connect_s: float) -> HTTPConnection:
        if self._context is None:
            return HTTPConnection(self._name, self._port, timeout=connect_s)
        return HTTPSConnection(self._name, self._port, timeout=connect_s, ssl_context=self._context)


class _BoundedSocket(io.RawIOBase):
    """The reading side of a socket until a deadline; to HTTPResponse it is both the socket and its file."""

    def __init__(self, socket: sockets.socket, timeouts: Timeouts) -> None:
        self._socket = socket
        self._timeouts = timeouts
        self._until_ns = _stopwatch_ns() + int(timeouts.whole_s * NS)
        self._has_read = False
        socket.settimeout(min(timeouts.read_s, timeouts.whole_s))

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        if self._has_read:  # most answers come in one piece: only the others are looked at again
            left_s = (self._until_ns - _stopwatch_ns()) / NS
            if left_s <= 0:
                raise TimeoutError(f"the answer was not complete within {self._timeouts.whole_s} s")
            self._socket.settimeout(min(self._timeouts.read_s, left_s))
        self._has_read = True
        return self._socket.recv_into(buffer)


def _read(response: HTTPResponse) -> Answer:
    body = response.read(ANSWER_BYTES_MAX + 1)
    if len(body) > ANSWER_BYTES_MAX:
        raise HTTPException(f"the answer is larger than {ANSWER_BYTES_MAX} bytes")
    if response.length:  # the connection ended before the answer did
        raise IncompleteRead(body, response.length)
    return Answer(
        response.status, body, response.getheader("Retry-After", ""), response.getheader("Date", "")
    )


def _tls() -> ssl.SSLContext:
    # Not create_default_context: it would write the keys of the session to a file that the environment names.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(requests.utils.DEFAULT_CA_BUNDLE_PATH)
    return context


def _has_port(host: str) -> bool:
    return host.rpartition(":")[2].isdecimal() and not host.endswith("]")
