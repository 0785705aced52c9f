"""Great Expectations on the artifacts of a directory: in a process of its own, and with a time limit."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from checks.findings import CheckReport, make_finding
from checks.suites import registry
from trading_core.gate.outcomes import Outcome, Reason

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT_S = 180  # a day of four symbols takes some 20 s on two cores

Validation = Callable[[Path], CheckReport]  # judges the artifacts of a directory, whatever is in them


def validated_apart(run_dir: Path, timeout_s: float = TIMEOUT_S) -> CheckReport:
    """Run Great Expectations in a process of its own; one that fails or takes too long gives ERROR everywhere."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "findings.json"
        command = [sys.executable, "-m", "checks.validate", str(run_dir.resolve()), str(out)]
        environment = {**os.environ, "GX_ANALYTICS_ENABLED": "False"}
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
            )
        except subprocess.TimeoutExpired:
            return _no_report(f"the checks took longer than {timeout_s} s")
        except OSError as e:
            return _no_report(f"the checks could not be started: {e}")
        try:
            return CheckReport.model_validate_json(out.read_bytes())
        except (OSError, ValidationError):
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            return _no_report(f"the checks ended with code {done.returncode}: {last[:200]}")


def _no_report(detail: str) -> CheckReport:
    findings = [
        make_finding(name, "the checks ran", Outcome.ERROR, Reason.EXCEPTION, detail) for name in registry()
    ]
    return CheckReport(engine="none", expected=registry(), findings=tuple(findings))
