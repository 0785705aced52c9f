"""A run directory as far as it can be read: what is there, and in words what is missing or garbled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from checks.findings import CheckReport
from trading_core.artifacts import (
    AnyArtifact,
    ArtifactName,
    ExecutionLogs,
    LiquidityHistory,
    MarginSnapshots,
    ReconciliationHistory,
    RejectionBreakdown,
    SizedDownEvents,
    Timeline,
    from_json,
)
from trading_core.errors import GreenlightError
from trading_core.gate.decide import DecisionRecord, GateInput
from trading_core.gate.publish import GATE_INPUT
from trading_core.gate.record import record_from_bytes
from trading_core.gate.subject import Subject
from trading_core.metrics.parity import ParityReport
from trading_core.plan import Plan, Stage
from trading_core.run_files import CHECKS, DECISION, PARITY, SUBJECT, stage_result
from trading_core.stages.result import StageResult
from trading_core.storage.artifact_store import MANIFEST, ArtifactStore, Manifest

FILE_BYTES_MAX = 512 * 1024 * 1024  # a file above this is no artifact of one day
T = TypeVar("T")
Model = TypeVar("Model", bound=AnyArtifact)


@dataclass(frozen=True)
class Problem:
    """A file that the report could not use, and why."""

    name: str
    words: str


@dataclass
class RunFiles:
    """Everything of a run that could be read. What is None or absent has its reason in `problems`."""

    run_dir: Path
    plan: Plan | None = None
    subject: Subject | None = None
    decision: DecisionRecord | None = None
    given: GateInput | None = None
    parity: ParityReport | None = None
    manifest: Manifest | None = None
    stages: dict[Stage, StageResult] = field(default_factory=dict)
    artifacts: dict[ArtifactName, AnyArtifact] = field(default_factory=dict)
    checks: CheckReport | None = None
    problems: list[Problem] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)

    def find(self, model: type[Model]) -> Model | None:
        """Return the artifact of this model."""
        found = self.artifacts.get(ArtifactName(model.model_fields["artifact"].default))
        return found if isinstance(found, model) else None

    @property
    def books(self) -> ReconciliationHistory | None:
        """Return the reconciliation history."""
        return self.find(ReconciliationHistory)

    @property
    def margin(self) -> MarginSnapshots | None:
        """Return the margin snapshots."""
        return self.find(MarginSnapshots)

    @property
    def logs(self) -> ExecutionLogs | None:
        """Return the execution logs."""
        return self.find(ExecutionLogs)

    @property
    def refusals(self) -> RejectionBreakdown | None:
        """Return the rejection breakdown."""
        return self.find(RejectionBreakdown)

    @property
    def cuts(self) -> SizedDownEvents | None:
        """Return the sized-down events."""
        return self.find(SizedDownEvents)

    @property
    def liquidity(self) -> LiquidityHistory | None:
        """Return the liquidity history."""
        return self.find(LiquidityHistory)

    @property
    def timeline(self) -> Timeline | None:
        """Return the timeline."""
        return self.find(Timeline)

    def window(self) -> tuple[int, int] | None:
        """Return start and end of the trading window, or None if no artifact says it."""
        header = next((a.header for a in self.artifacts.values()), None)
        return None if header is None else (header.window_start, header.window_end)


def load_run(run_dir: Path) -> RunFiles:
    """Return what the directory holds. Never raises for a bad file: that is a problem on the page."""
    run = RunFiles(run_dir=run_dir)
    run.plan = _load(run, "plan.json", Plan.model_validate_json)
    run.subject = _load(run, f"{SUBJECT}.json", Subject.model_validate_json)
    run.decision = _load(run, f"{DECISION}.json", record_from_bytes)
    run.checks = _load(run, f"{CHECKS}.json", CheckReport.model_validate_json)
    for stage in Stage:
        if (result := _load(run, f"{stage_result(stage)}.json", StageResult.model_validate_json)) is not None:
            run.stages[stage] = result
    for name in ArtifactName:
        if (artifact := _load(run, f"{name}.json", partial(from_json, name))) is not None:
            run.artifacts[name] = artifact
    run.given = _load(run, f"{GATE_INPUT}.json", GateInput.model_validate_json)
    if run.plan is None and run.given is not None:
        run.plan = run.given.plan
    if (run_dir / f"{PARITY}.json").exists():  # made on demand: a run without one lacks nothing
        run.parity = _load(run, f"{PARITY}.json", ParityReport.model_validate_json)
    _verify(run)
    return run


def _load(run: RunFiles, name: str, parse: Callable[[bytes], T]) -> T | None:
    path = run.run_dir / name
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            run.problems.append(Problem(name, f"has {path.stat().st_size:,} bytes (limit {FILE_BYTES_MAX:,})"))
            return None
        data = path.read_bytes()
    except FileNotFoundError:
        run.absent.append(name)
        return None
    except OSError as e:
        run.problems.append(Problem(name, f"cannot be read: {e.strerror}"))
        return None
    if not data.strip():
        run.problems.append(Problem(name, "is empty: an empty file is no evidence"))
        return None
    try:
        return parse(data)
    except (ValueError, TypeError, RecursionError, GreenlightError) as e:
        run.problems.append(Problem(name, f"is not valid: {_first_words(e)}"))
        return None


def _verify(run: RunFiles) -> None:
    if not (run.run_dir / MANIFEST).exists():
        run.absent.append(MANIFEST)
        return
    store = ArtifactStore(run.run_dir)
    try:
        run.manifest = store.manifest()
        found = store.verify()
    except (GreenlightError, OSError) as e:
        run.problems.append(Problem(MANIFEST, str(e)))
        return
    run.problems.extend(Problem(p.artifact, f"{p.reason}: {p.detail}") for p in found)


def _first_words(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        return f"{where}: {first['msg']} ({error.error_count()} errors)"
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
