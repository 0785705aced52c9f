"""The walk over a chain: every link and every block of ticks hashed again, up to the first that does not verify."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Row, Table, func, select

from trading_core.errors import IntegrityError
from trading_core.events import AnyEvent, decode
from trading_core.storage.chain import Head, first_head, next_hash
from trading_core.storage.database import Database
from trading_core.storage.tables import blocks, events, heads
from trading_core.storage.tick_block import TicksStored, block_sha256

PAGE_ROWS = 2_000  # a held read transaction would let the write-ahead log grow
BLOCKS_PER_PAGE = 20

_block_decoder = msgspec.json.Decoder(TicksStored)


class Break(NamedTuple):
    """The first event that does not verify, and why."""

    seq: int
    why: str
    is_in_block: bool = False  # the event is whole, its block of ticks is not


class Link(NamedTuple):
    """One link of a chain as it is stored; of kind input, record or block."""

    seq: int
    kind: str
    payload: bytes
    hash: str


class Walk(NamedTuple):
    """How far a chain verifies: up to `good`, and what is wrong behind it, if anything is."""

    good: Head
    broken: Break | None


class Top(NamedTuple):
    """A run's row of heads, and the last of its rows, at one moment."""

    genesis: str
    head: Head
    epoch: int
    is_sealed: bool
    tail_seq: int
    last_seq: int  # of its rows of events; 0 if there are none
    last_block_seq: int


def read_top(database: Database, run_id: str) -> Top | None:
    """Return the run's head, None if the store does not know the run."""
    # One statement sees one moment: rows that are committed meanwhile do not look as if they were behind the head.
    ends = [
        select(func.coalesce(func.max(table.c.seq), 0)).where(table.c.run_id == run_id).scalar_subquery()
        for table in (events, blocks)
    ]
    with database.reading() as connection:
        row = connection.execute(select(heads, *ends).where(heads.c.run_id == run_id)).first()
    if row is None:
        return None
    return Top(row.genesis, Head(row.seq, row.hash), row.epoch, row.is_sealed, row.tail_seq, *row[-2:])


def walk(database: Database, run_id: str, top: Top, passing: Head | None = None) -> Walk:
    """Verify the run up to its head; `passing` is a head kept elsewhere that the chain must pass through."""
    link = first_head(top.genesis)
    is_mine = events.c.seq <= top.head.seq
    stored = read_rows(database, blocks, run_id, BLOCKS_PER_PAGE, 0, blocks.c.seq <= top.head.seq)
    block = next(stored, None)
    for row in read_rows(database, events, run_id, PAGE_ROWS, 0, is_mine):
        broken = _problem_of(link, row)
        if broken is None and block is not None and block.seq < row.seq:
            broken = Break(block.seq, "its block is not in the chain")
        if broken is None and row.kind == "block":
            broken = _problem_of_block(row, block)
            block = next(stored, None)
        if broken is None and passing is not None and row.seq == passing.seq and row.hash != passing.hash:
            broken = Break(row.seq, "its hash is not the anchored one: the chain was rewritten")
        if broken is not None:
            return Walk(link, broken)
        link = Head(row.seq, row.hash)
    return Walk(link, _problem_at_end(link, top, block, passing))


def read_rows(
    database: Database, table: Table, run_id: str, page: int, after: int, *wanted: ColumnElement[bool]
) -> Iterator[Row[Any]]:
    """Yield the run's rows behind `after` in order, page by page, each page read in a transaction of its own."""
    while True:
        query = (
            select(table).where(table.c.run_id == run_id, table.c.seq > after, *wanted)
            .order_by(table.c.seq).limit(page)
        )
        with database.reading() as connection:
            rows = connection.execute(query).all()
        yield from rows
        if len(rows) < page:
            return
        after = rows[-1].seq


def decoded(payload: bytes, seq: int) -> AnyEvent:
    """Return a row's event; raises IntegrityError if it is none."""
    try:
        return decode(payload)
    except msgspec.DecodeError as e:
        raise IntegrityError(f"event {seq} cannot be decoded: {e}") from e


def _problem_of(before: Head, row: Row[Any]) -> Break | None:
    if row.seq != before.seq + 1:
        return Break(before.seq + 1, "it is missing")
    if not isinstance(row.payload, bytes):
        return Break(row.seq, "its payload is not what was written")
    if row.hash != next_hash(before.hash, row.kind, row.payload):
        return Break(row.seq, "its hash does not match its payload")
    try:
        stored = _block_decoder.decode(row.payload) if row.kind == "block" else decode(row.payload)
    except msgspec.DecodeError as e:
        return Break(row.seq, f"it cannot be decoded: {e}")
    if (type(stored).__name__, stored.ts_ns) != (row.type, row.ts_ns):
        return Break(row.seq, "its columns do not match its payload")
    return None


def _problem_of_block(row: Row[Any], block: Row[Any] | None) -> Break | None:
    if block is None or block.seq != row.seq:
        return Break(row.seq, "its block is missing", is_in_block=True)
    try:
        is_whole = block_sha256(block.codec, block.data) == _block_decoder.decode(row.payload).sha256
    except ValueError:
        is_whole = False
    return None if is_whole else Break(row.seq, "its block does not match its sha256", is_in_block=True)


def _problem_at_end(link: Head, top: Top, block: Row[Any] | None, passing: Head | None) -> Break | None:
    if link.seq < top.head.seq:
        return Break(link.seq + 1, f"the head is event {top.head.seq}, the rows end at {link.seq}: torn tail")
    if block is not None:
        return Break(block.seq, "its block is not in the chain")
    if link.hash != top.head.hash:
        return Break(link.seq, "the head has another hash: the head or the chain was changed")
    if (last := max(top.last_seq, top.last_block_seq)) > link.seq:
        return Break(link.seq + 1, f"the head is event {link.seq}, the rows end at {last}: torn tail")
    if passing is not None and passing.seq > link.seq:
        return Break(link.seq, f"the chain ends here, but was anchored at {passing.seq}")
    return None
