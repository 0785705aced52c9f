"""The control server's own trail: who asked for what and what was answered; a repeated key gets its first answer."""

from __future__ import annotations

import hashlib
import os
import re
from collections import OrderedDict
from pathlib import Path

import msgspec

from trading_core.clock import iso, wall_now_ns
from trading_core.errors import GreenlightError, StorageError

KEYS_MAX = 10_000  # remembered, also after a restart: a replay of a call that is older than these is not told
KEY = re.compile(r"[A-Za-z0-9_.:-]{1,100}")
KEY_HEADER = "idempotency-key"
FILE_NAME = "audit.jsonl"


class KeyUsed(GreenlightError):
    """An idempotency key came again with another question."""


class AuditLine(msgspec.Struct, frozen=True, kw_only=True):
    """One call that changed something, or was refused to. Never a token."""

    at: str
    action: str
    caller: str
    address: str
    status: int
    key: str = ""
    asked_sha256: str = ""  # of action and body: a key is good for one question only
    answer: str = ""


class Audit:
    """Writes the trail and remembers the keys. Used by the server's one thread."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._answers: OrderedDict[str, AuditLine] = OrderedDict()
        for line in self._read():
            self._remember(line)

    def first_answer(self, key: str, action: str, body: bytes) -> AuditLine | None:
        """Return what was answered to this key; raises KeyUsed if the question was another one."""
        known = self._answers.get(key) if key else None
        if known is not None and known.asked_sha256 != asked_sha256(action, body):
            raise KeyUsed(f"idempotency key {key} was used for another call: take a new one")
        return known

    def write(self, line: AuditLine) -> None:
        """Append the line; raises StorageError if that cannot be done."""
        self._remember(line)
        try:
            with self._path.open("ab") as file:
                file.write(msgspec.json.encode(line) + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as e:
            raise StorageError(f"audit file {self._path} cannot be written: {e.strerror}") from e

    def _remember(self, line: AuditLine) -> None:
        if line.key:
            self._answers[line.key] = line
            while len(self._answers) > KEYS_MAX:
                self._answers.popitem(last=False)

    def _read(self) -> list[AuditLine]:
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        except OSError as e:
            raise StorageError(f"audit file {self._path} cannot be read: {e.strerror}") from e
        found = []
        for line in lines[-KEYS_MAX:]:
            try:
                found.append(msgspec.json.decode(line, type=AuditLine))
            except msgspec.DecodeError:
                continue  # a line that a crash cut off
        return found


def audit_line(action: str, caller: str, address: str, status: int) -> AuditLine:
    """Return a line of now."""
    return AuditLine(at=iso(wall_now_ns()), action=action, caller=caller, address=address, status=status)


def asked_sha256(action: str, body: bytes) -> str:
    """Return the digest of a question."""
    return hashlib.sha256(action.encode() + b"\n" + body).hexdigest()
