"""The hub between the local exchange and all WebSocket sessions: moves the exchange on and tells everyone."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from trading_core.advanced_trade import channels_frames as frames
from trading_core.advanced_trade.channels import Connection, FrameFate, Host
from trading_core.advanced_trade.channels_market import EVENT_CHANNELS, MarketFeed
from trading_core.advanced_trade.emit import rfc3339
from trading_core.advanced_trade.emit_orders import Owner, stream_order
from trading_core.advanced_trade.gateway import Gateway
from trading_core.advanced_trade.gateway_futures import stream_position, stream_summary
from trading_core.advanced_trade.gateway_limits import Throttle
from trading_core.advanced_trade.jwt_verify import JwtRefused
from trading_core.advanced_trade.keys import RegisteredKey
from trading_core.clock import NS
from trading_core.events import BookChanged, TradePrinted
from trading_core.local_exchange.model import ExchangeEvent, ExchangeOrder, FillMade, FundingPaid, OrderChanged

SNAPSHOT_ORDERS = 50


class StreamLimits(BaseModel):
    """Limits of the WebSocket side. Rates count venue seconds, the two deadlines real ones; 0 switches off."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    connections_per_s: int = Field(default=8, ge=0)
    messages_per_s: int = Field(default=8, ge=0)  # without a token
    messages_are_counted_by_address: bool = False  # and not by connection
    user_connections_max: int = Field(default=0, ge=0)  # of one account; a further one ends the oldest. 0: any number
    first_subscribe_s: float = Field(default=5.0, ge=0)
    idle_s: float = Field(default=75.0, ge=0)


