"""What every broker promises, asked of the venue in process and of the served one through the real SDK."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

import pytest

from tests.contract.broker_venues import KINDS, Venue, open_kind
from tests.unit.broker_wire import approved, make_intent
from trading_core.clock import NS
from trading_core.errors import BadRequest, ConfigurationError
from trading_core.events import BookChanged, HeartbeatReceived, OrderReported, StreamChanged, StreamState
from trading_core.market import OrderBook
from trading_core.money import plain
from trading_core.order_policy import guarded
from trading_core.orders import Liquidity, OrderIntent, OrderStatus, OrderType, Side, TimeInForce
from trading_core.plan import BracketDistance
from trading_core.ports import Accepted, Rejected
from trading_core.products import Product, ProductType

SPOT = ("BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD")


@pytest.fixture(params=KINDS)
def venue(request: pytest.FixtureRequest) -> Iterator[Venue]:
    with open_kind(request.param) as opened:
        yield opened


def limit(product: Product, side: Side, price: Decimal, **changes: object) -> OrderIntent:
    """Return an order of about fifty dollars."""
    size = plain(product.size_for(Decimal(50), price))
    return make_intent(product.product_id, side, size, plain(price), **changes)  # type: ignore[arg-type]


def rest(venue: Venue, client_order_id: str) -> str:
    """Place a post-only order that rests, and return the venue's id."""
    btc = venue.broker.product("BTC-USD")
    order = limit(btc, Side.BUY, venue.price(btc, Side.BUY, 100), post_only=True)
    answer = venue.broker.submit(approved(order, client_order_id))
    assert isinstance(answer, Accepted)
    return answer.order_id


def test_the_venues_clock_agrees_with_ours(venue: Venue) -> None:
    assert abs(venue.broker.server_time_ns() - venue.clock.now_ns()) < NS


def test_the_key_may_view_and_trade_but_not_transfer(venue: Venue) -> None:
    permissions = venue.broker.key_permissions()
    assert (permissions.can_view, permissions.can_trade, permissions.can_transfer) == (True, True, False)
    assert permissions.portfolio_id


def test_every_spot_product_and_every_future_is_listed(venue: Venue) -> None:
    products = {p.product_id: p for p in venue.broker.products()}
    assert set(SPOT) <= {i for i, p in products.items() if p.product_type is ProductType.SPOT}
    bip = products["BIP-20DEC30-CDE"]
    assert (bip.is_perpetual, bip.contract_size, bip.funding_interval_s) == (True, Decimal("0.01"), 3600)
    assert venue.broker.product("BIP-20DEC30-CDE").price_increment == Decimal(5)


def test_an_unknown_product_is_a_bad_request(venue: Venue) -> None:
    with pytest.raises(BadRequest, match="404"):
        venue.broker.product("NOPE-USD")


@pytest.mark.parametrize("product_id", [*SPOT, "BIP-20DEC30-CDE"])
def test_a_book_is_sorted_and_does_not_cross(venue: Venue, product_id: str) -> None:
    book = venue.broker.book(product_id, 10)
    bids, asks = [ticks for ticks, _ in book.bids], [ticks for ticks, _ in book.asks]
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert (len(bids), len(asks)) == (10, 10)
    assert bids[0] < asks[0]
    assert all(lots > 0 for _, lots in (*book.bids, *book.asks))


def test_candles_come_oldest_first_and_at_most_350(venue: Venue) -> None:
    end_s = venue.clock.now_ns() // NS
    candles = venue.broker.candles("ETH-USD", end_s - 1_800, end_s, "ONE_MINUTE")
    starts = [candle.start_s for candle in candles]
    assert len(starts) > 20
    assert starts == sorted(starts)
    assert all(c.low <= min(c.open, c.close) and max(c.open, c.close) <= c.high for c in candles)
    with pytest.raises(BadRequest, match="350"):
        venue.broker.candles("ETH-USD", end_s - 400 * 60, end_s, "ONE_MINUTE")


def test_balances_are_totals_that_a_resting_order_does_not_change(venue: Venue) -> None:
    before = venue.broker.account()
    rest(venue, "card-hold")
    after = venue.broker.account()
    assert before.balances == after.balances
    assert before.balances["USD"] == Decimal(100_000)
    assert (before.open_orders, after.open_orders) == (0, 1)


