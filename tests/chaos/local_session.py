"""A real session process at a real local exchange, and what the exchange and the store say of it afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from trading_core.bootstrap import connect, make_guard, open_venue
from trading_core.clock import NS, SystemClock, pause
from trading_core.errors import GreenlightError, StorageError
from trading_core.events import AnyEvent
from trading_core.plan import Plan, Stage
from trading_core.plan_files import find_plan
from trading_core.prepare import prepare_run
from trading_core.run import Endpoint, RunContext, VenueName
from trading_core.session_supervisor import session_folder, start_session
from trading_core.stages.files import read_stage
from trading_core.stages.result import StageResult
from trading_core.storage.event_reader import EventReader
from trading_core.tie import supervising
from trading_core.trading_state import TradingGuard

SPEED = 20.0
WITHIN_S = 120.0
LOOK_EVERY_S = 0.02


def short_plan(**protocol: object) -> Plan:
    """Return phase 2 with two minutes of trading and an order every five seconds."""
    plan = find_plan("phase2")
    entry = plan.entry.model_copy(update={"interval_s": 5})
    changes = {"window_s": 120, **protocol}
    return plan.model_copy(update={"entry": entry, "protocol": plan.protocol.model_copy(update=changes)})


def context_of(root: Path, run_id: str, plan: Plan | None = None, event_store_url: str = "") -> RunContext:
    """Return a prepared run on `local`; its state is ACTIVE."""
    return prepare_run(
        plan=plan or short_plan(), venue=VenueName.LOCAL, day="typical", seed=1, speed=SPEED, faults="",
        run_id=run_id, artifacts_root=root / "artifacts", event_store_root=root / "events",
        event_store_url=event_store_url,
    )


@dataclass
class Local:
    """One run's exchange and its session processes, none of which outlives the test."""

    context: RunContext
    endpoint: Endpoint
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def guard(self) -> TradingGuard:
        """Return a guard as another process of the account has it."""
        return make_guard(self.context, SystemClock())

    def start(self) -> subprocess.Popen[bytes]:
        """Start a session process, or the next one of the same run."""
        process = start_session(self.context, self.endpoint, session_folder(self.context))
        self.started.append(process)
        return process

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """Kill −9."""
        os.kill(process.pid, signal.SIGKILL)
        process.wait(WITHIN_S)

    def end(self, process: subprocess.Popen[bytes]) -> StageResult:
        """Wait for the session's end and return its result."""
        assert process.wait(WITHIN_S) == 0, self.said()
        result = read_stage(self.context, Stage.LIVE_MICRO_TEST)
        assert result is not None
        return result

    def said(self) -> str:
        """Return what the session's processes wrote."""
        return (session_folder(self.context) / "session.log").read_text("utf-8")

    def events(self, *types: type[AnyEvent]) -> list[AnyEvent]:
        """Return what the store has of these types; nothing before there is a store."""
        try:
            with EventReader(self.context.store, self.context.run_id) as reader:
                return [stored.event for stored in reader.events(types=[t.__name__ for t in types])]
        except StorageError:
            return []

    def until(self, process: subprocess.Popen[bytes], holds: Callable[[], bool]) -> None:
        """Wait until it holds while the session runs."""
        clock = SystemClock()
        deadline_ns = clock.stopwatch_ns() + int(WITHIN_S * NS)
        while not holds():
            assert process.poll() is None, self.said()
            assert clock.stopwatch_ns() < deadline_ns, "it did not come true"
            pause(LOOK_EVERY_S)


@contextmanager
def local_run(
    root: Path, run_id: str, plan: Plan | None = None, event_store_url: str = "", *, is_supervised: bool = True
) -> Iterator[Local]:
    """Yield a run with its exchange, and supervise its sessions; ends every one that the test left."""
    context = context_of(root, run_id, plan, event_store_url)
    session_folder(context).mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        endpoint = held.enter_context(open_venue(context))
        if is_supervised:
            held.enter_context(supervising(session_folder(context)))
        local = Local(context, endpoint)
        try:
            yield local
        finally:
            for process in local.started:
                if process.poll() is None:
                    process.kill()
                process.wait(WITHIN_S)


@dataclass(frozen=True)
class AtVenue:
    """What the exchange itself says."""

    open_orders: int
    coins: Decimal
    cash: Decimal
    client_ids: Counter[str]


def at_venue(local: Local) -> AtVenue:
    """Ask the exchange, with the run's own key."""
    with connect(local.context, local.endpoint) as connection:
        account = connection.venue.account()
        orders = connection.venue.orders_since(local.endpoint.clock_anchor_ns)
        return AtVenue(
            open_orders=account.open_orders, coins=account.balances.get("BTC", Decimal(0)),
            cash=account.balances["USD"], client_ids=Counter(order.client_order_id for order in orders),
        )


def is_gone(local: Local) -> bool:
    """Tell whether the exchange no longer answers."""
    try:
        at_venue(local)
    except GreenlightError:
        return True
    return False
