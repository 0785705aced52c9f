"""An attempt that is killed and never decided counts in the decision of the next run of its subject."""

from __future__ import annotations

import os
import signal

from tests.e2e.command import Home, finish, short_phase2, wait_for
from trading_core.errors import StorageError
from trading_core.events import OrderAccepted
from trading_core.gate.publish import GateFiles
from trading_core.heartbeat import read_beats
from trading_core.run import Endpoint
from trading_core.storage.event_reader import EventReader

KILLED, NEXT = "killed", "next"


def accepted(home: Home) -> int:
    """Return how many orders the venue took in the killed run."""
    try:
        with EventReader(home.events, KILLED) as reader:
            return sum(1 for _ in reader.events(types=(OrderAccepted.__name__,)))
    except StorageError:
        return 0


def test_an_attempt_that_is_killed_while_it_trades_counts_in_the_next_decision(home: Home) -> None:
    plan = short_phase2(home.root)
    run = home.start("run", plan, "--venue", "local", "--speed", 20, "--run-id", KILLED)
    assert wait_for(lambda: run.poll() is not None or accepted(home) >= 3)
    assert run.poll() is None, finish(run).text
    (beat,) = read_beats(home.events)
    os.kill(run.pid, signal.SIGSTOP)  # so that it cannot decide in the meantime
    os.kill(beat.pid, signal.SIGKILL)
    os.kill(run.pid, signal.SIGKILL)
    finish(run)
    exchange = Endpoint.model_validate_json(beat.endpoint).pid
    assert exchange is not None
    os.kill(exchange, signal.SIGTERM)  # it would wait a minute for a session to come back
    # Of the same subject. Two simulated runs of one seed would be one attempt.
    home.run("run", plan, "--venue", "local", "--speed", 20, "--run-id", NEXT)
    decision = home.decision(NEXT)
    prior = decision.attempts["place_order_latency_ms"]
    assert (prior.attempts, prior.pooled.n) >= (1, 3)
    (opened, begun, closed) = GateFiles(home.events).attempts.attempts()
    assert [(a.run_id, a.is_open) for a in (opened, begun, closed)] == [(KILLED, True), (NEXT, True), (NEXT, False)]
    assert home.run("verify", NEXT).code == 0
