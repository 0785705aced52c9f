"""Runs that wait for people, as Prefect's UI sees them: the form, its answer, and what came of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.command import Home, finish, short_phase2, wait_for
from tests.e2e.up_rig import FINAL, UP_WITHIN_S, Rig

SERVE = """
from prefect import serve
from prefect.types.entrypoint import EntrypointType
from flows.rollout import rollout
serve(rollout.to_deployment("served", entrypoint_type=EntrypointType.MODULE_PATH))
"""
LOG = "serve.log"


@dataclass(frozen=True)
class Served(Rig):
    """A process that serves the rollout by itself, without a work pool, at a server without a password."""

    @property
    def api(self) -> str:
        """Return the address of Prefect's API."""
        return self.home.prefect_api_url

    @property
    def password(self) -> str:
        """Return what a server without a password does not look at."""
        return "none"


@contextmanager
def served(root: Path, prefect_api_url: str) -> Iterator[Served]:
    """Serve the rollout while the block runs."""
    home = Home(root, prefect_api_url, {"PREFECT_RUNNER_POLL_FREQUENCY": "1"})
    with (root / LOG).open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE], env=home.environ(), cwd=root, text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
        )
    rig = Served(home, process)
    try:
        assert rig.waits_for(lambda: rig.ask("GET", "deployments/name/rollout/served").ok), words_of(root)
        yield rig
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        finish(process)


def words_of(root: Path) -> str:
    """Return what the process that serves said."""
    return (root / LOG).read_text("utf-8", errors="replace")


def asking(run_id: str, plan: Path, **changes: Any) -> dict[str, Any]:
    """Return a rehearsal that people must approve; its orders are all rejected unless the changes say otherwise."""
    return {
        "plan": "phase2", "plan_file": str(plan), "venue": "simulated", "ask_approval": True, "requester": "Rita",
        "run_id": run_id, "faults": "reject_all", **changes,
    }


def waiting_plan(folder: Path, **approvals: str) -> Path:
    """Write a short phase2 whose section on approvals says something else."""
    text = short_phase2(folder).read_text("utf-8")
    for name, value in {"count": "1", "expires_h": "24"}.items():
        line = f"\n{name} = {value}\n"
        assert line in text
        text = text.replace(line, f"\n{name} = {approvals.get(name, value)}\n")
    path = folder / f"waiting-{len(list(folder.glob('waiting-*')))}.toml"
    path.write_text(text, "utf-8")
    return path


def started(rig: Rig, deployment: str, request: dict[str, Any]) -> str:
    """Ask for a run and return Prefect's id of it."""
    answer = rig.start(deployment, request)
    answer.raise_for_status()
    return str(answer.json()["id"])


def suspended(rig: Rig, run: str, *, after: str = "") -> str:
    """Wait until the run is suspended with another question than the one before, and return its key."""
    def key() -> str:
        state = rig.flow_run(run)["state"]
        assert state["type"] not in FINAL, state
        return str(state["state_details"]["pause_key"]) if state["name"] == "Suspended" else ""

    assert rig.waits_for(lambda: key() not in ("", after), UP_WITHIN_S), rig.flow_run(run)["state"]
    return key()


def form_of(rig: Rig, run: str, question: str) -> str:
    """Return what the form says above its fields."""
    body = {"prefix": f"suspended-{question}-description", "limit": 1, "exclude_keys": []}

    def found() -> list[dict[str, Any]]:
        answer = rig.ask("POST", f"flow_runs/{run}/input/filter", body)
        answer.raise_for_status()
        inputs: list[dict[str, Any]] = answer.json()
        return inputs

    assert wait_for(lambda: bool(found()), 30)
    return str(json.loads(found()[0]["value"]))


def subject_in(form: str) -> str:
    """Return the short digest as a person reads it in the form."""
    return form.partition("| Subject | `")[2].partition("`")[0]


def answer(rig: Rig, run: str, **said: str) -> str:
    """Send the form and return ACCEPT, or why Prefect did not take it."""
    sent = rig.ask("POST", f"flow_runs/{run}/resume", {"run_input": said})
    sent.raise_for_status()
    said_back = sent.json()
    return str(said_back["details"].get("reason", said_back["status"]))
