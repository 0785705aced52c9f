"""Stage 5 of 6."""

from __future__ import annotations

from prefect import task

from checks.analysis import analyse
from tasks.options import READS
from trading_core.plan import Stage
from trading_core.run import RunContext
from trading_core.stages.files import attempt
from trading_core.stages.result import StageResult


@task(name="artifact analysis", task_run_name="artifact analysis", **READS)
def artifact_analysis(context: RunContext, now_ns: int) -> StageResult:
    """Check every artifact and derive the observations that the gate judges, as of a moment of venue time."""
    return attempt(context, Stage.ARTIFACT_ANALYSIS, lambda: analyse(context, now_ns))
