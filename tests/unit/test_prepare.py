"""Preparing a run: the same inputs name the same run, a rehearsal's account is its own, nobody else's is loosened."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from trading_core import prepare as prepare_module
from trading_core.advanced_trade.keys import KeyKind, generate_key
from trading_core.bootstrap import connect, make_guard, open_venue
from trading_core.clock import VirtualClock
from trading_core.errors import ConfigurationError
from trading_core.plan import Plan
from trading_core.plan_files import find_plan
from trading_core.prepare import make_subject, now_at, prepare_run
from trading_core.run import RunContext, VenueName
from trading_core.run_files import PLAN, RUN, SUBJECT
from trading_core.storage.artifact_store import ArtifactStore
from trading_core.trading_state import TradingState


def prepare(folder: Path, **changes: Any) -> RunContext:
    """Prepare a simulated phase 2; name only what matters."""
    fields: dict[str, Any] = {
        "plan": find_plan("phase2"), "venue": VenueName.SIMULATED, "day": "typical", "seed": 1, "speed": 1.0,
        "faults": "", "run_id": "run", "artifacts_root": folder / "artifacts", "event_store_root": folder / "events",
        **changes,
    }
    return prepare_run(**fields)


def state_of(context: RunContext) -> TradingState:
    return make_guard(context, VirtualClock(0)).state


def test_a_prepared_run_leaves_plan_subject_and_itself(tmp_path: Path) -> None:
    context = prepare(tmp_path)
    store = ArtifactStore(context.run_dir)
    assert set(store.manifest().artifacts) == {PLAN, SUBJECT, RUN}
    assert RunContext.model_validate_json(store.read(RUN)) == context
    assert Plan.model_validate_json(store.read(PLAN)) == context.plan
    assert store.verify() == []


def test_equal_simulations_have_equal_order_ids_whatever_they_are_called(tmp_path: Path) -> None:
    first, second = prepare(tmp_path, run_id="first"), prepare(tmp_path, run_id="second")
    assert first.order_prefix == second.order_prefix
    assert first.subject_digest == second.subject_digest


@pytest.mark.parametrize("change", [{"seed": 2}, {"day": "calm"}, {"plan": find_plan("stage3")}])
def test_another_simulation_has_other_order_ids(tmp_path: Path, change: dict[str, Any]) -> None:
    assert prepare(tmp_path, **change).order_prefix != prepare(tmp_path).order_prefix


def test_elsewhere_each_run_has_its_own_order_ids(tmp_path: Path) -> None:
    first = prepare(tmp_path, venue=VenueName.LOCAL, run_id="first")
    assert first.order_prefix != prepare(tmp_path, venue=VenueName.LOCAL, run_id="second").order_prefix
    assert first.order_prefix == prepare(tmp_path, venue=VenueName.LOCAL, run_id="first").order_prefix


def test_a_faulty_rehearsal_is_another_subject(tmp_path: Path) -> None:
    assert prepare(tmp_path, faults="reject_all").subject_digest != prepare(tmp_path).subject_digest


@pytest.mark.parametrize("venue", [VenueName.SANDBOX, VenueName.PAPER, VenueName.LIVE])
def test_faults_are_for_our_own_exchange_only(tmp_path: Path, venue: VenueName) -> None:
    with pytest.raises(ConfigurationError, match="only be injected at our own exchange"):
        prepare(tmp_path, venue=venue, faults="reject_all")
    assert not (tmp_path / "artifacts").exists()


@pytest.mark.parametrize("venue", [VenueName.SIMULATED, VenueName.LOCAL])
def test_a_rehearsal_starts_active_on_an_account_of_its_own(tmp_path: Path, venue: VenueName) -> None:
    first, second = prepare(tmp_path, venue=venue, run_id="first"), prepare(tmp_path, venue=venue, run_id="second")
    make_guard(first, VirtualClock(0)).tighten(TradingState.HALTED, reason="test", actor="test")
    assert (state_of(first), state_of(second)) == (TradingState.HALTED, TradingState.ACTIVE)


@pytest.mark.parametrize("venue", [VenueName.SANDBOX, VenueName.PAPER, VenueName.LIVE])
def test_nobody_loosens_the_state_of_another_venue(
    tmp_path: Path, venue: VenueName, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = generate_key(KeyKind.ED25519)
    monkeypatch.setenv("COINBASE_CDP_API_KEY", key.name)
    monkeypatch.setenv("COINBASE_CDP_PRIVATE_KEY", key.private_key)
    assert state_of(prepare(tmp_path, venue=venue)) is TradingState.REDUCE_ONLY


def test_only_the_local_venue_has_a_speed(tmp_path: Path) -> None:
    assert prepare(tmp_path, speed=60.0).speed == 1.0
    assert prepare(tmp_path, speed=60.0, venue=VenueName.LOCAL).speed == 60.0


def test_a_day_that_is_not_recorded_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="'sunny' is not recorded: choose one of calm, typical, volatile"):
        prepare(tmp_path, day="sunny")


def test_a_plan_may_name_the_faults_of_its_rehearsal_and_the_command_line_wins(tmp_path: Path) -> None:
    plan = find_plan("phase2").model_copy(update={"faults": "stale_feed"})
    assert prepare(tmp_path, plan=plan).faults == "stale_feed"
    assert prepare(tmp_path, plan=plan, faults="halted").faults == "halted"


def test_a_plan_that_names_faults_cannot_run_at_a_real_venue(tmp_path: Path) -> None:
    plan = find_plan("phase2").model_copy(update={"faults": "stale_feed"})
    with pytest.raises(ConfigurationError, match="stale_feed"):
        prepare(tmp_path, plan=plan, venue=VenueName.PAPER)


def test_a_fault_plan_that_does_not_exist_is_refused_by_name(tmp_path: Path) -> None:
    context = prepare(tmp_path, faults="meteor")
    with pytest.raises(ConfigurationError, match="'meteor' does not exist"), open_venue(context):
        raise AssertionError("the venue was opened")


def test_a_simulated_venue_lives_as_long_as_its_run_and_keeps_its_state_between_stages(tmp_path: Path) -> None:
    context = prepare(tmp_path)
    with open_venue(context) as endpoint:
        with connect(context, endpoint) as first:
            first.clock.wait_until(now_at(context) + 10**9)
        with connect(context, endpoint) as second:
            assert second.clock.now_ns() == now_at(context) + 10**9
            assert second.require_broker().account().balances["USD"] == 10_000
    with pytest.raises(KeyError), connect(context, endpoint):
        raise AssertionError("the venue outlived its run")


def test_the_pulse_venue_cannot_place(tmp_path: Path) -> None:
    context = prepare(tmp_path)
    with open_venue(context) as endpoint, connect(context, endpoint) as connection:
        assert not hasattr(connection.venue, "submit")
        assert hasattr(connection.require_broker(), "submit")


def test_a_folder_of_another_owner_still_says_which_commit_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container and under a unit the folder is root's: the subject was 'unknown' there, and could not climb."""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@example.com"]
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run([*git, *words], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    monkeypatch.setattr(prepare_module, "PROJECT", tmp_path)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git's own switch for this
    subject = make_subject(find_plan("phase2"), VenueName.SIMULATED)
    assert (subject.git_commit, subject.is_dirty) == (commit, False)
