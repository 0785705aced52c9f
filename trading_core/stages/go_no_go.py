"""Go/no-go: gathers what the stages left, lets the gate decide, and writes the decision down."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from trading_core.alert_book import AlertBook, hold_words
from trading_core.bootstrap import account_name, make_guard
from trading_core.clock import VirtualClock
from trading_core.errors import IntegrityError, StorageError
from trading_core.events import GuardrailTripped, GuardrailWatched
from trading_core.gate.attempts import Attempt, CriterionTally
from trading_core.gate.baselines import baselines
from trading_core.gate.decide import DecisionRecord, GateInput, gate_name
from trading_core.gate.demotions import DemotionCause
from trading_core.gate.evidence import EvidenceRef, MirrorState, Observation
from trading_core.gate.fold import GuardrailStatus, StageSummary
from trading_core.gate.outcomes import Disposition, Verdict
from trading_core.gate.publish import GateFiles, evidence_of, publish
from trading_core.gate.result import Baseline, PriorTally
from trading_core.gate.start_approval import requester_of, without_own_yes
from trading_core.gate.subject import Subject
from trading_core.mirroring import mirrored
from trading_core.plan import Level, Plan, PlanModel, Stage
from trading_core.run import RunContext
from trading_core.run_files import OBSERVATIONS, PLAN, SUBJECT, stage_result
from trading_core.stages.files import keep, write_document
from trading_core.stages.result import Check, CheckStatus, StageResult, StageStatus
from trading_core.stages.undecided import tallies_of, undecided
from trading_core.storage.artifact_store import ArtifactStore, Manifest
from trading_core.storage.event_reader import EventReader
from trading_core.tenure import demote
from trading_core.trading_state import TradingState


class Observations(PlanModel):
    """Everything that the stages observed, as one artifact: what `verify` compares the gate's input with."""

    observations: tuple[Observation, ...]


@dataclass(frozen=True, slots=True)
class Chain:
    """Whether the run's events are what was written, and what they say of the guardrails."""

    is_verified: bool
    detail: str
    head: str
    guardrails: tuple[GuardrailStatus, ...]


def run(
    context: RunContext, stages: Sequence[StageResult], *, now_ns: int = 0, key: Ed25519PrivateKey | None = None
) -> DecisionRecord:
    """Decide on what the stages left; the decision is in the run directory and in both ledgers when this returns.

    `now_ns` is the moment of a decision that is made again later, say after an approval; with `key` it is signed.
    Raises IntegrityError if a ledger cannot be read: the account's trading is then halted.
    """
    now_ns = max(now_ns, *(stage.ended_ns for stage in stages))  # one that an error ended has no time of its own
    files = GateFiles(context.event_store_root)
    try:
        given = gather(context, stages, now_ns, files)
        record = publish(given, ArtifactStore(context.run_dir), files, key)
    except IntegrityError as e:
        make_guard(context, VirtualClock(now_ns)).tighten(TradingState.HALTED, reason=str(e), actor="gate")
        raise
    keep(context, _result_of(record, now_ns))
    if reason := lost_by(context.plan, record):
        demote(context, record.subject, DemotionCause.WINDOW, reason, now_ns)
    return record


def lost_by(plan: Plan, record: DecisionRecord) -> str:
    """Return why this decision loses the rung that the window ran on; empty if it does not.

    A HOLD waits for people and loses nothing; a CONDITIONAL restricts, and demotes when what it owes is missed.
    """
    is_lost = record.verdict is Verdict.NO_GO and record.disposition is not Disposition.HOLD
    return f"its window is {record.headline}" if plan.tenure.is_rolling and is_lost else ""


