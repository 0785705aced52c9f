"""Forms refuse nonsense, late runs are skipped with the reason, one run an account, and settings say what is wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.schemas.objects import FlowRun
from pydantic import ValidationError

from deployments.catalogue import catalogue
from deployments.deploy_settings import DeploySettings, Schedules, load_deploy_settings
from flows.account_slot import AccountBusy, locked
from flows.checked_request import check
from flows.late import late_reason
from flows.requests import EmergencyRequest, RolloutRequest, RunRequest
from trading_core.clock import NS
from trading_core.errors import ConfigurationError

SCHEDULED = datetime(2026, 11, 21, 0, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("plan", "phase9"), ("venue", "coinbase"), ("speed", 0), ("speed", 1441), ("seed", -1), ("day", "monday"),
        ("impact_bps_max", "1e9"), ("impact_bps_max", "7,5"), ("run_id", "../elsewhere"), ("start_within_s", 0),
        ("api_key", "x"),
    ],
)
def test_rollout_form_refuses(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=name):
        RolloutRequest.model_validate({name: value})


def test_every_field_of_a_form_has_help() -> None:
    for model in (RolloutRequest, RunRequest, EmergencyRequest):
        bare = [name for name, found in model.model_fields.items() if not found.description]
        assert bare == []


def test_impact_limit_of_the_form_tightens_and_never_loosens() -> None:
    _, tight, _ = check(RolloutRequest.model_validate({"venue": "simulated", "impact_bps_max": "7.5"}))
    assert str(tight.sizing.impact_bps_max) == "7.5"
    with pytest.raises(ConfigurationError, match="only tighten"):
        check(RolloutRequest.model_validate({"venue": "simulated", "impact_bps_max": "1000"}))
    with pytest.raises(ConfigurationError, match="above 0"):
        check(RolloutRequest.model_validate({"venue": "simulated", "impact_bps_max": "0"}))


@pytest.mark.parametrize(
    "asked",
    [
        {"action": "resume", "account": "a1", "operator": "Ann"},
        {"action": "resume", "account": "a1", "operator": "Ann", "confirmation": "resume a2"},
        {"action": "resume", "account": "a1", "confirmation": "resume a1"},
        {"action": "close-all", "operator": "Ann", "confirmation": "close-all "},
        {"action": "reduce-only", "account": "a1", "run_id": "r1"},
    ],
    ids=["untyped", "of another account", "by nobody", "of nothing", "of two"],
)
def test_emergency_form_refuses_what_nobody_confirmed(asked: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        EmergencyRequest.model_validate({"reason": "drill", **asked})


def test_emergency_form_takes_what_was_confirmed() -> None:
    asked = {"action": "resume", "account": "a1", "operator": "Ann", "confirmation": "resume a1", "reason": "mended"}
    assert EmergencyRequest.model_validate(asked).operator == "Ann"
    assert EmergencyRequest.model_validate({"reason": "drill"}).action == "reduce-only"


def flow_run(*, auto_scheduled: bool = True, run_count: int = 1) -> FlowRun:
    return FlowRun(
        flow_id=UUID(int=1), auto_scheduled=auto_scheduled, run_count=run_count, expected_start_time=SCHEDULED
    )


def late_by(seconds: int) -> int:
    return int((SCHEDULED + timedelta(seconds=seconds)).timestamp()) * NS


def test_scheduled_run_that_starts_too_late_is_skipped_with_both_figures() -> None:
    reason = late_reason(flow_run(), late_by(1801), 1800)
    assert "1801 s late" in reason
    assert "limit 1800 s" in reason


@pytest.mark.parametrize(
    ("run", "seconds"),
    [(flow_run(), 1800), (flow_run(auto_scheduled=False), 90_000), (flow_run(run_count=2), 90_000)],
    ids=["in time", "started by a person", "retried"],
)
def test_other_runs_are_not_skipped(run: FlowRun, seconds: int) -> None:
    assert late_reason(run, late_by(seconds), 1800) == ""


def test_second_run_of_an_account_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    with locked(tmp_path / "a1", "a1", 0, lambda: True):
        with pytest.raises(AccountBusy, match="account a1"), locked(tmp_path / "a1", "a1", 0, lambda: True):
            pass
        with locked(tmp_path / "a2", "a2", 0, lambda: True):
            pass
    with locked(tmp_path / "a1", "a1", 0, lambda: True):
        assert (tmp_path / "a1" / "run.lock").exists()


def test_an_account_is_not_free_while_a_session_of_another_run_trades_it_and_its_own_run_may_come(
    tmp_path: Path
) -> None:
    with pytest.raises(AccountBusy, match="account a1"), locked(tmp_path / "a1", "a1", 0, lambda: False):
        pass
    with locked(tmp_path / "a1", "a1", 0, lambda: True):  # whoever was refused left the lock
        assert (tmp_path / "a1" / "run.lock").exists()


def test_nothing_on_a_schedule_trades_real_money() -> None:
    clocked = [d for d in catalogue(DeploySettings()) if d.cron]
    assert len(clocked) == 3
    assert {d.request.get("venue", "local") for d in clocked} <= {"local", "simulated"}


def test_deployments_have_names_of_their_own_and_words() -> None:
    found = catalogue(DeploySettings())
    names = [(d.flow.name, d.name) for d in found]
    assert len(set(names)) == len(names)
    assert all(d.words for d in found)


def test_deploy_settings_are_read_and_wrong_ones_are_named() -> None:
    found = load_deploy_settings({"GREENLIGHT_SCHEDULES": "active", "GREENLIGHT_STAGE3_AT": "22:45"})
    assert (found.schedules, found.stage3_hour, found.stage3_minute) == (Schedules.ACTIVE, 22, 45)
    for name, value in (
        ("GREENLIGHT_SCHEDULES", "on"), ("GREENLIGHT_STAGE3_AT", "25:00"), ("GREENLIGHT_ROLLOUTS_AT_ONCE", "0"),
        ("GREENLIGHT_WEBHOOK_URL", "ftp://x"),
    ):
        with pytest.raises(ConfigurationError, match=name):
            load_deploy_settings({name: value})


def test_webhook_address_does_not_show() -> None:
    found = load_deploy_settings({"GREENLIGHT_WEBHOOK_URL": "https://example.test/hook/secret-token"})
    assert "secret-token" not in repr(found)
