"""`python -m tests.benchmarks.pipeline`: from the event store of a day to artifacts, checks, verdict and report.

A made-up day of Stage 3's size: 1,440 snapshots, 10,000 orders, 3.5 million market events. Making it is not timed; what
follows runs in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from rich.console import Console
from rich.table import Table

from checks.analysis import analyse
from checks.report import build_report
from tests.core_builders import make_product
from tests.evidence_runs import START_NS, RunWriter, make_context
from tests.unit.gate_fixtures import make_subject
from trading_core import events as ev
from trading_core.artifact_export import Exporter
from trading_core.clock import NS, SystemClock
from trading_core.gate.decide import GateInput, decide
from trading_core.gate.publish import GATE_INPUT
from trading_core.orders import Side
from trading_core.plan import Stage
from trading_core.plan_files import find_plan
from trading_core.run import RunContext
from trading_core.run_files import PLAN, RUN, SUBJECT
from trading_core.run_log import ArtifactWriter
from trading_core.stages import go_no_go
from trading_core.stages.files import keep, write_document
from trading_core.stages.result import StageResult, StageStatus
from trading_core.storage.artifact_store import ArtifactStore
from trading_core.storage.event_reader import EventReader
from trading_core.storage.event_store import EventStore

ORDERS, TICKS, DAY_S = 10_000, 3_500_000, 86_400
GAP_S = 8  # seconds between two orders; what is left of the day is waited out at its end
LIMIT_S, LIMIT_MIB, GATE_LIMIT_MS = 30, 1_500, 50
BTC_TICKS, PRODUCTS = 10_000_000, ("BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD")
KIB_A_MIB = 1024
DECISIONS = 5
Part = tuple[str, float, float]  # name, seconds, seconds of processor, children included


def main() -> None:
    """Make the day and let another process take it from the store to the report."""
    with tempfile.TemporaryDirectory() as folder:
        context = make_day(Path(folder))
        command = [sys.executable, "-m", "tests.benchmarks.pipeline", str(context.run_dir)]
        subprocess.run(command, check=True)


def make_day(root: Path) -> RunContext:
    """Write the event store of the day and the documents of its run; no artifact."""
    plan = find_plan("stage3")
    subject = make_subject(plan)
    folder = root / "run"
    folder.mkdir()
    context = make_context(folder, plan=plan, subject_digest=subject.digest, event_store_root=root / "events")
    for name, document in ((SUBJECT, subject), (PLAN, plan), (RUN, context)):
        write_document(context, name, document, start_ns=START_NS, end_ns=START_NS)
    tick_every_ns, ticks = DAY_S * NS // TICKS, _ticks()
    next_tick_ns = START_NS
    with EventStore.open(context.store, context.run_id, "bench", is_durable=False) as store:
        for _, event in _events(RunWriter(plan)):
            while next_tick_ns <= event.ts_ns:
                store.append_tick(next(ticks))
                next_tick_ns += tick_every_ns
            store.append(event, "record")
    return context


def run(run_dir: Path) -> list[Part]:
    """Return what each part took, the event store read first."""
    context = RunContext.model_validate_json((run_dir / f"{RUN}.json").read_bytes())
    clock, parts = SystemClock(), []
    since_ns, busy_s = clock.stopwatch_ns(), _busy_s()

    def lap(name: str) -> None:
        nonlocal since_ns, busy_s
        now_ns, now_busy_s = clock.stopwatch_ns(), _busy_s()
        parts.append((name, (now_ns - since_ns) / NS, now_busy_s - busy_s))
        since_ns, busy_s = now_ns, now_busy_s

    exporter = Exporter(context, {name: make_product(name) for name in PRODUCTS})
    with EventReader(context.store, context.run_id) as reader:
        ticks = reader.placed_ticks()
        placed = next(ticks, None)
        for stored in reader.events():
            while placed is not None and placed.after_seq < stored.seq:
                exporter.add(placed.after_seq, placed.tick)
                placed = next(ticks, None)
            exporter.add(stored.seq, stored.event)
        head = reader.head()
    lap("event store read, artifacts built")
    ArtifactWriter(context).write(exporter.drain(), head)
    lap("artifacts written")
    end_ns = START_NS + DAY_S * NS
    traded = StageResult(
        stage=Stage.LIVE_MICRO_TEST, status=StageStatus.PASSED, started_ns=START_NS, ended_ns=end_ns, summary=""
    )
    stages = [keep(context, traded), keep(context, analyse(context, end_ns))]
    lap("checks and metrics")
    go_no_go.run(context, stages)
    lap("verdict, chain verified")
    build_report(context.run_dir)
    lap("report")
    return parts


def _busy_s() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def gate_ms(run_dir: Path) -> float:
    """Return the milliseconds of the gate alone, the fastest of a few."""
    given = GateInput.model_validate_json(ArtifactStore(run_dir).read(GATE_INPUT))
    clock, taken = SystemClock(), []
    for _ in range(DECISIONS):
        started_ns = clock.stopwatch_ns()
        decide(given)
        taken.append((clock.stopwatch_ns() - started_ns) / NS * 1000)
    return min(taken)


def show(run_dir: Path) -> None:
    """Take the day to its report and print what it took beside the limits."""
    parts = run(run_dir)
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    table = Table("from event store to report, 24 h", "measured", "of a processor", "limit", title_justify="left")
    for name, seconds, busy_s in parts:
        table.add_row(name, f"{seconds:.1f} s", f"{busy_s:.1f} s", "")
    whole_s, whole_busy_s = sum(s for _, s, _ in parts), sum(b for _, _, b in parts)
    table.add_row("all of it", f"{whole_s:.1f} s", f"{whole_busy_s:.1f} s", f"{LIMIT_S} s")
    table.add_row("peak memory of any process", f"{peak / KIB_A_MIB:,.0f} MiB", "", f"{LIMIT_MIB:,} MB")
    table.add_row("the gate alone", f"{gate_ms(run_dir):.1f} ms", "", f"{GATE_LIMIT_MS} ms")
    table.add_row("report.html", f"{(run_dir / 'report.html').stat().st_size / 1e6:.2f} MB", "", "3 MB")
    Console().print(table)


def _events(writer: RunWriter) -> Iterator[tuple[int, ev.AnyEvent]]:
    """Yield the day's events: orders that are cancelled or filled in turn, a snapshot each minute."""
    writer.add(ev.FeeTierRead(
        ts_ns=START_NS, tier="Intro 1", maker_rate=Decimal("0.006"), taker_rate=Decimal("0.012"),
    ))
    for number in range(ORDERS):
        name = writer.order("post_only_pulse")
        writer.wait(GAP_S)
        if number % 4 == 0:
            writer.fill(name, Side.BUY if number % 8 == 0 else Side.SELL)
        else:
            writer.cancel(name, "auto_cancel")
    writer.wait(DAY_S - ORDERS * GAP_S)
    yield from writer.events


def _ticks() -> Iterator[ev.Tick]:
    """Yield changes of four books, ten levels deep at first, then one level a side at a time."""
    for product in PRODUCTS:
        bids = tuple((BTC_TICKS - n, 1_000) for n in range(1, 11))
        asks = tuple((BTC_TICKS + n, 1_000) for n in range(1, 11))
        yield ev.BookChanged(ts_ns=START_NS, product_id=product, is_snapshot=True, bids=bids, asks=asks)
    number = 0
    while True:
        number += 1
        level = (BTC_TICKS - number % 10 - 1, 500 + number % 997)
        yield ev.BookChanged(
            ts_ns=START_NS + number * DAY_S * NS // TICKS, product_id=PRODUCTS[number % 4], is_snapshot=False,
            bids=(level,), asks=((BTC_TICKS + number % 10 + 1, 700 + number % 499),),
        )


if __name__ == "__main__":
    show(Path(sys.argv[1])) if len(sys.argv) > 1 else main()
