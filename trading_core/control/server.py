"""Serves the control application with uvicorn: bounded connections, no waiting for slow heads, no word in a log."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, ClassVar, Self

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from trading_core.clock import NS, SystemClock, pause
from trading_core.control.config import ControlSettings, is_loopback
from trading_core.errors import ConfigurationError, VenueUnavailable

CONNECTIONS_MAX = 256  # a hundred dashboards with two each, and room for the operator
IDLE_S = 10  # a kept connection without a request
HEAD_BYTES_MAX = 16_384
BACKLOG = 128
START_WITHIN_S = 10.0
LOOK_EVERY_S = 0.02


class ImpatientProtocol(H11Protocol):
    """HTTP/1.1 that cuts off a client which dribbles the head of its request."""

    patience_s: ClassVar[float]
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        """Take data; wait on while the head is not whole."""
        super().data_received(data)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_watching()
        super().connection_lost(exc)

    def _watch_head(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._stop_watching()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(self.patience_s, self._give_up)

    def _stop_watching(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        # Between two requests of a kept connection uvicorn's own, longer timer runs.
        is_between = self.cycle is not None and self.timeout_keep_alive_task is not None
        if self.conn.their_state is h11.IDLE and not is_between:
            self.transport.close()


def serve(app: ASGIApp, settings: ControlSettings, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; `on_ready` is told the address once it listens. Raises ConfigurationError."""
    with _listen(settings) as listening:
        on_ready(_address(settings, listening))
        _server(app, settings).run(sockets=[listening])


class ControlThread:
    """A served control application in a thread: `with ControlThread(app, settings) as room: … room.url`."""

    url: str

    def __init__(self, app: ASGIApp, settings: ControlSettings) -> None:
        self._settings = settings
        self._server = _server(app, settings)
        self._socket = _listen(settings)
        self.url = _address(settings, self._socket)
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        clock = SystemClock()
        deadline_ns = clock.stopwatch_ns() + int(START_WITHIN_S * NS)
        while not self._server.started:
            if clock.stopwatch_ns() > deadline_ns or not self._thread.is_alive():
                raise VenueUnavailable(f"the control server did not start within {START_WITHIN_S:.0f} s")
            pause(LOOK_EVERY_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(START_WITHIN_S)

    def _run(self) -> None:
        with self._socket:
            self._server.run(sockets=[self._socket])


def _server(app: ASGIApp, settings: ControlSettings) -> uvicorn.Server:
    tls: dict[str, Any] = {}
    if settings.tls_certificate is not None and settings.tls_key is not None:
        tls = {"ssl_certfile": str(settings.tls_certificate), "ssl_keyfile": str(settings.tls_key)}
    # uvicorn makes the protocol itself: what it is to know has to be in its class.
    protocol = type("ImpatientProtocol", (ImpatientProtocol,), {"patience_s": settings.patience_s})
    config = uvicorn.Config(
        app, http=protocol, ws="none", lifespan="off", access_log=False, log_level="warning",
        log_config=None, proxy_headers=False, server_header=False, date_header=True,
        limit_concurrency=CONNECTIONS_MAX, backlog=BACKLOG, timeout_keep_alive=IDLE_S,
        h11_max_incomplete_event_size=HEAD_BYTES_MAX, timeout_graceful_shutdown=settings.shutdown_within_s, **tls,
    )
    try:
        config.load()
    except OSError as e:
        raise ConfigurationError(f"TLS files cannot be used ({e}): check certificate and key") from e
    return uvicorn.Server(config)


def _listen(settings: ControlSettings) -> socket.socket:
    host, port = settings.host, settings.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as e:
        listening.close()
        if e.errno == errno.EADDRINUSE:
            raise ConfigurationError(f"port {port} on {host} is busy: choose another one, or 0 for any") from e
        raise ConfigurationError(f"cannot listen on {host}:{port} ({e.strerror}): choose another address") from e
    return listening


def _address(settings: ControlSettings, listening: socket.socket) -> str:
    port = listening.getsockname()[1]
    scheme = "https" if settings.is_tls else "http"
    name = "localhost" if is_loopback(settings.host) and ":" not in settings.host else settings.host
    return f"{scheme}://[{name}]:{port}" if ":" in name else f"{scheme}://{name}:{port}"
