"""A run that is there already, found by its id and read from its directory."""

from __future__ import annotations

from flows.cli_gate import find_run
from trading_core.errors import IntegrityError
from trading_core.plan import Stage
from trading_core.run import RunContext
from trading_core.run_files import RUN
from trading_core.settings import Settings
from trading_core.stages.files import read_stage
from trading_core.stages.result import StageResult
from trading_core.storage.artifact_store import ArtifactStore


def finished_run(settings: Settings, run_id: str) -> RunContext:
    """Return the run's context, at the place where its directory is now; raises ConfigurationError if there is none."""
    folder = find_run(settings, run_id).absolute()
    return RunContext.model_validate_json(ArtifactStore(folder).read(RUN)).model_copy(update={"run_dir": folder})


def stages_of(context: RunContext) -> list[StageResult]:
    """Return the results of the stages before the gate, in order; raises IntegrityError if there are none."""
    found = [kept for stage in Stage if stage is not Stage.GO_NO_GO and (kept := read_stage(context, stage))]
    if not found:
        raise IntegrityError(f"run {context.run_id} has no stage results: there is nothing to look at")
    return found
