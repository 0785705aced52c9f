"""Stage 1 of 6."""

from __future__ import annotations

import os

from prefect import task

from tasks.options import READS
from trading_core.bootstrap import connect, make_guard
from trading_core.gate.signing import signing_key
from trading_core.plan import Stage
from trading_core.run import Endpoint, RunContext
from trading_core.settings import load_settings
from trading_core.stages import preflight as stage
from trading_core.stages.files import attempt
from trading_core.stages.result import StageResult


@task(name="preflight", task_run_name="preflight", **READS)
def preflight(context: RunContext, endpoint: Endpoint) -> StageResult:
    """Check everything that must be right before a run touches a market."""
    return attempt(context, Stage.PREFLIGHT, lambda: _run(context, endpoint))


def _run(context: RunContext, endpoint: Endpoint) -> StageResult:
    key = signing_key(load_settings(os.environ))
    with connect(context, endpoint) as connection:
        given = stage.PreflightInput(
            context=context,
            endpoint=endpoint,
            venue=connection.venue,
            clock=connection.clock,
            guard=make_guard(context, connection.clock),
            credentials=connection.credentials,
            decision_key=None if key is None else key.public_key(),
        )
        return stage.run(given)
