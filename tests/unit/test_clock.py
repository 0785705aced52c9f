"""Time is an integer of nanoseconds; two clocks with one anchor agree, a virtual one only moves when told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_core.clock import NS, SystemClock, VirtualClock, from_iso, iso, to_datetime, to_ns, wall_now_ns

LAST_S = 253_402_300_799  # 9999-12-31T23:59:59Z
EPOCH_NS = 0


@given(st.integers(min_value=-62_135_596_800 * NS, max_value=LAST_S * NS))
def test_iso_text_reads_back_to_the_microsecond(ts_ns: int) -> None:
    assert from_iso(iso(ts_ns)) == ts_ns // 1000 * 1000
    assert to_ns(to_datetime(ts_ns)) == ts_ns // 1000 * 1000


@pytest.mark.parametrize(
    ("text", "ts_ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00", 0),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("1970-01-01T00:00:00.1234567899Z", 123_456_789),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T19:00:00-05:00", 0),
        ("1969-12-31T19:00:00.25-05:00", 250_000_000),
        ("1970-01-01t00:00:00z", 0),
        ("0001-01-01T00:00:00Z", -62_135_596_800 * NS),  # what the venue sends for "never"
    ],
)
def test_every_form_of_rfc_3339_is_read(text: str, ts_ns: int) -> None:
    assert from_iso(text) == ts_ns


@pytest.mark.parametrize(
    "text", ["", "now", "2026-01-01", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00.1_0Z", "2026-13-01T00:00:00Z",
             "2026-01-01T00:00:00ZZ", "2026-01-01T25:00:00Z"]
)
def test_text_that_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # the calendar's own sentences differ
        from_iso(text)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="say UTC"):
        to_ns(datetime(2026, 1, 1))  # noqa: DTZ001  # the point of the test


def test_other_zones_count_as_the_same_moment() -> None:
    eastern = timezone(timedelta(hours=-5))
    assert to_ns(datetime(2026, 1, 1, 7, tzinfo=eastern)) == to_ns(datetime(2026, 1, 1, 12, tzinfo=UTC))


@pytest.mark.parametrize("speed", [0.5, 1.0, 60.0, 1440.0])
def test_two_clocks_with_one_anchor_and_speed_agree(speed: float) -> None:
    anchor_ns = wall_now_ns() - 3600 * NS
    first, second = SystemClock(speed, anchor_ns), SystemClock(speed, anchor_ns)

    before, middle, after = first.now_ns(), second.now_ns(), first.now_ns()

    assert before <= middle <= after
    assert before >= anchor_ns + int(3600 * speed) * NS


def test_a_clock_at_speed_one_is_the_wall_clock_to_the_nanosecond() -> None:
    clock = SystemClock(1.0, EPOCH_NS)
    before, now, after = wall_now_ns(), clock.now_ns(), wall_now_ns()
    assert before <= now <= after


def test_a_clock_far_from_its_anchor_keeps_the_last_digits() -> None:
    clock = SystemClock(1.0, EPOCH_NS)
    # A float of so many nanoseconds would be a multiple of 256.
    assert any(clock.now_ns() % 256 for _ in range(50))


def test_waiting_ends_at_or_after_the_deadline() -> None:
    clock = SystemClock(1440.0)
    deadline_ns = clock.now_ns() + 10 * NS
    clock.wait_until(deadline_ns)
    assert clock.now_ns() >= deadline_ns


def test_waiting_for_the_past_returns_at_once() -> None:
    clock = SystemClock()
    started = clock.stopwatch_ns()
    clock.wait_until(clock.now_ns() - NS)
    assert clock.stopwatch_ns() - started < NS


@pytest.mark.parametrize("speed", [0.0, -1.0, 1440.5, float("nan")])
def test_a_speed_out_of_range_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="out of range"):
        SystemClock(speed)


def test_a_virtual_clock_stands_until_it_is_moved_and_never_goes_back() -> None:
    clock = VirtualClock(100)
    assert (clock.now_ns(), clock.now_ns()) == (100, 100)
    clock.wait_until(500)
    clock.wait_until(200)
    assert (clock.now_ns(), clock.stopwatch_ns()) == (500, 500)
