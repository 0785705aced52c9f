"""A run's folder at a second place, by fsspec: content first, the manifest last, every file read back and hashed.

Whoever reads the mirror in between finds the old manifest, and its digests do not fit: it is not whole, and says so.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree
from typing import TypeVar

from fsspec import url_to_fs

from trading_core.canonical import sha256_hex
from trading_core.errors import ConfigurationError, IntegrityError, StorageError
from trading_core.mirror_location import scrubbed, without_secrets
from trading_core.storage.artifact_store import MANIFEST, ArtifactStore, Manifest, write_atomically
from trading_core.storage.lock import exclusive

LOCK = ".mirror.lock"
LOCK_TIMEOUT_S = 5.0  # another process of the run is at it: its copy is as good as ours
RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,120}")
# There is no folder to make in a bucket, and these would make the whole bucket that a slip of the pen names.
BUCKETS = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs"})
T = TypeVar("T")


class Mirror:
    """The place of all runs. `address` may have a password; what is shown or raised never does."""

    def __init__(self, address: str) -> None:
        self.shown = without_secrets(address)
        self._address = address
        self._has_folders = self.shown.partition(":")[0] not in BUCKETS
        # Another process writes there, too: what a listing said a minute ago is not what is there.
        self._fs, self._root = self._asked("opened", lambda: url_to_fs(address, use_listings_cache=False))

    def put(self, run_dir: Path) -> int:
        """Copy what the mirror lacks of a run and return how many artifacts it then has. Raises StorageError."""
        with exclusive(run_dir / LOCK, LOCK_TIMEOUT_S):
            there = self._read_manifest(run_dir)
            snapshot = ArtifactStore(run_dir).snapshot({} if there is None else _digests(there))
            for path, data in {**snapshot.changed, **_unlisted(run_dir, snapshot.manifest)}.items():
                self._write(self._path(run_dir, path), data)
            self._write(self._path(run_dir, MANIFEST), snapshot.raw)
        return len(snapshot.manifest.artifacts)

    def problems(self, run_dir: Path) -> list[str]:
        """Read the whole mirror of a run back and return what it lacks or has otherwise. Raises StorageError."""
        manifest = ArtifactStore(run_dir).manifest()
        found = []
        for entry in manifest.artifacts.values():
            data = self._read(self._path(run_dir, entry.path))
            if data is None or sha256_hex(data) != entry.sha256:
                found.append(f"{entry.path} is {'missing' if data is None else 'another file'}")
        there = self._read_manifest(run_dir)
        if there is None or _digests(there) != _digests(manifest):
            found.append(f"{MANIFEST} is not this run's")
        return found

    def fetch(self, run_id: str, artifacts_root: Path) -> Path | None:
        """Bring a run here, digests checked, and return its folder; None if the mirror does not have it.

        Raises IntegrityError if the mirror is not whole, StorageError if it does not answer: nothing is then left here.
        """
        if not RUN_ID.fullmatch(run_id):
            raise ConfigurationError(f"{run_id!r} is no run id: use letters, digits, - and _")
        pattern = f"{self._root}/*/{run_id}/{MANIFEST}"
        found: list[str] = self._asked(f"searched for {run_id}", lambda: list(self._fs.glob(pattern)))
        if not found:
            return None
        if len(found) > 1:
            raise ConfigurationError(f"{self.shown} has {len(found)} runs named {run_id}: copy the right one by hand")
        folder = found[0].removesuffix(f"/{MANIFEST}")
        target = artifacts_root / folder.split("/")[-2] / run_id
        beside = target.with_name(f".{run_id}.{os.getpid()}.fetched")
        try:
            self._copy(folder, beside)
            if problems := ArtifactStore(beside).verify():
                words = "; ".join(f"{p.artifact}: {p.detail}" for p in problems[:3])
                raise IntegrityError(f"run {run_id} is not whole at {self.shown}: {words}")
            beside.rename(target)
        finally:
            rmtree(beside, ignore_errors=True)
        return target

    def _copy(self, folder: str, beside: Path) -> None:
        names: list[str] = self._asked("listed", lambda: list(self._fs.find(folder)))
        for name in names:
            path = (beside / name.removeprefix(f"{folder}/")).resolve()
            if not path.is_relative_to(beside.resolve()):
                raise IntegrityError(f"{self.shown} has a file outside of its run: {name}")
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, self._read(name) or b"")

    def _path(self, run_dir: Path, name: str) -> str:
        return f"{self._root}/{run_dir.parent.name}/{run_dir.name}/{name}"

    def _read_manifest(self, run_dir: Path) -> Manifest | None:
        data = self._read(self._path(run_dir, MANIFEST))
        try:
            return None if data is None else Manifest.model_validate_json(data)
        except ValueError:
            return None  # garbled there: all is written anew

    def _read(self, path: str) -> bytes | None:
        def read() -> bytes | None:
            try:
                return bytes(self._fs.cat_file(path))
            except FileNotFoundError:
                return None

        return self._asked("read", read)

    def _write(self, path: str, data: bytes) -> None:
        def write() -> None:
            if self._has_folders:
                self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._fs.pipe_file(path, data)

        self._asked("written", write)
        if self._read(path) != data:
            raise IntegrityError(f"{self.shown}: {path.rpartition('/')[2]} reads back as another file than was written")

    def _asked(self, what: str, call: Callable[[], T]) -> T:
        """Return the call's answer. Each of fsspec's file systems has errors of its own: all of them are this one."""
        try:
            return call()
        except Exception as e:
            words = scrubbed(f"{type(e).__name__}: {e}", self._address)[:300]
        # Raised outside of the handler: a chained error would show the address in a traceback.
        raise StorageError(f"{self.shown} cannot be {what} ({words}): look at the store, its rights and the network")


def _digests(manifest: Manifest) -> dict[str, str]:
    return {entry.path: entry.sha256 for entry in manifest.artifacts.values()}


def _unlisted(run_dir: Path, manifest: Manifest) -> dict[str, bytes]:
    """Return what people read and the manifest does not have, such as the report."""
    listed = {entry.path for entry in manifest.artifacts.values()} | {MANIFEST}
    paths = {path.relative_to(run_dir).as_posix(): path for path in run_dir.rglob("[!.]*") if path.is_file()}
    return {name: path.read_bytes() for name, path in paths.items() if name not in listed}
