"""The emergency flow: what an operator, or an automation, does to accounts. Each action may be repeated.

For the convenience of people: the trading state is a file that works without Prefect, as does `greenlight state`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import assert_never

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed

from flows.answers import answered
from flows.requests import EmergencyAction, EmergencyRequest
from tasks.pages import show_table
from trading_core.control.accounts import Account, accounts_meant
from trading_core.control.actions import Done, live_account, resume, tighten
from trading_core.control.takeover import take_over
from trading_core.errors import ConfigurationError
from trading_core.settings import load_settings
from trading_core.trading_state import TradingState

STATES = {EmergencyAction.REDUCE_ONLY: TradingState.REDUCE_ONLY, EmergencyAction.DISABLE: TradingState.HALTED}


@flow(name="emergency", flow_run_name="{request.action} by {request.operator}", retries=0)
def emergency(request: EmergencyRequest) -> State[None]:
    """Lower the risk of accounts, or resume one: reduce-only, close-all, disable, resume.

    Done: every process of the accounts sees it. Flat: the venue says so. NotFlat or NotDone: look at the venue now.
    """
    root = load_settings(os.environ).event_store_root
    accounts = accounts_of(root, request)
    if not accounts:
        return Completed(name="NothingToDo", message="no account has an open session: nothing trades")
    match request.action:
        case EmergencyAction.CLOSE_ALL:
            return _close_all(root, accounts, request)
        case EmergencyAction.RESUME:
            return _shown([resume(root, accounts[0], operator=request.operator, reason=request.reason)], request)
        case EmergencyAction.REDUCE_ONLY | EmergencyAction.DISABLE:
            actor = f"emergency flow, {request.operator}"
            done = tighten(root, accounts, STATES[request.action], reason=request.reason, actor=actor)
            return _shown(done, request)
        case _:
            assert_never(request.action)


def accounts_of(root: Path, request: EmergencyRequest) -> list[Account]:
    """Return the accounts that are meant. A run that nobody knows means every account that trades, to lower risk only.

    With `known_only` it means none: it is another machine's. Raises ConfigurationError if the action names an account
    that is not known and would do more than lower risk.
    """
    try:
        return accounts_meant(root, account=request.account, run=request.run_id, live_account=live_account())
    except ConfigurationError:
        if request.known_only and request.run_id:
            return []
        if request.action not in STATES or request.account:
            raise
        return accounts_meant(root, live_account=live_account())


def _close_all(root: Path, accounts: list[Account], request: EmergencyRequest) -> State[None]:
    log = get_run_logger()
    actor = f"emergency flow, {request.operator}"
    taken = [take_over(root, account, reason=request.reason, actor=actor, say=log.warning) for account in accounts]
    rows = [{"account": t.account, "run": t.run_id, "state": t.state.value, "venue": t.sentence} for t in taken]
    show_table("emergency", rows, f"{request.action} by {request.operator}: {request.reason}")
    words = "; ".join(f"{t.account}: {t.sentence}" for t in taken)
    if all(t.is_flat for t in taken):
        return Completed(name="Flat", message=words)
    return answered(Failed(name="NotFlat", message=f"{words}. Go to the venue's own web site now"))


def _shown(done: list[Done], request: EmergencyRequest) -> State[None]:
    rows = [{"account": d.account, "before": d.before, "after": d.after, "problem": d.problem} for d in done]
    show_table("emergency", [{k: str(v) for k, v in row.items()} for row in rows],
               f"{request.action} by {request.operator}: {request.reason}")
    words = "; ".join(f"{d.account}: {d.before} → {d.after}{', ' + d.problem if d.problem else ''}" for d in done)
    if all(d.is_done for d in done):
        return Completed(name="Done", message=words)
    return answered(Failed(name="NotDone", message=f"{words}. Disable the key at the venue"))
