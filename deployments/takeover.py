"""A work pool whose worker died: what still trades here is taken up; else rehearsals are run again, anew.

A run that traded real money is never started again from here: a person looks at the venue first (docs/adr/0042).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType, Worker
from prefect.states import Crashed

from flows.cancelled_runs import end_cancelled
from flows.left_runs import Left, take_up
from trading_core.clock import NS
from trading_core.plan import Level
from trading_core.run import LEVELS

# Beats that a worker may miss before it counts as gone; Prefect's server marks it offline after as many.
BEATS_MISSED_MAX = 3
RUNS_MAX = 200  # a page of Prefect's API
# A run that went down with its worker may have said so itself, a little before the worker's last beat.
BEFORE_LAST_BEAT_S = 60.0
LEFT = "its worker is gone: see the account's trading state"
GOING_ON = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)
REHEARSALS = frozenset(venue.value for venue, level in LEVELS.items() if level is Level.L0)
_AGAIN = re.compile(r"-again([0-9]+)$")


class Takeover(NamedTuple):
    """What was found in a pool, by the names of the runs."""

    crashed: tuple[str, ...]
    again: tuple[str, ...]
    taken_up: tuple[str, ...] = ()  # alone on this machine: started again, to supervise the session that trades
    cancelled: tuple[str, ...] = ()  # alone, too, but people cancelled them: asked to end flat


def living_worker(client: SyncPrefectClient, pool: str, now_ns: int, *, except_of: str) -> str:
    """Return the name of a worker that serves the pool now; empty if there is none."""
    others = (worker for worker in _workers(client, pool) if worker.name != except_of)
    return next((worker.name for worker in others if _silent_s(worker, now_ns) <= _limit_s(worker)), "")


def last_beat_ns(client: SyncPrefectClient, pool: str) -> int:
    """Return when a worker of the pool was last heard of, in nanoseconds; 0 if there never was one."""
    beats = (worker.last_heartbeat_time for worker in _workers(client, pool))
    return max((int(beat.timestamp() * NS) for beat in beats if beat is not None), default=0)


def take_over(client: SyncPrefectClient, pool: str, died_ns: int, event_store_root: Path) -> Takeover:
    """Settle the runs of a pool that nobody serves. Doing it again changes nothing: a run is run again once.

    A run whose flow lives on this machine needs no worker, and one whose session does is taken up by the same run.
    """
    cancelled = end_cancelled(client, event_store_root)
    taken_up = []
    for run in _runs(client, pool, *GOING_ON):
        left = take_up(client, event_store_root, run)
        if left is Left.GOING_ON:
            continue
        if left is Left.ALONE:
            taken_up.append(run.name)
            continue
        client.set_flow_run_state(run.id, Crashed(message=LEFT), force=True)
    # Also those that said so themselves, on their way down with the worker.
    since_s = died_ns / NS - BEFORE_LAST_BEAT_S
    crashed = [
        run for run in _runs(client, pool, StateType.CRASHED)
        if run.end_time is not None and run.end_time.timestamp() >= since_s
    ]
    again = [name for run in crashed if (name := _run_again(client, run))]
    return Takeover(tuple(run.name for run in crashed), tuple(again), tuple(taken_up), tuple(cancelled))


def _run_again(client: SyncPrefectClient, run: FlowRun) -> str:
    request = run.parameters.get("request")
    if run.deployment_id is None or not isinstance(request, dict) or request.get("venue") not in REHEARSALS:
        return ""
    made = client.create_flow_run_from_deployment(
        run.deployment_id, parameters={"request": again(request)}, idempotency_key=f"again-{run.id}"
    )
    return made.name


def again(request: dict[str, Any]) -> dict[str, Any]:
    """Return the request of the same rehearsal under another run id: its exchange ended with the dead machine."""
    run_id = str(request.get("run_id", ""))
    if not run_id:
        return request
    found = _AGAIN.search(run_id)
    base, count = (run_id[: found.start()], int(found[1])) if found else (run_id, 1)
    return {**request, "run_id": f"{base}-again{count + 1}"}


def _runs(client: SyncPrefectClient, pool: str, *types: StateType) -> list[FlowRun]:
    of_type = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(types))))
    of_pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[pool]))
    return client.read_flow_runs(flow_run_filter=of_type, work_pool_filter=of_pool, limit=RUNS_MAX)


def _workers(client: SyncPrefectClient, pool: str) -> list[Worker]:
    path = {"work_pool_name": pool}
    answer = client.request("POST", "/work_pools/{work_pool_name}/workers/filter", path_params=path)
    return [Worker.model_validate(worker) for worker in answer.json()]


def _silent_s(worker: Worker, now_ns: int) -> float:
    beat = worker.last_heartbeat_time
    return float("inf") if beat is None else now_ns / NS - beat.timestamp()


def _limit_s(worker: Worker) -> float:
    return float(BEATS_MISSED_MAX * (worker.heartbeat_interval_seconds or 30))
