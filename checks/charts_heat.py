"""A heat map of correlations as SVG markup: the number stands in each cell, so that no colour has to be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from checks.charts import HEIGHT, WIDTH, figure, no_data, text

LEFT, TOP, RIGHT = 92, 26, 12
ROW_MAX = 44
STRONG_INK = 0.62  # beyond this the cell is dark, and its number light
FAINTEST = 0.06


def heat_map(
    label: str, names: Sequence[str], values: Mapping[tuple[str, str], float | None], why_empty: str = ""
) -> Markup:
    """Return a square of cells; `values` has each pair once. Negative cells are another colour and framed."""
    if len(names) < 2 or not any(v is not None for v in values.values()):  # a pair
        return no_data(label, why_empty)
    row = min(ROW_MAX, (HEIGHT - TOP - 8) // len(names))
    column = (WIDTH - LEFT - RIGHT) / len(names)
    parts = [text(LEFT + (i + 0.5) * column, TOP - 8, name, "axis name", "middle") for i, name in enumerate(names)]
    for i, first in enumerate(names):
        parts.append(text(LEFT - 8, TOP + (i + 0.5) * row + 4, first, "axis name", "end"))
        for j, second in enumerate(names):
            known = 1.0 if i == j else values.get((first, second), values.get((second, first)))
            parts.append(_cell(LEFT + j * column, TOP + i * row, column, row, known, f"{first} and {second}"))
    return figure(label, Markup("").join(parts), TOP + row * len(names) + 8)


def _cell(x: float, y: float, width: float, height: float, value: float | None, names: str) -> Markup:
    words = "no data" if value is None else f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")
    css = "heat none" if value is None else "heat low" if value < 0 else "heat high"
    shade = FAINTEST if value is None else max(FAINTEST, min(1.0, abs(value)))
    ink = "heat-word light" if value is not None and shade > STRONG_INK else "heat-word"
    box = Markup(
        '<rect class="{}" x="{}" y="{}" width="{}" height="{}" rx="3" fill-opacity="{}"><title>{}: {}</title></rect>'
    ).format(css, round(x + 1, 1), round(y + 1, 1), round(width - 2, 1), height - 2, round(shade, 2), names, words)
    return box + text(round(x + width / 2, 1), round(y + height / 2 + 4, 1), words, ink, "middle")
