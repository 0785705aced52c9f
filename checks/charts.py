"""Charts as SVG markup: pure functions, every text escaped, colour never the only sign.

Colours, fonts and stripes come from templates/report.css by class, so that one chart serves light, dark and print.
Each series has its own mark (circle, square, triangle, …) besides its colour. Empty data says so in the chart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from checks.charts_scale import (
    NUMBER,
    Point,
    Unit,
    decimate,
    finite,
    moment_text,
    ticks,
    time_ticks,
)

WIDTH, HEIGHT = 480, 220
LEFT, RIGHT, TOP, BOTTOM = 74, 16, 14, 28
SERIES_MAX = 8  # colours and marks to tell apart; a caller with more must choose
HOVER_COLUMNS = 48
MARKS_PER_SERIES = 5
CHARACTER = 7  # the width of one, about


@dataclass(frozen=True)
class Series:
    """A named line; points in order of time, None where nothing is known."""

    name: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Limit:
    """A dashed line at a limit. One that is not `always` shown is named at the edge when it is far off."""

    value: float
    label: str
    always: bool = True


@dataclass(frozen=True)
class Band:
    """A shaded stretch of time."""

    start_ns: int
    end_ns: int
    label: str


@dataclass(frozen=True)
class Scale:
    """Data to pixels, both ways of one axis."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Return the pixel of a value, to a tenth."""
        share = (value - self.low) / ((self.high - self.low) or 1)
        return round(self.start + share * (self.end - self.start), 1)


def figure(label: str, body: Markup, height: int = HEIGHT, width: int = WIDTH) -> Markup:
    """Return an SVG with an accessible name."""
    return Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        width, height, label, body
    )


def no_data(label: str, why: str = "") -> Markup:
    """Return a chart that says that there is no data, and why."""
    body = Markup('<rect class="void" x="1" y="1" width="{}" height="88" rx="6"/>').format(WIDTH - 2)
    body += text(WIDTH / 2, 42, "no data", "void-word", "middle")
    return figure(f"{label}: no data", body + text(WIDTH / 2, 64, why, "axis", "middle"), 90)


def text(x: float, y: float, words: str, css: str = "axis", anchor: str = "start") -> Markup:
    """Return an escaped text element."""
    return Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>').format(css, x, y, anchor, words)


def line_chart(
    label: str,
    series: Sequence[Series],
    *,
    unit: Unit = NUMBER,
    limits: Sequence[Limit] = (),
    bands: Sequence[Band] = (),
    is_filled: bool = False,
    is_stepped: bool = False,
    from_zero: bool = False,
    counted: str = "",
    why_empty: str = "",
) -> Markup:
    """Return lines over UTC time, or over a count of `counted` (then the points carry the number as their time).

    Spikes survive decimation, holes stay open.
    """
    drawn = [Series(s.name, decimate(s.points)) for s in series[:SERIES_MAX] if finite(v for _, v in s.points)]
    if not drawn:
        return no_data(label, why_empty)
    moments = [ts for s in drawn for ts, _ in s.points]
    x = Scale(min(moments), max(max(moments), min(moments) + 1), LEFT, WIDTH - RIGHT)
    marks, kept, off = _y_axis(drawn, limits, from_zero=from_zero, step_min=1.0 if unit.is_log else 0.0)
    y = Scale(marks[0], marks[-1], HEIGHT - BOTTOM, TOP)
    below = _count_axis(x, counted) if counted else _time_axis(x)
    parts = [_bands(bands, x), _grid(marks, y, unit), below]
    for number, s in enumerate(drawn):
        parts.append(_line(s, number, x, y, is_filled=is_filled, is_stepped=is_stepped, is_alone=len(drawn) == 1))
    parts.extend(_limit(limit, y) for limit in kept)
    parts.extend(_off_scale(limit, y, row) for row, limit in enumerate(off))
    parts.append(_hover(drawn, x, unit, counted))
    return figure(label, Markup("").join(parts))


