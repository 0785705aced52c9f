"""Requests and answers of the gateway without any I/O, and every error shape that production sends."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec

from trading_core.advanced_trade.emit import dumps

Pairs = tuple[tuple[str, str], ...]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request; header names in lower case, the query decoded into pairs."""

    method: str
    path: str
    query: Pairs = ()
    headers: Mapping[str, str] = {}
    body: bytes = b""
    host: str = "127.0.0.1"
    remote: str = "127.0.0.1"


class Fate(StrEnum):
    """What becomes of an answer: it is sent, or the connection is reset instead."""

    ANSWER = "ANSWER"
    RESET = "RESET"


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP answer; header names are sent exactly as written here.

    Whoever carries it waits `delay_ms` of real time first, then sends it or, at fate RESET, drops the connection.
    """

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = {}
    delay_ms: int = 0
    fate: Fate = Fate.ANSWER


class ApiError(Exception):
    """An answer other than 200, raised by whatever notices it and turned into a response in one place."""

    def __init__(self, status: int, error: str, details: str) -> None:
        super().__init__(f"{status} {error}: {details}")
        self.status = status
        self.error = error
        self.details = details

    def body(self) -> dict[str, Any]:
        """Return the three-key form that production really sends."""
        return {"error": self.error, "error_details": self.details, "message": self.details}

    def response(self) -> Response:
        """Return the error as a response."""
        return Response(status=self.status, body=dumps(self.body()))


def invalid_argument(details: str) -> ApiError:
    """Return a 400 for an argument that makes no sense."""
    return ApiError(400, "INVALID_ARGUMENT", details)


def unparsable(details: str) -> ApiError:
    """Return the 400 of the gateway's own parser, for bodies and query strings."""
    return ApiError(400, "unknown", details)


def not_found(details: str) -> ApiError:
    """Return a 404 for a thing that does not exist."""
    return ApiError(404, "NOT_FOUND", details)


def no_route() -> ApiError:
    """Return the 404 of a path that the gateway does not know."""
    return ApiError(404, "unknown", "Not Found")


def missing_scope() -> ApiError:
    """Return the 403 whose text the SDK looks for."""
    return ApiError(403, "PERMISSION_DENIED", "Missing required scopes")


UNAUTHORIZED = Response(status=401, body=b"Unauthorized\n", content_type="text/plain")
_TOO_MANY = {"errors": [{"id": "rate_limit_exceeded", "message": "Too many requests"}]}
RATE_LIMITED_JSON = Response(status=429, body=dumps(_TOO_MANY))
RATE_LIMITED_HTML = Response(
    status=429,
    body=b"<html><head><title>429 Too Many Requests</title></head><body><h1>Too Many Requests</h1></body></html>",
    content_type="text/html",
)
EDGE_HTML = Response(
    status=503,
    body=b"<!DOCTYPE html><html><head><title>503 Service Unavailable</title></head><body>upstream connect error "
    b"or disconnect/reset before headers. reset reason: connection failure</body></html>",
    content_type="text/html",
)


def internal(status: int = 500) -> Response:
    """Return an outage as the service itself words it."""
    return ApiError(status, "INTERNAL", "internal error").response()
