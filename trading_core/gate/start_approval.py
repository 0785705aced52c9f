"""Approval before a rung trades: for one subject, on the evidence of the rung below, until it expires."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, StringConstraints, ValidationError

from trading_core.canonical import digest_of
from trading_core.clock import from_iso
from trading_core.errors import ConfigurationError, IntegrityError
from trading_core.gate.decide import HOUR_NS
from trading_core.gate.overlays import Approval, approval_problem
from trading_core.gate.publish import GateFiles
from trading_core.gate.subject import Subject, bot_of
from trading_core.plan import PlanModel
from trading_core.plan_files import plan_below
from trading_core.run import RunContext
from trading_core.run_files import SUBJECT
from trading_core.storage.artifact_store import ArtifactStore

START_REQUEST = "start_request.json"  # in the run directory, beside the evidence
CONFIRMED_BY = 8  # letters of the subject's digest that an approver types


class StartRequest(PlanModel):
    """What is asked before a run may trade; every answer is bound to the first three."""

    gate: str
    subject_digest: str
    evidence_digest: str
    run_id: str
    requester: str
    needed: int
    expires_h: int | Decimal
    below: str  # what the rung below showed, for people
    below_run: str = ""
    below_ns: int = 0  # when it was decided
    # Where the run waits for an answer: Prefect's flow run, the key of its question, and until when.
    flow_run_id: str = ""
    question: str = ""
    until_ns: int = 0

    def is_waiting_in(self, flow_run_id: str) -> bool:
        """Tell whether the flow run was suspended with this question."""
        return bool(self.question) and self.flow_run_id == flow_run_id

    def is_bound_as(self, other: StartRequest) -> bool:
        """Tell whether an answer to this is one to the other."""
        return _binding(self) == _binding(other)


class StartAnswer(PlanModel):
    """What a person says, wherever they are asked: a form, a prompt, a file, or `greenlight approve`."""

    approver: Annotated[str, StringConstraints(strip_whitespace=True, min_length=2, max_length=80)] = Field(
        title="Your name", description="Two approvals by one person are one; who asked for the run cannot approve it."
    )
    answer: Literal["approve", "reject"] = Field(
        title="Answer", description="One no outweighs every yes and ends the run."
    )
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=4, max_length=500)] = Field(
        title="Reason", description="Why; it stays in the audit trail."
    )
    subject: Annotated[str, StringConstraints(strip_whitespace=True, min_length=CONFIRMED_BY, max_length=64)] = Field(
        title="Subject", description="Type the subject's digest as it is shown, at least its first 8 letters."
    )


class Standing(NamedTuple):
    """How a start stands: who said yes, whose no ends it, and why it may not begin; empty if it may."""

    approvers: tuple[str, ...]
    rejection: str
    problem: str


def start_request(context: RunContext, subject: Subject, requester: str, files: GateFiles) -> StartRequest:
    """Return what to ask; raises ConfigurationError if nobody says who asks, IntegrityError for damaged files."""
    if not requester.strip():
        raise ConfigurationError("this run needs an approval and nobody says who asks for it: give --requester NAME")
    below = plan_below(context.plan)
    last = [
        r for r in files.decisions.records()
        if below is not None and (r.rung, r.level) == (below.name, context.level) and _climbed(r.subject, subject)
    ][-1:]
    seen = [(r.subject_digest, r.evidence_digest, r.verdict) for r in last]
    words = f"{last[0].rung} {last[0].verdict} of {last[0].decided_at}: {last[0].headline}" if last else "no decision"
    return StartRequest(
        gate=f"{context.plan.name}/start", subject_digest=context.subject_digest, evidence_digest=digest_of(seen),
        run_id=context.run_id, requester=requester, needed=max(1, context.plan.approvals.count),
        expires_h=context.plan.approvals.expires_h, below=words, below_run=last[0].run_id if last else "",
        below_ns=from_iso(last[0].decided_at) if last else 0,
    )


def subject_of(context: RunContext) -> Subject:
    """Return the subject of a prepared run; raises StorageError for a damaged file."""
    return Subject.model_validate_json(ArtifactStore(context.run_dir).read(SUBJECT))


def start_standing(asked: StartRequest, files: GateFiles, now_ns: int) -> Standing:
    """Return how the start stands: enough persons, none of them the requester, must have approved just this."""
    given = without_own_yes(files.people.approvals(asked.gate, now_ns), asked.requester)
    bound = [a for a in given if _binding(a) == _binding(asked)]
    no = next((a for a in bound if a.decision == "reject"), None)
    return Standing(
        approvers=tuple(sorted({
            _person(a.approver) for a in bound if a.decision == "approve" and a.given_ns <= now_ns < a.expires_ns
        })),
        rejection="" if no is None else f"{no.approver} rejected it: {no.reason or 'no reason given'}",
        problem=approval_problem(
            given, needed=asked.needed, gate=asked.gate, subject_digest=asked.subject_digest,
            evidence_digest=asked.evidence_digest, now_ns=now_ns,
        ),
    )


def without_own_yes(given: Iterable[Approval], requester: str) -> tuple[Approval, ...]:
    """Return the answers that count: a no of the requester does, a yes does not."""
    return tuple(a for a in given if a.decision == "reject" or _person(a.approver) != _person(requester))


def last_request(run_dir: Path) -> StartRequest | None:
    """Return what was last asked before the run may trade; None if nothing was. Raises IntegrityError if damaged."""
    try:
        return StartRequest.model_validate_json((run_dir / START_REQUEST).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as e:
        raise IntegrityError(f"{run_dir / START_REQUEST} cannot be read: {e}") from e


def requester_of(run_dir: Path) -> str:
    """Return who asked for the run; empty if it needed no approval. Raises IntegrityError for a damaged file."""
    asked = last_request(run_dir)
    return "" if asked is None else asked.requester


def start_answer(said: Mapping[str, object]) -> StartAnswer:
    """Return what a person said as an answer; raises ConfigurationError for what is missing or too short."""
    try:
        return StartAnswer.model_validate(said)
    except ValidationError as e:
        first = e.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"{name} of the answer {first.get('input')!r}: {first['msg']}") from e


def file_answer(asked: StartRequest, given: StartAnswer, files: GateFiles, now_ns: int) -> Approval:
    """File a person's answer, once however often it comes, and return it.

    Raises ConfigurationError for the requester's own yes and for another subject.
    """
    made = answer_start(asked, given, now_ns)
    for filed in files.people.approvals(asked.gate, now_ns):
        if _said(filed) == _said(made) and filed.given_ns <= now_ns < filed.expires_ns:
            return filed
    files.people.file_approval(made)
    return made


def answer_start(asked: StartRequest, given: StartAnswer, now_ns: int) -> Approval:
    """Return a person's answer; raises ConfigurationError for the requester's own yes and for another subject."""
    head = asked.subject_digest[:CONFIRMED_BY]
    if len(given.subject) < CONFIRMED_BY or not asked.subject_digest.startswith(given.subject):
        raise ConfigurationError(f"{given.subject!r} is not the subject of run {asked.run_id}: type {head}")
    is_approved = given.answer == "approve"
    if is_approved and _person(given.approver) == _person(asked.requester):
        raise ConfigurationError(
            f"{given.approver} asked for run {asked.run_id} and may not approve it: ask another person"
        )
    return Approval(
        approver=given.approver, decision=given.answer, gate=asked.gate,
        subject_digest=asked.subject_digest, evidence_digest=asked.evidence_digest, reason=given.reason,
        given_ns=now_ns, expires_ns=now_ns + int(asked.expires_h * HOUR_NS),
    )


def _climbed(below: Subject, subject: Subject) -> bool:
    """Tell whether it is the same bot; its strategy may follow another one where the rung's plan says so."""
    bot, changing = bot_of(subject), ("strategy", "strategy_params")
    return bot_of(below).model_copy(update={name: getattr(bot, name) for name in changing}) == bot


def _binding(what: Approval | StartRequest) -> tuple[str, str, str]:
    return what.gate, what.subject_digest, what.evidence_digest


def _said(answer: Approval) -> tuple[object, ...]:
    return _person(answer.approver), answer.decision, answer.reason, _binding(answer)


def _person(name: str) -> str:
    return " ".join(name.casefold().split())
