"""A run that is there already, found by its id and read from its directory."""

from __future__ import annotations

from flows.cli_gate import find_run
from trading_core.clock import SystemClock
from trading_core.errors import ConfigurationError, IntegrityError
from trading_core.gate.outcomes import Verdict
from trading_core.gate.publish import GateFiles
from trading_core.gate.start_approval import subject_of
from trading_core.gate.subject import bot_of
from trading_core.plan import Level, Stage
from trading_core.run import RunContext, VenueName
from trading_core.run_files import RUN
from trading_core.settings import Settings
from trading_core.stages.files import read_stage
from trading_core.stages.result import StageResult
from trading_core.storage.artifact_store import ArtifactStore


def finished_run(settings: Settings, run_id: str) -> RunContext:
    """Return the run's context, at the place where its directory is now; raises ConfigurationError if there is none."""
    folder = find_run(settings, run_id).absolute()
    return RunContext.model_validate_json(ArtifactStore(folder).read(RUN)).model_copy(update={"run_dir": folder})


def decide_again_at(context: RunContext) -> int:
    """Return the moment at the venue of a decision that is made again: what people filed since then counts.

    Raises ConfigurationError for a live GO, which would begin its validity anew, and for a live run that another run of
    its bot on this rung followed, under whichever plan: the newest decision is where the bot stands.
    """
    if context.level is Level.L3:
        mine = (bot_of(subject_of(context)), context.plan.name, context.level)
        records = GateFiles(context.event_store_root).decisions.records()
        last = next((r for r in reversed(records) if (bot_of(r.subject), r.rung, r.level) == mine), None)
        if last is not None and last.attempt_id != context.order_prefix:
            raise ConfigurationError(f"run {context.run_id} was followed by run {last.run_id}: decide that one again")
        if last is not None and last.verdict is Verdict.GO:
            raise ConfigurationError(f"run {context.run_id} is GO: there is nothing to decide again; start a new run")
    # A simulated venue has no time but its run's.
    return 0 if context.venue is VenueName.SIMULATED else SystemClock().now_ns()


def stages_of(context: RunContext) -> list[StageResult]:
    """Return the results of the stages before the gate, in order; raises IntegrityError if there are none."""
    found = [kept for stage in Stage if stage is not Stage.GO_NO_GO and (kept := read_stage(context, stage))]
    if not found:
        raise IntegrityError(f"run {context.run_id} has no stage results: there is nothing to look at")
    return found
