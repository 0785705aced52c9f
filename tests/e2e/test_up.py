"""`greenlight up` with real parts: deployments, forms, verdicts as states, automations, secrets, and a clean end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from tests.e2e.approval_rig import answer, asking, form_of, started, subject_in, suspended, waiting_plan
from tests.e2e.command import left_behind, wait_for
from tests.e2e.up_rig import Rig, start_up, stop

# What a session's alert desk does with a critical alert, by the sink that it uses.
SEND_CRITICAL = """
from flows.alert_sinks import PrefectSink
from trading_core.alert_desk import Message
PrefectSink().send(Message("raised", "CRITICAL", "drift", "drift is $9 (limit $1)", "up-alert", "drift", "a-1"))
"""


def _private_key() -> str:
    form = serialization.PrivateFormat.TraditionalOpenSSL
    key = generate_private_key(SECP256R1())
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Everything up once for this module, with a key in the environment; when it ends, nothing may be left."""
    secret = {
        "COINBASE_CDP_API_KEY": "organizations/11111111-2222-3333-4444-555555555555/apiKeys/secret-key-name",
        "COINBASE_CDP_PRIVATE_KEY": _private_key(), "GREENLIGHT_WEBHOOK_URL": "http://127.0.0.1:9/hook/webhook-token",
    }
    made = start_up(tmp_path_factory.mktemp("up"), **secret)
    try:
        yield made
    finally:
        if made.process.poll() is None:
            stop(made)
        assert wait_for(lambda: not left_behind(made.home), 20), f"still running: {left_behind(made.home)}"


def test_server_wants_the_password(rig: Rig) -> None:
    assert rig.ask("POST", "flow_runs/filter", {}, password="wrong").status_code == 401
    assert rig.ask("POST", "flow_runs/filter", {}).status_code == 200


@pytest.mark.soak
def test_deployments_are_there_and_a_second_application_changes_nothing(rig: Rig) -> None:
    before = {d["name"]: (d["id"], d["entrypoint"], len(d["schedules"])) for d in rig.found("deployments")}
    assert {"phase2", "stage3", "stage4", "stage5", "emergency", "report", "ladder", "stage3-daily"} <= set(before)
    assert all("flows." in entrypoint for _, entrypoint, _ in before.values())
    automations = {a["name"]: a["id"] for a in rig.found("automations")}
    assert "greenlight: critical alert" in automations
    assert _in_process(rig, "-m", "deployments.deploy") == 0  # as `up` does
    after = {d["name"]: (d["id"], d["entrypoint"], len(d["schedules"])) for d in rig.found("deployments")}
    assert after == before
    assert {a["name"]: a["id"] for a in rig.found("automations")} == automations


def test_schedules_start_paused(rig: Rig) -> None:
    schedules = [s for d in rig.found("deployments") for s in d["schedules"]]
    assert len(schedules) == 3
    assert not any(schedule["active"] for schedule in schedules)


def test_server_refuses_nonsense_of_the_form(rig: Rig) -> None:
    answer = rig.start("rollout/phase2", {"plan": "phase2", "speed": 0})
    assert answer.status_code == 409
    assert "speed" in answer.json()["detail"]


def test_go_is_a_state_with_tags_pages_and_downstream(rig: Rig) -> None:
    ladders = len(rig.runs_of("ladder"))
    run = rig.run("rollout/phase2", {"plan": "phase2", "venue": "simulated", "run_id": "up-go"})
    assert (run["state"]["name"], run["state"]["type"]) == ("GO", "COMPLETED"), run["state"]["message"]
    assert {"plan:phase2", "venue:simulated", "level:L0", "run:up-go"} <= set(run["tags"])
    assert any(tag.startswith("subject:") for tag in run["tags"])
    found = {a["key"]: a for a in rig.found("artifacts", limit=200) if a["key"]}
    assert {"verdict-up-go", "criteria-up-go", "charts-up-go", "chain-up-go", "progress-up-go"} <= set(found)
    assert found["progress-up-go"]["data"] == 100
    assert "data:image/svg+xml" in found["charts-up-go"]["data"]
    assert rig.waits_for(lambda: len(rig.runs_of("ladder")) > ladders)


