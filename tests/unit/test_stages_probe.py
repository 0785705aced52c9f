"""Capability probe: what a name means, what the venue would take, and nothing is placed."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.core_builders import make_future, make_product
from tests.sim_rig import SimRig
from trading_core.errors import ConfigurationError
from trading_core.gate.evidence import ReadinessObservation
from trading_core.local_exchange.faults import FaultPlan
from trading_core.plan import Plan
from trading_core.plan_files import find_plan
from trading_core.products import Product
from trading_core.run import RunContext, VenueName
from trading_core.stages import capability_probe
from trading_core.stages.capability_probe import ProbeInput, resolve_alias
from trading_core.stages.result import Check, CheckStatus, StageResult, StageStatus

ALL = ("increments_known", "alias_resolved", "order_types_previewed", "gtd_gated_by_probe", "schema_drift")
BIP = make_future("BIP-20DEC30-CDE", venue="FCM")


def plan_with(**changes: Any) -> Plan:
    """Return phase 2 with its alias or its product changed."""
    plan = find_plan("phase2")
    alias = {k: v for k, v in changes.items() if k in ("alias", "is_traded", "accepts_minimum_above_cap")}
    product = {k: v for k, v in changes.items() if k not in alias}
    return plan.model_copy(
        update={
            "aliases": tuple(a.model_copy(update=alias) for a in plan.aliases),
            "products": tuple(p.model_copy(update=product) for p in plan.products),
        }
    )


def probe(folder: Path, plan: Plan | None = None, faults: FaultPlan | None = None) -> tuple[StageResult, SimRig]:
    """Run the probe at a simulated venue."""
    rig = SimRig(folder, faults=faults or FaultPlan())
    context = RunContext(
        run_id="r", order_prefix="p", plan=plan or find_plan("phase2"), venue=VenueName.SIMULATED, run_dir=folder,
        event_store_root=folder, subject_digest="d",
    )
    return capability_probe.run(ProbeInput(context=context, venue=rig.broker, clock=rig.clock)), rig


def check_of(result: StageResult, name: str) -> Check:
    return next(c for c in result.checks if c.name == name)


def test_a_healthy_venue_passes_and_no_order_was_placed(tmp_path: Path) -> None:
    result, rig = probe(tmp_path)
    assert result.status is StageStatus.PASSED, result.summary
    assert tuple(c.name for c in result.checks) == ALL
    assert rig.exchange.orders(rig.exchange.account_ids()[0]) == []
    assert "BTC-PERP is BIP-20DEC30-CDE" in check_of(result, "alias_resolved").observed


@pytest.mark.parametrize(
    "products",
    [
        [BIP],
        [make_product("BTC-USD"), BIP, make_future("BTC-PERP-INTX", venue="INTX")],  # retired international ones lose
        [BIP, make_future("BTF-27NOV26-CDE", venue="FCM", is_perpetual=False)],  # a dated future is no perpetual
        [BIP, make_future("ETP-20DEC30-CDE", venue="FCM", base_currency="ETH")],
    ],
)
def test_an_alias_means_the_one_perpetual_that_metadata_names(products: list[Product]) -> None:
    assert resolve_alias("BTC-PERP", products).product_id == "BIP-20DEC30-CDE"


@pytest.mark.parametrize("field", ["product_id", "alias"])
def test_an_exact_name_wins_over_metadata(field: str) -> None:
    named = make_product(**{"product_id": "X-USD", field: "BTC-PERP"}) if field == "alias" else make_product("BTC-PERP")
    assert resolve_alias("BTC-PERP", [BIP, named]) is named


@pytest.mark.parametrize(
    ("products", "words"),
    [
        ([], "no product"),
        ([make_product("BTC-USD")], "no product"),
        ([BIP, make_future("BIQ-20DEC30-CDE", venue="FCM")], "BIP-20DEC30-CDE, BIQ-20DEC30-CDE"),
    ],
)
def test_an_alias_without_one_meaning_is_refused(products: list[Product], words: str) -> None:
    with pytest.raises(ConfigurationError, match=f"BTC-PERP means {words}: it must mean exactly one"):
        resolve_alias("BTC-PERP", products)


def test_an_alias_that_the_venue_does_not_know_fails_the_check_with_a_remedy(tmp_path: Path) -> None:
    result, _ = probe(tmp_path, plan_with(alias="DOGE-PERP"))
    check = check_of(result, "alias_resolved")
    assert (result.status, check.status) == (StageStatus.FAILED, CheckStatus.FAILED)
    assert "DOGE-PERP means no product" in check.observed
    assert check.remedy


@pytest.mark.parametrize(
    ("accepts", "is_traded", "status"),
    [
        (True, False, CheckStatus.PASSED),
        (False, False, CheckStatus.FAILED),
        (False, True, CheckStatus.FAILED),
        (True, True, CheckStatus.FAILED),  # the caps would deny every order
    ],
)
def test_a_contract_above_the_cap_passes_only_where_the_plan_says_so_and_does_not_trade_it(
    tmp_path: Path, accepts: bool, is_traded: bool, status: CheckStatus
) -> None:
    result, _ = probe(tmp_path, plan_with(accepts_minimum_above_cap=accepts, is_traded=is_traded))
    check = check_of(result, "alias_resolved")
    assert check.status is status
    assert "one contract $" in check.observed
    assert ("the plan does not say that this is meant" in check.observed) is (status is CheckStatus.FAILED)


@pytest.mark.parametrize(
    "caps", [{"max_notional": Decimal("0.01")}, {"max_size": Decimal("0.000000001")}], ids=["notional", "size"]
)
def test_a_smallest_order_above_the_cap_is_refused_and_blocks_the_previews(
    tmp_path: Path, caps: dict[str, Decimal]
) -> None:
    result, _ = probe(tmp_path, plan_with(**caps))
    check = check_of(result, "increments_known")
    assert check.status is CheckStatus.FAILED
    assert "above the cap" in check.observed
    assert [c.name for c in result.checks if c.blocked_by == "increments_known"] == [
        "order_types_previewed", "gtd_gated_by_probe"
    ]


def test_a_product_that_the_venue_does_not_list_is_told(tmp_path: Path) -> None:
    result, _ = probe(tmp_path, plan_with(product_id="NOPE-USD"))
    assert check_of(result, "increments_known").status is CheckStatus.FAILED
    assert "NOPE-USD" in check_of(result, "increments_known").observed


def test_a_venue_that_would_reject_an_order_type_fails_the_preview_by_its_reason(tmp_path: Path) -> None:
    result, _ = probe(tmp_path, faults=FaultPlan(halted_products=("BTC-USD",)))
    failed = {c.name for c in result.failed_checks}
    assert failed & {"increments_known", "order_types_previewed"}
    assert result.status is StageStatus.FAILED


def test_drift_of_the_schema_warns_with_the_members_and_does_not_fail(tmp_path: Path) -> None:
    result, _ = probe(tmp_path, faults=FaultPlan(added_members=("brand_new",)))
    check = check_of(result, "schema_drift")
    assert (result.status, check.status) == (StageStatus.PASSED, CheckStatus.WARNED)
    assert "brand_new unknown" in check.observed
    assert check.remedy
    observation = next(o for o in result.observations if o.metric == "schema_drift")
    assert isinstance(observation, ReadinessObservation)
    assert observation.holds is False  # the criterion is a should: it counts, and does not stop the run


def test_a_gtd_order_is_refused_before_it_leaves(tmp_path: Path) -> None:
    result, _ = probe(tmp_path)
    check = check_of(result, "gtd_gated_by_probe")
    assert (check.status, "refused before it left" in check.observed) == (CheckStatus.PASSED, True)
