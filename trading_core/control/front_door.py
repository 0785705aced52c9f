"""What stands before every route: whose name is asked for, how much may be sent and how slowly, and safe headers."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trading_core.control.config import ControlSettings

BODY_BYTES_MAX = 16_384  # the longest body is a name, a reason and a confirmation
SAFE_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class FrontDoor:
    """ASGI middleware. There is no CORS header anywhere: no other origin may read an answer."""

    def __init__(self, app: ASGIApp, settings: ControlSettings) -> None:
        self._app = app
        self._names = settings.trusted_names
        self._patience_s = settings.patience_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or hand the request on with its body read."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = _with_headers(send)
        headers = Headers(scope=scope)
        if not self._is_ours(headers):
            await refused(421, "the Host header names no host of this server: use localhost")(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._patience_s):
                body = await _read(receive)
        except TimeoutError:
            await refused(408, f"the body took longer than {self._patience_s} s")(scope, receive, send)
            return
        if body is None:
            await refused(413, f"the body is longer than {BODY_BYTES_MAX} bytes")(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)

    def _is_ours(self, headers: Headers) -> bool:
        hosts = headers.getlist("host")
        if len(hosts) != 1:
            return False
        try:
            name = urlsplit(f"//{hosts[0]}").hostname
        except ValueError:
            return False
        return (name or "").rstrip(".").lower() in self._names


def refused(status: int, why: str, **headers: str) -> JSONResponse:
    """Return an answer that says why and what to do."""
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    if status in (408, 413):
        more["connection"] = "close"
    return JSONResponse({"error": why}, status, headers=more)


async def _read(receive: Receive) -> bytes | None:
    """Return the whole body; None as soon as it is too long."""
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return body
        body += bytes(message.get("body", b""))
        if len(body) > BODY_BYTES_MAX:
            return None
        if not message.get("more_body", False):
            return body


def _replay(body: bytes, receive: Receive) -> Receive:
    is_given = False

    async def again() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()  # the disconnect, for whoever waits for it
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _with_headers(send: Send) -> Send:
    async def safely(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SAFE_HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return safely


def json_object(body: bytes) -> dict[str, Any]:
    """Return the object of a JSON body, empty for no body. Raises ValueError with what is wrong."""
    if not body.strip():
        return {}
    try:
        value = json.loads(body, parse_constant=_no_constant)
    except RecursionError as e:
        raise ValueError("the body is nested too deeply") from e
    if not isinstance(value, dict):
        raise ValueError(f"the body is a JSON {type(value).__name__}: send an object")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
