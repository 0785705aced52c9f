"""Phase 2 over real sockets: a GO, an exchange killed under it, and Ctrl+C in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import TypeVar

from tests.e2e.command import (
    Home,
    children,
    finish,
    is_running,
    left_behind,
    one_line,
    short_phase2,
    wait_for,
)
from trading_core.artifacts import FIVE
from trading_core.errors import StorageError
from trading_core.events import Event, OrderAccepted, StepEnded
from trading_core.gate.outcomes import Verdict
from trading_core.plan import Stage
from trading_core.run_files import REPORT_HTML
from trading_core.storage.artifact_store import ArtifactStore
from trading_core.storage.event_reader import EventReader

RUN = "local"
SPEED = 20
SPEED_TO_GO = 10  # a second in which a busy machine stands still is ten at the venue, and data older than ten is bad
ORDERS_FIRST = 8  # accepted orders: the steps before trading place fewer
E = TypeVar("E", bound=Event)


def start(home: Home, speed: int = SPEED) -> subprocess.Popen[str]:
    plan = short_phase2(home.root)
    return home.start("run", plan, "--venue", "local", "--speed", speed, "--run-id", RUN)


def stored(home: Home, kind: type[E]) -> list[E]:
    """Return the run's events of one type as of now; none before the run has stored anything."""
    try:
        with EventReader(home.events, RUN) as reader:
            found = [row.event for row in reader.events(types=(kind.__name__,))]
    except StorageError:
        return []
    return [event for event in found if isinstance(event, kind)]


def start_and_trade(home: Home, speed: int = SPEED) -> tuple[subprocess.Popen[str], int]:
    """Start a run and wait until it is trading; return it and the process of its exchange."""
    run = start(home, speed)
    has_begun = wait_for(lambda: run.poll() is not None or len(stored(home, OrderAccepted)) >= ORDERS_FIRST)
    assert has_begun
    assert run.poll() is None, finish(run).text
    (exchange,) = children(run.pid, "trading_core.advanced_trade.server")
    return run, exchange


def test_a_rehearsal_over_real_sockets_ends_go_and_its_exchange_with_it(home: Home) -> None:
    run, exchange = start_and_trade(home, SPEED_TO_GO)
    done = finish(run)
    assert done.code == 0, done.text
    assert home.decision(RUN).verdict is Verdict.GO
    assert home.stage_status(RUN) == {stage.value: "PASSED" for stage in Stage}
    assert not is_running(exchange)
    assert done.err == ""


def test_a_killed_exchange_ends_no_go_and_says_that_flat_could_not_be_verified(home: Home) -> None:
    run, exchange = start_and_trade(home)
    os.kill(exchange, signal.SIGKILL)
    done = finish(run)
    store = ArtifactStore(home.run_dir(RUN))
    assert (done.code, home.decision(RUN).verdict) == (4, Verdict.NO_GO)
    assert "could NOT verify flat" in one_line(done.out)
    assert "close at the venue by hand, now" in one_line(done.out)
    assert "could NOT verify flat" in store.path_of(REPORT_HTML).read_text("utf-8")
    assert home.stage_status(RUN)["live_micro_test"] == "FAILED"
    assert [name for name in FIVE if name not in store.manifest().artifacts] == []
    assert "Traceback" not in done.err + done.out


def test_an_interrupted_run_ends_reduce_only_and_flat_with_its_artifacts_saved(home: Home) -> None:
    run, exchange = start_and_trade(home)
    run.send_signal(signal.SIGINT)
    done = finish(run)
    assert done.code == 130
    assert "no verdict" in done.err
    assert "flat at the venue: 0 open orders" in done.err
    flat = [event for event in stored(home, StepEnded) if event.step == "flat_at_end"]
    assert [event.is_shown for event in flat] == [True]
    account = home.events / "accounts" / f"rehearsal-{RUN}" / "trading_state.jsonl"
    assert json.loads(account.read_text("utf-8").splitlines()[-1])["state"] == "REDUCE_ONLY"
    store = ArtifactStore(home.run_dir(RUN))
    assert [name for name in FIVE if name not in store.manifest().artifacts] == []
    assert store.verify() == []
    assert not is_running(exchange)


def test_a_run_that_is_interrupted_before_it_trades_says_so_in_one_sentence(home: Home) -> None:
    run = start(home)
    assert wait_for(lambda: run.poll() is not None or bool(children(run.pid, "trading_core.advanced_trade.server")))
    run.send_signal(signal.SIGINT)
    done = finish(run)
    assert (done.code, stored(home, OrderAccepted)) == (130, []), done.text
    (sentence,) = done.err.splitlines()
    assert sentence.startswith(f"greenlight: run {RUN} was interrupted, so there is no verdict. No order was stored")
    assert wait_for(lambda: not left_behind(home), 20)
