"""A session that outlives its flow: a retry takes it up, or judges what it came to; alone it ends flat in time."""

from __future__ import annotations

import os
import signal

import pytest

from tests.e2e.command import Home, finish, is_running, one_line, short_phase2, wait_for
from trading_core.errors import StorageError
from trading_core.events import OrderAccepted, OrderSubmitted, SessionResumed, SessionStarted
from trading_core.gate.outcomes import Verdict
from trading_core.heartbeat import Beat, read_beats
from trading_core.plan import Stage
from trading_core.run import Endpoint
from trading_core.run_files import stage_result
from trading_core.stages.result import StageResult
from trading_core.storage.artifact_store import ArtifactStore
from trading_core.storage.event_reader import EventReader

RUN = "alone"
SPEED = 10  # a second in which a busy machine stands still is ten at the venue, and data older than ten is bad


def stored(home: Home, kind: type) -> list[str]:
    """Return the client order ids of the run's events of a type, empty ones for those that have none."""
    try:
        with EventReader(home.events, RUN) as reader:
            return [getattr(row.event, "client_order_id", "") for row in reader.events(types=(kind.__name__,))]
    except StorageError:
        return []


def lose_the_flow(home: Home) -> Beat:
    """Start a run and kill −9 its flow while it trades; return the beat of the session that goes on."""
    run = home.start("run", short_phase2(home.root), "--venue", "local", "--speed", SPEED, "--run-id", RUN)
    assert wait_for(lambda: run.poll() is not None or len(stored(home, OrderAccepted)) >= 2)
    assert run.poll() is None, finish(run).text
    os.kill(run.pid, signal.SIGKILL)
    finish(run)
    (beat,) = read_beats(home.events)
    assert wait_for(lambda: bool(read_beats(home.events)[0].orphaned_ns), 20)
    return beat


def live_stage(home: Home, run_id: str = RUN) -> StageResult:
    store = ArtifactStore(home.run_dir(run_id))
    return StageResult.model_validate_json(store.read(stage_result(Stage.LIVE_MICRO_TEST)))


def assert_nothing_twice(home: Home) -> None:
    sent = stored(home, OrderSubmitted)
    assert len(sent) == len(set(sent)) > 2
    assert (len(stored(home, SessionStarted)), stored(home, SessionResumed)) == (1, [])


def test_a_retry_takes_up_the_session_that_lost_its_flow(home: Home) -> None:
    alone = lose_the_flow(home)
    done = home.run("retry", RUN)
    assert done.code == 0, done.text
    assert (home.decision(RUN).run_id, home.decision(RUN).verdict) == (RUN, Verdict.GO)
    (beat,) = read_beats(home.events)
    assert (beat.pid, beat.has_ended, beat.is_flat) == (alone.pid, True, True)
    assert_nothing_twice(home)
    (supervised,) = [check for check in live_stage(home).checks if check.name == "supervised"]
    assert "taken up" in supervised.observed


@pytest.mark.soak
def test_what_a_session_came_to_by_itself_is_judged_by_the_next_retry(home: Home) -> None:
    alone = lose_the_flow(home)
    assert wait_for(lambda: not is_running(alone.pid))
    end_exchange(alone)
    done = home.run("retry", RUN)
    assert "further attempt" not in one_line(done.out)
    assert home.decision(RUN).run_id == RUN
    # That nobody supervised it when it ended is no failure: it was within its grace time.
    assert done.code == 0, done.text
    assert_nothing_twice(home)


@pytest.mark.soak
def test_another_retry_while_a_flow_supervises_is_refused(home: Home) -> None:
    lose_the_flow(home)
    first = home.start("retry", RUN)
    assert wait_for(lambda: first.poll() is not None or not read_beats(home.events)[0].orphaned_ns)
    second = home.run("retry", RUN)
    assert second.code == 2, second.text
    assert "traded by another run" in one_line(second.out + second.err)
    assert finish(first).code == 0
    assert_nothing_twice(home)


@pytest.mark.soak
def test_a_taken_up_session_obeys_ctrl_c(home: Home) -> None:
    lose_the_flow(home)
    again = home.start("retry", RUN)
    assert wait_for(lambda: again.poll() is not None or not read_beats(home.events)[0].orphaned_ns)
    again.send_signal(signal.SIGINT)
    finish(again)
    (beat,) = read_beats(home.events)
    assert (beat.has_ended, beat.is_flat) == (True, True)
    assert "stopped by SIGTERM" in one_line(" ".join(check.observed for check in live_stage(home).checks))


def end_exchange(beat: Beat) -> None:
    exchange = Endpoint.model_validate_json(beat.endpoint).pid
    assert exchange is not None
    os.kill(exchange, signal.SIGTERM)
