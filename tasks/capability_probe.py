"""Stage 2 of 6."""

from __future__ import annotations

from prefect import task

from tasks.options import READS
from trading_core.bootstrap import connect
from trading_core.plan import Stage
from trading_core.run import Endpoint, RunContext
from trading_core.stages import capability_probe as stage
from trading_core.stages.files import attempt
from trading_core.stages.result import StageResult


@task(name="capability probe", task_run_name="capability probe", **READS)
def capability_probe(context: RunContext, endpoint: Endpoint) -> StageResult:
    """Ask the venue what it offers for this plan: by metadata and preview, never by an order."""
    return attempt(context, Stage.CAPABILITY_PROBE, lambda: _run(context, endpoint))


def _run(context: RunContext, endpoint: Endpoint) -> StageResult:
    with connect(context, endpoint) as connection:
        given = stage.ProbeInput(context=context, venue=connection.venue, clock=connection.clock)
        return stage.run(given)
