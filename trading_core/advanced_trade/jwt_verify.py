"""Verification of the JWT that a client signs for each request: what production checks, and in its tolerance."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from trading_core.advanced_trade.keys import KeyRegistry, RegisteredKey
from trading_core.clock import NS

TOKEN_BYTES_MAX = 8_192  # a CDP token has about 600 bytes
LIFE_S_MAX = 120
PRODUCTION_HOST = "api.coinbase.com"  # some clients sign this host whatever address they call
ISSUERS = frozenset({"cdp", "coinbase-cloud"})
ES256_BYTES = 64
_ECDSA = ECDSA(SHA256())


class JwtPolicy(msgspec.Struct, frozen=True):
    """How tolerant the venue is. Production's skew is not published."""

    skew_s: int = 30
    accepts_ed25519: bool = True


DEFAULT_POLICY = JwtPolicy()


class JwtRefused(Exception):
    """Why a token was refused: for our tests and counters; the client only ever sees `Unauthorized`."""


class JwtVerifier:
    """Verifies tokens against the registry and the wall clock: clients do not sign with venue time."""

    def __init__(self, keys: KeyRegistry, wall_ns: Callable[[], int], policy: JwtPolicy = DEFAULT_POLICY) -> None:
        self.keys = keys
        self._wall_ns = wall_ns
        self._policy = policy

    def verify_rest(self, token: str, method: str, host: str, path: str) -> RegisteredKey:
        """Return the key that signed this very request; raises JwtRefused."""
        key, claims = self._verify(token)
        uris = claims.get("uris", [claims.get("uri")])
        if not isinstance(uris, list) or not any(_is_for(uri, method, host, path) for uri in uris):
            raise JwtRefused("uri does not match the request")
        return key

    def verify_stream(self, token: str) -> RegisteredKey:
        """Return the key that signed a subscribe frame; such tokens carry no uri. Raises JwtRefused."""
        key, _ = self._verify(token)
        return key

    def _verify(self, token: str) -> tuple[RegisteredKey, dict[str, Any]]:
        if len(token) > TOKEN_BYTES_MAX:
            raise JwtRefused("token is too long")
        parts = token.split(".")
        if len(parts) != 3:
            raise JwtRefused("token has not three parts")
        header, claims = _json_part(parts[0]), _json_part(parts[1])
        kid = header.get("kid")
        key = self.keys.find(kid) if isinstance(kid, str) else None
        if key is None:
            raise JwtRefused("unknown key")
        if header.get("alg") != key.kind:
            raise JwtRefused("algorithm is not the key's")
        _verify_signature(key, _decode(parts[2]), f"{parts[0]}.{parts[1]}")
        self._verify_claims(key, claims)
        return key, claims

    def _verify_claims(self, key: RegisteredKey, claims: dict[str, Any]) -> None:
        if key.kind == "EdDSA" and not self._policy.accepts_ed25519:
            raise JwtRefused("Ed25519 keys are switched off")
        if claims.get("sub") != key.name or claims.get("iss") not in ISSUERS:
            raise JwtRefused("sub or iss is wrong")
        not_before, expires = claims.get("nbf"), claims.get("exp")
        if not isinstance(not_before, int | float) or not isinstance(expires, int | float):
            raise JwtRefused("nbf or exp is missing")
        now_s = self._wall_ns() / NS
        if not_before > now_s + self._policy.skew_s or expires <= now_s or expires - not_before > LIFE_S_MAX:
            raise JwtRefused("token is not valid now")


def _verify_signature(key: RegisteredKey, signature: bytes, signed: str) -> None:
    try:
        if isinstance(key.public_key, EllipticCurvePublicKey):
            if len(signature) != ES256_BYTES:
                raise JwtRefused("signature has the wrong length")
            half = ES256_BYTES // 2
            r, s = int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
            key.public_key.verify(encode_dss_signature(r, s), signed.encode(), _ECDSA)
        else:
            key.public_key.verify(signature, signed.encode())
    except InvalidSignature as e:
        raise JwtRefused("signature is wrong") from e


def _decode(part: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(part.encode("ascii") + b"=" * (-len(part) % 4))
    except (binascii.Error, ValueError) as e:
        raise JwtRefused("part is not base64url") from e


def _json_part(part: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(_decode(part), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise JwtRefused("part is not a JSON object") from e


def _is_for(uri: object, method: str, host: str, path: str) -> bool:
    """Tell whether a uri claim such as `GET api.coinbase.com/api/v3/brokerage/time` names this request."""
    if not isinstance(uri, str):
        return False
    claimed_method, _, address = uri.partition(" ")
    address = address.removeprefix("https://").removeprefix("http://").rstrip("/")
    path = path.rstrip("/")
    return claimed_method == method and address in (host + path, PRODUCTION_HOST + path)
