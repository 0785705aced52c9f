"""Which stages of a run passed, and on exactly which artifacts: what a retry need not execute again.

The truth is in files, the run directory and a chained log beside the account's state, so that it outlives Prefect.
"""

from __future__ import annotations

from trading_core.bootstrap import account_name
from trading_core.canonical import digest_of
from trading_core.clock import NS
from trading_core.errors import StorageError
from trading_core.gate.chained_log import ChainedLog
from trading_core.gate.publish import evidence_of
from trading_core.plan import PlanModel, Stage
from trading_core.run import RunContext
from trading_core.run_files import CHECKS, OBSERVATIONS, PLAN, RUN, SUBJECT, stage_result
from trading_core.stages.files import read_stage
from trading_core.stages.result import StageResult, StageStatus
from trading_core.storage.artifact_store import ArtifactStore
from trading_core.storage.event_reader import EventReader

PASSED_FILE = "passed_stages.jsonl"
BEFORE_TRADING = (Stage.PREFLIGHT, Stage.CAPABILITY_PROBE, Stage.DRY_RUN_PULSE)
JUDGED = (*BEFORE_TRADING, Stage.LIVE_MICRO_TEST, Stage.ARTIFACT_ANALYSIS)
FRESH_S = 1_800  # half of what the plans give a preflight: the window must still begin within the other half


class PassedStage(PlanModel):
    """One stage that passed, with the digest of each artifact that it needed or made."""

    run_id: str
    stage: Stage
    subject_digest: str
    artifacts: dict[str, str]
    ts_ns: int  # the machine's clock

    @property
    def key(self) -> str:
        """Return the digest that a retry compares: run, stage, subject and artifacts."""
        return digest_of([self.run_id, self.stage, self.subject_digest, self.artifacts])


def record_passed(context: RunContext, result: StageResult, now_ns: int) -> None:
    """Note, durably, that a stage passed; one that did not is not noted."""
    if result.status is StageStatus.PASSED:
        _log(context).append(_as_of_now(context, result.stage, now_ns))


def passed_stages(context: RunContext, now_ns: int) -> dict[Stage, StageResult]:
    """Return the results that still hold for this context, in order: none after the first that does not.

    A changed subject or artifact means that the stage, and all after it, are executed again. So does age, for what
    must be true right before trading, until trading began.
    """
    noted = {p.stage: p for e in _log(context).read() if (p := PassedStage.model_validate(e.payload)).run_id ==
             context.run_id}
    is_fresh_needed = not has_begun(context)
    held: dict[Stage, StageResult] = {}
    for stage in JUDGED:
        then = noted.get(stage)
        if then is None or (is_fresh_needed and now_ns - then.ts_ns > FRESH_S * NS):
            break
        try:
            now, result = _as_of_now(context, stage, now_ns), read_stage(context, stage)
        except StorageError:
            break
        if now.key != then.key or result is None or result.status is not StageStatus.PASSED:
            break
        held[stage] = result
    return held


def has_begun(context: RunContext) -> bool:
    """Tell whether a session of this run stored anything: from then on it is gone on with, and never begun anew."""
    try:
        with EventReader(context.store, context.run_id) as reader:
            return reader.head().seq > 0
    except StorageError:
        return False


def _as_of_now(context: RunContext, stage: Stage, now_ns: int) -> PassedStage:
    """Return the stage with its artifacts as they are on disk; raises StorageError for one that was changed."""
    store = ArtifactStore(context.run_dir)
    up_to = JUDGED[: JUDGED.index(stage) + 1]
    names = {SUBJECT, PLAN, RUN, *map(stage_result, up_to)}
    if stage not in BEFORE_TRADING:
        later = {stage_result(s) for s in JUDGED if s not in up_to} | {OBSERVATIONS}
        names |= set(evidence_of(store)) - later - ({CHECKS} if stage is Stage.LIVE_MICRO_TEST else set())
    entries = store.manifest().artifacts
    for name in names:
        store.read(name)
    return PassedStage(
        run_id=context.run_id, stage=stage, subject_digest=context.subject_digest,
        artifacts={name: entries[name].sha256 for name in sorted(names)}, ts_ns=now_ns,
    )


def _log(context: RunContext) -> ChainedLog:
    return ChainedLog(context.event_store_root / "accounts" / account_name(context) / PASSED_FILE, "passed")
