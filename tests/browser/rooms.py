"""A served dashboard and a browser that is signed in to it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.dashboard_runs import settings_of
from trading_core.control.app import make_app
from trading_core.control.auth import read_token
from trading_core.control.pages import dashboard_routes
from trading_core.control.server import ControlThread

QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1400, "height": 900}


@contextmanager
def chromium() -> Iterator[Browser]:
    """Yield Debian's chromium, headless."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    assert found, "chromium is not installed: apt-get install chromium, then run the browser tests again"
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=found, args=list(QUIET))
        yield launched
        launched.close()


@contextmanager
def served(root: Path, port: int = 0) -> Iterator[tuple[str, str]]:
    """Serve the dashboard of these folders; yields its address and the token."""
    settings = settings_of(root, port)
    with ControlThread(make_app(settings, dashboard_routes(settings)), settings) as room:
        yield room.url, read_token(settings.token_path)


def open_dashboard(browser: Browser, url: str, token: str, run: str = "", **options: object) -> Page:
    """Return a signed-in page that shows a run; fails if it does not begin to."""
    page = browser.new_context(**options).new_page()  # type: ignore[arg-type]
    page.goto(url + (f"/?run={run}" if run else ""))
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in").click()
    page.locator("#main").wait_for(state="visible")
    page.locator("#title:not(:text-is('Greenlight'))").wait_for()
    return page


def press(page: Page, name: str, words: str) -> None:
    """Press a button and type its words."""
    page.get_by_role("button", name=name).click()
    yes = page.get_by_role("button", name="Do it")
    expect(yes).to_be_disabled()
    page.locator("#typed").fill(words[:-1])
    expect(yes).to_be_disabled()
    page.locator("#typed").fill(words)
    yes.click()
    expect(page.locator("#confirm-answer")).to_contain_text("Done", timeout=90_000)
