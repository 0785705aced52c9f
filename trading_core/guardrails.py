"""Limits that are watched while a stage runs: any one that trips latches and tightens the trading state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from trading_core.clock import NS
from trading_core.events import GuardrailTripped, GuardrailWatched
from trading_core.money import ONE, ZERO, plain
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
            self._known[metric] = READERS[metric](self.engine)
        return self._known[metric]


class Guardrails:
    """The plan's guardrails with their latches."""

    def __init__(self, guardrails: tuple[Guardrail, ...]) -> None:
        self._guardrails = guardrails
        self._watches = {g.name: Watch() for g in guardrails}
        self._looks = [(g, g.metric, g.limit, self._watches[g.name]) for g in guardrails]
        self.latched: dict[str, GuardrailTripped] = {}

    def evaluate(self, readings: Readings) -> Iterator[GuardrailTripped]:
        """Yield each guardrail that trips now; one that has tripped stays latched and is not yielded again."""
        engine = readings.engine
        now_ns = engine.desk.now_ns
        for guardrail, metric, limit, watch in self._looks:
            observed = readings.of(metric)
            if observed is None:
                continue
            watch.look(now_ns, observed)
            if observed > limit and guardrail.name not in self.latched:
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


def _daily_loss(engine: Engine) -> Decimal | None:
    return -engine.desk.day_pnl() if engine.desk.ledger is not None else None


def _staleness_s(engine: Engine) -> Decimal | None:
    seen_ns = engine.desk.book_seen_ns
    oldest = min(seen_ns, key=seen_ns.__getitem__, default=None)
    return None if oldest is None else engine.desk.staleness_s(oldest)


def _unresolved_orders(engine: Engine) -> Decimal | None:
    if engine.is_reconciling:
        return None  # they are being asked for: no figure, and the watch shows the gap
    unknown = sum(order.is_unclear for order in engine.desk.orders.live())
    return Decimal(unknown + engine.strays)


def _drift(engine: Engine) -> Decimal | None:
    return abs(engine.drift)


def _margin_utilization(engine: Engine) -> Decimal | None:
    return engine.desk.margin_utilization


def _margin_call(engine: Engine) -> Decimal | None:
    return ONE if engine.desk.margin.level in ("DANGER", "LIQUIDATION") else ZERO


def _rate_limit_errors(engine: Engine) -> Decimal | None:
    return Decimal(engine.failures["RateLimited"])


def _unexpected_rejections(engine: Engine) -> Decimal | None:
    return Decimal(engine.unexpected_rejections)


def _consecutive_rejections(engine: Engine) -> Decimal | None:
    return Decimal(max(engine.rejections_in_a_row.values(), default=0))


def _clock_offset_s(engine: Engine) -> Decimal | None:
    return None if engine.clock_offset_s is None else abs(engine.clock_offset_s)


READERS: dict[GuardrailMetric, Callable[[Engine], Decimal | None]] = {  # None while there is nothing to measure yet
    "daily_loss": _daily_loss,
    "drift": _drift,
    "staleness_s": _staleness_s,
    "margin_utilization": _margin_utilization,
    "rate_limit_errors": _rate_limit_errors,
    "unexpected_rejections": _unexpected_rejections,
    "consecutive_rejections": _consecutive_rejections,
    "unresolved_orders": _unresolved_orders,
    "margin_call": _margin_call,
    "clock_offset_s": _clock_offset_s,
}
