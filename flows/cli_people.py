"""What people add to evidence: `greenlight waive`, `approve`, and `greenlight gate golden` and `decide`."""

from __future__ import annotations

import importlib
import os
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from flows.cli_gate import RunName, find_run
from flows.cli_gate import app as gate
from flows.console import make_console, show_decision
from flows.finished_run import decide_again_at, stages_of
from flows.wake import woken
from trading_core.clock import SystemClock, from_iso, iso
from trading_core.errors import ConfigurationError
from trading_core.gate.baselines import is_good
from trading_core.gate.decide import DecisionRecord
from trading_core.gate.outcomes import Verdict
from trading_core.gate.people import GoldenRun, figures, make_approval, make_waiver
from trading_core.gate.publish import GateFiles
from trading_core.gate.record import record_from_bytes
from trading_core.gate.signing import signing_key
from trading_core.gate.start_approval import (
    file_answer,
    last_request,
    requester_of,
    start_answer,
    without_own_yes,
)
from trading_core.money import decimal_of
from trading_core.plan import Plan
from trading_core.run import RunContext, VenueName
from trading_core.run_files import DECISION, PLAN, REPORT_HTML, RUN
from trading_core.settings import load_settings
from trading_core.stages import go_no_go
from trading_core.storage.artifact_store import ArtifactStore

CODES = {Verdict.GO: 0, Verdict.CONDITIONAL: 3, Verdict.NO_GO: 4}


def waive(
    run: RunName,
    criterion: Annotated[str, typer.Argument(help="The criterion's name, as in the criteria table.")],
    floor: Annotated[str, typer.Option(help="The figure that must hold all the same; checked by the gate.")],
    reason: Annotated[str, typer.Option(help="Why this may pass once.")],
    requester: Annotated[str, typer.Option(help="Who asks.")],
    approver: Annotated[str, typer.Option(help="Who agrees; another person than who asks.")],
    hours: Annotated[int, typer.Option(help="For how long; at most 168.")] = 24,
) -> None:
    """Excuse one criterion of one subject, once. It gives CONDITIONAL at best, and only at the next decision."""
    store, record, now_ns = _decided(run)
    files = GateFiles(_context(store).event_store_root)
    number = len(files.people.waivers(record.gate, now_ns)) + 1
    waiver = make_waiver(
        record, Plan.model_validate_json(store.read(PLAN)), criterion, floor=_figure(floor), reason=reason,
        requester=requester, approver=approver, hours=hours, number=number, now_ns=now_ns,
    )
    files.people.file_waiver(record.gate, waiver)
    make_console().print(
        f"waiver {waiver.waiver_id} filed until {iso(waiver.expires_ns)}: run greenlight gate decide {record.run_id}",
        markup=False, soft_wrap=True,
    )


def approve(
    run: RunName,
    approver: Annotated[str, typer.Option(help="Your name; two approvals by one person are one.")],
    subject: Annotated[str, typer.Option(help="The first 8 letters of the subject's digest, typed as a confirmation.")],
    reason: Annotated[str, typer.Option(help="Why; at least 4 letters for a run that has not traded.")] = "",
    reject: Annotated[bool, typer.Option("--reject", help="Say no; one no outweighs every yes.")] = False,
) -> None:
    """Answer for exactly this subject and this evidence; the answer expires after the time that the plan gives."""
    said = {"approver": approver, "answer": "reject" if reject else "approve", "reason": reason, "subject": subject}
    if _approved_start(run, said):
        return
    store, record, now_ns = _decided(run)
    plan = Plan.model_validate_json(store.read(PLAN))
    answer = make_approval(
        record, approver=approver, is_approved=not reject, typed=subject, reason=reason,
        hours=plan.approvals.expires_h, now_ns=now_ns,
    )
    if not without_own_yes((answer,), requester_of(_context(store).run_dir)):
        raise ConfigurationError(f"{approver} asked for run {record.run_id} and may not approve it: ask another person")
    GateFiles(_context(store).event_store_root).people.file_approval(answer)
    make_console().print(
        f"{answer.decision} by {approver} filed until {iso(answer.expires_ns)}: "
        f"run greenlight gate decide {record.run_id}", markup=False, soft_wrap=True,
    )


def _approved_start(run: str, said: dict[str, str]) -> bool:
    """File the answer to a run that is held before it trades; return False for one that was decided."""
    folder = find_run(load_settings(os.environ), run)
    asked, store = last_request(folder), ArtifactStore(folder)
    if asked is None or DECISION in store.manifest().artifacts:
        return False
    given = start_answer(said)
    answer = file_answer(asked, given, GateFiles(_context(store).event_store_root), SystemClock().now_ns())
    make_console().print(
        f"{answer.decision} by {answer.approver} filed until {iso(answer.expires_ns)}: {woken(asked, given)}",
        markup=False, soft_wrap=True,
    )
    return True


@gate.command()
def golden(
    run: RunName, by: Annotated[str, typer.Option(help="Who pins it.")]
) -> None:
    """Pin a good run as the golden one: later runs of its rung and level must not fall behind its figures."""
    store, record, now_ns = _decided(run)
    if not is_good(record):
        raise ConfigurationError(
            f"run {record.run_id} is {record.verdict}: only a GO, or what lacks only baselines, can be golden"
        )
    pinned = GoldenRun(
        gate=record.gate, level=record.level, run_id=record.run_id, values=figures(record), pinned_by=by,
        pinned_ns=now_ns,
    )
    GateFiles(_context(store).event_store_root).people.pin_golden(pinned)
    shown = ", ".join(f"{name} {value}" for name, value in sorted(pinned.values.items())) or "no compared figure"
    make_console().print(f"golden run of {record.gate} at {record.level}: {record.run_id} ({shown})", markup=False)


@gate.command()
def decide(run: RunName) -> None:
    """Decide a finished run again, with the waivers and approvals filed since; exit code as of `greenlight run`."""
    store, last, _ = _decided(run)
    context = _context(store)
    now_ns = max(decide_again_at(context), from_iso(last.decided_at))
    record = go_no_go.run(context, stages_of(context), now_ns=now_ns, key=signing_key(load_settings(os.environ)))
    # pandas is imported with it: only the commands that report pay for it.
    importlib.import_module("checks.report").build_report(context.run_dir)
    show_decision(record, store.path_of(REPORT_HTML))
    raise typer.Exit(CODES[record.verdict])


def _decided(run: str) -> tuple[ArtifactStore, DecisionRecord, int]:
    """Return the run's files, its decision, and the moment at its venue: people act after the decision."""
    store = ArtifactStore(find_run(load_settings(os.environ), run))
    record = record_from_bytes(store.read(DECISION))
    decided_ns = from_iso(record.decided_at)
    # A simulated venue has no time but its run's.
    is_simulated = _context(store).venue is VenueName.SIMULATED
    return store, record, decided_ns if is_simulated else max(decided_ns, SystemClock().now_ns())


def _context(store: ArtifactStore) -> RunContext:
    """Return the run's context, at the place where its directory is now."""
    return RunContext.model_validate_json(store.read(RUN)).model_copy(
        update={"run_dir": Path(store.path_of(RUN)).parent}
    )


def _figure(text: str) -> Decimal:
    try:
        return decimal_of(text)
    except (TypeError, ValueError, ArithmeticError) as e:
        raise ConfigurationError(f"--floor {text!r} is no number: write it like 0.95") from e
