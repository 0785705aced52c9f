"""The session's process: what makes it stop, and that only a loop that moves beats."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from trading_core.bootstrap import account_name, make_guard, open_venue
from trading_core.clock import NS, SystemClock, pause
from trading_core.errors import ConfigurationError
from trading_core.heartbeat import Heartbeat, read_beats
from trading_core.lifeline import Lifeline
from trading_core.plan_files import find_plan
from trading_core.prepare import prepare_run
from trading_core.run import Endpoint, RunContext, VenueName
from trading_core.session_process import Pulse, main, run_session, watch_supervisor
from trading_core.trading_state import TradingState

WITHIN_S = 30.0


@pytest.fixture
def context(tmp_path: Path) -> RunContext:
    return prepare_run(
        plan=find_plan("phase2"), venue=VenueName.SIMULATED, day="typical", seed=1, speed=1.0, faults="", run_id="r",
        artifacts_root=tmp_path / "artifacts", event_store_root=tmp_path / "events",
    )


def wait_for(holds: Callable[[], bool]) -> bool:
    clock = SystemClock()
    deadline_ns = clock.stopwatch_ns() + int(WITHIN_S * NS)
    while not holds() and clock.stopwatch_ns() < deadline_ns:
        pause(0.05)
    return holds()


@pytest.mark.parametrize(
    ("sent", "reason"),
    [(b"stop\n", "stopped by the supervisor"), (b"", "stopped: the supervisor's end of the pipe closed")],
)
def test_a_word_or_the_end_of_the_pipe_stops_and_tightens_at_once(
    context: RunContext, sent: bytes, reason: str
) -> None:
    lifeline, guard = Lifeline(), make_guard(context, SystemClock())
    assert guard.state is TradingState.ACTIVE
    reading, writing = os.pipe()
    thread = watch_supervisor(reading, lifeline, guard)
    os.write(writing, sent)
    if not sent:
        os.close(writing)
    thread.join(WITHIN_S)
    assert lifeline.stop_reason == reason
    assert make_guard(context, SystemClock()).state is TradingState.REDUCE_ONLY


def test_the_first_reason_to_stop_stays() -> None:
    lifeline = Lifeline()
    lifeline.stop("stopped by SIGTERM")
    lifeline.stop("stopped by the supervisor")
    assert lifeline.stop_reason == "stopped by SIGTERM"


def test_a_loop_that_hangs_does_not_beat_and_one_that_moves_again_does(context: RunContext) -> None:
    lifeline, clock = Lifeline(), SystemClock()
    heartbeat = Heartbeat(context, Endpoint(), account_name(context))
    with Pulse(heartbeat, lifeline, stalled_after_s=0.5).beating():
        assert wait_for(lambda: bool(read_beats(context.event_store_root)))
        assert wait_for(lambda: read_beats(context.event_store_root)[0].silent_s(clock.now_ns()) > 2.0)
        last_ns = read_beats(context.event_store_root)[0].beat_ns
        lifeline.moves += 1
        assert wait_for(lambda: read_beats(context.event_store_root)[0].beat_ns > last_ns)


def test_a_simulated_run_is_not_run_twice_under_one_name(context: RunContext) -> None:
    """Its exchange ended with it."""
    lifeline = Lifeline()
    lifeline.stop("stopped by the test")
    with open_venue(context) as endpoint:
        run_session(context, endpoint, lifeline)
    with open_venue(context) as endpoint, pytest.raises(ConfigurationError, match="its exchange ended with it"):
        run_session(context, endpoint)


def test_the_command_says_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "CONTEXT.json ENDPOINT.json" in capsys.readouterr().err
