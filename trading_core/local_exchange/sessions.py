"""When futures trade: around the clock but for maintenance, or in regular New York hours with a daily break."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import NamedTuple

import msgspec

from trading_core.clock import NS, to_datetime, to_ns
from trading_core.local_exchange.catalogue import Listing
from trading_core.local_exchange.config import ExchangeConfig
from trading_core.products import ProductType
from trading_core.us_calendar import NEW_YORK

PRE_OPEN_NS, NO_CANCEL_NS = 600 * NS, 30 * NS
BREAK_FROM, BREAK_TO = time(17), time(18)  # Monday to Thursday; from Friday it lasts until Sunday
FRIDAY = 4
LOOK_AHEAD_DAYS = 8


class SessionState(StrEnum):
    """The state of a trading session, without the wire's prefix."""

    OPEN = "OPEN"
    CLOSE = "CLOSE"
    PRE_OPEN = "PRE_OPEN"
    PRE_OPEN_NO_CANCEL = "PRE_OPEN_NO_CANCEL"

    @property
    def is_open(self) -> bool:
        """Tell whether orders match."""
        return self is SessionState.OPEN


class Span(NamedTuple):
    """A time without trading, and the wire's reason."""

    start_ns: int
    end_ns: int
    reason: str


class Session(msgspec.Struct, frozen=True):
    """A product's session now; `closed` is the present or, while open, the next known time without trading."""

    state: SessionState
    closed: Span | None


class Sessions:
    """The sessions of all products. Spot knows only the maintenance that a fault plan wants."""

    def __init__(self, config: ExchangeConfig, listings: Mapping[str, Listing]) -> None:
        self._planned = [Span(m.start_ns, m.end_ns, "EXCHANGE_MAINTENANCE") for m in config.maintenance]
        self._faulty: list[Span] = []
        self._regular = frozenset(config.regular_hours_products)
        self._futures = frozenset(
            name for name, row in listings.items() if row.product.product_type is ProductType.FUTURE
        )

    def halt_all(self, start_ns: int, end_ns: int) -> None:
        """Let no product trade between the two moments: a fault. It replaces an earlier one."""
        self._faulty = [Span(start_ns, end_ns, "EXCHANGE_MAINTENANCE")]

    def at(self, product_id: str, ts_ns: int) -> Session:
        """Return the product's session at a moment."""
        spans = sorted(self._spans(product_id, ts_ns))
        inside = [span for span in spans if span.start_ns <= ts_ns < span.end_ns]
        if not inside:
            return Session(SessionState.OPEN, next((s for s in spans if s.start_ns > ts_ns), None))
        span = max(inside, key=lambda s: s.end_ns)
        left_ns = span.end_ns - ts_ns
        state = SessionState.PRE_OPEN if left_ns <= PRE_OPEN_NS else SessionState.CLOSE
        return Session(SessionState.PRE_OPEN_NO_CANCEL if left_ns <= NO_CANCEL_NS else state, span)

    def next_change_ns(self, product_id: str, ts_ns: int) -> int | None:
        """Return when the state of the product's session next changes; None if it never does."""
        session = self.at(product_id, ts_ns)
        span = session.closed
        if span is None:
            return None
        moments = (span.start_ns, span.end_ns - PRE_OPEN_NS, span.end_ns - NO_CANCEL_NS, span.end_ns)
        return min((moment for moment in moments if moment > ts_ns), default=None)

    def _spans(self, product_id: str, ts_ns: int) -> Iterable[Span]:
        yield from self._faulty
        if product_id in self._futures:
            yield from self._planned
        if product_id in self._regular:
            today = to_datetime(ts_ns).astimezone(NEW_YORK).date()
            for days in range(-3, LOOK_AHEAD_DAYS):
                yield from _break_of(today + timedelta(days=days))


def _break_of(day: date) -> Iterable[Span]:
    if day.weekday() > FRIDAY:
        return
    until = day + timedelta(days=2 if day.weekday() == FRIDAY else 0)
    start, end = datetime.combine(day, BREAK_FROM, NEW_YORK), datetime.combine(until, BREAK_TO, NEW_YORK)
    yield Span(to_ns(start), to_ns(end), "REGULAR_MARKET_CLOSE")
