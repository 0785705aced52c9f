"""A finished run as its stages left it, with real event store and artifacts, for the real analysis and decision."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import msgspec

from checks.analysis import analyse
from tests.checked_files import validated_here
from tests.evidence_runs import START_NS, Events, RunWriter, make_events, write_run
from tests.unit.gate_fixtures import good_observation as good
from tests.unit.gate_fixtures import make_ref, make_subject
from trading_core import events as ev
from trading_core.clock import NS
from trading_core.gate.decide import DecisionRecord
from trading_core.gate.evidence import Observation, ReadinessObservation
from trading_core.plan import Kind, Plan, Stage
from trading_core.plan_files import find_plan
from trading_core.run import RunContext
from trading_core.run_files import PLAN, RUN, SUBJECT
from trading_core.stages import go_no_go
from trading_core.stages.files import keep, write_document
from trading_core.stages.result import StageResult, StageStatus
from trading_core.storage.event_store import EventStore

END_NS = START_NS + 1_200 * NS
EARLY = (Stage.PREFLIGHT, Stage.CAPABILITY_PROBE, Stage.DRY_RUN_PULSE)
PHASE2 = find_plan("phase2")


def watched(run: RunWriter) -> None:
    """Record that every guardrail of the plan was watched all the time."""
    for g in run.plan.guardrails:
        run.add(ev.GuardrailWatched(
            ts_ns=run.now_ns, name=g.name, evaluations=300, longest_gap_s=Decimal(1), worst=None, limit=g.limit,
        ))


def good_events(plan: Plan = PHASE2, *, also: Callable[[RunWriter], None] | None = None, **kinds: int) -> Events:
    """Return the events of a run that ends GO, unless `also` spoils it before its end."""

    def changed(run: RunWriter) -> None:
        watched(run)
        if also is not None:
            also(run)

    return make_events(plan, changed=changed, **kinds)


def changed_snapshots(events: Events, **figures: object) -> Events:
    """Return the events with figures of every snapshot replaced."""
    return [
        (seq, msgspec.structs.replace(e, **figures) if isinstance(e, ev.SnapshotTaken) else e) for seq, e in events
    ]


def finish(
    folder: Path, events: Events | None = None, *, clock_s: str = "0.1", readiness_fails: str = "",
    spoil: Callable[[RunContext], None] | None = None, **changes: object,
) -> tuple[RunContext, list[StageResult]]:
    """Write a run up to its analysis and return what go/no-go is given; `spoil` comes before the analysis."""
    events = good_events() if events is None else events
    subject = make_subject(PHASE2)
    folder.mkdir(parents=True, exist_ok=True)
    context = write_run(folder, events, subject_digest=subject.digest, **changes)
    for name, document in ((SUBJECT, subject), (PLAN, context.plan), (RUN, context)):
        write_document(context, name, document, start_ns=START_NS, end_ns=START_NS)
    with EventStore.open(context.event_store_root, context.run_id, "test", is_durable=False) as store:
        for seq, event in events:
            assert store.append(event, "input") == seq
        store.flush()
    stages = [_stage(stage, context.plan, clock_s, readiness_fails) for stage in EARLY]
    stages.append(_result(Stage.LIVE_MICRO_TEST, StageStatus.PASSED, START_NS, END_NS, ()))
    for stage in stages:
        keep(context, stage)
    if spoil is not None:
        spoil(context)
    stages.append(keep(context, analyse(context, END_NS, validated_here)))
    return context, stages


def decide(context: RunContext, stages: list[StageResult]) -> DecisionRecord:
    """Return the decision of the real stage."""
    return go_no_go.run(context, stages)


def _stage(stage: Stage, plan: Plan, clock_s: str, readiness_fails: str) -> StageResult:
    own = [c for c in plan.criteria if c.stage is stage]
    found = tuple(_observed(c.metric, clock_s) or _plain(good(c, make_ref())) for c in own)
    has_failed = stage is Stage.PREFLIGHT and bool(readiness_fails)
    status = StageStatus.FAILED if has_failed else StageStatus.PASSED
    return _result(stage, status, START_NS, START_NS, found, readiness_fails if has_failed else "")


def _observed(metric: str, clock_s: str) -> Observation | None:
    if metric != "clock_offset_s":
        return None
    return ReadinessObservation(metric=metric, measured_ns=START_NS, value=clock_s, unit="s", holds=True)


def _plain(observation: Observation) -> Observation:
    """Return the observation as a stage leaves it: go/no-go adds the stage's own file as evidence."""
    update: dict[str, object] = {"refs": ()}
    if observation.kind == Kind.READINESS.value:
        update |= {"measured_ns": START_NS, "event_seqs": ()}
    return observation.model_copy(update=update)


def _result(
    stage: Stage, status: StageStatus, start_ns: int, end_ns: int, found: tuple[Observation, ...], words: str = ""
) -> StageResult:
    return StageResult(
        stage=stage, status=status, started_ns=start_ns, ended_ns=end_ns, summary=words, observations=found
    )
