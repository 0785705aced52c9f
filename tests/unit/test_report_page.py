"""The report of a run: complete where the run is, plain about the rest, and safe whatever the files hold."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from checks.report import ReportFiles, build_report, main
from checks.report_figures import e_path
from tests.report_artifacts import Day, make_artifacts
from tests.report_runs import make_plan, write_checks, write_go_run, write_preflight_failure
from trading_core.artifacts import AnswerKind
from trading_core.gate.evidence import Tally
from trading_core.gate.statistics import e_value

EVIL = "<script>alert(1)</script>"
SIZE_MAX = 3_000_000


@pytest.fixture
def go_run(tmp_path: Path) -> Path:
    return write_go_run(tmp_path)


def html_of(run_dir: Path) -> str:
    return build_report(run_dir).html.read_text("utf-8")


def words_of(html: str) -> str:
    body = html.split("</style>", 1)[1]
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


def test_the_verdict_comes_first_with_its_level_and_what_to_do_next(go_run: Path) -> None:
    words = words_of(html_of(go_run))
    assert re.match(r"To the criteria ✓ GO rehearsal, L0: authorises no live rung GO for a rehearsal at L0", words)
    assert "Next: the same plan on a venue of a higher level." in words


def test_the_page_needs_nothing_from_outside_and_forbids_it(go_run: Path) -> None:
    html = html_of(go_run)
    css = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    assert css is not None
    digest = base64.b64encode(hashlib.sha256(css[1].encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'" in html
    assert not re.search(r"<script|<link|<img|<iframe|@import|url\((?!#)|https?://|\sstyle=|\son\w+=", html)


def test_every_link_leads_to_a_place_on_the_page(go_run: Path) -> None:
    html = html_of(go_run)
    assert html.count("<nav") == 1
    ids = re.findall(r'\sid="([^"]+)"', html)
    links = set(re.findall(r'href="#([^"]+)"', html))
    assert len(links) > 8
    assert len(ids) == len(set(ids))
    assert links <= set(ids)


def test_evidence_names_events_by_number_and_in_words(go_run: Path) -> None:
    html = html_of(go_run)
    block = html.split('id="evidence-kill_switch"', 1)[1].split("</article>", 1)[0]
    assert "step kill_switch_drill: entry refused" in block
    assert re.search(r'<td class="num code">\d+</td>', block)


def test_a_stage_that_took_no_venue_time_names_no_duration(go_run: Path) -> None:
    """Analysis is dated by the venue's clock, which does not move meanwhile: 0 ms would be a false figure."""
    path = go_run / "stages" / "artifact_analysis.json"
    result = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**result, "ended_ns": result["started_ns"]}), "utf-8")
    assert "Artifact analysis passed · 0 ms" not in words_of(html_of(go_run))


def test_the_kill_switch_drill_shows_its_times(go_run: Path) -> None:
    words = words_of(html_of(go_run))
    assert "Time to reduce only 0.8 s" in words
    assert "Time to flat 2.4 s" in words


def test_a_symbol_that_is_markup_stays_text(tmp_path: Path) -> None:
    files = build_report(write_go_run(tmp_path, Day(symbols=(EVIL, "BTC-USD"), drift="0.02")))
    html, markdown = files.html.read_text("utf-8"), files.markdown.read_text("utf-8")
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<script" not in markdown


def test_a_run_that_stopped_at_preflight_says_what_failed_and_what_to_do(tmp_path: Path) -> None:
    words = words_of(html_of(write_preflight_failure(tmp_path)))
    first_screen = words[:700]
    assert "✕ NO-GO REJECT" in first_screen
    assert "10.2 s (limit 5)" in first_screen
    assert "Synchronise the clock with NTP, then run again." in first_screen
    assert "Net PnL no data" in words
    assert words.count("Not evaluated.") >= 4
    assert "It waits for clock." in words


