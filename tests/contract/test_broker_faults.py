"""What a broker makes of each fault of the venue: the same in process and through the real SDK."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import msgspec
import pytest

from tests.contract.broker_venues import KINDS, Venue, open_kind
from tests.unit.broker_wire import approved, make_intent
from trading_core.clock import NS
from trading_core.errors import (
    BadRequest,
    NotAuthorised,
    OutcomeUnknown,
    RateLimited,
    SchemaDrift,
    VenueError,
    VenueUnavailable,
)
from trading_core.events import (
    AnyEvent,
    BarClosed,
    BookChanged,
    HeartbeatReceived,
    MarginTold,
    OrderReported,
    StatusTold,
    StreamChanged,
    StreamState,
    TouchQuoted,
)
from trading_core.local_exchange.faults import FaultPlan
from trading_core.market import OrderBook
from trading_core.money import plain
from trading_core.orders import OrderStatus, Side
from trading_core.ports import Accepted, Rejected
from trading_core.products import ProductType
from trading_core.risk import ApprovedOrder

BOTH = (KINDS[0], KINDS[1])


def resting(venue: Venue, client_order_id: str = "fault-1") -> ApprovedOrder:
    """Return an order that would rest; its price is asked for before, so `venue` must answer questions."""
    btc = venue.broker.product("BTC-USD")
    price = plain(venue.price(btc, Side.BUY, 100))
    return approved(make_intent(size="0.001", price=price, post_only=True), client_order_id)


FIXED = approved(make_intent(size="0.001", price="10000", post_only=True), "fault-1")


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    ("faults", "is_booked"),
    [
        (FaultPlan(create_booked_but_500_share=1), True),
        (FaultPlan(create_reset_after_share=1), True),
        (FaultPlan(create_reset_before_share=1), False),
    ],
    ids=["booked but 500", "reset after", "reset before"],
)
def test_a_lost_answer_is_an_unknown_outcome_that_asking_resolves(
    kind: str, faults: FaultPlan, is_booked: bool
) -> None:
    with open_kind(kind, faults) as venue:
        with pytest.raises(OutcomeUnknown):
            venue.broker.submit(resting(venue, "fault-lost"))
        found = venue.broker.find_order("fault-lost")
        assert (found is not None) is is_booked
        assert len(venue.broker.open_orders()) == is_booked


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("pushes", [True, False], ids=["pushed", "silent"])
def test_the_user_channel_tells_of_a_lost_order_unless_it_is_silent(kind: str, pushes: bool) -> None:
    faults = FaultPlan(create_booked_but_500_share=1, create_booked_but_500_pushes_user=pushes)
    with open_kind(kind, faults) as venue:
        venue.feed.start([venue.broker.product("BTC-USD")])
        with pytest.raises(OutcomeUnknown):
            venue.broker.submit(resting(venue, "fault-push"))
        if pushes:
            seen = venue.events_until(lambda events: "fault-push" in _reported(events))
        else:
            over_ns = venue.clock.now_ns() + NS
            seen = venue.events_until(lambda _: venue.clock.now_ns() >= over_ns)
        assert _reported(seen) == ({"fault-push"} if pushes else set())


@pytest.mark.parametrize("kind", BOTH)
def test_an_edit_that_takes_its_time_is_seen_to_be_pending(kind: str) -> None:
    with open_kind(kind, FaultPlan(edit_delay_ms=60_000)) as venue:
        intent = resting(venue, "fault-late-edit").intent
        answer = venue.broker.submit(approved(intent, "fault-late-edit"))
        assert isinstance(answer, Accepted)
        smaller = msgspec.structs.replace(intent, size=intent.size / 2)
        assert venue.broker.edit(answer.order_id, approved(smaller, "fault-late-edit")).is_accepted
        found = venue.broker.order(answer.order_id)
        assert (found.status, found.is_edit_pending, found.size) == (OrderStatus.OPEN, True, intent.size)
        assert [o.order_id for o in venue.broker.open_orders()] == [answer.order_id]
        again = venue.broker.edit(answer.order_id, approved(smaller, "fault-late-edit"))
        assert (again.is_accepted, again.is_expected) == (False, True)


@pytest.mark.parametrize("kind", BOTH)
def test_a_lost_answer_to_an_edit_is_an_unknown_outcome_that_asking_resolves(kind: str) -> None:
    with open_kind(kind, FaultPlan(edit_done_but_500_share=1)) as venue:
        intent = resting(venue, "fault-lost-edit").intent
        answer = venue.broker.submit(approved(intent, "fault-lost-edit"))
        assert isinstance(answer, Accepted)
        smaller = msgspec.structs.replace(intent, size=intent.size / 2)
        with pytest.raises(OutcomeUnknown):
            venue.broker.edit(answer.order_id, approved(smaller, "fault-lost-edit"))
        assert venue.broker.order(answer.order_id).size == smaller.size


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    ("faults", "error"),
    [
        (FaultPlan(unauthorized_share=1), NotAuthorised),
        (FaultPlan(rate_limited_share=1), RateLimited),
        (FaultPlan(rate_limited_share=1, rate_limited_as_html=True), RateLimited),
        (FaultPlan(server_error_share=1), VenueUnavailable),
        (FaultPlan(server_error_share=1, server_error_as_html=True), VenueUnavailable),
    ],
    ids=["401", "429", "429 HTML", "500", "503 HTML"],
)
def test_a_venue_that_refuses_everything_is_named_by_the_right_error(
    kind: str, faults: FaultPlan, error: type[VenueError]
) -> None:
    with open_kind(kind, faults) as venue:
        with pytest.raises(error):
            venue.broker.account()
        with pytest.raises(OutcomeUnknown if error is VenueUnavailable else error):
            venue.broker.submit(FIXED)


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    "faults",
    [
        FaultPlan(unauthorized_share=0.1, seed=1),
        FaultPlan(rate_limited_share=0.1, seed=1),
        FaultPlan(server_error_share=0.1, seed=1),
    ],
    ids=["401", "429", "500"],
)
def test_a_venue_that_refuses_now_and_then_is_asked_again(kind: str, faults: FaultPlan) -> None:
    with open_kind(kind, faults) as venue:
        assert {venue.broker.fee_tier().tier for _ in range(25)} == {"Intro 1"}


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("reason", ["INSUFFICIENT_FUND", "COMMANDER_REJECTED_NEW_ORDER", "INVALID_NO_LIQUIDITY"])
def test_an_injected_rejection_keeps_its_exact_reason(kind: str, reason: str) -> None:
    with open_kind(kind, FaultPlan(reject_share=1, reject_reason=reason)) as venue:
        answer = venue.broker.submit(resting(venue))
        assert isinstance(answer, Rejected)
        assert (answer.reason, answer.is_expected) == (reason, reason == "INVALID_NO_LIQUIDITY")


@pytest.mark.parametrize("kind", BOTH)
def test_an_acceptance_without_its_order_id_is_unknown_and_the_missing_member_is_named(kind: str) -> None:
    faults = FaultPlan(removed_members=("success_response",), added_members=("order_id_v2",))
    with open_kind(kind, faults) as venue:
        with pytest.raises(OutcomeUnknown):
            venue.broker.submit(resting(venue, "fault-drift"))
        drift = venue.broker.schema_drift()
        assert "NewOrderResponse.success_response.order_id missing" in drift
        assert "NewOrderResponse.order_id_v2 unknown" in drift
        found = venue.broker.find_order("fault-drift")
        assert found is not None
        assert found.status is OrderStatus.OPEN


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    ("member", "named"),
    [
        ("hold", "GetAccountsResponse.accounts.hold missing"),
        ("initial_margin", "GetFCMBalanceSummaryResponse.balance_summary.initial_margin missing"),
        ("margin_window_type", "GetCurrentMarginWindowResponse.margin_window.margin_window_type missing"),
    ],
)
def test_a_vanished_member_of_the_account_is_never_read_as_zero(kind: str, member: str, named: str) -> None:
    with open_kind(kind, FaultPlan(removed_members=(member,))) as venue:
        with pytest.raises(SchemaDrift) as caught:
            venue.broker.account()
        assert str(caught.value) == named
        assert named in venue.broker.schema_drift()


@pytest.mark.parametrize("kind", BOTH)
def test_a_key_that_may_transfer_says_so(kind: str) -> None:
    with open_kind(kind, FaultPlan(can_transfer=True)) as venue:
        assert venue.broker.key_permissions().can_transfer is True


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("offset_ms", [-10_000, 3_000])
def test_the_venues_clock_is_shown_as_it_is(kind: str, offset_ms: int) -> None:
    with open_kind(kind, FaultPlan(clock_offset_ms=offset_ms)) as venue:
        off_ms = (venue.broker.server_time_ns() - venue.clock.now_ns()) / 1_000_000
        assert abs(off_ms - offset_ms) < 1_000


@pytest.mark.parametrize("kind", BOTH)
def test_a_product_that_is_halted_takes_no_orders(kind: str) -> None:
    with open_kind(kind, FaultPlan(halted_products=("BTC-USD",))) as venue:
        answer = venue.broker.submit(resting(venue))
        assert isinstance(answer, Rejected)
        assert (answer.reason, answer.is_expected) == ("ORDER_ENTRY_DISABLED", True)


def test_a_venue_that_hangs_is_given_up_after_the_read_time_out() -> None:
    with open_kind(KINDS[0], FaultPlan(hang_share=1, hang_s=30)) as venue:
        started_ns = venue.clock.now_ns()
        with pytest.raises(OutcomeUnknown, match="within 10 s"):
            venue.broker.submit(FIXED)
        assert 10 <= (venue.clock.now_ns() - started_ns) / 1e9 < 11


@pytest.mark.parametrize("kind", BOTH)
def test_an_unknown_order_id_is_no_outage(kind: str) -> None:
    with open_kind(kind) as venue, pytest.raises(BadRequest):
        venue.broker.order("not-an-id")


@pytest.mark.parametrize("kind", BOTH)
def test_a_product_that_goes_offline_says_so_on_the_stream_and_takes_no_order(kind: str) -> None:
    with open_kind(kind, FaultPlan(offline_products=("BTC-USD",), offline_from_s=1.0)) as venue:
        venue.feed.start([venue.broker.product("BTC-USD"), venue.broker.product("SOL-USD")])
        seen = venue.events_until(lambda e: ("BTC-USD", "offline") in _statuses(e), within_s=40)
        assert _statuses(seen) == [("BTC-USD", "online"), ("SOL-USD", "online"), ("BTC-USD", "offline")]
        answer = venue.broker.submit(resting(venue))
        assert isinstance(answer, Rejected)
        assert answer.reason == "ORDER_ENTRY_DISABLED"


@pytest.mark.parametrize("kind", BOTH)
def test_book_changes_that_are_lost_without_a_gap_show_against_the_ticker_and_a_new_start_heals_them(kind: str) -> None:
    with open_kind(kind, FaultPlan(book_lost_from_s=2.0)) as venue:
        product = venue.broker.product("BTC-USD")
        venue.feed.start([product])
        book, seen = OrderBook(product), 0

        def is_apart(events: list[AnyEvent]) -> bool:
            nonlocal seen
            for event in events[seen:]:
                if isinstance(event, BookChanged):
                    book.apply(event)
            quotes = [e for e in events[seen:] if isinstance(e, TouchQuoted)]
            seen = len(events)
            return any(q.bid != book.best(Side.BUY) for q in quotes)

        venue.events_until(is_apart, within_s=120)
        venue.feed.resubscribe("apart")
        healed = venue.events_until(lambda e: _states(e)[-1:] == [StreamState.CONNECTED] and _is_snapshot(e), 30)
        assert _states(healed) == [StreamState.GAP, StreamState.CONNECTED]


@pytest.mark.parametrize("kind", BOTH)
def test_bars_come_with_their_past_and_margin_with_a_future_and_neither_unasked(kind: str) -> None:
    with open_kind(kind) as venue:
        future = next(p for p in venue.broker.products() if p.product_type is ProductType.FUTURE)
        venue.feed.start([venue.broker.product("BTC-USD"), future], with_bars=True)
        seen = venue.events_until(
            lambda e: any(isinstance(x, MarginTold) for x in e) and sum(isinstance(x, BarClosed) for x in e) >= 150
        )
        starts = [e.start_s for e in seen if isinstance(e, BarClosed) and e.product_id == "BTC-USD"]
        assert {b - a for a, b in itertools.pairwise(starts)} == {300}
        asked = venue.broker.account()
        told = next(e for e in seen if isinstance(e, MarginTold))
        assert (told.margin_used, told.margin_available) == (asked.margin_used, asked.margin_available)
        assert told.intraday_level == asked.margin_level
    with open_kind(kind) as venue:
        venue.feed.start([venue.broker.product("BTC-USD")])
        seen = venue.events_until(lambda e: sum(isinstance(x, HeartbeatReceived) for x in e) >= 2)
        assert not [e for e in seen if isinstance(e, BarClosed | MarginTold)]


def test_a_stream_that_the_venue_closes_comes_back_with_snapshots() -> None:
    with open_kind(KINDS[1], FaultPlan(close_every_s=1.0)) as venue:
        venue.feed.start([venue.broker.product("BTC-USD")])
        seen = venue.events_until(lambda e: _states(e).count(StreamState.CONNECTED) >= 2)
        assert StreamState.DISCONNECTED in _states(seen)
        assert venue.tightened == []


@pytest.mark.parametrize("share", ["frame_drop_share", "frame_reorder_share"])
def test_a_lost_or_disordered_frame_is_a_gap_that_heals(share: str) -> None:
    with open_kind(KINDS[1], FaultPlan(seed=5, **{share: 0.05})) as venue:
        venue.feed.start([venue.broker.product("BTC-USD")])
        seen = venue.events_until(
            lambda e: StreamState.GAP in _states(e) and _states(e)[-1] is StreamState.CONNECTED, within_s=30
        )
        assert isinstance(venue.broker.submit(resting(venue)), Accepted)
        assert _states(seen)[0] is StreamState.CONNECTED


def _reported(events: Sequence[object]) -> set[str]:
    return {e.order.client_order_id for e in events if isinstance(e, OrderReported)}


def _is_snapshot(events: Sequence[AnyEvent]) -> bool:
    return any(isinstance(e, BookChanged) and e.is_snapshot for e in events)


def _statuses(events: list[AnyEvent]) -> list[tuple[str, str]]:
    return [(e.product_id, e.status) for e in events if isinstance(e, StatusTold)]


def _states(events: Sequence[object]) -> list[StreamState]:
    return [e.state for e in events if isinstance(e, StreamChanged) and e.connection == "market"]
