"""What lies where in a run directory: artifacts/<plan>/<run id>/. Names are those of the artifact store."""

from __future__ import annotations

from pathlib import Path

from trading_core.plan import Stage

SUBJECT = "subject"
PLAN = "plan"
RUN = "run"
OBSERVATIONS = "observations"
CHECKS = "checks"
DECISION = "decision"
PARITY = "parity"  # written by a person's command: no evidence, hence not in the manifest
REQUEST = "request.json"  # what the flow was asked: to ask again, no evidence
REPORT_JSON = "report"
REPORT_HTML = "report.html"
REPORT_MARKDOWN = "report.md"


def run_dir(artifacts: Path, plan: str, run_id: str) -> Path:
    """Return the directory of a run."""
    return artifacts / plan / run_id


def stage_result(stage: Stage) -> str:
    """Return the artifact name of a stage's result."""
    return f"stages/{stage.value}"
