"""Prefect's server and a worker whose processes a test may kill and start again, on one port and in one folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from flows.processes import descendants_of
from flows.up import free_port
from tests.e2e.command import Home, left_behind, wait_for
from trading_core.heartbeat import Beat, read_beats

READY_WITHIN_S = 240.0
ENDED_WITHIN_S = 1800.0
POOL = "greenlight"
FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@dataclass
class LongRig:
    """The parts by name; each is the head of its own process group."""

    home: Home
    port: int
    parts: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        """Start a part; its words are appended to its log."""
        environ = {
            **self.home.environ(), "DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "2", "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        }
        with (self.home.root / f"{name}.log").open("ab") as log:
            self.parts[name] = subprocess.Popen(
                (sys.executable, "-m", *command), env=environ, cwd=self.home.root, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )
        return self.parts[name]

    def serve(self) -> None:
        """Start the server and wait until it answers."""
        self.start("server", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.port))
        assert wait_for(self.answers, READY_WITHIN_S), self.said("server")

    def kill(self, name: str, *, with_children: bool) -> None:
        """Kill −9 a part, alone or with what it started; sessions and exchanges are none of Prefect's."""
        process = self.parts.pop(name)
        below = [one for one in descendants_of(process.pid) if "trading_core" not in one.name] if with_children else []
        for pid in (process.pid, *(one.pid for one in below)):
            os.kill(pid, signal.SIGKILL)
        process.wait()

    def answers(self) -> bool:
        """Tell whether the API answers."""
        try:
            return requests.get(f"{self.home.prefect_api_url}/health", timeout=2).ok
        except requests.RequestException:
            return False

    def said(self, name: str) -> str:
        """Return the last words of a part."""
        return (self.home.root / f"{name}.log").read_text("utf-8", errors="replace")[-3000:]

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Return the API's answer; asked again while its database is busy."""
        answers = []

        def is_answered() -> bool:
            url = f"{self.home.prefect_api_url}/{path}"
            answers.append(requests.request(method, url, json=body, timeout=60))
            return answers[-1].status_code != 503

        wait_for(is_answered, 60)
        answers[-1].raise_for_status()
        return answers[-1].json()

    def start_run(self, request: dict[str, Any]) -> str:
        """Ask for a rollout as the UI's form does, and return Prefect's id of it."""
        known = self.ask("GET", f"deployments/name/rollout/{request['plan']}")
        body = {"parameters": {"request": request}, "state": {"type": "SCHEDULED"}}
        return str(self.ask("POST", f"deployments/{known['id']}/create_flow_run", body)["id"])

    def state(self, flow_run: str) -> dict[str, Any]:
        """Return the state of a flow run."""
        found: dict[str, Any] = self.ask("GET", f"flow_runs/{flow_run}")["state"]
        return found

    def ended(self, flow_run: str) -> dict[str, Any]:
        """Return the final state of a flow run; a crash that is taken up is not final."""
        assert wait_for(lambda: self.state(flow_run)["type"] in FINAL, ENDED_WITHIN_S), self.state(flow_run)
        return self.state(flow_run)

    def states(self, flow_run: str) -> list[str]:
        """Return the names of all states that a flow run was in, in order."""
        found = self.ask("GET", f"flow_run_states/?flow_run_id={flow_run}")
        return [state["name"] for state in sorted(found, key=lambda state: str(state["timestamp"]))]

    def log_rows(self, flow_run: str) -> int:
        """Return how many lines of a flow run Prefect keeps, at most 200."""
        asked = {"logs": {"flow_run_id": {"any_": [flow_run]}}, "limit": 200}
        return len(self.ask("POST", "logs/filter", asked))

    def beat(self) -> Beat | None:
        """Return the beat of the only session; None before there is one."""
        beats = read_beats(self.home.events)
        return beats[0] if beats else None


@contextmanager
def long_rig(root: Path, **extra: str) -> Iterator[LongRig]:
    """Start server, deployments and worker; kill what is left of them at the end."""
    port = free_port()
    rig = LongRig(Home(root, f"http://127.0.0.1:{port}/api", extra), port)
    try:
        rig.serve()
        assert rig.start("deploy", "deployments.deploy").wait(READY_WITHIN_S) == 0, rig.said("deploy")
        rig.start("worker", "deployments.worker", POOL)
        yield rig
    finally:
        for process in rig.parts.values():
            process.terminate()
        wait_for(lambda: all(process.poll() is not None for process in rig.parts.values()), 60)
        for pid in left_behind(rig.home):
            os.kill(pid, signal.SIGKILL)
        for process in rig.parts.values():
            process.wait()
