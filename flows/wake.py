"""Tells Prefect that a suspended run was answered elsewhere. It needs Prefect's API and none of Prefect's code."""

from __future__ import annotations

import os
from typing import Any

import requests

from trading_core.clock import pause
from trading_core.gate.start_approval import StartAnswer, StartRequest

WITHIN_S = 10.0
BUSY = 503  # HTTP: the server's database is busy right now
TRIES_MAX, BETWEEN_TRIES_S = 5, 1.0


def woken(asked: StartRequest, given: StartAnswer) -> str:
    """Resume the flow run that waits for this answer, and return what came of it as words for people.

    The answer travels along, for Prefect resumes no form without one; that it comes twice does not matter.
    """
    if not asked.question:
        return f"run greenlight retry {asked.run_id}"
    url = os.environ.get("PREFECT_API_URL", "").rstrip("/")
    not_told = f"in Prefect's UI Resume the run (flow run {asked.flow_run_id})"
    if not url:
        return f"PREFECT_API_URL is not set and greenlight up does not run here, so Prefect was not told: {not_told}"
    try:
        result = _resume(f"{url}/flow_runs/{asked.flow_run_id}/resume", given)
    except (requests.RequestException, ValueError) as e:
        return f"Prefect at {url} could not be told ({type(e).__name__}): {not_told}"
    if result["status"] == "ACCEPT":
        return "the run that waits in Prefect goes on"
    return f"it does not wait in Prefect ({result['details'].get('reason', '')}): run greenlight retry {asked.run_id}"


def _resume(path: str, given: StartAnswer) -> dict[str, Any]:
    user, _, password = os.environ.get("PREFECT_API_AUTH_STRING", "").partition(":")
    for _ in range(TRIES_MAX):
        body = {"run_input": given.model_dump()}
        answer = requests.post(path, json=body, auth=(user, password) if user else None, timeout=WITHIN_S)
        if answer.status_code != BUSY:
            break
        pause(BETWEEN_TRIES_S)
    answer.raise_for_status()
    result: dict[str, Any] = answer.json()
    return result
