"""The session's process: what makes it stop, and that only a loop that moves beats."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from flows.left_runs import Left, left_of
from trading_core.bootstrap import account_name, make_guard, open_venue
from trading_core.clock import NS, SystemClock, pause
from trading_core.errors import ConfigurationError
from trading_core.heartbeat import Heartbeat, read_beats
from trading_core.lifeline import Lifeline
from trading_core.plan import Stage
from trading_core.plan_files import find_plan
from trading_core.prepare import prepare_run
from trading_core.run import Endpoint, RunContext, VenueName
from trading_core.session_process import (
    LOCK_FILE,
    Pulse,
    main,
    only_session,
    run_session,
    stop_on_signals,
)
from trading_core.session_supervisor import (
    CONTEXT_FILE,
    MODULE,
    PID_FILE,
    Started,
    end_session,
    find_session,
    session_folder,
    start_session,
    stop_alone,
    trading_run,
)
from trading_core.stages.files import read_stage
from trading_core.storage.lock import exclusive
from trading_core.tie import AUDIT_FILE, GIVEN_UP, TAKEN_UP, Loss, Tie, supervising
from trading_core.tie import LOCK_FILE as LOCK_OF_SUPERVISOR
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


def tie_of(context: RunContext, grace_s: float) -> tuple[Tie, Lifeline]:
    lifeline, folder = Lifeline(), session_folder(context)
    folder.mkdir(parents=True, exist_ok=True)
    return Tie(folder, context.run_id, lifeline, make_guard(context, SystemClock()), grace_s), lifeline


def test_a_lost_supervisor_is_noted_and_the_session_goes_on_until_somebody_takes_it_up(context: RunContext) -> None:
    tie, lifeline = tie_of(context, grace_s=60.0)
    with supervising(session_folder(context)):
        assert tie.look() == (0, 0.0, 60.0)
    since_ns = tie.look().since_ns
    assert 0 < since_ns <= SystemClock().now_ns()
    assert tie.look().since_ns == since_ns
    with supervising(session_folder(context)):
        assert tie.look() == (0, 0.0, 60.0)
    assert (lifeline.stop_reason, make_guard(context, SystemClock()).state) == ("", TradingState.ACTIVE)
    lines = (session_folder(context) / AUDIT_FILE).read_bytes().splitlines()
    begun, ended = (msgspec.json.decode(line, type=Loss) for line in lines)
    assert (begun.lost_ns, begun.until_ns, ended.lost_ns, ended.ended) == (since_ns, 0, since_ns, TAKEN_UP)
    assert tie.losses == [ended]


def test_a_session_that_nobody_takes_up_stops_and_tightens_at_once(context: RunContext) -> None:
    tie, lifeline = tie_of(context, grace_s=0.0)
    assert tie.look().since_ns > 0
    assert "nobody took it up within 0 s" in lifeline.stop_reason
    assert make_guard(context, SystemClock()).state is TradingState.REDUCE_ONLY
    tie.look()
    assert [loss.ended for loss in tie.losses] == [GIVEN_UP]


def test_a_lock_that_cannot_be_looked_at_counts_as_lost(context: RunContext) -> None:
    tie, lifeline = tie_of(context, grace_s=0.0)
    (session_folder(context) / LOCK_OF_SUPERVISOR).symlink_to(LOCK_OF_SUPERVISOR)
    tie.look()
    assert lifeline.stop_reason


def test_a_session_has_one_supervisor_at_a_time(tmp_path: Path) -> None:
    with (
        supervising(tmp_path), pytest.raises(ConfigurationError, match="supervised by another process"),
        supervising(tmp_path),
    ):
        pass


@pytest.fixture
def own_signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("own_signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_and_tightens_at_once(context: RunContext, number: signal.Signals) -> None:
    lifeline = Lifeline()
    stop_on_signals(lifeline, make_guard(context, SystemClock()))
    os.kill(os.getpid(), number)
    assert wait_for(lambda: bool(lifeline.stop_reason))
    assert lifeline.stop_reason == f"stopped by {number.name}"
    assert make_guard(context, SystemClock()).state is TradingState.REDUCE_ONLY


def test_one_session_at_a_time_holds_an_account(tmp_path: Path) -> None:
    with (
        only_session(tmp_path, Lifeline()), pytest.raises(ConfigurationError, match="another session trades account"),
        only_session(tmp_path, Lifeline(), within_s=0),
    ):
        pass
    with only_session(tmp_path, Lifeline(), within_s=0):
        assert (tmp_path / LOCK_FILE).exists()


def test_a_session_that_meets_another_one_leaves_its_account_and_its_beat_alone(context: RunContext) -> None:
    """A run that was killed leaves a session that still closes; the next run's must not trade beside it."""
    folder = session_folder(context)
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder / LOCK_FILE, 0):
        session = Started(start_session(context, Endpoint(), folder), folder)
        end_session(session)
    assert session.obituary() == ""
    result = read_stage(context, Stage.LIVE_MICRO_TEST)
    assert result is not None
    assert "another session trades account" in result.summary
    assert read_beats(context.event_store_root) == []
    assert not context.store.path.exists()


