"""Draw the screenshots of Prefect's UI again: `python -m tests.browser.prefect_screenshots FOLDER`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import ViewportSize

from tests.browser.prefect_ui import SHOWN_WITHIN_MS, PrefectUi, signed_in
from tests.browser.rooms import chromium
from tests.e2e.up_rig import start_up, stop

SIZE = ViewportSize(width=1280, height=840)
SETTLED_MS = 2_000  # the timeline of a run is drawn after the page


def draw_run(ui: PrefectUi, folder: Path) -> None:
    """Draw what a person sees from the form to the verdict."""
    ui.open_form("phase2")
    ui.choose(venue="simulated")
    ui.page.get_by_text("Parameters", exact=True).scroll_into_view_if_needed()
    shoot(ui, folder / "prefect-form.png")
    ui.fill(run_id="shown")
    shown = ui.submit()
    ui.expect_state("Running")
    ui.page.get_by_text("preflight PASSED").wait_for()
    shoot(ui, folder / "prefect-running.png")
    ui.expect_state("GO")
    ui.task_runs(shown, 6)
    shoot(ui, folder / "prefect-task-runs.png")
    ui.look_at(shown, "Artifacts")
    shoot(ui, folder / "prefect-artifacts.png")
    for kind in ("verdict", "charts"):
        ui.open_artifact(shown, kind)
        shoot(ui, folder / f"prefect-{kind}.png")


def draw_no_go(ui: PrefectUi, folder: Path) -> None:
    """Draw a NO-GO, and the list of all runs."""
    ui.open_form("phase2")
    ui.choose(venue="simulated", faults="reject_all")
    ui.fill(run_id="refused-by-the-venue")
    ui.expect_ended(ui.submit(), "NoGo")
    shoot(ui, folder / "prefect-no-go.png")
    ui.page.goto(f"{ui.address}/v2/runs")
    ui.page.get_by_role("link", name="phase2 on simulated").first.scroll_into_view_if_needed()
    shoot(ui, folder / "prefect-runs.png")


def draw_approval(ui: PrefectUi, folder: Path) -> None:
    """Draw the form that a suspended run waits with, and answer no."""
    ui.open_form("phase2")
    ui.choose(venue="simulated")
    ui.fill(run_id="asks-first", requester="Rita")
    ui.page.get_by_label("Ask for approval (Optional)").click()
    ui.submit()
    ui.expect_state("Suspended")
    ui.page.reload()
    ui.open_approval()
    shoot(ui, folder / "prefect-approval.png")


def shoot(ui: PrefectUi, path: Path) -> None:
    """Take one picture of the window."""
    ui.page.wait_for_load_state("networkidle")
    ui.page.wait_for_timeout(SETTLED_MS)
    ui.page.screenshot(path=path)


def main(folder: Path) -> None:
    """Start everything, draw, and stop it."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
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
