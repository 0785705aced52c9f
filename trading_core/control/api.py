"""The routes under /api: lower risk, close, resume, look, sign in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from trading_core.control import actions, bodies
from trading_core.control.accounts import accounts_meant
from trading_core.control.auth import COOKIE, SESSION_H, csrf_of
from trading_core.control.front_door import json_object, refused
from trading_core.control.room import require_lowering, require_reader, room_of
from trading_core.control.status import control_status
from trading_core.errors import ConfigurationError, GreenlightError
from trading_core.plan import PlanModel
from trading_core.trading_state import TradingState

B = TypeVar("B", bound=PlanModel)
Handler = Callable[[Request, Exception], Awaitable[Response]]


def api_routes() -> list[BaseRoute]:
    """Return the routes."""
    return [
        Route("/api/reduce-only", reduce_only, methods=["POST"]),
        Route("/api/disable-trading", disable_trading, methods=["POST"]),
        Route("/api/resume", resume, methods=["POST"]),
        Route("/api/status", status, methods=["GET"]),
        Route("/api/sign-in", sign_in, methods=["POST"]),
        Route("/api/sign-out", sign_out, methods=["POST"]),
    ]


async def reduce_only(request: Request) -> Response:
    """Let only reducing orders pass from now on."""
    return await _lower(request, TradingState.REDUCE_ONLY)


async def disable_trading(request: Request) -> Response:
    """Let no order pass from now on but those of the emergency ladder."""
    return await _lower(request, TradingState.HALTED)


async def resume(request: Request) -> Response:
    """Set one account active again, on a named operator's word."""
    require_reader(request)
    body = await read_body(request, bodies.Resume)
    root = room_of(request).settings.event_store_root

    def act() -> actions.Done:
        [account] = accounts_meant(root, account=body.account, live_account=actions.live_account())
        return actions.resume(root, account, operator=body.operator, reason=body.reason)

    done = await run_in_threadpool(act)
    return answer(bodies.Lowered(accounts=(done,)))


async def status(request: Request) -> Response:
    """Return every account's state and session."""
    require_reader(request)
    return answer(await run_in_threadpool(control_status, room_of(request).settings.event_store_root))


async def sign_in(request: Request) -> Response:
    """Give a browser that shows the token a session; the cookie is of this server only and no script can read it."""
    room = room_of(request)
    body = await read_body(request, bodies.SignIn)
    session_id = room.auth.sign_in(request, body.token)
    if session_id is None:
        is_limited = room.auth.is_limited(request)
        return refused(429, "too many wrong tokens: wait a minute") if is_limited else refused(401, "wrong token")
    given = JSONResponse({"csrf": csrf_of(session_id)})
    given.set_cookie(
        COOKIE, session_id, max_age=SESSION_H * 3600, httponly=True, samesite="strict", secure=room.settings.is_tls
    )
    return given


async def sign_out(request: Request) -> Response:
    """End the browser's session."""
    require_reader(request)
    room_of(request).auth.sign_out(request)
    given = JSONResponse({})
    given.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return given


def answer(body: PlanModel, status_code: int = 200) -> Response:
    """Return a document as JSON."""
    return Response(body.model_dump_json(), status_code, media_type="application/json")


async def read_body(request: Request, model: type[B]) -> B:
    """Return the body as its model; raises 415 or 422 with what is wrong, never with the body itself."""
    raw = await request.body()
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if raw.strip() and kind != "application/json":
        raise HTTPException(415, "the body is not application/json: send JSON, or no body")
    try:
        return model.model_validate(json_object(raw))
    except ValidationError as e:
        first = e.errors(include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise HTTPException(422, f"{where}: {first['msg']}") from e
    except ValueError as e:
        raise HTTPException(422, f"the body is no JSON object: {e}") from e


def error_handlers() -> dict[type[Exception] | int, Handler]:
    """Return how errors become answers: one sentence, never a trace."""

    async def http(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return JSONResponse({"error": str(error.detail)}, error.status_code, headers=dict(error.headers or {}))

    async def wrong(_: Request, error: Exception) -> Response:
        return refused(422, str(error))

    async def failed(_: Request, error: Exception) -> Response:
        return refused(503, f"{type(error).__name__}: {error}")

    return {HTTPException: http, ConfigurationError: wrong, GreenlightError: failed}


async def _lower(request: Request, state: TradingState) -> Response:
    asked = require_lowering(request)
    body = await read_body(request, bodies.Lower)
    root = room_of(request).settings.event_store_root

    def act() -> list[actions.Done]:
        meant = accounts_meant(root, account=body.account, run=body.run, live_account=actions.live_account())
        return actions.tighten(root, meant, state, reason=body.reason, actor=f"control api, {asked.caller}")

    done = await run_in_threadpool(act)
    is_done = all(one.is_done for one in done)
    return answer(bodies.Lowered(accounts=tuple(done)), 200 if is_done else 500)
