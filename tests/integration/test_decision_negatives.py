"""Each way to spoil a finished run ends without a GO, with its own reason first: real analysis, real decision."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from tests.evidence_runs import BTC, START_NS, Events, RunWriter, write_artifact, write_run
from tests.finished_runs import PHASE2, changed_snapshots, decide, finish, good_events
from trading_core import events as ev
from trading_core.artifact_export import export
from trading_core.artifacts import ArtifactName
from trading_core.clock import NS
from trading_core.gate.decide import DecisionRecord
from trading_core.gate.outcomes import Disposition, Outcome, Reason, Verdict
from trading_core.gate.verify import verify_run
from trading_core.orders import TimeInForce
from trading_core.run import RunContext
from trading_core.storage.artifact_store import ArtifactMeta, ArtifactStore
from trading_core.trading_state import TradingState

Spoil = Callable[[RunContext], None]
Also = Callable[[RunWriter], None]


def assert_no_go(record: DecisionRecord, disposition: Disposition, *words: str) -> None:
    """Check that the verdict is NO-GO, and that its first sentence says all the words."""
    assert (record.verdict, record.disposition) == (Verdict.NO_GO, disposition), record.headline
    assert [word for word in words if word not in record.headline] == [], record.headline


def test_the_same_run_unspoiled_is_go(tmp_path: Path) -> None:
    context, stages = finish(tmp_path)
    record = decide(context, stages)
    assert record.verdict is Verdict.GO, record.headline
    assert verify_run(context.run_dir).problems == ()


def removed(context: RunContext) -> None:
    ArtifactStore(context.run_dir).path_of(ArtifactName.RECONCILIATION_HISTORY).unlink()


def emptied(context: RunContext) -> None:
    ArtifactStore(context.run_dir).path_of(ArtifactName.EXECUTION_LOGS).write_bytes(b"")


def one_digit(context: RunContext) -> None:
    path = ArtifactStore(context.run_dir).path_of(ArtifactName.MARGIN_SNAPSHOTS)
    whole = path.read_bytes()
    place = next(i for i, byte in enumerate(whole) if i > len(whole) // 2 and byte in b"12345678")
    path.write_bytes(whole[:place] + bytes([whole[place] + 1]) + whole[place + 1 :])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (removed, ("evidence chain does not verify", ArtifactName.RECONCILIATION_HISTORY)),
        (emptied, ("evidence chain does not verify", ArtifactName.EXECUTION_LOGS)),
        (one_digit, ("evidence chain does not verify", ArtifactName.MARGIN_SNAPSHOTS)),
    ],
)
def test_an_artifact_that_is_not_what_was_written_is_named(
    tmp_path: Path, spoil: Spoil, words: tuple[str, ...]
) -> None:
    assert_no_go(decide(*finish(tmp_path, spoil=spoil)), Disposition.REPAIR, *words)


def test_an_artifact_edited_after_the_analysis_is_named_too(tmp_path: Path) -> None:
    context, stages = finish(tmp_path)
    one_digit(context)
    words = ("evidence chain does not verify", ArtifactName.MARGIN_SNAPSHOTS)
    assert_no_go(decide(context, stages), Disposition.REPAIR, *words)


def test_an_artifact_that_was_emptied_with_its_manifest_shows_nothing(tmp_path: Path) -> None:
    def rewritten(context: RunContext) -> None:
        store = ArtifactStore(context.run_dir)
        path = store.path_of(ArtifactName.RECONCILIATION_HISTORY)
        document = json.loads(path.read_bytes()) | {"rows": []}
        entry = store.manifest().artifacts[ArtifactName.RECONCILIATION_HISTORY]
        meta = {name: getattr(entry, name) for name in ("producer", "subject_digest", "level", "window_start_ns",
                                                         "window_end_ns")}
        store.write(ArtifactName.RECONCILIATION_HISTORY, json.dumps(document).encode(), ArtifactMeta(rows=0, **meta))

    record = decide(*finish(tmp_path, spoil=rewritten))
    assert record.verdict is Verdict.NO_GO
    result = record.criterion("artifacts_complete")
    assert result is not None
    assert result.outcome is not Outcome.PASS
    assert record.headline.startswith("NO-GO")


def test_an_artifact_of_another_subject_is_no_evidence(tmp_path: Path) -> None:
    def swapped(context: RunContext) -> None:
        other = write_run(tmp_path / "other", good_events(), subject_digest="cd" * 32)
        swap(context, other, ArtifactName.EXECUTION_LOGS, good_events())

    record = decide(*finish(tmp_path / "run", spoil=swapped))
    assert record.verdict is Verdict.NO_GO
    assert Reason.SUBJECT_MISMATCH in {c.reason for c in record.criteria}
    assert "of subject cdcdcdcd" in record.headline


def test_an_artifact_of_another_day_is_no_evidence(tmp_path: Path) -> None:
    day_ns = 86_400 * NS
    yesterday = [(seq, msgspec.structs.replace(e, ts_ns=e.ts_ns - day_ns)) for seq, e in good_events()]

    def swapped(context: RunContext) -> None:
        swap(context, context, ArtifactName.RECONCILIATION_HISTORY, yesterday)

    record = decide(*finish(tmp_path, spoil=swapped))
    assert record.verdict is Verdict.NO_GO
    assert Reason.STALE in {c.reason for c in record.criteria}
    assert "reconciliation_history" in record.headline


def test_a_constant_equity_breaks_the_books(tmp_path: Path) -> None:
    events = changed_snapshots(good_events(), equity=Decimal(10_000))
    record = decide(*finish(tmp_path, events))
    assert_no_go(record, Disposition.REJECT, "equity")


def test_a_feed_that_never_moves_is_not_data(tmp_path: Path) -> None:
    events = changed_snapshots(good_events(), marks={BTC: Decimal(100_000)})
    record = decide(*finish(tmp_path, events))
    assert record.verdict is Verdict.NO_GO
    result = record.criterion("feed_moves")
    assert result is not None
    assert result.outcome is Outcome.FAIL


def test_a_short_window_is_named_and_asks_for_more_orders(tmp_path: Path) -> None:
    record = decide(*finish(tmp_path, good_events(entries=30)))
    assert record.verdict is Verdict.NO_GO
    assert "8 of 15 minutes good" in record.headline  # a minute without data is a bad one
    short = {c.name for c in record.criteria if c.outcome is Outcome.INCONCLUSIVE and c.shortfall is not None}
    assert "order_acceptance" in short or "order_rejected_share" in short


def test_a_run_without_orders_shows_nothing(tmp_path: Path) -> None:
    run = RunWriter(PHASE2)
    run.add(ev.StateChanged(ts_ns=START_NS, state=TradingState.ACTIVE, reason="armed", actor="operator"))
    run.snapshot()
    run.wait(1_000)
    for _, event in good_events():
        if isinstance(event, ev.GuardrailWatched):
            run.add(msgspec.structs.replace(event, ts_ns=run.now_ns))
    record = decide(*finish(tmp_path, run.events))
    assert record.verdict is Verdict.NO_GO
    assert {c.outcome for c in record.criteria if c.metric in ("order_acceptance", "post_only_placed")} <= {
        Outcome.NO_DATA, Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.ERROR,
    }
    assert not record.headline.startswith("GO")


def test_a_clock_three_seconds_off_is_conditional(tmp_path: Path) -> None:
    record = decide(*finish(tmp_path, clock_s="3"))
    assert record.verdict is Verdict.CONDITIONAL, record.headline
    assert "Clock" in record.headline
    assert "3" in record.headline


def test_a_clock_six_seconds_off_is_a_no_go(tmp_path: Path) -> None:
    words = "clock_offset_s: the venue's clock is +6 s from ours"
    record = decide(*finish(tmp_path, clock_s="6", readiness_fails=words))
    assert record.verdict is Verdict.NO_GO
    assert "lock" in record.headline.partition(":")[2]
    assert "6" in record.headline


def drift_of_two_cents(run: RunWriter) -> None:
    run.wait(60)
    run.snapshot(drift=Decimal("0.02"))


def margin_call(run: RunWriter) -> None:
    run.add(ev.GuardrailTripped(
        ts_ns=run.now_ns, name="margin_call", observed="MARGIN_CALL", limit="0", state=TradingState.HALTED,
    ))


def five_rejections(run: RunWriter) -> None:
    for _ in range(5):
        run.order("post_only_pulse", rejected="INSUFFICIENT_FUND")
    run.add(ev.GuardrailTripped(
        ts_ns=run.now_ns, name="consecutive_rejections", observed="5", limit="5", state=TradingState.REDUCE_ONLY,
        detail="INSUFFICIENT_FUND",
    ))


@pytest.mark.parametrize(
    ("also", "disposition", "words"),
    [
        (drift_of_two_cents, Disposition.REJECT, ("0.02",)),
        (margin_call, Disposition.ROLLBACK, ("margin_call", "MARGIN_CALL")),
        (five_rejections, Disposition.ROLLBACK, ("consecutive_rejections", "5", "INSUFFICIENT_FUND")),
    ],
)
def test_what_happened_in_the_run_is_named_first(
    tmp_path: Path, also: Also, disposition: Disposition, words: tuple[str, ...]
) -> None:
    assert_no_go(decide(*finish(tmp_path, good_events(also=also))), disposition, *words)


def test_a_gtd_order_that_was_sent_is_named(tmp_path: Path) -> None:
    events = good_events()
    at = next(i for i, (_, e) in enumerate(events) if isinstance(e, ev.OrderSubmitted))
    seq, sent = events[at]
    assert isinstance(sent, ev.OrderSubmitted)
    intent = msgspec.structs.replace(sent.intent, time_in_force=TimeInForce.GTD)
    events[at] = (seq, msgspec.structs.replace(sent, intent=intent))
    assert_no_go(decide(*finish(tmp_path, events)), Disposition.REJECT, "GTD")


def test_a_kill_switch_drill_without_effect_is_named(tmp_path: Path) -> None:
    events: Events = [
        (seq, msgspec.structs.replace(e, is_shown=False, detail="an entry was accepted while reducing")
         if isinstance(e, ev.StepEnded) and e.step == "kill_switch_drill" else e)
        for seq, e in good_events()
    ]
    record = decide(*finish(tmp_path, events))
    assert record.verdict is Verdict.NO_GO
    assert "Kill" in record.headline


def swap(context: RunContext, source: RunContext, name: ArtifactName, events: Events) -> None:
    """Put an artifact of another run into this run's directory, with a manifest that fits it."""
    made = export(source, events, {BTC: Decimal(1)})
    write_artifact(context.run_dir, name, made.named()[name])


