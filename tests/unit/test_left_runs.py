"""What is left of a run whose worker is gone, and that a start which no person asked for trades nothing anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.account_slot import LOCK_FILE
from flows.again import NotTakenUp, require_to_take_up
from flows.left_runs import Left, is_only_to_take_up, left_of, only_take_up, run_id_of
from trading_core.bootstrap import account_name
from trading_core.heartbeat import Heartbeat
from trading_core.plan_files import find_plan
from trading_core.prepare import prepare_run
from trading_core.run import Endpoint, RunContext, VenueName
from trading_core.session_supervisor import session_folder
from trading_core.storage.lock import exclusive


@pytest.fixture
def context(tmp_path: Path) -> RunContext:
    """A run whose session said that it lives, from a process that is none."""
    made = prepare_run(
        plan=find_plan("phase2"), venue=VenueName.SIMULATED, day="typical", seed=1, speed=1.0, faults="", run_id="r",
        artifacts_root=tmp_path / "artifacts", event_store_root=tmp_path / "events",
    )
    Heartbeat(made, Endpoint(), account_name(made)).beat()
    return made


def test_a_number_that_another_process_has_now_is_no_session(context: RunContext) -> None:
    assert left_of(context.event_store_root, "r") is Left.GONE


def test_a_run_goes_on_while_its_flow_holds_the_account(context: RunContext) -> None:
    with exclusive(session_folder(context) / LOCK_FILE, 0):
        assert left_of(context.event_store_root, "r") is Left.GOING_ON
        assert left_of(context.event_store_root, "another") is Left.GONE
    assert left_of(context.event_store_root, "r") is Left.GONE


def test_a_beat_that_cannot_be_read_leaves_the_run_to_people(context: RunContext) -> None:
    (session_folder(context) / "session.json").write_bytes(b"{")
    assert left_of(context.event_store_root, "r") is Left.GONE


def test_the_word_that_nobody_asked_for_a_start_counts_once(context: RunContext) -> None:
    assert not is_only_to_take_up(context)
    only_take_up(context.event_store_root, "r")
    assert is_only_to_take_up(context)
    assert not is_only_to_take_up(context)


def test_a_session_that_ended_with_nothing_to_judge_is_left_to_people(context: RunContext) -> None:
    Heartbeat(context, Endpoint(), account_name(context)).end(is_flat=True)
    with pytest.raises(NotTakenUp, match="greenlight retry r"):
        require_to_take_up(context)


def test_the_run_is_known_by_its_tag() -> None:
    assert (run_id_of(["plan:phase2", "run:r-1"]), run_id_of(["plan:phase2"])) == ("r-1", "")