def test_the_account_says_its_margin_and_its_window(venue: Venue) -> None:
    account = venue.broker.account()
    assert account.margin_window in {"INTRADAY", "OVERNIGHT", "WEEKEND", "TRANSITION"}
    assert account.margin_level == "BASE"
    assert account.margin_used == 0
    assert account.margin_available > 0


def test_the_fee_tier_is_a_name_with_two_fractions(venue: Venue) -> None:
    tier = venue.broker.fee_tier()
    assert (tier.tier, tier.maker_rate, tier.taker_rate) == ("Intro 1", Decimal("0.006"), Decimal("0.012"))


def test_a_preview_places_nothing_and_says_what_would_fail(venue: Venue) -> None:
    btc = venue.broker.product("BTC-USD")
    fine = limit(btc, Side.BUY, venue.price(btc, Side.BUY, 50), post_only=True)
    crossing = limit(btc, Side.BUY, venue.price(btc, Side.BUY, -50), post_only=True)
    assert venue.broker.preview(fine).errors == ()
    assert venue.broker.preview(crossing).errors == ("PREVIEW_INVALID_LIMIT_PRICE_POST_ONLY",)
    assert venue.broker.open_orders() == []


def test_gtd_is_refused_before_anything_is_sent(venue: Venue) -> None:
    intent = make_intent(time_in_force=TimeInForce.GTD)
    with pytest.raises(ConfigurationError, match="GTD is gated"):
        venue.broker.preview(intent)
    with pytest.raises(ConfigurationError, match="GTD is gated"):
        venue.broker.submit(approved(intent))


def test_a_resting_order_is_found_by_either_id_and_listed_until_it_is_cancelled(venue: Venue) -> None:
    order_id = rest(venue, "card-rest")
    found = venue.broker.find_order("card-rest")
    assert found is not None
    assert (found.order_id, found.status, found.filled_size) == (order_id, OrderStatus.OPEN, 0)
    assert (found.order_type, found.time_in_force) == ("LIMIT", "GTC")
    assert venue.broker.order(order_id) == found
    assert venue.broker.open_orders() == [found]
    [answer] = venue.broker.cancel([order_id])
    assert (answer.order_id, answer.is_accepted, answer.reason) == (order_id, True, "")
    assert venue.broker.order(order_id).status is OrderStatus.CANCELLED
    assert venue.broker.open_orders() == []


def test_an_order_that_the_venue_never_saw_is_not_found(venue: Venue) -> None:
    rest(venue, "card-other")
    assert venue.broker.find_order("card-never-sent") is None
    with pytest.raises(BadRequest, match="404"):
        venue.broker.order("00000000-0000-4000-8000-000000000000")


def test_the_same_client_order_id_never_makes_a_second_order(venue: Venue) -> None:
    assert rest(venue, "card-twice") == rest(venue, "card-twice")
    assert len(venue.broker.open_orders()) == 1


def test_a_post_only_order_that_would_cross_is_an_expected_rejection(venue: Venue) -> None:
    btc = venue.broker.product("BTC-USD")
    order = limit(btc, Side.BUY, venue.price(btc, Side.BUY, -50), post_only=True)
    answer = venue.broker.submit(approved(order, "card-cross"))
    assert isinstance(answer, Rejected)
    assert (answer.reason, answer.is_expected) == ("INVALID_LIMIT_PRICE_POST_ONLY", True)
    assert venue.broker.find_order("card-cross") is None


@pytest.mark.parametrize(
    ("size", "price", "reason"),
    [("1000", None, "INSUFFICIENT_FUND"), ("0.001", "50000.001", "INVALID_PRICE_PRECISION")],
)
def test_a_rejection_that_we_should_have_prevented_is_unexpected(
    venue: Venue, size: str, price: str | None, reason: str
) -> None:
    btc = venue.broker.product("BTC-USD")
    resting = price or plain(venue.price(btc, Side.BUY, 100))
    answer = venue.broker.submit(approved(make_intent(size=size, price=resting), "card-refused"))
    assert isinstance(answer, Rejected)
    assert (answer.reason, answer.is_expected) == (reason, False)


@pytest.mark.parametrize("product_id", SPOT)
def test_a_marketable_ioc_is_filled_as_taker_and_charged(venue: Venue, product_id: str) -> None:
    product = venue.broker.product(product_id)
    order = limit(product, Side.BUY, venue.price(product, Side.BUY, -50), time_in_force=TimeInForce.IOC)
    answer = venue.broker.submit(approved(order, "card-taker"))
    assert isinstance(answer, Accepted)
    reported = venue.broker.order(answer.order_id)
    fills = venue.broker.fills(answer.order_id)
    assert reported.status is OrderStatus.FILLED
    assert sum(f.size for f in fills) == reported.filled_size == order.size
    assert sum(f.commission for f in fills) == reported.total_fees > 0
    assert {f.liquidity for f in fills} == {Liquidity.TAKER}
    assert len({f.entry_id for f in fills}) == len(fills)


