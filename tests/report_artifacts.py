"""A made-up day of trading as artifacts, from one seed: what the report is built and tested on."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal

from trading_core.artifact_derive import LatenciesSoFar
from trading_core.artifact_summary import BooksSoFar, ReturnsTable, TimelineSoFar, funding_history, summary
from trading_core.artifact_traded import ImpactSoFar, TradedSoFar
from trading_core.artifacts import (
    AnswerKind,
    AnswerStep,
    ArtifactSet,
    CancelStep,
    CheckpointRow,
    Checkpoints,
    CheckpointState,
    DenialStep,
    Distance,
    ExecutionLogs,
    FillStep,
    FundingRow,
    Header,
    LiquidityHistory,
    LiquidityRow,
    MarginRow,
    MarginSnapshots,
    ReasonCount,
    ReconciliationHistory,
    ReconciliationRow,
    RefusalRow,
    RefusedBy,
    RejectionBreakdown,
    ReportStep,
    SignalStep,
    SizedDownEvents,
    SizedDownRow,
    SizingStep,
    SubmitStep,
    Timeline,
    TimelineRow,
    Totals,
    Trace,
)
from trading_core.clock import MINUTE_NS, NS, from_iso
from trading_core.events import SnapshotTaken
from trading_core.orders import Liquidity, OrderStatus, OrderType, Purpose, Side, TimeInForce
from trading_core.plan import Level

START_NS = from_iso("2026-03-02T00:00:00Z")
SUBJECT = "5b" * 32
PRICES = {"BTC-USD": 66_000.0, "ETH-USD": 1_980.0, "SOL-USD": 84.0, "XRP-USD": 1.36}
CROSSING = "INVALID_LIMIT_PRICE_POST_ONLY"
DENIALS = ("SPREAD_TOO_WIDE", "INSUFFICIENT_DEPTH", "STALE_BOOK", "ORDERS_PER_MINUTE")
STEPS = {
    "post_only_entry": ("1 of 1 rested post-only", {}),
    "crossing_rejected": ("venue said INVALID_LIMIT_PRICE_POST_ONLY", {}),
    "oversize_sized_down": (
        "3.2 BTC-USD wanted, 0.0015 sent; golden vector 59375",
        {"wanted_size": "3.2", "sent_size": "0.0015", "golden_notional": "59375"},
    ),
    "auto_cancel": ("CANCELLED after 30.6 s (limit 30 s, cause auto_cancel)", {"rested_s": "30.6"}),
    "entry_and_exit": (
        "bought 0.0011, sold 0.0011 BTC-USD: 0.081200 before fees of 0.290400",
        {"flow": "0.0812", "fees": "0.2904", "gap": "0"},
    ),
    "kill_switch_drill": (
        "entry refused, resting entry CANCELLED, flat after 2.4 s (limit 60 s)",
        {"time_to_reduce_only_s": "0.8", "time_to_flat_s": "2.4"},
    ),
}


@dataclass
class Day:
    """How the made-up day goes; every choice has a default."""

    minutes: int = 20
    symbols: tuple[str, ...] = ("BTC-USD",)
    orders: int = 120
    rejected_share: float = 0.0
    drift: str = "0"
    seed: int = 7
    chance: random.Random = field(init=False)
    seq: int = 0

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    def next_seq(self) -> int:
        self.seq += self.chance.randrange(1, 4)
        return self.seq

    def price(self, symbol: str, minute: float) -> float:
        base = PRICES.get(symbol, 10.0)
        return base * (1 + 0.012 * math.sin(minute / 97 + len(symbol)) + 0.003 * math.sin(minute / 11))


def money(value: float, places: int = 4) -> Decimal:
    return Decimal(f"{value:.{places}f}")


def make_artifacts(day: Day, run_id: str = "phase2-20260302T000000Z-7", plan: str = "phase2") -> ArtifactSet:
    """Return the artifacts of the day."""
    traces, cuts = make_traces(day)
    header = Header(
        run_id=run_id, plan=plan, venue="local", level=Level.L0, subject_digest=SUBJECT,
        source="local exchange, replay of a recorded day", day="typical", seed=day.seed, producer="checks.artifacts",
        window_start=START_NS, window_end=START_NS + day.minutes * MINUTE_NS, events=day.seq + 400,
        last_seq=day.seq + 400,
    )
    books, margin = make_books(day)
    refused, latency = make_breakdown(header, traces), LatenciesSoFar().artifact(header, traces)
    funding = funding_history(header, make_funding(day))
    returns, totals, happened = ReturnsTable(day.symbols), BooksSoFar(), TimelineSoFar()
    for row, used in zip(books, margin, strict=True):
        returns.add(row.ts, row.marks)
        totals.add(make_snapshot(row, used))
    sizes = dict.fromkeys(day.symbols, Decimal(1))
    return ArtifactSet(
        reconciliation_history=ReconciliationHistory(header=header, snapshot_every_s=60, rows=books),
        sized_down_events=SizedDownEvents(header=header, was_probed=True, rows=cuts),
        margin_snapshots=MarginSnapshots(header=header, snapshot_every_s=60, rows=margin),
        execution_logs=ExecutionLogs(header=header, contract_sizes=dict.fromkeys(day.symbols, Decimal(1)), rows=traces),
        rejection_breakdown=refused,
        liquidity=LiquidityHistory(header=header, rows=make_liquidity(day)),
        timeline=Timeline(header=header, rows=make_timeline(day)),
        latency=latency,
        funding=funding,
        correlation=returns.artifact(header),
        checkpoints=Checkpoints(header=header, planned_h=(0, 24), rows=make_checkpoints(day, books)),
        summary=summary(
            header, day.symbols, TradedSoFar(sizes).with_live(traces), refused, latency, funding,
            ImpactSoFar().with_live(cuts), totals, happened,
        ),
    )


def make_funding(day: Day) -> tuple[FundingRow, ...]:
    return tuple(
        FundingRow(
            seq=day.next_seq(), ts=START_NS + minute * MINUTE_NS, funding_time=START_NS + minute * MINUTE_NS,
            product_id=day.symbols[0], position=Decimal("-1"), mark=Decimal(500), rate=Decimal("0.0001"),
            booked=Decimal("0.05"), expected=Decimal("0.05"), gap=Decimal(0),
        )
        for minute in range(59, day.minutes, 60)
    )


def make_checkpoints(day: Day, books: tuple[ReconciliationRow, ...]) -> tuple[CheckpointRow, ...]:
    first = books[0]
    return (
        CheckpointRow(
            at_h=0, state=CheckpointState.REACHED, detail="0.4 s after it was due", seq=first.seq, ts=first.ts,
            equity=first.equity, pnl=first.equity - first.opening_equity, accepted=0, rejected=0,
            e_log10={"order_acceptance": Decimal(0)},
            guardrails={"daily_loss": Distance(observed=Decimal(0), limit=Decimal(50), left=Decimal(50))},
        ),
        CheckpointRow(at_h=24, state=CheckpointState.MISSING, detail=f"no figures: the events span {day.minutes} min"),
    )


def make_snapshot(row: ReconciliationRow, used: MarginRow) -> SnapshotTaken:
    shared = {name: getattr(row, name) for name in type(row).model_fields if name not in ("seq", "ts")}
    return SnapshotTaken(
        ts_ns=row.ts, margin_used=used.margin_used, margin_available=used.margin_available,
        margin_utilization=used.margin_utilization, margin_window=used.margin_window, staleness_s={}, spread_bps={},
        **shared,
    )


def make_books(day: Day) -> tuple[tuple[ReconciliationRow, ...], tuple[MarginRow, ...]]:
    books, margin = [], []
    realized = fees = funding = 0.0
    positions = dict.fromkeys(day.symbols, 0.0)
    for minute in range(day.minutes + 1):
        ts, seq = START_NS + minute * MINUTE_NS, day.next_seq()
        marks = {s: day.price(s, minute) for s in day.symbols}
        for symbol in day.symbols:
            step = day.chance.choice((-1, 0, 1)) * 40 / marks[symbol]
            positions[symbol] = positions[symbol] * 0.97 + step
        realized += day.chance.gauss(0, 0.5)
        fees += 0.07
        funding += 0.05 if minute % 60 == 59 else 0.0
        unrealized = sum(positions[s] * (marks[s] - PRICES.get(s, 10.0)) for s in day.symbols)
        parts = [money(v) for v in (realized, unrealized, fees, funding)]
        equity = 10_000 + parts[0] + parts[1] - parts[2] + parts[3]
        used = money(sum(abs(positions[s]) * marks[s] for s in day.symbols))
        window = "INTRADAY" if 720 <= minute % 1440 < 1260 else "OVERNIGHT"
        books.append(
            ReconciliationRow(
                seq=seq, ts=ts, equity=equity, opening_equity=Decimal(10_000), realized=parts[0], unrealized=parts[1],
                fees=parts[2], funding=parts[3], transfers=Decimal(0), drift=Decimal(day.drift) * (minute % 5 == 4),
                is_quiescent=True, positions={s: money(p, 6) for s, p in positions.items()},
                marks={s: money(m) for s, m in marks.items()}, venue_balances={"USD": equity},
                expected_balances={"USD": equity}, open_orders=minute % 3,
            )
        )
        margin.append(
            MarginRow(
                seq=seq, ts=ts, cause="snapshot", margin_used=used, margin_available=equity - used,
                margin_utilization=money(float(used / equity)), margin_window=window, margin_level="BASE",
            )
        )
    return tuple(books), tuple(margin)


def make_traces(day: Day) -> tuple[tuple[Trace, ...], tuple[SizedDownRow, ...]]:
    traces, cuts = [], []
    gap = day.minutes * MINUTE_NS // (day.orders + 1)
    for number in range(day.orders):
        symbol, ts = day.symbols[number % len(day.symbols)], START_NS + (number + 1) * gap
        traces.append(make_trace(day, number, symbol, ts))
        if number % 15 == 3:
            cuts.append(make_cut(day, number, symbol, ts))
    return tuple(traces), tuple(cuts)


def make_trace(day: Day, number: int, symbol: str, ts: int) -> Trace:
    draw, price = day.chance.random(), day.price(symbol, number)
    rejected, denied = number == 1 or draw < day.rejected_share, number > 1 and draw > 0.93
    accepted = not denied and not rejected
    was_filled = accepted and draw > 0.4
    status = OrderStatus.FILLED if was_filled else OrderStatus.CANCELLED if accepted else OrderStatus.REJECTED
    size, side = money(45 / price, 6), day.chance.choice(list(Side))
    answer = make_answer(day, number, ts, is_accepted=accepted)
    order = f"run7-{number:06d}"
    signal = SignalStep(seq=day.next_seq(), ts=ts, source="post_only_pulse")
    sizing = SizingStep(seq=day.next_seq(), original_size=size * 2, adjusted_size=size, limit_name="max_notional")
    submit = SubmitStep(seq=day.next_seq(), ts=ts, client_order_id=order, mid=money(price))
    denial = DenialStep(seq=day.next_seq(), ts=ts, reason=DENIALS[number % 4], detail="61 bps, limit 50 bps")
    report = ReportStep(
        seq=day.next_seq(), ts=ts + 2 * NS, status=status, filled_size=size, average_price=money(price),
        total_fees=money(0.27),
    )
    cancel = CancelStep(seq=day.next_seq(), ts=ts + 30 * NS, cause="auto_cancel", is_accepted=True)
    return Trace(
        signal_id=f"s{number}", client_order_id="" if denied else order, order_id=answer.order_id, product_id=symbol,
        side=side, purpose=Purpose.PROBE_CROSSING if number == 1 else Purpose.ENTRY, order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC, post_only=True, reduce_only=False, size=size, limit_price=money(price),
        stop_price=None, cancel_after_s=30, status=OrderStatus.DENIED if denied else status, retries=0,
        signal=signal, sizing=sizing if number % 15 == 3 else None, denial=denial if denied else None,
        submit=None if denied else submit, answers=() if denied else (answer,), reports=(report,) if accepted else (),
        fills=(make_fill(day, number, symbol, ts, side, size),) if was_filled else (),
        cancels=(cancel,) if accepted and not was_filled else (),
    )


def make_answer(day: Day, number: int, ts: int, *, is_accepted: bool) -> AnswerStep:
    latency = money(38 + day.chance.lognormvariate(2.6, 0.7), 3)
    reason = CROSSING if number == 1 else day.chance.choice(("INSUFFICIENT_FUND", "RATE_LIMITED"))
    return AnswerStep(
        seq=day.next_seq(), ts=ts + int(latency * 1_000_000), is_expected=number == 1, latency_ms=latency,
        kind=AnswerKind.ACCEPTED if is_accepted else AnswerKind.REJECTED,
        order_id=f"v-{number}" if is_accepted else "", reason="" if is_accepted else reason,
    )


def make_fill(day: Day, number: int, symbol: str, ts: int, side: Side, size: Decimal) -> FillStep:
    return FillStep(
        seq=day.next_seq(), ts=ts + NS, entry_id=f"e{number}", trade_id=f"t{number}", order_id=f"v-{number}",
        product_id=symbol, side=side, price=money(day.price(symbol, number)), size=size, notional=money(45.0),
        commission=money(0.27), liquidity=day.chance.choice((Liquidity.MAKER, Liquidity.TAKER)),
        slippage_bps=money(day.chance.gauss(0.2, 0.8)),
    )


def make_cut(day: Day, number: int, symbol: str, ts: int) -> SizedDownRow:
    return SizedDownRow(
        seq=day.next_seq(), ts=ts, signal_id=f"s{number}", product_id=symbol, side=Side.BUY,
        purpose=Purpose.PROBE_OVERSIZE,
        original_size=Decimal("3.2"), adjusted_size=Decimal("0.0015"), original_notional=Decimal(100_000),
        adjusted_notional=Decimal(59_375), limit_name="impact_bps_max", impact_limit_bps=Decimal(10),
        model_impact_bps=Decimal("41.2"), realized_impact_bps=Decimal("0.3"), depth_l1=Decimal(50_000),
        depth_l10=Decimal(200_000), spread_bps=Decimal("0.6"),
    )


def make_breakdown(header: Header, traces: tuple[Trace, ...]) -> RejectionBreakdown:
    rows = []
    for t in traces:
        refused = t.denial or t.answer
        if refused is None or (isinstance(refused, AnswerStep) and refused.kind is AnswerKind.ACCEPTED):
            continue
        rows.append(
            RefusalRow(
                seq=refused.seq, ts=refused.ts, by=RefusedBy.US if t.denial else RefusedBy.VENUE,
                product_id=t.product_id, purpose=t.purpose, reason=refused.reason,
                is_expected=refused.is_expected if isinstance(refused, AnswerStep) else True, detail="",
                signal_id=t.signal_id, client_order_id=t.client_order_id,
            )
        )
    groups = Counter((r.by, r.reason, r.is_expected, r.purpose.value.startswith("PROBE_")) for r in rows)
    counts = [
        ReasonCount(
            by=by, reason=reason, is_expected=expected, is_probe=probe, count=n,
            by_symbol=dict(Counter(r.product_id for r in rows if (r.by, r.reason) == (by, reason))),
        )
        for (by, reason, expected, probe), n in sorted(groups.items())
    ]
    symbols = sorted({t.product_id for t in traces})
    return RejectionBreakdown(
        header=header, totals=totals_of([t for t in traces if not t.is_probe]),
        by_symbol={s: totals_of([t for t in traces if t.product_id == s and not t.is_probe]) for s in symbols},
        probes={Purpose.PROBE_CROSSING: totals_of([t for t in traces if t.is_probe])},
        by_reason=tuple(counts), rows=tuple(rows),
    )


def totals_of(traces: list[Trace]) -> Totals:
    answers = [t.answer for t in traces if t.answer is not None]
    accepted = sum(a.kind is AnswerKind.ACCEPTED for a in answers)
    return Totals(
        signals=len(traces), sent=len(answers), accepted=accepted, rejected=len(answers) - accepted,
        denied=sum(t.denial is not None for t in traces), withheld=0, unresolved=0,
    )


def make_liquidity(day: Day) -> tuple[LiquidityRow, ...]:
    return tuple(
        LiquidityRow(
            ts=START_NS + minute * MINUTE_NS, product_id=symbol, mark=money(day.price(symbol, minute)),
            spread_bps=money(0.4 + index + abs(day.chance.gauss(0, 0.2)) + 18 * (minute == day.minutes * 2 // 3)),
            staleness_s=money(abs(day.chance.gauss(0.4, 0.3))), bid_depth_l10=money(90_000 + 900 * day.chance.random()),
            ask_depth_l10=money(88_000.0), updates=600,
        )
        for minute in range(day.minutes)
        for index, symbol in enumerate(day.symbols)
    )


def make_timeline(day: Day) -> tuple[TimelineRow, ...]:
    end = START_NS + day.minutes * MINUTE_NS
    middle = START_NS + (end - START_NS) // 2
    rows = [
        TimelineRow(seq=1, ts=START_NS, kind="state", name="ACTIVE", severity="INFO", detail="armed by operator"),
        TimelineRow(seq=900, ts=middle, kind="stream", name="DISCONNECTED", severity="WARNING",
                    detail="closed with 1006"),
        TimelineRow(seq=904, ts=middle + 4 * NS, kind="stream", name="CONNECTED",
                    severity="INFO", detail="resubscribed, 0 events lost"),
        TimelineRow(seq=930, ts=START_NS + (end - START_NS) * 2 // 3, kind="alert", name="spread_wide",
                    severity="WARNING", detail="19.1 bps, threshold 15 bps"),
    ]
    for number, (name, (detail, figures)) in enumerate(STEPS.items()):
        ts = end - 90 * NS if name == "kill_switch_drill" else START_NS + (number + 1) * 40 * NS
        rows.append(
            TimelineRow(
                seq=day.next_seq(), ts=ts, kind="step", name=name, severity="INFO", detail=detail, is_shown=True,
                measurements={k: Decimal(v) for k, v in figures.items()},
            )
        )
    rows.append(TimelineRow(seq=day.next_seq(), ts=end - 92 * NS, kind="state", name="REDUCE_ONLY", severity="WARNING",
                            detail="kill-switch drill"))
    return tuple(sorted(rows, key=lambda row: row.ts))
