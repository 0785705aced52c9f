"""Great Expectations in the test's own process, asked once about a file: its findings depend on nothing else.

A process of its own costs ten processor seconds for each run; tests/integration/test_checks_analysis.py shows it.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from checks.findings import CheckReport, Finding
from checks.suites import registry
from checks.validate import FILE_BYTES_MAX, check_file
from trading_core.artifacts import ArtifactName


def validated_here(run_dir: Path) -> CheckReport:
    """Return what `python -m checks.validate` writes for the directory; as there, it must bear being JSON."""
    findings = [finding for name in ArtifactName for finding in _findings(name, _payload(run_dir / f"{name}.json"))]
    report = CheckReport(engine="great_expectations", expected=registry(), findings=tuple(findings))
    return CheckReport.model_validate_json(report.model_dump_json(indent=1).encode())


def _payload(path: Path) -> bytes | None:
    if not path.exists():
        return None
    assert path.stat().st_size <= FILE_BYTES_MAX
    return path.read_bytes()


@cache
def _findings(name: ArtifactName, payload: bytes | None) -> tuple[Finding, ...]:
    with tempfile.TemporaryDirectory() as folder:
        if payload is not None:
            (Path(folder) / f"{name}.json").write_bytes(payload)
        return tuple(check_file(Path(folder), name))
