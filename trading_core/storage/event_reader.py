"""The event store's readers: read-only connections, short queries, so that the writer never waits."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from heapq import merge
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import msgspec
from sqlalchemy import ColumnElement, select

from trading_core.errors import IntegrityError, StorageError
from trading_core.events import AnyEvent, Tick
from trading_core.storage.chain import Head
from trading_core.storage.database import open_reader
from trading_core.storage.event_store import Kind
from trading_core.storage.tables import blocks, events, heads
from trading_core.storage.tick_block import PlacedTick, unpack
from trading_core.storage.verify import BLOCKS_PER_PAGE, PAGE_ROWS, Link, Top, decoded, read_rows, read_top, walk
from trading_core.store_location import StoreLocation, located

SEQ_MAX = 2**63 - 1
INPUTS: tuple[Kind, ...] = ("input",)
EVENTS: tuple[Kind, ...] = ("input", "record")  # all but the blocks of ticks


class StoredEvent(NamedTuple):
    """One event of the chain with its place; `kind` is input, record or tick."""

    seq: int
    ts_ns: int
    kind: str
    event: AnyEvent


class RunHead(msgspec.Struct, frozen=True, kw_only=True):
    """One run in the store."""

    run_id: str
    genesis: str
    seq: int
    hash: str
    epoch: int
    is_sealed: bool


def list_runs(where: StoreLocation | Path) -> list[RunHead]:
    """Return the runs of the store, by run id."""
    wanted = [heads.c[name] for name in RunHead.__struct_fields__]
    database = open_reader(located(where))
    try:
        with database.reading() as connection:
            rows = connection.execute(select(*wanted).order_by(heads.c.run_id)).all()
    finally:
        database.close()
    return [RunHead(**row._mapping) for row in rows]


class EventReader:
    """Reads one run while it is written or later. Raises StorageError if the store does not know the run."""

    def __init__(self, where: StoreLocation | Path, run_id: str) -> None:
        self.run_id = run_id
        self._database = open_reader(located(where))
        try:
            self._top()
        except StorageError:
            self.close()
            raise

    def events(
        self, kinds: Collection[Kind] = EVENTS, types: Collection[str] = (), after: int = 0
    ) -> Iterator[StoredEvent]:
        """Yield the events behind `after` in order; `types` are class names, none means all."""
        wanted: list[ColumnElement[bool]] = [events.c.kind.in_(list(kinds))]
        if types:
            wanted.append(events.c.type.in_(list(types)))
        for row in read_rows(self._database, events, self.run_id, PAGE_ROWS, after, *wanted):
            event = decoded(row.payload, row.seq)
            yield StoredEvent(row.seq, event.ts_ns, row.kind, event)

    def ticks(self, product_id: str | None = None) -> Iterator[Tick]:
        """Yield the ticks in order: all of them, or those of one product."""
        for placed in self.placed_ticks():
            if product_id is None or getattr(placed.tick, "product_id", None) == product_id:
                yield placed.tick

    def inputs(self) -> Iterator[AnyEvent]:
        """Yield what the engine was fed, ticks among the other inputs, in the order of the run: for a replay."""
        rows = (((e.seq, 0), e.event) for e in self.events(kinds=INPUTS))
        ticks = (((p.after_seq, 1), p.tick) for p in self.placed_ticks())
        # heapq.merge is stable, and both streams are sorted by their key.
        for _, event in merge(rows, ticks, key=lambda item: item[0]):
            yield event

    def whole(self) -> Iterator[StoredEvent]:
        """Yield inputs, records and ticks (with the seq of the event before them) in the order of the run."""
        rows = ((stored.seq, 0, stored) for stored in self.events())
        ticks = ((p.after_seq, 1, StoredEvent(p.after_seq, p.tick.ts_ns, "tick", p.tick)) for p in self.placed_ticks())
        for _, _, stored in merge(rows, ticks, key=lambda item: item[:2]):
            yield stored

    def links(self, until: int) -> Iterator[Link]:
        """Yield the links of the chain up to a seq in order as they are stored, blocks of ticks among them."""
        for row in read_rows(self._database, events, self.run_id, PAGE_ROWS, 0, events.c.seq <= until):
            yield Link(row.seq, row.kind, row.payload, row.hash)

    def placed_ticks(self, until: int = SEQ_MAX) -> Iterator[PlacedTick]:
        """Yield the ticks of the blocks up to a seq in order, each with the seq of the event before it."""
        for row in read_rows(self._database, blocks, self.run_id, BLOCKS_PER_PAGE, 0, blocks.c.seq <= until):
            try:
                yield from unpack(row.codec, row.data)
            except ValueError as e:
                raise self._broken(row.seq, f"its block cannot be read: {e}") from e

    def last(self, count: int, types: Collection[str] = ()) -> list[StoredEvent]:
        """Return the last so many events, oldest first; `types` are class names, none means all."""
        wanted = [events.c.run_id == self.run_id, events.c.kind.in_(list(EVENTS))]
        if types:
            wanted.append(events.c.type.in_(list(types)))
        with self._database.reading() as connection:
            rows = connection.execute(select(events).where(*wanted).order_by(events.c.seq.desc()).limit(count)).all()
        return [StoredEvent(r.seq, r.ts_ns, r.kind, decoded(r.payload, r.seq)) for r in reversed(rows)]

    def head(self) -> Head:
        """Return the last committed link."""
        return self._top().head

    def digest(self) -> str:
        """Return the hash over all events and ticks: equal runs have equal digests."""
        return self.head().hash

    def verify(self, anchor: Head | None = None) -> Head:
        """Hash the chain and every block again and return the head.

        Raises IntegrityError that names the first seq that does not verify. The anchor is a head that was kept
        outside of the store: the chain must still pass through it.
        """
        found = walk(self._database, self.run_id, self._top(), anchor)
        if found.broken is not None:
            raise self._broken(found.broken.seq, found.broken.why)
        return found.good

    def close(self) -> None:
        """Close the connections. May be called twice."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _top(self) -> Top:
        top = read_top(self._database, self.run_id)
        if top is None:
            raise StorageError(f"event store {self._database.location} has no run {self.run_id}: list the runs")
        return top

    def _broken(self, seq: int, why: str) -> IntegrityError:
        return IntegrityError(f"run {self.run_id}, event {seq}: {why}")
