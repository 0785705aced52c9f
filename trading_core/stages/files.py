"""The files that stages leave in the run directory, and reading them back."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import ValidationError

from trading_core.errors import GreenlightError, IntegrityError
from trading_core.mirroring import mirrored
from trading_core.plan import PlanModel, Stage
from trading_core.run import RunContext
from trading_core.run_files import RUN, stage_result
from trading_core.stages.result import Check, CheckStatus, StageResult, StageStatus
from trading_core.storage.artifact_store import ArtifactMeta, ArtifactStore


def write_document(context: RunContext, name: str, document: PlanModel, *, start_ns: int, end_ns: int) -> str:
    """Write a document into the run directory and return its sha256."""
    meta = ArtifactMeta(
        rows=1,
        producer=f"greenlight {type(document).__name__}",
        subject_digest=context.subject_digest,
        level=context.level,
        window_start_ns=start_ns,
        window_end_ns=end_ns,
    )
    return ArtifactStore(context.run_dir).write(name, document, meta).sha256


def keep(context: RunContext, result: StageResult) -> StageResult:
    """Write the stage's result into the run directory, copy that to its second place, and return the result."""
    write_document(
        context, stage_result(result.stage), result, start_ns=result.started_ns, end_ns=result.ended_ns
    )
    mirrored(context)
    return result


def attempt(context: RunContext, stage: Stage, run: Callable[[], StageResult]) -> StageResult:
    """Run a stage and keep its result; a failure that we foresee is a failed stage, all else is a bug and rises."""
    try:
        result = run()
    except GreenlightError as e:
        result = not_reached(context, stage, e)
    return keep(context, result)


def not_reached(context: RunContext, stage: Stage, error: GreenlightError) -> StageResult:
    """Return the failed result of a stage that an error ended."""
    now_ns = ArtifactStore(context.run_dir).manifest().artifacts[RUN].window_start_ns
    words = f"{type(error).__name__}: {error}"
    check = Check(
        name=stage, status=CheckStatus.FAILED, observed=words, needed="the stage runs to its end",
        remedy="mend what it names and run again",
    )
    return StageResult(
        stage=stage, status=StageStatus.FAILED, started_ns=now_ns, ended_ns=now_ns, summary=words, checks=(check,)
    )


def read_stage(context: RunContext, stage: Stage) -> StageResult | None:
    """Return the result that the stage left; None if it left none. Raises IntegrityError for a changed file."""
    store = ArtifactStore(context.run_dir)
    name = stage_result(stage)
    if name not in store.manifest().artifacts:
        return None
    try:
        return StageResult.model_validate_json(store.read(name))
    except ValidationError as e:
        raise IntegrityError(f"{name} of run {context.run_id} is not a stage result: {e.errors()[0]['msg']}") from e
