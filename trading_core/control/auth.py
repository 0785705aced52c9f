"""Who asks: the token's holder, a signed-in browser, this machine without a token, or nobody we know."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from starlette.requests import Request

from trading_core.clock import NS, SystemClock
from trading_core.control.config import ControlSettings, is_loopback
from trading_core.errors import ConfigurationError

TOKEN_BYTES = 32
COOKIE = "greenlight_session"
CSRF_HEADER = "x-greenlight-csrf"
SESSION_H = 12  # a working day; then the browser signs in again
SESSIONS_MAX = 200  # a hundred dashboards, and as many that forgot to sign out
FAILURES_WITHIN_S = 60
ADDRESSES_MAX = 1_000  # whose failures are remembered
# What only a browser, or a proxy between us and somebody else, sends.
BROWSER_HEADERS = ("origin", "sec-fetch-site", "sec-fetch-mode", "cookie", "referer")
PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


class Caller(StrEnum):
    """Who asks, as far as the request proves it."""

    TOKEN = "token"
    BROWSER = "browser"  # signed in with the token; same origin, and with the page's own proof if it changes anything
    LOCAL = "local"  # no token, but on this machine and no browser: may only lower risk
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Asked:
    """A caller, and why it is no better one."""

    caller: Caller
    why: str = ""
    is_limited: bool = False  # too many wrong tokens: answer 429

    @property
    def is_known(self) -> bool:
        """Tell whether the token was shown, now or at sign-in."""
        return self.caller in (Caller.TOKEN, Caller.BROWSER)


class Auth:
    """Decides who asks. Used by the server's one thread."""

    def __init__(self, settings: ControlSettings) -> None:
        self._settings = settings
        self._clock = SystemClock()
        self._sessions: dict[str, int] = {}  # sha256 of the session id → stopwatch at which it ends
        self._failures: dict[str, deque[int]] = {}
        ensure_token(settings.token_path)

    def caller_of(self, request: Request) -> Asked:
        """Return who asks. A wrong token is worth less than none: it is NOBODY's."""
        given = request.headers.get("authorization")
        if given is not None:
            return self._by_token(request, given)
        if request.cookies.get(COOKIE):
            return self._by_cookie(request)
        return self._by_place(request)

    def sign_in(self, request: Request, token: str) -> str | None:
        """Return a new browser session's id if the token is right."""
        if not self._is_token(token):
            self._fail(request)
            return None
        now_ns = self._clock.stopwatch_ns()
        self._sessions = {key: end for key, end in self._sessions.items() if end > now_ns}
        while len(self._sessions) >= SESSIONS_MAX:
            del self._sessions[next(iter(self._sessions))]
        session_id = secrets.token_urlsafe(TOKEN_BYTES)
        self._sessions[_sha256(session_id)] = now_ns + SESSION_H * 3600 * NS
        return session_id

    def sign_out(self, request: Request) -> None:
        """Forget the browser's session: its cookie is worth nothing from now on."""
        self._sessions.pop(_sha256(request.cookies.get(COOKIE, "")), None)

    def is_limited(self, request: Request) -> bool:
        """Tell whether this address has shown too many wrong tokens in the last minute."""
        failures = self._failures.get(_address(request), deque())
        while failures and failures[0] < self._clock.stopwatch_ns() - FAILURES_WITHIN_S * NS:
            failures.popleft()
        return len(failures) > self._settings.wrong_tokens_max

    def _by_token(self, request: Request, given: str) -> Asked:
        scheme, _, token = given.partition(" ")
        # A right token is taken also behind many wrong ones: nobody may lock the operator out.
        if scheme.lower() == "bearer" and self._is_token(token.strip()):
            if _is_cross_site(request):
                return Asked(Caller.NOBODY, "the request came from another site")
            return Asked(Caller.TOKEN)
        self._fail(request)
        return Asked(Caller.NOBODY, "the token is not the right one", self.is_limited(request))

    def _by_cookie(self, request: Request) -> Asked:
        session_id = request.cookies[COOKIE]
        if self._sessions.get(_sha256(session_id), 0) <= self._clock.stopwatch_ns():
            self._fail(request)
            return Asked(Caller.NOBODY, "the browser's session has ended: sign in again", self.is_limited(request))
        if _is_cross_site(request):
            return Asked(Caller.NOBODY, "the request came from another site")
        if request.method not in ("GET", "HEAD"):
            if request.headers.get("origin") is None:
                return Asked(Caller.NOBODY, "a browser that changes anything says its origin")
            shown = request.headers.get(CSRF_HEADER, "")
            if not hmac.compare_digest(shown.encode(), csrf_of(session_id).encode()):
                return Asked(Caller.NOBODY, f"the page's own proof ({CSRF_HEADER}) is missing or wrong: reload it")
        return Asked(Caller.BROWSER)

    def _by_place(self, request: Request) -> Asked:
        if self._settings.is_token_everywhere:
            return Asked(Caller.NOBODY, "this server wants the token for everything")
        if request.client is None or not is_loopback(request.client.host):
            return Asked(Caller.NOBODY, "the token is missing")
        if any(name in request.headers for name in (*BROWSER_HEADERS, *PROXY_HEADERS)):
            return Asked(Caller.NOBODY, "the token is missing: without it, no browser and no proxy may ask")
        return Asked(Caller.LOCAL, "the token is missing")

    def _is_token(self, given: str) -> bool:
        # Read each time: a token that was replaced is refused from the next request on.
        return hmac.compare_digest(_sha256(given), _sha256(read_token(self._settings.token_path)))

    def _fail(self, request: Request) -> None:
        while len(self._failures) >= ADDRESSES_MAX:
            del self._failures[next(iter(self._failures))]
        failures = self._failures.setdefault(_address(request), deque(maxlen=self._settings.wrong_tokens_max + 1))
        failures.append(self._clock.stopwatch_ns())


def csrf_of(session_id: str) -> str:
    """Return the proof that a page of the session puts in CSRF_HEADER: another site cannot read it."""
    return hmac.new(session_id.encode(), b"greenlight csrf", hashlib.sha256).hexdigest()


def ensure_token(path: Path) -> None:
    """Make the token file on first use, readable by its owner only. Raises ConfigurationError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        read_token(path)
        return
    except OSError as e:
        raise ConfigurationError(f"token file {path} cannot be made ({e.strerror}): set EVENT_STORE_ROOT") from e
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(TOKEN_BYTES) + "\n")


def read_token(path: Path) -> str:
    """Return the token; raises ConfigurationError if others may read the file, or it holds no token."""
    try:
        mode = path.stat().st_mode & 0o777
        text = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigurationError(f"token file {path} cannot be read ({e}): remove it and start again") from e
    if mode & 0o077:
        raise ConfigurationError(f"token file {path} has mode {mode:04o} (limit 0600): remove it and start again")
    if len(text) < TOKEN_BYTES:
        raise ConfigurationError(f"token file {path} holds no token: remove it and start again")
    return text


def _is_cross_site(request: Request) -> bool:
    """Tell whether a browser says that another site made it ask."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = request.headers.get("origin")
    if origin is None:
        return False
    parts = urlsplit(origin)
    return (parts.scheme, parts.netloc.lower()) != (request.url.scheme, request.headers.get("host", "").lower())


def _address(request: Request) -> str:
    return request.client.host if request.client is not None else ""


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
