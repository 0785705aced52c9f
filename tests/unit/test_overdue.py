"""A checkpoint that nobody reached is told from plan and start, whoever is dead, once, and on every way to people."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.control_rig import write_beat
from tests.unit.test_alert_desk import ListSink
from trading_core.alert_book import AlertBook, acknowledge
from trading_core.alert_desk import ACKNOWLEDGE_WITHIN_NS, AlertDesk
from trading_core.alerts import HOUR_S, Severity
from trading_core.clock import NS, SystemClock, iso, pause, wall_now_ns
from trading_core.control.config import ControlSettings
from trading_core.control.feed import RunWatch
from trading_core.control.metrics import scrape
from trading_core.errors import IntegrityError, StorageError
from trading_core.events import AnyEvent, CheckpointReached, RunEnding, StateChanged
from trading_core.money import ZERO
from trading_core.overdue import CheckpointDesk, CheckpointPatrol, Overdue, Progress, overdue_of
from trading_core.plan_files import find_plan
from trading_core.prepare import prepare_run
from trading_core.run import Endpoint, RunContext, VenueName
from trading_core.storage.event_store import EventStore
from trading_core.trading_state import TradingState

STAGE3 = find_plan("stage3")
NAME, RUN = "acct", "day-run"
HOUR_NS = HOUR_S * NS


class Day:
    """A run that began at a moment, whose events a test writes and whose time it moves."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, folder / "events"
        self.context: RunContext = prepare_run(
            plan=STAGE3, venue=VenueName.LOCAL, day="typical", seed=1, speed=1.0, faults="", run_id=RUN,
            artifacts_root=folder / "artifacts", event_store_root=self.root,
        )
        self.began_ns = wall_now_ns() - 30 * HOUR_NS
        self.now_ns = self.began_ns
        self.sink = ListSink()
        self.store = EventStore.open(self.root, RUN, "test", is_durable=False)
        self.write(StateChanged(ts_ns=self.began_ns, state=TradingState.ACTIVE, reason="start", actor="test"))
        self.desk = self.new_desk()
        self.beat()

    def new_desk(self) -> CheckpointDesk:
        return CheckpointDesk(self.root, NAME, [self.sink], lambda: self.now_ns)

    def beat(self, **changes: Any) -> None:
        """Write the session's last beat."""
        given = {
            "run_id": RUN, "plan": "stage3", "venue": "local", "run_dir": str(self.context.run_dir),
            "started_ns": self.began_ns, "beat_ns": self.now_ns, "endpoint": Endpoint().model_dump_json(), **changes,
        }
        write_beat(self.root, NAME, **given)

    def write(self, event: AnyEvent) -> None:
        self.store.append(event, "record")
        self.store.flush()

    def reach(self, at_h: int) -> None:
        """Let the session reach a checkpoint in its time."""
        self.write(CheckpointReached(ts_ns=self.began_ns + at_h * HOUR_NS, at_h=at_h, late_s=ZERO, figures={}))

    def at(self, hours: int, seconds: int = 0) -> None:
        """Look at that time of the run."""
        self.now_ns = self.began_ns + hours * HOUR_NS + seconds * NS
        self.desk.look()

    @property
    def told(self) -> list[str]:
        return [message.body.split(" was due")[0] for message in self.sink.got if message.kind == "raised"]


@pytest.fixture
def day(tmp_path: Path) -> Iterator[Day]:
    made = Day(tmp_path)
    made.reach(0)
    yield made
    made.store.close()


@pytest.mark.parametrize(("reached", "at_h", "wanted"), [
    ({0}, 1, []), ({0}, 2, [1]), ({0, 1}, 2, []), ({0, 1}, 9, [4, 8]), (set(), 26, [0, 1, 4, 8, 24, 25]),
])
def test_what_is_overdue_follows_from_plan_and_start(reached: set[int], at_h: int, wanted: list[int]) -> None:
    began_ns = 10**18
    found = overdue_of(STAGE3, Progress(began_ns, frozenset(reached)), began_ns + at_h * HOUR_NS)
    assert [one.at_h for one in found] == wanted
    assert all(one == Overdue(one.at_h, began_ns + one.at_h * HOUR_NS, (at_h - one.at_h) * HOUR_NS) for one in found)


def test_nothing_is_overdue_of_a_run_that_was_ending() -> None:
    assert overdue_of(STAGE3, Progress(0, is_over=True), 10**18) == []


def test_a_session_that_died_leaves_its_checkpoint_overdue_and_that_is_told_once(day: Day) -> None:
    day.at(1, seconds=60)
    assert day.told == []
    day.at(1, seconds=61)
    day.at(1, seconds=62)
    assert day.told == ["T+1h"]
    [alert] = AlertBook(day.root, NAME).alerts()
    assert (alert.run_id, alert.name, alert.severity) == (RUN, "checkpoint_overdue", Severity.ERROR)
    assert f"was due at {iso(day.began_ns + HOUR_NS)[:19]}Z and was not reached within 61 s (limit 60)" in alert.detail
    assert "its session said 3661 s ago that it lives" in alert.detail
    assert alert.sent_to == ("list",)


