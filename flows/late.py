"""Late runs: a scheduled run that could not start in time is skipped with the reason, so that none pile up."""

from __future__ import annotations

from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext
from prefect.states import Cancelled

from flows.answers import answered
from trading_core.clock import NS, SystemClock

SKIPPED = "Skipped"


def skipped_if_late(start_within_s: int) -> State[None] | None:
    """Return the state of this Prefect run if it is scheduled and too late; None if it may start."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return None
    reason = late_reason(context.flow_run, SystemClock().now_ns(), start_within_s)
    # Neither Completed, which would look like a result, nor Failed, which somebody would look into.
    return answered(Cancelled(name=SKIPPED, message=reason)) if reason else None


def late_reason(flow_run: FlowRun, now_ns: int, start_within_s: int) -> str:
    """Return why the run is skipped; empty if a person started it, if it is retried, or if it is in time."""
    if not flow_run.auto_scheduled or flow_run.run_count > 1 or flow_run.expected_start_time is None:
        return ""
    late_s = now_ns / NS - flow_run.expected_start_time.timestamp()
    if late_s <= start_within_s:
        return ""
    return (
        f"scheduled for {flow_run.expected_start_time:%Y-%m-%d %H:%M:%S} UTC and {late_s:.0f} s late "
        f"(limit {start_within_s} s): skipped, the next one comes at its own time; run it by hand if it is needed"
    )