def gather(context: RunContext, stages: Sequence[StageResult], now_ns: int, files: GateFiles) -> GateInput:
    """Return everything that the decision may depend on. What cannot be read counts as not there."""
    store = ArtifactStore(context.run_dir)
    observations = tuple(_observations(stages, store.manifest()))
    found = Observations(observations=observations)
    write_document(context, OBSERVATIONS, found, start_ns=stages[0].started_ns, end_ns=now_ns)
    chain = read_chain(context, stages)
    micro_test = next((s for s in stages if s.stage is Stage.LIVE_MICRO_TEST), None)
    broken = _broken(store, chain) + ([] if micro_test is None else _undecided(context, files))
    # A repeated simulation is the same attempt, not a further one: it shows nothing new.
    attempt_id = context.order_prefix
    plan, subject = _documents(store)
    prior, unread = _prior(context, plan, files)
    broken += unread
    gate = gate_name(plan)
    return GateInput(
        run_id=context.run_id,
        attempt_id=attempt_id,
        plan=plan,
        subject=subject,
        level=context.level,
        now_ns=now_ns,
        run_started_ns=stages[0].started_ns,
        trading_started_ns=None if micro_test is None else micro_test.started_ns,
        trading_window_s=0 if micro_test is None else context.plan.protocol.window_s,
        observations=observations,
        stages=tuple(StageSummary(stage=s.stage, status=s.status, summary=s.summary) for s in stages),
        guardrails=chain.guardrails,
        attempts=prior,
        baselines=_baselines(context, plan, subject, files),
        waivers=files.people.waivers(gate, now_ns),
        used_waivers=files.decisions.used_waivers(except_of=attempt_id),
        approvals=without_own_yes(files.people.approvals(gate, now_ns), requester_of(context.run_dir)),
        alert_problem=_alert_problem(context, subject, now_ns),
        is_chain_verified=not broken,
        chain_detail="; ".join(broken),
        chain_head=chain.head,
        evidence=evidence_of(store),
        mirror=mirrored(context, is_checked=True),
    )


def _prior(context: RunContext, plan: Plan, files: GateFiles) -> tuple[dict[str, PriorTally], list[str]]:
    """Return what the other attempts have shown, by criterion, and why that of an undecided one is not known."""
    unread: list[str] = []

    def count(attempt: Attempt) -> dict[str, CriterionTally]:
        try:
            return tallies_of(context, attempt)
        except StorageError as e:
            unread.append(f"what undecided run {attempt.run_id} showed cannot be read: {e}")
            return {}

    prior = files.attempts.prior(
        context.subject_digest, context.level, context.order_prefix, count, _judged(context, plan, files)
    )
    return prior, unread


def _judged(context: RunContext, plan: Plan, files: GateFiles) -> frozenset[str]:
    """Return the attempts up to the last GO where windows follow each other: each window after it stands alone."""
    if not plan.tenure.is_rolling:
        return frozenset()
    mine = [
        r for r in (logged.record for logged in files.decisions.decisions())
        if (r.subject_digest, r.level) == (context.subject_digest, context.level)
    ]
    last_go = max((i for i, r in enumerate(mine) if r.verdict is Verdict.GO), default=-1)
    if last_go < 0:
        return frozenset()
    return frozenset(r.attempt_id for r in mine[: last_go + 1]) | files.attempts.open_before(mine[last_go].attempt_id)


def _baselines(context: RunContext, plan: Plan, subject: Subject, files: GateFiles) -> dict[str, Baseline]:
    records = [logged.record for logged in files.decisions.decisions()]
    return baselines(
        plan, gate_name(plan), context.level, subject, context.order_prefix, records, files.people
    )


def _documents(store: ArtifactStore) -> tuple[Plan, Subject]:
    return Plan.model_validate_json(store.read(PLAN)), Subject.model_validate_json(store.read(SUBJECT))


def _broken(store: ArtifactStore, chain: Chain) -> list[str]:
    return [problem.detail for problem in store.verify()] + ([] if chain.is_verified else [chain.detail])


def _undecided(context: RunContext, files: GateFiles) -> list[str]:
    decided = {logged.record.run_id for logged in files.decisions.decisions()}
    try:
        return undecided(context, decided)
    except StorageError as e:
        return [f"earlier attempts cannot be read: {e}"]


