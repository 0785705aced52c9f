"""What became on this machine of a run whose worker is gone: the truth is in locks and beats, not in Prefect's list."""

from __future__ import annotations

import os
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.states import AwaitingRetry, Crashed

from flows.account_slot import LOCK_FILE
from trading_core.control.accounts import REHEARSAL
from trading_core.errors import StorageError
from trading_core.heartbeat import read_beats
from trading_core.run import RunContext
from trading_core.session_supervisor import session_folder, trading_run
from trading_core.settings import load_settings
from trading_core.storage.lock import is_held

RUN_TAG = "run:"
STARTS_MAX = 10  # of one run: a flow that dies each time is not started for ever
ONLY_TAKE_UP = "take_up"
TAKEN_UP = "its session still trades: the run takes it up again"


class Left(StrEnum):
    """What there is of a run."""

    GOING_ON = "going on"  # its flow lives, with or without a worker
    ALONE = "alone"  # its session lives, and nobody supervises it
    GONE = "gone"  # neither, on this machine


def left_of(event_store_root: Path, run_id: str) -> Left:
    """Return what there is of a run on this machine; a beat that cannot be read counts as gone."""
    try:
        beats = [beat for beat in read_beats(event_store_root) if beat.run_id == run_id]
        accounts = {f"{REHEARSAL}{run_id}", *(beat.account for beat in beats)}
        if any(is_held(event_store_root / "accounts" / account / LOCK_FILE) for account in accounts):
            return Left.GOING_ON
        return Left.ALONE if any(trading_run(event_store_root, name) == run_id for name in accounts) else Left.GONE
    except StorageError:
        return Left.GONE


def run_id_of(tags: Iterable[str]) -> str:
    """Return our run id of a Prefect run by its tags; empty if it has not begun."""
    return next((tag.removeprefix(RUN_TAG) for tag in tags if tag.startswith(RUN_TAG)), "")


def take_up(client: SyncPrefectClient, event_store_root: Path, run: FlowRun) -> Left:
    """Return what is left of a run that its worker lost; one that is alone crashed, and is started again to take it up.

    Nothing is traded again by that: the flow waits for the session that trades already.
    """
    left = left_of(event_store_root, run_id_of(run.tags))
    if left is Left.ALONE:
        if run.run_count >= STARTS_MAX:
            return Left.GONE
        if run.state is None or not run.state.is_crashed():
            client.set_flow_run_state(run.id, Crashed(message=TAKEN_UP), force=True)
        only_take_up(event_store_root, run_id_of(run.tags))
        client.set_flow_run_state(run.id, AwaitingRetry(message=TAKEN_UP), force=True)
    return left


def only_take_up(event_store_root: Path, run_id: str) -> None:
    """Leave word beside the run's session that the next start of the run was asked for by no person."""
    for beat in read_beats(event_store_root):
        if beat.run_id == run_id:
            (event_store_root / "accounts" / beat.account / ONLY_TAKE_UP).write_text(run_id, "utf-8")


def is_only_to_take_up(context: RunContext) -> bool:
    """Tell whether this start of the run was asked for by no person, and take the word away: it counts once."""
    path = session_folder(context) / ONLY_TAKE_UP
    try:
        is_meant = path.read_text("utf-8") == context.run_id
    except FileNotFoundError:
        return False
    path.unlink(missing_ok=True)
    return is_meant


def after_crash(flow: object, flow_run: FlowRun, state: object) -> None:  # noqa: ARG001 - Prefect passes these names
    """Take up the session of a flow that was killed. Prefect calls this in the worker's process."""
    with get_client(sync_client=True) as client:
        take_up(client, load_settings(os.environ).event_store_root, client.read_flow_run(flow_run.id))
