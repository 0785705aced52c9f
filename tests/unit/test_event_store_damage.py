"""Damage to the event store is found and named by its event."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.sql.base import Executable

from tests.core_builders import make_alert, make_change
from tests.store_rig import tamper
from trading_core.errors import IntegrityError
from trading_core.events import encode
from trading_core.storage.chain import Head
from trading_core.storage.event_reader import EventReader
from trading_core.storage.event_store import EventStore
from trading_core.storage.tables import blocks, events, heads
from trading_core.store_location import FILE_NAME, StoreLocation

# Ten events, each followed by three ticks; then the block of the ticks as event 11.
EVENTS, BLOCK_SEQ = 10, 11


@pytest.fixture
def run(place: StoreLocation) -> StoreLocation:
    with EventStore.open(place, "r1", "g") as store:
        for number in range(EVENTS):
            store.append(make_alert(number), "input" if number % 2 else "record")
            for tick in range(3):
                store.append_tick(make_change(number * 3 + tick))
    return place


def event(seq: int, /, **values: Any) -> Executable:
    return update(events).where(events.c.seq == seq).values(**values)


def hash_of(seq: int) -> Any:
    other = events.alias()
    return select(other.c.hash).where(other.c.seq == seq).scalar_subquery()


def test_a_whole_store_verifies(run: StoreLocation) -> None:
    with EventReader(run, "r1") as reader:
        assert reader.verify().seq == BLOCK_SEQ


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        (event(5, payload=encode(make_alert(5))), "event 5: its hash"),
        (event(5, hash=hash_of(3)), "event 5: its hash"),
        (event(5, kind="input"), "event 5: its hash"),
        (event(5, ts_ns=events.c.ts_ns + 1), "event 5: its columns"),
        (event(5, type="OrderSubmitted"), "event 5: its columns"),
        (delete(events).where(events.c.seq == 1), "event 1: it is missing"),
        (delete(events).where(events.c.seq == 5), "event 5: it is missing"),
        (delete(events).where(events.c.seq == 11), "event 11: the head is event 11, the rows end at 10: torn tail"),
        (event(5, seq=99), "event 5: it is missing"),
        (update(heads).values(hash="x"), "event 11: the head has another hash"),
        (update(heads).values(seq=9, hash=hash_of(9)), "event 10: the head is event 9, the rows end at 11: torn tail"),
        (update(heads).values(genesis="other"), "event 1: its hash"),
        (delete(blocks), "event 11: its block is missing"),
        (update(blocks).values(data=b"\0"), "event 11: its block does not match"),
        (update(blocks).values(codec="lzma-lines-1"), "event 11: its block does not match"),
        (update(blocks).values(seq=4), "event 4: its block is not in the chain"),
    ],
)
def test_damage_is_named_by_its_event(run: StoreLocation, statement: Executable, named: str) -> None:
    tamper(run, statement)
    with EventReader(run, "r1") as reader, pytest.raises(IntegrityError, match=named):
        reader.verify()


def test_a_block_of_another_run_does_not_pass(run: StoreLocation) -> None:
    with EventStore.open(run, "r2", "g") as store:
        for number in range(EVENTS):
            store.append(make_alert(number), "record")
        store.append_tick(make_change(1))
    other = blocks.alias()
    tamper(run, update(blocks).where(blocks.c.run_id == "r1").values(
        data=select(other.c.data).where(other.c.run_id == "r2").scalar_subquery()
    ))
    with EventReader(run, "r1") as reader, pytest.raises(IntegrityError, match="event 11: its block"):
        reader.verify()


def test_a_chain_that_was_rewritten_with_its_head_is_found_by_an_anchor(run: StoreLocation) -> None:
    with EventReader(run, "r1") as reader:
        anchor = reader.head()
    tamper(run, delete(heads), delete(blocks), delete(events))
    with EventStore.open(run, "r1", "g") as store:
        for number in range(BLOCK_SEQ + 3):
            store.append(make_alert(number), "input")

    with EventReader(run, "r1") as reader:
        assert reader.verify().seq == BLOCK_SEQ + 3
        with pytest.raises(IntegrityError, match="the chain was rewritten"):
            reader.verify(anchor)
        with pytest.raises(IntegrityError, match="was anchored at 999"):
            reader.verify(Head(999, anchor.hash))


def test_a_chain_that_grew_still_passes_through_its_anchor(run: StoreLocation) -> None:
    with EventReader(run, "r1") as reader:
        anchor = reader.head()
    with EventStore.open(run, "r1", "g") as store:
        store.append(make_alert(1), "input")
    with EventReader(run, "r1") as reader:
        assert reader.verify(anchor).seq == anchor.seq + 1


def test_unreadable_events_and_blocks_are_named_when_read(run: StoreLocation) -> None:
    tamper(run, event(5, payload=b"{"), update(blocks).values(data=b"\0"))
    with EventReader(run, "r1") as reader:
        with pytest.raises(IntegrityError, match="event 5 cannot be decoded"):
            list(reader.events())
        with pytest.raises(IntegrityError, match="event 11: its block cannot be read"):
            list(reader.ticks())
    tamper(run, update(blocks).values(codec="lzma-lines-1"))
    with EventReader(run, "r1") as reader, pytest.raises(IntegrityError, match="no codec is called 'lzma-lines-1'"):
        list(reader.ticks())


def test_a_cut_write_ahead_log_leaves_a_whole_chain(tmp_path: Path) -> None:
    live, copy = tmp_path / "live", tmp_path / "copy"
    EventStore.open(live, "r1", "g").close()  # the run is in the file itself; what follows is in the log
    with EventStore.open(live, "r1", "g") as store:
        for number in range(40):
            store.append(make_alert(number), "record", durable=True)
        wal = (live / f"{FILE_NAME}-wal").read_bytes()
        seen = set()
        for cut in range(0, len(wal) + 1, len(wal) // 25):
            shutil.rmtree(copy, ignore_errors=True)
            copy.mkdir()
            shutil.copy(live / FILE_NAME, copy)
            (copy / f"{FILE_NAME}-wal").write_bytes(wal[: len(wal) - cut])
            with EventReader(copy, "r1") as reader:
                seen.add(reader.verify().seq)
    assert max(seen) == 40
    assert len(seen) > 10  # each cut is an earlier, whole chain
