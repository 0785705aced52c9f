"""What one criterion came to, and what its judges are told beside the observation."""

from __future__ import annotations

from decimal import Decimal

from pydantic import Field, model_validator

from trading_core.gate.evidence import EvidenceRef, Observation, Tally
from trading_core.gate.outcomes import REASONS, Outcome, Reason
from trading_core.plan import Criterion, Exact, Kind, Level, PlanModel, Stage, Tier


class PriorTally(PlanModel):
    """What earlier attempts of the same subject at the same level have shown for one criterion."""

    pooled: Tally
    by_symbol: dict[str, Tally] = {}
    attempts: int = Field(ge=1)


class Baseline(PlanModel):
    """A metric in the last GO runs, newest first, and in the pinned golden run."""

    values: tuple[Exact, ...] = ()
    runs: tuple[str, ...] = ()  # which runs the values are of
    golden: Exact | None = None
    golden_run: str = ""


class GateContext(PlanModel):
    """The run that is judged; times are venue time.

    Freshness of readiness figures is measured at `trading_started_ns`, the moment they were needed; at `now_ns`
    if trading never started. `evidence` maps each artifact of the run to its digest; empty only in unit tests.
    """

    subject_digest: str
    level: Level
    now_ns: int
    trading_started_ns: int | None = None
    run_started_ns: int | None = None
    trading_window_s: int = Field(default=0, ge=0)
    evidence: dict[str, str] = {}
    attempts: dict[str, PriorTally] = {}
    baselines: dict[str, Baseline] = {}


class Shortfall(PlanModel):
    """What an inconclusive criterion still needs; None means: never at the observed rate."""

    unit: str
    more: int | None
    hours: Exact | None = None
    sentence: str


class SymbolResult(PlanModel):
    """One symbol's own share of a pooled rate."""

    symbol: str
    n: int
    failures: int
    e_value: Exact
    e_refute: Exact
    is_refuted: bool


class Finding(PlanModel):
    """What a judge says; `evaluate` adds who was judged and on which evidence."""

    outcome: Outcome
    reason: Reason
    detail: str
    estimate: Exact | None = None
    lower: Exact | None = None
    upper: Exact | None = None
    n: int | None = None
    failures: int | None = None
    e_value: Exact | None = None
    e_refute: Exact | None = None
    threshold: Exact | None = None
    shortfall: Shortfall | None = None
    by_symbol: tuple[SymbolResult, ...] = ()
    prior_attempts: int = 0

    @model_validator(mode="after")
    def _reason_belongs_to_outcome(self) -> Finding:
        if self.reason not in REASONS[self.outcome]:
            raise ValueError(f"{self.reason} is no reason for {self.outcome}")
        return self


class CriterionResult(Finding):
    """One line of the criteria table: the finding, and the criterion and evidence that it is about."""

    name: str
    title: str
    tier: Tier
    kind: Kind
    stage: Stage
    metric: str
    because: str
    precedence: int = 50
    escalates: bool = False
    tally: Tally | None = None  # of this attempt alone, for the attempt ledger
    tally_by_symbol: dict[str, Tally] = {}
    refs: tuple[EvidenceRef, ...] = ()
    event_seqs: tuple[int, ...] = ()


def result_of(criterion: Criterion, finding: Finding, observation: Observation | None) -> CriterionResult:
    """Return the finding as a line of the criteria table."""
    return CriterionResult(
        **{name: getattr(finding, name) for name in Finding.model_fields},
        name=criterion.name,
        title=criterion.title,
        tier=criterion.tier,
        kind=criterion.kind,
        stage=criterion.stage,
        metric=criterion.metric,
        because=criterion.because,
        precedence=criterion.precedence,
        escalates=criterion.escalates,
        refs=() if observation is None else observation.refs,
        event_seqs=() if observation is None else observation.event_seqs,
    )


def text(value: Decimal | int | None) -> str:
    """Return a figure for a sentence: at most four significant decimals, no exponent.

    >>> text(Decimal("0.947123")), text(Decimal("72")), text(Decimal("23421.5"))
    ('0.9471', '72', '23422')
    """
    if value is None:
        return "none"
    number = Decimal(value)
    if abs(number) >= Decimal(10**9):
        return f"{number:.3E}"
    if number == number.to_integral_value():
        return format(number.quantize(Decimal(1)), "f")
    places = 0 if abs(number) >= 10_000 else 2 if abs(number) >= 10 else 4
    shown = f"{number:.{places}f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def share_text(value: Decimal) -> str:
    """Return a share as per cent.

    >>> share_text(Decimal("0.9471"))
    '94.7 %'
    """
    shown = f"{value * 100:.1f}"
    return f"{shown.removesuffix('.0')} %"