@pytest.fixture
def silent(context: RunContext) -> Iterator[subprocess.Popen[bytes]]:
    """A session that was started and has not come to its first beat; nobody supervises it."""
    process = start_session(context, Endpoint(), session_folder(context))
    process.send_signal(signal.SIGSTOP)
    # The kernel shows the command line a moment after Popen has returned.
    assert wait_for(lambda: MODULE.encode() in Path(f"/proc/{process.pid}/cmdline").read_bytes())
    yield process
    process.kill()
    process.wait()


def test_a_session_is_taken_up_before_its_first_beat(
    context: RunContext, silent: subprocess.Popen[bytes]
) -> None:
    found = find_session(context)
    assert found is not None
    assert (found.pid, read_beats(context.event_store_root)) == (silent.pid, [])
    assert trading_run(context.event_store_root, account_name(context)) == context.run_id
    found.close()


def test_one_that_nobody_supervises_is_stopped_before_its_first_beat(
    context: RunContext, silent: subprocess.Popen[bytes]
) -> None:
    root = context.event_store_root
    with supervising(session_folder(context)):
        assert stop_alone(root) == []
    assert left_of(root, context.run_id) is Left.ALONE
    assert stop_alone(root) == [silent.pid]


def test_a_beat_of_an_earlier_attempt_does_not_hide_the_session(
    context: RunContext, silent: subprocess.Popen[bytes]
) -> None:
    Heartbeat(context, Endpoint(), account_name(context)).end(is_flat=True)  # with our number
    found = find_session(context)
    assert found is not None
    assert found.pid == silent.pid
    silent.kill()
    assert found.wait(WITHIN_S)
    assert "was killed" in found.obituary()
    found.close()


def test_a_taken_up_session_that_never_traded_ended_in_good_order(
    context: RunContext, silent: subprocess.Popen[bytes]
) -> None:
    found = find_session(context)
    assert found is not None
    with exclusive(session_folder(context) / LOCK_FILE, 0):
        found.stop()
        silent.send_signal(signal.SIGCONT)
        assert found.wait(WITHIN_S)
    assert found.obituary() == ""
    found.close()


def test_a_session_of_another_context_is_not_taken_up(context: RunContext, silent: subprocess.Popen[bytes]) -> None:
    assert find_session(context.model_copy(update={"seed": 2})) is None
    (session_folder(context) / CONTEXT_FILE).unlink()
    assert find_session(context) is None
    assert trading_run(context.event_store_root, account_name(context)) == ""


@pytest.mark.parametrize("number", ["", "no number", "of another process"])
def test_a_number_that_names_no_session_is_none(
    context: RunContext, silent: subprocess.Popen[bytes], number: str
) -> None:
    written = str(os.getpid()) if number == "of another process" else number
    (session_folder(context) / PID_FILE).write_text(written, "ascii")
    assert find_session(context) is None
    assert trading_run(context.event_store_root, account_name(context)) == ""


def test_where_the_kernel_has_no_handle_for_a_process_none_is_taken_up(
    context: RunContext, silent: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    assert find_session(context) is None


def test_the_first_reason_to_stop_stays() -> None:
    lifeline = Lifeline()
    lifeline.stop("stopped by SIGTERM")
    lifeline.stop("stopped by SIGINT")
    assert lifeline.stop_reason == "stopped by SIGTERM"


def test_a_loop_that_hangs_does_not_beat_and_one_that_moves_again_does(context: RunContext) -> None:
    lifeline, clock = Lifeline(), SystemClock()
    heartbeat = Heartbeat(context, Endpoint(), account_name(context))
    tie, _ = tie_of(context, grace_s=60.0)
    with Pulse(heartbeat, lifeline, tie, stalled_after_s=0.5).beating():
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
