"""Words that nobody reads any more do not end a flow."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from flows.unheard import STARTED_BY_A_WORKER, THREAD, outlive_reader

SPOKE = 7
# Says that it watches, waits until both readers are gone and that is noticed, and then speaks as a flow does.
SPEAKER = """
import os, sys
from flows.console import make_console
from flows.unheard import outlive_reader
from trading_core.clock import SystemClock, pause
outlive_reader()
print("watching", flush=True)
sys.stdin.read()
clock = SystemClock()
deadline_ns = clock.stopwatch_ns() + 30 * 10**9
def is_unheard(): return all(os.path.samestat(os.fstat(number), os.stat(os.devnull)) for number in (1, 2))
while not is_unheard() and clock.stopwatch_ns() < deadline_ns:
    pause(0.01)
make_console().print("a word")
print("another one", file=sys.stderr, flush=True)
os._exit(7)
"""


def test_a_flow_whose_worker_was_killed_speaks_on_to_nobody() -> None:
    flow = subprocess.Popen(
        [sys.executable, "-c", SPEAKER], env={**os.environ, STARTED_BY_A_WORKER: "1"}, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )
    assert flow.stdin is not None
    assert flow.stdout is not None
    assert flow.stderr is not None
    assert flow.stdout.readline() == b"watching\n"
    for end in (flow.stdout, flow.stderr, flow.stdin):
        end.close()
    assert flow.wait() == SPOKE


def test_a_command_ends_with_whoever_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(STARTED_BY_A_WORKER, raising=False)
    outlive_reader()
    assert [thread.name for thread in threading.enumerate() if thread.name == THREAD] == []
