"""Stage 4 of 6: the only one that places orders."""

from __future__ import annotations

from prefect import task

from tasks.options import ACTS
from trading_core.bootstrap import for_session
from trading_core.plan import Stage
from trading_core.run import Endpoint, RunContext
from trading_core.session_supervisor import supervise
from trading_core.stages.files import attempt
from trading_core.stages.result import StageResult


@task(name="live micro test", task_run_name="live micro test", **ACTS)
def live_micro_test(context: RunContext, endpoint: Endpoint) -> StageResult:
    """Trade the plan's protocol with real orders at the run's venue, and end flat. The session has its own process."""
    return attempt(context, Stage.LIVE_MICRO_TEST, lambda: supervise(context, for_session(context, endpoint)))
