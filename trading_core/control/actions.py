"""What an operator may do to accounts, by whichever way: HTTP, command line or a flow. Each is idempotent."""

from __future__ import annotations

import os
from pathlib import Path

from trading_core.bootstrap import account_fingerprint
from trading_core.clock import wall_now_ns
from trading_core.control.accounts import Account, account_guard, read_account
from trading_core.control.status import AccountStatus, account_status
from trading_core.errors import ConfigurationError
from trading_core.plan import PlanModel
from trading_core.run import VenueName
from trading_core.settings import load_settings
from trading_core.trading_state import TradingState


class Done(PlanModel):
    """What became of one account."""

    account: str
    before: TradingState
    after: TradingState
    problem: str = ""  # why other processes may not know of it

    @property
    def is_done(self) -> bool:
        """Tell whether every process of the account sees it."""
        return not self.problem


def tighten(root: Path, accounts: list[Account], state: TradingState, *, reason: str, actor: str) -> list[Done]:
    """Lower the risk of the accounts to at most that state; a tighter one stays. Never raises for one of them."""
    return [_tighten_one(root, account.name, state, reason, actor) for account in accounts]


def resume(root: Path, account: Account, *, operator: str, reason: str) -> Done:
    """Set the account ACTIVE on a named operator's word. Raises ConfigurationError without name or reason."""
    if not operator.strip() or not reason.strip():
        raise ConfigurationError("resuming needs the operator's name and a reason: both stay in the audit trail")
    guard = account_guard(root, account.name)
    before = guard.state
    after = guard.loosen(TradingState.ACTIVE, reason=reason.strip(), operator=operator.strip())
    return Done(account=account.name, before=before, after=after)


def live_account() -> str:
    """Return the name of the configured live account; empty if no key is configured, or it cannot be read."""
    try:
        if not load_settings(os.environ).has_credentials:
            return ""
        return account_fingerprint(VenueName.LIVE)
    except ConfigurationError:
        return ""


def status_of(root: Path, names: list[str]) -> list[AccountStatus]:
    """Return the status of these accounts as of now."""
    now_ns = wall_now_ns()
    return [account_status(root, read_account(root, name), now_ns) for name in names]


def _tighten_one(root: Path, name: str, state: TradingState, reason: str, actor: str) -> Done:
    guard = account_guard(root, name)
    before = guard.state
    after = guard.tighten(state, reason=reason, actor=actor)
    return Done(account=name, before=before, after=after, problem=guard.unsaved_because)
