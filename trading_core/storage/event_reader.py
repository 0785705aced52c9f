"""The event store's readers: read-only connections, short queries, so that the writer never waits."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator
from heapq import merge
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import msgspec
from sqlalchemy import ColumnElement, Engine, Row, Table, select

from trading_core.errors import IntegrityError, StorageError
from trading_core.events import AnyEvent, Tick, decode
from trading_core.storage import database
from trading_core.storage.chain import Head, first_head, next_hash
from trading_core.storage.database import blocks, events, heads, storage_errors
from trading_core.storage.event_store import Kind
from trading_core.storage.tick_block import PlacedTick, TicksStored, block_sha256, unpack

PAGE_ROWS = 2_000  # a held read transaction would let the write-ahead log grow
BLOCKS_PER_PAGE = 20

INPUTS: tuple[Kind, ...] = ("input",)

_block_decoder = msgspec.json.Decoder(TicksStored)


class StoredEvent(NamedTuple):
    """One event of the chain with its place; `kind` is input or record."""

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


def list_runs(root: Path) -> list[RunHead]:
    """Return the runs of the store, by run id."""
    path = root / database.FILE_NAME
    engine = database.open_reader(path)
    try:
        with storage_errors(path), engine.connect() as connection:
            rows = connection.execute(select(heads).order_by(heads.c.run_id)).all()
    finally:
        engine.dispose()
    return [RunHead(**row._mapping) for row in rows]


class EventReader:
    """Reads one run while it is written or later. Raises StorageError if the store does not know the run."""

    def __init__(self, root: Path, run_id: str) -> None:
        self.path = root / database.FILE_NAME
        self.run_id = run_id
        self._engine: Engine = database.open_reader(self.path)
        try:
            self._head_row()
        except StorageError:
            self.close()
            raise

    def events(
        self, kinds: Collection[Kind] = ("input", "record"), types: Collection[str] = (), after: int = 0
    ) -> Iterator[StoredEvent]:
        """Yield the events behind `after` in order; `types` are class names, none means all."""
        wanted: list[ColumnElement[bool]] = [events.c.kind.in_(list(kinds))]
        if types:
            wanted.append(events.c.type.in_(list(types)))
        for row in self._rows(events, PAGE_ROWS, after, *wanted):
            event = _decoded(row.payload, row.seq)
            yield StoredEvent(row.seq, event.ts_ns, row.kind, event)

    def ticks(self, product_id: str | None = None) -> Iterator[Tick]:
        """Yield the ticks in order: all of them, or those of one product."""
        for placed in self._placed_ticks():
            if product_id is None or getattr(placed.tick, "product_id", None) == product_id:
                yield placed.tick

    def inputs(self) -> Iterator[AnyEvent]:
        """Yield what the engine was fed, ticks among the other inputs, in the order of the run: for a replay."""
        rows = (((e.seq, 0), e.event) for e in self.events(kinds=INPUTS))
        ticks = (((p.after_seq, 1), p.tick) for p in self._placed_ticks())
        # heapq.merge is stable, and both streams are sorted by their key.
        for _, event in merge(rows, ticks, key=lambda item: item[0]):
            yield event

    def head(self) -> Head:
        """Return the last committed link."""
        row = self._head_row()
        return Head(row.seq, row.hash)

    def digest(self) -> str:
        """Return the hash over all events and ticks: equal runs have equal digests."""
        return self.head().hash

    def verify(self, anchor: Head | None = None) -> Head:
        """Hash the chain and every block again and return the head.

        Raises IntegrityError that names the first seq that does not verify. The anchor is a head that was kept
        outside of the store: the chain must still pass through it.
        """
        top = self._head_row()
        link = first_head(top.genesis)
        if anchor is not None and anchor.seq > top.seq:
            raise self._broken(top.seq, f"the chain ends here, but was anchored at {anchor.seq}")
        for row in self._rows(events, PAGE_ROWS, 0, events.c.seq <= top.seq):
            link = self._checked(link, row)
            if anchor is not None and link.seq == anchor.seq and link != anchor:
                raise self._broken(link.seq, "its hash is not the anchored one: the chain was rewritten")
        if link != Head(top.seq, top.hash):
            raise self._broken(link.seq + 1, f"the head is event {top.seq}, the rows end at {link.seq}: torn tail")
        self._verify_blocks(top.seq)
        return link

    def close(self) -> None:
        """Close the connections. May be called twice."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _checked(self, before: Head, row: Row[Any]) -> Head:
        if row.seq != before.seq + 1:
            raise self._broken(before.seq + 1, "it is missing")
        if not isinstance(row.payload, bytes):
            raise self._broken(row.seq, "its payload is not what was written")
        if row.hash != next_hash(before.hash, row.kind, row.payload):
            raise self._broken(row.seq, "its hash does not match its payload")
        stored = _decoded_block(row) if row.kind == "block" else _decoded(row.payload, row.seq)
        if (type(stored).__name__, stored.ts_ns) != (row.type, row.ts_ns):
            raise self._broken(row.seq, "its columns do not match its payload")
        return Head(row.seq, row.hash)

    def _verify_blocks(self, last_seq: int) -> None:
        chained = {
            row.seq: _decoded_block(row)
            for row in self._rows(events, PAGE_ROWS, 0, events.c.seq <= last_seq, events.c.kind == "block")
        }
        for row in self._rows(blocks, BLOCKS_PER_PAGE, 0, blocks.c.seq <= last_seq):
            stored = chained.pop(row.seq, None)
            if stored is None:
                raise self._broken(row.seq, "its block is not in the chain")
            try:
                is_whole = block_sha256(row.data) == stored.sha256
            except zlib.error:
                is_whole = False
            if not is_whole:
                raise self._broken(row.seq, "its block does not match its sha256")
        for seq in chained:
            raise self._broken(seq, "its block is missing")

    def _placed_ticks(self) -> Iterator[PlacedTick]:
        for row in self._rows(blocks, BLOCKS_PER_PAGE, 0):
            try:
                yield from unpack(row.data)
            except (zlib.error, ValueError) as e:
                raise self._broken(row.seq, f"its block cannot be read: {e}") from e

    def _rows(self, table: Table, page: int, after: int, *wanted: ColumnElement[bool]) -> Iterator[Row[Any]]:
        while True:
            query = (
                select(table)
                .where(table.c.run_id == self.run_id, table.c.seq > after, *wanted)
                .order_by(table.c.seq)
                .limit(page)
            )
            with storage_errors(self.path), self._engine.connect() as connection:
                rows = connection.execute(query).all()
            yield from rows
            if len(rows) < page:
                return
            after = rows[-1].seq

    def _head_row(self) -> Row[Any]:
        with storage_errors(self.path), self._engine.connect() as connection:
            row = connection.execute(select(heads).where(heads.c.run_id == self.run_id)).first()
        if row is None:
            raise StorageError(f"event store {self.path} has no run {self.run_id}: list the runs")
        return row

    def _broken(self, seq: int, why: str) -> IntegrityError:
        return IntegrityError(f"run {self.run_id}, event {seq}: {why}")


def _decoded(payload: bytes, seq: int) -> AnyEvent:
    try:
        return decode(payload)
    except msgspec.DecodeError as e:
        raise IntegrityError(f"event {seq} cannot be decoded: {e}") from e


def _decoded_block(row: Row[Any]) -> TicksStored:
    try:
        return _block_decoder.decode(row.payload)
    except msgspec.DecodeError as e:
        raise IntegrityError(f"event {row.seq} cannot be decoded: {e}") from e
