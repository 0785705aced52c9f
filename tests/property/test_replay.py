"""Determinism: a stored run fed to a fresh engine decides the same, and equal runs have equal digests."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
import zstandard
from sqlalchemy import delete, func, select, update

from tests.store_rig import by_hand
from trading_core.bootstrap import connect, make_guard, open_venue
from trading_core.errors import ConfigurationError
from trading_core.events import AccountRead, Event, OrderSubmitted, SnapshotTaken, StepEnded, encode
from trading_core.plan import Plan
from trading_core.plan_files import find_plan
from trading_core.prepare import prepare_run
from trading_core.products import Product
from trading_core.replay import Replayed, replay_run
from trading_core.run import RunContext, VenueName
from trading_core.run_files import RUN
from trading_core.run_log import RunLog
from trading_core.stages import live_micro_test
from trading_core.stages.result import StageResult
from trading_core.storage.artifact_store import ArtifactStore
from trading_core.storage.chain import Head, first_head, next_hash
from trading_core.storage.event_reader import EventReader
from trading_core.storage.event_store import EventStore
from trading_core.storage.tables import blocks, events, heads
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


def replayed(run: Finished) -> Replayed:
    with EventReader(run.context.store, run.context.run_id) as reader:
        return replay_run(run.context, reader)


@pytest.mark.parametrize(
    "faults",
    ["", "outcome_unknown_silent", "server_errors", "reject_some", "stale_feed_later", "book_lost", "goes_offline"],
)
def test_a_replay_makes_the_same_records_in_the_same_order(tmp_path: Path, faults: str) -> None:
    run = run_once(tmp_path, "original", faults=faults)
    found = replayed(run)
    with EventReader(run.context.store, "original") as reader:
        stored = [stored.event for stored in reader.events(kinds=["record"])]
    sent = [event for event in stored if isinstance(event, OrderSubmitted)]
    books = [event for event in stored if isinstance(event, SnapshotTaken)]
    assert (found.difference, found.cut_off, found.records) == ("", 0, len(stored))
    assert found.commands["SubmitOrder"] == len(sent) > 0
    assert found.figures is not None
    assert found.figures.equity == books[-1].opening_equity + books[-1].realized + books[-1].unrealized - books[-1].fees
    assert found.digest == digest(run)


def test_a_run_replays_from_what_its_directory_says(tmp_path: Path) -> None:
    run = run_once(tmp_path, "original")
    kept = RunContext.model_validate_json(ArtifactStore(run.context.run_dir).read(RUN))
    assert replayed(replace(run, context=kept)).difference == ""
    other = kept.model_copy(update={"plan": find_plan("phase2")})
    with pytest.raises(ConfigurationError, match="give the directory of this run"):
        replayed(replace(run, context=other))


def test_a_run_that_never_traded_cannot_be_replayed(tmp_path: Path) -> None:
    context = prepare_run(
        plan=short_plan(), venue=VenueName.SIMULATED, day="typical", seed=1, speed=1.0, faults="", run_id="empty",
        artifacts_root=tmp_path / "artifacts", event_store_root=tmp_path / "events",
    )
    EventStore.open(context.store, "empty", context.order_prefix).close()
    with EventReader(context.store, "empty") as reader, pytest.raises(ConfigurationError, match="no SessionStarted"):
        replay_run(context, reader)


def rewrite(run: Finished, kind: type[Event], **changes: object) -> int:
    """Change the first event of a kind and make a whole chain of it again, head and all; return its seq."""
    with EventReader(run.context.store, run.context.run_id) as reader:
        first = next(reader.events(types=(kind.__name__,)))
        links = list(reader.links(reader.head().seq))
    payload = encode(msgspec.structs.replace(first.event, **changes))
    head = first_head(run.context.order_prefix)
    with by_hand(run.context.store) as connection:
        for link in links:
            said = payload if link.seq == first.seq else link.payload
            head = Head(link.seq, next_hash(head.hash, link.kind, said))
            row = update(events).where(events.c.seq == link.seq)
            connection.execute(row.values(payload=said, hash=head.hash))
        connection.execute(update(heads).values(hash=head.hash))
    return first.seq


@pytest.mark.parametrize(
    ("kind", "changes", "named"),
    [
        (OrderSubmitted, {"mid": Decimal(1)}, "the run decided .*, its replay"),
        (SnapshotTaken, {"fees": Decimal(99)}, "the run decided .*, its replay"),
        (AccountRead, {"balances": {"USD": Decimal(5_000)}}, "the run decided .*, its replay"),
    ],
)
def test_a_chain_that_was_forged_whole_does_not_replay(
    tmp_path: Path, kind: type[Event], changes: dict[str, object], named: str
) -> None:
    run = run_once(tmp_path, "original")
    seq = rewrite(run, kind, **changes)
    digest(run)  # by its hashes alone it is sound
    difference = replayed(run).difference
    assert re.match(f"event [0-9]+: {named}", difference)
    assert int(difference.split()[1].strip(":")) >= seq


def test_a_changed_tick_does_not_replay(tmp_path: Path) -> None:
    run = run_once(tmp_path, "original")
    with by_hand(run.context.store) as connection:
        raw = zstandard.decompress(connection.execute(select(blocks.c.data)).scalars().first() or b"")
        first = blocks.c.seq == select(func.min(blocks.c.seq)).scalar_subquery()
        connection.execute(update(blocks).where(first).values(data=zstandard.compress(raw.replace(b"1", b"2", 9))))
    assert "its block does not match its sha256" in replayed(run).difference


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_a_run_that_was_killed_before_an_order_was_stored_replays_to_there(tmp_path: Path, share: float) -> None:
    run = run_once(tmp_path, "original")
    whole = replayed(run).records
    with EventReader(run.context.store, "original") as reader:
        orders = [stored.seq for stored in reader.events(types=("OrderSubmitted",))]
        cut = [link.seq for link in reader.links(orders[-1]) if link.kind == "block" and link.seq + 1 in orders]
    last = cut[int(len(cut) * share)]  # an order's block of ticks is cut first: what comes up to there is whole
    with by_hand(run.context.store) as connection:
        for table in (events, blocks):
            connection.execute(delete(table).where(table.c.seq > last))
        kept = select(events.c.hash).where(events.c.seq == last).scalar_subquery()
        connection.execute(update(heads).values(seq=last, hash=kept))
    found = replayed(run)
    assert found.difference == ""
    assert found.cut_off >= 1
    assert found.records < whole


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
