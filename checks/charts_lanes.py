"""One strip for each series as SVG markup: what would hide each other in one chart stands below each other."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from checks.charts import RIGHT, WIDTH, Scale, Series, across, figure, no_data, text
from checks.charts_scale import Point, Unit, finite, moment_text, time_ticks

LEFT, TOP, BOTTOM, STRIP = 92, 16, 26, 44


def strips(label: str, series: Sequence[Series], *, unit: Unit, why_empty: str = "") -> Markup:
    """Return upright bars around zero, one strip a series, all on one scale: above zero plain, below it striped."""
    known = finite(v for s in series for _, v in s.points)
    if not known:
        return no_data(label, why_empty)
    most = max(abs(v) for v in known) or 1.0
    moments = [ts for s in series for ts, _ in s.points]
    x = Scale(min(moments), max(max(moments), min(moments) + 1), LEFT, WIDTH - RIGHT)
    below = any(v < 0 for v in known)
    height = TOP + STRIP * len(series) + BOTTOM
    parts = [_PATTERN, text(WIDTH - RIGHT, TOP - 5, f"each strip reaches {unit.text(most)}", "axis", "end")]
    for row, s in enumerate(series):
        top = TOP + row * STRIP
        zero = top + STRIP / 2 if below else top + STRIP - 4
        scale = Scale(0, most, zero, top + 4)
        worst = max((abs(v) for _, v in s.points if v is not None), default=0.0)
        parts.append(across(zero, "base", LEFT) + text(LEFT - 8, zero - 8, s.name, "axis name", "end"))
        parts.append(text(LEFT - 8, zero + 5, f"up to {unit.text(worst)}", "axis", "end"))
        parts.append(_bars(s.points, x, scale, unit))
    for ts, words in time_ticks(int(x.low), int(x.high)):
        parts.append(text(min(x.at(ts), WIDTH - RIGHT - 8), height - 8, words, "axis", "middle"))
    return figure(label, Markup("").join(parts), height)


_PATTERN = Markup(
    '<defs><pattern id="short" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect class="stripe-base" width="6" height="6"/><rect class="stripe" width="3" height="6"/></pattern></defs>'
)


def _bars(points: Sequence[Point], x: Scale, y: Scale, unit: Unit) -> Markup:
    width = max(0.8, round((x.end - x.start) / max(1, len(points)) * 0.8, 1))
    parts = []
    for ts, value in points:
        if not value:
            continue
        ends = sorted((y.at(0), y.at(value)))
        parts.append(Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>').format(
            "short" if value < 0 else "bin", round(x.at(ts) - width / 2, 1), ends[0], width,
            round(max(0.6, ends[1] - ends[0]), 1), f"{moment_text(ts)} UTC: {unit.text(value)}",
        ))
    return Markup("").join(parts)
