"""A foreign directory is judged without a crash, and never called proven."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from checks.analyze_dir import DirVerdict, analyze_dir, main
from tests.evidence_runs import write_run
from trading_core.artifacts import FIVE
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
    found = analyze_dir(tmp_path)
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
    found = analyze_dir(tmp_path)
    assert found.report.engine != "none", found.report.findings[0].detail
    schemas = {f.outcome for f in found.report.findings if f.criterion.endswith(".schema")}
    assert schemas <= {Outcome.ERROR, Outcome.NO_DATA}
    assert "proven" not in found.headline


def test_an_empty_directory_and_wrong_use(tmp_path: Path) -> None:
    assert "5 of the five artifacts cannot be used" in analyze_dir(tmp_path).headline
    assert main([str(tmp_path)]) == 4
    assert main([str(tmp_path / "nowhere")]) == 2
