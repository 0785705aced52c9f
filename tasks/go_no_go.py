"""Stage 6 of 6: always runs, whatever came before."""

from __future__ import annotations

import os

from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from checks.report import build_report
from tasks.options import ACTS
from trading_core.gate.decide import DecisionRecord
from trading_core.gate.signing import signing_key
from trading_core.plan import Tier
from trading_core.run import RunContext
from trading_core.settings import load_settings
from trading_core.stages import go_no_go as stage
from trading_core.stages.result import StageResult


@task(name="go/no-go", **ACTS)
def go_no_go(context: RunContext, stages: list[StageResult]) -> DecisionRecord:
    """Decide on the evidence, write the decision and its report, and show both in Prefect."""
    record = stage.run(context, stages, key=signing_key(load_settings(os.environ)))
    report = build_report(context.run_dir)
    key = artifact_key(context.run_id)
    create_markdown_artifact(
        markdown=report.markdown.read_text("utf-8"), key=f"verdict-{key}", description=record.headline
    )
    create_table_artifact(table=criteria_rows(record), key=f"criteria-{key}", description="Criteria and outcomes")
    return record


def artifact_key(run_id: str) -> str:
    """Return the run id as Prefect takes it: lower-case letters, digits and dashes."""
    return "".join(c if c.isalnum() else "-" for c in run_id.lower())


def criteria_rows(record: DecisionRecord) -> list[dict[str, str]]:
    """Return the criteria as rows of a table, musts first."""
    return [
        {"tier": c.tier, "criterion": c.title, "outcome": c.outcome, "reason": c.reason, "detail": c.detail}
        for c in sorted(record.criteria, key=lambda c: (list(Tier).index(c.tier), c.name))
    ]
