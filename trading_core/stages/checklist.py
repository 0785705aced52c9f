"""Checks as a dependency graph: what depends on a failed check is not evaluated, and never a pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from trading_core.errors import GreenlightError, VenueError
from trading_core.gate.evidence import ReadinessObservation
from trading_core.gate.outcomes import Reason
from trading_core.stages.result import Check, CheckStatus


@dataclass(frozen=True, slots=True)
class Seen:
    """What one check saw. `value` and `unit` where the gate judges the figure itself."""

    status: CheckStatus
    observed: str
    value: Decimal | None = None
    unit: str = ""
    problem: Reason | None = None  # nothing was shown, good or bad: the gate is told so
    remedy: str = ""  # instead of the check's own, where something else is to be mended


def passed(observed: str) -> Seen:
    """Return a pass with what was seen."""
    return Seen(CheckStatus.PASSED, observed)


def failed(observed: str) -> Seen:
    """Return a failure with what was seen."""
    return Seen(CheckStatus.FAILED, observed)


def unanswered(observed: str) -> Seen:
    """Return a failure that shows nothing of what was asked: the venue, not the subject, is to be looked at."""
    remedy = "mend what is named, or wait until the venue answers, and run again"
    return Seen(CheckStatus.FAILED, observed, problem=Reason.MISSING, remedy=remedy)


def holds(is_so: bool, observed: str) -> Seen:
    """Return a pass or a failure."""
    return passed(observed) if is_so else failed(observed)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSpec:
    """One check: what is needed, what to do if it fails, which checks must have passed before, how to look."""

    name: str
    needed: str
    remedy: str
    look: Callable[[], Seen]
    after: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChecklistResult:
    """The checks in order, with one readiness observation each for the gate."""

    checks: tuple[Check, ...]
    observations: tuple[ReadinessObservation, ...]

    @property
    def has_passed(self) -> bool:
        """Tell whether every check passed or warned."""
        return all(c.status in (CheckStatus.PASSED, CheckStatus.WARNED) for c in self.checks)

    @property
    def summary(self) -> str:
        """Return one sentence that names the first failure with its figure."""
        bad = next((c for c in self.checks if c.status is CheckStatus.FAILED), None)
        if bad is not None:
            return f"{bad.name}: {bad.observed} (needed: {bad.needed}). {bad.remedy}"
        warned = [c.name for c in self.checks if c.status is CheckStatus.WARNED]
        return f"{len(self.checks)} checks passed" + (f", warned: {', '.join(warned)}" if warned else "")


def run_checks(specs: Sequence[CheckSpec], now_ns: Callable[[], int]) -> ChecklistResult:
    """Run the checks in their given order; each names only checks before it as its conditions."""
    checks: dict[str, Check] = {}
    observations: list[ReadinessObservation] = []
    for spec in specs:
        blocker = next((n for n in spec.after if checks[n].status not in _MAY_GO_ON), None)
        seen = None if blocker is not None else _look(spec)
        status = CheckStatus.NOT_EVALUATED if seen is None else seen.status
        checks[spec.name] = Check(
            name=spec.name,
            status=status,
            observed=f"not evaluated: {blocker} did not pass" if seen is None else seen.observed,
            needed=spec.needed,
            remedy=_remedy(spec, seen),
            blocked_by=blocker or "",
        )
        observations.append(
            ReadinessObservation(
                metric=spec.name,
                measured_ns=now_ns(),
                value=None if seen is None else seen.value,
                unit="" if seen is None else seen.unit,
                holds=None if seen is None else _holds(seen),
                problem=Reason.NOT_EVALUATED if seen is None else seen.problem,
                detail=checks[spec.name].observed,
            )
        )
    return ChecklistResult(tuple(checks.values()), tuple(observations))


def _remedy(spec: CheckSpec, seen: Seen | None) -> str:
    if seen is None or seen.status is CheckStatus.PASSED:
        return ""
    return seen.remedy or spec.remedy


def _holds(seen: Seen) -> bool:
    """Tell what the gate is told: a warning lets the run go on, but holds only where the gate judges its figure."""
    return seen.status is CheckStatus.PASSED or (seen.status is CheckStatus.WARNED and seen.value is not None)


_MAY_GO_ON = (CheckStatus.PASSED, CheckStatus.WARNED)


def _look(spec: CheckSpec) -> Seen:
    try:
        return spec.look()
    except VenueError as e:
        return unanswered(f"{type(e).__name__}: {e}")
    except GreenlightError as e:
        return failed(f"{type(e).__name__}: {e}")
