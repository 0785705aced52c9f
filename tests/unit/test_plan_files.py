"""The plans that ship: what the specification fixes stands in them, and a wrong file is refused with a sentence."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trading_core.errors import ConfigurationError
from trading_core.gate.catalog import PRODUCED_BY
from trading_core.plan import Plan, Rung, Tier, load_plan, parse_plan
from trading_core.plan_files import find_plan, plan_below, plan_names, plan_path


def raw(name: str = "phase2") -> dict[str, Any]:
    return tomllib.loads(plan_path(name).read_text("utf-8"))


def test_every_rung_has_its_plan_and_stands_on_the_one_below() -> None:
    plans = [find_plan(name) for name in plan_names()]
    assert [plan.name for plan in plans] == list(Rung)
    assert [plan.needs_rung for plan in plans] == [None, *list(Rung)[:-1]]
    assert plan_below(plans[0]) is None
    assert plan_below(plans[1]) == plans[0]


@pytest.mark.parametrize("name", plan_names())
def test_every_criterion_says_why_and_names_a_known_metric(name: str) -> None:
    plan = find_plan(name)
    assert all(len(c.because) > 20 for c in plan.criteria)
    assert {c.metric for c in plan.criteria} <= set(PRODUCED_BY)
    assert any(c.tier is Tier.MUST for c in plan.criteria)


def test_phase_2_has_the_numbers_of_the_specification() -> None:
    plan = find_plan("phase2")
    by_name = {c.name: c for c in plan.criteria}
    assert (plan.entry.notional_min, plan.risk.daily_loss_max) == (25, 100)
    assert 25 < plan.entry.notional_max <= 100  # each order; the product's cap is for all that rest at once
    assert (plan.policy.auto_cancel_s, plan.policy.is_entry_post_only) == (30, True)
    assert (plan.sizing.impact_bps_max, plan.risk.pre_funding_quiet_s, plan.risk.stale_after_s) == (10, 1800, 10)
    assert (by_name["clock_offset_s"].warn_above, by_name["clock_offset_s"].limit) == (2, 5)
    assert by_name["place_order_latency_ms"].quantile_limit == 500
    assert by_name["order_rejected_share"].p0 == Decimal("0.80")
    assert by_name["reconciliation"].limit == Decimal("0.01")
    assert by_name["retries_per_order"].limit == 2


def test_stage_3_has_the_numbers_of_the_specification() -> None:
    plan = find_plan("stage3")
    caps = {p.product_id: (p.max_size, p.max_notional) for p in plan.products}
    assert caps == {
        "BTC-USD": (Decimal("0.01"), Decimal(500)), "ETH-USD": (Decimal("0.1"), Decimal(300)),
        "SOL-USD": (Decimal(10), Decimal(100)), "XRP-USD": (Decimal(200), Decimal(100)),
    }
    assert plan.protocol.stop_test_sizes == {
        "BTC-USD": Decimal("0.001"), "ETH-USD": Decimal("0.01"), "SOL-USD": Decimal(1), "XRP-USD": Decimal(20),
    }
    assert (plan.protocol.window_s, plan.protocol.snapshot_every_s, plan.protocol.save_every_s) == (86_400, 60, 300)
    assert plan.protocol.checkpoints_h == (0, 1, 4, 8, 24, 25)
    assert (plan.protocol.stop_distance_bps, plan.sizing.impact_bps_max, plan.risk.leverage_max) == (200, 50, 1)
    assert (plan.rollback.close_all_after_min, plan.rollback.disable_after_min) == (5, 10)
    assert next(c for c in plan.criteria if c.name == "order_acceptance").p0 == Decimal("0.95")


@pytest.mark.parametrize("name", plan_names())
def test_thresholds_of_the_specification_stand_in_every_plan(name: str) -> None:
    limits = {t.name: (t.limit, t.severity) for t in find_plan(name).thresholds}
    assert limits["mark_staleness"] == (30, "WARNING")
    assert limits["reconciliation_drift"] == (1, "ERROR")
    assert limits["margin_utilization_high"] == (Decimal("0.20"), "WARNING")
    assert limits["margin_utilization_critical"] == (Decimal("0.50"), "CRITICAL")


def damaged(path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    """Return the raw phase 2 plan with one place changed."""
    plan = raw()
    place: Any = plan
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    return plan


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("risk", "daily_loss_maximum"), "100", "risk.daily_loss_maximum"),
        (("nonsense",), 1, "nonsense"),
        (("criteria", 0, "colour"), "red", "criteria.0.colour"),
        (("risk", "daily_loss_max"), 100.0, "write money as a string"),
        (("products", 0, "max_notional"), 0.1, "write money as a string"),
        (("risk", "daily_loss_max"), True, "write money as a string"),
        (("risk", "daily_loss_max"), "a lot", "not a decimal number"),
        (("risk", "daily_loss_max"), "NaN", "not finite"),
        (("risk", "daily_loss_max"), "Infinity", "not finite"),
        (("name",), "phase9", "name"),
        (("schema_version",), 2, "schema_version"),
        (("products",), [], "products"),
        (("entry", "interval_s"), 0, "entry.interval_s"),
        (("criteria", 0, "tier"), "mandatory", "criteria.0.tier"),
        (("criteria", 0, "kind"), "feeling", "criteria.0.kind"),
        (("guardrails", 0, "metric"), "mood", "guardrails.0.metric"),
        (("protocol", "window_s"), -1, "protocol.window_s"),
        (("policy", "order_types"), ["ICEBERG"], "policy.order_types"),
    ],
)
def test_a_wrong_plan_is_refused_with_key_and_value(path: tuple[str | int, ...], value: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=r"plan test\.toml is not valid") as caught:
        parse_plan(damaged(path, value), "test.toml")
    assert words in str(caught.value)


def test_a_missing_because_is_refused() -> None:
    plan = raw()
    del plan["criteria"][0]["because"]
    with pytest.raises(ConfigurationError, match=r"criteria\.0\.because"):
        parse_plan(plan, "test.toml")


@pytest.mark.parametrize("content", [b"name = ", b"\xff\xfe", b"a = 1\na = 2"])
def test_a_file_that_is_no_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_plan(path)


def test_an_unknown_name_is_refused_and_names_the_plans() -> None:
    with pytest.raises(ConfigurationError, match="choose phase2, stage3, stage4, stage5"):
        find_plan("phase3")


def test_a_path_is_a_plan_too(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(plan_path("phase2").read_bytes())
    assert find_plan(str(path)) == find_plan("phase2")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        find_plan(str(tmp_path / "absent.toml"))


def test_the_digest_follows_the_content_and_not_the_spelling() -> None:
    plan = find_plan("phase2")
    same = parse_plan(damaged(("risk", "daily_loss_max"), "100.00"), "test")
    other = parse_plan(damaged(("risk", "daily_loss_max"), "100.01"), "test")
    assert plan.digest == same.digest != other.digest
    assert Plan.model_validate_json(plan.model_dump_json()).digest == plan.digest
