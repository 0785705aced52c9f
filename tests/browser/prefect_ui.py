"""Prefect's UI as a person uses it: sign in, fill in a form, look at a run, press its buttons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from playwright.sync_api import BrowserContext, Locator, Page, Response, expect

from tests.e2e.up_rig import FINAL, Rig

RUN_WITHIN_S = 240.0  # a phase2 on the simulated venue takes about 10 s on two quiet cores
SHOWN_WITHIN_MS = 90_000
HOW_TO_ANSWER = "waiting for approval: press Resume"


@dataclass(frozen=True)
class PrefectUi:
    """A page that is signed in to the UI of a rig."""

    page: Page
    rig: Rig

    @property
    def address(self) -> str:
        """Return where the UI is."""
        return self.rig.api.removesuffix("/api")

    def open_form(self, deployment: str) -> None:
        """Go from the list of deployments to the form of one."""
        self.page.goto(f"{self.address}/v2/deployments")
        self.page.get_by_role("link", name=deployment, exact=True).click()
        self.page.get_by_role("button", name="Run", exact=True).click()
        self.page.get_by_role("menuitem", name="Custom run").click()
        self.page.get_by_text("Enforce Parameter Schema").wait_for()

    def fill(self, **texts: str) -> None:
        """Type into fields of the form, by their titles in lower case."""
        for title, text in texts.items():
            self.page.get_by_label(f"{_title(title)} (Optional)", exact=True).fill(text)

    def choose(self, **choices: str) -> None:
        """Choose in fields of the form, by their titles in lower case."""
        for title, choice in choices.items():
            self.page.get_by_label(f"Select {_title(title)}", exact=True).click()
            self.page.get_by_role("option", name=choice, exact=True).click()

    def press_submit(self) -> Response:
        """Press Submit and return what the server said."""
        with self.page.expect_response(lambda r: r.url.endswith("/create_flow_run")) as said:
            self.page.get_by_role("button", name="Submit").click()
        return said.value

    def submit(self) -> str:
        """Press Submit, go to the run's page and return its id."""
        answer = self.press_submit()
        assert answer.ok, f"{answer.status} {answer.text()}"
        self.page.get_by_role("button", name="View run").click()
        self.page.wait_for_url("**/runs/flow-run/**")
        return str(answer.json()["id"])

    def look_at(self, flow_run_id: str, tab: str = "Logs") -> None:
        """Open the page of a run at one of its tabs."""
        self.page.goto(f"{self.address}/v2/runs/flow-run/{flow_run_id}?tab={tab.replace(' ', '')}")
        self.page.get_by_role("tab", name=tab, selected=True).wait_for()

    def expect_state(self, name: str) -> None:
        """Wait until the page, which looks again by itself while a run goes on, shows the run in a state."""
        expect(self.page.get_by_text(name, exact=True).first).to_be_visible(timeout=RUN_WITHIN_S * 1000)

    def expect_ended(self, flow_run_id: str, name: str, *, starts: int = 1) -> None:
        """Wait for the run's end, after so many starts, and look at its page: a state there."""

        def has_ended() -> bool:
            run = self.rig.flow_run(flow_run_id)
            return run["run_count"] == starts and run["state"]["type"] in FINAL

        assert self.rig.waits_for(has_ended, RUN_WITHIN_S), self.rig.flow_run(flow_run_id)
        self.look_at(flow_run_id)
        self.expect_state(name)

    def expect_suspended(self, flow_run_id: str) -> None:
        """Wait until a run waits for people, and look at its page, whose log says so.

        Log lines are sent in batches, after the state; the page of a run that rests does not ask for later ones.
        """

        def is_waiting() -> bool:
            is_paused = self.rig.flow_run(flow_run_id)["state"]["type"] == "PAUSED"
            return is_paused and HOW_TO_ANSWER in self.rig.log(flow_run_id)

        assert self.rig.waits_for(is_waiting, RUN_WITHIN_S), self.rig.flow_run(flow_run_id)
        self.look_at(flow_run_id)
        self.expect_state("Suspended")
        expect(self.page.get_by_text(HOW_TO_ANSWER)).to_be_visible(timeout=SHOWN_WITHIN_MS)

    def choose_action(self, action: str) -> Locator:
        """Choose an action of the run's menu and return the dialog that it opens."""
        self.page.get_by_role("button", name="Open menu").click()
        self.page.get_by_role("menuitem", name=action, exact=True).click()
        return self.page.get_by_role("dialog").or_(self.page.get_by_role("alertdialog"))

    def press(self, action: str, yes: str = "") -> None:
        """Choose an action of the run's menu and say yes."""
        asked = self.choose_action(action)
        asked.get_by_role("button", name=yes or action, exact=True).click()
        asked.wait_for(state="hidden")

    def open_approval(self) -> Locator:
        """Open the form with which a run waits, and return it."""
        form = self.choose_action("Resume")
        form.get_by_label("Your name").wait_for()
        return form

    def answer(self, answer: str, name: str) -> None:
        """Open the form of a run that waits, type what it asks for, and send it."""
        form = self.open_approval()
        form.get_by_label("Your name").fill(name)
        form.get_by_label("Select Answer").click()
        self.page.get_by_role("option", name=answer, exact=True).click()
        form.get_by_label("Reason").fill("seen by a test")
        form.get_by_label("Subject").fill(form.get_by_role("row", name="Subject").locator("code").inner_text())
        form.get_by_role("button", name="Resume", exact=True).click()
        form.wait_for(state="hidden")

    def task_runs(self, flow_run_id: str, count: int) -> list[tuple[str, str]]:
        """Return name and state of each task run as the page lists them, the first one first."""
        self.look_at(flow_run_id, "Task Runs")
        cards = self.page.get_by_role("tabpanel").get_by_role("listitem").filter(has=self.page.locator("nav"))
        expect(cards).to_have_count(count, timeout=SHOWN_WITHIN_MS)
        return [_card(card) for card in reversed(cards.all())]

    def open_artifact(self, flow_run_id: str, kind: str) -> None:
        """Go from the run's artifacts to the newest one of a kind."""
        self.look_at(flow_run_id, "Artifacts")
        self.page.get_by_role("link", name=f"{kind}-").first.click()
        self.page.locator("a[href*='/artifacts/artifact/']").first.click()
        self.page.get_by_role("tab", name="Artifact", selected=True).wait_for()


def signed_in(context: BrowserContext, rig: Rig) -> PrefectUi:
    """Return a page after typing the password into the UI's own form."""
    ui = PrefectUi(context.new_page(), rig)
    ui.page.goto(ui.address)
    ui.page.get_by_label("Password").or_(ui.page.locator("input")).first.fill(f"greenlight:{rig.password}")
    ui.page.get_by_role("button", name="Login").click()
    ui.page.wait_for_url("**/dashboard**")
    return ui


def states_of(rig: Rig, flow_run_id: str) -> list[dict[str, Any]]:
    """Return the states that a run went through, the first one first."""
    answer = rig.ask("GET", f"flow_run_states/?flow_run_id={flow_run_id}")
    answer.raise_for_status()
    found: list[dict[str, Any]] = answer.json()
    return sorted(found, key=lambda state: str(state["timestamp"]))


def _card(card: Locator) -> tuple[str, str]:
    lines = [line for line in card.inner_text().splitlines() if line.strip()]
    return lines[2], lines[3]


def _title(words: str) -> str:
    return words.replace("_", " ").capitalize()
