"""Compose file, units and page of the scale-out: every name in them is one that somebody reads."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from prefect.settings.models.root import Settings as PrefectSettings
from prefect_redis.client import RedisMessagingSettings
from pydantic import AliasChoices
from pydantic_settings import BaseSettings
from typer.main import get_command

from deployments.automations import automations
from deployments.catalogue import catalogue
from deployments.deploy_settings import POOL, DeploySettings, load_deploy_settings, pool_of
from deployments.takeover import again
from flows.cli import app
from flows.emergency import accounts_of
from flows.requests import EmergencyRequest
from tests.control_rig import write_beat
from trading_core.errors import ConfigurationError
from trading_core.plan_files import find_plan
from trading_core.settings import VARIABLES

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "deployments" / "compose.yaml"
UNITS = sorted((ROOT / "deployments" / "systemd").glob("*.service"))
PAGE = (ROOT / "docs" / "scale-out.md").read_text("utf-8")
DEPLOY = frozenset({"GREENLIGHT_ACCOUNTS"})
OTHERS = frozenset({"DO_NOT_TRACK", "POSTGRES_USER", "POSTGRES_PASSWORD_FILE", "POSTGRES_DB"})


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text("utf-8"))
    return found


def names_of(model: type[BaseSettings]) -> Iterator[str]:
    """Yield every variable that a settings model of Prefect reads."""
    prefix = str(model.model_config.get("env_prefix", ""))
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseSettings):
            yield from names_of(inner)
            continue
        yield (prefix + name).upper()
        if isinstance(field.validation_alias, AliasChoices):
            yield from (str(choice).upper() for choice in field.validation_alias.choices if isinstance(choice, str))


KNOWN = frozenset(names_of(PrefectSettings)) | frozenset(names_of(RedisMessagingSettings)) | set(VARIABLES) | DEPLOY


def test_every_variable_of_the_compose_file_is_read_by_somebody() -> None:
    named = {name for service in compose()["services"].values() for name in service.get("environment", {})}
    assert len(named) > 12
    assert named - KNOWN - OTHERS == set()


def test_every_variable_of_the_page_is_read_by_somebody() -> None:
    named = set(re.findall(r"^([A-Z][A-Z_]+)=", PAGE, re.MULTILINE))
    named |= set(re.findall(r"`((?:PREFECT|GREENLIGHT|EVENT_STORE|ARTIFACTS)_[A-Z_]+)`", PAGE))
    assert len(named) > 12
    assert named - KNOWN - OTHERS - {"PREFECT_HOME"} == set()


def test_the_page_and_the_compose_file_set_up_the_server_alike() -> None:
    block = dict(re.findall(r"^(PREFECT_[A-Z_]+|DO_NOT_TRACK)=(\S+)$", PAGE, re.MULTILINE))
    in_compose = compose()["services"]["api-1"]["environment"]
    hosts = {"redis.internal": "redis"}
    for name, value in in_compose.items():
        assert re.sub("redis.internal", lambda m: hosts[m[0]], block[name]) == value, name


def test_replicas_have_no_services_and_the_second_waits_for_the_first() -> None:
    services = compose()["services"]
    for name in ("api-1", "api-2"):
        assert services[name]["command"][:4] == ["prefect", "server", "start", "--no-services"]
        assert all(port.startswith("127.0.0.1:") for port in services[name]["ports"])
    assert services["api-2"]["depends_on"]["api-1"]["condition"] == "service_healthy"
    assert services["services"]["command"] == ["prefect", "server", "services", "start"]


def test_what_the_compose_file_refers_to_is_in_it() -> None:
    made = compose()
    for name, service in made["services"].items():
        assert set(service.get("depends_on", {})) <= set(made["services"]), name
        volumes = {volume.partition(":")[0] for volume in service.get("volumes", [])}
        assert volumes <= set(made["volumes"]), name
        assert set(service.get("secrets", [])) <= set(made["secrets"]), name


def test_no_secret_is_written_into_compose_file_or_units() -> None:
    for path in (COMPOSE, *UNITS):
        text = path.read_text("utf-8")
        assert not re.search(r"(?i)(PASSWORD|PRIVATE_KEY|AUTH_STRING|API_KEY) *[:=](?!-) *[^\s]", text), path.name
        assert not re.search(r"://[^/\s]+:[^/\s]+@", text), path.name


def commands() -> list[tuple[str, list[str]]]:
    """Return the command of each service and unit that runs our image or folder."""
    found = [
        (name, service["command"]) for name, service in compose()["services"].items() if "env_file" in service
    ]
    for unit in UNITS:
        line = re.findall(r"^ExecStart=(.+)$", unit.read_text("utf-8"), re.MULTILINE)
        found.append((unit.name, line[0].replace("/opt/greenlight/.venv/bin/", "").split()))
    return found


@pytest.mark.parametrize(("name", "words"), commands(), ids=[name for name, _ in commands()])
def test_every_command_is_one(name: str, words: list[str]) -> None:
    match words:
        case ["greenlight", command, *_]:
            assert command in get_command(app).commands  # type: ignore[attr-defined]  # it is a group
        case ["python", "-m", module, *_]:
            assert importlib.util.find_spec(module) is not None
        case _:
            assert words[:2] == ["prefect", "server"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_every_unit_runs_as_nobody_special_and_starts_again(unit: Path) -> None:
    text = unit.read_text("utf-8")
    for line in ("User=greenlight", "NoNewPrivileges=true", "UMask=0077", "Restart=on-failure", "WorkingDirectory="):
        assert f"\n{line}" in text, line
    assert unit.name.removesuffix(".service").rstrip("@") in PAGE or unit.name == "greenlight.service"


def test_each_account_has_a_pool_its_plans_and_its_emergency() -> None:
    settings = load_deploy_settings({"GREENLIGHT_ACCOUNTS": "alpha beta-2"})
    assert settings.pools == ("greenlight", "greenlight-alpha", "greenlight-beta-2")
    own = {d.name for d in catalogue(settings) if d.pool == "greenlight-alpha"}
    assert own == {"phase2-alpha", "stage3-alpha", "stage4-alpha", "stage5-alpha", "emergency-alpha"}
    assert all(not d.cron for d in catalogue(settings) if d.pool != "greenlight")
    assert len({(d.flow.name, d.name) for d in catalogue(settings)}) == len(catalogue(settings))
    assert len(catalogue(settings)) == len(catalogue(DeploySettings())) + 10


@pytest.mark.parametrize("text", ["Alpha", "a a", "a/b", "-a", "a,b"])
def test_an_account_that_cannot_be_the_name_of_a_pool_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="GREENLIGHT_ACCOUNTS"):
        load_deploy_settings({"GREENLIGHT_ACCOUNTS": text})


@pytest.mark.parametrize(
    ("run_id", "wanted"), [("alpha", "alpha-again2"), ("alpha-again2", "alpha-again3"), ("", ""), ("a-2", "a-2-again2")]
)
def test_a_rehearsal_is_run_again_under_another_name(run_id: str, wanted: str) -> None:
    assert again({"run_id": run_id, "seed": 7}) == {"run_id": wanted, "seed": 7}


def test_a_run_of_another_machine_is_none_of_ours(tmp_path: Path) -> None:
    write_beat(tmp_path, "mine")
    asked = {"run_id": "elsewhere", "reason": "critical alert"}
    assert [a.name for a in accounts_of(tmp_path, EmergencyRequest.model_validate(asked))] == ["mine"]
    assert accounts_of(tmp_path, EmergencyRequest.model_validate({**asked, "known_only": True})) == []


def test_an_alert_of_an_account_reaches_its_own_machine_only() -> None:
    shared, own = uuid4(), uuid4()
    wanted = automations(uuid4(), {POOL: shared, pool_of("alpha"): own}, None)
    made = {core.name: core.model_dump(mode="json") for core in wanted}
    assert len(made) == 6
    alert = made["greenlight: critical alert of greenlight-alpha"]
    assert alert["trigger"]["match_related"] == {
        "prefect.resource.role": "work-pool", "prefect.resource.name": "greenlight-alpha",
    }
    assert [action["deployment_id"] for action in alert["actions"]] == [str(own)]
    assert made["greenlight: critical alert"]["actions"][0]["parameters"]["request"]["known_only"] is True


def test_a_run_that_waits_for_people_or_was_refused_by_them_is_told_like_a_no_go() -> None:
    wanted = {core.name: core for core in automations(uuid4(), {POOL: uuid4()}, uuid4())}
    told = {
        name: sorted(wanted[f"greenlight: tell of {name}"].trigger.model_dump()["expect"])
        for name in ("NO-GO", "approval wanted", "approval refused")
    }
    assert told == {
        "NO-GO": ["prefect.flow-run.NoGo"],
        "approval wanted": ["prefect.flow-run.Hold", "prefect.flow-run.Suspended"],
        "approval refused": ["prefect.flow-run.Expired", "prefect.flow-run.Rejected"],
    }


def test_people_are_told_of_an_overdue_checkpoint_by_its_name_however_grave_the_plan_calls_it() -> None:
    wanted = automations(uuid4(), {POOL: uuid4()}, uuid4())
    made = {core.name: core.model_dump(mode="json") for core in wanted}
    told = made["greenlight: tell of an overdue checkpoint"]
    assert {"greenlight.alert.error", "greenlight.alert.critical"} <= set(told["trigger"]["expect"])
    names = {t.name for plan in ("stage3", "stage4", "stage5") for t in find_plan(plan).thresholds
             if t.metric == "checkpoint_overdue_s"}
    assert {told["trigger"]["match"]["greenlight.alert.name"]} == names
