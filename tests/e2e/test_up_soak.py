"""What takes minutes with everything up: one run an account, crashes, the drill, late runs, notices, and stopping."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from deployments.automations import SILENT_AFTER
from tasks.window import ALIVE
from tests.e2e.command import left_behind, wait_for
from tests.e2e.up_rig import DOWN_WITHIN_S, Rig, flow_process, start_up, stop

pytestmark = pytest.mark.soak

TOLD: list[dict[str, Any]] = []
LOCAL = {"plan": "phase2", "venue": "local", "speed": 2}
HOLD = """
import sys
from flows.account_slot import limited
with limited("of-a-test", float(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


class Hook(BaseHTTPRequestHandler):
    """Takes what Prefect tells."""

    def do_POST(self) -> None:
        TOLD.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Everything up, with a webhook of the test's own."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    made = start_up(
        tmp_path_factory.mktemp("soak"), GREENLIGHT_WEBHOOK_URL=url, GREENLIGHT_ROLLOUTS_AT_ONCE="3",
        GREENLIGHT_SESSION_GRACE_S="5",
    )
    yield made
    stop(made)
    server.shutdown()
    server.server_close()


def test_no_go_is_told_by_webhook(rig: Rig) -> None:
    run = rig.run("rollout/phase2", {"plan": "phase2", "venue": "simulated", "faults": "reject_all"})
    assert run["state"]["name"] == "NoGo"
    assert wait_for(lambda: any(told["title"] == "Greenlight: NO-GO" for told in TOLD), 60), TOLD


def test_scheduled_run_that_is_late_is_skipped_with_the_reason(rig: Rig) -> None:
    deployment = rig.ask("GET", "deployments/name/rollout/stage3-daily").json()["id"]
    anchor = datetime.now(UTC) + timedelta(seconds=90)  # the scheduler looks each minute
    schedule = {
        "active": True, "schedule": {"interval": 86_400, "anchor_date": anchor.isoformat(), "timezone": "UTC"},
        "parameters": {"request": {"plan": "stage3", "venue": "simulated", "start_within_s": 1}},
    }
    os.kill(rig.part("worker"), signal.SIGSTOP)  # on time it would start the run at its very second
    try:
        made = rig.ask("POST", f"deployments/{deployment}/schedules", [schedule])
        assert made.status_code == 201, made.text
        assert rig.waits_for(lambda: any(run["state"]["name"] == "Late" for run in rig.runs_of("rollout")))
    finally:
        os.kill(rig.part("worker"), signal.SIGCONT)

    def skipped() -> list[dict[str, Any]]:
        return [run for run in rig.runs_of("rollout") if run["state"]["name"] == "Skipped"]

    assert rig.waits_for(lambda: bool(skipped()))
    run = skipped()[0]
    assert run["state"]["type"] == "CANCELLED"
    assert "limit 1 s" in run["state"]["message"]
    assert rig.ask("DELETE", f"deployments/{deployment}/schedules/{made.json()[0]['id']}").status_code == 204


def test_second_run_of_an_account_is_refused_and_the_slot_is_free_after_a_crash(rig: Rig) -> None:
    asked = {**LOCAL, "run_id": "twice"}
    first = str(rig.start("rollout/phase2", asked).json()["id"])
    assert rig.waits_for(lambda: rig.beat("twice") is not None)
    second = rig.run("rollout/phase2", asked)
    assert (second["state"]["name"], second["state"]["type"]) == ("Refused", "CANCELLED")
    assert "rehearsal-twice" in second["state"]["message"]
    os.kill(flow_process(rig), signal.SIGKILL)
    assert rig.ended(first)["state"]["name"] == "Crashed"
    assert rig.waits_for(lambda: (beat := rig.beat("twice")) is not None and beat.has_ended)
    third = rig.run("rollout/phase2", {**asked, "speed": 10})
    assert third["state"]["name"] in ("GO", "CONDITIONAL", "NoGo"), third["state"]


def test_slot_at_the_server_is_held_and_free_after_a_kill(rig: Rig) -> None:
    holder = _holder(rig, 0)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    refused = _holder(rig, 1)
    assert "AccountBusy" in refused.communicate()[1]
    holder.kill()
    holder.communicate()
    waiter = _holder(rig, 240)
    out, err = waiter.communicate()
    assert out == "held\n", err


def test_run_that_falls_silent_starts_the_emergency_flow(rig: Rig) -> None:
    alive = {
        "occurred": datetime.now(UTC).isoformat(), "event": ALIVE, "id": str(UUID(int=7)), "payload": {},
        "resource": {"prefect.resource.id": f"prefect.flow-run.{UUID(int=8)}", "prefect.resource.name": "silent-run"},
    }
    assert rig.ask("POST", "events", [alive]).status_code == 204
    asked = {"run_id": "silent-run", "action": "reduce-only", "reason": "no sign of life"}

    def is_asked() -> bool:
        return any(asked.items() <= run["parameters"]["request"].items() for run in rig.runs_of("emergency"))

    assert rig.waits_for(is_asked, SILENT_AFTER.total_seconds() + 120)
    assert wait_for(lambda: any(told["title"] == "Greenlight: no sign of life" for told in TOLD), 60), TOLD


def test_drill_is_flat_in_time(rig: Rig) -> None:
    run = rig.run("drill/drill", {"plan": "phase2"})
    assert run["state"]["name"] == "DrillPassed", run["state"]["message"]


def test_a_worker_that_dies_ends_everything_and_the_flow_that_outlived_it_ends_flat(tmp_path: Path) -> None:
    rig = start_up(tmp_path)
    run = str(rig.start("rollout/phase2", {**LOCAL, "run_id": "left"}).json()["id"])
    assert rig.waits_for(lambda: rig.beat("left") is not None)
    os.kill(rig.part("worker"), signal.SIGKILL)
    _, err = rig.process.communicate(timeout=DOWN_WITHIN_S)
    assert (rig.process.returncode, "worker ended with code -9" in err) == (1, True), err
    assert left_behind(rig.home) == []
    beat = rig.beat("left")
    assert beat is not None
    # Its flow ended it: it was never alone.
    assert (beat.has_ended, beat.is_flat, beat.orphaned_ns) == (True, True, 0)
    assert rig.state_in_database(run) in ("Stopped", "Crashed")


def test_down_ends_what_a_killed_up_left_and_nothing_else(tmp_path: Path) -> None:
    rig = start_up(tmp_path)
    rig.process.kill()
    rig.process.communicate()
    assert left_behind(rig.home)
    healthy = rig.home.run("doctor")
    assert healthy.code == 4
    assert "greenlight down" in healthy.out
    done = rig.home.run("down")
    assert (done.code, left_behind(rig.home)) == (0, []), done.err
    assert rig.home.run("down").out == "nothing is up\n"


def _holder(rig: Rig, wait_s: int) -> subprocess.Popen[str]:
    environ = {
        **rig.home.environ(), "PREFECT_API_URL": rig.api, "PREFECT_API_AUTH_STRING": f"greenlight:{rig.password}",
    }
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(wait_s)], env=environ, text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )
