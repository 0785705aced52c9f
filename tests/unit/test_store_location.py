"""Where the event store is: by folder or by address, and an address never shows its password."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from trading_core.errors import ConfigurationError, StorageError
from trading_core.settings import load_settings
from trading_core.storage.event_reader import EventReader
from trading_core.storage.event_store import EventStore
from trading_core.store_location import StoreLocation, located, without_password

SECRET = "hunter2"
GIVEN = f"postgresql+psycopg://me:{SECRET}@127.0.0.1:1/greenlight?sslmode=prefer"
SHOWN = "postgresql+psycopg://me@127.0.0.1:1/greenlight?sslmode=prefer"


def test_without_an_address_the_events_are_in_the_folder(tmp_path: Path) -> None:
    store = load_settings({"EVENT_STORE_ROOT": str(tmp_path)}).store
    assert (store, store.is_server, str(store)) == (located(tmp_path), False, str(tmp_path / "events.sqlite3"))


def test_an_address_keeps_no_password_and_gets_it_back_from_the_environment() -> None:
    settings = load_settings({"EVENT_STORE_URL": GIVEN})
    assert (settings.store.url, str(settings.store), settings.store.is_server) == (SHOWN, SHOWN, True)
    assert SECRET not in repr(settings) + settings.model_dump_json() + settings.store.model_dump_json()
    assert settings.store.secret_url({"EVENT_STORE_URL": f" {GIVEN} "}) == GIVEN
    assert settings.store.secret_url({"EVENT_STORE_URL": GIVEN.replace("/greenlight", "/other")}) == SHOWN
    assert settings.store.secret_url({}) == SHOWN


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://me:{SECRET}@db/greenlight",
        f"mysql://me:{SECRET}@db/greenlight",
        f"postgresql+psycopg://me:{SECRET}@db",
        f"postgresql+psycopg://me:{SECRET}@db:port/greenlight",
        f"postgresql+psycopg://me@db/greenlight?password={SECRET}",
        f"postgresql+psycopg://me:{SECRET}@[db/greenlight",
        SECRET,
    ],
)
def test_what_is_no_address_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"EVENT_STORE_URL .*USER@HOST") as refused:
        load_settings({"EVENT_STORE_URL": text})
    assert SECRET not in "".join(traceback.format_exception(refused.value))


def test_a_server_that_cannot_be_reached_is_said_without_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENT_STORE_URL", GIVEN)
    location = StoreLocation(root=tmp_path, url=without_password(GIVEN))
    for attempt in (lambda: EventStore.open(location, "r1", "g"), lambda: EventReader(location, "r1")):
        with pytest.raises(StorageError, match=r"event store postgresql.psycopg://me@127.0.0.1:1/greenlight") as failed:
            attempt()
        assert SECRET not in "".join(traceback.format_exception(failed.value))


def test_a_misspelled_address_variable_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="did you mean EVENT_STORE_URL"):
        load_settings({"EVENT_STORE_ULR": GIVEN})
