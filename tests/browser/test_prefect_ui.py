"""Prefect's UI in a real browser, with everything up: start a run by its form, read it, and retry what failed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, ViewportSize, expect

from tests.browser.prefect_ui import SHOWN_WITHIN_MS, PrefectUi, signed_in, states_of
from tests.browser.rooms import DESKTOP, chromium
from tests.e2e.command import left_behind, wait_for
from tests.e2e.up_rig import Rig, flow_process, start_up, stop
from trading_core.bootstrap import open_guard
from trading_core.clock import SystemClock, wall_now_ns
from trading_core.errors import StorageError
from trading_core.events import OrderSubmitted
from trading_core.gate.outcomes import Verdict
from trading_core.gate.overlays import Approval
from trading_core.gate.publish import GateFiles
from trading_core.heartbeat import Beat, read_beats
from trading_core.storage.artifact_store import ArtifactStore
from trading_core.storage.event_reader import EventReader
from trading_core.trading_state import TradingState

# The first test waits until everything is up and a run has ended.
pytestmark = [pytest.mark.browser, pytest.mark.e2e, pytest.mark.timeout(900)]

STAGES = ["preflight", "capability probe", "dry-run pulse", "live micro test", "artifact analysis", "go/no-go"]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Everything up once for this module; when it ends, nothing may be left."""
    made = start_up(tmp_path_factory.mktemp("ui"))
    try:
        yield made
    finally:
        stop(made)
        assert wait_for(lambda: not left_behind(made.home), 20), f"still running: {left_behind(made.home)}"


@pytest.fixture(scope="module")
def asked() -> set[str]:
    """The hosts that the browser asked."""
    return set()


@pytest.fixture(scope="module")
def room(rig: Rig, asked: set[str]) -> Iterator[BrowserContext]:
    """A browser's own profile."""
    with chromium() as browser:
        context = browser.new_context(viewport=ViewportSize(width=DESKTOP["width"], height=DESKTOP["height"]))
        context.set_default_timeout(SHOWN_WITHIN_MS)
        context.on("request", lambda request: asked.add(request.url.split("/")[2].partition(":")[0]))
        yield context


@pytest.fixture(scope="module")
def ui(room: BrowserContext, rig: Rig) -> PrefectUi:
    """The page that is signed in."""
    return signed_in(room, rig)


@pytest.fixture(scope="module")
def go(ui: PrefectUi) -> str:
    """A phase2 that was started from the form, watched until it is GO; its id."""
    ui.open_form("phase2")
    ui.choose(venue="simulated")
    ui.fill(seed="7", run_id="from-the-form")
    flow_run_id = ui.submit()
    ui.expect_state("Running")
    ui.expect_ended(flow_run_id, "GO")
    return flow_run_id


def test_a_run_from_the_form_is_what_was_asked_and_shows_six_task_runs(ui: PrefectUi, rig: Rig, go: str) -> None:
    typed = {"plan": "phase2", "venue": "simulated", "seed": 7, "run_id": "from-the-form"}
    assert typed.items() <= rig.flow_run(go)["parameters"]["request"].items()
    assert ui.task_runs(go, len(STAGES)) == [(stage, "Completed") for stage in STAGES]
    ui.look_at(go, "Logs")
    expect(ui.page.get_by_text("preflight PASSED")).to_be_visible(timeout=SHOWN_WITHIN_MS)
    expect(ui.page.get_by_text("go_no_go: GO for a rehearsal")).to_be_visible(timeout=SHOWN_WITHIN_MS)


def test_verdict_and_criteria_are_read_in_the_ui(ui: PrefectUi, go: str) -> None:
    ui.open_artifact(go, "verdict")
    expect(ui.page.get_by_role("heading", name="GO", exact=False).first).to_be_visible(timeout=SHOWN_WITHIN_MS)
    expect(ui.page.get_by_role("row", name="Live micro test")).to_contain_text("passed")
    ui.open_artifact(go, "criteria")
    expect(ui.page.get_by_role("columnheader", name="criterion")).to_be_visible(timeout=SHOWN_WITHIN_MS)
    expect(ui.page.get_by_role("cell", name="PASS", exact=True).first).to_be_visible()


