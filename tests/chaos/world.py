"""A simulated venue with a disk, a state file and a switch that kills the session between any two of its steps.

The disk keeps what a real event store keeps: a beginning of what was appended, at least up to the last durable append.
What must hold is checked at the exchange and in the file, not in the session's own books.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, Literal

from trading_core.advanced_trade.broker import AdvancedTradeBroker
from trading_core.advanced_trade.broker_retry import RetryingTransport
from trading_core.advanced_trade.broker_transport import Body, Query, Urgency
from trading_core.advanced_trade.gateway import Gateway
from trading_core.advanced_trade.inprocess_transport import InProcessTransport
from trading_core.advanced_trade.keys import KeyRegistry
from trading_core.advanced_trade.stream_inprocess import InProcessFeed
from trading_core.bootstrap import START_MINUTE, simulated_start_ns
from trading_core.clock import NS, VirtualClock
from trading_core.events import AnyEvent, FillBooked, OrderSubmitted, SnapshotTaken, Tick
from trading_core.local_exchange.config import AccountConfig, ExchangeConfig
from trading_core.local_exchange.exchange import LocalExchange
from trading_core.local_exchange.faults import FaultPlan
from trading_core.orders import Purpose, Side
from trading_core.plan import Plan
from trading_core.ports import SubmitAnswer
from trading_core.risk import ApprovedOrder
from trading_core.storage.event_reader import StoredEvent
from trading_core.trading_state import TradingGuard, TradingState

ZERO = Decimal(0)
BTC = "BTC-USD"
# The mark may move between the engine's look and the order's arrival; a jump of the price on purpose more so.
NOTIONAL_SLACK, JUMP_SLACK = Decimal("1.02"), Decimal("1.15")
USD_EXACT = Decimal("0.000001")
Moment = Literal["append", "appended", "send", "sent", "ask", "asked", "tighten", "tightened"]
MOMENTS: tuple[Moment, ...] = ("append", "appended", "send", "sent", "ask", "asked", "tighten", "tightened")


class Killed(BaseException):
    """Kill −9: nothing of the session runs any more, not even what cleans up."""


@dataclass(frozen=True)
class Kill:
    """Kill at the n-th such moment after the start, or after the restart."""

    moment: Moment
    n: int


@dataclass(frozen=True)
class Deed:
    """What an operator does to the state file, so many venue seconds in; or only as the next order leaves."""

    after_s: int
    state: TradingState
    is_before_order: bool = False


@dataclass
class Script:
    """Everything that chance decided beforehand."""

    day: str
    seed: int
    faults: FaultPlan
    plan: Plan
    coins: Decimal
    kills: list[Kill]
    deeds: list[Deed]
    gaps_s: list[int]
    damages_state: bool = False

    @property
    def is_healthy(self) -> bool:
        """Tell whether the venue and the operator do nothing: kills alone must not make a session fail."""
        return set(self.faults.model_dump(exclude_defaults=True)) <= {"name", "seed"} and not self.damages_state


@dataclass
class World:
    """Exchange, disk and state file outlive the sessions; `connect` gives a session its own way to them."""

    script: Script
    folder: Path
    is_dead: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    tightest: int = 0

    def __post_init__(self) -> None:
        self.chance = Random(self.script.seed)
        start_ns = simulated_start_ns(self.script.day)
        account = AccountConfig.model_validate({"balances": {"USD": "10000", "BTC": str(self.script.coins)}})
        self.exchange = LocalExchange(ExchangeConfig.model_validate({
            "day": self.script.day, "seed": self.script.seed, "start_ns": start_ns, "start_minute": START_MINUTE,
            "accounts": [account], "faults": self.script.faults,
        }))
        self.clock = VirtualClock(start_ns)
        self.start_ns = start_ns
        self.gateway = Gateway(self.exchange, KeyRegistry(), wall_ns=self.clock.now_ns)
        self.account_id = self.exchange.account_ids()[0]
        self.log = Disk(self)
        self.kills, self.deeds = list(self.script.kills), list(self.script.deeds)
        self.products = {p.product_id: self.exchange.product(p.product_id) for p in self.script.plan.products}
        TradingGuard(self.state_path, self.clock.now_ns).loosen(TradingState.ACTIVE, reason="start", operator="sim")

    @property
    def state_path(self) -> Path:
        """Return the state file of the account."""
        return self.folder / "trading_state.jsonl"

    def state(self) -> TradingState:
        """Return the state as another process reads it."""
        return TradingGuard(self.state_path, self.clock.now_ns).state

    def connect(self) -> tuple[InProcessFeed, AdvancedTradeBroker, TradingGuard]:
        """Return feed, broker and guard of one session."""
        feed = InProcessFeed(self.exchange, self.clock, self.account_id, self.gateway.muted_orders)
        chance = Random(self.chance.random())
        transport = _Line(self, InProcessTransport(self.gateway, self.clock, feed.move, chance))
        retrying = RetryingTransport(transport, chance, lambda s: feed.move(self.clock.now_ns() + int(s * NS)))
        return feed, _Watched(self, retrying, self.clock), _Guard(self, self.state_path, self.clock.now_ns)

    # ── chance ──────────────────────────────────────────────────────────────────────────────────
    def moment(self, moment: Moment) -> None:
        """Pass a moment at which the session may be killed; a dead one gets no further."""
        if self.is_dead:
            raise Killed
        self.counts[moment] += 1
        if self.kills and self.kills[0].moment == moment and self.counts[moment] >= self.kills[0].n:
            self.kills.pop(0)
            self.is_dead = True
            raise Killed

    def revive(self) -> None:
        """Let time pass after a kill, and lose what the disk did not have for sure."""
        self.is_dead = False
        self.counts.clear()
        self.log.crash(self.chance)
        self.clock.wait_until(self.clock.now_ns() + self.script.gaps_s.pop(0) * NS)
        if self.script.damages_state:
            with self.state_path.open("ab") as file:
                file.write(b"{")

    def operate(self, event: AnyEvent) -> None:
        """Let the operator do what is due while the event is on its way to the disk."""
        while self.deeds and self.clock.now_ns() - self.start_ns >= self.deeds[0].after_s * NS:
            if self.deeds[0].is_before_order and not isinstance(event, OrderSubmitted):
                return
            deed = self.deeds.pop(0)
            guard = TradingGuard(self.state_path, self.clock.now_ns)
            guard.tighten(deed.state, reason="operator", actor="operator")

    # ── what must hold ──────────────────────────────────────────────────────────────────────────
    def held(self) -> Decimal:
        """Return what the run has bought and not sold, as the exchange says."""
        balances = {b.currency: b.total for b in self.exchange.balances(self.account_id)}
        return balances.get("BTC", ZERO) - self.script.coins

    def resting(self, side: Side) -> list[tuple[Decimal, Decimal]]:
        """Return size and price of what rests at the exchange."""
        return [
            (order.size - order.filled_size, order.limit_price or ZERO)
            for order in self.exchange.open_orders(self.account_id) if order.request.side is side
        ]

    def check(self) -> None:
        """After every event: no order twice, nothing sold that was not bought, the state never looser."""
        ids = Counter(order.request.client_order_id for order in self.exchange.orders(self.account_id))
        twice = [client_order_id for client_order_id, n in ids.items() if n > 1]
        assert not twice, f"twice at the venue: {twice}"
        assert self.held() >= 0, f"coins of the account were sold: {self.held()}"
        rank = self.state().rank
        assert rank >= self.tightest, "the state was loosened"
        self.tightest = rank

    def check_submission(self, order: ApprovedOrder) -> None:
        """Right before an order leaves: the state allows it, and no limit is exceeded at the venue."""
        intent, state, held = order.intent, self.state(), self.held()
        if intent.purpose is Purpose.EMERGENCY:
            return
        assert self.log.is_durable(order.client_order_id), "not on disk, and leaves"
        assert state is not TradingState.HALTED, "HALTED, and an order leaves"
        leaving = sum((size for size, _ in self.resting(Side.SELL)), ZERO)
        if intent.side is Side.SELL:
            assert intent.size <= held - leaving, f"sells {intent.size} of {held}, {leaving} are leaving"
            return
        assert state is TradingState.ACTIVE, "REDUCE_ONLY, and an entry leaves"
        limits, entries = self.script.plan.limits(BTC), self.resting(Side.BUY)
        assert limits is not None
        size = held + sum((size for size, _ in entries), ZERO) + intent.size
        assert size <= limits.max_size, f"{size} above {limits.max_size}"
        price = intent.limit_price or ZERO
        notional = held * self.exchange.last_price(BTC) + sum((s * p for s, p in entries), intent.size * price)
        slack = NOTIONAL_SLACK if self.script.faults.gap_at_s is None else JUMP_SLACK
        assert notional <= limits.max_notional * slack, f"${notional} above ${limits.max_notional}"
        assert len(entries) < self.script.plan.risk.open_orders_max

    def check_snapshot(self, snapshot: SnapshotTaken) -> None:
        """Our books are the opening balances and the fills that were booked, and those are the exchange's own."""
        there = {fill.entry_id: fill for fill in self.exchange.fills(self.account_id)}
        cash, coins = Decimal(10_000), self.script.coins
        for booked in {event.fill.entry_id: event.fill for event in self.log.of(FillBooked)}.values():
            fill = there[booked.entry_id]
            assert (fill.price, fill.size, fill.commission) == (booked.price, booked.size, booked.commission)
            cash -= fill.price * fill.size * fill.side.sign + fill.commission
            coins += fill.size * fill.side.sign
        ours = snapshot.expected_balances
        assert abs(ours["USD"] - cash) < USD_EXACT, f"books say ${ours['USD']}, the fills ${cash}"
        assert ours.get("BTC", ZERO) == coins, f"books say {ours.get('BTC')} BTC, the fills {coins}"


