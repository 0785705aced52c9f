"""What the watchdog makes of each kind of beat: whom it takes over, once, and what it does when it cannot see."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.control_rig import write_beat
from trading_core.clock import NS, SystemClock, pause, wall_now_ns
from trading_core.control.accounts import STATE_FILE, account_guard
from trading_core.control.takeover import takeovers
from trading_core.heartbeat import beat_path
from trading_core.trading_state import TradingState
from trading_core.watchdog import TRY_AGAIN_S, UNREADABLE_LOOKS, Failing, Watchdog, print_line

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


def test_a_session_that_lost_its_supervisor_is_told_of_once_and_left_to_its_grace_time(watched: Watched) -> None:
    alone = {"orphaned_ns": wall_now_ns() - 60 * NS, "grace_s": 300.0}
    watched.beat(**alone)
    assert (watched.look(3), watched.guard.state) == (0, ACTIVE)
    assert len(watched.heard) == 1
    assert "trades on for 300 s and then ends flat" in watched.heard[0]


def test_a_session_that_outlives_its_grace_time_is_taken_over(watched: Watched) -> None:
    watched.beat(orphaned_ns=wall_now_ns() - 560 * NS, alone_s=560.0, grace_s=300.0)
    assert watched.look(2) == 1
    assert "does not end" in takeovers(watched.root, NAME)[0].reason
    assert watched.guard.state.rank >= REDUCE_ONLY.rank


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


class MovedWatch:
    """The machine's time and a stopwatch, each moved by the test."""

    def __init__(self) -> None:
        self.wall_ns = wall_now_ns()
        self.passed_ns = 0

    def dog(self, watched: Watched, say: Callable[[str], None]) -> Watchdog:
        return Watchdog(watched.root, watched.heard.append, say, lambda: self.wall_ns, lambda: self.passed_ns)


def test_a_clock_that_is_set_back_does_not_make_a_dead_session_look_alive(watched: Watched) -> None:
    moved = MovedWatch()
    watched.beat(beat_ns=moved.wall_ns)
    moved.wall_ns -= 3_600 * NS
    dog = moved.dog(watched, watched.said.append)
    dog.look()
    moved.passed_ns = 31 * NS
    dog.look()
    dog.close()
    assert len(takeovers(watched.root, NAME)) == 1
    assert "silent for 31 s (limit 30 s)" in watched.heard[0]


def test_a_session_that_beats_on_is_alive_however_the_clock_is_set_back(watched: Watched) -> None:
    moved = MovedWatch()
    dog = moved.dog(watched, watched.said.append)
    for second in range(100):
        watched.beat(beat_ns=moved.wall_ns)
        dog.look()
        moved.passed_ns += NS
        moved.wall_ns -= second * NS
    dog.close()
    assert takeovers(watched.root, NAME) == []


def test_a_clock_that_is_set_back_does_not_put_off_the_next_try(watched: Watched) -> None:
    watched.beat(**silent(), endpoint="nonsense")
    assert watched.look() == 1
    watched.beat(has_ended=True, is_flat=False, endpoint="nonsense", started_ns=0)
    assert watched.look() == 2
    watched.ahead_s = -3_600
    assert watched.look() == 3


def broken(words: list[str]) -> Callable[[str], None]:
    """Break each ladder at its first sentence, with the next of the words, or the last."""

    def say(_: str) -> None:
        raise RuntimeError(words.pop(0) if len(words) > 1 else words[0])

    return say


def test_what_breaks_unforeseen_is_not_tried_again_before_its_pause_is_over(watched: Watched) -> None:
    moved = MovedWatch()
    watched.beat(**silent())
    dog = moved.dog(watched, broken(["first", "second"]))
    assert wait_for(lambda: looked(dog) and "first" in watched.heard[-1])
    moved.passed_ns += NS - 1
    for _ in range(50):
        dog.look()
    dog.close()
    assert len(watched.heard) == 2  # that it begins, and that it failed
    assert watched.guard.state is HALTED


def test_the_pause_after_each_failure_is_twice_the_last_one_up_to_a_minute() -> None:
    pauses = [Failing(times, "", 0).pause_ns // NS for times in range(1, 10)]
    assert pauses == [1, 2, 4, 8, 16, 32, TRY_AGAIN_S, TRY_AGAIN_S, TRY_AGAIN_S]


def test_the_same_failure_is_told_once_and_another_one_at_once(watched: Watched) -> None:
    moved = MovedWatch()
    watched.beat(**silent())
    dog = moved.dog(watched, broken(["one"] * 5 + ["another"]))

    def later() -> bool:
        moved.passed_ns += TRY_AGAIN_S * NS
        return looked(dog)

    assert wait_for(lambda: later() and "another" in watched.heard[-1])
    dog.close()
    begun, failed, other = watched.heard
    assert "is silent for" in begun
    assert "taking over failed (RuntimeError: one)" in failed
    assert "taking over failed (RuntimeError: another)" in other


def looked(dog: Watchdog) -> bool:
    dog.look()
    return True


def wait_for(holds: Callable[[], bool], within_s: float = 20) -> bool:
    deadline_ns = SystemClock().stopwatch_ns() + int(within_s * NS)
    while not holds() and SystemClock().stopwatch_ns() < deadline_ns:
        pause(0.002)
    return holds()


def test_a_watchdog_whose_output_nobody_reads_any_more_watches_on(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    gone = os.fdopen(writer, "w")
    monkeypatch.setattr(sys, "stdout", gone)
    print_line("watching")
    print_line("watching on")
    monkeypatch.undo()
    with pytest.raises(BrokenPipeError):
        gone.close()
