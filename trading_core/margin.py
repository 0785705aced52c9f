"""Which margin window holds, who says so, and when it changes: told before and after, by venue time alone."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal, NamedTuple, TypeAlias

from trading_core.clock import MINUTE_NS
from trading_core.events import AccountRead, MarginTold, MarginWindowAnnounced
from trading_core.money import ZERO, Notional
from trading_core.us_calendar import margin_window

ANNOUNCED_MIN = (30, 15, 5, -5)  # minutes before a transition; the last is after it
LATE_NS = MINUTE_NS  # an announcement that is later than this is not made: it would name the wrong minute

Source: TypeAlias = Literal["venue", "calendar"]


class Held(NamedTuple):
    """The window that holds, when it ends, and by whose word."""

    window: str
    end_ns: int
    source: Source


class MarginWatch:
    """The venue's word as long as it holds, New York's calendar where the venue says nothing."""

    def __init__(self) -> None:
        self.reading: AccountRead | None = None  # the last one
        self._told: MarginTold | None = None  # since the last reading
        self.level = ""  # BASE, WARNING, DANGER or LIQUIDATION; the venue's last word
        self._venue: Held | None = None
        self._coming: Held | None = None
        self._past: Held | None = None
        self._announced: set[tuple[int, int]] = set()

    def read(self, account: AccountRead) -> None:
        """Take what the venue says; without an end it says which window holds, and the calendar until when."""
        self.reading, self._told, self.level = account, None, account.margin_level
        if not account.margin_window:
            self._venue = None
            return
        end_ns = account.margin_window_ends_ns or margin_window(account.ts_ns).end_ns
        self._venue = Held(account.margin_window, end_ns, "venue")

    def tell(self, told: MarginTold) -> bool:
        """Take what the venue pushes between two readings; tell whether the margin level is another one now."""
        self._told = told
        level = told.intraday_level if self.at(told.ts_ns).window == "INTRADAY" else told.overnight_level
        before, self.level = self.level, level
        return level != before

    def available(self) -> Notional | None:
        """Return the margin that is free: of reading and push the smaller one; None if neither tells of margin."""
        figures = [
            figure.margin_available for figure in (self.reading, self._told)
            if figure is not None and figure.margin_used + figure.margin_available > 0
        ]
        return min(figures, default=None)

    def at(self, now_ns: int) -> Held:
        """Return the window that holds now."""
        if self._venue is not None and now_ns < self._venue.end_ns:
            return self._venue
        calendar = margin_window(now_ns)
        return Held(calendar.window, calendar.end_ns, "calendar")

    def announce(self, now_ns: int) -> list[MarginWindowAnnounced]:
        """Return what is to be told of the window's end, each announcement once and in its own minute."""
        held = self.at(now_ns)
        if self._coming is not None and now_ns >= self._coming.end_ns:
            self._past = self._coming
            self._announced = {key for key in self._announced if key[0] == self._past.end_ns}
        self._coming = held
        due = [self._due(turn, minutes, now_ns) for turn in (self._past, held) if turn for minutes in ANNOUNCED_MIN]
        return [announcement for announcement in due if announcement is not None]

    def _due(self, turn: Held, minutes: int, now_ns: int) -> MarginWindowAnnounced | None:
        key, due_ns = (turn.end_ns, minutes), turn.end_ns - minutes * MINUTE_NS
        if key in self._announced or not due_ns <= now_ns < due_ns + LATE_NS:
            return None
        self._announced.add(key)
        return MarginWindowAnnounced(
            ts_ns=now_ns, minutes_left=minutes, transition_ns=turn.end_ns, window=turn.window,
            next_window=margin_window(turn.end_ns).window, source=turn.source,
        )


def utilization_of(used: Notional, available: Notional) -> Decimal:
    """Return the used share of the margin that there is; 1 if margin is used and there is none."""
    total = used + available
    return used / total if total > ZERO else Decimal(used > 0)
