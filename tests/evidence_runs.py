"""A made-up Phase 2 run as events, and its run directory: what the metrics and the checks are tested on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from trading_core import events as ev
from trading_core.artifact_export import export
from trading_core.artifacts import AnyArtifact, ArtifactName, to_json
from trading_core.clock import NS
from trading_core.metrics.evidence import Evidence, load_evidence
from trading_core.orders import Fill, Liquidity, OrderIntent, OrderStatus, Purpose, Side, TimeInForce, VenueOrder
from trading_core.plan import Plan, load_plan
from trading_core.run import RunContext, VenueName
from trading_core.storage.artifact_store import ArtifactMeta, ArtifactStore
from trading_core.trading_state import TradingState

START_NS = 1_780_000_000 * NS
SUBJECT = "ab" * 32
BTC = "BTC-USD"
PLAN_FILE = Path(__file__).parent.parent / "deployments" / "plans" / "phase2.toml"
MAKER_RATE, TAKER_RATE = Decimal("0.004"), Decimal("0.006")
D = Decimal
CONTRACT_SIZES = {BTC: Decimal(1)}
Events = list[tuple[int, ev.AnyEvent]]


def make_context(run_dir: Path, **changes: object) -> RunContext:
    """Return the context of a simulated Phase 2 run."""
    base = {
        "run_id": "run-1", "order_prefix": "t", "plan": load_plan(PLAN_FILE), "venue": VenueName.SIMULATED,
        "run_dir": run_dir, "event_store_root": run_dir / "store", "subject_digest": SUBJECT,
    }
    return RunContext.model_validate(base | changes)


class RunWriter:
    """Writes the events of a run as the engine would, with books that balance."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.events: Events = []
        self.now_ns = START_NS
        self.cash, self.coins, self.cost = D("10000"), D(0), D(0)
        self.realized, self.fees = D(0), D(0)
        self._n = 0
        self._saved_ns = START_NS

    @property
    def mark(self) -> Decimal:
        """Return the price as of now: it moves each minute."""
        minute = (self.now_ns - START_NS) // (60 * NS)
        return D("100000") + D(minute * 37 % 101) - D(minute % 7) * 3

    def add(self, event: ev.AnyEvent) -> int:
        """Append one event and return its seq."""
        self.events.append((len(self.events) + 1, event))
        return len(self.events)

    def wait(self, seconds: int) -> None:
        """Let time pass, with a snapshot each minute and a save each five."""
        for _ in range(seconds):
            self.now_ns += NS
            if (self.now_ns - START_NS) % (60 * NS) == 0:
                self.snapshot()
            if self.now_ns - self._saved_ns >= self.plan.protocol.save_every_s * NS:
                self._saved_ns = self.now_ns
                self.add(ev.ArtifactsSaved(ts_ns=self.now_ns, rows={}))

    def signal(self, source: str, intent: OrderIntent) -> str:
        """Raise a signal and return its id."""
        self._n += 1
        signal_id = f"t-s{self._n:05d}"
        self.add(ev.SignalRaised(ts_ns=self.now_ns, signal_id=signal_id, source=source, intent=intent))
        return signal_id

    def order(self, source: str, *, rejected: str = "", sized_to: str = "", latency_ms: str = "41.5",
              lost: bool = False, **changes: object) -> str:
        """Send one order and let the venue answer; return its client order id."""
        intent = make_intent(limit_price=self.mark - 1, **changes)
        signal_id = self.signal(source, intent)
        if sized_to:
            smaller = msgspec.structs.replace(intent, size=D(sized_to))
            self._sized_down(signal_id, intent, smaller)
            intent = smaller
        client_order_id = f"t-{self._n:05d}"
        self.add(ev.OrderSubmitted(ts_ns=self.now_ns, client_order_id=client_order_id, signal_id=signal_id,
                                   intent=intent, mid=self.mark))
        if lost:
            self.add(ev.OrderLost(ts_ns=self.now_ns, client_order_id=client_order_id, cause="read timed out"))
        elif rejected:
            self.add(ev.OrderRejected(
                ts_ns=self.now_ns, client_order_id=client_order_id, reason=rejected,
                is_expected=rejected == "INVALID_LIMIT_PRICE_POST_ONLY", latency_ms=D(latency_ms)))
        else:
            self.add(ev.OrderAccepted(ts_ns=self.now_ns, client_order_id=client_order_id,
                                      order_id=f"v-{client_order_id}", latency_ms=D(latency_ms)))
        return client_order_id

    def report(self, client_order_id: str, status: OrderStatus, side: Side = Side.BUY, **changes: object) -> None:
        """Let the venue report the order."""
        order = VenueOrder(order_id=f"v-{client_order_id}", client_order_id=client_order_id, product_id=BTC,
                           side=side, status=status)
        self.add(ev.OrderReported(ts_ns=self.now_ns, order=msgspec.structs.replace(order, **changes)))

    def cancel(self, client_order_id: str, cause: str) -> None:
        """Cancel the order, with the venue's consent."""
        self.add(ev.CancelRequested(ts_ns=self.now_ns, client_order_id=client_order_id, cause=cause))
        self.add(ev.CancelAnswered(ts_ns=self.now_ns, client_order_id=client_order_id, is_accepted=True))
        self.report(client_order_id, OrderStatus.CANCELLED)

    def fill(self, client_order_id: str, side: Side, size: str = "0.0003") -> None:
        """Fill the order at the mark and book it."""
        price, amount = self.mark, D(size)
        liquidity, rate = (Liquidity.MAKER, MAKER_RATE) if side is Side.BUY else (Liquidity.TAKER, TAKER_RATE)
        fee = price * amount * rate
        self.report(client_order_id, OrderStatus.FILLED, side, filled_size=amount, average_price=price)
        self.add(ev.FillBooked(ts_ns=self.now_ns, fill=Fill(
            entry_id=f"e-{client_order_id}", trade_id=f"x-{client_order_id}", order_id=f"v-{client_order_id}",
            product_id=BTC, side=side, price=price, size=amount, commission=fee, liquidity=liquidity,
            ts_ns=self.now_ns)))
        self.cash -= side.sign * price * amount + fee
        self.fees += fee
        self.coins += side.sign * amount
        if side is Side.BUY:
            self.cost += price * amount
        else:
            self.realized += price * amount - self.cost
            self.cost = D(0)

    def snapshot(self, **changes: object) -> int:
        """Take a snapshot of balanced books."""
        unrealized = self.coins * self.mark - self.cost
        balances = {"USD": self.cash, "BTC": self.coins}
        event = ev.SnapshotTaken(
            ts_ns=self.now_ns, equity=self.cash + self.coins * self.mark, opening_equity=D("10000"),
            realized=self.realized, unrealized=unrealized, fees=self.fees, funding=D(0), transfers=D(0),
            positions={BTC: self.coins}, marks={BTC: self.mark}, venue_balances=balances,
            expected_balances=balances, drift=D(0), is_quiescent=True, margin_used=D(0), margin_available=D(0),
            margin_utilization=D(0), margin_window="", open_orders=0, staleness_s={BTC: D("0.2")},
            spread_bps={BTC: D("0.5")},
        )
        return self.add(msgspec.structs.replace(event, **changes))

    def step(self, name: str, *, is_shown: bool = True, **measurements: Decimal) -> None:
        """End a protocol step."""
        self.add(ev.StepEnded(ts_ns=self.now_ns, step=name, is_shown=is_shown, detail=f"{name} done",
                              measurements=measurements))

    def _sized_down(self, signal_id: str, before: OrderIntent, after: OrderIntent) -> None:
        self.add(ev.SizedDown(
            ts_ns=self.now_ns, signal_id=signal_id, product_id=BTC, side=Side.BUY, original_size=before.size,
            adjusted_size=after.size, original_notional=before.size * self.mark,
            adjusted_notional=after.size * self.mark, limit_name="impact_bps_max", impact_limit_bps=D(10),
            model_impact_bps=D(10), realized_impact_bps=D(3), depth_l1=D(50_000), depth_l10=D(200_000),
            spread_bps=D("0.5")))


