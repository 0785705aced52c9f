"""A WebSocket venue that plays scripts: real sockets, frames as Coinbase sends them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from trading_core.clock import NS, SystemClock, pause
from trading_core.products import Product, ProductType

STAY, CLOSE_1000, CLOSE_1001, ABORT, BEATS = "stay", "1000", "1001", "abort", "beats"
CHANNELS = {"/market": ("heartbeats", "level2", "market_trades", "ticker", "status"), "/user": ("heartbeats", "user")}
BTC = Product(
    product_id="BTC-USD", product_type=ProductType.SPOT, base_currency="BTC", quote_currency="USD",
    base_increment=Decimal("0.00000001"), price_increment=Decimal("0.01"), base_min_size=Decimal("0.00000001"),
    base_max_size=Decimal(3400), quote_min_size=Decimal(1),
)
ORDER = {
    "order_id": "o-1", "client_order_id": "run-1", "product_id": "BTC-USD", "order_side": "BUY", "status": "OPEN",
    "cumulative_quantity": "0.0004", "leaves_quantity": "0.0006", "avg_price": "79999.5", "total_fees": "0.19",
    "limit_price": "80000", "order_type": "Limit", "time_in_force": "GOOD_UNTIL_CANCELLED", "cancel_reason": "",
    "reject_reason": "", "post_only": "false",
}


@dataclass
class Script:
    """What one connection plays after the acknowledgements: frames without their sequence, then an end."""

    frames: list[dict[str, Any]] = field(default_factory=list)
    end: str = STAY
    is_acknowledged: bool = True


def level2(kind: str, *updates: tuple[str, str, str]) -> dict[str, Any]:
    """Return a book frame of (side, price, size) rows."""
    rows = [
        {"side": s, "event_time": "2026-09-05T22:10:30Z", "price_level": p, "new_quantity": q} for s, p, q in updates
    ]
    return {"channel": "l2_data", "events": [{"type": kind, "product_id": "BTC-USD", "updates": rows}]}


def heartbeat(counter: int) -> dict[str, Any]:
    """Return a heartbeat frame."""
    return {"channel": "heartbeats", "events": [{"current_time": "", "heartbeat_counter": counter}]}


def user(kind: str, *orders: dict[str, Any]) -> dict[str, Any]:
    """Return a frame of the user channel."""
    return {"channel": "user", "events": [{"type": kind, "orders": list(orders), "positions": {}}]}


SNAPSHOT = level2("snapshot", ("bid", "80000.00", "0.5"), ("offer", "80000.01", "0.25"))


class StreamVenue:
    """Plays each connection of a path the next of its scripts; the last one again and again."""

    def __init__(self, market: list[Script], users: list[Script] | None = None) -> None:
        self.subscribed: list[tuple[str, dict[str, Any]]] = []
        self._scripts = {"/market": market, "/user": users or [Script()]}
        self._server = serve(self._play, "127.0.0.1", 0)
        port = self._server.socket.getsockname()[1]
        self.market_url, self.user_url = f"ws://127.0.0.1:{port}/market", f"ws://127.0.0.1:{port}/user"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def __enter__(self) -> StreamVenue:
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._thread.join(5)

    def _play(self, socket: ServerConnection) -> None:
        path = socket.request.path if socket.request else ""
        scripts = self._scripts[path]
        script = scripts.pop(0) if len(scripts) > 1 else scripts[0]
        try:
            acks: dict[str, list[str]] = {}
            for _ in CHANNELS[path]:
                frame = json.loads(socket.recv())
                self.subscribed.append((path, frame))
                acks[frame["channel"]] = frame.get("product_ids", ["all"])
            sequence = 0
            ack = {"channel": "subscriptions", "events": [{"subscriptions": acks}]}
            for frame in [*([ack] if script.is_acknowledged else []), *script.frames]:
                if "channel" in frame and "sequence_num" not in frame:
                    frame = {"timestamp": "2026-09-05T22:10:30Z", "sequence_num": sequence, **frame}
                    sequence += 1
                socket.send(json.dumps(frame))
            self._end(socket, script.end, sequence)
        except ConnectionClosed:
            pass  # the client left: that is what some scripts wait for

    def _beat(self, socket: ServerConnection, sequence: int) -> None:
        """Send heartbeats until the client leaves."""
        while True:
            frame = {"timestamp": "2026-09-05T22:10:30Z", "sequence_num": sequence, **heartbeat(sequence)}
            socket.send(json.dumps(frame))
            sequence += 1
            pause(0.05)

    def _end(self, socket: ServerConnection, end: str, sequence: int) -> None:
        if end == ABORT:
            socket.socket.shutdown(2)
        elif end == BEATS:
            self._beat(socket, sequence)
        elif end == STAY:
            socket.recv()  # raises when the client leaves
        else:
            socket.close(int(end))


def until(condition: Callable[[], bool], within_s: float = 30.0) -> None:
    """Wait for a condition; fails when it does not come true in time."""
    clock = SystemClock()
    deadline_ns = clock.now_ns() + int(within_s * NS)
    while not condition():
        assert clock.now_ns() < deadline_ns, "the condition did not come true in time"
        pause(0.01)
