"""Prefect's server and UI, with a policy that lets the browser ask nobody else.

    python -m deployments.prefect_server      # host, port and the rest: PREFECT_SERVER_* of the environment

`prefect server start` serves a page that asks an analytics service for its settings at every visit, also with analytics
off, and shows the images of a Markdown artifact from any address.
"""

from __future__ import annotations

import sys
from urllib.parse import urlsplit

import uvicorn
from prefect.server.api.server import create_app
from prefect.settings import get_current_settings
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "connect-src 'self' {api}; img-src 'self' data: blob:; object-src 'none'; base-uri 'self'; frame-ancestors 'none'"
)


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


def _origins(api_url: str) -> str:
    """Return the API's address as a page of another name asks for it: by HTTP and by WebSocket."""
    parts = urlsplit(api_url)
    return f"{parts.scheme}://{parts.netloc} {'wss' if parts.scheme == 'https' else 'ws'}://{parts.netloc}"


def main() -> int:
    """Serve until a signal; 0 at a clean end."""
    settings = get_current_settings().server
    app = create_app(final=True)
    uvicorn.run(
        AsksNobodyElse(app, settings.ui.api_url or f"http://{settings.api.host}:{settings.api.port}/api"),
        host=settings.api.host, port=settings.api.port, timeout_keep_alive=settings.api.keepalive_timeout,
        log_level=settings.logging_level.lower(),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
