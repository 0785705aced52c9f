"""Look at an existing run again: verify it, build its report anew and show both. The decision is not touched."""

from __future__ import annotations

import os

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from checks.report import build_report
from flows.answers import answered
from flows.finished_run import finished_run
from flows.labels import label
from flows.requests import RunRequest
from tasks.pages import show_decision
from trading_core.gate.publish import GateFiles
from trading_core.gate.record import record_from_bytes
from trading_core.gate.verify import verify_run
from trading_core.run_files import DECISION
from trading_core.settings import load_settings
from trading_core.storage.artifact_store import ArtifactStore


@flow(name="report", flow_run_name="{request.run_id}")
def report(request: RunRequest) -> State[None]:
    """Hash a run's artifacts again, decide again, compare byte for byte, and build its report anew.

    Verified: the verdict follows from its evidence. NotVerified: something differs, and the message says what.
    """
    settings = load_settings(os.environ)
    context = finished_run(settings, request.run_id)
    label(context)
    found = verify_run(context.run_dir, GateFiles(settings.event_store_root), None)
    show_decision(
        context, record_from_bytes(ArtifactStore(context.run_dir).read(DECISION)), build_report(context.run_dir)
    )
    if not found.is_verified or found.decision is None:
        words = "; ".join(found.problems) or "there is no decision to verify"
        return answered(Failed(name="NotVerified", message=words))
    return Completed(
        name="Verified", message=f"{found.decision.verdict} of {context.run_id} follows from its evidence byte for byte"
    )
