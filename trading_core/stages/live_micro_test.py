"""Live micro test: the plan's protocol with real orders at the venue of the run, ended flat."""

from __future__ import annotations

from dataclasses import dataclass

from trading_core.clock import NS, Clock
from trading_core.desk import Desk
from trading_core.engine import Engine
from trading_core.errors import GreenlightError
from trading_core.plan import Stage
from trading_core.ports import Broker, Feed
from trading_core.products import Product
from trading_core.protocol import micro_test
from trading_core.run import RunContext
from trading_core.session import EventLog, Session
from trading_core.stages.result import Check, CheckStatus, StageResult, StageStatus
from trading_core.strategies.port import Strategy
from trading_core.trading_state import TradingGuard

BEYOND_WINDOW_S = 1_200  # venue seconds that steps before and after the trading window may take in all


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroTestInput:
    """What the micro test trades with."""

    context: RunContext
    products: dict[str, Product]
    clock: Clock
    feed: Feed
    broker: Broker
    log: EventLog
    guard: TradingGuard
    strategy: Strategy


def run(given: MicroTestInput) -> StageResult:
    """Return the stage's result. Whatever happens, the session has tried to end flat and says whether it did."""
    plan, clock = given.context.plan, given.clock
    started_ns = clock.now_ns()
    desk = Desk(plan, given.products, given.context.order_prefix)
    engine = Engine(desk, micro_test(desk, given.strategy, started_ns))
    session = Session(
        clock=clock, feed=given.feed, broker=given.broker, log=given.log, engine=engine, guard=given.guard,
    )
    failure = ""
    try:
        with session:
            session.run(started_ns + (plan.protocol.window_s + BEYOND_WINDOW_S) * NS)
    except GreenlightError as e:
        failure = f"{type(e).__name__}: {e}"
    return _result(engine, session, failure, started_ns, clock.now_ns())


def _result(engine: Engine, session: Session, failure: str, started_ns: int, ended_ns: int) -> StageResult:
    steps = engine.desk.steps_ended
    checks = [
        Check(
            name="session", status=_status(not failure), observed=failure or "ran to its end",
            needed="the session runs to its end",
            remedy="" if not failure else "see the event store for the last event",
        )
    ]
    trips = engine.guardrails.latched.values()
    checks.append(
        Check(
            name="guardrails", status=_status(not trips),
            observed="; ".join(f"{t.name}: {t.observed} (limit {t.limit}) {t.detail}".rstrip() for t in trips) or "none latched",
            needed="no guardrail latches", remedy="" if not trips else "find the cause before another attempt",
        )
    )
    for name in engine.desk.plan.protocol.steps:
        step = steps.get(name)
        checks.append(
            Check(
                name=name, status=CheckStatus.NOT_EVALUATED if step is None else _status(step.is_shown),
                observed="the step did not end" if step is None else step.detail,
                needed="the effect is provoked and seen",
                remedy="" if step is not None and step.is_shown else "see the event log of this step",
                blocked_by="guardrails" if trips else "session" if failure else "",
            )
        )
    flat = session.flat
    checks.append(
        Check(
            name="flat_at_end", status=_status(flat is not None and flat.is_flat),
            observed="not verified" if flat is None else flat.sentence, needed="no open orders and no position",
            remedy="" if flat is not None and flat.is_flat else "close at the venue by hand, now",
        )
    )
    bad = next((c for c in checks if c.status is not CheckStatus.PASSED), None)
    return StageResult(
        stage=Stage.LIVE_MICRO_TEST,
        status=StageStatus.PASSED if bad is None else StageStatus.FAILED,
        started_ns=started_ns,
        ended_ns=ended_ns,
        summary=f"{len(steps)} steps shown, flat at the end" if bad is None else f"{bad.name}: {bad.observed}",
        checks=tuple(checks),
    )


def _status(is_good: bool) -> CheckStatus:
    return CheckStatus.PASSED if is_good else CheckStatus.FAILED
