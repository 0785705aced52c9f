"""`python -m tests.benchmarks.orchestration`: what Prefect takes beyond the stages' own work, in one phase2 each.

By the command line, with the server that Prefect starts for it, each task is timed from its call to its return, and its
body inside it. Under a worker it is read from the times that the server noted.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from datetime import datetime
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from prefect import Task
from rich.console import Console
from rich.table import Table

from flows.checked_request import checked_request
from flows.environment import DEFAULTS
from flows.rollout import AT_THE_VENUE, run_from_command_line
from tasks.artifact_analysis import artifact_analysis
from tasks.go_no_go import go_no_go
from tests.e2e.up_rig import Rig, start_up, stop
from trading_core.clock import NS, SystemClock

TARGET_S = 1.0  # a stage, beyond its own work
REQUEST = {"plan": "phase2", "venue": "simulated"}
Stage = Task[Any, Any]


class Taken(NamedTuple):
    """Seconds of the clock, and of this process's processor time."""

    real_s: float
    processor_s: float

    def __sub__(self, other: Taken) -> Taken:
        return Taken(self.real_s - other.real_s, self.processor_s - other.processor_s)



class Stopwatch:
    """Times what it wraps; the last call of each name counts."""

    def __init__(self) -> None:
        self.taken: dict[str, Taken] = {}
        self._clock = SystemClock()

    def now(self) -> Taken:
        """Return the two clocks."""
        return Taken(self._clock.stopwatch_ns() / NS, time.process_time_ns() / NS)

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return the call, timed under that name."""

        def timed(*args: Any, **options: Any) -> Any:
            started = self.now()
            try:
                return call(*args, **options)
            finally:
                self.taken[name] = self.now() - started

        return timed


def by_command_line() -> None:
    """Run phase2 twice in this process, and print what the second one took; the first one starts the server."""
    watch, calls = Stopwatch(), Task.__call__
    stages: list[Stage] = [*AT_THE_VENUE.values(), artifact_analysis, go_no_go]
    for stage in stages:
        stage.fn = watch.around(f"body of {stage.name}", stage.fn)

    def timed_call(task: Stage, *args: Any, **options: Any) -> Any:
        return watch.around(task.name, calls)(task, *args, **options)

    Task.__call__ = timed_call  # type: ignore[method-assign,assignment]  # Prefect has no hook around a whole call
    run = watch.around("run", run_from_command_line)
    with redirect_stdout(StringIO()):  # what a run says to a terminal
        run((), checked_request(**REQUEST, run_id="bench-first"))
        first = watch.taken["run"] - _sum(watch, stages)
        run((), checked_request(**REQUEST, run_id="bench-second"))
    heads = ("phase2 by the command line", "own work", "beyond it", "of a processor", "target")
    table = Table(*heads, title_justify="left")
    for stage in stages:
        beyond = watch.taken[stage.name] - watch.taken[f"body of {stage.name}"]
        own = watch.taken[f"body of {stage.name}"].real_s
        table.add_row(stage.name, f"{own:.2f} s", *_shown(beyond), f"{TARGET_S:g} s")
    table.add_row(
        "run, all beyond the stages", f"{_sum(watch, stages).real_s:.2f} s",
        *_shown(watch.taken["run"] - _sum(watch, stages)), f"{TARGET_S * len(stages):g} s",
    )
    table.add_row("the first run: it starts the server", "", *_shown(first), "")
    Console().print(table)


def under_a_worker(rig: Rig) -> None:
    """Run phase2 as the UI's form does and print what lies between the stages, and before them."""
    run = rig.run("rollout/phase2", {**REQUEST, "run_id": "bench-worker"})
    tasks = rig.found("task_runs", flow_runs={"id": {"any_": [run["id"]]}})
    spans = sorted((_moment(task["start_time"]), _moment(task["end_time"])) for task in tasks)
    gaps = [later - ended for (_, ended), (later, _) in pairwise(spans)]
    asked, started, ended = (_moment(run[name]) for name in ("created", "start_time", "end_time"))
    table = Table("phase2 under a worker", "measured", "target", title_justify="left")
    table.add_row("between two stages, the longest", f"{max(gaps):.2f} s", f"{TARGET_S:g} s")
    table.add_row("run without its task runs", f"{ended - started - sum(b - a for a, b in spans):.2f} s",
                  f"{TARGET_S * len(tasks):g} s")
    table.add_row("from asked for to running: its process starts", f"{started - asked:.2f} s", "")
    Console().print(table)


def main() -> None:
    """Print both tables, each run in folders of its own."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        folders = {"PREFECT_HOME": "prefect", "EVENT_STORE_ROOT": "events", "ARTIFACTS_ROOT": "artifacts"}
        subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.orchestration", "by-command-line"], check=True,
            env={**inherited, **DEFAULTS, **{name: str(root / path) for name, path in folders.items()}},
        )
        (root / "up").mkdir()
        rig = start_up(root / "up")
        try:
            under_a_worker(rig)
        finally:
            stop(rig)


def _sum(watch: Stopwatch, stages: list[Stage]) -> Taken:
    bodies = [watch.taken[f"body of {stage.name}"] for stage in stages]
    return Taken(sum(b.real_s for b in bodies), sum(b.processor_s for b in bodies))


def _shown(taken: Taken) -> tuple[str, str]:
    return f"{taken.real_s:.2f} s", f"{taken.processor_s:.2f} s"


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


if __name__ == "__main__":
    by_command_line() if len(sys.argv) > 1 else main()
