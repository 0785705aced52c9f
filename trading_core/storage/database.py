"""How the event store's database is opened: an embedded SQLite file by default, or a PostgreSQL server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, exc, insert, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from trading_core.errors import IntegrityError, StorageError
from trading_core.storage.lock import exclusive
from trading_core.storage.schema import bring_up_to_date, require_version
from trading_core.store_location import StoreLocation

BUSY_TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 5
ANSWER_TIMEOUT_S = 15  # a statement that takes longer counts as failed: nobody may wait for it with an order in hand
SERVER_DIALECT = "postgresql"
COPY_ROWS_MIN = 50  # from here on COPY is three times as fast as INSERT
# One number for the lock that makers of the schema take on a server; any constant will do.
SCHEMA_LOCK = 0x6772_6E6C


class Database:
    """An opened event store. Every access is one short transaction; what fails is a StorageError."""

    def __init__(
        self, location: StoreLocation, engine: Engine, busy_timeout_s: float, *, is_read_only: bool = False
    ) -> None:
        self.location = location
        self.engine = engine
        self._busy_timeout_s = busy_timeout_s
        self._needs_lock = not location.is_server and not is_read_only  # a server locks the rows itself

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection for a short read."""
        with storage_errors(self.location), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection whose transaction commits at the end; of a file, as its only writer."""
        with self._alone(), storage_errors(self.location), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def committing(self) -> Iterator[Connection]:
        """Give a connection to a server that commits each statement by itself."""
        with storage_errors(self.location), self.engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    def close(self) -> None:
        """Close the connections. May be called twice."""
        # Closing the last writer checkpoints SQLite's write-ahead log: that, too, is done by one at a time.
        with self._alone(), storage_errors(self.location):
            self.engine.dispose()

    def _alone(self) -> AbstractContextManager[None]:
        if not self._needs_lock:
            return nullcontext()
        # SQLite before 3.51.3 may corrupt a file that two connections write or checkpoint at once.
        return exclusive(self.location.path.with_suffix(".lock"), self._busy_timeout_s)


def open_writer(location: StoreLocation, *, is_durable: bool, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Database:
    """Return a database that may be written; makes the tables on first use and migrates those of an older build.

    With `is_durable` a commit returns once the disk has it; without, a power cut may lose the last commits.
    """
    if not location.is_server:
        _make_folder(location)
    engine = _engine(location, busy_timeout_s)
    _set_up(engine, location, _writer_settings(location, busy_timeout_s, is_durable=is_durable))
    database = Database(location, engine, busy_timeout_s)
    with database.writing() as connection:
        if location.is_server:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": SCHEMA_LOCK})
        bring_up_to_date(connection, str(location))
    return database


def open_reader(location: StoreLocation) -> Database:
    """Return a database that cannot be written; raises StorageError if there is no store or it is an older build's."""
    if not location.is_server and not location.path.is_file():
        raise StorageError(f"there is no event store at {location}: check EVENT_STORE_ROOT")
    engine = _engine(location, BUSY_TIMEOUT_S, is_read_only=True)
    if location.is_server:
        _set_up(engine, location, ["SET default_transaction_read_only = on"])
    database = Database(location, engine, BUSY_TIMEOUT_S, is_read_only=True)
    with database.reading() as connection:
        require_version(connection, str(location))
    return database


def insert_rows(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert the rows, none or many, each with all columns of the table in their order."""
    if connection.dialect.name == SERVER_DIALECT and len(rows) >= COPY_ROWS_MIN:
        _copy_rows(connection, table, rows)
    elif rows and connection.dialect.name == SERVER_DIALECT:
        connection.execute(insert(table), rows)
    elif rows:
        # As tuples: what SQLAlchemy does with each row by name takes longer than what SQLite does with it.
        connection.exec_driver_sql(_insertion(table), [tuple(row.values()) for row in rows])


@cache
def _insertion(table: Table) -> str:
    return str(insert(table).compile(dialect=sqlite.dialect()))


def _copy_rows(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    dbapi, driver = connection.dialect.loaded_dbapi, connection.connection.driver_connection
    if driver is None:
        raise StorageError("the connection to the event store is closed: nothing was written")
    try:
        with driver.cursor() as cursor, cursor.copy(f"COPY {table.name} FROM STDIN") as copy:
            for row in rows:
                copy.write_row(tuple(row.values()))
    except dbapi.Error as e:
        # SQLAlchemy did not see this: the connection may be lost, and must not be used again.
        connection.invalidate(e)
        raise exc.DBAPIError(None, None, e) from e


@contextmanager
def storage_errors(location: StoreLocation) -> Iterator[None]:
    """Translate the database's exceptions: damage to IntegrityError, all else to StorageError."""
    try:
        yield
    except exc.DBAPIError as e:
        cause = str(e.orig).strip()
        if "malformed" in cause or "not a database" in cause:
            raise IntegrityError(f"event store {location} is damaged ({cause}): restore it, do not go on") from e
        if "full" in cause or "disk I/O" in cause:
            raise StorageError(f"event store {location} cannot be written ({cause}): free disk space and rerun") from e
        if "locked" in cause:
            raise StorageError(f"event store {location} is locked by another process ({cause}): end it") from e
        raise StorageError(f"event store {location} failed: {cause}") from e
    except exc.SQLAlchemyError as e:
        raise StorageError(f"event store {location} failed: {e}") from e


def _make_folder(location: StoreLocation) -> None:
    try:
        location.root.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise StorageError(f"event store folder {location.root} cannot be made: {e.strerror}") from e


def _engine(location: StoreLocation, busy_timeout_s: float, *, is_read_only: bool = False) -> Engine:
    if location.is_server:
        connect_args = {"connect_timeout": CONNECT_TIMEOUT_S, "tcp_user_timeout": ANSWER_TIMEOUT_S * 1000}
        # A connection that was lost while it was idle is replaced; one lost in a transaction fails that transaction.
        return create_engine(location.secret_url(os.environ), connect_args=connect_args, pool_pre_ping=True)
    if is_read_only:
        url = URL.create("sqlite", database=f"file:{location.path}", query={"mode": "ro", "uri": "true"})
        return create_engine(url, connect_args={"timeout": busy_timeout_s})
    engine = create_engine(
        URL.create("sqlite", database=str(location.path)), connect_args={"timeout": busy_timeout_s}
    )

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # Said by us, because Python's driver leaves changes of the schema outside of its transactions.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _writer_settings(location: StoreLocation, busy_timeout_s: float, *, is_durable: bool) -> list[str]:
    if location.is_server:
        return [
            f"SET synchronous_commit = {'on' if is_durable else 'off'}",
            f"SET lock_timeout = {int(busy_timeout_s * 1000)}",
            f"SET statement_timeout = {ANSWER_TIMEOUT_S * 1000}",
            # A writer that stands still must not hold its row for ever: its successor waits for it.
            f"SET idle_in_transaction_session_timeout = {ANSWER_TIMEOUT_S * 1000}",
        ]
    return ["PRAGMA journal_mode=WAL", f"PRAGMA synchronous={'FULL' if is_durable else 'OFF'}"]


def _set_up(engine: Engine, location: StoreLocation, statements: list[str]) -> None:
    @event.listens_for(engine, "connect")
    def run(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        if not location.is_server:
            connection.isolation_level = None  # transactions begin and end where SQLAlchemy says
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement)
        cursor.close()
        if location.is_server:
            connection.commit()
