"""The attempt ledger: what each attempt of a subject showed, so that a retry continues and never starts afresh."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
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
    """One attempt: noted open when its trading begins, and by its decision, the last of which counts."""

    attempt_id: str
    run_id: str
    subject_digest: str
    level: Level
    ts_ns: int
    tallies: dict[str, CriterionTally]
    is_open: bool = False  # its trading began, and this entry says nothing of what it showed


# What an attempt showed that was noted open and that no decision has tallied.
Count = Callable[[Attempt], Mapping[str, CriterionTally]]


class AttemptLedger:
    """All attempts of all subjects, in one append-only file."""

    def __init__(self, path: Path) -> None:
        self._log = ChainedLog(path, "attempt")

    def record(self, attempt: Attempt) -> None:
        """Add the attempt, durably."""
        self._log.append(attempt)

    def begin(self, attempt: Attempt) -> None:
        """Note an attempt as open, durably, before it trades; one that was noted before only goes on."""
        if _key(attempt) not in {_key(entry) for entry in self.attempts() if entry.is_open}:
            self.record(attempt.model_copy(update={"tallies": {}, "is_open": True}))

    def attempts(self) -> list[Attempt]:
        """Return every entry, oldest first. Raises IntegrityError if the ledger does not verify."""
        try:
            return [Attempt.model_validate(entry.payload) for entry in self._log.read()]
        except ValidationError as e:
            raise IntegrityError(f"{self._log.path} holds an entry that is no attempt: {e.errors()[0]['msg']}") from e

    def prior(
        self, subject_digest: str, level: Level, attempt_id: str, count: Count,
        left_out: frozenset[str] = frozenset(),
    ) -> dict[str, PriorTally]:
        """Return, by criterion, what the *other* attempts of this subject at this level have shown.

        A deterministic rehearsal that is repeated has the same attempt id, so it is not counted twice. Attempts that
        are `left_out` were judged by themselves: a window does not live on what an earlier one has shown.
        """
        others = [a for a in self.attempts() if a.attempt_id not in left_out]
        return prior_of(others, subject_digest, level, attempt_id, count)

    def open_before(self, attempt_id: str) -> frozenset[str]:
        """Return the attempts that were noted open before the last decision of this one, and never decided."""
        entries = self.attempts()
        decided = {entry.attempt_id: at for at, entry in enumerate(entries) if not entry.is_open}
        until = decided.get(attempt_id, 0)
        return frozenset(entry.attempt_id for entry in entries[:until] if entry.attempt_id not in decided)


def prior_of(
    attempts: Iterable[Attempt], subject_digest: str, level: Level, attempt_id: str, count: Count
) -> dict[str, PriorTally]:
    """Return, by criterion, the sums of the subject's attempts at the level, without the attempt of the id.

    One that was never decided, or whose decision had nothing to tally, showed what `count` says: killing an attempt
    that looks bad makes nothing of it disappear.
    """
    opened: dict[str, Attempt] = {}
    last: dict[str, Attempt] = {}
    for attempt in attempts:
        if _key(attempt)[1:] == (subject_digest, level) and attempt.attempt_id != attempt_id:
            if attempt.is_open:
                opened.setdefault(attempt.attempt_id, attempt)
            else:
                last[attempt.attempt_id] = attempt
    noted = {name: attempt.tallies for name, attempt in last.items() if attempt.tallies or name not in opened}
    shown = [*noted.values(), *(count(attempt) for name, attempt in opened.items() if name not in noted)]
    names = sorted({name for tallies in shown for name in tallies})
    return {name: _sum([tallies[name] for tallies in shown if name in tallies]) for name in names}


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


def _key(attempt: Attempt) -> tuple[str, str, Level]:
    return attempt.attempt_id, attempt.subject_digest, attempt.level


def _sum(tallies: list[CriterionTally]) -> PriorTally:
    names = sorted({name for tally in tallies for name in tally.by_symbol})
    return PriorTally(
        pooled=_add([t.pooled for t in tallies]),
        by_symbol={name: _add([t.by_symbol.get(name, NONE) for t in tallies]) for name in names},
        attempts=len(tallies),
    )


def _add(tallies: list[Tally]) -> Tally:
    return Tally(successes=sum(t.successes for t in tallies), failures=sum(t.failures for t in tallies))
