"""How cases are timed and shown: medians, each beside a bare loop of the same run."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from trading_core.clock import NS, SystemClock

ROUNDS = 9
BARE_CALLS = 200_000


class Case(NamedTuple):
    """Something to time: `run` does `calls` of it, `rounds` times."""

    name: str
    run: Callable[[], None]
    calls: int
    rounds: int = ROUNDS


def seconds_each(case: Case) -> float:
    """Return the median real seconds of one call over the rounds."""
    clock, taken = SystemClock(), []
    for _ in range(case.rounds):
        started_ns = clock.stopwatch_ns()
        case.run()
        taken.append((clock.stopwatch_ns() - started_ns) / NS / case.calls)
    return median(taken)


def processor_seconds_each(case: Case) -> float:
    """Return the median seconds of this process's processor time of one call: other work does not lengthen it."""
    taken = []
    for _ in range(case.rounds):
        started_ns = time.process_time_ns()
        case.run()
        taken.append((time.process_time_ns() - started_ns) / NS / case.calls)
    return median(taken)


def show(title: str, cases: list[Case]) -> None:
    """Print one line for each case, with its ratio to one turn of a bare loop."""
    bare_s = seconds_each(Case("bare loop", bare_loop, BARE_CALLS))
    table = Table("case", "µs each", "per second", "bare loops each", title=title, title_justify="left")
    for case in cases:
        each_s = seconds_each(case)
        table.add_row(case.name, f"{each_s * 1e6:,.2f}", f"{1 / each_s:,.0f}", f"{each_s / bare_s:,.0f}")
    Console().print(table)


def bare_loop() -> None:
    """Do nothing, many times."""
    for _ in range(BARE_CALLS):
        pass
