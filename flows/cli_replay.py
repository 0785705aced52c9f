"""`greenlight replay`: the proof that a run decided what its inputs say."""

from __future__ import annotations

import os

import typer

from flows.cli_gate import RunName, find_run
from flows.console import make_console
from trading_core.replay import Replayed, replay_run
from trading_core.run import RunContext
from trading_core.run_files import RUN
from trading_core.settings import load_settings
from trading_core.storage.artifact_store import ArtifactStore
from trading_core.storage.event_reader import EventReader

DIFFERS = 4


def replay(run: RunName) -> None:
    """Feed a run's stored inputs to a fresh engine and compare all that it decides: exit code 4 if anything differs."""
    settings = load_settings(os.environ)
    context = RunContext.model_validate_json(ArtifactStore(find_run(settings, run)).read(RUN))
    with EventReader(settings.store, context.run_id) as reader:
        found = replay_run(context, reader)
    console = make_console()
    for line in _lines(found):
        console.print(line, markup=False, soft_wrap=True)
    if found.difference:
        raise typer.Exit(DIFFERS)


def _lines(found: Replayed) -> list[str]:
    commands = ", ".join(f"{name} {count}" for name, count in sorted(found.commands.items())) or "none"
    figures = found.figures
    books = "no snapshot" if figures is None else (
        f"equity {figures.equity}, realized {figures.realized}, unrealized {figures.unrealized}, "
        f"fees {figures.fees}, funding {figures.funding}"
    )
    lines = [
        f"inputs   {found.inputs} and {found.ticks} ticks",
        f"records  {found.records} as stored",
        f"commands {found.commands.total()}: {commands}",
        f"ledger   {books}",
        f"digest   {found.digest}",
    ]
    if found.cut_off:
        lines.append(f"cut off  {found.cut_off} records: the run was ended before it could store them")
    return [*lines, f"DIFFERS  {found.difference}" if found.difference else "equal    the run is what its inputs say"]
