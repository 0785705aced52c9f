"""Event stores for tests: a SQLite file, or a schema of its own on the real PostgreSQL server, dropped afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.sql.base import Executable

from trading_core.storage.database import open_writer
from trading_core.store_location import StoreLocation

SERVER = "postgresql+psycopg://root@127.0.0.1:5432/test"
_numbers = count(1)


@contextmanager
def server_place(root: Path) -> Iterator[StoreLocation]:
    """Give an empty schema on the server, as a location."""
    schema = f"greenlight_{os.getpid()}_{next(_numbers)}"
    engine = create_engine(SERVER)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    try:
        yield StoreLocation(root=root, url=f"{SERVER}?application_name={schema}&options=-csearch_path%3D{schema}")
    finally:
        with engine.begin() as connection:
            connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
        engine.dispose()


@contextmanager
def by_hand(place: StoreLocation) -> Iterator[Connection]:
    """Give a connection to the store's tables, past everything that guards them."""
    database = open_writer(place, is_durable=True)
    try:
        with database.engine.begin() as connection:
            yield connection
    finally:
        database.close()


def tamper(place: StoreLocation, *statements: Executable) -> None:
    """Change the store behind its back; each statement must change something."""
    with by_hand(place) as connection:
        for statement in statements:
            assert connection.execute(statement).rowcount != 0