def test_another_desk_does_not_tell_it_again(day: Day) -> None:
    """The run's own and the watchdog's may both be alive."""
    day.at(1, seconds=61)
    day.desk = day.new_desk()
    day.at(1, seconds=62)
    assert day.told == ["T+1h"]


def test_each_further_checkpoint_is_told_and_names_those_before(day: Day) -> None:
    day.at(1, seconds=61)
    day.at(8, seconds=61)
    assert day.told == ["T+1h", "T+8h"]
    assert any("nor was T+1h, nor was T+4h" in message.body for message in day.sink.got)


@pytest.mark.parametrize("is_reached", [True, False])
def test_a_checkpoint_that_was_reached_is_not_overdue(day: Day, is_reached: bool) -> None:
    if is_reached:
        day.reach(1)
    day.at(1, seconds=61)
    assert day.told == ([] if is_reached else ["T+1h"])


def test_one_that_is_reached_between_two_looks_is_not_told(day: Day) -> None:
    day.at(0, seconds=30)
    day.reach(1)
    day.at(1, seconds=61)
    assert day.told == []


def test_a_run_that_ended_or_was_ending_owes_no_checkpoint(day: Day) -> None:
    day.beat(has_ended=True, is_flat=True)
    day.at(2)
    assert day.told == []
    day.beat()
    day.write(RunEnding(ts_ns=day.began_ns + HOUR_NS // 2, reason="guardrail"))
    day.at(2)
    assert day.told == []


def test_a_simulated_run_has_a_time_of_its_own(day: Day) -> None:
    day.beat(venue="simulated")
    day.at(2)
    assert day.told == []


def test_the_hours_of_a_fast_rehearsal_are_the_venues(day: Day) -> None:
    fast = Endpoint(speed=60.0, clock_anchor_ns=day.began_ns)
    day.beat(endpoint=fast.model_dump_json())
    day.at(0, seconds=60)
    assert day.told == []
    day.at(0, seconds=62)
    assert day.told == ["T+1h"]


def test_a_store_that_died_with_its_session_excuses_nothing(day: Day) -> None:
    day.store.close()
    (day.root / "events.sqlite3").rename(day.root / "lost")
    with pytest.raises(StorageError):
        day.at(0, seconds=20)  # the session lives by its beat: the store is asked again
    day.at(1, seconds=61)
    assert day.told == ["T+1h"]


def test_a_run_that_cannot_be_read_is_an_error_and_not_silence(day: Day) -> None:
    day.beat(endpoint="nonsense")
    with pytest.raises(IntegrityError, match="cannot be read"):
        day.at(1, seconds=61)


def test_it_is_asked_again_until_somebody_answers(day: Day) -> None:
    day.at(1, seconds=61)
    day.now_ns += ACKNOWLEDGE_WITHIN_NS[Severity.ERROR]
    day.desk.look()
    assert [message.kind for message in day.sink.got] == ["raised", "escalated"]
    acknowledge(day.root, f"{RUN}:-2", by="kim", note="")
    day.now_ns += 2 * ACKNOWLEDGE_WITHIN_NS[Severity.ERROR]
    day.desk.look()
    assert len(day.sink.got) == 2


def test_a_checkpoint_that_a_resumed_session_reaches_clears_it(day: Day) -> None:
    day.at(1, seconds=61)
    day.reach(1)
    desk = AlertDesk(day.root, RUN, AlertBook(day.root, NAME), [day.sink], lambda: day.now_ns)
    for _ in range(2):
        desk.look()
    desk.close()
    [alert] = AlertBook(day.root, NAME).alerts()
    assert alert.is_cleared


def test_dashboard_terminal_and_prometheus_show_it(day: Day) -> None:
    settings = ControlSettings(event_store_root=day.root, artifacts_root=day.folder / "artifacts")
    day.now_ns = wall_now_ns()
    day.desk.look()
    watch = RunWatch(settings, day.context.run_dir)
    shown = watch.look()
    [alert] = shown["alerts"]
    assert (alert["id"], alert["name"], alert["severity"]) == (f"{RUN}:-26", "checkpoint_overdue", "ERROR")
    assert shown["checkpoints"]["next_h"] == 1
    assert 29 * HOUR_S <= shown["checkpoints"]["overdue_s"] <= 29 * HOUR_S + 300
    [line] = [line for line in scrape(settings, watch, 0).decode().splitlines()
              if line.startswith("greenlight_checkpoint_overdue_seconds")]
    assert float(line.split()[1]) >= 29 * HOUR_S
    watch.close()


def test_the_watchdogs_patrol_tells_of_every_account_and_outlives_a_damaged_one(day: Day) -> None:
    write_beat(day.root, "another", run_id="gone", venue="local", run_dir=str(day.folder / "nowhere"))
    day.store.close()
    until_ns = SystemClock().stopwatch_ns() + 30 * NS
    with CheckpointPatrol(day.root, lambda: [day.sink]):
        while not day.sink.got and SystemClock().stopwatch_ns() < until_ns:
            pause(0.02)
    [message] = day.sink.got
    assert (message.run_id, message.name, message.alert_id) == (RUN, "checkpoint_overdue", f"{RUN}:-26")