def test_a_run_waits_for_an_answer_that_counts_and_one_that_nobody_answers_expires(rig: Rig) -> None:
    plans = waiting_plan(rig.home.root), waiting_plan(rig.home.root, expires_h='"0.001"')
    run, left = (
        started(rig, "rollout/phase2", asking(f"up-asked-{n}", plan)) for n, plan in enumerate(plans)
    )
    first = suspended(rig, run)
    said = {"approver": "Ada", "answer": "approve", "reason": "seen", "subject": "00000000"}
    assert "'' is too short" in answer(rig, run, **{**said, "reason": ""})  # the form itself
    assert answer(rig, run, **said) == "ACCEPT"
    form = form_of(rig, run, suspended(rig, run, after=first))
    assert "The last answer did not count: '00000000' is not the subject" in form
    assert answer(rig, run, **{**said, "subject": subject_in(form)}) == "ACCEPT"
    assert rig.ended(run)["state"]["name"] == "NoGo"
    assert rig.home.stage_status("up-asked-0")["preflight"] == "PASSED"
    assert rig.waits_for(lambda: rig.flow_run(left)["state"]["name"] == "Expired")
    assert "nobody approved in time" in rig.flow_run(left)["state"]["message"]
    assert rig.home.stage_status("up-asked-1") == {}


def test_a_critical_alert_that_is_sent_to_prefect_starts_the_emergency_flow(rig: Rig) -> None:
    assert _in_process(rig, "-c", SEND_CRITICAL) == 0
    asked_of = {"run_id": "up-alert", "action": "reduce-only", "operator": "automation", "reason": "critical alert"}
    assert rig.waits_for(lambda: any(asked_of.items() <= r["parameters"]["request"].items() for r in _emergencies(rig)))


@pytest.mark.soak
def test_no_go_is_no_error_and_a_critical_alert_starts_the_emergency_flow(rig: Rig) -> None:
    ladders, asked = len(rig.runs_of("ladder")), {"plan": "phase2", "venue": "simulated", "faults": "reject_all"}
    run = rig.run("rollout/phase2", {**asked, "run_id": "up-nogo"})
    assert (run["state"]["name"], run["state"]["type"]) == ("NoGo", "FAILED")
    assert "NO-GO" in run["state"]["message"]
    asked_of = {"run_id": "up-nogo", "action": "reduce-only", "operator": "automation", "reason": "critical alert"}
    assert rig.waits_for(lambda: any(asked_of.items() <= r["parameters"]["request"].items() for r in _emergencies(rig)))
    ended = rig.ended(str(_emergencies(rig)[0]["id"]))
    assert ended["state"]["name"] in ("Done", "NothingToDo")
    assert len(rig.runs_of("ladder")) == ladders
    said = (rig.prefect / "logs" / "worker.log").read_text("utf-8")
    assert "go_no_go" in said
    assert "Traceback" not in said


def test_secrets_are_nowhere(rig: Rig) -> None:
    extra = rig.home.extra
    secrets = [
        *[line for line in extra["COINBASE_CDP_PRIVATE_KEY"].splitlines() if "-----" not in line],
        "secret-key-name", "webhook-token", rig.password,
        (rig.home.events / "control" / "token").read_text("ascii").strip(),
    ]
    allowed = {rig.prefect / "auth", rig.home.events / "control" / "token"}
    looked_at = [path for path in rig.home.root.rglob("*") if path.is_file() and path not in allowed]
    assert any(path.name == "prefect.db" for path in looked_at)
    assert any(path.name == "worker.log" for path in looked_at)
    found = [f"{path} has {secret[:6]}…" for path in looked_at for secret in secrets if _has(path, secret)]
    assert found == []


def _emergencies(rig: Rig) -> list[dict[str, Any]]:
    return rig.runs_of("emergency")


def _has(path: Path, secret: str) -> bool:
    return secret.encode() in path.read_bytes()


def _in_process(rig: Rig, *python: str) -> int:
    """Run Python as a process beside `up`, with the server's address and password, and return the exit code."""
    environ = {
        **rig.home.environ(), "PREFECT_API_URL": rig.api, "PREFECT_API_AUTH_STRING": f"greenlight:{rig.password}",
    }
    return subprocess.run([sys.executable, *python], env=environ, capture_output=True, check=False).returncode


def test_stopping_ends_the_run_flat_at_once_and_leaves_nothing(rig: Rig) -> None:
    asked = {"plan": "phase2", "venue": "local", "speed": 2, "run_id": "stopped"}
    run = str(rig.start("rollout/phase2", asked).json()["id"])
    assert rig.waits_for(lambda: rig.beat("stopped") is not None)
    stop(rig)
    assert left_behind(rig.home) == []
    beat = rig.beat("stopped")
    assert beat is not None
    # Its flow ended it: it never traded on alone.
    assert (beat.has_ended, beat.is_flat, beat.orphaned_ns) == (True, True, 0)
    assert rig.state_in_database(run) == "Stopped"
