"""`greenlight up`, `down` and `doctor`: everything at once, its end, and what is wrong."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from flows.console import make_console
from flows.doctor import Health, examine
from flows.processes import wait_for_end
from flows.up import OTHERS_WITHIN_S, Supervisor, UpOptions
from flows.up_files import Started, forget_up, read_up
from flows.up_flows import RUNS_WITHIN_S, await_runs, stop_runs
from trading_core.settings import load_settings

UNHEALTHY = 4
STYLES = {Health.WELL: "green", Health.WARNING: "yellow", Health.BROKEN: "bold red"}


def up(
    port: Annotated[int, typer.Option(help="Port of Prefect's server and UI; 0 takes a free one.")] = 4200,
    control_port: Annotated[int, typer.Option(help="Port of the dashboard; 0 takes a free one.")] = 8080,
    exchange_port: Annotated[int, typer.Option(help="Port of the local exchange; 0 takes a free one.")] = 8765,
) -> None:
    """Start Prefect, a worker, the deployments, local exchange, dashboard and watchdog; Ctrl+C stops all."""
    options = UpOptions(
        home=prefect_home(), settings=load_settings(os.environ), port=port, control_port=control_port,
        exchange_port=exchange_port,
    )
    Supervisor(options, say=typer.echo).run()


def down() -> None:
    """Stop what the last `up` started, and nothing else: each process is known by its number and its start."""
    home = prefect_home()
    found = read_up(home)
    if found is None:
        typer.echo("nothing is up")
        return
    if found.supervisor.is_running:
        os.kill(found.supervisor.pid, signal.SIGTERM)
        left = wait_for_end([found.supervisor], RUNS_WITHIN_S + 5 * OTHERS_WITHIN_S)
        typer.echo("stopped" if not left else f"process {found.supervisor.pid} is still stopping: look at its output")
        raise typer.Exit(UNHEALTHY if left else 0)
    # The supervisor was killed: its parts are ended in its place, worker and runs first, the server last.
    for child in found.children:
        if child.name == "worker":
            _kill(child)
    left = await_runs(stop_runs(found.api_url, load_settings(os.environ).event_store_root))
    for one in left:
        typer.echo(f"{one.name} (process {one.pid}) still runs: look at the venue")
    for child in reversed(found.children):
        _end(child)
    forget_up(home)
    typer.echo("stopped what a killed `up` had left")
    if left:
        raise typer.Exit(UNHEALTHY)


def doctor() -> None:
    """Look at ports, versions, database, event store, clock, disk and leftovers: exit code 4 if anything is broken."""
    findings = examine(load_settings(os.environ), prefect_home())
    table = Table("what", "state", "found", "remedy", box=None)
    for f in findings:
        table.add_row(f.what, f"[{STYLES[f.health]}]{f.health}[/]", f.found, f.remedy)
    make_console().print(table)
    if any(f.health is Health.BROKEN for f in findings):
        raise typer.Exit(UNHEALTHY)


def prefect_home() -> Path:
    """Return Prefect's folder, which `flows` has set if nobody else did."""
    return Path(os.environ["PREFECT_HOME"]).expanduser().absolute()


def _end(child: Started) -> None:
    if not child.is_running:
        return
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
    if wait_for_end([child], OTHERS_WITHIN_S):
        _kill(child)


def _kill(child: Started) -> None:
    if child.is_running:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
