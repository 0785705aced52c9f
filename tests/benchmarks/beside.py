"""`python -m tests.benchmarks.beside OURS_S`: the same day of four markets in hftbacktest, in a venv of its own.

hftbacktest needs an older numpy than our lock has, so `make bench` installs it under var/beside. It gets what the
venue's tapes quote, ten times a second, as depth events, and a compiled strategy that requotes each minute. It keeps
no ledger, no risk, no evidence and no hash chain: the ratio says what those cost, it names no winner.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from tests.benchmarks.replay import DAY_S, FOUR, START_NS, UPDATES_PER_S, opened
from trading_core.clock import NS
from trading_core.local_exchange.bars import minute_of
from trading_core.local_exchange.catalogue import load_listing
from trading_core.local_exchange.setup import market_of
from trading_core.local_exchange.tape import Tape

ROOT = Path(__file__).parents[2]
INTERPRETER = ROOT / "var" / "beside" / "bin" / "python"
RUN_S_MAX = 300
BUY, SELL = 1, -1
SHOWN_LOTS = 1_000.0


def quotes(tape: Tape) -> tuple[Any, Any, Any]:
    """Return times, bids and asks in ticks of each update of a day."""
    first = minute_of(START_NS)
    found = [tape.minute(minute) for minute in range(first, first + DAY_S // 60)]
    bids = np.concatenate([np.asarray(minute.bid) for minute in found])
    asks = np.concatenate([np.asarray(minute.ask) for minute in found])
    return START_NS + np.arange(len(bids), dtype=np.int64) * (NS // UPDATES_PER_S), bids, asks


def depth_events(tape: Tape) -> dict[str, Any]:
    """Return the quotes as level changes: a touch that moves sets its new level, then takes the old one away.

    When the market rises the asks go first, when it falls the bids, so that the book never crosses on the way.
    """
    times, bids, asks = quotes(tape)
    columns: dict[str, list[Any]] = {"ts": [], "rank": [], "side": [], "px": [], "qty": []}
    for side, ticks in ((BUY, bids), (SELL, asks)):
        at = np.flatnonzero(np.diff(ticks, prepend=ticks[0] - 1))
        rises = np.diff(ticks, prepend=ticks[0] - 1)[at] > 0
        goes_last = rises if side == BUY else ~rises
        for is_old in (False, True):
            moved = at[1:] if is_old else at
            last = goes_last[1:] if is_old else goes_last
            columns["ts"].append(times[moved])
            columns["rank"].append(2 * last + is_old)
            columns["side"].append(np.full(len(moved), side))
            columns["px"].append((ticks[at[:-1]] if is_old else ticks[at]).astype(np.float64))
            columns["qty"].append(np.full(len(moved), 0.0 if is_old else SHOWN_LOTS))
    whole = {name: np.concatenate(parts) for name, parts in columns.items()}
    order = np.lexsort((whole.pop("rank"), whole["ts"]))
    return {name: column[order] for name, column in whole.items()}


def main(words: list[str]) -> None:
    """Print what hftbacktest took, and the ratio to our seconds if they are given; or why it was not run."""
    console = Console()
    if not INTERPRETER.is_file():
        console.print("hftbacktest is not installed: `make bench` puts it under var/beside", highlight=False)
        return
    with tempfile.TemporaryDirectory() as folder:
        for product_id in FOUR:
            tape = market_of(opened().config, load_listing(product_id)).tape
            np.savez(Path(folder) / f"{product_id}.npz", **depth_events(tape))
        command = [str(INTERPRETER), str(Path(__file__).with_name("beside_hft.py")), folder]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=RUN_S_MAX, check=False)
    if ended.returncode != 0:
        console.print(f"hftbacktest failed: {ended.stderr.strip()[-500:]}", highlight=False, markup=False)
        return
    said = json.loads(ended.stdout)
    ratio = f"; ours takes {float(words[0]) / said['seconds']:,.0f} times as long" if words else ""
    console.print(
        f"hftbacktest {said['version']}, 24 h of {len(FOUR)} markets: {said['seconds']:.2f} s of processor for "
        f"{said['events']:,} depth events and {said['orders']:,} orders{ratio}", highlight=False,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
