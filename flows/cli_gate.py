"""`greenlight verify` and `greenlight gate`: decide again, and say why."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from flows.console import make_console
from trading_core.errors import ConfigurationError
from trading_core.gate.explain import explain as explain_criterion
from trading_core.gate.publish import GateFiles
from trading_core.gate.record import record_from_bytes
from trading_core.gate.signing import load_public_key
from trading_core.gate.verify import verify_run
from trading_core.mirror_location import secret_address
from trading_core.run_files import DECISION
from trading_core.settings import Settings, load_settings
from trading_core.storage.artifact_store import ArtifactStore
from trading_core.storage.mirror import Mirror

app = typer.Typer(no_args_is_help=True, help="Explain decisions.")
NOT_VERIFIED = 4

RunName = Annotated[str, typer.Argument(help="A run's id, or the path of its directory.")]


def verify(
    run: RunName,
    key: Annotated[Path | None, typer.Option(help="PEM file of the Ed25519 key that must have signed it.")] = None,
) -> None:
    """Hash a run's artifacts again, decide again and compare byte for byte: exit code 4 if anything differs."""
    settings = load_settings(os.environ)
    folder = find_run(settings, run)
    files = GateFiles(settings.event_store_root)
    found = verify_run(folder, files, None if key is None else load_public_key(key))
    console = make_console()
    for problem in found.problems:
        console.print(f"differs: {problem}", markup=False)
    if not found.is_verified or found.decision is None:
        console.print(f"{folder.name}: NOT verified")
        raise typer.Exit(NOT_VERIFIED)
    console.print(f"{folder.name}: verified, {found.decision.verdict} follows from its evidence byte for byte")


@app.command()
def explain(run: RunName, criterion: Annotated[str, typer.Argument(help="The criterion's name.")]) -> None:
    """Say how one criterion was judged: figures, bounds, what is missing, and where the evidence lies."""
    folder = find_run(load_settings(os.environ), run)
    record = record_from_bytes(ArtifactStore(folder).read(DECISION))
    make_console().print(explain_criterion(record, criterion), markup=False)


def find_run(settings: Settings, run: str) -> Path:
    """Return the directory of a run named by its id or its path; one that is only at the second place is fetched.

    Raises ConfigurationError if there is none, IntegrityError if the second place has it and not whole.
    """
    if Path(run).is_dir():
        return Path(run)
    found = sorted(settings.artifacts_root.glob(f"*/{run}")) if "/" not in run else []
    if len(found) == 1:
        return found[0]
    if not found and settings.artifacts_url and "/" not in run:
        mirror = Mirror(secret_address(settings.artifacts_url, os.environ))
        if (fetched := mirror.fetch(run, settings.artifacts_root)) is not None:
            return fetched
    places = " and ".join(str(place) for place in (settings.artifacts_root, settings.artifacts_url) if str(place))
    raise ConfigurationError(f"there is no run {run!r} under {places}: name one of its folders")
