"""The artifacts of a run as evidence: read, hashed, parsed, and refused with the exact reason if unusable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError

from trading_core.artifacts import (
    MODELS,
    AnyArtifact,
    ArtifactName,
    Checkpoints,
    CrossCorrelation,
    FundingHistory,
    RejectionBreakdown,
    SizedDownEvents,
    Timeline,
)
from trading_core.errors import GreenlightError, IntegrityError, StorageError
from trading_core.gate.evidence import EvidenceRef
from trading_core.gate.outcomes import Reason
from trading_core.storage.artifact_store import ArtifactStore

Model = TypeVar("Model", bound=AnyArtifact)


class Unusable(GreenlightError):
    """Evidence that a metric needs cannot be used; `reason` is the gate's."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class LoadedArtifact:
    """One artifact: its model, or why there is none that counts."""

    name: ArtifactName
    model: AnyArtifact | None = None
    ref: EvidenceRef | None = None
    problem: Reason | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The artifacts of one run by name."""

    artifacts: Mapping[ArtifactName, LoadedArtifact]

    def get(self, model: type[Model]) -> Model:
        """Return the artifact of this model; raises Unusable with the reason why there is none."""
        loaded = self.artifacts[ArtifactName(model.model_fields["artifact"].default)]
        if loaded.problem is not None or not isinstance(loaded.model, model):
            raise Unusable(loaded.problem or Reason.MISSING, loaded.detail or f"{loaded.name} is missing")
        return loaded.model

    def refs(self, *models: type[AnyArtifact]) -> tuple[EvidenceRef, ...]:
        """Return the references to these artifacts, as far as they are known."""
        names = [ArtifactName(model.model_fields["artifact"].default) for model in models]
        return tuple(ref for name in names if (ref := self.artifacts[name].ref) is not None)


def load_evidence(store: ArtifactStore, run_id: str, subject_digest: str) -> Evidence:
    """Return the artifacts of the store's run directory. Never raises for what is wrong with a file."""
    try:
        entries = store.manifest().artifacts
    except StorageError as e:
        broken = {n: LoadedArtifact(n, problem=Reason.SCHEMA, detail=str(e)) for n in ArtifactName}
        return Evidence(broken)
    found = {}
    for name in ArtifactName:
        entry = entries.get(name.value)
        if entry is None:
            found[name] = LoadedArtifact(name, problem=Reason.MISSING, detail=f"{name} is not in the manifest")
        else:
            found[name] = _load(store, name, entry.ref(), run_id, subject_digest)
    return Evidence(found)


def _load(
    store: ArtifactStore, name: ArtifactName, ref: EvidenceRef, run_id: str, subject_digest: str
) -> LoadedArtifact:
    try:
        payload = store.read(name.value)
    except IntegrityError as e:
        is_empty = _is_empty_file(store, name)
        reason = Reason.EMPTY if is_empty else Reason.HASH_MISMATCH
        return LoadedArtifact(name, ref=ref, problem=reason, detail=f"{name} has 0 bytes" if is_empty else str(e))
    except StorageError as e:
        return LoadedArtifact(name, ref=ref, problem=Reason.MISSING, detail=str(e))
    try:
        model = MODELS[name].model_validate_json(payload)
    except ValidationError as e:
        first = e.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return LoadedArtifact(name, ref=ref, problem=Reason.SCHEMA, detail=f"{name}, {where}: {first['msg']}")
    problem, detail = judge_document(model, run_id, subject_digest)
    return LoadedArtifact(name, model=model, ref=ref, problem=problem, detail=detail)


def judge_document(model: AnyArtifact, run_id: str, subject_digest: str) -> tuple[Reason | None, str]:
    """Return why a well-formed artifact is no evidence for this run; (None, "") if it is."""
    header = model.header
    if header.subject_digest != subject_digest:
        words = f"{model.artifact} is of subject {header.subject_digest[:12]}, not of {subject_digest[:12]}"
        return Reason.SUBJECT_MISMATCH, words
    if header.run_id != run_id:
        return Reason.SUBJECT_MISMATCH, f"{model.artifact} is of run {header.run_id}, not of {run_id}"
    if not model.rows and not _may_be_empty(model):
        return Reason.EMPTY, f"{model.artifact} has no row"
    return None, ""


def _may_be_empty(model: AnyArtifact) -> bool:
    match model:
        case SizedDownEvents():  # nothing limited an order, and no probe was to provoke it
            return not model.was_probed
        case RejectionBreakdown():  # nobody refused anything, and orders were sent
            return model.totals.sent > 0
        case Checkpoints():
            return not model.planned_h
        case CrossCorrelation():
            return len(model.products) == 1
        case Timeline() | FundingHistory():
            return True
        case _:
            return False


def _is_empty_file(store: ArtifactStore, name: ArtifactName) -> bool:
    path = store.path_of(name.value)
    return path.exists() and path.stat().st_size == 0
