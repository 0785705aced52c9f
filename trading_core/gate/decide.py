"""The gate's one entry: everything that it may know goes in as data, the decision record comes out."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from pydantic import Field

from trading_core.canonical import digest_of
from trading_core.clock import NS, iso
from trading_core.gate.criteria import evaluate
from trading_core.gate.evidence import MirrorState, Observation
from trading_core.gate.fold import Ballot, Folded, GuardrailStatus, StageSummary, fold
from trading_core.gate.outcomes import Disposition, Outcome, Reason, Verdict
from trading_core.gate.overlays import Approval, Waiver, WaiverUse, approval_problem, use_waivers
from trading_core.gate.result import Baseline, CriterionResult, Finding, GateContext, PriorTally, result_of
from trading_core.gate.subject import Subject
from trading_core.plan import Criterion, Envelope, Level, Obligation, Plan, PlanModel, Rung, Stage
from trading_core.stages.result import StageStatus

HOUR_NS = 3600 * NS
JUDGED_STAGES = tuple(stage for stage in Stage if stage is not Stage.GO_NO_GO)


class GateInput(PlanModel):
    """All that a decision depends on. Saved as an artifact, so that `verify` can decide again.

    `attempts` are the tallies of *earlier* attempts, by criterion name; `used_waivers` the ids that earlier
    decisions consumed; `alert_problem` names a CRITICAL alert of the run that nobody acknowledged; `evidence` the
    digest of each artifact of the run; `mirror` says whether they also lie at the second place, if there is one.
    """

    schema_version: Literal[1] = 1
    run_id: str
    attempt_id: str
    plan: Plan
    subject: Subject
    level: Level
    now_ns: int
    run_started_ns: int | None = None
    trading_started_ns: int | None = None
    trading_window_s: int = Field(default=0, ge=0)
    observations: tuple[Observation, ...] = ()
    stages: tuple[StageSummary, ...] = ()
    guardrails: tuple[GuardrailStatus, ...] = ()
    attempts: dict[str, PriorTally] = {}
    baselines: dict[str, Baseline] = {}
    waivers: tuple[Waiver, ...] = ()
    used_waivers: tuple[str, ...] = ()
    approvals: tuple[Approval, ...] = ()
    alert_problem: str = ""
    is_chain_verified: bool
    chain_detail: str = ""
    chain_head: str = ""
    evidence: dict[str, str] = {}
    mirror: MirrorState | None = None

    @property
    def gate(self) -> str:
        """Return the name that approvals are bound to."""
        return gate_name(self.plan)

    @property
    def evidence_digest(self) -> str:
        """Return the digest of what was observed, without approvals, waivers and the time of the decision."""
        parts = {
            "attempts": self.attempts,
            "baselines": self.baselines,
            "chain_head": self.chain_head,
            "evidence": self.evidence,
            "guardrails": self.guardrails,
            "observations": self.observations,
            "stages": self.stages,
        }
        return digest_of(parts)


def gate_name(plan: Plan) -> str:
    """Return the name of a plan's gate."""
    return f"{plan.name}/{Stage.GO_NO_GO}"


class Authorisation(PlanModel):
    """One transition, for one subject, inside one envelope, until a moment. Only live evidence authorises one."""

    rung: Rung
    next_rung: Rung | None
    envelope: Envelope
    obligations: tuple[Obligation, ...] = ()
    valid_until: str


class DecisionRecord(PlanModel):
    """The decision with all that led to it. Equal inputs give equal bytes; see trading_core.gate.record."""

    schema_version: Literal[1] = 1
    run_id: str
    attempt_id: str
    gate: str
    rung: Rung
    level: Level
    decided_at: str
    subject: Subject
    subject_digest: str
    plan_digest: str
    verdict: Verdict
    disposition: Disposition | None
    rule: int
    headline: str
    authorises: Authorisation | None
    criteria: tuple[CriterionResult, ...]
    stages: tuple[StageSummary, ...]
    guardrails: tuple[GuardrailStatus, ...]
    waivers: tuple[WaiverUse, ...]
    approvals: tuple[Approval, ...]
    approvals_needed: int
    approval_problem: str
    attempts: dict[str, PriorTally]
    evidence: dict[str, str]
    evidence_digest: str
    chain_head: str
    mirror: MirrorState | None = None
    input_digest: str

    def criterion(self, name: str) -> CriterionResult | None:
        """Return one line of the criteria table."""
        return next((result for result in self.criteria if result.name == name), None)


def decide(given: GateInput) -> DecisionRecord:
    """Return the decision: every criterion of the plan evaluated, folded by the nine rules."""
    subject_digest, evidence_digest = given.subject.digest, given.evidence_digest
    results = _evaluate_all(given, subject_digest)
    uses = use_waivers(
        given.waivers, results, given.plan.criteria,
        subject_digest=subject_digest, now_ns=given.now_ns, used=given.used_waivers,
    )
    needed = _approvals_needed(given)
    problem = approval_problem(
        given.approvals, needed=needed, gate=given.gate, subject_digest=subject_digest,
        evidence_digest=evidence_digest, now_ns=given.now_ns,
    )
    folded = _with_refusals(fold(_ballot(given, results, uses, problem)), uses, results)
    return DecisionRecord(
        run_id=given.run_id,
        attempt_id=given.attempt_id,
        gate=given.gate,
        rung=given.plan.name,
        level=given.level,
        decided_at=iso(given.now_ns),
        subject=given.subject,
        subject_digest=subject_digest,
        plan_digest=given.plan.digest,
        **dict(folded),
        authorises=_authorisation(given, folded.verdict),
        criteria=results,
        stages=tuple(sorted(given.stages, key=lambda s: s.stage)),
        guardrails=tuple(sorted(given.guardrails, key=lambda g: g.name)),
        waivers=uses,
        approvals=tuple(sorted(given.approvals, key=lambda a: (a.approver, a.given_ns))),
        approvals_needed=needed,
        approval_problem=problem,
        attempts=given.attempts,
        evidence=given.evidence,
        evidence_digest=evidence_digest,
        chain_head=given.chain_head,
        mirror=given.mirror,
        input_digest=digest_of(given),
    )


