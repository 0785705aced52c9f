"""Axes for charts: round ticks, labels a person reads, and decimation that keeps every spike."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from trading_core.clock import NS, to_datetime

Point: TypeAlias = tuple[int, float | None]  # (ts_ns, value); None is a hole, never a zero

MINUS = "\N{MINUS SIGN}"
BUCKETS_MAX = 360  # two points each: finer than a pixel of the widest chart
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_TIME_STEPS_S = (
    1, 2, 5, 10, 15, 30, _MINUTE, 2 * _MINUTE, 5 * _MINUTE, 10 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE, _HOUR,
    2 * _HOUR, 4 * _HOUR, 6 * _HOUR, 12 * _HOUR, _DAY, 2 * _DAY, 7 * _DAY, 30 * _DAY,
)


def decimate(points: Sequence[Point], buckets: int = BUCKETS_MAX) -> list[Point]:
    """Return at most two points a bucket, its lowest and its highest, in order of time; holes stay holes."""
    if len(points) <= 2 * buckets:
        return list(points)
    start, end = points[0][0], points[-1][0]
    width = max(1, -(-(end - start + 1) // buckets))
    kept: list[Point] = []
    bucket: list[Point] = []
    edge = start + width
    for point in points:
        if point[0] >= edge:
            kept.extend(_extremes(bucket))
            bucket = []
            edge = start + ((point[0] - start) // width + 1) * width
        bucket.append(point)
    kept.extend(_extremes(bucket))
    return kept


def _extremes(bucket: Sequence[Point]) -> list[Point]:
    valued = [(ts, v) for ts, v in bucket if v is not None]
    if not valued:
        return list(bucket[:1])
    low = min(valued, key=lambda p: p[1])
    high = max(valued, key=lambda p: p[1])
    pair: list[Point] = sorted({low, high})
    if len(valued) < len(bucket):
        hole = next(p for p in bucket if p[1] is None)
        pair = sorted([*pair, hole], key=lambda p: p[0])
    return pair


def finite(values: Iterable[float | None]) -> list[float]:
    """Return the values that can be drawn."""
    return [v for v in values if v is not None and math.isfinite(v)]


def ticks(low: float, high: float, count: int = 5, step_min: float = 0.0) -> list[float]:
    """Return about `count` round values that span low to high, at least `step_min` apart."""
    if high <= low:
        pad = abs(low) * 0.1 or 1.0
        low, high = low - pad, high + pad
    step = max(step_min, _round_step((high - low) / max(1, count - 1)))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, last + 1)]


def _round_step(raw: float) -> float:
    power = 10.0 ** math.floor(math.log10(raw))
    return float(next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999))


def time_ticks(start_ns: int, end_ns: int, count: int = 6) -> list[tuple[int, str]]:
    """Return moments on the UTC clock with their labels; midnight shows the date."""
    span_s = max(1, (end_ns - start_ns) // NS)
    step_s = next((s for s in _TIME_STEPS_S if span_s / s <= count), _TIME_STEPS_S[-1])
    first = -(-start_ns // (step_s * NS))
    moments = range(first * step_s * NS, end_ns + 1, step_s * NS)
    return [(ts, _time_label(ts, step_s)) for ts in moments]


def _time_label(ts_ns: int, step_s: int) -> str:
    moment = to_datetime(ts_ns)
    if ts_ns // NS % _DAY == 0:
        return f"{moment.day} {moment:%b}"
    return f"{moment:%H:%M:%S}" if step_s < _MINUTE else f"{moment:%H:%M}"


def moment_text(ts_ns: int) -> str:
    """Return a moment for people, to the second: 2 Mar 2026 12:00:05."""
    moment = to_datetime(ts_ns)
    return f"{moment.day} {moment:%b %Y %H:%M:%S}"


def span_text(seconds: float) -> str:
    """Return a duration for people.

    >>> span_text(0.25), span_text(42), span_text(135), span_text(86400)
    ('250 ms', '42 s', '2 min 15 s', '24 h')
    """
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < _MINUTE:
        return f"{seconds:.3g} s"
    if seconds < _HOUR:
        minutes, rest = divmod(round(seconds), _MINUTE)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, rest = divmod(round(seconds / _MINUTE), _MINUTE)
    return f"{hours} h {rest} min" if rest else f"{hours} h"


@dataclass(frozen=True)
class Unit:
    """How a figure is written: sign, prefix, grouped digits, suffix; a logarithmic one shows ten to its power."""

    prefix: str = ""
    suffix: str = ""
    scale: float = 1
    is_log: bool = False

    def text(self, value: float, step: float = 0) -> str:
        """Return the figure; with a step, just as many decimals as tell neighbours apart.

        >>> USD.text(-248.4), USD.text(10000.0), USD.text(0.004), PERCENT.text(0.979), USD.text(9980.0, 0.5)
        ('−$248.40', '$10,000', '$0.004', '97.9%', '$9,980.0')
        """
        if not math.isfinite(value):
            return "beyond any scale"
        if self.is_log:
            return _power_of_ten(value)
        scaled = value * self.scale
        digits = _grouped(abs(scaled), step * self.scale, is_money=bool(self.prefix))
        sign = MINUS if scaled < 0 and any(c in "123456789" for c in digits) else ""
        return f"{sign}{self.prefix}{digits}{self.suffix}"


def _grouped(size: float, step: float, *, is_money: bool) -> str:
    if step > 0:
        return f"{size:,.{_decimals(step)}f}"
    if size == 0 or size >= 1000 or size == int(size):
        return f"{size:,.0f}"
    if is_money:
        return f"{size:,.2f}" if size >= 0.01 else f"{size:.2g}"
    return f"{size:.3g}"


def _decimals(step: float) -> int:
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    return places + (0 if math.isclose(round(step, places), step, rel_tol=1e-6) else 1)


def _power_of_ten(value: float) -> str:
    if abs(value) > 5:
        return f"1e{value:+.0f}"
    return f"{10 ** value:,.0f}" if value >= 0 and value == int(value) else f"{10 ** value:.3g}"


NUMBER = Unit()
USD = Unit(prefix="$")
PERCENT = Unit(suffix="%", scale=100)
MILLISECONDS = Unit(suffix=" ms")
SECONDS = Unit(suffix=" s")
BPS = Unit(suffix=" bps")
POWER_OF_TEN = Unit(is_log=True)
