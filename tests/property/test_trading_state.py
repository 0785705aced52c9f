"""Whatever several processes do to one state file: only an operator loosens."""

from __future__ import annotations

import tempfile
from itertools import count
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from trading_core.errors import StorageError
from trading_core.state_repair import damage_of, repair
from trading_core.trading_state import StateRecord, TradingGuard, TradingState, state_after

states = st.sampled_from(TradingState)
who = st.integers(0, 1)


class OneFileTwoProcesses(RuleBasedStateMachine):
    """Two guards on one file, tightened, loosened, restarted, and the file damaged, removed and put back."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "state.jsonl"
        self.clock = count(1)
        self.guards = [self._guard(), self._guard()]
        self.floor = [guard.state.rank for guard in self.guards]
        self.kept = b""

    def _guard(self) -> TradingGuard:
        return TradingGuard(self.path, lambda: next(self.clock))

    @rule(i=who, state=states)
    def tighten(self, i: int, state: TradingState) -> None:
        held = self.guards[i].tighten(state, reason="", actor="engine")
        assert held.rank >= max(state.rank, self.floor[i])

    @rule(i=who, state=states)
    def loosen(self, i: int, state: TradingState) -> None:
        if damage_of(self.path).lines:
            with pytest.raises(StorageError, match="greenlight state repair"):
                self.guards[i].loosen(state, reason="", operator="kim")
        else:
            self.guards[i].loosen(state, reason="", operator="kim")
            self.floor = [0, 0]

    @precondition(lambda self: bool(damage_of(self.path).lines))
    @rule()
    def repair(self) -> None:
        repair(self.path, operator="kim", reason="damaged")
        assert self._guard().state is TradingState.HALTED

    @rule(garbage=st.sampled_from([b"nonsense\n", b"{", b""]))
    def damage(self, garbage: bytes) -> None:
        if self.path.exists():
            self.kept = self.path.read_bytes()
        self.path.write_bytes(garbage)

    @rule()
    def remove(self) -> None:
        if self.path.exists():
            self.kept = self.path.read_bytes()
            self.path.unlink()

    @rule()
    def put_back(self) -> None:
        # Only where damage is: an older, looser copy over a good file would be an operator's deed.
        is_damaged = not self.path.exists() or self.guards[0].history() == []
        if is_damaged and all(guard.state is TradingState.HALTED for guard in self.guards):
            self.path.write_bytes(self.kept)

    @invariant()
    def nobody_is_looser_than_before(self) -> None:
        now = [guard.state.rank for guard in self.guards]
        assert all(rank >= floor for rank, floor in zip(now, self.floor, strict=True))
        self.floor = now

    def teardown(self) -> None:
        self.folder.cleanup()


OneFileTwoProcesses.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
test_only_an_operator_loosens = OneFileTwoProcesses.TestCase


def test_the_order_of_tightenings_does_not_matter() -> None:
    def line(state: TradingState, is_loosening: bool = False) -> StateRecord:
        return StateRecord(state=state, reason="", actor="", ts_ns=1, is_loosening=is_loosening)

    start = line(TradingState.ACTIVE, is_loosening=True)
    one, other = line(TradingState.REDUCE_ONLY), line(TradingState.HALTED)
    assert state_after([start, one, other]) is state_after([start, other, one]) is TradingState.HALTED