def test_a_stop_waits_without_trading_and_can_be_cancelled(venue: Venue) -> None:
    btc = venue.broker.product("BTC-USD")
    stop, price = venue.price(btc, Side.BUY, 200), venue.price(btc, Side.BUY, 250)
    order = limit(btc, Side.SELL, price, order_type=OrderType.STOP_LIMIT, stop_price=plain(stop))
    answer = venue.broker.submit(approved(order, "card-stop"))
    assert isinstance(answer, Accepted)
    waiting = venue.broker.order(answer.order_id)
    assert (waiting.status, waiting.order_type, waiting.filled_size) == (OrderStatus.OPEN, "STOP_LIMIT", 0)
    assert [a.is_accepted for a in venue.broker.cancel([answer.order_id])] == [True]


def test_a_market_order_closes_a_futures_position(venue: Venue) -> None:
    bip = venue.broker.product("BIP-20DEC30-CDE")
    price = venue.price(bip, Side.BUY, -50)
    entry = make_intent(bip.product_id, Side.BUY, "2", plain(price), time_in_force=TimeInForce.IOC)
    before = venue.broker.account()
    assert isinstance(venue.broker.submit(approved(entry, "card-entry")), Accepted)
    held = venue.broker.account()
    assert held.margin_used + held.margin_available <= before.margin_available  # what is used is available no more
    assert held.positions == {"BIP-20DEC30-CDE": Decimal(2)}
    assert held.margin_used > 0
    leave = make_intent(
        bip.product_id, Side.SELL, "2", None, order_type=OrderType.MARKET, time_in_force=TimeInForce.IOC
    )
    assert isinstance(venue.broker.submit(approved(leave, "card-exit")), Accepted)
    assert venue.broker.account().positions == {}


def test_cancelling_what_is_gone_or_unknown_is_refused_by_id(venue: Venue) -> None:
    order_id = rest(venue, "card-gone")
    venue.broker.cancel([order_id])
    answers = venue.broker.cancel([order_id, "00000000-0000-4000-8000-000000000000"])
    assert [a.is_accepted for a in answers] == [False, False]
    assert all(a.reason.isupper() for a in answers)
    assert venue.broker.cancel([]) == []


def test_a_resting_order_is_edited_to_another_price_and_total_size(venue: Venue) -> None:
    order_id, btc = rest(venue, "card-edit"), venue.broker.product("BTC-USD")
    price = venue.price(btc, Side.BUY, 150)
    changed = approved(limit(btc, Side.BUY, price, post_only=True), "card-edit")
    assert venue.broker.edit(order_id, changed).is_accepted
    found = venue.broker.order(order_id)
    assert (found.status, found.limit_price, found.size) == (OrderStatus.OPEN, price, changed.intent.size)
    again = venue.broker.edit(order_id, changed)
    assert (again.is_accepted, again.reason) == (False, "EDIT_REQUEST_EQUAL_TO_ORIGINAL_REQUEST")


def test_an_edit_of_what_is_gone_or_would_take_is_refused_and_changes_nothing(venue: Venue) -> None:
    order_id, btc = rest(venue, "card-no-edit"), venue.broker.product("BTC-USD")
    before = venue.broker.order(order_id)
    crossing = limit(btc, Side.BUY, venue.price(btc, Side.BUY, -50), post_only=True)
    refused = venue.broker.edit(order_id, approved(crossing, "card-no-edit"))
    assert (refused.is_accepted, refused.reason) == (False, "INVALID_EDITED_PRICE")
    assert venue.broker.order(order_id) == before
    venue.broker.cancel([order_id])
    assert not venue.broker.edit(order_id, approved(crossing, "card-no-edit")).is_accepted


