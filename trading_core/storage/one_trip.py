"""A small commit on a server in one round trip: an order waits for it, and each trip waits for the other side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, text
from sqlalchemy.dialects import postgresql

from trading_core.storage.chain import Head
from trading_core.storage.tables import blocks, events, heads

Rows = Sequence[Mapping[str, Any]]


def _written(table: Table) -> str:
    """Return the SQL that inserts the rows of a table from one array for each column, if the head has moved."""
    names = [column.name for column in table.columns if column.name != "run_id"]
    types = {c.name: c.type.compile(dialect=postgresql.dialect()) for c in table.columns}  # type: ignore[no-untyped-call]  # theirs
    arrays = ", ".join(f"CAST(:{table.name}_{name} AS {types[name]}[])" for name in names)
    columns = ", ".join(names)
    return (
        f"INSERT INTO {table.name} (run_id, {columns}) "
        f"SELECT moved.run_id, given.* FROM moved, unnest({arrays}) AS given({columns})"
    )


# One statement is one transaction: nothing is written unless the head moves, and it moves for its writer alone.
_COMMIT = text(
    f"WITH moved AS (UPDATE {heads.name} SET seq = :seq, hash = :hash, tail_seq = :tail_seq "
    "WHERE run_id = :run_id AND seq = :tail_seq AND epoch = :epoch AND NOT is_sealed RETURNING run_id), "
    f"put_events AS ({_written(events)}), put_blocks AS ({_written(blocks)}) SELECT count(*) FROM moved"
)


def commit_at_once(
    connection: Connection, run_id: str, epoch: int, tail_seq: int, head: Head, rows: Rows, block_rows: Rows
) -> bool:
    """Move the run's head and store what came before it, durably; return False if it is another writer's head.

    The connection is one that commits each statement.
    """
    values: dict[str, Any] = {
        "run_id": run_id, "epoch": epoch, "tail_seq": tail_seq, "seq": head.seq, "hash": head.hash,
        **_arrays(events, rows), **_arrays(blocks, block_rows),
    }
    return bool(connection.execute(_COMMIT, values).scalar_one())


def _arrays(table: Table, rows: Rows) -> dict[str, list[Any]]:
    names = [column.name for column in table.columns if column.name != "run_id"]
    return {f"{table.name}_{name}": [row[name] for row in rows] for name in names}
