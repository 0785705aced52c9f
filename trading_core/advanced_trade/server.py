"""The local exchange on a loopback port: REST and WebSocket on one asyncio loop, which alone touches the exchange."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from trading_core.advanced_trade.channels_hub import StreamHub
from trading_core.advanced_trade.gateway import BODY_BYTES_MAX, Gateway
from trading_core.advanced_trade.gateway_http import Fate, Request
from trading_core.advanced_trade.keys import KeyRegistry
from trading_core.advanced_trade.server_config import ReadyLine, ServeConfig
from trading_core.advanced_trade.server_control import add_control_routes
from trading_core.advanced_trade.server_sockets import HOST_PATHS, StreamEndpoint
from trading_core.advanced_trade.server_tls import tls_context
from trading_core.clock import NS, Clock, SystemClock, VirtualClock
from trading_core.errors import ConfigurationError, InvariantBroken
from trading_core.local_exchange.exchange import LocalExchange

log = logging.getLogger(__name__)

PUMP_S = 0.02
# A request acts at most this much (real time) after the moment that the exchange was last moved to.
STALE_NS = 2_000_000
PARENT_CHECK_S = 0.5
LINGER_MAX_S = 26 * 3_600.0  # a session of a day may be taken up after its run was killed; then it ends in any case
SHUTDOWN_S = 2.0


class VenueServer:
    """One venue behind one port. Use it inside `running`, on the loop that it shall live on."""

    def __init__(self, config: ServeConfig, keys: KeyRegistry) -> None:
        self.config = config
        start_ns = config.exchange.start_ns
        self.clock: Clock = VirtualClock(start_ns) if config.is_manual else SystemClock(config.speed, start_ns)
        self.exchange = LocalExchange(config.exchange)
        self.gateway = Gateway(self.exchange, keys, config.gateway)
        self.hub = StreamHub(self.gateway, config.streams)
        self._stopwatch = SystemClock()
        self._stepped_ns = -STALE_NS
        self._has_step_ahead = False
        self._pump_task: asyncio.Task[None] | None = None

    def step(self) -> None:
        """Move the exchange to now and queue what happened for all sockets."""
        self._has_step_ahead = False
        self._stepped_ns = self._real_ns()
        self.hub.advance(self.clock.now_ns(), self._stepped_ns)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[ReadyLine]:
        """Listen while the context lasts; raises ConfigurationError if the port is busy."""
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        sockets = StreamEndpoint(self.hub, self._real_ns)
        for path in HOST_PATHS:
            app.router.add_get(path, sockets.handle)
        if self.config.has_control:
            add_control_routes(app, self)
        app.router.add_route("*", "/{path:.*}", self._rest)
        runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=SHUTDOWN_S)
        await runner.setup()
        try:
            port = await _listen(runner, self.config)
            self._pump_task = asyncio.create_task(self._pump())
            yield ReadyLine.of(self.config.host, port, os.getpid(), self.config.tls_folder is not None)
        finally:
            sockets.end_all()
            if self._pump_task is not None:
                self._pump_task.cancel()
                await asyncio.gather(self._pump_task, return_exceptions=True)
            await runner.cleanup()

    async def run_until(self, is_over: asyncio.Event) -> None:
        """Wait inside `running` until the event is set; raises what stopped the venue's time, if anything did."""
        if self._pump_task is None:
            raise InvariantBroken("the venue is not running: enter running() first")
        waiting = asyncio.create_task(is_over.wait())
        await asyncio.wait({waiting, self._pump_task}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._pump_task.done():
            await self._pump_task

    async def _pump(self) -> None:
        while True:
            self.step()
            await asyncio.sleep(PUMP_S)

    async def _rest(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if self._real_ns() - self._stepped_ns > STALE_NS:
            self.step()
        response = self.gateway.handle(
            Request(
                method=request.method,
                path=request.path,
                query=tuple(request.query.items()),
                headers={name.lower(): value for name, value in request.headers.items()},
                body=body,
                host=request.headers.get("host", ""),
                remote=request.remote or "",
            )
        )
        if request.method != "GET" and not self._has_step_ahead:
            self._has_step_ahead = True
            asyncio.get_running_loop().call_soon(self.step)
        if response.delay_ms:
            await asyncio.sleep(response.delay_ms / 1_000)
        if response.fate is Fate.RESET:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()  # goes nowhere: the connection is gone
        headers = {"Content-Type": response.content_type, **response.headers}
        return web.Response(status=response.status, body=response.body, headers=headers)

    def _real_ns(self) -> int:
        return self._stopwatch.stopwatch_ns()


async def _listen(runner: web.AppRunner, config: ServeConfig) -> int:
    host, port = config.host, config.port
    context = tls_context(config.tls_folder, host) if config.tls_folder is not None else None
    site = web.TCPSite(runner, host, port, ssl_context=context)
    try:
        await site.start()
    except OSError as e:
        if e.errno == errno.EADDRINUSE:
            raise ConfigurationError(f"port {port} on {host} is busy: choose another one, or 0 for any") from e
        raise ConfigurationError(f"cannot listen on {host}:{port} ({e.strerror}): choose another address") from e
    address = runner.addresses[0]
    return int(address[1])


def serve(config: ServeConfig, keys: KeyRegistry | None = None) -> None:
    """Serve until SIGTERM, SIGINT or the end of the parent. Raises ConfigurationError if it cannot start.

    Once it listens it writes one ReadyLine to the ready file or, without one, to stdout.
    """
    if keys is None and config.keys_file is None:
        raise ConfigurationError("the server has no keys: name a keys_file")
    registry = keys if keys is not None else KeyRegistry.load(config.keys_file or Path())
    asyncio.run(_serve(config, registry))


async def _serve(config: ServeConfig, keys: KeyRegistry) -> None:
    loop = asyncio.get_running_loop()
    is_over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, is_over.set)
    if config.ends_with_stdin:
        loop.add_reader(sys.stdin.fileno(), _end_at_eof, is_over)
    server = VenueServer(config, keys)
    async with server.running() as ready:
        _announce(ready, config.ready_file)
        watch = asyncio.create_task(_watch_parent(server, is_over)) if config.parent_pid else None
        await server.run_until(is_over)
        if watch is not None:
            watch.cancel()


def _announce(ready: ReadyLine, ready_file: Path | None) -> None:
    line = ready.model_dump_json() + "\n"
    if ready_file is None:
        sys.stdout.write(line)
        sys.stdout.flush()
        return
    part = ready_file.with_suffix(ready_file.suffix + ".part")
    part.write_text(line, encoding="utf-8")
    part.replace(ready_file)


def _end_at_eof(is_over: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 4_096):
        is_over.set()
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())


