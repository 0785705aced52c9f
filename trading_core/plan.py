"""A rung of the ladder as data: what a run may do, must show, when it stops. Source: deployments/plans/*.toml."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from trading_core.canonical import digest_of
from trading_core.errors import ConfigurationError
from trading_core.money import decimal_of
from trading_core.orders import OrderType, TimeInForce
from trading_core.sizing import SizingMode
from trading_core.trading_state import TradingState


def _exact(value: Any) -> Decimal:
    try:
        return decimal_of(value)
    except TypeError as e:
        raise ValueError(str(e)) from e  # pydantic adds the key to a ValueError, and only to that


Exact = Annotated[Decimal, BeforeValidator(_exact)]
SHOWN_MAX = 80  # characters of a wrong value that a sentence repeats


class PlanModel(BaseModel):
    """The base of every part of a plan: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Rung(StrEnum):
    """The rungs, lowest first."""

    PHASE2 = "phase2"
    STAGE3 = "stage3"
    STAGE4 = "stage4"
    STAGE5 = "stage5"


class Level(StrEnum):
    """Assurance level of evidence, weakest first."""

    L0 = "L0"
    L1 = "L1"
    L2 = "L2"
    L3 = "L3"


class Tier(StrEnum):
    """How much a criterion matters."""

    MUST = "must"
    SHOULD = "should"
    NICE = "nice"


class ProductLimits(PlanModel):
    """One traded product with its own caps. Sizes in base units (contracts for futures), money in USD."""

    product_id: str
    max_size: Exact
    max_notional: Exact
    because: str


class AliasProbe(PlanModel):
    """A product that the probe resolves by metadata but that the plan may not trade."""

    alias: str
    is_traded: bool = False
    # One contract may cost more than the notional cap: then the plan must say so, or preflight refuses.
    accepts_minimum_above_cap: bool = False
    because: str


class Entry(PlanModel):
    """How big and how often the plan's strategy enters."""

    strategy: str
    params: dict[str, str | int | bool] = {}
    # Where a rung that ships brings its own strategy: the one, without parameters, with which its bot climbed so far.
    succeeds: str = ""
    notional_min: Exact
    notional_max: Exact
    interval_s: int = Field(gt=0)
    # How far behind the touch an entry rests: at the touch itself, a post-only order that the market meets while
    # it travels is rejected.
    offset_bps: Exact = Decimal(0)


class BracketDistance(PlanModel):
    """How far from its price an entry takes its profit and stops its loss, at the venue."""

    take_profit_bps: Exact
    stop_loss_bps: Exact


class OrderPolicy(PlanModel):
    """Which orders may leave at all."""

    order_types: tuple[OrderType, ...]
    time_in_force: tuple[TimeInForce, ...]
    is_entry_post_only: bool
    auto_cancel_s: int = Field(gt=0)
    retries_max: int = Field(ge=0)
    # Every entry leaves with a bracket attached, or not at all; none if this is missing.
    bracket: BracketDistance | None = None
    # Products for which the venue takes no stop order: we hold their stops ourselves, and never both.
    local_stops: tuple[str, ...] = ()
    because: str


class RiskLimits(PlanModel):
    """Account-wide limits; every per-item limit above has its aggregate here."""

    leverage_max: Exact
    aggregate_notional_max: Exact
    daily_loss_max: Exact
    open_orders_max: int = Field(gt=0)
    orders_per_minute_max: int = Field(gt=0)
    price_collar_bps: Exact
    spread_bps_max: Exact
    stale_after_s: Exact
    pre_funding_quiet_s: int = Field(ge=0)
    margin_utilization_max: Exact
    # USD that must stay free at the venue after an entry, which counts with its whole notional. Futures only.
    margin_buffer_min: Exact = Decimal(0)


class Sizing(PlanModel):
    """The impact limit and what to do at it."""

    mode: SizingMode
    impact_bps_max: Exact


