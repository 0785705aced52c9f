"""The second place of runs: whole or said not to be, never in the way, and never with a secret in a message."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from flows.cli_gate import find_run
from tests.core_builders import T0_NS
from tests.fault_file_system import ADDRESS, SHOWN, FaultFileSystem, fault_file_system
from trading_core import mirroring
from trading_core.errors import ConfigurationError, IntegrityError, StorageError
from trading_core.gate.verify import verify_run
from trading_core.mirror_location import secret_address, without_secrets
from trading_core.plan import Level, Stage
from trading_core.plan_files import find_plan
from trading_core.prepare import prepare_run
from trading_core.run import RunContext, VenueName
from trading_core.settings import load_settings
from trading_core.stages import go_no_go
from trading_core.stages.files import keep, not_reached, read_stage
from trading_core.stages.result import CheckStatus, StageResult
from trading_core.storage.artifact_store import MANIFEST, ArtifactMeta, ArtifactStore
from trading_core.storage.mirror import Mirror

SECRETS = ("hunter2", "operator", "abcdef123456")


@pytest.fixture
def fault() -> Iterator[type[FaultFileSystem]]:
    with fault_file_system() as made:
        yield made


@pytest.fixture(params=["file", "memory"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"{request.param}://{tmp_path}/mirror"


def write(run_dir: Path, name: str, text: str) -> None:
    meta = ArtifactMeta(
        rows=1, producer="test", subject_digest="ab" * 32, level=Level.L0, window_start_ns=T0_NS, window_end_ns=T0_NS
    )
    ArtifactStore(run_dir).write(name, {"text": text}, meta)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "artifacts" / "phase2" / "run-1"
    write(folder, "subject", "a")
    write(folder, "stages/preflight", "b")
    (folder / "report.html").write_text("<p>report", "utf-8")
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def says_no_secret(words: str) -> bool:
    return SHOWN in words and not any(secret in words for secret in SECRETS)


def test_what_was_put_is_whole_and_comes_back_byte_for_byte(address: str, run_dir: Path, tmp_path: Path) -> None:
    mirror = Mirror(address)
    assert mirror.put(run_dir) == 2
    assert mirror.problems(run_dir) == []
    fetched = mirror.fetch("run-1", tmp_path / "elsewhere")
    assert fetched == tmp_path / "elsewhere" / "phase2" / "run-1"
    assert files_of(fetched) == files_of(run_dir)


class BucketsOnly(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A store without folders: to make one would make a bucket, as s3fs does."""

    protocol = "abfs"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("abfs://", "memory://")))

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Refuse."""
        raise AssertionError(f"nobody asked for a bucket: {path}")


def test_no_bucket_is_made_that_nobody_asked_for(run_dir: Path, tmp_path: Path) -> None:
    fsspec.register_implementation("abfs", BucketsOnly, clobber=True)
    mirror = Mirror("abfs://bucket/runs")
    assert (mirror.put(run_dir), mirror.problems(run_dir)) == (2, [])
    fetched = mirror.fetch("run-1", tmp_path / "elsewhere")
    assert fetched is not None
    assert files_of(fetched) == files_of(run_dir)


def test_a_run_that_the_mirror_does_not_have_is_none(address: str, tmp_path: Path) -> None:
    assert Mirror(address).fetch("run-2", tmp_path) is None


@pytest.mark.parametrize("run_id", ["*", "../run", "a/b", ""])
def test_a_run_id_is_no_pattern(run_id: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no run id"):
        Mirror("memory:///runs").fetch(run_id, tmp_path)


def test_the_manifest_is_written_last_and_only_changes_are_written(
    fault: type[FaultFileSystem], run_dir: Path
) -> None:
    mirror = Mirror(ADDRESS)
    mirror.put(run_dir)
    assert fault.written[-1].endswith(MANIFEST)
    assert len(fault.written) == 4
    fault.written.clear()
    write(run_dir, "subject", "changed")
    mirror.put(run_dir)
    names = [path.rpartition("/")[2] for path in fault.written]
    assert names == ["subject.json", "report.html", MANIFEST]


def test_a_changed_copy_is_found_and_never_fetched(address: str, run_dir: Path, tmp_path: Path) -> None:
    mirror = Mirror(address)
    mirror.put(run_dir)
    changed = run_dir.parent / "run-1b"
    write(changed, "subject", "forged")
    with fsspec.open(f"{address}/phase2/run-1/subject.json", "wb") as file:
        file.write((changed / "subject.json").read_bytes())
    assert mirror.problems(run_dir) == ["subject.json is another file"]
    with pytest.raises(IntegrityError, match="not whole"):
        mirror.fetch("run-1", tmp_path / "elsewhere")
    assert [path for path in (tmp_path / "elsewhere").rglob("*") if path.is_file()] == []


def test_a_store_that_refuses_is_an_error_without_its_password(
    fault: type[FaultFileSystem], run_dir: Path
) -> None:
    fault.refuses = "preflight.json"
    with pytest.raises(StorageError) as raised:
        Mirror(ADDRESS).put(run_dir)
    assert says_no_secret(str(raised.value))
    assert raised.value.__context__ is None
    assert ArtifactStore(run_dir).verify() == []


def test_a_store_that_loses_bytes_is_noticed(fault: type[FaultFileSystem], run_dir: Path) -> None:
    fault.cuts = "subject.json"
    with pytest.raises(IntegrityError, match="reads back as another file"):
        Mirror(ADDRESS).put(run_dir)


def test_a_copy_cut_short_is_not_whole_and_the_next_one_mends_it(
    fault: type[FaultFileSystem], run_dir: Path, tmp_path: Path
) -> None:
    mirror = Mirror(ADDRESS)
    mirror.put(run_dir)
    write(run_dir, "subject", "second")
    fault.refuses = MANIFEST
    with pytest.raises(StorageError):
        mirror.put(run_dir)
    with pytest.raises(IntegrityError, match="not whole"):
        mirror.fetch("run-1", tmp_path / "elsewhere")
    fault.refuses = ""
    mirror.put(run_dir)
    assert mirror.problems(run_dir) == []


def finished(tmp_path: Path, url: str) -> tuple[RunContext, list[StageResult]]:
    """Return a run that its preflight ended, whose second place is the address."""
    context = prepare_run(
        plan=find_plan("phase2"), venue=VenueName.SIMULATED, day="typical", seed=1, speed=1.0, faults="", run_id="run",
        artifacts_root=tmp_path / "artifacts", event_store_root=tmp_path / "events", artifacts_url=url,
    )
    return context, [keep(context, not_reached(context, Stage.PREFLIGHT, ConfigurationError("no key")))]


def test_the_decision_says_that_the_mirror_is_whole(address: str, tmp_path: Path) -> None:
    context, stages = finished(tmp_path, without_secrets(address))
    record = go_no_go.run(context, stages)
    assert record.mirror is not None
    assert record.mirror.is_whole, record.mirror.detail
    assert verify_run(context.run_dir).problems == ()
    assert Mirror(address).problems(context.run_dir) == []


def test_a_mirror_that_fails_changes_no_verdict_and_is_said(
    fault: type[FaultFileSystem], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARTIFACTS_URL", ADDRESS)
    fault.refuses = "observations.json"
    context, stages = finished(tmp_path, SHOWN)
    without = go_no_go.run(*finished(tmp_path / "other", ""))
    record = go_no_go.run(context, stages)
    assert without.mirror is None
    assert (record.verdict, record.criteria) == (without.verdict, without.criteria)
    assert record.mirror is not None
    assert not record.mirror.is_whole
    assert says_no_secret(record.mirror.detail)
    kept = read_stage(context, Stage.GO_NO_GO)
    assert kept is not None
    assert [(check.name, check.status) for check in kept.checks] == [("mirror", CheckStatus.WARNED)]
    assert verify_run(context.run_dir).problems == ()


def test_a_mirror_that_hangs_is_left_alone(
    fault: type[FaultFileSystem], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARTIFACTS_URL", ADDRESS)
    monkeypatch.setattr(mirroring, "COPY_WITHIN_S", 0.2)
    fault.hangs = threading.Event()
    context, _ = finished(tmp_path, SHOWN)
    state = mirroring.mirrored(context)
    assert state is not None
    assert not state.is_whole
    assert "did not answer within 0.2 s" in state.detail


def test_a_save_is_copied_while_the_session_goes_on(tmp_path: Path) -> None:
    context, _ = finished(tmp_path, f"memory://{tmp_path}/mirror")
    with mirroring.followed(context):
        write(context.run_dir, "late", "saved while it traded")
    assert Mirror(context.artifacts_url).problems(context.run_dir) == []


def test_a_run_that_is_only_at_the_mirror_is_fetched(address: str, run_dir: Path, tmp_path: Path) -> None:
    Mirror(address).put(run_dir)
    settings = load_settings({"ARTIFACTS_URL": address, "ARTIFACTS_ROOT": str(tmp_path / "fresh")})
    assert files_of(find_run(settings, "run-1")) == files_of(run_dir)
    with pytest.raises(ConfigurationError, match="there is no run 'run-9'"):
        find_run(settings, "run-9")


@pytest.mark.parametrize(
    "text", ["secretly", "/secretly", "nowhere://secretly", "simplecache::memory://secretly", "file://", "secretly://["]
)
def test_an_address_that_is_none_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ConfigurationError, match="ARTIFACTS_URL") as raised:
        load_settings({"ARTIFACTS_URL": text})
    assert "secretly" not in str(raised.value)


def test_the_setting_is_kept_without_its_secrets_and_opened_with_them(fault: type[FaultFileSystem]) -> None:
    settings = load_settings({"ARTIFACTS_URL": ADDRESS})
    assert settings.artifacts_url == SHOWN
    assert secret_address(SHOWN, {"ARTIFACTS_URL": ADDRESS}) == ADDRESS
    assert secret_address("memory:///other", {"ARTIFACTS_URL": ADDRESS}) == "memory:///other"
