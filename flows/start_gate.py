"""Holds a run back before it trades until people have approved it: always at venue live, elsewhere if asked for."""

from __future__ import annotations

from typing import Any

from prefect.client.schemas.objects import State
from prefect.runtime import deployment, flow_run
from prefect.states import Failed

from flows.answers import answered
from flows.approval_form import answer_to, question_in_words, suspend
from flows.requests import RolloutRequest
from tasks.prefect_log import tell
from trading_core.canonical import canonical_json
from trading_core.clock import SystemClock
from trading_core.errors import ConfigurationError
from trading_core.gate.decide import HOUR_NS
from trading_core.gate.publish import GateFiles
from trading_core.gate.start_approval import (
    CONFIRMED_BY,
    START_REQUEST,
    Standing,
    StartRequest,
    file_answer,
    last_request,
    start_request,
    start_standing,
    subject_of,
)
from trading_core.run import RunContext, VenueName
from trading_core.storage.artifact_store import write_atomically

HOLD, REJECTED = "Hold", "Rejected"


def needs_approval(request: RolloutRequest) -> bool:
    """Tell whether people must agree before the run trades."""
    return request.venue is VenueName.LIVE or request.ask_approval


def held_back(context: RunContext, request: RolloutRequest) -> State[Any] | None:
    """Return the state of a run that may not trade; None if it may.

    Under a deployment the run is suspended with a form instead: its process ends here, and nothing was opened yet.
    """
    if not needs_approval(request):
        return None
    files, subject = GateFiles(context.event_store_root), subject_of(context)
    before = last_request(context.run_dir)
    said = _filed(before, files)
    asked = start_request(context, subject, request.requester, files).model_copy(update={"flow_run_id": _own_id()})
    now_ns = SystemClock().now_ns()
    standing = start_standing(asked, files, now_ns)
    is_open = bool(standing.problem) and not standing.rejection
    if is_open and deployment.id is not None:
        asked = _put(asked, before, now_ns)
    write_atomically(context.run_dir / START_REQUEST, canonical_json(asked))
    if asked.question:
        said = " ".join(filter(None, (said, _moved_on(before, asked))))
        tell(f"waiting for approval: press Resume in the menu, or say greenlight approve {context.run_id}")
        suspend(asked, question_in_words(context, subject, asked, standing, said), now_ns)
    if standing.rejection:
        return answered(Failed(name=REJECTED, message=f"NO-GO (REJECTED) before trading: {standing.rejection}"))
    return answered(Failed(name=HOLD, message=_held(context, asked, standing))) if is_open else None


def _filed(before: StartRequest | None, files: GateFiles) -> str:
    """File what was answered to the question with which this flow run was suspended; return why it does not count."""
    if before is None or not before.is_waiting_in(_own_id()) or (answer := answer_to(before)) is None:
        return ""
    try:
        file_answer(before, answer.given, files, min(answer.given_ns, SystemClock().now_ns()))
    except ConfigurationError as e:
        return f"The last answer did not count: {e}"
    return ""


def _moved_on(before: StartRequest | None, asked: StartRequest) -> str:
    """Return that the question is another one than the one that was answered here; empty if it is not."""
    if before is None or not before.is_waiting_in(_own_id()) or before.is_bound_as(asked):
        return ""
    return "Code, plan or the rung below has changed since the last question: no answer to that counts here."


def _put(asked: StartRequest, before: StartRequest | None, now_ns: int) -> StartRequest:
    """Return the question with a key of its own and its end: to ask the same again gives nobody more time."""
    until_ns = now_ns + int(asked.expires_h * HOUR_NS)
    if before is not None and before.is_waiting_in(_own_id()) and before.is_bound_as(asked):
        until_ns = before.until_ns if now_ns < before.until_ns else until_ns
    return asked.model_copy(update={"question": f"approval-{now_ns}", "until_ns": until_ns})


def _own_id() -> str:
    return str(flow_run.id or "none")


def _held(context: RunContext, asked: StartRequest, standing: Standing) -> str:
    head, most = asked.subject_digest[:CONFIRMED_BY], context.plan.envelope.notional_max
    return (
        f"NO-GO (HOLD) before trading: {standing.problem}. Subject {head}, envelope ${most}, rung below: "
        f"{asked.below}. {asked.needed} other than {asked.requester} must say: greenlight approve {context.run_id} "
        f"--approver NAME --subject {head} --reason WHY; then greenlight retry {context.run_id}"
    )
