"""`greenlight watch`: what the dashboard shows, on a terminal. For ssh, and for when no browser is at hand."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from flows.console import make_console
from trading_core.clock import pause
from trading_core.control.config import make_settings
from trading_core.control.feed import RunWatch, find_run_dir
from trading_core.settings import load_settings

LOOK_EVERY_S = 1.0
BAR_WIDTH = 16
STYLES = {"good": "green", "warn": "yellow", "bad": "bold red", "": ""}
STATES = {"ACTIVE": "green", "REDUCE_ONLY": "yellow", "HALTED": "bold red"}
SEVERITIES = {"INFO": "", "WARNING": "yellow", "ERROR": "bold red", "CRITICAL": "bold white on red"}


def watch(
    run: Annotated[str, typer.Argument(help="A run's id; without one the run that trades now, or the last.")] = "",
    once: Annotated[bool, typer.Option("--once", help="Print one frame and end.")] = False,
) -> None:
    """Watch a run live until Ctrl+C. It only reads: nothing that trades knows of it."""
    found = load_settings(os.environ)
    settings = make_settings(event_store_root=found.event_store_root, artifacts_root=found.artifacts_root)
    seen = RunWatch(settings, find_run_dir(settings, run))
    console = make_console()
    try:
        if once:
            console.print(frame(seen.look()))
            return
        with Live(frame(seen.look()), console=console, auto_refresh=False, screen=True) as live:
            while True:
                pause(LOOK_EVERY_S)
                live.update(frame(seen.look()), refresh=True)
    except KeyboardInterrupt:
        return
    finally:
        seen.close()


def frame(v: dict[str, Any]) -> RenderableType:
    """Return one frame. Words of the venue are text and never markup."""
    return Group(
        _head(v), Columns(_tiles(v), equal=True, expand=True), _alerts(v["alerts"]), _symbols(v["symbols"]),
        _bars("limits", [
            (g["name"], g["latched"] or f"{_short(g['observed'])} of {g['limit']}", min(g["share"] or 0.0, 1.0),
             "bad" if g["latched"] or (g["share"] or 0) > 1 else "warn" if (g["share"] or 0) >= 0.8 else "")
            for g in v["guardrails"] if g["is_guardrail"]
        ]),
        _bars("progress to the verdict", [(p["title"], p["words"], p["share"], p["tone"]) for p in v["progress"]]),
        _latest(v["latest"]),
    )


def _head(v: dict[str, Any]) -> Text:
    run, beat = v["run"], v["beat"]
    line = Text(f"{run['title']}  ", style="bold")
    line.append(v["state"] or "starting", style=STATES.get(v["state"], "yellow"))
    line.append(f"  {run['id']} · {run['venue']} ({run['level']})", style="dim")
    if run["flat"] or (beat and beat["has_ended"]):
        style = "bold red" if run["is_flat"] is False else ""
        line.append(f"  ended: {run['flat'] or 'see its report'}", style=style)
    elif v["data_age_s"] is not None:
        line.append(f"  data {v['data_age_s']:.0f} s old", style="green" if v["data_age_s"] <= 15 else "bold red")
    if v["checkpoints"]["overdue_s"] is not None:
        words = f"checkpoint T+{v['checkpoints']['next_h']}h is overdue by {v['checkpoints']['overdue_s']} s"
        line.append(f"\n{words}", style="bold red")
    if v["problem"]:
        line.append(f"\n{v['problem']}", style="bold red")
    return line


def _tiles(v: dict[str, Any]) -> list[RenderableType]:
    yes, no = v["orders"]["acceptance"]
    share = f"{100 * yes / (yes + no):.1f} %" if yes + no else "–"
    left = v["run"]["left_s"]
    return [
        Panel(Text(_short(words)), title=title) for title, words in (
            ("equity", v["money"]["equity"]), ("pnl", v["money"]["pnl"]),
            ("acceptance", f"{share}, {yes} of {yes + no}"), ("margin in use", v["margin"]["utilization"]),
            ("drift", v["money"]["drift"]), ("answer p95 ms", v["latency"]["p95"]),
            ("time left s", None if left is None else str(left)),
        )
    ]


def _alerts(alerts: list[dict[str, Any]]) -> RenderableType:
    table = Table("at", "severity", "alert", "answered", title="alerts", title_justify="left", expand=True)
    for a in alerts[:8]:
        answered = a["answered_by"] or ("cleared" if a["is_cleared"] else "nobody")
        table.add_row(a["at"], Text(a["severity"], SEVERITIES.get(a["severity"], "")),
                      Text(f"{a['name']}: {a['detail']}  [{a['id']}]"), Text(answered))
    return table if alerts else Text("no alert", style="dim")


def _symbols(symbols: list[dict[str, Any]]) -> RenderableType:
    keys = ("position", "notional", "unrealized", "mark", "spread_bps", "depth", "liquidity", "stale_s")
    table = Table("symbol", *keys, expand=True)
    for s in symbols:
        table.add_row(Text(s["id"]), *(Text(_short(s.get(key)), justify="right") for key in keys))
    return table


def _short(words: str | None) -> str:
    """Return a figure with at most four decimals, cut and not rounded; words as they are."""
    if words is None:
        return "–"
    whole, dot, part = words.partition(".")
    return f"{whole}.{part[:4]}" if dot and part.isdigit() else words


def _bars(title: str, rows: list[tuple[str, str, float, str]]) -> RenderableType:
    table = Table(title, "", "", show_header=True, box=None, expand=True)
    for name, words, share, tone in rows:
        bar = ProgressBar(total=1.0, completed=share, width=BAR_WIDTH)
        table.add_row(Text(name.replace("_", " ")), bar, Text(words, STYLES[tone]))
    return table


def _latest(latest: list[dict[str, str]]) -> RenderableType:
    table = Table("at", "what", "", box=None, expand=True)
    for line in latest[:8]:
        table.add_row(line["at"], Text(line["what"], STYLES[line["tone"]]), Text(line["words"]))
    return table
