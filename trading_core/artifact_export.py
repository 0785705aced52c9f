"""From the events of a run to its artifacts. Pure: one pass, no clock; equal events give equal bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec

from trading_core import events as ev
from trading_core.artifact_derive import checkpoints
from trading_core.artifact_refusals import RefusalsSoFar
from trading_core.artifact_so_far import OrdersSoFar
from trading_core.artifact_summary import (
    BooksSoFar,
    ReturnsTable,
    TimelineSoFar,
    funding_history,
    funding_row,
    summary,
)
from trading_core.artifact_timeline import timeline_row
from trading_core.artifact_traces import TraceBuilder
from trading_core.artifact_traded import ImpactSoFar
from trading_core.artifacts import (
    ArtifactName,
    ArtifactSet,
    CheckpointRow,
    ExecutionLogs,
    FundingRow,
    Header,
    LiquidityHistory,
    LiquidityRow,
    MarginRow,
    MarginSnapshots,
    ReconciliationHistory,
    ReconciliationRow,
    RejectionBreakdown,
    SizedDownEvents,
    Timeline,
    TimelineRow,
    Trace,
    row_json,
)
from trading_core.clock import MINUTE_NS
from trading_core.market import LEVELS_OF_DEPTH, OrderBook
from trading_core.money import ONE
from trading_core.orders import Side
from trading_core.products import Product
from trading_core.run import RunContext, VenueName

PRODUCER = "trading_core.artifact_export"
ABOUT_ORDERS = (ArtifactName.EXECUTION_LOGS, ArtifactName.LATENCY, ArtifactName.REJECTION_BREAKDOWN)
SILENT = (ev.FiguresTaken, ev.ArtifactsSaved, ev.FeeTierRead)  # many, and no artifact tells of them
OVERSIZE_STEP = "oversize_sized_down"
SOURCES = {
    VenueName.SIMULATED: "local exchange in process, replayed market data",
    VenueName.LOCAL: "local exchange over loopback, replayed market data",
    VenueName.SANDBOX: "Coinbase static sandbox, canned answers",
    VenueName.PAPER: "Coinbase market data, simulated fills",
    VenueName.LIVE: "Coinbase, live orders",
}


class Increment(NamedTuple):
    """What a save brings: rows that will not change any more, in JSON, and the artifacts with those that may."""

    settled: Mapping[ArtifactName, Sequence[bytes]]
    artifacts: ArtifactSet
    begins_anew: bool  # the rows of ABOUT_ORDERS that were settled before are void, and come again


class Exporter:
    """Takes a run's events one by one, in order; `finish` returns the artifacts so far and may be called again.

    A run that is saved as it goes calls `drain` instead, which keeps no row that cannot change any more.
    """

    def __init__(
        self, context: RunContext, products: Mapping[str, Product],
        contract_sizes: Mapping[str, Decimal] | None = None,
    ) -> None:
        self._context = context
        known = {p.product_id: p.contract_size for p in products.values()}
        self._contract_sizes = dict(known if contract_sizes is None else contract_sizes)
        self._books = {product_id: _Book(product) for product_id, product in products.items()}
        self._traces = TraceBuilder(self._contract_sizes)
        self._reconciliation: list[ReconciliationRow] = []
        self._margin: list[MarginRow] = []
        self._liquidity: dict[tuple[int, str], LiquidityRow] = {}
        self._timeline: list[TimelineRow] = []
        self._orders = OrdersSoFar(context.plan, self._contract_sizes)
        self._reopenings = 0  # of traces, of which `_orders` knows
        self._begins_anew = False
        self._impact = ImpactSoFar()
        self._funding: list[FundingRow] = []
        self._products = tuple(p.product_id for p in context.plan.products)
        self._returns = ReturnsTable(self._products)
        self._checkpoints: list[CheckpointRow] = []
        self._totals = BooksSoFar()
        self._happened = TimelineSoFar()
        self._margin_window: str | None = None
        self._margin_level = ""
        self._window = (0, 0)
        self._events = 0
        self._last_seq = 0

    def add(self, seq: int, event: ev.AnyEvent) -> None:
        """Take one event. Ticks are welcome, in their place: they give depth to the liquidity history."""
        if isinstance(event, ev.TICKS):
            self.add_tick(event)
            return
        ts_ns, (start_ns, end_ns) = event.ts_ns, self._window
        if not start_ns or ts_ns < start_ns or ts_ns > end_ns:
            self._window = (min(start_ns or ts_ns, ts_ns), max(end_ns, ts_ns))
        self._events += 1
        self._last_seq = seq
        if isinstance(event, SILENT):
            return
        match event:
            case ev.SnapshotTaken():
                self._on_snapshot(seq, event)
            case ev.AccountRead():
                self._on_account(seq, event)
            case ev.FundingAccrued():
                size = self._contract_sizes.get(event.product_id, ONE)
                self._funding.append(funding_row(seq, event, size))
            case _:
                if (row := timeline_row(seq, event)) is not None:
                    self._timeline.append(row)
                if isinstance(event, ev.CheckpointReached):
                    traces, _, _ = self._traces.finish()
                    self._checkpoints.append(self._orders_now().shown(traces).checkpoint(seq, event))
                self._happened.add(event)
                self._traces.add(seq, event)

    def add_tick(self, tick: ev.Tick) -> None:
        """Take a tick: `add` without the questions that it asks of other events."""
        if isinstance(tick, ev.BookChanged) and (book := self._books.get(tick.product_id)) is not None:
            book.add(tick)

    def finish(self) -> ArtifactSet:
        """Return the artifacts of all events taken so far, without the rows that `drain` has returned."""
        plan, header = self._context.plan, self._header()
        every_s = plan.protocol.snapshot_every_s
        traces, orphans, sized = self._traces.finish()
        orders = self._orders_now()
        refused, latency = orders.refusals(header, traces), orders.latencies(header, traces)
        funding = funding_history(header, self._funding)
        return ArtifactSet(
            reconciliation_history=ReconciliationHistory(
                header=header, snapshot_every_s=every_s, rows=tuple(self._reconciliation)
            ),
            sized_down_events=SizedDownEvents(
                header=header, was_probed=OVERSIZE_STEP in plan.protocol.steps, rows=sized
            ),
            margin_snapshots=MarginSnapshots(header=header, snapshot_every_s=every_s, rows=tuple(self._margin)),
            execution_logs=ExecutionLogs(
                header=header, contract_sizes=self._contract_sizes, rows=traces, orphan_fills=orphans
            ),
            rejection_breakdown=refused,
            liquidity=LiquidityHistory(
                header=header, rows=tuple(row for _, row in sorted(self._liquidity.items()))
            ),
            timeline=Timeline(header=header, rows=tuple(self._timeline)),
            latency=latency,
            funding=funding,
            correlation=self._returns.artifact(header),
            checkpoints=checkpoints(header, plan, self._checkpoints),
            summary=summary(
                header, self._products, orders.traded(traces), refused, latency, funding,
                self._impact.with_live(sized), self._totals, self._happened,
            ),
        )

    def drain(self) -> Increment:
        """Return what came since the last call. Rows that cannot change any more are forgotten here."""
        sized = self._traces.take_sized()
        for cut in sized:
            self._impact.add(cut)
        traces = self._traces.settle(self._window[1])
        orders, before_seq = self._orders_now(), self._traces.refusable_seq()
        begins_anew, self._begins_anew = self._begins_anew, False
        latencies, refused = orders.settle(
            [trace for trace, _ in traces], self._last_seq + 1 if before_seq is None else before_seq
        )
        minute = max((minute for minute, _ in self._liquidity), default=0)  # the last one may get other rows yet
        settled: dict[ArtifactName, Sequence[bytes]] = {
            ArtifactName.RECONCILIATION_HISTORY: [row_json(row) for row in self._reconciliation],
            ArtifactName.SIZED_DOWN_EVENTS: [row_json(row) for row in sized],
            ArtifactName.MARGIN_SNAPSHOTS: [row_json(row) for row in self._margin],
            ArtifactName.EXECUTION_LOGS: [row for _, row in traces],
            ArtifactName.REJECTION_BREAKDOWN: [row_json(row) for row in refused],
            ArtifactName.LIQUIDITY: [row_json(row) for key, row in sorted(self._liquidity.items()) if key[0] < minute],
            ArtifactName.TIMELINE: [row_json(row) for row in self._timeline],
            ArtifactName.LATENCY: [row_json(row) for row in latencies],
        }
        self._liquidity = {key: row for key, row in self._liquidity.items() if key[0] == minute}
        self._reconciliation, self._margin, self._timeline = [], [], []
        return Increment(settled, self.finish(), begins_anew)

    def _orders_now(self) -> OrdersSoFar:
        if self._traces.reopenings != self._reopenings:
            self._reopenings, self._begins_anew = self._traces.reopenings, True
            self._orders = OrdersSoFar(self._context.plan, self._contract_sizes)
        return self._orders

    def _header(self) -> Header:
        context = self._context
        return Header(
            run_id=context.run_id, plan=context.plan.name, venue=context.venue, level=context.level,
            subject_digest=context.subject_digest, source=SOURCES[context.venue], day=context.day,
            seed=context.seed, producer=PRODUCER, window_start=self._window[0], window_end=self._window[1],
            events=self._events, last_seq=self._last_seq,
        )

    def _on_snapshot(self, seq: int, event: ev.SnapshotTaken) -> None:
        self._totals.add(event)
        self._returns.add(event.ts_ns, event.marks)
        self._reconciliation.append(
            ReconciliationRow(
                seq=seq, ts=event.ts_ns, equity=event.equity, opening_equity=event.opening_equity,
                realized=event.realized, unrealized=event.unrealized, fees=event.fees, funding=event.funding,
                transfers=event.transfers, drift=event.drift, is_quiescent=event.is_quiescent,
                positions=event.positions, marks=event.marks, venue_balances=event.venue_balances,
                expected_balances=event.expected_balances, open_orders=event.open_orders,
            )
        )
        self._margin.append(
            MarginRow(
                seq=seq, ts=event.ts_ns, cause="snapshot", margin_used=event.margin_used,
                margin_available=event.margin_available, margin_utilization=event.margin_utilization,
                margin_window=event.margin_window, margin_level=self._margin_level, margin_source=event.margin_source,
            )
        )
        self._margin_window = event.margin_window
        for product_id in sorted(event.positions.keys() | event.spread_bps.keys() | event.staleness_s.keys()):
            minute = event.ts_ns - event.ts_ns % MINUTE_NS
            self._liquidity[minute, product_id] = self._liquidity_row(minute, product_id, event)

    def _liquidity_row(self, minute: int, product_id: str, event: ev.SnapshotTaken) -> LiquidityRow:
        found = self._books.get(product_id)
        book, updates = (None, 0) if found is None else found.take()
        is_known = book is not None and book.is_usable
        return LiquidityRow(
            ts=minute, product_id=product_id, mark=event.marks.get(product_id),
            spread_bps=event.spread_bps.get(product_id), staleness_s=event.staleness_s.get(product_id),
            bid_depth_l10=book.depth(Side.BUY, LEVELS_OF_DEPTH) if book and is_known else None,
            ask_depth_l10=book.depth(Side.SELL, LEVELS_OF_DEPTH) if book and is_known else None,
            updates=updates,
        )

    def _on_account(self, seq: int, event: ev.AccountRead) -> None:
        is_change = (self._margin_window, self._margin_level) != (event.margin_window, event.margin_level)
        self._margin_window, self._margin_level = event.margin_window, event.margin_level
        if not is_change:
            return
        total = event.margin_used + event.margin_available
        self._margin.append(
            MarginRow(
                seq=seq, ts=event.ts_ns, cause="change", margin_used=event.margin_used,
                margin_available=event.margin_available,
                margin_utilization=event.margin_used / total if total > 0 else Decimal(event.margin_used > 0),
                margin_window=event.margin_window, margin_level=event.margin_level,
            )
        )


class _Book:
    """One product's book between snapshots. Changes are gathered: only the last of each level is ever applied."""

    def __init__(self, product: Product) -> None:
        self._book = OrderBook(product)
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}
        self._last: ev.BookChanged | None = None
        self._updates = 0

    def add(self, change: ev.BookChanged) -> None:
        """Take a change."""
        if change.is_snapshot:
            self._book.apply(change)
            self._bids.clear()
            self._asks.clear()
        else:
            self._bids.update(change.bids)
            self._asks.update(change.asks)
        self._last = change
        self._updates += 1

    def take(self) -> tuple[OrderBook, int]:
        """Return the book as of now, and the changes since the last call."""
        if self._last is not None and (self._bids or self._asks):
            gathered = msgspec.structs.replace(
                self._last, is_snapshot=False, bids=tuple(self._bids.items()), asks=tuple(self._asks.items())
            )
            self._book.apply(gathered)
            self._bids.clear()
            self._asks.clear()
        updates, self._updates = self._updates, 0
        return self._book, updates


def export(
    context: RunContext, events: Iterable[tuple[int, ev.AnyEvent]], contract_sizes: Mapping[str, Decimal]
) -> ArtifactSet:
    """Return the artifacts of a run's events; without the products, ticks say nothing of depth."""
    exporter = Exporter(context, {}, contract_sizes)
    for seq, event in events:
        exporter.add(seq, event)
    return exporter.finish()


def breakdown(header: Header, traces: tuple[Trace, ...]) -> RejectionBreakdown:
    """Return the rejection breakdown that follows from the traces: the same counts, or one of them is wrong."""
    return RefusalsSoFar().artifact(header, traces)
