"""What Prefect says of the tasks of an earlier start of this run: a killed process left them running for ever."""

from __future__ import annotations

from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.runtime import flow_run
from prefect.states import Crashed

from tasks.window import CALL_WITHIN_S, within

GOING_ON = [StateType.PENDING, StateType.RUNNING]
LOST = "its process ended before it did: see the later task run of the same stage"


def settle_lost_tasks() -> None:
    """Show what an earlier start of this Prefect run left as crashed; the first start has nothing to settle."""
    if flow_run.id is None or (flow_run.run_count or 0) <= 1:
        return
    mine = FlowRunFilter(id=FlowRunFilterId(any_=[UUID(flow_run.id)]))
    left = TaskRunFilter(state=TaskRunFilterState(type=TaskRunFilterStateType(any_=GOING_ON)))

    def settle() -> None:
        with get_client(sync_client=True, httpx_settings={"timeout": CALL_WITHIN_S}) as client:
            for task_run in client.read_task_runs(flow_run_filter=mine, task_run_filter=left):
                client.set_task_run_state(task_run.id, Crashed(message=LOST), force=True)

    within(CALL_WITHIN_S, settle, "tasks that were lost")
