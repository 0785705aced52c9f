"""Live micro test: the plan's protocol with real orders at the venue of the run, ended flat.

With events of an earlier session of the run it goes on where that one was: same window, same counters, same script.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain

import msgspec

from trading_core.clock import NS, Clock
from trading_core.desk import Desk
from trading_core.emergency import FlatReport
from trading_core.engine import Engine
from trading_core.errors import ConfigurationError, GreenlightError, StorageError
from trading_core.events import SessionStarted, TailRepaired
from trading_core.lifeline import Lifeline, NoTenure, Tenure
from trading_core.plan import Stage
from trading_core.ports import Broker, Feed
from trading_core.products import Product
from trading_core.protocol import micro_test
from trading_core.resume import replay
from trading_core.run import RunContext
from trading_core.session import EventLog, Session
from trading_core.stages.result import Check, CheckStatus, StageResult, StageStatus
from trading_core.storage.event_reader import StoredEvent
from trading_core.strategies.port import Strategy, reads_bars
from trading_core.trading_state import TradingGuard

STOPPED = "stopped"  # the check of a session that somebody ended: no failure of its own
BEYOND_WINDOW_S = 7_200  # venue seconds for the steps after the window: four symbols built to size and closed


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroTestInput:
    """What the micro test trades with; `stored` are the events of the run so far, none at its first start."""

    context: RunContext
    products: dict[str, Product]
    clock: Clock
    feed: Feed
    broker: Broker
    log: EventLog
    guard: TradingGuard
    strategy: Strategy
    stored: Iterable[StoredEvent] = ()
    exchange_ns: int = 0  # when the local exchange began, 0 at a venue that outlives runs
    lifeline: Lifeline = field(default_factory=Lifeline)
    tenure: Tenure = field(default_factory=NoTenure)


def run(given: MicroTestInput) -> StageResult:
    """Return the stage's result. Whatever happens, the session has tried to end flat and says whether it did.

    Raises ConfigurationError, before anything is done, if the stored events are of another run than the given one.
    """
    plan, clock = given.context.plan, given.clock
    session, started_ns = _session(given)
    failure = ""
    try:
        with session:
            session.run(started_ns + (plan.protocol.window_s + BEYOND_WINDOW_S) * NS)
    except GreenlightError as e:
        failure = f"{type(e).__name__}: {e}"
    checks = (
        made_check("session", not failure, failure or "ran to its end", "the session runs to its end",
               "see the event store for the last event"),
        *_stopped(given.lifeline),
    )
    return result_of(session.engine, checks, session.flat, started_ns, clock.now_ns())


def _session(given: MicroTestInput) -> tuple[Session, int]:
    """Return the session, begun or rebuilt, and when its run began."""
    context = given.context
    rows = (row for row in given.stored if not isinstance(row.event, TailRepaired))
    first = next(rows, None)
    opening = _opening(given) if first is None else require_same(first, given)
    engine = make_engine(context, opening, given.strategy)
    past = None if first is None else replay(engine, chain([first], rows), lambda row: _restore(given, row))
    session = Session(
        clock=given.clock, feed=given.feed, broker=given.broker, log=given.log, engine=engine, guard=given.guard,
        opening=opening, past=past, lifeline=given.lifeline, tenure=given.tenure,
    )
    return session, opening.ts_ns


def _restore(given: MicroTestInput, row: StoredEvent) -> None:
    """Take an event of before the crash: the artifacts go on with it, and what cost the rung its tenure still does."""
    given.lifeline.moves += 1  # a replay of a day takes half a minute, and must not look dead to the watchdog
    given.log.restore(row)
    if row.kind == "record":
        given.tenure.note(row.seq, row.event)


def make_engine(context: RunContext, opening: SessionStarted, strategy: Strategy) -> Engine:
    """Return the engine of a run that began so, with its protocol: to trade with, or to replay."""
    desk = Desk(context.plan, {p.product_id: p for p in opening.products}, context.order_prefix)
    desk.reads_bars = reads_bars(strategy)
    return Engine(desk, micro_test(desk, strategy, opening.ts_ns))


def require_same(first: StoredEvent, given: MicroTestInput) -> SessionStarted:
    """Return how the run began; raises ConfigurationError unless what is given may go on with it."""
    began, now, run_id = first.event, _opening(given), given.context.run_id
    if not isinstance(began, SessionStarted):
        raise ConfigurationError(f"run {run_id} was stored by a build that could not go on: start a new run")
    if began.exchange_ns != now.exchange_ns:
        raise ConfigurationError(
            f"the exchange that run {run_id} traded at has ended, and its account with it: start a new run"
        )
    for name in ("plan_digest", "subject_digest"):
        if getattr(began, name) != getattr(now, name):
            raise _refusal(run_id, name.replace("_", " "))
    if [_frame(p) for p in began.products] != [_frame(p) for p in now.products]:
        raise _refusal(run_id, "increment or minimum of its products")
    return began


def _refusal(run_id: str, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"run {run_id} began with another {what}: go on with the same, or look at the venue for what it left open "
        "and start a new run"
    )


def _frame(product: Product) -> Product:
    """Return the product without what may change while a run lasts."""
    return msgspec.structs.replace(product, funding_rate=None, is_tradable=True, display_name="")


def _opening(given: MicroTestInput) -> SessionStarted:
    context = given.context
    return SessionStarted(
        ts_ns=given.clock.now_ns(), plan_digest=context.plan.digest, subject_digest=context.subject_digest,
        exchange_ns=given.exchange_ns, products=tuple(given.products.values()),
    )


def _stopped(lifeline: Lifeline) -> tuple[Check, ...]:
    """Return the check that says who ended the session early; none if nobody did."""
    if not lifeline.stop_reason:
        return ()
    return (
        made_check(STOPPED, False, lifeline.stop_reason, "nobody stops the session", "start a new run"),
    )


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


def result_of(
    engine: Engine, ended: tuple[Check, ...], flat: FlatReport | None, started_ns: int, ended_ns: int
) -> StageResult:
    """Return the stage's result: how the session ended, what the engine showed, what the venue has left."""
    checks = (*ended, _guardrails(engine), *_steps(engine, ended), _flat(flat))
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
    return made_check(
        "guardrails", not trips, "; ".join(words) or "none latched", "no guardrail latches",
        "find the cause before another attempt",
    )


