"""What a request for a run means here. Without Prefect: what cannot be run is refused before that is imported."""

from __future__ import annotations

import os

from pydantic import ValidationError

from flows.requests import RolloutRequest, VenueRequest
from trading_core.bootstrap import account_fingerprint
from trading_core.errors import ConfigurationError
from trading_core.local_exchange.faults import load_faults
from trading_core.money import decimal_of
from trading_core.plan import Plan
from trading_core.plan_files import find_plan
from trading_core.run import VenueName
from trading_core.settings import Settings, load_settings


def checked_request(**asked: object) -> RolloutRequest:
    """Return the request that a command line asks for; raises ConfigurationError for a wrong argument."""
    try:
        request = RolloutRequest.model_validate(asked)
    except ValidationError as e:
        first = e.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"--{name.replace('_', '-')} {first.get('input')!r}: {first['msg']}") from e
    check(request)
    return request


def check(request: VenueRequest) -> tuple[Settings, Plan, VenueName]:
    """Return what the request means here; raises ConfigurationError for what cannot be run, before anything starts."""
    settings = load_settings(os.environ)
    plan = _tightened(settings.tighten(_plan_of(request)), settings, request.impact_bps_max)
    venue = settings.venue_for(request.venue, request.plan)
    if faults := request.faults or plan.faults:
        load_faults(faults)
    if venue is VenueName.LIVE:
        settings.require_armed(request.plan, account_fingerprint(venue))
    return settings, plan, venue


def _tightened(plan: Plan, settings: Settings, impact_bps_max: str) -> Plan:
    """Return the plan under the request's own limit, which may tighten further, like the environment's."""
    if not impact_bps_max:
        return plan
    if (limit := decimal_of(impact_bps_max)) <= 0:
        raise ConfigurationError(f"the impact limit is {impact_bps_max!r} (needed: basis points above 0, like 7.5)")
    return settings.model_copy(update={"max_impact_bps": limit}).tighten(plan)


def _plan_of(request: VenueRequest) -> Plan:
    plan = find_plan(request.plan_file or request.plan)
    if plan.name is not request.plan:
        raise ConfigurationError(
            f"plan file {request.plan_file} is of rung {plan.name} and the run is of {request.plan}: name the same rung"
        )
    return plan
