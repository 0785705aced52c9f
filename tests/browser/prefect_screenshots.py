"""Draw the screenshots of Prefect's UI again: `python -m tests.browser.prefect_screenshots FOLDER`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import ViewportSize

from tests.browser.prefect_ui import RUN_WITHIN_S, SHOWN_WITHIN_MS, PrefectUi, signed_in
from tests.browser.rooms import chromium
from tests.e2e.command import wait_for
from tests.e2e.up_rig import FINAL, start_up, stop

SIZE = ViewportSize(width=1240, height=760)
BLANK_BYTES = 18_000  # a picture of an empty timeline takes 4 to 12 kB, of one with bars 25 kB and more
DRAWN_WITHIN_S = 20.0
LOOKS_MAX = 5


def draw_run(ui: PrefectUi, folder: Path) -> None:
    """Draw what a person sees from the form to the verdict."""
    ui.open_form("phase2")
    ui.choose(venue="simulated")
    ui.page.get_by_text("Parameters", exact=True).scroll_into_view_if_needed()
    shoot(ui, folder / "prefect-form.png")
    ui.fill(run_id="shown")
    shown = ui.submit()
    ui.look_at(shown)  # loaded anew: without the note that the run was submitted
    ui.expect_state("Running")
    ui.page.get_by_text("preflight PASSED").wait_for()
    shoot_run(ui, folder / "prefect-running.png", rests=False)
    ui.expect_ended(shown, "GO")
    ui.task_runs(shown, 6)
    shoot_run(ui, folder / "prefect-task-runs.png")
    ui.look_at(shown, "Artifacts")
    ui.page.get_by_role("link", name="verdict-").first.wait_for()
    shoot_run(ui, folder / "prefect-artifacts.png")
    for kind in ("verdict", "charts"):
        ui.open_artifact(shown, kind)
        shoot(ui, folder / f"prefect-{kind}.png")


def draw_no_go(ui: PrefectUi, folder: Path) -> None:
    """Draw a NO-GO, and the list of all runs."""
    ui.open_form("phase2")
    ui.choose(venue="simulated", faults="reject_all")
    ui.fill(run_id="rejected")
    ui.expect_ended(ui.submit(), "NoGo")
    ui.page.get_by_text("go_no_go: NO-GO").first.wait_for()
    shoot_run(ui, folder / "prefect-no-go.png")
    # Its alerts start the emergency flow, whose runs are named when they begin.
    assert wait_for(lambda: all(run["state"]["type"] in FINAL for run in ui.rig.runs_of("emergency")), RUN_WITHIN_S)
    ui.page.goto(f"{ui.address}/v2/runs")
    ui.page.get_by_role("link", name="phase2 on simulated").first.wait_for()
    ui.page.get_by_text("Flow runs", exact=False).last.evaluate("found => found.scrollIntoView()")
    shoot(ui, folder / "prefect-runs.png")


def draw_approval(ui: PrefectUi, folder: Path) -> None:
    """Draw the form that a suspended run waits with."""
    ui.open_form("phase2")
    ui.choose(venue="simulated")
    ui.fill(run_id="asks-first", requester="Rita")
    ui.page.get_by_label("Ask for approval (Optional)").click()
    ui.expect_suspended(ui.submit())
    ui.open_approval()
    shoot(ui, folder / "prefect-approval.png")


def shoot(ui: PrefectUi, path: Path) -> None:
    """Take one picture of the window."""
    ui.page.wait_for_load_state("networkidle")
    ui.page.wait_for_function("[...document.images].every(image => image.complete)")
    ui.page.screenshot(path=path, animations="disabled")


def shoot_run(ui: PrefectUi, path: Path, *, rests: bool = True) -> None:
    """Take one picture of a run's page when its timeline is drawn; one that stays empty is loaded again."""
    for _ in range(LOOKS_MAX):
        if wait_for(lambda: is_drawn(ui, rests=rests), DRAWN_WITHIN_S):
            shoot(ui, path)
            return
        ui.page.reload()
    raise AssertionError(f"no timeline for {path.name}")


def is_drawn(ui: PrefectUi, *, rests: bool) -> bool:
    """Tell whether the timeline, which comes after the page, has its bars, and rests if it is of a run that ended."""
    timeline = ui.page.locator("canvas").first
    before, after = (timeline.screenshot() for _ in range(2))
    return len(after) > BLANK_BYTES and (before == after or not rests)


def main(folder: Path) -> None:
    """Start everything, draw, and stop it."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="greenlight-") as home:
        rig = start_up(Path(home))
        try:
            with chromium() as browser:
                context = browser.new_context(viewport=SIZE)
                context.set_default_timeout(SHOWN_WITHIN_MS)
                ui = signed_in(context, rig)
                for draw in (draw_run, draw_approval, draw_no_go):
                    draw(ui, folder)
        finally:
            stop(rig)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
