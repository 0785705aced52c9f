"""What Prefect does by itself: tell people, start the emergency flow, and go on only after a GO. Made from code."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, RunDeployment, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.types import SecretDict
from pydantic import SecretStr

from deployments.deploy_settings import POOL
from flows.alert_sinks import ALERT_NAME
from flows.answers import STOPPED
from tasks.window import ALIVE, ALIVE_EVERY_S
from trading_core.alerts import Severity

BLOCK = "greenlight-notify"
CRITICAL = "greenlight.alert.critical"
RAISED = {f"greenlight.alert.{severity.lower()}" for severity in Severity}
OVERDUE = {ALERT_NAME: "checkpoint_overdue"}  # the plans' name for the threshold of late checkpoints
SILENT = "greenlight: no sign of life"
# Three missed: one or two may be lost while the server restarts.
SILENT_AFTER = timedelta(seconds=3 * ALIVE_EVERY_S)
FINAL = {f"prefect.flow-run.{name}" for name in (
    "GO", "CONDITIONAL", "NoGo", "Refused", "Skipped", STOPPED, "Completed", "Failed", "Crashed", "Cancelled",
    "StagePassed", "StageFailed", "Hold", "Rejected", "Expired",
)}
EXPIRED = "Expired"
EXPIRED_WORDS = "NO-GO (EXPIRED) before trading: nobody approved in time, and nothing was started. Retry asks anew."
# How Prefect ends a run whose form nobody answered: as a failure among others, with this sentence and no other sign.
NEVER_RESUMED = "The flow was paused and never resumed."
ROLLOUT_RUNS = {"prefect.resource.role": "flow", "prefect.resource.name": "rollout"}
# Without an event there is no name, and the emergency flow then means every account that trades.
NAMED = {"__prefect_kind": "jinja", "template": "{{ event.resource['prefect.resource.name'] if event else '' }}"}


def automations(ladder_id: UUID, emergencies: dict[str, UUID], block_id: UUID | None) -> list[AutomationCore]:
    """Return every automation; `emergencies` are the emergency deployments by the work pool of their machine.

    Without a notification block nobody is told; what acts is there all the same.
    """
    acting = [core for pool, deployment_id in emergencies.items() for core in _guards(pool, deployment_id, emergencies)]
    acting.append(
        AutomationCore(
            name="greenlight: after a GO", trigger=_on("prefect.flow-run.GO", related=ROLLOUT_RUNS),
            description="Downstream of a GO, and of nothing else: the ladder is shown anew.",
            actions=[_run(ladder_id, {"level": "all"})],
        )
    )
    acting.append(
        AutomationCore(
            name="greenlight: an approval expired",
            trigger=_on("prefect.flow-run.Failed", match={"prefect.state-message": NEVER_RESUMED}),
            description="A form that nobody answered in time is a no, and is shown as one.",
            actions=[ChangeFlowRunState(name=EXPIRED, state=StateType.FAILED, message=EXPIRED_WORDS)],
        )
    )
    return acting if block_id is None else [*acting, *_telling(block_id)]


def _guards(pool: str, emergency_id: UUID, emergencies: dict[str, UUID]) -> list[AutomationCore]:
    """Return what acts on the machine of a pool. The shared pool's also hears of runs that no pool started."""
    of_pool = "" if pool == POOL else f" of {pool}"
    related = {} if pool == POOL else {"prefect.resource.role": "work-pool", "prefect.resource.name": pool}
    is_one_of_many = len(emergencies) > 1
    return [
        AutomationCore(
            name=f"greenlight: critical alert{of_pool}", trigger=_on(CRITICAL, related=related),
            description="A critical alert makes the run's account reduce-only.",
            actions=[_emergency(emergency_id, "critical alert", is_one_of_many=is_one_of_many)],
        ),
        AutomationCore(
            name=f"{SILENT}{of_pool}", trigger=_silent(related),
            description=f"A run that trades says so each {ALIVE_EVERY_S:g} s; this one fell silent.",
            actions=[_emergency(emergency_id, "no sign of life", is_one_of_many=is_one_of_many)],
        ),
    ]


