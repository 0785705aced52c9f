"""One whole run as its operator sees it: watched live, stopped from the page, flat at the exchange, its report read."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.rooms import DESKTOP, chromium, open_dashboard, press, served
from tests.chaos.local_session import AtVenue, Local, at_venue
from tests.e2e.command import Home, changed_plan, finish, wait_for
from tests.e2e.conftest import home, prefect_api_url  # noqa: F401  # fixtures
from trading_core.control.feed import context_of
from trading_core.errors import StorageError
from trading_core.events import AnyEvent, OrderAccepted, OrderDenied, OrderSubmitted, SubmitWithheld
from trading_core.gate.outcomes import Verdict
from trading_core.heartbeat import read_beats
from trading_core.orders import Purpose
from trading_core.run import Endpoint
from trading_core.storage.event_reader import EventReader

pytestmark = [pytest.mark.browser, pytest.mark.e2e, pytest.mark.timeout(600)]
RUN = "operated"
LONG_ENOUGH = {"window_s = 900": "window_s = 1200", "interval_s = 8": "interval_s = 5"}  # a minute at this speed
SPEED = 20


def events(home: Home, *types: type[AnyEvent]) -> list[AnyEvent]:  # noqa: F811  # the test's folders
    """Return what the run has stored of these types; nothing before there is a store."""
    try:
        with EventReader(home.events, RUN) as reader:
            return [stored.event for stored in reader.events(types=[t.__name__ for t in types])]
    except StorageError:
        return []


def asked_of_the_exchange(home: Home) -> AtVenue:  # noqa: F811  # the test's folders
    """Return what the run's own exchange says, asked with the run's own key."""
    (beat,) = read_beats(home.events)
    return at_venue(Local(context_of(home.run_dir(RUN)), Endpoint.model_validate_json(beat.endpoint)))


def refused_entries(home: Home) -> int:  # noqa: F811  # the test's folders
    """Return how many entries were denied or withheld since the state did not allow them."""
    return sum(
        "STATE" in e.reason or "REDUCE" in e.reason for e in events(home, OrderDenied, SubmitWithheld)
        if isinstance(e, OrderDenied | SubmitWithheld)
    )


def entries_sent(home: Home) -> int:  # noqa: F811  # the test's folders
    """Return how many entries left."""
    sent = events(home, OrderSubmitted)
    return sum(isinstance(e, OrderSubmitted) and e.intent.purpose is Purpose.ENTRY for e in sent)


def test_a_run_is_watched_stopped_found_flat_and_its_report_read(home: Home) -> None:  # noqa: F811
    plan = changed_plan(home.root / "long.toml", "phase2", LONG_ENOUGH)
    run = home.start("run", plan, "--venue", "local", "--speed", SPEED, "--run-id", RUN)
    with chromium() as browser, served(home.root) as (url, token):
        assert wait_for(lambda: run.poll() is not None or len(events(home, OrderAccepted)) >= 3)
        assert run.poll() is None, finish(run).text
        page = open_dashboard(browser, url, token, viewport=DESKTOP)
        watch_live(page)

        press(page, "Reduce only", "reduce only")
        page.get_by_role("button", name="Close", exact=True).click()
        expect(page.locator("#state")).to_have_text("Reduce only", timeout=30_000)
        assert wait_for(lambda: run.poll() is not None or refused_entries(home) > 0)
        left = entries_sent(home)
        expect(page.locator("#latest")).to_contain_text("DENIED", timeout=30_000)
        assert wait_for(lambda: run.poll() is not None or refused_entries(home) > 3)
        assert entries_sent(home) == left

        press(page, "Close all positions", "close all positions")
        expect(page.locator("#confirm-answer")).to_contain_text("flat")
        found = asked_of_the_exchange(home)
        assert (found.open_orders, found.coins < 1) == (0, True)
        page.get_by_role("button", name="Close", exact=True).click()

        done = finish(run)
        assert done.code == 4, done.text
        read_report(page, home)


def watch_live(page: Page) -> None:
    """See that it trades, and that what is shown moves by itself."""
    expect(page.locator("#state")).to_have_text("Trading", timeout=30_000)
    expect(page.locator("#where")).to_contain_text(f"{RUN} · local (L0)")
    expect(page.locator("#equity")).to_contain_text("$", timeout=30_000)
    expect(page.locator("#age")).to_contain_text("s old")
    seen = page.locator("#acceptance-more").inner_text()
    expect(page.locator("#acceptance-more")).not_to_have_text(seen, timeout=60_000)


def read_report(page: Page, home: Home) -> None:  # noqa: F811
    """Open this very run's report from the history and read the verdict that its record has."""
    record = home.decision(RUN)
    assert record.verdict is Verdict.NO_GO
    row = page.locator("#history li").filter(has=page.get_by_role("link", name=RUN, exact=True))
    expect(row).to_contain_text("NO-GO", timeout=30_000)
    row.get_by_role("link", name="report").click()
    expect(page.locator(".verdict strong")).to_have_text("NO-GO")
    expect(page.locator(".verdict .disposition")).to_have_text(str(record.disposition))
    expect(page).to_have_title(f"NO-GO · {RUN}")
    sentence = page.get_by_role("heading", level=1).inner_text()
    assert sentence.removesuffix(".").lower() in record.headline.lower(), (sentence, record.headline)
