"""A run that people cancelled when no worker was there: the next worker ends its session, and no other one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelled, Cancelling, Running

from flows.answers import REFUSED
from flows.cancelled_runs import TOLD_LATE, end_cancelled
from tests.e2e.command import wait_for
from trading_core.bootstrap import account_name
from trading_core.plan import Stage
from trading_core.plan_files import find_plan
from trading_core.prepare import prepare_run
from trading_core.run import Endpoint, RunContext, VenueName
from trading_core.session_process import LOCK_FILE
from trading_core.session_supervisor import session_folder, start_session, trading_run
from trading_core.stages.files import read_stage
from trading_core.storage.lock import exclusive
from trading_core.tie import supervising

GOING_ON: State[None] = Running()
CANCELLING: State[None] = Cancelling()
TIMED_OUT: State[None] = Cancelled(message="Flow run cancellation timed out")
NOT_BEGUN: State[None] = Cancelled(name=REFUSED)
ENDS_WITHIN_S = 60.0


@flow(name="of the test of cancelled runs")
def named() -> None:
    """Give Prefect's runs a flow to belong to."""


@pytest.fixture
def client(prefect_api_url: str) -> Iterator[SyncPrefectClient]:
    with temporary_settings({PREFECT_API_URL: prefect_api_url}), get_client(sync_client=True) as made:
        yield made


@pytest.fixture
def context(tmp_path: Path) -> RunContext:
    """A run; the name of the folder makes its id one that no other test has."""
    return prepare_run(
        plan=find_plan("phase2"), venue=VenueName.SIMULATED, day="typical", seed=1, speed=1.0, faults="",
        run_id=tmp_path.name.replace("_", "-"), artifacts_root=tmp_path / "artifacts",
        event_store_root=tmp_path / "events",
    )


@pytest.fixture
def session(context: RunContext) -> Iterator[subprocess.Popen[bytes]]:
    """The session of the run, which waits for its account; nobody supervises it."""
    folder = session_folder(context)
    with exclusive(folder / LOCK_FILE, 0):
        process = start_session(context, Endpoint(), folder)
        # The kernel shows the command line a moment after Popen has returned.
        assert wait_for(lambda: trading_run(context.event_store_root, account_name(context)) == context.run_id)
        yield process
        process.kill()
        process.wait()


def note(client: SyncPrefectClient, context: RunContext, state: State[None]) -> FlowRun:
    """Have Prefect know a run of this run id that began and came to a state."""
    made = client.create_flow_run(named, tags=[f"run:{context.run_id}"], state=Running())
    client.set_flow_run_state(made.id, state, force=True)
    return made


@pytest.mark.parametrize("states", [[CANCELLING], [TIMED_OUT], [GOING_ON, CANCELLING], [CANCELLING, NOT_BEGUN]])
def test_the_session_of_a_cancelled_run_is_stopped_and_not_taken_up(
    client: SyncPrefectClient, context: RunContext, session: subprocess.Popen[bytes], states: list[State[None]]
) -> None:
    runs = [note(client, context, state) for state in states]
    (cancelled,) = (run for run, state in zip(runs, states, strict=True) if state in (CANCELLING, TIMED_OUT))
    assert end_cancelled(client, context.event_store_root) == [cancelled.name]
    session.wait(ENDS_WITHIN_S)
    result = read_stage(context, Stage.LIVE_MICRO_TEST)
    assert result is not None
    assert "stopped by SIGTERM" in result.summary
    state = client.read_flow_run(cancelled.id).state
    assert state is not None
    assert (state.name, state.message) == ("Cancelled", TOLD_LATE)


@pytest.mark.parametrize("states", [[], [GOING_ON], [GOING_ON, NOT_BEGUN], [CANCELLING, GOING_ON]])
def test_the_session_of_a_run_that_nobody_cancelled_is_let_alone(
    client: SyncPrefectClient, context: RunContext, session: subprocess.Popen[bytes], states: list[State[None]]
) -> None:
    for state in states:
        note(client, context, state)
    assert end_cancelled(client, context.event_store_root) == []
    assert session.poll() is None


def test_a_session_that_is_supervised_is_its_supervisors_to_end(
    client: SyncPrefectClient, context: RunContext, session: subprocess.Popen[bytes]
) -> None:
    note(client, context, CANCELLING)
    with supervising(session_folder(context)):
        assert end_cancelled(client, context.event_store_root) == []
    assert session.poll() is None
