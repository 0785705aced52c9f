"""Prefect's server and UI: the browser may ask nobody else, and a write waits while SQLite is busy.

    python -m deployments.prefect_server      # host, port and the rest: PREFECT_SERVER_* of the environment

`prefect server start` serves a page that asks an analytics service for its settings at every visit, also with analytics
off, and shows the images of a Markdown artifact from any address. It answers 503 at once to a write whose transaction
read before another one wrote: SQLite waits in no such case. Prefect's client asks again, its page shows an error.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from urllib.parse import urlsplit

import anyio
import uvicorn
from prefect.server.api.server import create_app
from prefect.settings import get_current_settings
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "connect-src 'self' {api}; img-src 'self' data: blob:; object-src 'none'; base-uri 'self'; frame-ancestors 'none'"
)
BUSY = 503
WRITES = ("POST", "PUT", "PATCH", "DELETE")
PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8, *[1.0] * 12)


class AsksNobodyElse:
    """Adds the policy to every answer."""

    def __init__(self, app: ASGIApp, api_url: str) -> None:
        self._app = app
        self._policy = POLICY.format(api=_origins(api_url))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the app does, with one header more."""

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["content-security-policy"] = self._policy
            await send(message)

        await self._app(scope, receive, send_with_policy if scope["type"] == "http" else send)


class WaitsWhileBusy:
    """Carries out a write again, a moment later, while it is refused as busy: a refused one was rolled back."""

    def __init__(self, app: ASGIApp, pauses_s: Sequence[float] = PAUSES_S) -> None:
        self._app = app
        self._pauses_s = pauses_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the app does; the last refusal is passed on."""
        if scope["type"] != "http" or scope["method"] not in WRITES:
            await self._app(scope, receive, send)
            return
        asked = await _whole(receive)
        for pause_s in self._pauses_s:
            if await self._is_answered(dict(scope), _said_again(asked, receive), send):
                return
            await anyio.sleep(pause_s)
        await self._app(scope, _said_again(asked, receive), send)

    async def _is_answered(self, scope: Scope, receive: Receive, send: Send) -> bool:
        is_busy = False

        async def send_unless_busy(message: Message) -> None:
            nonlocal is_busy
            is_busy = is_busy or (message["type"] == "http.response.start" and message["status"] == BUSY)
            if not is_busy:
                await send(message)

        try:
            await self._app(scope, receive, send_unless_busy)
        except Exception:  # what was answered with 503 is raised, too, for the server's log
            if not is_busy:
                raise
        return not is_busy


async def _whole(receive: Receive) -> list[Message]:
    """Return all parts of a request's body."""
    parts = [await receive()]
    while parts[-1].get("more_body"):
        parts.append(await receive())
    return parts


def _said_again(parts: Sequence[Message], receive: Receive) -> Receive:
    """Return what says the parts of a request once more, and then whatever comes."""
    left = iter(parts)

    async def receive_again() -> Message:
        return next(left, None) or await receive()

    return receive_again


def _origins(api_url: str) -> str:
    """Return the API's address as a page of another name asks for it: by HTTP and by WebSocket."""
    parts = urlsplit(api_url)
    return f"{parts.scheme}://{parts.netloc} {'wss' if parts.scheme == 'https' else 'ws'}://{parts.netloc}"


def main() -> int:
    """Serve until a signal; 0 at a clean end."""
    settings = get_current_settings().server
    app = create_app(final=True)
    uvicorn.run(
        AsksNobodyElse(WaitsWhileBusy(app), settings.ui.api_url or f"http://{settings.api.host}:{settings.api.port}/api"),
        host=settings.api.host, port=settings.api.port, timeout_keep_alive=settings.api.keepalive_timeout,
        log_level=settings.logging_level.lower(),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
