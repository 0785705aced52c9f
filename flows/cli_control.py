"""`greenlight control`: the control server, and its token."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Annotated

import typer

from trading_core.alert_desk import Sink
from trading_core.control.app import make_app
from trading_core.control.config import PORT, make_settings
from trading_core.control.pages import dashboard_routes
from trading_core.control.server import serve as serve_app
from trading_core.settings import load_settings
from trading_core.watchdog import watch

app = typer.Typer(no_args_is_help=True, help="The operator's room: control API and dashboard on loopback.")


@app.command()
def serve(
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = PORT,
    host: Annotated[
        str, typer.Option(help="Address; beyond loopback only with --token-everywhere and a certificate.")
    ] = "127.0.0.1",
    token_everywhere: Annotated[
        bool, typer.Option(help="Want the token also for lowering risk from this machine.")
    ] = False,
    tls_certificate: Annotated[Path | None, typer.Option(help="Certificate chain, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key, PEM.")] = None,
    name: Annotated[list[str] | None, typer.Option(help="Another name of this host; may be repeated.")] = None,
) -> None:
    """Serve until Ctrl+C. The first line says where, the second where the token is."""
    found = load_settings(os.environ)
    settings = make_settings(
        event_store_root=found.event_store_root, event_store_url=found.event_store_url,
        artifacts_root=found.artifacts_root, host=host, port=port, is_token_everywhere=token_everywhere,
        tls_certificate=tls_certificate, tls_key=tls_key, names=tuple(name or ()),
    )

    def say(url: str) -> None:
        typer.echo(f"control server: {url}")
        typer.echo(f"token file: {settings.token_path} (for its owner only)")

    serve_app(make_app(settings, dashboard_routes(settings)), settings, say)


def watchdog() -> None:
    """Watch every session until Ctrl+C: one that is silent or ended not flat is closed, a late checkpoint told."""
    settings = load_settings(os.environ)

    def sinks() -> list[Sink]:
        # Prefect takes seconds to import, and what takes over must not wait for it.
        found: list[Sink] = importlib.import_module("flows.alert_sinks").sinks_of(settings)
        return found

    watch(settings, typer.echo, sinks)
