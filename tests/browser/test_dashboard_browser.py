"""The dashboard in a real browser: live, readable on a phone, and able to stop a real session at a real exchange."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.contrast import contrast_ratios
from tests.browser.rooms import DESKTOP, PHONE, chromium, open_dashboard, press, served
from tests.chaos.local_session import at_venue, local_run, short_plan
from tests.dashboard_runs import EVIL, WatchedRun, stage3_with
from trading_core.alert_book import AlertBook
from trading_core.clock import wall_now_ns
from trading_core.events import OrderDenied, OrderSubmitted, SubmitWithheld
from trading_core.storage.event_reader import EventReader
from trading_core.trading_state import TradingState

pytestmark = pytest.mark.browser
CONTRAST_MIN = 4.5  # WCAG 2 AA for text


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[WatchedRun, str, str]]:
    """A run with an evil symbol and a CRITICAL alert, and where its dashboard is."""
    root = tmp_path_factory.mktemp("watched")
    run = WatchedRun(root, plan=stage3_with(EVIL))
    run.trade(minutes=20, mood="alerting")
    with EventReader(run.context.store, run.context.run_id) as reader:
        AlertBook(run.context.event_store_root, run.account).take_run(reader, wall_now_ns())
    with served(root) as (url, token):
        yield run, url, token
    run.close()


def listening(page: Page) -> tuple[list[str], list[str]]:
    """Return what the page will ask for, and what its console will complain of."""
    requests: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    return requests, complaints


def test_a_symbol_is_text_and_nothing_is_asked_of_another_host(
    browser: Browser, watched: tuple[WatchedRun, str, str]
) -> None:
    _, url, token = watched
    page = open_dashboard(browser, url, token, viewport=DESKTOP)
    requests, complaints = listening(page)
    page.reload()
    page.get_by_text(EVIL).first.wait_for()
    assert page.title() != "owned"
    assert requests
    assert {request.split("/")[2] for request in requests if request.startswith("http")} == {url.split("/")[2]}
    assert complaints == []
    assert page.evaluate("[...document.querySelectorAll('script')].every(s => s.src && !s.textContent)")
    page.context.close()


def test_a_new_event_comes_to_the_page_by_itself(browser: Browser, watched: tuple[WatchedRun, str, str]) -> None:
    run, url, token = watched
    page = open_dashboard(browser, url, token, viewport=DESKTOP)
    run.heartbeat.beat()
    run.now_ns = wall_now_ns()
    run.alert("spread_wide", "WARNING", "spread_bps 31 (limit 20)")
    expect(page.locator("#alerts")).to_contain_text("spread_wide", timeout=30_000)
    expect(page.locator("#age")).to_contain_text("s old")
    page.context.close()


def test_a_server_that_is_gone_does_not_look_live(browser: Browser, tmp_path: Path) -> None:
    run = WatchedRun(tmp_path)
    run.trade(minutes=2)
    with served(tmp_path) as (url, token):
        page = open_dashboard(browser, url, token, viewport=DESKTOP)
        expect(page.locator("#age")).to_contain_text("s old", timeout=30_000)
    expect(page.locator("#age")).to_contain_text("no word from the server", timeout=60_000)
    assert "frozen" in (page.locator("body").get_attribute("class") or "")
    page.context.close()
    run.close()


def test_a_server_that_was_started_again_asks_for_the_token_and_shows_the_run_on(
    browser: Browser, tmp_path: Path
) -> None:
    run = WatchedRun(tmp_path)
    run.trade(minutes=2)
    with served(tmp_path) as (url, token):
        page = open_dashboard(browser, url, token, viewport=DESKTOP)
        expect(page.locator("#age")).to_contain_text("s old", timeout=5_000)
    run.alert("raised_meanwhile", "WARNING", "spread_bps 31 (limit 20)")
    with served(tmp_path, port=int(url.rpartition(":")[2])) as (again, same_token):
        assert (again, same_token) == (url, token)
        page.locator("#sign-in").wait_for(state="visible", timeout=60_000)
        assert not page.locator("#main").is_visible()
        page.get_by_label("Token").fill(token)
        page.get_by_role("button", name="Sign in").click()
        expect(page.locator("#alerts")).to_contain_text("raised_meanwhile", timeout=10_000)
        page.context.close()
    run.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_page_fits_and_its_text_stands_out(
    browser: Browser, watched: tuple[WatchedRun, str, str], viewport: dict[str, int], scheme: str
) -> None:
    _, url, token = watched
    page = open_dashboard(browser, url, token, viewport=viewport, color_scheme=scheme)
    page.get_by_text("CRITICAL").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    ratios = contrast_ratios(page, "body *:not(svg *):not(noscript):not(.done):not(.done *)")
    assert len(ratios) > 40
    assert min(ratios) >= CONTRAST_MIN
    tall = "[...document.querySelectorAll('header button')].map(b => b.getBoundingClientRect().height)"
    heights = page.evaluate(tall)
    assert min(heights) >= 40  # a thumb must meet it
    page.context.close()


def test_a_critical_is_acknowledged_on_the_page_and_kept(
    browser: Browser, watched: tuple[WatchedRun, str, str]
) -> None:
    run, url, token = watched
    page = open_dashboard(browser, url, token, viewport=PHONE)
    page.on("dialog", lambda dialog: dialog.accept("Ada Lovelace"))
    expect(page.locator("#banner")).to_contain_text("reconciliation_drift")
    page.get_by_role("button", name="Acknowledge").first.click()
    expect(page.locator("#alerts")).to_contain_text("seen by Ada Lovelace", timeout=30_000)
    assert AlertBook(run.context.event_store_root, run.account).unanswered() == []
    page.context.close()


def test_without_the_token_the_page_shows_nothing(browser: Browser, watched: tuple[WatchedRun, str, str]) -> None:
    _, url, _ = watched
    page = browser.new_context().new_page()
    page.goto(url)
    page.get_by_label("Token").fill("wrong" * 10)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#sign-in-error")).to_contain_text("wrong token")
    assert not page.locator("#main").is_visible()
    assert page.request.get(f"{url}/feed").status == 401
    page.context.close()


# ── a real session at the local exchange ────────────────────────────────────────────────────────
def test_a_run_is_watched_live_and_stopped_from_the_page(browser: Browser, tmp_path: Path) -> None:
    with local_run(tmp_path, "watched-live", short_plan(window_s=3_000)) as local, served(tmp_path) as (url, token):
        session = local.start()
        local.until(session, lambda: len(local.events(OrderSubmitted)) >= 3)
        page = open_dashboard(browser, url, token, viewport=DESKTOP)
        expect(page.locator("#state")).to_have_text("Trading", timeout=60_000)
        expect(page.locator("#equity")).to_contain_text("$", timeout=60_000)
        press(page, "Reduce only", "reduce only")
        page.get_by_role("button", name="Close", exact=True).click()
        expect(page.locator("#state")).to_have_text("Reduce only", timeout=60_000)
        local.until(session, lambda: any(
            "STATE" in e.reason or "REDUCE" in e.reason for e in local.events(OrderDenied, SubmitWithheld)
            if isinstance(e, OrderDenied | SubmitWithheld)
        ))
        press(page, "Close all positions", "close all positions")
        expect(page.locator("#confirm-answer")).to_contain_text("flat")
        found = at_venue(local)
        assert (found.open_orders, found.coins < 1) == (0, True)
        assert local.guard.state is not TradingState.ACTIVE
        page.context.close()


def test_a_report_is_opened_from_the_history_and_can_run_nothing(browser: Browser, tmp_path: Path) -> None:
    run = WatchedRun(tmp_path)
    run.trade(minutes=2)
    (run.context.run_dir / "report.html").write_text(
        "<!doctype html><title>ok</title><h1>GO</h1><script>document.title='owned'</script>", "utf-8"
    )
    with served(tmp_path) as (url, token):
        page = open_dashboard(browser, url, token, viewport=DESKTOP)
        page.get_by_role("link", name="report").click()
        expect(page.get_by_role("heading", name="GO")).to_be_visible()
        assert page.title() == "ok"
        outside = ("phase2/../../events/events.sqlite3", "stage3/stage3-watched/run.json", "stage3/..%2f/report.html")
        for path in outside:
            assert page.request.get(f"{url}/reports/{path}").status == 404
        page.context.close()
    run.close()
