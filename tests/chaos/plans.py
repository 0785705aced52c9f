"""The plans that seeds trade: the rungs that ship, made short, and one of perpetual futures; with drawn limits."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from random import Random
from typing import Any

from trading_core.plan import Plan, ProductLimits
from trading_core.plan_files import find_plan
from trading_core.sizing import SizingMode
from trading_core.strategies.port import BUILT_IN

FAMILIES = ("phase2", "perp", "stage3", "stage4", "stage5")
FUTURES = {"BIP-20DEC30-CDE": 3, "ETP-20DEC30-CDE": 14, "SLP-20DEC30-CDE": 4, "XPP-20DEC30-CDE": 3}  # some $3,500 each
PERP_STEPS = ("post_only_entry", "crossing_rejected", "auto_cancel", "entry_and_exit", "kill_switch_drill")
PERP_RISK = {
    "aggregate_notional_max": Decimal(6_000), "margin_utilization_max": Decimal("0.5"),
    "margin_buffer_min": Decimal(200), "spread_bps_max": Decimal(30),
}
PERP_ENTRY = {"notional_min": Decimal(1_200), "notional_max": Decimal(2_600)}
QUICK: dict[str, str | int | bool] = {
    "sample_s": 1, "fast": 2, "slow": 4, "rsi_periods": 2, "rsi_max": "100", "spread_bps_max": "50", "depth_min": "0",
}


def draw_plan(family: str, chance: Random) -> Plan:
    """Return a plan of the family whose run takes a minute or two of venue time."""
    plan = _perp(chance) if family == "perp" else find_rung(family)
    if family in ("stage3", "stage4", "stage5"):
        chosen = set(chance.sample(range(len(plan.products)), chance.choice((1, 2, 2, 3))))
        products = tuple(p for n, p in enumerate(plan.products) if n in chosen)
        plan = plan.model_copy(update={"products": products})
    return plan.model_copy(update=_sections(plan, family, chance))


def let_edit(plan: Plan) -> Plan | None:
    """Return the plan with its two-sided maker editing what moved, instead of replacing it; None if it has none."""
    names = {BUILT_IN["two_sided_maker"]: "requote", BUILT_IN["automatic"]: "calm.requote"}
    if (name := names.get(plan.entry.strategy)) is None:
        return None
    return plan.model_copy(update={"entry": plan.entry.model_copy(update={
        "params": {**plan.entry.params, name: "edit"},
    })})


@cache
def find_rung(name: str) -> Plan:
    """Return a plan that ships."""
    return find_plan(name)


def _perp(chance: Random) -> Plan:
    plan = find_rung("phase2")
    products = chance.sample(sorted(FUTURES), chance.choice((1, 1, 2)))
    limits = [
        ProductLimits(
            product_id=p, max_size=Decimal(FUTURES[p]), max_notional=Decimal(4_000), because="drawn"
        )
        for p in products
    ]
    if chance.random() < 0.3:
        limits.append(ProductLimits(
            product_id="BTC-USD", max_size=Decimal("0.05"), max_notional=Decimal(4_000), because="spot beside futures"
        ))
    leverage = {"leverage_max": Decimal(chance.choice((1, 2, 3)))}
    return plan.model_copy(update={
        "products": tuple(limits),
        "risk": plan.risk.model_copy(update=PERP_RISK | leverage),
        "entry": plan.entry.model_copy(update=PERP_ENTRY),
    })


def _sections(plan: Plan, family: str, chance: Random) -> dict[str, Any]:
    names = PERP_STEPS if family == "perp" else plan.protocol.steps
    steps = tuple(step for step in names if chance.random() < 0.5)
    protocol = plan.protocol.model_copy(update={
        "window_s": chance.randint(30, 240), "steps": steps, "snapshot_every_s": chance.choice((7, 30)),
        "stop_watch_s": 5, "size_step": plan.protocol.size_step * chance.choice((1, 2, 5)) / 10,
    })
    stops_held = tuple(p.product_id for p in plan.products if chance.random() < 0.2)
    policy = plan.policy.model_copy(update={"auto_cancel_s": chance.choice((3, 8, 20)), "local_stops": stops_held})
    tight = {
        "open_orders_max": chance.choice((2, 4, plan.risk.open_orders_max)),
        "orders_per_minute_max": min(chance.choice((6, 15, 1_000, 1_000)), plan.risk.orders_per_minute_max),
        "daily_loss_max": Decimal("0.5") if chance.random() < 0.15 else plan.risk.daily_loss_max,
        "pre_funding_quiet_s": chance.choice((0, 30, plan.risk.pre_funding_quiet_s)),
    }
    sizing = plan.sizing.model_copy(update={"mode": chance.choice(list(SizingMode))})
    return {
        "protocol": protocol, "policy": policy, "sizing": sizing,
        "entry": plan.entry.model_copy(update=_entry(plan, family, chance)),
        "risk": plan.risk.model_copy(update=tight),
        # Without them a session trades on under faults that would otherwise end it.
        "guardrails": () if chance.random() < 0.3 else plan.guardrails,
    }


def _entry(plan: Plan, family: str, chance: Random) -> dict[str, Any]:
    maker: dict[str, str | int | bool] = {
        "requote_s": chance.choice((2, 5, 15)), "behind_bps": chance.choice(("0", "0", "1", "12")),
        "skew_bps": chance.choice(("0", "4")),
    }
    params: dict[str, dict[str, str | int | bool]] = {
        "post_only_pulse": {}, "two_sided_maker": maker, "average_cross": QUICK,
        "automatic": {"sample_s": 1, "samples": 10, "dwell_s": chance.choice((0, 10))}
        | {f"calm.{name}": value for name, value in maker.items()}
        | {f"trending.{name}": value for name, value in QUICK.items()},
    }
    strategy = "automatic" if family == "stage5" else chance.choice(sorted(params))
    return {
        "strategy": BUILT_IN[strategy], "params": params[strategy], "interval_s": chance.choice((1, 2, 5)),
        "offset_bps": chance.choice((Decimal(0), plan.entry.offset_bps)),
    }
