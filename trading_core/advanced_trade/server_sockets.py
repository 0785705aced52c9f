"""The WebSocket endpoints: carries frames between aiohttp and the sessions of the hub."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import WSMsgType, web

from trading_core.advanced_trade.channels import MESSAGE_BYTES_MAX, Connection, Host
from trading_core.advanced_trade.channels_hub import StreamHub
from trading_core.advanced_trade.gateway_http import RATE_LIMITED_JSON, no_route

HOST_PATHS = {"/": Host.MARKET, "/ws": Host.MARKET, "/user": Host.USER, "/ws/user": Host.USER}
ABORT = 1006
CLOSE_TIMEOUT_S = 2.0
SLOW_SEND_S = 10.0  # a peer that takes no byte for this long is gone


class StreamEndpoint:
    """Serves the sockets of all hosts on one port."""

    def __init__(self, hub: StreamHub, real_ns: Callable[[], int]) -> None:
        self._hub = hub
        self._real_ns = real_ns
        self._open: set[Connection] = set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one connection until either side ends it."""
        socket = web.WebSocketResponse(max_msg_size=MESSAGE_BYTES_MAX, compress=False, timeout=CLOSE_TIMEOUT_S)
        if not socket.can_prepare(request):
            refusal = no_route().response()
            return web.Response(status=refusal.status, body=refusal.body, content_type=refusal.content_type)
        remote = request.remote or ""
        if not self._hub.may_connect(remote):
            return web.Response(status=429, body=RATE_LIMITED_JSON.body, content_type="application/json")
        await socket.prepare(request)
        has_news = asyncio.Event()
        connection = self._hub.open(HOST_PATHS[request.path], remote, self._real_ns(), has_news.set)
        self._open.add(connection)
        writer = asyncio.create_task(self._write(request, socket, connection, has_news))
        try:
            async for message in socket:
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    connection.receive(message.data)
        finally:
            self._open.discard(connection)
            self._hub.close(connection)
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
        return socket

    def end_all(self) -> None:
        """Tell every client that the venue goes away."""
        for connection in self._open:
            connection.end(1001, "going away")

    async def _write(
        self, request: web.Request, socket: web.WebSocketResponse, connection: Connection, has_news: asyncio.Event
    ) -> None:
        """Send what the session queues; end the connection when the session says so or the peer is stuck."""
        try:
            while connection.ending is None or connection.outbox:
                await has_news.wait()
                has_news.clear()
                while (frame := connection.take()) is not None:
                    async with asyncio.timeout(SLOW_SEND_S):
                        await socket.send_frame(frame, WSMsgType.TEXT)
                    self._hub.sent(connection, self._real_ns())
        except (ConnectionError, TimeoutError):
            connection.end(ABORT)
        ending = connection.ending
        if ending is None or ending.code == ABORT:
            _abort(request)
        else:
            await socket.close(code=ending.code, message=ending.reason.encode())


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
