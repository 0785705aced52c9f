"""What the watchdog makes of each kind of beat: whom it takes over, once, and what it does when it cannot see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.control_rig import write_beat
from trading_core.clock import NS, wall_now_ns
from trading_core.control.accounts import STATE_FILE, account_guard
from trading_core.control.takeover import takeovers
from trading_core.heartbeat import beat_path
from trading_core.trading_state import TradingState
from trading_core.watchdog import TRY_AGAIN_S, UNREADABLE_LOOKS, Watchdog

ACTIVE, REDUCE_ONLY, HALTED = TradingState
NAME = "rehearsal-x"
LONG_AGO_NS = 3_600 * NS


class Watched:
    """An account that was ACTIVE, and a watchdog of it whose time a test moves."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.heard: list[str] = []
        self.said: list[str] = []
        self.ahead_s = 0
        self.guard = account_guard(root, NAME)
        self.guard.loosen(ACTIVE, reason="test", operator="kim")

    def beat(self, **changes: Any) -> None:
        """Write a beat."""
        write_beat(self.root, NAME, **changes)

    def look(self, times: int = 1) -> int:
        """Let a watchdog of its own look, as after a restart; return how often the account was taken over so far."""
        dog = Watchdog(
            self.root, self.heard.append, self.said.append, now_ns=lambda: wall_now_ns() + self.ahead_s * NS
        )
        for _ in range(times):
            dog.look()
        dog.close()
        return len(takeovers(self.root, NAME))


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def silent() -> dict[str, Any]:
    return {"beat_ns": wall_now_ns() - LONG_AGO_NS}


@pytest.mark.parametrize("beat", [{}, {"has_ended": True, "is_flat": True}, {"lost_after_s": 10**6, **silent()}])
def test_a_session_that_lives_or_ended_flat_is_left_alone(watched: Watched, beat: dict[str, Any]) -> None:
    watched.beat(**beat)
    assert (watched.look(3), watched.guard.state, watched.heard) == (0, ACTIVE, [])


def test_an_account_that_never_had_a_session_is_left_alone(watched: Watched) -> None:
    assert (watched.look(3), watched.guard.state) == (0, ACTIVE)


@pytest.mark.parametrize(("beat", "why"), [
    (silent(), "is silent for"), ({"has_ended": True, "is_flat": False}, "was not flat"),
    ({"has_ended": True, "is_flat": None}, "did not know whether it was flat"),
])
def test_a_silent_session_or_one_that_ended_open_is_taken_over_once(
    watched: Watched, beat: dict[str, Any], why: str
) -> None:
    watched.beat(**beat)
    assert watched.look(2) == 1
    assert watched.look(2) == 1  # also after a restart
    assert watched.guard.state.rank >= REDUCE_ONLY.rank
    [taken] = takeovers(watched.root, NAME)
    assert (taken.actor, taken.is_flat) == ("watchdog", True)
    assert why in taken.reason
    assert why in watched.heard[0]
    assert "was taken over" in watched.heard[-1]


def test_the_next_session_of_the_account_is_watched_again(watched: Watched) -> None:
    watched.beat(**silent())
    watched.look()
    watched.beat(**silent(), started_ns=wall_now_ns())
    assert watched.look() == 2


def test_a_takeover_that_did_not_end_flat_halts_the_account_and_is_tried_again_later(watched: Watched) -> None:
    watched.beat(**silent(), endpoint="nonsense")
    assert watched.look(2) == 1
    assert watched.guard.state is HALTED
    assert watched.look() == 1
    watched.ahead_s = TRY_AGAIN_S + 1
    assert watched.look() == 2
    assert "could NOT verify flat" in watched.heard[-1]


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff", b'{"account": "x"}'])
def test_a_beat_that_stays_unreadable_halts_its_account(watched: Watched, damage: bytes) -> None:
    path = beat_path(watched.root, NAME)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(damage)
    watched.look(UNREADABLE_LOOKS - 1)
    assert watched.guard.state is ACTIVE  # it may just be being replaced
    watched.look(UNREADABLE_LOOKS + 5)
    assert watched.guard.state is HALTED
    assert len(watched.heard) == 1
    assert "look at the venue by hand" in watched.heard[0]


def test_a_halt_that_cannot_be_written_is_said_and_tried_again(watched: Watched) -> None:
    """Where a beat cannot be read, the state file beside it may be lost as well."""
    beat_path(watched.root, NAME).write_bytes(b"{")
    state_path = watched.root / "accounts" / NAME / STATE_FILE
    state_path.unlink()
    state_path.symlink_to(watched.root / "not-mounted" / STATE_FILE)
    dog = Watchdog(watched.root, watched.heard.append, watched.said.append)
    for _ in range(UNREADABLE_LOOKS):
        dog.look()
    assert "could NOT be halted" in watched.heard[-1]
    (watched.root / "not-mounted").mkdir()
    dog.look()
    dog.close()
    assert account_guard(watched.root, NAME).state is HALTED
    assert f"{NAME} is HALTED" in watched.heard[-1]


def test_a_beat_that_vanishes_while_its_session_trades_halts_the_account(watched: Watched) -> None:
    watched.beat()
    dog = Watchdog(watched.root, watched.heard.append, watched.said.append)
    dog.look()
    beat_path(watched.root, NAME).unlink()
    for _ in range(UNREADABLE_LOOKS):
        dog.look()
    dog.close()
    assert watched.guard.state is HALTED
    assert "is gone" in watched.heard[-1]


def test_a_beat_that_is_cleared_away_after_the_end_is_not_missed(watched: Watched) -> None:
    watched.beat(has_ended=True, is_flat=True)
    dog = Watchdog(watched.root, watched.heard.append, watched.said.append)
    dog.look()
    beat_path(watched.root, NAME).unlink()
    for _ in range(UNREADABLE_LOOKS + 1):
        dog.look()
    dog.close()
    assert (watched.guard.state, watched.heard) == (ACTIVE, [])


def test_a_damaged_account_does_not_keep_another_from_being_taken_over(watched: Watched) -> None:
    path = beat_path(watched.root, "rehearsal-a-damaged")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"{")
    watched.beat(**silent())
    assert watched.look() == 1


def test_an_audit_file_that_cannot_be_written_does_not_stop_the_takeover(watched: Watched) -> None:
    (watched.root / "accounts" / NAME / "emergencies.jsonl").mkdir(parents=True)
    watched.beat(**silent())
    dog = Watchdog(watched.root, watched.heard.append, watched.said.append)
    dog.look()
    dog.close()
    assert watched.guard.state is HALTED
    assert any("cannot be written" in said for said in watched.said)
