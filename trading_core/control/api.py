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
from trading_core.control.accounts import Account, UnknownAccount, accounts_meant
from trading_core.control.audit import KeyUsed
from trading_core.control.auth import COOKIE, SESSION_H, Asked, csrf_of
from trading_core.control.front_door import json_object, refused
from trading_core.control.jobs import Job, JobStatus
from trading_core.control.openapi import document
from trading_core.control.room import idempotency_key, require_lowering, require_reader, room_of
from trading_core.control.status import control_status
from trading_core.errors import ConfigurationError, GreenlightError, StorageError
from trading_core.plan import PlanModel
from trading_core.trading_state import TradingState

B = TypeVar("B", bound=PlanModel)
Handler = Callable[[Request, Exception], Awaitable[Response]]
Act = Callable[[], Awaitable[Response]]


def api_routes() -> list[BaseRoute]:
    """Return the routes."""
    return [
        Route("/api/reduce-only", reduce_only, methods=["POST"]),
        Route("/api/disable-trading", disable_trading, methods=["POST"]),
        Route("/api/close-all", close_all, methods=["POST"]),
        Route("/api/close-all/{job}", close_all_job, methods=["GET"]),
        Route("/api/resume", resume, methods=["POST"]),
        Route("/api/status", status, methods=["GET"]),
        Route("/api/sign-in", sign_in, methods=["POST"]),
        Route("/api/sign-out", sign_out, methods=["POST"]),
        Route("/api/openapi.json", openapi, methods=["GET"]),
    ]


async def reduce_only(request: Request) -> Response:
    """Let only reducing orders pass from now on."""
    return await _lower(request, TradingState.REDUCE_ONLY)


async def disable_trading(request: Request) -> Response:
    """Let no order pass from now on but those of the emergency ladder."""
    return await _lower(request, TradingState.HALTED)


async def close_all(request: Request) -> Response:
    """Climb the emergency ladder for the accounts; waits a while for its end, and says where to look after that."""
    asked = require_reader(request)
    body = await read_body(request, bodies.CloseAll)

    async def act() -> Response:
        room = room_of(request)
        meant = await run_in_threadpool(_meant, request, body)
        actor = f"control api, {asked.caller}"
        job = room.jobs.start(meant, reason=body.reason, actor=actor)
        await run_in_threadpool(room.jobs.wait, job, body.wait_s)
        return _job_answer(job)

    return await _once(request, asked, act, is_key_needed=True)


async def close_all_job(request: Request) -> Response:
    """Return how far a ladder has come."""
    require_reader(request)
    job = room_of(request).jobs.find(request.path_params["job"])
    if job is None:
        return refused(404, "no such job: jobs are of this server since its start")
    return answer(job.status())


async def resume(request: Request) -> Response:
    """Set one account active again, on a named operator's word."""
    asked = require_reader(request)
    body = await read_body(request, bodies.Resume)
    root = room_of(request).settings.event_store_root

    def resumed() -> actions.Done:
        [account] = accounts_meant(root, account=body.account, live_account=actions.live_account())
        return actions.resume(root, account, operator=body.operator, reason=body.reason)

    async def act() -> Response:
        return answer(bodies.Lowered(accounts=(await run_in_threadpool(resumed),)))

    return await _once(request, asked, act, is_key_needed=True)


async def status(request: Request) -> Response:
    """Return every account's state and session."""
    require_reader(request)
    return answer(await run_in_threadpool(control_status, room_of(request).settings.event_store_root))


async def openapi(_: Request) -> Response:
    """Return the API's own description; it tells nothing of the accounts."""
    return JSONResponse(document())


async def sign_in(request: Request) -> Response:
    """Give a browser that shows the token a session; the cookie is of this server only and no script can read it."""
    room = room_of(request)
    body = await read_body(request, bodies.SignIn)
    session_id = room.auth.sign_in(request, body.token)
    if session_id is None:
        is_limited = room.auth.is_limited(request)
        return refused(429, "too many wrong tokens: wait a minute") if is_limited else refused(401, "wrong token")
    given = answer(bodies.SignedIn(csrf=csrf_of(session_id)))
    given.set_cookie(
        COOKIE, session_id, max_age=SESSION_H * 3600, httponly=True, samesite="strict", secure=room.settings.is_tls
    )
    return given


async def sign_out(request: Request) -> Response:
    """End the browser's session."""
    require_reader(request)
    room_of(request).auth.sign_out(request)
    given = answer(bodies.SignedOut())
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
        return model.model_validate(json_object(raw), strict=True)
    except ValidationError as e:
        first = e.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise HTTPException(422, f"{where[:100]}: {first['msg']}") from e
    except ValueError as e:
        raise HTTPException(422, f"the body is no JSON object: {e}") from e


def error_handlers() -> dict[type[Exception] | int, Handler]:
    """Return how errors become answers: one sentence, never a trace."""

    async def http(_: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise error
        return JSONResponse({"error": str(error.detail)}, error.status_code, headers=dict(error.headers or {}))

    async def wrong(_: Request, error: Exception) -> Response:
        return refused(422, str(error))

    async def used(_: Request, error: Exception) -> Response:
        return refused(409, str(error))

    async def unknown(_: Request, error: Exception) -> Response:
        return refused(404, str(error))

    async def failed(_: Request, error: Exception) -> Response:
        return refused(503, f"{type(error).__name__}: {error}")

    return {
        HTTPException: http, UnknownAccount: unknown, ConfigurationError: wrong, KeyUsed: used,
        GreenlightError: failed,
    }


async def _lower(request: Request, state: TradingState) -> Response:
    asked = require_lowering(request)
    body = await read_body(request, bodies.Lower)
    root = room_of(request).settings.event_store_root

    def lowered() -> list[actions.Done]:
        actor = f"control api, {asked.caller}"
        return actions.tighten(root, _meant(request, body), state, reason=body.reason, actor=actor)

    async def act() -> Response:
        done = await run_in_threadpool(lowered)
        return answer(bodies.Lowered(accounts=tuple(done)), 200 if all(one.is_done for one in done) else 503)

    return await _once(request, asked, act, is_key_needed=False)


async def _once(request: Request, asked: Asked, act: Act, *, is_key_needed: bool) -> Response:
    """Do it, unless its key was answered before; write it down. A trail that cannot be written stops nothing.

    A call whose key is being answered right now waits for that answer. Who loosened stands in the account's own state
    file, and without that line nothing is loosened.
    """
    key = idempotency_key(request, is_needed=is_key_needed)
    async with room_of(request).turn_of(key):
        return await _answer_once(request, asked, act, key)


async def _answer_once(request: Request, asked: Asked, act: Act, key: str) -> Response:
    room, body = room_of(request), await request.body()
    if (first := room.audit.first_answer(key, request.url.path, body)) is not None:
        headers = {"idempotent-replay": "true"}
        return Response(first.answer, first.status, media_type="application/json", headers=headers)
    given = await act()
    try:
        room.note(request, asked, given, key, body)
    except StorageError as e:
        given.headers["x-greenlight-problem"] = str(e).encode("ascii", "replace").decode()
    return given


def _meant(request: Request, body: bodies.Lower) -> list[Account]:
    root = room_of(request).settings.event_store_root
    return accounts_meant(root, account=body.account, run=body.run, live_account=actions.live_account())


def _job_answer(job: Job) -> Response:
    found: JobStatus = job.status()
    if not found.is_done:
        return answer(found, 202)
    return answer(found, 200 if found.is_flat else 502)
