"""A trading state file that a full disk cut off: it halts, says so, and is mended without loosening anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.doctor import Health, examine
from tests.unit.test_trading_state_rules import full_disk
from trading_core.control.accounts import account_guard
from trading_core.errors import ConfigurationError, StorageError
from trading_core.settings import load_settings
from trading_core.state_repair import damage_of, repair
from trading_core.trading_state import TradingGuard, TradingState

ACTIVE, REDUCE_ONLY, HALTED = TradingState
NAME = "acct"
HALF = b'{"state":"ACTIVE","reason":"go","actor":"kim","ts_ns":2,"is_loos'
WHOLE_BUT_UNENDED = b'{"state":"ACTIVE","reason":"go","actor":"kim","ts_ns":2,"is_loosening":true}'


def guard_of(root: Path) -> TradingGuard:
    return account_guard(root, NAME)


def cut_off(root: Path, rest: bytes = HALF) -> Path:
    """Return the file of an account that was ACTIVE when its last line was cut off."""
    guard_of(root).loosen(ACTIVE, reason="start", operator="kim")
    path = root / "accounts" / NAME / "trading_state.jsonl"
    path.write_bytes(path.read_bytes() + rest)
    return path


def test_a_line_that_a_full_disk_cut_off_halts_and_is_named(tmp_path: Path) -> None:
    guard = guard_of(tmp_path)
    guard.loosen(ACTIVE, reason="start", operator="kim")
    path = tmp_path / "accounts" / NAME / "trading_state.jsonl"
    with full_disk(path.stat().st_size + 10):
        guard.tighten(REDUCE_ONLY, reason="test", actor="test")
    assert guard_of(tmp_path).state is HALTED
    assert damage_of(path).words == "line 2 of 2 cannot be read"


@pytest.mark.parametrize("damage", [HALF, WHOLE_BUT_UNENDED, b"\n", b"nonsense\n", b"\xff\n" + WHOLE_BUT_UNENDED])
def test_a_repair_keeps_what_can_be_read_and_leaves_halted(tmp_path: Path, damage: bytes) -> None:
    path = cut_off(tmp_path, damage)
    before = path.read_bytes()
    done = repair(path, operator="kim", reason="the disk was full")
    guard = guard_of(tmp_path)
    assert guard.state is HALTED
    assert [(r.state, r.actor) for r in guard.history()] == [(ACTIVE, "kim"), (HALTED, "kim")]
    assert "the disk was full" in guard.history()[-1].reason
    assert done.set_aside.read_bytes() == before
    assert guard.loosen(ACTIVE, reason="looked at the venue", operator="kim") is ACTIVE


def test_a_process_that_saw_the_damage_stays_halted_until_an_operator_loosens(tmp_path: Path) -> None:
    session = guard_of(tmp_path)
    path = cut_off(tmp_path)
    assert session.state is HALTED
    repair(path, operator="kim", reason="the disk was full")
    assert session.state is HALTED
    guard_of(tmp_path).loosen(ACTIVE, reason="looked", operator="kim")
    assert session.state is ACTIVE


def test_a_damaged_file_is_not_loosened_but_says_how_to_mend_it(tmp_path: Path) -> None:
    """The line that loosens would be glued to the half one: nothing would change, and nobody would know why."""
    path = cut_off(tmp_path)
    before = path.read_bytes()
    with pytest.raises(StorageError, match="greenlight state repair"):
        guard_of(tmp_path).loosen(ACTIVE, reason="go", operator="kim")
    assert (path.read_bytes(), guard_of(tmp_path).state) == (before, HALTED)


def test_a_whole_file_and_a_nameless_repair_are_refused(tmp_path: Path) -> None:
    path = cut_off(tmp_path, b"")
    with pytest.raises(ConfigurationError, match="nothing to repair"):
        repair(path, operator="kim", reason="why not")
    assert guard_of(tmp_path).state is ACTIVE
    path.write_bytes(path.read_bytes() + HALF)
    for operator, reason in ((" ", "why"), ("kim", "")):
        with pytest.raises(ConfigurationError, match="operator's name and a reason"):
            repair(path, operator=operator, reason=reason)


def test_a_repair_that_finds_the_disk_still_full_changes_nothing(tmp_path: Path) -> None:
    path = cut_off(tmp_path)
    before = path.read_bytes()
    with full_disk(10), pytest.raises(StorageError, match="stays HALTED"):
        repair(path, operator="kim", reason="the disk was full")
    assert path.read_bytes() == before
    assert guard_of(tmp_path).state is HALTED


def test_doctor_names_the_damage_and_the_command_line_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENT_STORE_ROOT", str(tmp_path))
    cut_off(tmp_path)
    [found] = [f for f in examine(load_settings({"EVENT_STORE_ROOT": str(tmp_path)}), tmp_path / "up")
               if f.what == "trading state"]
    assert (found.health, NAME in found.found) == (Health.BROKEN, True)
    assert f"greenlight state repair --account {NAME}" in found.remedy
    done = CliRunner().invoke(
        app, ["state", "repair", "--account", NAME, "--operator", "kim", "--reason", "the disk was full"]
    )
    assert (done.exit_code, guard_of(tmp_path).state) == (0, HALTED)
    assert "now: HALTED" in done.output
