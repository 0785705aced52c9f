"""The session: reads the feed, stores each event, asks the engine, does what it says. One thread owns it all."""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from types import TracebackType
from typing import Literal, Protocol

import msgspec

from trading_core import events as ev
from trading_core.clock import NS, Clock
from trading_core.commands import Command, ReadAccount, ReadFeeTier, Resubscribe, SaveArtifacts, TightenState
from trading_core.courier import Courier
from trading_core.emergency import FlatReport, LadderLimits, flatten
from trading_core.engine import Engine
from trading_core.errors import VenueUnavailable
from trading_core.lifeline import Lifeline, NoTenure, Tenure
from trading_core.ports import Broker, Feed
from trading_core.resume import Past, Recovery
from trading_core.storage.event_reader import StoredEvent
from trading_core.trading_state import TradingGuard, TradingState
from trading_core.transfer_file import TransferFile

TICK_NS = NS  # timers of the engine have a resolution of one second of venue time
BOOKS_WITHIN_S = 30  # real seconds × speed in which every book must have arrived
WIND_DOWN_WITHIN_S = 120  # venue seconds for the engine to end flat before the emergency ladder takes over

DURABLE = (ev.OrderSubmitted, ev.EditRequested, ev.GuardrailTripped)  # a tuple: a union would be built at each call


class EventLog(Protocol):
    """Where a session keeps its events and artifacts; see trading_core.run_log."""

    def append(self, event: ev.AnyEvent, kind: Literal["input", "record"], durable: bool = False) -> int:
        """Store one event, on disk before returning if `durable`. Raises StorageError."""
        ...

    def append_tick(self, tick: ev.Tick) -> None:
        """Store market data, packed."""
        ...

    def restore(self, stored: StoredEvent) -> None:
        """Take an event that the store has already: the artifacts go on with it."""
        ...

    def save(self) -> None:
        """Start writing the artifacts as of now; does not wait for them."""
        ...

    def saved(self) -> list[dict[str, int]]:
        """Return the saves that have ended since the last call: rows by artifact name. Raises StorageError."""
        ...


