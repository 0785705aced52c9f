"""What a retry need not execute again: only what passed on exactly the same subject and artifacts, lately."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.again import go_on, latest_attempt
from tests.unit.test_prepare import prepare
from trading_core.clock import NS
from trading_core.plan import Stage
from trading_core.run import RunContext
from trading_core.stages.files import keep
from trading_core.stages.passed import FRESH_S, passed_stages, record_passed
from trading_core.stages.result import StageResult, StageStatus

NOW_NS = 10**18


def pass_stage(context: RunContext, stage: Stage, status: StageStatus = StageStatus.PASSED) -> None:
    result = StageResult(stage=stage, status=status, started_ns=1, ended_ns=2, summary="fine")
    record_passed(context, keep(context, result), NOW_NS)


def held(context: RunContext, later_s: int = 0) -> list[Stage]:
    return list(passed_stages(context, NOW_NS + later_s * NS))


def two_passed(folder: Path) -> RunContext:
    context = prepare(folder)
    pass_stage(context, Stage.PREFLIGHT)
    pass_stage(context, Stage.CAPABILITY_PROBE)
    pass_stage(context, Stage.DRY_RUN_PULSE, StageStatus.FAILED)
    return context


def test_what_passed_is_held_and_what_failed_is_not(tmp_path: Path) -> None:
    context = two_passed(tmp_path)
    assert held(context) == [Stage.PREFLIGHT, Stage.CAPABILITY_PROBE]
    assert held(prepare(tmp_path)) == [Stage.PREFLIGHT, Stage.CAPABILITY_PROBE]  # prepared again, nothing has changed


def test_another_subject_or_run_holds_nothing(tmp_path: Path) -> None:
    context = two_passed(tmp_path)
    assert held(context.model_copy(update={"subject_digest": "0" * 64})) == []
    assert held(context.model_copy(update={"run_id": "other"})) == []
    assert held(prepare(tmp_path, faults="reject_all")) == []


def test_a_changed_artifact_ends_what_is_held_from_there_on(tmp_path: Path) -> None:
    context = two_passed(tmp_path)
    path = context.run_dir / "stages" / "capability_probe.json"
    path.write_bytes(path.read_bytes() + b" ")
    assert held(context) == [Stage.PREFLIGHT]
    keep(context, StageResult(stage=Stage.PREFLIGHT, status=StageStatus.PASSED, started_ns=1, ended_ns=3, summary="x"))
    assert held(context) == []  # a preflight that was executed again is other evidence for all after it


def test_a_preflight_that_is_old_is_executed_again_before_trading(tmp_path: Path) -> None:
    context = two_passed(tmp_path)
    assert held(context, FRESH_S) == [Stage.PREFLIGHT, Stage.CAPABILITY_PROBE]
    assert held(context, FRESH_S + 1) == []


def test_a_run_that_never_traded_goes_on_under_its_own_id(tmp_path: Path) -> None:
    context = two_passed(tmp_path)
    assert go_on(context, None).run_id == go_on(context, Stage.PREFLIGHT).run_id == context.run_id


@pytest.mark.parametrize(("there", "newest"), [((), "run"), (("run-a2", "run-a10"), "run-a10")])
def test_newest_attempt_is_found_by_its_number(tmp_path: Path, there: tuple[str, ...], newest: str) -> None:
    context = prepare(tmp_path)
    for name in there:
        (context.run_dir.parent / name).mkdir()
    assert latest_attempt(context) == newest
    assert latest_attempt(context.model_copy(update={"run_id": "run-a2"})) == newest
