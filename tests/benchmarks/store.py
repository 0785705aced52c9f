"""The event store: events a second in group commit, and how long a durable append holds an order up."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from tests.benchmarks.measure import BARE_CALLS, Case, bare_loop, seconds_each
from tests.conftest import POSTGRES
from tests.store_rig import server_place
from trading_core.clock import NS, SystemClock
from trading_core.events import AlertRaised, BookChanged
from trading_core.storage.event_store import EventStore
from trading_core.store_location import StoreLocation

EVENTS = 20_000
ROUNDS = 5
DURABLE = 1_000
TICKS_BEFORE_EACH = 10  # of four busy books between two orders
ALERT = AlertRaised(ts_ns=1, name="drift", severity="ERROR", detail="0.02 above the limit of 0.01")
CHANGE = BookChanged(ts_ns=1, product_id="BTC-USD", is_snapshot=False, bids=((10_000_000, 5),), asks=((10_000_001, 5),))


def main() -> None:
    """Print one line for each kind of store; a server that is not there is said."""
    bare_s = seconds_each(Case("bare loop", bare_loop, BARE_CALLS))
    table = Table(
        "store", "events a second", "bare loops each", "durable append, median ms", "p99 ms",
        title="event store", title_justify="left", min_width=100,
    )
    for name, place in places():
        each_s, durable_s = grouped(place), sorted(durable(place))
        middle_ms, p99_ms = median(durable_s) * 1e3, durable_s[len(durable_s) * 99 // 100] * 1e3
        table.add_row(name, f"{1 / each_s:,.0f}", f"{each_s / bare_s:,.0f}", f"{middle_ms:.2f}", f"{p99_ms:.2f}")
    Console().print(table)


def places() -> Iterator[tuple[str, StoreLocation]]:
    """Yield an empty store of each kind that is here."""
    with tempfile.TemporaryDirectory() as folder:
        yield "SQLite", StoreLocation(root=Path(folder))
        try:
            socket.create_connection(POSTGRES, timeout=1).close()
        except OSError as e:
            Console().print(f"PostgreSQL is not measured: none at {POSTGRES[0]}:{POSTGRES[1]} ({e})")
            return
        with server_place(Path(folder)) as place:
            yield "PostgreSQL", place


def grouped(place: StoreLocation) -> float:
    """Return the median seconds of one append in group commit."""
    taken: list[float] = []
    for number in range(ROUNDS):
        with EventStore.open(place, f"grouped-{number}", "bench") as store, timed(taken, EVENTS):
            for _ in range(EVENTS):
                store.append(ALERT, "record")
            store.flush()
    return median(taken)


def durable(place: StoreLocation) -> list[float]:
    """Return the seconds of each durable append, with the ticks that came before it."""
    taken: list[float] = []
    with EventStore.open(place, "durable", "bench") as store:
        for _ in range(DURABLE):
            for _ in range(TICKS_BEFORE_EACH):
                store.append_tick(CHANGE)
            with timed(taken):
                store.append(ALERT, "record", durable=True)
    return taken


@contextmanager
def timed(taken: list[float], calls: int = 1) -> Iterator[None]:
    """Add the seconds that each call of the block took."""
    clock = SystemClock()
    started_ns = clock.stopwatch_ns()
    yield
    taken.append((clock.stopwatch_ns() - started_ns) / NS / calls)


if __name__ == "__main__":
    main()
