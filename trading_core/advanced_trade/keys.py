"""API keys of the local exchange: which key id has which public key, scopes and portfolio; and making new ones."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import TypeAlias
from uuid import UUID

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
)

from trading_core.advanced_trade.credentials import PrivateKey, parse_credentials
from trading_core.errors import ConfigurationError

PublicKey: TypeAlias = EllipticCurvePublicKey | Ed25519PublicKey


class KeyKind(StrEnum):
    """The two signature algorithms of CDP keys, by their JWT name."""

    ES256 = "ES256"
    ED25519 = "EdDSA"


class Scope(StrEnum):
    """What a key may do."""

    VIEW = "view"
    TRADE = "trade"
    TRANSFER = "transfer"


DEFAULT_SCOPES = frozenset({Scope.VIEW, Scope.TRADE})


class KeyFile(msgspec.Struct, frozen=True):
    """A CDP key file, `{"name": …, "privateKey": …}`: a SEC1 PEM, or base64 of Ed25519 seed and public key."""

    name: str
    private_key: str = msgspec.field(name="privateKey")

    def __repr__(self) -> str:
        """Leave the secret out of logs and tracebacks."""
        return f"KeyFile({self.name!r})"

    def to_json(self) -> str:
        """Return the text that the Coinbase portal would let one download."""
        return msgspec.json.encode(self).decode()


class RegisteredKey(msgspec.Struct, frozen=True):
    """What the venue knows of a key. The public key is parsed once; PEM is its portable form."""

    name: str
    kind: KeyKind
    public_key: PublicKey
    scopes: frozenset[Scope]
    account: str

    def to_record(self) -> dict[str, object]:
        """Return the key without secrets, as stored in a registry file."""
        pem = self.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        return {"name": self.name, "publicKey": pem, "scopes": sorted(self.scopes), "account": self.account}


class KeyRegistry:
    """The keys that the venue accepts, by key id (the JWT's `kid`)."""

    def __init__(self, keys: Iterable[RegisteredKey] = ()) -> None:
        self._keys = {key.name: key for key in keys}

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, name: str) -> RegisteredKey | None:
        """Return the key with this id, or None."""
        return self._keys.get(name)

    def register(
        self, key_file: KeyFile, account: str = "", scopes: frozenset[Scope] = DEFAULT_SCOPES
    ) -> RegisteredKey:
        """Accept the key from now on; of the private half only the public key is kept."""
        private_key = parse_credentials(key_file.name, key_file.private_key, "the key to register").private_key
        registered = RegisteredKey(key_file.name, kind_of(private_key), private_key.public_key(), scopes, account)
        self._keys[registered.name] = registered
        return registered

    def save(self, path: Path) -> None:
        """Write the registry (public keys only) as JSON."""
        path.write_text(json.dumps([key.to_record() for key in self._keys.values()], indent=1), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> KeyRegistry:
        """Read a registry file. Raises ConfigurationError if it is unreadable or no registry."""
        try:
            records = msgspec.json.decode(path.read_bytes(), type=list[dict[str, object]])
            return cls(_registered(record) for record in records)
        except (OSError, ValueError, KeyError, TypeError, UnsupportedAlgorithm) as e:
            raise ConfigurationError(f"key registry {path} cannot be read ({e}): write it again") from e


def generate_key(kind: KeyKind, chance: Random | None = None) -> KeyFile:
    """Return a fresh key pair in CDP's key file form.

    With `chance` the key's name is reproducible; the private key never is, nor may it be.
    """
    bits = chance.getrandbits if chance else secrets.randbits
    org, key_id = (UUID(int=bits(128), version=4) for _ in range(2))
    name = f"organizations/{org}/apiKeys/{key_id}"
    match kind:
        case KeyKind.ES256:
            pem = generate_ec_key(SECP256R1()).private_bytes(
                Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
            )
            return KeyFile(name, pem.decode())
        case KeyKind.ED25519:
            private_key = Ed25519PrivateKey.generate()
            raw = private_key.private_bytes_raw() + private_key.public_key().public_bytes_raw()
            return KeyFile(name, base64.b64encode(raw).decode())


def kind_of(key: PublicKey | PrivateKey) -> KeyKind:
    """Return which algorithm the key signs with."""
    return KeyKind.ED25519 if isinstance(key, Ed25519PublicKey | Ed25519PrivateKey) else KeyKind.ES256


def _registered(record: dict[str, object]) -> RegisteredKey:
    public_key = load_pem_public_key(str(record["publicKey"]).encode())
    if not isinstance(public_key, EllipticCurvePublicKey | Ed25519PublicKey):
        raise ValueError(f"key {record['name']} is neither EC P-256 nor Ed25519")
    scopes = record["scopes"]
    if not isinstance(scopes, list):
        raise TypeError(f"scopes of key {record['name']} are no list")
    return RegisteredKey(
        str(record["name"]), kind_of(public_key), public_key, frozenset(map(Scope, scopes)), str(record["account"])
    )
