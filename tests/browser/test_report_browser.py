"""The report in a real browser: it opens offline, obeys its own policy, and fits a phone, the dark and paper."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from checks.report import build_report
from tests.browser.contrast import contrast_ratios
from tests.report_artifacts import Day
from tests.report_runs import make_plan, write_go_run, write_preflight_failure

QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)
PHONE = {"width": 390, "height": 844}
EVIL = "<script>document.title='owned'</script>"


pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    assert chromium, "chromium is not installed: apt-get install chromium, then run the browser tests again"
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=list(QUIET))
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    day = Day(minutes=240, symbols=(EVIL, "BTC-USD", "ETH-USD"), orders=300)
    runs = {
        "go": write_go_run(tmp_path_factory.mktemp("go"), day, make_plan()),
        "early": write_preflight_failure(tmp_path_factory.mktemp("early")),
        "empty": tmp_path_factory.mktemp("empty"),
    }
    return {name: build_report(run).html for name, run in runs.items()}


def opened(browser: Browser, path: Path, **options: object) -> tuple[Page, list[str], list[str]]:
    """Return the page with what it asked for and what the console complained of."""
    page = browser.new_context(**options).new_page()  # type: ignore[arg-type]
    requests: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(path.as_uri())
    return page, requests, complaints


@pytest.mark.parametrize("name", ["go", "early", "empty"])
def test_the_page_asks_for_nothing_and_breaks_no_policy(
    browser: Browser, reports: dict[str, Path], name: str
) -> None:
    page, requests, complaints = opened(browser, reports[name])
    assert requests == [reports[name].as_uri()]
    assert complaints == []
    assert page.evaluate("getComputedStyle(document.querySelector('.banner')).borderTopLeftRadius") == "12px"


def test_a_symbol_that_is_a_script_does_not_run(browser: Browser, reports: dict[str, Path]) -> None:
    page, _, _ = opened(browser, reports["go"])
    assert "owned" not in page.title()
    assert page.locator("td", has_text=EVIL).count() > 0


@pytest.mark.parametrize("name", ["go", "early"])
@pytest.mark.parametrize("size", [PHONE, {"width": 768, "height": 1024}, {"width": 1240, "height": 900}])
def test_the_page_never_scrolls_sideways(
    browser: Browser, reports: dict[str, Path], name: str, size: dict[str, int]
) -> None:
    page, _, _ = opened(browser, reports[name], viewport=size)
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]


def test_chart_text_is_readable_on_a_phone(browser: Browser, reports: dict[str, Path]) -> None:
    page, _, _ = opened(browser, reports["go"], viewport=PHONE)
    heights = page.eval_on_selector_all(".chart .axis", "all => all.map(t => t.getBoundingClientRect().height)")
    assert len(heights) > 50
    assert min(heights) >= 9


def test_verdict_reason_and_remedy_are_on_the_first_screen(browser: Browser, reports: dict[str, Path]) -> None:
    page, _, _ = opened(browser, reports["early"], viewport=PHONE)
    for words in ("NO-GO", "10.2 s (limit 5)", "Synchronise the clock with NTP"):
        box = page.get_by_text(words).first.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= PHONE["height"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["go", "early"])
def test_text_stands_out_in_light_and_dark(
    browser: Browser, reports: dict[str, Path], name: str, scheme: str
) -> None:
    page, _, _ = opened(browser, reports[name], color_scheme=scheme)
    ratios = contrast_ratios(page, "main *:not(svg *)")
    assert len(ratios) > 40
    assert min(ratios) >= 4.5  # WCAG 2 AA for text


def test_an_evidence_link_leads_to_its_rows(browser: Browser, reports: dict[str, Path]) -> None:
    page, _, _ = opened(browser, reports["go"])
    page.locator("#criterion-kill_switch a").click()
    target = page.locator("#evidence-kill_switch")
    assert page.evaluate("location.hash") == "#evidence-kill_switch"
    assert "kill_switch_drill" in target.inner_text()


def test_paper_gets_light_colours_and_every_section(browser: Browser, reports: dict[str, Path], tmp_path: Path) -> None:
    page, _, _ = opened(browser, reports["go"], color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    pdf = tmp_path / "report.pdf"
    page.pdf(path=pdf, prefer_css_page_size=True)
    assert pdf.read_bytes().startswith(b"%PDF-")
