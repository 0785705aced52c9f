"""Prefect's settings for us: quiet, offline, patient on a slow machine. A value that is set already stays."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from flows.up_files import read_auth, running_up
from trading_core.errors import ConfigurationError

DEFAULTS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    # The default of 20 s is too short on a loaded machine of two cores.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
    # Our own folder: a run here must not write into somebody's other Prefect project.
    "PREFECT_HOME": str(Path("var/prefect").absolute()),
}


def set_defaults() -> None:
    """Set what is not set; must run before Prefect is imported, which reads its settings once."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    _show_runs_where_it_is_up()
    # Prefect makes the last folder of the path only, and warns at every start if it cannot.
    with suppress(OSError):
        Path(os.environ["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True)


def _show_runs_where_it_is_up() -> None:
    """Let a run of the command line appear in the server that `greenlight up` runs, unless another one is named."""
    home = Path(os.environ["PREFECT_HOME"])
    if "PREFECT_API_URL" in os.environ or (up := running_up(home)) is None:
        return
    with suppress(ConfigurationError):
        os.environ["PREFECT_API_AUTH_STRING"] = read_auth(home)
        os.environ["PREFECT_API_URL"] = up.api_url
