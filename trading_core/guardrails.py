"""Limits that are watched while a stage runs: any one that trips latches and tightens the trading state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, assert_never

from trading_core.clock import NS
from trading_core.events import GuardrailTripped, GuardrailWatched
from trading_core.money import ZERO, plain
from trading_core.orders import OrderStatus
from trading_core.plan import Guardrail, GuardrailMetric

if TYPE_CHECKING:
    from trading_core.engine import Engine


@dataclass(slots=True)
class Watch:
    """How one guardrail was watched: a look without a figure is no look."""

    evaluations: int = 0
    last_ns: int | None = None
    longest_gap_ns: int = 0
    worst: Decimal | None = None

    def look(self, now_ns: int, observed: Decimal) -> None:
        """Take one figure."""
        if self.last_ns is not None and now_ns - self.last_ns > self.longest_gap_ns:
            self.longest_gap_ns = now_ns - self.last_ns
        self.evaluations += 1
        self.last_ns = now_ns
        if self.worst is None or observed > self.worst:
            self.worst = observed

    def gap_ns(self, now_ns: int) -> int:
        """Return the longest time between two looks, the one that lasts until now included."""
        return self.longest_gap_ns if self.last_ns is None else max(self.longest_gap_ns, now_ns - self.last_ns)


class Readings:
    """The metrics of one moment: guardrails and alerts ask for the same ones, and each is read once."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._known: dict[GuardrailMetric, Decimal | None] = {}

    def of(self, metric: GuardrailMetric) -> Decimal | None:
        """Return the metric's value at that moment; None while there is nothing to measure yet."""
        if metric not in self._known:
            self._known[metric] = read_metric(metric, self.engine)
        return self._known[metric]


class Guardrails:
    """The plan's guardrails with their latches."""

    def __init__(self, guardrails: tuple[Guardrail, ...]) -> None:
        self._guardrails = guardrails
        self._watches = {g.name: Watch() for g in guardrails}
        self.latched: dict[str, GuardrailTripped] = {}

    def evaluate(self, readings: Readings) -> Iterator[GuardrailTripped]:
        """Yield each guardrail that trips now; one that has tripped stays latched and is not yielded again."""
        engine = readings.engine
        now_ns = engine.desk.now_ns
        for guardrail in self._guardrails:
            observed = readings.of(guardrail.metric)
            if observed is None:
                continue
            self._watches[guardrail.name].look(now_ns, observed)
            if observed > guardrail.limit and guardrail.name not in self.latched:
                trip = GuardrailTripped(
                    ts_ns=now_ns,
                    name=guardrail.name,
                    observed=plain(observed),
                    limit=plain(guardrail.limit),
                    state=guardrail.tightens_to,
                    detail=describe(guardrail.metric, engine),
                )
                self.latched[guardrail.name] = trip
                yield trip

    def watched(self, now_ns: int) -> list[GuardrailWatched]:
        """Return how each guardrail was watched; one that never had a figure has no evaluations."""
        return [
            GuardrailWatched(
                ts_ns=now_ns,
                name=g.name,
                evaluations=self._watches[g.name].evaluations,
                longest_gap_s=Decimal(self._watches[g.name].gap_ns(now_ns)) / NS,
                worst=self._watches[g.name].worst,
                limit=g.limit,
            )
            for g in self._guardrails
        ]


def describe(metric: GuardrailMetric, engine: Engine) -> str:
    """Return what stands behind the figure, where that is more than the figure itself."""
    if metric in ("unexpected_rejections", "consecutive_rejections"):
        product_id, reason = engine.last_rejection
        return f"{product_id}, the venue's last reason: {reason}" if product_id else ""
    if metric == "staleness_s":
        ages = {p: engine.desk.staleness_s(p) or ZERO for p in engine.desk.products}
        return f"stale: {max(ages, key=lambda product_id: ages[product_id])}"
    return ""


def read_metric(metric: GuardrailMetric, engine: Engine) -> Decimal | None:
    """Return the metric's present value; None while there is nothing to measure yet."""
    desk = engine.desk
    match metric:
        case "daily_loss":
            return -desk.day_pnl() if desk.ledger is not None else None
        case "drift":
            return abs(engine.drift)
        case "staleness_s":
            oldest = min(desk.book_seen_ns, key=desk.book_seen_ns.__getitem__, default=None)
            return None if oldest is None else desk.staleness_s(oldest)
        case "margin_utilization":
            return desk.margin_utilization
        case "rate_limit_errors":
            return Decimal(engine.failures["RateLimited"])
        case "unexpected_rejections":
            return Decimal(engine.unexpected_rejections)
        case "consecutive_rejections":
            return Decimal(max(engine.rejections_in_a_row.values(), default=0))
        case "unresolved_orders":
            if engine.is_reconciling:
                return None  # they are being asked for: no figure, and the watch shows the gap
            return Decimal(sum(o.status is OrderStatus.OUTCOME_UNKNOWN for o in desk.orders.live()) + engine.strays)
        case "margin_call":
            return Decimal(1) if engine.desk.margin.level in ("DANGER", "LIQUIDATION") else ZERO
        case "clock_offset_s":
            return None if engine.clock_offset_s is None else abs(engine.clock_offset_s)
        case _:
            assert_never(metric)
