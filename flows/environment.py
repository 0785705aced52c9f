"""Prefect's settings for us: quiet, offline, patient on a slow machine. A value that is set already stays."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

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
    # Prefect makes the last folder of the path only, and warns at every start if it cannot.
    with suppress(OSError):
        Path(os.environ["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True)