def make_intent(**changes: object) -> OrderIntent:
    """Return a small post-only entry."""
    intent = OrderIntent(product_id=BTC, side=Side.BUY, size=D("0.0003"), limit_price=D("99000"),
                         purpose=Purpose.ENTRY, post_only=True, cancel_after_s=30)
    return msgspec.structs.replace(intent, **changes)


EXIT: dict[str, Any] = {
    "side": Side.SELL, "reduce_only": True, "post_only": False, "time_in_force": TimeInForce.IOC,
    "cancel_after_s": None,
}


def make_events(
    plan: Plan, *, rejections: int = 0, entries: int = 80, changed: Callable[[RunWriter], None] | None = None
) -> Events:
    """Return the events of a whole run that shows everything; `changed` may spoil it before the end."""
    run = RunWriter(plan)
    run.add(ev.FeeTierRead(ts_ns=START_NS, tier="Intro 1", maker_rate=MAKER_RATE, taker_rate=TAKER_RATE))
    run.add(ev.StateChanged(ts_ns=START_NS, state=TradingState.ACTIVE, reason="armed", actor="operator"))
    run.add(ev.StreamChanged(ts_ns=START_NS, state=ev.StreamState.CONNECTED))
    run.snapshot()
    _probe_steps(run)
    for n in range(entries):
        name = run.order("post_only_pulse", rejected="INSUFFICIENT_FUND" if n < rejections else "")
        run.wait(10)
        if n >= rejections:
            run.cancel(name, "auto_cancel")
    _round_trip(run)
    _drill(run)
    run.wait(5)
    if changed is not None:
        changed(run)
    run.snapshot()
    run.step("flat_at_end", open_orders=D(0))
    return run.events


