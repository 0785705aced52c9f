"""Stage 3 of 6."""

from __future__ import annotations

from prefect import task

from tasks.options import READS
from trading_core.bootstrap import connect
from trading_core.engine import make_engine
from trading_core.plan import Stage
from trading_core.run import Endpoint, RunContext
from trading_core.stages import dry_run_pulse as stage
from trading_core.stages.files import attempt
from trading_core.stages.result import StageResult
from trading_core.strategies.port import load_strategy


@task(name="dry-run pulse", task_run_name="dry-run pulse", **READS)
def dry_run_pulse(context: RunContext, endpoint: Endpoint) -> StageResult:
    """Run one cycle on live data with nothing that could place an order."""
    return attempt(context, Stage.DRY_RUN_PULSE, lambda: _run(context, endpoint))


def _run(context: RunContext, endpoint: Endpoint) -> StageResult:
    plan = context.plan
    with connect(context, endpoint) as connection:
        products = {p.product_id: connection.venue.product(p.product_id) for p in plan.products}
        given = stage.PulseInput(
            plan=plan,
            feed=connection.feed(),
            venue=connection.venue,
            clock=connection.clock,
            strategy=load_strategy(plan.entry, context.seed),
            engine=make_engine(plan, products, context.order_prefix),
        )
        return stage.run(given)
