"""What Prefect says of runs whose worker is gone: without this they would be shown as running for ever."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import requests
from prefect.client.orchestration import SyncPrefectClient

from flows.cancelled_runs import end_cancelled
from flows.left_runs import TAKEN_UP, Left, left_of, only_take_up, run_id_of
from tasks.window import API_AWAY
from trading_core.clock import pause

WITHIN_S = 5.0
BUSY = 503  # HTTP: the server's database is busy right now
TRIES_MAX, BETWEEN_TRIES_S = 5, 1.0
RUNS_MAX = 200  # a page of Prefect's API
AWAITED = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": TAKEN_UP}
GOING_ON = ("PENDING", "RUNNING", "CANCELLING")


def settle_runs(api_url: str, auth: str, pool: str, state: dict[str, str], event_store_root: Path | None) -> int:
    """Set the pool's runs that are said to go on to a final state and return how many; 0 if the server is away.

    With a folder, one whose flow still lives on this machine goes on, and one whose session does is started again; of
    one that people cancelled meanwhile the session ends.
    """
    if event_store_root is not None:
        _end_cancelled(api_url, auth, event_store_root)
    user, _, password = auth.partition(":")
    wanted: dict[str, Any] = {
        "flow_runs": {"state": {"type": {"any_": list(GOING_ON)}}}, "work_pools": {"name": {"any_": [pool]}},
        "limit": RUNS_MAX,
    }
    try:
        found = requests.post(f"{api_url}/flow_runs/filter", json=wanted, auth=(user, password), timeout=WITHIN_S)
        found.raise_for_status()
        runs = found.json()
        for run in runs:
            run_id = run_id_of(run["tags"])
            left = Left.GONE if event_store_root is None else left_of(event_store_root, run_id)
            if event_store_root is not None and left is Left.ALONE:
                only_take_up(event_store_root, run_id)
            for wanted_state in {Left.GOING_ON: [], Left.ALONE: [state, AWAITED], Left.GONE: [state]}[left]:
                _set(f"{api_url}/flow_runs/{run['id']}/set_state", (user, password), wanted_state)
    except (requests.RequestException, ValueError):
        return 0
    return len(runs)


def _end_cancelled(api_url: str, auth: str, event_store_root: Path) -> None:
    with suppress(*API_AWAY), SyncPrefectClient(
        api_url, auth_string=auth, httpx_settings={"timeout": WITHIN_S}
    ) as client:
        end_cancelled(client, event_store_root)


def _set(path: str, auth: tuple[str, str], state: dict[str, str]) -> None:
    for _ in range(TRIES_MAX):
        answer = requests.post(path, json={"state": state, "force": True}, auth=auth, timeout=WITHIN_S)
        if answer.status_code != BUSY:
            return
        pause(BETWEEN_TRIES_S)
