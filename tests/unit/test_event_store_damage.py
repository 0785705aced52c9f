"""Damage to the event store is found and named; a crash loses nothing that was acknowledged."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.core_builders import make_alert, make_change
from trading_core.errors import IntegrityError
from trading_core.storage.chain import Head
from trading_core.storage.event_reader import EventReader
from trading_core.storage.event_store import EventStore
from trading_core.storage.location import FILE_NAME

# Ten events, each followed by three ticks; then the block of the ticks as event 11.
EVENTS, BLOCK_SEQ = 10, 11


@pytest.fixture
def root(tmp_path: Path) -> Path:
    with EventStore.open(tmp_path, "r1", "g") as store:
        for number in range(EVENTS):
            store.append(make_alert(number), "input" if number % 2 else "record")
            for tick in range(3):
                store.append_tick(make_change(number * 3 + tick))
    return tmp_path


def tamper(root: Path, statement: str) -> None:
    with closing(sqlite3.connect(root / FILE_NAME)) as connection, connection:
        assert connection.execute(statement).rowcount > 0


def test_a_whole_store_verifies(root: Path) -> None:
    with EventReader(root, "r1") as reader:
        assert reader.verify().seq == BLOCK_SEQ


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE events SET payload = CAST(replace(CAST(payload AS TEXT), 'alert-4', 'alert-5') AS BLOB)"
         " WHERE seq = 5", "event 5: its hash"),
        ("UPDATE events SET hash = (SELECT hash FROM events WHERE seq = 3) WHERE seq = 5", "event 5: its hash"),
        ("UPDATE events SET kind = 'input' WHERE seq = 5", "event 5: its hash"),
        ("UPDATE events SET ts_ns = ts_ns + 1 WHERE seq = 5", "event 5: its columns"),
        ("UPDATE events SET type = 'OrderSubmitted' WHERE seq = 5", "event 5: its columns"),
        ("DELETE FROM events WHERE seq = 1", "event 1: it is missing"),
        ("DELETE FROM events WHERE seq = 5", "event 5: it is missing"),
        ("DELETE FROM events WHERE seq = 11", "event 11: the head is event 11, the rows end at 10: torn tail"),
        ("UPDATE events SET seq = 99 WHERE seq = 5", "event 5: it is missing"),
        ("UPDATE heads SET hash = 'x'", "event 11: the head has another hash"),
        ("UPDATE heads SET seq = 9, hash = (SELECT hash FROM events WHERE seq = 9)", "event 10: the head is event 9"),
        ("UPDATE heads SET genesis = 'other'", "event 1: its hash"),
        ("DELETE FROM blocks", "event 11: its block is missing"),
        ("UPDATE blocks SET data = x'00'", "event 11: its block does not match"),
        ("UPDATE blocks SET seq = 4", "event 4: its block is not in the chain"),
    ],
)
def test_damage_is_named_by_its_event(root: Path, statement: str, named: str) -> None:
    tamper(root, statement)
    with EventReader(root, "r1") as reader, pytest.raises(IntegrityError, match=named):
        reader.verify()


def test_a_block_of_another_run_does_not_pass(root: Path) -> None:
    with EventStore.open(root, "r2", "g") as store:
        for number in range(EVENTS):
            store.append(make_alert(number), "record")
        store.append_tick(make_change(1))
    tamper(root, "UPDATE blocks SET data = (SELECT data FROM blocks WHERE run_id = 'r2') WHERE run_id = 'r1'")
    with EventReader(root, "r1") as reader, pytest.raises(IntegrityError, match="event 11: its block"):
        reader.verify()


def test_a_chain_that_was_rewritten_with_its_head_is_found_by_an_anchor(root: Path) -> None:
    with EventReader(root, "r1") as reader:
        anchor = reader.head()
    tamper(root, "DELETE FROM heads")
    tamper(root, "DELETE FROM blocks")
    tamper(root, "DELETE FROM events")
    with EventStore.open(root, "r1", "g") as store:
        for number in range(BLOCK_SEQ + 3):
            store.append(make_alert(number), "input")

    with EventReader(root, "r1") as reader:
        assert reader.verify().seq == BLOCK_SEQ + 3
        with pytest.raises(IntegrityError, match="the chain was rewritten"):
            reader.verify(anchor)
        with pytest.raises(IntegrityError, match="was anchored at 999"):
            reader.verify(Head(999, anchor.hash))


def test_a_chain_that_grew_still_passes_through_its_anchor(root: Path) -> None:
    with EventReader(root, "r1") as reader:
        anchor = reader.head()
    with EventStore.open(root, "r1", "g") as store:
        store.append(make_alert(1), "input")
    with EventReader(root, "r1") as reader:
        assert reader.verify(anchor).seq == anchor.seq + 1


def test_unreadable_events_and_blocks_are_named_when_read(root: Path) -> None:
    tamper(root, "UPDATE events SET payload = '{' WHERE seq = 5")
    tamper(root, "UPDATE blocks SET data = x'00'")
    with EventReader(root, "r1") as reader:
        with pytest.raises(IntegrityError, match="event 5 cannot be decoded"):
            list(reader.events())
        with pytest.raises(IntegrityError, match="event 11: its block cannot be read"):
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


WRITER = """
import sys
from pathlib import Path
from tests.core_builders import make_alert, make_change
from trading_core.storage.event_store import EventStore
store = EventStore.open(Path(sys.argv[1]), "r1", "g")
number = 0
while True:
    number += 1
    store.append_tick(make_change(number))
    store.append(make_alert(number), "input")
    print(store.append(make_alert(number), "record", durable=True), flush=True)
"""


@pytest.mark.parametrize("acknowledged_min", [1, 50, 400])
def test_a_killed_writer_loses_nothing_that_was_acknowledged(tmp_path: Path, acknowledged_min: int) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for _ in range(acknowledged_min):
            writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        acknowledged = [int(line) for line in writer.stdout.read().split("\n")[:-1]]

    with EventReader(tmp_path, "r1") as reader:
        before = reader.verify()
    assert before.seq >= max([acknowledged_min * 2, *acknowledged])
    with EventStore.open(tmp_path, "r1", "g") as store:
        assert store.append(make_alert(1), "input") == before.seq + 1
