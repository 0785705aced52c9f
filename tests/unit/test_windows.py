"""Windows that follow each other: which decision loses the rung, and on which evidence each window is judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.gate_fixtures import NOW_NS, make_input, make_subject
from trading_core.gate.attempts import Attempt, CriterionTally
from trading_core.gate.decide import DecisionRecord, decide
from trading_core.gate.demotions import DemotionCause
from trading_core.gate.evidence import Tally
from trading_core.gate.outcomes import Disposition, Verdict
from trading_core.gate.publish import GateFiles
from trading_core.plan import Level, Plan, Stage
from trading_core.plan_files import find_plan
from trading_core.run import RunContext, VenueName
from trading_core.run_files import PLAN, SUBJECT
from trading_core.stages import go_no_go
from trading_core.stages.files import write_document
from trading_core.stages.go_no_go import lost_by
from trading_core.stages.result import StageResult, StageStatus

STAGE5, STAGE4 = find_plan("stage5"), find_plan("stage4")
FIRST = decide(make_input(STAGE5))


def window(verdict: Verdict, disposition: Disposition | None = None) -> DecisionRecord:
    return FIRST.model_copy(update={"verdict": verdict, "disposition": disposition, "headline": "as it was"})


@pytest.mark.parametrize(
    ("record", "is_lost"),
    [
        (window(Verdict.GO), False),
        (window(Verdict.CONDITIONAL), False),
        (window(Verdict.NO_GO, Disposition.HOLD), False),
        *((window(Verdict.NO_GO, d), True) for d in Disposition if d is not Disposition.HOLD),
    ],
    ids=lambda value: f"{value.verdict} {value.disposition}" if isinstance(value, DecisionRecord) else str(value),
)
def test_a_window_that_is_no_go_loses_the_rung_unless_people_are_waited_for(
    record: DecisionRecord, is_lost: bool
) -> None:
    assert lost_by(STAGE5, record) == ("its window is as it was" if is_lost else "")
    assert lost_by(STAGE4, record) == ""


def test_only_stage_5_has_windows_that_follow_each_other() -> None:
    assert [find_plan(n).tenure.is_rolling for n in ("phase2", "stage3", "stage4", "stage5")] == [
        False, False, False, True,
    ]


# ── the real stage ──────────────────────────────────────────────────────────────────────────────
def begun(folder: Path, plan: Plan, name: str) -> tuple[RunContext, list[StageResult]]:
    """Return a window whose preflight failed: the shortest one that can be decided."""
    subject = make_subject(plan)
    context = RunContext(
        run_id=name, order_prefix=name, plan=plan, venue=VenueName.SIMULATED, run_dir=folder / name,
        event_store_root=folder / "events", subject_digest=subject.digest,
    )
    write_document(context, PLAN, plan, start_ns=1, end_ns=1)
    write_document(context, SUBJECT, subject, start_ns=1, end_ns=1)
    failed = StageResult(stage=Stage.PREFLIGHT, status=StageStatus.FAILED, started_ns=NOW_NS, ended_ns=NOW_NS,
                         summary="the clock is off")
    return context, [failed]


@pytest.mark.parametrize(("plan", "lost"), [(STAGE5, ["w1"]), (STAGE4, [])], ids=["stage5", "stage4"])
def test_a_lost_window_is_recorded_with_its_first_reason(tmp_path: Path, plan: Plan, lost: list[str]) -> None:
    context, stages = begun(tmp_path, plan, "w1")
    record = go_no_go.run(context, stages)
    assert record.verdict is Verdict.NO_GO
    found = GateFiles(context.event_store_root).demotions.demotions()
    assert [(d.run_id, d.cause, d.at_ns) for d in found] == [(name, DemotionCause.WINDOW, NOW_NS) for name in lost]
    assert [d.reason for d in found] == [f"its window is {record.headline}" for _ in lost]


def shown(files: GateFiles, plan: Plan, name: str, verdict: Verdict) -> None:
    """Leave what an earlier run showed, a hundred orders, and how it was decided."""
    subject = make_subject(plan)
    tallies = {"order_acceptance": CriterionTally(pooled=Tally(successes=100, failures=0))}
    files.attempts.record(Attempt(
        attempt_id=name, run_id=name, subject_digest=subject.digest, level=Level.L0, ts_ns=NOW_NS, tallies=tallies,
    ))
    record = decide(make_input(plan, run_id=name, attempt_id=name))
    files.decisions.append(record.model_copy(update={"verdict": verdict}))


@pytest.mark.parametrize(
    ("verdicts", "counted"),
    [
        ([Verdict.NO_GO, Verdict.NO_GO], 200),
        ([Verdict.NO_GO, Verdict.GO], 0),
        ([Verdict.GO, Verdict.NO_GO], 100),
        ([Verdict.GO, Verdict.CONDITIONAL, Verdict.NO_GO], 200),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_a_window_goes_on_from_the_last_go_and_does_not_live_on_what_came_before(
    tmp_path: Path, verdicts: list[Verdict], counted: int
) -> None:
    def prior(plan: Plan) -> int:
        context, stages = begun(tmp_path / plan.name, plan, "now")
        files = GateFiles(context.event_store_root)
        for n, verdict in enumerate(verdicts):
            shown(files, plan, f"w{n}", verdict)
        given = go_no_go.gather(context, stages, NOW_NS, files)
        found = given.attempts.get("order_acceptance")
        return 0 if found is None else found.pooled.successes

    assert prior(STAGE5) == counted
    assert prior(STAGE4) == 100 * len(verdicts)  # elsewhere every attempt counts
