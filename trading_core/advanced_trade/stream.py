"""The live feed: a market and a user connection in one thread, kept up, with every loss and gap said aloud."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from trading_core.advanced_trade.frame_reader import FrameReader
from trading_core.advanced_trade.jwt_sign import TokenSigner
from trading_core.advanced_trade.stream_connection import (
    ConnectionLost,
    Line,
    StreamConnection,
    SubscriptionRefused,
)
from trading_core.advanced_trade.stream_inbox import INBOX_EVENTS_MAX, Inbox
from trading_core.clock import Clock
from trading_core.errors import InvariantBroken, VenueUnavailable
from trading_core.events import AnyEvent, StreamChanged, StreamState
from trading_core.products import Product, ProductType

START_WITHIN_S = 15.0  # real seconds for both connections to be subscribed
STOP_WITHIN_S = 5.0
BACKOFF_FIRST_S = 0.5  # doubled with each failure, with jitter; venue seconds, like the venue's limits
BACKOFF_MAX_S = 15.0
BACKOFF_REAL_MIN_S = 0.05
REFUSALS_MAX = 3  # valid tokens are refused now and then; a third refusal in a row is meant
MARKET_CHANNELS = ("heartbeats", "level2", "market_trades", "ticker", "status")
BARS_CHANNEL = "candles"  # for a strategy that reads the venue's bars
USER_CHANNELS = ("heartbeats", "user")
FUTURES_CHANNEL = "futures_balance_summary"  # for a plan that trades futures


@dataclass(slots=True)
class LineStatus:
    """Whether a connection came up for the first time, or why it never will."""

    settled: threading.Event = field(default_factory=threading.Event)
    was_up: bool = False
    is_up: bool = False
    last_failure: str = ""


class StreamFeed:
    """Market data and our orders over WebSocket; the events of ports.Feed.

    `tighten` is called from the stream's thread, with a reason, when events were lost to a full inbox or a
    connection was given up. An empty `user_url` means no user connection (venue `paper`).
    """

    def __init__(
        self,
        *,
        market_url: str,
        user_url: str,
        signer: TokenSigner | None,
        clock: Clock,
        chance: Random,
        tighten: Callable[[str], None],
        inbox_events_max: int = INBOX_EVENTS_MAX,
        start_within_s: float = START_WITHIN_S,
    ) -> None:
        self._market_url = market_url
        self._user_url = user_url
        self._signer = signer
        self._clock = clock
        self._chance = chance
        self._tighten = tighten
        self._inbox = Inbox(clock, tighten, inbox_events_max)
        self._start_within_s = start_within_s
        self._status: dict[str, LineStatus] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._market: StreamConnection | None = None
        self._stop = asyncio.Event()
        self._thread: threading.Thread | None = None

    def start(self, products: Sequence[Product], *, with_bars: bool = False) -> None:
        """Connect and subscribe; returns when every connection is subscribed. Raises VenueUnavailable."""
        if self._status:
            raise InvariantBroken("a stream is started once: make a new one")
        lines = lines_of(products, self._market_url, self._user_url, with_bars=with_bars)
        self._status = {line.name: LineStatus() for line in lines}
        reader = FrameReader(products, self._clock.now_ns)
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._main(lines, reader)), name="stream", daemon=True
        )
        self._thread.start()
        for name, status in self._status.items():
            status.settled.wait(self._start_within_s)
            if not status.was_up:
                self.close()
                raise VenueUnavailable(f"the {name} stream did not come up: {status.last_failure or 'no answer'}")

    def poll(self, deadline_ns: int) -> list[AnyEvent]:
        """Return what arrived; wait until something does, or until venue time reaches the deadline."""
        return self._inbox.take(deadline_ns)

    def resubscribe(self, reason: str) -> None:
        """End the market connection as a gap; it comes up again by itself, with a snapshot of each book."""
        if (connection := self._market) is not None:
            connection.doubt(reason)

    def close(self) -> None:
        """End the connections. May be called twice."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._stop.set)
        thread.join(STOP_WITHIN_S)

    async def _main(self, lines: list[Line], reader: FrameReader) -> None:
        self._loop = asyncio.get_running_loop()
        stop: asyncio.Future[Any] = asyncio.create_task(self._stop.wait())
        work: asyncio.Future[Any] = asyncio.gather(*(self._keep_up(line, reader) for line in lines))
        try:
            await asyncio.wait({stop, work}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
        except BaseException as e:
            # A bug of ours: the thread ends, but not silently and not with a session that waits for it.
            for line in lines:
                self._give_up(line, f"failed ({type(e).__name__})")
            raise
        finally:
            stop.cancel()
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work

    async def _keep_up(self, line: Line, reader: FrameReader) -> None:
        """Keep one connection up until it is given up."""
        failures = refusals = 0
        status = self._status[line.name]
        while refusals < REFUSALS_MAX:
            connection = StreamConnection(
                line, reader, self._signer, self._clock.speed,
                deliver=self._inbox.put, on_ready=lambda: self._came_up(line),
            )
            if line.name == "market":
                self._market = connection
            try:
                await connection.run()
            except ConnectionLost as e:
                failures = 1 if status.is_up else failures + 1
                refusals = refusals + 1 if isinstance(e, SubscriptionRefused) else 0
                self._went_down(line, e)
            await asyncio.sleep(backoff_s(failures, self._clock.speed, self._chance))
        self._give_up(line, f"was given up: {status.last_failure}")

    def _give_up(self, line: Line, detail: str) -> None:
        status = self._status[line.name]
        status.last_failure = detail
        self._report(line, StreamState.DISCONNECTED, detail)
        self._tighten(f"the {line.name} stream {detail}")
        status.settled.set()

    def _came_up(self, line: Line) -> None:
        status = self._status[line.name]
        status.was_up = status.is_up = True
        self._report(line, StreamState.CONNECTED, line.url)
        status.settled.set()

    def _went_down(self, line: Line, lost: ConnectionLost) -> None:
        status = self._status[line.name]
        was_up, status.is_up, status.last_failure = status.is_up, False, str(lost)
        if was_up or isinstance(lost, SubscriptionRefused):
            self._report(line, StreamState.GAP if lost.is_gap else StreamState.DISCONNECTED, str(lost))

    def _report(self, line: Line, state: StreamState, detail: str) -> None:
        event = StreamChanged(ts_ns=self._clock.now_ns(), state=state, detail=detail, connection=line.name)
        self._inbox.put([event])



def lines_of(products: Sequence[Product], market_url: str, user_url: str, *, with_bars: bool) -> list[Line]:
    """Return the connections with the channels that these products and the strategy need, and no others."""
    market = (*MARKET_CHANNELS, BARS_CHANNEL) if with_bars else MARKET_CHANNELS
    lines = [Line("market", market_url, market, tuple(p.product_id for p in products))]
    if user_url:
        has_futures = any(p.product_type is ProductType.FUTURE for p in products)
        lines.append(Line("user", user_url, (*USER_CHANNELS, FUTURES_CHANNEL) if has_futures else USER_CHANNELS, ()))
    return lines


def backoff_s(failures: int, speed: float, chance: Random) -> float:
    """Return how long to wait in real seconds after so many failures in a row: doubled each time, with jitter."""
    longest_s = min(BACKOFF_FIRST_S * 2 ** min(failures - 1, 10), BACKOFF_MAX_S) / speed
    return max(chance.uniform(longest_s / 2, longest_s), BACKOFF_REAL_MIN_S)
