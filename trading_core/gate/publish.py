"""Decide and leave nothing unrecorded: input, decision, attempt ledger and decision log, in this order."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from trading_core.gate.attempts import AttemptLedger, attempt_of
from trading_core.gate.decide import DecisionRecord, GateInput, decide
from trading_core.gate.demotions import DemotionLog
from trading_core.gate.people import PeopleFiles
from trading_core.gate.record import DecisionLog, statement_bytes
from trading_core.plan import Stage
from trading_core.run_files import DECISION, REPORT_HTML, REPORT_JSON, REPORT_MARKDOWN, stage_result
from trading_core.storage.artifact_store import ArtifactMeta, ArtifactStore

GATE_INPUT = "gate_input"
ATTEMPTS_FILE = "attempts.jsonl"
DECISIONS_FILE = "decisions.jsonl"
DEMOTIONS_FILE = "demotions.jsonl"
# Written after the decision or by it: no evidence for it.
_NOT_EVIDENCE = frozenset(
    {GATE_INPUT, DECISION, stage_result(Stage.GO_NO_GO), REPORT_JSON, REPORT_HTML, REPORT_MARKDOWN, "report.pdf"}
)


class GateFiles:
    """Where the gate keeps its ledgers: beside the event store, for they outlive every run."""

    def __init__(self, root: Path) -> None:
        self.attempts = AttemptLedger(root / ATTEMPTS_FILE)
        self.decisions = DecisionLog(root / DECISIONS_FILE)
        self.demotions = DemotionLog(root / DEMOTIONS_FILE)
        self.people = PeopleFiles(root)


def evidence_of(store: ArtifactStore) -> dict[str, str]:
    """Return the digest of each artifact that may be evidence, from the manifest."""
    entries = store.manifest().artifacts
    return {name: entry.sha256 for name, entry in sorted(entries.items()) if name not in _NOT_EVIDENCE}


def publish(
    given: GateInput, store: ArtifactStore, files: GateFiles, key: Ed25519PrivateKey | None = None
) -> DecisionRecord:
    """Decide, and return the decision once it is in the run directory, the attempt ledger and the decision log.

    Raises IntegrityError if a ledger does not verify: the caller latches the kill switch.
    """
    record = decide(given)
    window = (given.run_started_ns or given.now_ns, given.now_ns)
    meta = ArtifactMeta(
        rows=len(record.criteria),
        producer="gate",
        subject_digest=record.subject_digest,
        level=given.level,
        window_start_ns=window[0],
        window_end_ns=window[1],
    )
    # pydantic's own JSON keeps each decimal as it was written, so that the plan's digest stays the same.
    store.write(GATE_INPUT, given.model_dump_json().encode() + b"\n", meta)
    store.write(DECISION, statement_bytes(record), meta)
    files.attempts.record(
        attempt_of(
            record.criteria,
            attempt_id=given.attempt_id,
            run_id=given.run_id,
            subject_digest=record.subject_digest,
            level=given.level,
            ts_ns=given.now_ns,
        )
    )
    files.decisions.append(record, key)
    return record
