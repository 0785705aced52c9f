"""From events to the rows of the timeline: what happened beside the orders."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

from trading_core import events as ev
from trading_core.artifacts import TimelineRow
from trading_core.clock import NS, iso
from trading_core.money import plain

Kind = Literal[
    "alert", "checkpoint", "funding", "guardrail", "margin", "session", "state", "step", "stop", "strategy", "stream",
    "venue_failed",
]


def timeline_row(seq: int, event: ev.AnyEvent) -> TimelineRow | None:
    """Return the event as a row of the timeline; None for those that have another artifact."""
    match event:
        case ev.AlertRaised():
            return _row(seq, event, "alert", event.name, event.severity, event.detail)
        case ev.AlertCleared():
            return _row(seq, event, "alert", event.name, "INFO", f"cleared: {event.detail}")
        case ev.CheckpointReached():
            words = "at the run's end" if event.late_s < 0 else f"{event.late_s} s after it was due"
            return _row(seq, event, "checkpoint", f"T+{event.at_h}h", "INFO", words, measurements=event.figures)
        case ev.GuardrailTripped():
            words = f"{event.observed} (limit {event.limit}): {event.state}"
            return _row(seq, event, "guardrail", event.name, "CRITICAL", words)
        case ev.SessionResumed():
            gap_s = Decimal(event.ts_ns - event.last_ns) / NS
            words = f"nobody watched for {gap_s:.1f} s; {event.in_flight} orders were in flight"
            return _row(seq, event, "session", "resumed", "WARNING", words, measurements={"gap_s": gap_s})
        case ev.StateChanged():
            return _row(seq, event, "state", event.state, "INFO", f"{event.reason} ({event.actor})")
        case ev.StreamChanged():
            severity = "INFO" if event.state is ev.StreamState.CONNECTED else "WARNING"
            return _row(seq, event, "stream", event.state, severity, event.detail)
        case ev.VenueFailed():
            return _row(seq, event, "venue_failed", event.kind, "ERROR", event.detail)
        case ev.StepEnded():
            severity = "INFO" if event.is_shown else "ERROR"
            return _row(
                seq, event, "step", event.step, severity, event.detail, event.is_shown, event.measurements
            )
        case _:
            return _decision_row(seq, event)


def _decision_row(seq: int, event: ev.AnyEvent) -> TimelineRow | None:
    """Return a decision of the engine that concerns no single order as a row of the timeline."""
    match event:
        case ev.StrategyChosen():
            words = f"{event.regime}: spread {plain(event.spread_bps)}, volatility {plain(event.volatility_bps)}, "
            words += f"trend {plain(event.trend_bps)} bps; before: {event.before or 'none'}"
            return _row(seq, event, "strategy", event.strategy, "INFO", words)
        case ev.SymbolTightened():
            return _row(seq, event, "state", f"{event.product_id} {event.state}", "INFO", event.reason)
        case ev.MarginWindowAnnounced():
            words = f"{event.window} to {event.next_window} at {iso(event.transition_ns)}, says the {event.source}"
            return _row(seq, event, "margin", f"T{-event.minutes_left:+d}min", "INFO", words)
        case ev.FundingAccrued():
            words = f"{plain(event.amount)} on {plain(event.position)} at {plain(event.rate)}"
            return _row(seq, event, "funding", event.product_id, "INFO", words)
        case ev.FundingSkipped():
            return _row(seq, event, "funding", event.product_id, "WARNING", "no funding time: no quiet period")
        case ev.LocalStopChanged():
            words = f"{event.stop_id} {event.intent.side} at {event.intent.stop_price}, mark {plain(event.mark)}"
            return _row(seq, event, "stop", f"{event.intent.product_id} {event.change}", "INFO", words)
        case _:
            return None


def _row(
    seq: int, event: ev.Event, kind: Kind, name: str, severity: str, detail: str, is_shown: bool | None = None,
    measurements: Mapping[str, Decimal] | None = None,
) -> TimelineRow:
    return TimelineRow.model_validate(
        {
            "seq": seq, "ts": event.ts_ns, "kind": kind, "name": name, "severity": severity, "detail": detail,
            "is_shown": is_shown, "measurements": dict(measurements or {}),
        }
    )
