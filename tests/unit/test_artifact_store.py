"""The artifact store: files whole or not at all, and every change after writing is found."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.core_builders import T0_NS
from trading_core.canonical import sha256_hex
from trading_core.errors import ConfigurationError, IntegrityError, StorageError
from trading_core.gate.outcomes import Reason
from trading_core.plan import Level
from trading_core.storage.artifact_store import ArtifactMeta, ArtifactStore, Manifest, write_atomically
from trading_core.storage.chain import Head


def make_store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "run", lambda: T0_NS)


def make_meta(rows: int = 1) -> ArtifactMeta:
    return ArtifactMeta(
        rows=rows, producer="test", subject_digest="ab" * 32, level=Level.L0, window_start_ns=T0_NS,
        window_end_ns=T0_NS + 1, chain_head=Head(7, "cd" * 32),
    )


@contextmanager
def file_size_limit(limit: int) -> Iterator[None]:
    """Let every write behind this size fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_an_artifact_comes_back_with_its_digest_in_the_manifest(tmp_path: Path) -> None:
    store = make_store(tmp_path)

    entry = store.write("checks", {"b": 1, "a": [2]}, make_meta(rows=2))

    assert store.read("checks") == b'{"a":[2],"b":1}\n'
    assert (entry.path, entry.sha256, entry.bytes) == ("checks.json", sha256_hex(b'{"a":[2],"b":1}\n'), 16)
    assert (entry.rows, entry.level, entry.written_ns, entry.chain_head) == (2, "L0", T0_NS, (7, "cd" * 32))
    assert store.manifest().artifacts == {"checks": entry}
    assert entry.ref().artifact == "checks"
    assert store.verify() == []


def test_bytes_and_folders_are_kept_as_they_are(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    store.write("report.html", b"<html>", make_meta())
    store.write("stages/preflight", {}, make_meta())
    assert (tmp_path / "run" / "report.html").read_bytes() == b"<html>"
    assert (tmp_path / "run" / "stages" / "preflight.json").read_bytes() == b"{}\n"
    assert sorted(store.manifest().artifacts) == ["report.html", "stages/preflight"]


def test_the_manifest_is_sorted_readable_json(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    for name in ("b", "a"):
        store.write(name, {}, make_meta())
    text = (tmp_path / "run" / "manifest.json").read_text()
    assert list(json.loads(text)["artifacts"]) == ["a", "b"]
    assert Manifest.model_validate_json(text) == store.manifest()


def test_another_store_of_the_same_run_adds_to_the_manifest(tmp_path: Path) -> None:
    make_store(tmp_path).write("a", {}, make_meta())
    make_store(tmp_path).write("b", {}, make_meta())
    assert sorted(make_store(tmp_path).manifest().artifacts) == ["a", "b"]


def test_a_newer_version_replaces_the_older(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    store.write("a", {"n": 1}, make_meta())
    store.write("a", {"n": 2}, make_meta(rows=2))
    assert store.read("a") == b'{"n":2}\n'
    assert store.manifest().artifacts["a"].rows == 2
    assert store.verify() == []


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.unlink(), Reason.MISSING),
        (lambda path: path.write_bytes(b""), Reason.EMPTY),
        (lambda path: path.write_bytes(path.read_bytes().replace(b"1", b"2")), Reason.HASH_MISMATCH),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), Reason.HASH_MISMATCH),
    ],
)
def test_a_changed_artifact_is_found(tmp_path: Path, damage: object, reason: Reason) -> None:
    store = make_store(tmp_path)
    store.write("good", {}, make_meta())
    store.write("bad", {"n": 1}, make_meta())
    damage(tmp_path / "run" / "bad.json")  # type: ignore[operator]  # a lambda of the table

    assert [(p.artifact, p.reason) for p in store.verify()] == [("bad", reason)]
    with pytest.raises(StorageError):
        store.read("bad")
    assert store.read("good") == b"{}\n"


