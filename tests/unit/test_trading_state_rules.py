"""Rules of the trading state that fault seeding found without a test."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from trading_core.errors import StorageError
from trading_core.trading_state import StateRecord, TradingGuard, TradingState, state_after


def line(state: TradingState, *, is_loosening: bool = False) -> StateRecord:
    return StateRecord(state=state, reason="test", actor="kim", ts_ns=1, is_loosening=is_loosening)


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond the size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_trail_starts_reduce_only_and_only_a_loosening_line_makes_it_active() -> None:
    assert state_after([]) is TradingState.REDUCE_ONLY
    assert state_after([line(TradingState.ACTIVE)]) is TradingState.REDUCE_ONLY
    assert state_after([line(TradingState.ACTIVE, is_loosening=True)]) is TradingState.ACTIVE


def test_a_loosening_that_finds_the_disk_full_leaves_the_state_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "state.jsonl"
    guard = TradingGuard(path, lambda: 1)
    guard.loosen(TradingState.ACTIVE, reason="start", operator="kim")
    guard.tighten(TradingState.REDUCE_ONLY, reason="test", actor="test")
    with full_disk(path.stat().st_size), pytest.raises(StorageError, match="cannot be written"):
        guard.loosen(TradingState.ACTIVE, reason="again", operator="kim")
    assert guard.state is TradingState.REDUCE_ONLY
    assert TradingGuard(path, lambda: 1).state is TradingState.REDUCE_ONLY
