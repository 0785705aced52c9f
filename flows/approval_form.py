"""The form with which Prefect suspends a run that people must approve: what it says, and what was answered."""

from __future__ import annotations

from typing import NamedTuple, NoReturn
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from prefect.input.run_input import keyset_from_base_key

from tasks.pages import dashboard_link
from trading_core.clock import NS, to_datetime, to_ns
from trading_core.errors import InvariantBroken
from trading_core.gate.start_approval import CONFIRMED_BY, Standing, StartAnswer, StartRequest
from trading_core.gate.subject import Subject
from trading_core.money import plain
from trading_core.plan import Level
from trading_core.run import RunContext
from trading_core.run_files import REPORT_HTML, run_dir


class StartForm(StartAnswer, RunInput):
    """What the form asks: the four fields that an answer has anywhere."""


class GivenAnswer(NamedTuple):
    """An answer of the form, and when it was sent."""

    given: StartAnswer
    given_ns: int


def suspend(asked: StartRequest, description: str, now_ns: int) -> NoReturn:
    """End this process and leave the run suspended with the form; Prefect refuses answers after the question's end."""
    within_s = max(1, -(-(asked.until_ns - now_ns) // NS))
    suspend_flow_run(
        wait_for_input=StartForm.with_initial_data(description=description), timeout=within_s, key=asked.question
    )
    raise InvariantBroken(f"question {asked.question} was put twice: the run went on without an answer")


def answer_to(asked: StartRequest) -> GivenAnswer | None:
    """Return what was answered to the question that this run was suspended with; None if it was woken otherwise."""
    key = keyset_from_base_key(f"suspended-{asked.question}")["response"]
    with get_client(sync_client=True) as client:
        found = client.filter_flow_run_input(
            flow_run_id=UUID(asked.flow_run_id), key_prefix=key, limit=1, exclude_keys=set()
        )
    if not found or (created := found[0].created) is None:
        return None
    return GivenAnswer(StartAnswer.model_validate(found[0].decoded_value), to_ns(created))


def question_in_words(
    context: RunContext, subject: Subject, asked: StartRequest, standing: Standing, said: str
) -> str:
    """Return what an approver who never saw this program must know, as Markdown."""
    head, envelope = asked.subject_digest[:CONFIRMED_BY], context.plan.envelope
    missing = asked.needed - len(standing.approvers)
    so_far = f" ({', '.join(standing.approvers)} said yes)" if standing.approvers else ""
    rows = {
        "Bot": f"strategy `{subject.strategy}` on {', '.join(subject.products)}, commit `{subject.git_commit[:12]}`"
        + (" **with changes that are not committed**" if subject.is_dirty else ""),
        "Rung": f"`{context.plan.name}`: {context.plan.description}",
        "Venue": f"`{context.venue}`: {_stakes(context.level)}",
        "Envelope": f"at most ${plain(envelope.notional_max)} in one product, "
        f"${plain(envelope.aggregate_notional_max)} in all",
        "Evidence": _evidence(context, asked),
        "Asked by": f"{asked.requester}, for run `{asked.run_id}`",
        "Still needed": f"{missing} of {asked.needed} person{'s' * (asked.needed > 1)} other than "
        f"{asked.requester}{so_far}",
        "Expires": f"{to_datetime(asked.until_ns):%Y-%m-%d %H:%M:%S} UTC: no answer until then is a no",
        "Subject": f"`{head}`",
    }
    lines = [f"**{said}**", ""] if said else []
    lines += [f"### May this bot begin to trade at `{context.venue}`?", ""]
    lines += ["| | |", "|---|---|", *(f"| {name} | {_cell(words)} |" for name, words in rows.items()), ""]
    lines.append(
        f"Your answer holds for this subject and this evidence only. To confirm that you looked, type the subject: "
        f"`{head}`. One no ends the run. The same from a command line: "
        f"`greenlight approve {asked.run_id} --approver NAME --subject {head} --reason WHY`"
    )
    return "\n".join(lines)


def _evidence(context: RunContext, asked: StartRequest) -> str:
    if not asked.below_run:
        return f"{asked.below} of the rung below"
    report = run_dir(context.run_dir.parent.parent, asked.below.split()[0], asked.below_run) / REPORT_HTML
    return " · ".join(filter(None, (
        asked.below, f"run `{asked.below_run}`", dashboard_link(asked.below_run), f"report `{report}`",
    )))


def _stakes(level: Level) -> str:
    return "real orders with real money" if level is Level.L3 else "a rehearsal, no real money"


def _cell(words: str) -> str:
    return " ".join(words.replace("|", "\\|").split())