async def _watch_parent(server: VenueServer, is_over: asyncio.Event) -> None:
    pid = server.config.parent_pid
    is_child = os.getppid() == pid  # then a dead parent shows at once, even if nobody has reaped it yet
    while os.getppid() == pid if is_child else _is_alive(pid):
        await asyncio.sleep(PARENT_CHECK_S)
    log.warning("parent_ended", extra={"pid": pid})
    await _linger(server)
    is_over.set()


async def _linger(server: VenueServer) -> None:
    """Wait until nobody has been connected for the time that the configuration names."""
    clock = SystemClock()
    orphaned_ns = busy_ns = clock.stopwatch_ns()
    while True:
        now_ns = clock.stopwatch_ns()
        busy_ns = now_ns if len(server.hub) else busy_ns
        is_alone = now_ns - busy_ns >= server.config.linger_s * NS
        if is_alone or now_ns - orphaned_ns >= LINGER_MAX_S * NS:
            return
        await asyncio.sleep(PARENT_CHECK_S)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def main(arguments: list[str]) -> int:
    """Serve as the configuration file named on the command line says; returns the exit code."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m trading_core.advanced_trade.server CONFIG.json\n")
        return 2
    try:
        serve(ServeConfig.load(Path(arguments[0])))
    except ConfigurationError as e:
        sys.stderr.write(f"{e}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
