"""What people may add to evidence: waivers of a criterion and approvals of a decision. Both are bound and expire."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from decimal import Decimal
from typing import Literal

from pydantic import Field

from trading_core.clock import NS, iso
from trading_core.gate.outcomes import Outcome
from trading_core.gate.result import CriterionResult, text
from trading_core.plan import Criterion, Exact, Kind, PlanModel

WAIVER_MAX_NS = 7 * 86_400 * NS
WAIVABLE_OUTCOMES = frozenset({Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.NO_DATA, Outcome.ERROR, Outcome.WARN})
# Reconciliation, margin and liquidation, kill switch, loss limit, credentials and key scope, integrity of
# evidence, the GTD gate: no plan and no person can lift these.
NEVER_WAIVABLE = frozenset(
    {
        "reconciliation", "equity_identity", "margin_events", "margin_utilization", "kill_switch_drill",
        "flat_at_end", "daily_loss", "credentials", "key_scope_view_trade", "key_no_transfer", "event_chain",
        "artifact_checks", "artifacts_complete", "gtd_gated", "gtd_never_sent",
    }
)
_LOWER_IS_BETTER = frozenset({Kind.READINESS, Kind.COMPOSITION, Kind.ZERO_EVENTS, Kind.COMPARISON, Kind.INVARIANT})


class Waiver(PlanModel):
    """One criterion of one subject, excused once. The floor is the figure that must hold all the same."""

    waiver_id: str = Field(min_length=1)
    criterion: str
    subject_digest: str
    raw_outcome: Outcome
    floor: Exact
    reason: str = Field(min_length=1)
    requester: str = Field(min_length=1)
    approver: str = Field(min_length=1)
    issued_ns: int
    expires_ns: int


class WaiverUse(PlanModel):
    """A waiver beside what became of it; `refusal` is empty if it was applied."""

    waiver: Waiver
    refusal: str = ""

    @property
    def is_applied(self) -> bool:
        """Tell whether the waiver counts."""
        return not self.refusal


class Approval(PlanModel):
    """One person's answer to one gate, for exactly this subject and this evidence."""

    approver: str = Field(min_length=1)
    decision: Literal["approve", "reject"]
    gate: str
    subject_digest: str
    evidence_digest: str
    reason: str = ""
    given_ns: int
    expires_ns: int


def use_waivers(
    waivers: Iterable[Waiver],
    results: Iterable[CriterionResult],
    criteria: Iterable[Criterion],
    *,
    subject_digest: str,
    now_ns: int,
    used: Collection[str],
) -> tuple[WaiverUse, ...]:
    """Return each waiver with the reason for which it was refused, or none."""
    by_name = {result.name: result for result in results}
    plan = {criterion.name: criterion for criterion in criteria}
    uses: list[WaiverUse] = []
    spent = set(used)
    for waiver in sorted(waivers, key=lambda w: (w.waiver_id, w.criterion)):
        refusal = _times_and_persons(waiver, now_ns, spent) or _binding(
            waiver, by_name.get(waiver.criterion), plan.get(waiver.criterion), subject_digest
        )
        uses.append(WaiverUse(waiver=waiver, refusal=refusal))
        spent.add(waiver.waiver_id)
    return tuple(uses)


def _times_and_persons(waiver: Waiver, now_ns: int, spent: Collection[str]) -> str:
    if waiver.waiver_id in spent:
        return "it was used before: a waiver counts once"
    if _person(waiver.approver) == _person(waiver.requester):
        return f"{waiver.approver} approved their own request"
    if waiver.expires_ns - waiver.issued_ns > WAIVER_MAX_NS:
        return "it runs for more than 7 days"
    if waiver.issued_ns > now_ns:
        return f"it was issued in the future, at {iso(waiver.issued_ns)}"
    if waiver.expires_ns <= now_ns:
        return f"it expired at {iso(waiver.expires_ns)}"
    return ""


def _binding(waiver: Waiver, result: CriterionResult | None, criterion: Criterion | None, subject: str) -> str:
    if waiver.subject_digest != subject:
        return f"it is for subject {waiver.subject_digest[:12]}, not for {subject[:12]}"
    if result is None or criterion is None:
        return f"the plan has no criterion {waiver.criterion}"
    if criterion.metric in NEVER_WAIVABLE or not criterion.is_waivable:
        return f"{criterion.name} can never be waived"
    if result.outcome is not waiver.raw_outcome:
        return f"it is for the outcome {waiver.raw_outcome}, which was {result.outcome}"
    if result.outcome not in WAIVABLE_OUTCOMES:
        return f"there is nothing to waive: the outcome is {result.outcome}"
    return _below_floor(result.kind, result.estimate, waiver.floor)


def _below_floor(kind: Kind, estimate: Decimal | None, floor: Decimal) -> str:
    if estimate is None:
        return f"its floor {text(floor)} cannot be checked: there is no figure"
    holds = abs(estimate) <= floor if kind in _LOWER_IS_BETTER else estimate >= floor
    return "" if holds else f"its floor {text(floor)} does not hold: the figure was {text(estimate)}"


def approval_problem(
    approvals: Iterable[Approval],
    *,
    needed: int,
    gate: str,
    subject_digest: str,
    evidence_digest: str,
    now_ns: int,
) -> str:
    """Return why the approvals do not suffice; empty if enough different persons approved just this."""
    if needed == 0:
        return ""
    bound = [
        a for a in approvals
        if (a.gate, a.subject_digest, a.evidence_digest) == (gate, subject_digest, evidence_digest)
    ]
    if refused := sorted(_person(a.approver) for a in bound if a.decision == "reject"):
        return f"{refused[0]} rejected it"
    valid = {_person(a.approver) for a in bound if a.given_ns <= now_ns < a.expires_ns}
    if len(valid) >= needed:
        return ""
    return f"{len(valid)} of {needed} approvals{_why_missing(approvals, bound, now_ns)}"


def _why_missing(approvals: Iterable[Approval], bound: list[Approval], now_ns: int) -> str:
    if any(a.expires_ns <= now_ns for a in bound):
        return ": one has expired"
    if len(list(approvals)) > len(bound):
        return ": one is for another subject, other evidence or another gate"
    return ""


def _person(name: str) -> str:
    return " ".join(name.casefold().split())
