"""What a data check came to: one finding for each criterion of the registry, with the rows that show it."""

from __future__ import annotations

from pydantic import Field, model_validator

from trading_core.gate.outcomes import REASONS, Outcome, Reason
from trading_core.plan import PlanModel, Tier

EVIDENCE_ROWS_MAX = 20  # the artifact has the rest


class EvidenceRow(PlanModel):
    """One row of an artifact, as the file has it. `row` counts from zero, `seq` is its event."""

    row: int
    seq: int | None = None
    values: dict[str, str] = {}


class Finding(PlanModel):
    """One check of one artifact. `criterion` is "<artifact>.<check>", or "cross.<check>" for several artifacts."""

    criterion: str
    artifact: str
    title: str
    tier: Tier
    outcome: Outcome
    reason: Reason
    detail: str
    rows_checked: int = Field(default=0, ge=0)
    rows_broken: int = Field(default=0, ge=0)
    evidence: tuple[EvidenceRow, ...] = ()

    @model_validator(mode="after")
    def _reason_belongs_to_outcome(self) -> Finding:
        if self.reason not in REASONS[self.outcome]:
            raise ValueError(f"{self.reason} is no reason for {self.outcome}")
        return self


class CheckReport(PlanModel):
    """All findings of a run: `expected` is the registry, in which each criterion must have its finding."""

    schema_version: int = 1
    engine: str
    expected: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def unevaluated(self) -> list[str]:
        """Return what the registry names and nobody evaluated."""
        return sorted(set(self.expected) - {finding.criterion for finding in self.findings})

    @property
    def unknown(self) -> list[str]:
        """Return what was evaluated and the registry does not name."""
        return sorted({finding.criterion for finding in self.findings} - set(self.expected))


def make_finding(
    criterion: str, title: str, outcome: Outcome, reason: Reason, detail: str, *, tier: Tier = Tier.MUST,
    rows_checked: int = 0, rows_broken: int = 0, evidence: tuple[EvidenceRow, ...] = (),
) -> Finding:
    """Return a finding; the artifact is the first part of the criterion."""
    return Finding(
        criterion=criterion, artifact=criterion.partition(".")[0], title=title, tier=tier, outcome=outcome,
        reason=reason, detail=detail, rows_checked=rows_checked, rows_broken=rows_broken,
        evidence=evidence[:EVIDENCE_ROWS_MAX],
    )
