"""Dry-run pulse: one cycle on live data with nothing to place orders with; the types have no such method."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from trading_core.clock import NS, Clock
from trading_core.engine import Engine
from trading_core.events import AnyEvent, BookChanged, ClockTicked, StateChanged, SubmitWithheld
from trading_core.moves import away_order
from trading_core.orders import OrderIntent
from trading_core.plan import Plan, Stage
from trading_core.ports import Feed, Venue
from trading_core.products import Product
from trading_core.risk import Denial, DenialReason
from trading_core.stages.checklist import CheckSpec, Seen, holds, run_checks
from trading_core.stages.result import StageResult, StageStatus
from trading_core.strategies.port import Strategy, Watching, reads_bars
from trading_core.trading_state import TradingState

PULSE_S = 20  # venue seconds of live data
SNAPSHOTS_NEEDED = 2  # of each product: one book that never moves is not a feed


@dataclass(frozen=True, slots=True, kw_only=True)
class PulseInput:
    """What the pulse looks at: a feed to read and a venue to ask. No broker: it could not place if it wanted to."""

    plan: Plan
    feed: Feed
    venue: Venue
    clock: Clock
    strategy: Strategy
    engine: Engine


@dataclass(slots=True)
class Pulse:
    """What one cycle saw."""

    changes: dict[str, int]
    distinct_mids: dict[str, set[Decimal]]
    would_place: int = 0
    was_silent: bool = False  # the strategy wanted nothing in so short a time: it looks at a longer past
    denied: int = 0
    denied_when_stale: str = ""


def run(given: PulseInput) -> StageResult:
    """Return the stage's result."""
    started_ns = given.clock.now_ns()
    products = list(given.engine.desk.products.values())
    pulse = Pulse({p.product_id: 0 for p in products}, {p.product_id: set() for p in products})
    specs = [
        CheckSpec(
            name="feed_live", needed=f"at least {SNAPSHOTS_NEEDED} book changes of each product, and prices that move",
            remedy="check the market data stream; a feed that never moves is not data",
            look=lambda: _listen(given, products, pulse),
        ),
        CheckSpec(
            name="dry_run_cycle", needed="the strategy's wishes pass through sizing, policy and risk",
            remedy="look at the denials: a plan whose every entry is denied cannot be tested",
            after=("feed_live",), look=lambda: _cycle(pulse),
        ),
        CheckSpec(
            name="stale_blocks", needed="with a stale book every entry is denied for that reason",
            remedy="the staleness rule must come before an order leaves", after=("feed_live",),
            look=lambda: holds(
                pulse.denied_when_stale == DenialReason.STALE_BOOK,
                f"with the clock moved on, an entry was {pulse.denied_when_stale or 'not denied'}",
            ),
        ),
    ]
    result = run_checks(specs, given.clock.now_ns)
    return StageResult(
        stage=Stage.DRY_RUN_PULSE,
        status=StageStatus.PASSED if result.has_passed else StageStatus.FAILED,
        started_ns=started_ns,
        ended_ns=given.clock.now_ns(),
        summary=result.summary,
        checks=result.checks,
        observations=result.observations,
    )


def _listen(given: PulseInput, products: list[Product], pulse: Pulse) -> Seen:
    engine, clock = given.engine, given.clock
    given.feed.start(products, with_bars=reads_bars(given.strategy))
    try:
        _take(engine, StateChanged(ts_ns=clock.now_ns(), state=TradingState.ACTIVE, reason="dry run", actor="pulse"))
        _take(engine, given.venue.fee_tier())
        end_ns = clock.now_ns() + PULSE_S * NS
        is_open = False
        while clock.now_ns() < end_ns:
            for event in given.feed.poll(min(clock.now_ns() + NS, end_ns)):
                _count(event, engine, pulse)
                _take(engine, event)
            if not is_open and all(book.is_usable for book in engine.desk.books.values()):
                _take(engine, given.venue.account())
                is_open = engine.desk.ledger is not None
            _take(engine, ClockTicked(ts_ns=clock.now_ns()))
            if is_open:
                _decide(given.strategy, engine, pulse)
        if is_open and pulse.would_place == pulse.denied == 0 and isinstance(given.strategy, Watching):
            pulse.was_silent = True
            _place(away_order(engine.desk, products[0].product_id), engine, pulse)
        _try_stale(given, pulse)
    finally:
        given.feed.close()
    still = [p for p, n in pulse.changes.items() if n < SNAPSHOTS_NEEDED or len(pulse.distinct_mids[p]) < 2]
    words = ", ".join(f"{p} {n} changes, {len(pulse.distinct_mids[p])} prices" for p, n in pulse.changes.items())
    return holds(not still, words)


def _take(engine: Engine, event: AnyEvent) -> None:
    """Let the engine see the event; what it would have done is not done."""
    engine.process(event)


def _count(event: AnyEvent, engine: Engine, pulse: Pulse) -> None:
    if isinstance(event, BookChanged) and event.product_id in pulse.changes:
        pulse.changes[event.product_id] += 1
        mark = engine.desk.mark(event.product_id)
        if mark is not None:
            pulse.distinct_mids[event.product_id].add(mark)


def _decide(strategy: Strategy, engine: Engine, pulse: Pulse) -> None:
    """Let the strategy's wishes pass through the desk; what would have left is withheld."""
    for intent in strategy.decide(engine.desk):
        _place(intent, engine, pulse)


def _place(intent: OrderIntent, engine: Engine, pulse: Pulse) -> None:
    answer = engine.desk.place(intent, "dry_run")
    if isinstance(answer, Denial):
        pulse.denied += 1
    else:
        pulse.would_place += 1
        now_ns, order_id = engine.desk.now_ns, answer.client_order_id
        _take(engine, SubmitWithheld(ts_ns=now_ns, client_order_id=order_id, reason="DRY_RUN"))


def _try_stale(given: PulseInput, pulse: Pulse) -> None:
    """Move the desk's clock past the staleness limit without new data, and ask for an entry."""
    desk = given.engine.desk
    later_ns = desk.now_ns + int(given.plan.risk.stale_after_s + 1) * NS
    _take(given.engine, ClockTicked(ts_ns=later_ns))
    answer = desk.place(away_order(desk, given.plan.products[0].product_id), "dry_run_stale")
    pulse.denied_when_stale = answer.reason if isinstance(answer, Denial) else ""


def _cycle(pulse: Pulse) -> Seen:
    words = f"{pulse.would_place} orders would have left, {pulse.denied} were denied by us; none could be placed"
    if pulse.was_silent:
        words += f"; the strategy wanted nothing in {PULSE_S} s, so an entry of the plan was tried in its place"
    return holds(pulse.would_place > 0, words)
