"""The flows that one `greenlight up` answers for, whoever started them: those that talk to its API."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress

from flows.up_files import PROC, Started, started
from trading_core.session_supervisor import MODULE as SESSION

ENGINE = "prefect.engine"
PARENT_FIELD = 1  # of /proc/<pid>/stat, after the name


def flows_of(api_url: str, *, except_of: Iterable[Started] = ()) -> list[Started]:
    """Return the other flows of this machine that talk to the API: a worker's, its worker alive or not, and a person's.

    A person's is known by its session, which has the address from it.
    """
    found: set[int] = set()
    for pid, words in _processes_with(f"PREFECT_API_URL={api_url}"):
        if ENGINE in words:
            found.add(pid)
        elif SESSION in words and _is_flow(_words(parent := _parent(pid))):
            found.add(parent)
    return [started("flow", pid) for pid in sorted(found - {one.pid for one in except_of})]


def stop_flows(flows: list[Started]) -> None:
    """Ask the flows to end their sessions flat; does not wait."""
    for flow in flows:
        if flow.is_running:
            with suppress(ProcessLookupError):
                os.kill(flow.pid, signal.SIGTERM)


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
