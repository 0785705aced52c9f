"""A torn tail is set aside and said, and the run goes on; damage before the tail is never mended."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import delete, insert, literal, select, update
from sqlalchemy.sql.base import Executable

from tests.core_builders import make_alert, make_change
from tests.store_rig import by_hand, tamper
from trading_core.errors import IntegrityError
from trading_core.events import Event, TailRepaired, encode
from trading_core.storage.event_reader import EventReader
from trading_core.storage.event_store import EventStore
from trading_core.storage.tables import blocks, events, heads, quarantine
from trading_core.store_location import StoreLocation

# Three commits: events 1 to 3; then a block of two ticks as 4 and its event as 5; then a block as 6 and 7 as its event.
LAST = 7


@pytest.fixture
def run(place: StoreLocation) -> StoreLocation:
    with EventStore.open(place, "r1", "g") as store:
        store.append(make_alert(1), "input")
        store.append(make_alert(2), "record")
        store.append(make_alert(3), "record", durable=True)
        for commit in (1, 2):
            store.append_tick(make_change(10 * commit))
            store.append_tick(make_change(10 * commit + 1))
            store.append(make_alert(3 + commit), "record", durable=True)
    return place


def quarantined(run: StoreLocation) -> list[Any]:
    with by_hand(run) as connection:
        return list(connection.execute(select(quarantine).order_by(quarantine.c.source, quarantine.c.seq)))


def event(seq: int, /, **values: Any) -> Executable:
    return update(events).where(events.c.seq == seq).values(**values)


def block(seq: int, /, **values: Any) -> Executable:
    return update(blocks).where(blocks.c.seq == seq).values(**values)


def without(table: Any, *seqs: int) -> Executable:
    return delete(table).where(table.c.seq.in_(seqs))


def copied(seq: int) -> Executable:
    names = [column.name for column in events.c]
    row = [literal(LAST + 1).label("seq") if name == "seq" else events.c[name] for name in names]
    return insert(events).from_select(names, select(*row).where(events.c.seq == seq))


def head_at(seq: int) -> Executable:
    return update(heads).values(seq=seq, hash=select(events.c.hash).where(events.c.seq == seq).scalar_subquery())


def reopened(run: StoreLocation) -> list[Event]:
    """Go on with the run and return its events, the last one appended now."""
    with EventStore.open(run, "r1", "g") as store:
        store.append(make_alert(99), "input")
    with EventReader(run, "r1") as reader:
        reader.verify()
        return [stored.event for stored in reader.events()]


CUT_BLOCK = block(6, data=b"x\x9c")


@pytest.mark.parametrize(
    ("statement", "last_good", "set_aside", "missing"),
    [
        (copied(7), 7, {"events": 1, "blocks": 0}, 0),
        (head_at(5), 5, {"events": 2, "blocks": 1}, 0),
        (without(events, 7), 6, {"events": 0, "blocks": 0}, 1),
        (without(events, 4, 5, 6, 7), 3, {"events": 0, "blocks": 2}, 4),
        (without(events, 6), 5, {"events": 1, "blocks": 1}, 1),
        (without(blocks, 6), 5, {"events": 2, "blocks": 0}, 0),
        (CUT_BLOCK, 5, {"events": 2, "blocks": 1}, 0),
        (event(7, payload=encode(make_alert(5))[:20]), 6, {"events": 1, "blocks": 0}, 0),
    ],
)
def test_a_torn_tail_is_set_aside_and_the_run_goes_on(
    run: StoreLocation, statement: Executable, last_good: int, set_aside: dict[str, int], missing: int
) -> None:
    tamper(run, statement)
    with EventReader(run, "r1") as reader, pytest.raises(IntegrityError, match=f"event {last_good + 1}: "):
        reader.verify()

    events = reopened(run)

    repaired = [event for event in events if isinstance(event, TailRepaired)]
    assert [(r.last_good_seq, r.set_aside, r.missing) for r in repaired] == [(last_good, set_aside, missing)]
    assert events[-2:] == [repaired[0], make_alert(99)]
    kept = quarantined(run)
    assert {name: sum(row.source == name for row in kept) for name in set_aside} == set_aside
    assert [row.seq for row in kept if row.source == "head"] != []
    assert all(b'"run_id":"r1"' in row.content for row in kept if row.source != "head")


def test_a_repaired_run_is_not_repaired_again(run: StoreLocation) -> None:
    tamper(run, CUT_BLOCK)
    reopened(run)
    events = reopened(run)
    assert sum(isinstance(event, TailRepaired) for event in events) == 1


def test_a_chain_of_which_nothing_is_left_begins_again(run: StoreLocation) -> None:
    tamper(run, delete(events), delete(blocks))
    repaired, last = reopened(run)
    assert isinstance(repaired, TailRepaired)
    assert (repaired.last_good_seq, repaired.missing, repaired.ts_ns, last) == (0, LAST, 0, make_alert(99))


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        (event(1, payload=b"\0"), "event 1: its hash"),
        (without(events, 2), "event 2: it is missing"),
        (without(blocks, 4), "event 4: its block is missing"),
        (block(4, data=b"\0"), "event 4: its block does not match"),
        (event(6, payload=b"\0"), "event 6: its hash"),
        (block(4, seq=7), "event 4: its block is missing"),
        (update(heads).values(hash="x"), "event 7: the head has another hash"),
    ],
)
def test_damage_that_no_crash_makes_is_not_repaired(run: StoreLocation, statement: Executable, named: str) -> None:
    tamper(run, statement)
    for _ in range(2):
        with pytest.raises(IntegrityError, match=named):
            EventStore.open(run, "r1", "g")
    assert quarantined(run) == []
