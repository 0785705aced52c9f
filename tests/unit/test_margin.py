"""Margin windows: by whose word they hold, and their changes told in the right minute, whatever the season."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.desk_builders import Market
from trading_core.clock import MINUTE_NS, NS, from_iso
from trading_core.events import AccountRead, MarginWindowAnnounced, SnapshotTaken
from trading_core.margin import MarginWatch
from trading_core.us_calendar import margin_window

# The transitions: an ordinary winter and summer day, and the Mondays after both changes of New York's clock.
TRANSITIONS = [
    ("2025-01-15T13:00:00Z", "OVERNIGHT", "INTRADAY"),
    ("2025-05-28T20:00:00Z", "INTRADAY", "OVERNIGHT"),
    ("2025-03-10T12:00:00Z", "OVERNIGHT", "INTRADAY"),  # the Friday before it was 13:00 UTC
    ("2025-11-03T13:00:00Z", "OVERNIGHT", "INTRADAY"),  # the Friday before it was 12:00 UTC
    ("2025-07-04T12:00:00Z", "OVERNIGHT", ""),  # a holiday: nothing opens, so nothing is told
]


def account(window: str, ends_ns: int | None, ts_ns: int) -> AccountRead:
    """Return what the venue says of its margin window."""
    zero = Decimal(0)
    return AccountRead(
        ts_ns=ts_ns, balances={}, positions={}, margin_used=zero, margin_available=zero, margin_window=window,
        open_orders=0, margin_window_ends_ns=ends_ns,
    )


@pytest.mark.parametrize(("moment", "window", "following"), TRANSITIONS)
@pytest.mark.parametrize("minutes", [30, 15, 5, -5])
def test_a_transition_is_told_in_its_own_minute_and_once(
    moment: str, window: str, following: str, minutes: int
) -> None:
    turn_ns, watch = from_iso(moment), MarginWatch()
    due_ns = turn_ns - minutes * MINUTE_NS
    if minutes < 0:
        watch.announce(turn_ns - NS)  # it saw the window before it ended
    before = watch.announce(due_ns - 1)
    told = watch.announce(due_ns)
    again = watch.announce(due_ns + MINUTE_NS // 2)
    assert (before, again) == ([], [])
    expected = [(minutes, turn_ns, window, following, "calendar")] if following else []
    assert [(a.minutes_left, a.transition_ns, a.window, a.next_window, a.source) for a in told] == expected


def test_an_announcement_that_is_a_minute_late_is_not_made() -> None:
    turn_ns, watch = from_iso("2025-05-28T20:00:00Z"), MarginWatch()
    assert watch.announce(turn_ns - 29 * MINUTE_NS) == []
    assert len(MarginWatch().announce(turn_ns - 29 * MINUTE_NS - 1)) == 1


@pytest.mark.parametrize(("edge_ns", "window"), [(-1, "OVERNIGHT"), (0, "INTRADAY"), (1, "INTRADAY")])
@pytest.mark.parametrize("opening", ["2025-03-07T13:00:00Z", "2025-03-10T12:00:00Z", "2025-10-31T12:00:00Z"])
def test_the_calendar_changes_at_the_minute(opening: str, edge_ns: int, window: str) -> None:
    assert margin_window(from_iso(opening) + edge_ns).window == window


def test_the_venues_word_goes_before_the_calendar_until_it_ends() -> None:
    watch, now_ns = MarginWatch(), from_iso("2025-05-28T15:00:00Z")
    assert watch.at(now_ns)[::2] == ("INTRADAY", "calendar")
    watch.read(account("OVERNIGHT", now_ns + 40 * MINUTE_NS, now_ns))
    assert watch.at(now_ns) == ("OVERNIGHT", now_ns + 40 * MINUTE_NS, "venue")
    [told] = watch.announce(now_ns + 10 * MINUTE_NS)
    assert (told.minutes_left, told.source) == (30, "venue")
    assert watch.at(now_ns + 40 * MINUTE_NS)[::2] == ("INTRADAY", "calendar")
    watch.read(account("", None, now_ns))
    assert watch.at(now_ns).source == "calendar"


@pytest.mark.parametrize(("said", "source"), [("INTRADAY", "venue"), ("", "calendar")])
def test_a_snapshot_says_who_named_its_margin_window(said: str, source: str) -> None:
    records = Market().account(margin_window=said).records
    [snapshot] = [r for r in records if isinstance(r, SnapshotTaken)]
    assert snapshot.margin_source == source
    assert snapshot.margin_window == (said or "OVERNIGHT")  # the tests' day is a holiday


def test_the_engine_tells_a_transition_from_venue_time_alone() -> None:
    market = Market()
    market.account(margin_window="")
    turn_ns = from_iso("2026-01-02T13:00:00Z")
    decisions = market.tick((turn_ns - market.now_ns) / NS - 15 * 60)
    assert [r.minutes_left for r in decisions.records if isinstance(r, MarginWindowAnnounced)] == [15]
