"""What a standby does with the runs of a dead worker, at a real server: each rehearsal once more, real money never."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Crashed, Running

from deployments.takeover import Takeover, last_beat_ns, living_worker, take_over
from flows.account_slot import LOCK_FILE
from trading_core.clock import NS, SystemClock
from trading_core.storage.lock import exclusive


@pytest.fixture
def client(prefect_api_url: str) -> Iterator[SyncPrefectClient]:
    with temporary_settings({PREFECT_API_URL: prefect_api_url}), get_client(sync_client=True) as made:
        yield made


@pytest.fixture
def pool(client: SyncPrefectClient, request: pytest.FixtureRequest) -> Iterator[str]:
    """A work pool of its own with one worker, which has just been heard of."""
    name = f"pool-{request.node.name.replace('_', '-')[:60]}"
    client.create_work_pool(WorkPoolCreate(name=name, type="process"))
    client.request(
        "POST", "/work_pools/{work_pool_name}/workers/heartbeat", path_params={"work_pool_name": name},
        json={"name": "first", "heartbeat_interval_seconds": 5},
    )
    yield name
    client.delete_work_pool(name)


def start(client: SyncPrefectClient, pool: str, venue: str, run_id: str) -> FlowRun:
    """Return a run that the pool's worker is said to run."""
    flow_id = client.create_flow_from_name("takeover test")
    deployment_id = client.create_deployment(
        flow_id=flow_id, name=f"{pool}-{run_id}", work_pool_name=pool, entrypoint="flows.rollout.rollout",
        enforce_parameter_schema=False,
    )
    made = client.create_flow_run_from_deployment(
        deployment_id, parameters={"request": {"venue": venue, "run_id": run_id}}
    )
    client.set_flow_run_state(made.id, Running(), force=True)
    client.update_flow_run(made.id, tags=[f"run:{run_id}"])
    return made


def again_of(client: SyncPrefectClient, deployment_id: UUID | None) -> list[dict[str, Any]]:
    """Return the requests of the deployment's runs that have not begun."""
    of_deployment = {"id": {"any_": [str(deployment_id)]}}
    not_begun = {"state": {"type": {"any_": ["SCHEDULED"]}}}
    wanted = {"deployments": of_deployment, "flow_runs": not_begun}
    return [run["parameters"]["request"] for run in client.request("POST", "/flow_runs/filter", json=wanted).json()]


def test_a_worker_is_there_until_it_misses_three_beats(client: SyncPrefectClient, pool: str) -> None:
    beat_ns = last_beat_ns(client, pool)
    assert abs(SystemClock().now_ns() - beat_ns) < 60 * NS
    assert living_worker(client, pool, beat_ns + 14 * NS, except_of="second") == "first"
    assert living_worker(client, pool, beat_ns + 16 * NS, except_of="second") == ""
    assert living_worker(client, pool, beat_ns, except_of="first") == ""


def test_each_rehearsal_of_a_dead_worker_is_run_again_once(
    client: SyncPrefectClient, pool: str, tmp_path: Path
) -> None:
    run = start(client, pool, "local", "alpha")
    died_ns = last_beat_ns(client, pool)
    taken = take_over(client, pool, died_ns, tmp_path)
    assert taken.crashed == (run.name,)
    assert len(taken.again) == 1
    state = client.read_flow_run(run.id).state
    assert state is not None
    assert state.is_crashed()
    assert again_of(client, run.deployment_id) == [{"venue": "local", "run_id": "alpha-again2"}]
    take_over(client, pool, died_ns, tmp_path)
    assert len(again_of(client, run.deployment_id)) == 1


def test_a_run_whose_flow_lives_here_is_let_alone(client: SyncPrefectClient, pool: str, tmp_path: Path) -> None:
    run = start(client, pool, "local", "alpha")
    folder = tmp_path / "accounts" / "rehearsal-alpha"
    folder.mkdir(parents=True)
    with exclusive(folder / LOCK_FILE, 0):
        assert take_over(client, pool, last_beat_ns(client, pool), tmp_path) == Takeover(crashed=(), again=())
    state = client.read_flow_run(run.id).state
    assert state is not None
    assert state.is_running()
    assert again_of(client, run.deployment_id) == []


@pytest.mark.parametrize("venue", ["live", "sandbox", "paper", ""])
def test_a_run_that_is_no_rehearsal_is_settled_and_left_to_people(
    client: SyncPrefectClient, pool: str, venue: str, tmp_path: Path
) -> None:
    run = start(client, pool, venue, "beta")
    taken = take_over(client, pool, last_beat_ns(client, pool), tmp_path)
    assert (taken.crashed, taken.again) == ((run.name,), ())
    assert again_of(client, run.deployment_id) == []


def test_a_run_that_ended_or_crashed_long_before_is_let_alone(
    client: SyncPrefectClient, pool: str, tmp_path: Path
) -> None:
    ended, crashed = start(client, pool, "local", "gamma"), start(client, pool, "local", "delta")
    client.set_flow_run_state(ended.id, Completed(name="GO"), force=True)
    client.set_flow_run_state(crashed.id, Crashed(), force=True)
    taken = take_over(client, pool, last_beat_ns(client, pool) + 3600 * NS, tmp_path)
    assert taken == Takeover(crashed=(), again=())
    assert again_of(client, crashed.deployment_id) == []
