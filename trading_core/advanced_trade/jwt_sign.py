"""Signs CDP tokens with a key that was parsed once: ES256 and EdDSA, for REST and for the stream."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import jwt

from trading_core.advanced_trade.credentials import Credentials
from trading_core.clock import NS, wall_now_ns

TOKEN_LIFE_S = 120  # the longest that Coinbase accepts


class TokenSigner:
    """Makes a fresh token for each request or frame; may be used from any thread.

    Tokens are dated by the machine's wall clock, also where venue time runs faster.
    """

    def __init__(self, credentials: Credentials, now_ns: Callable[[], int] = wall_now_ns) -> None:
        self._credentials = credentials
        self._now_ns = now_ns

    @property
    def key_name(self) -> str:
        """Return the name of the key that signs."""
        return self._credentials.key_name

    def rest_token(self, method: str, host: str, path: str) -> str:
        """Return a token for one request; the path carries no query."""
        return self._token({"uri": f"{method} {host}{path}"})

    def stream_token(self) -> str:
        """Return a token for one subscribe or unsubscribe frame."""
        return self._token({})

    def _token(self, claims: dict[str, str]) -> str:
        now_s = self._now_ns() // NS
        name = self._credentials.key_name
        return jwt.encode(
            {"sub": name, "iss": "cdp", "nbf": now_s, "exp": now_s + TOKEN_LIFE_S, **claims},
            self._credentials.private_key,
            algorithm=self._credentials.algorithm,
            headers={"kid": name, "nonce": secrets.token_hex(16)},
        )
