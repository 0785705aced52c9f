"""The key that signs decisions, and the one that checks them: Ed25519 in PEM files."""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from trading_core.errors import ConfigurationError
from trading_core.settings import Settings

PRIVATE_HEADER = b"PRIVATE KEY-----"


def signing_key(settings: Settings) -> Ed25519PrivateKey | None:
    """Return the key that the environment names; None if decisions are not signed."""
    return None if settings.signing_key_file is None else load_signing_key(settings.signing_key_file)


def load_signing_key(path: Path) -> Ed25519PrivateKey:
    """Return the private key of a PEM file without a password; raises ConfigurationError if it is none."""
    try:
        key = load_pem_private_key(_read(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as e:
        raise ConfigurationError(f"signing key {path} is no PEM private key: {e}") from e
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigurationError(f"signing key {path} is not Ed25519: make one with openssl genpkey -algorithm ed25519")
    return key


def load_public_key(path: Path) -> Ed25519PublicKey:
    """Return the key that signatures are checked with; the file may hold the public or the private half."""
    data = _read(path)
    if PRIVATE_HEADER in data:
        return load_signing_key(path).public_key()
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as e:
        raise ConfigurationError(f"key {path} is no PEM key: {e}") from e
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigurationError(f"key {path} is not Ed25519: decisions are signed with Ed25519 only")
    return key


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as e:
        raise ConfigurationError(f"key {path} cannot be read ({e.strerror}): correct the path") from e
