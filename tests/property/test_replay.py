"""Determinism: a stored run fed to a fresh engine decides the same, and equal runs have equal digests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from trading_core.bootstrap import connect, make_guard, open_venue
from trading_core.desk import Desk
from trading_core.engine import Engine
from trading_core.events import AnyEvent, OrderSubmitted, SnapshotTaken, StepEnded, encode
from trading_core.plan import Plan
from trading_core.plan_files import find_plan
from trading_core.prepare import prepare_run
from trading_core.products import Product
from trading_core.protocol import micro_test
from trading_core.run import RunContext, VenueName
from trading_core.run_log import RunLog
from trading_core.stages import live_micro_test
from trading_core.stages.result import StageResult
from trading_core.storage.event_reader import EventReader
from trading_core.storage.event_store import EventStore
from trading_core.strategies.port import load_strategy


@dataclass
class Finished:
    """A run of the micro test at the simulated venue."""

    context: RunContext
    products: dict[str, Product]
    result: StageResult


def short_plan() -> Plan:
    """Return phase 2 with two minutes of trading."""
    plan = find_plan("phase2")
    return plan.model_copy(update={"protocol": plan.protocol.model_copy(update={"window_s": 120})})


def run_once(root: Path, run_id: str, *, seed: int = 1, faults: str = "") -> Finished:
    """Run the micro test as its task does."""
    plan = short_plan()
    context = prepare_run(
        plan=plan, venue=VenueName.SIMULATED, day="typical", seed=seed, speed=1.0, faults=faults, run_id=run_id,
        artifacts_root=root / "artifacts", event_store_root=root / "events",
    )
    with (
        open_venue(context) as endpoint,
        connect(context, endpoint) as connection,
        EventStore.open(context.event_store_root, run_id, context.order_prefix, is_durable=False) as store,
    ):
        products = {p.product_id: connection.venue.product(p.product_id) for p in plan.products}
        log = RunLog(context, products, store, connection.executor)
        given = live_micro_test.MicroTestInput(
            context=context, products=products, clock=connection.clock, feed=connection.feed(),
            broker=connection.require_broker(), log=log, guard=make_guard(context, connection.clock),
            strategy=load_strategy(plan.entry, context.seed),
        )
        result = live_micro_test.run(given)
        log.finish()
    return Finished(context, products, result)


def digest(run: Finished) -> str:
    with EventReader(run.context.event_store_root, run.context.run_id) as reader:
        reader.verify()
        return reader.digest()


def replayed(run: Finished) -> list[AnyEvent]:
    """Return what a fresh engine with a fresh protocol records, given only the stored inputs."""
    context = run.context
    desk = Desk(context.plan, run.products, context.order_prefix)
    strategy = load_strategy(context.plan.entry, context.seed)
    engine = Engine(desk, micro_test(desk, strategy, run.result.started_ns))
    with EventReader(context.event_store_root, context.run_id) as reader:
        return [record for event in reader.inputs() for record in engine.process(event).records]


@pytest.mark.parametrize("faults", ["", "outcome_unknown_silent", "server_errors", "reject_some", "stale_feed_later"])
def test_a_replay_makes_the_same_records_in_the_same_order(tmp_path: Path, faults: str) -> None:
    run = run_once(tmp_path, "original", faults=faults)
    with EventReader(run.context.event_store_root, "original") as reader:
        stored = [stored.event for stored in reader.events(kinds=("record",))]
    again = replayed(run)
    assert [encode(event) for event in again] == [encode(event) for event in stored]
    assert any(isinstance(event, SnapshotTaken) for event in stored)
    assert any(isinstance(event, OrderSubmitted) for event in stored)


def test_a_healthy_run_shows_every_step_and_ends_flat(tmp_path: Path) -> None:
    run = run_once(tmp_path, "original")
    assert run.result.failed_checks == [], run.result.summary
    with EventReader(run.context.event_store_root, "original") as reader:
        ended = [s.event for s in reader.events(types=("StepEnded",)) if isinstance(s.event, StepEnded)]
    assert [e.step for e in ended] == [*short_plan().protocol.steps, "flat_at_end"]


def test_equal_runs_have_equal_digests_and_another_seed_has_another(tmp_path: Path) -> None:
    first, second = run_once(tmp_path, "first"), run_once(tmp_path, "second")
    assert digest(first) == digest(second)
    assert digest(run_once(tmp_path, "third", seed=2)) != digest(first)


def test_equal_runs_under_faults_have_equal_digests(tmp_path: Path) -> None:
    runs = [run_once(tmp_path, name, faults="reset_after_create") for name in ("first", "second")]
    assert digest(runs[0]) == digest(runs[1])
