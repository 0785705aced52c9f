"""The report as PDF, printed by a headless Chromium where the machine has one."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from trading_core.errors import ConfigurationError, StorageError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
PRINT_TIMEOUT_S = 120.0


def find_browser(path: str | None = None) -> str | None:
    """Return the first Chromium on the search path; None if there is none."""
    return next((found for name in BROWSERS if (found := shutil.which(name, path=path))), None)


def print_pdf(html: Path, browser: str | None = None, timeout_s: float = PRINT_TIMEOUT_S) -> Path:
    """Print the page beside itself and return the PDF; raises ConfigurationError where nothing can print it."""
    browser = browser or find_browser()
    if browser is None:
        raise ConfigurationError(
            f"no Chromium is installed, so there is no PDF: open {html} in a browser and print it, or install chromium"
        )
    target = html.with_suffix(".pdf")
    with tempfile.TemporaryDirectory() as profile:
        out = Path(profile) / "report.pdf"
        command = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer",
            f"--user-data-dir={profile}/profile", f"--print-to-pdf={out}", html.resolve().as_uri(),
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
        except (OSError, subprocess.TimeoutExpired) as e:
            raise StorageError(f"{browser} did not print {html}: {e}") from e
        if done.returncode or not out.is_file():
            raise StorageError(f"{browser} did not print {html}: {done.stderr.strip()[-200:] or done.returncode}")
        target.write_bytes(out.read_bytes())
    return target
