"""Orders by what the venue says of them: in any order, late, twice or not at all."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from tests.core_builders import T0_NS, make_fill
from tests.desk_builders import make_intent, make_report
from trading_core.errors import InvariantBroken
from trading_core.events import (
    CancelAnswered,
    CancelRequested,
    FillBooked,
    OrderAccepted,
    OrderLost,
    OrderNotFound,
    OrderRejected,
    OrderSubmitted,
    SubmitWithheld,
)
from trading_core.order_manager import ASKS_APART_NS, ASKS_UNTIL_ABSENT, OrderManager, TrackedOrder
from trading_core.orders import ALLOWED, FINAL, LIVE, OrderStatus, Side, require_transition

S = OrderStatus


def submit(orders: OrderManager, client_order_id: str = "run-1", size: str = "0.03") -> TrackedOrder:
    intent = make_intent(size)
    return orders.submitted(
        OrderSubmitted(
            ts_ns=T0_NS, client_order_id=client_order_id, signal_id="s", intent=intent, mid=Decimal(50000)
        )
    )


def accept(orders: OrderManager, client_order_id: str = "run-1") -> TrackedOrder:
    return orders.accepted(
        OrderAccepted(
            ts_ns=T0_NS, client_order_id=client_order_id, order_id=f"v-{client_order_id}", latency_ms=Decimal(1)
        )
    )


def lose(orders: OrderManager) -> TrackedOrder:
    return orders.lost(OrderLost(ts_ns=T0_NS, client_order_id="run-1", cause="no answer"))


def ask_cancel(orders: OrderManager) -> TrackedOrder:
    return orders.cancel_requested(CancelRequested(ts_ns=T0_NS, client_order_id="run-1", cause="auto_cancel"))


def fill(orders: OrderManager, entry_id: str, size: str) -> None:
    made = make_fill(entry_id, Side.BUY, size)
    orders.booked(FillBooked(ts_ns=T0_NS, fill=msgspec.structs.replace(made, order_id="v-run-1")))


@pytest.mark.parametrize("before", list(S))
@pytest.mark.parametrize("after", list(S))
def test_only_the_table_allows_a_transition(before: OrderStatus, after: OrderStatus) -> None:
    if (before, after) in ALLOWED:
        require_transition(before, after)
        assert before is not after
    else:
        with pytest.raises(InvariantBroken, match=f"from {before} to {after}"):
            require_transition(before, after)


def test_every_state_is_final_or_live_and_final_ones_have_no_way_back_but_the_real_rows() -> None:
    assert set(S) == FINAL | LIVE
    assert not FINAL & LIVE
    assert {(a, b) for a, b in ALLOWED if a in FINAL} == {
        (S.CANCELLED, S.FILLED), *((S.REJECTED, b) for b in set(S) & {a for _, a in ALLOWED} - {
            S.REJECTED, S.DENIED, S.OUTCOME_UNKNOWN}),
    }


def test_an_acknowledgement_opens_the_order() -> None:
    orders = OrderManager()
    submit(orders)
    order = accept(orders)
    assert (order.status, order.order_id, order.leaves) == (S.OPEN, "v-run-1", Decimal("0.03"))
    assert orders.by_venue_id("v-run-1") is order


@pytest.mark.parametrize("status", [S.OPEN, S.FILLED, S.CANCELLED, S.EXPIRED, S.FAILED, S.CANCEL_REQUESTED])
def test_an_acknowledgement_that_the_user_channel_overtook_changes_nothing(status: OrderStatus) -> None:
    orders = OrderManager()
    order = submit(orders)
    orders.reported(make_report(order, status, "0.03" if status is S.FILLED else "0"))
    accept(orders)
    assert order.status is status
    assert bool(orders.live()) is not status.is_final


def test_a_late_fill_turns_a_cancelled_order_into_a_filled_one() -> None:
    orders = OrderManager()
    order = submit(orders)
    accept(orders)
    ask_cancel(orders)
    orders.reported(make_report(order, S.CANCELLED))
    orders.reported(make_report(order, S.FILLED, "0.03"))
    assert order.status is S.FILLED
    assert orders.unbooked() == [order]
    assert order.outstanding == Decimal("0.03")


def test_reports_twice_and_in_disorder_leave_the_newest() -> None:
    orders = OrderManager()
    order = submit(orders)
    accept(orders)
    reports = [make_report(order, S.OPEN, "0.01"), make_report(order, S.OPEN, "0.02"),
               make_report(order, S.FILLED, "0.03")]
    for number in (1, 0, 1, 2, 2, 0, 1):
        orders.reported(reports[number])
    assert (order.status, order.reported, order.leaves) == (S.FILLED, Decimal("0.03"), Decimal(0))


def test_a_fill_is_booked_once_per_entry() -> None:
    orders = OrderManager()
    order = submit(orders)
    accept(orders)
    orders.reported(make_report(order, S.FILLED, "0.03"))
    for entry_id in ("e1", "e1", "e2", "e1"):
        fill(orders, entry_id, "0.01")
    assert (order.booked, order.unbooked, orders.unbooked()) == (Decimal("0.02"), Decimal("0.01"), [order])
    fill(orders, "e3", "0.01")
    assert (orders.unbooked(), orders.outstanding()) == ([], [])


def test_what_was_filled_and_is_not_booked_still_counts() -> None:
    orders = OrderManager()
    order = submit(orders)
    accept(orders)
    orders.reported(make_report(order, S.OPEN, "0.01"))
    assert (order.leaves, order.unbooked, order.outstanding) == (Decimal("0.02"), Decimal("0.01"), Decimal("0.03"))
    fill(orders, "e1", "0.01")
    assert order.outstanding == Decimal("0.02")
    assert orders.outstanding("BTC-USD", Side.BUY) == [order]
    assert orders.outstanding("BTC-USD", Side.SELL) == orders.outstanding("ETH-USD") == []


def test_a_fill_of_an_order_that_is_not_ours_is_not_booked() -> None:
    orders = OrderManager()
    assert orders.booked(FillBooked(ts_ns=T0_NS, fill=make_fill())) is None


def test_an_order_of_unknown_outcome_counts_in_full() -> None:
    orders = OrderManager()
    submit(orders)
    order = lose(orders)
    assert (order.status, order.leaves, orders.live()) == (S.OUTCOME_UNKNOWN, Decimal("0.03"), [order])


@pytest.mark.parametrize("status", [S.OPEN, S.FILLED, S.CANCELLED, S.FAILED])
def test_an_unknown_outcome_is_resolved_by_asking(status: OrderStatus) -> None:
    orders = OrderManager()
    order = submit(orders)
    lose(orders)
    orders.reported(make_report(order, status))
    assert order.status is status
    assert orders.by_venue_id("v-run-1") is order


def test_an_order_never_arrived_only_after_the_venue_said_so_three_times() -> None:
    orders = OrderManager()
    submit(orders)
    lose(orders)
    assert [deny(orders, n) for n in range(ASKS_UNTIL_ABSENT)] == [S.OUTCOME_UNKNOWN] * 2 + [S.REJECTED]
    assert orders.live() == []


@pytest.mark.parametrize(("apart_ns", "became"), [(ASKS_APART_NS - 1, S.OUTCOME_UNKNOWN),
                                                   (ASKS_APART_NS, S.REJECTED)])
def test_denials_in_one_moment_count_as_one(apart_ns: int, became: OrderStatus) -> None:
    """A reading of the account and a new stream ask at once, again and again; the venue's list may lag behind."""
    orders = OrderManager()
    order = submit(orders)
    lose(orders)
    for n in range(ASKS_UNTIL_ABSENT):
        orders.not_found(OrderNotFound(ts_ns=T0_NS + n * apart_ns, client_order_id="run-1"))
    assert order.status is became


