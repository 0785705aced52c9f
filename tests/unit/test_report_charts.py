"""Charts: spikes survive, holes stay open, nothing is told by colour alone, no data is never a line."""

from __future__ import annotations

import math
import re

import pytest

from checks.charts import Band, Limit, Series, line_chart
from checks.charts_bars import Bar, Lane, Mark, Moment, bar_chart, histogram, timeline
from checks.charts_scale import USD, Point, decimate, ticks, time_ticks
from checks.report_figures import highest, quantile, with_holes
from trading_core.clock import MINUTE_NS, NS, from_iso

START_NS = from_iso("2026-03-02T00:00:00Z")


def make_points(count: int = 100, spike_at: int | None = None) -> list[Point]:
    return [(START_NS + i * NS, 1000.0 if i == spike_at else math.sin(i / 10)) for i in range(count)]


def paths(svg: str) -> list[str]:
    return re.findall(r'<path class="line[^"]*" d="([^"]+)"', svg)


def test_decimation_keeps_every_spike_and_the_order_of_time() -> None:
    kept = decimate(make_points(200_000, spike_at=123_457), buckets=100)
    assert (START_NS + 123_457 * NS, 1000.0) in kept
    assert len(kept) <= 300
    assert kept == sorted(kept)


def test_decimation_keeps_holes() -> None:
    points = make_points(5_000)
    points[2_500] = (points[2_500][0], None)
    assert (points[2_500][0], None) in decimate(points, buckets=50)


@pytest.mark.parametrize(
    "points", [[], [(START_NS, None)], [(START_NS, math.nan)], [(START_NS, math.inf), (START_NS + 1, None)]]
)
def test_a_chart_without_data_says_so_and_draws_no_line(points: list[Point]) -> None:
    svg = line_chart("Equity", [Series("equity", points)], why_empty="no snapshot was taken")
    assert "no data" in svg
    assert "no snapshot was taken" in svg
    assert paths(svg) == []


def test_a_hole_in_the_data_breaks_the_line() -> None:
    minutes = [(START_NS + m * MINUTE_NS, 5.0) for m in (0, 1, 2, 30, 31)]
    svg = line_chart("Equity", [Series("equity", with_holes(minutes, 60))])
    assert len(paths(svg)) == 2


def test_a_flat_series_is_drawn_inside_the_plot() -> None:
    svg = line_chart("Drift", [Series("drift", [(START_NS, 0.0), (START_NS + NS, 0.0)])], limits=[Limit(0.01, "limit")])
    assert len(paths(svg)) == 1
    assert "nan" not in svg


def test_each_series_has_its_own_mark_and_not_only_its_colour() -> None:
    svg = line_chart("Position", [Series(f"S{n}", make_points()) for n in range(8)])
    shapes = {re.search(rf'class="mark m{n}"[^>]* d="([^"]+)"', svg)[1] for n in range(8)}  # type: ignore[index]
    assert len(shapes) == 8


def test_names_are_escaped_everywhere() -> None:
    evil = "<script>alert(1)</script>"
    svgs = [
        line_chart(evil, [Series(evil, make_points()), Series("b", make_points())], limits=[Limit(5, evil)],
                   bands=[Band(START_NS, START_NS + 90 * NS, evil)]),
        bar_chart(evil, [Bar(evil, 3, 1, evil)]),
        histogram(evil, [1.0, 2.0], marks=[Mark(1.0, evil)]),
        timeline(evil, [Lane(evil, [Moment(START_NS, evil, 0)])], START_NS, START_NS + NS),
        line_chart(evil, [], why_empty=evil),
    ]
    assert all("<script" not in svg and "&lt;script" in svg for svg in svgs)


def test_a_far_limit_is_named_at_the_edge_instead_of_flattening_the_line() -> None:
    svg = line_chart("Drawdown", [Series("d", make_points())], limits=[Limit(-1e6, "daily loss", always=False)])
    assert "daily loss, off this scale" in svg
    assert 'class="limit"' not in svg


def test_a_histogram_names_what_lies_beyond_its_axis() -> None:
    svg = histogram("Latency", [10.0] * 500 + [90_000.0], unit=USD)
    assert "1 beyond, longest $90,000" in svg


def test_ours_and_the_venues_refusals_differ_in_pattern() -> None:
    svg = bar_chart("Rejections", [Bar("SPREAD", 3, 0), Bar("FUNDS", 2, 1)])
    assert 'class="bar b0"' in svg
    assert 'class="bar b1"' in svg
    assert 'id="stripes"' in svg


def test_too_many_reasons_are_summed_and_none_is_lost() -> None:
    svg = bar_chart("Rejections", [Bar(f"R{n}", n + 1, 0) for n in range(30)])
    shown = [int(n) for n in re.findall(r"<title>[^:]+: (\d+)", svg)]
    assert sum(shown) == sum(range(1, 31))


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3.2, 9_871), (5, 5), (0, 0), (1e-9, 2e-9), (-1e12, 1e12)])
def test_ticks_span_the_data(low: float, high: float) -> None:
    marks = ticks(low, high)
    assert marks[0] <= low
    assert marks[-1] >= high
    assert 2 <= len(marks) <= 12


@pytest.mark.parametrize("span_s", [1, 60, 3_600, 86_400, 30 * 86_400])
def test_time_ticks_are_few_and_inside_the_window(span_s: int) -> None:
    found = time_ticks(START_NS, START_NS + span_s * NS)
    assert 1 <= len(found) <= 8
    assert all(START_NS <= ts <= START_NS + span_s * NS for ts, _ in found)


def test_quantile_is_an_observed_value() -> None:
    assert quantile([3.0, 1.0, 2.0, 100.0], 0.95) == 100.0
    assert quantile([3.0, 1.0, 2.0, 100.0], 0.5) == 2.0
    assert quantile([], 0.5) is None


def test_a_bucket_without_values_is_a_hole() -> None:
    points: list[Point] = [(START_NS, 1.0), (START_NS + NS, 4.0), (START_NS + 60 * NS, None)]
    assert highest(points, 60) == [(START_NS, 4.0), (START_NS + 60 * NS, None)]
