"""The steps of the larger rungs at the local exchange: what they provoke is seen, and they leave nothing behind."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from tests.core_builders import make_product
from tests.desk_builders import Market, make_plan
from tests.evidence_runs import EXIT, RunWriter, load_run, make_intent, write_run
from tests.sim_rig import SimRig
from trading_core.desk import Desk
from trading_core.engine import Engine
from trading_core.events import (
    DRILL,
    AnyEvent,
    LocalStopChanged,
    OrderAccepted,
    OrderDenied,
    OrderSubmitted,
    StatusTold,
    StepEnded,
    SymbolTightened,
)
from trading_core.metrics import steps_size
from trading_core.metrics.facts import Facts, View
from trading_core.orders import OrderStatus, OrderType, Purpose, Side, TimeInForce
from trading_core.plan import Plan, load_plan
from trading_core.protocol import AFTER_TRADING, BEFORE_TRADING
from trading_core.trading_state import TradingState

PRODUCTS = [
    {"product_id": "BTC-USD", "max_size": "0.05", "max_notional": "6000", "because": "half a step"},
    {"product_id": "ETH-USD", "max_size": "2", "max_notional": "6000", "because": "half a step"},
]
STEPS = BEFORE_TRADING | AFTER_TRADING


def plan_of(**policy: object) -> Plan:
    """Return a plan of two symbols, with room for a twentieth of a coin of each."""
    return make_plan(
        products=PRODUCTS, policy=policy, entry={"notional_min": "100", "notional_max": "500"},
        risk={"aggregate_notional_max": "8000", "daily_loss_max": "1000", "price_collar_bps": "500"},
        protocol={"size_step": "0.05", "stop_watch_s": 10}, sizing={"impact_bps_max": "25"},
    )


def run(folder: Path, step: str, plan: Plan, seconds: int = 900) -> tuple[SimRig, StepEnded]:
    """Run one step and leave; return what it recorded at its end."""
    rig = SimRig(folder, plan=plan)
    with rig.session(STEPS[step]) as session:
        session.run(rig.clock.now_ns() + seconds * 10**9)
        assert session.engine.desk.is_flat()
    assert session.flat is not None
    assert session.flat.is_flat
    [ended] = [e for e in rig.log.of(StepEnded) if e.step == step]
    return rig, ended


@pytest.mark.parametrize("policy", [{}, {"bracket": {"take_profit_bps": "60", "stop_loss_bps": "200"}}])
def test_each_symbol_shows_a_bracket_whether_or_not_the_plan_guards_every_entry(
    tmp_path: Path, policy: dict[str, object]
) -> None:
    _, ended = run(tmp_path, "bracket", plan_of(**policy))
    assert ended.is_shown, ended.detail
    assert ended.detail.count("rested and was cancelled") == 2


def test_each_symbol_is_built_to_the_rungs_size_and_closed(tmp_path: Path) -> None:
    rig, ended = run(tmp_path, "size_step", plan_of())
    assert ended.is_shown, ended.detail
    assert ended.measurements["smallest_share"] >= Decimal("0.95")
    bought = [e.intent for e in rig.log.of(OrderSubmitted) if e.intent.side is Side.BUY]
    assert all(sum(i.size for i in bought if i.product_id == p.product_id) >= p.max_size * Decimal("0.9")
               for p in rig.plan.products if p.product_id == "BTC-USD")


def test_every_symbol_but_the_first_is_tightened_and_the_account_is_not(tmp_path: Path) -> None:
    rig = SimRig(tmp_path, plan=plan_of())
    with rig.session(STEPS["reduce_only_transition"]) as session:
        session.run(rig.clock.now_ns() + 900 * 10**9)
        assert session.engine.desk.state is TradingState.ACTIVE
    [ended] = [e for e in rig.log.of(StepEnded) if e.step == "reduce_only_transition"]
    assert ended.is_shown, ended.detail
    assert [e.product_id for e in rig.log.of(SymbolTightened)] == ["ETH-USD"]


def test_a_symbol_that_the_venue_takes_offline_during_its_drill_is_not_drilled() -> None:
    products = (make_product(), make_product(product_id="ETH-USD"))
    desk = Desk(plan_of(), {p.product_id: p for p in products}, "run")
    market = Market(products=products, engine=Engine(desk, STEPS["reduce_only_transition"](desk)))
    records: list[AnyEvent] = []
    for _ in range(300):
        market.book(product_id="ETH-USD")
        records += market.tick().records
        for order in [o for o in desk.orders.live("ETH-USD") if o.status is OrderStatus.SUBMITTED]:
            is_first = desk.is_dust("ETH-USD")
            if not is_first:
                market.feed(StatusTold(ts_ns=market.now_ns, product_id="ETH-USD", status="cancel_only", message=""))
            records += market.feed(OrderAccepted(
                ts_ns=market.now_ns, client_order_id=order.client_order_id, order_id=f"v-{order.client_order_id}",
                latency_ms=Decimal(1))).records
            if is_first:
                market.fill(order)
    assert not desk.is_dust("ETH-USD")
    assert not [r for r in records if isinstance(r, SymbolTightened) and r.reason == DRILL]
    assert not desk.steps_ended["reduce_only_transition"].is_shown


@pytest.mark.parametrize(
    ("reasons", "is_seen", "is_provoked"),
    [
        ([DRILL], True, True),
        (["the venue says that the product is offline"], False, False),
        (["the venue says that the product is offline", DRILL], False, False),  # it refused before the drill did
        ([DRILL, "the venue says that the product is offline"], True, True),
    ],
)
def test_only_the_drill_is_evidence_of_the_drill(
    tmp_path: Path, reasons: list[str], is_seen: bool, is_provoked: bool
) -> None:
    run, criteria = RunWriter(plan_of()), load_plan(Path("deployments/plans/stage4.toml")).criteria
    for reason in reasons:
        run.add(SymbolTightened(
            ts_ns=run.now_ns, product_id="ETH-USD", state=TradingState.REDUCE_ONLY, reason=reason))
    probe = make_intent(product_id="ETH-USD", purpose=Purpose.PROBE_ENTRY_WHILE_REDUCING)
    run.add(OrderDenied(
        ts_ns=run.now_ns, signal_id=run.signal("drill", probe), intent=probe, reason="REDUCE_ONLY", detail="test"))
    run.order("drill", product_id="ETH-USD", purpose=Purpose.PROBE_EXIT_WHILE_REDUCING, **EXIT)
    [criterion] = [c for c in criteria if c.metric == "reduce_only_transition"]
    view = View(plan_of(), criterion, load_run(write_run(tmp_path)), Facts(run.events), None)
    effect = steps_size.reduce_only_transition(view)
    assert (bool(effect.seen), bool(effect.provoked), effect.missing) == (
        is_seen, is_provoked, [] if is_seen else ["ETH-USD"])
    run.order("entry_and_exit", product_id="ETH-USD")  # a leak, whoever tightened
    assert steps_size.reduce_only_transition(
        View(plan_of(), criterion, load_run(write_run(tmp_path / "2")), Facts(run.events), None)).is_contradicted


def test_fill_or_kill_and_a_bracket_of_its_own_are_taken(tmp_path: Path) -> None:
    policy = {"order_types": ["LIMIT", "STOP_LIMIT", "BRACKET"], "time_in_force": ["GTC", "IOC", "FOK"],
              "is_entry_post_only": False}
    rig, ended = run(tmp_path, "order_types", plan_of(**policy))
    assert ended.is_shown, ended.detail
    kinds = {(e.intent.order_type, e.intent.time_in_force) for e in rig.log.of(OrderSubmitted)}
    assert kinds >= {(OrderType.LIMIT, TimeInForce.FOK), (OrderType.BRACKET, TimeInForce.GTC)}


def test_a_type_that_the_plan_does_not_allow_is_no_success(tmp_path: Path) -> None:
    _, ended = run(tmp_path, "order_types", plan_of())
    assert not ended.is_shown
    assert "FOK" in ended.detail


def test_a_stop_of_a_product_without_venue_stops_is_held_and_given_up(tmp_path: Path) -> None:
    rig, ended = run(tmp_path, "stop_limit", plan_of(local_stops=["ETH-USD"]))
    assert ended.is_shown, ended.detail
    assert [(e.intent.product_id, e.change) for e in rig.log.of(LocalStopChanged)] == [
        ("ETH-USD", "HELD"), ("ETH-USD", "DROPPED")
    ]
    sent = [e.intent.product_id for e in rig.log.of(OrderSubmitted) if e.intent.order_type is OrderType.STOP_LIMIT]
    assert sent == ["BTC-USD"]


def test_a_stop_that_triggers_is_captured_and_what_it_bought_is_sold(tmp_path: Path) -> None:
    plan = plan_of()
    near = plan.model_copy(update={"protocol": plan.protocol.model_copy(
        update={"stop_distance_bps": Decimal("0.5"), "stop_watch_s": 600})})
    rig = SimRig(tmp_path, plan=near)
    with rig.session(STEPS["stop_limit"]) as session:
        session.run(rig.clock.now_ns() + 900 * 10**9)
        assert session.engine.desk.is_flat()
        orders = session.engine.desk.orders.orders.values()
        filled = [o for o in orders if o.intent.order_type is OrderType.STOP_LIMIT and o.status is OrderStatus.FILLED]
    [ended] = [e for e in rig.log.of(StepEnded) if e.step == "stop_limit"]
    assert ended.measurements["triggered"] == len(filled) > 0
    assert ended.is_shown, ended.detail