def test_a_run_without_artifacts_does_not_verify(tmp_path: Path) -> None:
    assert [(p.artifact, p.reason) for p in make_store(tmp_path).verify()] == [("manifest.json", Reason.MISSING)]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": 2}', '{"artifacts": {}, "extra": 1}'])
def test_a_damaged_manifest_is_said_and_never_overwritten(tmp_path: Path, text: str) -> None:
    store = make_store(tmp_path)
    store.write("a", {}, make_meta())
    manifest = tmp_path / "run" / "manifest.json"
    manifest.write_text(text)

    assert [p.reason for p in store.verify()] == [Reason.SCHEMA]
    with pytest.raises(IntegrityError, match="is not a manifest"):
        store.write("b", {}, make_meta())
    assert manifest.read_text() == text


def test_an_artifact_outside_of_the_manifest_is_not_read(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    store.write("a", {}, make_meta())
    (tmp_path / "run" / "planted.json").write_text("{}")
    with pytest.raises(StorageError, match="no artifact 'planted'"):
        store.read("planted")


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/passwd", "a/../../evil", "", ".", "..", ".hidden", "a//b", "a/", "manifest",
             "manifest.json", "a b", "a\x00", "link/evil"]
)
def test_a_name_outside_of_the_run_directory_is_refused(tmp_path: Path, name: str) -> None:
    store = make_store(tmp_path)
    store.write("a", {}, make_meta())
    (tmp_path / "run" / "link").symlink_to(tmp_path)
    with pytest.raises(ConfigurationError, match="artifact"):
        store.write(name, {}, make_meta())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run"]


def test_a_full_disk_leaves_the_old_artifact_and_the_old_digest(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    store.write("a", {"n": 1}, make_meta())

    with file_size_limit(4_000), pytest.raises(StorageError, match="free disk space"):
        store.write("a", b"x" * 100_000, make_meta())

    assert store.read("a") == b'{"n":1}\n'
    assert store.verify() == []
    assert store.manifest().pending is None
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [".manifest.lock", "a.json", "manifest.json"]


def test_a_disk_too_full_for_the_manifest_changes_nothing(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    store.write("a", {"n": 1}, make_meta())
    with file_size_limit(10), pytest.raises(StorageError, match=r"manifest\.json cannot be written"):
        store.write("a", {"n": 2}, make_meta())
    assert store.read("a") == b'{"n":1}\n'
    assert store.verify() == []


@pytest.mark.parametrize(("has_arrived", "text"), [(True, b"new"), (False, b"old")])
def test_a_crash_between_announcement_and_manifest_is_settled(
    tmp_path: Path, has_arrived: bool, text: bytes
) -> None:
    store = make_store(tmp_path)
    run = tmp_path / "run"
    store.write("a.txt", b"new", make_meta(rows=2))
    announced = store.manifest().artifacts["a.txt"]
    store.write("a.txt", b"old", make_meta())
    crashed = store.manifest().model_copy(update={"pending": (announced,)})
    write_atomically(run / "manifest.json", crashed.model_dump_json().encode())
    if has_arrived:
        write_atomically(run / "a.txt", b"new")

    assert store.verify() == []
    assert store.read("a.txt") == text
    store.write("b", {}, make_meta())
    assert sorted(store.manifest().artifacts) == ["a.txt", "b"]


def test_a_crash_between_two_files_of_one_save_leaves_the_new_one_and_the_old_one(tmp_path: Path) -> None:
    store, run, meta = make_store(tmp_path), tmp_path / "run", make_meta()
    new = store.write_all({"a.txt": (b"new", meta), "b.txt": (b"new", meta)})
    store.write_all({"a.txt": (b"old", meta), "b.txt": (b"old", meta)})
    crashed = store.manifest().model_copy(update={"pending": tuple(new.values())})
    write_atomically(run / "manifest.json", crashed.model_dump_json().encode())
    write_atomically(run / "a.txt", b"new")

    assert store.verify() == []
    assert (store.read("a.txt"), store.read("b.txt")) == (b"new", b"old")


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file where the folder belongs")
    with pytest.raises(StorageError, match="cannot be made"):
        make_store(tmp_path).write("a", {}, make_meta())
