"""Attempts that were killed before their decision: what they showed is counted from their events, at every level."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.evidence_runs import Events
from tests.finished_runs import finish, good_events
from trading_core import events as ev
from trading_core.gate.attempts import Attempt
from trading_core.gate.decide import DecisionRecord
from trading_core.gate.outcomes import Disposition, Verdict
from trading_core.gate.publish import GateFiles
from trading_core.gate.verify import verify_run
from trading_core.run import RunContext
from trading_core.stages import go_no_go
from trading_core.stages.result import StageResult
from trading_core.storage.event_store import EventStore

Left = tuple[RunContext, list[StageResult]]
KILLED = "killed"


@pytest.fixture
def left(tmp_path: Path) -> Left:
    return finish(tmp_path / "run")


def begin(context: RunContext, run_id: str = KILLED, attempt_id: str = KILLED) -> Attempt:
    """Note an attempt of the subject as open, as its session does before it trades."""
    attempt = Attempt(
        attempt_id=attempt_id, run_id=run_id, subject_digest=context.subject_digest, level=context.level, ts_ns=1,
        tallies={},
    )
    GateFiles(context.event_store_root).attempts.begin(attempt)
    return attempt


def store(context: RunContext, events: Events, run_id: str = KILLED) -> None:
    """Put what the other attempt stored before it was killed into the event store."""
    with EventStore.open(context.store, run_id, run_id, is_durable=False) as stored:
        for _, event in events:
            stored.append(event, "input")


def half() -> Events:
    events = good_events()
    return events[: len(events) // 2]


def rejected(events: Events) -> Events:
    """Return the events with the acceptances turned into refusals, from the fourth on."""
    taken = [at for at, (_, event) in enumerate(events) if isinstance(event, ev.OrderAccepted)][3:]
    refusals = {
        at: ev.OrderRejected(
            ts_ns=event.ts_ns, client_order_id=event.client_order_id, reason="UNKNOWN_FAILURE_REASON",
            is_expected=False, latency_ms=event.latency_ms,
        )
        for at in taken if isinstance(event := events[at][1], ev.OrderAccepted)
    }
    return [(seq, refusals.get(at, event)) for at, (seq, event) in enumerate(events)]


def accepted(events: Events) -> int:
    """Return how many orders of no probe the venue took; in these events no probe is taken."""
    return sum(isinstance(event, ev.OrderAccepted) for _, event in events)


def decide(left: Left) -> DecisionRecord:
    record = go_no_go.run(*left)
    assert verify_run(left[0].run_dir, GateFiles(left[0].event_store_root)).problems == ()
    return record


def test_a_killed_attempt_counts_with_what_its_events_show(left: Left) -> None:
    begin(left[0])
    store(left[0], half())
    prior = decide(left).attempts["order_acceptance"]
    assert (prior.attempts, prior.pooled.failures) == (1, 0)
    assert 0 < prior.pooled.successes <= accepted(half())
    assert sum(t.successes for t in prior.by_symbol.values()) == prior.pooled.successes


def test_an_attempt_that_looked_bad_and_was_killed_keeps_the_next_from_go(left: Left) -> None:
    begin(left[0])
    store(left[0], rejected(good_events()))
    record = decide(left)
    assert record.verdict is Verdict.NO_GO, record.headline
    assert record.attempts["order_acceptance"].pooled.failures > 3


def test_a_whole_attempt_counts_the_same_whether_it_was_decided_or_killed(left: Left, tmp_path: Path) -> None:
    begin(left[0])
    store(left[0], good_events())
    killed = decide(left).attempts
    other = finish(tmp_path / "other")
    decide(other)
    tallies = GateFiles(other[0].event_store_root).attempts.attempts()[-1].tallies
    assert {name: (t.pooled, t.by_symbol) for name, t in tallies.items()} == {
        name: (t.pooled, t.by_symbol) for name, t in killed.items()
    }


def test_a_killed_attempt_that_was_decided_without_its_artifacts_counts_all_the_same(left: Left) -> None:
    attempt = begin(left[0])
    store(left[0], half())
    GateFiles(left[0].event_store_root).attempts.record(attempt)
    assert decide(left).attempts["order_acceptance"].pooled.n > 0


def test_an_attempt_that_stored_nothing_sent_nothing(left: Left) -> None:
    begin(left[0])
    record = decide(left)
    assert (record.attempts, record.verdict) == ({}, Verdict.GO)


def test_what_cannot_be_read_keeps_the_next_from_go(left: Left) -> None:
    begin(left[0])
    store(left[0], half())
    with sqlite3.connect(left[0].event_store_root / "events.sqlite3") as database:
        database.execute("UPDATE events SET payload = '{' WHERE run_id = ? AND seq = 5", (KILLED,))
    record = decide(left)
    assert record.disposition is Disposition.REPAIR
    assert f"what undecided run {KILLED} showed cannot be read" in record.headline


def test_an_attempt_is_no_past_of_its_own(left: Left) -> None:
    context = left[0]
    begin(context, context.run_id, context.order_prefix)
    assert decide(left).attempts == {}