def test_an_entry_with_a_bracket_names_it_and_ends_with_it(venue: Venue) -> None:
    btc = venue.broker.product("BTC-USD")
    price = venue.price(btc, Side.BUY, 100)
    distance = BracketDistance(take_profit_bps=Decimal(100), stop_loss_bps=Decimal(200))
    entry = guarded(btc, limit(btc, Side.BUY, price, post_only=True), distance)
    assert venue.broker.preview(entry).errors == ()
    answer = venue.broker.submit(approved(entry, "card-bracket"))
    assert isinstance(answer, Accepted)
    assert venue.broker.order(answer.order_id).attached_order_id == answer.attached_order_id != ""
    bracket = venue.broker.order(answer.attached_order_id)
    assert (bracket.order_type, bracket.side, bracket.status) == ("BRACKET", Side.SELL, OrderStatus.OPEN)
    assert {o.order_id for o in venue.broker.open_orders()} == {answer.order_id, answer.attached_order_id}
    venue.broker.cancel([answer.order_id])
    venue.events_until(lambda _: venue.broker.order(answer.attached_order_id).status is OrderStatus.CANCELLED)


def test_more_than_a_hundred_orders_are_cancelled_in_batches(venue: Venue) -> None:
    unknown = [f"00000000-0000-4000-8000-{n:012d}" for n in range(101)]
    assert [a.order_id for a in venue.broker.cancel(unknown)] == unknown


def test_the_feed_starts_with_a_snapshot_of_each_book_and_keeps_it_like_rest(venue: Venue) -> None:
    products = [venue.broker.product(p) for p in ("BTC-USD", "SOL-USD")]
    books = {p.product_id: OrderBook(p) for p in products}
    venue.feed.start(products)
    seen = venue.events_until(
        lambda e: sum(isinstance(x, HeartbeatReceived) for x in e) >= 2 and len(_changes(e)) > 6
    )
    for change in _changes(seen):
        books[change.product_id].apply(change)
    assert {c.product_id for c in _changes(seen)[:2] if c.is_snapshot} == set(books)
    assert any(isinstance(e, StreamChanged) and e.state is StreamState.CONNECTED for e in seen)
    assert all(book.is_usable for book in books.values())
    for product_id, book in books.items():
        mid, best = book.mid(), venue.broker.book(product_id, 1)
        assert mid is not None
        touch = best.bids[0][0] * books[product_id].product.price_increment
        assert abs(touch - mid) / mid < Decimal("0.01")


def test_the_feed_reports_an_order_from_open_to_cancelled(venue: Venue) -> None:
    venue.feed.start([venue.broker.product("BTC-USD")])
    order_id = rest(venue, "card-reported")
    venue.events_until(lambda e: OrderStatus.OPEN in _statuses(e, "card-reported"))
    venue.broker.cancel([order_id])
    venue.events_until(lambda e: OrderStatus.CANCELLED in _statuses(e, "card-reported"))
    assert venue.tightened == []


def test_the_feed_and_rest_report_a_filled_order_alike(venue: Venue) -> None:
    btc = venue.broker.product("BTC-USD")
    venue.feed.start([btc])
    order = limit(btc, Side.BUY, venue.price(btc, Side.BUY, -50), time_in_force=TimeInForce.IOC)
    answer = venue.broker.submit(approved(order, "card-alike"))
    assert isinstance(answer, Accepted)
    seen = venue.events_until(lambda e: OrderStatus.FILLED in _statuses(e, "card-alike"))
    [reported] = [
        e.order for e in seen
        if isinstance(e, OrderReported) and e.order.client_order_id == "card-alike" and e.order.status.is_final
    ]
    asked = venue.broker.order(answer.order_id)
    assert (reported.filled_size, reported.average_price, reported.total_fees, reported.size) == (
        asked.filled_size, asked.average_price, asked.total_fees, asked.size,
    )
    assert (reported.order_id, reported.order_type, reported.time_in_force) == (
        asked.order_id, asked.order_type, asked.time_in_force,
    )


def test_a_healthy_venue_shows_no_drift_from_the_contract(venue: Venue) -> None:
    broker = venue.broker
    broker.products()
    broker.account()
    broker.fee_tier()
    broker.key_permissions()
    broker.server_time_ns()
    order_id = rest(venue, "card-drift")
    broker.preview(make_intent(price=plain(venue.price(broker.product("BTC-USD"), Side.BUY, 100))))
    broker.fills(order_id)
    broker.cancel([order_id])
    assert broker.schema_drift() == []


def _changes(events: Sequence[object]) -> list[BookChanged]:
    return [e for e in events if isinstance(e, BookChanged)]


def _statuses(events: Sequence[object], client_order_id: str) -> list[OrderStatus]:
    orders = [e.order for e in events if isinstance(e, OrderReported)]
    return [o.status for o in orders if o.client_order_id == client_order_id]
