"""The tables of the event store, and how its database is opened. Portable SQL; embedded SQLite by default."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import (
    URL,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    exc,
    insert,
    select,
)
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from trading_core.errors import IntegrityError, StorageError

FILE_NAME = "events.sqlite3"
SCHEMA_VERSION = 1
BUSY_TIMEOUT_S = 5.0

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


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Translate the database's exceptions: damage to IntegrityError, all else to StorageError."""
    try:
        yield
    except exc.DBAPIError as e:
        cause = str(e.orig)
        if "malformed" in cause or "not a database" in cause:
            raise IntegrityError(f"event store {path} is damaged ({cause}): restore it, do not go on") from e
        if "full" in cause or "disk I/O" in cause:
            raise StorageError(f"event store {path} cannot be written ({cause}): free disk space and rerun") from e
        if "locked" in cause:
            raise StorageError(f"event store {path} is locked by another process ({cause}): end it") from e
        raise StorageError(f"event store {path} failed: {cause}") from e


def open_writer(path: Path, *, is_durable: bool, busy_timeout_s: float) -> Engine:
    """Return an engine that may write; makes the tables on first use.

    With `is_durable` a commit returns once the disk has it; without, a power cut may lose the last commits.
    """
    engine = create_engine(URL.create("sqlite", database=str(path)), connect_args={"timeout": busy_timeout_s})

    @event.listens_for(engine, "connect")
    def set_pragmas(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute(f"PRAGMA synchronous={'FULL' if is_durable else 'OFF'}")
        cursor.close()

    with storage_errors(path), engine.begin() as connection:
        metadata.create_all(connection)
        if connection.execute(select(meta.c.value)).first() is None:
            connection.execute(insert(meta).values(name="schema_version", value=str(SCHEMA_VERSION)))
        require_schema(connection, path)
    return engine


def open_reader(path: Path) -> Engine:
    """Return an engine that cannot write; raises StorageError if there is no store."""
    if not path.is_file():
        raise StorageError(f"there is no event store at {path}: check EVENT_STORE_ROOT")
    url = URL.create("sqlite", database=f"file:{path}", query={"mode": "ro", "uri": "true"})
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})
    with storage_errors(path), engine.connect() as connection:
        require_schema(connection, path)
    return engine


def require_schema(connection: Connection, path: Path) -> None:
    """Raise StorageError unless the store has the schema version that this build knows."""
    version = connection.execute(select(meta.c.value).where(meta.c.name == "schema_version")).scalar()
    if version != str(SCHEMA_VERSION):
        raise StorageError(f"event store {path} has schema version {version} (this build knows {SCHEMA_VERSION})")