class Session:
    """One run's loop over feed, engine, broker and store. Leaving it always leaves the venue flat, or says so."""

    def __init__(
        self,
        *,
        clock: Clock,
        feed: Feed,
        broker: Broker,
        log: EventLog,
        engine: Engine,
        guard: TradingGuard,
        opening: ev.SessionStarted | None = None,
        past: Past | None = None,
        lifeline: Lifeline | None = None,
        tenure: Tenure | None = None,
    ) -> None:
        """Make a session. `opening` is stored first; with a `past` it goes on from there instead."""
        self.engine = engine
        self.lifeline = lifeline or Lifeline()
        self._tenure = tenure or NoTenure()
        self._opening = opening
        self._past = past
        self._clock = clock
        self._feed = feed
        self._broker = broker
        self._log = log
        self._guard = guard
        self._transfers = TransferFile(guard.folder)
        self._courier = Courier(broker, clock, guard)
        self._queue: deque[ev.AnyEvent] = deque()
        self._next_tick_ns = 0
        self._state_seen: TradingState | None = None
        self._is_over = False
        self.flat: FlatReport | None = None  # what the venue said at the very end

    def __enter__(self) -> Session:
        try:
            self._begin()
        except BaseException:
            self._leave()
            raise
        return self

    def _begin(self) -> None:
        desk = self.engine.desk
        self._feed.start(list(desk.products.values()), with_bars=desk.reads_bars)
        self._next_tick_ns = self._clock.now_ns()
        if self._past is not None:
            self._resume(self._past)
        else:
            if self._opening is not None:
                self._take(self._opening)
            self._take(self._broker.fee_tier())
            self._observe_state()
        if self.is_over:
            return
        self._await_books()
        self._execute(ReadAccount())
        self._drain()

    def _resume(self, past: Past) -> None:
        """Bring books and venue together after a crash. What held before it holds again, or something tighter."""
        self._courier.fills_seen |= past.fills_seen
        for record in past.unstored:
            self._store(record)
        if past.state is not None:
            self._guard.tighten(past.state, reason="as before the crash", actor="session")
        for trip in self.engine.guardrails.latched.values():
            self._guard.tighten(trip.state, reason=f"guardrail {trip.name} had tripped", actor="session")
        Recovery(
            engine=self.engine, broker=self._broker, clock=self._clock, take=self._take, step=self.step,
            do=self._execute, book=lambda fills: self._queue.extend(self._courier.booked(fills)),
        ).run(past)
        self._observe_state()
        self._execute(ReadFeeTier())
        # Entries may go on only as they were: whoever tightened, or left, has ended this run.
        is_active = self._guard.state is TradingState.ACTIVE
        self._is_over = past.has_left or self.engine.is_finished or not is_active

    def _await_books(self) -> None:
        desk = self.engine.desk
        deadline_ns = self._clock.now_ns() + int(BOOKS_WITHIN_S * self._clock.speed) * NS
        while not all(book.is_usable for book in desk.books.values()) and self._clock.now_ns() < deadline_ns:
            if self.lifeline.stop_reason:
                return
            self.step()
        if missing := [product_id for product_id, book in desk.books.items() if not book.is_usable]:
            raise VenueUnavailable(f"no book of {', '.join(missing)} within {BOOKS_WITHIN_S} s: check the stream")

    @property
    def is_over(self) -> bool:
        """Tell whether there is nothing left to do but to leave."""
        return self._is_over or bool(self.engine.guardrails.latched or self.lifeline.stop_reason)

    def run(self, until_ns: int) -> None:
        """Run until the protocol has ended, a guardrail has tripped, somebody stops it, or the deadline is reached."""
        while not self.is_over and not self.engine.is_finished and self._clock.now_ns() < until_ns:
            self.step()

    def step(self) -> None:
        """Take what has arrived, at most one second of venue time."""
        self.lifeline.moves += 1
        for event in self._feed.poll(self._next_tick_ns):
            self._take(event)
        now_ns = self._clock.now_ns()
        if now_ns >= self._next_tick_ns:
            self._next_tick_ns = max(self._next_tick_ns + TICK_NS, now_ns)
            self._tenure.look()
            self._observe_state()
            for filed in self._transfers.news(now_ns, self.engine.desk.transfers.known):
                self._take(filed)
            self._take(ev.ClockTicked(ts_ns=now_ns))
        self._queue.extend(ev.ArtifactsSaved(ts_ns=now_ns, rows=rows) for rows in self._log.saved())
        self._drain()

    def wind_down(self) -> None:
        """Go reduce-only, cancel everything, close what is open, and read the account once more."""
        reason = self.lifeline.stop_reason or "end of the run"
        self._execute(TightenState(TradingState.REDUCE_ONLY, reason))
        self._take(ev.RunEnding(ts_ns=self._clock.now_ns(), reason=reason))
        deadline_ns = self._clock.now_ns() + WIND_DOWN_WITHIN_S * NS
        while not self.engine.desk.is_flat() and self._clock.now_ns() < deadline_ns:
            if self._guard.state is TradingState.HALTED:
                break  # no order of the engine's may leave: only the emergency ladder can close
            self.step()
        self._execute(ReadAccount())
        self._drain()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.wind_down()
        finally:
            self._leave()

    # ── details ─────────────────────────────────────────────────────────────────────────────────
    def _leave(self) -> None:
        try:
            self._make_safe()
        finally:
            self._feed.close()

    def _make_safe(self) -> None:
        """Whatever happened: nothing of ours rests at the venue, nothing of ours is left open."""
        desk = self.engine.desk
        # Until the books are open nothing was placed, and what the account holds is not known to be its owner's.
        ours = desk.products if desk.ledger is not None else {}
        self._guard.tighten(TradingState.REDUCE_ONLY, reason="session ended", actor="session")
        self.flat = report = flatten(
            self._broker, self._clock, ours, desk.opening_positions,
            collar_bps=desk.plan.risk.price_collar_bps, order_prefix=desk.order_prefix,
            limits=LadderLimits(market_after_rounds=desk.plan.rollback.market_after_rounds),
        )
        if not ours and self._past is not None and self._past.problem:
            # Something may have been placed before the crash, and nothing says what: whoever comes next has to look.
            self.flat = report = without_books(report)
        event = flat_at_end(report, self._clock.now_ns())
        self._log.append(event, kind="input", durable=True)

    def _observe_state(self) -> None:
        state = self._guard.state
        if state is not self._state_seen:
            self._state_seen = state
            history = self._guard.history()
            reason, actor = (history[-1].reason, history[-1].actor) if history else ("first start", "guard")
            self._take(ev.StateChanged(ts_ns=self._clock.now_ns(), state=state, reason=reason, actor=actor))

    def _drain(self) -> None:
        while self._queue:
            self._take(self._queue.popleft())

    def _take(self, event: ev.AnyEvent) -> None:
        if isinstance(event, ev.TICKS):
            self._log.append_tick(event)
        else:
            self._log.append(event, kind="input")
        decisions = self.engine.process(event)
        for record in decisions.records:
            self._store(record)
        for command in decisions.commands:
            self._execute(command)

    def _store(self, record: ev.AnyEvent) -> None:
        # An order's intent is on disk before the order leaves, and a latch before anybody relies on it.
        is_durable = isinstance(record, DURABLE)
        self._tenure.note(self._log.append(record, kind="record", durable=is_durable), record)

    def _execute(self, command: Command) -> None:
        self.lifeline.moves += 1
        match command:
            case TightenState(state=state, reason=reason):
                self._guard.tighten(state, reason=reason, actor="engine")
                self._observe_state()
            case Resubscribe(reason=reason):
                self._feed.resubscribe(reason)
            case SaveArtifacts():
                self._log.save()
            case _:
                self._queue.extend(self._courier.carry(command))


def without_books(report: FlatReport) -> FlatReport:
    """Return the report of a ladder that knew no positions: orders were cancelled, and flat is not known."""
    words = "the stored events do not tell which positions are ours: close at the venue by hand, now"
    return msgspec.structs.replace(report, is_flat=False, failures=(*report.failures, words))


def flat_at_end(report: FlatReport, now_ns: int) -> ev.StepEnded:
    """Return what the ladder came to as the last step of the run."""
    return ev.StepEnded(
        ts_ns=now_ns, step="flat_at_end", is_shown=report.is_flat, detail=report.sentence,
        measurements={"open_orders": Decimal(report.open_orders), "rounds": Decimal(report.rounds), **report.left},
    )
