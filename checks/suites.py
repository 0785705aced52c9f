"""The data checks of each artifact as data: which expectation, on what, and what it means if it is not met.

Suites are code only: one loaded from disk drops what it cannot import and still succeeds. Every suite begins with
row count, columns, nulls and finiteness, for an empty frame meets all other expectations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from checks.columns import NUMBERS, OPTIONAL_NUMBERS, TEXTS
from trading_core.artifacts import ArtifactName, CheckpointState, Leg, RefusedBy, TimelineRow
from trading_core.gate.outcomes import Reason
from trading_core.orders import OrderStatus, OrderType, Purpose, Side, TimeInForce
from trading_core.plan import PlanModel, Tier

FINITE_MAX = 1e18  # above it is no figure of ours; infinity is
CENT = 0.01
SHARE_SLACK = 1e-9
GAP_PERIODS_MAX = 3
CLOCK_SLACK_S = 5.0  # an answer carries our clock, a snapshot the latest time seen on any stream


@dataclass(frozen=True, slots=True)
class Rule:
    """One expectation by class name and arguments. `is_optional`: nothing to look at is no hole in the evidence."""

    check: str
    title: str
    expectation: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    reason: Reason = Reason.INVARIANT_BROKEN
    tier: Tier = Tier.MUST
    is_optional: bool = False


# Rows that are no single event, or have one only if they were reached.
WITHOUT_TIME = frozenset(
    {ArtifactName.EXECUTION_LOGS, ArtifactName.CORRELATION, ArtifactName.CHECKPOINTS, ArtifactName.SUMMARY}
)
WITHOUT_SEQ = WITHOUT_TIME | {ArtifactName.LIQUIDITY}
# Artifacts in which no row at all is the truth of a quiet run; validate.py knows further ones, with a condition.
MAY_BE_EMPTY = frozenset({ArtifactName.TIMELINE, ArtifactName.FUNDING})


def suite(name: ArtifactName, every_s: int = 60) -> tuple[Rule, ...]:
    """Return the rules of an artifact; `every_s` is the period of its snapshots."""
    return (*_head(name), *_SPECIFIC[name], *_periodic(name, every_s))


def registry() -> tuple[str, ...]:
    """Return every criterion that must be evaluated for a run."""
    names = [f"{name}.{rule.check}" for name in ArtifactName for rule in suite(name)]
    return tuple(sorted([*names, *(f"{name}.schema" for name in ArtifactName)]))


def _head(name: ArtifactName) -> list[Rule]:
    numbers, texts, optional = NUMBERS[name], TEXTS[name], OPTIONAL_NUMBERS.get(name, ())
    key = () if name in WITHOUT_SEQ else ("seq",)
    time = () if name in WITHOUT_TIME else ("ts_s",)
    columns = [*key, *time, *numbers, *texts, *optional]
    rules = [
        Rule("rows", "there is a row", "ExpectTableRowCountToBeBetween", {"min_value": 1}, Reason.EMPTY),
        Rule("columns", "every column is there", "ExpectTableColumnsToMatchSet",
             {"column_set": ["row", *columns], "exact_match": False}, Reason.SCHEMA),
    ]
    for column in (*key, *time, *numbers, *texts):
        rules.append(Rule(f"not_null.{column}", f"{column} is never null", "ExpectColumnValuesToNotBeNull",
                          {"column": column}, Reason.ALL_NULL))
    for column in (*numbers, *optional):
        rules.append(Rule(f"finite.{column}", f"{column} is a finite number", "ExpectColumnValuesToBeBetween",
                          {"column": column, "min_value": -FINITE_MAX, "max_value": FINITE_MAX}, Reason.NON_FINITE,
                          is_optional=column in optional))
    return rules


def _between(column: str, low: float | None, high: float | None, **options: Any) -> Rule:
    words = f"{column} is at least {low}" if high is None else f"{column} lies between {low} and {high}"
    kwargs = {"column": column, "min_value": low, "max_value": high}
    return Rule(f"range.{column}", words, "ExpectColumnValuesToBeBetween", kwargs, **options)


def _one_of(column: str, values: list[str]) -> Rule:
    return Rule(f"known.{column}", f"{column} is a known value", "ExpectColumnValuesToBeInSet",
                {"column": column, "value_set": values}, Reason.SCHEMA)


def _rising(column: str, *, strictly: bool) -> Rule:
    return Rule(f"order.{column}", f"{column} never goes back", "ExpectColumnValuesToBeIncreasing",
                {"column": column, "strictly": strictly})


def _choices(row: type[PlanModel], member: str) -> list[str]:
    return [str(choice) for choice in get_args(row.model_fields[member].annotation)]


def _periodic(name: ArtifactName, every_s: int) -> list[Rule]:
    if name not in (ArtifactName.RECONCILIATION_HISTORY, ArtifactName.MARGIN_SNAPSHOTS):
        return []
    return [
        Rule("gaps", f"no gap is over {GAP_PERIODS_MAX} periods", "ExpectColumnStepsToBeBetween",
             {"column": "ts_s", "min_step": -CLOCK_SLACK_S, "max_step": float(GAP_PERIODS_MAX * every_s)}),
    ]


_SPECIFIC: dict[ArtifactName, tuple[Rule, ...]] = {
    ArtifactName.RECONCILIATION_HISTORY: (
        _rising("seq", strictly=True),
        _rising("ts_s", strictly=False),
        Rule("books_identity", "equity is opening + realized + unrealized − fees + funding + transfers",
             "ExpectBooksToBalance",
             {"column_list": ["equity", "opening_equity", "realized", "unrealized", "fees", "funding", "transfers"],
              "signs": [1, -1, -1, -1, 1, -1, -1], "tolerance": CENT}),
        Rule("drift", "books and venue agree within a cent at quiet snapshots", "ExpectColumnValuesToBeBetween",
             {"column": "quiet_drift", "min_value": -CENT, "max_value": CENT}),
        Rule("opening", "opening equity never changes", "ExpectColumnUniqueValueCountToBeBetween",
             {"column": "opening_equity", "min_value": 1, "max_value": 1}),
        _between("open_orders", 0, None),
        _between("fees", 0, None),
    ),
    ArtifactName.SIZED_DOWN_EVENTS: (
        _rising("seq", strictly=True),
        Rule("smaller", "the adjusted size is the smaller one", "ExpectColumnPairValuesAToBeGreaterThanB",
             {"column_A": "original_size", "column_B": "adjusted_size"}),
        Rule("depth", "ten levels hold at least what the touch holds", "ExpectColumnPairValuesAToBeGreaterThanB",
             {"column_A": "depth_l10", "column_B": "depth_l1", "or_equal": True}),
        _between("adjusted_size", 0, None),
        _one_of("side", list(Side)),
    ),
    ArtifactName.MARGIN_SNAPSHOTS: (
        _rising("seq", strictly=True),
        _between("margin_utilization", 0, 1),
        _between("margin_used", 0, None),
        _one_of("cause", ["snapshot", "change"]),
    ),
    ArtifactName.EXECUTION_LOGS: (
        Rule("unique.client_order_id", "no client order id occurs twice", "ExpectColumnValuesToBeUnique",
             {"column": "client_order_id"}),
        Rule("gtd", "GTD was never wanted or sent", "ExpectColumnValuesToNotBeInSet",
             {"column": "time_in_force", "value_set": [TimeInForce.GTD.value]}),
        Rule("answered_after_sent", "no answer came before its order", "ExpectColumnPairValuesAToBeGreaterThanB",
             {"column_A": "answer_seq", "column_B": "submit_seq", "ignore_row_if": "either_value_is_missing"}),
        _between("latency_ms", 0, None, is_optional=True),
        _between("size", 0, None),
        _between("left", -SHARE_SLACK, None, is_optional=True),
        _one_of("side", list(Side)),
        _one_of("purpose", list(Purpose)),
        _one_of("order_type", list(OrderType)),
        _one_of("time_in_force", list(TimeInForce)),
        _one_of("status", list(OrderStatus)),
    ),
    ArtifactName.REJECTION_BREAKDOWN: (
        _one_of("by", list(RefusedBy)),
        _one_of("purpose", list(Purpose)),
        Rule("reason_given", "every refusal has its exact reason", "ExpectColumnValueLengthsToBeBetween",
             {"column": "reason", "min_value": 1}),
    ),
    ArtifactName.LIQUIDITY: (
        _rising("ts_s", strictly=False),
        _between("spread_bps", 0, None, is_optional=True),
        _between("staleness_s", 0, None, is_optional=True),
        _between("mark", 0, None, is_optional=True),
    ),
    ArtifactName.TIMELINE: (
        _rising("seq", strictly=True),
        _one_of("kind", _choices(TimelineRow, "kind")),
        _one_of("severity", _choices(TimelineRow, "severity")),
    ),
    ArtifactName.LATENCY: (
        Rule("unique.client_order_id", "no order is counted twice", "ExpectColumnValuesToBeUnique",
             {"column": "client_order_id"}),
        *(_between(leg.value, 0, None, is_optional=True) for leg in Leg),
        _one_of("purpose", list(Purpose)),
    ),
    ArtifactName.FUNDING: (
        _rising("seq", strictly=True),
        Rule("as_announced", "what was booked is what position, mark and rate demand, to the cent",
             "ExpectColumnValuesToBeBetween", {"column": "gap", "min_value": -CENT, "max_value": CENT}),
    ),
    ArtifactName.CORRELATION: (
        _between("correlation", -1, 1, is_optional=True),
        _between("n", 0, None),
    ),
    ArtifactName.CHECKPOINTS: (
        _rising("at_h", strictly=True),
        _one_of("state", list(CheckpointState)),
        _between("accepted", 0, None, is_optional=True),
        _between("rejected", 0, None, is_optional=True),
    ),
    ArtifactName.SUMMARY: (
        Rule("unique.product_id", "no product occurs twice", "ExpectColumnValuesToBeUnique",
             {"column": "product_id"}),
        *(_between(name, 0, None) for name in ("sent", "accepted", "rejected", "denied", "fills", "bought", "sold")),
    ),
}
