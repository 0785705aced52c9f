"""A torn tail: what a crashed writer left half written is set aside, and the chain goes on before it.

Only the end can be torn by a crash: rows behind the head, a head behind the rows, a last commit that is there in part.
Where something that verifies follows on the damage, it was no crash: that stays an IntegrityError.
"""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, Table, delete, func, insert, select, update

from trading_core.errors import IntegrityError, StorageError
from trading_core.events import TailRepaired, encode
from trading_core.storage.chain import Head, next_hash
from trading_core.storage.database import Database
from trading_core.storage.tables import blocks, events, heads, quarantine
from trading_core.storage.verify import PAGE_ROWS, Top, Walk, read_rows, read_top, walk


def whole_head(database: Database, run_id: str, epoch: int) -> Head:
    """Verify the run that was taken over with this epoch, repair its tail if it is torn, and return its head.

    Raises IntegrityError if the chain is damaged before its tail.
    """
    top = read_top(database, run_id)
    if top is None:
        raise IntegrityError(f"run {run_id} has no head any more: somebody else changes {database.location}")
    found = walk(database, run_id, top)
    if found.broken is None:
        return found.good
    if not _is_tail(database, run_id, top, found):
        raise IntegrityError(f"run {run_id}, event {found.broken.seq}: {found.broken.why}")
    with database.writing() as connection:
        return _repair(connection, run_id, epoch, top, found)


def _is_tail(database: Database, run_id: str, top: Top, found: Walk) -> bool:
    if found.broken is None or found.broken.seq != found.good.seq + 1:
        return False  # the head itself was changed, or a row that verifies has a stranger beside it
    if top.last_seq < found.broken.seq:
        return True  # the rows end here, whatever the head says
    if found.broken.seq <= top.tail_seq:
        return False
    return found.broken.is_in_block or not _goes_on(database, run_id, found.broken.seq, top.head.seq)


def _goes_on(database: Database, run_id: str, broken_seq: int, last_seq: int) -> bool:
    """Tell whether any row behind the broken one, up to the head, is linked to the row before it."""
    before: Head | None = None
    for row in read_rows(database, events, run_id, PAGE_ROWS, broken_seq - 1, events.c.seq <= last_seq):
        is_linked = before is not None and before.seq + 1 == row.seq and isinstance(row.payload, bytes)
        if is_linked and before is not None and row.hash == next_hash(before.hash, row.kind, row.payload):
            return True
        before = Head(row.seq, row.hash)
    return False


def _repair(connection: Connection, run_id: str, epoch: int, top: Top, found: Walk) -> Head:
    good = found.good
    set_aside = {
        table.name: _set_aside(connection, table, run_id, epoch, good.seq) for table in (events, blocks)
    }
    _keep(connection, run_id, epoch, "head", top.head.seq, {"seq": top.head.seq, "hash": top.head.hash})
    repaired = TailRepaired(
        ts_ns=_last_ts_ns(connection, run_id), last_good_seq=good.seq, set_aside=set_aside,
        missing=max(0, top.head.seq - good.seq - set_aside[events.name]),
        detail=found.broken.why if found.broken is not None else "",
    )
    payload = encode(repaired)
    head = Head(good.seq + 1, next_hash(good.hash, "input", payload))
    connection.execute(
        insert(events).values(
            run_id=run_id, seq=head.seq, ts_ns=repaired.ts_ns, kind="input", type=type(repaired).__name__,
            payload=payload, hash=head.hash,
        )
    )
    moved = connection.execute(
        update(heads).where(heads.c.run_id == run_id, heads.c.epoch == epoch)
        .values(seq=head.seq, hash=head.hash, tail_seq=good.seq)
    )
    if moved.rowcount != 1:
        raise StorageError(f"another writer took over run {run_id} while its tail was repaired: this one ends")
    return head


def _set_aside(connection: Connection, table: Table, run_id: str, epoch: int, after: int) -> int:
    behind = (table.c.run_id == run_id, table.c.seq > after)
    rows = connection.execute(select(table).where(*behind)).all()
    for row in rows:
        _keep(connection, run_id, epoch, table.name, row.seq, dict(row._mapping))
    connection.execute(delete(table).where(*behind))
    return len(rows)


def _keep(connection: Connection, run_id: str, epoch: int, source: str, seq: int, row: dict[str, object]) -> None:
    # msgspec writes bytes as base64, so that a row stays whole whatever is in it.
    content = msgspec.json.encode(row)
    connection.execute(insert(quarantine).values(run_id=run_id, epoch=epoch, source=source, seq=seq, content=content))


def _last_ts_ns(connection: Connection, run_id: str) -> int:
    # The chain's own time: a repair must not move the clock of a run.
    return int(connection.execute(select(func.coalesce(func.max(events.c.ts_ns), 0)).where(events.c.run_id == run_id))
               .scalar_one())
