"""What a machine may lack, said once: tests that need it are skipped with the reason, and fail where CI runs."""

from __future__ import annotations

import os
import shutil
import socket

import pytest

POSTGRES = ("127.0.0.1", 5432)


def _lacks_chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    return "" if found else "chromium is not installed: apt-get install chromium"


def _lacks_postgres() -> str:
    try:
        with socket.create_connection(POSTGRES, timeout=1):
            return ""
    except OSError as e:
        return f"no PostgreSQL at {POSTGRES[0]}:{POSTGRES[1]} ({e}): start it to run its tests"


NEEDS = {"browser": _lacks_chromium, "postgres": _lacks_postgres}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what cannot run here; in CI nothing is skipped, so that a missing install step is seen."""
    if os.environ.get("CI"):
        return
    for marker, lacks in NEEDS.items():
        marked = [item for item in items if item.get_closest_marker(marker)]
        if marked and (reason := lacks()):
            for item in marked:
                item.add_marker(pytest.mark.skip(reason=reason))