def test_a_run_without_artifacts_draws_no_line(tmp_path: Path) -> None:
    html = html_of(write_preflight_failure(tmp_path))
    assert 'class="line s0"' not in html.split("What happened")[0]
    assert html.count(": no data") >= 12


def test_a_no_go_to_extend_says_how_much_is_missing(tmp_path: Path) -> None:
    words = words_of(html_of(write_go_run(tmp_path, Day(orders=30))))
    assert re.search(r"NO-GO EXTEND .*\d+ more orders are needed, [\d.]+ h", words)


def test_a_failed_criterion_names_its_number(tmp_path: Path) -> None:
    words = words_of(html_of(write_go_run(tmp_path, Day(drift="0.02"))))
    assert re.search(r"NO-GO REJECT .*Books agree with the venue to a cent is FAIL: \d+ of 21 broke it", words)
    assert re.search(r"Did reconciliation balance\? No\. \d+ of 21 snapshots agree", words)


def test_a_broken_data_check_shows_its_rows_near_the_top(go_run: Path) -> None:
    write_checks(go_run, is_drift_broken=True)
    html = html_of(go_run)
    words = words_of(html)
    broken = words.index("Drift within a cent reconciliation_history must ✕ Fail 4 of 21 INVARIANT_BROKEN")
    assert broken < words.index("The five questions")
    assert "row 4, event 1793: drift 0.02" in words
    assert "cross.fills_known cross ○ No data 0 NOT_EVALUATED" in words
    assert words.index("Liquidity has rows") > words.index("Money")
    assert "<script" not in html


def test_an_empty_directory_gives_a_page_that_authorises_nothing(tmp_path: Path) -> None:
    words = words_of(html_of(tmp_path))
    assert "NO VERDICT" in words
    assert "Without a decision nothing is authorised." in words
    assert "no criterion is known. Nothing was shown." in words


def test_without_a_decision_the_plans_criteria_are_not_evaluated(go_run: Path) -> None:
    (go_run / "decision.json").unlink()
    words = words_of(html_of(go_run))
    assert "NO VERDICT" in words
    assert words.count("NOT_EVALUATED") == len(make_plan().criteria)


def test_an_artifact_that_was_edited_is_named(go_run: Path) -> None:
    path = go_run / "reconciliation_history.json"
    path.write_bytes(path.read_bytes().replace(b"10000", b"10001", 1))
    assert re.search(r"reconciliation_history HASH_MISMATCH: .* hashes to", words_of(html_of(go_run)))


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut": _cut,
    "empty": lambda _: b"",
    "binary": lambda _: b"\xff\xfe\x00garbage",
    "list": lambda _: b"[]",
    "number": lambda _: b"17",
    "deep": lambda _: b"[" * 100_000,
    "extra key": lambda data: data.replace(b"{", b'{"surprise":1,', 1),
}
FILES = (
    "decision", "plan", "subject", "manifest", "stages/preflight", "reconciliation_history", "sized_down_events",
    "margin_snapshots", "execution_logs", "rejection_breakdown", "liquidity", "timeline",
)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_garbled_file_is_named_on_the_page(go_run: Path, name: str, damage: str) -> None:
    path = go_run / f"{name}.json"
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    problems = html_of(go_run).split("What could not be read", 1)[1].split("</section>", 1)[0]
    assert f"{name}" in problems


def test_a_garbled_decision_never_shows_its_verdict(go_run: Path) -> None:
    path = go_run / "decision.json"
    path.write_bytes(path.read_bytes().replace(b'"rule":9', b'"rule":"x"'))
    words = words_of(html_of(go_run))
    assert "NO VERDICT" in words
    assert "✓ GO" not in words


def test_absurd_values_do_not_stop_the_report(go_run: Path) -> None:
    chance = random.Random(11)
    for _ in range(25):
        name = chance.choice(FILES[5:])
        path = go_run / f"{name}.json"
        before = path.read_bytes()
        document = json.loads(before)
        _set_somewhere(document, chance.choice(("1e400", "-1", "", 0, 10**30, None, "9" * 400, [], {})), chance)
        path.write_text(json.dumps(document), "utf-8")
        assert "</html>" in html_of(go_run)
        path.write_bytes(before)


