"""The bounded queue between the stream's thread and the session's: full is said aloud, never dropped silently."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from trading_core.clock import NS, Clock
from trading_core.events import MARKET, AnyEvent, StreamChanged, StreamState, TouchQuoted

INBOX_EVENTS_MAX = 10_000  # 60 s of four busy books; a session that far behind must not trade on it

DROPPED = (*MARKET, TouchQuoted)  # when the inbox is full: what the snapshots after the gap bring again


class Inbox:
    """Events in the order in which they arrived. `put` from any thread, `take` from the session's."""

    def __init__(
        self, clock: Clock, tighten: Callable[[str], None], events_max: int = INBOX_EVENTS_MAX
    ) -> None:
        self._clock = clock
        self._tighten = tighten
        self._events_max = events_max
        self._events: deque[AnyEvent] = deque()
        self._arrived = threading.Condition()

    def put(self, events: Sequence[AnyEvent]) -> bool:
        """Add events; False if the inbox was full.

        Then market data is gone, a GAP says so, everything that is told once is kept, and the trading state is
        tightened: the connection must start again from snapshots.
        """
        with self._arrived:
            has_room = len(self._events) + len(events) <= self._events_max
            if has_room:
                self._events.extend(events)
            else:
                kept = (e for e in (*self._events, *events) if not isinstance(e, DROPPED))
                gap = StreamChanged(
                    ts_ns=self._clock.now_ns(), state=StreamState.GAP,
                    detail=f"inbox full ({self._events_max} events): the session is too slow",
                )
                # Bounded even if nobody ever takes: after a gap orders are read again over REST anyway.
                self._events = deque([*kept, gap], maxlen=self._events_max)
            self._arrived.notify()
        if not has_room:
            self._tighten(f"inbox full ({self._events_max} events)")
        return has_room

    def take(self, deadline_ns: int) -> list[AnyEvent]:
        """Return everything that is there; wait until something is, or until venue time is at the deadline."""
        with self._arrived:
            while not self._events and (left_ns := deadline_ns - self._clock.now_ns()) > 0:
                self._arrived.wait(left_ns / NS / self._clock.speed)
            taken = list(self._events)
            self._events.clear()
            return taken
