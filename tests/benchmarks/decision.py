"""`python -m tests.benchmarks.decision`: from an event to the signed bytes of its order, ready for the socket.

Ten recorded minutes of a strategy that requotes go through fresh engines; each order goes through risk, the rate
budget, encoding and signing up to the write, which is left out. The durable append is measured by itself.
Processor time is what other work on the machine cannot lengthen.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from random import Random
from statistics import median

from rich.console import Console
from rich.table import Table

from tests.benchmarks.core import Recorded
from tests.benchmarks.measure import bare
from trading_core.advanced_trade.broker import AdvancedTradeBroker
from trading_core.advanced_trade.broker_pace import PacedTransport
from trading_core.advanced_trade.broker_retry import RetryingTransport
from trading_core.advanced_trade.credentials import parse_credentials
from trading_core.advanced_trade.jwt_sign import TokenSigner
from trading_core.advanced_trade.keys import KeyKind, generate_key
from trading_core.advanced_trade.rest_connections import Answer, RestConnections, Timeouts
from trading_core.advanced_trade.sdk_transport import SdkTransport, SigningClient
from trading_core.clock import SystemClock, pause
from trading_core.commands import SubmitOrder
from trading_core.ports import Accepted

ORDERS = 1_000
SPEED = 500.0  # of the budget's clock: it counts each order and is never used up
NEEDED_MS = 1.0
ACCEPTED = b'{"success":true,"success_response":{"order_id":"1"},"order_configuration":{}}'


class NoNetwork(RestConnections):
    """Notes when the bytes were ready, and answers what the venue would."""

    ready_ns = 0
    ready_cpu_ns = 0

    def send(self, method: str, request: bytes, timeouts: Timeouts) -> Answer:
        """Take the bytes instead of writing them."""
        self.ready_ns, self.ready_cpu_ns = SystemClock().stopwatch_ns(), time.thread_time_ns()
        assert method == "POST"
        assert b"Authorization: Bearer " in request
        return Answer(200, ACCEPTED, "", "")


def decisions_ms(recorded: Recorded, kind: KeyKind) -> Iterator[tuple[float, float]]:
    """Yield for each order how long it took from the event to its bytes: real and processor ms; goes on for ever."""
    key, clock = generate_key(kind), SystemClock(SPEED)
    client = SigningClient(
        "127.0.0.1:1", TokenSigner(parse_credentials(key.name, key.private_key, "the benchmark")), is_tls=False
    )
    client.connections = network = NoNetwork("127.0.0.1:1", is_tls=False)
    broker = AdvancedTradeBroker(
        RetryingTransport(PacedTransport(SdkTransport(client), clock), Random(1), pause), clock
    )
    while True:
        engine = recorded.engine()
        for event in recorded.inputs:
            started_ns, started_cpu_ns = clock.stopwatch_ns(), time.thread_time_ns()
            for command in engine.process(event).commands:
                if isinstance(command, SubmitOrder):
                    assert isinstance(broker.submit(command.order), Accepted)
                    yield (network.ready_ns - started_ns) / 1e6, (network.ready_cpu_ns - started_cpu_ns) / 1e6


def main() -> None:
    """Print one line for each kind of key."""
    recorded = Recorded()
    title = f"decision to wire (needed: p99 {NEEDED_MS} ms)"
    bare_ms = bare().processor_s * 1_000
    table = Table(
        "event to signed bytes", "p50 ms", "p99 ms", "p99 ms of processor", "bare loops, median of processor",
        title=title,
    )
    for kind in KeyKind:
        taking = decisions_ms(recorded, kind)
        real_ms, cpu_ms = (sorted(column) for column in zip(*(next(taking) for _ in range(ORDERS)), strict=True))
        worst = int(ORDERS * 0.99)
        table.add_row(str(kind), f"{median(real_ms):.3f}", f"{real_ms[worst]:.3f}", f"{cpu_ms[worst]:.3f}",
                      f"{median(cpu_ms) / bare_ms:,.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
