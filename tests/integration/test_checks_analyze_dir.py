"""A foreign directory is judged without a crash, and never called proven."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from checks.analyze_dir import DirVerdict, analyze_dir, main
from tests.checked_files import validated_here
from tests.evidence_runs import write_run
from trading_core.artifacts import FIVE, ArtifactName
from trading_core.gate.outcomes import Outcome


def test_our_own_artifacts_alone_are_consistent_and_not_proven(tmp_path: Path) -> None:
    write_run(tmp_path)
    found = analyze_dir(tmp_path)
    assert (found.verdict, "only an event store" in found.headline) == (DirVerdict.NOT_PROVEN, True)
    assert found.report.unevaluated == []


def test_books_that_do_not_balance_are_refuted(tmp_path: Path) -> None:
    write_run(tmp_path)
    path = tmp_path / "reconciliation_history.json"
    document = json.loads(path.read_bytes())
    document["rows"][2]["equity"] = "1"
    path.write_text(json.dumps(document))
    (tmp_path / "manifest.json").unlink()
    found = analyze_dir(tmp_path, validated_here)
    assert (found.verdict, "books_identity" in found.headline) == (DirVerdict.REFUTED, True)


@pytest.mark.parametrize(
    "payload",
    ["", "null", "5", "[]", "[1, 2]", '[{"timestamp": "2026-01-01", "equity": 10000.5}]',
     '{"snapshots": [{"equity": "1e400"}]}', '{"a": [], "b": []}', "\x00", '{"rows": [{"equity": {"x": [1]}}]}',
     '[{"seq": "one", "ts": 5, "equity": NaN, "is_quiescent": null}]'],
)
def test_whatever_the_files_hold_it_neither_crashes_nor_passes(tmp_path: Path, payload: str) -> None:
    for name in FIVE:
        (tmp_path / f"{name}.json").write_text(payload)
    found = analyze_dir(tmp_path, validated_here)
    assert found.report.engine != "none", found.report.findings[0].detail
    schemas = {f.outcome for f in found.report.findings if f.criterion.endswith(".schema")}
    assert schemas <= {Outcome.ERROR, Outcome.NO_DATA}
    assert "proven" not in found.headline


# ── whatever somebody else wrote ────────────────────────────────────────────────────────────────
NAMES = [f"{name}.json" for name in ArtifactName] + ["manifest.json"]
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.integers(10**30, 10**60) | st.floats() | st.text(max_size=20)
    | st.sampled_from(["1e400", "NaN", "-0", "9" * 400, "2026-01-01T00:00:00Z", "\ud800", "\x1b[2J", "GTD"])
)
KEYS = st.sampled_from(["rows", "header", "seq", "ts", "equity", "artifacts", "snapshot_every_s", "sha256"]) | st.text(
    max_size=8
)
ANY_JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
ROWS = st.lists(st.dictionaries(KEYS, ANY_JSON, max_size=5), max_size=4)
FILES = st.dictionaries(
    st.sampled_from(NAMES),
    st.binary(max_size=60) | (ANY_JSON | ROWS | st.fixed_dictionaries({"rows": ROWS})).flatmap(
        lambda value: st.sampled_from(["utf-8", "utf-16", "utf-32", "latin-1"]).map(
            lambda encoding: json.dumps(value).encode(encoding)
        )
    ),
)


def judged(folder: Path) -> str:
    """Judge the directory, as the command does, and return what a person reads."""
    found = analyze_dir(folder, validated_here)
    assert found.verdict in (DirVerdict.REFUTED, DirVerdict.NOT_PROVEN)
    text = found.text()
    text.encode()
    assert text.replace("\n", "").isprintable()
    return text


def assert_never_proven(files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, payload in files.items():
            (Path(folder) / name).write_bytes(payload)
        judged(Path(folder))


@settings(max_examples=2, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(FILES)
def test_random_files_are_never_proven_and_never_end_it(files: dict[str, bytes]) -> None:
    assert_never_proven(files)


@pytest.mark.soak
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(FILES)
def test_many_random_files_are_never_proven_and_never_end_it(files: dict[str, bytes]) -> None:
    assert_never_proven(files)


def test_what_is_no_plain_file_is_not_waited_for_and_ten_thousand_others_are_not_looked_at(tmp_path: Path) -> None:
    for n in range(10_000):
        (tmp_path / f"{n}.json").touch()
    pipe, loop, device, folder, deep = (tmp_path / f"{name}.json" for name in FIVE)
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    device.symlink_to("/dev/zero")
    folder.mkdir()
    deep.write_text("[" * 900 + "]" * 900)
    os.mkfifo(tmp_path / "manifest.json")
    assert "of the five artifacts cannot be used" in judged(tmp_path)


@pytest.mark.soak
def test_a_file_of_fifty_megabytes_is_judged(tmp_path: Path) -> None:
    write_run(tmp_path)
    path = tmp_path / "execution_logs.json"
    document = json.loads(path.read_bytes())
    row = document["rows"][0] | {"detail": "x" * 1_000}
    document["rows"] = [row] * (50_000_000 // len(json.dumps(row)) + 1)
    path.write_text(json.dumps(document), "utf-8")
    assert path.stat().st_size > 50_000_000
    judged(tmp_path)


def test_an_empty_directory_and_wrong_use(tmp_path: Path) -> None:
    assert "5 of the five artifacts cannot be used" in analyze_dir(tmp_path, validated_here).headline
    assert main([str(tmp_path)]) == 4
    assert main([str(tmp_path / "nowhere")]) == 2
