"""Which flows end with a `greenlight up`: those that talk to its API, and no other process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from flows.up_files import started
from flows.up_flows import await_runs, flows_of, stop_flows

URL, OTHER = "http://127.0.0.1:1/api", "http://127.0.0.1:2/api"
WAIT = "import sys; print(1, flush=True); sys.stdin.read()"
# A flow of the command line: its own environment began without the address, its session's has it.
PERSON = """
import os, subprocess, sys
environ = {**os.environ, "PREFECT_API_URL": sys.argv[2]}
subprocess.run([sys.executable, "-c", sys.argv[3], "trading_core.session_process"], env=environ)
"""


@contextmanager
def process(api_url: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Run a process, with the address in its environment if there is one, until the block ends."""
    environ = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    made = subprocess.Popen(
        [sys.executable, "-c", *words], env={**environ, **({"PREFECT_API_URL": api_url} if api_url else {})},
        text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )
    try:
        assert made.stdout is not None
        assert made.stdout.readline() == "1\n"
        yield made
    finally:
        made.communicate()  # ends its input, and with it all that read it


@pytest.fixture
def running() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_flows_of_a_worker_and_of_a_person_are_known_by_the_api_that_they_talk_to(running: ExitStack) -> None:
    engine = running.enter_context(process(URL, WAIT, "prefect.engine"))
    person = running.enter_context(process("", PERSON, "flows.cli", URL, WAIT))
    running.enter_context(process(OTHER, WAIT, "prefect.engine"))
    running.enter_context(process("", PERSON, "flows.cli", OTHER, WAIT))
    assert {flow.pid for flow in flows_of(URL)} == {engine.pid, person.pid}


def test_parts_of_up_and_whatever_a_session_was_left_to_are_no_flows(running: ExitStack) -> None:
    running.enter_context(process(URL, WAIT, "flows.cli", "watchdog"))
    running.enter_context(process("", PERSON, "init", URL, WAIT))
    assert flows_of(URL) == []


def test_only_the_flow_is_told_to_end(running: ExitStack) -> None:
    engine = running.enter_context(process(URL, WAIT, "prefect.engine"))
    other = running.enter_context(process(OTHER, WAIT, "prefect.engine"))
    stop_flows([*flows_of(URL), started("never there", 2**22 + 1)])
    engine.communicate()
    assert (engine.returncode, other.poll()) == (-15, None)


def test_a_process_that_had_ended_when_it_was_named_is_not_waited_for() -> None:
    assert not started("never there", 2**22 + 1).is_running


def test_a_session_that_its_flow_leaves_behind_is_asked_to_end_as_well(running: ExitStack) -> None:
    running.enter_context(process("", PERSON, "flows.cli", URL, WAIT))
    asked = stop_flows(flows_of(URL))  # this flow dies of it and says nothing to its session
    assert len(asked) == 2
    assert await_runs(asked, 20) == []
