"""Command line: run a rung to its verdict, or go on with a run that has none."""

from __future__ import annotations

import importlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from flows import cli_retry
from flows.checked_request import checked_request
from flows.cli_codes import ExitCode
from flows.console import show_decision, stage_ended
from flows.requests import Again
from trading_core.clock import SystemClock, to_datetime
from trading_core.errors import ConfigurationError, GreenlightError
from trading_core.events import StepEnded
from trading_core.gate.outcomes import Verdict
from trading_core.gate.record import record_from_bytes
from trading_core.plan import Plan, Stage
from trading_core.plan_files import find_plan
from trading_core.run import RunContext, VenueName
from trading_core.run_files import DECISION, REPORT_HTML, run_dir
from trading_core.settings import Settings, load_settings
from trading_core.stages.files import read_stage
from trading_core.storage.artifact_store import ArtifactStore
from trading_core.storage.event_reader import EventReader

VERDICT_CODES = {
    Verdict.GO: ExitCode.GO, Verdict.CONDITIONAL: ExitCode.CONDITIONAL, Verdict.NO_GO: ExitCode.NO_GO,
}
# The names of the states that carry a verdict; any other final state is a crash or a bug.
VERDICT_STATES = frozenset({"GO", "CONDITIONAL", "NoGo", "Cancelled"})
NOT_APPROVED_STATES = frozenset({"Hold", "Rejected"})
NOT_STARTED_STATES = frozenset({"Refused", "Skipped"})


def run(
    plan: Annotated[str, typer.Argument(help="The rung: phase2, stage3, stage4 or stage5; or a .toml file.")],
    venue: Annotated[
        VenueName | None, typer.Option(help="Where to trade; local and simulated rehearse on recorded days.")
    ] = None,
    speed: Annotated[float, typer.Option(help="How many times faster than the clock the local exchange runs.")] = 1.0,
    day: Annotated[str, typer.Option(help="Recorded day that a rehearsal replays: calm, typical or volatile.")] = (
        "typical"
    ),
    seed: Annotated[int, typer.Option(help="Seed of the rehearsal's market and of the strategy.")] = 1,
    faults: Annotated[str, typer.Option(help="Fault plan of the local exchange, such as reject_all.")] = "",
    requester: Annotated[str, typer.Option(help="Your name, where an approval is needed.")] = "",
    ask_approval: Annotated[bool, typer.Option(help="Hold the run until it is approved, also a rehearsal.")] = False,
    approval_file: cli_retry.ApprovalFiles = None,
    run_id: Annotated[str, typer.Option(help="Name of the run; made from plan, venue and time if not given.")] = "",
    windows: Annotated[int, typer.Option(min=1, help="So many windows, until one is not GO; for a rolling rung.")] = 1,
) -> None:
    """Run one rung through its six stages and end with a verdict; a rolling rung, window after window."""
    settings = load_settings(os.environ)
    found = find_plan(plan)
    chosen = settings.venue_for(venue, found.name)
    name = run_id or _run_id(found, chosen)
    asked: dict[str, object] = {
        "plan": found.name, "plan_file": plan if plan.endswith(".toml") else "", "venue": chosen, "day": day,
        "seed": seed, "speed": speed, "faults": faults, "run_id": name, "requester": requester,
        "ask_approval": ask_approval,
    }
    if windows > 1 and not found.tenure.is_rolling:
        raise ConfigurationError(f"--windows {windows}: {found.name} has one window, for its tenure is not rolling")
    # As Ctrl+C: the session ends flat, and what it said is said here.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    verdict = Verdict.GO
    for number in range(windows):
        # Each window is a run of its own, and a rehearsed one has a market of its own: else it would show nothing new.
        own = {} if windows == 1 else {"run_id": f"{name}-w{number + 1}", "seed": seed + number}
        verdict = _verdict_of(settings, found, asked | own, approval_file or [])
        if verdict is not Verdict.GO:
            break
    raise typer.Exit(VERDICT_CODES[verdict])


def _verdict_of(
    settings: Settings, plan: Plan, asked: dict[str, object], approval_files: Sequence[Path]
) -> Verdict:
    """Run one window, show how it was decided and return its verdict."""
    name = str(asked["run_id"])
    try:
        _run_flow(asked, approval_files)
    except KeyboardInterrupt:
        words = _how_it_ended(settings, name)
        typer.echo(f"greenlight: run {name} was interrupted, so there is no verdict. {words}", err=True)
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    return _show(ArtifactStore(run_dir(settings.artifacts_root, plan.name, name)))


def retry(
    run: cli_retry.RunId, from_stage: cli_retry.From = Again.FAILED, approval_file: cli_retry.ApprovalFiles = None
) -> None:
    """Go on with a run that failed or was lost: what passed is kept, a live stage is resumed, never traded twice."""
    asked = cli_retry.asked_again(run, from_stage)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _run_flow(asked.request, approval_file or [])
    except KeyboardInterrupt:
        words = _how_it_ended(load_settings(os.environ), str(asked.request["run_id"]))
        typer.echo(f"greenlight: the retry of {run} was interrupted, so there is no verdict. {words}", err=True)
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    raise typer.Exit(VERDICT_CODES[_show(cli_retry.store_of_last(asked))])


def _run_flow(asked: dict[str, object], approval_files: Sequence[Path]) -> None:
    """Run the flow to its verdict; raises what ended it without one."""
    request = checked_request(**asked)
    # Prefect logs a traceback for what main() says in one sentence; its server still keeps the log.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    # Prefect takes seconds to import: only the command that needs it pays for it.
    rollout = importlib.import_module("flows.rollout")
    state = rollout.run_from_command_line(approval_files, request)
    if state.name in NOT_APPROVED_STATES:
        typer.echo(state.message)
        raise typer.Exit(ExitCode.NO_GO)
    if state.name in NOT_STARTED_STATES:
        raise ConfigurationError(f"run {asked['run_id']} was not started: {state.message}")
    if state.name not in VERDICT_STATES:
        state.result(raise_on_failure=True)
        why = state.message or "Prefect gave no reason"
        raise GreenlightError(f"run {asked['run_id']} ended as {state.name}: {why}")


def _show(store: ArtifactStore) -> Verdict:
    """Show how the run was decided and return its verdict."""
    record = record_from_bytes(store.read(DECISION))
    context = RunContext.model_validate_json(store.read("run"))
    if (last := read_stage(context, Stage.GO_NO_GO)) is not None:
        stage_ended(last)
    show_decision(record, _shown_path(store.path_of(REPORT_HTML)))
    return record.verdict


def _run_id(plan: Plan, venue: VenueName) -> str:
    stamp = to_datetime(SystemClock().now_ns()).strftime("%Y%m%dT%H%M%S%f")[:-3]
    return f"{plan.name}-{venue}-{stamp}Z"


def _how_it_ended(settings: Settings, run_id: str) -> str:
    """Return what an interrupted session last said of the venue, from the event store."""
    try:
        with EventReader(settings.store, run_id) as reader:
            ends = [stored.event for stored in reader.events(types=("StepEnded",))]
    except GreenlightError as e:
        return f"No order was stored: {e}"
    said = [end.detail for end in ends if isinstance(end, StepEnded) and end.step == "flat_at_end"]
    return f"The session ended: {said[-1]}" if said else "Look at the venue by hand: no session said how it ended"


def _shown_path(path: Path) -> Path:
    """Return the path as a person would type it here."""
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path
