"""`python -m tests.benchmarks.day`: 24 hours of Stage 3 on the simulated venue, all evidence written.

The live micro test alone: a strategy that requotes each minute on four markets, ledger, risk, event store and
artifacts. In a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import resource
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tasks.live_micro_test import live_micro_test
from trading_core.bootstrap import open_venue
from trading_core.clock import NS, SystemClock
from trading_core.plan import load_plan
from trading_core.prepare import prepare_run
from trading_core.run import VenueName
from trading_core.storage.event_reader import EventReader

PLAN = Path(__file__).parents[2] / "deployments" / "plans" / "stage3.toml"
KIB_A_MIB = 1024


def main() -> None:
    """Run the day and print what it took."""
    clock = SystemClock()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        context = prepare_run(
            plan=load_plan(PLAN), venue=VenueName.SIMULATED, day="typical", seed=1, speed=1.0, faults="",
            run_id="bench", artifacts_root=root / "artifacts", event_store_root=root / "events",
        )
        with open_venue(context) as endpoint:
            started_ns = clock.stopwatch_ns()
            result = live_micro_test.fn(context, endpoint)
            taken_s = (clock.stopwatch_ns() - started_ns) / NS
        usage = resource.getrusage(resource.RUSAGE_SELF)
        with EventReader(context.event_store_root, context.run_id) as reader:
            events, digest = sum(1 for _ in reader.events()), reader.digest()
    table = Table("live micro test, 24 h of 4 markets", result.status.value, title_justify="left")
    table.add_row("real seconds", f"{taken_s:.1f}")
    table.add_row("seconds of processor, imports and reading back included", f"{usage.ru_utime + usage.ru_stime:.1f}")
    table.add_row("peak memory, MiB", f"{usage.ru_maxrss / KIB_A_MIB:.0f}")
    table.add_row("events, ticks left out", f"{events:,}")
    table.add_row("digest", digest[:16])
    Console().print(table)


if __name__ == "__main__":
    main()
