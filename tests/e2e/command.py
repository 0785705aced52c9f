"""The real command line as a child process, with folders of its own, and what a run left in them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import requests

from trading_core.clock import NS, SystemClock, pause
from trading_core.gate.decide import DecisionRecord
from trading_core.gate.record import record_from_bytes
from trading_core.run_files import DECISION, run_dir
from trading_core.storage.artifact_store import ArtifactStore

GREENLIGHT = Path(sys.executable).parent / "greenlight"
PLANS = Path(__file__).parents[2] / "deployments" / "plans"
RUN_WITHIN_S = 240.0
LOOK_EVERY_S = 0.1


class Done(NamedTuple):
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Return all of it: pytest shortens the message of an assertion unless it is a string."""
        return f"exit code {self.code}\n{self.out}{self.err}"


@dataclass(frozen=True, slots=True)
class Home:
    """Folders and environment of the commands of one test."""

    root: Path
    prefect_api_url: str
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def events(self) -> Path:
        """Return the event store's folder."""
        return self.root / "events"

    @property
    def artifacts(self) -> Path:
        """Return the folder of all runs."""
        return self.root / "artifacts"

    def environ(self) -> dict[str, str]:
        """Return the child's environment: nothing of ours but what a test sets."""
        ours = ("COINBASE_", "GREENLIGHT_", "PREFECT_", "MAX_IMPACT")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        return {
            **inherited,
            "EVENT_STORE_ROOT": str(self.events),
            "ARTIFACTS_ROOT": str(self.artifacts),
            "PREFECT_HOME": str(self.root / "prefect"),
            "PREFECT_API_URL": self.prefect_api_url,
            "NO_COLOR": "1",
            **self.extra,
        }

    def start(self, *words: object, before: Callable[[], None] | None = None) -> subprocess.Popen[str]:
        """Start a command; it is the head of its own process group."""
        return subprocess.Popen(
            [str(GREENLIGHT), *map(str, words)], env=self.environ(), cwd=self.root, text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=before,
        )

    def run(
        self, *words: object, before: Callable[[], None] | None = None, within_s: float = RUN_WITHIN_S
    ) -> Done:
        """Run a command to its end."""
        return finish(self.start(*words, before=before), within_s)

    def run_dir(self, run_id: str, plan: str = "phase2") -> Path:
        """Return the directory of a run."""
        return run_dir(self.artifacts, plan, run_id)

    def decision(self, run_id: str, plan: str = "phase2") -> DecisionRecord:
        """Return the decision of a run; fails if its digest is not the manifest's."""
        return record_from_bytes(ArtifactStore(self.run_dir(run_id, plan)).read(DECISION))

    def stage_status(self, run_id: str, plan: str = "phase2") -> dict[str, str]:
        """Return the status of each stage that left a result."""
        folder = self.run_dir(run_id, plan) / "stages"
        results: list[dict[str, Any]] = [json.loads(path.read_text("utf-8")) for path in folder.glob("*.json")]
        return {result["stage"]: result["status"] for result in results}

    def ask_prefect(self, what: str, **filters: Any) -> list[dict[str, Any]]:
        """Return what Prefect's API has of flow_runs, task_runs or artifacts."""
        answer = requests.post(f"{self.prefect_api_url}/{what}/filter", json=filters, timeout=30)
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()
        return found

    def flow_run(self, run_id: str) -> dict[str, Any]:
        """Return the one Prefect flow run of our run."""
        runs = self.ask_prefect("flow_runs", sort="START_TIME_DESC", limit=50)
        named = [run for run in runs if run["parameters"].get("request", {}).get("run_id") == run_id]
        assert named, f"Prefect knows no run {run_id}"
        return named[0]


def finish(process: subprocess.Popen[str], within_s: float = RUN_WITHIN_S) -> Done:
    """Wait for a command's end; one that hangs is killed with its group and fails the test."""
    try:
        out, err = process.communicate(timeout=within_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return Done(process.returncode, out, err)


def wait_for(condition: Callable[[], bool], within_s: float = RUN_WITHIN_S) -> bool:
    """Return whether the condition came to hold in time."""
    clock = SystemClock()
    deadline_ns = clock.stopwatch_ns() + int(within_s * NS)
    while clock.stopwatch_ns() < deadline_ns:
        if condition():
            return True
        pause(LOOK_EVERY_S)
    return False


def is_running(pid: int) -> bool:
    """Tell whether a process is alive; one that only waits to be collected is not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return status != "Z"


def children(pid: int, module: str) -> list[int]:
    """Return the living children of a process that run the module."""
    found = []
    for entry in Path("/proc").iterdir():
        is_child = entry.name.isdigit() and _parent(entry) == pid and is_running(int(entry.name))
        if is_child and module.encode() in (entry / "cmdline").read_bytes().split(b"\0"):
            found.append(int(entry.name))
    return found


def left_behind(home: Home) -> list[int]:
    """Return every process whose environment names this test's folders: what a command did not end."""
    mark = f"EVENT_STORE_ROOT={home.environ()['EVENT_STORE_ROOT']}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and is_running(int(entry.name)):
            try:
                has_mark = mark in (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                has_mark = False
            if has_mark:
                found.append(int(entry.name))
    return found


def changed_plan(path: Path, plan: str, changes: Mapping[str, str]) -> Path:
    """Write a copy of a shipped plan with lines replaced; each must be there."""
    text = (PLANS / f"{plan}.toml").read_text("utf-8")
    for old, new in changes.items():
        assert old in text, f"{plan}.toml no longer has {old!r}"
        text = text.replace(old, new)
    path.write_text(text, "utf-8")
    return path


def short_phase2(folder: Path) -> Path:
    """Write phase2 with the shortest window that its own criteria still accept.

    Its orders are small, so that the position that chance gives it leaves room for as many as the criteria need.
    """
    return changed_plan(
        folder / "short.toml", "phase2",
        {
            "window_s = 900": "window_s = 600", "window_min_s = 855": "window_min_s = 570",
            "n_min = 14": "n_min = 9", "interval_s = 8": "interval_s = 6",
            'notional_min = "25"': 'notional_min = "10"', 'notional_max = "33"': 'notional_max = "15"',
        },
    )


def one_line(text: str) -> str:
    """Return wrapped console text as one line."""
    return " ".join(text.split())


def _parent(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text("utf-8").rpartition(")")[2].split()[1])
    except OSError:
        return 0
