"""What the routes share: settings, who may ask, the trail, and the ladders that are being climbed."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from trading_core.control.audit import KEY, KEY_HEADER, Audit, asked_sha256, audit_line
from trading_core.control.auth import Asked, Auth, Caller
from trading_core.control.config import ControlSettings
from trading_core.control.jobs import Jobs


class Room:
    """The state of one control server."""

    def __init__(self, settings: ControlSettings) -> None:
        self.settings = settings
        self.auth = Auth(settings)
        self.audit = Audit(settings.token_path.parent)
        self.jobs = Jobs(settings.event_store_root)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # kept by those that wait

    def turn_of(self, key: str) -> asyncio.Lock:
        """Return the lock under which a call with this key is answered; calls without a key do not wait."""
        return self._turns.setdefault(key, asyncio.Lock()) if key else asyncio.Lock()

    def note(self, request: Request, asked: Asked, given: Response, key: str = "", body: bytes = b"") -> None:
        """Write a call into the trail; with a key, so that its repetition is answered alike."""
        address = request.client.host if request.client is not None else ""
        line = audit_line(request.url.path, asked.caller, address, given.status_code)
        if key:
            answer = bytes(given.body).decode()
            line = msgspec.structs.replace(
                line, key=key, asked_sha256=asked_sha256(request.url.path, body), answer=answer
            )
        self.audit.write(line)


def room_of(request: Request) -> Room:
    """Return the room of the server that was asked."""
    room = request.app.state.room
    if not isinstance(room, Room):
        raise TypeError("make the application with make_app")
    return room


def require_reader(request: Request) -> Asked:
    """Return who asks if they may see anything; raises 401, or 429 after too many wrong tokens."""
    asked = room_of(request).auth.caller_of(request)
    if not asked.is_known:
        raise _unknown(asked)
    return asked


def require_lowering(request: Request) -> Asked:
    """Return who asks if they may lower risk: the token's holder, and this machine without a token."""
    asked = room_of(request).auth.caller_of(request)
    if not asked.is_known and asked.caller is not Caller.LOCAL:
        raise _unknown(asked)
    return asked


def idempotency_key(request: Request, *, is_needed: bool) -> str:
    """Return the call's key, empty if it has none; raises 422 for one that is missing or malformed."""
    key = request.headers.get(KEY_HEADER)
    if key is None and is_needed:
        raise HTTPException(422, "the Idempotency-Key header is missing: a repeated call must not be done twice")
    if key is not None and not KEY.fullmatch(key):
        raise HTTPException(422, "the Idempotency-Key is not 1 to 100 letters, digits and . _ : -")
    return key or ""


def _unknown(asked: Asked) -> HTTPException:
    if asked.is_limited:
        return HTTPException(429, f"{asked.why}; wait a minute", headers={"retry-after": "60"})
    sentence = f"{asked.why}: send the token of the token file as 'Authorization: Bearer …'"
    return HTTPException(401, sentence, headers={"www-authenticate": "Bearer"})
