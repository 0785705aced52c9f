"""`greenlight alerts`: what was raised, who answered, and whether a message gets through."""

from __future__ import annotations

import importlib
import os
from typing import Annotated

import typer
from rich.table import Table

from flows.console import make_console
from trading_core.alert_book import acknowledge, books
from trading_core.alert_desk import Message
from trading_core.alerts import Severity
from trading_core.clock import iso
from trading_core.errors import GreenlightError
from trading_core.settings import load_settings

app = typer.Typer(no_args_is_help=True, help="Alerts of every account: list, acknowledge, send a test.")
NOT_SENT = 1


@app.command("list")
def list_alerts(
    every: Annotated[bool, typer.Option("--all", help="Also those that were acknowledged or ask for nothing.")] = False,
) -> None:
    """Show the alerts that wait for an answer, oldest first."""
    found = [a for book in books(load_settings(os.environ).event_store_root) for a in book.alerts()]
    shown = [a for a in found if every or (a.is_open and a.severity.rank >= Severity.ERROR.rank)]
    console = make_console()
    if not shown:
        console.print("no alert waits for an answer" if not every else "no alert was ever raised")
        return
    table = Table("noted", "severity", "alert", "what", "answered", title=f"{len(shown)} alerts")
    for alert in shown:
        table.add_row(iso(alert.noted_ns)[:19], alert.severity, alert.alert_id, f"{alert.name}: {alert.detail}",
                      alert.acknowledged_by or ("cleared by itself" if alert.is_cleared else "nobody"))
    console.print(table)


@app.command()
def ack(
    alert_id: Annotated[str, typer.Argument(help="The alert as `alerts list` names it: RUN:NUMBER.")],
    by: Annotated[str, typer.Option(help="Your name; it is kept.")],
    note: Annotated[str, typer.Option(help="What you found.")] = "",
) -> None:
    """Say that you have seen an alert. A CRITICAL that nobody acknowledged holds the promotion."""
    alert = acknowledge(load_settings(os.environ).event_store_root, alert_id, by=by, note=note)
    make_console().print(f"{alert.alert_id} {alert.name}: acknowledged by {alert.acknowledged_by}", markup=False)


@app.command("test")
def send_test() -> None:
    """Send a test message to every sink; exit code 1 if one did not take it."""
    message = Message("test", Severity.INFO, "test message", "Alerts get through.", "none", "test")
    console, failed = make_console(), False
    # It imports Prefect, which takes seconds: only the command that needs it pays for it.
    for sink in importlib.import_module("flows.alert_sinks").sinks_of(load_settings(os.environ)):
        try:
            sink.send(message)
            console.print(f"{sink.name}: taken")
        except GreenlightError as e:
            failed = True
            console.print(f"{sink.name}: {e}", markup=False)
    if failed:
        raise typer.Exit(NOT_SENT)
