"""Stage 4 of 6: the only one that places orders."""

from __future__ import annotations

from prefect import task

from tasks.options import ACTS
from trading_core.bootstrap import Connection, connect, make_guard
from trading_core.errors import StorageError
from trading_core.plan import Stage
from trading_core.products import Product
from trading_core.run import Endpoint, RunContext
from trading_core.run_log import RunLog
from trading_core.stages import live_micro_test as stage
from trading_core.stages.files import attempt
from trading_core.stages.result import StageResult
from trading_core.storage.event_store import EventStore
from trading_core.strategies.port import load_strategy


@task(name="live micro test", **ACTS)
def live_micro_test(context: RunContext, endpoint: Endpoint) -> StageResult:
    """Trade the plan's protocol with real orders at the run's venue, and end flat."""
    return attempt(context, Stage.LIVE_MICRO_TEST, lambda: _run(context, endpoint))


def _run(context: RunContext, endpoint: Endpoint) -> StageResult:
    result: StageResult | None = None
    try:
        with (
            connect(context, endpoint) as connection,
            EventStore.open(
                context.event_store_root, context.run_id, genesis=context.order_prefix,
                is_durable=connection.is_durable,
            ) as store,
        ):
            products = {p.product_id: connection.venue.product(p.product_id) for p in context.plan.products}
            log = RunLog(context, products, store, connection.executor)
            result = stage.run(_given(context, connection, products, log))
            log.finish()
    except StorageError as e:
        if result is None:
            raise
        # Whether the venue is flat was found out: a disk that fills up afterwards must not hide it.
        return stage.not_stored(result, e)
    return result


def _given(
    context: RunContext, connection: Connection, products: dict[str, Product], log: RunLog
) -> stage.MicroTestInput:
    return stage.MicroTestInput(
        context=context,
        products=products,
        clock=connection.clock,
        feed=connection.feed(),
        broker=connection.require_broker(),
        log=log,
        guard=make_guard(context, connection.clock),
        strategy=load_strategy(context.plan.entry, context.seed),
    )
