"""What is done for a session that was killed: the emergency ladder, and the result that it cannot write itself."""

from __future__ import annotations

import logging

from trading_core.bootstrap import account_name, connect, make_guard
from trading_core.clock import SystemClock
from trading_core.emergency import FlatReport, LadderLimits, flatten
from trading_core.engine import Engine
from trading_core.errors import GreenlightError, IntegrityError, StorageError
from trading_core.events import SessionStarted
from trading_core.executor import InlineExecutor
from trading_core.heartbeat import end_for_dead
from trading_core.plan import Stage
from trading_core.prepare import now_at
from trading_core.resume import replay
from trading_core.run import Endpoint, RunContext, VenueName
from trading_core.run_log import RunLog
from trading_core.session import flat_at_end
from trading_core.stages import live_micro_test as stage
from trading_core.stages.result import Check, CheckStatus, StageResult, StageStatus
from trading_core.storage.event_reader import EventReader, StoredEvent
from trading_core.storage.event_store import EventStore
from trading_core.strategies.port import load_strategy
from trading_core.trading_state import TradingState

log = logging.getLogger(__name__)


def rescue(context: RunContext, endpoint: Endpoint, cause: str) -> StageResult:
    """Climb the emergency ladder for a session that is dead, at once, and return the stage's failed result.

    What the account held before the run is known from the stored events; without them no position is known to be
    ours, and only orders are cancelled.
    """
    result = _rescued(context, endpoint, cause)
    is_flat = any(check.name == "flat_at_end" and check.status is CheckStatus.PASSED for check in result.checks)
    try:
        end_for_dead(context.event_store_root, account_name(context), context.run_id, is_flat)
    except StorageError as e:
        log.error("end_not_said", extra={"why": str(e)})  # the watchdog climbs once more, which harms nobody
    return result


def _rescued(context: RunContext, endpoint: Endpoint, cause: str) -> StageResult:
    guard = make_guard(context, SystemClock(endpoint.speed, endpoint.clock_anchor_ns or None))
    guard.tighten(TradingState.REDUCE_ONLY, reason=cause, actor="supervisor")
    began, engine = rebuild(context)
    if context.venue is VenueName.SIMULATED:
        return _venue_ended(context, engine, began, cause)
    with connect(context, endpoint) as connection:
        if engine is None:
            desk_products, opening = {}, {}
        else:
            desk = engine.desk
            desk_products, opening = (desk.products if desk.ledger is not None else {}), desk.opening_positions
        report = flatten(
            connection.require_broker(), connection.clock, desk_products, opening,
            collar_bps=context.plan.risk.price_collar_bps, order_prefix=context.order_prefix,
            limits=LadderLimits(market_after_rounds=context.plan.rollback.market_after_rounds),
        )
        now_ns = connection.clock.now_ns()
        ended = stage.made_check("session", False, cause, "the session runs to its end", "find what killed it")
        if engine is None or began is None:
            return _unknown(ended, report, now_ns)
        result = stage.result_of(engine, (ended,), report, began.ts_ns, now_ns)
        try:
            _store_end(context, connection.is_durable, engine, report, now_ns)
        except StorageError as e:
            result = stage.not_stored(result, e)
        return result


def _venue_ended(
    context: RunContext, engine: Engine | None, began: SessionStarted | None, cause: str
) -> StageResult:
    """Return the result of a session whose exchange lived in its process: nothing can be open at it."""
    ended = stage.made_check("session", False, cause, "the session runs to its end", "start a new run")
    report = FlatReport(
        is_flat=True, open_orders=0, left={}, rounds=0, failures=("the simulated exchange ended with its session",)
    )
    now_ns = now_at(context)
    if engine is None or began is None:
        return _unknown(ended, report, now_ns)
    return stage.result_of(engine, (ended,), report, began.ts_ns, now_ns)


def rebuild(context: RunContext) -> tuple[SessionStarted | None, Engine | None]:
    """Return how the run began and its engine as of the last stored event; nothing if the store tells neither."""
    try:
        with EventReader(context.store, context.run_id) as reader:
            first = next(reader.events(types=(SessionStarted.__name__,)), None)
            if first is None or not isinstance(began := first.event, SessionStarted):
                return None, None
            engine = stage.make_engine(context, began, load_strategy(context.plan.entry, context.seed))
            past = replay(engine, reader.whole(), _ignore)
            if past.problem and engine.desk.ledger is None:
                raise IntegrityError(f"the replay ended before the books were open: {past.problem}")
            return began, engine
    except GreenlightError as e:
        log.error("events_do_not_tell", extra={"why": str(e)})
        return None, None


def _ignore(_: StoredEvent) -> None:
    """Nothing keeps artifacts here."""


def _store_end(
    context: RunContext, is_durable: bool, engine: Engine, report: FlatReport, now_ns: int
) -> None:
    """Store what the ladder came to in the dead session's chain, and save the artifacts with it."""
    with EventStore.open(
        context.store, context.run_id, genesis=context.order_prefix, is_durable=is_durable
    ) as store:
        run_log = RunLog(context, engine.desk.products, store, InlineExecutor())
        with EventReader(context.store, context.run_id) as reader:
            for stored in reader.whole():
                run_log.restore(stored)
        run_log.append(flat_at_end(report, now_ns), kind="input", durable=True)
        run_log.finish()


def _unknown(ended: Check, report: FlatReport, now_ns: int) -> StageResult:
    flat = stage.made_check(
        "flat_at_end", False, f"{report.sentence}; the store does not tell which positions were ours",
        "no open orders and no position", "close at the venue by hand, now",
    )
    return StageResult(
        stage=Stage.LIVE_MICRO_TEST, status=StageStatus.FAILED, started_ns=now_ns, ended_ns=now_ns,
        summary=f"session: {ended.observed}", checks=(ended, flat),
    )
