"""The drill of the ladder: a rehearsal trades in its own process, each rung is climbed from outside, and measured."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from trading_core import events as ev
from trading_core.bootstrap import Connection, account_name, connect, exchange_config
from trading_core.clock import SystemClock, iso, pause, wall_now_ns
from trading_core.control.accounts import read_account
from trading_core.control.actions import tighten
from trading_core.control.takeover import Takeover, take_over
from trading_core.errors import ConfigurationError, GreenlightError, StorageError, VenueUnavailable
from trading_core.exchange_process import start_exchange
from trading_core.orders import Purpose
from trading_core.plan import Level, PlanModel
from trading_core.risk import DenialReason
from trading_core.run import RunContext
from trading_core.session_supervisor import Started, end_session, session_folder, start_session
from trading_core.snapshots import holdings_of
from trading_core.storage.event_reader import EventReader
from trading_core.tie import supervising
from trading_core.trading_state import TradingState

TRADES_WITHIN_S = 180  # machine seconds for the rehearsal to hold something
REFUSES_WITHIN_S = 60  # for the next entry to be wanted, and refused
OBEYS_WITHIN_S = 10  # for the session to see a tighter state: it looks once a second
LOOK_EVERY_S = 0.1
ACTOR = "drill"
NO_ENTRIES = frozenset({Purpose.EXIT, Purpose.EMERGENCY, Purpose.PROBE_EXIT_WHILE_REDUCING})


class DrillStep(PlanModel):
    """One rung: whether its effect was seen, and after how many machine seconds."""

    name: str
    is_shown: bool
    seconds: Decimal | None
    detail: str


class Drill(PlanModel):
    """What one drill measured."""

    run_id: str
    plan: str
    venue: str
    started_at: str
    steps: tuple[DrillStep, ...]
    takeover: Takeover | None

    @property
    def is_shown(self) -> bool:
        """Tell whether every rung had its effect."""
        return all(step.is_shown for step in self.steps)


def run_drill(context: RunContext, say: Callable[[str], None]) -> Drill:
    """Let a rehearsal trade, climb each rung, and return what was measured. Never at a venue with real money."""
    if context.level is not Level.L0:
        raise ConfigurationError(f"a drill is for a rehearsal, not for venue {context.venue}: use local")
    started_at = iso(wall_now_ns())
    with (
        start_exchange(context, exchange_config(context, SystemClock().now_ns())) as endpoint,
        connect(context, endpoint) as venue,
        supervising(session_folder(context)),
    ):
        session = Started(start_session(context, endpoint, session_folder(context)), session_folder(context))
        try:
            climb = _Climb(context, venue, say)
            climb.go()
        finally:
            end_session(session)
        climb.stays_flat()
    return Drill(
        run_id=context.run_id, plan=context.plan.name, venue=context.venue, started_at=started_at,
        steps=tuple(climb.steps), takeover=climb.taken,
    )


class _Climb:
    def __init__(self, context: RunContext, venue: Connection, say: Callable[[str], None]) -> None:
        self._context = context
        self._venue = venue
        self._say = say
        self._root = context.event_store_root
        self._name = account_name(context)
        self._clock = SystemClock()
        self._products = {p.product_id: venue.venue.product(p.product_id) for p in context.plan.products}
        self.steps: list[DrillStep] = []
        self.taken: Takeover | None = None

    def go(self) -> None:
        """Climb: reduce-only, entries refused, exits accepted, flat, disabled."""
        if not self._show("trades", TRADES_WITHIN_S, self._holds, "the rehearsal holds something and may enter"):
            return
        tightened_ns = self._clock.stopwatch_ns()
        [done] = tighten(
            self._root, [read_account(self._root, self._name)], TradingState.REDUCE_ONLY, reason="drill", actor=ACTOR
        )
        self._add("reduce_only", done.is_done, self._since(tightened_ns), f"{done.before} → {done.after}")
        if not self._show("session_obeys", OBEYS_WITHIN_S, self._has_seen_it, "the session read the tighter state"):
            return
        seen_seq = self._seen_seq()
        self._show("entry_refused", REFUSES_WITHIN_S, lambda: self._has_refused(seen_seq), "the next entry was refused")
        entries = self._entries_after(seen_seq)
        self._add("no_entry_left", not entries, None, f"{len(entries)} entries were sent after the session knew")
        self.taken = taken = take_over(
            self._root, read_account(self._root, self._name), reason="drill", actor=ACTOR, say=self._say
        )
        exits = [done for done in taken.done if " IOC, accepted" in done or "at market, accepted" in done]
        self._add("exit_accepted", bool(exits), None, "; ".join(exits) or "nothing had to be closed")
        self._add("flat", taken.is_flat, taken.flat_s, taken.sentence)
        self._add("disabled", taken.state is TradingState.HALTED, taken.took_s, f"the account is {taken.state}")

    def stays_flat(self) -> None:
        """Look at the venue once more, after the session has ended."""
        try:
            account = self._venue.venue.account()
        except GreenlightError as e:
            self._add("stays_flat", False, None, f"{type(e).__name__}: {e}")
            return
        left = {p: size for p, size in holdings_of(self._products, account).items() if size}
        is_flat = account.open_orders == 0 and not any(
            size >= self._products[p].base_min_size for p, size in left.items()
        )
        self._add("stays_flat", is_flat, None, f"{account.open_orders} open orders, {left or 'nothing'} held")

    def _holds(self) -> bool:
        try:
            account = self._venue.venue.account()
        except VenueUnavailable:
            return False
        return any(size > 0 for size in holdings_of(self._products, account).values())

    def _has_seen_it(self) -> bool:
        return self._seen_seq() > 0

    def _seen_seq(self) -> int:
        """Return the number of the event by which the session says that it knows of the drill; 0 before that."""
        return next(
            (seq for seq, event in self._events(ev.StateChanged) if isinstance(event, ev.StateChanged)
             and event.actor == ACTOR), 0,
        )

    def _has_refused(self, after: int) -> bool:
        refusals = self._events(ev.OrderDenied, ev.SubmitWithheld, after=after)
        return any(
            isinstance(event, ev.SubmitWithheld) or (
                isinstance(event, ev.OrderDenied) and event.reason == DenialReason.REDUCE_ONLY
            )
            for _, event in refusals
        )

    def _entries_after(self, seq: int) -> list[str]:
        return [
            event.client_order_id for _, event in self._events(ev.OrderSubmitted, after=seq)
            if isinstance(event, ev.OrderSubmitted) and event.intent.purpose not in NO_ENTRIES
        ]

    def _events(self, *types: type[ev.Event], after: int = 0) -> list[tuple[int, ev.AnyEvent]]:
        try:
            with EventReader(self._context.store, self._context.run_id) as reader:
                found = reader.events(types=[kind.__name__ for kind in types], after=after)
                return [(stored.seq, stored.event) for stored in found]
        except StorageError:
            return []  # the session has not begun its store yet

    def _show(self, name: str, within_s: int, is_seen: Callable[[], bool], detail: str) -> bool:
        """Wait for an effect; note after how long it was seen, or that it was not."""
        started_ns = self._clock.stopwatch_ns()
        while not is_seen():
            if self._since(started_ns) > within_s:
                self._add(name, False, None, f"not within {within_s} s: {detail}")
                return False
            pause(LOOK_EVERY_S)
        self._add(name, True, self._since(started_ns), detail)
        return True

    def _add(self, name: str, is_shown: bool, seconds: Decimal | None, detail: str) -> None:
        self.steps.append(DrillStep(name=name, is_shown=is_shown, seconds=seconds, detail=detail))
        self._say(f"{name}: {'shown' if is_shown else 'NOT shown'}, {detail}")

    def _since(self, started_ns: int) -> Decimal:
        return Decimal((self._clock.stopwatch_ns() - started_ns) // 1_000_000) / 1000
