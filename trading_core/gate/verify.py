"""Verify a decision: hash the artifacts again, decide again, and compare byte for byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import ValidationError

from trading_core.canonical import canonical_json
from trading_core.errors import GreenlightError, IntegrityError
from trading_core.gate.decide import DecisionRecord, GateInput, decide
from trading_core.gate.publish import GATE_INPUT, GateFiles, evidence_of
from trading_core.gate.record import is_signed_by, record_from_bytes, statement_bytes
from trading_core.plan import PlanModel
from trading_core.run_files import DECISION, OBSERVATIONS
from trading_core.storage.artifact_store import ArtifactStore


class Verification(PlanModel):
    """What came of it. No problem means: this decision follows from this evidence, and nothing was changed."""

    decision: DecisionRecord | None
    problems: tuple[str, ...]

    @property
    def is_verified(self) -> bool:
        """Tell whether nothing was found."""
        return self.decision is not None and not self.problems


def verify_run(run_dir: Path, files: GateFiles | None = None, key: Ed25519PublicKey | None = None) -> Verification:
    """Return everything that does not fit in a run directory, each as a sentence.

    With `files` the decision must stand in the decision log, and with `key` be signed by it. Raises IntegrityError
    if the log itself cannot be read: the caller latches the kill switch.
    """
    store = ArtifactStore(run_dir)
    problems = [f"{problem.artifact}: {problem.detail}" for problem in store.verify()]
    try:
        given = _input_of(store)
        data = store.path_of(DECISION).read_bytes()
        decision = record_from_bytes(data)
        problems += _evidence_problems(given, store)
        if statement_bytes(decide(given)) != data:
            problems.append(
                f"{DECISION}: deciding again gives another record: input or decision was changed, or another build "
                f"decided (commit {decision.subject.git_commit[:12]}): verify with that one"
            )
    except (OSError, GreenlightError) as e:
        return Verification(decision=None, problems=(*problems, str(e)))
    if files is not None:
        problems += _log_problems(data, files, key)
    return Verification(decision=decision, problems=tuple(problems))


def _input_of(store: ArtifactStore) -> GateInput:
    try:
        return GateInput.model_validate_json(store.path_of(GATE_INPUT).read_bytes())
    except ValidationError as e:
        first = e.errors()[0]
        raise IntegrityError(f"{GATE_INPUT} is not valid: {first['loc']}: {first['msg']}") from e


def _evidence_problems(given: GateInput, store: ArtifactStore) -> list[str]:
    now = evidence_of(store)
    changed = [
        f"{name}: the decision was made on {digest[:12]}, the manifest has {now.get(name, 'nothing')[:12]}"
        for name, digest in sorted(given.evidence.items())
        if now.get(name) != digest
    ]
    if OBSERVATIONS in given.evidence and _observations_in(store) != json.loads(canonical_json(given.observations)):
        changed.append(f"{OBSERVATIONS}: the gate was given other observations")
    return changed


def _observations_in(store: ArtifactStore) -> Any:
    try:
        found = json.loads(store.path_of(OBSERVATIONS).read_bytes())
    except ValueError as e:
        raise IntegrityError(f"{OBSERVATIONS} is not JSON: {e}") from e
    return found.get("observations") if isinstance(found, dict) else found


def _log_problems(data: bytes, files: GateFiles, key: Ed25519PublicKey | None) -> list[str]:
    logged = files.decisions.find(data)
    if logged is None:
        return ["the decision log does not have this decision"]
    if key is None:
        return []
    if logged.signature is None:
        return ["the decision is not signed"]
    return [] if is_signed_by(data, logged.signature, key) else ["the signature is not this key's"]