GuardrailMetric: TypeAlias = Literal[
    "daily_loss", "drift", "staleness_s", "margin_utilization", "rate_limit_errors", "unexpected_rejections",
    "consecutive_rejections", "unresolved_orders", "clock_offset_s", "margin_call"
]


AlertMetric: TypeAlias = GuardrailMetric | Literal["spread_bps", "checkpoint_overdue_s"]


class Guardrail(PlanModel):
    """A limit that is watched during the stage: any one that trips latches and tightens the state."""

    name: str
    metric: GuardrailMetric
    limit: Exact
    tightens_to: TradingState
    because: str


class Threshold(PlanModel):
    """An alert: never a verdict by itself."""

    name: str
    metric: AlertMetric
    limit: Exact
    severity: Literal["INFO", "WARNING", "ERROR", "CRITICAL"]


class Protocol(PlanModel):
    """The steps of the live micro test, in order, and how long the whole window is."""

    window_s: int = Field(gt=0)
    steps: tuple[str, ...]
    snapshot_every_s: int = Field(default=60, gt=0)
    save_every_s: int = Field(default=300, gt=0)
    checkpoints_h: tuple[int, ...] = ()
    oversize_notional: Exact
    stop_distance_bps: Exact = Decimal(200)
    stop_watch_s: int = Field(default=60, gt=0)  # how long the stop tests rest and are watched
    stop_test_sizes: dict[str, Exact] = {}
    # The size that each symbol is built to in the step size_step, in base units of the first product.
    size_step: Exact = Decimal(0)
    drill_flat_within_s: int = Field(gt=0)


class Kind(StrEnum):
    """How a criterion is judged; see gates.md, method by kind of metric."""

    INVARIANT = "invariant"
    ZERO_EVENTS = "zero_events"
    RATE = "rate"
    LATENCY_QUANTILE = "latency_quantile"
    TIME_IN_SPEC = "time_in_spec"
    EXERCISED = "exercised"
    COMPLETENESS = "completeness"
    COMPOSITION = "composition"
    READINESS = "readiness"
    COMPARISON = "comparison"


class Stage(StrEnum):
    """The six steps of a run, in order."""

    PREFLIGHT = "preflight"
    CAPABILITY_PROBE = "capability_probe"
    DRY_RUN_PULSE = "dry_run_pulse"
    LIVE_MICRO_TEST = "live_micro_test"
    ARTIFACT_ANALYSIS = "artifact_analysis"
    GO_NO_GO = "go_no_go"


class Criterion(PlanModel):
    """One thing that a run must, should or may show."""

    name: str
    title: str
    tier: Tier
    kind: Kind
    stage: Stage
    metric: str
    because: str
    level_min: Level = Level.L0
    # Bounds; which of them a kind needs is checked by `plan check`.
    p0: Exact | None = None  # the rate that must be exceeded
    quantile_limit: Exact | None = None  # e.g. 500 ms for a latency quantile
    limit: Exact | None = None
    warn_above: Exact | None = None  # start of the grey zone of a readiness figure
    max_age_s: int | None = None
    n_min: int | None = None
    gap_max_s: int | None = None
    window_min_s: int | None = None  # the shortest window in which "none happened" says anything
    alpha: Exact = Decimal("0.05")
    is_waivable: bool = True
    escalates: bool = False
    precedence: int = 50  # which of several failures the headline names: the lowest


class Envelope(PlanModel):
    """The exposure that a GO authorises."""

    notional_max: Exact
    aggregate_notional_max: Exact
    valid_h: int = 24


class Obligation(PlanModel):
    """Something that a CONDITIONAL must still show, and by when."""

    name: str
    within_h: int
    because: str


class RestrictedEnvelope(Envelope):
    """The smaller exposure that a CONDITIONAL authorises, with what it owes."""

    obligations: tuple[Obligation, ...]