def test_links_of_the_verdict_lead_to_report_and_dashboard(ui: PrefectUi, rig: Rig, go: str) -> None:
    ui.open_artifact(go, "verdict")
    verdict = ui.page.get_by_test_id("markdown-display")
    dashboard, report = (
        verdict.get_by_role("link", name=name, exact=True).get_attribute("href") for name in ("Dashboard", "Report")
    )
    assert (dashboard or "").endswith("/?run=from-the-form")
    page = ui.page.context.new_page()
    page.goto(str(dashboard))
    page.get_by_label("Token").fill((rig.home.events / "control" / "token").read_text("ascii").strip())
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("from-the-form").first).to_be_visible(timeout=SHOWN_WITHIN_MS)
    page.goto(str(report))
    expect(page.get_by_role("heading", name="GO", exact=False).first).to_be_visible()
    page.close()


@pytest.mark.parametrize(("field", "nonsense", "why"), [
    ("speed", "0", "less than or equal to the minimum"),
    ("run_id", "no such name", "does not match"),
    ("tighter_impact_limit_(bps)", "much", "does not match"),
])
def test_nonsense_in_the_form_starts_nothing(ui: PrefectUi, rig: Rig, field: str, nonsense: str, why: str) -> None:
    before = len(rig.runs_of("rollout"))
    ui.open_form("phase2")
    ui.fill(**{field: nonsense})
    answer = ui.press_submit()
    assert (answer.status, why in answer.text()) == (409, True), answer.text()
    expect(ui.page.get_by_text(why).first).to_be_visible()
    assert len(rig.runs_of("rollout")) == before


@pytest.mark.soak
def test_retry_of_a_stage_that_was_cut_off_executes_it_and_nothing_that_passed(ui: PrefectUi, rig: Rig) -> None:
    ui.open_form("phase2")
    ui.choose(venue="simulated")
    ui.fill(run_id="cut-off")
    flow_run_id = ui.submit()
    assert rig.waits_for(lambda: _is_in(rig, flow_run_id, "artifact analysis"))
    os.kill(flow_process(rig), signal.SIGKILL)
    ui.expect_ended(flow_run_id, "Crashed")
    sent = _sent(rig, "cut-off")
    ui.press("Retry")
    ui.expect_ended(flow_run_id, "GO", starts=2)
    assert len(rig.home.decision("cut-off").stages) == len(STAGES) - 1
    assert _sent(rig, "cut-off") == sent
    runs = ui.task_runs(flow_run_id, 11)
    assert runs[:5] == [(stage, "Completed") for stage in STAGES[:4]] + [("artifact analysis", "Crashed")]
    kept = [(f"{stage.replace('-', ' ')} (kept)", "Kept") for stage in STAGES[:4]]
    assert runs[5:] == kept + [(stage, "Completed") for stage in STAGES[4:]]


@pytest.mark.soak
def test_retry_after_trading_is_a_further_attempt_and_says_so(ui: PrefectUi, rig: Rig) -> None:
    ui.open_form("phase2")
    ui.choose(venue="simulated", faults="reject_all")
    ui.fill(run_id="rejected")
    flow_run_id = ui.submit()
    ui.expect_ended(flow_run_id, "NoGo")
    ui.press("Retry")
    ui.expect_ended(flow_run_id, "NoGo", starts=2)
    ui.look_at(flow_run_id, "Logs")
    expect(ui.page.get_by_text("this is a further attempt, run rejected-a2")).to_be_visible(timeout=SHOWN_WITHIN_MS)
    assert [rig.home.decision(name).verdict for name in ("rejected", "rejected-a2")] == [Verdict.NO_GO, Verdict.NO_GO]
    assert {"run:rejected", "run:rejected-a2"} <= set(rig.flow_run(flow_run_id)["tags"])
    assert [s["name"] for s in states_of(rig, flow_run_id)].count("NoGo") == 2


