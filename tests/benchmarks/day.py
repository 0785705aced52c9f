"""`python -m tests.benchmarks.day`: 24 hours of Stage 3 on the simulated venue, all evidence written.

The live micro test alone: a strategy that requotes each minute on four markets, ledger, risk, event store and
artifacts. In a process of its own, so that its peak memory is its own. What the exchange does is timed apart: making
and matching the market, ten updates a second each, is the venue's work, as a finished stream is no work of a
backtester. The engine looks at each book once a second and sees every trade; the venue's answers are in the stream.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import linear_regression
from typing import NamedTuple, ParamSpec, TypeVar

from rich.console import Console
from rich.table import Table

from tests.benchmarks import beside
from tests.benchmarks.measure import bare
from trading_core.advanced_trade.gateway import Gateway
from trading_core.advanced_trade.stream_inprocess import InProcessFeed
from trading_core.bootstrap import open_venue
from trading_core.clock import NS, SystemClock
from trading_core.plan import load_plan
from trading_core.prepare import prepare_run
from trading_core.run import VenueName
from trading_core.run_log import RunLog
from trading_core.session_process import run_session
from trading_core.stages.result import StageResult
from trading_core.storage.event_reader import EventReader

P = ParamSpec("P")
T = TypeVar("T")
PLAN = Path(__file__).parents[2] / "deployments" / "plans" / "stage3.toml"
HOUR_NS = 3_600 * NS
KIB_A_MIB = 1024
NEEDED_S, NEEDED_MIB = 20, 500


class Watch:
    """Processor time inside of some methods, the outermost call only."""

    def __init__(self) -> None:
        self.taken_ns = 0
        self._is_inside = False

    def timed(self, method: Callable[P, T]) -> Callable[P, T]:
        """Return the method with its time counted."""

        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            if self._is_inside:
                return method(*args, **kwargs)
            started_ns, self._is_inside = time.thread_time_ns(), True
            try:
                return method(*args, **kwargs)
            finally:
                self.taken_ns += time.thread_time_ns() - started_ns
                self._is_inside = False

        return call


class Memory:
    """The resident memory at each full hour of the run."""

    def __init__(self) -> None:
        self.mib: list[float] = []
        self._next_ns = 0

    def look(self, feed: InProcessFeed, deadline_ns: int) -> None:
        """Note it if an hour is over."""
        if deadline_ns >= self._next_ns:
            self._next_ns = deadline_ns + HOUR_NS
            pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
            self.mib.append(pages * resource.getpagesize() / KIB_A_MIB**2)


class Day(NamedTuple):
    """What the day took."""

    result: StageResult
    real_s: float
    processor_s: float
    venue_s: float
    saving_s: float
    mib: list[float]
    ticks: int
    events: int
    digest: str


@contextmanager
def watched(venue: Watch, saving: Watch, memory: Memory) -> Iterator[None]:
    """Time the exchange and the saves while the block runs."""
    kept = InProcessFeed.poll, InProcessFeed.move, Gateway.handle_trusted, RunLog.save
    poll = venue.timed(InProcessFeed.poll)

    def poll_and_look(feed: InProcessFeed, deadline_ns: int) -> list[object]:
        memory.look(feed, deadline_ns)
        return list(poll(feed, deadline_ns))

    InProcessFeed.poll = poll_and_look  # type: ignore[assignment,method-assign]  # the bench's own process
    InProcessFeed.move = venue.timed(InProcessFeed.move)  # type: ignore[method-assign]  # as above
    Gateway.handle_trusted = venue.timed(Gateway.handle_trusted)  # type: ignore[method-assign]  # as above
    RunLog.save = saving.timed(RunLog.save)  # type: ignore[method-assign]  # as above
    try:
        yield
    finally:
        InProcessFeed.poll, InProcessFeed.move, Gateway.handle_trusted, RunLog.save = kept  # type: ignore[method-assign]  # as above


def run_day(root: Path, window_s: int | None = None) -> Day:
    """Run the day, or its first seconds."""
    clock, venue, saving, memory = SystemClock(), Watch(), Watch(), Memory()
    plan = load_plan(PLAN)
    if window_s is not None:
        plan = plan.model_copy(update={"protocol": plan.protocol.model_copy(update={"window_s": window_s})})
    context = prepare_run(
        plan=plan, venue=VenueName.SIMULATED, day="typical", seed=1, speed=1.0, faults="",
        run_id="bench", artifacts_root=root / "artifacts", event_store_root=root / "events",
    )
    with open_venue(context) as endpoint, watched(venue, saving, memory):
        started_ns, started_cpu_ns = clock.stopwatch_ns(), time.process_time_ns()
        result = run_session(context, endpoint)
        real_s = (clock.stopwatch_ns() - started_ns) / NS
        processor_s = (time.process_time_ns() - started_cpu_ns) / NS
    with EventReader(context.store, context.run_id) as reader:
        events, digest = sum(1 for _ in reader.events()), reader.digest()
        ticks = sum(1 for _ in reader.placed_ticks())
    return Day(
        result, real_s, processor_s, venue.taken_ns / NS, saving.taken_ns / NS, memory.mib, ticks, events, digest
    )


def growth_mib_h(mib: list[float]) -> float:
    """Return the slope of the line through the readings of full hours, the warm-up before the first left out."""
    return linear_regression(range(len(mib) - 1), mib[1:]).slope


def main() -> None:
    """Run the day and print what it took."""
    bare_s = bare().processor_s
    with tempfile.TemporaryDirectory() as folder:
        day = run_day(Path(folder))
    ours_s = day.processor_s - day.venue_s
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_A_MIB
    each_s = ours_s / (day.events + day.ticks)
    table = Table("24 h of 4 markets, 10 updates/s each", day.result.status.value, title="the day of Stage 3",
                  title_justify="left")
    table.add_row(f"ours, seconds of processor (needed: {NEEDED_S})", f"{ours_s:.1f}")
    table.add_row("  of these, saving all artifacts every 5 minutes", f"{day.saving_s:.1f}")
    table.add_row("  each event", f"{each_s * 1e6:.1f} µs, {each_s / bare_s:,.0f} bare loops")
    table.add_row("the venue's, seconds of processor", f"{day.venue_s:.1f}")
    table.add_row("all of it, real seconds", f"{day.real_s:.1f}")
    table.add_row(f"peak memory, MiB (needed: {NEEDED_MIB})", f"{peak_mib:.0f}")
    table.add_row("memory by hour, MiB", " ".join(f"{mib:.0f}" for mib in day.mib))
    table.add_row("  growth after the first hour, MiB an hour", f"{growth_mib_h(day.mib):.2f}")
    table.add_row("events, ticks", f"{day.events:,}, {day.ticks:,}")
    table.add_row("digest", day.digest[:16])
    Console().print(table)
    beside.main([str(ours_s)])


if __name__ == "__main__":
    main()
