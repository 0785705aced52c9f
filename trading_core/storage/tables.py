"""The tables of the event store, in SQL that SQLite and PostgreSQL both know."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, MetaData, String, Table

SCHEMA_VERSION = 2

metadata = MetaData()
meta = Table("meta", metadata, Column("name", String, primary_key=True), Column("value", String, nullable=False))
heads = Table(
    "heads",
    metadata,
    Column("run_id", String, primary_key=True),
    Column("genesis", String, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
    # A second writer takes a higher epoch; the first one's commits then match no row.
    Column("epoch", Integer, nullable=False),
    Column("is_sealed", Boolean, nullable=False),
    # The last event before the last commit: only what came behind it can have been torn by a crash.
    Column("tail_seq", BigInteger, nullable=False),
)
events = Table(
    "events",
    metadata,
    Column("run_id", String, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("ts_ns", BigInteger, nullable=False),
    Column("kind", String(8), nullable=False),
    Column("type", String(32), nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("hash", String(64), nullable=False),
    sqlite_with_rowid=False,
)
blocks = Table(
    "blocks",
    metadata,
    Column("run_id", String, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("n", Integer, nullable=False),
    Column("ts_min_ns", BigInteger, nullable=False),
    Column("ts_max_ns", BigInteger, nullable=False),
    Column("codec", String(16), nullable=False),
    Column("data", LargeBinary, nullable=False),
)
# What a torn tail left, set aside and never read again by the run: rows as JSON, by the epoch that repaired it.
quarantine = Table(
    "quarantine",
    metadata,
    Column("run_id", String, primary_key=True),
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("source", String(8), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("content", LargeBinary, nullable=False),
)
