"""The event store's schema version: a writer brings an older store up to date, nobody touches a newer one."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, insert, inspect, select, text, update

from trading_core.errors import StorageError
from trading_core.storage.tables import SCHEMA_VERSION, meta, metadata, quarantine

VERSION_NAME = "schema_version"


def bring_up_to_date(connection: Connection, shown: str) -> None:
    """Make the tables on first use, or migrate them, in the caller's transaction; raises StorageError if newer."""
    version = _version(connection)
    if version is None:
        metadata.create_all(connection)
        connection.execute(insert(meta).values(name=VERSION_NAME, value=str(SCHEMA_VERSION)))
        return
    _refuse_newer(version, shown)
    for migrate in MIGRATIONS[version - 1 :]:
        migrate(connection)
    if version < SCHEMA_VERSION:
        connection.execute(update(meta).where(meta.c.name == VERSION_NAME).values(value=str(SCHEMA_VERSION)))


def require_version(connection: Connection, shown: str) -> None:
    """Raise StorageError unless the store has the schema version that this build reads."""
    version = _version(connection)
    if version is None:
        raise StorageError(f"there is no event store at {shown}: check EVENT_STORE_ROOT and EVENT_STORE_URL")
    _refuse_newer(version, shown)
    if version < SCHEMA_VERSION:
        raise StorageError(
            f"event store {shown} has schema version {version} (this build reads {SCHEMA_VERSION}): "
            "end the sessions that use it, then run greenlight events migrate"
        )


def _version(connection: Connection) -> int | None:
    if not inspect(connection).has_table(meta.name):
        return None
    value = connection.execute(select(meta.c.value).where(meta.c.name == VERSION_NAME)).scalar()
    if value is None:
        return None
    if not value.isdecimal() or int(value) < 1:
        raise StorageError(f"the event store's schema version is {value!r}: it is not one of ours")
    return int(value)


def _refuse_newer(version: int, shown: str) -> None:
    if version > SCHEMA_VERSION:
        raise StorageError(
            f"event store {shown} has schema version {version} (this build knows {SCHEMA_VERSION}): "
            "use the newer build that made it"
        )


def _add_tail_and_quarantine(connection: Connection) -> None:
    connection.execute(text("ALTER TABLE heads ADD COLUMN tail_seq BIGINT NOT NULL DEFAULT 0"))
    # Where the last commit of an old store began is not known: none of its rows counts as torn.
    connection.execute(text("UPDATE heads SET tail_seq = seq"))
    quarantine.create(connection)


# The n-th brings version n to version n + 1. A migration never changes a row of the chain.
MIGRATIONS: tuple[Callable[[Connection], None], ...] = (_add_tail_and_quarantine,)
