"""Tokens: both kinds of keys are verified, every variant of other clients passes, nothing else does."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from random import Random
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_core.advanced_trade.credentials import parse_credentials
from trading_core.advanced_trade.jwt_verify import DEFAULT_POLICY, JwtPolicy, JwtRefused, JwtVerifier
from trading_core.advanced_trade.keys import KeyFile, KeyKind, KeyRegistry, Scope, generate_key
from trading_core.clock import NS
from trading_core.errors import ConfigurationError

NOW_S = 1_795_219_200
HOST, PATH = "127.0.0.1:8080", "/api/v3/brokerage/orders"
# One seed each: the seed makes the name, and two keys must not share one.
KEYS = {kind: generate_key(kind, Random(number)) for number, kind in enumerate(KeyKind)}
KINDS = pytest.mark.parametrize("kind", list(KeyKind))


def registry() -> KeyRegistry:
    keys = KeyRegistry()
    for key_file in KEYS.values():
        keys.register(key_file)
    return keys


REGISTRY = registry()


def verifier(policy: JwtPolicy = DEFAULT_POLICY, now_s: float = NOW_S) -> JwtVerifier:
    return JwtVerifier(REGISTRY, lambda: int(now_s * NS), policy)


def token(
    kind: KeyKind, header: dict[str, object] | None = None, signer: KeyFile | None = None, **claims: object
) -> str:
    key = KEYS[kind]
    secret = parse_credentials(key.name, (signer or key).private_key, "the test").private_key
    members = {
        "sub": key.name, "iss": "cdp", "nbf": NOW_S, "exp": NOW_S + 120, "uri": f"POST {HOST}{PATH}", **claims,
    }
    members = {name: value for name, value in members.items() if value is not None}
    return jwt.encode(members, secret, algorithm=kind.value, headers={"kid": key.name, "nonce": "1", **(header or {})})


@KINDS
def test_token_of_the_sdk_is_accepted(kind: KeyKind) -> None:
    assert verifier().verify_rest(token(kind), "POST", HOST, PATH).name == KEYS[kind].name


@KINDS
@pytest.mark.parametrize(
    "claims",
    [
        {"uri": f"POST http://{HOST}{PATH}"},
        {"uri": f"POST https://{HOST}{PATH}"},
        {"uri": f"POST api.coinbase.com{PATH}"},
        {"uri": f"POST {HOST}{PATH}/"},
        {"uri": None, "uris": [f"POST {HOST}{PATH}"], "aud": ["cdp_service"]},
        {"iss": "coinbase-cloud", "iat": NOW_S, "aud": ["retail_rest_api_proxy"]},
        {"exp": NOW_S + 60},
        {"nbf": NOW_S + 5, "exp": NOW_S + 125},
    ],
)
def test_variants_of_other_clients_are_accepted(kind: KeyKind, claims: dict[str, Any]) -> None:
    assert verifier().verify_rest(token(kind, **claims), "POST", HOST, PATH).name == KEYS[kind].name


@KINDS
@pytest.mark.parametrize(
    "claims",
    [
        {"uri": f"GET {HOST}{PATH}"},
        {"uri": f"POST {HOST}{PATH}/preview"},
        {"uri": f"POST evil.example{PATH}"},
        {"uri": None},
        {"uri": 5},
        {"uris": "POST", "uri": None},
        {"sub": "someone else"},
        {"iss": "nobody"},
        {"exp": NOW_S - 1, "nbf": NOW_S - 100},
        {"exp": NOW_S + 121},
        {"nbf": NOW_S + 60, "exp": NOW_S + 180},
        {"nbf": "now"},
        {"exp": None},
    ],
)
def test_wrong_claims_are_refused(kind: KeyKind, claims: dict[str, Any]) -> None:
    with pytest.raises(JwtRefused):
        verifier().verify_rest(token(kind, **claims), "POST", HOST, PATH)


@KINDS
def test_signature_of_another_key_is_refused(kind: KeyKind) -> None:
    with pytest.raises(JwtRefused, match="signature"):
        verifier().verify_rest(token(kind, signer=generate_key(kind)), "POST", HOST, PATH)


@KINDS
def test_unknown_key_id_is_refused(kind: KeyKind) -> None:
    with pytest.raises(JwtRefused, match="unknown key"):
        verifier().verify_rest(token(kind, {"kid": "nobody"}), "POST", HOST, PATH)


def test_unsigned_token_is_refused() -> None:
    _, claims, _ = token(KeyKind.ES256).split(".")
    none = base64.urlsafe_b64encode(json.dumps({"alg": "none", "kid": KEYS[KeyKind.ES256].name}).encode()).decode()
    with pytest.raises(JwtRefused):
        verifier().verify_rest(f"{none.rstrip('=')}.{claims}.", "POST", HOST, PATH)


def test_ed25519_can_be_switched_off() -> None:
    with pytest.raises(JwtRefused, match="switched off"):
        verifier(JwtPolicy(accepts_ed25519=False)).verify_rest(token(KeyKind.ED25519), "POST", HOST, PATH)


@KINDS
def test_stream_token_needs_no_uri(kind: KeyKind) -> None:
    assert verifier().verify_stream(token(kind, uri=None)).name == KEYS[kind].name


@pytest.mark.parametrize("offset_s", [-121, 121])
def test_client_whose_clock_is_far_off_is_refused(offset_s: int) -> None:
    with pytest.raises(JwtRefused, match="not valid now"):
        verifier(now_s=NOW_S + offset_s).verify_stream(token(KeyKind.ES256))


@given(st.text(max_size=120) | st.lists(st.binary(max_size=30), min_size=3, max_size=3).map(
    lambda parts: ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
))
def test_junk_is_refused(text: str) -> None:
    with pytest.raises(JwtRefused):
        verifier().verify_rest(text, "POST", HOST, PATH)


@given(st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda x: st.lists(x, max_size=2), max_leaves=4),
       st.sampled_from(["kid", "alg"]))
def test_junk_in_the_header_is_refused(value: object, member: str) -> None:
    _, claims, signature = token(KeyKind.ES256).split(".")
    header = {"alg": "ES256", "kid": KEYS[KeyKind.ES256].name, member: value}
    head = base64.urlsafe_b64encode(json.dumps(header).encode()).decode().rstrip("=")
    with pytest.raises(JwtRefused):
        verifier().verify_rest(f"{head}.{claims}.{signature}", "POST", HOST, PATH)


@KINDS
def test_generated_key_has_the_form_of_a_cdp_key_file(kind: KeyKind) -> None:
    document = json.loads(generate_key(kind).to_json())
    assert set(document) == {"name", "privateKey"}
    assert parse_credentials(document["name"], document["privateKey"], "the test").algorithm == kind


def test_key_file_hides_its_secret() -> None:
    key = generate_key(KeyKind.ES256)
    assert key.private_key[40:80] not in repr(key)


def test_registry_survives_its_file_without_secrets(tmp_path: Path) -> None:
    keys = KeyRegistry()
    for kind, key_file in KEYS.items():
        keys.register(key_file, account=kind.name, scopes=frozenset({Scope.VIEW}))
    keys.save(tmp_path / "keys.json")
    loaded = KeyRegistry.load(tmp_path / "keys.json")
    found = loaded.find(KEYS[KeyKind.ES256].name)
    assert found is not None
    assert (found.account, found.scopes, found.kind) == ("ES256", frozenset({Scope.VIEW}), KeyKind.ES256)
    assert "PRIVATE" not in (tmp_path / "keys.json").read_text()


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"name":"x"}]', '[{"name":"x","publicKey":"y"}]'])
def test_broken_registry_file_is_a_configuration_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "keys.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r"keys\.json"):
        KeyRegistry.load(tmp_path / "keys.json")
