"""Holds a run back before it trades until people have approved it: always at venue live, elsewhere if asked for."""

from __future__ import annotations

from flows.requests import RolloutRequest
from trading_core.canonical import canonical_json
from trading_core.clock import SystemClock
from trading_core.gate.publish import GateFiles
from trading_core.gate.start_approval import CONFIRMED_BY, START_REQUEST, start_problem, start_request
from trading_core.run import RunContext, VenueName
from trading_core.storage.artifact_store import write_atomically

HOLD = "Hold"


def held_back(context: RunContext, request: RolloutRequest) -> str:
    """Return why the run may not trade yet and what to do; empty if it may."""
    if context.venue is not VenueName.LIVE and not request.ask_approval:
        return ""
    files = GateFiles(context.event_store_root)
    asked = start_request(context, request.requester, files)
    write_atomically(context.run_dir / START_REQUEST, canonical_json(asked))
    if not (problem := start_problem(asked, files, SystemClock().now_ns())):
        return ""
    head, most = asked.subject_digest[:CONFIRMED_BY], context.plan.envelope.notional_max
    return (
        f"NO-GO (HOLD) before trading: {problem}. Subject {head}, envelope ${most}, rung below: {asked.below}. "
        f"{asked.needed} other than {asked.requester} must say: greenlight approve {context.run_id} --approver NAME "
        f"--subject {head} --reason WHY; then greenlight retry {context.run_id}"
    )
