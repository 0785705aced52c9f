"""The attempt ledger: what each attempt of a subject showed, so that a retry continues and never starts afresh."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from trading_core.errors import IntegrityError
from trading_core.gate.chained_log import ChainedLog
from trading_core.gate.evidence import Tally
from trading_core.gate.result import CriterionResult, PriorTally
from trading_core.plan import Exact, Level, PlanModel

NONE = Tally(successes=0, failures=0)


class CriterionTally(PlanModel):
    """What one attempt showed for one criterion, with the e-value that all attempts so far came to."""

    pooled: Tally
    by_symbol: dict[str, Tally] = {}
    e_value: Exact | None = None


class Attempt(PlanModel):
    """One attempt. A later entry with the same id is the same attempt, gone on: it replaces the earlier one."""

    attempt_id: str
    run_id: str
    subject_digest: str
    level: Level
    ts_ns: int
    tallies: dict[str, CriterionTally]


class AttemptLedger:
    """All attempts of all subjects, in one append-only file."""

    def __init__(self, path: Path) -> None:
        self._log = ChainedLog(path, "attempt")

    def record(self, attempt: Attempt) -> None:
        """Add the attempt, durably."""
        self._log.append(attempt)

    def attempts(self) -> list[Attempt]:
        """Return every entry, oldest first. Raises IntegrityError if the ledger does not verify."""
        try:
            return [Attempt.model_validate(entry.payload) for entry in self._log.read()]
        except ValidationError as e:
            raise IntegrityError(f"{self._log.path} holds an entry that is no attempt: {e.errors()[0]['msg']}") from e

    def prior(
        self, subject_digest: str, level: Level, attempt_id: str, left_out: frozenset[str] = frozenset()
    ) -> dict[str, PriorTally]:
        """Return, by criterion, what the *other* attempts of this subject at this level have shown.

        A deterministic rehearsal that is repeated has the same attempt id, so it is not counted twice. Attempts that
        are `left_out` were judged by themselves: a window does not live on what an earlier one has shown.
        """
        others = [a for a in self.attempts() if a.attempt_id not in left_out]
        return prior_of(others, subject_digest, level, attempt_id)


def prior_of(
    attempts: Iterable[Attempt], subject_digest: str, level: Level, attempt_id: str
) -> dict[str, PriorTally]:
    """Return, by criterion, the sums of the subject's attempts at the level, without the attempt of the id."""
    last = {
        a.attempt_id: a for a in attempts
        if a.subject_digest == subject_digest and a.level is level and a.attempt_id != attempt_id
    }
    names = sorted({name for attempt in last.values() for name in attempt.tallies})
    return {name: _sum([a.tallies[name] for a in last.values() if name in a.tallies]) for name in names}


def attempt_of(
    results: Iterable[CriterionResult], *, attempt_id: str, run_id: str, subject_digest: str, level: Level, ts_ns: int
) -> Attempt:
    """Return the ledger entry of an evaluated attempt: its own trials, and the e-value with all earlier ones."""
    return Attempt(
        attempt_id=attempt_id,
        run_id=run_id,
        subject_digest=subject_digest,
        level=level,
        ts_ns=ts_ns,
        tallies={
            r.name: CriterionTally(pooled=r.tally, by_symbol=r.tally_by_symbol, e_value=r.e_value)
            for r in results
            if r.tally is not None
        },
    )


def _sum(tallies: list[CriterionTally]) -> PriorTally:
    names = sorted({name for tally in tallies for name in tally.by_symbol})
    return PriorTally(
        pooled=_add([t.pooled for t in tallies]),
        by_symbol={name: _add([t.by_symbol.get(name, NONE) for t in tallies]) for name in names},
        attempts=len(tallies),
    )


def _add(tallies: list[Tally]) -> Tally:
    return Tally(successes=sum(t.successes for t in tallies), failures=sum(t.failures for t in tallies))
