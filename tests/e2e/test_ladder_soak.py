"""The rungs above the first, whole days through the real command line: every artifact, a verdict, and why."""

from __future__ import annotations

import json

import pytest

from tests.e2e.command import Home
from trading_core.artifacts import ArtifactName
from trading_core.gate.decide import DecisionRecord
from trading_core.gate.outcomes import Disposition, Outcome, Reason, Verdict
from trading_core.gate.publish import GateFiles
from trading_core.plan import Tier
from trading_core.run_files import run_dir
from trading_core.storage.artifact_store import ArtifactStore

pytestmark = pytest.mark.soak
DAY_WITHIN_S = 1_800.0  # a day of four symbols takes two minutes on a free machine
RUN = "day"
# Most denials of the volatile day are about its spread. Too few to show a share, or enough to show too large a one.
WIDE_SPREAD = {"spread_rejections_share": {Reason.INSUFFICIENT_SAMPLE, Reason.BOUND_BELOW}}
NO_EARLIER_RUNS = {"slippage_vs_baseline": {Reason.NO_BASELINE}}


def assert_whole(home: Home, record: DecisionRecord, plan: str, left_open: dict[str, set[Reason]]) -> None:
    """Check that every artifact is there, that all was shown but just these shoulds, and why they were not."""
    store = ArtifactStore(run_dir(home.artifacts, record.rung, record.run_id))
    assert {name.value for name in ArtifactName} <= store.manifest().artifacts.keys()
    assert store.verify() == []
    open_ones = [c for c in record.criteria if c.outcome not in (Outcome.PASS, Outcome.NOT_APPLICABLE)]
    shoulds = {c.name: c.reason for c in open_ones if c.tier is Tier.SHOULD}
    assert [c.name for c in open_ones if c.tier is Tier.MUST] == [], record.headline
    assert shoulds.keys() == left_open.keys(), record.headline
    assert all(reason in left_open[name] for name, reason in shoulds.items()), shoulds
    assert record.verdict is (Verdict.CONDITIONAL if left_open else Verdict.GO), record.headline
    assert home.run("verify", record.run_id).code == 0
    assert plan in home.run("ladder").out


@pytest.mark.parametrize(
    ("day", "left_open"), [("typical", {}), ("volatile", WIDE_SPREAD)], ids=["typical", "volatile"]
)
def test_a_day_of_stage_3_shows_all_but_what_a_volatile_day_does_to_the_spread(
    home: Home, day: str, left_open: dict[str, set[Reason]]
) -> None:
    done = home.run("run", "stage3", "--venue", "simulated", "--day", day, "--run-id", RUN, within_s=DAY_WITHIN_S)
    assert done.code == (3 if left_open else 0), done.text
    assert_whole(home, home.decision(RUN, "stage3"), "stage3", left_open)


def test_a_calm_day_of_stage_3_shows_all_but_perhaps_the_spread(home: Home) -> None:
    home.run("run", "stage3", "--venue", "simulated", "--day", "calm", "--run-id", RUN, within_s=DAY_WITHIN_S)
    record = home.decision(RUN, "stage3")
    assert_whole(home, record, "stage3", {} if record.verdict is Verdict.GO else WIDE_SPREAD)


@pytest.mark.parametrize("plan", ["stage4", "stage5"])
def test_a_day_of_the_rungs_above_shows_every_must_and_lacks_only_baselines(home: Home, plan: str) -> None:
    done = home.run("run", plan, "--venue", "simulated", "--run-id", RUN, within_s=DAY_WITHIN_S)
    record = home.decision(RUN, plan)
    assert (done.code, record.verdict) == (3, Verdict.CONDITIONAL), record.headline
    assert "0 earlier good runs (needed 3)" in record.headline
    assert_whole(home, record, plan, NO_EARLIER_RUNS)


def test_one_symbol_that_is_rejected_five_times_in_a_row_rolls_back_and_demotes(home: Home) -> None:
    done = home.run("run", "stage3", "--venue", "simulated", "--faults", "reject_symbol", "--run-id", RUN)
    record = home.decision(RUN, "stage3")
    assert (done.code, record.verdict, record.disposition) == (4, Verdict.NO_GO, Disposition.ROLLBACK)
    words = "5 (limit 4); SOL-USD, the venue's last reason: INSUFFICIENT_FUND"
    assert f"guardrail consecutive_rejections latched: {words}" in record.headline
    (demotion,) = GateFiles(home.events).demotions.demotions()
    assert (demotion.rung, demotion.run_id, demotion.cause) == ("stage3", RUN, "guardrail")
    assert "SOL-USD" in demotion.reason
    account = home.events / "accounts" / f"rehearsal-{RUN}" / "trading_state.jsonl"
    assert json.loads(account.read_text("utf-8").splitlines()[-1])["state"] == "REDUCE_ONLY"
    assert "demoted: guardrail consecutive_rejections" in " ".join(home.run("ladder").out.split())


def test_of_two_windows_the_second_does_not_begin_when_the_first_is_not_go(home: Home) -> None:
    done = home.run(
        "run", "stage5", "--venue", "simulated", "--faults", "reject_all", "--windows", "2", "--run-id", RUN,
        within_s=DAY_WITHIN_S,
    )
    assert done.code == 4
    causes = [(d.run_id, str(d.cause)) for d in GateFiles(home.events).demotions.demotions()]
    assert (f"{RUN}-w1", "window") in causes
    assert not (home.artifacts / "stage5" / f"{RUN}-w2").exists()
