"""One run for each account at a time: the kernel's lock is the truth on this machine, Prefect's limit between machines.

A limit on the deployment would do it, too, but Prefect ends a run whose lease it cannot renew: a server that is away
for some minutes would stop trading (docs/adr/0032).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.concurrency.sync import concurrency

from trading_core.bootstrap import account_name
from trading_core.clock import NS, SystemClock, pause
from trading_core.errors import GreenlightError, StorageError
from trading_core.plan import Level
from trading_core.run import RunContext
from trading_core.session_supervisor import is_alive, trading_run
from trading_core.storage.lock import exclusive

LOCK_FILE = "run.lock"
# Also how long a crashed run keeps the account from others: the least that Prefect takes.
LEASE_S = 60
LOOK_EVERY_S = 0.5
TAKE_WITHIN_S = 0.25  # whoever only looks holds the lock for an instant


class AccountBusy(GreenlightError):
    """Another run trades with the account: this one was not started."""


@contextmanager
def account_slot(context: RunContext, wait_s: float) -> Iterator[None]:
    """Hold the account while the block runs; raises AccountBusy if another run has it for the whole wait.

    A session that outlives its killed run has it, too: only that run may take it up.
    """
    account = account_name(context)
    root = context.event_store_root

    def is_free() -> bool:
        return trading_run(root, account) in ("", context.run_id)

    with ExitStack() as held:
        held.enter_context(locked(root / "accounts" / account, account, wait_s, is_free))
        # The account of a rehearsal is its run's own: no other machine has it.
        if context.level is not Level.L0:
            # The slot of the killed run whose session is taken up is its own, and free a lease later.
            held.enter_context(limited(account, max(wait_s, 2 * LEASE_S) if is_alive(context) else wait_s))
        yield


@contextmanager
def locked(folder: Path, account: str, wait_s: float, is_free: Callable[[], bool]) -> Iterator[None]:
    """Hold the lock of the account's folder; the kernel frees it when the process ends, however that ends.

    Raises StorageError if the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise StorageError(f"account folder {folder} cannot be made: {e.strerror}") from e
    clock = SystemClock()
    deadline_ns = clock.stopwatch_ns() + int(wait_s * NS)
    with ExitStack() as held:
        while not _is_taken(held, folder, is_free):
            if clock.stopwatch_ns() >= deadline_ns:
                raise _busy(account, wait_s)
            pause(LOOK_EVERY_S)
        yield


def _is_taken(held: ExitStack, folder: Path, is_free: Callable[[], bool]) -> bool:
    """Take the lock if it and the account are free; else leave it to whoever may have it."""
    with ExitStack() as maybe:
        try:
            maybe.enter_context(exclusive(folder / LOCK_FILE, TAKE_WITHIN_S))
            if not is_free():
                return False
        except StorageError:
            return False  # also a beat that cannot be read: who trades is not known
        held.enter_context(maybe.pop_all())
        return True


@contextmanager
def limited(account: str, wait_s: float) -> Iterator[None]:
    """Hold the account's slot at Prefect's server. A slot of a run that crashed is free after LEASE_S."""
    name = f"account-{account}"
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(name, 1)
    with ExitStack() as held:
        try:
            held.enter_context(
                concurrency(
                    name, strict=True, timeout_seconds=max(wait_s, 1), lease_duration=LEASE_S,
                    # Once trading, a server that is away is no reason to stop: the guard and the lock still hold.
                    raise_on_lease_renewal_failure=False,
                )
            )
        except TimeoutError as e:
            raise _busy(account, wait_s) from e
        yield


def _busy(account: str, wait_s: float) -> AccountBusy:
    return AccountBusy(
        f"account {account} is traded by another run and was not free within {wait_s:g} s (limit: 1 run): "
        "wait for its end, or ask for a longer wait"
    )
