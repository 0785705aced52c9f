"""Draw the dashboard's screenshots again: `python -m tests.browser.screenshots FOLDER`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import get_args

from playwright.sync_api import Browser

from tests.browser.rooms import DESKTOP, PHONE, chromium, open_dashboard, served
from tests.dashboard_runs import Mood, WatchedRun
from trading_core.alert_book import AlertBook
from trading_core.clock import wall_now_ns
from trading_core.storage.event_reader import EventReader
from trading_core.trading_state import TradingState

SIZES = {"desktop": DESKTOP, "phone": PHONE}


def draw(browser: Browser, folder: Path, mood: Mood) -> None:
    """Draw one mood at each size, light and dark."""
    with tempfile.TemporaryDirectory() as home:
        run = WatchedRun(Path(home))
        run.trade(mood=mood)
        with EventReader(run.context.store, run.context.run_id) as reader:
            AlertBook(run.context.event_store_root, run.account).take_run(reader, wall_now_ns())
        with served(Path(home)) as (url, token):
            for size, viewport in SIZES.items():
                for scheme in ("light", "dark"):
                    now(run, mood)
                    page = open_dashboard(browser, url, token, viewport=viewport, color_scheme=scheme)
                    page.locator("#equity-chart path").wait_for()
                    page.screenshot(path=folder / f"{mood}-{size}-{scheme}.png")
                    page.context.close()
        run.close()


def now(run: WatchedRun, mood: Mood) -> None:
    """Write the figures of this moment, so that the page shows fresh data."""
    run.heartbeat.beat()
    run.now_ns = wall_now_ns()
    run.figures(TradingState.HALTED if mood == "halted" else TradingState.ACTIVE, "0" if mood == "calm" else "1.42")
    run.store.flush()


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    with chromium() as launched:
        for each in get_args(Mood):
            draw(launched, target, each)
