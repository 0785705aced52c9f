"""The report's charts as images that stand alone: for pages, such as Prefect's, that have no style of ours."""

from __future__ import annotations

import base64
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from checks.report_charts import chart_sections
from checks.report_load import load_run

# What a person wants first; the report has them all.
SHOWN = ("Equity", "Drawdown", "Rejections by exact reason", "Order latency", "Timeline")


class ChartImage(NamedTuple):
    """A chart as a data URI of an SVG that needs nothing else."""

    title: str
    note: str
    uri: str


def chart_images(run_dir: Path) -> list[ChartImage]:
    """Return the first charts of a run's report; none for a run that left nothing to draw."""
    css = (files("checks") / "templates" / "report.css").read_text("utf-8")
    boxes = [box for section in chart_sections(load_run(run_dir)) for box in section.boxes if box.title in SHOWN]
    return [
        ChartImage(box.title, box.note, _uri(str(box.svg), css))
        for box in sorted(boxes, key=lambda box: SHOWN.index(box.title))
        if box.svg.startswith("<svg ")
    ]


def _uri(svg: str, css: str) -> str:
    head, rest = svg.split(">", 1)
    alone = (
        # Its own width is that of a phone, the page's is not.
        f'{head} xmlns="http://www.w3.org/2000/svg"><style>svg {{ background: var(--card); }}{css}'
        f".chart {{ font-size: 11px; }}</style>{rest}"
    )
    return "data:image/svg+xml;base64," + base64.b64encode(alone.encode()).decode()
