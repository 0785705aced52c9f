"""The event store between processes: a killed writer, a second writer, and a server that hangs up in the middle."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, Engine, event, exc, text

from tests.core_builders import make_alert, make_change
from tests.store_rig import by_hand
from trading_core.errors import StorageError
from trading_core.storage.database import open_writer
from trading_core.storage.event_reader import EventReader, list_runs
from trading_core.storage.event_store import EventStore
from trading_core.storage.tail import whole_head
from trading_core.store_location import StoreLocation

WRITER = """
import sys
from pathlib import Path
from tests.core_builders import make_alert, make_change
from trading_core.storage.event_store import EventStore
from trading_core.store_location import StoreLocation
store = EventStore.open(StoreLocation.model_validate_json(sys.argv[1]), "r1", "g")
number = 0
while True:
    number += 1
    store.append_tick(make_change(number))
    store.append(make_alert(number), "input")
    print(store.append(make_alert(number), "record", durable=True), flush=True)
"""
# Each test has an application name of its own.
ONE_TRIP = "WITH moved AS"  # how the statement begins that is a small commit on a server
HANG_UP = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND application_name = current_setting('application_name')
"""


@contextmanager
def writer_process(place: StoreLocation) -> Iterator[subprocess.Popen[str]]:
    """Start a process that appends for as long as it can, and prints each seq that is durable."""
    command = [sys.executable, "-c", WRITER, place.model_dump_json()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as writer:
        try:
            yield writer
        finally:
            writer.kill()


def take(writer: subprocess.Popen[str], count: int) -> list[int]:
    assert writer.stdout is not None
    return [int(writer.stdout.readline()) for _ in range(count)]


def last_of(writer: subprocess.Popen[str]) -> list[int]:
    """Return what it still says until it has ended."""
    assert writer.stdout is not None
    return [int(line) for line in writer.stdout.read().split("\n")[:-1]]


def hang_up(place: StoreLocation) -> None:
    """Let the server end every other connection to this test's store."""
    with by_hand(place) as connection:
        assert connection.execute(text(HANG_UP)).rowcount > 0


@contextmanager
def losing_the_next_commit(place: StoreLocation, *, is_late: bool) -> Iterator[None]:
    """Cut the connection of the next commit, once; if late, the server has the commit and nobody tells us."""
    left = ["cut"]

    def at_commit(connection: Connection) -> None:
        if left:
            left.clear()
            if is_late:
                connection.exec_driver_sql("COMMIT")
            _cut(place, is_late=is_late)

    def at_statement(_: Connection, __: object, statement: str, *___: object) -> None:
        if left and ONE_TRIP in statement:
            left.clear()
            _cut(place, is_late=is_late)

    statement_event = f"{'after' if is_late else 'before'}_cursor_execute"
    event.listen(Engine, "commit", at_commit)
    event.listen(Engine, statement_event, at_statement)
    try:
        yield
    finally:
        event.remove(Engine, "commit", at_commit)
        event.remove(Engine, statement_event, at_statement)
    assert left == []


def _cut(place: StoreLocation, *, is_late: bool) -> None:
    hang_up(place)
    if is_late:
        raise exc.OperationalError("COMMIT", None, ConnectionResetError("the answer was lost"))


@pytest.mark.parametrize("acknowledged_min", [1, 50, 400])
def test_a_killed_writer_loses_nothing_that_was_acknowledged(place: StoreLocation, acknowledged_min: int) -> None:
    with writer_process(place) as writer:
        acknowledged = take(writer, acknowledged_min)
        writer.send_signal(signal.SIGKILL)
        acknowledged += last_of(writer)

    with EventReader(place, "r1") as reader:
        before = reader.verify()
        inputs = list(reader.inputs())
    assert before.seq >= acknowledged[-1]
    numbers = range(1, len(inputs) // 2 + 1)
    assert inputs == [given for n in numbers for given in (make_change(n), make_alert(n))]
    with EventStore.open(place, "r1", "g") as store:
        assert store.append(make_alert(1), "input") == before.seq + 1


def test_a_writer_of_another_process_is_fenced_off(place: StoreLocation) -> None:
    with writer_process(place) as writer:
        take(writer, 5)
        with EventStore.open(place, "r1", "g") as store:
            acknowledged = last_of(writer)  # it ends by itself: its next append is refused
            first = store.append(make_alert(-1), "input", durable=True)
        assert writer.stderr is not None
        assert "another writer took over run r1" in writer.stderr.read()
        assert writer.wait() != 0
    assert all(seq < first for seq in acknowledged)
    with EventReader(place, "r1") as reader:
        assert reader.verify().seq == first
    assert [run.epoch for run in list_runs(place)] == [2]


def test_a_writer_that_was_overtaken_while_it_opened_ends(place: StoreLocation) -> None:
    EventStore.open(place, "r1", "g").close()
    with by_hand(place) as connection:
        connection.execute(text("UPDATE heads SET seq = 3"))  # a tail to repair, and an epoch that moved on
    database = open_writer(place, is_durable=True)
    with pytest.raises(StorageError, match="another writer took over run r1 while its tail was repaired"):
        whole_head(database, "r1", epoch=1_000)
    database.close()


@pytest.mark.postgres
def test_a_connection_that_is_lost_between_two_commits_is_made_anew(server: StoreLocation) -> None:
    with EventStore.open(server, "r1", "g") as store:
        store.append(make_alert(1), "input", durable=True)
        hang_up(server)
        assert store.append(make_alert(2), "record", durable=True) == 2
    with EventReader(server, "r1") as reader:
        assert [stored.event for stored in reader.events()] == [make_alert(n) for n in (1, 2)]
        reader.verify()


@pytest.mark.postgres
@pytest.mark.parametrize("count", [1, 200], ids=["in one statement", "in a transaction"])
@pytest.mark.parametrize("when", ["before the commit", "after the commit"])
def test_a_commit_whose_answer_is_lost_is_neither_lost_nor_doubled(
    server: StoreLocation, when: str, count: int
) -> None:
    with EventStore.open(server, "r1", "g") as store:
        store.append_tick(make_change(1))
        for number in range(count):
            store.append(make_alert(number), "input")

        with losing_the_next_commit(server, is_late=when == "after the commit"), pytest.raises(StorageError):
            store.append(make_alert(count), "record", durable=True)
        assert store.append(make_alert(count + 1), "record", durable=True) == count + 3
    with EventReader(server, "r1") as reader:
        assert reader.verify().seq == count + 3
        assert [stored.event for stored in reader.events()] == [make_alert(n) for n in range(count + 2)]