def _alert_problem(context: RunContext, subject: Subject, now_ns: int) -> str:
    """Return which CRITICAL of the run nobody acknowledged. Every alert is noted here if nobody followed the run."""
    # A decision may be made again where the account's key is not: the subject knows the account's name.
    account = account_name(context) if context.level is Level.L0 else subject.account_fingerprint
    book = AlertBook(context.event_store_root, account)
    with suppress(StorageError), EventReader(context.store, context.run_id) as reader:
        book.take_run(reader, now_ns)
    return hold_words(book.unanswered(context.run_id))


def read_chain(context: RunContext, stages: Sequence[StageResult]) -> Chain:
    """Verify the run's events and read the guardrails from them; a run that never traded has none to verify."""
    if not any(s.stage is Stage.LIVE_MICRO_TEST for s in stages):
        return Chain(is_verified=True, detail="", head="", guardrails=())
    try:
        with EventReader(context.store, context.run_id) as reader:
            head = reader.verify()
            return Chain(is_verified=True, detail="", head=head.hash, guardrails=_guardrails(reader, context.speed))
    except (StorageError, IntegrityError) as e:
        return Chain(is_verified=False, detail=str(e), head="", guardrails=())


def _guardrails(reader: EventReader, speed: float) -> tuple[GuardrailStatus, ...]:
    watched: dict[str, GuardrailWatched] = {}
    tripped: dict[str, tuple[int, GuardrailTripped]] = {}
    for stored in reader.events(types=("GuardrailWatched", "GuardrailTripped")):
        match stored.event:
            case GuardrailWatched() as event:
                watched[event.name] = event
            case GuardrailTripped() as event:
                tripped.setdefault(event.name, (stored.seq, event))
            case _:
                raise IntegrityError(f"event {stored.seq} is a {type(stored.event).__name__}, not a guardrail's")
    return tuple(
        _status(name, watched.get(name), tripped.get(name), speed) for name in sorted(watched.keys() | tripped.keys())
    )


def _status(
    name: str, watched: GuardrailWatched | None, tripped: tuple[int, GuardrailTripped] | None, speed: float
) -> GuardrailStatus:
    return GuardrailStatus(
        name=name,
        is_latched=tripped is not None,
        evaluations=watched.evaluations if watched else 0,
        # Seconds of the machine: what counts is how long nobody looked, however fast a rehearsal's venue runs.
        longest_gap_s=watched.longest_gap_s / Decimal(str(speed)) if watched else None,
        worst=watched.worst if watched else None,
        limit=watched.limit if watched else None,
        detail="" if tripped is None else _words(tripped[1]),
        event_seqs=() if tripped is None else (tripped[0],),
    )


def _words(trip: GuardrailTripped) -> str:
    return f"{trip.observed} (limit {trip.limit}){'; ' + trip.detail if trip.detail else ''}"


def _observations(stages: Sequence[StageResult], manifest: Manifest) -> list[Observation]:
    """Return the observations of all stages; one without evidence of its own is bound to its stage's file."""
    found: list[Observation] = []
    for stage in stages:
        entry = manifest.artifacts.get(stage_result(stage.stage))
        refs: tuple[EvidenceRef, ...] = () if entry is None else (entry.ref(),)
        found += [o.model_copy(update={"refs": o.refs or refs}) for o in stage.observations]
    return found


def _result_of(record: DecisionRecord, now_ns: int) -> StageResult:
    """Return the stage's own result: it has passed when a decision was made, whatever the verdict."""
    return StageResult(
        stage=Stage.GO_NO_GO, status=StageStatus.PASSED, started_ns=now_ns, ended_ns=now_ns,
        summary=record.headline, checks=() if record.mirror is None else (_mirror_check(record.mirror),),
    )


def _mirror_check(mirror: MirrorState) -> Check:
    """Return whether the second place is whole; a warning only, for it never decides what trades."""
    return Check(
        name="mirror", status=CheckStatus.PASSED if mirror.is_whole else CheckStatus.WARNED, observed=mirror.detail,
        needed="the evidence lies at a second place",
        remedy="" if mirror.is_whole else "mend ARTIFACTS_URL, then copy the run's folder there or decide again",
    )
