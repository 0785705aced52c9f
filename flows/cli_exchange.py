"""`greenlight exchange`: the local exchange by itself, for other clients and for a look."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from trading_core.advanced_trade.keys import KeyKind, KeyRegistry, generate_key
from trading_core.advanced_trade.server import serve as serve_venue
from trading_core.advanced_trade.server_config import ServeConfig
from trading_core.clock import SystemClock
from trading_core.errors import ConfigurationError
from trading_core.local_exchange.faults import load_faults

app = typer.Typer(no_args_is_help=True, help="Run the local exchange, a venue that speaks Coinbase Advanced Trade.")
KEYS_FOLDER = Path("var/exchange")


@app.command()
def serve(
    port: Annotated[int, typer.Option(help="Loopback port; 0 takes a free one.")] = 8765,
    day: Annotated[str, typer.Option(help="Recorded day: calm, typical or volatile.")] = "typical",
    seed: Annotated[int, typer.Option(help="Seed of the market.")] = 1,
    speed: Annotated[float, typer.Option(help="How many times faster than the clock.")] = 1.0,
    faults: Annotated[str, typer.Option(help="Fault plan, such as reject_all; none for a healthy venue.")] = "none",
    keys: Annotated[Path, typer.Option(help="Folder of the registry and of the key file that it accepts.")] = (
        KEYS_FOLDER
    ),
    control: Annotated[bool, typer.Option(help="Open /_control on loopback: faults at run time.")] = False,
) -> None:
    """Serve until Ctrl+C; the first line on standard output is JSON with the addresses."""
    registry, key_path = _keys(keys)
    exchange = {"day": day, "seed": seed, "start_ns": SystemClock().now_ns(), "faults": load_faults(faults, seed)}
    try:
        config = ServeConfig.model_validate(
            {"exchange": exchange, "keys_file": registry, "speed": speed, "port": port, "has_control": control}
        )
    except ValidationError as e:
        first = e.errors()[0]
        raise ConfigurationError(f"--{first['loc'][-1]} {first['input']!r}: {first['msg']}") from e
    typer.echo(f"key file: {key_path} (works here only)", err=True)
    serve_venue(config)


def _keys(folder: Path) -> tuple[Path, Path]:
    """Return registry and key file of the folder, made on first use; the key file is for its owner only."""
    registry_path, key_path = folder / "registry.json", folder / "key.json"
    if not registry_path.exists():
        key = generate_key(KeyKind.ED25519)
        registry = KeyRegistry()
        registry.register(key)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            key_path.touch(mode=0o600)
            os.chmod(key_path, 0o600)
            key_path.write_text(key.to_json(), encoding="utf-8")
            registry.save(registry_path)
        except OSError as e:
            raise ConfigurationError(f"keys cannot be written to {folder}: {e.strerror}") from e
    return registry_path, key_path
