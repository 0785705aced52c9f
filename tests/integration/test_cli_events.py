"""`greenlight events` and `greenlight replay` at the command line, on both kinds of store."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import update
from typer.testing import CliRunner

from flows.cli import app
from tests.core_builders import T0_NS, make_alert, make_change
from tests.property.test_replay import rewrite, run_once
from tests.store_rig import tamper
from trading_core.clock import iso
from trading_core.errors import ConfigurationError
from trading_core.events import BookChanged, Event, OrderAccepted, OrderLost, SnapshotTaken, TradePrinted
from trading_core.money import ZERO
from trading_core.orders import Side
from trading_core.storage.event_store import EventStore
from trading_core.storage.tables import events
from trading_core.store_location import StoreLocation


def accepted(client_order_id: str, order_id: str) -> OrderAccepted:
    return OrderAccepted(ts_ns=T0_NS + 50, client_order_id=client_order_id, order_id=order_id, latency_ms=ZERO)


TRADE = TradePrinted(
    ts_ns=T0_NS + 60, product_id="ETH-USD", trade_id="t", price=ZERO, size=ZERO, maker_side=Side.BUY
)
GIVEN: list[Event] = [
    make_alert(1), make_change(2), accepted("ours-1", "venue-1"), make_alert(3, "venue-1"),
    accepted("ours-2", "venue-2"), TRADE, OrderLost(ts_ns=T0_NS + 70, client_order_id="ours-2", cause="time-out"),
]


@pytest.fixture
def stored(place: StoreLocation, monkeypatch: pytest.MonkeyPatch) -> StoreLocation:
    monkeypatch.setenv("EVENT_STORE_ROOT", str(place.root))
    if place.is_server:
        monkeypatch.setenv("EVENT_STORE_URL", place.url)
    with EventStore.open(place, "r1", "g") as store:
        for given in GIVEN:
            if isinstance(given, BookChanged | TradePrinted):
                store.append_tick(given)
            else:
                store.append(given, "input")
    return place


def said(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["events", *words])
    assert result.exit_code == code, result.output
    return result.output


def asked(*words: str) -> list[str]:
    """Return the types of the events that a query or tail shows, as JSON."""
    return [json.loads(line)["event"]["type"] for line in said(*words, "--json").splitlines()]


def test_tail_shows_the_last_events_oldest_first(stored: StoreLocation) -> None:
    assert asked("tail", "r1", "-n", "2") == ["OrderAccepted", "OrderLost"]
    assert asked("tail", "r1", "-n", "1", "--type", "AlertRaised") == ["AlertRaised"]
    assert asked("tail", "r1", "-n", "0") == []
    table = said("tail", "r1")
    assert "venue-2" in table
    assert iso(T0_NS + 70) in table


ALL = ["AlertRaised", "OrderAccepted", "AlertRaised", "OrderAccepted", "OrderLost"]
QUERIES = [
    ([], ALL),
    (["--type", "OrderLost", "--type", "AlertRaised"], ["AlertRaised", "AlertRaised", "OrderLost"]),
    (["--type", "TradePrinted"], ["TradePrinted"]),
    (["--type", "BookChanged", "--symbol", "BTC-USD"], ["BookChanged"]),
    (["--type", "BookChanged", "--symbol", "SOL-USD"], []),
    (["--order", "ours-1"], ["OrderAccepted", "AlertRaised"]),  # its venue's id is learned on the way
    (["--order", "venue-2"], ["OrderAccepted", "OrderLost"]),
    (["--from", "2026-01-01T00:00:00Z", "--to", "2026-01-01T00:00:01Z"], ALL),
    (["--from", "2026-01-01T00:00:01Z"], []),
    (["--to", "2025-01-01T00:00:00Z"], []),
]
REFUSALS = [
    (["tail", "r9"], "has no run 'r9'; it has: r1"),
    (["verify", "r9"], "has no run 'r9'; it has: r1"),
    (["query", "r1", "--type", "OrderSubmited"], "--type 'OrderSubmited' is no event"),
    (["query", "r1", "--from", "noon"], "--from .*RFC 3339"),
]


def test_a_query_shows_what_was_asked_for(stored: StoreLocation) -> None:
    for words, types in QUERIES:
        assert (words, asked("query", "r1", *words)) == (words, types)


def test_what_is_not_there_is_refused_with_what_is(stored: StoreLocation) -> None:
    for words, named in REFUSALS:
        with pytest.raises(ConfigurationError, match=named):
            CliRunner().invoke(app, ["events", *words], catch_exceptions=False)


def test_verify_counts_the_events_or_names_the_first_bad_one(stored: StoreLocation) -> None:
    assert "6 events verify, head " in said("verify", "r1")
    tamper(stored, update(events).where(events.c.seq == 3).values(payload=b"{}"))
    assert "does not verify: run r1, event 3: its hash" in said("verify", "r1", code=4)


def test_the_runs_are_listed(stored: StoreLocation) -> None:
    assert "r1" in said("runs")
    assert "is up to date" in said("migrate")


def test_follow_shows_what_comes_and_an_unknown_run_ends_with_code_2(stored: StoreLocation) -> None:
    command = [sys.executable, "-m", "flows.cli", "events", "tail"]
    unknown = subprocess.run([*command, "r9"], capture_output=True, text=True, check=False)
    assert (unknown.returncode, "it has: r1" in unknown.stderr) == (2, True)
    follow = [*command, "r1", "-n", "1", "--follow", "--json"]
    with subprocess.Popen(follow, stdout=subprocess.PIPE, text=True) as tail:
        assert tail.stdout is not None
        assert '"OrderLost"' in tail.stdout.readline()
        with EventStore.open(stored, "r1", "g") as store:
            store.append(make_alert(77), "input", durable=True)
            assert '"alert-77"' in tail.stdout.readline()
        tail.send_signal(signal.SIGINT)
        assert tail.wait(timeout=60) == 0


def test_a_replay_says_equal_or_where_it_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_once(tmp_path, "original")
    monkeypatch.setenv("EVENT_STORE_ROOT", str(run.context.event_store_root))
    monkeypatch.setenv("ARTIFACTS_ROOT", str(tmp_path / "artifacts"))
    equal = CliRunner().invoke(app, ["replay", "original"])
    assert (equal.exit_code, "equal " in equal.output) == (0, True), equal.output
    rewrite(run, SnapshotTaken, fees=Decimal(99))
    differs = CliRunner().invoke(app, ["replay", "original"])
    assert (differs.exit_code, "DIFFERS  event " in differs.output) == (4, True), differs.output
