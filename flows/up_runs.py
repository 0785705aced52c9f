"""What Prefect says of runs whose worker is gone: without this they would be shown as running for ever."""

from __future__ import annotations

from typing import Any

import requests

from trading_core.clock import pause

WITHIN_S = 5.0
BUSY = 503  # HTTP: the server's database is busy right now
TRIES_MAX, BETWEEN_TRIES_S = 5, 1.0
RUNS_MAX = 200  # a page of Prefect's API
GOING_ON = ("PENDING", "RUNNING", "CANCELLING")


def settle_runs(api_url: str, auth: str, pool: str, state: dict[str, str]) -> int:
    """Set the pool's runs that are said to go on to a final state and return how many; 0 if the server is away."""
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
            path = f"{api_url}/flow_runs/{run['id']}/set_state"
            for _ in range(TRIES_MAX):
                asked = {"state": state, "force": True}
                answer = requests.post(path, json=asked, auth=(user, password), timeout=WITHIN_S)
                if answer.status_code != BUSY:
                    break
                pause(BETWEEN_TRIES_S)
    except (requests.RequestException, ValueError):
        return 0
    return len(runs)