def deny(orders: OrderManager, n: int) -> OrderStatus:
    at_ns = T0_NS + n * ASKS_APART_NS
    return orders.not_found(OrderNotFound(ts_ns=at_ns, client_order_id="run-1")).status


def test_denials_before_the_outcome_was_unknown_do_not_count() -> None:
    orders = OrderManager()
    submit(orders)
    for n in range(ASKS_UNTIL_ABSENT):
        deny(orders, n)
    lose(orders)
    assert orders.not_found(OrderNotFound(ts_ns=T0_NS, client_order_id="run-1")).status is S.OUTCOME_UNKNOWN


def test_an_order_that_the_venue_denied_and_then_reports_is_live_again() -> None:
    orders = OrderManager()
    order = submit(orders)
    lose(orders)
    for n in range(ASKS_UNTIL_ABSENT):
        deny(orders, n)
    orders.reported(make_report(order, S.OPEN))
    assert (order.status, orders.live()) == (S.OPEN, [order])


def test_an_order_that_the_venue_refused_stays_refused() -> None:
    orders = OrderManager()
    order = submit(orders)
    orders.rejected(OrderRejected(ts_ns=T0_NS, client_order_id="run-1", reason="X", is_expected=True))
    orders.reported(make_report(order, S.FAILED))
    assert (order.status, order.reason, orders.live()) == (S.REJECTED, "X", [])


def test_a_withheld_order_was_never_at_the_venue() -> None:
    orders = OrderManager()
    submit(orders)
    order = orders.withheld(SubmitWithheld(ts_ns=T0_NS, client_order_id="run-1", reason="STATE_HALTED"))
    assert (order.status, order.leaves, order.reason) == (S.DENIED, Decimal(0), "STATE_HALTED")


def test_a_refused_cancel_puts_the_order_back_to_open_and_an_accepted_one_waits() -> None:
    orders = OrderManager()
    submit(orders)
    accept(orders)
    order = ask_cancel(orders)
    assert not order.is_cancellable
    orders.cancel_answered(CancelAnswered(ts_ns=T0_NS, client_order_id="run-1", is_accepted=True))
    assert order.status is S.CANCEL_REQUESTED
    orders.cancel_answered(CancelAnswered(ts_ns=T0_NS, client_order_id="run-1", is_accepted=False))
    assert order.status is S.OPEN
    assert order.is_cancellable


def test_a_report_that_has_not_seen_our_cancel_yet_does_not_undo_it() -> None:
    orders = OrderManager()
    order = submit(orders)
    accept(orders)
    ask_cancel(orders)
    orders.reported(make_report(order, S.OPEN, "0.01"))
    assert (order.status, order.reported) == (S.CANCEL_REQUESTED, Decimal("0.01"))


def test_orders_of_somebody_else_are_noted_and_not_tracked() -> None:
    orders = OrderManager()
    stranger = OrderManager()
    report = make_report(submit(stranger, "theirs"), S.OPEN)
    assert orders.reported(report) is None
    assert (orders.foreign, orders.live()) == ({"v-theirs"}, [])


def test_an_order_without_our_id_is_known_by_the_venues() -> None:
    orders = OrderManager()
    order = submit(orders)
    accept(orders)
    nameless = make_report(TrackedOrder("", "", order.intent, T0_NS), S.CANCELLED, order_id="v-run-1")
    assert orders.reported(nameless) is order
    assert order.status is S.CANCELLED
