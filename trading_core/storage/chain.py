"""The hash chain over the events of one run."""

from __future__ import annotations

import hashlib
from typing import NamedTuple


class Head(NamedTuple):
    """The last link of a chain: how many events it covers, and the hash over all of them."""

    seq: int
    hash: str


def first_head(genesis: str) -> Head:
    """Return the head of an empty chain; the genesis says what the chain is about."""
    return Head(0, hashlib.sha256(genesis.encode()).hexdigest())


def next_hash(previous: str, kind: str, payload: bytes) -> str:
    """Return the hash of a link: over the previous hash, the kind and the canonical payload."""
    return hashlib.sha256(b"%b\n%b\n%b" % (previous.encode(), kind.encode(), payload)).hexdigest()
