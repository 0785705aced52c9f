"""A run that people must approve: suspended with a form under `serve`, asked at a terminal or by a file without one."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.approval_rig import (
    Served,
    answer,
    asking,
    form_of,
    served,
    started,
    subject_in,
    suspended,
    waiting_plan,
)
from tests.e2e.command import GREENLIGHT, Home, left_behind, one_line, short_phase2, wait_for
from trading_core.gate.outcomes import Verdict
from trading_core.gate.publish import GateFiles
from trading_core.plan_files import find_plan
from trading_core.prepare import plan_run
from trading_core.run import VenueName

SERVED = "rollout/served"
HOW = ("--venue", "simulated", "--faults", "reject_all", "--ask-approval", "--requester", "Rita")


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, prefect_api_url: str) -> Iterator[Served]:
    """One process that serves the rollout for this module; when it ends, nothing may be left."""
    with served(tmp_path_factory.mktemp("served"), prefect_api_url) as made:
        yield made
    assert wait_for(lambda: not left_behind(made.home), 20), f"still running: {left_behind(made.home)}"


def test_two_persons_are_asked_one_after_the_other_and_one_no_outweighs_the_yes(rig: Served) -> None:
    run, subject = asked_of_two(rig, "torn", "24")
    done = rig.home.run("approve", "torn", "--approver", "Bob", "--subject", subject, "--reason", "early", "--reject")
    assert (done.code, "the run that waits in Prefect goes on" in one_line(done.out)) == (0, True), done.text
    state = rig.ended(run)["state"]
    assert (state["name"], state["type"]) == ("Rejected", "FAILED")
    assert "Bob rejected it: early" in state["message"]
    assert rig.home.stage_status("torn") == {}


@pytest.mark.soak
def test_two_yes_one_of_them_from_the_command_line_let_the_run_go_on_as_the_same_start(rig: Served) -> None:
    run, subject = asked_of_two(rig, "pair", "23")
    done = rig.home.run("approve", "pair", "--approver", "Bob", "--subject", subject, "--reason", "seen, too")
    assert done.code == 0, done.text
    ended = rig.ended(run)
    assert (ended["state"]["name"], ended["run_count"]) == ("NoGo", 1)
    assert rig.home.decision("pair").verdict is Verdict.NO_GO
    filed = GateFiles(rig.home.events).people.approvals("phase2/start", 0)
    assert [a.approver for a in filed if a.reason.startswith("seen")][-2:] == ["Ada", "Bob"]  # the form's comes once


def asked_of_two(rig: Served, run_id: str, expires_h: str) -> tuple[str, str]:
    """Start a run that two persons must approve, let one do so in the form, and return the run and its subject.

    Another plan is another subject: what people said of one says nothing of the other.
    """
    plan = waiting_plan(rig.home.root, count="2", expires_h=expires_h)
    run = started(rig, SERVED, asking(run_id, plan))
    first = suspended(rig, run)
    form = form_of(rig, run, first)
    for words in ("strategy `trading_core.strategies.post_only_pulse:make`", "at most $200", "no decision of the rung",
                  "2 of 2 persons other than Rita", "no real money", "no answer until then is a no"):
        assert words in form
    subject = subject_in(form)
    assert answer(rig, run, approver="Ada", answer="approve", reason="seen", subject=subject) == "ACCEPT"
    assert "1 of 2 persons other than Rita (ada said yes)" in form_of(rig, run, suspended(rig, run, after=first))
    return run, subject


@pytest.mark.soak
def test_a_file_with_an_answer_lets_a_run_without_a_terminal_begin_once(home: Home) -> None:
    plan, path = short_phase2(home.root), home.root / "answer.json"
    subject = subject_digest(home, plan)[:8]
    path.write_text(json.dumps({"approver": "Ada", "answer": "approve", "reason": "seen", "subject": subject}), "utf-8")
    path.chmod(0o600)
    done = home.run("run", plan, *HOW, "--run-id", "filed", "--approval-file", path)
    assert (done.code, path.exists(), home.decision("filed").verdict) == (4, False, Verdict.NO_GO), done.text


def test_at_a_terminal_a_person_is_asked_until_the_answer_counts(home: Home) -> None:
    plan = short_phase2(home.root)
    said = ["Ada", "reject", "too early", "00000000", "Ada", "reject", "too early", subject_digest(home, plan)[:8]]
    code, shown = in_terminal(home, said, "run", plan, *HOW, "--run-id", "asked")
    assert code == 4, shown
    assert "'00000000' is not the subject" in shown
    assert "NO-GO (REJECTED) before trading: Ada rejected it: too early" in shown
    assert home.flow_run("asked")["state"]["name"] == "Rejected"
    assert home.stage_status("asked") == {}


def subject_digest(home: Home, plan: Path) -> str:
    """Return the digest of what the commands of this module promote."""
    context, _ = plan_run(
        plan=find_plan(str(plan)), venue=VenueName.SIMULATED, day="typical", seed=1, speed=1.0, faults="reject_all",
        run_id="planned", artifacts_root=home.artifacts, event_store_root=home.events,
    )
    return context.subject_digest


def in_terminal(home: Home, said: list[str], *words: object) -> tuple[int, str]:
    """Run a command at a terminal of its own, give one line to each of its questions, and return what it showed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [str(GREENLIGHT), *map(str, words)], env={**home.environ(), "COLUMNS": "120"}, cwd=home.root,
        start_new_session=True, stdin=theirs, stdout=theirs, stderr=theirs,
    )
    os.close(theirs)
    shown = bytearray()
    with os.fdopen(ours, "r+b", buffering=0) as terminal:
        while chunk := _read(terminal.fileno()):
            shown += chunk
            # A question ends its line with a colon and waits there.
            if said and bytes(shown).endswith(b": "):
                terminal.write(f"{said.pop(0)}\n".encode())
    code = process.wait(60)
    assert said == []
    return code, one_line(shown.decode("utf-8", "replace"))


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:  # the other end was closed: the command has ended
        return b""
