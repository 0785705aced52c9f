"""Which earlier runs a run is compared with: the last three GO runs of its family, and none of the others."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.unit.gate_fixtures import make_input
from trading_core.gate.baselines import baselines, earlier_runs
from trading_core.gate.decide import DecisionRecord, decide
from trading_core.gate.outcomes import Outcome, Reason, Verdict
from trading_core.gate.overlays import Waiver, WaiverUse
from trading_core.gate.people import GoldenRun, PeopleFiles
from trading_core.gate.result import CriterionResult
from trading_core.plan import Kind, Level
from trading_core.plan_files import find_plan

STAGE4 = find_plan("stage4")
METRIC, SLIPPAGE = "latency_vs_baseline", "slippage_vs_baseline"
FIRST = decide(make_input(STAGE4))
GATE = FIRST.gate


def run(name: str, value: str = "100", **changes: object) -> DecisionRecord:
    """Return a GO of an attempt of its own with this latency."""
    criteria = tuple(
        c.model_copy(update={"estimate": Decimal(value)}) if c.metric == METRIC else c for c in FIRST.criteria
    )
    base = {"run_id": name, "attempt_id": name, "verdict": Verdict.GO, "criteria": criteria}
    return FIRST.model_copy(update=base | changes)


def changed(name: str, outcome: Outcome, reason: Reason) -> tuple[CriterionResult, ...]:
    return tuple(
        c.model_copy(update={"outcome": outcome, "reason": reason}) if c.name == name else c for c in FIRST.criteria
    )


def chosen(records: list[DecisionRecord], attempt: str = "me") -> list[str]:
    return [r.run_id for r in earlier_runs(records, GATE, FIRST.level, FIRST.subject, attempt)]


def other_subject(**changes: object) -> dict[str, Any]:
    return {"subject": FIRST.subject.model_copy(update=changes)}


def test_a_run_that_lacks_nothing_but_baselines_is_one_itself_so_that_the_first_go_can_come() -> None:
    bare = run("a", verdict=Verdict.CONDITIONAL, criteria=changed(SLIPPAGE, Outcome.NO_DATA, Reason.NO_BASELINE))
    assert chosen([bare]) == ["a"]


def test_a_waived_run_is_no_baseline() -> None:
    waiver = Waiver(
        waiver_id="w", criterion=SLIPPAGE, subject_digest="s", raw_outcome=Outcome.NO_DATA, floor=Decimal(1),
        reason="r", requester="Ada", approver="Bob", issued_ns=0, expires_ns=1,
    )
    bare = changed(SLIPPAGE, Outcome.NO_DATA, Reason.NO_BASELINE)
    use = (WaiverUse(waiver=waiver),)
    assert chosen([run("a", verdict=Verdict.CONDITIONAL, criteria=bare, waivers=use)]) == []


def test_the_newest_go_runs_come_first() -> None:
    assert chosen([run("a"), run("b"), run("c"), run("d")]) == ["d", "c", "b", "a"]


@pytest.mark.parametrize(
    "stranger",
    [
        run("x", verdict=Verdict.NO_GO),
        run("x", verdict=Verdict.CONDITIONAL, criteria=changed("clock_offset_s", Outcome.WARN, Reason.GREY_ZONE)),
        run("x", verdict=Verdict.CONDITIONAL, criteria=changed(SLIPPAGE, Outcome.FAIL, Reason.BOUND_BELOW)),
        run("x", level=Level.L3),
        run("x", gate="stage3/go_no_go"),
        run("x", **other_subject(strategy="another:make")),
        run("x", **other_subject(venue="live")),
        run("x", **other_subject(account_fingerprint="somebody else's")),
        run("x", **other_subject(products=("DOGE-USD",))),
        run("x", **other_subject(faults="slow")),
    ],
    ids=["no-go", "a must", "a should", "level", "gate", "strategy", "venue", "account", "products", "faults"],
)
def test_a_run_of_another_kind_is_no_baseline(stranger: DecisionRecord) -> None:
    assert chosen([run("a"), stranger]) == ["a"]


@pytest.mark.parametrize("changes", [{"git_commit": "f" * 40}, {"strategy_params": {"speed": 2}}, {"lock_digest": "0"}])
def test_a_change_of_the_bot_is_compared_with_what_it_was_before(changes: dict[str, object]) -> None:
    assert chosen([run("a", **other_subject(**changes))]) == ["a"]


def test_a_run_that_was_decided_later_is_no_baseline_when_one_decides_again() -> None:
    assert chosen([run("a"), run("me"), run("newer")]) == ["a"]


def test_of_an_attempt_only_the_latest_decision_counts() -> None:
    assert chosen([run("a"), run("b"), run("a", verdict=Verdict.NO_GO)]) == ["b"]
    assert chosen([run("a"), run("b"), run("a")]) == ["a", "b"]


def test_three_runs_and_the_golden_one_are_given_with_their_names(tmp_path: Path) -> None:
    people = PeopleFiles(tmp_path)
    people.pin_golden(GoldenRun(gate=GATE, level=FIRST.level, run_id="best", values={METRIC: Decimal(90)},
                                pinned_by="Ada", pinned_ns=1))
    records = [run("best", verdict=Verdict.NO_GO), *(run(str(n), value=str(100 + n)) for n in range(5))]
    found = baselines(STAGE4, GATE, FIRST.level, FIRST.subject, "me", records, people)[METRIC]
    assert (found.runs, found.values) == (("4", "3", "2"), (Decimal(104), Decimal(103), Decimal(102)))
    assert (found.golden_run, found.golden) == ("best", Decimal(90))


def test_a_golden_run_of_another_family_is_none_and_does_not_take_the_place_of_ours(tmp_path: Path) -> None:
    people = PeopleFiles(tmp_path)
    pin = GoldenRun(gate=GATE, level=FIRST.level, run_id="theirs", values={METRIC: Decimal(9)}, pinned_by="Ada",
                    pinned_ns=1)
    people.pin_golden(pin)
    records = [run("ours"), run("theirs", **other_subject(products=("DOGE-USD",)))]
    assert baselines(STAGE4, GATE, FIRST.level, FIRST.subject, "me", records, people)[METRIC].golden is None
    people.pin_golden(pin.model_copy(update={"run_id": "ours", "values": {METRIC: Decimal(8)}}))
    people.pin_golden(pin)
    assert baselines(STAGE4, GATE, FIRST.level, FIRST.subject, "me", records, people)[METRIC].golden_run == "ours"


def test_without_any_earlier_run_there_is_no_baseline(tmp_path: Path) -> None:
    found = baselines(STAGE4, GATE, FIRST.level, FIRST.subject, "me", [], PeopleFiles(tmp_path))
    assert found.keys() == {c.metric for c in STAGE4.criteria if c.kind is Kind.COMPARISON}
    assert {(b.values, b.golden, b.golden_run) for b in found.values()} == {((), None, "")}
