"""`greenlight state`: the live account's trading state. Anyone may tighten it, only a named operator loosens it."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from flows.console import make_console
from trading_core.bootstrap import account_fingerprint, open_guard
from trading_core.clock import SystemClock, iso
from trading_core.run import VenueName
from trading_core.settings import load_settings
from trading_core.trading_state import TradingGuard, TradingState

app = typer.Typer(no_args_is_help=True, help="Show and set the trading state of the live account.")

Reason = Annotated[str, typer.Option(help="Why; it stays in the audit trail.")]


@app.command()
def show() -> None:
    """Show the state and who set it, oldest first."""
    guard = _guard()
    console = make_console()
    for record in guard.history():
        console.print(f"{iso(record.ts_ns)}  {record.state:<11}  {record.actor}: {record.reason}", markup=False)
    console.print(f"now: {guard.state}")


@app.command()
def tighten(state: Annotated[TradingState, typer.Argument(help="REDUCE_ONLY or HALTED.")], reason: Reason) -> None:
    """Tighten the state; every process of the account obeys before its next order."""
    held = _guard().tighten(state, reason=reason, actor="command line")
    make_console().print(f"now: {held}")


@app.command()
def resume(operator: Annotated[str, typer.Option(help="Your name; it is audited.")], reason: Reason) -> None:
    """Set the state to ACTIVE, so that a live run may start. Look first why it was tightened."""
    held = _guard().loosen(TradingState.ACTIVE, reason=reason, operator=operator)
    make_console().print(f"now: {held}")


def _guard() -> TradingGuard:
    settings = load_settings(os.environ)
    return open_guard(settings.event_store_root, account_fingerprint(VenueName.LIVE), SystemClock())
