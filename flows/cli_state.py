"""`greenlight state`: the trading state of every account. Anyone may tighten one, only a named operator loosens it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from flows.console import make_console
from trading_core.clock import iso, wall_now_ns
from trading_core.control.accounts import STATE_FILE, account_guard, accounts_meant, list_accounts
from trading_core.control.actions import live_account
from trading_core.control.actions import resume as set_active
from trading_core.errors import ConfigurationError
from trading_core.settings import load_settings
from trading_core.state_repair import repair as repair_file
from trading_core.trading_state import TradingState
from trading_core.transfer_file import FiledTransfer, TransferFile

app = typer.Typer(no_args_is_help=True, help="Show and set the trading state of the live account, or of any by name.")

Reason = Annotated[str, typer.Option(help="Why; it stays in the audit trail.")]
Named = Annotated[str, typer.Option("--account", help="Account by name; the configured live one if not given.")]


@app.command("list")
def list_states() -> None:
    """Show every account with its state."""
    console = make_console()
    for account in list_accounts(_root()):
        console.print(f"{account_guard(_root(), account.name).state:<11}  {account.name}", markup=False)


@app.command()
def show(account: Named = "") -> None:
    """Show the state and who set it, oldest first."""
    guard = account_guard(_root(), _name(account))
    console = make_console()
    for record in guard.history():
        console.print(f"{iso(record.ts_ns)}  {record.state:<11}  {record.actor}: {record.reason}", markup=False)
    console.print(f"now: {guard.state}")


@app.command()
def tighten(
    state: Annotated[TradingState, typer.Argument(help="REDUCE_ONLY or HALTED.")], reason: Reason, account: Named = ""
) -> None:
    """Tighten the state; every process of the account obeys before its next order."""
    held = account_guard(_root(), _name(account)).tighten(state, reason=reason, actor="command line")
    make_console().print(f"now: {held}")


@app.command()
def resume(
    operator: Annotated[str, typer.Option(help="Your name; it is audited.")], reason: Reason, account: Named = ""
) -> None:
    """Set the state to ACTIVE, so that a live run may start. Look first why it was tightened."""
    [meant] = accounts_meant(_root(), account=_name(account), live_account=live_account())
    done = set_active(_root(), meant, operator=operator, reason=reason)
    make_console().print(f"now: {done.after}")


@app.command()
def repair(
    operator: Annotated[str, typer.Option(help="Your name; it is audited.")], reason: Reason, account: Named = ""
) -> None:
    """Set aside lines that cannot be read, as a full disk leaves them. The account is HALTED after it."""
    name = _name(account)
    done = repair_file(_root() / "accounts" / name / STATE_FILE, operator=operator, reason=reason)
    console = make_console()
    console.print(f"{done.damage.words}; the file as it was: {done.set_aside}", markup=False)
    console.print(f"now: {account_guard(_root(), name).state}; look at the venue, then greenlight state resume")


@app.command()
def transfer(
    amount: Annotated[str, typer.Option(help="Money that comes in; negative if it leaves.")],
    operator: Annotated[str, typer.Option(help="Your name; it is audited.")], reason: Reason,
    currency: Annotated[str, typer.Option(help="USD or USDC.")] = "USD", account: Named = "",
) -> None:
    """Announce a transfer before you make it: a running session books it when the venue shows exactly that amount."""
    folder = account_guard(_root(), _name(account)).folder
    try:
        filed = FiledTransfer(
            ts_ns=wall_now_ns(), currency=currency, amount=amount, why=reason, operator=operator
        )
    except ValueError as e:
        raise ConfigurationError(f"{amount} {currency} is no transfer ({e}): write a decimal and USD or USDC") from e
    make_console().print(f"announced as {TransferFile(folder).file(filed)}; what the venue shows otherwise stays drift")


def _name(account: str) -> str:
    """Return the account that is meant; raises ConfigurationError if it is not known."""
    if not account and not live_account():
        raise ConfigurationError("no live key is configured: name an account with --account (greenlight state list)")
    name = account or live_account()
    [meant] = accounts_meant(_root(), account=name, live_account=live_account())
    return meant.name


def _root() -> Path:
    return load_settings(os.environ).event_store_root
