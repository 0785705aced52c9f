"""Delivery: told once, tried again where a sink fails, asked again until a person answers, and kept in a chain."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from trading_core.alert_book import AlertBook, acknowledge, books, hold_words
from trading_core.alert_desk import ACKNOWLEDGE_WITHIN_NS, SENDS_MAX, AlertDesk, AlertFollower, Message, lock_of
from trading_core.alert_sinks import AppriseSink, LogSink
from trading_core.alerts import Severity
from trading_core.clock import NS, SystemClock, pause
from trading_core.errors import ConfigurationError, IntegrityError, VenueUnavailable
from trading_core.events import AlertCleared, AlertRaised
from trading_core.storage.event_store import EventStore

RUN = "run-1"


class ListSink:
    """Keeps what it is given; fails for the first so many messages."""

    def __init__(self, name: str = "list", failures: int = 0) -> None:
        self.name = name
        self.got: list[Message] = []
        self.tries = 0
        self._failures = failures

    def send(self, message: Message) -> None:
        self.tries += 1
        if self.tries <= self._failures:
            raise VenueUnavailable("the service is down")
        self.got.append(message)


class Room:
    """An event store that is being written, a book, and a desk at a clock that the test moves."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = EventStore.open(root, RUN, "test", is_durable=False)
        self.book = AlertBook(root, "acc")
        self.now_ns = 1_000 * NS

    def desk(self, *sinks: ListSink) -> AlertDesk:
        return AlertDesk(self.root, RUN, self.book, sinks, lambda: self.now_ns)

    def raise_alert(self, name: str = "drift", severity: str = "CRITICAL") -> int:
        event = AlertRaised(ts_ns=1, name=name, severity=severity, detail="drift 2 (limit 1)")
        seq = self.store.append(event, "record")
        self.store.flush()
        return seq

    def clear(self, name: str = "drift") -> None:
        self.store.append(AlertCleared(ts_ns=2, name=name, severity="CRITICAL", detail="drift 0"), "record")
        self.store.flush()


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    made = Room(tmp_path / "events")
    yield made
    made.store.close()


def test_an_alert_is_told_once_to_each_sink_and_noted(room: Room) -> None:
    one, two = ListSink("one"), ListSink("two")
    desk = room.desk(one, two)
    seq = room.raise_alert()
    desk.look()
    desk.look()
    desk.close()
    assert [m.kind for m in one.got] == [m.kind for m in two.got] == ["raised"]
    assert one.got[0].alert_id == f"{RUN}:{seq}"
    assert "greenlight alerts ack" in one.got[0].body
    (alert,) = room.book.alerts()
    assert (alert.severity, alert.sent_to, alert.is_open) == (Severity.CRITICAL, ("one", "two"), True)


def test_a_second_desk_tells_nothing_that_the_first_told(room: Room) -> None:
    room.raise_alert()
    first, second = ListSink(), ListSink()
    for sink in (first, second):
        desk = room.desk(sink)
        desk.look()
        desk.close()
    assert (len(first.got), len(second.got), len(room.book.alerts())) == (1, 0, 1)


def test_a_sink_that_fails_is_tried_again_and_the_others_are_not(room: Room) -> None:
    good, bad = ListSink("good"), ListSink("bad", failures=2)
    desk = room.desk(bad, good)
    room.raise_alert()
    for _ in range(5):
        desk.look()
    desk.close()
    assert (good.tries, bad.tries, len(bad.got)) == (1, 3, 1)


def test_a_sink_that_never_works_is_given_up(room: Room) -> None:
    bad = ListSink("bad", failures=1_000)
    desk = room.desk(bad)
    room.raise_alert(severity="WARNING")
    for _ in range(SENDS_MAX * 2):
        desk.look()
    desk.close()
    assert bad.tries == SENDS_MAX


@pytest.mark.parametrize("severity", [Severity.CRITICAL, Severity.ERROR])
def test_an_alert_nobody_answers_is_sent_again_at_each_deadline_until_it_is_acknowledged(
    room: Room, severity: Severity
) -> None:
    sink, within_ns = ListSink(), ACKNOWLEDGE_WITHIN_NS[severity]
    desk = room.desk(sink)
    seq = room.raise_alert(severity=severity)
    desk.look()
    room.now_ns += within_ns - 1
    desk.look()
    assert [m.kind for m in sink.got] == ["raised"]
    room.now_ns += 1
    desk.look()
    room.now_ns += within_ns
    desk.look()
    acknowledge(room.root, f"{RUN}:{seq}", by="Ada", note="seen")
    room.now_ns += 10 * within_ns
    desk.look()
    desk.close()
    assert [m.kind for m in sink.got] == ["raised", "escalated", "escalated"]
    assert "not acknowledged for" in sink.got[1].title
    assert room.book.alerts()[0].acknowledged_by == "Ada"