def _set_somewhere(document: object, value: object, chance: random.Random) -> None:
    while True:
        keys = list(document) if isinstance(document, dict) else list(range(len(document)))  # type: ignore[arg-type]
        if not keys:
            return
        key = chance.choice(keys)
        child = document[key]  # type: ignore[index]
        if not isinstance(child, dict | list) or not child:
            document[key] = value  # type: ignore[index]
            return
        document = child


def test_a_day_of_four_symbols_stays_below_three_megabytes(tmp_path: Path) -> None:
    day = Day(minutes=1440, symbols=("BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD"), orders=2_000, rejected_share=0.01)
    files = build_report(write_go_run(tmp_path, day, make_plan(name="stage3")))
    assert files.html.stat().st_size < SIZE_MAX
    assert files.markdown.stat().st_size < 20_000


def test_equal_runs_give_equal_reports(tmp_path: Path) -> None:
    def built(folder: str) -> list[bytes]:
        files = build_report(write_go_run(tmp_path / folder))
        return [files.html.read_bytes(), files.markdown.read_bytes(), files.json.read_bytes()]

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert built("a") == built("b")


def test_the_machine_report_says_the_same_as_the_page(go_run: Path) -> None:
    files = build_report(go_run)
    document = json.loads(files.json.read_bytes())
    assert document["schema_version"] == 1
    assert document["banner"]["verdict"] == "GO"
    assert [t["label"] for t in document["tiles"]] == [
        "Net PnL", "Worst drawdown", "Acceptance", "Peak margin", "Order latency p95", "Largest drift"
    ]
    assert {row["outcome"] for group in document["groups"] for row in group["rows"]} == {"Pass", "No data"}


def test_the_markdown_has_verdict_questions_and_criteria(go_run: Path) -> None:
    markdown = build_report(go_run).markdown.read_text("utf-8")
    assert markdown.startswith("# ✓ GO\n")
    assert "1. **Did reconciliation balance?** Yes." in markdown
    assert "| Books agree with the venue to a cent | ✓ Pass INVARIANT\\_HOLDS |" in markdown


def test_the_command_names_its_files_and_refuses_what_is_no_directory(
    go_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(go_run)]) == 0
    assert capsys.readouterr().out.split() == [
        str(path) for path in (go_run / "report.html", go_run / "report.md", go_run / "report.json")
    ]
    assert main([str(go_run / "nowhere")]) == 2
    assert "is no directory" in capsys.readouterr().err


def test_the_report_leaves_no_temporary_file(go_run: Path) -> None:
    files = build_report(go_run)
    assert isinstance(files, ReportFiles)
    assert not list(go_run.glob(".*.part"))


def test_the_evidence_path_ends_at_the_gates_e_value() -> None:
    logs = make_artifacts(Day(rejected_share=0.1)).execution_logs
    answers = [t.answer for t in logs.rows if t.answer and not t.is_probe]
    good = sum(a.kind is AnswerKind.ACCEPTED for a in answers)
    from_gate = e_value(Tally(successes=good, failures=len(answers) - good), make_plan().criteria[1].p0)  # type: ignore[arg-type]
    assert e_path(logs, 0.80)[-1][1] == pytest.approx(float(from_gate.log10()), abs=1e-9)


def test_a_guardrail_that_nobody_watched_is_named_before_the_questions(go_run: Path) -> None:
    path = go_run / "decision.json"
    path.write_bytes(path.read_bytes().replace(b'"longest_gap_s":"5"', b'"longest_gap_s":"7.2"'))
    words = words_of(html_of(go_run))
    assert words.index("Daily loss ○ Not watched 0 100 240 7.2 s") < words.index("The five questions")