class StreamHub:
    """All sessions of one venue."""

    def __init__(self, gateway: Gateway, limits: StreamLimits = StreamLimits()) -> None:  # noqa: B008 - frozen
        self.gateway = gateway
        self.exchange = gateway.exchange
        self.limits = limits
        self._connections: dict[Connection, _Times] = {}
        self._feed = MarketFeed(self.exchange)
        self._throttle = Throttle()
        self._started_ns = self.exchange.now_ns
        self._beats = 0
        self._frames = 0
        self._summaries: dict[str, bytes] = {}

    # ── sessions ────────────────────────────────────────────────────────────────────────────────
    def may_connect(self, remote: str) -> bool:
        """Tell whether the address keeps to the connection rate."""
        return self._throttle.spend(f"connect {remote}", self.limits.connections_per_s, self.exchange.now_ns).is_allowed

    def open(self, host: Host, remote: str, real_ns: int, notify: Callable[[], None] = lambda: None) -> Connection:
        """Return a new session."""
        has_client_id = host is Host.USER or self.exchange.config.compat.client_id_on_market_host
        connection = Connection(self, host, remote, has_client_id, notify)
        self._connections[connection] = _Times(self.exchange.now_ns, real_ns, real_ns)
        return connection

    def close(self, connection: Connection) -> None:
        """Forget a session."""
        self._connections.pop(connection, None)

    def sent(self, connection: Connection, real_ns: int) -> None:
        """Note that a frame left: a connection without any is idle."""
        if times := self._connections.get(connection):
            times.sent_real_ns = real_ns

    def __len__(self) -> int:
        return len(self._connections)

    # ── time ────────────────────────────────────────────────────────────────────────────────────
    def advance(self, to_ns: int, real_ns: int) -> None:
        """Move the exchange to the moment and queue what happened for those who subscribed it."""
        wanted = sorted({p for c in self._connections for name in EVENT_CHANNELS for p in c.channels.get(name, ())})
        for event in self.exchange.advance(to_ns, wanted):
            self._take(event)
        for update in self._feed.updates(self.exchange.now_ns, self._has_subscribers):
            channel = "l2_data" if update.channel == "level2" else update.channel
            for connection in self._subscribers(update.channel, update.product_id):
                connection.send(channel, update.events)
        self._beat()
        self._end_the_overdue(real_ns)

    # ── what sessions ask ───────────────────────────────────────────────────────────────────────
    def authenticate(self, token: str) -> RegisteredKey | None:
        """Return the key that signed the frame, bound to its account, or None."""
        try:
            key = self.gateway.verifier.verify_stream(token)
        except JwtRefused:
            return None
        account_id = self.gateway.account_of(key)
        if account_id not in self.exchange.account_ids():
            return None
        return msgspec.structs.replace(key, account=account_id)

    def may_speak(self, connection: Connection, is_authenticated: bool) -> bool:
        """Tell whether the client keeps to the message rate."""
        name = connection.remote if self.limits.messages_are_counted_by_address else id(connection)
        who = f"message {name}"
        per_s = 0 if is_authenticated else self.limits.messages_per_s
        return self._throttle.spend(who, per_s, self.exchange.now_ns).is_allowed

    def known_products(self, product_ids: list[str] | None) -> list[str]:
        """Return the products that exist of those named, -USDC ids as their -USD twin; all if none is named."""
        known = [p.product_id for p in self.exchange.products()]
        if not product_ids:
            return known
        twins = [p.removesuffix("C") if p.endswith("-USDC") and p not in known else p for p in product_ids]
        return [p for p in dict.fromkeys(twins) if p in known]

    def snapshots(self, connection: Connection, channel: str, product_ids: list[str]) -> list[bytes]:
        """Return the events of the frames that a new subscriber is sent first."""
        if channel == "user":
            return self._open_orders(connection)
        if channel == "futures_balance_summary":
            summary = stream_summary(self.exchange.futures_summary(connection.account_id))
            return [frames.encode([{"type": "snapshot", "fcm_balance_summary": summary}])]
        return [self._feed.snapshot(channel, product_id) for product_id in product_ids]

    def subscription_names(self, connection: Connection, channel: str) -> list[str]:
        """Return what the acknowledgement lists for heartbeats and the account's channels."""
        return ["heartbeats"] if channel == "heartbeats" else [self.exchange.user_id(connection.account_id)]

    def timestamp(self) -> str:
        """Return venue time as frames show it."""
        return rfc3339(self.gateway.venue_ns)

    def fate(self) -> FrameFate:
        """Draw what happens to the next frame."""
        plan = self.exchange.config.faults
        self._frames += 1
        if plan.hits("frame_drop", self._frames, plan.frame_drop_share):
            return FrameFate.DROPPED
        if plan.hits("frame_duplicate", self._frames, plan.frame_duplicate_share):
            return FrameFate.DUPLICATED
        if plan.hits("frame_reorder", self._frames, plan.frame_reorder_share):
            return FrameFate.HELD_BACK
        return FrameFate.SENT

    # ── inside ──────────────────────────────────────────────────────────────────────────────────
    def _take(self, event: ExchangeEvent) -> None:
        match event:
            case BookChanged() | TradePrinted():
                self._feed.collect(event)
            case OrderChanged(account_id=account_id, order=order):
                self._tell_order(account_id, order)
            case FillMade() | FundingPaid():
                pass  # no channel of its own: fills show in the order, funding in the balance summary

    def _tell_order(self, account_id: str, order: ExchangeOrder) -> None:
        if order.order_id in self.gateway.muted_orders:
            return
        events = b""
        for connection in self._connections:
            products = connection.channels.get("user")
            if connection.account_id != account_id or products is None:
                continue
            if products and order.request.product_id not in products:
                continue
            events = events or frames.user_orders("update", [self._row(order)], self._positions(account_id))
            connection.send("user", events)

    def _open_orders(self, connection: Connection) -> list[bytes]:
        products = connection.channels.get("user")
        rows = [
            self._row(order)
            for order in self.exchange.open_orders(connection.account_id)
            if not products or order.request.product_id in products
        ]
        # A frame with fewer than 50 rows ends the snapshot, so a full last one is followed by an empty one.
        pages = [rows[at : at + SNAPSHOT_ORDERS] for at in range(0, len(rows) + 1, SNAPSHOT_ORDERS)]
        positions = self._positions(connection.account_id)
        self._end_older(connection)
        return [
            frames.user_orders("update" if number else "snapshot", page, positions)
            for number, page in enumerate(pages)
        ]

    def _end_older(self, connection: Connection) -> None:
        """End the account's oldest user connections if there are more than the limit allows."""
        most = self.limits.user_connections_max
        account_id = connection.account_id
        others = [c for c in self._connections if c.account_id == account_id and "user" in c.channels]
        for older in [c for c in others if c is not connection][: len(others) - most] if most else ():
            older.end(1008, "another connection of the user took over")

    def _positions(self, account_id: str) -> list[dict[str, str]]:
        if not self.exchange.config.compat.user_channel_has_positions:
            return []
        return [stream_position(p) for p in self.exchange.positions(account_id)]

    def _row(self, order: ExchangeOrder) -> dict[str, str]:
        exchange, account_id = self.exchange, order.account_id
        owner = Owner(exchange.user_id(account_id), exchange.portfolio_id(account_id))
        return stream_order(order, exchange.product(order.request.product_id), owner)

    def _beat(self) -> None:
        """Send one heartbeat for each venue second that has passed."""
        up_ns, compat = self.exchange.now_ns - self._started_ns, self.exchange.config.compat
        while self._beats < up_ns // NS:
            self._beats += 1
            now_ns = self._started_ns + self._beats * NS + self.exchange.config.faults.clock_offset_ns
            listeners = [c for c in self._connections if "heartbeats" in c.channels]
            counter = str(self._beats) if compat.heartbeat_counter_is_string else self._beats
            events = frames.heartbeat(now_ns, counter, self._beats * NS) if listeners else b""
            for connection in listeners:
                connection.send("heartbeats", events)
            if self._beats == up_ns // NS:
                self._tell_summaries()

    def _tell_summaries(self) -> None:
        """Send the futures summary of each account that listens, if it changed."""
        listeners = [c for c in self._connections if "futures_balance_summary" in c.channels]
        for account_id in dict.fromkeys(c.account_id for c in listeners):
            summary = stream_summary(self.exchange.futures_summary(account_id))
            events = frames.encode([{"type": "update", "fcm_balance_summary": summary}])
            if events == self._summaries.get(account_id):
                continue
            self._summaries[account_id] = events
            for connection in listeners:
                if connection.account_id == account_id:
                    connection.send("futures_balance_summary", events)

    def _end_the_overdue(self, real_ns: int) -> None:
        plan, limits = self.exchange.config.faults, self.limits
        for connection, times in self._connections.items():
            waited_s = (real_ns - times.opened_real_ns) / NS
            idle_s = (real_ns - times.sent_real_ns) / NS
            age_s = (self.exchange.now_ns - times.opened_ns) / NS
            if not connection.has_subscribed and 0 < limits.first_subscribe_s < waited_s:
                connection.end(1008, "no subscribe within the deadline")
            elif 0 < limits.idle_s < idle_s:
                connection.end(1001, "idle")
            elif plan.close_every_s is not None and age_s >= plan.close_every_s:
                connection.end(plan.close_code, "going away")

    def _has_subscribers(self, channel: str, product_id: str) -> bool:
        return any(product_id in c.channels.get(channel, ()) for c in self._connections)

    def _subscribers(self, channel: str, product_id: str) -> Iterable[Connection]:
        return [c for c in self._connections if product_id in c.channels.get(channel, ())]


class _Times(msgspec.Struct):
    """When a session was opened, in venue and in real time, and when it was last sent something."""

    opened_ns: int
    opened_real_ns: int
    sent_real_ns: int
