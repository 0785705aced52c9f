"""The margin windows of US futures on the New York clock: intraday 8 to 16 h on weekdays that are no market holiday.

The local exchange goes by it, and a session does where the venue does not say which window holds.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from enum import StrEnum
from functools import cache
from zoneinfo import ZoneInfo

import msgspec

from trading_core.clock import to_datetime, to_ns

NEW_YORK = ZoneInfo("America/New_York")
OPENS, CLOSES = time(8), time(16)
SATURDAY = 5


class MarginWindowType(StrEnum):
    """The margin window, without the wire's two prefixes."""

    INTRADAY = "INTRADAY"
    OVERNIGHT = "OVERNIGHT"
    WEEKEND = "WEEKEND"
    TRANSITION = "TRANSITION"


class MarginWindow(msgspec.Struct, frozen=True):
    """A margin window and when it ends."""

    window: MarginWindowType
    end_ns: int


def margin_window(ts_ns: int) -> MarginWindow:
    """Return the window at a moment and when it ends."""
    local = to_datetime(ts_ns).astimezone(NEW_YORK)
    today = local.date()
    if is_trading_day(today):
        if local.time() < OPENS:
            return MarginWindow(MarginWindowType.OVERNIGHT, _at(today, OPENS))
        if local.time() < CLOSES:
            return MarginWindow(MarginWindowType.INTRADAY, _at(today, CLOSES))
    following = today + timedelta(days=1)
    while not is_trading_day(following):
        following += timedelta(days=1)
    is_weekend = today.weekday() >= SATURDAY or (today.weekday() == SATURDAY - 1 and following.weekday() == 0)
    kind = MarginWindowType.WEEKEND if is_weekend else MarginWindowType.OVERNIGHT
    return MarginWindow(kind, _at(following, OPENS))


def is_trading_day(day: date) -> bool:
    """Tell whether the day has an intraday window."""
    return day.weekday() < SATURDAY and day not in holidays(day.year)


@cache
def holidays(year: int) -> frozenset[date]:
    """Return the market holidays of a year, moved to the weekday on which they are kept."""
    fixed = (date(year, 1, 1), date(year, 6, 19), date(year, 7, 4), date(year, 12, 25))
    return frozenset(
        {
            *(_observed(day) for day in fixed),
            _nth_monday(year, 1, 3),
            _nth_monday(year, 2, 3),
            _easter(year) - timedelta(days=2),
            _last_monday_of_may(year),
            _nth_monday(year, 9, 1),
            _fourth_thursday_of_november(year),
        }
    )


def _at(day: date, moment: time) -> int:
    return to_ns(datetime.combine(day, moment, NEW_YORK))


def _observed(day: date) -> date:
    return day + timedelta(days={5: -1, 6: 1}.get(day.weekday(), 0))


def _nth_monday(year: int, month: int, n: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=-first.weekday() % 7 + 7 * (n - 1))


def _last_monday_of_may(year: int) -> date:
    last = date(year, 5, 31)
    return last - timedelta(days=last.weekday())


def _fourth_thursday_of_november(year: int) -> date:
    first = date(year, 11, 1)
    return first + timedelta(days=(3 - first.weekday()) % 7 + 21)


def _easter(year: int) -> date:
    """Return Easter Sunday (Gregorian computus, after Oudin)."""
    golden, century = year % 19, year // 100
    epact = (century - century // 4 - (8 * century + 13) // 25 + 19 * golden + 15) % 30
    epact -= epact // 28 * (1 - epact // 28 * (29 // (epact + 1)) * ((21 - golden) // 11))
    weekday = (year + year // 4 + epact + 2 - century + century // 4) % 7
    offset = epact - weekday
    month = 3 + (offset + 40) // 44
    return date(year, month, offset + 28 - 31 * (month // 4))
