"""Which deployments there are: each plan, each single flow, and what runs by the clock. Data, applied by deploy.py."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from prefect import Flow

from deployments.deploy_settings import POOL, DeploySettings, pool_of
from flows.drill import drill
from flows.emergency import emergency
from flows.ladder import ladder
from flows.report_again import report
from flows.rollout import rollout
from flows.single_stage import (
    artifact_analysis_alone,
    capability_probe_alone,
    dry_run_pulse_alone,
    go_no_go_alone,
    live_micro_test_alone,
    preflight_alone,
)
from trading_core.plan import Rung
from trading_core.plan_files import find_plan

# A queue with a limit for what trades, so that reports and emergencies never wait behind a day of trading.
ROLLOUTS, OPERATIONS = "rollouts", "operations"


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """One deployment: a flow, how its form is filled in, and when it runs by itself."""

    flow: Flow[..., Any]
    name: str
    words: str
    request: dict[str, object] = field(default_factory=dict)
    queue: str = OPERATIONS
    cron: str = ""  # in UTC; empty: only when somebody asks
    tags: tuple[str, ...] = ()
    pool: str = POOL


def catalogue(settings: DeploySettings) -> list[Deployed]:
    """Return every deployment, in the order of the UI's list."""
    shared = [*_plans(), *_stages(), *_operations(), *_by_the_clock(settings)]
    return shared + [deployed for account in settings.accounts for deployed in _of_account(account)]


def _of_account(account: str) -> list[Deployed]:
    """Return what must run on the machine that has the account's key, state file and heartbeat."""
    acting = [*_plans(), next(d for d in _operations() if d.flow is emergency)]
    return [
        replace(d, name=f"{d.name}-{account}", pool=pool_of(account), tags=(*d.tags, f"account:{account}"))
        for d in acting
    ]


def _plans() -> list[Deployed]:
    return [
        Deployed(
            flow=rollout, name=rung.value, queue=ROLLOUTS, request={"plan": rung.value, "venue": "local", "speed": 10},
            tags=("rollout", f"plan:{rung}"),
            words=f"{rung}: six stages with a gate between each two, a window of "
            f"{find_plan(rung).protocol.window_s / 3600:g} h at the venue, and a verdict.",
        )
        for rung in Rung
    ]


def _stages() -> list[Deployed]:
    at_venue = (preflight_alone, capability_probe_alone, dry_run_pulse_alone, live_micro_test_alone)
    of_run = (artifact_analysis_alone, go_no_go_alone)
    filled: dict[str, object] = {"plan": "phase2", "venue": "local", "speed": 10}
    return [
        Deployed(
            flow=flow, name=f"{flow.name.removeprefix('single ').replace(' ', '-')}-alone", tags=("single stage",),
            words=str(flow.description),
            queue=ROLLOUTS if flow is live_micro_test_alone else OPERATIONS,
            request=filled if flow in at_venue else {},
        )
        for flow in (*at_venue, *of_run)
    ]


def _operations() -> list[Deployed]:
    return [
        Deployed(flow=emergency, name="emergency", words=str(emergency.description), tags=("emergency",)),
        Deployed(flow=report, name="report", words=str(report.description)),
        Deployed(flow=ladder, name="ladder", words=str(ladder.description), request={"level": "all"}),
        Deployed(flow=drill, name="drill", words=str(drill.description), tags=("emergency", "drill"),
                 request={"plan": "phase2"}),
    ]


def _by_the_clock(settings: DeploySettings) -> list[Deployed]:
    """Rehearsals only: what trades real money is started by a person whose environment arms it."""
    at = f"{settings.stage3_minute} {settings.stage3_hour} * * *"
    return [
        Deployed(
            flow=rollout, name="stage3-daily", queue=ROLLOUTS, cron=at, tags=("rollout", "plan:stage3", "scheduled"),
            request={"plan": "stage3", "venue": "local", "speed": 1, "start_within_s": 1800},
            words="Stage 3 for 24 h on the local exchange, each day. One that starts late is skipped with the reason.",
        ),
        Deployed(
            flow=drill, name="weekly-drill", cron="0 9 * * 1", request={"plan": "phase2"},
            tags=("emergency", "drill", "scheduled"), words="Each Monday at 09:00 UTC: " + str(drill.description),
        ),
        Deployed(
            flow=capability_probe_alone, name="hourly-probe", cron="17 * * * *", tags=("single stage", "scheduled"),
            request={"plan": "stage3", "venue": "simulated"},
            words="Each hour: what the venue offers for Stage 3. A change here is seen before the next run needs it.",
        ),
    ]