class Disk:
    """The event store of the simulation: in order, durable when asked, and cut somewhere behind that by a crash."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rows: list[StoredEvent] = []
        self._durable = 0
        self._seq = 0

    def append(self, event: AnyEvent, kind: Literal["input", "record"], durable: bool = False) -> int:
        """Keep one event."""
        world = self._world
        if not world.is_dead:
            world.operate(event)
        world.moment("append")
        self._seq += 1
        self._rows.append(StoredEvent(self._seq, event.ts_ns, kind, event))
        if durable:
            self._durable = len(self._rows)
        world.moment("appended")
        world.check()
        if isinstance(event, SnapshotTaken):
            world.check_snapshot(event)
        return self._seq

    def append_tick(self, tick: Tick) -> None:
        """Keep market data."""
        if self._world.is_dead:
            raise Killed
        self._rows.append(StoredEvent(self._seq, tick.ts_ns, "tick", tick))

    def restore(self, stored: StoredEvent) -> None:
        """There are no artifacts here that would go on."""

    def save(self) -> None:
        """There are no artifacts here."""

    def saved(self) -> list[dict[str, int]]:
        """Return nothing: there are no artifacts here."""
        return []

    def crash(self, chance: Random) -> None:
        """Lose the end that no durable append covers, or a part of it."""
        del self._rows[chance.randint(self._durable, len(self._rows)):]
        self._seq = self._rows[-1].seq if self._rows else 0

    def stored(self) -> Iterator[StoredEvent]:
        """Yield what the disk has."""
        yield from list(self._rows)

    def of(self, kind: type[FillBooked]) -> list[FillBooked]:
        """Return the events of one class."""
        return [row.event for row in self._rows if isinstance(row.event, kind)]

    def is_durable(self, client_order_id: str) -> bool:
        """Tell whether the order would survive a crash now."""
        return any(
            isinstance(row.event, OrderSubmitted) and row.event.client_order_id == client_order_id
            for row in reversed(self._rows[: self._durable])
        )


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
        is_order = method == "POST" and path.endswith("/orders")
        self._world.moment("send" if is_order else "ask")
        try:
            return self._inner.request(method, path, params, body, urgency)
        finally:
            self._world.moment("sent" if is_order else "asked")

    def close(self) -> None:
        """Nothing to close."""


class _Watched(AdvancedTradeBroker):
    """The real broker, with a look at each order right before it leaves."""

    def __init__(self, world: World, transport: RetryingTransport, clock: VirtualClock) -> None:
        super().__init__(transport, clock)
        self._world = world

    def submit(self, order: ApprovedOrder) -> SubmitAnswer:
        """Place the order, after the check."""
        if not self._world.is_dead:
            self._world.check_submission(order)
        return super().submit(order)


class _Guard(TradingGuard):
    """The real guard, which a kill may catch before or after it wrote."""

    def __init__(self, world: World, path: Path, now_ns: Callable[[], int]) -> None:
        super().__init__(path, now_ns)
        self._world = world

    def tighten(self, state: TradingState, *, reason: str, actor: str) -> TradingState:
        """Tighten, unless the session is dead."""
        self._world.moment("tighten")
        now = super().tighten(state, reason=reason, actor=actor)
        self._world.moment("tightened")
        return now


def names_of(items: Sequence[object]) -> str:
    """Return short words for a report."""
    return ", ".join(map(str, items)) or "none"
