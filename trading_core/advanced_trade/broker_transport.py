"""One request to the venue: what every transport promises, and how a refusal becomes one of our errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from enum import IntEnum
from typing import Any, Protocol, TypeAlias

import msgspec

from trading_core.errors import BadRequest, NotAuthorised, RateLimited, VenueError, VenueUnavailable

API = "/api/v3/brokerage"
CREATE_ORDER = f"{API}/orders"
# Asking twice changes nothing: a preview places no order, and a cancelled order stays cancelled.
REPEATABLE_POSTS = frozenset({f"{API}/orders/preview", f"{API}/orders/batch_cancel"})
QUOTED_CHARACTERS_MAX = 200  # of a venue's answer in an error message: the edge may answer with a web page

Query: TypeAlias = Mapping[str, str | Sequence[str]]
Body: TypeAlias = dict[str, Any]


class Urgency(IntEnum):
    """What a request is for; a higher one may use budget that is kept from all lower ones."""

    QUESTION = 0
    ENTRY = 1
    EXIT = 2
    CANCEL = 3


class TokenRefused(NotAuthorised):
    """401: the venue did not accept the token. Valid tokens meet it now and then, so a fresh one may pass."""


class RestTransport(Protocol):
    """Carries one request and returns the parsed body of a 2xx answer."""

    @property
    def repeats(self) -> int:
        """How many requests were sent again so far; whoever wants those of one order looks before and after."""
        ...

    def request(
        self, method: str, path: str, params: Query | None = None, body: Body | None = None,
        urgency: Urgency = Urgency.QUESTION,
    ) -> dict[str, Any]:
        """Return the answer's body; raises a VenueError for everything else, never a foreign exception."""
        ...

    def close(self) -> None:
        """Close the connections. May be called twice."""
        ...


def is_repeatable(method: str, path: str) -> bool:
    """Tell whether the request may be sent again when no answer came."""
    return method == "GET" or path in REPEATABLE_POSTS


def error_of(status: int, answer: bytes, request: str, *, retry_after: str = "", date: str = "") -> VenueError:
    """Return the error of a status that is not 2xx; `request` says what was asked, like "GET /products".

    `retry_after` and `date` are the values of those headers, empty if there are none.
    """
    text = f"{request} was answered {status}: {_words(answer)}"
    match status:
        case 401:
            return TokenRefused(text)
        case 403:
            return NotAuthorised(text)
        case 429:
            return RateLimited(text, _seconds(retry_after, date))
        case _ if 400 <= status < 500 and status != 408:  # 408 is a time-out: it may have been processed
            return BadRequest(text)
        case _:
            return VenueUnavailable(text)


def _seconds(retry_after: str, date: str) -> float:
    """Return how long the venue asks us to wait: a number of seconds, or a date to be held against its own clock."""
    if retry_after.isdecimal():
        return float(retry_after[:9])
    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - parsedate_to_datetime(date)).total_seconds())
    except (ValueError, TypeError):  # not there, or nothing that we can read
        return 0.0


def _words(answer: bytes) -> str:
    try:
        members = msgspec.json.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return " ".join(answer.decode("utf-8", "replace").split())[:QUOTED_CHARACTERS_MAX]
    if isinstance(members, dict):
        errors = members.get("errors")
        first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
        said = members.get("message") or members.get("error_details") or first.get("message")
        if isinstance(said, str):
            return said[:QUOTED_CHARACTERS_MAX]
    return repr(members)[:QUOTED_CHARACTERS_MAX]
