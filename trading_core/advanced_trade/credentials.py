"""The API key of the account: read once, checked for its form, never printed."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from trading_core.errors import ConfigurationError

API_KEY_VARIABLE = "COINBASE_CDP_API_KEY"
PRIVATE_KEY_VARIABLE = "COINBASE_CDP_PRIVATE_KEY"
KEY_NAME_LENGTH_MAX = 256  # CDP key names have about 100 characters; more is a wrong paste

PrivateKey: TypeAlias = EllipticCurvePrivateKey | Ed25519PrivateKey
_NEEDED = "an EC P-256 private key in PEM, or an Ed25519 private key as PEM or as base64 of 32 or 64 bytes"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A CDP key with its parsed private key; its repr shows neither the secret nor the whole name."""

    key_name: str
    private_key: PrivateKey = field(repr=False)

    def __repr__(self) -> str:
        return f"Credentials(key_name='…{self.key_name[-4:]}', algorithm='{self.algorithm}')"

    @property
    def algorithm(self) -> str:
        """Return the JWT algorithm of the key: ES256 or EdDSA."""
        return "EdDSA" if isinstance(self.private_key, Ed25519PrivateKey) else "ES256"


def load_credentials(environ: Mapping[str, str], key_file: Path | None = None) -> Credentials:
    """Return the key of the file if one is named, else of the environment; raises ConfigurationError."""
    if key_file is not None:
        return _from_file(key_file)
    missing = [name for name in (API_KEY_VARIABLE, PRIVATE_KEY_VARIABLE) if not environ.get(name, "").strip()]
    if missing:
        raise ConfigurationError(
            f"{' and '.join(missing)} not set: set both {API_KEY_VARIABLE} and {PRIVATE_KEY_VARIABLE}, "
            "or name a CDP key file"
        )
    return parse_credentials(environ[API_KEY_VARIABLE], environ[PRIVATE_KEY_VARIABLE], "the environment")


def parse_credentials(key_name: str, private_key: str, source: str) -> Credentials:
    """Return the checked key; `source` is named in the error if its form is wrong."""
    name = key_name.strip()
    if "-----BEGIN" in name:
        raise ConfigurationError(f"the key name in {source} is a PEM block: key name and private key are swapped")
    if not name or len(name) > KEY_NAME_LENGTH_MAX or any(letter.isspace() for letter in name):
        raise ConfigurationError(
            f"the key name in {source} has {len(name)} characters or contains spaces (needed: "
            "organizations/…/apiKeys/… or a UUID): copy the name of the CDP key"
        )
    return Credentials(key_name=name, private_key=_parse_key(private_key, source))


def _from_file(path: Path) -> Credentials:
    try:
        raw = json.loads(path.read_text("utf-8"))
    except OSError as e:
        raise ConfigurationError(f"key file {path} cannot be read ({e.strerror}): check path and mode") from e
    except ValueError as e:
        raise ConfigurationError(f"key file {path} is not JSON: download the CDP key file again") from e
    members = raw if isinstance(raw, dict) else {}
    name, secret = members.get("name") or members.get("id"), members.get("privateKey")
    if not isinstance(name, str) or not isinstance(secret, str):
        raise ConfigurationError(
            f'key file {path} has the members {sorted(members)} (needed: "name" or "id", and "privateKey", '
            "as text): download the CDP key file again"
        )
    return parse_credentials(name, secret, f"key file {path}")


def _parse_key(text: str, source: str) -> PrivateKey:
    # An environment variable or a JSON file often carries the line ends as a backslash and an n.
    cleaned = text.strip().replace("\\n", "\n")
    key = _parse_pem(cleaned, source) if "-----BEGIN" in cleaned else _parse_base64(cleaned, source)
    if isinstance(key, Ed25519PrivateKey) or (
        isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1)
    ):
        return key
    raise _wrong_form(source, f"is of the kind {type(key).__name__.lstrip('_')}")


def _parse_pem(text: str, source: str) -> object:
    try:
        return load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # No chaining: some parser messages quote the input.
        raise _wrong_form(source, f"is a PEM block of {len(text)} characters that cannot be parsed") from None


def _parse_base64(text: str, source: str) -> Ed25519PrivateKey:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _wrong_form(source, f"is {len(text)} characters of neither PEM nor base64") from None
    if len(raw) not in (32, 64):
        raise _wrong_form(source, f"is base64 of {len(raw)} bytes")
    return Ed25519PrivateKey.from_private_bytes(raw[:32])


def _wrong_form(source: str, form: str) -> ConfigurationError:
    return ConfigurationError(
        f"the private key in {source} {form} (needed: {_NEEDED}): copy it from the CDP key file"
    )
