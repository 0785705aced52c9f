"""The report's figures and comparisons: heat map, strips, earlier runs, parity, checkpoints."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from checks.charts import Series
from checks.charts_heat import heat_map
from checks.charts_lanes import strips
from checks.charts_scale import USD
from checks.report import build_report
from checks.report_compare import checkpoints, comparison, latencies, parity, results
from checks.report_load import RunFiles, load_run
from tests.report_artifacts import Day
from tests.report_runs import write_go_run
from tests.unit.gate_fixtures import make_input
from trading_core.canonical import canonical_json
from trading_core.clock import NS
from trading_core.gate.decide import decide
from trading_core.gate.result import Baseline
from trading_core.metrics.parity import compare
from trading_core.plan_files import find_plan

STAGE4 = find_plan("stage4")
METRIC = "latency_vs_baseline"


def test_a_heat_map_says_each_number_and_marks_the_negative_ones() -> None:
    svg = heat_map("Correlation", ["A", "B", "<C>"], {("A", "B"): 0.42, ("A", "<C>"): -0.8, ("B", "<C>"): None})
    assert svg.count("+0.42") == 4  # both halves, each with its title
    assert svg.count('class="heat low"') == 2
    assert "no data" in svg
    assert "<C>" not in svg


def test_one_product_has_no_correlation() -> None:
    assert "one product only" in heat_map("Correlation", ["A"], {}, "one product only")


def test_strips_tell_short_from_long_and_keep_holes_empty() -> None:
    series = [Series("A", [(NS, 5.0), (2 * NS, None), (3 * NS, -10.0)]), Series("B", [(NS, 0.0)])]
    svg = strips("Position", series, unit=USD)
    assert (svg.count('class="bin"'), svg.count('class="short"')) == (1, 1)
    assert "each strip reaches $10" in svg
    assert "no data" in strips("Position", [], unit=USD)


def test_earlier_runs_stand_beside_this_one_with_their_differences(tmp_path: Path) -> None:
    base = Baseline(values=(Decimal(10), Decimal(12)), runs=("second", "first"), golden=Decimal(9), golden_run="best")
    given = make_input(STAGE4, baselines={METRIC: base})
    table = comparison(RunFiles(run_dir=tmp_path, given=given, decision=decide(given)))
    mine = [row for row in table.rows if row[1].words in ("second", "first", "golden: best")]
    assert [(row[1].words, row[2].words, row[3].words) for row in mine] == [
        ("second", "10", "0"), ("first", "12", "-2"), ("golden: best", "9", "+1"),
    ]


def test_a_run_without_earlier_ones_says_so(tmp_path: Path) -> None:
    given = make_input(STAGE4)
    table = comparison(RunFiles(run_dir=tmp_path, given=given, decision=decide(given)))
    assert "no earlier GO run, no golden run" in {row[1].words for row in table.rows}


def test_tables_of_figures_show_what_the_artifacts_hold(tmp_path: Path) -> None:
    run = load_run(write_go_run(tmp_path, Day(minutes=20, symbols=("BTC-USD", "ETH-USD"))))
    assert [row[0].words for row in results(run).rows] == ["BTC-USD", "ETH-USD", "All"]
    assert [row[1].words for row in checkpoints(run).rows][-1].endswith("missing")
    legs = {(row[0].words, row[1].words) for row in latencies(run).rows}
    assert ("All", "submit to answer") in legs
    assert ("BTC-USD", "decision to submit") not in legs


def test_parity_is_shown_once_it_was_asked_for(tmp_path: Path) -> None:
    folder = write_go_run(tmp_path, Day(minutes=20))
    assert parity(load_run(folder)).rows == ()
    logs, margins = load_run(folder).logs, find_plan("phase2").parity
    assert logs is not None
    assert margins is not None
    (folder / "parity.json").write_bytes(canonical_json(compare(logs, logs, margins)))
    page = build_report(folder).html.read_text("utf-8")
    assert "Parity with another run" in page
    assert page.count("<script") == 0
