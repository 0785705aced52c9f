"""Each rule of the simulation can fail: what it forbids is done at the exchange, and it says so."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from tests.chaos.draws import Script, draw
from tests.chaos.simulate import _check_end, _check_funded, given_of
from tests.chaos.world import World
from tests.desk_builders import make_exit, make_intent, make_plan, make_view
from trading_core.clock import MINUTE_NS, NS
from trading_core.events import (
    FundingAccrued,
    GuardrailTripped,
    MarginWindowAnnounced,
    OrderLost,
    OrderSubmitted,
    RunEnding,
    SnapshotTaken,
    SymbolTightened,
)
from trading_core.local_exchange.faults import FaultPlan
from trading_core.local_exchange.model import NewOrder, OrderConfig
from trading_core.orders import OrderIntent, Purpose, Side
from trading_core.plan import Plan
from trading_core.risk import ApprovedOrder, approve, approve_emergency
from trading_core.stages import live_micro_test as stage
from trading_core.stages.result import StageResult
from trading_core.trading_state import TradingState

BTC, BIP = "BTC-USD", "BIP-20DEC30-CDE"
ACTIVE, REDUCE_ONLY, HALTED = TradingState.ACTIVE, TradingState.REDUCE_ONLY, TradingState.HALTED
PLAN = make_plan(
    products=[{"product_id": BTC, "max_size": "0.02", "max_notional": "1500", "because": "test"},
              {"product_id": BIP, "max_size": "3", "max_notional": "5000", "because": "test"}],
    risk={"open_orders_max": 2, "orders_per_minute_max": 3},
)

ROOMY = make_plan(
    products=[{"product_id": BTC, "max_size": "1000", "max_notional": "100000000", "because": "test"}],
    risk={"price_collar_bps": "100000", "aggregate_notional_max": "100000000"},
)


def make_world(folder: Path, plan: Plan = PLAN, **balances: str) -> World:
    """Return a healthy world in which nobody does anything yet."""
    script: Script = draw(1)
    script.plan, script.faults, script.kills, script.deeds = plan, FaultPlan(), [], []
    script.disk_full_at, script.damages_state, script.stop_after_s = None, False, None
    script.balances = {"USD": Decimal(10_000)} | {name: Decimal(size) for name, size in balances.items()}
    return World(script, folder)


def trade(world: World, name: str, side: Side, size: str, product_id: str = BTC, price: str | None = None) -> None:
    """Let the exchange take an order: at market, or resting at a price."""
    config = OrderConfig.MARKET_IOC if price is None else OrderConfig.LIMIT_GTC
    taken = world.exchange.create_order(world.account_id, NewOrder(
        client_order_id=name, product_id=product_id, side=side, config=config, base_size=Decimal(size),
        limit_price=None if price is None else Decimal(price),
    ))
    assert hasattr(taken, "order_id"), taken
    world.exchange.advance(world.clock.now_ns())


def leaving(world: World, name: str, intent: OrderIntent) -> ApprovedOrder:
    """Return the order as one that was decided and stored."""
    world.rules.note(OrderSubmitted(
        ts_ns=world.clock.now_ns(), client_order_id=name, signal_id="s", intent=intent, mid=Decimal(50_000)
    ))
    position = "0" if intent.side is Side.BUY else "1"
    view = make_view(ROOMY, limits=ROOMY.products[0], equity="1000000000", position=position)
    order = approve(msgspec.structs.replace(intent, product_id=BTC), view, name)
    assert isinstance(order, ApprovedOrder), order
    return ApprovedOrder(name, intent, order.seal)


def submits(world: World, intent: OrderIntent, state: TradingState = ACTIVE, *, is_durable: bool = True) -> None:
    """Let an order be checked on its way out."""
    order = leaving(world, f"sim-{len(world.rules.sent):05d}", intent)
    world.rules.check_submission(order, state, is_durable=is_durable)


ENTRY = make_intent("0.001", "50000")
ANOTHER = make_intent("0.001", "49000")


def rests(world: World, count: int) -> None:
    """Let some small orders rest far below the market."""
    for n in range(count):
        trade(world, f"rest-{n}", Side.BUY, "0.0001", price="60000")


SUBMISSIONS: dict[str, tuple[str, tuple[Callable[[World], None], ...]]] = {
    "not on disk": ("is not on disk", (lambda w: submits(w, ENTRY, is_durable=False),)),
    "halted": ("HALTED, and an order leaves", (lambda w: submits(w, ENTRY, HALTED),)),
    "reduce-only": ("REDUCE_ONLY, and an entry leaves", (lambda w: submits(w, ENTRY, REDUCE_ONLY),)),
    "an exit of nothing": ("an exit does not reduce", (lambda w: submits(w, make_exit("0.001")),)),
    "above the size": ("above 0.02", (lambda w: submits(w, make_intent("0.021", "1000")),)),
    "above the notional": ("above $1500", (lambda w: submits(w, make_intent("0.019", "110000")),)),
    "above the aggregate": (
        "in all above",
        (lambda w: trade(w, "a", Side.BUY, "3", BIP), lambda w: submits(w, make_intent("0.01", "100000"))),
    ),
    "open orders": ("orders are open", (lambda w: rests(w, 2), lambda w: submits(w, ENTRY))),
    "orders per minute": ("within a minute", (lambda w: submits(w, ENTRY),) * 4),
    "a symbol that is reduce-only": (
        f"{BTC} is reduce-only",
        (lambda w: w.rules.note(SymbolTightened(ts_ns=1, product_id=BTC, state=REDUCE_ONLY, reason="drill")),
         lambda w: submits(w, ENTRY)),
    ),
    "a latch": ("a guardrail has tripped", (lambda w: w.rules.note(tripped(REDUCE_ONLY)), lambda w: submits(w, ENTRY))),
    "a latch that halts": (
        "a guardrail halted", (lambda w: w.rules.note(tripped(HALTED)), lambda w: submits(w, ENTRY))
    ),
}


def tripped(state: TradingState) -> GuardrailTripped:
    """Return a latch."""
    return GuardrailTripped(ts_ns=1, name="drift", observed="2", limit="1", state=state)


@pytest.mark.parametrize("name", SUBMISSIONS)
def test_an_order_that_must_not_leave_is_noticed(tmp_path: Path, name: str) -> None:
    said, (*before, forbidden) = SUBMISSIONS[name]
    world = make_world(tmp_path)
    for deed in before:
        deed(world)
    with pytest.raises(AssertionError, match=said.replace("$", r"\$")):
        forbidden(world)


def test_an_order_within_all_limits_leaves(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    submits(world, ENTRY)
    assert list(world.rules.sent.values()) == [ENTRY]


def test_leverage_is_counted_on_what_the_account_is_worth(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.script.plan = make_plan(risk={"leverage_max": "0.01"})
    with pytest.raises(AssertionError, match="leverage"):
        submits(world, make_intent("0.01", "50000"))


def test_a_ladder_that_would_open_a_position_is_noticed(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    intent = msgspec.structs.replace(make_exit("0.001"), purpose=Purpose.EMERGENCY)
    with pytest.raises(AssertionError, match="the ladder would"):
        world.rules.check_submission(approve_emergency(intent, Decimal("0.001"), "x-e-1"), HALTED, is_durable=True)


# ── after every event ───────────────────────────────────────────────────────────────────────────
def test_coins_of_the_accounts_owner_that_are_sold_are_noticed(tmp_path: Path) -> None:
    world = make_world(tmp_path, BTC="1")
    trade(world, "theirs", Side.SELL, "0.01")
    with pytest.raises(AssertionError, match="owner were sold"):
        world.rules.check(ACTIVE)


def test_a_position_above_the_cap_is_noticed(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    trade(world, "a", Side.BUY, "0.0201")
    with pytest.raises(AssertionError, match="the cap is"):
        world.rules.check(ACTIVE)


def test_exits_beyond_the_position_are_noticed(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    trade(world, "a", Side.BUY, "1", BIP)
    world.rules.check(ACTIVE)
    for name in ("b", "c"):
        world.rules.sent[name] = make_exit("1")
        trade(world, name, Side.SELL, "1", BIP, price="120000")
    with pytest.raises(AssertionError, match="exits of 2"):
        world.rules.check(ACTIVE)


def test_a_state_that_was_loosened_is_noticed(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.rules.check(HALTED)
    with pytest.raises(AssertionError, match="loosened"):
        world.rules.check(REDUCE_ONLY)


# ── what was stored ─────────────────────────────────────────────────────────────────────────────
def submitted(name: str, intent: OrderIntent = ENTRY) -> OrderSubmitted:
    """Return an order as it is decided."""
    return OrderSubmitted(ts_ns=1, client_order_id=name, signal_id="s", intent=intent, mid=Decimal(50_000))


def test_an_id_that_is_decided_twice_is_noticed(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.rules.check_event(submitted("sim-1"))
    with pytest.raises(AssertionError, match="decided twice"):
        world.rules.check_event(submitted("sim-1"))


def test_an_entry_beside_an_unknown_outcome_is_noticed(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.rules.check_event(submitted("sim-1"))
    world.rules.check_event(OrderLost(ts_ns=1, client_order_id="sim-1", cause="reset"))
    world.rules.check_event(submitted("sim-2", msgspec.structs.replace(ENTRY, product_id=BIP)))
    with pytest.raises(AssertionError, match="is unknown"):
        world.rules.check_event(submitted("sim-3", ANOTHER))


def accrued(world: World, position: str, funding_ns: int) -> FundingAccrued:
    """Return funding of a position."""
    return FundingAccrued(
        ts_ns=world.clock.now_ns(), product_id=BIP, funding_ns=funding_ns, position=Decimal(position),
        mark=Decimal(100_000), rate=Decimal("0.0001"), amount=Decimal("-0.1"), is_estimated=False,
    )


def test_funding_that_accrues_twice_is_noticed(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.rules.check_event(accrued(world, "0", 3_600 * NS))
    with pytest.raises(AssertionError, match="accrued twice"):
        world.rules.check_event(accrued(world, "0", 3_600 * NS))


def test_funding_of_what_was_not_held_is_noticed(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    with pytest.raises(AssertionError, match="0 was held"):
        world.rules.check_event(accrued(world, "2", world.clock.now_ns()))


def test_funding_that_does_not_accrue_is_noticed(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    trade(world, "a", Side.BUY, "1", BIP)
    hour_ns = 60 * MINUTE_NS
    funding_ns = (world.clock.now_ns() // hour_ns + 1) * hour_ns
    world.clock.wait_until(funding_ns + 30 * NS)
    world.exchange.advance(world.clock.now_ns())
    world.log.append(RunEnding(ts_ns=world.clock.now_ns(), reason="test"), kind="input")
    with pytest.raises(AssertionError, match=f"no funding of {BIP} at {funding_ns}"):
        _check_funded(world)
    world.rules.check_event(accrued(world, "1", funding_ns))
    _check_funded(world)


TRANSITION_NS = 1_748_433_600 * NS  # 2025-05-28, a Wednesday, 8 h in New York


def announced(minutes_left: int, after_s: int, transition_ns: int = TRANSITION_NS) -> MarginWindowAnnounced:
    """Return what is announced so long after it was due."""
    return MarginWindowAnnounced(
        ts_ns=transition_ns - minutes_left * MINUTE_NS + after_s * NS, minutes_left=minutes_left,
        transition_ns=transition_ns, window="OVERNIGHT", next_window="INTRADAY", source="calendar",
    )


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (announced(15, 2), "announced twice"),
        (announced(-5, 60), "60 s after that"),
        (announced(30, -1), "-1 s after that"),
        (announced(5, 0, TRANSITION_NS + MINUTE_NS), "no margin window ends"),
    ],
)
def test_a_margin_window_that_is_announced_wrongly_is_noticed(
    tmp_path: Path, event: MarginWindowAnnounced, said: str
) -> None:
    world = make_world(tmp_path)
    world.rules.check_event(announced(15, 1))
    with pytest.raises(AssertionError, match=said):
        world.rules.check_event(event)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: {"positions": {**s.positions, BTC: Decimal("0.5")}}, "books hold 0.5"),
        (lambda s: {"equity": s.equity + 1}, "by the fills"),
        (lambda s: {"expected_balances": {**s.expected_balances, "USD": Decimal(1)}}, "books expect"),
    ],
)
def test_books_that_are_wrong_are_noticed(
    tmp_path: Path, change: Callable[[SnapshotTaken], dict[str, object]], said: str
) -> None:
    world, _ = run_one(tmp_path)
    snapshot = next(row.event for row in reversed(list(world.log.stored())) if isinstance(row.event, SnapshotTaken))
    world.rules.check_event(snapshot)
    with pytest.raises(AssertionError, match=said):
        world.rules.check_event(msgspec.structs.replace(snapshot, **change(snapshot)))


# ── at the end ──────────────────────────────────────────────────────────────────────────────────
def run_one(folder: Path) -> tuple[World, StageResult]:
    """Return a world whose session ran to its end."""
    plan = PLAN.model_copy(update={"protocol": PLAN.protocol.model_copy(update={"window_s": 20})})
    world = make_world(folder, plan)
    result = stage.run(given_of(world))
    _check_end(world, result)
    return world, result


def test_an_account_that_is_said_to_be_flat_and_is_not_is_noticed(tmp_path: Path) -> None:
    world, result = run_one(tmp_path)
    trade(world, "late", Side.BUY, "0.01")
    with pytest.raises(AssertionError, match="says flat, and holds"):
        _check_end(world, result)


def test_a_replay_that_decides_otherwise_is_noticed(tmp_path: Path) -> None:
    world, result = run_one(tmp_path)
    rows = [row for row in world.log.stored() if not isinstance(row.event, SnapshotTaken)]
    world.log.replace(rows)
    with pytest.raises(AssertionError, match="replay"):
        _check_end(world, result)


def test_an_order_that_nobody_saw_leaving_is_noticed(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    trade(world, "sim-77777", Side.BUY, "0.001", price="80000")
    with pytest.raises(AssertionError, match="sim-77777"):
        world.rules.check_senders()


def test_an_order_that_leaves_a_second_time_is_noticed(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    order = leaving(world, "sim-00001", ENTRY)
    world.rules.check_submission(order, ACTIVE, is_durable=True)
    with pytest.raises(AssertionError, match="a second time"):
        world.rules.check_submission(order, ACTIVE, is_durable=True)
