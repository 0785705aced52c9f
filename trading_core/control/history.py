"""The history of runs and their reports: what was decided, and the files that a browser may open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trading_core.control.accounts import NAME
from trading_core.control.config import ControlSettings
from trading_core.errors import ConfigurationError, GreenlightError
from trading_core.gate.record import record_from_bytes
from trading_core.plan import Rung
from trading_core.run_files import DECISION, REPORT_HTML, REPORT_MARKDOWN
from trading_core.storage.artifact_store import ArtifactStore

RUNS_MAX = 100  # the latest; older ones are on disk
# Nothing else of a run's folder leaves by HTTP.
SERVED = {
    REPORT_HTML: "text/html; charset=utf-8", REPORT_MARKDOWN: "text/plain; charset=utf-8",
    "decision.json": "application/json", "report.pdf": "application/pdf",
}


def list_history(settings: ControlSettings) -> list[dict[str, Any]]:
    """Return the runs, the latest first, each with its verdict if one was made."""
    found = sorted(settings.artifacts_root.glob("*/*/run.json"), key=lambda p: p.stat().st_mtime, reverse=True)
    return [_row(path.parent) for path in found[:RUNS_MAX]]


def served_file(settings: ControlSettings, plan: str, run_id: str, name: str) -> tuple[Path, str]:
    """Return a file that may be served and its type; raises ConfigurationError for anything else."""
    if plan not in list(Rung) or not NAME.fullmatch(run_id) or name not in SERVED:
        raise ConfigurationError("there is no such report: choose one of the history")
    root = settings.artifacts_root.resolve()
    path = (root / plan / run_id / name).resolve()
    if not path.is_relative_to(root) or not path.is_file():  # a link may lead out of the folder
        raise ConfigurationError("there is no such report: choose one of the history")
    return path, SERVED[name]


def _row(run_dir: Path) -> dict[str, Any]:
    plan, run_id = run_dir.parent.name, run_dir.name
    row = {"run": run_id, "plan": plan, "verdict": "", "headline": "no decision yet", "decided_at": "", "report": ""}
    if (run_dir / REPORT_HTML).is_file():
        row["report"] = f"/reports/{plan}/{run_id}/{REPORT_HTML}"
    try:
        record = record_from_bytes(ArtifactStore(run_dir).read(DECISION))
    except GreenlightError:
        return row
    disposition = f" {record.disposition}" if record.disposition else ""
    return {**row, "verdict": f"{record.verdict}{disposition}", "headline": record.headline,
            "decided_at": record.decided_at}
