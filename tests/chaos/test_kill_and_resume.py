"""Kill −9 of a real session process on `local`, and going on with the same run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from decimal import Decimal
from pathlib import Path
from queue import SimpleQueue

import pytest

from tests.chaos.local_session import Local, at_venue, context_of, local_run, short_plan
from trading_core.artifacts import FIVE
from trading_core.errors import ConfigurationError
from trading_core.events import (
    FillBooked,
    OrderAccepted,
    OrderSubmitted,
    RunEnding,
    SessionResumed,
    SessionStarted,
    SnapshotTaken,
    StepEnded,
)
from trading_core.exchange_process import ENDPOINT_FILE
from trading_core.heartbeat import read_beats
from trading_core.orders import Purpose
from trading_core.plan import Stage
from trading_core.replay import replay_run
from trading_core.run import Endpoint
from trading_core.session_supervisor import session_folder, supervise
from trading_core.stages.files import read_stage
from trading_core.stages.result import Check, CheckStatus, StageResult, StageStatus
from trading_core.storage.artifact_store import ArtifactStore
from trading_core.storage.event_reader import EventReader
from trading_core.store_location import StoreLocation
from trading_core.trading_state import TradingState


def check_of(result: StageResult, name: str) -> Check:
    return next(check for check in result.checks if check.name == name)


def assert_nothing_twice_and_books_agree(local: Local) -> None:
    """Hold the exchange against the store: every order once, flat, and the last books equal to the account."""
    there = at_venue(local)
    assert there.open_orders == 0
    assert {client_id: n for client_id, n in there.client_ids.items() if n > 1} == {}
    sent = [e.client_order_id for e in local.events(OrderSubmitted) if isinstance(e, OrderSubmitted)]
    assert len(sent) == len(set(sent))
    assert sent == sorted(sent)
    ours = {client_id for client_id in there.client_ids if "-e-" not in client_id}
    assert ours <= set(sent)
    last = [e for e in local.events(SnapshotTaken) if isinstance(e, SnapshotTaken)][-1]
    assert (last.drift, last.expected_balances["USD"]) == (Decimal(0), there.cash)
    with EventReader(local.context.store, local.context.run_id) as reader:
        assert replay_run(local.context, reader).difference == ""


def assert_artifacts_saved(local: Local) -> None:
    store = ArtifactStore(local.context.run_dir)
    assert [name for name in FIVE if name not in store.manifest().artifacts] == []


def fills(local: Local) -> int:
    return len(local.events(FillBooked))


def test_a_killed_session_goes_on_with_the_same_run_and_finishes(tmp_path: Path) -> None:
    with local_run(tmp_path, "resumed") as local:
        kill_and_go_on(local)
        assert local.guard.state is TradingState.REDUCE_ONLY


@pytest.mark.soak
@pytest.mark.postgres
def test_a_killed_session_goes_on_from_events_on_a_server(server: StoreLocation, tmp_path: Path) -> None:
    with local_run(tmp_path, "resumed", event_store_url=server.url) as local:
        kill_and_go_on(local)
    assert not local.context.store.path.exists()


def kill_and_go_on(local: Local) -> None:
    first = local.start()
    local.until(first, lambda: len(local.events(OrderAccepted)) >= 3)
    local.kill(first)
    before = len(local.events(OrderSubmitted))
    result = local.end(local.start())
    (resumed,) = local.events(SessionResumed)
    assert isinstance(resumed, SessionResumed)
    assert resumed.ts_ns > resumed.last_ns
    assert len(local.events(SessionStarted)) == 1
    assert len(local.events(OrderSubmitted)) > before
    assert check_of(result, "session").status is CheckStatus.PASSED, result.summary
    assert check_of(result, "flat_at_end").status is CheckStatus.PASSED
    assert check_of(result, "kill_switch_drill").status is CheckStatus.PASSED, result.summary
    assert [r.is_loosening for r in local.guard.history()].count(True) == 1
    assert_nothing_twice_and_books_agree(local)
    assert_artifacts_saved(local)
    (beat,) = read_beats(local.context.event_store_root)
    assert (beat.has_ended, beat.is_flat) == (True, True)


@pytest.mark.soak
@pytest.mark.parametrize("moment", ["first_order", "filled", "stopping", "twice"])
def test_whatever_the_moment_the_run_ends_flat_and_no_order_twice(tmp_path: Path, moment: str) -> None:
    with local_run(tmp_path, moment) as local:
        process = local.start()
        match moment:
            case "first_order":
                local.until(process, lambda: bool(local.events(OrderSubmitted)))
            case "filled" | "twice":
                local.until(process, lambda: fills(local) >= 1)
            case _:
                local.until(process, lambda: bool(local.events(RunEnding)))
        local.kill(process)
        if moment == "twice":
            process = local.start()
            local.until(process, lambda: bool(local.events(SessionResumed)))
            local.kill(process)
        result = local.end(local.start())
        assert check_of(result, "session").status is CheckStatus.PASSED, result.summary
        assert check_of(result, "flat_at_end").status is CheckStatus.PASSED
        assert_nothing_twice_and_books_agree(local)
        assert_artifacts_saved(local)


@pytest.mark.soak
@pytest.mark.parametrize("how", ["tightened", "damaged"])
def test_a_restart_loosens_nothing_and_an_unreadable_state_latches(tmp_path: Path, how: str) -> None:
    with local_run(tmp_path, how) as local:
        process = local.start()
        local.until(process, lambda: len(local.events(OrderAccepted)) >= 2)
        local.kill(process)
        path = session_folder(local.context) / "trading_state.jsonl"
        if how == "tightened":
            local.guard.tighten(TradingState.REDUCE_ONLY, reason="look first", actor="operator")
        else:
            path.write_bytes(path.read_bytes() + b"{")
        before = len(local.events(OrderSubmitted))
        result = local.end(local.start())
        later = [e for e in local.events(OrderSubmitted) if isinstance(e, OrderSubmitted)][before:]
        assert {e.intent.purpose for e in later} <= {Purpose.EXIT}
        assert check_of(result, "flat_at_end").status is CheckStatus.PASSED
        assert local.guard.state is (TradingState.REDUCE_ONLY if how == "tightened" else TradingState.HALTED)
        assert at_venue(local).open_orders == 0


@pytest.mark.soak
def test_a_killed_session_is_made_flat_by_its_supervisor_at_once(tmp_path: Path) -> None:
    with local_run(tmp_path, "rescued", is_supervised=False) as local:
        results: SimpleQueue[StageResult] = SimpleQueue()
        thread = threading.Thread(target=lambda: results.put(supervise(local.context, local.endpoint)))
        thread.start()
        beat = _first_beat(local)
        os.kill(beat, signal.SIGKILL)
        result = results.get(timeout=120)
        thread.join()
        assert "killed by signal 9" in check_of(result, "session").observed
        assert check_of(result, "flat_at_end").status is CheckStatus.PASSED, result.summary
        assert result.status is StageStatus.FAILED
        assert local.guard.state is TradingState.REDUCE_ONLY
        assert [(b.has_ended, b.is_flat) for b in read_beats(local.context.event_store_root)] == [(True, True)]
        assert at_venue(local).open_orders == 0
        assert at_venue(local).coins * 200_000 < 1
        assert_artifacts_saved(local)
        again = local.end(local.start())
        assert check_of(again, "flat_at_end").status is CheckStatus.PASSED


def _first_beat(local: Local) -> int:
    """Return the pid of the session once it has bought something."""
    stand_in = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        local.until(stand_in, lambda: fills(local) >= 1)
    finally:
        stand_in.kill()
        stand_in.communicate()
    (beat,) = read_beats(local.context.event_store_root)
    return beat.pid


@pytest.mark.soak
@pytest.mark.parametrize("how", ["kill", "stop", "SIGTERM"])
def test_a_session_without_its_supervisor_ends_flat_by_itself(tmp_path: Path, how: str) -> None:
    context = context_of(tmp_path, "orphan", short_plan())
    path = tmp_path / "asked.json"
    path.write_text(context.model_dump_json(), "utf-8")
    environ = {**os.environ, "GREENLIGHT_SESSION_GRACE_S": "2"}
    flow = subprocess.Popen([sys.executable, "-m", "tests.chaos.flow_stand_in", str(path)], env=environ)
    local = Local(context, Endpoint())
    local.until(flow, lambda: fills(local) >= 1)
    local.endpoint = Endpoint.model_validate_json((session_folder(context) / ENDPOINT_FILE).read_text("utf-8"))
    (beat,) = read_beats(context.event_store_root)
    if how == "kill":
        flow.kill()
    elif how == "stop":
        flow.send_signal(signal.SIGINT)
    else:
        os.kill(beat.pid, signal.SIGTERM)
    stand_in = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        local.until(stand_in, lambda: read_beats(context.event_store_root)[0].has_ended)
    finally:
        stand_in.kill()
        stand_in.communicate()
    assert read_beats(context.event_store_root)[0].is_flat is True
    (flat,) = [e for e in local.events(StepEnded) if isinstance(e, StepEnded) and e.step == "flat_at_end"]
    assert flat.is_shown
    if how == "kill":
        stopped = check_of(_left(local), "stopped").observed
        assert "nobody took it up within 2 s" in stopped
        assert at_venue(local).open_orders == 0
        assert at_venue(local).coins * 200_000 < 1
        assert local.endpoint.pid is not None
        os.kill(local.endpoint.pid, signal.SIGTERM)
    flow.wait(60)
    assert_artifacts_saved(local)
    assert local.guard.state is TradingState.REDUCE_ONLY


def _left(local: Local) -> StageResult:
    result = read_stage(local.context, Stage.LIVE_MICRO_TEST)
    assert result is not None
    return result


@pytest.mark.soak
def test_a_flow_that_was_killed_with_its_session_is_gone_on_with_at_the_same_exchange(tmp_path: Path) -> None:
    context = context_of(tmp_path, "both", short_plan())
    path = tmp_path / "asked.json"
    path.write_text(context.model_dump_json(), "utf-8")
    local = Local(context, Endpoint())
    flow = subprocess.Popen([sys.executable, "-m", "tests.chaos.flow_stand_in", str(path)])
    local.until(flow, lambda: fills(local) >= 1)
    local.endpoint = Endpoint.model_validate_json((session_folder(context) / ENDPOINT_FILE).read_text("utf-8"))
    (beat,) = read_beats(context.event_store_root)
    os.kill(flow.pid, signal.SIGSTOP)  # so that it cannot climb the ladder for the session
    os.kill(beat.pid, signal.SIGKILL)
    flow.kill()
    flow.wait(60)
    again = subprocess.Popen([sys.executable, "-m", "tests.chaos.flow_stand_in", str(path)])
    local.until(again, lambda: bool(local.events(SessionResumed)))
    assert again.wait(120) == 0
    result = read_stage(context, Stage.LIVE_MICRO_TEST)
    assert result is not None
    assert check_of(result, "session").status is CheckStatus.PASSED, result.summary
    assert check_of(result, "flat_at_end").status is CheckStatus.PASSED
    sent = [e.client_order_id for e in local.events(OrderSubmitted) if isinstance(e, OrderSubmitted)]
    assert len(sent) == len(set(sent))


@pytest.mark.soak
def test_another_plan_or_exchange_may_not_go_on_with_a_run(tmp_path: Path) -> None:
    with local_run(tmp_path, "refused") as local:
        process = local.start()
        local.until(process, lambda: len(local.events(OrderAccepted)) >= 1)
        local.kill(process)
        right = local.context
        local.context = right.model_copy(update={"plan": short_plan(window_s=180)})
        result = local.end(local.start())
        assert "began with another plan digest" in result.summary
        local.context = right
        local.endpoint = local.endpoint.model_copy(update={"clock_anchor_ns": local.endpoint.clock_anchor_ns + 1})
        assert ConfigurationError.__name__ in local.end(local.start()).summary