class Rollback(PlanModel):
    """The emergency ladder: minutes after the decision."""

    close_all_after_min: int = 5
    disable_after_min: int = 10
    heartbeat_lost_s: int = Field(default=30, gt=0)  # machine seconds of silence after which the watchdog takes over
    # Rounds of limit orders inside the collar after which the ladder closes at market: some two seconds each.
    market_after_rounds: int = Field(default=4, ge=1)


class Tenure(PlanModel):
    """On what a running rung stands; when it does not hold any more, the run ends reduce-only and the rung is lost."""

    # Windows follow each other, each judged by itself: the last one carries the next, and one that is NO-GO demotes.
    is_rolling: bool = False
    critical_unanswered_s: int = Field(default=300, gt=0)  # machine seconds in which a person acknowledges a CRITICAL
    because: str = "A rung that nobody answers for is not held."


class Approvals(PlanModel):
    """Who must agree before the next rung starts live."""

    count: int = Field(default=1, ge=0)
    # Of a question and of an answer; a whole number stays one, for it is part of every plan's digest.
    expires_h: Annotated[int, Field(gt=0)] | Annotated[Exact, Field(gt=0)] = 24


class ParityMargins(PlanModel):
    """How far two runs on the same signals may lie apart and still count as the same bot, as absolute differences."""

    unmatched_share: Exact  # of the signals that only one of the two runs had
    fill_share: Exact  # of the matched signals that traded
    acceptance_share: Exact
    latency_p50_ms: Exact
    latency_p95_ms: Exact
    first_fill_p50_s: Exact
    slippage_bps: Exact
    fee_bps: Exact
    n_min: int = Field(default=20, gt=0)  # figures on fewer say nothing
    because: str


class Plan(PlanModel):
    """One rung of the ladder."""

    name: Rung
    title: str
    description: str
    needs_rung: Rung | None = None
    schema_version: Literal[1] = 1
    products: tuple[ProductLimits, ...] = Field(min_length=1)
    aliases: tuple[AliasProbe, ...] = ()
    entry: Entry
    policy: OrderPolicy
    risk: RiskLimits
    sizing: Sizing
    guardrails: tuple[Guardrail, ...]
    thresholds: tuple[Threshold, ...] = ()
    protocol: Protocol
    criteria: tuple[Criterion, ...]
    should_budget: int = 1
    envelope: Envelope
    restricted_envelope: RestrictedEnvelope | None = None
    rollback: Rollback = Rollback()
    tenure: Tenure = Tenure()
    approvals: Approvals = Approvals()
    # How many times the exposure of the rung below this rung may authorise.
    exposure_step_max: Exact = Decimal(5)
    # Margins of `greenlight parity`; without them two runs cannot be compared.
    parity: ParityMargins | None = None
    # Fault plan of the local exchange, by name: for a rehearsal that is to fail. Real venues refuse such a plan.
    faults: str = ""
    # Decisions where the specification contradicts itself, each with its reason.
    settled: dict[str, str] = {}

    @property
    def digest(self) -> str:
        """Return the sha256 of the plan's canonical JSON."""
        return digest_of(self)

    def limits(self, product_id: str) -> ProductLimits | None:
        """Return the caps of a product, or None if the plan does not trade it."""
        return next((p for p in self.products if p.product_id == product_id), None)


def load_plan(path: Path) -> Plan:
    """Return the plan of a TOML file; raises ConfigurationError that names the key, the value and the rule."""
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise ConfigurationError(f"plan {path} cannot be read: {e}") from e
    return parse_plan(raw, str(path))


def parse_plan(raw: dict[str, Any], source: str) -> Plan:
    """Return the plan of already parsed TOML."""
    try:
        return Plan.model_validate(raw)
    except ValidationError as e:
        raise ConfigurationError(f"plan {source} is not valid: {_explain(e)}") from e


def _explain(error: ValidationError) -> str:
    """Return each wrong key with the rule and its value; a missing key has none, only its whole section."""
    return "; ".join(
        f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}"
        + ("" if item["type"] == "missing" else f" (was {str(item['input'])[:SHOWN_MAX]!r})")
        for item in error.errors()
    )
