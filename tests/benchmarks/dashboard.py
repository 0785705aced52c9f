"""What a hundred dashboards cost the trading loop: its 99th percentile with and without them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from rich.console import Console
from rich.table import Table

from tests.dashboard_runs import WatchedRun
from trading_core.clock import NS, SystemClock

VIEWERS = 100
LOOPS = 1_500
EVERY_S = 0.01  # a loop of the session is some 100 times a second at most
START_WITHIN_S = 30
# The server is a process of its own, as `greenlight control serve` is.
SERVER = """
import sys
from pathlib import Path
from tests.browser.rooms import served
with served(Path(sys.argv[1])) as (url, token):
    print(url, token, flush=True)
    sys.stdin.read()
"""
# And so are the viewers: their work must not be mistaken for the server's.
VIEWERS_CODE = """
import sys, threading, requests
url, token, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
def view():
    with requests.get(url + "/feed", headers={"authorization": "Bearer " + token}, stream=True, timeout=60) as answer:
        for _ in answer.iter_lines():
            pass
for _ in range(count):
    threading.Thread(target=view, daemon=True).start()
print("watching", flush=True)
sys.stdin.read()
"""


def loop_ms(run: WatchedRun) -> list[float]:
    """Return how long each loop took: figures, an order with its answer, and a commit, as a session does them."""
    clock, taken, waits = SystemClock(), [], threading.Event()
    for _ in range(LOOPS):
        started_ns = clock.stopwatch_ns()
        run.now_ns += NS
        run.figures()
        run.order()
        run.store.flush()
        taken.append((clock.stopwatch_ns() - started_ns) / 1e6)
        waits.wait(EVERY_S)
    return sorted(taken)


@contextmanager
def child(code: str, *arguments: str) -> Iterator[list[str]]:
    """Run code in a child until the block ends; yields the words of its first line."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()
    finally:
        process.stdin.close()
        process.wait(START_WITHIN_S)


def main() -> None:
    """Print the two rows."""
    table = Table("loop of the session", "p50 ms", "p99 ms", title="a hundred dashboards", title_justify="left")
    with tempfile.TemporaryDirectory() as home:
        run = WatchedRun(Path(home))
        _row(table, "nobody watches", loop_ms(run))
        with child(SERVER, home) as (url, token), child(VIEWERS_CODE, url, token, str(VIEWERS)):
            _wait_for(url, token)
            _row(table, f"{VIEWERS} pages watch", loop_ms(run))
        run.close()
    Console().print(table)


def _wait_for(url: str, token: str) -> None:
    clock, waits = SystemClock(), threading.Event()
    deadline_ns = clock.stopwatch_ns() + START_WITHIN_S * NS
    while clock.stopwatch_ns() < deadline_ns:
        said = requests.get(f"{url}/metrics", headers={"authorization": f"Bearer {token}"}, timeout=20).text
        if f"greenlight_viewers {VIEWERS}.0" in said:
            return
        waits.wait(0.2)
    raise TimeoutError(f"{VIEWERS} viewers did not come within {START_WITHIN_S} s")


def _row(table: Table, name: str, taken: list[float]) -> None:
    table.add_row(name, f"{taken[len(taken) // 2]:.2f}", f"{taken[len(taken) * 99 // 100]:.2f}")


if __name__ == "__main__":
    main()
