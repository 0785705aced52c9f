"""The emergency ladder from outside of a session: reduce-only, cancel, close, verify, disable, save. Needs nobody."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import msgspec

from trading_core.bootstrap import Connection
from trading_core.clock import NS, SystemClock, iso, wall_now_ns
from trading_core.control.accounts import Account, account_guard
from trading_core.control.reach import (
    Target,
    has_venue_ended,
    insist,
    is_running,
    opening_positions,
    products_of,
    reach,
    target_of,
)
from trading_core.control.salvage import salvage
from trading_core.emergency import FlatReport, LadderLimits, flatten
from trading_core.errors import GreenlightError, StorageError, VenueError
from trading_core.plan import PlanModel, Rollback
from trading_core.products import Product
from trading_core.trading_state import TradingGuard, TradingState

AUDIT_FILE = "emergencies.jsonl"
PATIENT_PAUSE_S = 10  # what the pause between rounds grows to while the venue does not answer
ROUNDS_UNLIMITED = 1_000_000  # outside of a session only time ends the ladder

_numbers = itertools.count(1)
_stopwatch = SystemClock()


class Takeover(PlanModel):
    """What one climb of the ladder did to one account, and what is left. One line of the account's audit file."""

    account: str
    run_id: str
    actor: str
    reason: str
    started_at: str
    state: TradingState  # when it ended
    state_problem: str = ""  # why other processes may not know of the state
    is_flat: bool
    sentence: str
    reduce_only_s: Decimal  # machine seconds until nothing new could be opened
    flat_s: Decimal | None  # until the venue said flat; None if it never did
    took_s: Decimal
    done: tuple[str, ...]
    failures: tuple[str, ...]
    saved: str  # what became of logs and artifacts


def take_over(
    root: Path, account: Account, *, reason: str, actor: str, say: Callable[[str], None],
    rollback: Rollback | None = None,
) -> Takeover:
    """Climb the ladder for one account and write down what came of it; raises nothing that it foresees.

    Idempotent, and may be done by two at once. After the plan's time it disables trading if the venue is not flat.
    """
    started_ns, started_wall_ns = _stopwatch.stopwatch_ns(), wall_now_ns()
    guard = account_guard(root, account.name)
    _lower(guard, TradingState.REDUCE_ONLY, reason, actor, say)
    reduce_only_s = _since(started_ns)
    if account.has_open_session:
        # A session that wakes up, or that still runs, must not send exits beside ours: both would close.
        _lower(guard, TradingState.HALTED, f"only the emergency ladder may trade: {reason}", actor, say)
    try:
        target = target_of(root, account)
    except GreenlightError as e:
        report, saved, run_id = _unreachable(f"{type(e).__name__}: {e}"), "", ""
    else:
        run_id = target.context.run_id
        report, products = _climb(target, rollback or target.context.plan.rollback, say)
        saved = _save(target, products)
    if not report.is_flat:
        _lower(guard, TradingState.HALTED, f"not flat: {reason}", actor, say)
    took_s = _since(started_ns)
    taken = Takeover(
        account=account.name, run_id=run_id, actor=actor, reason=reason, started_at=iso(started_wall_ns),
        state=guard.state, state_problem=guard.unsaved_because, is_flat=report.is_flat, sentence=report.sentence,
        reduce_only_s=reduce_only_s, flat_s=reduce_only_s + report.took_s if report.is_flat else None, took_s=took_s,
        done=report.done, failures=report.failures, saved=saved,
    )
    _write_down(root, taken, say)
    say(f"{account.name}: {taken.sentence}")
    return taken


def takeovers(root: Path, account: str) -> list[Takeover]:
    """Return what was done to the account so far, oldest first; raises StorageError if it cannot be read."""
    path = _audit_path(root, account)
    try:
        return [Takeover.model_validate_json(line) for line in path.read_bytes().splitlines()]
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as e:
        raise StorageError(f"audit file {path} cannot be read: {e}") from e


