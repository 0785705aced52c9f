"""What a machine may lack, said once: tests that need it are skipped with the reason, and fail where CI runs."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store_rig import server_place
from trading_core.store_location import StoreLocation

TESTS = Path(__file__).parent
# Files are handed out in this order: one of minutes that came last would keep one worker busy and the other idle.
LONG_FIRST = ("e2e", "browser", "seeding", "chaos", "integration", "contract")
POSTGRES = ("127.0.0.1", 5432)
REDIS = ("127.0.0.1", 6379)


def _lacks_chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    return "" if found else "chromium is not installed: apt-get install chromium"


def _lacks_postgres() -> str:
    try:
        with socket.create_connection(POSTGRES, timeout=5):
            return ""
    except OSError as e:
        return f"no PostgreSQL at {POSTGRES[0]}:{POSTGRES[1]} ({e}): start it to run its tests"


def _lacks_redis() -> str:
    try:
        with socket.create_connection(REDIS, timeout=5):
            return ""
    except OSError as e:
        return f"no Redis at {REDIS[0]}:{REDIS[1]} ({e}): start it to run its tests"


NEEDS = {"browser": _lacks_chromium, "postgres": _lacks_postgres, "redis": _lacks_redis}


def pytest_configure() -> None:
    """Let SIGINT reach the programs that tests start, also where a shell in the background has it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first, and skip what cannot run here."""
    items.sort(key=_place_in_line)
    _skip_what_is_lacking(items)


def _place_in_line(item: pytest.Item) -> int:
    folder = item.path.relative_to(TESTS).parts[0]
    return LONG_FIRST.index(folder) if folder in LONG_FIRST else len(LONG_FIRST)


def _skip_what_is_lacking(items: list[pytest.Item]) -> None:
    """In CI nothing is skipped, so that a missing install step is seen."""
    if os.environ.get("CI"):
        return
    for marker, lacks in NEEDS.items():
        marked = [item for item in items if item.get_closest_marker(marker)]
        if marked and (reason := lacks()):
            for item in marked:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreLocation]:
    """Return where an empty event store may be made: the test runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        yield StoreLocation(root=tmp_path)
        return
    with server_place(tmp_path) as location:
        yield location


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StoreLocation]:
    """Return an empty schema on the real PostgreSQL server; for tests with the marker `postgres`."""
    with server_place(tmp_path) as location:
        yield location
