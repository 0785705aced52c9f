"""From an artifact's JSON to a flat frame: numbers as floats, times as integers, one row for each row of the file.

The frame is only what Great Expectations looks at. What a finding shows is taken from the file's own rows by `row`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from checks.columns import NUMBERS, OPTIONAL_NUMBERS
from trading_core.artifacts import ArtifactName
from trading_core.clock import from_iso

Row = Mapping[str, Any]


def frame_of(name: ArtifactName, rows: list[Row]) -> pd.DataFrame:
    """Return the frame of an artifact's rows; a member that a row lacks is null, one that all lack is no column."""
    flat = [_trace(row) if name is ArtifactName.EXECUTION_LOGS else dict(row) for row in rows]
    frame = pd.DataFrame(flat)
    if frame.empty:
        return frame
    for column in (*NUMBERS[name], *OPTIONAL_NUMBERS.get(name, ())):
        if column in frame:
            frame[column] = pd.to_numeric(frame[column], errors="coerce").astype(float)
    if {"drift", "is_quiescent"} <= set(frame):  # drift says nothing while a fill is on its way: null then
        frame["quiet_drift"] = frame["drift"].where(frame["is_quiescent"] == True)  # noqa: E712  # may hold nulls
    if "ts" in frame:
        frame["ts_s"] = [_seconds(value) for value in frame.pop("ts")]
    nested = [c for c in frame if any(isinstance(value, dict | list) for value in frame[c])]
    frame = frame.drop(columns=nested)
    frame.insert(0, "row", range(len(frame)))
    return frame


def _seconds(value: object) -> float | None:
    try:
        return from_iso(str(value)) / 1e9
    except ValueError:
        return None


def _trace(row: Row) -> dict[str, Any]:
    """Return one decision trace as flat columns."""
    sent, answers = row.get("submit"), [a for a in _dicts(row.get("answers")) if a.get("latency_ms") is not None]
    size, filled = _number(row.get("size")), sum(_number(fill.get("size")) for fill in _dicts(row.get("fills")))
    scalars = {key: value for key, value in row.items() if not isinstance(value, dict | list)}
    return {
        **scalars,
        "client_order_id": row.get("client_order_id") or None,  # null unless it was sent: nulls are not compared
        "submit_seq": sent.get("seq") if isinstance(sent, dict) else None,
        "answer_seq": answers[0].get("seq") if answers else None,
        "latency_ms": answers[0]["latency_ms"] if answers else None,
        "filled": filled,
        "left": size - filled if isinstance(sent, dict) else None,
    }


def _dicts(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return float("nan")
