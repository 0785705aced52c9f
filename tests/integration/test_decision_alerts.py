"""A CRITICAL alert that nobody acknowledged holds the promotion: this decision, and the next preflight."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.evidence_runs import RunWriter
from tests.finished_runs import END_NS, decide, finish, good_events
from tests.unit.test_stages_preflight import Ground, assert_fails
from trading_core import events as ev
from trading_core.alert_book import AlertBook, acknowledge
from trading_core.bootstrap import account_name
from trading_core.clock import NS
from trading_core.errors import IntegrityError
from trading_core.events import AlertRaised
from trading_core.gate.outcomes import Disposition, Verdict
from trading_core.run import RunContext, VenueName
from trading_core.stages import go_no_go
from trading_core.stages.result import StageResult
from trading_core.storage.event_reader import EventReader
from trading_core.storage.event_store import EventStore

Left = tuple[RunContext, list[StageResult]]


def alerting(folder: Path, severity: str, venue: VenueName = VenueName.SIMULATED) -> Left:
    def raise_it(run: RunWriter) -> None:
        run.add(ev.AlertRaised(ts_ns=run.now_ns, name="drift_high", severity=severity, detail="drift 2 (limit 1)"))

    return finish(folder, good_events(also=raise_it), venue=venue)


@pytest.fixture(scope="module")
def critical(tmp_path_factory: pytest.TempPathFactory) -> Left:
    return alerting(tmp_path_factory.mktemp("critical"), "CRITICAL")


def test_a_critical_nobody_acknowledged_is_a_hold_until_somebody_does(critical: Left) -> None:
    context, stages = critical
    held = decide(*critical)
    assert (held.verdict, held.disposition, held.rule) == (Verdict.NO_GO, Disposition.HOLD, 8), held.headline
    words = f"CRITICAL alert drift_high of run {context.run_id} was not acknowledged: drift 2 (limit 1)"
    assert held.headline == f"NO-GO (HOLD): {words}"
    (alert,) = AlertBook(context.event_store_root, account_name(context)).unanswered()
    acknowledge(context.event_store_root, alert.alert_id, by="Ada", note="a late fill")
    again = go_no_go.run(context, stages, now_ns=END_NS + NS)
    assert again.verdict is Verdict.GO, again.headline
    assert again.evidence_digest == held.evidence_digest  # an answer is no evidence: approvals stay bound


def test_an_error_holds_nothing(tmp_path: Path) -> None:
    assert decide(*alerting(tmp_path, "ERROR")).verdict is Verdict.GO


def test_an_edited_book_of_alerts_decides_nothing(tmp_path: Path) -> None:
    left = alerting(tmp_path, "CRITICAL")
    decide(*left)
    book = AlertBook(left[0].event_store_root, account_name(left[0]))
    book.path.write_text(book.path.read_text().replace("CRITICAL", "WARNING"))
    with pytest.raises(IntegrityError):
        go_no_go.run(*left, now_ns=END_NS + NS)


def test_preflight_refuses_an_account_with_a_critical_nobody_acknowledged(tmp_path: Path) -> None:
    ground, root = Ground(tmp_path), tmp_path / "events"
    book = AlertBook(root, "rehearsal-r")
    with EventStore.open(root, "before", "test", is_durable=False) as store:
        store.append(AlertRaised(ts_ns=1, name="margin", severity="CRITICAL", detail="0.6 (limit 0.5)"), "record")
    with EventReader(root, "before") as reader:
        book.take_run(reader, 0)
    assert_fails(ground.look(), "alerts_acknowledged", "CRITICAL alert margin of run before was not acknowledged")
    acknowledge(root, "before:1", by="Ada", note="")
    assert ground.look().failed_checks == []
