"""Cross checks: what one artifact says, another must confirm."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from checks.cross import CROSS, IDENTITY, cross_checks
from checks.cross_view import CrossView
from checks.findings import CheckReport, Finding, make_finding
from checks.suites import registry
from tests.evidence_runs import Events, load_run, make_events, write_artifact, write_run
from trading_core import events as ev
from trading_core.artifacts import MODELS, ArtifactName
from trading_core.gate.outcomes import Outcome, Reason
from trading_core.run import RunContext
from trading_core.storage.artifact_store import ArtifactStore

SUITE_SAYS_YES = {IDENTITY: make_finding(IDENTITY, "", Outcome.PASS, Reason.INVARIANT_HOLDS, "")}


def cross(context: RunContext, events: Events | None = None) -> dict[str, Finding]:
    """Return the findings by criterion."""
    events = make_events(context.plan) if events is None else events
    store = ArtifactStore(context.run_dir)
    view = CrossView(context, load_run(context), events, store, SUITE_SAYS_YES)
    return {finding.criterion: finding for finding in cross_checks(view)}


def rewrite(folder: Path, name: ArtifactName, change: Callable[[dict[str, Any]], object]) -> None:
    """Change an artifact and enter it into the manifest again, as a careful forger would."""
    document = json.loads((folder / f"{name}.json").read_bytes())
    change(document)
    write_artifact(folder, name, MODELS[name].model_validate_json(json.dumps(document)))


def fills_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [fill for row in document["rows"] for fill in row["fills"]]


def test_a_whole_run_passes_every_cross_check(tmp_path: Path) -> None:
    found = cross(write_run(tmp_path))
    assert {f.outcome for f in found.values()} == {Outcome.PASS}
    assert found.keys() == CROSS.keys()


FORGERIES: list[tuple[str, ArtifactName, Callable[[dict[str, Any]], object]]] = [
    ("fees_agree", ArtifactName.EXECUTION_LOGS, lambda d: fills_of(d)[0].update(commission="0.01")),
    ("positions_agree", ArtifactName.EXECUTION_LOGS, lambda d: fills_of(d)[0].update(size="0.01")),
    ("fills_known", ArtifactName.EXECUTION_LOGS, lambda d: fills_of(d)[0].update(order_id="v-other")),
    ("fills_known", ArtifactName.EXECUTION_LOGS, lambda d: d.update(orphan_fills=fills_of(d)[:1])),
    ("counts_agree", ArtifactName.REJECTION_BREAKDOWN, lambda d: d["totals"].update(accepted=100)),
    ("counts_agree", ArtifactName.REJECTION_BREAKDOWN, lambda d: d["rows"].clear()),
    ("sizes_agree", ArtifactName.SIZED_DOWN_EVENTS, lambda d: d["rows"][0].update(adjusted_size="0.002")),
    ("margins_agree", ArtifactName.MARGIN_SNAPSHOTS, lambda d: d["rows"].pop()),
    ("equity_moves", ArtifactName.RECONCILIATION_HISTORY,
     lambda d: [row.update(equity="10000") for row in d["rows"]]),
    ("headers", ArtifactName.MARGIN_SNAPSHOTS, lambda d: d["header"].update(day="calm")),
    ("store_counts", ArtifactName.RECONCILIATION_HISTORY, lambda d: d["rows"].pop()),
    ("store_counts", ArtifactName.EXECUTION_LOGS, lambda d: d["rows"].pop()),
    ("latencies_agree", ArtifactName.LATENCY, lambda d: d["rows"][0].update(submit_to_answer_ms="1")),
    ("latencies_agree", ArtifactName.LATENCY, lambda d: d["rows"].pop()),
    ("funding_agrees", ArtifactName.RECONCILIATION_HISTORY, lambda d: d["rows"][-1].update(funding="0.05")),
    ("summary_agrees", ArtifactName.SUMMARY, lambda d: d.update(pnl="1")),
    ("summary_agrees", ArtifactName.SUMMARY, lambda d: d["rows"][0].update(pnl="9")),
    ("summary_agrees", ArtifactName.SUMMARY, lambda d: d["rows"][0].update(accepted=100)),
    ("checkpoints_agree", ArtifactName.CHECKPOINTS, lambda d: d["rows"].append(
        {"at_h": 99, "state": "missing", "detail": "forged"})),
    ("time_is_one", ArtifactName.RECONCILIATION_HISTORY,
     lambda d: d["rows"][0].update(ts="2020-01-01T00:00:00.000000Z")),
]


@pytest.mark.parametrize(
    ("check", "name", "forge"), FORGERIES, ids=[f"{c}-{i}" for i, (c, _, _) in enumerate(FORGERIES)]
)
def test_a_forged_artifact_with_a_right_digest_is_found(
    tmp_path: Path, check: str, name: ArtifactName, forge: Callable[[dict[str, Any]], object]
) -> None:
    context = write_run(tmp_path)
    rewrite(tmp_path, name, forge)
    found = cross(context)
    assert found[f"cross.{check}"].outcome is Outcome.FAIL
    assert found["cross.from_events"].outcome is Outcome.FAIL


def test_a_changed_byte_is_an_error_of_integrity(tmp_path: Path) -> None:
    context = write_run(tmp_path)
    path = tmp_path / "execution_logs.json"
    path.write_bytes(path.read_bytes().replace(b"41.5", b"41.4", 1))
    found = cross(context)
    assert (found["cross.digests"].outcome, found["cross.digests"].reason) == (Outcome.ERROR, Reason.HASH_MISMATCH)
    assert found["cross.fills_known"].reason is Reason.HASH_MISMATCH


def test_without_events_nothing_follows_from_them(tmp_path: Path) -> None:
    found = cross(write_run(tmp_path), [])
    assert found["cross.from_events"].reason is Reason.MISSING


def test_an_empty_directory_passes_nothing(tmp_path: Path) -> None:
    context = write_run(tmp_path / "other")
    found = cross(context.model_copy(update={"run_dir": tmp_path}))
    assert {f.outcome for f in found.values()} == {Outcome.NO_DATA}


def test_two_answers_on_the_books_that_differ_are_an_error(tmp_path: Path) -> None:
    context = write_run(tmp_path)
    rewrite(tmp_path, ArtifactName.RECONCILIATION_HISTORY, lambda d: d["rows"][2].update(equity="9000"))
    found = cross(context)  # the suite says PASS, Decimal code finds one row
    assert found["cross.identity_twice"].outcome is Outcome.ERROR


def test_a_report_names_what_was_not_evaluated_and_what_nobody_asked_for() -> None:
    stranger = make_finding("x.y", "", Outcome.PASS, Reason.INVARIANT_HOLDS, "")
    report = CheckReport(engine="e", expected=registry(), findings=(stranger,))
    assert report.unevaluated == list(registry())
    assert report.unknown == ["x.y"]


@pytest.mark.parametrize("name", list(ArtifactName))
def test_every_suite_begins_with_a_row_count_and_columns(name: ArtifactName) -> None:
    mine = [criterion for criterion in registry() if criterion.startswith(f"{name}.")]
    assert {f"{name}.rows", f"{name}.columns", f"{name}.schema"} <= set(mine)
    assert any("not_null" in criterion for criterion in mine)


def test_a_feed_that_never_moves_is_not_data(tmp_path: Path) -> None:
    context = write_run(tmp_path)
    rewrite(tmp_path, ArtifactName.LIQUIDITY, lambda d: [row.update(mark="100000") for row in d["rows"]])
    finding = cross(context)["cross.feed_is_alive"]
    assert (finding.outcome, finding.reason) == (Outcome.FAIL, Reason.INVARIANT_BROKEN)
    assert "stood at 100000" in finding.detail


def test_a_book_without_a_mark_in_any_minute_is_no_data(tmp_path: Path) -> None:
    context = write_run(tmp_path)
    rewrite(tmp_path, ArtifactName.LIQUIDITY, lambda d: [row.update(mark=None) for row in d["rows"]])
    assert cross(context)["cross.feed_is_alive"].reason is Reason.ALL_NULL


def test_an_event_that_no_artifact_shows_is_found(tmp_path: Path) -> None:
    context = write_run(tmp_path)
    events = make_events(context.plan)
    seq, fill = next((seq, e) for seq, e in events if isinstance(e, ev.FillBooked))
    other = msgspec.structs.replace(fill, fill=msgspec.structs.replace(fill.fill, entry_id="e-other"))
    finding = cross(context, [*events[:seq], (seq, other), *events[seq:]])["cross.store_counts"]
    assert "fills: 4 in the artifacts, 5 in the event store" in finding.detail
