"""Brackets that the venue guards entries with: shaped by policy, adopted, cancelled, triggered, or failed."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from tests.core_builders import make_future, make_product
from tests.desk_builders import Market, make_intent, make_plan, make_report, make_view
from tests.sim_rig import SimRig
from trading_core.clock import NS
from trading_core.commands import SubmitOrder
from trading_core.desk import Desk
from trading_core.events import BracketAdopted, OrderAccepted, OrderReported, OrderSubmitted
from trading_core.local_exchange.faults import FaultPlan
from trading_core.moves import close_position, enter_until_filled
from trading_core.order_manager import TrackedOrder
from trading_core.order_policy import SymbolPolicy
from trading_core.orders import Bracket, OrderStatus, OrderType, Purpose, Side
from trading_core.risk import DenialReason, review
from trading_core.script import Script, Until
from trading_core.trading_state import TradingState

GUARDED = make_plan(policy={"bracket": {"take_profit_bps": "60", "stop_loss_bps": "200"}})
BRACKET = Bracket(take_profit=Decimal("50300"), stop_loss=Decimal("49000"))


def guarded_market() -> tuple[Market, TrackedOrder, TrackedOrder]:
    """Return a market where an entry of 0.01 BTC rests with its bracket."""
    market = Market(GUARDED)
    order = market.place(make_intent("0.01", "50000"))
    market.feed(OrderAccepted(
        ts_ns=market.now_ns, client_order_id=order.client_order_id, order_id="v-1", latency_ms=Decimal(1),
        attached_order_id="v-2",
    ))
    leg = market.desk.orders.by_venue_id("v-2")
    assert leg is not None
    return market, order, leg


# ── policy ──────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("side", "price", "gain", "loss"),
    [(Side.BUY, "50000.01", "50300.02", "49000"), (Side.SELL, "50000.01", "49700", "51000.02")],
)
def test_a_bracket_lies_around_the_entry_rounded_away_from_it(side: Side, price: str, gain: str, loss: str) -> None:
    future = make_future(price_increment=Decimal("0.01"))
    shaped = SymbolPolicy(future, GUARDED.policy).shape(make_intent("1", price, side))
    assert shaped.attached == Bracket(take_profit=Decimal(gain), stop_loss=Decimal(loss))


def test_what_opens_nothing_gets_no_bracket() -> None:
    policy = SymbolPolicy(make_product(), GUARDED.policy)
    for intent in (
        make_intent(side=Side.SELL), make_intent(reduce_only=True), make_intent(purpose=Purpose.EMERGENCY),
        make_intent(order_type=OrderType.STOP_LIMIT, stop_price="51000"),
    ):
        assert policy.shape(intent).attached is None
    assert SymbolPolicy(make_product(), make_plan().policy).shape(make_intent()).attached is None


@pytest.mark.parametrize(
    ("bracket", "reason"),
    [
        (None, DenialReason.ENTRY_WITHOUT_BRACKET),
        (Bracket(take_profit=Decimal("50000"), stop_loss=Decimal("49000")), DenialReason.BRACKET_MISPLACED),
        (Bracket(take_profit=Decimal("50300"), stop_loss=Decimal("50000")), DenialReason.BRACKET_MISPLACED),
        (Bracket(take_profit=Decimal("50300.001"), stop_loss=Decimal("49000")), DenialReason.BRACKET_MISPLACED),
        (Bracket(take_profit=Decimal("50300"), stop_loss=Decimal("0")), DenialReason.BRACKET_MISPLACED),
        (Bracket(take_profit=Decimal("50000.01"), stop_loss=Decimal("49999.99")), None),
    ],
)
def test_an_entry_leaves_with_a_bracket_around_it_or_not_at_all(
    bracket: Bracket | None, reason: DenialReason | None
) -> None:
    intent = msgspec.structs.replace(make_intent("0.01", "50000"), attached=bracket)
    denial = review(intent, make_view(GUARDED))
    assert (None if denial is None else denial.reason) == reason


# ── adopted ─────────────────────────────────────────────────────────────────────────────────────
def test_the_venues_bracket_is_tracked_once_and_guards_what_was_filled() -> None:
    market, order, leg = guarded_market()
    assert (leg.intent.order_type, leg.intent.side, leg.intent.reduce_only) == (OrderType.BRACKET, Side.SELL, True)
    assert leg.guards is order
    assert leg.outstanding == 0
    again = market.feed(OrderReported(
        ts_ns=market.now_ns,
        order=msgspec.structs.replace(make_report(order, OrderStatus.OPEN, "0.004", order_id="v-1").order,
                                      attached_order_id="v-2"),
    ))
    assert not any(isinstance(r, BracketAdopted) for r in again.records)
    assert leg.outstanding == Decimal("0.004")
    assert market.desk.exposure() == market.desk.products["BTC-USD"].notional(Decimal("0.01"), Decimal(50_000))


def test_a_lost_answer_is_resolved_with_its_bracket(tmp_path: Path) -> None:
    rig = SimRig(tmp_path, plan=GUARDED, faults=FaultPlan(create_booked_but_500_share=1.0))
    with rig.session(lambda desk: hold(desk, 120)) as session:
        rig.run(session, 100)
        legs = [o for o in session.engine.desk.orders.orders.values() if o.guards is not None]
    assert legs
    assert session.flat is not None
    assert session.flat.is_flat


def hold(desk: Desk, seconds: int) -> Script:
    """Enter with the plan's bracket and keep the position."""
    yield from enter_until_filled(desk, "BTC-USD", "test")
    yield Until(lambda: False, desk.now_ns + seconds * NS)


