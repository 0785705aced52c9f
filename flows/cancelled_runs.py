"""Runs that people cancelled in Prefect when no worker was there to tell them: they end reduce-only and flat anyway.

A flow that lives sees it by itself (tasks.window). A session that lost its flow, too, is stopped by the next worker.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.sorting import FlowRunSort
from prefect.runtime import flow_run
from prefect.states import Cancelled

from flows.answers import REFUSED, STOPPED, answered
from flows.left_runs import RUN_TAG
from tasks.window import CALL_WITHIN_S, is_cancelled, within
from trading_core.errors import StorageError
from trading_core.session_supervisor import stop_if_alone, trading_run

TOLD_LATE = "cancelled while no worker was there: its session was asked to end reduce-only and flat"


def end_cancelled(client: SyncPrefectClient, event_store_root: Path) -> list[str]:
    """Stop each session of this machine that nobody supervises and whose run was cancelled; return the runs' names."""
    ended = []
    for folder in sorted((event_store_root / "accounts").glob("*")):
        with suppress(StorageError):  # who trades is not known: the grace time ends it
            run_id = trading_run(event_store_root, folder.name)
            run = _newest(client, run_id) if run_id else None
            if run is not None and is_cancelled(run.state) and stop_if_alone(folder):
                client.set_flow_run_state(run.id, Cancelled(message=TOLD_LATE), force=True)
                ended.append(run.name)
    return ended


def _newest(client: SyncPrefectClient, run_id: str) -> FlowRun | None:
    """Return the newest of Prefect's runs that ran our run id, and not one that was refused because another had it."""
    of_run = FlowRunFilter(tags=FlowRunFilterTags(all_=[f"{RUN_TAG}{run_id}"]))
    found = client.read_flow_runs(flow_run_filter=of_run, sort=FlowRunSort.START_TIME_DESC)
    return next((run for run in found if run.state is not None and run.state.name != REFUSED), None)


def was_cancelled() -> bool:
    """Tell whether people cancelled this run; an API that does not answer in time leaves it at its verdict."""
    return is_cancelled(_own_state())


def as_stopped() -> State[None] | None:
    """Return the state of a run that was ended with its worker; None if whoever sent the signal has said nothing."""
    state = _own_state()
    if state is None or state.name != STOPPED:
        return None
    return answered(Cancelled(name=STOPPED, message=state.message))


def _own_state() -> State[Any] | None:
    if flow_run.id is None:
        return None
    flow_run_id, found = UUID(flow_run.id), list[State[Any] | None]()

    def ask() -> None:
        with get_client(sync_client=True, httpx_settings={"timeout": CALL_WITHIN_S}) as client:
            found.append(client.read_flow_run(flow_run_id).state)

    within(CALL_WITHIN_S, ask, "how Prefect has this run")
    return found[0] if found else None
