"""Processes of this machine: what runs below one, and waiting for their end."""

from __future__ import annotations

from pathlib import Path

from flows.up_files import Started, started
from trading_core.clock import NS, SystemClock, pause

LOOK_EVERY_S = 0.2


def descendants_of(pid: int) -> list[Started]:
    """Return the processes below a process that run now."""
    found: list[Started] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            below = [int(child) for child in task.read_text("ascii").split()]
        except OSError:
            continue  # the thread has just ended
        for child in below:
            found += [started(command_of(child), child), *descendants_of(child)]
    return found


def command_of(pid: int) -> str:
    """Return how a process was called, for people; empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")[:120].strip()
    except OSError:
        return ""


def wait_for_end(processes: list[Started], within_s: float) -> list[Started]:
    """Wait until the processes have ended and return those that have not in time."""
    clock = SystemClock()
    deadline_ns = clock.stopwatch_ns() + int(within_s * NS)
    while (left := [p for p in processes if p.is_running]) and clock.stopwatch_ns() < deadline_ns:
        pause(LOOK_EVERY_S)
    return left
