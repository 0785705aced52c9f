"""One WebSocket connection: subscribes, checks the sequence and the heartbeats, ends at the first doubt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from trading_core.advanced_trade.foreign_errors import FOREIGN
from trading_core.advanced_trade.frame_reader import FrameReader
from trading_core.advanced_trade.jwt_sign import TokenSigner
from trading_core.advanced_trade.wire_frames import (
    AnyFrame,
    HeartbeatFrame,
    OtherFrame,
    SubscriptionsFrame,
    decode_frame,
)
from trading_core.errors import SchemaDrift
from trading_core.events import AnyEvent

FRAME_BYTES_MAX = 16 * 1024 * 1024  # a BTC-USD snapshot has several MiB
QUEUED_FRAMES_MAX = 256  # between the socket and us; beyond it the socket itself is held back
OPEN_WITHIN_S = 5.0
# Coinbase sends a heartbeat each second. Below the real minimum a busy machine would look like a dead venue.
STALE_AFTER_S = 5.0
STALE_REAL_MIN_S = 2.0
CLOSE_WITHIN_S = 1.0
ABNORMAL_CLOSURE = 1006  # RFC 6455: the connection ended without a close frame
ACCOUNT_WIDE = frozenset({"heartbeats", "user", "futures_balance_summary"})  # without product ids


class ConnectionLost(Exception):
    """The connection ended or can no longer be trusted; `is_gap` tells that a frame was missed."""

    def __init__(self, detail: str, *, is_gap: bool = False) -> None:
        super().__init__(detail)
        self.is_gap = is_gap


class SubscriptionRefused(ConnectionLost):
    """The venue answered a subscribe frame with an error."""


@dataclass(frozen=True, slots=True)
class Line:
    """What one connection is for."""

    name: Literal["market", "user"]
    url: str
    channels: tuple[str, ...]
    product_ids: tuple[str, ...]


class StreamConnection:
    """Runs one connection once, from the handshake to its end."""

    def __init__(
        self,
        line: Line,
        reader: FrameReader,
        signer: TokenSigner | None,
        speed: float,
        deliver: Callable[[Sequence[AnyEvent]], bool],
        on_ready: Callable[[], None],
    ) -> None:
        self._line = line
        self._reader = reader
        self._signer = signer
        self._stale_s = max(STALE_AFTER_S / speed, STALE_REAL_MIN_S)
        self._deliver = deliver
        self._on_ready = on_ready
        self._next_sequence = 0
        self._waiting_for = set(line.channels)
        self._doubt = ""

    async def run(self) -> None:
        """Deliver events until the connection ends; always raises, ConnectionLost or CancelledError."""
        try:
            async with connect(
                self._line.url, max_size=FRAME_BYTES_MAX, max_queue=QUEUED_FRAMES_MAX, open_timeout=OPEN_WITHIN_S,
                close_timeout=CLOSE_WITHIN_S, proxy=None, compression=None,
            ) as socket:
                await self._subscribe(socket)
                await self._receive(socket)
        except ConnectionClosed as e:
            # A clean close (1000, 1001) is a failure too: production sends 1001 at any time.
            raise ConnectionLost(f"closed by the venue with code {_code(e)}") from e
        except FOREIGN as e:
            raise ConnectionLost(f"{self._line.url} cannot be reached ({type(e).__name__})") from e
        except SchemaDrift as e:
            raise ConnectionLost(str(e), is_gap=True) from e

    def doubt(self, reason: str) -> None:
        """End the connection with the next frame, as after a missed one; from any thread."""
        self._doubt = reason

    async def _subscribe(self, socket: ClientConnection) -> None:
        # Coinbase closes a socket that has not subscribed within five seconds.
        for channel in self._line.channels:
            frame: dict[str, object] = {"type": "subscribe", "channel": channel}
            if channel not in ACCOUNT_WIDE:
                frame["product_ids"] = list(self._line.product_ids)
            if self._signer is not None:
                frame["jwt"] = self._signer.stream_token()
            await socket.send(msgspec.json.encode(frame).decode())

    async def _receive(self, socket: ClientConnection) -> None:
        loop = asyncio.get_running_loop()
        stale_at = loop.time() + self._stale_s
        while True:
            try:
                async with asyncio.timeout_at(stale_at):
                    text = await socket.recv()
            except TimeoutError as e:
                raise ConnectionLost(f"no heartbeat for {self._stale_s:.1f} s") from e
            if self._doubt:
                raise ConnectionLost(self._doubt, is_gap=True)
            frame = decode_frame(text)
            if not self._is_next(frame):
                continue
            if isinstance(frame, HeartbeatFrame):
                stale_at = loop.time() + self._stale_s
            elif isinstance(frame, SubscriptionsFrame):
                self._acknowledged(frame)
            if (events := self._reader.events_of(frame)) and not self._deliver(events):
                raise ConnectionLost("the session was too slow", is_gap=True)

    def _is_next(self, frame: AnyFrame) -> bool:
        if isinstance(frame, OtherFrame) and frame.type == "error":
            raise SubscriptionRefused(f"the venue refused a subscription: {frame.message}")
        if frame.sequence_num is None:
            return False
        if frame.sequence_num > self._next_sequence:
            missed = f"{self._next_sequence} to {frame.sequence_num - 1}"
            raise ConnectionLost(f"frames {missed} were missed", is_gap=True)
        if frame.sequence_num < self._next_sequence:  # a duplicate or out of order: already seen
            return False
        self._next_sequence += 1
        return True

    def _acknowledged(self, frame: SubscriptionsFrame) -> None:
        if not self._waiting_for:
            return
        for event in frame.events:
            self._waiting_for -= event.subscriptions.keys()
        if not self._waiting_for:
            self._on_ready()


def _code(closed: ConnectionClosed) -> int:
    return closed.rcvd.code if closed.rcvd else ABNORMAL_CLOSURE
