"""A listening socket with scripted answers, a client of it, and orders: what the broker's tests share."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from random import Random

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from trading_core.advanced_trade.broker_retry import RetryingTransport
from trading_core.advanced_trade.credentials import Credentials
from trading_core.advanced_trade.jwt_sign import TokenSigner
from trading_core.advanced_trade.rest_connections import Timeouts
from trading_core.advanced_trade.sdk_transport import SdkTransport, SigningClient
from trading_core.orders import OrderIntent, OrderType, Purpose, Side, TimeInForce
from trading_core.risk import ApprovedOrder, approve_emergency

HANG = b"HANG"  # says nothing until the client gives up
RESET = b""  # closes the connection without an answer


def http(status: str, body: str, kind: str = "application/json") -> bytes:
    """Return the bytes of an answer."""
    text = body.encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n"
    return head.encode() + text


class Wire:
    """Answers each connection's one request with the next of the given bytes, then closes it."""

    def __init__(self, answers: tuple[bytes, ...], *, reads_first: bool = True) -> None:
        self._reads_first = reads_first
        self.requests: list[str] = []
        self._answers = answers
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)

    def _serve(self) -> None:
        for answer in self._answers:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                if self._reads_first:
                    self.requests.append(_read_request(connection))
                if answer == HANG:
                    connection.recv(1)
                else:
                    connection.sendall(answer)


def _read_request(connection: socket.socket) -> str:
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65_536)
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
    while len(body) < int(lengths[0] if lengths else 0):
        body += connection.recv(65_536)
    return (head + b"\r\n\r\n" + body).decode()


def make_signer() -> TokenSigner:
    """Return a signer with a key of its own."""
    return TokenSigner(Credentials(key_name="organizations/o/apiKeys/k", private_key=Ed25519PrivateKey.generate()))


@contextmanager
def served(*answers: bytes, retries_max: int = 0) -> Iterator[tuple[Wire, RetryingTransport, list[float]]]:
    """Yield the scripted venue, a transport to it through the real SDK, and the backoffs that it waited."""
    wire = Wire(answers)
    waited: list[float] = []
    client = SigningClient(wire.host, make_signer(), is_tls=False)
    client.timeouts = Timeouts(10, 1, 2) if HANG in answers else Timeouts(10, 10, 20)
    transport = RetryingTransport(SdkTransport(client), Random(7), waited.append, retries_max=retries_max)
    try:
        yield wire, transport, waited
    finally:
        transport.close()
        wire.close()


def make_intent(
    product_id: str = "BTC-USD", side: Side = Side.BUY, size: str = "0.001", price: str | None = "80000",
    *, order_type: OrderType = OrderType.LIMIT, time_in_force: TimeInForce = TimeInForce.GTC,
    post_only: bool = False, stop_price: str | None = None, purpose: Purpose = Purpose.EMERGENCY,
) -> OrderIntent:
    """Return an intent; name only what matters."""
    return OrderIntent(
        product_id=product_id, side=side, size=Decimal(size), limit_price=Decimal(price) if price else None,
        purpose=purpose, order_type=order_type, time_in_force=time_in_force, post_only=post_only,
        stop_price=Decimal(stop_price) if stop_price else None,
    )


def approved(intent: OrderIntent, client_order_id: str = "run-1") -> ApprovedOrder:
    """Return the intent as an order of the emergency ladder, for a position that it reduces."""
    return approve_emergency(intent, -intent.side.sign * intent.size, client_order_id)
