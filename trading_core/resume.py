"""Going on after a crash: the stored events rebuild the engine, then the venue says what became of the rest.

Nothing of the replay reaches the venue: the commands that the engine gives again are dropped. An order that was stored
and perhaps never sent is asked for like any other order of unknown outcome, and never sent again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeVar

from trading_core import events as ev
from trading_core.clock import NS, Clock
from trading_core.commands import ReadAccount
from trading_core.desk import Desk
from trading_core.engine import Engine
from trading_core.errors import GreenlightError, IntegrityError, Unreconciled, VenueError
from trading_core.money import plain
from trading_core.orders import Fill
from trading_core.ports import Broker
from trading_core.snapshots import holdings_of
from trading_core.storage.event_reader import StoredEvent
from trading_core.trading_state import TradingState

T = TypeVar("T")

RECONCILE_WITHIN_S = 90  # venue seconds × speed within which the venue must have answered for every order
TRIES_MAX = 5  # of one question while reconciling
FILLS_OF_LAST_S = 3_600  # orders that ended earlier before the crash are settled: the account's figures cover them


@dataclass(slots=True, kw_only=True)
class Past:
    """What the stored events of a run came to. `problem` says why the engine could not be rebuilt from them."""

    last_ns: int = 0
    state: TradingState | None = None  # the last one that the engine was told of or tightened to
    has_left: bool = False  # a session of this run has been left before: there is nothing to go on with
    unstored: list[ev.AnyEvent] = field(default_factory=list)
    fills_seen: set[str] = field(default_factory=set)
    problem: str = ""


def replay(engine: Engine, stored: Iterable[StoredEvent], restore: Callable[[StoredEvent], None]) -> Past:
    """Feed the stored inputs to a fresh engine, hold its records against the stored ones, and return what came of it.

    `restore` is given every stored event in order. A replay that decides otherwise than the run did (another build,
    other products) is a problem, not an exception: whoever resumes still has to leave the venue flat.
    """
    past = Past()
    expected: deque[ev.AnyEvent] = deque()
    try:
        for row in stored:
            restore(row)
            past.last_ns = max(past.last_ns, row.ts_ns)
            if isinstance(row.event, ev.TailRepaired):
                continue  # the store's own: it may stand between an input and its records
            if row.kind == "record":
                _require_equal(expected, row)
                continue
            if expected:
                raise IntegrityError(f"event {row.seq}: the replay decided {_name(expected[0])} before it, the run not")
            _note(past, row.event)
            expected.extend(engine.process(row.event).records)
    except GreenlightError as e:
        past.problem = f"{type(e).__name__}: {e}"
    past.unstored = list(expected) if not past.problem else []
    if past.state is not None:
        past.state = engine.desk.state
    return past


def _require_equal(expected: deque[ev.AnyEvent], row: StoredEvent) -> None:
    made = expected.popleft() if expected else None
    if made != row.event:
        raise IntegrityError(f"event {row.seq}: the run decided {_name(row.event)}, its replay {_name(made)}")


def _name(event: ev.AnyEvent | None) -> str:
    return "nothing" if event is None else type(event).__name__


def _note(past: Past, event: ev.AnyEvent) -> None:
    match event:
        case ev.StateChanged(state=state):
            past.state = state
        case ev.FillBooked(fill=fill):
            past.fills_seen.add(fill.entry_id)
        case ev.StepEnded(step="flat_at_end"):
            past.has_left = True
        case _:
            pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """Brings a rebuilt engine and the venue together, before anything else is done."""

    engine: Engine
    broker: Broker
    clock: Clock
    take: Callable[[ev.AnyEvent], None]  # stores an event and gives it to the engine
    step: Callable[[], None]  # lets a moment pass
    do: Callable[[ReadAccount], None]
    book: Callable[[list[Fill]], None]  # those that are not booked yet, in the given order

    def run(self, past: Past) -> None:
        """Ask the venue about everything that was in flight. Raises Unreconciled if books and venue stay apart."""
        desk = self.engine.desk
        in_flight = len(desk.orders.outstanding())
        self.take(ev.SessionResumed(ts_ns=self.clock.now_ns(), last_ns=past.last_ns, in_flight=in_flight))
        if past.problem:
            raise Unreconciled(f"the stored events do not rebuild the session ({past.problem}): leave, and start anew")
        strays = self._end_strays(desk)
        known = self._recent(desk, past.last_ns)
        self._book_fills_of(known)
        self._await_answers()
        self._book_fills_of([order_id for order_id in self._recent(desk, past.last_ns) if order_id not in known])
        self._require_agreement(desk)
        self.take(ev.SessionReconciled(ts_ns=self.clock.now_ns(), asked=in_flight, strays=strays))

    def _end_strays(self, desk: Desk) -> int:
        """Cancel open orders that bear our prefix and that the store does not know; each is an incident."""
        found = self._asked(self.broker.open_orders)
        strays = [
            order for order in found
            if order.client_order_id.startswith(f"{desk.order_prefix}-")
            and order.client_order_id not in desk.orders.orders
        ]
        for order in strays:
            self.take(ev.StrayOrderFound(ts_ns=self.clock.now_ns(), order=order))
            self._asked(lambda order=order: self.broker.cancel([order.order_id]))  # type: ignore[misc]
        return len(strays)

    def _await_answers(self) -> None:
        deadline_ns = self.clock.now_ns() + int(RECONCILE_WITHIN_S * self.clock.speed) * NS
        while self.engine.inquiries.unconfirmed:
            if self.clock.now_ns() >= deadline_ns:
                names = ", ".join(sorted(self.engine.inquiries.unconfirmed)[:5])
                raise Unreconciled(f"the venue did not say within {RECONCILE_WITHIN_S} s what became of {names}")
            self.step()

    def _book_fills_of(self, order_ids: list[str]) -> None:
        """Book what filled meanwhile in the order of time: average cost depends on it, and with it a future's cash."""
        fills: list[Fill] = []
        for order_id in order_ids:
            fills += self._asked(lambda order_id=order_id: self.broker.fills(order_id))  # type: ignore[misc]
        self.book(sorted(fills, key=lambda fill: fill.ts_ns))

    def _recent(self, desk: Desk, last_ns: int) -> list[str]:
        since_ns = last_ns - FILLS_OF_LAST_S * NS
        return [
            o.order_id for o in desk.orders.orders.values()
            if o.order_id and (o.ended_ns is None or o.ended_ns >= since_ns)
        ]

    def _require_agreement(self, desk: Desk) -> None:
        """Hold the venue's positions against ours: what the emergency ladder or another process closed is gone."""
        apart: dict[str, tuple[Decimal, Decimal]] = {}
        for _ in range(TRIES_MAX):
            self.step()  # what was just fetched is booked
            self.do(ReadAccount())
            account = self._asked(self.broker.account)
            self.step()
            if desk.ledger is None:
                return  # nothing was ever placed
            holdings = holdings_of(desk.products, account)
            ours = {p: size + desk.opening_positions.get(p, Decimal(0)) for p, size in _positions(desk).items()}
            apart = {p: (holdings[p], ours[p]) for p in holdings if holdings[p] != ours[p]}
            if not apart:
                return
        words = "; ".join(f"{p}: venue {plain(there)}, books {plain(here)}" for p, (there, here) in apart.items())
        raise Unreconciled(f"after the crash the venue holds something else than our books ({words})")

    def _asked(self, question: Callable[[], T]) -> T:
        """Ask, and ask again a moment later if the venue does not answer."""
        last: VenueError | None = None
        for _ in range(TRIES_MAX):
            try:
                return question()
            except VenueError as e:
                last = e
                self.step()
        raise Unreconciled(f"the venue did not answer while reconciling, {TRIES_MAX} times: {last}")


def _positions(desk: Desk) -> dict[str, Decimal]:
    return {product_id: desk.position(product_id) for product_id in desk.products}
