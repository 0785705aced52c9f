"""`greenlight up` as a child process, and Prefect's API as its tests ask it."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from flows.processes import descendants_of
from tests.e2e.command import Home, wait_for
from trading_core.heartbeat import Beat, read_beats

UP_WITHIN_S = 240.0
ANSWERS_WITHIN_S = 120.0  # on a busy machine, with two flows starting beside it
DOWN_WITHIN_S = 400.0
FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@dataclass(frozen=True)
class Rig:
    """One `greenlight up` in folders of its own."""

    home: Home
    process: subprocess.Popen[str]

    @property
    def prefect(self) -> Path:
        """Return Prefect's folder."""
        return self.home.root / "prefect"

    @property
    def password(self) -> str:
        """Return the server's password."""
        return (self.prefect / "auth").read_text("ascii").strip().partition(":")[2]

    @property
    def api(self) -> str:
        """Return the address of Prefect's API."""
        return str(json.loads((self.prefect / "up.json").read_text("utf-8"))["api_url"])

    def ask(self, method: str, path: str, body: object = None, *, password: str = "") -> requests.Response:
        """Return the API's answer; asks again while its database is busy, as Prefect's own client does."""
        auth, answers = ("greenlight", password or self.password), []

        def is_answered() -> bool:
            url = f"{self.api}/{path}"
            answers.append(requests.request(method, url, json=body, auth=auth, timeout=ANSWERS_WITHIN_S))
            return answers[-1].status_code != 503

        wait_for(is_answered, ANSWERS_WITHIN_S)
        return answers[-1]

    def found(self, what: str, **filters: Any) -> list[dict[str, Any]]:
        """Return what the API has of flow_runs, artifacts, deployments or automations."""
        answer = self.ask("POST", f"{what}/filter", filters)
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()
        return found

    def start(self, deployment: str, request: dict[str, Any]) -> requests.Response:
        """Ask for a run as the UI's form does."""
        known = self.ask("GET", f"deployments/name/{deployment}")
        known.raise_for_status()
        body = {"parameters": {"request": request}, "state": {"type": "SCHEDULED"}}
        return self.ask("POST", f"deployments/{known.json()['id']}/create_flow_run", body)

    def run(self, deployment: str, request: dict[str, Any], within_s: float = UP_WITHIN_S) -> dict[str, Any]:
        """Ask for a run and return it when it has ended."""
        answer = self.start(deployment, request)
        answer.raise_for_status()
        return self.ended(str(answer.json()["id"]), within_s)

    def ended(self, run_id: str, within_s: float = UP_WITHIN_S) -> dict[str, Any]:
        """Return a flow run when it has ended."""
        assert wait_for(lambda: self.flow_run(run_id)["state"]["type"] in FINAL, within_s), self.flow_run(run_id)
        return self.flow_run(run_id)

    def flow_run(self, run_id: str) -> dict[str, Any]:
        """Return a flow run as it is now."""
        answer = self.ask("GET", f"flow_runs/{run_id}")
        answer.raise_for_status()
        run: dict[str, Any] = answer.json()
        return run

    def log(self, run_id: str) -> str:
        """Return what a flow run has logged at Prefect so far."""
        return "\n".join(str(line["message"]) for line in self.found("logs", logs={"flow_run_id": {"any_": [run_id]}}))

    def runs_of(self, flow: str) -> list[dict[str, Any]]:
        """Return the runs of a flow, newest first."""
        return self.found("flow_runs", flows={"name": {"any_": [flow]}}, sort="START_TIME_DESC")

    def part(self, name: str) -> int:
        """Return the process of a part."""
        parts = json.loads((self.prefect / "up.json").read_text("utf-8"))["children"]
        return next(int(part["pid"]) for part in parts if part["name"] == name)

    def beat(self, run_id: str) -> Beat | None:
        """Return the last beat of a run's session; None before the first."""
        return next((beat for beat in read_beats(self.home.events) if beat.run_id == run_id), None)

    def state_in_database(self, run_id: str) -> str:
        """Return the name of a flow run's state, also when the server is gone."""
        with closing(sqlite3.connect(f"file:{self.prefect / 'prefect.db'}?mode=ro", uri=True)) as connection:
            found = connection.execute("select state_name from flow_run where id = ?", (run_id,)).fetchone()
        assert found is not None
        return str(found[0])

    def waits_for(self, condition: Callable[[], bool], within_s: float = UP_WITHIN_S) -> bool:
        """Return whether the condition came to hold while everything was up."""
        return wait_for(lambda: self.process.poll() is not None or condition(), within_s) and condition()


def start_up(root: Path, **extra: str) -> Rig:
    """Start everything on free ports and return when it says that it is up."""
    home = Home(root, "", {"PREFECT_HOME": str(root / "prefect"), **extra})
    process = home.start("up", "--port", 0, "--control-port", 0, "--exchange-port", 0)
    rig = Rig(home, process)
    is_up = wait_for(lambda: process.poll() is not None or _names_dashboard(rig), UP_WITHIN_S)
    assert is_up
    assert process.poll() is None, process.communicate()[1]
    return rig


def stop(rig: Rig) -> str:
    """Ask it to stop as Ctrl+C does and return what it said."""
    rig.process.send_signal(signal.SIGINT)
    out, err = rig.process.communicate(timeout=DOWN_WITHIN_S)
    assert rig.process.returncode == 0, err
    return out


def flow_process(rig: Rig) -> int:
    """Return the process of the flow run that goes on; the oldest, for a refused one may still be ending."""
    engines = [below.pid for below in descendants_of(rig.part("worker")) if "prefect.engine" in below.name]
    assert engines
    return engines[0]


def _names_dashboard(rig: Rig) -> bool:
    path = rig.prefect / "up.json"
    return path.exists() and '"watchdog"' in path.read_text("utf-8")
