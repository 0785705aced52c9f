"""The decision as a document: an in-toto Statement in canonical JSON, in a hash chain, signed if there is a key."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import ValidationError

from trading_core.canonical import canonical_json
from trading_core.errors import IntegrityError
from trading_core.gate.chained_log import ChainedLog
from trading_core.gate.decide import DecisionRecord
from trading_core.gate.outcomes import Verdict
from trading_core.plan import PlanModel
from trading_core.storage.chain import Head

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:greenlight:decision:1"


class Signature(PlanModel):
    """An Ed25519 signature over the statement's bytes, and which key made it."""

    key_id: str
    value: str


class LoggedDecision(PlanModel):
    """One line of the decision log."""

    statement: dict[str, Any]
    signature: Signature | None = None

    @property
    def record(self) -> DecisionRecord:
        """Return the decision; raises IntegrityError if the statement is not one of ours."""
        return record_of(self.statement)


def statement_bytes(record: DecisionRecord) -> bytes:
    """Return the decision as the bytes of decision.json. Equal records give equal bytes."""
    name = f"{record.gate}:{record.subject.git_commit}"
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": record.subject_digest}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": record,
    }
    return canonical_json(statement) + b"\n"


def record_from_bytes(data: bytes) -> DecisionRecord:
    """Return the decision of a decision.json; raises IntegrityError if it is none."""
    try:
        return record_of(json.loads(data))
    except ValueError as e:
        raise IntegrityError(f"the decision is not JSON: {e}") from e


def record_of(statement: Any) -> DecisionRecord:
    """Return the decision of a parsed statement; raises IntegrityError if it is none."""
    try:
        if (statement["_type"], statement["predicateType"]) != (STATEMENT_TYPE, PREDICATE_TYPE):
            raise IntegrityError(f"the statement has type {statement['predicateType']!r}, not {PREDICATE_TYPE!r}")
        record = DecisionRecord.model_validate(statement["predicate"])
        if statement["subject"][0]["digest"]["sha256"] != record.subject_digest:
            raise IntegrityError("the statement names another subject than its decision")
    except (KeyError, IndexError, TypeError) as e:
        raise IntegrityError(f"the statement lacks {e}") from e
    except ValidationError as e:
        raise IntegrityError(f"the decision is not valid: {e.errors()[0]['loc']}: {e.errors()[0]['msg']}") from e
    return record


def sign(data: bytes, key: Ed25519PrivateKey) -> Signature:
    """Return the signature of the bytes."""
    return Signature(key_id=key_id(key.public_key()), value=base64.b64encode(key.sign(data)).decode())


def is_signed_by(data: bytes, signature: Signature, key: Ed25519PublicKey) -> bool:
    """Tell whether the signature over the bytes is this key's."""
    try:
        key.verify(base64.b64decode(signature.value, validate=True), data)
    except (InvalidSignature, binascii.Error):
        return False
    return signature.key_id == key_id(key)


def key_id(key: Ed25519PublicKey) -> str:
    """Return a short name of a public key: the head of its sha256."""
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]


class DecisionLog:
    """All decisions, in one append-only file. Every reader verifies the chain first and raises IntegrityError."""

    def __init__(self, path: Path) -> None:
        self._log = ChainedLog(path, "decision")

    def append(self, record: DecisionRecord, key: Ed25519PrivateKey | None = None) -> Head:
        """Add the decision, durably, signed if there is a key."""
        data = statement_bytes(record)
        signature = None if key is None else sign(data, key)
        return self._log.append(LoggedDecision(statement=json.loads(data), signature=signature))

    def decisions(self) -> list[LoggedDecision]:
        """Return every decision, oldest first."""
        try:
            return [LoggedDecision.model_validate(entry.payload) for entry in self._log.read()]
        except ValidationError as e:
            raise IntegrityError(f"{self._log.path} holds a line that is no decision: {e.errors()[0]['msg']}") from e

    def records(self, key: Ed25519PublicKey | None = None) -> list[DecisionRecord]:
        """Return every decision's record, oldest first; with `key` what it signed, and every NO-GO: it only takes."""
        logged = [(d, d.record) for d in self.decisions()]
        return [r for d, r in logged if key is None or r.verdict is Verdict.NO_GO or _is_signed(d, key)]

    def used_waivers(self, except_of: str = "") -> tuple[str, ...]:
        """Return the ids of waivers that have let something through: they are spent for every other attempt.

        Deciding an attempt again spends nothing anew: `except_of` names it.
        A waiver in a decision that was NO-GO all the same, say for want of an approval, is still good.
        """
        records = [logged.record for logged in self.decisions()]
        let_through = [r for r in records if r.verdict is not Verdict.NO_GO and r.attempt_id != except_of]
        uses = (use for record in let_through for use in record.waivers)
        return tuple(sorted({use.waiver.waiver_id for use in uses if use.is_applied}))

    def find(self, data: bytes) -> LoggedDecision | None:
        """Return the latest logged decision whose statement has just these bytes: it may be signed by now."""
        return next((d for d in reversed(self.decisions()) if canonical_json(d.statement) + b"\n" == data), None)


def _is_signed(logged: LoggedDecision, key: Ed25519PublicKey) -> bool:
    data = canonical_json(logged.statement) + b"\n"
    return logged.signature is not None and is_signed_by(data, logged.signature, key)
