"""Great Expectations on artifacts: a whole run passes, and what is wrong is found and never passed over."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from checks.findings import Finding
from checks.suites import registry
from checks.validate import check_file, main, validate
from tests.evidence_runs import make_events, write_run
from trading_core.artifacts import ArtifactName
from trading_core.gate.outcomes import Outcome, Reason

SOUND = {Outcome.PASS, Outcome.NOT_APPLICABLE}
RECONCILIATION, LOGS, SIZED = "reconciliation_history", "execution_logs", "sized_down_events"

FUNDING = {
    "seq": 5, "ts": "2026-03-02T01:00:00.000000Z", "product_id": "BTC-PERP",
    "funding_time": "2026-03-02T01:00:00.000000Z", "position": "-1", "mark": "500", "rate": "0.0001",
    "booked": "0.05", "expected": "0.05", "gap": "0",
}


def findings(folder: Path, name: str) -> dict[str, Finding]:
    """Return the findings of one artifact by criterion: all that the registry has for it."""
    found = {finding.criterion: finding for finding in check_file(folder, ArtifactName(name))}
    assert found.keys() == {criterion for criterion in registry() if criterion.startswith(f"{name}.")}
    return found


def edit(folder: Path, name: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the JSON of an artifact."""
    path = folder / f"{name}.json"
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))


def test_a_whole_run_passes_every_check_of_the_registry(tmp_path: Path) -> None:
    write_run(tmp_path)
    report = validate(tmp_path)
    assert {f.criterion: f.detail for f in report.findings if f.outcome not in SOUND} == {}
    assert (report.unevaluated, report.unknown) == ([], [])


