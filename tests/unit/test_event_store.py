"""The event store: what is appended can be read in order, by one writer, and trouble is said aloud."""

from __future__ import annotations

import resource
import sqlite3
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest
import zstandard
from sqlalchemy import insert, select, update

from tests.core_builders import T0_NS, make_alert, make_change
from tests.store_rig import by_hand
from trading_core.clock import NS, SystemClock, pause
from trading_core.errors import ConfigurationError, IntegrityError, InvariantBroken, StorageError
from trading_core.events import ClockTicked, Event, HeartbeatReceived, StreamChanged, StreamState
from trading_core.storage.chain import Head, first_head
from trading_core.storage.database import open_reader
from trading_core.storage.event_reader import EventReader, list_runs
from trading_core.storage.event_store import BACKLOG_EVENTS_MAX, COMMIT_EVENTS_MAX, EventStore
from trading_core.storage.tables import blocks, meta
from trading_core.storage.tick_block import BLOCK_SPAN_NS, BLOCK_TICKS_MAX
from trading_core.store_location import FILE_NAME, StoreLocation

GENESIS = "phase2 simulated typical seed 1"
Where: TypeAlias = StoreLocation | Path


def open_store(where: Where, run_id: str = "r1", genesis: str = GENESIS) -> EventStore:
    return EventStore.open(where, run_id, genesis, busy_timeout_s=0.05)


def file_of(root: Path) -> Path:
    return root / FILE_NAME


def read_all(where: Where, run_id: str = "r1") -> list[Event]:
    with EventReader(where, run_id) as reader:
        return [stored.event for stored in reader.events()]


