"""The engine: one event in, records and commands out. Pure: no I/O, no clock, no chance."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import assert_never

from trading_core import events as ev
from trading_core.alerts import Alerts
from trading_core.clock import NS
from trading_core.commands import Decisions, ReadAccount, ReadFeeTier, SaveArtifacts
from trading_core.desk import Desk
from trading_core.foreign_fills import ForeignFills
from trading_core.funding import FundingClock
from trading_core.guardrails import Guardrails, Readings
from trading_core.inquiries import Inquiries
from trading_core.ledger import Ledger
from trading_core.margin import utilization_of
from trading_core.order_manager import TrackedOrder
from trading_core.orders import Purpose
from trading_core.plan import Plan
from trading_core.products import Product
from trading_core.script import Script, ScriptRunner
from trading_core.snapshots import SNAPSHOT_REREADS_MAX, holdings_of, take_snapshot
from trading_core.told import take_told
from trading_core.trading_state import TradingState
from trading_core.transfers import book_arrived

# Our own records, seen again in a replay: they change nothing.
RECORDS = (
    ev.SignalRaised, ev.SignalFiltered, ev.StrategyChosen, ev.BracketAdopted, ev.LocalStopChanged,
    ev.OrderReplaced, ev.SymbolTightened, ev.MarginWindowAnnounced, ev.FundingAccrued, ev.FundingSkipped,
    ev.SizedDown, ev.OrderDenied, ev.OrderSubmitted, ev.EditRequested, ev.CancelRequested, ev.SnapshotTaken,
    ev.GuardrailTripped, ev.GuardrailWatched, ev.AlertRaised, ev.AlertCleared, ev.CheckpointReached, ev.FiguresTaken,
    ev.StepEnded, ev.BookDoubted, ev.TransferBooked,
)
# What the protocol does not look up at: what is stored when no engine listens, and the market's own figures.
QUIET = (ev.TailRepaired, ev.StepEnded, ev.TouchQuoted, ev.BarClosed)
HOUR_NS = 3_600 * NS
DAY_NS = 24 * HOUR_NS


class Engine:
    """State of a run; `process` is its only door. The same events give the same decisions."""

    def __init__(self, desk: Desk, script: Script | None = None) -> None:
        self.desk = desk
        self.guardrails = Guardrails(desk.plan.guardrails)
        self.alerts = Alerts(desk.plan)
        self.failures: Counter[str] = Counter()
        self.rejections_in_a_row: Counter[str] = Counter()  # by product: what the others do hides nothing
        self.unexpected_rejections = 0
        self.last_rejection: tuple[str, str] = ("", "")  # the product and the venue's reason
        self.fees: ev.FeeTierRead | None = None
        self.funding = FundingClock()
        self.drift = Decimal(0)
        self.clock_offset_s: Decimal | None = None
        self.is_reconciling = False  # after a crash, until the venue has answered for everything
        self.inquiries = Inquiries()
        self.strays = 0
        self.foreign = ForeignFills()
        self._runner = ScriptRunner(script) if script is not None else None
        self._next_snapshot_ns = 0
        self._next_save_ns = 0
        self._rereads = 0
        self._day = self._hour = -1
        self._is_ending = False

    @property
    def is_finished(self) -> bool:
        """Tell whether the protocol has run to its end."""
        return self._runner is None or self._runner.is_done

    def process(self, event: ev.AnyEvent) -> Decisions:
        """Take one event; return what to store and what to do, in order."""
        desk = self.desk
        if desk.decisions.records or desk.decisions.commands:  # most events decide nothing: then it is still new
            desk.decisions = Decisions()
        if event.ts_ns > desk.now_ns:
            desk.now_ns = event.ts_ns
        if isinstance(event, ev.MARKET):  # nearly all of a run's events
            if isinstance(event, ev.BookChanged):
                desk.book_changed(event)
            return desk.decisions
        self._take(event)
        is_quiet = isinstance(event, QUIET)
        # The protocol begins once the books are open, and looks up once a second and at each answer, not at each tick.
        is_open = desk.ledger is not None and not self.is_reconciling
        if self._runner is not None and is_open and not is_quiet:
            self._runner.advance(desk.now_ns)
        return desk.decisions

    # ── one method per family of events ─────────────────────────────────────────────────────────
    def _take(self, event: ev.AnyEvent) -> None:
        if isinstance(event, RECORDS):
            return
        match event:
            case (ev.BookChanged() | ev.TradePrinted() | ev.HeartbeatReceived() | ev.ArtifactsSaved()
                  | ev.TailRepaired() | ev.RequestRepeated()):
                pass  # the market's among them are taken already
            case ev.TouchQuoted() | ev.StatusTold() | ev.BarClosed() | ev.MarginTold():
                take_told(self.desk, event)
            case ev.ClockTicked():
                self._tick()
            case ev.StreamChanged():
                self._stream_changed(event)
            case ev.AccountRead():
                self._account_read(event)
            case ev.FeeTierRead():
                self.fees = event
            case ev.FundingRead():
                self.funding.read(self.desk, event)
            case ev.StateChanged():
                self._state_changed(event)
            case (
                ev.SessionStarted() | ev.SessionResumed() | ev.SessionReconciled() | ev.StrayOrderFound()
                | ev.TransferFiled()
            ):
                self._take_session_event(event)
            case ev.RunEnding():
                self._end()
            case ev.VenueFailed():
                self.failures[event.kind] += 1
            case (
                ev.OrderAccepted() | ev.OrderRejected() | ev.OrderLost() | ev.OrderNotFound() | ev.OrderReported()
                | ev.FillBooked() | ev.SubmitWithheld()
            ):
                self._take_order_event(event)
            case ev.CancelAnswered() | ev.EditAnswered() | ev.EditLost():
                self._take_change_answer(event)
            case _:
                assert_never(event)

    def _take_order_event(
        self,
        event: ev.OrderAccepted | ev.OrderRejected | ev.OrderLost | ev.OrderNotFound | ev.OrderReported
        | ev.FillBooked | ev.SubmitWithheld,
    ) -> None:
        orders, asks = self.desk.orders, self.inquiries
        match event:
            case ev.OrderAccepted():
                taken = orders.accepted(event)
                self.rejections_in_a_row.pop(taken.intent.product_id, None)
                self._adopt(taken, event.attached_order_id)
            case ev.OrderRejected():
                self._count_rejection(event, orders.rejected(event).intent.product_id)
            case ev.OrderLost():
                asks.ask(self.desk, orders.lost(event))
            case ev.OrderNotFound():
                asks.confirm(orders.not_found(event))
            case ev.OrderReported():
                order = orders.reported(event)
                if order is None:
                    self.foreign.take(self.desk, event.order)
                asks.confirm(order)
                self._adopt(order, event.order.attached_order_id)
                asks.fetch_missing(self.desk, order)
            case ev.FillBooked():
                is_ours = orders.booked(event) is not None
                if (is_ours or self.foreign.has(event.fill)) and self.desk.ledger is not None:
                    self.desk.ledger.book_fill(event.fill)
                    self.foreign.end_exits(self.desk)
            case ev.SubmitWithheld():
                orders.withheld(event)

    def _take_change_answer(self, event: ev.CancelAnswered | ev.EditAnswered | ev.EditLost) -> None:
        orders = self.desk.orders
        match event:
            case ev.CancelAnswered():
                order = orders.cancel_answered(event)
                if event.is_accepted:
                    return
            case ev.EditAnswered():
                order = orders.edit_answered(event)
                if not event.is_accepted:
                    self._count_rejection(event, order.intent.product_id)
            case ev.EditLost():
                order = orders.edit_lost(event)
        self.inquiries.ask(self.desk, order)

    def _adopt(self, order: TrackedOrder | None, bracket_id: str) -> None:
        """Track the bracket that the venue made for an order of ours: its fills are ours as well."""
        leg = self.desk.orders.adopt(order, bracket_id, self.desk.now_ns) if order and bracket_id else None
        if leg is None or order is None:
            return
        self.desk.record(
            ev.BracketAdopted(
                ts_ns=self.desk.now_ns, client_order_id=leg.client_order_id, guards=order.client_order_id,
                order_id=bracket_id, intent=leg.intent,
            )
        )
        self.inquiries.ask(self.desk, leg)

    def _close_unguarded(self) -> None:
        """Close what a bracket that failed at the venue left without a stop."""
        desk = self.desk
        for leg in list(desk.orders.failed_brackets):
            product_id = leg.intent.product_id
            if desk.orders.outstanding(product_id):
                continue
            if desk.is_dust(product_id):
                desk.orders.failed_brackets.remove(leg)
            else:
                desk.exit(product_id, Purpose.EXIT, "bracket_failed")

    def _count_rejection(self, event: ev.OrderRejected | ev.EditAnswered, product_id: str) -> None:
        if not event.is_expected:
            self.last_rejection = product_id, event.reason
            self.unexpected_rejections += 1
            self.rejections_in_a_row[product_id] += 1

    def _take_session_event(
        self,
        event: ev.SessionStarted | ev.SessionResumed | ev.SessionReconciled | ev.StrayOrderFound | ev.TransferFiled,
    ) -> None:
        desk = self.desk
        match event:
            case ev.SessionStarted():
                desk.transfers.since_ns = event.ts_ns
            case ev.TransferFiled():
                desk.transfers.take(event)
            case ev.SessionResumed():
                self.is_reconciling, desk.is_stream_up = True, False
                for book in desk.books.values():
                    book.clear()
                desk.book_seen_ns.clear()  # a book of before the crash has no age: it is unknown
                desk.orders.interrupted(event.ts_ns)
                self.inquiries.begin_anew(desk)
            case ev.StrayOrderFound():
                self.strays += 1
                desk.record(ev.AlertRaised(
                    ts_ns=desk.now_ns, name="stray_order", severity="CRITICAL",
                    detail=f"order {event.order.order_id} ({event.order.client_order_id}) is ours and not in the store",
                ))
                desk.tighten(TradingState.REDUCE_ONLY, "an open order of ours is not in the event store")
            case ev.SessionReconciled():
                self.is_reconciling = False

    def _stream_changed(self, event: ev.StreamChanged) -> None:
        desk = self.desk
        is_up = event.state is ev.StreamState.CONNECTED
        if event.connection == "market":
            desk.is_stream_up = is_up
            for book in () if is_up else desk.books.values():
                book.clear()
        if is_up:
            self.inquiries.ask_all(desk)

    def _state_changed(self, event: ev.StateChanged) -> None:
        self.desk.state = event.state
        if event.state is not TradingState.ACTIVE:
            self.desk.cancel_all("reduce_only", entries_only=event.state is TradingState.REDUCE_ONLY)

    def _end(self) -> None:
        self._is_ending = True
        if self._runner is not None:
            self._runner.stop()  # what it has not shown stays not shown
        for watched in self.guardrails.watched(self.desk.now_ns):
            self.desk.record(watched)
        for record in self.alerts.end(self):
            self.desk.record(record)
        self.desk.leave()

    def _account_read(self, event: ev.AccountRead) -> None:
        desk = self.desk
        if desk.ledger is None:
            self._open_books(event)
        ledger = desk.ledger
        if ledger is None:
            return
        desk.margin.read(event)
        if not desk.orders.unbooked():
            ledger.settle_funding(event.balances)
            book_arrived(desk, ledger, event)
        self.clock_offset_s = event.clock_offset_s
        desk.margin_utilization = utilization_of(event.margin_used, event.margin_available)
        for product_id in desk.products:
            if (mark := desk.mark(product_id)) is not None:
                ledger.mark(product_id, mark)
        snapshot = take_snapshot(desk, ledger, event)
        is_in_motion = not snapshot.is_quiescent or (snapshot.drift != 0 and bool(desk.orders.live()))
        if is_in_motion and self._rereads < SNAPSHOT_REREADS_MAX:
            # A fill may be on its way: ask about every order, then read again.
            self._rereads += 1
            self.inquiries.ask_all(desk)
            desk.decisions.commands.append(ReadAccount())
            return
        self._rereads = 0
        if snapshot.is_quiescent:
            self.drift = snapshot.drift
        desk.record(snapshot)

    def _open_books(self, event: ev.AccountRead) -> None:
        desk = self.desk
        marks = {p: desk.mark(p) for p in desk.products}
        holdings = holdings_of(desk.products, event)
        if any(marks[p] is None for p, size in holdings.items() if size):
            return  # what we hold has no price yet: the next reading opens the books
        known = {p: m for p, m in marks.items() if m is not None}
        desk.ledger = Ledger(list(desk.products.values()), event.balances, known, event.positions)
        desk.opening_positions, desk.opening_marks = holdings, known
        self.foreign.open(event.ts_ns)
        self.funding.open(desk)

    def _tick(self) -> None:
        desk, protocol = self.desk, self.desk.plan.protocol
        self._roll_day()
        self._roll_hour()
        if not self.is_reconciling:  # until then the position may lack fills of the gap
            self.funding.advance(desk)
        for announcement in desk.margin.announce(desk.now_ns):
            desk.record(announcement)
        for product_id in desk.products:
            mark = desk.mark(product_id)
            if desk.ledger is not None and mark is not None:
                desk.ledger.mark(product_id, mark)
        self._watch()  # before anything is placed: an order of this tick must not leave ahead of a latch
        if not self.is_reconciling:  # until then nothing is placed: our books may lack what the venue did
            if self._is_ending:
                desk.leave()
            desk.waiting.advance(desk)
            self._close_unguarded()
        self.foreign.end_exits(desk)
        self.inquiries.advance(desk)
        if desk.now_ns >= self._next_snapshot_ns:
            self._next_snapshot_ns = _next_due(self._next_snapshot_ns, desk.now_ns, protocol.snapshot_every_s)
            desk.decisions.commands.append(ReadAccount())
        if desk.now_ns >= self._next_save_ns:
            self._next_save_ns = _next_due(self._next_save_ns, desk.now_ns, protocol.save_every_s)
            desk.decisions.commands.append(SaveArtifacts())

    def _watch(self) -> None:
        """Hold guardrails and alerts against the figures of this moment."""
        readings = Readings(self)
        for trip in self.guardrails.evaluate(readings):
            self.desk.record(trip)
            words = f"{trip.observed} (limit {trip.limit}) {trip.detail}".rstrip()
            self.desk.tighten(trip.state, f"guardrail {trip.name}: {words}")
        for record in self.alerts.evaluate(readings):
            self.desk.record(record)

    def _roll_hour(self) -> None:
        """Read the fee tier at each full hour: the venue counts the trailing volume again then."""
        if self._hour not in (-1, hour := self.desk.now_ns // HOUR_NS):
            self.desk.decisions.commands.append(ReadFeeTier())
        self._hour = hour

    def _roll_day(self) -> None:
        if (day := self.desk.now_ns // DAY_NS) != self._day:
            self._day = day
            self.desk.day_start_pnl = self.desk.pnl()


def _next_due(due_ns: int, now_ns: int, every_s: int) -> int:
    """Return the next due time on the grid of the first one: being late once does not make all later ones late."""
    if due_ns == 0:
        return now_ns + every_s * NS
    return due_ns + ((now_ns - due_ns) // (every_s * NS) + 1) * every_s * NS


def make_engine(plan: Plan, products: dict[str, Product], order_prefix: str) -> Engine:
    """Return an engine without a protocol: it keeps books and orders, and starts nothing by itself."""
    return Engine(Desk(plan, products, order_prefix))
