"""The emergency drill in Prefect: a rehearsal trades, each rung of the ladder is climbed from outside, and measured."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed

from flows.answers import answered
from flows.labels import label
from flows.requests import DrillRequest, VenueRequest
from flows.rollout import prepare
from tasks.pages import show_table
from trading_core.control.drill import Drill, run_drill
from trading_core.run import VenueName


@flow(name="drill", flow_run_name="drill on {request.plan}", retries=0)
def drill(request: DrillRequest) -> State[None]:
    """Rehearse an emergency: a run trades at our own exchange, and the emergency ladder stops it rung by rung.

    DrillPassed: each rung had its effect, and the venue said flat. DrillFailed: the message names the first without.
    """
    context = prepare(VenueRequest(plan=request.plan, venue=VenueName.LOCAL, speed=request.speed))
    label(context)
    done = run_drill(context, get_run_logger().info)
    show_table("drill", rows_of(done), f"The last emergency drill: {done.run_id}")
    if failed := [step for step in done.steps if not step.is_shown]:
        return answered(Failed(name="DrillFailed", message=f"{failed[0].name}: {failed[0].detail}"))
    flat = next((step.seconds for step in done.steps if step.name == "flat"), None)
    return Completed(name="DrillPassed", message=f"{len(done.steps)} rungs shown, flat after {flat} s")


def rows_of(done: Drill) -> list[dict[str, str]]:
    """Return the rungs as rows of a table."""
    return [
        {
            "rung": step.name, "shown": "yes" if step.is_shown else "NO",
            "after": "" if step.seconds is None else f"{step.seconds} s", "detail": step.detail,
        }
        for step in done.steps
    ]
