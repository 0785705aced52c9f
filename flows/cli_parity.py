"""`greenlight parity`: the same signals in two runs, and where the venues treated them otherwise."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from flows.cli_gate import find_run
from flows.console import make_console
from trading_core.artifacts import ExecutionLogs
from trading_core.canonical import canonical_json
from trading_core.errors import ConfigurationError
from trading_core.gate.subject import Subject
from trading_core.metrics.evidence import Unusable, load_evidence
from trading_core.metrics.parity import ParityReport, ParityState, compare
from trading_core.money import plain
from trading_core.plan import Plan
from trading_core.run import RunContext
from trading_core.run_files import PARITY, PLAN, RUN, SUBJECT
from trading_core.settings import load_settings
from trading_core.storage.artifact_store import ArtifactStore, write_atomically

CODES = {ParityState.PARITY: 0, ParityState.DIVERGES: 4, ParityState.NO_DATA: 4}
STYLES = {ParityState.PARITY: "green", ParityState.DIVERGES: "bold red", ParityState.NO_DATA: "yellow"}


def parity(
    run_a: Annotated[str, typer.Argument(help="A run's id or directory; its plan has the margins.")],
    run_b: Annotated[str, typer.Argument(help="The run that it is compared with: paper or live beside a rehearsal.")],
) -> None:
    """Compare fills, latency, slippage and fees on the same signals; exit code 4 unless all lie within the margins."""
    settings = load_settings(os.environ)
    folder_a, folder_b = find_run(settings, run_a), find_run(settings, run_b)
    found = compare_runs(folder_a, folder_b)
    write_atomically(folder_a / f"{PARITY}.json", canonical_json(found) + b"\n")
    console = make_console()
    console.print(_table(found))
    console.print(f"{found.state}: {found.headline}", markup=False, style=STYLES[found.state])
    raise typer.Exit(CODES[found.state])


def compare_runs(folder_a: Path, folder_b: Path) -> ParityReport:
    """Return the comparison of two run directories; raises ConfigurationError for evidence that cannot be used."""
    margins = Plan.model_validate_json(ArtifactStore(folder_a).read(PLAN)).parity
    if margins is None:
        raise ConfigurationError(f"the plan of {folder_a.name} has no [parity] section: add its margins, and why")
    return compare(_logs(folder_a), _logs(folder_b), margins)


def _logs(folder: Path) -> ExecutionLogs:
    store = ArtifactStore(folder)
    context = RunContext.model_validate_json(store.read(RUN))
    subject = Subject.model_validate_json(store.read(SUBJECT))
    try:
        return load_evidence(store, context.run_id, subject.digest).get(ExecutionLogs)
    except Unusable as e:
        raise ConfigurationError(f"run {folder.name} cannot be compared ({e.reason}): {e.detail}") from e


def _table(found: ParityReport) -> Table:
    title = f"{found.a.run_id} ({found.a.venue}) and {found.b.run_id} ({found.b.venue}): {found.matched} signals"
    heads = ("figure", "product", "a", "b", "delta", "margin", "n", "")
    table = Table(*heads, title=title, title_justify="left", box=None)
    for row in found.rows:
        figures = ["none" if v is None else plain(v) for v in (row.a, row.b, row.delta)]
        state = f"[{STYLES[row.state]}]{row.state}[/]"
        table.add_row(row.figure, row.product_id, *figures, plain(row.margin), f"{row.n_a}/{row.n_b}", state)
    return table
