"""What people filed beside the evidence: waivers, approvals and the pinned golden run, in append-only chained files."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from trading_core.errors import ConfigurationError, IntegrityError
from trading_core.gate.chained_log import ChainedLog
from trading_core.gate.decide import HOUR_NS, DecisionRecord
from trading_core.gate.overlays import NEVER_WAIVABLE, WAIVABLE_OUTCOMES, WAIVER_MAX_NS, Approval, Waiver
from trading_core.plan import Exact, Kind, Level, Plan, PlanModel

WAIVERS_FILE, APPROVALS_FILE, GOLDEN_FILE = "waivers.jsonl", "approvals.jsonl", "golden.jsonl"
SHOWN_FOR_NS = 2 * WAIVER_MAX_NS  # an old one is still named, with the reason for which it no longer counts

Filed = TypeVar("Filed", bound=PlanModel)


class FiledWaiver(PlanModel):
    """A waiver and the gate that it was asked for at."""

    gate: str
    waiver: Waiver


class GoldenRun(PlanModel):
    """The run whose figures later runs of its gate and level must not fall behind."""

    gate: str
    level: Level
    run_id: str
    values: dict[str, Exact]
    pinned_by: str
    pinned_ns: int


class PeopleFiles:
    """The three files; every reader verifies the chain first and raises IntegrityError."""

    def __init__(self, root: Path) -> None:
        self._waivers = ChainedLog(root / WAIVERS_FILE, "waiver")
        self._approvals = ChainedLog(root / APPROVALS_FILE, "approval")
        self._golden = ChainedLog(root / GOLDEN_FILE, "golden")

    def file_waiver(self, gate: str, waiver: Waiver) -> None:
        """Add a waiver, durably."""
        self._waivers.append(FiledWaiver(gate=gate, waiver=waiver))

    def file_approval(self, approval: Approval) -> None:
        """Add an answer, durably."""
        self._approvals.append(approval)

    def pin_golden(self, golden: GoldenRun) -> None:
        """Make a run the golden one of its gate, level and family; the last pin holds."""
        self._golden.append(golden)

    def waivers(self, gate: str, now_ns: int) -> tuple[Waiver, ...]:
        """Return the waivers of a gate, whoever's subject they are for: the gate says which count, and why not."""
        filed = [f.waiver for f in _all(self._waivers, FiledWaiver) if f.gate == gate]
        return tuple(w for w in filed if now_ns - w.expires_ns < SHOWN_FOR_NS)

    def approvals(self, gate: str, now_ns: int) -> tuple[Approval, ...]:
        """Return the answers given at a gate, whatever they are bound to."""
        filed = [a for a in _all(self._approvals, Approval) if a.gate == gate]
        return tuple(a for a in filed if now_ns - a.expires_ns < SHOWN_FOR_NS)

    def golden(self, gate: str, level: Level) -> list[GoldenRun]:
        """Return the runs pinned at a gate and a level, the last pin first."""
        return [g for g in reversed(_all(self._golden, GoldenRun)) if (g.gate, g.level) == (gate, level)]


def figures(record: DecisionRecord) -> dict[str, Exact]:
    """Return the compared figures of a decision by metric."""
    return {r.metric: r.estimate for r in record.criteria if r.kind is Kind.COMPARISON and r.estimate is not None}


def make_waiver(
    record: DecisionRecord, plan: Plan, criterion: str, *,
    floor: Exact, reason: str, requester: str, approver: str, hours: int, number: int, now_ns: int,
) -> Waiver:
    """Return a waiver of one criterion as it was decided; raises ConfigurationError for what nobody may waive."""
    result = record.criterion(criterion)
    listed = next((c for c in plan.criteria if c.name == criterion), None)
    if result is None or listed is None:
        known = ", ".join(r.name for r in record.criteria if r.outcome in WAIVABLE_OUTCOMES)
        raise ConfigurationError(f"run {record.run_id} has no criterion {criterion!r}: choose from {known}")
    if listed.metric in NEVER_WAIVABLE or not listed.is_waivable:
        raise ConfigurationError(f"{criterion} can never be waived: mend what it shows, and run again")
    if result.outcome not in WAIVABLE_OUTCOMES:
        raise ConfigurationError(f"{criterion} is {result.outcome}: there is nothing to waive")
    if requester.casefold().split() == approver.casefold().split():
        raise ConfigurationError(f"{approver} may not approve their own request: name another approver")
    if not 0 < hours * HOUR_NS <= WAIVER_MAX_NS:
        raise ConfigurationError(f"a waiver of {hours} h is out of range (limit: above 0, at most 168 h): shorten it")
    return Waiver(
        waiver_id=f"{record.run_id}/{criterion}/{number}", criterion=criterion, subject_digest=record.subject_digest,
        raw_outcome=result.outcome, floor=floor, reason=reason, requester=requester, approver=approver,
        issued_ns=now_ns, expires_ns=now_ns + hours * HOUR_NS,
    )


def make_approval(
    record: DecisionRecord, *, approver: str, is_approved: bool, typed: str, reason: str, hours: int | Decimal,
    now_ns: int,
) -> Approval:
    """Return a person's answer; raises ConfigurationError unless they typed the head of the subject's digest."""
    head = record.subject_digest[:8]
    if not typed or len(typed) < len(head) or not record.subject_digest.startswith(typed):
        raise ConfigurationError(
            f"{typed!r} is not the subject of run {record.run_id}: type its digest's first 8 letters, {head}"
        )
    return Approval(
        approver=approver, decision="approve" if is_approved else "reject", gate=record.gate,
        subject_digest=record.subject_digest, evidence_digest=record.evidence_digest, reason=reason,
        given_ns=now_ns, expires_ns=now_ns + int(hours * HOUR_NS),
    )


def _all(log: ChainedLog, kind: type[Filed]) -> list[Filed]:
    try:
        return [kind.model_validate(entry.payload) for entry in log.read()]
    except ValidationError as e:
        raise IntegrityError(f"{log.path} holds a line that is no {kind.__name__}: {e.errors()[0]['msg']}") from e
