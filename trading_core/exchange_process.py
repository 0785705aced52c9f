"""Starts the local exchange as a process of its own, waits until it answers, and ends it with the run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trading_core.advanced_trade.keys import KeyKind, KeyRegistry, generate_key
from trading_core.advanced_trade.server_config import ReadyLine, ServeConfig
from trading_core.clock import NS, SystemClock, pause
from trading_core.errors import VenueUnavailable
from trading_core.local_exchange.config import ExchangeConfig
from trading_core.run import Endpoint, RunContext

READY_WITHIN_S = 60.0
STOP_WITHIN_S = 10.0
LINGER_S = 60.0  # after its parent's end and the last session's: to end flat, to be looked at, to be gone on with
LOOK_EVERY_S = 0.05
ENDPOINT_FILE = "endpoint.json"  # beside the state file of the account, once a session was started


@contextmanager
def start_exchange(context: RunContext, exchange: ExchangeConfig) -> Iterator[Endpoint]:
    """Yield the endpoint of a local exchange on a free loopback port, with a fresh key that only this run has.

    The exchange ends with the block, or a minute after this process and the last session, should they be killed. Raises
    VenueUnavailable if it does not come up.
    """
    with tempfile.TemporaryDirectory(prefix="greenlight-") as folder:
        registry, key_file = _make_key(Path(folder))
        config = ServeConfig(
            exchange=exchange, keys_file=registry, speed=context.speed, ready_file=Path(folder) / "ready.json",
            parent_pid=os.getpid(), linger_s=LINGER_S,
        )
        process = _spawn(config, Path(folder))
        try:
            ready = _wait_until_ready(process, Path(folder))
            yield Endpoint(
                rest_host=ready.rest_host,
                ws_url=ready.ws_url,
                ws_user_url=ready.ws_user_url,
                key_file=key_file,
                speed=context.speed,
                clock_anchor_ns=exchange.start_ns,
                pid=process.pid,
            )
        finally:
            _stop(process)


@contextmanager
def go_on_at(endpoint: Endpoint) -> Iterator[Endpoint]:
    """Yield the exchange that a killed process of this run left behind, and end it with the block."""
    try:
        yield endpoint
    finally:
        if endpoint.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(endpoint.pid, signal.SIGTERM)


def _make_key(folder: Path) -> tuple[Path, Path]:
    """Write a fresh key: its public half for the exchange, the key file for this run; return both paths."""
    key = generate_key(KeyKind.ED25519)
    registry = KeyRegistry()
    registry.register(key)
    registry_path, key_path = folder / "registry.json", folder / "key.json"
    registry.save(registry_path)
    key_path.touch(mode=0o600)
    key_path.write_text(key.to_json(), encoding="utf-8")
    return registry_path, key_path


def _spawn(config: ServeConfig, folder: Path) -> subprocess.Popen[bytes]:
    path = folder / "exchange.json"
    path.write_text(config.model_dump_json(), encoding="utf-8")
    with (folder / "exchange.log").open("wb") as log:
        command = [sys.executable, "-m", "trading_core.advanced_trade.server", str(path)]
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )


def _wait_until_ready(process: subprocess.Popen[bytes], folder: Path) -> ReadyLine:
    clock = SystemClock()
    deadline_ns = clock.stopwatch_ns() + int(READY_WITHIN_S * NS)
    ready_file = folder / "ready.json"
    while clock.stopwatch_ns() < deadline_ns and process.poll() is None:
        if ready_file.exists():
            return ReadyLine.model_validate_json(ready_file.read_text("utf-8"))
        pause(LOOK_EVERY_S)
    words = (folder / "exchange.log").read_text("utf-8", errors="replace").strip()[-500:]
    ended = "did not come up in time" if process.poll() is None else f"ended with code {process.returncode}"
    raise VenueUnavailable(f"the local exchange {ended}: {words or 'it said nothing'}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_WITHIN_S)