def _climb(
    target: Target, rollback: Rollback, say: Callable[[str], None]
) -> tuple[FlatReport, dict[str, Product]]:
    """Return what the venue said in the end, and the products if they could be read."""
    products: dict[str, Product] = {}
    started_ns = _stopwatch.stopwatch_ns()
    try:
        with reach(target) as connection:
            _cancel_first(connection, say)
            report = _flatten(target, connection, rollback, products, say)
    except GreenlightError as e:
        report = _unreachable(f"{type(e).__name__}: {e}")
    if not report.is_flat and has_venue_ended(target):
        report = _venue_ended(report)
    return msgspec.structs.replace(report, took_s=_since(started_ns)), products


def _cancel_first(connection: Connection, say: Callable[[str], None]) -> None:
    """Cancel what rests before anything else is asked; what fails here is done again by the ladder."""
    try:
        broker = connection.require_broker()
        if ids := [order.order_id for order in broker.open_orders()]:
            accepted = sum(answer.is_accepted for answer in broker.cancel(ids))
            say(f"asked to cancel {len(ids)} orders, {accepted} accepted")
    except VenueError as e:
        say(f"{type(e).__name__}: {e}"[:300])


def _flatten(
    target: Target, connection: Connection, rollback: Rollback, products: dict[str, Product],
    say: Callable[[str], None],
) -> FlatReport:
    clock = connection.clock
    deadline_ns = clock.stopwatch_ns() + rollback.disable_after_min * 60 * NS

    def left_s() -> int:
        return max(1, (deadline_ns - clock.stopwatch_ns()) // NS)

    def is_gone() -> bool:
        return has_venue_ended(target)

    products |= insist(lambda: products_of(target, connection), clock, left_s(), say, is_gone)
    opening = insist(lambda: opening_positions(target, connection, products, say), clock, left_s(), say, is_gone)
    return flatten(
        connection.require_broker(), clock, products, opening,
        collar_bps=target.context.plan.risk.price_collar_bps, order_prefix=_order_prefix(target),
        limits=LadderLimits(
            rounds_max=ROUNDS_UNLIMITED, within_s=left_s(), pause_s_max=PATIENT_PAUSE_S,
            market_after_rounds=rollback.market_after_rounds,
        ),
        say=say, is_venue_gone=is_gone,
    )


def _order_prefix(target: Target) -> str:
    """Return a prefix that no other climb has: two at once must not take each other's orders for their own."""
    return f"{target.context.order_prefix}-{os.getpid()}x{next(_numbers)}"


def _lower(guard: TradingGuard, state: TradingState, reason: str, actor: str, say: Callable[[str], None]) -> None:
    before = guard.state
    after = guard.tighten(state, reason=reason, actor=actor)
    if guard.unsaved_because:
        say(guard.unsaved_because)
    elif after is not before:
        say(f"trading state {before} → {after}")


def _unreachable(why: str) -> FlatReport:
    return FlatReport(is_flat=False, open_orders=-1, left={}, rounds=0, failures=(why[:300],))


def _venue_ended(report: FlatReport) -> FlatReport:
    """Return the report of a rehearsal whose venue is gone: nothing can be open at it."""
    return msgspec.structs.replace(
        report, is_flat=True, open_orders=0, left={}, failures=(*report.failures, "the rehearsal's venue has ended")
    )


def _save(target: Target, products: dict[str, Product]) -> str:
    beat = target.beat
    if beat is None or beat.has_ended or is_running(beat.pid):
        return "left to the session itself"
    if not products:
        return "not saved: the products could not be read; what the session saved last stays"
    try:
        return salvage(target.context, products)
    except GreenlightError as e:
        return f"not saved: {type(e).__name__}: {e}"[:300]


def _write_down(root: Path, taken: Takeover, say: Callable[[str], None]) -> None:
    path = _audit_path(root, taken.account)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(taken.model_dump_json().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as e:
        say(f"audit file {path} cannot be written: {e.strerror}")


def _audit_path(root: Path, account: str) -> Path:
    return root / "accounts" / account / AUDIT_FILE


def _since(started_ns: int) -> Decimal:
    return Decimal((_stopwatch.stopwatch_ns() - started_ns) // 1_000_000) / 1000
