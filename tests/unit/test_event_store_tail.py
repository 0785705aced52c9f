"""A torn tail is set aside and said, and the run goes on; damage before the tail is never mended."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.core_builders import make_alert, make_change
from trading_core.errors import IntegrityError
from trading_core.events import Event, TailRepaired
from trading_core.storage.event_reader import EventReader
from trading_core.storage.event_store import EventStore
from trading_core.storage.location import FILE_NAME

# Three commits: events 1 to 3; then a block of two ticks as 4 and its event as 5; then a block as 6 and 7 as its event.
LAST = 7
HALF = "CAST(substr(CAST({0} AS TEXT), 1, 20) AS BLOB)"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    with EventStore.open(tmp_path, "r1", "g") as store:
        store.append(make_alert(1), "input")
        store.append(make_alert(2), "record")
        store.append(make_alert(3), "record", durable=True)
        for commit in (1, 2):
            store.append_tick(make_change(10 * commit))
            store.append_tick(make_change(10 * commit + 1))
            store.append(make_alert(3 + commit), "record", durable=True)
    return tmp_path


def tamper(root: Path, *statements: str) -> None:
    with closing(sqlite3.connect(root / FILE_NAME)) as connection, connection:
        for statement in statements:
            assert connection.execute(statement).rowcount > 0


def quarantined(root: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(root / FILE_NAME)) as connection:
        return connection.execute("SELECT source, seq, content FROM quarantine ORDER BY source, seq").fetchall()


def reopened(root: Path) -> list[Event]:
    """Go on with the run and return its events, the last one appended now."""
    with EventStore.open(root, "r1", "g") as store:
        store.append(make_alert(99), "input")
    with EventReader(root, "r1") as reader:
        reader.verify()
        return [stored.event for stored in reader.events()]


COPY_7_TO_8 = "INSERT INTO events SELECT run_id, 8, ts_ns, kind, type, payload, hash FROM events WHERE seq = 7"
HEAD_AT_5 = "UPDATE heads SET seq = 5, hash = (SELECT hash FROM events WHERE seq = 5)"
CUT_BLOCK = "UPDATE blocks SET data = substr(data, 1, 5) WHERE seq = 6"


@pytest.mark.parametrize(
    ("statements", "last_good", "set_aside", "missing"),
    [
        ([COPY_7_TO_8], 7, {"events": 1, "blocks": 0}, 0),
        ([HEAD_AT_5], 5, {"events": 2, "blocks": 1}, 0),
        (["DELETE FROM events WHERE seq = 7"], 6, {"events": 0, "blocks": 0}, 1),
        (["DELETE FROM events WHERE seq > 3"], 3, {"events": 0, "blocks": 2}, 4),
        (["DELETE FROM events WHERE seq = 6"], 5, {"events": 1, "blocks": 1}, 1),
        (["DELETE FROM blocks WHERE seq = 6"], 5, {"events": 2, "blocks": 0}, 0),
        ([CUT_BLOCK], 5, {"events": 2, "blocks": 1}, 0),
        ([f"UPDATE events SET payload = {HALF.format('payload')} WHERE seq = 7"], 6, {"events": 1, "blocks": 0}, 0),
    ],
)
def test_a_torn_tail_is_set_aside_and_the_run_goes_on(
    root: Path, statements: list[str], last_good: int, set_aside: dict[str, int], missing: int
) -> None:
    tamper(root, *statements)
    with EventReader(root, "r1") as reader, pytest.raises(IntegrityError, match=f"event {last_good + 1}: "):
        reader.verify()

    events = reopened(root)

    repaired = [event for event in events if isinstance(event, TailRepaired)]
    assert [(r.last_good_seq, r.set_aside, r.missing) for r in repaired] == [(last_good, set_aside, missing)]
    assert events[-2:] == [repaired[0], make_alert(99)]
    kept = quarantined(root)
    assert {name: sum(source == name for source, *_ in kept) for name in set_aside} == set_aside
    assert [seq for source, seq, _ in kept if source == "head"] != []
    assert all(b'"run_id":"r1"' in content for source, _, content in kept if source != "head")


def test_a_repaired_run_is_not_repaired_again(root: Path) -> None:
    tamper(root, CUT_BLOCK)
    reopened(root)
    events = reopened(root)
    assert sum(isinstance(event, TailRepaired) for event in events) == 1


def test_a_chain_of_which_nothing_is_left_begins_again(root: Path) -> None:
    tamper(root, "DELETE FROM events", "DELETE FROM blocks")
    repaired, last = reopened(root)
    assert isinstance(repaired, TailRepaired)
    assert (repaired.last_good_seq, repaired.missing, repaired.ts_ns, last) == (0, LAST, 0, make_alert(99))


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE events SET payload = x'00' WHERE seq = 1", "event 1: its hash"),
        ("DELETE FROM events WHERE seq = 2", "event 2: it is missing"),
        ("DELETE FROM blocks WHERE seq = 4", "event 4: its block is missing"),
        ("UPDATE blocks SET data = x'00' WHERE seq = 4", "event 4: its block does not match"),
        ("UPDATE events SET payload = x'00' WHERE seq = 6", "event 6: its hash"),
        ("UPDATE blocks SET seq = 7 WHERE seq = 4", "event 4: its block is missing"),
        ("UPDATE heads SET hash = 'x'", "event 7: the head has another hash"),
    ],
)
def test_damage_that_no_crash_makes_is_not_repaired(root: Path, statement: str, named: str) -> None:
    tamper(root, statement)
    for _ in range(2):
        with pytest.raises(IntegrityError, match=named):
            EventStore.open(root, "r1", "g")
    assert quarantined(root) == []
