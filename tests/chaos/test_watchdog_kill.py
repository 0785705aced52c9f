"""Kill −9 of a real session at the served venue: the watchdog has the venue flat in the plan's time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from trading_core.bootstrap import Connection, account_name, connect, exchange_config
from trading_core.clock import NS, SystemClock, pause
from trading_core.control.accounts import account_guard, read_account
from trading_core.control.takeover import Takeover, takeovers
from trading_core.exchange_process import start_exchange
from trading_core.money import ZERO
from trading_core.plan import Plan
from trading_core.plan_files import find_plan
from trading_core.prepare import prepare_run
from trading_core.run import Endpoint, RunContext, VenueName
from trading_core.trading_state import TradingState
from trading_core.watchdog import Watchdog

LOST_AFTER_S = 3
SPEED = 10.0
WITHIN_S = 90.0


def wait_for(condition: Callable[[], bool], what: str, within_s: float = WITHIN_S) -> float:
    """Wait until the condition holds and return the seconds that it took; fail at the deadline."""
    clock = SystemClock()
    started_ns = clock.stopwatch_ns()
    while not condition():
        assert clock.stopwatch_ns() - started_ns < within_s * NS, f"not within {within_s} s: {what}"
        pause(0.1)
    return (clock.stopwatch_ns() - started_ns) / NS


def watched_plan() -> Plan:
    plan = find_plan("phase2")
    rollback = plan.rollback.model_copy(update={"heartbeat_lost_s": LOST_AFTER_S})
    return plan.model_copy(update={"rollback": rollback})


def context_of(folder: Path, seed: int) -> RunContext:
    return prepare_run(
        plan=watched_plan(), venue=VenueName.LOCAL, day="typical", seed=seed, speed=SPEED, faults="",
        run_id=f"killed-{seed}", artifacts_root=folder / "artifacts", event_store_root=folder / "events",
    )


@contextmanager
def session_of(context: RunContext, endpoint: Endpoint, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the session's own process; end it however the test ends."""
    given = [folder / "context.json", folder / "endpoint.json"]
    for path, document in zip(given, (context, endpoint), strict=True):
        path.write_text(document.model_dump_json(), "utf-8")
    with (folder / "session.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "trading_core.session_process", *map(str, given)], stdin=subprocess.DEVNULL,
            stdout=log, stderr=log, start_new_session=True,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def exposure(venue: Connection, context: RunContext) -> tuple[int, bool]:
    """Return how many orders are open at the venue, and whether anything is held."""
    account = venue.venue.account()
    bases = {p.product_id.partition("-")[0] for p in context.plan.products}
    return account.open_orders, any(account.balances.get(base, ZERO) > 0 for base in bases)


def kill_and_watch(folder: Path, seed: int, *, wants_position: bool) -> tuple[Takeover, float]:
    """Kill a session that has something open; return what the watchdog did and the seconds until it was flat."""
    context = context_of(folder, seed)
    root, name = context.event_store_root, account_name(context)
    orders_wanted = Random(seed).randint(1, 3)
    heard: list[str] = []
    with (
        start_exchange(context, exchange_config(context, SystemClock().now_ns())) as endpoint,
        connect(context, endpoint) as venue,
        session_of(context, endpoint, folder) as process,
    ):
        def is_exposed() -> bool:
            assert process.poll() is None, (folder / "session.log").read_text()
            orders, is_holding = exposure(venue, context)
            return is_holding if wants_position else orders >= orders_wanted

        wait_for(is_exposed, "the session trades")
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        watchdog = Watchdog(root, heard.append, heard.append)

        def is_done() -> bool:
            watchdog.look()
            return any(taken.is_flat for taken in takeovers(root, name))

        took_s = wait_for(is_done, f"flat; heard {heard}")
        watchdog.close()
        watchdog.look()
        assert exposure(venue, context) == (0, False), heard
    [taken] = takeovers(root, name)  # a further look did not do it again
    assert account_guard(root, name).state is TradingState.HALTED
    assert read_account(root, name).has_open_session  # it never said that it ended
    return taken, took_s


@pytest.mark.e2e
def test_a_killed_session_is_closed_by_the_watchdog(tmp_path: Path) -> None:
    taken, took_s = kill_and_watch(tmp_path, seed=1, wants_position=False)
    assert took_s < LOST_AFTER_S + watched_plan().rollback.close_all_after_min * 60
    assert taken.saved.startswith("saved ")
    assert "is silent for" in taken.reason


@pytest.mark.e2e
@pytest.mark.soak
def test_twenty_of_twenty_killed_sessions_are_closed(tmp_path: Path) -> None:
    took = []
    for seed in range(1, 21):
        folder = tmp_path / str(seed)
        folder.mkdir()
        took.append(kill_and_watch(folder, seed, wants_position=seed % 2 == 0)[1])
    print(f"kill to flat: median {sorted(took)[10]:.1f} s, longest {max(took):.1f} s, of {len(took)}")  # noqa: T201  # the figure of the soak
    assert len(took) == 20
    assert max(took) < LOST_AFTER_S + watched_plan().rollback.close_all_after_min * 60
