"""What the gate is given: observations, each tied to the artifacts it was computed from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from trading_core.gate.outcomes import Reason
from trading_core.plan import Exact, Level, PlanModel


class EvidenceRef(PlanModel):
    """One artifact behind an observation."""

    artifact: str
    sha256: str
    schema_version: int
    rows: int
    window_start_ns: int
    window_end_ns: int
    producer: str
    subject_digest: str
    level: Level


class Tally(PlanModel):
    """Successes and failures."""

    successes: int = Field(ge=0)
    failures: int = Field(ge=0)

    @property
    def n(self) -> int:
        """Return the number of trials."""
        return self.successes + self.failures


class ObservationBase(PlanModel):
    """The figures for one metric, with their evidence.

    `problem` says that the figures cannot be used (a NO_DATA or ERROR reason, or PRECONDITION_FALSE); it wins
    over whatever figures stand beside it. `event_seqs` are rows of the event store that show the effect.
    """

    metric: str
    refs: tuple[EvidenceRef, ...] = ()
    event_seqs: tuple[int, ...] = ()
    problem: Reason | None = None
    detail: str = ""


class RateObservation(ObservationBase):
    """Trials, pooled and by symbol: for rates and latency quantiles."""

    kind: Literal["rate"] = "rate"
    pooled: Tally
    by_symbol: dict[str, Tally] = {}
    worst: Exact | None = None


class InvariantObservation(ObservationBase):
    """How many of the expected observations were made, and which of them broke the rule."""

    kind: Literal["invariant"] = "invariant"
    expected: int = Field(ge=0)
    observed: int = Field(ge=0)
    violations: tuple[str, ...] = ()
    final_holds: bool
    worst: Exact | None = None


class CountObservation(ObservationBase):
    """How often something happened in a window of `window_s` seconds."""

    kind: Literal["count"] = "count"
    count: int = Field(ge=0)
    window_s: int = Field(ge=0)


class SliceObservation(ObservationBase):
    """One-minute slices in spec, out of spec and without data; the longest run of bad ones in seconds."""

    kind: Literal["slices"] = "slices"
    good: int = Field(ge=0)
    bad: int = Field(ge=0)
    missing: int = Field(ge=0)
    longest_gap_s: int = Field(ge=0)


class ExercisedObservation(ObservationBase):
    """Whether the effect was provoked, and whether it was then seen."""

    kind: Literal["exercised"] = "exercised"
    was_provoked: bool
    was_seen: bool
    missing: tuple[str, ...] = ()  # symbols or parts for which it was not provoked or not seen


class CompletenessObservation(ObservationBase):
    """Rows present against rows expected, and the longest hole in periods."""

    kind: Literal["completeness"] = "completeness"
    rows: int = Field(ge=0)
    expected_rows: int = Field(ge=0)
    longest_gap_periods: Exact
    is_schema_valid: bool


class CompositionObservation(ObservationBase):
    """How many of the whole are of one part."""

    kind: Literal["composition"] = "composition"
    part: int = Field(ge=0)
    whole: int = Field(ge=0)


class ReadinessObservation(ObservationBase):
    """A figure that was read once, when, and in which unit; `holds` answers yes-or-no questions."""

    kind: Literal["readiness"] = "readiness"
    measured_ns: int
    value: Exact | None = None
    unit: str = ""
    holds: bool | None = None


class ComparisonObservation(ObservationBase):
    """This run's figure beside those of the last GO runs and of the pinned golden run."""

    kind: Literal["comparison"] = "comparison"
    value: Exact
    baselines: tuple[Exact, ...] = ()
    golden: Exact | None = None
    margin: Exact


Observation = Annotated[
    RateObservation | InvariantObservation | CountObservation | SliceObservation | ExercisedObservation
    | CompletenessObservation | CompositionObservation | ReadinessObservation | ComparisonObservation,
    Field(discriminator="kind"),
]


class MirrorState(PlanModel):
    """Whether everything that a decision rests on also lay at the second place, read back and hashed."""

    is_whole: bool
    detail: str