EDITS: list[tuple[str, Callable[[dict[str, Any]], object], str, Outcome, Reason]] = [
    (RECONCILIATION, lambda d: d["rows"].clear(), "rows", Outcome.NO_DATA, Reason.EMPTY),
    (RECONCILIATION, lambda d: d["rows"].clear(), "books_identity", Outcome.NO_DATA, Reason.EMPTY),
    (RECONCILIATION, lambda d: d["rows"][3].update(equity="10000.02"), "books_identity", Outcome.FAIL,
     Reason.INVARIANT_BROKEN),
    (RECONCILIATION, lambda d: d["rows"][3].update(drift="0.02"), "drift", Outcome.FAIL, Reason.INVARIANT_BROKEN),
    (RECONCILIATION, lambda d: [r.update(is_quiescent=False) for r in d["rows"]], "drift", Outcome.NO_DATA,
     Reason.ALL_NULL),
    (RECONCILIATION, lambda d: [r.update(equity=None) for r in d["rows"]], "not_null.equity", Outcome.NO_DATA,
     Reason.ALL_NULL),
    (RECONCILIATION, lambda d: d["rows"][3].update(equity=None), "not_null.equity", Outcome.ERROR, Reason.SCHEMA),
    (RECONCILIATION, lambda d: d["rows"][3].update(equity="Infinity"), "finite.equity", Outcome.ERROR,
     Reason.NON_FINITE),
    (RECONCILIATION, lambda d: [r.pop("drift") for r in d["rows"]], "drift", Outcome.ERROR, Reason.SCHEMA),
    (RECONCILIATION, lambda d: [r.pop("drift") for r in d["rows"]], "columns", Outcome.ERROR, Reason.SCHEMA),
    (RECONCILIATION, lambda d: d["rows"].__delitem__(slice(3, 7)), "gaps", Outcome.FAIL, Reason.INVARIANT_BROKEN),
    (RECONCILIATION, lambda d: d["rows"].reverse(), "order.seq", Outcome.FAIL, Reason.INVARIANT_BROKEN),
    (RECONCILIATION, lambda d: d["rows"][3].update(opening_equity="1"), "opening", Outcome.FAIL,
     Reason.INVARIANT_BROKEN),
    (RECONCILIATION, lambda d: d["rows"][3].update(surprise="1"), "schema", Outcome.ERROR, Reason.SCHEMA),
    (LOGS, lambda d: d["rows"][5].update(time_in_force="GTD"), "gtd", Outcome.FAIL, Reason.INVARIANT_BROKEN),
    (LOGS, lambda d: d["rows"][5].update(client_order_id=d["rows"][6]["client_order_id"]),
     "unique.client_order_id", Outcome.FAIL, Reason.INVARIANT_BROKEN),
    (LOGS, lambda d: d["rows"][5].update(size="-1"), "range.size", Outcome.FAIL, Reason.INVARIANT_BROKEN),
    (LOGS, lambda d: d["rows"][5].update(status="DREAMT"), "known.status", Outcome.ERROR, Reason.SCHEMA),
    (SIZED, lambda d: d["rows"][0].update(adjusted_size="5"), "smaller", Outcome.FAIL, Reason.INVARIANT_BROKEN),
    (SIZED, lambda d: d["rows"].clear(), "rows", Outcome.NO_DATA, Reason.EMPTY),
    (SIZED, lambda d: (d["rows"].clear(), d.update(was_probed=False)), "rows", Outcome.NOT_APPLICABLE,
     Reason.PRECONDITION_FALSE),
    ("margin_snapshots", lambda d: d["rows"][0].update(margin_utilization="1.01"), "range.margin_utilization",
     Outcome.FAIL, Reason.INVARIANT_BROKEN),
    ("rejection_breakdown", lambda d: d["rows"][0].update(reason=""), "reason_given", Outcome.FAIL,
     Reason.INVARIANT_BROKEN),
    ("rejection_breakdown", lambda d: (d["rows"].clear(), d["totals"].update(sent=0)), "rows", Outcome.NO_DATA,
     Reason.EMPTY),
    ("liquidity", lambda d: d["rows"][0].update(spread_bps="-1"), "range.spread_bps", Outcome.FAIL,
     Reason.INVARIANT_BROKEN),
    ("latency", lambda d: d["rows"][0].update(submit_to_answer_ms="-1"), "range.submit_to_answer_ms", Outcome.FAIL,
     Reason.INVARIANT_BROKEN),
    ("latency", lambda d: d["rows"].append(d["rows"][0]), "unique.client_order_id", Outcome.FAIL,
     Reason.INVARIANT_BROKEN),
    ("latency", lambda d: d["rows"].clear(), "rows", Outcome.NO_DATA, Reason.EMPTY),
    ("funding", lambda d: d["rows"].append({**FUNDING, "gap": "0.02"}), "as_announced", Outcome.FAIL,
     Reason.INVARIANT_BROKEN),
    ("funding", lambda d: d["rows"].append({**FUNDING, "booked": None}), "not_null.booked", Outcome.NO_DATA,
     Reason.ALL_NULL),
    ("correlation", lambda d: d["rows"].append({"first": "A", "second": "B", "n": 60, "correlation": 1.5}),
     "range.correlation", Outcome.FAIL, Reason.INVARIANT_BROKEN),
    ("correlation", lambda d: d.update(products=["A", "B"]), "rows", Outcome.NO_DATA, Reason.EMPTY),
    ("checkpoints", lambda d: d.update(rows=[{"at_h": 4, "state": "guessed", "detail": ""}]), "known.state",
     Outcome.ERROR, Reason.SCHEMA),
    ("checkpoints", lambda d: d.update(planned_h=[0], rows=[]), "rows", Outcome.NO_DATA, Reason.EMPTY),
    ("summary", lambda d: d["rows"][0].update(bought="-1"), "range.bought", Outcome.FAIL, Reason.INVARIANT_BROKEN),
    ("summary", lambda d: d["rows"].clear(), "rows", Outcome.NO_DATA, Reason.EMPTY),
    ("timeline", lambda d: d["rows"][0].update(kind="rumour"), "known.kind", Outcome.ERROR, Reason.SCHEMA),
]