def _y_axis(
    series: Sequence[Series], limits: Sequence[Limit], *, from_zero: bool, step_min: float
) -> tuple[list[float], list[Limit], list[Limit]]:
    values = finite(v for s in series for _, v in s.points)
    low, high = min(values), max(values)
    if from_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    span = high - low
    kept = [li for li in limits if li.always or (span and low - 3 * span <= li.value <= high + 3 * span)]
    low, high = min([low, *(li.value for li in kept)]), max([high, *(li.value for li in kept)])
    return ticks(low, high, step_min=step_min), kept, [li for li in limits if li not in kept]


def across(y: float, css: str = "grid", left: float = LEFT, right: float = WIDTH - RIGHT) -> Markup:
    """Return a line over the width of the plot."""
    return Markup('<line class="{0}" x1="{1}" x2="{2}" y1="{3}" y2="{3}"/>').format(css, left, right, y)


def _grid(marks: Sequence[float], y: Scale, unit: Unit) -> Markup:
    step = marks[1] - marks[0]
    return Markup("").join(
        across(y.at(m)) + text(LEFT - 6, y.at(m) + 4, unit.text(m, step), "axis", "end") for m in marks
    )


def _time_axis(x: Scale) -> Markup:
    return _axis_below(x, [(float(ts), words) for ts, words in time_ticks(int(x.low), int(x.high))])


def _count_axis(x: Scale, counted: str) -> Markup:
    inside = [n for n in ticks(x.low, x.high, 6) if x.low <= n <= x.high and n == int(n)]
    words = text(WIDTH - RIGHT, HEIGHT - BOTTOM - 6, counted, "axis", "end")
    return _axis_below(x, [(n, f"{n:,.0f}") for n in inside]) + words


def _axis_below(x: Scale, labels: Sequence[tuple[float, str]]) -> Markup:
    base = HEIGHT - BOTTOM
    parts = [across(base, "base")]
    for value, words in labels:
        at = x.at(value)
        parts.append(Markup('<line class="base" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>').format(at, base, base + 4))
        parts.append(text(min(at, WIDTH - RIGHT - 8), base + 18, words, "axis", "middle"))
    return Markup("").join(parts)


def _bands(bands: Sequence[Band], x: Scale) -> Markup:
    parts = []
    for band in bands:
        left, right = x.at(max(band.start_ns, x.low)), x.at(min(band.end_ns, x.high))
        if right <= left:
            continue
        parts.append(
            Markup('<rect class="band" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>').format(
                left, TOP, round(right - left, 1), HEIGHT - TOP - BOTTOM, band.label
            )
        )
        if right - left > CHARACTER * len(band.label):
            parts.append(text(left + 4, HEIGHT - BOTTOM - 6, band.label, "band-word"))
    return Markup("").join(parts)


def _line(
    s: Series, number: int, x: Scale, y: Scale, *, is_filled: bool, is_stepped: bool, is_alone: bool
) -> Markup:
    runs = _runs(s.points)
    parts = []
    for run in runs:
        path = _path(run, x, y, is_stepped=is_stepped)
        if is_filled and is_alone and len(run) > 1:
            floor = y.at(min(max(0.0, y.low), y.high))
            area = f"{path}L{x.at(run[-1][0])} {floor}L{x.at(run[0][0])} {floor}Z"
            parts.append(Markup('<path class="f{}" d="{}"/>').format(number, area))
        parts.append(Markup('<path class="line s{}" d="{}"/>').format(number, path))
        if len(run) == 1:
            parts.append(mark(number, x.at(run[0][0]), y.at(run[0][1])))
    if not is_alone:
        parts.extend(_marks([p for run in runs for p in run], number, x, y))
    return Markup("").join(parts)


