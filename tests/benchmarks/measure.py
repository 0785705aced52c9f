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


class Taken(NamedTuple):
    """The median seconds of one call. Processor time is what other work on the machine does not lengthen."""

    real_s: float
    processor_s: float


def timed(case: Case) -> Taken:
    """Return what one call took, the median over the rounds."""
    clock, real_s, processor_s = SystemClock(), [], []
    for _ in range(case.rounds):
        started_ns, started_cpu_ns = clock.stopwatch_ns(), time.process_time_ns()
        case.run()
        processor_s.append((time.process_time_ns() - started_cpu_ns) / NS / case.calls)
        real_s.append((clock.stopwatch_ns() - started_ns) / NS / case.calls)
    return Taken(median(real_s), median(processor_s))


def seconds_each(case: Case) -> float:
    """Return the median real seconds of one call over the rounds."""
    return timed(case).real_s


def bare() -> Taken:
    """Return what one turn of a bare loop takes now."""
    return timed(Case("bare loop", bare_loop, BARE_CALLS))


def show(title: str, cases: list[Case]) -> None:
    """Print one line for each case, with the ratio of its processor time to that of one turn of a bare loop."""
    bare_s = bare().processor_s
    table = Table(
        "case", "µs each", "per second", "µs of processor", "bare loops each", title=title, title_justify="left"
    )
    for case in cases:
        taken = timed(case)
        table.add_row(
            case.name, f"{taken.real_s * 1e6:,.2f}", f"{1 / taken.real_s:,.0f}", f"{taken.processor_s * 1e6:,.2f}",
            f"{taken.processor_s / bare_s:,.0f}",
        )
    Console().print(table)


def bare_loop() -> None:
    """Do nothing, many times."""
    for _ in range(BARE_CALLS):
        pass
