"""`greenlight retry`: a lost run is resumed, what ended is a further attempt, a GO is refused."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.e2e.command import Home, finish, left_behind, one_line, short_phase2, wait_for
from trading_core.errors import StorageError
from trading_core.events import OrderAccepted, OrderSubmitted, SessionResumed, SessionStarted, StepEnded
from trading_core.gate.outcomes import Verdict
from trading_core.heartbeat import read_beats
from trading_core.run import Endpoint
from trading_core.storage.event_reader import EventReader, StoredEvent

RUN = "lost"


def stored(home: Home, *kinds: type) -> list[StoredEvent]:
    """Return the run's events of these types; none before the run has stored anything."""
    try:
        with EventReader(home.events, RUN) as reader:
            return list(reader.events(types=tuple(kind.__name__ for kind in kinds)))
    except StorageError:
        return []


def lose_everything(home: Home) -> None:
    """Start a run and kill −9 flow and session together while it trades; its exchange lives on for a while."""
    run = home.start("run", short_phase2(home.root), "--venue", "local", "--speed", 20, "--run-id", RUN)
    assert wait_for(lambda: run.poll() is not None or len(stored(home, OrderAccepted)) >= 3)
    assert run.poll() is None, finish(run).text
    (beat,) = read_beats(home.events)
    os.kill(run.pid, signal.SIGSTOP)  # so that it cannot make the account flat in the session's place
    os.kill(beat.pid, signal.SIGKILL)
    os.kill(run.pid, signal.SIGKILL)
    finish(run)


def task_states(home: Home) -> dict[str, str]:
    """Return the state of each task run of the last Prefect run of ours, by its name."""
    run = home.flow_run(RUN)
    found = home.ask_prefect("task_runs", flow_runs={"id": {"any_": [run["id"]]}})
    return {task["name"]: task["state"]["name"] for task in found}


def test_lost_run_is_resumed_and_nothing_is_traded_twice(home: Home) -> None:
    lose_everything(home)
    before = len(stored(home, OrderSubmitted))
    done = home.run("retry", RUN)
    # How long this machine needed to come back is the venue's time x 20: what the plan says of such a gap is its own.
    assert done.code in (0, 4), done.text
    assert (len(stored(home, SessionStarted)), len(stored(home, SessionResumed))) == (1, 1)
    ended = [row.event for row in stored(home, StepEnded) if isinstance(row.event, StepEnded)]
    assert [end.is_shown for end in ended if end.step == "flat_at_end"] == [True]
    sent = [row.event.client_order_id for row in stored(home, OrderSubmitted) if isinstance(row.event, OrderSubmitted)]
    assert len(sent) == len(set(sent)) >= before
    assert home.decision(RUN).run_id == RUN
    kept = {name for name, state in task_states(home).items() if state == "Kept"}
    assert kept == {"preflight (kept)", "capability probe (kept)", "dry run pulse (kept)"}


@pytest.mark.soak
def test_lost_run_whose_exchange_is_gone_says_so_and_the_next_retry_is_a_further_attempt(home: Home) -> None:
    lose_everything(home)
    (beat,) = read_beats(home.events)
    exchange = Endpoint.model_validate_json(beat.endpoint).pid
    assert exchange is not None
    os.kill(exchange, signal.SIGKILL)
    assert wait_for(lambda: not left_behind(home), 20)
    done = home.run("retry", RUN)
    assert done.code == 4, done.text
    assert "has ended, and its account with it" in one_line(done.out)
    assert home.decision(RUN).verdict is Verdict.NO_GO
    further = home.run("retry", RUN)
    assert further.code == 0, further
    assert "further attempt, run lost-a2" in one_line(further.out)
    assert home.decision(f"{RUN}-a2").verdict is Verdict.GO
    assert home.decision(f"{RUN}-a2").attempt_id != home.decision(RUN).attempt_id


def test_a_simulated_run_that_traded_is_a_further_attempt_with_an_id_of_its_own(home: Home, tmp_path: Path) -> None:
    plan = short_phase2(tmp_path)
    first = home.run("run", plan, "--venue", "simulated", "--faults", "reject_all", "--run-id", RUN)
    assert first.code == 4, first
    done = home.run("retry", RUN)
    assert done.code == 4, done.text
    assert "its simulated exchange ended with it" in one_line(done.out)
    again, before = home.decision(f"{RUN}-a2"), home.decision(RUN)
    assert (again.verdict, again.attempt_id) == (Verdict.NO_GO, before.attempt_id)  # the same evidence counts once
    anew = home.run("run", plan, "--venue", "simulated", "--run-id", RUN)
    assert (anew.code, "was decided" in one_line(anew.err)) == (2, True), anew
    assert home.decision(RUN) == before


@pytest.mark.soak
def test_a_run_that_is_go_is_refused(home: Home, tmp_path: Path) -> None:
    first = home.run("run", short_phase2(tmp_path), "--venue", "simulated", "--run-id", RUN)
    assert first.code == 0, first
    done = home.run("retry", RUN)
    assert (done.code, "nothing to retry" in done.err) == (2, True)


def test_a_run_that_needs_approval_holds_until_another_person_gave_it(home: Home, tmp_path: Path) -> None:
    how = ("--venue", "simulated", "--faults", "reject_all", "--ask-approval", "--requester", "Rita", "--run-id", RUN)
    held = home.run("run", short_phase2(tmp_path), *how)
    assert (held.code, "NO-GO (HOLD)" in held.out, stored(home)) == (4, True, []), held
    assert home.flow_run(RUN)["state"]["name"] == "Hold"
    subject = one_line(held.out).partition("--subject ")[2].split()[0]
    own = home.run("approve", RUN, "--approver", "rita", "--subject", subject, "--reason", "mine")
    assert (own.code, "may not approve" in own.err) == (2, True), own
    other = home.run("approve", RUN, "--approver", "Ada", "--subject", subject, "--reason", "seen")
    assert other.code == 0, other
    done = home.run("retry", RUN)
    assert "NO-GO (HOLD)" not in done.out, done.out
    assert (done.code, home.decision(RUN).verdict) == (4, Verdict.NO_GO), done.text
    assert home.stage_status(RUN)["preflight"] == "PASSED"
