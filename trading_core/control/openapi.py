"""The control API's OpenAPI document, made from the models that check its bodies."""

from __future__ import annotations

from typing import Any

from trading_core.control import bodies
from trading_core.control.jobs import JobStatus
from trading_core.control.status import ControlStatus
from trading_core.plan import PlanModel

VERSION = "1"
REFS = "#/components/schemas/{model}"
# What any call may be answered with, besides its own answers.
REFUSALS = {
    "401": "the token is missing or wrong",
    "404": "nothing is known of that account, run or job",
    "408": "the body took too long",
    "409": "the idempotency key was used for another call",
    "413": "the body is too long",
    "421": "the Host header names no host of this server",
    "422": "the body or a header is not of this form",
    "429": "too many wrong tokens",
    "503": "a file cannot be read or written; or too many connections",
}
MODELS: tuple[type[PlanModel], ...] = (
    bodies.Lower, bodies.CloseAll, bodies.Resume, bodies.SignIn, bodies.SignedIn, bodies.SignedOut, bodies.Lowered,
    bodies.Refused, JobStatus, ControlStatus,
)
KEY_PARAMETER = {
    "name": "Idempotency-Key", "in": "header",
    "description": "A repeated call with the same key gets the first answer and is not done again.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_.:-]{1,100}$"},
}
JOB_PARAMETER = {"name": "job", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[a-z0-9-]+$"}}
TOKEN: list[dict[str, list[str]]] = [{"token": []}]
TOKEN_OR_LOCAL: list[dict[str, list[str]]] = [{"token": []}, {}]


def document() -> dict[str, Any]:
    """Return the document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Greenlight control", "version": VERSION,
            "description": "Lower the risk of trading accounts, close their positions, look. Loopback unless told.",
        },
        "paths": {
            "/api/reduce-only": {"post": _lowering("reduceOnly", "Let only reducing orders pass")},
            "/api/disable-trading": {"post": _lowering("disableTrading", "Let no order pass but the ladder's")},
            "/api/close-all": {"post": _close_all()},
            "/api/close-all/{job}": {"get": _close_all_job()},
            "/api/resume": {"post": _resume()},
            "/api/status": {"get": _call("status", "Every account", {"200": ControlStatus}, TOKEN)},
            "/api/sign-in": {"post": _call("signIn", "Sign in", {"200": bodies.SignedIn}, [], bodies.SignIn)},
            "/api/sign-out": {"post": _call("signOut", "End the session", {"200": bodies.SignedOut}, TOKEN)},
            "/api/openapi.json": {"get": _openapi()},
        },
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _lowering(name: str, title: str) -> dict[str, Any]:
    call = _call(name, title, {"200": bodies.Lowered}, TOKEN_OR_LOCAL, bodies.Lower, is_body_needed=False)
    return {**call, "parameters": [KEY_PARAMETER]}


def _close_all() -> dict[str, Any]:
    answers: dict[str, type[PlanModel]] = {"200": JobStatus, "202": JobStatus, "502": JobStatus}
    call = _call("closeAll", "Climb the emergency ladder", answers, TOKEN, bodies.CloseAll)
    return {**call, "parameters": [{**KEY_PARAMETER, "required": True}]}


def _close_all_job() -> dict[str, Any]:
    call = _call("closeAllJob", "How far a ladder has come", {"200": JobStatus}, TOKEN)
    return {**call, "parameters": [JOB_PARAMETER]}


def _resume() -> dict[str, Any]:
    call = _call("resume", "Set an account active again", {"200": bodies.Lowered}, TOKEN, bodies.Resume)
    return {**call, "parameters": [{**KEY_PARAMETER, "required": True}]}


def _openapi() -> dict[str, Any]:
    answered = {"description": "this document", "content": {"application/json": {"schema": {"type": "object"}}}}
    return {"operationId": "openapi", "summary": "This document", "security": [], "responses": {"200": answered}}


def _call(
    name: str, title: str, answers: dict[str, type[PlanModel]], security: list[dict[str, list[str]]],
    body: type[PlanModel] | None = None, *, is_body_needed: bool = True,
) -> dict[str, Any]:
    responses = {code: _json(model.__name__, title) for code, model in answers.items()}
    responses |= {code: _json("Refused", why) for code, why in REFUSALS.items() if code not in responses}
    call: dict[str, Any] = {"operationId": name, "summary": title, "security": security, "responses": responses}
    if body is not None:
        responses["415"] = _json("Refused", "the body is not application/json")
        call["requestBody"] = {"required": is_body_needed, **_content(body.__name__)}
    return call


def _json(model: str, why: str) -> dict[str, Any]:
    return {"description": why, **_content(model)}


def _content(model: str) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": {"$ref": REFS.format(model=model)}}}}


def _schemas() -> dict[str, Any]:
    schemas: dict[str, Any] = {}
    for model in MODELS:
        schema = model.model_json_schema(ref_template=REFS, mode=_mode(model))
        schemas |= schema.pop("$defs", {})
        schemas[model.__name__] = schema
    return schemas


def _mode(model: type[PlanModel]) -> Any:
    return "validation" if model in (bodies.Lower, bodies.CloseAll, bodies.Resume, bodies.SignIn) else "serialization"
