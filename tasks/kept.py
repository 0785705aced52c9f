"""A stage that ended before this flow run began, shown among the others and not executed."""

from __future__ import annotations

from prefect import task
from prefect.client.schemas.objects import State
from prefect.states import Completed

from tasks.options import ACTS
from trading_core.run import RunContext
from trading_core.stages.result import StageResult

KEPT = "Kept"


def kept(context: RunContext, result: StageResult) -> StageResult:
    """Return the result of a stage that ended before, and show it as Kept."""
    name = str(result.stage).replace("_", " ")
    _kept.with_options(name=name, task_run_name=f"{name} (kept)")(context, result, return_state=True)
    return result


@task(name="kept stage", **ACTS)
def _kept(context: RunContext, result: StageResult) -> State[StageResult]:
    before = f"{result.status} before in run {context.run_id}"
    words = f"{before}, on the same subject and artifacts: not executed again"
    return Completed(name=KEPT, message=words, data=result)
