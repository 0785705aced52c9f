"""One flow for each stage, for single use: to try a key, a plan or a venue. A single stage is no verdict."""

from __future__ import annotations

import os

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows.account_slot import account_slot
from flows.answers import answered
from flows.finished_run import decide_again_at, finished_run, stages_of
from flows.labels import label
from flows.requests import RunRequest, StageRequest
from flows.rollout import AT_THE_VENUE, prepare, state_of
from tasks.artifact_analysis import artifact_analysis
from tasks.go_no_go import go_no_go
from tasks.pages import show_stage
from trading_core.bootstrap import open_venue
from trading_core.errors import ConfigurationError
from trading_core.gate.decide import DecisionRecord
from trading_core.plan import Level, Stage
from trading_core.run import RunContext
from trading_core.settings import load_settings
from trading_core.stages.result import StageResult, StageStatus

NO_VERDICT = "a single stage is no verdict and authorises nothing"
RUN_NAME = "{request.plan} on {request.venue}"


@flow(name="single preflight", flow_run_name=RUN_NAME, persist_result=True)
def preflight_alone(request: StageRequest) -> State[StageResult]:
    """Check credentials, permissions, clock, network, storage and limits. No verdict: a single stage is none."""
    return _alone(Stage.PREFLIGHT, prepare(request))


@flow(name="single capability probe", flow_run_name=RUN_NAME, persist_result=True)
def capability_probe_alone(request: StageRequest) -> State[StageResult]:
    """Ask the venue what it offers for a plan, never by an order. No verdict: a single stage is none."""
    return _alone(Stage.CAPABILITY_PROBE, prepare(request))


@flow(name="single dry-run pulse", flow_run_name=RUN_NAME, persist_result=True)
def dry_run_pulse_alone(request: StageRequest) -> State[StageResult]:
    """Run one cycle on the venue's data with nothing that could place. No verdict: a single stage is none."""
    return _alone(Stage.DRY_RUN_PULSE, prepare(request))


@flow(name="single live micro test", flow_run_name=RUN_NAME, persist_result=True, retries=0)
def live_micro_test_alone(request: StageRequest) -> State[StageResult]:
    """Trade a plan's protocol at our own exchange only. No verdict: a single stage is none."""
    if request.venue.level is not Level.L0:
        raise ConfigurationError(
            f"the live micro test alone would trade at {request.venue} without preflight and gate: "
            "use the rollout, or venue local or simulated"
        )
    return _alone(Stage.LIVE_MICRO_TEST, prepare(request))


@flow(name="single artifact analysis", flow_run_name="{request.run_id}", persist_result=True)
def artifact_analysis_alone(request: RunRequest) -> State[StageResult]:
    """Check the artifacts of a run that traded, again. No verdict: a single stage is none."""
    context = finished_run(load_settings(os.environ), request.run_id)
    label(context)
    traded = next((s for s in stages_of(context) if s.stage is Stage.LIVE_MICRO_TEST), None)
    if traded is None:
        raise ConfigurationError(f"run {context.run_id} has no live micro test: there is nothing to analyse")
    return _shown(context, artifact_analysis(context, traded.ended_ns))


@flow(name="single decision", flow_run_name="{request.run_id}", persist_result=True)
def go_no_go_alone(request: RunRequest) -> State[DecisionRecord]:
    """Decide a finished run again, with the approvals and waivers filed since: this one is a verdict."""
    context = finished_run(load_settings(os.environ), request.run_id)
    label(context)
    return state_of(go_no_go(context, stages_of(context), decide_again_at(context)))


def _alone(stage: Stage, context: RunContext) -> State[StageResult]:
    label(context)
    with account_slot(context, 0), open_venue(context) as endpoint:
        result = AT_THE_VENUE[stage](context, endpoint)
    return _shown(context, result)


def _shown(context: RunContext, result: StageResult) -> State[StageResult]:
    show_stage(context, result)
    words = f"{result.stage} {result.status}: {result.summary}; {NO_VERDICT}"
    if result.status is StageStatus.PASSED:
        return Completed(name="StagePassed", message=words, data=result)
    return answered(Failed(name="StageFailed", message=words))
