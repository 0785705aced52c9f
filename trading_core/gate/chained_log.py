"""An append-only file of JSON lines, each bound to the one before by a hash; durable before it counts.

A head file beside it says how long the log is, so that a cut or a removed log is noticed. A last line that the
head does not know yet was never acknowledged: whole, it counts; torn, it is dropped by the next append.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from trading_core.canonical import canonical_json
from trading_core.errors import IntegrityError, StorageError
from trading_core.storage.artifact_store import write_atomically
from trading_core.storage.chain import Head, first_head, next_hash
from trading_core.storage.lock import exclusive

LOCK_TIMEOUT_S = 10.0


class Entry(NamedTuple):
    """One line: its place in the chain and what it says."""

    head: Head
    payload: dict[str, Any]


class ChainedLog:
    """One log; `kind` is part of its genesis, so that the lines of one log are not valid in another."""

    def __init__(self, path: Path, kind: str) -> None:
        self.path = path
        self._kind = kind
        self._head_path = path.with_name(f"{path.name}.head")

    def append(self, payload: object) -> Head:
        """Add one line and return once it is durable. Raises IntegrityError if the log before it does not verify."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise StorageError(f"folder {self.path.parent} cannot be made ({e.strerror})") from e
        with exclusive(self.path.with_name(f".{self.path.name}.lock"), LOCK_TIMEOUT_S):
            entries, length = self._load()
            before = entries[-1].head if entries else first_head(self._kind)
            data = canonical_json(payload)
            head = Head(before.seq + 1, next_hash(before.hash, self._kind, data))
            self._write(b'{"hash":"%b","payload":%b,"seq":%d}\n' % (head.hash.encode(), data, head.seq), length)
            write_atomically(self._head_path, canonical_json({"hash": head.hash, "seq": head.seq}) + b"\n")
        return head

    def read(self) -> list[Entry]:
        """Return every line, oldest first; none if the log was never written. Raises IntegrityError."""
        return self._load()[0]

    def head(self) -> Head:
        """Return the last link; that of the empty chain if nothing was written."""
        entries = self.read()
        return entries[-1].head if entries else first_head(self._kind)

    def _write(self, line: bytes, at: int) -> None:
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "r+b") as file:
                file.truncate(at)  # drops a torn line that was never acknowledged
                file.seek(at)
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as e:
            raise StorageError(f"{self.path} cannot be written ({e.strerror})") from e

    def _load(self) -> tuple[list[Entry], int]:
        """Return the lines and the length of the valid part in bytes."""
        known = self._known_head()
        try:
            data = self.path.read_bytes() if self.path.exists() else b""
        except OSError as e:
            raise IntegrityError(f"{self.path} cannot be read ({e.strerror})") from e
        whole = data[: data.rfind(b"\n") + 1]
        entries, previous = [], first_head(self._kind)
        for line in whole.splitlines():
            previous, payload = self._link(line, previous)
            entries.append(Entry(previous, payload))
        if len(entries) < known.seq or (known.seq and entries[known.seq - 1].head != known):
            raise IntegrityError(f"{self.path} has {len(entries)} lines that verify, its head says {known.seq}")
        return entries, len(whole)

    def _link(self, line: bytes, previous: Head) -> tuple[Head, dict[str, Any]]:
        seq = previous.seq + 1
        try:
            entry = json.loads(line)
            head = Head(seq, next_hash(previous.hash, self._kind, canonical_json(entry["payload"])))
            is_linked = (entry["seq"], entry["hash"]) == (seq, head.hash)
        except (ValueError, KeyError, TypeError) as e:
            raise IntegrityError(f"{self.path} line {seq} is not readable: {e}") from e
        if not is_linked:
            raise IntegrityError(f"{self.path} line {seq} does not follow from the line before: it was changed")
        return head, entry["payload"]

    def _known_head(self) -> Head:
        try:
            if not self._head_path.exists():
                return first_head(self._kind)
            said = json.loads(self._head_path.read_bytes())
            return Head(int(said["seq"]), str(said["hash"]))
        except (OSError, ValueError, KeyError, TypeError) as e:
            raise IntegrityError(f"{self._head_path} cannot be read: {e}") from e
