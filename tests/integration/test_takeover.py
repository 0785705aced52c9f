"""The ladder from outside of a session, over sockets: dead session, failing venue, locked store, two at once."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest

from tests.dead_sessions import DeadSession, dead_session
from trading_core.control.accounts import account_guard
from trading_core.control.takeover import take_over, takeovers
from trading_core.local_exchange.faults import FaultPlan
from trading_core.storage.artifact_store import ArtifactStore
from trading_core.trading_state import TradingState


def test_a_dead_session_is_closed_verified_and_saved(tmp_path: Path) -> None:
    with dead_session(tmp_path) as left:
        assert (left.held(), left.resting()) == (Decimal("0.001"), 3)
        taken = take_over(left.root, left.account, reason="test", actor="kim", say=left.said.append)
        assert taken.is_flat, taken.sentence
        assert (left.held(), left.resting()) == (0, 0)
        assert taken.state is TradingState.HALTED  # the session might wake up: it must not trade beside the ladder
        history = [(r.state, r.actor) for r in account_guard(left.root, left.name).history()]
        assert history[-2:] == [(TradingState.REDUCE_ONLY, "kim"), (TradingState.HALTED, "kim")]
        assert taken.flat_s is not None
        assert Decimal(0) <= taken.reduce_only_s <= taken.flat_s <= taken.took_s
        assert taken.saved.startswith("saved ")
        assert "execution_logs" in ArtifactStore(left.context.run_dir).manifest().artifacts
        assert takeovers(left.root, left.name) == [taken]
        assert left.said[-1] == f"{left.name}: {taken.sentence}"


def test_the_accounts_own_coins_stay(tmp_path: Path) -> None:
    with dead_session(tmp_path, coins="0.5") as left:
        assert left.held() == Decimal("0.501")
        assert take_over(left.root, left.account, reason="test", actor="kim", say=left.said.append).is_flat
        assert left.held() == Decimal("0.5")


def test_a_locked_event_store_does_not_keep_it_from_closing_what_the_run_bought(tmp_path: Path) -> None:
    with dead_session(tmp_path, coins="0.5") as left:
        holder = sqlite3.connect(left.root / "events.sqlite3", isolation_level=None, check_same_thread=False)
        holder.execute("PRAGMA locking_mode=EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")

        def say(sentence: str) -> None:
            left.said.append(sentence)
            if "the event store cannot be read" in sentence:
                holder.close()  # free again: the artifacts can be saved

        taken = take_over(left.root, left.account, reason="test", actor="kim", say=say)
        assert taken.is_flat, taken.sentence
        assert (left.held(), left.resting()) == (Decimal("0.5"), 0)
        assert any("the event store cannot be read" in said for said in left.said)
        assert taken.saved.startswith("saved ")


def test_two_at_once_end_flat(tmp_path: Path) -> None:
    with dead_session(tmp_path, coins="0.5") as left, ThreadPoolExecutor(2) as pool:
        calls = [
            pool.submit(take_over, left.root, left.account, reason="test", actor=actor, say=left.said.append)
            for actor in ("kim", "watchdog")
        ]
        assert all(call.result().is_flat for call in calls), left.said
        assert (left.held(), left.resting()) == (Decimal("0.5"), 0)
        again = take_over(left.root, left.account, reason="test", actor="kim", say=left.said.append)
        assert (again.is_flat, again.done) == (True, ())


def test_a_venue_that_answers_429_for_a_while_is_asked_until_it_is_good(tmp_path: Path) -> None:
    with dead_session(tmp_path, venue_faults=FaultPlan(rate_limited_share=1.0)) as left:
        def say(sentence: str) -> None:
            left.said.append(sentence)
            if len(left.said) == 4:
                left.set_faults(FaultPlan())

        taken = take_over(left.root, left.account, reason="test", actor="kim", say=say)
        assert taken.is_flat, taken.sentence
        assert any(said.startswith("RateLimited") for said in left.said)
        assert (left.held(), left.resting()) == (0, 0)


def greenlight(left: DeadSession, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the real command line in the folders of the dead session."""
    environ = {**os.environ, "EVENT_STORE_ROOT": str(left.root), "ARTIFACTS_ROOT": str(left.root / "artifacts")}
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *words], env=environ, capture_output=True, text=True, timeout=120,
        check=False,
    )


@pytest.mark.e2e
def test_the_command_closes_everything_and_its_exit_code_says_so(tmp_path: Path) -> None:
    with dead_session(tmp_path) as left:
        done = greenlight(left, "emergency", "close-all", "--reason", "a drill")
        assert done.returncode == 0, done.stderr
        assert f"{left.name}: flat at the venue" in done.stdout
        assert (left.held(), left.resting()) == (0, 0)
        left.beat(endpoint="nonsense")
        lost = greenlight(left, "emergency", "close-all", "--run", left.context.run_id)
        assert (lost.returncode, account_guard(left.root, left.name).state) == (4, TradingState.HALTED)
        assert "go to the venue's own web site now" in lost.stderr