def test_a_bracket_that_triggers_closes_the_position_and_our_books_know(tmp_path: Path) -> None:
    plan = make_plan(policy={"bracket": {"take_profit_bps": "1", "stop_loss_bps": "1"}})
    rig = SimRig(tmp_path, plan=plan)
    with rig.session(lambda desk: hold(desk, 3600)) as session:
        rig.run(session, 600)
        desk = session.engine.desk
        legs = [o for o in desk.orders.orders.values() if o.guards is not None]
        assert [leg.status for leg in legs if leg.booked] == [OrderStatus.FILLED]
        assert desk.is_dust("BTC-USD")
        assert session.engine.drift == 0


def test_a_bracket_makes_way_for_an_exit(tmp_path: Path) -> None:
    rig = SimRig(tmp_path, plan=GUARDED)

    def script(desk: Desk) -> Script:
        yield from hold(desk, 60)
        yield from close_position(desk, "BTC-USD", "test", Purpose.EXIT)

    with rig.session(script) as session:
        rig.run(session, 240)
        desk = session.engine.desk
        legs = [o for o in desk.orders.orders.values() if o.guards is not None]
        assert {leg.status for leg in legs} == {OrderStatus.CANCELLED}
        assert desk.is_flat()
        assert session.engine.drift == 0


# ── reduce-only, failed ─────────────────────────────────────────────────────────────────────────
def test_reduce_only_cancels_the_entry_and_keeps_its_bracket() -> None:
    market, order, leg = guarded_market()
    market.report(order, OrderStatus.OPEN, "0.004")
    market.book_fill(order, "0.004")
    market.state(TradingState.REDUCE_ONLY)
    assert (order.status, leg.status) == (OrderStatus.CANCEL_REQUESTED, OrderStatus.OPEN)


def test_a_tightened_symbol_refuses_entries_and_lets_exits_through_while_others_trade() -> None:
    market = Market()
    market.buy("0.01")
    resting = market.open(make_intent("0.005", "49000"))
    market.desk.tighten_symbol("BTC-USD", "test")
    denied = market.desk.place(make_intent("0.001", "48000"), "test")
    leaving = market.desk.exit("BTC-USD", Purpose.EXIT, "test")
    assert resting.status is OrderStatus.CANCEL_REQUESTED
    assert not isinstance(denied, TrackedOrder)
    assert denied.reason is DenialReason.REDUCE_ONLY
    assert isinstance(leaving, TrackedOrder)
    assert (market.desk.state, market.desk.state_of("BTC-USD")) == (TradingState.ACTIVE, TradingState.REDUCE_ONLY)
    market.state(TradingState.HALTED)
    assert market.desk.state_of("BTC-USD") is TradingState.HALTED


def test_a_bracket_that_fails_at_the_venue_leaves_nothing_unguarded() -> None:
    market, order, leg = guarded_market()
    market.fill(order)
    market.feed(make_report(leg, OrderStatus.FAILED, order_id="v-2"))
    commands = market.tick(1).commands
    [sent] = [c.order.intent for c in commands if isinstance(c, SubmitOrder)]
    assert (sent.side, sent.size, sent.purpose) == (Side.SELL, Decimal("0.01"), Purpose.EXIT)
    out = next(o for o in market.desk.orders.live() if o.intent is sent)
    market.feed(OrderAccepted(ts_ns=market.now_ns, client_order_id=out.client_order_id, order_id="v-3",
                              latency_ms=Decimal(1)))
    market.fill(out)
    later = [market.tick(1) for _ in range(3)]
    assert not any(isinstance(r, OrderSubmitted) for d in later for r in d.records)
