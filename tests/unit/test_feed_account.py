"""Whose alerts the dashboard shows for a run that beats no longer: another session of its account does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.control_rig import write_beat
from tests.unit.gate_fixtures import make_subject
from trading_core.alert_book import AlertBook
from trading_core.clock import wall_now_ns
from trading_core.control.config import ControlSettings
from trading_core.control.feed import RunWatch
from trading_core.events import AlertRaised, StateChanged
from trading_core.plan_files import find_plan
from trading_core.run import RunContext, VenueName
from trading_core.run_files import RUN, SUBJECT
from trading_core.stages.files import write_document
from trading_core.storage.event_reader import StoredEvent
from trading_core.storage.event_store import EventStore
from trading_core.trading_state import TradingState

STAGE3 = find_plan("stage3")


def older_run(folder: Path, venue: VenueName, account: str) -> RunWatch:
    """Return the watch of a run with one alert, whose account another run trades by now."""
    root, subject = folder / "events", make_subject(STAGE3, account_fingerprint="live-0123456789ab")
    context = RunContext(
        run_id="older", order_prefix="older", plan=STAGE3, venue=venue, run_dir=folder / "artifacts/stage3/older",
        event_store_root=root, subject_digest=subject.digest,
    )
    for name, document in ((SUBJECT, subject), (RUN, context)):
        write_document(context, name, document, start_ns=1, end_ns=1)
    with EventStore.open(root, "older", "older", is_durable=False) as store:
        store.append(StateChanged(ts_ns=1, state=TradingState.ACTIVE, reason="start", actor="test"), "record")
    raised = AlertRaised(ts_ns=1, name="checkpoint_overdue", severity="ERROR", detail="late")
    AlertBook(root, account).take("older", [StoredEvent(-26, 1, "record", raised)], wall_now_ns())
    write_beat(root, "live-0123456789ab", run_id="newer")
    return RunWatch(ControlSettings(event_store_root=root, artifacts_root=folder / "artifacts"), context.run_dir)


@pytest.mark.parametrize(
    ("venue", "account"),
    [(VenueName.LIVE, "live-0123456789ab"), (VenueName.LOCAL, "rehearsal-older")], ids=["live", "rehearsal"],
)
def test_an_older_run_keeps_the_alerts_of_its_account(tmp_path: Path, venue: VenueName, account: str) -> None:
    watch = older_run(tmp_path, venue, account)
    assert [alert["id"] for alert in watch.look()["alerts"]] == ["older:-26"]
    watch.close()


def test_an_older_live_run_whose_account_is_not_known_says_so(tmp_path: Path) -> None:
    watch = older_run(tmp_path, VenueName.LIVE, "live-0123456789ab")
    (watch.context.run_dir / f"{SUBJECT}.json").write_text("{}", "utf-8")
    shown = watch.look()
    assert (shown["alerts"], SUBJECT in shown["problem"]) == ([], True), shown["problem"]
    watch.close()
