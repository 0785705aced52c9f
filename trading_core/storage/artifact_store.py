"""The artifact store: a run's files, written whole or not at all, with their digests in one manifest."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
from pydantic import ValidationError

from trading_core.canonical import canonical_json, sha256_hex
from trading_core.clock import wall_now_ns
from trading_core.errors import ConfigurationError, IntegrityError, StorageError
from trading_core.gate.evidence import EvidenceRef
from trading_core.gate.outcomes import Reason
from trading_core.plan import Level, PlanModel
from trading_core.storage.chain import Head
from trading_core.storage.lock import exclusive

MANIFEST = "manifest.json"
MANIFEST_LOCK = ".manifest.lock"
LOCK_TIMEOUT_S = 5.0
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")


class ArtifactMeta(PlanModel):
    """What the producer knows of an artifact: the rest is measured."""

    rows: int
    producer: str
    subject_digest: str
    level: Level
    window_start_ns: int
    window_end_ns: int
    schema_version: int = 1
    chain_head: Head | None = None  # of the event store when the artifact was made


class ManifestEntry(EvidenceRef):
    """One artifact: where it is, what it should hash to, what it was made from."""

    path: str
    bytes: int
    written_ns: int
    chain_head: Head | None = None

    def ref(self) -> EvidenceRef:
        """Return the part that an observation carries."""
        return EvidenceRef(**{name: getattr(self, name) for name in EvidenceRef.model_fields})


class Manifest(PlanModel):
    """All artifacts of a run, by name. `pending` is written before the files that it announces."""

    schema_version: Literal[1] = 1
    artifacts: dict[str, ManifestEntry] = {}
    pending: tuple[ManifestEntry, ...] | None = None


class ArtifactProblem(PlanModel):
    """Why an artifact cannot be used as evidence."""

    artifact: str
    reason: Reason
    detail: str


class Snapshot(NamedTuple):
    """The run directory at one moment: its manifest, as bytes too, and by path each file that another place lacks."""

    manifest: Manifest
    raw: bytes
    changed: dict[str, bytes]


class ArtifactStore:
    """The files of one run directory. A name without a suffix is a JSON document: "checks" → checks.json."""

    def __init__(self, run_dir: Path, now_ns: Callable[[], int] = wall_now_ns, *, is_durable: bool = True) -> None:
        self.run_dir = run_dir
        self._now_ns = now_ns
        self._is_durable = is_durable  # False for the simulated venue, where a crash loses nothing of value

    def write(self, name: str, payload: object, meta: ArtifactMeta) -> ManifestEntry:
        """Write an artifact and enter it into the manifest; bytes go as they are, all else as canonical JSON.

        A reader sees the old file or the new one, never a part. Raises StorageError if the disk refuses: the old
        file is then still there and still verifies.
        """
        data = payload if isinstance(payload, bytes) else canonical_json(payload) + b"\n"
        return self.write_all({name: (data, meta)})[name]

    def write_all(self, payloads: Mapping[str, tuple[bytes, ArtifactMeta]]) -> dict[str, ManifestEntry]:
        """Write several artifacts one after the other, each as `write` does; return their entries by name."""
        paths = {name: self.path_of(name) for name in payloads}
        entries = {name: self._entry(name, paths[name], data, meta) for name, (data, meta) in payloads.items()}
        for folder in {path.parent for path in paths.values()}:
            _make_folder(folder)
        with exclusive(self.run_dir / MANIFEST_LOCK, LOCK_TIMEOUT_S):
            artifacts = self.manifest().artifacts
            # Announced first: after a crash between two renames each new file is known all the same.
            self._save(Manifest(artifacts=artifacts, pending=tuple(entries.values())))
            for name, path in paths.items():
                write_atomically(path, payloads[name][0], is_durable=self._is_durable)
            self._save(Manifest(artifacts={**artifacts, **entries}))
        return entries

    def read(self, name: str) -> bytes:
        """Return the artifact; raises IntegrityError unless it hashes to what the manifest says."""
        entry = self.manifest().artifacts.get(name)
        if entry is None:
            raise StorageError(f"{self.run_dir} has no artifact {name!r} in its manifest")
        data = _read_bytes(self.path_of(name))
        if sha256_hex(data) != entry.sha256:
            raise IntegrityError(f"artifact {name!r} in {self.run_dir} was changed after it was written")
        return data

    def manifest(self) -> Manifest:
        """Return the manifest; an empty one if nothing was written yet."""
        path = self.run_dir / MANIFEST
        if not path.exists():
            return Manifest()
        try:
            manifest = Manifest.model_validate_json(_read_bytes(path))
        except ValidationError as e:
            raise IntegrityError(f"{path} is not a manifest: {e.errors()[0]['msg']}") from e
        return self._settled(manifest)

    def snapshot(self, known: Mapping[str, str]) -> Snapshot:
        """Return the artifacts as of one moment, but for those whose digest is `known` by path.

        Raises StorageError, IntegrityError if a file is not what the manifest says.
        """
        with exclusive(self.run_dir / MANIFEST_LOCK, LOCK_TIMEOUT_S):
            raw, manifest = _read_bytes(self.run_dir / MANIFEST), self.manifest()
            wanted = [entry for entry in manifest.artifacts.values() if known.get(entry.path) != entry.sha256]
            return Snapshot(manifest, raw, {entry.path: self.read(entry.artifact) for entry in wanted})

    def verify(self) -> list[ArtifactProblem]:
        """Hash every artifact of the manifest again; return what does not match, nothing if all is well."""
        try:
            entries = self.manifest().artifacts.values()
        except StorageError as e:
            return [ArtifactProblem(artifact=MANIFEST, reason=Reason.SCHEMA, detail=str(e))]
        if not entries:
            return [ArtifactProblem(artifact=MANIFEST, reason=Reason.MISSING, detail="no artifact was written")]
        found = (self._problem(entry) for entry in entries)
        return [problem for problem in found if problem is not None]

    def path_of(self, name: str) -> Path:
        """Return where the artifact lies; raises ConfigurationError for a name outside of the run directory."""
        if not _NAME.fullmatch(name):
            raise ConfigurationError(f"artifact name {name!r} is not allowed: use letters, digits, _, -, . and /")
        root = self.run_dir.resolve()
        path = (root / (name if "." in name.rpartition("/")[2] else f"{name}.json")).resolve()
        if not path.is_relative_to(root) or path == root / MANIFEST:
            raise ConfigurationError(f"artifact {name!r} would be {path}: not an artifact of {root}")
        return path

    def _entry(self, name: str, path: Path, data: bytes, meta: ArtifactMeta) -> ManifestEntry:
        return ManifestEntry(
            artifact=name,
            path=path.relative_to(self.run_dir.resolve()).as_posix(),
            sha256=sha256_hex(data),
            bytes=len(data),
            written_ns=self._now_ns(),
            **dict(meta),
        )

    def _problem(self, entry: ManifestEntry) -> ArtifactProblem | None:
        try:
            data = _read_bytes(self.path_of(entry.artifact))
        except (StorageError, ConfigurationError) as e:
            return ArtifactProblem(artifact=entry.artifact, reason=Reason.MISSING, detail=str(e))
        if not data:
            return ArtifactProblem(artifact=entry.artifact, reason=Reason.EMPTY, detail=f"{entry.path} is empty")
        digest = sha256_hex(data)
        if digest == entry.sha256:
            return None
        detail = f"{entry.path} hashes to {digest[:12]}, the manifest says {entry.sha256[:12]}"
        return ArtifactProblem(artifact=entry.artifact, reason=Reason.HASH_MISMATCH, detail=detail)

    def _settled(self, manifest: Manifest) -> Manifest:
        if manifest.pending is None:
            return manifest
        arrived = {entry.artifact: entry for entry in manifest.pending if self._has_arrived(entry)}
        return Manifest(artifacts={**manifest.artifacts, **arrived})

    def _has_arrived(self, entry: ManifestEntry) -> bool:
        path = self.path_of(entry.artifact)
        return path.exists() and sha256_hex(_read_bytes(path)) == entry.sha256

    def _save(self, manifest: Manifest) -> None:
        data = msgspec.json.format(canonical_json(manifest), indent=1) + b"\n"
        write_atomically(self.run_dir / MANIFEST, data, is_durable=self._is_durable)


def write_atomically(path: Path, data: bytes, *, is_durable: bool = True) -> None:
    """Replace the file by the data, on disk before returning if durable; on a StorageError the old one is there."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            if is_durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
        if is_durable:
            _sync_folder(path.parent)
    except OSError as e:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise StorageError(f"{path} cannot be written ({e.strerror}): free disk space or check the rights") from e


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise StorageError(f"folder {folder} cannot be made ({e.strerror})") from e


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as e:
        raise StorageError(f"{path} cannot be read ({e.strerror})") from e
