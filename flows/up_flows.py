"""The flows that a worker or `greenlight up` answers for, and how they end: asked one by one, each its session flat."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from flows.processes import LOOK_EVERY_S, command_of, descendants_of
from flows.up_files import PROC, Started, started
from trading_core.clock import NS, SystemClock, pause
from trading_core.session_supervisor import MODULE as SESSION
from trading_core.session_supervisor import stop_alone

ENGINE = "prefect.engine"
FLOW_RUN_ID = b"PREFECT__FLOW_RUN_ID="
RUNS_WITHIN_S = 300.0  # a session winds down for up to two minutes, then climbs the emergency ladder
PARENT_FIELD = 1  # of /proc/<pid>/stat, after the name


def flows_of(api_url: str) -> list[Started]:
    """Return the flows of this machine that talk to the API: a worker's, its worker alive or not, and a person's.

    A person's is known by its session, which has the address from it.
    """
    found: set[int] = set()
    for pid, words in _processes_with(f"PREFECT_API_URL={api_url}"):
        if ENGINE in words:
            found.add(pid)
        elif SESSION in words and _is_flow(_words(parent := _parent(pid))):
            found.add(parent)
    return [started("flow", pid) for pid in sorted(found)]


def flows_below(pid: int) -> list[Started]:
    """Return the flows that a worker runs."""
    return [one for one in descendants_of(pid) if ENGINE in one.name]


def flow_run_of(flow: Started) -> UUID | None:
    """Return which of Prefect's runs a worker's flow is; None if it is none, or has ended."""
    try:
        environ = (PROC / str(flow.pid) / "environ").read_bytes().split(b"\0")
        return next((UUID(one.decode().partition("=")[2]) for one in environ if one.startswith(FLOW_RUN_ID)), None)
    except (OSError, ValueError):
        return None


def stop_runs(api_url: str, event_store_root: Path) -> list[Started]:
    """Ask the flows that talk to the API, and sessions that nobody supervises, to end flat; does not wait.

    Returns them and what runs below them. Without an address there are no flows to ask.
    """
    alone = [started(command_of(pid), pid) for pid in stop_alone(event_store_root)]
    return [*alone, *(stop_flows(flows_of(api_url)) if api_url else ())]


def stop_flows(flows: list[Started]) -> list[Started]:
    """Ask the flows to end their sessions flat; does not wait. Returns them and what runs below them."""
    below = [one for flow in flows for one in (flow, *descendants_of(flow.pid))]
    _terminate(flows)
    return below


def await_runs(asked: list[Started], within_s: float = RUNS_WITHIN_S) -> list[Started]:
    """Wait for the end of flows that were asked, and of what runs below them; return what has not ended in time.

    A session that its flow has left behind is asked, too: it would trade on alone.
    """
    clock = SystemClock()
    deadline_ns = clock.stopwatch_ns() + int(within_s * NS)
    while (left := [one for one in asked if one.is_running]) and clock.stopwatch_ns() < deadline_ns:
        words = {one.pid: _words(one.pid) for one in left}
        if not any(_is_flow(of_one) for of_one in words.values()):
            _terminate([one for one in left if SESSION in words[one.pid]])
        pause(LOOK_EVERY_S)
    return left


def _terminate(processes: list[Started]) -> None:
    for one in processes:
        if one.is_running:
            with suppress(ProcessLookupError):
                os.kill(one.pid, signal.SIGTERM)


def _processes_with(setting: str) -> Iterator[tuple[int, list[str]]]:
    for entry in PROC.glob("[0-9]*"):
        with suppress(OSError):  # it has just ended, or is not ours
            if setting.encode() in (entry / "environ").read_bytes().split(b"\0"):
                yield int(entry.name), _words(int(entry.name))


def _words(pid: int) -> list[str]:
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return []


def _parent(pid: int) -> int:
    try:
        fields = (PROC / str(pid) / "stat").read_text("ascii", errors="replace").rpartition(")")[2].split()
        return int(fields[PARENT_FIELD])
    except (OSError, IndexError):
        return 0


def _is_flow(words: list[str]) -> bool:
    return ENGINE in words or "flows.cli" in words or any(word.endswith("/greenlight") for word in words[:2])
