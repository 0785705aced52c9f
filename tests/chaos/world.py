"""A simulated venue with a disk, a state file and a switch that kills the session between any two of its steps.

The disk keeps what a real event store keeps: a beginning of what was appended, at least up to the last durable append.
What must hold is in `rules.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, Literal

from tests.chaos.draws import Deed, Kill, Moment, Script
from tests.chaos.rules import Rules
from tests.chaos.wire import TornWire
from trading_core.advanced_trade.broker import AdvancedTradeBroker
from trading_core.advanced_trade.broker_retry import RetryingTransport
from trading_core.advanced_trade.broker_transport import Body, Query, Urgency
from trading_core.advanced_trade.gateway import Gateway
from trading_core.advanced_trade.inprocess_transport import InProcessTransport
from trading_core.advanced_trade.keys import KeyRegistry
from trading_core.advanced_trade.stream_inprocess import InProcessFeed
from trading_core.clock import NS, VirtualClock
from trading_core.errors import StorageError
from trading_core.events import AnyEvent, EditRequested, OrderSubmitted, SessionReconciled, TailRepaired, Tick
from trading_core.lifeline import Lifeline
from trading_core.local_exchange.config import AccountConfig, ExchangeConfig
from trading_core.local_exchange.exchange import LocalExchange
from trading_core.ports import EditAnswer, Feed, SubmitAnswer
from trading_core.risk import ApprovedOrder
from trading_core.storage.event_reader import StoredEvent
from trading_core.trading_state import TradingGuard, TradingState

PATIENCE_S = 600  # venue seconds after which the session is asked to end: a seed is to be cheap


class Killed(BaseException):
    """Kill −9: nothing of the session runs any more, not even what cleans up."""


@dataclass
class World:
    """Exchange, disk and state file outlive the sessions; `connect` gives a session its own way to them."""

    script: Script
    folder: Path
    is_dead: bool = False
    is_recovering: bool = False
    is_leaving: bool = False
    was_killed_leaving: bool = False
    is_disk_full: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    lifeline: Lifeline = field(default_factory=Lifeline)

    def __post_init__(self) -> None:
        script = self.script
        self.chance = Random(script.seed)
        account = AccountConfig.model_validate({"balances": {n: str(size) for n, size in script.balances.items()}})
        self.products_traded = tuple(limits.product_id for limits in script.plan.products)
        self.exchange = LocalExchange(ExchangeConfig.model_validate({
            "day": script.day, "seed": script.seed, "start_ns": script.start_ns, "updates_per_s": 2,
            "start_minute": script.start_ns // (60 * NS) % 1440, "products": self.products_traded,
            "accounts": [account], "faults": script.faults, "funding_cash_hours_utc": (11, 20),
        }))
        self.clock = VirtualClock(script.start_ns)
        self.gateway = Gateway(self.exchange, KeyRegistry(), wall_ns=self.clock.now_ns)
        self.account_id = self.exchange.account_ids()[0]
        self.kills: list[Kill] = list(script.kills)
        self.gaps_s: list[int] = list(script.gaps_s)
        self.deeds: list[Deed] = list(script.deeds)
        self.products = {p: self.exchange.product(p) for p in self.products_traded}
        self.rules = Rules(self.exchange, script, self.products)
        self.log = Disk(self)
        TradingGuard(self.state_path, self.clock.now_ns).loosen(TradingState.ACTIVE, reason="start", operator="sim")
        self._reader = TradingGuard(self.state_path, self.clock.now_ns)

    @property
    def state_path(self) -> Path:
        """Return the state file of the account."""
        return self.folder / "trading_state.jsonl"

    def state(self) -> TradingState:
        """Return the state as another process reads it."""
        return self._reader.state

    def held(self, product_id: str = "BTC-USD") -> Decimal:
        """Return what was bought of the product and not sold, by the exchange's fills."""
        self.rules.look()
        return self.rules.held[product_id]

    def connect(self) -> tuple[Feed, AdvancedTradeBroker, TradingGuard]:
        """Return feed, broker and guard of one session."""
        self.is_recovering, self.is_leaving = self.log.has_rows, False
        self.lifeline = Lifeline()
        feed = InProcessFeed(self.exchange, self.clock, self.account_id, self.gateway.muted_orders)
        chance = Random(self.chance.random())
        transport = _Line(self, InProcessTransport(self.gateway, self.clock, feed.move, chance))
        retrying = RetryingTransport(transport, chance, lambda s: feed.move(self.clock.now_ns() + int(s * NS)))
        torn = TornWire(feed, self.exchange, self.clock, self.script.faults)
        return torn, _Watched(self, retrying, self.clock), _Guard(self, self.state_path, self.clock.now_ns)

    # ── chance ──────────────────────────────────────────────────────────────────────────────────
    def moment(self, moment: Moment) -> None:
        """Pass a moment at which the session may be killed; a dead one gets no further."""
        if self.is_dead:
            raise Killed
        self.counts[moment] += 1
        if self.kills and self.kills[0].moment == moment and self.counts[moment] >= self.kills[0].n:
            self.kills.pop(0)
            self.is_dead = True
            self.was_killed_leaving = self.was_killed_leaving or self.is_leaving
            raise Killed

    def revive(self) -> None:
        """Let time pass after a kill, and lose what the disk did not have for sure."""
        self.is_dead = self.is_disk_full = False  # somebody made room
        self.counts.clear()
        self.log.crash(self.chance)
        self.rules.begin_again(row.event for row in self.log.stored())
        self.clock.wait_until(self.clock.now_ns() + self.gaps_s.pop(0) * NS)
        if self.script.damages_state:
            with self.state_path.open("ab") as file:
                file.write(b"{")

    def operate(self, event: AnyEvent | None = None) -> None:
        """Let the operator do what is due while the event is on its way to the disk."""
        after_ns = self.clock.now_ns() - self.script.start_ns
        stop_after_s = self.script.stop_after_s
        if stop_after_s is not None and after_ns >= stop_after_s * NS:
            self.lifeline.stop("an operator asked")
        elif self.counts["tick"] >= PATIENCE_S:
            self.lifeline.stop("the simulation has seen enough")
        while self.deeds and after_ns >= self.deeds[0].after_s * NS:
            if self.deeds[0].is_before_order and not isinstance(event, OrderSubmitted | EditRequested):
                return
            deed = self.deeds.pop(0)
            guard = TradingGuard(self.state_path, self.clock.now_ns)
            guard.tighten(deed.state, reason="operator", actor="operator")


