"""`make seed-faults`: each fault in turn; prints those that no test notices and ends with 1 if there are any."""

from __future__ import annotations

import sys

from rich.console import Console

from tests.seeding.all_faults import all_faults
from tests.seeding.faults import StaleFault
from tests.seeding.runner import NoVerdict, copied
from trading_core.clock import NS, SystemClock


def main(words: list[str]) -> int:
    """Run the faults whose name has one of the words, or all of them."""
    console, clock, bad = Console(), SystemClock(), 0
    faults = [f for f in all_faults() if not words or any(word in f.name for word in words)]
    started_ns = clock.stopwatch_ns()
    with copied() as copy:
        for number, fault in enumerate(faults, 1):
            try:
                verdict = "SURVIVED" if copy.survives(fault) else "killed"
            except (StaleFault, NoVerdict) as e:
                verdict = f"no verdict: {e}"
            bad += verdict != "killed"
            line = f"{number}/{len(faults)} {fault.name}: {verdict}"
            console.print(line, highlight=False, markup=False, soft_wrap=True)
            sys.stdout.flush()
    taken_s = (clock.stopwatch_ns() - started_ns) / NS
    console.print(f"{len(faults)} faults, {len(faults) - bad} killed, {bad} not, {taken_s:.0f} s")
    return 1 if bad or not faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