def _with_refusals(folded: Folded, uses: tuple[WaiverUse, ...], results: tuple[CriterionResult, ...]) -> Folded:
    """Return the answer with the waivers that somebody counted on and that did not hold."""
    unsettled = {r.name for r in results if r.outcome not in (Outcome.PASS, Outcome.NOT_APPLICABLE)}
    excused = {use.waiver.criterion for use in uses if use.is_applied}
    refused = [u for u in uses if not u.is_applied and u.waiver.criterion in unsettled - excused]
    if folded.verdict is not Verdict.NO_GO or not refused:
        return folded
    words = "; ".join(f"the waiver of {u.waiver.criterion} was refused: {u.refusal}" for u in refused)
    return folded.model_copy(update={"headline": f"{folded.headline}; {words}"})


def _approvals_needed(given: GateInput) -> int:
    # A rehearsal authorises nothing, so nobody has to approve it.
    return given.plan.approvals.count if given.level is Level.L3 else 0


def _evaluate_all(given: GateInput, subject_digest: str) -> tuple[CriterionResult, ...]:
    context = GateContext(
        subject_digest=subject_digest,
        level=given.level,
        now_ns=given.now_ns,
        trading_started_ns=given.trading_started_ns,
        run_started_ns=given.run_started_ns,
        trading_window_s=given.trading_window_s,
        evidence=given.evidence,
        attempts=given.attempts,
        baselines=given.baselines,
    )
    seen = {observation.metric: observation for observation in given.observations}
    counts = Counter(observation.metric for observation in given.observations)
    results = [
        _doubled(c, counts[c.metric]) if counts[c.metric] > 1 else evaluate(c, seen.get(c.metric), context)
        for c in given.plan.criteria
    ]
    return tuple(sorted(results, key=lambda result: result.name))


def _doubled(criterion: Criterion, count: int) -> CriterionResult:
    words = f"{count} observations of {criterion.metric}: which one counts is not for the gate to choose"
    return result_of(criterion, Finding(outcome=Outcome.ERROR, reason=Reason.SCHEMA, detail=words), None)


def _ballot(
    given: GateInput, results: tuple[CriterionResult, ...], uses: tuple[WaiverUse, ...], problem: str
) -> Ballot:
    watched = {guardrail.name for guardrail in given.guardrails if guardrail.was_watched}
    return Ballot(
        results=results,
        level=given.level,
        latched=tuple(guardrail for guardrail in given.guardrails if guardrail.is_latched),
        unwatched=tuple(g.name for g in given.plan.guardrails if g.name not in watched),
        unfinished=_unfinished(given.stages),
        chain_problem=_chain_problem(given),
        waived=frozenset(use.waiver.criterion for use in uses if use.is_applied),
        should_budget=given.plan.should_budget,
        has_restricted_envelope=given.plan.restricted_envelope is not None,
        approval_problem=problem,
        alert_problem=given.alert_problem,
    )


def _unfinished(stages: tuple[StageSummary, ...]) -> tuple[StageSummary, ...]:
    ended = {summary.stage: summary for summary in stages}
    all_five = (ended.get(s, StageSummary(stage=s, status=StageStatus.NOT_RUN)) for s in JUDGED_STAGES)
    return tuple(summary for summary in all_five if summary.status is not StageStatus.PASSED)


def _chain_problem(given: GateInput) -> str:
    if not given.is_chain_verified:
        return given.chain_detail or "no reason was given"
    if given.subject.plan_digest != given.plan.digest:
        return f"the subject has plan {given.subject.plan_digest[:12]}, the run has {given.plan.digest[:12]}"
    names = [criterion.name for criterion in given.plan.criteria]
    if len(set(names)) != len(names):
        return "the plan names a criterion twice"
    return ""


def _authorisation(given: GateInput, verdict: Verdict) -> Authorisation | None:
    if given.level is not Level.L3 or verdict is Verdict.NO_GO:
        return None
    restricted = given.plan.restricted_envelope
    envelope = given.plan.envelope if verdict is Verdict.GO or restricted is None else restricted
    rungs = list(Rung)
    index = rungs.index(given.plan.name) + 1
    return Authorisation(
        rung=given.plan.name,
        next_rung=rungs[index] if index < len(rungs) else None,
        envelope=Envelope(
            notional_max=envelope.notional_max,
            aggregate_notional_max=envelope.aggregate_notional_max,
            valid_h=envelope.valid_h,
        ),
        obligations=restricted.obligations if restricted and verdict is Verdict.CONDITIONAL else (),
        valid_until=iso(given.now_ns + envelope.valid_h * HOUR_NS),
    )
