"""What a run leaves in Prefect for people: verdict, criteria, charts and links. No verdict depends on any of it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.runtime import flow_run, task_run

from checks.chart_images import chart_images
from checks.report import ReportFiles
from tasks.artifact_key import artifact_key
from tasks.window import CALL_WITHIN_S, within
from trading_core.gate.decide import DecisionRecord
from trading_core.plan import Tier
from trading_core.run import RunContext
from trading_core.stages.result import StageResult

SHOW_WITHIN_S = 20.0
# Set by `greenlight up`: where the dashboard answers, so that Prefect's pages can link to it.
DASHBOARD_VARIABLE = "GREENLIGHT_DASHBOARD_URL"


def show_decision(context: RunContext, record: DecisionRecord, report: ReportFiles) -> None:
    """Show the verdict, the criteria and the charts of a decided run."""
    key = artifact_key(context.run_id)
    show(
        _markdown(f"verdict-{key}", f"{links(context, report.html)}\n\n{report.markdown.read_text('utf-8')}",
                  record.headline),
        _table(f"criteria-{key}", criteria_rows(record), f"{len(record.criteria)} criteria: outcome and why"),
        *_charts(context, key),
    )


def show_stage(context: RunContext, result: StageResult) -> None:
    """Show the checks of one stage that ran alone."""
    rows = [
        {"check": c.name, "status": c.status.value, "observed": c.observed, "needed": c.needed, "remedy": c.remedy}
        for c in result.checks
    ]
    words = f"{result.stage} {result.status}: {result.summary}. A single stage is no verdict."
    show(_table(f"{artifact_key(result.stage)}-{artifact_key(context.run_id)}", rows, words))


def show_table(key: str, rows: list[dict[str, str]], words: str) -> None:
    """Show a table that replaces the earlier one of that key."""
    show(_table(key, rows, words))


def show(*artifacts: ArtifactCreate) -> None:
    """Send the artifacts to Prefect; gives up after SHOW_WITHIN_S, since the run's own files have it all."""
    if flow_run.id is None:
        return
    belongs: dict[str, Any] = {"flow_run_id": UUID(flow_run.id)}
    if task_run.id is not None:
        belongs["task_run_id"] = UUID(task_run.id)
    owned = [artifact.model_copy(update=belongs) for artifact in artifacts]

    def send() -> None:
        with get_client(sync_client=True, httpx_settings={"timeout": CALL_WITHIN_S}) as client:
            for artifact in owned:
                client.create_artifact(artifact)

    within(SHOW_WITHIN_S, send, "artifacts")


def criteria_rows(record: DecisionRecord) -> list[dict[str, str]]:
    """Return the criteria as rows of a table, musts first."""
    return [
        {"tier": c.tier, "criterion": c.title, "outcome": c.outcome, "reason": c.reason, "detail": c.detail}
        for c in sorted(record.criteria, key=lambda c: (list(Tier).index(c.tier), c.name))
    ]


def links(context: RunContext, html: Path) -> str:
    """Return where report and dashboard are: served, if a dashboard is, and the file on the machine that wrote it."""
    found = [f"File: `{html}`", f"Check it again: `greenlight verify {context.run_id}`"]
    if dashboard := dashboard_link(context.run_id):
        folder = f"{_dashboard()}/reports/{context.plan.name}/{quote(context.run_id, safe='')}"
        found = [f"[Report]({folder}/{quote(html.name)})", f"{dashboard} (both after signing in there)", *found]
    return " · ".join(found)


def dashboard_link(run_id: str) -> str:
    """Return a Markdown link to the run in the dashboard; empty where none was started with Prefect."""
    return f"[Dashboard]({_dashboard()}/?run={quote(run_id, safe='')})" if _dashboard() else ""


def _dashboard() -> str:
    return os.environ.get(DASHBOARD_VARIABLE, "").rstrip("/")


def _charts(context: RunContext, key: str) -> list[ArtifactCreate]:
    images = chart_images(context.run_dir)
    if not images:
        return []
    parts = [f"### {image.title}\n\n{image.note}\n\n![{image.title}]({image.uri})" for image in images]
    return [_markdown(f"charts-{key}", "\n\n".join(parts), ", ".join(image.title for image in images))]


def _markdown(key: str, text: str, words: str) -> ArtifactCreate:
    return ArtifactCreate(key=key, type="markdown", data=text, description=words)


def _table(key: str, rows: Sequence[dict[str, str]], words: str) -> ArtifactCreate:
    return ArtifactCreate(key=key, type="table", data=json.dumps(list(rows)), description=words)
