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
from trading_core.local_exchange.config import CompatSwitches
from trading_core.local_exchange.faults import load_faults

app = typer.Typer(no_args_is_help=True, help="Run the local exchange, a venue that speaks Coinbase Advanced Trade.")
KEYS_FOLDER = Path("var/exchange")
# Every client takes ES256; Ed25519 needs a recent one.
KEY_FILES = {KeyKind.ES256: "key.json", KeyKind.ED25519: "key-ed25519.json"}


@app.command()
def serve(
    port: Annotated[int, typer.Option(help="Loopback port; 0 takes a free one.")] = 8765,
    day: Annotated[str, typer.Option(help="Day: calm, typical, volatile, or a file of that shape.")] = "typical",
    seed: Annotated[int, typer.Option(help="Seed of the market.")] = 1,
    speed: Annotated[float, typer.Option(help="How many times faster than the clock.")] = 1.0,
    faults: Annotated[str, typer.Option(help="Fault plan, such as reject_all; none for a healthy venue.")] = "none",
    keys: Annotated[Path, typer.Option(help="Folder of the registry and of the key file that it accepts.")] = (
        KEYS_FOLDER
    ),
    switch: Annotated[
        list[str] | None, typer.Option(help="Turn a compatibility switch over, such as intx_legacy; may be repeated.")
    ] = None,
    tls: Annotated[bool, typer.Option(help="Speak TLS; the certificate's authority is in the folder of the keys.")] = (
        False
    ),
    control: Annotated[bool, typer.Option(help="Open /_control on loopback: faults at run time.")] = False,
) -> None:
    """Serve until Ctrl+C; the first line on standard output is JSON with the addresses."""
    exchange = {
        "day": day, "seed": seed, "start_ns": SystemClock().now_ns(), "faults": load_faults(faults, seed),
        "compat": _compat(switch or []),
    }
    try:
        config = ServeConfig.model_validate(
            {
                "exchange": exchange, "keys_file": _keys(keys), "speed": speed, "port": port, "has_control": control,
                "tls_folder": keys if tls else None,
            }
        )
    except ValidationError as e:
        first = e.errors()[0]
        raise ConfigurationError(f"--{first['loc'][-1]} {first['input']!r}: {first['msg']}") from e
    for name in KEY_FILES.values():
        typer.echo(f"key file: {keys / name} (works here only)", err=True)
    serve_venue(config)


def _compat(switches: list[str]) -> CompatSwitches:
    defaults = CompatSwitches().model_dump()
    if unknown := set(switches) - set(defaults):
        known = ", ".join(defaults)
        raise ConfigurationError(f"compatibility switch {min(unknown)!r} does not exist: choose of {known}")
    return CompatSwitches(**{name: not defaults[name] for name in switches})


def _keys(folder: Path) -> Path:
    """Return the registry of the folder; it and a key file of each kind are made on first use, for their owner only."""
    registry_path = folder / "registry.json"
    if not registry_path.exists():
        registry = KeyRegistry()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for kind, name in KEY_FILES.items():
                key, path = generate_key(kind), folder / name
                registry.register(key)
                path.touch(mode=0o600)
                os.chmod(path, 0o600)
                path.write_text(key.to_json(), encoding="utf-8")
            registry.save(registry_path)
        except OSError as e:
            raise ConfigurationError(f"keys cannot be written to {folder}: {e.strerror}") from e
    return registry_path
