"""One WebSocket session without any I/O: what was subscribed, which frame has which number, what waits to be sent."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

import msgspec

from trading_core.advanced_trade.channels_frames import envelope, error_frame
from trading_core.advanced_trade.channels_market import PRODUCT_CHANNELS
from trading_core.advanced_trade.keys import RegisteredKey, Scope

USER_CHANNELS = frozenset({"user", "futures_balance_summary"})
CHANNELS = frozenset({"heartbeats", *USER_CHANNELS, *PRODUCT_CHANNELS})
DATA_CHANNEL = {"level2": "l2_data"}
AUTHENTICATION_FAILURE = "authentication failure"
FAILURE_TO_SUBSCRIBE = "failure to subscribe"
MESSAGE_BYTES_MAX = 64 << 10
# A client that is this far behind is cut off: a BTC snapshot has a few MiB, so this is several of them.
OUTBOX_BYTES_MAX = 32 << 20


class Host(StrEnum):
    """Which of the two hosts a client connected to: they differ in channels and in `client_id`."""

    MARKET = "market"
    USER = "user"


class SubscribeFrame(msgspec.Struct):
    """What a client may send. Other members are ignored."""

    type: str
    channel: str
    product_ids: list[str] | None = None
    jwt: str | None = None


class Ending(msgspec.Struct, frozen=True):
    """How the venue ends a connection; 1006 is an abort without a close frame."""

    code: int
    reason: str = ""


class FrameFate(StrEnum):
    """What a fault does to one frame."""

    SENT = "SENT"
    DROPPED = "DROPPED"
    DUPLICATED = "DUPLICATED"
    HELD_BACK = "HELD_BACK"  # sent after the next one


class Venue(Protocol):
    """What a session asks of the hub."""

    def authenticate(self, token: str) -> RegisteredKey | None:
        """Return the key that signed the frame, or None if it is not to be trusted."""
        ...

    def may_speak(self, connection: Connection, is_authenticated: bool) -> bool:
        """Tell whether the client keeps to the message rate."""
        ...

    def known_products(self, product_ids: list[str] | None) -> list[str]:
        """Return the products that exist of those named; all if none is named."""
        ...

    def snapshots(self, connection: Connection, channel: str, product_ids: list[str]) -> list[bytes]:
        """Return the events of the frames that a new subscriber is sent first."""
        ...

    def subscription_names(self, connection: Connection, channel: str) -> list[str]:
        """Return what the acknowledgement lists for a channel that has no products."""
        ...

    def timestamp(self) -> str:
        """Return venue time as frames show it."""
        ...

    def fate(self) -> FrameFate:
        """Return what happens to the next frame."""
        ...


class Connection:
    """One session. Frames pile up in `outbox`; the server sends them, `notify` wakes it."""

    def __init__(
        self, venue: Venue, host: Host, remote: str, has_client_id: bool, notify: Callable[[], None] = lambda: None
    ) -> None:
        self.host = host
        self.remote = remote
        self.account_id = ""
        self.channels: dict[str, list[str]] = {}  # by subscribed name; product ids in the order of subscription
        self.outbox: deque[bytes] = deque()
        self.outbox_bytes = 0
        self.has_subscribed = False
        self.ending: Ending | None = None
        self._venue = venue
        self._has_client_id = has_client_id
        self._notify = notify
        self._sequence_num = 0
        self._held_back: bytes | None = None

    def receive(self, message: str | bytes) -> None:
        """Act on a client's message: answers and snapshots go to the outbox."""
        try:
            frame = msgspec.json.decode(message, type=SubscribeFrame)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._put(error_frame(FAILURE_TO_SUBSCRIBE))
            return
        key = self._venue.authenticate(frame.jwt) if frame.jwt else None
        if not self._venue.may_speak(self, key is not None):
            self._put(error_frame("rate limit exceeded"))
        elif problem := self._problem(frame, key):
            self._put(error_frame(problem))
        elif frame.type == "unsubscribe":
            self._unsubscribe(frame)
        else:
            self._subscribe(frame, key)

    def send(self, channel: str, events: bytes) -> None:
        """Queue a numbered frame; the number is used up even if a fault swallows the frame."""
        frame = envelope(channel, self._venue.timestamp(), self._sequence_num, events, self._has_client_id)
        self._sequence_num += 1
        held_back, self._held_back = self._held_back, None
        match self._venue.fate():
            case FrameFate.SENT:
                self._put(frame)
            case FrameFate.DUPLICATED:
                self._put(frame)
                self._put(frame)
            case FrameFate.HELD_BACK:
                self._held_back = frame
            case FrameFate.DROPPED:
                pass
        if held_back is not None:
            self._put(held_back)

    def take(self) -> bytes | None:
        """Return the next frame to send, or None."""
        if not self.outbox:
            return None
        frame = self.outbox.popleft()
        self.outbox_bytes -= len(frame)
        return frame

    def end(self, code: int, reason: str = "") -> None:
        """Close the connection from the venue's side; the first reason stands."""
        if self.ending is None:
            self.ending = Ending(code, reason)
            self._notify()

    def _problem(self, frame: SubscribeFrame, key: RegisteredKey | None) -> str:
        if frame.type not in ("subscribe", "unsubscribe"):
            return FAILURE_TO_SUBSCRIBE
        if frame.channel not in CHANNELS or (frame.jwt and key is None):
            return AUTHENTICATION_FAILURE
        if self.host is Host.USER and frame.channel in PRODUCT_CHANNELS:
            return FAILURE_TO_SUBSCRIBE
        needs_key = frame.channel in USER_CHANNELS and frame.type == "subscribe"
        if needs_key and (key is None or Scope.VIEW not in key.scopes):
            return AUTHENTICATION_FAILURE
        return ""

    def _subscribe(self, frame: SubscribeFrame, key: RegisteredKey | None) -> None:
        self.has_subscribed = True
        if key is not None and frame.channel in USER_CHANNELS:
            self.account_id = key.account
        wanted = [] if frame.channel == "heartbeats" else self._venue.known_products(frame.product_ids)
        already = self.channels.get(frame.channel)
        if frame.channel in USER_CHANNELS and (already is not None or not frame.product_ids):
            wanted = []  # all products; a new choice needs an unsubscribe first
        new = [product_id for product_id in wanted if product_id not in (already or ())]
        if frame.channel not in PRODUCT_CHANNELS or already or new:
            self.channels[frame.channel] = [*(already or ()), *new]
        if frame.channel in PRODUCT_CHANNELS or already is None:
            for events in self._venue.snapshots(self, frame.channel, new):
                self.send(DATA_CHANNEL.get(frame.channel, frame.channel), events)
        self._acknowledge()

    def _unsubscribe(self, frame: SubscribeFrame) -> None:
        if frame.product_ids and frame.channel in PRODUCT_CHANNELS:
            left = [p for p in self.channels.get(frame.channel, []) if p not in frame.product_ids]
            self.channels[frame.channel] = left
            if left:
                self._acknowledge()
                return
        self.channels.pop(frame.channel, None)
        self._acknowledge()

    def _acknowledge(self) -> None:
        names = {
            channel: products if channel in PRODUCT_CHANNELS else self._venue.subscription_names(self, channel)
            for channel, products in self.channels.items()
        }
        self.send("subscriptions", msgspec.json.encode([{"subscriptions": names}]))

    def _put(self, frame: bytes) -> None:
        if self.ending is not None:
            return
        if self.outbox_bytes + len(frame) > OUTBOX_BYTES_MAX and self.outbox:
            self.outbox.clear()
            self.end(1008, "slow consumer")
            return
        self.outbox.append(frame)
        self.outbox_bytes += len(frame)
        self._notify()
