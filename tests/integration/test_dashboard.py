"""The dashboard's server: what it shows of a run, what Prometheus reads, what it refuses, how many may watch."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from rich.console import Console

from deployments import prometheus_rules
from flows.cli_watch import frame
from tests.browser.rooms import served
from tests.dashboard_runs import EVIL, WatchedRun, settings_of, stage3_with
from trading_core.alerts import rules_of
from trading_core.clock import NS, SystemClock, pause, wall_now_ns
from trading_core.control.feed import QUEUE_MAX, VIEWERS_MAX, RunWatch, find_run_dir, offer
from trading_core.control.metrics import RULE_METRICS
from trading_core.control.view import CURVE_MAX
from trading_core.errors import ConfigurationError
from trading_core.plan_files import find_plan, plan_names

GRAFANA = Path(prometheus_rules.__file__).parent / "grafana" / "greenlight.json"
NAME = re.compile(r"\bgreenlight_[a-z0-9_]+")
TIMEOUT_S = 20


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedRun]:
    made = WatchedRun(tmp_path_factory.mktemp("run"), plan=stage3_with(EVIL))
    made.trade(minutes=30, mood="halted")
    yield made
    made.close()


@pytest.fixture(scope="module")
def home(run: WatchedRun) -> Path:
    return run.context.event_store_root.parent


@pytest.fixture(scope="module")
def room(home: Path) -> Iterator[tuple[str, dict[str, str]]]:
    with served(home) as (url, token):
        yield url, {"authorization": f"Bearer {token}"}


def get(room: tuple[str, dict[str, str]], path: str, **options: Any) -> requests.Response:
    return requests.get(room[0] + path, headers=room[1], timeout=TIMEOUT_S, **options)


# ── what is shown ───────────────────────────────────────────────────────────────────────────────
def test_the_view_is_what_the_events_say(home: Path) -> None:
    watch = RunWatch(settings_of(home), find_run_dir(settings_of(home)))
    shown = watch.look()
    watch.close()
    assert (shown["state"], shown["orders"]["sent"], shown["orders"]["rejected"]) == ("HALTED", 30, 1)
    assert shown["orders"]["acceptance"] == [29, 1]
    assert {a["name"] for a in shown["alerts"]} == {"mark_staleness", "reconciliation_drift"}
    first = shown["guardrails"][0]
    assert (first["metric"], first["observed"], first["share"] > 1) == ("drift", "1.42", True)
    acceptance = next(p for p in shown["progress"] if p["name"] == "order_acceptance")
    assert acceptance["words"] == "30 of at least 128 orders, 1 against it"
    assert len(shown["open_orders"]) == 2
    assert shown["checkpoints"]["next_h"] == 1


def test_a_run_without_rejections_needs_seventy_two_orders(tmp_path: Path) -> None:
    run = WatchedRun(tmp_path)
    run.trade(minutes=20)
    run.close()
    watch = RunWatch(settings_of(tmp_path), find_run_dir(settings_of(tmp_path), "stage3-watched"))
    progress = {p["name"]: p["words"] for p in watch.look()["progress"]}
    watch.close()
    assert progress["order_acceptance"] == "20 of at least 72 orders"


def test_a_long_run_has_a_bounded_curve_that_ends_now(tmp_path: Path) -> None:
    run = WatchedRun(tmp_path)
    for _ in range(5 * CURVE_MAX):
        run.now_ns += 1_000_000_000
        run.figures()
    run.close()
    watch = RunWatch(settings_of(tmp_path), find_run_dir(settings_of(tmp_path)))
    shown, points = watch.look(), watch.points()
    watch.close()
    assert CURVE_MAX <= len(points) <= 2 * CURVE_MAX
    assert points[-1][0] == run.now_ns // 1_000_000 == shown["ts_ms"]


def test_the_terminal_shows_the_same_and_no_markup_of_the_venue(home: Path) -> None:
    watch = RunWatch(settings_of(home), find_run_dir(settings_of(home)))
    shown = watch.look()
    watch.close()
    console = Console(width=140, record=True, file=None, quiet=False)
    with console.capture() as captured:
        console.print(frame({**shown, "symbols": [{**shown["symbols"][0], "id": "[bold]X"}]}))
    text = captured.get()
    for words in ("HALTED", "reconciliation_drift", "30 of at least 128 orders", "[bold]X"):
        assert words in text


# ── who may see it, and what leaves ─────────────────────────────────────────────────────────────
@pytest.mark.parametrize("path", ["/feed", "/curve", "/metrics", "/history", "/reports/stage3/x/report.html"])
def test_nothing_of_a_run_is_shown_without_the_token(room: tuple[str, dict[str, str]], path: str) -> None:
    assert requests.get(room[0] + path, timeout=TIMEOUT_S).status_code == 401


@pytest.mark.parametrize("path", ["/curve?run=../../etc", "/curve?run=none", "/curve?run=a/b"])
def test_a_run_that_is_not_there_is_refused(room: tuple[str, dict[str, str]], path: str) -> None:
    answer = get(room, path)
    assert (answer.status_code, "error" in answer.json()) == (422, True)


def test_a_link_out_of_the_artifacts_is_not_followed(home: Path, room: tuple[str, dict[str, str]]) -> None:
    folder = home / "artifacts" / "stage3" / "linked"
    folder.mkdir(parents=True)
    (folder / "report.html").symlink_to(home / "events" / "control" / "token")
    assert get(room, "/reports/stage3/linked/report.html").status_code == 404


def test_the_page_allows_no_inline_script(room: tuple[str, dict[str, str]]) -> None:
    answer = requests.get(room[0] + "/", timeout=TIMEOUT_S)
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert re.findall(r"<script(?![^>]*src=)|\son\w+=|style=", answer.text) == []


def test_health_needs_nothing_and_ready_names_a_silent_session(tmp_path: Path) -> None:
    run = WatchedRun(tmp_path)
    with served(tmp_path) as (url, _):
        assert requests.get(f"{url}/health", timeout=TIMEOUT_S).json() == {"status": "alive"}
        assert requests.get(f"{url}/ready", timeout=TIMEOUT_S).status_code == 200
        path = tmp_path / "events" / "accounts" / run.account / "session.json"
        beat = json.loads(path.read_bytes())
        path.write_text(json.dumps({**beat, "beat_ns": wall_now_ns() - 600 * 10**9}))
        answer = requests.get(f"{url}/ready", timeout=TIMEOUT_S)
    run.close()
    assert answer.status_code == 503
    assert "has been silent for 6" in answer.json()["problem"]


# ── the feed ────────────────────────────────────────────────────────────────────────────────────
def test_the_feed_says_the_whole_view_at_once(room: tuple[str, dict[str, str]]) -> None:
    with get(room, "/feed", stream=True) as answer:
        lines = answer.iter_lines()
        said = next(line for line in lines if line.startswith(b"data: "))
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert json.loads(said[6:])["state"] == "HALTED"


def test_a_slow_viewer_loses_its_oldest_messages() -> None:
    queue: asyncio.Queue[bytes] = asyncio.Queue(maxsize=QUEUE_MAX)
    for number in range(10):
        offer(queue, b"%d" % number)
    assert [queue.get_nowait() for _ in range(queue.qsize())] == [b"6", b"7", b"8", b"9"]


def test_more_viewers_than_the_limit_are_refused_and_leaving_makes_room(room: tuple[str, dict[str, str]]) -> None:
    pages = [get(room, "/feed", stream=True) for _ in range(VIEWERS_MAX)]
    streams = [page.iter_content(16) for page in pages]  # kept: requests closes a stream that nobody holds
    assert all(next(stream) for stream in streams)
    refused = get(room, "/feed")
    assert (refused.status_code, "120 pages" in refused.json()["error"]) == (503, True)
    assert get(room, "/api/status").status_code == 200  # the operator still gets in
    for page in pages:
        page.close()
    clock = SystemClock()
    deadline_ns = clock.stopwatch_ns() + TIMEOUT_S * NS
    while _feed_status(room) == 503 and clock.stopwatch_ns() < deadline_ns:
        pause(0.1)
    assert _feed_status(room) == 200


def _feed_status(room: tuple[str, dict[str, str]]) -> int:
    with get(room, "/feed", stream=True) as answer:
        return answer.status_code


# ── Prometheus and Grafana ──────────────────────────────────────────────────────────────────────
def exported(room: tuple[str, dict[str, str]]) -> set[str]:
    text = get(room, "/metrics").text
    return {re.split(r"[{ ]", line)[0] for line in text.splitlines() if line and not line.startswith("#")}


def test_every_metric_of_rules_and_grafana_is_exported(room: tuple[str, dict[str, str]]) -> None:
    names = exported(room)
    for text in (prometheus_rules.PATH.read_text("utf-8"), GRAFANA.read_text("utf-8")):
        used = set(NAME.findall(re.sub(r"greenlight_(phase2|stage\d)\b", "", text)))
        assert used
        assert used - names == set()


def test_no_label_names_an_order(room: tuple[str, dict[str, str]]) -> None:
    text = get(room, "/metrics").text
    assert "w-000" not in text
    assert f'product="{EVIL}"' in text  # as text, quoted


def test_the_rules_of_prometheus_are_those_of_the_plans() -> None:
    text = prometheus_rules.PATH.read_text("utf-8")
    assert text == prometheus_rules.render(), "run python -m deployments.prometheus_rules"
    for name in plan_names():
        plan = find_plan(name)
        for rule in rules_of(plan):
            assert json.dumps(prometheus_rules.expression(rule, plan)) in text


def test_every_alert_metric_has_a_name_for_prometheus() -> None:
    assert {rule.metric for name in plan_names() for rule in rules_of(find_plan(name))} <= set(RULE_METRICS)


def test_promtool_takes_the_rules() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:  # the tests above compare the rules without it
        assert prometheus_rules.PATH.is_file()
        return
    done = subprocess.run([promtool, "check", "rules", str(prometheus_rules.PATH)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_name_that_is_no_runs_is_refused_before_the_disk_is_asked(home: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be the name"):
        find_run_dir(settings_of(home), "../x")