def _steps(engine: Engine, ended: tuple[Check, ...]) -> list[Check]:
    """Return a check for each step of the plan, also for those that never began."""
    cut_short = next((check.name for check in ended if check.status is CheckStatus.FAILED), "")
    blocker = "guardrails" if engine.guardrails.latched else cut_short
    checks = []
    for name in engine.desk.plan.protocol.steps:
        step = engine.desk.steps_ended.get(name)
        if step is None:
            check = Check(
                name=name, status=CheckStatus.NOT_EVALUATED, observed="the step did not end",
                needed="the effect is provoked and seen", remedy="see the event log of this step", blocked_by=blocker,
            )
        else:
            check = made_check(
                name, step.is_shown, step.detail, "the effect is provoked and seen", "see the event log of this step"
            )
        checks.append(check)
    return checks


def _flat(flat: FlatReport | None) -> Check:
    return made_check(
        "flat_at_end", flat is not None and flat.is_flat, "not verified" if flat is None else flat.sentence,
        "no open orders and no position", "close at the venue by hand, now",
    )


def made_check(name: str, is_good: bool, observed: str, needed: str, remedy: str) -> Check:
    """Return a check that is either passed, and then needs no remedy, or failed."""
    return Check(
        name=name, status=CheckStatus.PASSED if is_good else CheckStatus.FAILED, observed=observed, needed=needed,
        remedy="" if is_good else remedy,
    )
