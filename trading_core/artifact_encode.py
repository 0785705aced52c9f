"""Encodes the artifacts of a run that is under way, again and again, without encoding every row each time."""

from __future__ import annotations

import os
import tempfile
import weakref
from pathlib import Path

from trading_core.artifact_export import ABOUT_ORDERS, Increment
from trading_core.artifacts import AnyArtifact, ArtifactName, row_json, to_json
from trading_core.errors import StorageError


class ArtifactEncoder:
    """Gives the bytes of `to_json` of whole artifacts from increments: a run of a day is saved three hundred times.

    Rows that cannot change any more lie in files without a name, so that a long run takes no more memory than a
    short one. They are scratch: a session that resumes makes them anew from its events. Used by one thread at a time.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._spools: dict[ArtifactName, RowSpool] = {}

    def take(self, increment: Increment) -> None:
        """Take the rows that cannot change any more; call it once for each increment, in their order."""
        if increment.begins_anew:
            for name in ABOUT_ORDERS:
                self._spools.pop(name, None)
        for name, rows in increment.settled.items():
            if rows:
                self._spools.setdefault(name, RowSpool(self._folder)).add([*rows])

    def rows(self, name: ArtifactName, artifact: AnyArtifact) -> int:
        """Return how many rows the whole artifact has."""
        spool = self._spools.get(name)
        return len(artifact.rows) + (0 if spool is None else spool.count)

    def encode(self, name: ArtifactName, artifact: AnyArtifact) -> bytes:
        """Return the bytes of the whole artifact: the rows taken before, then its own. Raises StorageError."""
        spool = self._spools.get(name)
        settled = b"" if spool is None else spool.read()
        rows = b",".join([*([settled] if settled else []), *map(row_json, artifact.rows)])
        head, tail = to_json(artifact.model_copy(update={"rows": ()})).split(b'"rows":[]')
        return b"".join((head, b'"rows":[', rows, b"]", tail))


class RowSpool:
    """Encoded rows in a file without a name: nobody else can open it, and it ends with the process."""

    def __init__(self, folder: Path) -> None:
        self.count = 0
        self._folder = folder
        self._descriptor: int | None = None
        self._bytes = 0
        self._waiting: list[bytes] = []

    def add(self, rows: list[bytes]) -> None:
        """Append rows. They reach the file with the next `read`."""
        self._waiting += rows
        self.count += len(rows)

    def read(self) -> bytes:
        """Return all rows, with commas between them. Raises StorageError; no row is lost then."""
        try:
            if self._descriptor is None:
                self._descriptor = self._open()
            if self._waiting:
                data = (b"," if self._bytes else b"") + b",".join(self._waiting)
                _write_at(self._descriptor, data, self._bytes)
                self._bytes, self._waiting = self._bytes + len(data), []
            return _read(self._descriptor, self._bytes)
        except OSError as e:
            why = f"rows of artifacts cannot be kept in {self._folder} ({e.strerror})"
            raise StorageError(f"{why}: free disk space or check the rights") from e

    def _open(self) -> int:
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self._folder, buffering=0) as file:
            descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, descriptor)
        return descriptor


def _write_at(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def _read(descriptor: int, size: int) -> bytes:
    parts: list[bytes] = []
    offset = 0
    while offset < size:
        part = os.pread(descriptor, size - offset, offset)
        if not part:
            raise OSError(0, f"its end is missing behind byte {offset}")
        parts.append(part)
        offset += len(part)
    return b"".join(parts)