def write_run(folder: Path, events: Events | None = None, **changes: object) -> RunContext:
    """Write the run's artifacts and manifest and return its context."""
    context = make_context(folder, **changes)
    artifacts = export(context, events or make_events(context.plan), CONTRACT_SIZES)
    for name, artifact in artifacts.named().items():
        write_artifact(folder, name, artifact)
    return context


def write_artifact(folder: Path, name: ArtifactName, artifact: AnyArtifact) -> None:
    """Write one artifact and enter it into the manifest."""
    header = artifact.header
    meta = ArtifactMeta(
        rows=len(artifact.rows), producer=header.producer, subject_digest=header.subject_digest,
        level=header.level, window_start_ns=header.window_start, window_end_ns=header.window_end,
    )
    ArtifactStore(folder, lambda: START_NS).write(name.value, to_json(artifact), meta)


def load_run(context: RunContext) -> Evidence:
    """Return the evidence of the context's run directory."""
    return load_evidence(ArtifactStore(context.run_dir), context.run_id, context.subject_digest)


def without(events: Iterable[tuple[int, ev.AnyEvent]], kind: type[ev.Event]) -> Events:
    """Return the events without those of one type."""
    return [(seq, event) for seq, event in events if not isinstance(event, kind)]


def _probe_steps(run: RunWriter) -> None:
    name = run.order("post_only_entry")
    run.cancel(name, "post_only_entry")
    run.step("post_only_entry")
    run.order("crossing_rejected", purpose=Purpose.PROBE_CROSSING, rejected="INVALID_LIMIT_PRICE_POST_ONLY")
    run.step("crossing_rejected")
    name = run.order("oversize_sized_down", purpose=Purpose.PROBE_OVERSIZE, size=D("4"), sized_to="0.001")
    run.cancel(name, "oversize_sized_down")
    run.step("oversize_sized_down", golden_notional=D("59375"))
    name = run.order("auto_cancel")
    run.wait(30)
    run.cancel(name, "auto_cancel")
    run.step("auto_cancel", rested_s=D(30))


def _round_trip(run: RunWriter) -> None:
    cash, fees = run.cash, run.fees
    run.fill(run.order("entry_and_exit"), Side.BUY)
    run.wait(90)
    run.fill(run.order("entry_and_exit", purpose=Purpose.EXIT, **EXIT), Side.SELL)
    paid = run.fees - fees
    run.step("entry_and_exit", flow=run.cash - cash + paid, fees=paid, gap=D(0))


def _drill(run: RunWriter) -> None:
    run.fill(run.order("kill_switch_drill"), Side.BUY)
    run.wait(5)
    signal = run.signal("kill_switch_drill", make_intent(purpose=Purpose.PROBE_ENTRY_WHILE_REDUCING))
    run.add(ev.OrderDenied(ts_ns=run.now_ns, signal_id=signal, reason="REDUCE_ONLY", detail="only exits",
                           intent=make_intent(purpose=Purpose.PROBE_ENTRY_WHILE_REDUCING)))
    run.add(ev.StateChanged(ts_ns=run.now_ns, state=TradingState.REDUCE_ONLY, reason="kill-switch drill",
                            actor="engine"))
    run.wait(2)
    run.fill(run.order("kill_switch_drill", purpose=Purpose.PROBE_EXIT_WHILE_REDUCING, **EXIT), Side.SELL)
    run.step("kill_switch_drill", time_to_flat_s=D(2))