def test_a_suspended_run_is_approved_by_its_form_and_goes_on_to_its_verdict(ui: PrefectUi, rig: Rig) -> None:
    flow_run_id = _held(ui, "approved", "simulated")
    ui.answer("approve", "Ada")
    ui.expect_ended(flow_run_id, "GO")
    assert [(a.approver, a.decision) for a in _answers(rig)] == [("Ada", "approve")]


@pytest.mark.soak
def test_a_suspended_run_is_rejected_by_its_form_and_says_so_without_having_traded(ui: PrefectUi, rig: Rig) -> None:
    flow_run_id = _held(ui, "refused", "local")
    ui.answer("reject", "Bea")
    ui.expect_ended(flow_run_id, "Rejected")
    run = rig.flow_run(flow_run_id)
    assert (run["state"]["type"], run["state"]["message"].startswith("NO-GO (REJECTED)")) == ("FAILED", True)
    ui.look_at(flow_run_id, "Details")
    expect(ui.page.get_by_text("NO-GO (REJECTED)").first).to_be_visible(timeout=SHOWN_WITHIN_MS)
    assert rig.home.stage_status("refused") == {}


@pytest.mark.soak
def test_cancel_during_the_micro_test_ends_flat_with_its_artifacts(ui: PrefectUi, rig: Rig) -> None:
    ui.open_form("phase2")
    ui.fill(run_id="cancelled", speed="2")
    flow_run_id = ui.submit()
    assert rig.waits_for(lambda: _sent(rig, "cancelled") >= 3)
    ui.press("Cancel", "Cancel Flow Run")
    ui.expect_ended(flow_run_id, "Cancelled")
    assert rig.waits_for(lambda: _beat(rig, "cancelled").has_ended)
    assert _beat(rig, "cancelled").is_flat
    guard = open_guard(rig.home.events, _beat(rig, "cancelled").account, SystemClock())
    assert guard.state is TradingState.REDUCE_ONLY
    assert {"timeline", "summary"} <= set(ArtifactStore(rig.home.run_dir("cancelled")).manifest().artifacts)


def test_the_browser_asked_nobody_but_this_machine(ui: PrefectUi, asked: set[str], go: str) -> None:
    ui.look_at(go)
    assert asked == {"127.0.0.1"}


def _is_in(rig: Rig, flow_run_id: str, stage: str) -> bool:
    found = rig.found("task_runs", flow_runs={"id": {"any_": [flow_run_id]}})
    # One that was only announced has no state yet.
    return any((task["name"], task["state_type"]) == (stage, "RUNNING") for task in found)


def _held(ui: PrefectUi, run_id: str, venue: str) -> str:
    """Start a run that must be approved, and return its id when it is suspended. Each venue is a subject of its own."""
    ui.open_form("phase2")
    ui.choose(venue=venue)
    ui.fill(run_id=run_id, requester="Rita")
    ui.page.get_by_label("Ask for approval (Optional)").click()
    flow_run_id = ui.submit()
    ui.expect_suspended(flow_run_id)
    return flow_run_id


def _answers(rig: Rig) -> tuple[Approval, ...]:
    return GateFiles(rig.home.events).people.approvals("phase2/start", wall_now_ns())


def _beat(rig: Rig, run_id: str) -> Beat:
    (beat,) = (beat for beat in read_beats(rig.home.events) if beat.run_id == run_id)
    return beat


def _sent(rig: Rig, run_id: str) -> int:
    try:
        with EventReader(rig.home.events, run_id) as reader:
            return len(list(reader.events(types=(OrderSubmitted.__name__,))))
    except StorageError:  # nothing is stored yet
        return 0
