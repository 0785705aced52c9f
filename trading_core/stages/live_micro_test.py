"""Live micro test: the plan's protocol with real orders at the venue of the run, ended flat."""

from __future__ import annotations

from dataclasses import dataclass

from trading_core.clock import NS, Clock
from trading_core.desk import Desk
from trading_core.engine import Engine
from trading_core.errors import GreenlightError, StorageError
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


def not_stored(result: StageResult, error: StorageError) -> StageResult:
    """Return the result as one that failed because its evidence could not be stored; what it found stays."""
    check = Check(
        name="stored", status=CheckStatus.FAILED, observed=f"{type(error).__name__}: {error}",
        needed="every event and artifact is on disk", remedy="free disk space and run again",
    )
    summary = result.summary if result.status is StageStatus.FAILED else f"{check.name}: {check.observed}"
    return result.model_copy(
        update={"status": StageStatus.FAILED, "checks": (*result.checks, check), "summary": summary}
    )


def _result(engine: Engine, session: Session, failure: str, started_ns: int, ended_ns: int) -> StageResult:
    checks = (
        _check("session", not failure, failure or "ran to its end", "the session runs to its end",
               "see the event store for the last event"),
        _guardrails(engine),
        *_steps(engine, failure),
        _flat(session),
    )
    bad = next((c for c in checks if c.status is not CheckStatus.PASSED), None)
    shown = len(engine.desk.steps_ended)
    return StageResult(
        stage=Stage.LIVE_MICRO_TEST,
        status=StageStatus.PASSED if bad is None else StageStatus.FAILED,
        started_ns=started_ns,
        ended_ns=ended_ns,
        summary=f"{shown} steps shown, flat at the end" if bad is None else f"{bad.name}: {bad.observed}",
        checks=checks,
    )


def _guardrails(engine: Engine) -> Check:
    trips = engine.guardrails.latched.values()
    words = [f"{t.name}: {t.observed} (limit {t.limit}) {t.detail}".rstrip() for t in trips]
    return _check(
        "guardrails", not trips, "; ".join(words) or "none latched", "no guardrail latches",
        "find the cause before another attempt",
    )


def _steps(engine: Engine, failure: str) -> list[Check]:
    """Return a check for each step of the plan, also for those that never began."""
    blocker = "guardrails" if engine.guardrails.latched else "session" if failure else ""
    checks = []
    for name in engine.desk.plan.protocol.steps:
        step = engine.desk.steps_ended.get(name)
        if step is None:
            check = Check(
                name=name, status=CheckStatus.NOT_EVALUATED, observed="the step did not end",
                needed="the effect is provoked and seen", remedy="see the event log of this step", blocked_by=blocker,
            )
        else:
            check = _check(
                name, step.is_shown, step.detail, "the effect is provoked and seen", "see the event log of this step"
            )
        checks.append(check)
    return checks


def _flat(session: Session) -> Check:
    flat = session.flat
    return _check(
        "flat_at_end", flat is not None and flat.is_flat, "not verified" if flat is None else flat.sentence,
        "no open orders and no position", "close at the venue by hand, now",
    )


def _check(name: str, is_good: bool, observed: str, needed: str, remedy: str) -> Check:
    return Check(
        name=name, status=CheckStatus.PASSED if is_good else CheckStatus.FAILED, observed=observed, needed=needed,
        remedy="" if is_good else remedy,
    )