def apply_automations(client: SyncPrefectClient, wanted: list[AutomationCore]) -> None:
    """Make the server's automations of ours those that are wanted, by name; a second time changes nothing."""
    for core in wanted:
        there = client.read_automations_by_name(core.name)
        if not there:
            client.create_automation(core)
            continue
        client.update_automation(there[0].id, core)
        for double in there[1:]:
            client.delete_automation(double.id)
    names = {core.name for core in wanted}
    for found in client.read_automations():
        if found.name.startswith("greenlight: ") and found.name not in names:
            client.delete_automation(found.id)


def save_block(webhook_url: SecretStr) -> UUID:
    """Save the notification block and return its id. The address is kept as a secret: it may have a token in it."""
    block = CustomWebhookNotificationBlock(
        name=BLOCK, url="{{webhook}}", json_data={"title": "{{subject}}", "text": "{{body}}"},
        secrets=SecretDict({"webhook": webhook_url.get_secret_value()}),
    )
    return UUID(str(block.save(BLOCK, overwrite=True)))


def _telling(block_id: UUID) -> list[AutomationCore]:
    run = "{{ flow_run.name }}: {{ flow_run.state.message }}\n{{ flow_run|ui_url }}"
    alert = "{{ event.resource['prefect.resource.name'] }}: {{ event.payload.title }}\n{{ event.payload.detail }}"
    return [
        AutomationCore(
            name=f"greenlight: tell of {name}", description=words, trigger=trigger,
            actions=[SendNotification(block_document_id=block_id, subject=f"Greenlight: {name}", body=body)],
        )
        for name, words, trigger, body in (
            ("NO-GO", "A gate said no.", _on("prefect.flow-run.NoGo"), run),
            ("approval wanted", "A run waits for people.", _on("prefect.flow-run.Suspended", "prefect.flow-run.Hold"),
             "{{ flow_run.name }} trades nothing until people approve it: read and answer on its page.\n"
             "{{ flow_run|ui_url }}"),
            ("approval refused", "People said no, or nothing in time.",
             _on("prefect.flow-run.Rejected", f"prefect.flow-run.{EXPIRED}"), run),
            ("crash", "A run ended without a verdict.", _on("prefect.flow-run.Crashed"), run),
            ("no sign of life", "A run that trades fell silent.", _silent(),
             "A run that trades has not said so for some minutes: look at the dashboard and at the venue."),
            ("a run that was refused or skipped", "Nothing was started.",
             _on("prefect.flow-run.Refused", "prefect.flow-run.Skipped"), run),
            ("CRITICAL alert", "See the alert.", _on(CRITICAL), alert),
            ("an overdue checkpoint", "Reached late, or not at all, whoever is dead.", _on(*RAISED, match=OVERDUE),
             alert),
        )
    ]


def _on(*events: str, match: dict[str, str] | None = None, related: dict[str, str] | None = None) -> EventTrigger:
    return EventTrigger(
        posture=Posture.Reactive, expect=set(events), threshold=1, within=timedelta(0),
        match=ResourceSpecification.model_validate(match or {}),
        match_related=ResourceSpecification.model_validate(related or {}),
    )


def _silent(related: dict[str, str] | None = None) -> EventTrigger:
    return EventTrigger(
        posture=Posture.Proactive, after={ALIVE}, expect={ALIVE, *FINAL}, threshold=1,
        for_each={"prefect.resource.id"}, within=SILENT_AFTER,
        match_related=ResourceSpecification.model_validate(related or {}),
    )


def _emergency(emergency_id: UUID, reason: str, *, is_one_of_many: bool) -> RunDeployment:
    """Return the mildest action: it stops what opens exposure, and a session that trades goes on closing."""
    return _run(
        emergency_id,
        {
            "action": "reduce-only", "run_id": NAMED, "operator": "automation", "reason": reason,
            "known_only": is_one_of_many,
        },
    )


def _run(deployment_id: UUID, request: dict[str, object]) -> RunDeployment:
    return RunDeployment(source="selected", deployment_id=deployment_id, parameters={"request": request})
