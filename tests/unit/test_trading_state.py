"""The trading state: anyone tightens, only an operator loosens, and damage is a latched kill."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from trading_core.errors import ConfigurationError, StorageError
from trading_core.trading_state import TradingGuard, TradingState

ACTIVE, REDUCE_ONLY, HALTED = TradingState


def make_guard(path: Path) -> TradingGuard:
    counter = count(1)
    return TradingGuard(path, lambda: next(counter))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "account" / "state.jsonl"


def test_a_first_start_is_reduce_only(path: Path) -> None:
    guard = make_guard(path)
    assert (guard.state, guard.history()) == (REDUCE_ONLY, [])


def test_an_operator_loosens_and_is_named_in_the_trail(path: Path) -> None:
    guard = make_guard(path)
    assert guard.loosen(ACTIVE, reason="start", operator="kim") is ACTIVE
    last = guard.history()[-1]
    assert (last.state, last.actor, last.reason, last.is_loosening) == (ACTIVE, "kim", "start", True)


def test_loosening_without_a_name_is_refused(path: Path) -> None:
    with pytest.raises(ConfigurationError, match="operator's name"):
        make_guard(path).loosen(ACTIVE, reason="start", operator="")
    assert not path.exists()


@pytest.mark.parametrize(("held", "asked", "after"), [
    (ACTIVE, ACTIVE, ACTIVE), (ACTIVE, REDUCE_ONLY, REDUCE_ONLY), (ACTIVE, HALTED, HALTED),
    (REDUCE_ONLY, ACTIVE, REDUCE_ONLY), (REDUCE_ONLY, HALTED, HALTED),
    (HALTED, ACTIVE, HALTED), (HALTED, REDUCE_ONLY, HALTED), (HALTED, HALTED, HALTED),
])
def test_tightening_takes_the_tighter_state(
    path: Path, held: TradingState, asked: TradingState, after: TradingState
) -> None:
    guard = make_guard(path)
    guard.loosen(held, reason="setup", operator="kim")
    assert guard.tighten(asked, reason="test", actor="engine") is after
    assert make_guard(path).state is after


def test_a_restart_keeps_the_state(path: Path) -> None:
    make_guard(path).tighten(HALTED, reason="loss", actor="engine")
    assert make_guard(path).state is HALTED


def test_two_guards_of_one_file_see_each_other(path: Path) -> None:
    session, operator = make_guard(path), make_guard(path)

    operator.loosen(ACTIVE, reason="start", operator="kim")
    assert session.state is ACTIVE
    session.tighten(REDUCE_ONLY, reason="drift", actor="engine")
    assert operator.state is REDUCE_ONLY
    operator.tighten(HALTED, reason="stop", actor="api")
    assert session.state is HALTED


def test_two_tightenings_that_cross_leave_the_tighter_state(path: Path) -> None:
    guard = make_guard(path)
    guard.loosen(ACTIVE, reason="start", operator="kim")
    before = path.read_bytes()
    guard.tighten(REDUCE_ONLY, reason="slower", actor="second process")
    late_line = path.read_bytes()[len(before):]
    path.write_bytes(before)
    guard.tighten(HALTED, reason="faster", actor="first process")
    path.write_bytes(path.read_bytes() + late_line)

    assert make_guard(path).state is HALTED


@pytest.mark.parametrize(
    "damage", [b"{}\n", b"nonsense\n", b"\n", b"\x00" * 40, b'{"state":"ACTIVE","reason":"","actor":"","ts_ns":1}',
               b'{"state":"OPEN","reason":"","actor":"","ts_ns":1}\n', b"\xff\xfe\n"]
)
def test_a_damaged_file_halts(path: Path, damage: bytes) -> None:
    guard = make_guard(path)
    guard.loosen(ACTIVE, reason="start", operator="kim")
    path.write_bytes(path.read_bytes() + damage)
    assert guard.state is HALTED
    assert make_guard(path).state is HALTED
    assert guard.history() == []


def test_a_removed_file_halts_who_knew_it(path: Path) -> None:
    guard = make_guard(path)
    guard.loosen(ACTIVE, reason="start", operator="kim")
    path.unlink()
    assert guard.state is HALTED


def test_a_truncated_file_halts_who_knew_it(path: Path) -> None:
    guard = make_guard(path)
    guard.loosen(ACTIVE, reason="start", operator="kim")
    path.write_bytes(b"")
    assert guard.state is HALTED


def test_a_path_that_is_no_file_halts(tmp_path: Path) -> None:
    assert make_guard(tmp_path).state is HALTED


def test_a_kill_stays_when_the_file_is_whole_again(path: Path) -> None:
    guard = make_guard(path)
    guard.loosen(ACTIVE, reason="start", operator="kim")
    whole = path.read_bytes()
    path.write_bytes(b"nonsense\n")
    assert guard.state is HALTED

    path.write_bytes(whole)

    assert guard.state is HALTED
    assert guard.loosen(ACTIVE, reason="checked", operator="kim") is ACTIVE


def test_a_kill_at_start_stays_when_the_file_is_whole_again(path: Path) -> None:
    make_guard(path).loosen(ACTIVE, reason="start", operator="kim")
    whole = path.read_bytes()
    path.write_bytes(b"nonsense\n")
    late = make_guard(path)
    assert late.state is HALTED
    path.write_bytes(whole)
    assert late.state is HALTED


def test_an_operator_in_another_process_ends_a_kill(path: Path) -> None:
    session = make_guard(path)
    session.loosen(ACTIVE, reason="start", operator="kim")
    path.unlink()
    assert session.state is HALTED

    make_guard(path).loosen(ACTIVE, reason="file restored", operator="alex")

    assert session.state is ACTIVE


def test_a_loosening_that_cannot_be_saved_loosens_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "account"
    guard = make_guard(folder / "state.jsonl")
    guard.loosen(ACTIVE, reason="start", operator="kim")
    folder.rename(tmp_path / "moved")
    folder.write_text("a file where the folder was")

    with pytest.raises(StorageError, match="holds here only"):
        guard.loosen(ACTIVE, reason="again", operator="kim")
    assert guard.state is HALTED


def test_a_tightening_that_cannot_be_saved_holds_and_is_saved_later(tmp_path: Path) -> None:
    folder = tmp_path / "account"
    guard = make_guard(folder / "state.jsonl")
    assert guard.state is REDUCE_ONLY  # a first start
    folder.mkdir()
    (folder / "state.jsonl").symlink_to(tmp_path / "no such folder" / "state.jsonl")

    assert guard.tighten(HALTED, reason="loss", actor="engine") is HALTED
    assert guard.state is HALTED
    assert "HALTED holds here only" in guard.unsaved_because
    assert make_guard(folder / "state.jsonl").state is REDUCE_ONLY  # nobody else can know

    (tmp_path / "no such folder").mkdir()
    guard.tighten(REDUCE_ONLY, reason="again", actor="engine")
    assert guard.unsaved_because == ""
    assert make_guard(folder / "state.jsonl").state is HALTED
