"""The simulated venue with a session on it, in one process and on virtual time: for tests of the core."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Literal, TypeVar

from tests.desk_builders import make_plan
from trading_core.advanced_trade.broker import AdvancedTradeBroker
from trading_core.advanced_trade.gateway import Gateway
from trading_core.advanced_trade.inprocess_transport import open_inprocess
from trading_core.advanced_trade.keys import KeyRegistry
from trading_core.advanced_trade.stream_inprocess import InProcessFeed
from trading_core.clock import NS, VirtualClock, from_iso
from trading_core.desk import Desk
from trading_core.engine import Engine
from trading_core.errors import StorageError
from trading_core.events import AnyEvent, OrderSubmitted, Tick
from trading_core.local_exchange.config import AccountConfig, ExchangeConfig
from trading_core.local_exchange.exchange import LocalExchange
from trading_core.local_exchange.faults import FaultPlan
from trading_core.plan import Plan
from trading_core.script import Script
from trading_core.session import Session
from trading_core.storage.event_reader import StoredEvent
from trading_core.trading_state import TradingGuard, TradingState

T = TypeVar("T")
START_NS = from_iso("2025-05-28T10:00:00Z")
HEALTHY = FaultPlan()
MONEY_ONLY = {"USD": "10000"}


class ListLog:
    """An event log in memory. `on_append` sees each event before it is kept, and may raise."""

    def __init__(self, on_append: Callable[[AnyEvent], None] | None = None) -> None:
        self.rows: list[tuple[str, AnyEvent]] = []  # inputs and records, ticks left out
        self.inputs: list[AnyEvent] = []  # ticks, too
        self.durable: list[AnyEvent] = []
        self.on_append = on_append

    def append(self, event: AnyEvent, kind: Literal["input", "record"], durable: bool = False) -> int:
        """Keep one event."""
        if self.on_append is not None:
            self.on_append(event)
        self.rows.append((kind, event))
        if kind == "input":
            self.inputs.append(event)
        if durable:
            self.durable.append(event)
        return len(self.rows)

    def append_tick(self, tick: Tick) -> None:
        """Keep market data."""
        self.inputs.append(tick)

    def restore(self, stored: StoredEvent) -> None:
        """There are no artifacts here that would go on."""

    def save(self) -> None:
        """There are no artifacts here."""

    def saved(self) -> list[dict[str, int]]:
        """Return nothing: there are no artifacts here."""
        return []

    @property
    def records(self) -> list[AnyEvent]:
        """Return what the engine recorded, in order."""
        return [event for kind, event in self.rows if kind == "record"]

    def of(self, kind: type[T]) -> list[T]:
        """Return the events of one class."""
        return [event for _, event in self.rows if isinstance(event, kind)]


class SimRig:
    """An exchange, its broker and feed, a guard in a file, and what a session needs. The state starts ACTIVE."""

    def __init__(
        self, folder: Path, *, faults: FaultPlan = HEALTHY, balances: dict[str, str] | None = None, seed: int = 1,
        plan: Plan | None = None, cash_hours: tuple[int, ...] = (9, 21),
    ) -> None:
        account = AccountConfig.model_validate({"balances": balances or MONEY_ONLY})
        config = ExchangeConfig(start_ns=START_NS, start_minute=600, seed=seed, faults=faults, accounts=(account,),
                                funding_cash_hours_utc=cash_hours)
        self.exchange = LocalExchange(config)
        self.clock = VirtualClock(START_NS)
        self.gateway = Gateway(self.exchange, KeyRegistry(), wall_ns=self.clock.now_ns)
        account_id = self.exchange.account_ids()[0]
        self.feed = InProcessFeed(self.exchange, self.clock, account_id, self.gateway.muted_orders)
        transport = open_inprocess(self.gateway, self.clock, self.feed, Random(seed))
        self.broker = AdvancedTradeBroker(transport, self.clock)
        self.guard_path = folder / "trading_state.jsonl"
        self.guard = self.other_guard()
        self.guard.loosen(TradingState.ACTIVE, reason="test", operator="test")
        self.plan = plan or make_plan()
        self.products = {p.product_id: self.exchange.product(p.product_id) for p in self.plan.products}
        self.log = ListLog()

    def other_guard(self) -> TradingGuard:
        """Return a guard as another process of the account has it."""
        return TradingGuard(self.guard_path, self.clock.now_ns)

    def session(self, script: Callable[[Desk], Script] | None = None) -> Session:
        """Return a session that runs the script."""
        desk = Desk(self.plan, self.products, "sim")
        engine = Engine(desk, script(desk) if script is not None else None)
        return Session(
            clock=self.clock, feed=self.feed, broker=self.broker, log=self.log, engine=engine, guard=self.guard
        )

    def run(self, session: Session, seconds: int) -> None:
        """Step the session for so long, whatever its script does."""
        until_ns = self.clock.now_ns() + seconds * NS
        while self.clock.now_ns() < until_ns:
            session.step()

    def held(self, currency: str = "BTC") -> Decimal:
        """Return what the venue says the account holds."""
        return self.broker.account().balances.get(currency, Decimal(0))


def failing_log(when: Callable[[AnyEvent], bool]) -> ListLog:
    """Return a log whose disk is full from the first such event on."""
    broken: list[AnyEvent] = []

    def check(event: AnyEvent) -> None:
        if broken or when(event):
            broken.append(event)
            raise StorageError("the disk is full")

    return ListLog(check)


def is_submission(event: AnyEvent) -> bool:
    """Tell whether the event is an order about to leave."""
    return isinstance(event, OrderSubmitted)
