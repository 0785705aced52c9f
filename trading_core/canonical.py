"""Canonical JSON: one value, one byte string, on every machine. Digests are made of nothing else."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from enum import Enum
from pathlib import PurePath

import msgspec
from pydantic import BaseModel

from trading_core.clock import iso, to_ns
from trading_core.money import plain

_encoder = msgspec.json.Encoder(order="sorted")


def canonical_json(value: object) -> bytes:
    """Return the value as JSON with sorted keys, no spaces, decimals as plain strings and times in UTC.

    Takes pydantic models, msgspec structs, mappings with string keys, sequences, sets and scalars. Raises
    ValueError for a number that is not finite and for a time without a zone, TypeError for anything else.

    >>> canonical_json({"b": Decimal("1.50"), "a": None})
    b'{"a":null,"b":"1.5"}'
    """
    return _encoder.encode(_builtin(value))


def sha256_hex(data: bytes) -> str:
    """Return the sha256 of the bytes in lowercase hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def digest_of(value: object) -> str:
    """Return the sha256 of the value's canonical JSON."""
    return sha256_hex(canonical_json(value))


def _builtin(value: object) -> object:
    match value:
        case Enum():
            return _builtin(value.value)
        case None | bool() | int() | str():
            return value
        case float() | Decimal():
            return _number(value)
        case datetime():
            return iso(to_ns(value))
        case PurePath():
            return value.as_posix()
        case BaseModel():
            return _builtin(value.model_dump(mode="python"))
        case msgspec.Struct():
            return _builtin(msgspec.to_builtins(value, builtin_types=(Decimal, datetime)))
        case Mapping():
            return {_key(key): _builtin(item) for key, item in value.items()}
        case list() | tuple():
            return [_builtin(item) for item in value]
        case set() | frozenset():
            return sorted((_builtin(item) for item in value), key=_encoder.encode)
        case _:
            raise TypeError(f"{value!r} is a {type(value).__name__}: canonical JSON does not know it")


def _number(value: float | Decimal) -> float | str:
    # A Decimal above the range of a float (the e-value of a good day) is finite all the same.
    if not (value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)):
        raise ValueError(f"{value!r} is not finite: canonical JSON has no such number")
    # A float that is zero is written without its sign: -0.0 and 0.0 are equal.
    return plain(value) if isinstance(value, Decimal) else value + 0.0


def _key(key: object) -> str:
    if isinstance(key, Enum):
        key = key.value
    if not isinstance(key, str):
        raise TypeError(f"{key!r} is a {type(key).__name__}: keys of canonical JSON are strings")
    return str(key)
