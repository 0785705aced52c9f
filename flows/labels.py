"""Tags of a run in Prefect's list, known only when it runs: plan, venue, level and subject."""

from __future__ import annotations

from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.runtime import flow_run

from tasks.window import CALL_WITHIN_S, within
from trading_core.run import RunContext

DIGEST_SHOWN = 12


def label(context: RunContext) -> None:
    """Tag the Prefect run. A server that does not answer in time leaves it without tags."""
    if flow_run.id is None:
        return
    flow_run_id = UUID(flow_run.id)
    tags = sorted({*flow_run.tags, *tags_of(context)})

    def send() -> None:
        with get_client(sync_client=True, httpx_settings={"timeout": CALL_WITHIN_S}) as client:
            client.update_flow_run(flow_run_id, tags=tags)

    within(CALL_WITHIN_S, send, "tags")


def tags_of(context: RunContext) -> set[str]:
    """Return the tags; the subject's is the short digest that an approval is typed against."""
    return {
        f"plan:{context.plan.name}", f"venue:{context.venue}", f"level:{context.level}",
        f"subject:{context.subject_digest[:DIGEST_SHOWN]}", f"run:{context.run_id}",
    }
