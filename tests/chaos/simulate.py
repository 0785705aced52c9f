"""Whole sessions on the virtual clock, with faults, kills and operators drawn from a seed: `make simulate SEEDS=N`.

A seed that fails is printed with the command that repeats it. The same seed always gives the same run.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import traceback
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from decimal import Decimal
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from tests.chaos.world import BTC, MOMENTS, ZERO, Deed, Kill, Killed, Moment, Script, World
from trading_core.events import SessionResumed, SessionStarted, encode
from trading_core.local_exchange.config import DAYS
from trading_core.local_exchange.faults import FaultPlan
from trading_core.plan import Plan
from trading_core.plan_files import find_plan
from trading_core.resume import replay
from trading_core.run import RunContext, VenueName
from trading_core.stages import live_micro_test as stage
from trading_core.stages.result import CheckStatus, StageResult
from trading_core.storage.event_reader import StoredEvent
from trading_core.strategies.port import load_strategy
from trading_core.trading_state import TradingState

RESTARTS_MAX = 3
SHARES = (0.02, 0.1, 0.3)
STEPS = ("post_only_entry", "crossing_rejected", "oversize_sized_down", "auto_cancel", "entry_and_exit",
         "kill_switch_drill")
USUAL_N: dict[Moment, int] = {
    "append": 400, "appended": 400, "send": 12, "sent": 12, "ask": 150, "asked": 150, "tighten": 2, "tightened": 2,
}


class Told(NamedTuple):
    """What one seed came to."""

    seed: int
    restarts: int
    resumed: int
    how: str
    problem: str


def fault_draws(chance: Random) -> dict[str, dict[str, Any]]:
    """Return one drawing of each kind of fault."""
    share, from_s, for_s = chance.choice(SHARES), chance.randint(5, 90), chance.randint(5, 60)
    return {
        "reject": {"reject_share": share, "reject_reason": chance.choice(
            ("INSUFFICIENT_FUND", "INVALID_LIMIT_PRICE_POST_ONLY", "COMMANDER_REJECTED_NEW_ORDER"))},
        "stale": {"stale_from_s": float(from_s), "stale_for_s": float(for_s)},
        "gap": {"gap_at_s": float(from_s), "gap_share": chance.choice((-0.08, -0.01, 0.05))},
        "thin": {"depth_share": chance.choice((0.02, 0.3))},
        "halted": {"halted_products": (BTC,)},
        "margin_call": {"margin_call_at_s": float(from_s)},
        "liquidation": {"liquidation_at_s": float(from_s)},
        "maintenance": {"maintenance_from_s": float(from_s), "maintenance_for_s": float(for_s)},
        "crossed": {"crossed_from_s": float(from_s), "crossed_for_s": float(for_s)},
        "fails_after_accept": {"fail_after_accept_share": share},
        "cancel_race": {"cancel_delay_ms": 500, "cancel_meets_fill_share": 0.5},
        "clock": {"clock_offset_ms": chance.choice((-10_000, 1_000, 10_000))},
        "slow": {"latency_ms": 800, "latency_jitter_ms": 200},
        "unauthorized": {"unauthorized_share": share},
        "rate_limited": {"rate_limited_share": share, "rate_limited_as_html": chance.random() < 0.5},
        "server_error": {"server_error_share": share, "server_error_as_html": chance.random() < 0.5},
        "booked_but_500": {"create_booked_but_500_share": share,
                           "create_booked_but_500_pushes_user": chance.random() < 0.5},
        "reset_before": {"create_reset_before_share": share},
        "reset_after": {"create_reset_after_share": share},
        "hang": {"hang_share": share},
        "removed": {"removed_members": (chance.choice(("success_response", "hold", "fills", "orders")),)},
        "added": {"added_members": ("something_new",)},
        "renamed": {"renamed_members": (("order_id", "order_uid"),)},
        "frames": {"frame_drop_share": share, "frame_duplicate_share": share, "frame_reorder_share": share},
        "closes": {"close_every_s": 30.0},
        "key": {"can_transfer": True},
    }


def draw(seed: int) -> Script:
    """Return what chance decides for a seed."""
    chance = Random(seed)
    draws = fault_draws(chance)
    chosen: dict[str, Any] = {}
    for name in chance.sample(sorted(draws), chance.choice((0, 0, 1, 1, 2, 3))):
        chosen |= draws[name]
    kills = [
        Kill(moment, chance.randint(1, USUAL_N[moment]))
        for moment in (chance.choice(MOMENTS) for _ in range(chance.choice((0, 1, 1, 2, RESTARTS_MAX))))
    ]
    deeds = []
    if chance.random() < 0.25:
        state = chance.choice((TradingState.REDUCE_ONLY, TradingState.HALTED))
        deeds.append(Deed(chance.randint(1, 120), state, is_before_order=chance.random() < 0.5))
    return Script(
        day=chance.choice(DAYS), seed=seed, faults=FaultPlan(name="drawn", seed=seed, **chosen), plan=_plan(chance),
        coins=chance.choice((ZERO, Decimal("1.5"))), kills=kills, deeds=deeds,
        gaps_s=[chance.choice((1, 3, 10, 40, 200)) for _ in range(RESTARTS_MAX)],
        damages_state=chance.random() < 0.05,
    )


@cache
def phase2() -> Plan:
    """Return the plan that all seeds vary."""
    return find_plan("phase2")


def _plan(chance: Random) -> Plan:
    plan = phase2()
    steps = tuple(step for step in STEPS if chance.random() < 0.5)
    protocol = plan.protocol.model_copy(
        update={"window_s": chance.randint(20, 90), "steps": steps, "snapshot_every_s": chance.choice((7, 30))}
    )
    entry = plan.entry.model_copy(update={"interval_s": chance.choice((2, 5, 8))})
    return plan.model_copy(update={"protocol": protocol, "entry": entry})


def run_seed(seed: int) -> Told:
    """Run one seed to its end; a problem is what did not hold."""
    with tempfile.TemporaryDirectory(prefix="greenlight-sim-") as folder:
        script = draw(seed)
        world = World(script, Path(folder))
        restarts = 0
        try:
            result = None
            while result is None:
                try:
                    result = stage.run(given_of(world))
                except Killed:
                    restarts += 1
                    world.revive()
            _check_end(world, result)
        except Exception:
            return Told(seed, restarts, 0, "broken", traceback.format_exc(limit=-6) + f"\n{_said(script)}")
        resumed = sum(isinstance(row.event, SessionResumed) for row in world.log.stored())
        return Told(seed, restarts, resumed, _how(result), "")


def _said(script: Script) -> str:
    faults = script.faults.model_dump(exclude_defaults=True)
    return f"day {script.day}, faults {faults}, kills {script.kills}, deeds {script.deeds}, gaps {script.gaps_s}"


def _context(world: World) -> RunContext:
    return RunContext(
        run_id="sim", order_prefix="sim", plan=world.script.plan, venue=VenueName.SIMULATED, day=world.script.day,
        seed=world.script.seed, run_dir=world.folder, event_store_root=world.folder, subject_digest="sim",
    )


def given_of(world: World) -> stage.MicroTestInput:
    """Return what the next session of the world trades with: its own feed, line and guard, the one disk."""
    feed, broker, guard = world.connect()
    return stage.MicroTestInput(
        context=_context(world), products=world.products, clock=world.clock, feed=feed, broker=broker, log=world.log,
        guard=guard, strategy=load_strategy(world.script.plan.entry, world.script.seed), stored=world.log.stored(),
    )


def _check_end(world: World, result: StageResult) -> None:
    """At the end: flat as it says, no bug of ours, and a replay of the disk decides the same."""
    world.check()
    session = next(check for check in result.checks if check.name == "session")
    assert "InvariantBroken" not in session.observed, session.observed
    flat = next(check for check in result.checks if check.name == "flat_at_end")
    if flat.status is CheckStatus.PASSED:
        product = world.products[BTC]
        is_dust = world.held() * world.exchange.last_price(BTC) < product.quote_min_size * 2
        assert not world.exchange.open_orders(world.account_id), "says flat, and orders rest"
        assert world.held() < product.base_min_size or is_dust, f"says flat, and holds {world.held()}"
    sent = [order.request.client_order_id for order in world.exchange.orders(world.account_id)]
    has_climbed = any("-e-" in client_order_id for client_order_id in sent)
    if world.script.is_healthy and not has_climbed:
        assert session.status is CheckStatus.PASSED, f"nothing was wrong, and yet {session.observed}"
        assert flat.status is CheckStatus.PASSED, f"nothing was wrong, and yet {flat.observed}"
    rows = list(world.log.stored())
    began = next(row.event for row in rows if isinstance(row.event, SessionStarted))
    engine = stage.make_engine(
        _context(world), began, load_strategy(world.script.plan.entry, world.script.seed)
    )
    past = replay(engine, rows, _ignore)
    assert past.problem == "", past.problem
    assert [encode(event) for event in past.unstored] == []


def _ignore(_: StoredEvent) -> None:
    """Nothing keeps artifacts here."""


def _how(result: StageResult) -> str:
    session = next(check for check in result.checks if check.name == "session")
    kind = "ran" if session.status is CheckStatus.PASSED else session.observed.split(":")[0]
    flat = next(check for check in result.checks if check.name == "flat_at_end")
    return f"{kind}, {'flat' if flat.status is CheckStatus.PASSED else 'NOT flat'}"


def main(arguments: list[str]) -> int:
    """Run the seeds, print what they came to, and return 1 if any broke a rule."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--from", type=int, default=1, dest="first")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args(arguments)
    seeds = range(asked.first, asked.first + asked.seeds)
    with ProcessPoolExecutor(asked.jobs) as pool:
        told = list(pool.map(run_seed, seeds, chunksize=max(1, min(10, asked.seeds // asked.jobs or 1))))
    broken = [one for one in told if one.problem]
    for one in broken:
        print(f"seed {one.seed}:\n{one.problem}\n  again: make simulate SEEDS=1 FROM={one.seed}\n")  # noqa: T201 - a command's answer
    for how, count in Counter(one.how for one in told).most_common():
        print(f"{count:6} {how}")  # noqa: T201
    restarts, resumed = sum(one.restarts for one in told), sum(one.resumed for one in told)
    print(f"{len(told)} seeds, {restarts} kills, {resumed} resumed, {len(broken)} broken")  # noqa: T201
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