@pytest.mark.parametrize(
    ("name", "change", "check", "outcome", "reason"), EDITS,
    ids=[f"{n}-{c}-{i}" for i, (n, _, c, _, _) in enumerate(EDITS)],
)
def test_an_edited_artifact_is_found(
    tmp_path: Path, name: str, change: Callable[[dict[str, Any]], object], check: str, outcome: Outcome, reason: Reason
) -> None:
    write_run(tmp_path)
    edit(tmp_path, name, change)
    finding = findings(tmp_path, name)[f"{name}.{check}"]
    assert (finding.outcome, finding.reason) == (outcome, reason), finding.detail


@pytest.mark.parametrize(
    ("payload", "outcome", "reason"),
    [
        (None, Outcome.NO_DATA, Reason.MISSING),
        (b"", Outcome.NO_DATA, Reason.EMPTY),
        (b"  \n", Outcome.NO_DATA, Reason.EMPTY),
        (b"{", Outcome.ERROR, Reason.SCHEMA),
        (b"[]", Outcome.ERROR, Reason.SCHEMA),
        (b'{"rows": 5}', Outcome.ERROR, Reason.SCHEMA),
        (b'{"rows": [1]}', Outcome.ERROR, Reason.SCHEMA),
        (b"\xff\xfe", Outcome.ERROR, Reason.SCHEMA),
        (b"[" * 100_000, Outcome.ERROR, Reason.SCHEMA),
    ],
)
def test_a_file_that_is_no_artifact_passes_no_check(
    tmp_path: Path, payload: bytes | None, outcome: Outcome, reason: Reason
) -> None:
    write_run(tmp_path)
    path = tmp_path / f"{LOGS}.json"
    path.unlink() if payload is None else path.write_bytes(payload)
    assert {(f.outcome, f.reason) for f in findings(tmp_path, LOGS).values()} == {(outcome, reason)}


def test_rows_without_a_single_known_member_pass_no_row_check(tmp_path: Path) -> None:
    write_run(tmp_path)
    edit(tmp_path, RECONCILIATION, lambda d: d.update(rows=[{"x": 1}]))
    mine = findings(tmp_path, RECONCILIATION)
    passed = [c for c, f in mine.items() if f.outcome in SOUND]
    assert passed == [f"{RECONCILIATION}.rows"]


def test_evidence_is_the_row_of_the_file_with_its_event(tmp_path: Path) -> None:
    write_run(tmp_path)
    edit(tmp_path, RECONCILIATION, lambda d: d["rows"][3].update(drift="0.020000000000000001"))
    finding = findings(tmp_path, RECONCILIATION)[f"{RECONCILIATION}.drift"]
    rows = json.loads((tmp_path / f"{RECONCILIATION}.json").read_bytes())["rows"]
    assert [(e.row, e.seq, e.values["drift"]) for e in finding.evidence] == [
        (3, rows[3]["seq"], "0.020000000000000001")
    ]


def test_the_command_writes_the_report_and_refuses_wrong_use(tmp_path: Path) -> None:
    context = write_run(tmp_path)
    out = tmp_path / "found.json"
    assert main([str(context.run_dir), str(out)]) == 0
    assert json.loads(out.read_bytes())["expected"] == list(registry())
    assert main([]) == 2


def test_the_command_silences_no_log_but_that_of_its_engine(tmp_path: Path) -> None:
    assert main([str(tmp_path)]) == 0
    assert logging.getLogger("trading_core.test").isEnabledFor(logging.WARNING)
    assert not logging.getLogger("great_expectations").isEnabledFor(logging.WARNING)


def test_the_same_artifacts_give_the_same_findings(tmp_path: Path) -> None:
    context = write_run(tmp_path)
    first = validate(tmp_path)
    write_run(tmp_path, make_events(context.plan))
    assert validate(tmp_path) == first
