"""What the routes share: settings, who may ask, and the answers for those who may not."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request

from trading_core.control.auth import Asked, Auth, Caller
from trading_core.control.config import ControlSettings


class Room:
    """The state of one control server."""

    def __init__(self, settings: ControlSettings) -> None:
        self.settings = settings
        self.auth = Auth(settings)


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


def _unknown(asked: Asked) -> HTTPException:
    if asked.is_limited:
        return HTTPException(429, f"{asked.why}; wait a minute", headers={"retry-after": "60"})
    sentence = f"{asked.why}: send the token of the token file as 'Authorization: Bearer …'"
    return HTTPException(401, sentence, headers={"www-authenticate": "Bearer"})