@contextmanager
def file_size_limit(limit: int) -> Iterator[None]:
    """Let every write behind this size fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_events_come_back_in_order_with_their_kind(place: StoreLocation) -> None:
    with open_store(place) as store:
        seqs = [store.append(make_alert(n), "record" if n % 2 else "input") for n in range(5)]
    with EventReader(place, "r1") as reader:
        stored = list(reader.events())
        assert seqs == [s.seq for s in stored] == [1, 2, 3, 4, 5]
        assert [s.event for s in stored] == [make_alert(n) for n in range(5)]
        assert [s.ts_ns for s in stored] == [T0_NS + n for n in range(5)]
        assert [s.seq for s in reader.events(kinds=["record"])] == [2, 4]
        assert [s.seq for s in reader.events(after=3)] == [4, 5]
        assert list(reader.events(types=["ClockTicked"])) == []
        assert reader.verify() == reader.head() == Head(5, reader.digest())


def test_a_durable_append_is_seen_by_readers_at_once(place: StoreLocation) -> None:
    with open_store(place) as store:
        store.append(make_alert(1), "input")
        seq = store.append(make_alert(2), "record", durable=True)
        assert store.head().seq == seq == 2
        assert read_all(place) == [make_alert(1), make_alert(2)]


def test_a_full_batch_is_committed_without_being_asked(place: StoreLocation) -> None:
    with open_store(place) as store:
        for number in range(COMMIT_EVENTS_MAX):
            store.append(make_alert(number), "input")
        assert store.head().seq == COMMIT_EVENTS_MAX


def test_a_store_without_durability_does_not_commit_each_order(place: StoreLocation) -> None:
    with EventStore.open(place, "r1", GENESIS, is_durable=False) as store:
        store.append(make_alert(1), "record", durable=True)
    assert read_all(place) == [make_alert(1)]


def test_equal_inputs_give_equal_digests_whatever_the_run_is_called(place: StoreLocation) -> None:
    for run_id in ("r1", "r2"):
        with EventStore.open(place, run_id, GENESIS, is_durable=False) as store:
            for number in range(1_500):
                store.append_tick(make_change(number * 7_000_000))
                if number % 100 == 0:
                    store.append(make_alert(number), "input", durable=number % 300 == 0)
    first, second = list_runs(place)
    assert (first.run_id, second.run_id) == ("r1", "r2")
    assert first.hash == second.hash
    with open_store(place, "r3", "another genesis") as store:
        assert store.head() == first_head("another genesis") != first_head(GENESIS)


def test_ticks_come_back_and_are_covered_by_the_chain(place: StoreLocation) -> None:
    ticks = [make_change(n, product_id="BTC-USD" if n % 2 else "ETH-USD") for n in range(BLOCK_TICKS_MAX + 500)]
    beat = HeartbeatReceived(ts_ns=T0_NS, counter=1)
    with open_store(place) as store:
        for tick in ticks:
            store.append_tick(tick)
        store.append_tick(beat)
    with EventReader(place, "r1") as reader:
        assert list(reader.ticks()) == [*ticks, beat]
        assert list(reader.ticks("ETH-USD")) == ticks[::2]
        assert list(reader.events()) == []  # the blocks' own links are no events of the run
        assert reader.verify().seq == 2


def test_a_quiet_market_cuts_blocks_by_venue_time(place: StoreLocation) -> None:
    with EventStore.open(place, "r1", GENESIS, is_durable=False) as store:
        store.append_tick(make_change(0))
        store.append_tick(make_change(BLOCK_SPAN_NS - 1))
        store.append(make_alert(1), "input")
        store.append_tick(make_change(BLOCK_SPAN_NS))
        store.append(make_alert(2), "input")
    with EventReader(place, "r1") as reader:
        assert [s.seq for s in reader.events()] == [1, 3]


def test_nothing_is_on_disk_before_a_tick_that_came_before_it(place: StoreLocation) -> None:
    with EventStore.open(place, "r1", GENESIS, is_durable=False) as store:
        for number in range(3):
            store.append(make_alert(number), "input")
        store.append_tick(make_change(0))
        for number in range(COMMIT_EVENTS_MAX):
            store.append(make_alert(number), "input")
        assert store.head().seq == 3  # what follows waits for the tick's block
        store.append_tick(make_change(BLOCK_SPAN_NS))
        assert store.head().seq == 3 + COMMIT_EVENTS_MAX + 1


def test_what_waits_for_viewers_waits_no_longer_than_until_the_next_second(place: StoreLocation) -> None:
    clock = SystemClock()
    with open_store(place) as store:
        store.append(make_alert(1), "record")
        deadline_ns = clock.stopwatch_ns() + 20 * NS
        while store.head().seq == 0 and clock.stopwatch_ns() < deadline_ns:
            store.append_tick(ClockTicked(ts_ns=T0_NS))  # the block is never full: it is cut because a commit is due
            pause(0.05)
        assert read_all(place) == [make_alert(1)]


def test_blocks_of_an_older_build_are_read_and_verified(place: StoreLocation) -> None:
    ticks = [make_change(number) for number in range(5)]
    with open_store(place) as store:
        for tick in ticks:
            store.append_tick(tick)
    with by_hand(place) as connection:
        packed = connection.execute(select(blocks.c.data)).scalar_one()
        older = {"codec": "zlib-lines-1", "data": zlib.compress(zstandard.decompress(packed), 1)}
        connection.execute(update(blocks).values(**older))
    with EventReader(place, "r1") as reader:
        assert list(reader.ticks()) == ticks
        assert reader.verify().seq == 1


def test_a_durable_append_takes_the_open_block_of_ticks_with_it(place: StoreLocation) -> None:
    fed = [make_change(0), make_change(1), make_alert(1)]
    with open_store(place) as store, EventReader(place, "r1") as reader:
        store.append_tick(make_change(0))
        store.append_tick(make_change(1))
        store.append(make_alert(1), "input", durable=True)
        assert list(reader.inputs()) == fed
        assert reader.verify().seq == 2


def test_the_inputs_come_back_in_the_order_of_the_run(place: StoreLocation) -> None:
    fed: list[Event] = []
    with open_store(place) as store:
        for number in range(2_500):
            tick = make_change(number)
            store.append_tick(tick)
            fed.append(tick)
            if number % 7 == 0:
                second = ClockTicked(ts_ns=T0_NS + number * NS)
                store.append_tick(second)
                store.append(make_alert(number), "record")
                fed.append(second)
            if number % 900 == 0:
                store.flush()
    with EventReader(place, "r1") as reader:
        assert list(reader.inputs()) == fed


def test_a_reader_sees_a_growing_run(place: StoreLocation) -> None:
    with open_store(place) as store, EventReader(place, "r1") as reader:
        assert list(reader.events()) == []
        store.append(make_alert(1), "input", durable=True)
        assert [s.seq for s in reader.events()] == [1]
        store.append(make_alert(2), "input", durable=True)
        assert [s.seq for s in reader.events(after=1)] == [2]


def test_a_writer_goes_on_where_the_last_one_ended(place: StoreLocation) -> None:
    with open_store(place) as store:
        store.append(make_alert(1), "input")
    with open_store(place) as store:
        assert store.append(make_alert(2), "input") == 2
    with EventReader(place, "r1") as reader:
        assert reader.verify().seq == 2
    assert list_runs(place)[0].epoch == 2


def test_a_second_writer_fences_the_first(place: StoreLocation) -> None:
    first = open_store(place)
    first.append(make_alert(1), "input", durable=True)
    with open_store(place) as second:
        with pytest.raises(StorageError, match="fenced off"):
            first.append(make_alert(666), "input", durable=True)
        with pytest.raises(StorageError, match="another writer took over"):
            first.append(make_alert(667), "input")
        first.close()
        second.append(make_alert(2), "input")
    assert read_all(place) == [make_alert(1), make_alert(2)]


def test_two_runs_share_one_file(place: StoreLocation) -> None:
    with open_store(place, "r1") as one, open_store(place, "r2") as other:
        for number in range(50):
            one.append(make_alert(number), "input", durable=True)
            other.append(make_alert(-number), "input", durable=True)
    assert read_all(place, "r1") == [make_alert(n) for n in range(50)]
    assert read_all(place, "r2") == [make_alert(-n) for n in range(50)]


def test_a_run_cannot_go_on_as_another(place: StoreLocation) -> None:
    open_store(place).close()
    with pytest.raises(ConfigurationError, match="cannot go on as 'other'"):
        open_store(place, genesis="other")


def test_a_sealed_run_refuses_writes_for_good(place: StoreLocation) -> None:
    store = open_store(place)
    store.append_tick(make_change())
    store.seal()
    with pytest.raises(StorageError, match="sealed"):
        store.append(make_alert(1), "input")
    with pytest.raises(StorageError, match="sealed"):
        store.append_tick(make_change())
    store.close()
    with pytest.raises(StorageError, match="sealed"):
        open_store(place)
    assert list_runs(place)[0].is_sealed
    with EventReader(place, "r1") as reader:
        assert reader.verify().seq == 1


def test_a_closed_store_refuses_writes_and_may_be_closed_again(place: StoreLocation) -> None:
    store = open_store(place)
    store.close()
    store.close()
    with pytest.raises(StorageError, match="closed"):
        store.append(make_alert(1), "input")


def test_an_unknown_kind_is_refused(place: StoreLocation) -> None:
    with open_store(place) as store, pytest.raises(InvariantBroken, match="kind was 'block'"):
        store.append(make_alert(1), "block")


def test_a_full_disk_is_said_and_nothing_is_lost_once_there_is_room(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.append(make_alert(1), "input", durable=True)
    wal_bytes = Path(f"{file_of(tmp_path)}-wal").stat().st_size

    with file_size_limit(wal_bytes), pytest.raises(StorageError, match="free disk space"):
        store.append(make_alert(2, "x" * 9_000), "record", durable=True)

    assert store.head().seq == 1
    with EventReader(tmp_path, "r1") as reader:
        assert reader.verify().seq == 1
    store.append(make_alert(3), "input", durable=True)
    store.close()
    with EventReader(tmp_path, "r1") as reader:
        assert reader.verify().seq == 3


def test_a_locked_database_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with closing(sqlite3.connect(file_of(tmp_path), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="locked by another process"):
            store.append(make_alert(1), "record", durable=True)
        other.execute("ROLLBACK")
    store.append(make_alert(2), "record", durable=True)
    store.close()
    assert read_all(tmp_path) == [make_alert(1), make_alert(2)]


def test_the_backlog_of_a_store_that_cannot_be_written_is_limited(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.append(make_alert(0), "input", durable=True)
    wal_bytes = Path(f"{file_of(tmp_path)}-wal").stat().st_size
    said = Counter[str]()
    with file_size_limit(wal_bytes):
        for number in range(BACKLOG_EVENTS_MAX + 10):
            try:
                store.append(make_alert(number), "input")
            except StorageError as e:
                said["limit" if "wait in memory" in str(e) else "disk"] += 1
    store.close()

    assert said["limit"] > 0
    assert 1 <= said["disk"] < 1_000  # it is not tried again at every event
    with EventReader(tmp_path, "r1") as reader:
        assert reader.verify().seq == 1 + BACKLOG_EVENTS_MAX


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be made"):
        open_store(tmp_path / "file" / "root")


def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    file_of(tmp_path).write_bytes(b"not a database" * 500)
    with pytest.raises(IntegrityError, match="damaged"):
        open_store(tmp_path)
    with pytest.raises(IntegrityError, match="damaged"):
        EventReader(tmp_path, "r1")


def test_a_store_of_another_schema_version_is_refused(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    with closing(sqlite3.connect(file_of(tmp_path))) as other, other:
        other.execute("UPDATE meta SET value = '99'")
    for opener in (open_store, lambda root: EventReader(root, "r1")):
        with pytest.raises(StorageError, match=r"schema version 99 \(this build knows 2\): use the newer build"):
            opener(tmp_path)


def test_a_missing_store_and_an_unknown_run_are_said(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no event store"):
        EventReader(tmp_path, "r1")
    open_store(tmp_path).close()
    with pytest.raises(StorageError, match="has no run r9"):
        EventReader(tmp_path, "r9")


def test_readers_cannot_write(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    database = open_reader(StoreLocation(root=tmp_path))
    with pytest.raises(StorageError, match="readonly"), database.reading() as connection:
        connection.execute(insert(meta).values(name="x", value="y"))
    database.close()


def test_other_inputs_keep_their_types(place: StoreLocation) -> None:
    event = StreamChanged(ts_ns=T0_NS, state=StreamState.GAP, detail="7 → 9")
    with open_store(place) as store:
        store.append(event, "input")
    with EventReader(place, "r1") as reader:
        assert [s.event for s in reader.events(types=["StreamChanged"])] == [event]
