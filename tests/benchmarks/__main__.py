"""`make bench`: medians of the hot paths, each beside a bare loop of the same run, so that machines can be compared."""

from __future__ import annotations

import subprocess
import sys

from tests.benchmarks import core, dashboard, decision, replay, store, submit
from tests.benchmarks.measure import show


def main() -> None:
    """Print one table for each part; the day of Stage 3 comes last and takes a minute."""
    show("trading core", core.cases())
    store.main()
    show("replay in process", replay.cases())
    decision.main()
    submit.main()
    dashboard.main()
    subprocess.run([sys.executable, "-m", "tests.benchmarks.orchestration"], check=True)
    subprocess.run([sys.executable, "-m", "tests.benchmarks.pipeline"], check=True)
    # In a process of its own: its peak memory would otherwise be that of everything before it.
    subprocess.run([sys.executable, "-m", "tests.benchmarks.day"], check=True)


if __name__ == "__main__":
    main()
