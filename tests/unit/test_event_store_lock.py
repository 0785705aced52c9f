"""The lock that lets one writer at a time into the store."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from trading_core.errors import StorageError
from trading_core.storage.lock import exclusive

HOLDER = """
import sys
from pathlib import Path
from trading_core.storage.lock import exclusive
with exclusive(Path(sys.argv[1]), 1):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_is_free_again_after_use_and_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with pytest.raises(ZeroDivisionError), exclusive(path, 0):
        raise ZeroDivisionError
    with exclusive(path, 0):
        assert path.exists()


def test_a_held_lock_is_said_after_the_time_out(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with exclusive(path, 0), pytest.raises(StorageError, match=r"locked for 0\.01 s by another"), exclusive(path, 0.01):
        raise AssertionError("two hold one lock")


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StorageError, match="locked"), exclusive(path, 0):
            raise AssertionError("two processes hold one lock")
        holder.kill()
        holder.wait()
        with exclusive(path, 1):
            assert holder.returncode != 0


def test_a_lock_in_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be opened"), exclusive(tmp_path / "none" / "x.lock", 0):
        raise AssertionError("there is no such folder")
