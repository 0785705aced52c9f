"""The takeover of a dead session over sockets, under each fault plan: flat, or it says that it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.dead_sessions import built_in, dead_session
from trading_core.control.takeover import take_over
from trading_core.local_exchange.faults import PRESETS
from trading_core.plan import Rollback
from trading_core.trading_state import TradingState

# Nobody could get through these: every order is refused, or an order is listed without its id.
CANNOT = frozenset({"reject_all", "halted", "schema_rename"})
IMPATIENT = Rollback(disable_after_min=1)


@pytest.mark.soak
@pytest.mark.parametrize("name", sorted(set(PRESETS) - CANNOT))
def test_a_takeover_gets_through_each_fault(tmp_path: Path, name: str) -> None:
    with dead_session(tmp_path, coins="0.5", venue_faults=PRESETS[name]) as left:
        taken = take_over(left.root, left.account, reason="test", actor="kim", say=left.said.append)
        assert taken.is_flat, left.said
        left.set_faults(built_in(PRESETS[name]))
        assert left.resting() == 0
        assert abs(left.held() - left.coins) * 100_000 < 2, left.said  # dust at most, and the owner keeps the rest


@pytest.mark.soak
@pytest.mark.parametrize("name", sorted(CANNOT))
def test_a_takeover_that_cannot_get_through_says_so_and_disables(tmp_path: Path, name: str) -> None:
    with dead_session(tmp_path, venue_faults=PRESETS[name]) as left:
        taken = take_over(
            left.root, left.account, reason="test", actor="kim", say=left.said.append, rollback=IMPATIENT
        )
        assert (taken.is_flat, taken.flat_s, taken.state) == (False, None, TradingState.HALTED)
        assert "NOT" in taken.sentence
        assert taken.failures or "rejected" in taken.done[-1]
