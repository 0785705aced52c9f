"""The heartbeat: what a session says of itself, and what a watchdog may conclude."""

from __future__ import annotations

from pathlib import Path

import pytest

from trading_core.clock import NS
from trading_core.control.accounts import Account
from trading_core.errors import StorageError
from trading_core.heartbeat import Beat, Heartbeat, beat_path, read_beats
from trading_core.plan_files import find_plan
from trading_core.prepare import prepare_run
from trading_core.run import Endpoint, RunContext, VenueName


def context_in(root: Path) -> RunContext:
    return prepare_run(
        plan=find_plan("phase2"), venue=VenueName.SIMULATED, day="typical", seed=1, speed=1.0, faults="",
        run_id="beating", artifacts_root=root / "artifacts", event_store_root=root / "events",
    )


def test_a_beat_says_who_trades_and_how_to_reach_the_venue(tmp_path: Path) -> None:
    context = context_in(tmp_path)
    Heartbeat(context, Endpoint(rest_host="127.0.0.1:1"), "acct").beat()
    (beat,) = read_beats(context.event_store_root)
    assert (beat.account, beat.run_id, beat.has_ended, beat.lost_after_s) == ("acct", "beating", False, 30)
    assert Endpoint.model_validate_json(beat.endpoint).rest_host == "127.0.0.1:1"
    assert beat.silent_s(beat.beat_ns + 5_000_000_000) == 5.0


def test_the_end_is_said_with_whether_the_venue_was_flat(tmp_path: Path) -> None:
    context = context_in(tmp_path)
    heart = Heartbeat(context, Endpoint(), "acct")
    heart.beat()
    heart.end(is_flat=False)
    (beat,) = read_beats(context.event_store_root)
    assert (beat.has_ended, beat.is_flat) == (True, False)


def test_an_unreadable_beat_is_an_error_and_not_silence(tmp_path: Path) -> None:
    path = beat_path(tmp_path, "acct")
    path.parent.mkdir(parents=True)
    path.write_text("{")
    with pytest.raises(StorageError, match="cannot be read"):
        read_beats(tmp_path)


def test_no_account_means_no_beats(tmp_path: Path) -> None:
    assert read_beats(tmp_path) == []


@pytest.mark.parametrize(("ahead_s", "is_silent"), [(-31, True), (-29, False), (29, False), (31, True)])
def test_a_beat_far_off_now_proves_no_life_whichever_way_the_clock_was_moved(ahead_s: int, is_silent: bool) -> None:
    now_ns = 10**18
    beat = Beat(
        account="a", run_id="r", plan="phase2", venue="live", pid=1, run_dir="", endpoint="", started_ns=0,
        beat_ns=now_ns + ahead_s * NS, lost_after_s=30,
    )
    assert Account(name="a", beat=beat).is_silent(now_ns) is is_silent
