"""Runs as a dashboard finds them: context, events and heartbeat on disk, calm, alerting or halted."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Literal

from trading_core import events as ev
from trading_core.clock import NS, wall_now_ns
from trading_core.control.config import ControlSettings, make_settings
from trading_core.heartbeat import Heartbeat
from trading_core.money import ZERO
from trading_core.orders import Fill, Liquidity, OrderIntent, OrderStatus, Purpose, Side, TimeInForce, VenueOrder
from trading_core.plan import Plan, ProductLimits
from trading_core.plan_files import find_plan
from trading_core.prepare import prepare_run
from trading_core.run import Endpoint, RunContext, VenueName
from trading_core.storage.event_store import EventStore
from trading_core.trading_state import TradingState

Mood = Literal["calm", "alerting", "halted"]
EVIL = "<script>document.title='owned'</script>"
MARKS = {"BTC-USD": "108597.19", "ETH-USD": "2641.52", "SOL-USD": "171.38", "XRP-USD": "2.2914", EVIL: "1.5"}


def stage3_with(*symbols: str) -> Plan:
    """Return stage 3 that also trades these symbols, whatever they are called."""
    plan = find_plan("stage3")
    more = tuple(
        ProductLimits(product_id=s, max_size=Decimal(1), max_notional=Decimal(100), because="test") for s in symbols
    )
    return plan.model_copy(update={"products": (*plan.products, *more)})


def settings_of(root: Path, port: int = 0) -> ControlSettings:
    """Return a control server of these folders, on a free port if none is given."""
    return make_settings(event_store_root=root / "events", artifacts_root=root / "artifacts", port=port)


def prepared(root: Path, run_id: str, plan: Plan) -> RunContext:
    """Return a run that is prepared to trade at `local`."""
    return prepare_run(
        plan=plan, venue=VenueName.LOCAL, day="typical", seed=1, speed=1.0, faults="", run_id=run_id,
        artifacts_root=root / "artifacts", event_store_root=root / "events",
    )


class WatchedRun:
    """A run that trades now: its events are in the store, its session beats."""

    def __init__(self, root: Path, run_id: str = "stage3-watched", plan: Plan | None = None) -> None:
        self.context = prepared(root, run_id, plan or stage3_with())
        self.account = f"rehearsal-{run_id}"
        self.store = EventStore.open(self.context.event_store_root, run_id, "test", is_durable=False)
        self.heartbeat = Heartbeat(self.context, Endpoint(), self.account)
        self.heartbeat.beat()
        self.now_ns = wall_now_ns() - 3_600 * NS
        self._chance = Random(7)
        self._equity = Decimal("10000")
        self._orders = 0

    def add(self, event: ev.AnyEvent) -> int:
        """Store one event, in a second of its own."""
        return self.store.append(event, "record")

    def trade(self, minutes: int = 60, mood: Mood = "calm") -> None:
        """Write so many minutes of trading that end now, then what the mood brings."""
        self.add(ev.StateChanged(ts_ns=self.now_ns, state=TradingState.ACTIVE, reason="run started", actor="operator"))
        self.add(ev.CheckpointReached(ts_ns=self.now_ns, at_h=0, late_s=ZERO, figures={}))
        self.now_ns = wall_now_ns() - minutes * 60 * NS
        for step in range(minutes * 2):
            self.now_ns += 30 * NS
            self.figures()
            if step % 2:
                self.order(rejected=step == 41)
        if mood != "calm":
            self.alert("mark_staleness", "WARNING", "staleness_s 34.2 (limit 30); stale: SOL-USD")
            self.alert("reconciliation_drift", "CRITICAL", "drift 1.42 (limit 1)")
        if mood == "halted":
            self.add(ev.GuardrailTripped(ts_ns=self.now_ns, name="reconciliation_drift", observed="1.42", limit="1",
                                         state=TradingState.REDUCE_ONLY))
            self.add(ev.StateChanged(ts_ns=self.now_ns, state=TradingState.HALTED, reason="drift stays: looking for it",
                                     actor="Ada"))
        state = TradingState.HALTED if mood == "halted" else TradingState.ACTIVE
        self.figures(state, drift="0" if mood == "calm" else "1.42")
        self.store.flush()

    def figures(self, state: TradingState = TradingState.ACTIVE, drift: str = "0") -> None:
        """Write the figures of one tick."""
        ids = [p.product_id for p in self.context.plan.products]
        self._equity += Decimal(self._chance.randrange(-40, 41)) / 100
        used = Decimal(self._chance.randrange(20, 45)) / 1000
        self.add(ev.FiguresTaken(
            ts_ns=self.now_ns, state=state, equity=self._equity, pnl=self._equity - 10_000,
            day_pnl=self._equity - 10_000, margin_utilization=used, open_orders=2,
            positions={p: Decimal(self._chance.randrange(-9, 10)) / 10_000 for p in ids},
            unrealized={p: Decimal(self._chance.randrange(-200, 201)) / 100 for p in ids},
            marks={p: Decimal(MARKS.get(p, "1")) for p in ids},
            seen_ns={p: self.now_ns - self._chance.randrange(50, 900) * 1_000_000 for p in ids},
            spread_bps={p: Decimal(self._chance.randrange(1, 400)) / 100 for p in ids},
            depth_l10={p: Decimal(self._chance.randrange(40_000, 900_000)) for p in ids},
            liquidity={p: Decimal(self._chance.randrange(500, 999)) / 10 for p in ids},
            watched={
                "daily_loss": max(ZERO, 10_000 - self._equity), "drift": Decimal(drift), "staleness_s": Decimal("0.9"),
                "margin_utilization": used, "clock_offset_s": Decimal("0.031"), "unexpected_rejections": ZERO,
                "consecutive_rejections": ZERO, "unresolved_orders": ZERO, "rate_limit_errors": ZERO,
                "margin_call": ZERO, "spread_bps": ZERO, "checkpoint_overdue_s": ZERO,
            },
        ))

    def order(self, *, rejected: bool = False) -> None:
        """Write an order with its answer, and a fill of every third."""
        self._orders += 1
        name, product_id = f"w-{self._orders:05d}", self.context.plan.products[self._orders % 4].product_id
        intent = OrderIntent(
            product_id=product_id, side=Side.BUY if self._orders % 2 else Side.SELL, size=Decimal("0.0004"),
            limit_price=Decimal(MARKS[product_id]), purpose=Purpose.ENTRY, time_in_force=TimeInForce.GTC,
        )
        ts_ns, latency_ms = self.now_ns, Decimal(self._chance.randrange(60, 220))
        self.add(ev.OrderSubmitted(ts_ns=ts_ns, client_order_id=name, signal_id="s", intent=intent, mid=Decimal(1)))
        if self._orders > 2:
            self._end(f"w-{self._orders - 2:05d}")
        if rejected:
            self.add(ev.OrderRejected(ts_ns=ts_ns, client_order_id=name, reason="INVALID_LIMIT_PRICE_POST_ONLY",
                                      is_expected=True, latency_ms=latency_ms))
            return
        self.add(ev.OrderAccepted(ts_ns=ts_ns, client_order_id=name, order_id=f"v-{name}", latency_ms=latency_ms))
        if self._orders % 3 == 0:
            fill = Fill(entry_id=name, trade_id=name, order_id=f"v-{name}", product_id=product_id, side=intent.side,
                        price=Decimal(MARKS[product_id]), size=intent.size, commission=ZERO,
                        liquidity=Liquidity.MAKER, ts_ns=ts_ns)
            self.add(ev.FillBooked(ts_ns=ts_ns, fill=fill))

    def _end(self, name: str) -> None:
        """Let the venue report an order as cancelled: two orders rest at any time."""
        order = VenueOrder(
            order_id=f"v-{name}", client_order_id=name, product_id="BTC-USD", side=Side.BUY,
            status=OrderStatus.CANCELLED,
        )
        self.add(ev.OrderReported(ts_ns=self.now_ns, order=order))

    def alert(self, name: str, severity: str, detail: str) -> int:
        """Raise an alert; it is on disk when this returns."""
        seq = self.add(ev.AlertRaised(ts_ns=self.now_ns, name=name, severity=severity, detail=detail))
        self.store.flush()
        return seq

    def close(self) -> None:
        """End the writing."""
        self.store.close()
