"""The schema version: an older store is migrated with its chain intact, a newer one is left alone."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, MetaData, text, update

from tests.core_builders import make_alert, make_change
from tests.store_rig import by_hand
from trading_core.errors import StorageError
from trading_core.storage import schema
from trading_core.storage.database import open_writer
from trading_core.storage.event_reader import EventReader
from trading_core.storage.event_store import EventStore
from trading_core.storage.tables import meta
from trading_core.store_location import StoreLocation

# What version 1 had otherwise: no quarantine, and heads without tail_seq.
TO_VERSION_1 = (
    "DROP TABLE quarantine",
    "ALTER TABLE heads DROP COLUMN tail_seq",
    "UPDATE meta SET value = '1' WHERE name = 'schema_version'",
)


@pytest.fixture
def old(place: StoreLocation) -> StoreLocation:
    """Return a store as the build before left it, with a run in it."""
    with EventStore.open(place, "r1", "g") as store:
        for number in range(20):
            store.append(make_alert(number), "input")
            store.append_tick(make_change(number))
    with by_hand(place) as connection:
        for statement in TO_VERSION_1:
            connection.execute(text(statement))
    return place


def columns(place: StoreLocation) -> dict[str, set[str]]:
    seen = MetaData()
    with by_hand(place) as connection:
        seen.reflect(connection)
    return {name: {column.name for column in table.columns} for name, table in seen.tables.items()}


def test_a_reader_of_an_old_store_says_what_to_do(old: StoreLocation) -> None:
    with pytest.raises(StorageError, match=r"schema version 1 \(this build reads 2\): .* greenlight events migrate"):
        EventReader(old, "r1")


def test_a_writer_migrates_an_old_store_and_its_chain_stays(old: StoreLocation) -> None:
    with EventStore.open(old, "r2", "g") as store:
        store.append(make_alert(1), "input")
    with EventReader(old, "r1") as reader:
        assert reader.verify().seq == 21
        assert [s.event for s in reader.events()] == [make_alert(n) for n in range(20)]
    with EventStore.open(old, "r1", "g") as store:
        assert store.append(make_alert(99), "input", durable=True) == 22
    there = columns(old)
    assert "tail_seq" in there["heads"]
    assert there["quarantine"] == {"run_id", "epoch", "source", "seq", "content"}


def test_a_migration_that_fails_leaves_the_old_store_as_it_was(
    old: StoreLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = schema.MIGRATIONS

    def broken(connection: Connection) -> None:
        steps[0](connection)
        raise StorageError("the power went")

    monkeypatch.setattr(schema, "MIGRATIONS", (broken,))
    with pytest.raises(StorageError, match="the power went"):
        open_writer(old, is_durable=True)
    monkeypatch.undo()
    with pytest.raises(StorageError, match="schema version 1"):
        EventReader(old, "r1")
    with EventStore.open(old, "r1", "g") as store:
        assert store.append(make_alert(99), "input") == 22


@pytest.mark.parametrize("value", ["99", "1.5", "none"])
def test_a_store_of_a_newer_or_unknown_version_is_left_alone(place: StoreLocation, value: str) -> None:
    EventStore.open(place, "r1", "g").close()
    with by_hand(place) as connection:
        connection.execute(update(meta).values(value=value))
    for opener in (lambda: EventStore.open(place, "r1", "g"), lambda: EventReader(place, "r1")):
        with pytest.raises(StorageError, match="schema version"):
            opener()
