"""The environment is read once, and a wrong value is a sentence with the value, the limit and what to do."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from trading_core.errors import ConfigurationError
from trading_core.plan import Plan, Rung, load_plan
from trading_core.run import VenueName
from trading_core.settings import Settings, load_settings

PLANS = Path(__file__).parents[2] / "deployments" / "plans"


@pytest.fixture(scope="module")
def phase2() -> Plan:
    return load_plan(PLANS / "phase2.toml")


def key_file(folder: Path, mode: int = 0o600) -> Path:
    path = folder / "key.json"
    path.write_text("{}", "utf-8")
    path.chmod(mode)
    return path


def test_an_empty_environment_gives_the_defaults() -> None:
    settings = load_settings({})
    assert settings == Settings()
    assert (settings.event_store_root, settings.artifacts_root) == (Path("var/events"), Path("artifacts"))
    assert not settings.has_credentials


def test_an_empty_variable_counts_as_unset() -> None:
    assert load_settings({"EVENT_STORE_ROOT": " ", "COINBASE_SANDBOX": ""}) == Settings()


def test_every_variable_reaches_its_setting(tmp_path: Path) -> None:
    settings = load_settings(
        {
            "COINBASE_API_MODE": "Advanced",
            "COINBASE_AUTH_TYPE": "JWT",
            "COINBASE_ENABLE_DERIVATIVES": "0",
            "COINBASE_CDP_KEY_FILE": str(key_file(tmp_path)),
            "COINBASE_SANDBOX": "1",
            "MAX_IMPACT_BPS": "7.5",
            "EVENT_STORE_ROOT": str(tmp_path / "events"),
            "ARTIFACTS_ROOT": str(tmp_path / "artifacts"),
            "GREENLIGHT_ARM_LIVE": "I-ACCEPT-LIVE-ORDERS phase2",
        }
    )
    assert settings.enable_derivatives is False
    assert settings.key_file == tmp_path / "key.json"
    assert settings.has_credentials
    assert settings.sandbox is True
    assert settings.max_impact_bps == Decimal("7.5")
    assert settings.event_store_root == tmp_path / "events"
    assert settings.artifacts_root == tmp_path / "artifacts"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("COINBASE_API_MODE", "exchange", ("'exchange'", "advanced")),
        ("COINBASE_AUTH_TYPE", "HMAC", ("'HMAC'", "jwt", "CDP key")),
        ("COINBASE_ENABLE_DERIVATIVES", "maybe", ("'maybe'", "1, 0")),
        ("COINBASE_SANDBOX", "2", ("'2'", "1, 0")),
        ("MAX_IMPACT_BPS", "0", ("'0'", "above 0")),
        ("MAX_IMPACT_BPS", "-5", ("'-5'", "above 0")),
        ("MAX_IMPACT_BPS", "NaN", ("'NaN'", "above 0")),
        ("MAX_IMPACT_BPS", "ten", ("'ten'", "above 0")),
        ("MAX_IMPACT_BPS", "1_0", ("'1_0'", "above 0")),
        ("COINBASE_CDP_KEY_FILE", "no/such/key.json", ("no/such/key.json", "No such file", "correct the path")),
        ("COINBASE_CDP_KEY_FILE", ".", ("is no file",)),
        ("COINBASE_SANBOX", "1", ("COINBASE_SANBOX", "did you mean COINBASE_SANDBOX")),
        ("MAX_IMPACT_BP", "5", ("did you mean MAX_IMPACT_BPS",)),
    ],
)
def test_a_wrong_value_names_itself_the_limit_and_what_to_do(name: str, value: str, said: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings({name: value})
    assert all(part in str(caught.value) for part in said), str(caught.value)


def test_variables_that_are_not_ours_are_left_alone() -> None:
    foreign = {"COINBASE_API_KEY": "x", "COINBASE_API_SECRET": "y", "COINBASE_WEBHOOK": "z", "PATH": "/bin"}
    assert load_settings(foreign) == Settings()


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"mode 0644 \(limit 0600\): run chmod 600"):
        load_settings({"COINBASE_CDP_KEY_FILE": str(key_file(tmp_path, 0o644))})


@pytest.mark.parametrize("name", ["COINBASE_CDP_API_KEY", "COINBASE_CDP_PRIVATE_KEY"])
def test_half_a_key_is_refused_without_showing_it(name: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings({name: "hunter2"})
    assert "set both, or neither" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_key_file_beside_a_key_pair_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="which key counts is unclear"):
        load_settings({"COINBASE_CDP_KEY_FILE": str(key_file(tmp_path)), "COINBASE_CDP_API_KEY": "name"})


def test_a_folder_setting_that_names_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"EVENT_STORE_ROOT is .* which is a file"):
        load_settings({"EVENT_STORE_ROOT": str(key_file(tmp_path))})


def test_secrets_do_not_show_in_the_repr() -> None:
    settings = load_settings({"COINBASE_CDP_API_KEY": "key-name", "COINBASE_CDP_PRIVATE_KEY": "hunter2"})
    assert settings.private_key is not None
    assert settings.private_key.get_secret_value() == "hunter2"
    assert "hunter2" not in repr(settings) + str(settings) + settings.model_dump_json()


@pytest.mark.parametrize(
    ("sandbox", "asked", "venue"),
    [
        (None, None, VenueName.LOCAL),
        (True, None, VenueName.SANDBOX),
        (False, None, VenueName.LOCAL),
        (None, VenueName.SANDBOX, VenueName.SANDBOX),
        (True, VenueName.LOCAL, VenueName.LOCAL),
        (True, VenueName.SIMULATED, VenueName.SIMULATED),
        (False, VenueName.LIVE, VenueName.LIVE),
        (None, VenueName.PAPER, VenueName.PAPER),
    ],
)
def test_the_sandbox_switch_selects_the_venue(sandbox: bool | None, asked: VenueName | None, venue: VenueName) -> None:
    assert Settings(sandbox=sandbox).venue_for(asked, Rung.PHASE2) is venue


@pytest.mark.parametrize(
    ("sandbox", "asked", "rung", "said"),
    [
        (True, VenueName.LIVE, Rung.PHASE2, "COINBASE_SANDBOX is 1 and the venue is live"),
        (True, VenueName.PAPER, Rung.PHASE2, "COINBASE_SANDBOX is 1 and the venue is paper"),
        (False, VenueName.SANDBOX, Rung.PHASE2, "COINBASE_SANDBOX is 0 and the venue is sandbox"),
        (True, None, Rung.STAGE3, "the sandbox cannot carry stage3"),
        (None, VenueName.SANDBOX, Rung.STAGE5, "the sandbox cannot carry stage5"),
    ],
)
def test_a_contradictory_venue_is_refused(
    sandbox: bool | None, asked: VenueName | None, rung: Rung, said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Settings(sandbox=sandbox).venue_for(asked, rung)


def test_the_impact_limit_of_the_environment_may_only_tighten(phase2: Plan) -> None:
    assert load_settings({"MAX_IMPACT_BPS": "10"}).tighten(phase2) is phase2
    tightened = load_settings({"MAX_IMPACT_BPS": "9.9"}).tighten(phase2)
    assert tightened.sizing.impact_bps_max == Decimal("9.9")
    assert tightened.digest != phase2.digest
    with pytest.raises(ConfigurationError, match=r"MAX_IMPACT_BPS is 10\.1, above the limit 10 of plan phase2"):
        load_settings({"MAX_IMPACT_BPS": "10.1"}).tighten(phase2)


@pytest.mark.parametrize("text", ["I-ACCEPT-LIVE-ORDERS phase2", "I-ACCEPT-LIVE-ORDERS 4f2a"])
def test_live_orders_are_armed_by_plan_or_by_account(text: str) -> None:
    settings = load_settings({"GREENLIGHT_ARM_LIVE": text})
    settings.require_armed(Rung.PHASE2, "4f2a")
    with pytest.raises(ConfigurationError, match="not armed"):
        settings.require_armed(Rung.STAGE3, "beef")


@pytest.mark.parametrize("text", ["", "1", "yes", "I-ACCEPT-LIVE-ORDERS", "i-accept-live-orders phase2"])
def test_nothing_less_than_the_exact_text_arms(text: str) -> None:
    with pytest.raises(ConfigurationError, match="needed: 'I-ACCEPT-LIVE-ORDERS phase2'"):
        load_settings({"GREENLIGHT_ARM_LIVE": text}).require_armed(Rung.PHASE2)
