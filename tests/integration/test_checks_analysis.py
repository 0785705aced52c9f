"""Artifact analysis as a stage: with the real event store, and with the checks in a process of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from checks.analysis import analyse
from checks.validated import validated_apart
from tests.checked_files import validated_here
from tests.evidence_runs import START_NS, Events, make_context, make_events, write_run
from tests.finished_runs import finish
from trading_core.clock import NS
from trading_core.gate.criteria import evaluate
from trading_core.gate.outcomes import Outcome, Reason
from trading_core.gate.result import CriterionResult, GateContext
from trading_core.run import RunContext
from trading_core.stages.result import CheckStatus, StageResult, StageStatus
from trading_core.storage.artifact_store import ArtifactMeta, ArtifactStore
from trading_core.storage.chain import Head
from trading_core.storage.event_store import EventStore

END_NS = START_NS + 1_200 * NS


def write_whole(folder: Path, events: Events | None = None) -> RunContext:
    """Write artifacts and event store of one run."""
    context = make_context(folder)
    events = make_events(context.plan) if events is None else events
    with EventStore.open(context.event_store_root, context.run_id, "test", is_durable=False) as store:
        for seq, event in events:
            assert store.append(event, "input") == seq
        store.flush()
    return write_run(folder, events)


def judged(context: RunContext, result: StageResult) -> dict[str, CriterionResult]:
    """Return what the gate makes of the stage's observations."""
    entries = ArtifactStore(context.run_dir).manifest().artifacts
    gate = GateContext(
        subject_digest=context.subject_digest, level=context.level, now_ns=END_NS,
        evidence={name: entry.sha256 for name, entry in entries.items()},
    )
    seen = {o.metric: o for o in result.observations}
    return {c.metric: evaluate(c, seen[c.metric], gate) for c in context.plan.criteria if c.metric in seen}


def test_a_whole_run_is_analysed_and_every_must_passes(tmp_path: Path) -> None:
    context = write_whole(tmp_path)
    result = analyse(context, END_NS)
    assert (result.status, result.failed_checks) == (StageStatus.PASSED, [])
    not_passed = {
        m: (r.outcome, r.detail) for m, r in judged(context, result).items()
        if r.outcome not in (Outcome.PASS, Outcome.NOT_APPLICABLE) and r.tier != "nice"
    }
    assert not_passed == {}
    report = json.loads((tmp_path / "checks.json").read_bytes())
    assert set(report["expected"]) == {finding["criterion"] for finding in report["findings"]}
    assert ArtifactStore(tmp_path).verify() == []


def test_a_missing_artifact_fails_the_stage_by_name(tmp_path: Path) -> None:
    context = write_whole(tmp_path)
    (tmp_path / "margin_snapshots.json").unlink()
    result = analyse(context, END_NS, validated_here)
    assert result.status is StageStatus.FAILED
    assert "margin_snapshots" in {check.name for check in result.failed_checks}
    results = judged(context, result)
    assert results["artifact_checks"].reason is Reason.MISSING
    assert results["artifacts_complete"].reason is Reason.MISSING


def test_an_edited_event_store_breaks_the_chain(tmp_path: Path) -> None:
    context = write_whole(tmp_path)
    path = next(context.event_store_root.glob("*.sqlite3"))
    subprocess.run(
        [sys.executable, "-c", "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]);"
         " c.execute(\"update events set payload = replace(payload, '41.5', '41.4') where seq = 8\"); c.commit()",
         str(path)], check=True, timeout=60,
    )
    result = analyse(context, END_NS, validated_here)
    assert judged(context, result)["event_chain"].outcome is Outcome.FAIL
    assert result.status is StageStatus.FAILED


def test_a_run_without_artifacts_and_events_passes_nothing(tmp_path: Path) -> None:
    context = make_context(tmp_path)
    result = analyse(context, END_NS, validated_here)
    assert result.status is StageStatus.FAILED
    assert {r.outcome for r in judged(context, result).values()} <= {Outcome.NO_DATA, Outcome.ERROR}


def test_checks_that_take_too_long_are_an_error(tmp_path: Path) -> None:
    report = validated_apart(write_run(tmp_path).run_dir, timeout_s=0.05)
    assert {f.outcome for f in report.findings} == {Outcome.ERROR}
    assert "longer than 0.05 s" in report.findings[0].detail


def test_the_trading_process_never_imports_the_check_engine() -> None:
    code = (
        "import sys, checks.analysis, trading_core.bootstrap, trading_core.metrics.observe;"
        "print([m for m in ('great_expectations', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"


def test_artifacts_of_a_chain_that_the_store_does_not_have_prove_nothing(tmp_path: Path) -> None:
    def anchor_elsewhere(context: RunContext) -> None:
        store = ArtifactStore(context.run_dir)
        entry = store.manifest().artifacts["timeline"]
        kept = {name: getattr(entry, name) for name in ArtifactMeta.model_fields}
        store.write("timeline", store.read("timeline"), ArtifactMeta(**kept | {"chain_head": Head(3, "ab" * 32)}))

    _, stages = finish(tmp_path / "run", spoil=anchor_elsewhere)
    (chain,) = (check for check in stages[-1].checks if check.name == "event_chain")
    assert (chain.status, stages[-1].status) == (CheckStatus.FAILED, StageStatus.FAILED)
