"""Keys of every form that Coinbase hands out are read, wrong ones are explained, none is ever shown."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from trading_core.advanced_trade.credentials import Credentials, load_credentials, parse_credentials
from trading_core.advanced_trade.jwt_sign import TokenSigner
from trading_core.clock import NS
from trading_core.errors import ConfigurationError

NAME = "organizations/3f1c/apiKeys/9a7e"
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()
NOW_S = 1_790_000_000


def pem(key: object, form: serialization.PrivateFormat = serialization.PrivateFormat.PKCS8) -> str:
    assert isinstance(key, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey)
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def raw(key: ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes_raw()


EC_FORMS = {
    "sec1": pem(EC_KEY, serialization.PrivateFormat.TraditionalOpenSSL),
    "pkcs8": pem(EC_KEY),
    "literal newlines": pem(EC_KEY).replace("\n", "\\n"),
}
ED_FORMS = {
    "base64 of 32 bytes": base64.b64encode(raw(ED_KEY)).decode(),
    "base64 of 64 bytes": base64.b64encode(raw(ED_KEY) + ED_KEY.public_key().public_bytes_raw()).decode(),
    "pkcs8": pem(ED_KEY),
    "literal newlines": pem(ED_KEY).replace("\n", "\\n"),
}


@pytest.mark.parametrize("text", EC_FORMS.values(), ids=EC_FORMS.keys())
def test_every_form_of_an_ec_key_signs_es256_tokens(text: str) -> None:
    signer = TokenSigner(parse_credentials(NAME, text, "test"), now_ns=lambda: NOW_S * NS)
    token = signer.rest_token("GET", "api.coinbase.com", "/api/v3/brokerage/accounts")
    claims = jwt.decode(token, EC_KEY.public_key(), algorithms=["ES256"], options={"verify_exp": False})
    assert claims == {
        "sub": NAME, "iss": "cdp", "nbf": NOW_S, "exp": NOW_S + 120,
        "uri": "GET api.coinbase.com/api/v3/brokerage/accounts",
    }


@pytest.mark.parametrize("text", ED_FORMS.values(), ids=ED_FORMS.keys())
def test_every_form_of_an_ed25519_key_signs_eddsa_tokens(text: str) -> None:
    signer = TokenSigner(parse_credentials(NAME, text, "test"), now_ns=lambda: NOW_S * NS)
    token = signer.stream_token()
    claims = jwt.decode(token, ED_KEY.public_key(), algorithms=["EdDSA"], options={"verify_exp": False})
    assert claims == {"sub": NAME, "iss": "cdp", "nbf": NOW_S, "exp": NOW_S + 120}


def test_each_token_has_its_own_nonce_and_names_its_key() -> None:
    signer = TokenSigner(parse_credentials(NAME, EC_FORMS["pkcs8"], "test"), now_ns=lambda: NOW_S * NS)
    headers = [jwt.get_unverified_header(signer.stream_token()) for _ in range(3)]
    assert len({header["nonce"] for header in headers}) == 3
    assert all(header["kid"] == NAME and len(header["nonce"]) == 32 for header in headers)


def test_keys_come_from_the_environment() -> None:
    environ = {"COINBASE_CDP_API_KEY": NAME, "COINBASE_CDP_PRIVATE_KEY": EC_FORMS["literal newlines"]}
    assert load_credentials(environ).key_name == NAME


@pytest.mark.parametrize("member", ["name", "id"])
def test_a_key_file_is_read_and_wins_over_the_environment(tmp_path: Path, member: str) -> None:
    path = tmp_path / "cdp_api_key.json"
    path.write_text(json.dumps({member: NAME, "privateKey": ED_FORMS["base64 of 64 bytes"]}))
    credentials = load_credentials({"COINBASE_CDP_API_KEY": "other"}, path)
    assert (credentials.key_name, credentials.algorithm) == (NAME, "EdDSA")


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({}, "COINBASE_CDP_API_KEY and COINBASE_CDP_PRIVATE_KEY not set"),
        ({"COINBASE_CDP_API_KEY": NAME}, "COINBASE_CDP_PRIVATE_KEY not set"),
        ({"COINBASE_CDP_API_KEY": "a b", "COINBASE_CDP_PRIVATE_KEY": "x"}, "contains spaces"),
        ({"COINBASE_CDP_API_KEY": EC_FORMS["pkcs8"], "COINBASE_CDP_PRIVATE_KEY": NAME}, "swapped"),
    ],
)
def test_a_missing_or_misplaced_key_is_explained(environ: dict[str, str], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        load_credentials(environ)


WRONG_KEYS = {
    "no PEM": "correct-horse-battery-staple",
    "cut PEM": EC_FORMS["pkcs8"][:80],
    "short base64": base64.b64encode(b"0123456789").decode(),
    "RSA": pem(rsa.generate_private_key(65537, 2048)),
    "P-384": pem(ec.generate_private_key(ec.SECP384R1())),
}


@pytest.mark.parametrize("text", WRONG_KEYS.values(), ids=WRONG_KEYS.keys())
def test_a_private_key_of_the_wrong_form_is_explained_without_being_shown(text: str) -> None:
    with pytest.raises(ConfigurationError, match="needed: an EC P-256 private key") as caught:
        parse_credentials(NAME, text, "key file x")
    assert text[:20] not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "cannot be read"), ("{", "is not JSON"), ("[]", "needed"), ('{"name": "x"}', "needed")],
)
def test_an_unreadable_key_file_is_explained(tmp_path: Path, content: str | None, sentence: str) -> None:
    path = tmp_path / "key.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match=sentence):
        load_credentials({}, path)


def test_the_repr_of_credentials_shows_no_secret() -> None:
    credentials: Credentials = parse_credentials(NAME, ED_FORMS["base64 of 32 bytes"], "test")
    assert repr(credentials) == "Credentials(key_name='…9a7e', algorithm='EdDSA')"
    assert ED_FORMS["base64 of 32 bytes"] not in f"{credentials!s}{credentials!r}"
