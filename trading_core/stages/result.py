"""What a stage returns, whatever came of it: checks, observations for the gate, and one status."""

from __future__ import annotations

from enum import StrEnum

from trading_core.gate.evidence import Observation
from trading_core.plan import PlanModel, Stage


class CheckStatus(StrEnum):
    """What a single check came to. NOT_EVALUATED: something that it depends on failed; never a pass."""

    PASSED = "PASSED"
    WARNED = "WARNED"
    FAILED = "FAILED"
    NOT_EVALUATED = "NOT_EVALUATED"


class Check(PlanModel):
    """One check of a stage: what was seen, and what to do if it failed."""

    name: str
    status: CheckStatus
    observed: str
    needed: str
    remedy: str = ""
    # The first failed check that this one depends on.
    blocked_by: str = ""


class StageStatus(StrEnum):
    """Whether the next stage may start."""

    PASSED = "PASSED"
    FAILED = "FAILED"
    NOT_RUN = "NOT_RUN"


class StageResult(PlanModel):
    """One stage's outcome as data; exceptions are for bugs only."""

    stage: Stage
    status: StageStatus
    started_ns: int
    ended_ns: int
    summary: str
    checks: tuple[Check, ...] = ()
    observations: tuple[Observation, ...] = ()
    artifacts: dict[str, str] = {}  # artifact name → sha256

    @property
    def failed_checks(self) -> list[Check]:
        """Return the checks that failed, in order: the first names the reason."""
        return [c for c in self.checks if c.status is CheckStatus.FAILED]
