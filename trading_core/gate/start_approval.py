"""Approval before a rung trades: for one subject, on the evidence of the rung below, until it expires."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from trading_core.canonical import digest_of
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
    expires_h: int
    below: str  # what the rung below showed, for people


def start_request(context: RunContext, requester: str, files: GateFiles) -> StartRequest:
    """Return what to ask; raises ConfigurationError if nobody says who asks, IntegrityError for damaged files."""
    if not requester.strip():
        raise ConfigurationError("this run needs an approval and nobody says who asks for it: give --requester NAME")
    below = plan_below(context.plan)
    subject = Subject.model_validate_json(ArtifactStore(context.run_dir).read(SUBJECT))
    last = [
        r for r in files.decisions.records()
        if below is not None and (r.rung, r.level) == (below.name, context.level) and _climbed(r.subject, subject)
    ][-1:]
    seen = [(r.subject_digest, r.evidence_digest, r.verdict) for r in last]
    words = f"{last[0].rung} {last[0].verdict} of {last[0].decided_at}: {last[0].headline}" if last else "no decision"
    return StartRequest(
        gate=f"{context.plan.name}/start", subject_digest=context.subject_digest, evidence_digest=digest_of(seen),
        run_id=context.run_id, requester=requester, needed=max(1, context.plan.approvals.count),
        expires_h=context.plan.approvals.expires_h, below=words,
    )


def start_problem(asked: StartRequest, files: GateFiles, now_ns: int) -> str:
    """Return why the run may not start; empty if enough persons, none of them the requester, approved just this."""
    given = files.people.approvals(asked.gate, now_ns)
    return approval_problem(
        without_own_yes(given, asked.requester), needed=asked.needed, gate=asked.gate,
        subject_digest=asked.subject_digest, evidence_digest=asked.evidence_digest, now_ns=now_ns,
    )


def without_own_yes(given: Iterable[Approval], requester: str) -> tuple[Approval, ...]:
    """Return the answers that count: a no of the requester does, a yes does not."""
    return tuple(a for a in given if a.decision == "reject" or _person(a.approver) != _person(requester))


def requester_of(run_dir: Path) -> str:
    """Return who asked for the run; empty if it needed no approval. Raises IntegrityError for a damaged file."""
    try:
        return StartRequest.model_validate_json((run_dir / START_REQUEST).read_bytes()).requester
    except FileNotFoundError:
        return ""
    except (OSError, ValidationError) as e:
        raise IntegrityError(f"{run_dir / START_REQUEST} cannot be read: {e}") from e


def answer_start(
    asked: StartRequest, *, approver: str, is_approved: bool, typed: str, reason: str, now_ns: int
) -> Approval:
    """Return a person's answer; raises ConfigurationError for the requester's own yes and for another subject."""
    head = asked.subject_digest[:CONFIRMED_BY]
    if len(typed) < CONFIRMED_BY or not asked.subject_digest.startswith(typed):
        raise ConfigurationError(f"{typed!r} is not the subject of run {asked.run_id}: type {head}")
    if is_approved and _person(approver) == _person(asked.requester):
        raise ConfigurationError(f"{approver} asked for run {asked.run_id} and may not approve it: ask another person")
    return Approval(
        approver=approver, decision="approve" if is_approved else "reject", gate=asked.gate,
        subject_digest=asked.subject_digest, evidence_digest=asked.evidence_digest, reason=reason, given_ns=now_ns,
        expires_ns=now_ns + asked.expires_h * HOUR_NS,
    )


def _climbed(below: Subject, subject: Subject) -> bool:
    """Tell whether it is the same bot; its strategy may follow another one where the rung's plan says so."""
    bot, changing = bot_of(subject), ("strategy", "strategy_params")
    return bot_of(below).model_copy(update={name: getattr(bot, name) for name in changing}) == bot


def _person(name: str) -> str:
    return " ".join(name.casefold().split())
