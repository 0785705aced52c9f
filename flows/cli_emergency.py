"""`greenlight emergency`: lower risk, close everything, look, resume. Needs neither Prefect nor a live session."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer

from trading_core.bootstrap import account_name
from trading_core.clock import NS, SystemClock, wall_now_ns
from trading_core.control import actions
from trading_core.control.accounts import Account, accounts_meant
from trading_core.control.drill import run_drill
from trading_core.control.status import AccountStatus, control_status
from trading_core.control.takeover import Takeover, take_over
from trading_core.plan_files import find_plan
from trading_core.prepare import prepare_run
from trading_core.run import VenueName
from trading_core.settings import load_settings
from trading_core.trading_state import TradingState

app = typer.Typer(no_args_is_help=True, help="Lower risk at once, close everything, look, resume.")
NOT_DONE = 4  # not flat at the venue, or not obeyed by every process

Named = Annotated[str, typer.Option("--account", help="None means every one with a session, and the live one.")]
OfRun = Annotated[str, typer.Option("--run", help="The account that this run trades.")]
Why = Annotated[str, typer.Option(help="Why; it stays in the audit trail.")]


@app.command("reduce-only")
def reduce_only(account: Named = "", run: OfRun = "", reason: Why = "asked on the command line") -> None:
    """Let only reducing orders pass, from the next order on."""
    _lower(account, run, TradingState.REDUCE_ONLY, reason)


@app.command()
def disable(account: Named = "", run: OfRun = "", reason: Why = "asked on the command line") -> None:
    """Let no order pass but those of the ladder."""
    _lower(account, run, TradingState.HALTED, reason)


@app.command("close-all")
def close_all(account: Named = "", run: OfRun = "", reason: Why = "asked on the command line") -> None:
    """Climb the ladder: reduce-only, cancel all, close what the run opened, verify at the venue, save the logs.

    Ends with code 0 if every account is flat, else with 4. May be run again, and beside another one.
    """
    meant = _meant(account, run)
    started_ns = _stopwatch.stopwatch_ns()

    def act(one: Account) -> Takeover:
        return take_over(_root(), one, reason=reason, actor="command line", say=_sayer(started_ns, one.name))

    with ThreadPoolExecutor(max(1, len(meant))) as pool:
        taken = list(pool.map(act, meant))
    for one in taken:
        _show_takeover(one)
    raise typer.Exit(0 if all(one.is_flat for one in taken) else NOT_DONE)


@app.command()
def resume(
    account: Annotated[str, typer.Option(help="The account; status names them.")],
    operator: Annotated[str, typer.Option(help="Your name; it is audited.")],
    reason: Annotated[str, typer.Option(help="What was wrong, and why it is not any more.")],
) -> None:
    """Set an account active again. Look first why it was tightened."""
    [meant] = _meant(account, "")
    done = actions.resume(_root(), meant, operator=operator, reason=reason)
    typer.echo(f"{done.account}: {done.before} → {done.after}")


@app.command()
def status() -> None:
    """Show each account's state, who set it, and the session that trades it."""
    found = control_status(_root())
    for one in found.accounts:
        typer.echo(f"{one.account}: {one.state} since {one.since or 'its first start'}, {one.actor}: {one.reason}")
        typer.echo(f"  {_session_words(one)}")
    if not found.accounts:
        typer.echo("no account has a trading state or a session yet")


@app.command()
def drill(
    plan: Annotated[str, typer.Argument(help="The rung whose rehearsal is stopped.")] = "phase2",
    speed: Annotated[float, typer.Option(help="How many times faster than the clock.")] = 10.0,
    day: Annotated[str, typer.Option(help="Recorded day: calm, typical or volatile.")] = "volatile",
    seed: Annotated[int, typer.Option(help="Seed of the rehearsal.")] = 1,
) -> None:
    """Rehearse each rung at our own exchange: entry refused, exit accepted, time to reduce-only and to flat."""
    settings = load_settings(os.environ)
    context = prepare_run(
        plan=find_plan(plan), venue=VenueName.LOCAL, day=day, seed=seed, speed=speed, faults="",
        run_id=f"drill-{plan}-{wall_now_ns() // NS}", artifacts_root=settings.artifacts_root,
        event_store_root=settings.event_store_root,
    )
    done = run_drill(context, _sayer(_stopwatch.stopwatch_ns(), account_name(context)))
    path = context.run_dir / "drill.json"
    path.write_text(done.model_dump_json(indent=2) + "\n", "utf-8")
    for step in done.steps:
        after = "" if step.seconds is None else f" after {step.seconds} s"
        typer.echo(f"{'shown    ' if step.is_shown else 'NOT SHOWN'} {step.name}{after}: {step.detail}")
    typer.echo(f"measured: {path}")
    raise typer.Exit(0 if done.is_shown else NOT_DONE)


def _lower(account: str, run: str, state: TradingState, reason: str) -> None:
    done = actions.tighten(_root(), _meant(account, run), state, reason=reason, actor="command line")
    for one in done:
        typer.echo(f"{one.account}: {one.before} → {one.after}" + (f": {one.problem}" if one.problem else ""))
    raise typer.Exit(0 if all(one.is_done for one in done) else NOT_DONE)


def _meant(account: str, run: str) -> list[Account]:
    meant = accounts_meant(_root(), account=account, run=run, live_account=actions.live_account())
    if not meant:
        typer.echo("no account has an open session, and no live key is configured: nothing trades")
    return meant


def _show_takeover(taken: Takeover) -> None:
    typer.echo(f"{taken.account}: {taken.sentence}")
    typer.echo(f"  trading state {taken.state}; artifacts: {taken.saved or 'none'}")
    at = "never" if taken.flat_s is None else f"{taken.flat_s} s"
    typer.echo(f"  nothing new could be opened after {taken.reduce_only_s} s, flat after {at}")
    if not taken.is_flat:
        typer.echo("  go to the venue's own web site now: cancel all, close what is open, revoke the key", err=True)


def _session_words(one: AccountStatus) -> str:
    session = one.session
    if session is None:
        return one.problem or "no session yet"
    how = "alive" if session.is_alive else "ended" if session.has_ended else "SILENT"
    flat = {True: ", flat", False: ", NOT FLAT", None: ""}[session.is_flat]
    who = f"session {session.run_id} ({session.plan} on {session.venue})"
    return f"{who}: {how}{flat}, last beat {session.last_beat_at}"


_stopwatch = SystemClock()


def _sayer(started_ns: int, name: str) -> Callable[[str], None]:
    def say(sentence: str) -> None:
        typer.echo(f"+{(_stopwatch.stopwatch_ns() - started_ns) / NS:6.1f} s  {name}: {sentence}", err=True)

    return say


def _root() -> Path:
    return load_settings(os.environ).event_store_root
