"""What the control server says of every account: its trading state, who set it, and the session that trades it."""

from __future__ import annotations

from pathlib import Path

from trading_core.clock import iso, wall_now_ns
from trading_core.control.accounts import Account, account_guard, list_accounts
from trading_core.plan import PlanModel
from trading_core.trading_state import TradingState


class SessionStatus(PlanModel):
    """The session of an account, as it last said."""

    run_id: str
    plan: str
    venue: str
    started_at: str
    last_beat_at: str
    silent_s: float
    lost_after_s: int
    is_alive: bool  # has not ended, and said so within the plan's time
    has_ended: bool
    is_flat: bool | None


class AccountStatus(PlanModel):
    """One account."""

    account: str
    state: TradingState
    reason: str
    actor: str
    since: str
    session: SessionStatus | None
    problem: str = ""


class ControlStatus(PlanModel):
    """Every account, as of a moment."""

    at: str
    accounts: tuple[AccountStatus, ...]


def control_status(event_store_root: Path) -> ControlStatus:
    """Return the status as of now, read from the files that the sessions themselves obey."""
    now_ns = wall_now_ns()
    found = list_accounts(event_store_root)
    return ControlStatus(
        at=iso(now_ns), accounts=tuple(account_status(event_store_root, account, now_ns) for account in found)
    )


def account_status(event_store_root: Path, account: Account, now_ns: int) -> AccountStatus:
    """Return the status of one account."""
    guard = account_guard(event_store_root, account.name)
    history = guard.history()
    last = history[-1] if history else None
    return AccountStatus(
        account=account.name,
        state=guard.state,
        reason=last.reason if last else "first start",
        actor=last.actor if last else "guard",
        since=iso(last.ts_ns) if last else "",
        session=_session(account, now_ns),
        problem=account.beat_problem,
    )


def _session(account: Account, now_ns: int) -> SessionStatus | None:
    beat = account.beat
    if beat is None:
        return None
    return SessionStatus(
        run_id=beat.run_id, plan=beat.plan, venue=beat.venue, started_at=iso(beat.started_ns),
        last_beat_at=iso(beat.beat_ns), silent_s=round(max(0.0, beat.silent_s(now_ns)), 3),
        lost_after_s=beat.lost_after_s, is_alive=not beat.has_ended and not account.is_silent(now_ns),
        has_ended=beat.has_ended, is_flat=beat.is_flat,
    )