def _runs(points: Sequence[Point]) -> list[list[tuple[int, float]]]:
    runs: list[list[tuple[int, float]]] = [[]]
    for ts, value in points:
        if value is not None and math.isfinite(value):
            runs[-1].append((ts, value))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _path(run: Sequence[tuple[int, float]], x: Scale, y: Scale, *, is_stepped: bool) -> str:
    first = f"M{x.at(run[0][0])} {y.at(run[0][1])}"
    if is_stepped:
        return first + "".join(f"H{x.at(ts)}V{y.at(v)}" for ts, v in run[1:])
    return first + "".join(f"L{x.at(ts)} {y.at(v)}" for ts, v in run[1:])


def _marks(points: Sequence[tuple[int, float]], number: int, x: Scale, y: Scale) -> list[Markup]:
    every = max(1, len(points) // MARKS_PER_SERIES)
    chosen = points[number * every // SERIES_MAX + every // 4 :: every] or points[-1:]
    return [mark(number, x.at(ts), y.at(v)) for ts, v in chosen]


def mark(number: int, x: float, y: float, css: str = "") -> Markup:
    """Return the mark of the series with this number: the shape that tells it apart without colour."""
    shapes = (
        "M-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0Z",  # circle
        "M-3.2-3.2h6.4v6.4h-6.4Z",  # square
        "M0-4L4 3.2H-4Z",  # triangle up
        "M0-4.4L4.4 0L0 4.4L-4.4 0Z",  # diamond
        "M0 4L4-3.2H-4Z",  # triangle down
        "M-4-1.3h2.7v-2.7h2.6v2.7h2.7v2.6h-2.7v2.7h-2.6v-2.7h-2.7Z",  # cross
        "M-4-2h8v4h-8Z",  # bar lying
        "M-2-4h4v8h-4Z",  # bar standing
    )
    return Markup('<path class="mark {}" transform="translate({} {})" d="{}"/>').format(
        css or f"m{number}", x, y, shapes[number % SERIES_MAX]
    )


def swatch(number: int, css: str = "") -> Markup:
    """Return the small picture of a series for a legend: its line with its mark; with a class, its mark alone."""
    line = "" if css else Markup('<path class="line s{}" d="M1 6H25"/>').format(number)
    return Markup('<svg class="swatch" viewBox="0 0 26 12" aria-hidden="true">{}{}</svg>').format(
        line, mark(number, 13, 6, css)
    )


def _limit(limit: Limit, y: Scale) -> Markup:
    at = y.at(limit.value)
    above = at - 5 if at > TOP + 14 else at + 14
    return across(at, "limit") + text(WIDTH - RIGHT - 2, above, limit.label, "limit-word", "end")


def _off_scale(limit: Limit, y: Scale, row: int) -> Markup:
    is_above = limit.value > y.high
    at = TOP + 10 + 13 * row if is_above else HEIGHT - BOTTOM - 6 - 13 * row
    arrow = "\N{UPWARDS ARROW}" if is_above else "\N{DOWNWARDS ARROW}"
    return text(WIDTH - RIGHT - 2, at, f"{arrow} {limit.label}, off this scale", "limit-word", "end")


def _hover(series: Sequence[Series], x: Scale, unit: Unit, counted: str) -> Markup:
    """Invisible columns whose titles give the values there: a reading without any script."""
    moments = sorted({ts for s in series for ts, _ in s.points})
    chosen = moments[:: max(1, len(moments) // HOVER_COLUMNS)]
    values = [dict(s.points) for s in series]
    width = round((WIDTH - LEFT - RIGHT) / max(1, len(chosen)), 1)
    parts = []
    for ts in chosen:
        readings = [
            f"{s.name} {unit.text(v)}"
            for s, by_time in zip(series, values, strict=True)
            if (v := by_time.get(ts)) is not None and math.isfinite(v)
        ]
        parts.append(
            Markup('<rect class="hit" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>').format(
                max(LEFT, round(x.at(ts) - width / 2, 1)), TOP, width, HEIGHT - TOP - BOTTOM,
                "\n".join([f"{ts:,} {counted}" if counted else f"{moment_text(ts)} UTC", *(readings or ["no data"])]),
            )
        )
    return Markup("").join(parts)
