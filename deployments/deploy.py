"""Applies the deployments, the work pool with its queues, and the automations. Doing it again changes nothing.

    python -m deployments.deploy        # PREFECT_API_URL names the server
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.objects import WorkPool
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectAlreadyExists, PrefectHTTPStatusError
from prefect.schedules import Schedule
from prefect.types.entrypoint import EntrypointType
from prefect.workers.process import ProcessWorker

from deployments.automations import apply_automations, automations, save_block
from deployments.catalogue import OPERATIONS, ROLLOUTS, Deployed, catalogue
from deployments.deploy_settings import POOL, DeploySettings, Schedules, load_deploy_settings
from flows.emergency import emergency
from trading_core.errors import ConfigurationError

TAG = "greenlight"
CONFLICT = 409  # HTTP: it is there already


def deploy(settings: DeploySettings) -> list[str]:
    """Apply everything and return the deployments' names as Prefect writes them: flow/deployment."""
    with get_client(sync_client=True) as client:
        for pool in settings.pools:
            # An account is traded by one run at a time.
            _apply_pool(client, pool, settings.rollouts_at_once if pool == POOL else 1)
        ids = {f"{d.flow.name}/{d.name}": _apply(d, settings) for d in catalogue(settings)}
        _remove_others(client, frozenset(ids.values()))
        block_id = None if settings.webhook_url is None else save_block(settings.webhook_url)
        emergencies = {
            d.pool: ids[f"{d.flow.name}/{d.name}"] for d in catalogue(settings) if d.flow is emergency
        }
        apply_automations(client, automations(ids["ladder/ladder"], emergencies, block_id))
    return sorted(ids)


def _apply_pool(client: SyncPrefectClient, name: str, rollouts_at_once: int) -> None:
    """Make a pool and its queues. A queue's limit counts runs by state: no lease can end a run that trades."""
    pool = WorkPoolCreate(
        name=name, type="process", base_job_template=ProcessWorker.get_default_base_job_template(),
        description="Runs of Greenlight, each a process of its own on the worker's machine",
    )
    with suppress(ObjectAlreadyExists):
        client.create_work_pool(pool)
    found = client.read_work_pool(name)
    _apply_queue(client, found, ROLLOUTS, 2, rollouts_at_once)
    _apply_queue(client, found, OPERATIONS, 1, None)


def _apply_queue(client: SyncPrefectClient, pool: WorkPool, name: str, priority: int, limit: int | None) -> None:
    words = {"name": name, "priority": priority, "concurrency_limit": limit}
    try:
        pool_path = {"work_pool_name": pool.name}
        client.request("POST", "/work_pools/{work_pool_name}/queues", path_params=pool_path, json=words)
    except PrefectHTTPStatusError as e:
        if e.response.status_code != CONFLICT:
            raise
        path = {"work_pool_name": pool.name, "name": name}
        client.request("PATCH", "/work_pools/{work_pool_name}/queues/{name}", path_params=path, json=words)


def _apply(wanted: Deployed, settings: DeploySettings) -> UUID:
    made = RunnerDeployment.from_flow(
        wanted.flow, name=wanted.name, description=wanted.words, tags=[TAG, *wanted.tags],
        parameters={"request": wanted.request} if wanted.request else {}, enforce_parameter_schema=True,
        schedules=_schedules(wanted, settings),
        work_pool_name=wanted.pool, work_queue_name=wanted.queue, entrypoint_type=EntrypointType.MODULE_PATH,
    )
    return UUID(str(made.apply()))


def _remove_others(client: SyncPrefectClient, wanted: frozenset[UUID]) -> None:
    """Remove what an earlier catalogue had; deployments without our tag are somebody else's."""
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
    for found in client.read_deployments(deployment_filter=ours):
        if found.id not in wanted:
            client.delete_deployment(found.id)


def _schedules(wanted: Deployed, settings: DeploySettings) -> list[Schedule]:
    if not wanted.cron:
        return []
    is_active = settings.schedules is Schedules.ACTIVE
    return [Schedule(cron=wanted.cron, timezone="UTC", active=is_active, slug="by-the-clock")]


def main() -> int:
    """Deploy by the environment's settings; 0 if everything is applied, 2 for a wrong setting."""
    try:
        settings = load_deploy_settings(os.environ)
        if not os.environ.get("PREFECT_API_URL"):
            raise ConfigurationError("PREFECT_API_URL is not set: name the server, or use greenlight up")
        names = deploy(settings)
    except ConfigurationError as e:
        sys.stderr.write(f"{e}\n")
        return 2
    sys.stdout.write(f"{len(names)} deployments, schedules {settings.schedules}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
