"""The rollout: six stages in order, a gate between each two, and a verdict that a person sees as the run's state."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, assert_never

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.exceptions import TerminationSignal
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed

from flows.account_slot import AccountBusy, account_slot
from flows.again import (
    AlreadyDecided,
    NotTakenUp,
    go_on,
    kept_stages,
    latest_attempt,
    require_to_take_up,
    require_undecided,
)
from flows.alert_sinks import alerts_followed
from flows.answers import REFUSED, answered
from flows.asked_here import ask_here
from flows.cancelled_runs import as_stopped, was_cancelled
from flows.checked_request import check
from flows.console import make_console, stage_ended, stage_started
from flows.finished_run import decide_again_at
from flows.labels import label
from flows.late import skipped_if_late
from flows.left_runs import after_crash, is_only_to_take_up
from flows.lost_tasks import settle_lost_tasks
from flows.requests import Again, RolloutRequest, VenueRequest
from flows.start_gate import held_back, needs_approval
from flows.unheard import outlive_reader
from tasks.artifact_analysis import artifact_analysis
from tasks.capability_probe import capability_probe
from tasks.dry_run_pulse import dry_run_pulse
from tasks.go_no_go import go_no_go
from tasks.kept import kept
from tasks.live_micro_test import live_micro_test
from tasks.prefect_log import tell, tell_stage, tell_verdict
from tasks.preflight import preflight
from tasks.window import watched
from trading_core.bootstrap import open_venue
from trading_core.clock import SystemClock
from trading_core.errors import VenueError
from trading_core.gate.decide import DecisionRecord
from trading_core.gate.outcomes import Verdict
from trading_core.plan import Stage
from trading_core.prepare import plan_run, prepare_run
from trading_core.run import RunContext
from trading_core.run_files import REQUEST
from trading_core.session_supervisor import is_alive
from trading_core.stages.files import not_reached
from trading_core.stages.passed import JUDGED, record_passed
from trading_core.stages.result import StageResult, StageStatus
from trading_core.storage.artifact_store import write_atomically

AT_THE_VENUE = {
    Stage.PREFLIGHT: preflight,
    Stage.CAPABILITY_PROBE: capability_probe,
    Stage.DRY_RUN_PULSE: dry_run_pulse,
    Stage.LIVE_MICRO_TEST: live_micro_test,
}


@flow(
    name="rollout", flow_run_name="{request.plan} on {request.venue}", persist_result=True, retries=0,
    on_crashed=[after_crash],
)
def rollout(request: RolloutRequest) -> State[DecisionRecord] | State[None]:
    """Promote a bot by one rung: six stages in order, each a gate for the next, and a verdict as the run's state.

    GO: every must was shown. CONDITIONAL: nothing failed, not everything was shown. NoGo: the message names the first
    reason. Suspended or Hold: people must approve first. Rejected or Expired: they said no, or nothing in time. Refused
    or Skipped: nothing was started. Any other failure is a bug or a crash, and no verdict.
    """
    outlive_reader()
    try:
        return _rolled_out(request)
    except TerminationSignal:
        # Whoever ends a worker says so before its flow is through: else Prefect would call that a crash.
        if (stopped := as_stopped()) is None:
            raise
        return stopped


def _rolled_out(request: RolloutRequest) -> State[DecisionRecord] | State[None]:
    if (skipped := skipped_if_late(request.start_within_s)) is not None:
        return skipped
    try:
        context, held = begin(request)
        label(context)
        settle_lost_tasks()
        if (held_state := held_back(context, request)) is not None:
            return held_state
        with account_slot(context, request.account_wait_s):
            stages = trade(context, held)
    except (AccountBusy, AlreadyDecided, NotTakenUp) as e:
        return answered(Cancelled(name=REFUSED, message=str(e)))
    if all(stage.status is StageStatus.PASSED for stage in stages):
        stages.append(analysed(context, stages[-1].ended_ns, held))
    stage_started(Stage.GO_NO_GO)
    # What people filed since the stages passed counts, too.
    record = go_no_go(context, stages, decide_again_at(context) if len(held) == len(JUDGED) else 0)
    tell_verdict(record)
    if record.verdict is Verdict.NO_GO and was_cancelled():
        return answered(Cancelled(message=record.headline))
    return state_of(record)


def run_from_command_line(approval_files: Sequence[Path], request: RolloutRequest) -> State[Any]:
    """Run the flow in this process and return its final state.

    Where people must approve first, they are asked before the flow starts: by the files, or at the terminal.
    """
    if needs_approval(request):
        ask_here(*plan_run(**_described(request)), request.requester, approval_files)
    return rollout(request, return_state=True)


def begin(request: RolloutRequest) -> tuple[RunContext, dict[Stage, StageResult]]:
    """Return the run's context and what it need not execute again; raises AlreadyDecided if its verdict stands."""
    described, held = _described(request), dict[Stage, StageResult]()
    named, _ = plan_run(**described)
    # Prefect counts a run that was suspended and goes on as the same start.
    if request.again is Again.NO and (flow_run.run_count or 0) <= 1 and not is_alive(named):
        require_undecided(named)
        context = prepare_run(**described)
    else:
        forced = None if request.again in (Again.NO, Again.FAILED) else Stage(request.again)
        planned, _ = plan_run(**{**described, "run_id": latest_attempt(named)})
        if is_only_to_take_up(planned) and request.again is Again.NO:  # the command line asks by name
            require_to_take_up(planned)
        again = go_on(planned, forced)
        if again.words:
            make_console().print(again.words, markup=False, soft_wrap=True)
            tell(again.words)
        context = prepare_run(**{**described, "run_id": again.run_id})
        held = kept_stages(context, forced)
    # Beside the evidence and no part of it: how `greenlight retry` asks for the same again.
    write_atomically(context.run_dir / REQUEST, request.model_dump_json().encode())
    return context, held


