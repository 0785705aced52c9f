"""The session on the simulated venue: what is stored before what leaves, and what is left however it ends."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from tests.desk_builders import make_guardrails, make_intent, make_plan
from tests.sim_rig import START_NS, ListLog, SimRig, failing_log, is_submission
from trading_core.advanced_trade.stream_inprocess import InProcessFeed
from trading_core.clock import NS
from trading_core.desk import Desk
from trading_core.errors import StorageError, VenueUnavailable
from trading_core.events import (
    AnyEvent,
    BookChanged,
    CancelAnswered,
    FillBooked,
    GuardrailTripped,
    OrderAccepted,
    OrderLost,
    OrderRejected,
    OrderReported,
    OrderSubmitted,
    SnapshotTaken,
    StateChanged,
    StepEnded,
    SubmitWithheld,
    VenueFailed,
)
from trading_core.local_exchange.faults import FaultPlan
from trading_core.moves import away_order, enter_until_filled
from trading_core.orders import OrderStatus, Purpose, Side
from trading_core.script import Script, Until
from trading_core.session import Session
from trading_core.trading_state import TradingState


def place_away(desk: Desk) -> Script:
    """Place one order far from the market, and wait."""
    desk.place(away_order(desk, "BTC-USD"), "test")
    yield Until(lambda: False, desk.now_ns + 300 * NS)


def place_later(desk: Desk) -> Script:
    """Wait five seconds, then place one order far from the market."""
    yield Until(lambda: False, desk.now_ns + 5 * NS)
    yield from place_away(desk)


def hold(desk: Desk) -> Script:
    """Buy, keep the position, and rest one order beside it."""
    yield from enter_until_filled(desk, "BTC-USD", "test")
    desk.place(away_order(desk, "BTC-USD"), "test")
    yield Until(lambda: False, desk.now_ns + 3_000 * NS)


def assert_flat(rig: SimRig, coins: str = "0") -> None:
    """Check at the venue itself, not in our books."""
    assert rig.broker.open_orders() == []
    dust = rig.products["BTC-USD"].quote_min_size / rig.exchange.last_price("BTC-USD")
    assert abs(rig.held() - Decimal(coins)) <= dust


def step_until(rig: SimRig, session: Session, condition: Callable[[], bool], seconds: int = 600) -> None:
    """Step the session until the condition holds."""
    deadline_ns = rig.clock.now_ns() + seconds * NS
    while not condition():
        assert rig.clock.now_ns() < deadline_ns, "the condition did not come true"
        session.step()


def test_an_order_is_on_disk_before_it_leaves(tmp_path: Path) -> None:
    rig = SimRig(tmp_path)
    at_venue: list[int] = []
    rig.log.on_append = lambda event: (
        at_venue.append(len(rig.exchange.orders(rig.exchange.account_ids()[0]))) if is_submission(event) else None
    )
    with rig.session(place_away) as session:
        rig.run(session, 3)
    assert at_venue == [0]
    (submitted,) = rig.log.of(OrderSubmitted)
    names = [type(event).__name__ for _, event in rig.log.rows]
    assert names.index("SignalRaised") < names.index("OrderSubmitted") < names.index("OrderAccepted")
    assert rig.log.durable[0] is submitted
    assert ("record", submitted) in rig.log.rows


def test_each_input_is_stored_before_what_the_engine_made_of_it(tmp_path: Path) -> None:
    rig = SimRig(tmp_path)
    with rig.session(place_away) as session:
        rig.run(session, 60)
    kinds = [kind for kind, _ in rig.log.rows]
    assert kinds[0] == "input"
    for number, (kind, event) in enumerate(rig.log.rows):
        if kind == "record":
            cause = next(e for k, e in reversed(rig.log.rows[:number]) if k == "input")
            assert event.ts_ns >= cause.ts_ns


def test_a_state_that_another_process_tightened_just_before_withholds_the_order(tmp_path: Path) -> None:
    rig = SimRig(tmp_path)

    def tighten(event: AnyEvent) -> None:
        if is_submission(event):
            rig.other_guard().tighten(TradingState.REDUCE_ONLY, reason="operator pressed stop", actor="operator")

    rig.log.on_append = tighten
    with rig.session(place_away) as session:
        rig.run(session, 5)
    (withheld,) = rig.log.of(SubmitWithheld)
    assert withheld.reason == "STATE_REDUCE_ONLY"
    assert session.engine.desk.orders.orders[withheld.client_order_id].status is OrderStatus.DENIED
    assert rig.exchange.orders(rig.exchange.account_ids()[0]) == []
    assert [e.reason for e in rig.log.of(StateChanged)][1] == "operator pressed stop"


def test_a_halt_withholds_even_an_exit_and_the_ladder_still_ends_flat(tmp_path: Path) -> None:
    rig = SimRig(tmp_path)
    with rig.session(hold) as session:
        step_until(rig, session, lambda: not session.engine.desk.is_dust("BTC-USD"))
        rig.other_guard().tighten(TradingState.HALTED, reason="stop everything", actor="operator")
        rig.run(session, 3)
        halted_ns = rig.clock.now_ns()
    sent = [e for e in rig.log.of(OrderSubmitted) if e.ts_ns >= halted_ns]
    assert sent == []
    assert session.flat is not None
    assert session.flat.is_flat
    assert rig.clock.now_ns() - halted_ns < 30 * NS
    assert_flat(rig)


def hold_and_leave(desk: Desk) -> Script:
    """Buy, and place an exit for the whole position."""
    yield from enter_until_filled(desk, "BTC-USD", "test")
    desk.exit("BTC-USD", Purpose.EXIT, "test")
    yield Until(lambda: False, desk.now_ns + 3_000 * NS)


def test_a_halt_just_before_an_exit_leaves_withholds_it(tmp_path: Path) -> None:
    rig = SimRig(tmp_path)

    def halt(event: AnyEvent) -> None:
        if isinstance(event, OrderSubmitted) and event.intent.purpose is Purpose.EXIT:
            rig.other_guard().tighten(TradingState.HALTED, reason="stop everything", actor="operator")

    rig.log.on_append = halt
    with rig.session(hold_and_leave) as session:
        step_until(rig, session, lambda: bool(rig.log.of(SubmitWithheld)))
    (withheld,) = rig.log.of(SubmitWithheld)
    assert withheld.reason == "STATE_HALTED"
    assert session.engine.desk.orders.orders[withheld.client_order_id].intent.reduce_only
    sent = rig.exchange.orders(rig.exchange.account_ids()[0])
    assert withheld.client_order_id not in {order.request.client_order_id for order in sent}
    assert_flat(rig)  # the emergency ladder is not the engine: it may close


def test_a_full_disk_ends_the_session_flat_and_the_order_is_not_sent(tmp_path: Path) -> None:
    rig = SimRig(tmp_path)
    rig.log = failing_log(is_submission)
    session = rig.session(place_away)
    with pytest.raises(StorageError), session:
        rig.run(session, 10)
    assert rig.exchange.orders(rig.exchange.account_ids()[0]) == []
    assert session.flat is not None
    assert session.flat.is_flat


def hold_and_raise(rig: SimRig, session: Session, condition: Callable[[], bool], error: BaseException) -> None:
    """Run the session until the condition holds, and let the error end it."""
    with session:
        step_until(rig, session, condition)
        raise error


@pytest.mark.parametrize("error", [StorageError("the disk is full"), KeyboardInterrupt(), RuntimeError("a bug")])
def test_whatever_ends_the_session_it_ends_flat(tmp_path: Path, error: BaseException) -> None:
    rig = SimRig(tmp_path)
    session = rig.session(hold)
    desk = session.engine.desk
    with pytest.raises(type(error)):
        hold_and_raise(rig, session, lambda: not desk.is_dust("BTC-USD") and bool(desk.orders.live()), error)
    assert session.flat is not None
    assert session.flat.is_flat
    assert_flat(rig)
    assert rig.guard.state is TradingState.REDUCE_ONLY


def test_an_error_while_the_session_begins_ends_flat_too(tmp_path: Path) -> None:
    """The protocol may place its first order before the session is entered."""
    rig = SimRig(tmp_path)
    rig.log = failing_log(lambda event: isinstance(event, OrderAccepted))
    session = rig.session(place_away)
    with pytest.raises(StorageError), session:
        rig.run(session, 10)
    assert len(rig.exchange.orders(rig.exchange.account_ids()[0])) == 1
    assert_flat(rig)


def test_a_normal_end_closes_by_reducing_orders_and_says_so(tmp_path: Path) -> None:
    rig = SimRig(tmp_path)
    with rig.session(hold) as session:
        step_until(rig, session, lambda: not session.engine.desk.is_dust("BTC-USD"))
    (flat,) = [e for e in rig.log.of(StepEnded) if e.step == "flat_at_end"]
    assert (flat.is_shown, flat.measurements["open_orders"], flat.measurements["rounds"]) == (True, 0, 1)
    assert any(e.intent.purpose is Purpose.EXIT for e in rig.log.of(OrderSubmitted))
    assert_flat(rig)


def test_coins_that_the_account_held_before_are_never_sold(tmp_path: Path) -> None:
    rig = SimRig(tmp_path, balances={"USD": "10000", "BTC": "1.5"})
    with rig.session(hold) as session:
        step_until(rig, session, lambda: not session.engine.desk.is_dust("BTC-USD"))
    assert_flat(rig, coins="1.5")


def test_a_session_that_never_opened_its_books_sells_nothing(tmp_path: Path) -> None:
    rig = SimRig(tmp_path, balances={"USD": "10000", "BTC": "1.5"}, faults=FaultPlan(removed_members=("hold",)))
    session = rig.session(hold)
    with session:
        rig.run(session, 5)
    assert session.engine.desk.ledger is None
    rig.exchange.set_faults(FaultPlan())
    assert rig.held() == Decimal("1.5")
    assert rig.exchange.orders(rig.exchange.account_ids()[0]) == []


class WithoutBooks(InProcessFeed):
    """A feed of everything but books."""

    def poll(self, deadline_ns: int) -> list[AnyEvent]:
        """Return what arrived, without the books."""
        return [event for event in super().poll(deadline_ns) if not isinstance(event, BookChanged)]


def test_a_market_without_a_book_is_an_error_that_names_the_product(tmp_path: Path) -> None:
    rig = SimRig(tmp_path, balances={"USD": "10000", "BTC": "1.5"})
    rig.feed = WithoutBooks(rig.exchange, rig.clock, rig.exchange.account_ids()[0])
    with pytest.raises(VenueUnavailable, match="no book of BTC-USD within 30 s"), rig.session(place_away) as session:
        rig.run(session, 1)
    assert rig.clock.now_ns() - START_NS < 40 * NS
    assert rig.held() == Decimal("1.5")


def test_books_that_were_never_open_leave_the_accounts_coins_alone(tmp_path: Path) -> None:
    """Without a price of what is held there are no books: nothing is known to be ours."""
    rig = SimRig(tmp_path, balances={"USD": "10000", "BTC": "1.5"})
    rig.feed = WithoutBooks(rig.exchange, rig.clock, rig.exchange.account_ids()[0])
    session = rig.session(place_away)
    session.__exit__(None, None, None)
    assert session.flat is not None
    assert rig.held() == Decimal("1.5")


def test_fills_are_booked_once_and_the_books_agree_with_the_venue(tmp_path: Path) -> None:
    rig = SimRig(tmp_path)
    with rig.session(hold) as session:
        step_until(rig, session, lambda: not session.engine.desk.is_dust("BTC-USD"))
        rig.run(session, 130)
    entries = [e.fill.entry_id for e in rig.log.of(FillBooked)]
    assert len(entries) == len(set(entries)) >= 2
    snapshots = rig.log.of(SnapshotTaken)
    assert [s.drift for s in snapshots if s.is_quiescent] == [Decimal(0)] * len(snapshots)
    assert session.engine.desk.ledger is not None
    session.engine.desk.ledger.check()


def rest_at_the_touch(desk: Desk) -> Script:
    """Rest more at the touch than one taker takes, and wait."""
    bid = desk.books["BTC-USD"].best(Side.BUY)
    desk.place(make_intent("0.5", str(bid), cancel_after_s=None), "test")
    yield Until(lambda: False, desk.now_ns + 3_000 * NS)


def test_an_order_filled_in_parts_is_booked_part_by_part_and_each_once(tmp_path: Path) -> None:
    plan = make_plan(
        products=[{"product_id": "BTC-USD", "max_size": "1", "max_notional": "90000", "because": "test"}],
        risk={"aggregate_notional_max": "90000", "daily_loss_max": "9000"}, sizing={"impact_bps_max": "25"},
    )
    rig = SimRig(tmp_path, plan=plan, balances={"USD": "100000"})
    with rig.session(rest_at_the_touch) as session:
        (order,) = session.engine.desk.orders.orders.values()
        step_until(rig, session, lambda: order.booked == order.intent.size, seconds=3_000)
    bought = [e.fill for e in rig.log.of(FillBooked) if e.fill.order_id == order.order_id]
    moments = {e.ts_ns for e in rig.log.of(FillBooked) if e.fill.order_id == order.order_id}
    assert len(moments) >= 2
    assert len({f.entry_id for f in bought}) == len(bought)
    assert sum((f.size for f in bought), Decimal(0)) == order.intent.size


def test_a_fill_that_the_endpoint_withholds_is_not_sold_twice(tmp_path: Path) -> None:
    """The order is reported filled, its fills cannot be read: nothing more may be sold meanwhile."""
    rig = SimRig(tmp_path, balances={"USD": "10000", "BTC": "1.5"})
    with rig.session(hold) as session:
        step_until(rig, session, lambda: not session.engine.desk.is_dust("BTC-USD"))
        rig.exchange.set_faults(FaultPlan(removed_members=("fills",)))
        session.wind_down()
        rig.exchange.set_faults(FaultPlan())
    sold = [e for e in rig.log.of(OrderSubmitted) if e.intent.reduce_only]
    assert len(sold) == 1
    assert_flat(rig, coins="1.5")


def test_a_cancel_that_is_lost_is_asked_for_again(tmp_path: Path) -> None:
    rig = SimRig(tmp_path)
    with rig.session(place_away) as session:
        rig.run(session, 28)
        rig.exchange.set_faults(FaultPlan(server_error_share=1.0))
        rig.run(session, 10)
        rig.exchange.set_faults(FaultPlan())
        rig.run(session, 10)
        (order,) = session.engine.desk.orders.orders.values()
    assert any(not e.is_accepted for e in rig.log.of(CancelAnswered))
    assert (order.status, order.cancel_cause) == (OrderStatus.CANCELLED, "auto_cancel")


@pytest.mark.parametrize("pushes", [True, False])
def test_an_order_of_unknown_outcome_is_found_by_asking_and_never_sent_again(tmp_path: Path, pushes: bool) -> None:
    faults = FaultPlan(create_booked_but_500_share=1.0, create_booked_but_500_pushes_user=pushes)
    rig = SimRig(tmp_path, faults=faults)
    with rig.session(place_away) as session:
        rig.run(session, 6)
        (order,) = session.engine.desk.orders.orders.values()
        assert order.status is OrderStatus.OPEN
    assert len(rig.log.of(OrderLost)) == 1
    assert any(e.order.client_order_id == order.client_order_id for e in rig.log.of(OrderReported))
    assert len(rig.exchange.orders(rig.exchange.account_ids()[0])) == 1
    assert_flat(rig)


def test_an_order_that_never_arrived_is_given_up_after_three_denials(tmp_path: Path) -> None:
    rig = SimRig(tmp_path, faults=FaultPlan(create_reset_before_share=1.0))
    with rig.session(place_away) as session:
        rig.run(session, 10)
        (order,) = session.engine.desk.orders.orders.values()
    assert (order.status, order.times_absent) == (OrderStatus.REJECTED, 3)


def test_a_request_refused_before_it_was_processed_is_an_unexpected_rejection(tmp_path: Path) -> None:
    rig = SimRig(tmp_path)
    with rig.session(place_later) as session:
        rig.exchange.set_faults(FaultPlan(rate_limited_share=1.0))
        rig.run(session, 8)
        rig.exchange.set_faults(FaultPlan())
    (rejected,) = rig.log.of(OrderRejected)
    assert (rejected.reason, rejected.is_expected) == ("RateLimited", False)
    assert rig.log.of(VenueFailed)[0].kind == "RateLimited"


def test_a_guardrail_ends_the_run_and_tightens_the_file(tmp_path: Path) -> None:
    plan = make_plan(guardrails=make_guardrails(clock_offset_s="5"), protocol={"snapshot_every_s": 5})
    rig = SimRig(tmp_path, plan=plan, faults=FaultPlan(clock_offset_ms=-6_000))
    with rig.session(place_away) as session:
        session.run(rig.clock.now_ns() + 600 * NS)
        assert rig.other_guard().state is TradingState.REDUCE_ONLY
    (tripped,) = rig.log.of(GuardrailTripped)
    assert (tripped.name, tripped.limit) == ("clock_offset_s", "5")
    assert_flat(rig)


def test_leaving_twice_or_failing_to_save_still_says_what_the_venue_said(tmp_path: Path) -> None:
    rig = SimRig(tmp_path)
    rig.log = ListLog()
    session = rig.session(place_away)
    with session:
        rig.run(session, 2)
    session.__exit__(None, None, None)
    assert session.flat is not None
    assert session.flat.is_flat
