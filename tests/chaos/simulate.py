"""Whole sessions on the virtual clock, with faults, kills and operators drawn from a seed: `make simulate SEEDS=N`.

A seed that fails is printed with the command that repeats it. The same seed always gives the same run.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.chaos.draws import Script, draw
from tests.chaos.world import Killed, World
from trading_core.clock import NS
from trading_core.events import EditRequested, RunEnding, SessionReconciled, SessionResumed, SessionStarted, encode
from trading_core.products import ProductType
from trading_core.resume import replay
from trading_core.run import RunContext, VenueName
from trading_core.stages import live_micro_test as stage
from trading_core.stages.result import Check, CheckStatus, StageResult
from trading_core.storage.event_reader import StoredEvent
from trading_core.strategies.port import load_strategy

DUST = 2  # smallest orders: their worth moves with the price
OUTLIVED_NS = 10 * NS  # until a rate has been asked for and told


class Told(NamedTuple):
    """What one seed came to."""

    seed: int
    family: str
    restarts: int
    resumed: int
    how: str
    problem: str
    digest: str = ""  # of all that was stored
    orders: int = 0
    fills: int = 0
    fundings: int = 0
    announcements: int = 0  # of margin windows
    edits: int = 0


def run_seed(seed: int) -> Told:
    """Run one seed to its end; a problem is what did not hold."""
    return run_script(draw(seed))


def run_script(script: Script) -> Told:
    """Run what was drawn to its end."""
    seed = script.seed
    with tempfile.TemporaryDirectory(prefix="greenlight-sim-") as folder:
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
            return Told(seed, script.family, restarts, 0, "broken", f"{traceback.format_exc(limit=-6)}\n{script.words}")
        rows = list(world.log.stored())
        resumed = sum(isinstance(row.event, SessionResumed) for row in rows)
        return Told(
            seed, script.family, restarts, resumed, _how(result), "", _digest(rows),
            orders=len(world.exchange.orders(world.account_id)), fills=len(world.rules.fills),
            fundings=len(world.rules.told.accrued), announcements=len(world.rules.told.announced),
            edits=sum(isinstance(row.event, EditRequested) for row in rows),
        )


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
        lifeline=world.lifeline,
    )


def _check_end(world: World, result: StageResult) -> None:
    """At the end: flat as it says, no bug of ours, and a replay of the disk decides the same."""
    world.rules.look()
    session, flat = _named(result, "session"), _named(result, "flat_at_end")
    assert "InvariantBroken" not in session.observed, session.observed
    if flat.status is CheckStatus.PASSED:
        _check_flat(world)
    # What a ladder closed before it was killed is in nobody's books: whoever comes next may only leave.
    if world.script.is_healthy and not world.was_killed_leaving:
        assert session.status is CheckStatus.PASSED, f"nothing was wrong, and yet {session.observed}"
        assert flat.status is CheckStatus.PASSED, f"nothing was wrong, and yet {flat.observed}"
        _check_funded(world)
    world.rules.check(world.state())
    world.rules.check_senders()
    _check_replay(world)


def _check_flat(world: World) -> None:
    assert not world.exchange.open_orders(world.account_id), "says flat, and orders rest"
    for product_id, product in world.products.items():
        held = abs(world.rules.held[product_id])
        is_worthless = (
            product.product_type is ProductType.SPOT
            and world.rules.notional(product_id, held) < product.quote_min_size * DUST
        )
        assert held < product.base_min_size or is_worthless, f"says flat, and holds {held} {product_id}"


def _check_funded(world: World) -> None:
    """What was held at a funding time that the session outlived is accrued, also if it was down at that time."""
    rows = list(world.log.stored())
    resumed_ns = max((row.ts_ns for row in rows if isinstance(row.event, SessionReconciled)), default=0)
    ended_ns = next((row.ts_ns for row in rows if isinstance(row.event, RunEnding)), 0)
    for product_id, funding_ns in world.rules.held_at_funding():
        if max(funding_ns, resumed_ns) + OUTLIVED_NS <= ended_ns:
            assert (product_id, funding_ns) in world.rules.told.accrued, f"no funding of {product_id} at {funding_ns}"


def _check_replay(world: World) -> None:
    """What is stored decides again what was stored; a disk that was full may lack the end of the last decision."""
    rows = list(world.log.stored())
    began = next((row.event for row in rows if isinstance(row.event, SessionStarted)), None)
    if began is None:
        assert world.script.disk_full_at is not None, "nothing is stored"
        return
    engine = stage.make_engine(_context(world), began, load_strategy(world.script.plan.entry, world.script.seed))
    past = replay(engine, rows, _ignore)
    assert past.problem == "", past.problem
    assert world.is_disk_full or [encode(event) for event in past.unstored] == []
    ledger = engine.desk.ledger
    if ledger is not None:
        ledger.check()


def _digest(rows: Iterable[StoredEvent]) -> str:
    """Return the sha256 of everything stored; what a stopwatch of the machine measured is no part of it."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(f"{row.seq} {row.kind} ".encode() + encode(row.event))
    return digest.hexdigest()


def _ignore(_: StoredEvent) -> None:
    """Nothing keeps artifacts here."""


def _named(result: StageResult, name: str) -> Check:
    return next(check for check in result.checks if check.name == name)


def _how(result: StageResult) -> str:
    session, flat = _named(result, "session"), _named(result, "flat_at_end")
    kind = "ran" if session.status is CheckStatus.PASSED else session.observed.split(":")[0]
    return f"{kind}, {'flat' if flat.status is CheckStatus.PASSED else 'NOT flat'}"


def main(arguments: list[str]) -> int:
    """Run the seeds, print what they came to, and return 1 if any broke a rule."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--from", type=int, default=1, dest="first")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args(arguments)
    seeds = range(asked.first, asked.first + asked.seeds)
    told = []
    with ProcessPoolExecutor(asked.jobs) as pool:
        for one in pool.map(run_seed, seeds, chunksize=max(1, min(10, asked.seeds // asked.jobs or 1))):
            told.append(one)
            if one.problem:
                _print(f"seed {one.seed}:\n{one.problem}\n  again: make simulate SEEDS=1 FROM={one.seed}\n")
    _print(_sum(told))
    return 1 if any(one.problem for one in told) else 0


def _sum(told: list[Told]) -> str:
    broken = [one for one in told if one.problem]
    lines = []
    for how, count in Counter(f"{one.family}: {one.how}" for one in told).most_common():
        lines.append(f"{count:6} {how}")
    scripts = [draw(one.seed) for one in told]
    kinds = Counter(name for s in scripts for name in s.faults.model_dump(exclude_defaults=True))
    del kinds["name"], kinds["seed"]
    lines.append("faults drawn: " + ", ".join(f"{name} {count}" for name, count in sorted(kinds.items())))
    restarts, resumed = sum(one.restarts for one in told), sum(one.resumed for one in told)
    orders, fills = sum(one.orders for one in told), sum(one.fills for one in told)
    funded, announced = sum(one.fundings > 0 for one in told), sum(one.announcements > 0 for one in told)
    lines.append(f"{funded} seeds accrued funding, {announced} announced a margin window")
    lines.append(f"{len(told)} seeds, {orders} orders, {sum(one.edits for one in told)} edits, {fills} fills, "
                 f"{restarts} kills, {resumed} resumed, {len(broken)} broken")
    return "\n".join(lines)


def _print(words: str) -> None:
    print(words, flush=True)  # noqa: T201 - a command's answer


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