def prepare(request: VenueRequest) -> RunContext:
    """Return the run's context; the same Prefect flow run always means the same run."""
    return prepare_run(**_described(request))


def _described(request: VenueRequest) -> dict[str, Any]:
    settings, plan, venue = check(request)
    return dict(
        plan=plan,
        venue=venue,
        day=request.day,
        seed=request.seed,
        speed=request.speed,
        faults=request.faults,
        run_id=request.run_id or f"{request.plan}-{venue}-{_short_flow_run_id()}",
        artifacts_root=settings.artifacts_root,
        event_store_root=settings.event_store_root,
        event_store_url=settings.event_store_url,
        artifacts_url=settings.artifacts_url,
    )


def trade(context: RunContext, held: dict[Stage, StageResult]) -> list[StageResult]:
    """Run the four stages that need the venue, but for those held; stop at the first that does not pass."""
    if all(stage in held for stage in AT_THE_VENUE):
        return [_kept(context, held[stage]) for stage in AT_THE_VENUE]
    stages: list[StageResult] = []
    try:
        with alerts_followed(context), open_venue(context) as endpoint:
            for stage, run in AT_THE_VENUE.items():
                if stage in held:
                    stages.append(_kept(context, held[stage]))
                    continue
                stage_started(stage)
                with watched(context) if stage is Stage.LIVE_MICRO_TEST else nullcontext():
                    stages.append(run(context, endpoint))
                _ended(context, stages[-1])
                if stages[-1].status is not StageStatus.PASSED:
                    break
    except VenueError as e:
        stages.append(not_reached(context, Stage.PREFLIGHT if not stages else stages[-1].stage, e))
        stage_ended(stages[-1])
        tell_stage(stages[-1])
    return stages


def analysed(context: RunContext, now_ns: int, held: dict[Stage, StageResult]) -> StageResult:
    """Return the result of artifact analysis, the earlier one if it still holds."""
    if Stage.ARTIFACT_ANALYSIS in held:
        return _kept(context, held[Stage.ARTIFACT_ANALYSIS])
    stage_started(Stage.ARTIFACT_ANALYSIS)
    result = artifact_analysis(context, now_ns)
    _ended(context, result)
    return result


def _kept(context: RunContext, result: StageResult) -> StageResult:
    stage_started(result.stage)
    stage_ended(result)
    tell_stage(result, is_kept=True)
    return kept(context, result)


def _ended(context: RunContext, result: StageResult) -> None:
    record_passed(context, result, SystemClock().now_ns())
    stage_ended(result)
    tell_stage(result)


def state_of(record: DecisionRecord) -> State[DecisionRecord]:
    """Return the verdict as the state of the flow run: a NO-GO neither looks nor logs like a bug, nor green."""
    match record.verdict:
        case Verdict.GO:
            return Completed(name="GO", message=record.headline, data=record)
        case Verdict.CONDITIONAL:
            return Completed(name="CONDITIONAL", message=record.headline, data=record)
        case Verdict.NO_GO:
            return answered(Failed(name="NoGo", message=record.headline))
        case _:
            assert_never(record.verdict)


def _short_flow_run_id() -> str:
    return str(flow_run.id or "direct")[:8]
