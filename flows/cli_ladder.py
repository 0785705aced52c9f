"""`greenlight ladder`, `analyze` and `report`: where every bot stands, and what files show."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from flows.cli_gate import RunName, find_run
from flows.console import VERDICT_STYLES, make_console
from trading_core.clock import SystemClock, iso
from trading_core.errors import ConfigurationError
from trading_core.gate.ladder import Standing, standings
from trading_core.gate.publish import GateFiles
from trading_core.gate.signing import signing_key
from trading_core.gate.subject import Bot
from trading_core.plan import Level
from trading_core.settings import load_settings

NO_GO = 4


def ladder(
    level: Annotated[Level | None, typer.Option(help="Only this level; L3 is live.")] = None,
) -> None:
    """Show where each bot stands: its latest decision on each rung, until when it holds, and what it owes."""
    settings = load_settings(os.environ)
    key = signing_key(settings)
    files = GateFiles(settings.event_store_root)
    records = files.decisions.records(None if key is None else key.public_key())
    now_ns = SystemClock().now_ns()
    found = [s for s in standings(records, now_ns, files.demotions.demotions()) if level in (None, s.level)]
    console = make_console()
    if not found:
        console.print("nothing was decided yet: run greenlight run phase2 --venue simulated")
        return
    for bot in dict.fromkeys(s.bot.model_dump_json() for s in found):
        mine = [s for s in found if s.bot.model_dump_json() == bot]
        console.print(_bot_words(mine[0].bot), markup=False, style="bold")
        console.print(_table(mine, now_ns))


def analyze(
    folder: Annotated[Path, typer.Argument(help="A directory with the five artifacts, whoever wrote it.")],
) -> None:
    """Judge a directory in the five-file layout. It is never proven without its event store: exit code 4."""
    if not folder.is_dir():
        raise ConfigurationError(f"{folder} is no directory: name one with the five artifacts")
    # pandas is imported with it: only the commands that analyse pay for it.
    found = importlib.import_module("checks.analyze_dir").analyze_dir(folder)
    make_console().print(found.text(), markup=False, end="", soft_wrap=True)
    raise typer.Exit(NO_GO)


def report(
    run: RunName, pdf: Annotated[bool, typer.Option("--pdf", help="Print it to PDF with a headless Chromium.")] = False
) -> None:
    """Build a run's report again, and print it if asked; the decision is not touched."""
    folder = find_run(load_settings(os.environ), run)
    written = importlib.import_module("checks.report").build_report(folder)
    paths = [written.html]
    if pdf:
        paths.append(importlib.import_module("checks.report_pdf").print_pdf(written.html))
    for path in paths:
        make_console().print(str(path), markup=False, soft_wrap=True)


def _bot_words(bot: Bot) -> str:
    parts = [
        f"commit {bot.git_commit[:12]}{' with changes' if bot.is_dirty else ''}", bot.strategy,
        f"account {bot.account_fingerprint}", f"lock {bot.lock_digest[:8]}",
    ]
    return ", ".join([*parts, *([f"faults {bot.faults}"] if bot.faults else [])])


def _table(mine: list[Standing], now_ns: int) -> Table:
    table = Table("rung", "level", "verdict", "attempts", "valid until", "owes", "run", "next rung", box=None)
    for s in mine:
        until = "" if s.valid_until_ns is None else iso(s.valid_until_ns)
        owes = "; ".join(f"{o.name} by {iso(o.due_ns)}: {o.state}" for o in s.obligations)
        table.add_row(
            s.rung, s.level, f"[{VERDICT_STYLES[s.verdict]}]{s.verdict}[/]", str(s.attempts), until, owes, s.run_id,
            _next_words(s, now_ns),
        )
    return table


def _next_words(standing: Standing, now_ns: int) -> str:
    if standing.level is not Level.L3:
        return f"rehearsal, demoted: {standing.demoted_by}" if standing.demoted_by else "rehearsal"
    return "refused: " + problem if (problem := standing.problem(now_ns)) else "may start"
