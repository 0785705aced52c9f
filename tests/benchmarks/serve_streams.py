"""`python -m tests.benchmarks.serve_streams`: level 2 of four symbols at 60× to three clients."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table
from websockets.asyncio.client import connect

from trading_core.advanced_trade.keys import KeyKind, KeyRegistry, generate_key
from trading_core.advanced_trade.server_config import ReadyLine, ServeConfig
from trading_core.clock import NS, SystemClock, from_iso, wall_now_ns
from trading_core.local_exchange.config import SPOT_PRODUCTS, ExchangeConfig

SPEED, CLIENTS, FOR_S = 60.0, 3, 20.0


@contextmanager
def served(folder: Path) -> Iterator[ReadyLine]:
    """Serve an exchange at speed as a process of its own."""
    registry = KeyRegistry()
    registry.register(generate_key(KeyKind.ES256))
    registry.save(folder / "keys.json")
    config = ServeConfig(
        exchange=ExchangeConfig(start_ns=wall_now_ns()), keys_file=folder / "keys.json", speed=SPEED,
        ends_with_stdin=True,
    )
    (folder / "serve.json").write_text(config.model_dump_json())
    command = [sys.executable, "-m", "trading_core.advanced_trade.server", str(folder / "serve.json")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield ReadyLine.model_validate_json(process.stdout.readline())


async def listen(ready: ReadyLine) -> list[tuple[int, int]]:
    """Return (real ns, venue ns) of each level 2 frame; a gap in the sequence is an error."""
    clock, seen, expected = SystemClock(), list[tuple[int, int]](), 0
    async with connect(ready.ws_url, max_size=None) as socket:
        frame = {"type": "subscribe", "channel": "level2", "product_ids": list(SPOT_PRODUCTS)}
        await socket.send(json.dumps(frame))
        until_ns = clock.stopwatch_ns() + int(FOR_S * NS)
        while clock.stopwatch_ns() < until_ns:
            received = json.loads(await socket.recv())
            assert received["sequence_num"] == expected, (received["sequence_num"], expected)
            expected += 1
            if received["channel"] == "l2_data" and received["events"][0]["type"] == "update":
                seen.append((clock.stopwatch_ns(), from_iso(received["timestamp"])))
    return seen


def lags_ms(seen: list[tuple[int, int]]) -> list[float]:
    """Return by how many real ms each frame is later than the least delayed one, sorted."""
    delays = [real_ns - venue_ns / SPEED for real_ns, venue_ns in seen]
    least = min(delays)
    return sorted((delay - least) / 1e6 for delay in delays)


async def load(ready: ReadyLine) -> list[list[tuple[int, int]]]:
    """Return what each client saw."""
    return await asyncio.gather(*(listen(ready) for _ in range(CLIENTS)))


def main() -> None:
    """Print one line for each client."""
    table = Table("client", "frames/s", "venue s", "lag p50 ms", "lag p99 ms", "lag max ms", "lag of the last ms")
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as ready:
        for number, seen in enumerate(asyncio.run(load(ready)), 1):
            lags = lags_ms(seen)
            venue_s = (seen[-1][1] - seen[0][1]) / NS
            last_ms = (seen[-1][0] - seen[-1][1] / SPEED - min(r - v / SPEED for r, v in seen)) / 1e6
            figures = (median(lags), lags[int(len(lags) * 0.99)], lags[-1], last_ms)
            table.add_row(str(number), f"{len(seen) / FOR_S:,.0f}", f"{venue_s:,.0f}", *(f"{x:.0f}" for x in figures))
    Console().print(table)


if __name__ == "__main__":
    main()
