"""The only place that reads or waits for time. Times are integers: nanoseconds since the epoch, UTC."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

NS = 1_000_000_000
MINUTE_NS = 60 * NS
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)?", re.ASCII | re.IGNORECASE
)


class Clock(Protocol):
    """What the time is at the venue, and waiting for it."""

    speed: float

    def now_ns(self) -> int:
        """Return venue time in nanoseconds since the epoch, UTC."""
        ...

    def wait_until(self, deadline_ns: int) -> None:
        """Return once venue time is at or past the deadline."""
        ...

    def stopwatch_ns(self) -> int:
        """Return a monotonic reading: the difference of two is a duration, real or (virtual clock) modelled."""
        ...


class SystemClock:
    """The machine's clock, running `speed` times as fast from an anchor on.

    Two processes with the same anchor and speed agree on the time. At speed 1 it is the wall clock.
    """

    def __init__(self, speed: float = 1.0, anchor_ns: int | None = None) -> None:
        if not 0 < speed <= 1440:
            raise ValueError(f"speed {speed} is out of range: choose above 0 and at most 1440")
        self.speed = speed
        # Integers throughout: a float of nanoseconds since 1970 is off by hundreds of them.
        self._numerator, self._denominator = speed.as_integer_ratio()
        self.anchor_ns = time.time_ns() if anchor_ns is None else anchor_ns

    def now_ns(self) -> int:
        """Return venue time in nanoseconds since the epoch, UTC."""
        return self.at(time.time_ns())

    def at(self, wall_ns: int) -> int:
        """Return venue time at a moment of the machine."""
        return self.anchor_ns + (wall_ns - self.anchor_ns) * self._numerator // self._denominator

    def wait_until(self, deadline_ns: int) -> None:
        """Sleep until venue time reaches the deadline."""
        while (left_ns := deadline_ns - self.now_ns()) > 0:
            time.sleep(left_ns / NS / self.speed)

    def stopwatch_ns(self) -> int:
        """Return real monotonic nanoseconds, whatever the speed."""
        return time.perf_counter_ns()


class VirtualClock:
    """A clock that stands until it is moved: for the simulated venue and for tests."""

    speed = 1.0

    def __init__(self, start_ns: int) -> None:
        self._now_ns = start_ns

    def now_ns(self) -> int:
        """Return the virtual time in nanoseconds since the epoch, UTC."""
        return self._now_ns

    def wait_until(self, deadline_ns: int) -> None:
        """Move to the deadline at once; never backwards."""
        self._now_ns = max(self._now_ns, deadline_ns)

    def stopwatch_ns(self) -> int:
        """Return the virtual time: durations are what the simulation models."""
        return self._now_ns


def wall_now_ns() -> int:
    """Return the machine's wall clock in nanoseconds: for tokens and provenance, never for trading."""
    return time.time_ns()


def pause(seconds: float) -> None:
    """Sleep for real seconds: for polling a process or a port outside the trading loop."""
    time.sleep(seconds)


def to_datetime(ts_ns: int) -> datetime:
    """Return the aware UTC datetime, cut to microseconds."""
    return datetime.fromtimestamp(ts_ns // NS, UTC) + timedelta(microseconds=ts_ns % NS // 1000)


def to_ns(moment: datetime) -> int:
    """Return nanoseconds since the epoch of an aware datetime."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone: say UTC")
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * NS + delta.microseconds * 1000


def iso(ts_ns: int) -> str:
    """Return RFC 3339 with microseconds and Z.

    >>> iso(0)
    '1970-01-01T00:00:00.000000Z'
    """
    # Not strftime: its %Y has no leading zeros, and the venue's "never" is the year 1.
    return to_datetime(ts_ns).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def from_iso(text: str) -> int:
    """Return nanoseconds since the epoch of an RFC 3339 time; no zone means UTC, digits past the ninth are cut.

    Raises ValueError for anything else.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an RFC 3339 time")
    seconds, fraction, zone = match.groups()
    base = datetime.fromisoformat(seconds + (zone or "Z").upper())
    return to_ns(base) + int((fraction or "0").ljust(9, "0"))
