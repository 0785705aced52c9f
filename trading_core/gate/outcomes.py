"""The closed sets of the gate: outcomes, reason codes, verdicts, dispositions. Source: gates.md."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """What one criterion came to."""

    PASS = "PASS"
    WARN = "WARN"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    NO_DATA = "NO_DATA"
    ERROR = "ERROR"
    NOT_APPLICABLE = "NOT_APPLICABLE"


class Reason(StrEnum):
    """Why; each belongs to exactly one outcome, see REASONS."""

    BOUND_CLEARS = "BOUND_CLEARS"
    INVARIANT_HOLDS = "INVARIANT_HOLDS"
    EXERCISED = "EXERCISED"
    GREY_ZONE = "GREY_ZONE"
    BOUND_BELOW = "BOUND_BELOW"
    INVARIANT_BROKEN = "INVARIANT_BROKEN"
    EVENT_OCCURRED = "EVENT_OCCURRED"
    INSUFFICIENT_SAMPLE = "INSUFFICIENT_SAMPLE"
    INSUFFICIENT_COVERAGE = "INSUFFICIENT_COVERAGE"
    HETEROGENEOUS = "HETEROGENEOUS"
    MISSING = "MISSING"
    EMPTY = "EMPTY"
    ALL_NULL = "ALL_NULL"
    STALE = "STALE"
    SUBJECT_MISMATCH = "SUBJECT_MISMATCH"
    LEVEL_TOO_LOW = "LEVEL_TOO_LOW"
    NO_BASELINE = "NO_BASELINE"
    NOT_EVALUATED = "NOT_EVALUATED"
    EXCEPTION = "EXCEPTION"
    SCHEMA = "SCHEMA"
    NON_FINITE = "NON_FINITE"
    HASH_MISMATCH = "HASH_MISMATCH"
    PRECONDITION_FALSE = "PRECONDITION_FALSE"


_R, _O = Reason, Outcome
REASONS: dict[Outcome, frozenset[Reason]] = {
    _O.PASS: frozenset({_R.BOUND_CLEARS, _R.INVARIANT_HOLDS, _R.EXERCISED}),
    _O.WARN: frozenset({_R.GREY_ZONE}),
    _O.FAIL: frozenset({_R.BOUND_BELOW, _R.INVARIANT_BROKEN, _R.EVENT_OCCURRED}),
    _O.INCONCLUSIVE: frozenset({_R.INSUFFICIENT_SAMPLE, _R.INSUFFICIENT_COVERAGE, _R.HETEROGENEOUS}),
    _O.NO_DATA: frozenset(
        {_R.MISSING, _R.EMPTY, _R.ALL_NULL, _R.STALE, _R.SUBJECT_MISMATCH, _R.LEVEL_TOO_LOW, _R.NO_BASELINE,
         _R.NOT_EVALUATED}
    ),
    _O.ERROR: frozenset({_R.EXCEPTION, _R.SCHEMA, _R.NON_FINITE, _R.HASH_MISMATCH}),
    _O.NOT_APPLICABLE: frozenset({_R.PRECONDITION_FALSE}),
}


class Verdict(StrEnum):
    """The answer of a gate."""

    GO = "GO"
    CONDITIONAL = "CONDITIONAL"
    NO_GO = "NO-GO"


class Disposition(StrEnum):
    """What a NO-GO asks for."""

    EXTEND = "EXTEND"
    REPAIR = "REPAIR"
    REJECT = "REJECT"
    HOLD = "HOLD"
    ROLLBACK = "ROLLBACK"
