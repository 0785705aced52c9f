"""Ctrl+C and SIGTERM in the stages beside trading: one sentence, nothing open, all kept, and a retry that goes on."""

from __future__ import annotations

import signal

import pytest

from tests.e2e.command import Home, finish, is_running, left_behind, short_phase2, wait_for
from trading_core.events import StepEnded
from trading_core.gate.outcomes import Verdict
from trading_core.plan import Stage
from trading_core.run import VenueName
from trading_core.run_files import stage_result
from trading_core.storage.artifact_store import ArtifactStore
from trading_core.storage.event_reader import EventReader

RUN = "interrupted"
SPEED = 20


def interrupt(home: Home, venue: VenueName, stage: Stage, number: signal.Signals) -> str:
    """Start a run, interrupt it in the stage, and return what it said on its error stream."""
    earlier = list(Stage)[:list(Stage).index(stage)]
    run = home.start("run", short_phase2(home.root), "--venue", venue, "--speed", SPEED, "--run-id", RUN)
    result = home.run_dir(RUN) / f"{stage_result(earlier[-1])}.json"
    assert wait_for(lambda: run.poll() is not None or result.exists())
    run.send_signal(number)
    done = finish(run)
    assert done.code == 130, done.text
    assert home.stage_status(RUN) == {one.value: "PASSED" for one in earlier}
    assert "Traceback" not in done.out + done.err
    assert not is_running(run.pid)
    assert wait_for(lambda: not left_behind(home), 20)  # the exchange as well: nothing is open anywhere
    assert ArtifactStore(home.run_dir(RUN)).verify() == []
    return done.err


@pytest.mark.soak
@pytest.mark.timeout(900)  # a window of half a minute, and whatever else the machine has to do
@pytest.mark.parametrize(("stage", "number"), [
    (Stage.CAPABILITY_PROBE, signal.SIGTERM), (Stage.DRY_RUN_PULSE, signal.SIGINT),
])
def test_before_trading_it_ends_with_one_sentence_and_a_retry_goes_on(
    home: Home, stage: Stage, number: signal.Signals
) -> None:
    (sentence,) = interrupt(home, VenueName.LOCAL, stage, number).splitlines()
    assert sentence.startswith(f"greenlight: run {RUN} was interrupted, so there is no verdict. No order was stored")
    done = home.run("retry", RUN)
    assert done.code == 0, done.text
    assert home.decision(RUN).verdict is Verdict.GO


@pytest.mark.soak
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_artifact_analysis_the_flat_end_is_said_and_a_retry_only_analyses(
    home: Home, number: signal.Signals
) -> None:
    (sentence,) = interrupt(home, VenueName.SIMULATED, Stage.ARTIFACT_ANALYSIS, number).splitlines()
    assert "no verdict. The session ended: flat at the venue: 0 open orders" in sentence
    store = ArtifactStore(home.run_dir(RUN))
    kept = set(store.manifest().artifacts)
    done = home.run("retry", RUN)
    assert done.code == 0, done.text
    assert home.decision(RUN).verdict is Verdict.GO
    assert kept <= set(store.manifest().artifacts)
    with EventReader(home.events, RUN) as reader:
        ends = [s.event for s in reader.events(types=("StepEnded",)) if isinstance(s.event, StepEnded)]
    assert [end.is_shown for end in ends if end.step == "flat_at_end"] == [True]  # it traded once
