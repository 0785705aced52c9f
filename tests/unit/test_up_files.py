"""Prefect's password is for its owner only, and a process is known by its number and its start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from flows.doctor import Health, examine
from flows.up_files import Started, Up, auth_string, forget_up, read_up, running_up, start_ticks_of, started, write_up
from trading_core.errors import ConfigurationError
from trading_core.settings import load_settings


def test_password_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    first = auth_string(tmp_path / "home")
    assert auth_string(tmp_path / "home") == first
    assert (tmp_path / "home" / "auth").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "home").stat().st_mode & 0o777 == 0o700
    assert first != auth_string(tmp_path / "other")


@pytest.mark.parametrize(("mode", "text"), [(0o644, "greenlight:" + "x" * 40), (0o600, "greenlight:")])
def test_password_that_is_readable_or_missing_is_refused(tmp_path: Path, mode: int, text: str) -> None:
    (tmp_path / "auth").write_text(text, "utf-8")
    (tmp_path / "auth").chmod(mode)
    with pytest.raises(ConfigurationError, match="remove it"):
        auth_string(tmp_path)


def test_process_of_the_same_number_and_another_start_is_another_process() -> None:
    me = started("me", os.getpid())
    assert me.is_running
    assert not Started(name="me", pid=me.pid, start_ticks=me.start_ticks - 1).is_running


def test_ended_process_does_not_run_even_if_nobody_has_reaped_it() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    found = started("child", child.pid)
    assert found.is_running
    child.communicate()
    assert not found.is_running
    assert start_ticks_of(child.pid) == -1


def up_of(supervisor: Started) -> Up:
    return Up(api_url="http://127.0.0.1:1/api", dashboard_url="http://127.0.0.1:2", supervisor=supervisor, children=[])


def test_record_of_a_killed_up_is_no_running_one(tmp_path: Path) -> None:
    write_up(tmp_path, up_of(started("up", os.getpid())))
    assert running_up(tmp_path) is not None
    write_up(tmp_path, up_of(Started(name="up", pid=os.getpid(), start_ticks=1)))
    assert running_up(tmp_path) is None
    assert read_up(tmp_path) is not None
    forget_up(tmp_path)
    assert read_up(tmp_path) is None


def test_doctor_finds_a_broken_database_and_what_a_killed_up_left(tmp_path: Path) -> None:
    settings = load_settings({"EVENT_STORE_ROOT": str(tmp_path / "events")})
    before = {f.what: f.health for f in examine(settings, tmp_path)}
    assert before["Prefect's database"] is Health.WELL
    assert before["leftovers"] is Health.WELL
    (tmp_path / "prefect.db").write_bytes(b"no database at all, but long enough to be looked at" * 100)
    left = up_of(Started(name="up", pid=os.getpid(), start_ticks=1))
    write_up(tmp_path, msgspec.structs.replace(left, children=[started("worker", os.getpid())]))
    after = {f.what: f for f in examine(settings, tmp_path)}
    assert after["Prefect's database"].health is Health.BROKEN
    assert after["leftovers"].health is Health.BROKEN
    assert after["leftovers"].remedy == "greenlight down"
