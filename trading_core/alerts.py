"""Alerts: the plan's thresholds and guardrails looked at on each tick. Raised once, cleared once, never a verdict.

Pure: the engine asks, records come back. Delivery is in trading_core.alert_desk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from trading_core.clock import NS
from trading_core.events import AlertCleared, AlertRaised, CheckpointReached, FiguresTaken
from trading_core.figures import checkpoint_figures, take_figures
from trading_core.guardrails import Readings, describe
from trading_core.money import ZERO, plain
from trading_core.plan import AlertMetric, Plan

if TYPE_CHECKING:
    from trading_core.engine import Engine

CLEARS_AT = Decimal("0.8")  # of the limit: a figure that trembles at its limit raises one alert, not hundreds
CLEAR_AFTER_NS = 10 * NS  # and it must stay below that for so long
FIGURES_EVERY_NS = 5 * NS  # venue time between two records for those who watch
HOUR_S = 3_600
GUARDRAIL = "guardrail_"  # heads the name of a guardrail's alert: a threshold may have the guardrail's name

Record: TypeAlias = AlertRaised | AlertCleared | CheckpointReached | FiguresTaken


class Severity(StrEnum):
    """How much an alert matters, least first. A CRITICAL that nobody acknowledged holds the promotion."""

    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"

    @property
    def rank(self) -> int:
        """Return 0 to 3: the higher, the graver."""
        return list(Severity).index(self)


class AlertRule(NamedTuple):
    """One line of the table from which the engine's alerts and the rules of Prometheus are made."""

    name: str
    metric: AlertMetric
    limit: Decimal
    severity: Severity
    is_latched: bool  # a guardrail's alert is never cleared: a person must look


def rules_of(plan: Plan) -> tuple[AlertRule, ...]:
    """Return the plan's thresholds, then its guardrails."""
    return (
        *(AlertRule(t.name, t.metric, t.limit, Severity(t.severity), False) for t in plan.thresholds),
        *(AlertRule(GUARDRAIL + g.name, g.metric, g.limit, Severity.CRITICAL, True) for g in plan.guardrails),
    )


class Alerts:
    """What is raised now, which checkpoints are still to come, and when figures were last taken."""

    def __init__(self, plan: Plan) -> None:
        self._looks = [(rule.name, rule.metric, rule.limit, rule) for rule in rules_of(plan)]
        self._metrics = tuple(dict.fromkeys(metric for _, metric, _, _ in self._looks))
        self._raised: dict[str, int | None] = {}  # by name: since when the figure is back, None while it is not
        self._due_h = sorted(plan.protocol.checkpoints_h)
        self._window_s = plan.protocol.window_s
        self._started_ns: int | None = None
        self._late_s: Decimal | None = None
        self._next_figures_ns = 0

    def evaluate(self, readings: Readings) -> Iterator[Record]:
        """Yield what one tick brings. Without books there is nothing to look at yet."""
        engine = readings.engine
        now_ns = engine.desk.now_ns
        if engine.desk.ledger is None:
            return
        if self._started_ns is None:
            self._started_ns = now_ns
        watched = self._watched(readings)
        if self._due_h:
            yield from self._checkpoints(engine, watched)
        if self._late_s is not None:
            watched["checkpoint_overdue_s"] = self._late_s
        for name, metric, limit, rule in self._looks:
            observed = watched.get(metric)
            if observed is None or (observed <= limit and name not in self._raised):
                continue
            if (record := self._judge(rule, observed, engine)) is not None:
                yield record
        if now_ns >= self._next_figures_ns:
            self._next_figures_ns = now_ns + FIGURES_EVERY_NS
            yield take_figures(engine, watched)

    def end(self, engine: Engine) -> Iterator[Record]:
        """Yield the checkpoints that lie at or behind the end of a window that was traded through, and last figures."""
        if self._started_ns is None:
            return
        watched, now_ns = self._watched(Readings(engine)), engine.desk.now_ns
        if now_ns - self._started_ns >= self._window_s * NS:
            while self._due_h:
                yield self._reached(self._due_h.pop(0), engine, watched)
        yield take_figures(engine, watched)

    def _watched(self, readings: Readings) -> dict[str, Decimal]:
        return {metric: figure for metric in self._metrics if (figure := _read(metric, readings)) is not None}

    def _checkpoints(self, engine: Engine, watched: Mapping[str, Decimal]) -> Iterator[CheckpointReached]:
        started_ns = self._started_ns or 0
        while self._due_h and engine.desk.now_ns >= started_ns + self._due_h[0] * HOUR_S * NS:
            reached = self._reached(self._due_h.pop(0), engine, watched)
            self._late_s = reached.late_s
            yield reached

    def _reached(self, at_h: int, engine: Engine, watched: Mapping[str, Decimal]) -> CheckpointReached:
        due_ns = (self._started_ns or 0) + at_h * HOUR_S * NS
        late_s = Decimal((engine.desk.now_ns - due_ns) // 1_000_000) / 1000
        return CheckpointReached(
            ts_ns=engine.desk.now_ns, at_h=at_h, late_s=late_s, figures=checkpoint_figures(engine, watched)
        )

    def _judge(self, rule: AlertRule, observed: Decimal, engine: Engine) -> AlertRaised | AlertCleared | None:
        """Return what changes for a figure that is over its limit, or was."""
        now_ns = engine.desk.now_ns
        words = f"{rule.metric} {plain(observed)} (limit {plain(rule.limit)})"
        if rule.name not in self._raised:
            self._raised[rule.name] = None
            behind = _behind(rule.metric, engine)
            detail = f"{words}; {behind}" if behind else words
            return AlertRaised(ts_ns=now_ns, name=rule.name, severity=rule.severity, detail=detail)
        if rule.is_latched or observed > max(rule.limit * CLEARS_AT, ZERO):
            self._raised[rule.name] = None
            return None
        back_ns = self._raised[rule.name]
        if back_ns is None:
            self._raised[rule.name] = back_ns = now_ns
        if now_ns - back_ns < CLEAR_AFTER_NS:
            return None
        del self._raised[rule.name]
        return AlertCleared(ts_ns=now_ns, name=rule.name, severity=rule.severity, detail=words)


def _read(metric: AlertMetric, readings: Readings) -> Decimal | None:
    match metric:
        case "spread_bps":
            spreads = (book.spread_bps() for book in readings.engine.desk.books.values())
            return max((spread for spread in spreads if spread is not None), default=None)
        case "checkpoint_overdue_s":
            return None  # known only once one was reached
        case _:
            return readings.of(metric)


def _behind(metric: AlertMetric, engine: Engine) -> str:
    return "" if metric == "spread_bps" or metric == "checkpoint_overdue_s" else describe(metric, engine)