class Disk:
    """The event store of the simulation: in order, durable when asked, and cut somewhere behind that by a crash."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rows: list[StoredEvent] = []
        self._durable = 0
        self._seq = 0
        self._appends = 0

    @property
    def has_rows(self) -> bool:
        """Tell whether anything is stored."""
        return bool(self._rows)

    def append(self, event: AnyEvent, kind: Literal["input", "record"], durable: bool = False) -> int:
        """Keep one event."""
        world = self._world
        if not world.is_dead:
            world.operate(event)
        world.moment("append")
        if world.is_recovering:
            world.moment("recover")
            world.is_recovering = not isinstance(event, SessionReconciled)
        self._require_room()
        self._seq += 1
        self._rows.append(StoredEvent(self._seq, event.ts_ns, kind, event))
        if durable:
            self._durable = len(self._rows)
        world.rules.check_event(event)
        world.moment("appended")
        world.rules.check(world.state())
        return self._seq

    def append_tick(self, tick: Tick) -> None:
        """Keep market data."""
        if self._world.is_dead:
            raise Killed
        self._require_room()
        self._rows.append(StoredEvent(self._seq, tick.ts_ns, "tick", tick))

    def restore(self, stored: StoredEvent) -> None:
        """There are no artifacts here that would go on."""

    def save(self) -> None:
        """There are no artifacts here."""

    def saved(self) -> list[dict[str, int]]:
        """Return nothing: there are no artifacts here. The session asks once a step."""
        if not self._world.is_dead:
            self._world.counts["tick"] += 1
            self._world.operate()
        return []

    def crash(self, chance: Random) -> None:
        """Lose the end that no durable append covers, or a part of it; half of the times the store says so."""
        del self._rows[chance.randint(self._durable, len(self._rows)):]
        self._seq = self._rows[-1].seq if self._rows else 0
        if self._rows and chance.random() < 0.5:
            last = self._rows[-1]
            torn = TailRepaired(ts_ns=last.ts_ns, last_good_seq=self._seq, set_aside={}, missing=0, detail="torn")
            self._seq += 1
            self._rows.append(StoredEvent(self._seq, last.ts_ns, "input", torn))
        self._durable = len(self._rows)

    def stored(self) -> Iterator[StoredEvent]:
        """Yield what the disk has."""
        yield from list(self._rows)

    def replace(self, rows: list[StoredEvent]) -> None:
        """Put other rows in the place of those that are stored."""
        self._rows = rows

    def is_durable(self, order: ApprovedOrder) -> bool:
        """Tell whether the order, or its edit, would survive a crash now."""
        decided = (row.event for row in reversed(self._rows[: self._durable]))
        return any(
            isinstance(e, OrderSubmitted | EditRequested)
            and (e.client_order_id, e.intent) == (order.client_order_id, order.intent) for e in decided
        )

    def _require_room(self) -> None:
        world, full_at = self._world, self._world.script.disk_full_at
        self._appends += 1
        world.is_disk_full = world.is_disk_full or self._appends == full_at
        if world.is_disk_full:
            raise StorageError("the disk is full")


class _Line:
    """The line to the venue: it may be cut before a request leaves, and after the venue acted on it."""

    repeats = 0

    def __init__(self, world: World, inner: InProcessTransport) -> None:
        self._world = world
        self._inner = inner

    def request(
        self, method: str, path: str, params: Query | None = None, body: Body | None = None,
        urgency: Urgency = Urgency.QUESTION,
    ) -> dict[str, Any]:
        """Carry one request."""
        world, is_order = self._world, method == "POST" and path.endswith("/orders")
        world.moment("send" if is_order else "ask")
        if world.is_recovering:
            world.moment("recover")
        if world.is_leaving:
            world.moment("leave")
        try:
            return self._inner.request(method, path, params, body, urgency)
        finally:
            world.moment("sent" if is_order else "asked")

    def close(self) -> None:
        """Nothing to close."""


class _Watched(AdvancedTradeBroker):
    """The real broker, with a look at each order right before it leaves."""

    def __init__(self, world: World, transport: RetryingTransport, clock: VirtualClock) -> None:
        super().__init__(transport, clock)
        self._world = world

    def submit(self, order: ApprovedOrder) -> SubmitAnswer:
        """Place the order, after the check."""
        world = self._world
        if not world.is_dead:
            world.rules.check_submission(order, world.state(), is_durable=world.log.is_durable(order))
        return super().submit(order)

    def edit(self, order_id: str, order: ApprovedOrder) -> EditAnswer:
        """Edit the order, after the check."""
        world = self._world
        if not world.is_dead:
            world.rules.check_edit(order_id, order, world.state(), is_durable=world.log.is_durable(order))
        return super().edit(order_id, order)


class _Guard(TradingGuard):
    """The real guard, which a kill may catch before or after it wrote."""

    def __init__(self, world: World, path: Path, now_ns: Callable[[], int]) -> None:
        super().__init__(path, now_ns)
        self._world = world

    def tighten(self, state: TradingState, *, reason: str, actor: str) -> TradingState:
        """Tighten, unless the session is dead."""
        self._world.moment("tighten")
        now = super().tighten(state, reason=reason, actor=actor)
        self._world.is_leaving = self._world.is_leaving or reason == "session ended"
        self._world.moment("tightened")
        return now