def test_a_warning_asks_for_nothing(room: Room) -> None:
    sink = ListSink()
    desk = room.desk(sink)
    room.raise_alert(severity="WARNING")
    desk.look()
    room.now_ns += 1_000 * 60 * NS
    desk.look()
    desk.close()
    assert len(sink.got) == 1
    assert room.book.unanswered() == []


def test_a_cleared_critical_still_waits_for_a_person(room: Room) -> None:
    sink = ListSink()
    desk = room.desk(sink)
    room.raise_alert()
    desk.look()
    room.clear()
    desk.look()
    desk.close()
    assert [m.kind for m in sink.got] == ["raised", "cleared"]
    (alert,) = room.book.unanswered(RUN)
    assert alert.is_cleared
    assert hold_words([alert]) == f"CRITICAL alert drift of run {RUN} was not acknowledged: drift 2 (limit 1)"


def test_an_acknowledgement_needs_a_name_and_an_alert(room: Room) -> None:
    seq = room.raise_alert()
    desk = room.desk()
    desk.look()
    desk.close()
    with pytest.raises(ConfigurationError, match="name of the person"):
        acknowledge(room.root, f"{RUN}:{seq}", by="  ", note="")
    with pytest.raises(ConfigurationError, match="no alert"):
        acknowledge(room.root, "other:1", by="Ada", note="")


def test_an_edited_book_is_noticed(room: Room) -> None:
    room.raise_alert()
    desk = room.desk()
    desk.look()
    desk.close()
    text = room.book.path.read_text()
    room.book.path.write_text(text.replace("CRITICAL", "INFO"))
    with pytest.raises(IntegrityError):
        books(room.root)[0].unanswered()


def test_the_follower_tells_of_an_alert_once_it_is_committed(room: Room) -> None:
    sink, clock = ListSink(), SystemClock()
    with AlertFollower(lambda: [AlertDesk(room.root, RUN, room.book, [sink])], lock_of(room.book)):
        room.raise_alert()
        started_ns = clock.stopwatch_ns()
        while not sink.got and clock.stopwatch_ns() - started_ns < 30 * NS:
            pause(0.02)
    assert len(sink.got) == 1


# ── real sinks ──────────────────────────────────────────────────────────────────────────────────
@pytest.fixture
def hook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A webhook's address, and the JSON bodies that it was sent."""
    got: list[dict[str, Any]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"json://user:hunter22@127.0.0.1:{server.server_port}/", got
    server.shutdown()
    server.server_close()
    thread.join(5)


MESSAGE = Message("raised", Severity.CRITICAL, "CRITICAL: drift", "drift 2 (limit 1)", RUN, "drift", f"{RUN}:1")


def test_an_apprise_address_is_really_sent_to(hook: tuple[str, list[dict[str, Any]]]) -> None:
    address, got = hook
    sink = AppriseSink(address)
    sink.send(MESSAGE)
    assert (got[0]["title"], got[0]["type"]) == ("Greenlight CRITICAL: drift", "failure")
    assert "hunter22" not in sink.name


def test_an_address_nobody_listens_at_is_a_failure_that_does_not_show_it() -> None:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        port = server.server_port
    with pytest.raises(VenueUnavailable) as failed:
        AppriseSink(f"json://user:hunter22@127.0.0.1:{port}/").send(MESSAGE)
    assert "hunter22" not in str(failed.value)


def test_a_word_that_is_no_address_is_refused_without_showing_it() -> None:
    with pytest.raises(ConfigurationError) as refused:
        AppriseSink("hunter22:no address", 2)
    assert "address 2" in str(refused.value)
    assert "hunter22" not in str(refused.value)


def test_the_log_keeps_what_was_told_as_fields(caplog: pytest.LogCaptureFixture) -> None:
    LogSink().send(MESSAGE)
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == ("CRITICAL", "alert_raised")
    assert vars(record)["alert_id"] == f"{RUN}:1"
