"""`greenlight retry`: go on with a run that failed or was lost. It needs the run's files and no database of Prefect."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import typer

from flows.again import latest_attempt
from flows.finished_run import finished_run
from flows.requests import Again
from trading_core.errors import ConfigurationError, IntegrityError
from trading_core.gate.outcomes import Verdict
from trading_core.gate.record import record_from_bytes
from trading_core.run import RunContext
from trading_core.run_files import DECISION, REQUEST, run_dir
from trading_core.settings import load_settings
from trading_core.storage.artifact_store import ArtifactStore

RunId = Annotated[str, typer.Argument(help="The run's id; of several attempts the last one is meant.")]
From = Annotated[
    Again, typer.Option("--from", help="Execute this stage and all later ones again, whatever they showed.")
]

ApprovalFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--approval-file",
        help="File of mode 0600 with one answer as JSON: approver, answer, reason, subject. It counts once and is "
        "removed; once more for a second person.",
    ),
]


class Asked(NamedTuple):
    """What the flow is asked, and the run that it is asked of."""

    request: dict[str, Any]
    context: RunContext


def asked_again(run: str, from_stage: Again) -> Asked:
    """Return the request of a run, to be asked again; raises ConfigurationError if there is nothing to retry."""
    settings = load_settings(os.environ)
    context = finished_run(settings, run)
    last = finished_run(settings, latest_attempt(context))
    store = ArtifactStore(last.run_dir)
    if DECISION in store.manifest().artifacts and record_from_bytes(store.read(DECISION)).verdict is Verdict.GO:
        raise ConfigurationError(f"run {last.run_id} is GO: there is nothing to retry; start a new run")
    if from_stage is Again.NO:
        raise ConfigurationError("--from no is no stage: leave it out, or name the stage to begin with")
    try:
        request: dict[str, Any] = msgspec.json.decode((last.run_dir / REQUEST).read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError) as e:
        raise IntegrityError(f"run {last.run_id} has no readable {REQUEST}: start it again by greenlight run") from e
    return Asked({**request, "run_id": last.run_id, "again": from_stage}, last)


def store_of_last(asked: Asked) -> ArtifactStore:
    """Return the files of the attempt that the retry came to."""
    context = asked.context
    return ArtifactStore(run_dir(_root(context), context.plan.name, latest_attempt(context)))


def _root(context: RunContext) -> Path:
    return context.run_dir.parent.parent
