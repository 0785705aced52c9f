"""Bars, histogram and timeline as SVG markup; the same rules as charts.py."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from checks.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Scale, across, figure, mark, no_data, text
from checks.charts_scale import NUMBER, Unit, finite, moment_text, ticks, time_ticks

BARS_MAX = 14  # more reasons than these are summed in a last row
BINS = 60
NAMES_WIDTH, NOTES_WIDTH = 188, 170
ROW = 24
TIMELINE_WIDTH, LANE, LANE_LEFT = 980, 30, 112


@dataclass(frozen=True)
class Bar:
    """One row of a bar chart. `group` 0 is plain, 1 is striped: told apart without colour."""

    label: str
    value: int
    group: int
    note: str = ""


@dataclass(frozen=True)
class Mark:
    """An upright line in a histogram: a percentile or a target."""

    value: float
    label: str
    is_limit: bool = False


@dataclass(frozen=True)
class Moment:
    """Something that happened, on a lane of a timeline. `shape` is the number of a mark, `css` its colour."""

    ts_ns: int
    words: str
    shape: int
    css: str = ""


@dataclass(frozen=True)
class Lane:
    """A named row of a timeline."""

    name: str
    moments: Sequence[Moment]


def bar_chart(label: str, bars: Sequence[Bar], why_empty: str = "") -> Markup:
    """Return lying bars, longest first, each with its count in words."""
    rows = _summed(sorted((b for b in bars if b.value > 0), key=lambda b: (-b.value, b.label)))
    if not rows:
        return no_data(label, why_empty)
    x = Scale(0, max(b.value for b in rows), NAMES_WIDTH, WIDTH - NOTES_WIDTH)
    parts = [_STRIPES]
    for number, bar in enumerate(rows):
        top = 6 + number * ROW
        parts.append(text(NAMES_WIDTH - 8, top + 14, _short(bar.label), "axis name", "end"))
        parts.append(
            _box(
                f"bar b{bar.group}", NAMES_WIDTH, top, max(2, x.at(bar.value) - NAMES_WIDTH), ROW - 6,
                f"{bar.label}: {bar.value} {bar.note}",
            )
        )
        parts.append(text(x.at(bar.value) + 6, top + 14, f"{bar.value:,} {bar.note}".strip()))
    return figure(label, Markup("").join(parts), 12 + len(rows) * ROW)


_STRIPES = Markup(
    '<defs><pattern id="stripes" width="6" height="6" patternUnits="userSpaceOnUse"'
    ' patternTransform="rotate(45)"><rect class="stripe-base" width="6" height="6"/>'
    '<rect class="stripe" width="2.5" height="6"/></pattern></defs>'
)


def _box(css: str, left: float, top: float, width: float, height: float, title: str) -> Markup:
    return Markup(
        '<rect class="{}" x="{}" y="{}" width="{}" height="{}" rx="1"><title>{}</title></rect>'
    ).format(css, left, top, round(width, 1), round(height, 1), title)


def _summed(bars: list[Bar]) -> list[Bar]:
    if len(bars) <= BARS_MAX:
        return bars
    rest = bars[BARS_MAX - 1 :]
    total = sum(b.value for b in rest)
    return [*bars[: BARS_MAX - 1], Bar(f"{len(rest)} further reasons", total, rest[0].group)]


def _short(words: str, length: int = 27) -> str:
    return words if len(words) <= length else f"{words[: length - 1]}\N{HORIZONTAL ELLIPSIS}"


def histogram(
    label: str, values: Sequence[float], *, unit: Unit = NUMBER, marks: Sequence[Mark] = (), why_empty: str = ""
) -> Markup:
    """Return counts by bin; what lies beyond the axis (a little over the p99 and the last mark) is named."""
    usable = sorted(finite(values))
    if not usable:
        return no_data(label, why_empty)
    p99 = usable[min(len(usable) - 1, math.ceil(len(usable) * 0.99))]
    top = max([p99 * 1.15, *(m.value * 1.08 for m in marks)])
    edges = ticks(0, top or 1.0, 7)
    x = Scale(0, edges[-1], LEFT, WIDTH - RIGHT)
    width = edges[-1] / BINS
    counts = [0] * BINS
    inside = [v for v in usable if v <= edges[-1]]
    for value in inside:
        counts[min(BINS - 1, max(0, int(value / width)))] += 1
    levels = [m for m in ticks(0, max(counts), 4) if m == int(m)]
    y = Scale(0, levels[-1], HEIGHT - BOTTOM, TOP + 14)
    parts = [_levels(levels, y), _bins(counts, width, x, y, unit), _value_axis(edges, x, unit)]
    parts.extend(_upright(m, x, row) for row, m in enumerate(marks))
    if beyond := len(usable) - len(inside):
        words = f"{beyond} beyond, longest {unit.text(usable[-1])}"
        parts.append(text(WIDTH - RIGHT, HEIGHT - BOTTOM - 18, words, "axis", "end"))
    return figure(label, Markup("").join(parts))


def _levels(levels: Sequence[float], y: Scale) -> Markup:
    return Markup("").join(
        across(y.at(v)) + text(LEFT - 6, y.at(v) + 4, f"{v:,.0f}", "axis", "end") for v in levels
    )


def _bins(counts: Sequence[int], width: float, x: Scale, y: Scale, unit: Unit) -> Markup:
    parts = []
    for number, count in enumerate(counts):
        if not count:
            continue
        left, right, top = x.at(number * width), x.at((number + 1) * width), y.at(count)
        words = f"{unit.text(number * width)} to {unit.text((number + 1) * width)}: {count}"
        parts.append(_box("bin", left, top, max(1, right - left - 1), HEIGHT - BOTTOM - top, words))
    return Markup("").join(parts)


def _value_axis(edges: Sequence[float], x: Scale, unit: Unit) -> Markup:
    step = edges[1] - edges[0]
    return Markup("").join(
        text(min(x.at(v), WIDTH - RIGHT - 12), HEIGHT - BOTTOM + 18, unit.text(v, step), "axis", "middle")
        for v in edges
    )


def _upright(m: Mark, x: Scale, row: int) -> Markup:
    css = "limit" if m.is_limit else "quantile"
    at, top = x.at(m.value), TOP + row * 14
    line = Markup('<line class="{0}" x1="{1}" x2="{1}" y1="{2}" y2="{3}"/>').format(css, at, top, HEIGHT - BOTTOM)
    shift, anchor = (4, "start") if at < WIDTH * 0.7 else (-4, "end")
    return line + text(at + shift, top + 9, m.label, f"{css}-word", anchor)


def timeline(label: str, lanes: Sequence[Lane], start_ns: int, end_ns: int, why_empty: str = "") -> Markup:
    """Return lanes of moments over UTC time, each moment with its words as title."""
    if not any(lane.moments for lane in lanes):
        return no_data(label, why_empty)
    height, right = 14 + len(lanes) * LANE + BOTTOM, TIMELINE_WIDTH - RIGHT
    x = Scale(start_ns, max(end_ns, start_ns + 1), LANE_LEFT, right)
    parts = []
    for row, lane in enumerate(lanes):
        at = 20 + row * LANE
        parts.append(across(at, "grid", LANE_LEFT, right))
        parts.append(text(LANE_LEFT - 10, at + 4, lane.name, "axis name", "end"))
        parts.extend(
            Markup("<g>{}<title>{}</title></g>").format(
                mark(m.shape, x.at(m.ts_ns), at, m.css), f"{moment_text(m.ts_ns)} UTC\n{m.words}"
            )
            for m in lane.moments
        )
        if not lane.moments:
            parts.append(text(LANE_LEFT + 6, at - 4, "none"))
    parts.extend(
        text(min(max(x.at(ts), LANE_LEFT + 12), right - 8), height - 8, words, "axis", "middle")
        for ts, words in time_ticks(start_ns, end_ns, 8)
    )
    return figure(label, Markup("").join(parts), height, TIMELINE_WIDTH)
