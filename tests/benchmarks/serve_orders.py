"""`python -m tests.benchmarks.serve_orders`: orders a second over REST, eight connections, signatures checked."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from trading_core.advanced_trade.credentials import parse_credentials
from trading_core.advanced_trade.gateway import GatewayConfig
from trading_core.advanced_trade.gateway_limits import RateLimits
from trading_core.advanced_trade.jwt_sign import TokenSigner
from trading_core.advanced_trade.keys import KeyFile, KeyKind, KeyRegistry, generate_key
from trading_core.advanced_trade.server_config import ReadyLine, ServeConfig
from trading_core.clock import NS, SystemClock, wall_now_ns
from trading_core.local_exchange.config import ExchangeConfig

PATH = "/api/v3/brokerage/orders"
CONNECTIONS = 8
WARM_UP, ORDERS = 25, 250  # of each connection
UNLIMITED = GatewayConfig(limits=RateLimits(private_per_s=0, public_per_s=0))


@contextmanager
def served(folder: Path, *keys: KeyFile) -> Iterator[ReadyLine]:
    """Serve an exchange without limits as a process of its own."""
    registry = KeyRegistry()
    for key in keys:
        registry.register(key)
    registry.save(folder / "keys.json")
    exchange = ExchangeConfig(start_ns=wall_now_ns(), open_orders_max=1_000_000)
    config = ServeConfig(
        exchange=exchange, keys_file=folder / "keys.json", gateway=UNLIMITED, ends_with_stdin=True
    )
    (folder / "serve.json").write_text(config.model_dump_json())
    command = [sys.executable, "-m", "trading_core.advanced_trade.server", str(folder / "serve.json")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield ReadyLine.model_validate_json(process.stdout.readline())


async def trade(ready: ReadyLine, key: KeyFile, number: int, orders: int, taken_ms: list[float]) -> None:
    """Place orders one after the other over one connection; the token is reused, the venue verifies it each time."""
    signer = TokenSigner(parse_credentials(key.name, key.private_key, "the benchmark"))
    token = signer.rest_token("POST", ready.rest_host, PATH)
    reader, writer = await asyncio.open_connection("127.0.0.1", ready.port)
    clock = SystemClock()
    for count in range(orders):
        body = json.dumps(
            {
                "client_order_id": f"{number}-{orders}-{count}", "product_id": "BTC-USD", "side": "BUY",
                "order_configuration": {
                    "limit_limit_gtc": {"base_size": "0.0001", "limit_price": str(60_000 + count % 50)}
                },
            }
        )
        head = f"POST {PATH} HTTP/1.1\r\nHost: {ready.rest_host}\r\nAuthorization: Bearer {token}\r\n"
        started_ns = clock.stopwatch_ns()
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        answer_head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(answer_head.split(b"content-length: ")[1].split(b"\r\n")[0])
        answer = await reader.readexactly(length)
        taken_ms.append((clock.stopwatch_ns() - started_ns) / 1e6)
        assert b'"success":true' in answer, answer
    writer.close()
    await writer.wait_closed()


async def load(ready: ReadyLine, key: KeyFile, orders: int) -> tuple[float, list[float]]:
    """Return orders a second over all connections, and the times of each in ms, sorted."""
    taken_ms: list[float] = []
    clock = SystemClock()
    started_ns = clock.stopwatch_ns()
    await asyncio.gather(*(trade(ready, key, number, orders, taken_ms) for number in range(CONNECTIONS)))
    return len(taken_ms) / ((clock.stopwatch_ns() - started_ns) / NS), sorted(taken_ms)


def main() -> None:
    """Print one line for each kind of key."""
    table = Table("key", "orders/s", "p50 ms", "p99 ms")
    for kind in KeyKind:
        key = generate_key(kind)
        with tempfile.TemporaryDirectory() as folder, served(Path(folder), key) as ready:
            asyncio.run(load(ready, key, WARM_UP))
            rate, taken_ms = asyncio.run(load(ready, key, ORDERS))
        p50, p99 = (taken_ms[int(len(taken_ms) * share)] for share in (0.5, 0.99))
        table.add_row(kind.value, f"{rate:,.0f}", f"{p50:.1f}", f"{p99:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
